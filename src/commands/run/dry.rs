//! `watcher run --dry-run`: everything that `run` would do, told and not done.

use std::fmt::Write as _;

use jiff::Zoned;

use crate::{
    artifact,
    chain::{endpoints::Endpoint, survey::Scheduled},
    commands::upcoming::{
        self, State,
        text::{self, line},
    },
    config::Config,
    decide::{
        facts::{Backup, Current, Facts, Info, NodeLock, Record, RecordFact, Staged},
        plan::{Asks, Plan, Upgrade},
        schedule,
    },
    exit::Ending,
    home::{
        Home, backup, current,
        observe::{self, Observer},
    },
    http::secrets,
    persona::Persona,
};

/// Tells what `run` would do now, and when it would do the rest.
pub(super) async fn run(config: &Config, endpoints: &[Endpoint]) -> anyhow::Result<Ending> {
    let home = &config.home;
    let facts = Observer::default().observe(home, &[], false);
    let refusal = refusal(home, &facts);
    super::super::say(Persona::Watcher, of_the_home(config, &facts, refusal.as_deref()))?;
    // `run` starts its node whoever answers.
    let ending = if refusal.is_some() { Ending::Failed } else { Ending::Fine };
    let trust = upcoming::trust(config.trust.clone(), Some(home));
    let survey = match upcoming::ask(endpoints, config.settings.quorum, &trust).await {
        Ok(survey) => survey,
        Err(error) => {
            let stands = if facts.lock == NodeLock::Free { ", and the node does not run" } else { "" };
            super::super::say(Persona::Watcher, format!("upcoming  not known{stands}: {error}\n"))?;
            return Ok(ending);
        }
    };
    let list = upcoming::of(&survey, home);
    let mut told = text::text(&list, &Zoned::now());
    // What has passed and is not scheduled will not come.
    for entry in list.upgrades.iter().filter(|entry| entry.blocks_left > 0 && entry.state != State::Passed) {
        let plan = Plan { name: entry.name.clone(), height: entry.height, info: entry.info.clone() };
        // A name that cannot be a folder is told as its problem.
        let Ok(upgrade) = observe::upgrade_of(home, plan) else { continue };
        let staged = artifact::read_staged(&home.upgrades(), &upgrade.folder, &home.daemon);
        let quorum = config.settings.quorum;
        let waits = |scheduled: &Scheduled| scheduled.plan == upgrade.plan && !scheduled.may_be_staged(quorum);
        let when = match entry.state {
            State::Deposit | State::Voting | State::Passed => "once scheduled, ".to_owned(),
            _ if survey.scheduled.iter().any(waits) => format!("once {quorum} endpoints say so, "),
            _ => String::new(),
        };
        let _ = writeln!(told, "\n{}: {when}{}", text::name(&entry.name), would(config, &upgrade, &staged));
    }
    super::super::say(Persona::Watcher, told)?;
    Ok(ending)
}

/// Why `run` could start no node with what is there.
fn refusal(home: &Home, facts: &Facts) -> Option<String> {
    if let Some(impasse) = backup::restore::impasse(home) {
        return Some(impasse);
    }
    match &facts.current {
        Current::Version(_) => None,
        Current::Absent => {
            facts.record.past_genesis().or_else(|| current::genesis(home).err().map(|error| error.to_string()))
        }
        Current::Broken { reason } => Some(reason.clone()),
    }
}

fn of_the_home(config: &Config, facts: &Facts, refusal: Option<&str>) -> String {
    let home = &config.home;
    let mut lines = vec![("home", home.path.display().to_string())];
    lines.push((
        "current",
        match (refusal, &facts.current) {
            (Some(reason), _) => format!("`run` would refuse to start: {reason}"),
            (None, Current::Version(version)) => version.to_string(),
            (None, _) => "absent; `run` would link it to genesis".to_owned(),
        },
    ));
    if facts.lock == NodeLock::Held {
        lines.push(("node", "runs under another watcher".to_owned()));
    }
    lines.extend(match &facts.info {
        Info::Absent => None,
        Info::Unreadable { reason, .. } => Some(("halt", format!("data/upgrade-info.json cannot be read: {reason}"))),
        Info::Plan { upgrade: Upgrade { plan, folder, .. }, .. } => {
            let asked = format!("{} at height {}", text::name(&plan.name), plan.height);
            let hold = facts
                .orders
                .hold(folder)
                .map(|hold| format!(", which is held until `watcher release {}`", hold.name()));
            let told = if facts.record.is_past(plan) {
                format!("none; data/upgrade-info.json is still of {asked}, which is past")
            } else {
                format!("data/upgrade-info.json asks for {asked}{}", hold.unwrap_or_default())
            };
            Some(("halt", told))
        }
    });
    if let RecordFact::Present(Record { plan, failure: Some(failure), .. }) = &facts.record {
        lines.push(("failed", format!("upgrade {}: {}; {}", text::name(&plan.name), failure.reason, failure.state)));
    }
    lines.push((
        "backup",
        match (&home.backups, facts.backup) {
            (Some(chosen), Backup::Missing | Backup::Complete) => {
                match backup::is_all_there(home).and_then(|()| backup::place::of(home, chosen)) {
                    Ok(place) => format!("the node is saved to {} before a switch", place.display()),
                    Err(error) => format!("`run` would wait before a switch: {error}"),
                }
            }
            _ => "none (UNSAFE_SKIP_BACKUP)".to_owned(),
        },
    ));
    let line = |(label, words): (&str, String)| format!("{label:<9} {}\n", line(&words));
    lines.into_iter().map(line).collect::<String>() + "\n"
}

/// What `run` would do about a scheduled upgrade.
fn would(config: &Config, upgrade: &Upgrade, staged: &Staged) -> String {
    let place = config.home.executable(&config.home.upgrade(&upgrade.folder));
    let place = place.display();
    let wait = |reason: &str| format!("would wait for you to place the binary at {place} ({})", line(reason));
    let within = match config.settings.jitter.as_secs() {
        0 => "at once".to_owned(),
        most => format!("within {most} s"),
    };
    let fetch = || match &upgrade.asks {
        Asks::Nothing { reason } | Asks::Unusable { reason } => wait(reason),
        _ if !config.settings.downloads => wait("DAEMON_ALLOW_DOWNLOAD_BINARIES is not true"),
        Asks::Artifact(artifact) => {
            format!("would begin {within} to fetch {} and place it at {place}", line(&secrets::file(&artifact.url)))
        }
        Asks::Document { url } => {
            format!("would begin {within} to fetch what {} names and place it at {place}", line(&secrets::file(url)))
        }
    };
    if let Some(reason) = observe::unusable(&config.home, &upgrade.folder, staged) {
        return format!("would wait: {}", line(&reason));
    }
    match staged {
        Staged::Operator | Staged::Arriving => format!("would use your own binary {place} as it is"),
        Staged::Ours(receipt) if receipt.satisfies(upgrade) => {
            format!(
                "would use what is staged at {place}, hashed again {} blocks before the height",
                schedule::NEAR_BLOCKS
            )
        }
        Staged::Suspect(_) => format!("would hash {place}, which was changed after it was placed"),
        Staged::Ours(_) => format!("would set {place} aside, which is not what the plan asks for, and {}", fetch()),
        Staged::None => fetch(),
    }
}
