//! The node: a process, and the part of the data directory that is its own.

use watcher::decide::{decision::RunId, event::Words, facts::DataIdentity};

/// Heights in the node's databases. They are synced with each block.
#[derive(Debug, Clone, Copy)]
pub struct Data {
    /// The last block that the application committed.
    pub committed: u64,
    /// The last block in the block store: one more than committed at a halt.
    pub block: u64,
    /// The last height that the validator signed, 0 where it never did.
    pub signed: u64,
    /// Which they are, once a node has made its databases.
    pub identity: Option<DataIdentity>,
}

/// A node process.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone)]
pub struct Process {
    pub run: RunId,
    /// Number of its version: it has the handlers of so many upgrades.
    pub number: usize,
    pub phase: Phase,
    /// Counts its phases, so that a step which was planned for an earlier one is dropped.
    pub serial: u64,
    /// Whether the direct child of `watcher` still lives: the node itself, or the wrapper script around it.
    pub child: bool,
    pub wrapped: bool,
    /// It was told to end.
    pub ending: bool,
    /// Its `--halt-height`.
    pub halt: Option<u64>,
    /// Whether it is listened to.
    pub listened: bool,
    /// What was committed when it began.
    pub began: u64,
    /// What it says of its end, where that is more than how high it is.
    pub words: Option<Words>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its RPC is not up.
    Boots,
    /// It replays the upgrade's block in the handshake; its RPC is not up.
    Replays,
    /// It makes blocks.
    Runs,
    /// It is about to write upgrade-info.json: so many steps are done.
    Writes { steps: u8, booting: bool },
    /// It stands at the halt.
    Halted,
}

impl Process {
    pub fn answers(&self) -> bool {
        match self.phase {
            Phase::Boots | Phase::Replays => false,
            Phase::Writes { booting, .. } => !booting,
            Phase::Runs | Phase::Halted => true,
        }
    }
}
