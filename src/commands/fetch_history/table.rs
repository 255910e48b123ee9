//! What is staged and what is not, as people read it.

use std::{fmt::Write as _, path::PathBuf};

use crate::{
    chain::history::History,
    commands::upcoming::text::{line, name},
    decide::plan::{Asks, Plan},
    http::secrets,
};

/// One upgrade of the history.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) plan: Plan,
    /// Where its binary belongs; none where its name cannot be a folder.
    pub(super) place: Option<PathBuf>,
    pub(super) how: How,
}

/// How it stands with an upgrade's binary.
#[derive(Debug)]
pub(super) enum How {
    /// The operator put it there.
    Own,
    /// It was staged before.
    Before,
    /// It was fetched now.
    Fetched,
    /// It would be fetched, were this not a dry run.
    Would(Asks),
    /// It is not there, for this reason.
    Missing(String),
}

/// The table, and where to put by hand what is missing.
pub(super) fn table(history: &History, rows: &[Row]) -> String {
    let applied = match rows.len() {
        1 => "1 upgrade was applied".to_owned(),
        number => format!("{number} upgrades were applied"),
    };
    let mut text = format!("{} is at height {}, {applied}\n", name(&history.chain_id), history.height);
    let names: Vec<String> = rows.iter().map(|row| name(&row.plan.name)).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    for (row, name) in rows.iter().zip(&names) {
        let how = match &row.how {
            How::Own => "staged: your own binary".to_owned(),
            How::Before => "staged before".to_owned(),
            How::Fetched => "staged now".to_owned(),
            How::Would(Asks::Artifact(artifact)) => {
                format!("would be fetched from {}", line(&secrets::file(&artifact.url)))
            }
            How::Would(_) => format!("would be fetched from where {} says", line(&secrets::file(row.plan.info.trim()))),
            How::Missing(reason) => format!("NOT staged: {}", line(reason)),
        };
        let _ = writeln!(text, "{:>12}  {name:widest$}  {how}", row.plan.height);
    }
    let missing = rows.iter().filter(|row| matches!(row.how, How::Missing(_)));
    for (number, place) in missing.filter_map(|row| row.place.as_ref()).enumerate() {
        if number == 0 {
            text.push_str("\na node that starts from genesis will wait for what is missing; put it there by hand:\n");
        }
        let _ = writeln!(text, "  {}", place.display());
    }
    text
}
