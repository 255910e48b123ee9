//! A word to the person at the terminal, past the test harness, which keeps what the print macros write to itself.

use std::{
    io::{self, Write as _},
    thread,
};

/// Says it, and who says it: the thread, which is named for the test.
pub(crate) fn say(text: &str) {
    // Where standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "[{}] {text}", thread::current().name().unwrap_or("test"));
}
