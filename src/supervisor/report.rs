//! Notes become log lines.

use crate::decide::note::{Level, Note};

/// Logs a note at its level.
pub(super) fn note(note: &Note) {
    match note.level() {
        Level::Info => tracing::info!("{note}"),
        Level::Warning => tracing::warn!("{note}"),
        Level::Error => tracing::error!("{note}"),
    }
}
