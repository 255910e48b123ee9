//! What the chain says, and whether its endpoints say the same.

use super::{Found, Subject, Wanted};
use crate::{
    chain::{
        endpoints::{Clients, Source},
        fault::Cause,
        survey::{Scheduled, Survey, survey},
    },
    commands::{
        findings::Findings,
        upcoming::{self, Upcoming, text},
    },
    decide::plan::Plan,
};

/// The chain as it is now.
pub(super) struct Chain {
    pub(super) survey: Survey,
    /// What is coming on it.
    pub(super) list: Upcoming,
    sources: Vec<Source>,
}

/// Asks every endpoint. None where not one answered.
pub(super) async fn ask(wanted: &Wanted<'_>, clients: &Clients, found: &mut Found) -> Option<Chain> {
    // Whether one is enough is for `run` to say.
    const QUORUM: usize = 1;
    const REMEDY: &str = "correct the address, or name more endpoints";
    let findings = &mut found.findings;
    let answer = survey(&wanted.endpoints, clients, QUORUM, &wanted.trust).await;
    let problems = answer.as_ref().map_or_else(|none| &none.problems, |survey| &survey.problems);
    for problem in problems {
        match &problem.cause {
            Cause::OtherChain { expected, .. } => {
                let message = format!("{problem}: so what is said here is of {}", text::name(expected));
                findings.error("endpoints-disagree", message, "name endpoints of one chain");
            }
            // A root of trust was given, and this is not what stands on it.
            Cause::Unproven(_) if wanted.trust.was_chosen() => {
                let help = "do not rely on this endpoint; correct WATCHER_TRUST_HEIGHT and WATCHER_TRUST_HASH if they are wrong";
                findings.error("unproven", problem.to_string(), help);
            }
            _ => findings.warning("endpoint-failed", problem.to_string(), REMEDY),
        }
    }
    let Ok(mut survey) = answer else {
        findings.warning("chain-silent", "no endpoint answered, so nothing is known of the chain", REMEDY);
        found.untold = true;
        return None;
    };
    for question in &survey.unanswered {
        findings.warning("chain-silent", format!("nobody answered what is {question}"), REMEDY);
        found.untold = true;
    }
    if wanted.trust.was_chosen() && survey.proof.is_none() {
        let help = "name an RPC endpoint that serves /commit, /validators and proofs; REST has none";
        findings.warning("unproven", "a block is trusted, and nothing could be proven from it", help);
        found.untold = true;
    }
    if let Some(done) = upcoming::take_done(&mut survey, &wanted.endpoints, clients).await {
        findings.note("carried-out", done, "");
    }
    let sources = survey.heeded(&wanted.endpoints).map(|endpoint| clients.open(endpoint)).collect();
    disputed(&survey, findings);
    let list = upcoming::of(&survey, &wanted.home);
    Some(Chain { survey, list, sources })
}

impl Chain {
    /// Whether somebody who would have to say it says that this is not what is scheduled, and the own node does not say it.
    pub(super) fn is_disputed(&self, plan: &Plan) -> bool {
        let disputed = |it: &&Scheduled| it.plan == *plan && !it.against.is_empty() && it.own != Some(true);
        self.survey.scheduled.iter().any(|it| disputed(&it))
    }

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

/// What endpoints say of a plan that others, which would have to say it too, do not.
fn disputed(survey: &Survey, findings: &mut Findings) {
    for scheduled in survey.scheduled.iter().filter(|scheduled| !scheduled.against.is_empty()) {
        let plan = &scheduled.plan;
        let others = scheduled.against.join(", ");
        let message = format!(
            "{} is said to be scheduled at height {}, and not by {others}",
            text::name(&plan.name),
            plan.height
        );
        let help = "ask your own node, and drop whoever says something else";
        findings.error("endpoints-disagree", message, help);
    }
}
