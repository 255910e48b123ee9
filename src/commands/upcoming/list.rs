//! The list of upgrades to come, from what the chain said.

use serde::Serialize;

use super::moment::Moment;
use crate::{
    chain::survey::{SCHEDULED, Scheduled, Survey},
    decide::{
        agreement::Belief,
        event::{Action, Proposal, ProposalStatus},
        plan::{Artifact, Asks, BadName, Plan, Upgrade},
    },
};

/// Everything that is coming, soonest first. The field names are relied on by scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upcoming {
    /// The chain's id.
    pub chain_id: String,
    /// Its height.
    pub height: u64,
    /// That block's time.
    pub time: Moment,
    /// The height for which it is proven what is scheduled, or that nothing is; none where that was not proven.
    pub proven_height: Option<u64>,
    /// The upgrades.
    pub upgrades: Vec<Entry>,
    /// What nobody answered, and may be missing above.
    #[serde(skip)]
    pub unanswered: Vec<&'static str>,
}

/// One upgrade that is coming.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The plan's name.
    pub name: String,
    /// The plan's height.
    pub height: u64,
    /// How far it got.
    pub state: State,
    /// How far it can be believed that it is scheduled or proposed.
    pub belief: Belief,
    /// The proposal that asks for it, where one is known.
    pub proposal_id: Option<u64>,
    /// When its vote ends.
    pub voting_end_time: Option<Moment>,
    /// Blocks until the height.
    pub blocks_left: u64,
    /// When the height will come.
    pub eta: Option<EtaTimes>,
    /// What this machine would run.
    pub artifact: Option<Artifact>,
    /// What stands in the way.
    pub problem: Option<String>,
    /// The plan's info, as it is.
    pub info: String,
}

/// How far an upgrade got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its proposal collects its deposit.
    Deposit,
    /// Its proposal is voted on.
    Voting,
    /// Its proposal has passed.
    Passed,
    /// x/upgrade has it as the current plan.
    Scheduled,
    /// And its binary is in place.
    Staged,
}

/// An estimate of a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EtaTimes {
    /// The best guess.
    pub at: Moment,
    /// Not before.
    pub earliest: Moment,
    /// Not after.
    pub latest: Moment,
}

/// Lists what a survey shows. `upgrade_of` is what this machine makes of a plan, `staged` whether its binary is in place, or why
/// it cannot be used.
pub fn list(
    survey: &Survey,
    upgrade_of: impl Fn(Plan) -> Result<Upgrade, BadName>,
    staged: impl Fn(&Upgrade) -> Result<bool, String>,
) -> Upcoming {
    let entry = |plan: &Plan, state: State, proposal: Option<&Proposal>| {
        let (artifact, mut problem, in_place) = match upgrade_of(plan.clone()) {
            Ok(upgrade) => {
                let in_place = staged(&upgrade);
                let (artifact, problem) = artifact_and_problem(upgrade.asks);
                (artifact, in_place.clone().err().or(problem), in_place == Ok(true))
            }
            Err(error) => (None, Some(error.to_string()), false),
        };
        if plan.height < survey.height || plan.height == survey.height && state < State::Scheduled {
            problem = Some(format!("height {} is not ahead of the chain, which is at {}", plan.height, survey.height));
        }
        let eta = survey.pace.eta(plan.height, survey.as_of).filter(|_| plan.height > survey.height);
        Entry {
            name: plan.name.clone(),
            height: plan.height,
            state: if state == State::Scheduled && in_place { State::Staged } else { state },
            belief: Belief::Claimed,
            proposal_id: proposal.map(|proposal| proposal.id),
            voting_end_time: proposal.and_then(|proposal| proposal.voting_end).map(Moment::from_milliseconds),
            blocks_left: plan.height.saturating_sub(survey.height),
            eta: eta.map(|eta| EtaTimes {
                at: Moment::from_milliseconds(eta.at),
                earliest: Moment::from_milliseconds(eta.earliest),
                latest: Moment::from_milliseconds(eta.latest),
            }),
            artifact,
            problem,
            info: plan.info.clone(),
        }
    };
    let plans = survey.proposals.iter().flat_map(|proposal| {
        let scheduled = proposal.actions.iter().filter_map(|action| match action {
            Action::Schedule(plan) => Some(plan),
            Action::Cancel => None,
        });
        scheduled.map(move |plan| (plan, proposal))
    });
    let mut upgrades = Vec::new();
    for Scheduled { plan, belief, against, .. } in &survey.scheduled {
        // The newest proposal with this very plan is the one that scheduled it.
        let by = plans.clone().filter(|(other, proposal)| *other == plan && proposal.status == ProposalStatus::Passed);
        let by = by.map(|(_, proposal)| proposal).max_by_key(|proposal| proposal.id);
        let mut listed = entry(plan, State::Scheduled, by);
        listed.belief = *belief;
        if !against.is_empty() {
            let disputed = format!("contradicted by {}", against.join(", "));
            listed.problem = Some(listed.problem.map_or(disputed.clone(), |problem| format!("{problem}; {disputed}")));
        }
        upgrades.push(listed);
    }
    for (plan, proposal) in plans {
        let state = match proposal.status {
            ProposalStatus::Deposit => State::Deposit,
            ProposalStatus::Voting => State::Voting,
            ProposalStatus::Passed if survey.scheduled.iter().any(|scheduled| scheduled.plan == *plan) => continue,
            // What has passed and is behind the chain is history.
            ProposalStatus::Passed if plan.height <= survey.height => continue,
            ProposalStatus::Passed => State::Passed,
        };
        let mut listed = entry(plan, state, Some(proposal));
        if state == State::Passed && !survey.unanswered.contains(&SCHEDULED) {
            // Nothing comes at its height.
            listed.eta = None;
            listed.problem = Some(match survey.scheduled.first() {
                Some(Scheduled { plan: other, .. }) => {
                    format!("replaced: {:?} at height {} is scheduled now", other.name, other.height)
                }
                None => "not scheduled any more: the plan was cancelled".to_owned(),
            });
        }
        upgrades.push(listed);
    }
    upgrades.sort_by(|a, b| (a.height, b.state).cmp(&(b.height, a.state)));
    Upcoming {
        chain_id: survey.chain_id.clone(),
        height: survey.height,
        time: Moment::from_milliseconds(survey.time),
        proven_height: survey.proof.as_ref().map(|proof| proof.height),
        upgrades,
        unanswered: survey.unanswered.clone(),
    }
}

fn artifact_and_problem(asks: Asks) -> (Option<Artifact>, Option<String>) {
    match asks {
        Asks::Artifact(artifact) => (Some(artifact), None),
        // What the document lists is known once it is fetched.
        Asks::Document { .. } => (None, None),
        Asks::Nothing { reason } | Asks::Unusable { reason } => (None, Some(reason)),
    }
}
