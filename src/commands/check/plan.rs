//! The plan by itself: its name, its height, its info as a whole.

use jiff::Zoned;

use super::{Subject, Wanted, chain::Chain};
use crate::{
    artifact::info,
    commands::{
        findings::Findings,
        run::LONGEST_INFO,
        upcoming::{Moment, moment::distance, text},
    },
    decide::plan::Folder,
    home::Home,
};

/// Between the end of a vote and the height, operators should have this long, seconds: a working day with its night.
const TIME_TO_STAGE: i64 = 12 * 3600;

/// Looks at a plan beside the others that are looked at.
pub(super) fn look(
    wanted: &Wanted<'_>,
    subject: &Subject,
    all: &[Subject],
    chain: Option<&Chain>,
    findings: &mut Findings,
) {
    if !subject.plan.name.is_empty() {
        name(subject, all, &wanted.home, findings);
    }
    height(subject, chain, findings);
    let info = &subject.plan.info;
    if info.len() > LONGEST_INFO {
        let message = format!("its info has {} bytes, and `watcher run` reads {LONGEST_INFO}", info.len());
        findings.error("info-too-long", message, "move the prose elsewhere, or let the info be the URL of a document");
    }
    // Those that are needed are looked at by themselves.
    let needed = |key: &str| key == "any" || wanted.platforms.iter().any(|platform| platform.os_arch == key);
    for (key, refusal) in info::bad_entries(info).into_iter().filter(|(key, _)| !needed(key)) {
        let message = format!("the entry for {}: {refusal}", text::name(&key));
        let help = "correct or remove it: cosmovisor refuses all binaries of a plan with one such entry, `watcher` only this one";
        findings.warning("entry-unusable", message, help);
    }
}

fn name(subject: &Subject, all: &[Subject], home: &Home, findings: &mut Findings) {
    let name = &subject.plan.name;
    let folder = match Folder::of(name, home.keep_case) {
        Ok(folder) => folder,
        Err(bad) => {
            let help = "choose one of a few letters, digits, dots and dashes";
            return findings.error("name-unusable", bad.to_string(), help);
        }
    };
    if folder.as_str() != name {
        let message = format!("its binary lies in upgrades/{folder}, which is not how the name is written");
        let help =
            format!("place a binary by hand in upgrades/{folder}/bin; a name in lower case without spaces is safer");
        findings.warning("name-folder", message, help);
    }
    let same = |other: &&Subject| {
        other.plan.name != *name && Folder::of(&other.plan.name, home.keep_case).is_ok_and(|other| other == folder)
    };
    if let Some(other) = all.iter().find(same) {
        let message = format!("{} would lie in the same folder, upgrades/{folder}", other.name());
        findings.error("name-shared", message, "give one of them a name that differs in more than its case");
    }
}

fn height(subject: &Subject, chain: Option<&Chain>, findings: &mut Findings) {
    let height = subject.plan.height;
    if let Some(now) = chain.map(|chain| chain.survey.height).filter(|now| height > 0 && height <= *now) {
        let message = format!("height {height} is not ahead of the chain, which is at {now}");
        if subject.is_scheduled() {
            return findings.warning(
                "height-passed",
                message,
                "the chain halts there now, for every node without its binary",
            );
        }
        return findings.error(
            "height-passed",
            message,
            "the chain refuses such a plan: propose it for a later height",
        );
    }
    let (Some(end), Some(eta)) = (subject.voting_end.filter(|_| !subject.is_scheduled()), &subject.eta) else { return };
    let now = Zoned::now();
    let after = |moment: Moment| moment.left(&now) - end.left(&now);
    if after(eta.at) <= 0 {
        let message = format!("height {height} is expected {} before the vote ends", distance(after(eta.at)));
        let help = "the chain refuses a plan whose height has passed when its vote ends: propose it for a later height";
        findings.error("height-before-vote", message, help);
    } else if after(eta.earliest) < TIME_TO_STAGE {
        let (earliest, at) = (distance(after(eta.earliest)).to_string(), distance(after(eta.at)).to_string());
        let message = match after(eta.earliest) {
            ..=0 => format!("height {height} may come before the vote ends, and is expected {at} after it"),
            _ if earliest == at => format!("height {height} is expected {at} after the end of the vote"),
            _ => {
                format!("height {height} may come {earliest} after the end of the vote, and is expected {at} after it")
            }
        };
        let help = "propose a later height, so that every operator has half a day at least to get ready";
        findings.warning("height-soon", message, help);
    }
}
