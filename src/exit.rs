//! How the program ends: every exit code, once.

use std::fmt;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// 0: fine.
    Fine,
    /// 1: failed.
    Failed,
    /// 2: `check` found what would break the upgrade, `migrate-check` what would break the move.
    NotReady,
    /// 3: `check` could not tell, because no endpoint answered.
    Unknown,
    /// 64: the command line or the configuration is wrong (`EX_USAGE`).
    Usage,
    /// 130: somebody pressed Ctrl-C, as shells count it; only `check`, `demo` and a restore by hand end so.
    Interrupted,
    /// The node's own, as shells count it (`WATCHER_PASS_EXIT_CODE`).
    AsTheNode(u8),
    /// 75: an upgrade failed and is held or rolled back (`EX_TEMPFAIL`).
    UpgradeFailed,
}

impl Ending {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::NotReady => 2,
            Self::Unknown => 3,
            Self::Usage => 64,
            Self::UpgradeFailed => 75,
            Self::Interrupted => 130,
            Self::AsTheNode(code) => code,
        }
    }
}

/// A failure whose exit code is another than 1.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// How the program ends.
    pub ending: Ending,
    /// What is told.
    pub reason: String,
}

/// What went wrong and why, for people; most texts say their cause themselves.
#[must_use]
pub fn told(error: &anyhow::Error) -> String {
    let and_why = |said: String, cause: String| if said.ends_with(&cause) { said } else { format!("{said}: {cause}") };
    error.chain().map(ToString::to_string).reduce(and_why).unwrap_or_default()
}

impl Failure {
    /// The command line or the configuration is wrong.
    #[must_use]
    pub fn usage(reason: impl fmt::Display) -> anyhow::Error {
        Self { ending: Ending::Usage, reason: format!("{reason:#}") }.into()
    }
}
