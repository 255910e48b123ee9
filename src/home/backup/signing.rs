//! What the validator signed last. It never goes back: a validator that signs a height twice is punished for ever.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::home::{SMALL, read_small, unless_missing};

/// The file within a backup that keeps it. No copy by hand makes a node use it.
pub(super) const KEPT: &str = ".watcher/priv_validator_state.json.kept";

/// What was signed last. The greater one was signed later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::home) struct Signed {
    /// Height, round and step.
    pub(in crate::home) at: (u64, u64, u64),
    /// The file's content.
    pub(super) content: Vec<u8>,
}

/// A signing state that says less than the one in a backup, which shows that somebody reset it: for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error(
    "the signing state was reset: it said height {}, round {}, step {}, and the one in the backup height {}, round {}, step {}. \
     The backup's holds from the restore on, and nobody knows what was signed after it, which may be signed once more: before a \
     node starts, put the last state that is known in its place, or wait until the network is past what the validator signed",
    .live.0, .live.1, .live.2, .kept.0, .kept.1, .kept.2
)]
pub struct Reset {
    /// What the node's own said.
    pub(super) live: (u64, u64, u64),
    /// What the backup's says.
    pub(super) kept: (u64, u64, u64),
}

/// Why nobody knows what was signed last.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Unreadable {
    path: String,
    pub(super) reason: String,
}

impl Unreadable {
    pub(super) fn new(path: &Path, reason: String) -> Self {
        Self { path: path.display().to_string(), reason }
    }
}

/// Reads a signing state; none where there is no such file.
///
/// # Errors
/// [`Unreadable`] where it is there and does not say what was signed.
pub(in crate::home) fn read(path: &Path) -> Result<Option<Signed>, Unreadable> {
    let unreadable = |reason: String| Unreadable::new(path, reason);
    let content = unless_missing(read_small(path, SMALL)).map_err(|error| unreadable(error.to_string()))?;
    content.map(|content| understood(path, content)).transpose()
}

/// Understands the content of a signing state.
///
/// # Errors
/// [`Unreadable`] where it does not say what was signed.
pub(super) fn understood(path: &Path, content: Vec<u8>) -> Result<Signed, Unreadable> {
    let unreadable = |reason: String| Unreadable::new(path, reason);
    let value: Value = serde_json::from_slice(&content).map_err(|error| unreadable(error.to_string()))?;
    let field = |name: &str| number(&value, name).ok_or_else(|| unreadable(format!("it says no {name}")));
    Ok(Signed { at: (field("height")?, field("round")?, field("step")?), content })
}

/// A number in a signing state, which CometBFT writes as text where it may be great.
fn number(state: &Value, name: &str) -> Option<u64> {
    match state.get(name)? {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    }
}

/// The later one of what the node has now and what a backup keeps.
///
/// # Errors
/// [`Unreadable`] where one of both is, or where the node's own is gone.
pub(super) fn later(live: &Path, kept: &Path) -> Result<Option<Signed>, Unreadable> {
    match (read(live)?, read(kept)?) {
        (None, Some(_)) => Err(Unreadable {
            path: live.display().to_string(),
            reason: "it is gone, and what the backup keeps may be older: put the last one in its place first"
                .to_owned(),
        }),
        (live, None) => Ok(live),
        (Some(live), Some(kept)) => Ok(Some(if kept.at > live.at { kept } else { live })),
    }
}
