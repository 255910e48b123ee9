//! Notes become log lines.

use crate::{
    chain::endpoints::Endpoint,
    decide::{
        event::{EndpointId, NodeExit},
        note::{Level, Note},
    },
    persona::spoken,
};

/// Logs a note at its level. What people search for in cosmovisor's words has them.
pub(super) fn note(note: &Note, endpoints: &[Endpoint], program: &str) {
    match note {
        Note::PreUpgradeRetries { attempt } => {
            tracing::warn!(error = "exit status 31", attempt, "pre-upgrade command failed. retrying");
            return;
        }
        Note::Ended(version, exit) if *exit != NodeExit::Code(0) => {
            tracing::warn!(error = %exit, bin = %version, "terminated");
            return;
        }
        Note::Disputed(dispute) => {
            let named = |who: &[EndpointId]| {
                let labels = endpoints.iter().filter(|endpoint| who.contains(&endpoint.id));
                labels.map(|endpoint| endpoint.label.as_str()).collect::<Vec<_>>().join(", ")
            };
            let (by, against) = (named(&dispute.by), named(&dispute.against));
            tracing::warn!("{note} (yes: {by}; no: {against})");
            return;
        }
        _ => {}
    }
    let said = spoken(&note.to_string(), program);
    match note.level() {
        Level::Info => tracing::info!("{said}"),
        Level::Warning => tracing::warn!("{said}"),
        Level::Error => tracing::error!("{said}"),
    }
}
