//! The chain as a pure state machine: heights, votes, and x/upgrade's rules. It knows no clock, no disk and no network,
//! so that a test can walk it through any history in microseconds. A block is first saved by the consensus engine and
//! then applied by the application: between the two lies every upgrade's halt.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decide::plan::Plan;

/// How many block times are kept; older blocks are pruned, as nodes do.
const KEPT_BLOCKS: usize = 1000;

/// A chain with one validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The chain's name, `network` in `/status`.
    pub chain_id: String,
    /// Milliseconds from one block to the next.
    pub block_time: u64,
    /// The height of the last block that the consensus engine saved: what `/status` says.
    pub saved: u64,
    /// The height of the last block that the application committed: what `/abci_info` says.
    pub committed: u64,
    /// The scheduled upgrade.
    pub plan: Option<Plan>,
    /// At which height each upgrade was applied.
    pub applied: BTreeMap<String, u64>,
    /// Every proposal, those yet to be submitted included; a proposal's number is its place, counted from 1.
    pub proposals: Vec<Proposal>,
    /// The times of the last blocks, milliseconds since the Unix epoch; the last one belongs to `saved`.
    times: Vec<u64>,
}

/// A proposal and its course, which is settled before the chain starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// What it does where it passes.
    pub action: Action,
    /// The height at which it is submitted.
    pub submit_at: u64,
    /// The height at which its deposit is complete and the vote begins.
    pub vote_at: u64,
    /// How long the vote takes, milliseconds; it ends with the first block at or after that time.
    pub voting_period: u64,
    /// Whether the validator votes yes.
    pub approved: bool,
    /// Where it stands.
    #[serde(default)]
    pub stage: Stage,
    /// The time of the block that holds it, milliseconds since the Unix epoch; 0 before.
    #[serde(default)]
    pub submitted: u64,
    /// When the vote began, milliseconds since the Unix epoch; 0 before.
    #[serde(default)]
    pub voting_start: u64,
}

/// What a proposal does where it passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// `MsgSoftwareUpgrade`; a plan that was scheduled before is replaced.
    Schedule(Plan),
    /// `MsgCancelUpgrade`.
    Cancel,
}

/// Where a proposal stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nobody has submitted it yet.
    #[default]
    Unsubmitted,
    /// It gathers its deposit.
    Deposit,
    /// The vote runs.
    Voting,
    /// It passed and was carried out.
    Passed,
    /// It did not pass.
    Rejected,
    /// It passed, and could not be carried out for this reason.
    Failed(String),
}

/// Why the application does not apply a block. The texts are those that nodes log, and that people search logs for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The plan is due, and this binary has no handler for it.
    #[error("UPGRADE {:?} NEEDED at height: {}: {}", .0.name, .0.height, .0.info)]
    Needed(Plan),
    /// The plan is not due, and this binary has a handler for it already.
    #[error(
        "BINARY UPDATED BEFORE TRIGGER! UPGRADE {0:?} - in binary but not executed on chain. Downgrade your binary"
    )]
    TooEarly(String),
    /// An upgrade was applied that this binary does not know.
    #[error("wrong app version 0, upgrade handler is missing for {0} upgrade plan")]
    TooOld(String),
}

impl Proposal {
    /// A proposal to upgrade that passes: submitted at `submit_at`, its vote begins at once.
    #[must_use]
    pub fn upgrade(plan: Plan, submit_at: u64, voting_period: u64) -> Self {
        Self {
            action: Action::Schedule(plan),
            submit_at,
            vote_at: submit_at,
            voting_period,
            approved: true,
            stage: Stage::Unsubmitted,
            submitted: 0,
            voting_start: 0,
        }
    }
}

impl Chain {
    /// A chain that has no block yet.
    #[must_use]
    pub fn new(chain_id: &str, block_time: u64, proposals: Vec<Proposal>) -> Self {
        Self {
            chain_id: chain_id.into(),
            block_time,
            saved: 0,
            committed: 0,
            plan: None,
            applied: BTreeMap::new(),
            proposals,
            times: Vec::new(),
        }
    }

    /// The consensus engine decides and saves the next block, at `now` (milliseconds since the Unix epoch) or, where the
    /// clock stands still or goes back, a millisecond after the block before.
    pub fn save(&mut self, now: u64) {
        debug_assert_eq!(self.saved, self.committed, "the engine decides one block at a time");
        self.saved += 1;
        self.times.push(now.max(self.times.last().map_or(0, |last| last + 1)));
        if self.times.len() > KEPT_BLOCKS {
            self.times.remove(0);
        }
    }

    /// The application applies the saved block with a binary that has `handlers`. Gives the upgrade it applied, if any.
    ///
    /// # Errors
    /// As x/upgrade does at the start of a block: see [`Halt`]. The block stays saved and is not committed.
    pub fn apply(&mut self, handlers: &[String]) -> Result<Option<Plan>, Halt> {
        let knows = |name: &str| handlers.iter().any(|handler| handler == name);
        let due = self.plan.take_if(|plan| plan.height <= self.saved && knows(&plan.name));
        match (&due, &self.plan) {
            (Some(plan), _) => {
                self.applied.insert(plan.name.clone(), self.saved);
            }
            (None, Some(plan)) if plan.height <= self.saved => return Err(Halt::Needed(plan.clone())),
            (None, Some(plan)) if knows(&plan.name) => return Err(Halt::TooEarly(plan.name.clone())),
            _ => {
                let last = self.applied.iter().max_by_key(|(_, height)| **height);
                if let Some((name, _)) = last.filter(|(name, _)| !knows(name)) {
                    return Err(Halt::TooOld(name.clone()));
                }
            }
        }
        self.govern();
        self.committed = self.saved;
        Ok(due)
    }

    /// The time of a block that is still kept, milliseconds since the Unix epoch.
    #[must_use]
    pub fn time(&self, height: u64) -> Option<u64> {
        let place = height.checked_sub(self.earliest())?;
        self.times.get(usize::try_from(place).ok()?).copied()
    }

    /// The lowest height that is still kept; 1 before the first block.
    #[must_use]
    pub fn earliest(&self) -> u64 {
        self.saved + 1 - self.times.len() as u64
    }

    /// The proposals that were submitted, with their numbers.
    pub fn submitted(&self) -> impl Iterator<Item = (u64, &Proposal)> {
        (1..).zip(&self.proposals).filter(|(_, it)| it.stage != Stage::Unsubmitted)
    }

    /// What x/gov does at the end of a block.
    fn govern(&mut self) {
        let now = self.time(self.saved).expect("the block being applied was just saved");
        for number in 0..self.proposals.len() {
            let proposal = &mut self.proposals[number];
            if proposal.stage == Stage::Unsubmitted && proposal.submit_at <= self.saved {
                (proposal.stage, proposal.submitted) = (Stage::Deposit, now);
            }
            if proposal.stage == Stage::Deposit && proposal.vote_at <= self.saved {
                (proposal.stage, proposal.voting_start) = (Stage::Voting, now);
            }
            if proposal.stage == Stage::Voting && proposal.voting_start + proposal.voting_period <= now {
                self.proposals[number].stage = if proposal.approved {
                    let action = proposal.action.clone();
                    self.carry_out(action).map_or_else(Stage::Failed, |()| Stage::Passed)
                } else {
                    Stage::Rejected
                };
            }
        }
    }

    fn carry_out(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Schedule(plan) if plan.height <= self.saved => {
                Err("upgrade cannot be scheduled in the past".into())
            }
            Action::Schedule(plan) if self.applied.contains_key(&plan.name) => {
                Err(format!("upgrade with name {} has already been completed", plan.name))
            }
            Action::Schedule(plan) => {
                self.plan = Some(plan);
                Ok(())
            }
            Action::Cancel => {
                self.plan = None;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str, height: u64) -> Plan {
        Plan { name: name.into(), height, info: "where to find it".into() }
    }

    /// One block a second.
    fn block(chain: &mut Chain, handlers: &[&str]) -> Result<Option<Plan>, Halt> {
        if chain.saved == chain.committed {
            chain.save(1000 * (chain.saved + 1));
        }
        chain.apply(&handlers.iter().map(|name| String::from(*name)).collect::<Vec<_>>())
    }

    fn run_to(chain: &mut Chain, height: u64, handlers: &[&str]) {
        while chain.committed < height {
            block(chain, handlers).unwrap();
        }
    }

    #[test]
    fn a_vote_schedules_a_plan_and_the_old_binary_halts_at_its_height() {
        let mut chain = Chain::new("demo-1", 1000, vec![Proposal::upgrade(plan("v2", 12), 3, 5000)]);
        run_to(&mut chain, 2, &[]);
        assert_eq!(chain.submitted().count(), 0);
        run_to(&mut chain, 3, &[]);
        assert_eq!(chain.proposals[0].stage, Stage::Voting);
        run_to(&mut chain, 7, &[]);
        assert_eq!((&chain.proposals[0].stage, &chain.plan), (&Stage::Voting, &None));
        run_to(&mut chain, 8, &[]);
        assert_eq!((&chain.proposals[0].stage, &chain.plan), (&Stage::Passed, &Some(plan("v2", 12))));
        run_to(&mut chain, 11, &[]);
        for _ in 0..2 {
            let halt = block(&mut chain, &[]).unwrap_err();
            assert_eq!(halt.to_string(), "UPGRADE \"v2\" NEEDED at height: 12: where to find it");
            assert_eq!((chain.saved, chain.committed), (12, 11));
        }
        assert_eq!(block(&mut chain, &["v2"]), Ok(Some(plan("v2", 12))));
        assert_eq!((chain.committed, chain.applied["v2"], &chain.plan), (12, 12, &None));
        run_to(&mut chain, 20, &["v2"]);
        assert_eq!(block(&mut chain, &[]), Err(Halt::TooOld("v2".into())));
    }

    #[test]
    fn a_binary_that_comes_early_is_refused_from_the_moment_its_plan_is_scheduled() {
        let mut chain = Chain::new("demo-1", 1000, vec![Proposal::upgrade(plan("v2", 12), 1, 3000)]);
        run_to(&mut chain, 4, &["v2"]);
        assert_eq!(block(&mut chain, &["v2"]), Err(Halt::TooEarly("v2".into())));
        assert_eq!(block(&mut chain, &[]), Ok(None));
    }

    #[test]
    fn proposals_are_rejected_replaced_cancelled_and_fail_as_in_the_gov_module() {
        let rejected = Proposal { approved: false, ..Proposal::upgrade(plan("no", 50), 1, 1000) };
        let cancel = Proposal { action: Action::Cancel, ..Proposal::upgrade(plan("", 0), 8, 1000) };
        let slow = Proposal { vote_at: 5, ..Proposal::upgrade(plan("v3", 40), 2, 1000) };
        let late = Proposal::upgrade(plan("late", 12), 11, 1000);
        let first = Proposal::upgrade(plan("v2", 30), 1, 1000);
        let mut chain = Chain::new("demo-1", 1000, vec![rejected, first, slow, cancel, late]);
        run_to(&mut chain, 2, &[]);
        assert_eq!(chain.proposals[0].stage, Stage::Rejected);
        assert_eq!((&chain.plan, &chain.proposals[2].stage), (&Some(plan("v2", 30)), &Stage::Deposit));
        run_to(&mut chain, 6, &[]);
        assert_eq!(chain.plan, Some(plan("v3", 40)));
        run_to(&mut chain, 9, &[]);
        assert_eq!(chain.plan, None);
        run_to(&mut chain, 12, &[]);
        assert_eq!(chain.proposals[4].stage, Stage::Failed("upgrade cannot be scheduled in the past".into()));
    }

    #[test]
    fn old_blocks_are_pruned_and_time_never_stands_still() {
        let mut chain = Chain::new("demo-1", 1000, vec![]);
        for _ in 0..KEPT_BLOCKS + 10 {
            chain.save(5);
            chain.apply(&[]).unwrap();
        }
        assert_eq!((chain.earliest(), chain.time(10), chain.time(11)), (11, None, Some(15)));
        assert_eq!((chain.time(chain.saved), chain.time(chain.saved + 1)), (Some(1014), None));
    }
}
