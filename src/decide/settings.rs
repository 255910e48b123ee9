//! What the operator chose, as far as decisions depend on it.

use ::core::time::Duration;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The operator's choices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `DAEMON_ALLOW_DOWNLOAD_BINARIES`.
    pub downloads: bool,
    /// `DAEMON_RESTART_AFTER_UPGRADE`.
    pub restart_after_upgrade: bool,
    /// `DAEMON_RESTART_DELAY`: between the node's end and the backup.
    pub restart_delay: Duration,
    /// `DAEMON_SHUTDOWN_GRACE`: between SIGTERM and SIGKILL of a stop that `watcher` itself wants.
    pub shutdown_grace: Duration,
    /// `DAEMON_POLL_INTERVAL`: how often the disk is looked at where no event tells of a change.
    pub poll_interval: Duration,
    /// `DAEMON_PREUPGRADE_MAX_RETRIES`: how often `pre-upgrade` is run again after exit code 31.
    pub pre_upgrade_retries: i64,
    /// Whether `COSMOVISOR_CUSTOM_PREUPGRADE` names a script.
    pub custom_hook: bool,
    /// Heights after `--unsafe-skip-upgrades`: the node skips these upgrades, so they are none for us.
    pub skip_heights: Vec<u64>,
    /// `WATCHER_UPGRADE_MAX_RESTARTS`: how often a new binary that fails before the plan's height is started again.
    pub upgrade_restarts: u32,
    /// `WATCHER_ON_UPGRADE_FAILURE`: what follows then.
    pub on_upgrade_failure: OnFailure,
    /// `WATCHER_RESTART_ON_CRASH`: how often in a row a node that crashes outside an upgrade is started again.
    pub crash_restarts: u32,
    /// `WATCHER_QUORUM`: how many endpoints must say the same before what the own node does not say is fetched.
    pub quorum: usize,
    /// Longest random delay before a download that is not urgent; zero switches it off.
    pub jitter: Duration,
    /// A random number, drawn once at the start of `watcher`, for the jitter.
    pub seed: u64,
}

/// What follows when the new binary failed for good before the plan's height was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// Leave, as cosmovisor does; the next start tries again.
    Leave,
    /// Leave everything as it is, and wait for another binary or a word of the operator.
    Hold,
    /// Begin once more from the backup, then hold.
    Retry,
    /// Bring data, configuration and `current` back as they were, and start nothing.
    Rollback,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            downloads: false,
            restart_after_upgrade: true,
            restart_delay: Duration::ZERO,
            shutdown_grace: Duration::from_mins(2),
            poll_interval: Duration::from_millis(300),
            pre_upgrade_retries: 0,
            custom_hook: false,
            skip_heights: Vec::new(),
            upgrade_restarts: 3,
            on_upgrade_failure: OnFailure::Hold,
            crash_restarts: 0,
            quorum: 1,
            jitter: Duration::from_mins(10),
            seed: 0,
        }
    }
}
