//! What is to be done: plain data that the shell carries out to the letter.

use ::core::time::Duration;
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use super::{
    event::{EndpointId, NodeExit, Signal},
    facts::{Fingerprint, Receipt, Record, Version},
    note::Note,
    orders::Exact,
    plan::{Folder, Plan, Upgrade},
};

/// Names one start of the node. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub u64);

/// Names one job. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u64);

/// What to do now. At most one new job a lane, one signal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// A job that touches the home or the node; only one is under way at a time.
    pub home: Option<(JobId, HomeJob)>,
    /// A job that fetches or hashes, beside the other lane.
    pub fetch: Option<(JobId, FetchJob)>,
    /// Jobs that are no longer wanted. A wish: the lane is free only when the job says so.
    pub cancel: Vec<JobId>,
    /// A signal for the node that is running.
    pub signal: Option<NodeSignal>,
    /// What people should know, once.
    pub notes: Vec<Note>,
    /// Decide again at this time (on the event's monotonic clock), whatever happens.
    pub wake: Option<Duration>,
    /// Leave, once everything above is carried out.
    pub exit: Option<Exit>,
    /// How closely the chain is to be followed from now on.
    pub attention: Attention,
}

/// How closely the chain is followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Attention {
    /// Nothing is near: ask other people's endpoints now and then.
    #[default]
    Relaxed,
    /// A vote ends, a height is near, or an upgrade is under way: look at every block.
    EveryBlock,
}

/// A signal on its way to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeSignal {
    /// Passed on from outside.
    Forward(Signal),
    /// SIGKILL: the second request to stop, or a deadline.
    Kill,
}

/// How near the height of an upgrade is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approach {
    /// Hours or days away, as far as is known.
    Far,
    /// It comes in the next blocks.
    Near,
    /// It is due.
    There,
}

/// Jobs on the home and the node, in the order of the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HomeJob {
    /// Ask the node for its height: its RPC first, then `<current binary> status`.
    Ask,
    /// Ask the node's RPC alone, again and again, until it answers for the first time: a node serves it before it takes a
    /// block from a peer.
    Greet,
    /// Write the record.
    Remember(Record),
    /// Move a stored artifact to `upgrades/<folder>/`.
    Place {
        /// What is in the store.
        receipt: Receipt,
        /// For which upgrade; its plan goes into the receipt.
        upgrade: Upgrade,
    },
    /// Move what `watcher` placed in a folder out of the way; it is kept.
    SetAside(Folder),
    /// Write the receipt of a placed binary anew, for the same artifact under a changed plan.
    Renew {
        /// Where.
        folder: Folder,
        /// The new content.
        receipt: Receipt,
    },
    /// Send SIGTERM, after the limit SIGKILL, and wait until the node is reaped.
    Stop {
        /// Which run.
        run: RunId,
        /// How long it may take.
        grace: Duration,
    },
    /// Stop the node that an earlier `watcher` left behind: found by the lock it holds.
    StopStray {
        /// How long it may take.
        grace: Duration,
    },
    /// Look whether a backup for this plan would find its place and room for it: asked while the node still runs.
    Room {
        /// The plan.
        plan: Plan,
        /// Where its height is.
        approach: Approach,
    },
    /// Copy the data directory.
    BackUp(Plan),
    /// Run the operator's script `COSMOVISOR_CUSTOM_PREUPGRADE`.
    CustomHook(Plan),
    /// Write the marker, then point `current` at the folder by one rename.
    Switch {
        /// Where to.
        folder: Folder,
        /// Why.
        plan: Plan,
    },
    /// Run `pre-upgrade` of the binary that `current` points at.
    AppHook,
    /// Start the binary that `current` points at (it is made to point at genesis where it is absent).
    Start {
        /// The identity of the new run.
        run: RunId,
        /// The version that is expected there; nothing else is started.
        version: Version,
        /// The `--halt-height` that it is given besides its arguments.
        halt: Option<u64>,
        /// What it says is listened to on its way out, because its data are of unknown origin.
        listen: bool,
    },
    /// Tell whether the current binary's `--halt-height N` stops before N is executed (SDK 0.50) or after it.
    Generation,
    /// Write `upgrade-info.json` in the operator's name.
    Name {
        /// The next upgrade of their queue.
        plan: Plan,
        /// The file that it takes the place of; any other, which a node may have just written, stays.
        over: Option<Fingerprint>,
    },
    /// Take out of the operator's queue what has passed; what was added meanwhile stays.
    Unqueue(Plan),
    /// Write down that the old binary executed the height before which it was to stop.
    Missed(Exact),
    /// Point `current` at the version that restored data need.
    Choose(Version),
    /// Put the operator's replacement of a binary in its place; the old file is kept.
    Replace(Version),
    /// Hash the binary in a folder under `upgrades/`.
    Weigh(Folder),
    /// Bring data and configuration back as they were before this upgrade; what is there now is kept under another name.
    Restore(Plan),
    /// Write the record of an upgrade that failed anew, to last, and take the operator's word on it back: it is obeyed.
    Heed(Record),
}

/// Jobs beside the home lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchJob {
    /// Fetch, verify and unpack into the store.
    Fetch {
        /// For which upgrade.
        upgrade: Upgrade,
        /// The endpoint that told of it; none for the node's own `data/upgrade-info.json`.
        source: Option<EndpointId>,
    },
    /// Hash a placed binary and hold it against its receipt: renew the receipt's fingerprint where it is the same,
    /// and where it is not, drop the receipt (the file is the operator's) or, where nobody changed it on purpose, set it aside.
    Verify(Folder),
    /// Compare the state after this height with the network's, and ask whether the validator signs.
    Compare(u64),
}

/// How `watcher run` ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// The node exited 0, or a stop was asked for and the node exited 0.
    Fine,
    /// The node failed by itself.
    NodeEnded(NodeExit),
    /// There is no node to run, or it cannot be run; the text says why.
    NodeFailed(String),
    /// An upgrade cannot go on; the text says why.
    UpgradeFailed(String),
}
