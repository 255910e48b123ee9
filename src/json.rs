//! JSON from strangers.

/// Whether a text holds more values than anything that is read whole can need. One of 8 MB that is all brackets would take
/// some hundred times that in memory.
#[must_use]
pub(crate) fn is_bloated(text: &[u8]) -> bool {
    const MOST_VALUES: usize = 100_000;
    // Some of these are inside of texts: that is prose, and has few of them for its length.
    text.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() > MOST_VALUES
}
