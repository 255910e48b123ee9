//! What people should know. The core says each thing once; the shell turns it into a log line.

use ::core::{fmt, time::Duration};
use alloc::{format, string::String};

use super::{
    agreement::Belief,
    event::{Action, NodeExit, Proposal, ProposalStatus, Trouble},
    facts::{Failure, FailureState, Verdict, Version},
    knowledge::Dispute,
    orders::Exact,
    plan::{Folder, Plan, Upgrade},
    schedule::Urgency,
};

/// How loud a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody must act.
    Error,
}

/// Something worth telling an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A proposal that would schedule or cancel an upgrade is new or has moved on.
    Proposal(Proposal),
    /// Nothing comes of a proposal.
    Over(Proposal),
    /// An upgrade is scheduled on chain.
    Scheduled {
        /// Which.
        upgrade: Upgrade,
        /// Blocks until it, and the time they take.
        left: Option<(u64, Option<Duration>)>,
        /// How far that can be believed.
        belief: Belief,
        /// How many endpoints must say so before anything is fetched, where they do not yet.
        waits: Option<usize>,
    },
    /// Endpoints contradict each other.
    Disputed(Dispute),
    /// The binary of an upgrade to come runs already.
    RunsAlready {
        /// Which.
        plan: Plan,
        /// Where its binary is.
        folder: Folder,
    },
    /// An upgrade is not scheduled any more.
    Withdrawn(Plan),
    /// The binary for a scheduled upgrade is in place and its hash is right.
    Ready(Plan, Folder),
    /// A binary that the operator placed is used as it is.
    OperatorsOwn(Plan, Folder),
    /// The binary is not there and will not come by itself.
    Missing {
        /// For which plan.
        plan: Plan,
        /// Where it belongs.
        folder: Folder,
        /// Why it does not come by itself.
        reason: String,
        /// How near it is.
        urgency: Urgency,
        /// Blocks until the height, and the time they take.
        left: Option<(u64, Option<Duration>)>,
    },
    /// The plan is due, and its binary is there and not ready.
    NotWhole {
        /// For which plan.
        plan: Plan,
        /// Where it is.
        folder: Folder,
    },
    /// The plan is due: the swap begins.
    Due(Plan),
    /// `upgrade-info.json` is there and leads to nothing.
    Ignored {
        /// The plan in it.
        plan: Plan,
        /// Why.
        reason: &'static str,
    },
    /// `upgrade-info.json` cannot be understood.
    Unreadable(String),
    /// The node is told to skip an upgrade whose binary is linked already.
    SkipsTooLate(Plan),
    /// The plan in `upgrade-info.json` that an operator named for a later height is not there any more.
    Overwritten {
        /// Which.
        lost: Plan,
        /// What the node halted at and wrote instead.
        by: Plan,
    },
    /// The node has this block and has not executed it for a long time.
    Stands {
        /// Its height.
        height: u64,
    },
    /// The new binary committed the plan's height, and no block has come after it or the next.
    Still {
        /// The upgrade.
        plan: Plan,
        /// Where the node is.
        height: u64,
        /// For how long.
        minutes: u64,
    },
    /// The node stands at the height of this upgrade, and has not written `upgrade-info.json`.
    Unwritten(Plan),
    /// The new binary committed the plan's height.
    Passed(Plan),
    /// What the new binary has shown after that.
    Proven {
        /// The upgrade.
        plan: Plan,
        /// How far it is.
        verdict: Verdict,
    },
    /// The new binary came to another state than the network.
    Forked {
        /// The upgrade.
        plan: Plan,
        /// The hash of the own state.
        own: String,
        /// The hash in the network's next header.
        theirs: String,
        /// Who says so.
        by: String,
    },
    /// The new binary runs, and nobody has seen it commit the plan's height.
    Unseen {
        /// The upgrade.
        plan: Plan,
        /// For how long it runs.
        minutes: u64,
        /// The height that it names, where it answers.
        latest: Option<u64>,
    },
    /// The node ended.
    Ended(Version, NodeExit),
    /// The new binary ended before it committed the plan's height and is started again.
    StartsAgain {
        /// The upgrade.
        plan: Plan,
        /// Which attempt that was.
        attempt: u32,
        /// How long until the next start.
        pause: Duration,
    },
    /// Something outside the binary keeps the node from running; it is started again without counting.
    Waits {
        /// What.
        trouble: Trouble,
        /// The node's own words.
        said: String,
        /// How long until the next start.
        pause: Duration,
    },
    /// The node ended, and is not started again where a crash would be outlived: it would end the same way, or do harm.
    Hopeless {
        /// Why, in words that say what to do.
        why: String,
    },
    /// The node crashed and is started again.
    Crashed {
        /// Which crash in a row.
        crashes: u32,
        /// How many are outlived.
        most: u32,
        /// How long until the next start.
        pause: Duration,
    },
    /// It crashed too often in a row.
    CrashLoop {
        /// How often.
        crashes: u32,
    },
    /// An upgrade failed.
    UpgradeFailed {
        /// Which.
        plan: Plan,
        /// How, and what becomes of it.
        failure: Failure,
        /// Whether it can be taken back by hand, for people.
        way_back: String,
    },
    /// Something failed without which no node is started; it is tried again.
    StandsStill {
        /// The upgrade.
        plan: Plan,
        /// What was tried.
        what: &'static str,
        /// What went wrong.
        reason: String,
        /// What helps.
        remedy: &'static str,
    },
    /// An upgrade that failed is begun anew.
    GoesOn {
        /// Which.
        plan: Plan,
        /// Why.
        why: &'static str,
    },
    /// An upgrade that was taken back is not made at all: the node is told to skip its height.
    Dropped(Plan),
    /// A node that an earlier `watcher` left is stopped first.
    Stray,
    /// Something failed and will be tried again.
    Failed {
        /// What was tried.
        what: String,
        /// What went wrong.
        reason: String,
        /// When it is tried again.
        again: Duration,
    },
    /// A backup would not find its place, or no room in it.
    NoRoom {
        /// For which plan it is to be made.
        plan: Plan,
        /// What is in the way.
        reason: String,
    },
    /// Something failed and will not be tried again by itself.
    GivenUp {
        /// What was tried.
        what: String,
        /// What went wrong.
        reason: String,
    },
    /// The operator's brake holds up an upgrade that is due.
    Held {
        /// The upgrade.
        plan: Plan,
        /// Why, in the operator's words.
        reason: String,
    },
    /// An order of the operator cannot be read.
    OrderUnreadable(String),
    /// An upgrade in the operator's queue lies behind the node.
    Missed {
        /// The upgrade.
        plan: Plan,
        /// Where the node is.
        height: u64,
    },
    /// The old binary cannot be stopped before the exact height, or was not.
    NotExact {
        /// The order.
        exact: Exact,
        /// Why.
        reason: String,
    },
    /// The node is restarted because an order asks for it.
    Restarts {
        /// What for.
        why: &'static str,
    },
    /// A node that ended is started once more to hear why.
    Listens,
    /// Another version is chosen because the data need it.
    Chosen {
        /// Which.
        version: Version,
        /// What ran before.
        instead_of: Version,
    },
    /// `pre-upgrade` asked to be run again.
    PreUpgradeRetries {
        /// Which attempt failed, from 1.
        attempt: i64,
    },
    /// `pre-upgrade` ended with a code that means nothing in particular.
    PreUpgradeOdd(Option<i32>),
    /// What an endpoint says cannot be used; told when the reason changes.
    Endpoint {
        /// What it is called.
        endpoint: u16,
        /// What is wrong.
        reason: String,
    },
}

impl Note {
    /// How loud it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Missing { urgency, .. } if *urgency >= Urgency::Hours => Level::Error,
            Self::StartsAgain { .. }
            | Self::NotWhole { .. }
            | Self::Unreadable(_)
            | Self::Held { .. }
            | Self::GivenUp { .. }
            | Self::NoRoom { .. }
            | Self::NotExact { .. }
            | Self::UpgradeFailed { .. }
            | Self::StandsStill { .. }
            | Self::Forked { .. }
            | Self::Waits { .. }
            | Self::Crashed { .. }
            | Self::CrashLoop { .. }
            | Self::Hopeless { .. }
            | Self::Overwritten { .. }
            | Self::SkipsTooLate(_)
            | Self::Unwritten(_)
            | Self::Missed { .. } => Level::Error,
            Self::Missing { .. }
            | Self::Ignored { .. }
            | Self::Stray
            | Self::Failed { .. }
            | Self::PreUpgradeRetries { .. }
            | Self::PreUpgradeOdd(_)
            | Self::Unseen { .. }
            | Self::RunsAlready { .. }
            | Self::Stands { .. }
            | Self::Still { .. }
            | Self::Endpoint { .. }
            | Self::Disputed(_)
            | Self::OrderUnreadable(_)
            | Self::Listens
            | Self::Chosen { .. }
            | Self::GoesOn { .. }
            | Self::Dropped(_)
            | Self::Withdrawn(_) => Level::Warning,
            _ => Level::Info,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proposal(proposal) => {
                let state = match proposal.status {
                    ProposalStatus::Deposit => "collects its deposit",
                    ProposalStatus::Voting => "is being voted on",
                    ProposalStatus::Passed => "has passed",
                };
                describe(proposal, state, f)
            }
            Self::Over(proposal) => {
                let cancels = proposal.actions.iter().all(|action| *action == Action::Cancel);
                let state = if cancels {
                    "is over (carried out, rejected or withdrawn)"
                } else {
                    "is over, and nothing comes of it (rejected, withdrawn, or it could not be carried out)"
                };
                describe(proposal, state, f)
            }
            Self::Scheduled { upgrade, left, belief, waits } => {
                write!(f, "upgrade {} is scheduled{}; {belief}", Described(&upgrade.plan), Left(*left))?;
                match waits {
                    Some(quorum) => write!(f, ", and not fetched before {quorum} endpoints say so (WATCHER_QUORUM)"),
                    None => Ok(()),
                }
            }
            Self::Disputed(Dispute { plan, .. }) => {
                write!(f, "endpoints contradict each other on whether upgrade {} is scheduled", Described(plan))
            }
            Self::RunsAlready { plan, folder } => write!(
                f,
                "upgrade {} is to come, and upgrades/{folder} runs already: once the chain has scheduled it, a node of the SDK \
                 refuses to run with its binary (BINARY UPDATED BEFORE TRIGGER): until then point cosmovisor/current at the \
                 version before it, or at a build that does not know this upgrade",
                Described(plan)
            ),
            Self::Withdrawn(plan) => {
                write!(
                    f,
                    "upgrade {} is cancelled, replaced or rescheduled; what was staged for it is not used",
                    Described(plan)
                )
            }
            Self::Ready(plan, folder) => {
                write!(f, "upgrade {} is staged and verified in upgrades/{folder}", Described(plan))
            }
            Self::OperatorsOwn(plan, folder) => write!(
                f,
                "upgrade {}: upgrades/{folder} holds a binary without a receipt; it is taken as yours and used as it is",
                Described(plan)
            ),
            Self::Missing { plan, folder, reason, left, .. } => write!(
                f,
                "upgrade {}{} has no binary: place it at $DAEMON_HOME/cosmovisor/upgrades/{folder}/bin/$DAEMON_NAME ({reason})",
                Described(plan),
                Left(*left)
            ),
            Self::NotWhole { plan, folder } => write!(
                f,
                "upgrade {} is due and waits for what lies in upgrades/{folder}: it is still being copied, its copy broke off, it \
                 may not be executed, or its watcher.toml cannot be understood",
                Described(plan)
            ),
            Self::Due(plan) => write!(f, "upgrade {} is due", Described(plan)),
            Self::Ignored { plan, reason } => {
                write!(f, "data/upgrade-info.json asks for upgrade {}: {reason}", Described(plan))
            }
            Self::Unreadable(reason) => write!(f, "data/upgrade-info.json cannot be read: {reason}"),
            Self::SkipsTooLate(plan) => write!(
                f,
                "the node is told to skip upgrade {} (--unsafe-skip-upgrades), whose binary is linked already and would run on \
                 data without its migration: `watcher rollback` goes back first; else leave the flag out",
                Described(plan)
            ),
            Self::Overwritten { lost, by } => write!(
                f,
                "upgrade {}, named by hand, is not carried out: the node wrote upgrade {} over it; name it again \
                 (`watcher add-upgrade --upgrade-height`)",
                Described(lost),
                Described(by)
            ),
            Self::Stands { height } => write!(
                f,
                "the node has block {height} and has not executed it for a minute: where it failed at it (its log says CONSENSUS \
                 FAILURE) or was told to stop there (halt-height), it makes no block until that is mended and it is restarted"
            ),
            Self::Still { plan, height, minutes } => write!(
                f,
                "upgrade {} has passed, and no block came after height {height} for {minutes} min: the network may be waiting for two \
                 thirds to upgrade, or the node failed and stays up (its log says CONSENSUS FAILURE), until that is mended and it \
                 is restarted; nothing is taken back by itself",
                Described(plan)
            ),
            Self::Unwritten(plan) => write!(
                f,
                "the node stands at the height of upgrade {} and has not written data/upgrade-info.json, before which nothing is \
                 switched: its log says why; where it may not write there, the disk is full, or it was told to stop there (halt-height), \
                 mend that and restart it",
                Described(plan)
            ),
            Self::Passed(plan) => write!(f, "upgrade {} has passed: its height is committed", Described(plan)),
            Self::Proven { plan, verdict } => write!(f, "upgrade {}: {verdict}", Described(plan)),
            Self::Forked { plan, own, theirs, by } => write!(
                f,
                "upgrade {} has forked: after it the own state is {own}, and {by} says that the network's is {theirs}; nothing \
                 is taken back by itself: compare the binary with what others run",
                Described(plan)
            ),
            Self::Unseen { plan, minutes, latest } => {
                let plan = Described(plan);
                write!(
                    f,
                    "upgrade {plan}: the new binary runs for {minutes} min and was not seen to commit that height: "
                )?;
                match latest {
                    Some(latest) => {
                        write!(f, "it is at height {latest}, and the network may be waiting for two thirds to upgrade")
                    }
                    None => f.write_str("it does not answer at its RPC address, and may be migrating its data"),
                }
            }
            Self::Ended(version, exit) => write!(f, "the node ({version}) ended: {exit}"),
            Self::StartsAgain { plan, attempt, pause } => write!(
                f,
                "upgrade {}: the new binary ended before it was seen to commit the height, start {} follows in {pause:?}",
                Described(plan),
                attempt + 1
            ),
            Self::Waits { trouble, said, pause } => {
                write!(f, "the node cannot run: {trouble} ({said}); it is started again in {pause:?}")
            }
            Self::Crashed { crashes, most, pause } => {
                write!(f, "the node crashed and is started again in {pause:?}: restart {crashes} of {most} in a row")
            }
            Self::Hopeless { why } => {
                write!(
                    f,
                    "the node ended and is not started again (WATCHER_RESTART_ON_CRASH is for what may pass): {why}"
                )
            }
            Self::CrashLoop { crashes } => {
                write!(
                    f,
                    "the node crashed {crashes} times in a row and is not started again (WATCHER_RESTART_ON_CRASH)"
                )
            }
            Self::UpgradeFailed { plan, failure, way_back } => {
                write!(f, "upgrade {} failed: {}; {}{way_back}", Described(plan), failure.reason, failure.state)
            }
            Self::StandsStill { plan, what, reason, remedy } => write!(
                f,
                "upgrade {} stands still without a node: {what} failed: {reason}; it is tried again and again: {remedy}",
                Described(plan)
            ),
            Self::GoesOn { plan, why } => write!(f, "upgrade {} goes on: {why}", Described(plan)),
            Self::Dropped(plan) => write!(
                f,
                "upgrade {} is given up: the node is told to skip its height (--unsafe-skip-upgrades)",
                Described(plan)
            ),
            Self::Stray => f.write_str("a node runs on although what started it has ended; it is stopped first"),
            Self::Failed { what, reason, again } => {
                write!(f, "{what} failed and is tried again in {again:?}: {reason}")
            }
            Self::NoRoom { plan, reason } => write!(
                f,
                "the backup for upgrade {} cannot be made, and the node is not stopped before it can: {reason}",
                Described(plan)
            ),
            Self::GivenUp { what, reason } => write!(f, "{what} failed: {reason}"),
            Self::Held { plan, reason } => {
                let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
                write!(
                    f,
                    "upgrade {} is due and held by the operator{reason}: nothing is switched until `watcher release`",
                    Described(plan)
                )
            }
            Self::Missed { plan, height } => write!(
                f,
                "upgrade {} is queued in data/upgrade-info.json.batch, and the node is at height {height}: it is not carried \
                 out; take it from the file, or restore older data",
                Described(plan)
            ),
            Self::NotExact { exact: Exact { folder, height, .. }, reason } => write!(
                f,
                "upgrade {folder} was to be swapped in before height {height} is executed, and cannot be: {reason}; name a later \
                 height (`add-upgrade --force --exact`), or leave out --exact"
            ),
            Self::Restarts { why } => write!(f, "the node is restarted {why}"),
            Self::Listens => {
                f.write_str("the node ended and may have said why: it is started once more, and listened to")
            }
            Self::Chosen { version, instead_of } => {
                write!(f, "the data were replaced and need {version}: it runs instead of {instead_of}")
            }
            Self::PreUpgradeRetries { attempt } => {
                write!(f, "pre-upgrade command failed. retrying (attempt {attempt})")
            }
            Self::PreUpgradeOdd(Some(code)) => {
                write!(
                    f,
                    "pre-upgrade ended with exit code {code}, which means nothing to watcher; the upgrade goes on"
                )
            }
            Self::PreUpgradeOdd(None) => f.write_str("pre-upgrade was ended by a signal; the upgrade goes on"),
            Self::Endpoint { reason, .. } | Self::OrderUnreadable(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Genesis => f.write_str("genesis"),
            Self::Upgrade(folder) => write!(f, "upgrades/{folder}"),
            Self::Elsewhere(path) => f.write_str(path),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "its height is not committed",
            Self::Passed => "its height is committed",
            Self::Agreed => "the state after it is the network's",
            Self::Signing => "the validator signs again",
            Self::Forked => "the state after it is not the network's",
            Self::Skipped => "the node went on without it",
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PortInUse => "another program listens at one of its addresses",
            Self::Locked => "another process has its databases open",
            Self::DiskFull => "a disk is full and needs room",
            Self::SignerAway => "its remote signer is not connected",
            Self::DoubleSign => {
                "its key has signed one of the last blocks (double_sign_check_height): make sure that no other node signs with \
                 it, and start again some blocks later"
            }
        })
    }
}

impl fmt::Display for FailureState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => {
                "everything is left as it is and no node is started, until its binary is replaced or `watcher resume` is given"
            }
            Self::Retrying => "data and configuration are brought back as they were before it, and it is begun once more",
            Self::RollingBack => "data, configuration and `current` are brought back as they were before it",
            Self::RolledBack => {
                "data, configuration and `current` are as before it and no node is started, until its binary is replaced, \
                 `watcher resume` is given, or the node is told to skip its height (--unsafe-skip-upgrades)"
            }
        })
    }
}

/// Linux's signals from the first on, in Go's words, which people search for.
const SIGNALS: [&str; 15] = [
    "hangup",
    "interrupt",
    "quit",
    "illegal instruction",
    "trace/breakpoint trap",
    "aborted",
    "bus error",
    "floating point exception",
    "killed",
    "user defined signal 1",
    "segmentation fault",
    "user defined signal 2",
    "broken pipe",
    "alarm clock",
    "terminated",
];

impl fmt::Display for NodeExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(number) => match usize::try_from(*number - 1).ok().and_then(|place| SIGNALS.get(place)) {
                Some(name) => write!(f, "signal: {name}"),
                None => write!(f, "signal: signal {number}"),
            },
        }
    }
}

/// A plan as people say it. Its name comes from the chain and may hold anything of any length, so it is quoted and cut.
struct Described<'a>(&'a Plan);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 200;
        let Plan { name, height, .. } = self.0;
        match name.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "{:?}… at height {height}", &name[..end]),
            None => write!(f, "{name:?} at height {height}"),
        }
    }
}

/// A proposal, its state, and what it would do.
fn describe(proposal: &Proposal, state: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "proposal {} {state}:", proposal.id)?;
    for (index, action) in proposal.actions.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        match action {
            Action::Schedule(plan) => write!(f, "{separator} upgrade {}", Described(plan))?,
            Action::Cancel => write!(f, "{separator} cancels the scheduled upgrade")?,
        }
    }
    Ok(())
}

struct Left(Option<(u64, Option<Duration>)>);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some((blocks, None)) => write!(f, ", {blocks} blocks from now"),
            Some((blocks, Some(time))) => write!(f, ", {blocks} blocks from now (about {})", Rough(time)),
        }
    }
}

/// A duration in the two units that matter.
pub struct Rough(
    /// The duration.
    pub Duration,
);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3_600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            3_600..86_400 => write!(f, "{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
            _ => write!(f, "{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
        }
    }
}

#[cfg(test)]
mod tests;
