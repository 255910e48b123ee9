//! What can happen: the only way in which the core learns anything.

use ::core::time::Duration;
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use super::{
    decision::{JobId, RunId},
    facts::{Facts, Fingerprint},
    plan::{Folder, Plan, Upgrade},
};

/// Something happened. The facts were sampled after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Monotonic time since the start of `watcher`. All deadlines use this clock.
    pub now: Duration,
    /// Wall clock, milliseconds since the Unix epoch. Only ever shown, or compared with block times.
    pub wall: u64,
    /// The home as it is now.
    pub facts: Facts,
    /// What happened.
    pub kind: Kind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Something may have changed on disk, or time has passed.
    Tick,
    /// A node process ended and was reaped.
    Exited {
        /// Which run of the node.
        run: RunId,
        /// How it ended.
        exit: NodeExit,
        /// What it said of its end, where it was listened to.
        words: Option<Words>,
    },
    /// A job ended. A result with an identity that is not awaited is dropped.
    JobDone {
        /// Which job.
        job: JobId,
        /// How it ended.
        outcome: Outcome,
    },
    /// An endpoint said something.
    Heard(Heard),
    /// Somebody asks `watcher` to stop, or sends it a signal for the node.
    Signal(Signal),
}

/// How a node process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeExit {
    /// It exited with this code.
    Code(i32),
    /// A signal with this number ended it.
    Signal(i32),
}

impl NodeExit {
    /// The exit code by which a shell would tell it: the node's own, or 128 and the signal's number.
    #[must_use]
    pub fn as_shell(self) -> u8 {
        match self {
            Self::Code(code) => u8::try_from(code).unwrap_or(u8::MAX),
            Self::Signal(number) => u8::try_from(number.saturating_add(128)).unwrap_or(u8::MAX),
        }
    }
}

/// What a node said before it ended that tells what is to run next: words of x/upgrade, of the SDK's base application and of
/// CometBFT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Words {
    /// `upgrade handler is missing for X`: X was applied to the data, and the binary does not know it.
    Needs(Folder),
    /// `BINARY UPDATED BEFORE TRIGGER`: the binary knows of an upgrade that was not applied to the data yet.
    TooNew(Folder),
    /// `UPGRADE X NEEDED at height: N`: the height of a plan has come that the binary does not know of.
    Due(u64),
    /// `halt per configuration height N`: `--halt-height` ended it.
    Halted(u64),
    /// What kept it from running lies outside the binary and its data, and the line that says so.
    Trouble(Trouble, String),
    /// `wrong Block.Header.AppHash`: the network came to another state than it.
    WrongAppHash,
    /// It said that it ends of something, and nothing of all this.
    Otherwise,
    /// Nothing of that, but how high its application is.
    At {
        /// What it had committed when the node began.
        began: u64,
        /// The highest block of which it said anything after that.
        reached: u64,
    },
}

/// What keeps a node from running that is neither its binary's fault nor its data's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// Another program listens at one of its addresses.
    PortInUse,
    /// Another process has its databases open.
    Locked,
    /// It has no room to write.
    DiskFull,
    /// The remote signer is not connected.
    SignerAway,
    /// `double_sign_check_height`: its key has signed one of the last blocks, perhaps elsewhere.
    DoubleSign,
}

/// Signals that reach `watcher` from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGHUP; the node gets SIGTERM, because a CometBFT node ignores SIGHUP.
    Hangup,
    /// SIGQUIT, which makes a Go program print its goroutines and exit.
    Quit,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It did what it was asked to do.
    Done,
    /// It did not, or only in part. Every job can be done again.
    Failed {
        /// What failed, for people, with the remedy where there is one.
        reason: String,
        /// Not before this time from now, where the other side said so (HTTP `Retry-After`).
        retry_after: Option<Duration>,
    },
    /// It was asked to stop and did.
    Cancelled,
    /// A node was started.
    Started,
    /// What the node answered when it was asked for its height.
    Answered(NodeAnswer),
    /// The app's `pre-upgrade` ended with this exit code; none for a signal.
    PreUpgrade(Option<i32>),
    /// Whether `--halt-height N` stops the current binary before it executes N; none where it cannot be told.
    HaltsBefore(Option<bool>),
    /// A binary was hashed.
    Weighed {
        /// The file, which did not change meanwhile.
        file: Fingerprint,
        /// Its SHA-256, lower-case hex.
        sha256: String,
    },
    /// How the own node stands beside the network.
    Compared(Comparison),
}

/// How the own node stands beside the network after an upgrade, as far as that was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The hash of its application's state, while that is at the upgrade's height.
    pub own: Option<String>,
    /// The hash that the next header names, and the endpoint that says so.
    pub theirs: Option<(String, String)>,
    /// Whether its validator signs blocks after that.
    pub signs: Signs,
}

/// Whether a validator's vote is in a commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signs {
    /// That was not answered.
    #[default]
    Unknown,
    /// This node votes on nothing.
    NoValidator,
    /// It is not.
    No,
    /// It is.
    Yes,
}

/// What the own node says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAnswer {
    /// `sync_info.latest_block_height` of `/status`; none where it did not answer.
    pub latest: Option<u64>,
    /// `last_block_height` of `/abci_info`: the last height that the application committed.
    pub committed: Option<u64>,
}

/// Which endpoint, by its place in the configuration. The own node is number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointId(pub u16);

/// The own node's endpoint.
pub const OWN_NODE: EndpointId = EndpointId(0);

/// Something an endpoint said. It may be wrong; it never moves the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Who said it.
    pub endpoint: EndpointId,
    /// What it said.
    pub news: News,
}

/// What an endpoint can say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// Where it is.
    Block {
        /// `latest_block_height` of `/status` or of a new block header.
        height: u64,
        /// That block's time, milliseconds since the Unix epoch.
        time: u64,
        /// Whether it is still catching up with the chain.
        catching_up: bool,
        /// `last_block_height` of its application, where it was asked.
        committed: Option<u64>,
    },
    /// Which node answers there, by its id.
    Node(String),
    /// The plan that is scheduled in x/upgrade.
    Scheduled {
        /// The height at which the store was read.
        height: u64,
        /// The plan; none where no upgrade is scheduled, or the scheduled one cannot be carried out.
        upgrade: Option<Upgrade>,
        /// Answer of `AppliedPlan` for the plan that was believed before, where it was asked: the height at which it was
        /// applied, 0 for never.
        applied: Option<(String, u64)>,
    },
    /// What was scheduled at a height, proven against a header that is trusted.
    Proven {
        /// The height.
        height: u64,
        /// Until then (milliseconds since the Unix epoch) it says what is, and later what was.
        until: u64,
        /// The plan; none as in [`News::Scheduled`].
        upgrade: Option<Upgrade>,
    },
    /// The proposals that concern upgrades.
    Proposals {
        /// All of them that are in deposit or voting period, or have passed for a height still to come.
        proposals: Vec<Proposal>,
    },
    /// It did not answer, or not so that it can be understood.
    Failed {
        /// What went wrong, for people.
        reason: String,
        /// Whether it does not answer at all, or not as an endpoint of this chain.
        silent: bool,
    },
}

/// A governance proposal that would schedule or cancel an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The proposal's number.
    pub id: u64,
    /// How far it got.
    pub status: ProposalStatus,
    /// End of the vote, milliseconds since the Unix epoch.
    pub voting_end: Option<u64>,
    /// What it would do, in the order of its messages.
    pub actions: Vec<Action>,
}

/// How far a proposal got; only those that can still lead to an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProposalStatus {
    /// Collecting its deposit.
    Deposit,
    /// Being voted on.
    Voting,
    /// Passed.
    Passed,
}

/// What a proposal's message would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Schedule this plan.
    Schedule(Plan),
    /// Cancel whatever is scheduled.
    Cancel,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_s_end_is_told_as_a_shell_tells_it() {
        let exits = [NodeExit::Code(3), NodeExit::Code(-1), NodeExit::Signal(9), NodeExit::Signal(i32::MAX)];
        assert_eq!(exits.map(NodeExit::as_shell), [3, 255, 137, 255]);
    }
}
