//! JSON from strangers.

use serde_json::{Map, Value};

/// Whether a text holds more values than anything that is read whole can need. One of 8 MB that is all brackets would take
/// some hundred times that in memory.
#[must_use]
pub(crate) fn is_bloated(text: &[u8]) -> bool {
    const MOST_VALUES: usize = 100_000;
    // Some of these are inside of texts: that is prose, and has few of them for its length.
    text.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() > MOST_VALUES
}

/// A member by its name in any case, as Go's JSON finds it; the exact name wins.
pub(crate) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let in_any_case = || object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    object.get(name).or_else(in_any_case)
}
