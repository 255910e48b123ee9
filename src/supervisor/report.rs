//! Notes become log lines.

use crate::decide::{
    event::NodeExit,
    note::{Level, Note},
};

/// Logs a note at its level. What people search for in cosmovisor's words has them.
pub(super) fn note(note: &Note) {
    match note {
        Note::PreUpgradeRetries { attempt } => {
            tracing::warn!(error = "exit status 31", attempt, "pre-upgrade command failed. retrying");
            return;
        }
        Note::Ended(version, exit) if *exit != NodeExit::Code(0) => {
            tracing::warn!(error = %exit, bin = %version, "terminated");
            return;
        }
        _ => {}
    }
    match note.level() {
        Level::Info => tracing::info!("{note}"),
        Level::Warning => tracing::warn!("{note}"),
        Level::Error => tracing::error!("{note}"),
    }
}
