//! What the chain says, and whether its endpoints say the same.

use futures_util::future::join_all;

use super::{Found, Subject};
use crate::{
    chain::{
        endpoints::{Clients, Endpoint, Source},
        survey::{Survey, survey},
    },
    commands::{
        findings::Findings,
        upcoming::{self, Upcoming, text},
    },
    decide::plan::Plan,
    home::Home,
};

/// The chain as it is now.
pub(super) struct Chain {
    pub(super) survey: Survey,
    /// What is coming on it.
    pub(super) list: Upcoming,
    sources: Vec<Source>,
}

/// Asks every endpoint. None where not one answered.
pub(super) async fn ask(endpoints: &[Endpoint], clients: &Clients, home: &Home, found: &mut Found) -> Option<Chain> {
    const REMEDY: &str = "correct the address, or name more endpoints";
    let findings = &mut found.findings;
    let answer = survey(endpoints, clients, None).await;
    let problems = answer.as_ref().map_or_else(|none| &none.problems, |survey| &survey.problems);
    for problem in problems {
        findings.warning("endpoint-failed", problem.to_string(), REMEDY);
    }
    let Ok(survey) = answer else {
        findings.warning("chain-silent", "no endpoint answered, so nothing is known of the chain", REMEDY);
        found.untold = true;
        return None;
    };
    for question in &survey.unanswered {
        findings.warning("chain-silent", format!("nobody answered what is {question}"), REMEDY);
        found.untold = true;
    }
    let sources: Vec<_> = endpoints.iter().map(|endpoint| clients.open(endpoint)).collect();
    agreement(endpoints, &sources, &survey.chain_id, findings).await;
    let list = upcoming::of(&survey, home);
    Some(Chain { survey, list, sources })
}

impl Chain {
    /// Whether the name is taken: x/upgrade refuses to schedule it again.
    pub(super) async fn applied(&self, subject: &Subject, findings: &mut Findings) {
        let name = &subject.plan.name;
        for source in self.sources.iter().filter(|_| !name.is_empty()) {
            match source.applied_plan(name).await {
                Ok(0) => return,
                Ok(height) => {
                    let message = format!("an upgrade of this name was applied at height {height}");
                    let help = "the chain refuses to schedule it again: choose another name, in the plan and in the \
                                handler of the new binary";
                    return findings.error("name-used", message, help);
                }
                Err(_) => {}
            }
        }
    }
}

/// Holds what the endpoints say is scheduled against each other. One that is past a plan's height has no plan left, so only
/// those before it are heard.
async fn agreement(endpoints: &[Endpoint], sources: &[Source], chain_id: &str, findings: &mut Findings) {
    let answers = join_all(endpoints.iter().zip(sources).map(async |(endpoint, source)| {
        let latest = source.latest().await.ok().filter(|latest| latest.chain_id == chain_id)?;
        let plan = source.current_plan().await.ok()?.value;
        Some((&endpoint.label, latest.height, plan))
    }));
    let answers: Vec<(&String, u64, Option<Plan>)> = answers.await.into_iter().flatten().collect();
    let shown = |plan: &Option<Plan>| match plan {
        Some(plan) => format!("{} at height {}", text::name(&plan.name), plan.height),
        None => "nothing".to_owned(),
    };
    for (place, (one, _, plan)) in answers.iter().enumerate() {
        let Some(scheduled) = plan else { continue };
        for (other, at, said) in answers.iter().filter(|(_, at, said)| *at < scheduled.height && said != plan) {
            // A pair that names two plans is told once.
            if said.is_some() && answers[..place].iter().any(|(label, ..)| label == other) {
                continue;
            }
            let (mine, theirs) = (shown(plan), shown(said));
            let differ = if mine == theirs { ", with another info" } else { "" };
            let message =
                format!("{one} says that {mine} is scheduled, {other} (at height {at}) says {theirs}{differ}");
            let help = "ask again once they are at the same height; where they still differ, ask your own node, and \
                        drop whoever says something else";
            findings.error("endpoints-disagree", message, help);
        }
    }
}
