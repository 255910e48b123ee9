//! The voice of the demo: one line a chapter on stdout, with the time since the start; colour only where a terminal
//! shows it.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Instant,
};

/// Tells what happens.
pub(super) struct Narrator {
    began: Instant,
    colour: bool,
}

impl Narrator {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), colour: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// A chapter.
    pub(super) fn tell(&self, title: &str, text: &str) -> io::Result<()> {
        let (bold, plain) = if self.colour { ("\x1b[1;36m", "\x1b[0m") } else { ("", "") };
        writeln!(io::stdout(), "{bold}==> {:>4.1} s  {title}.{plain} {text}", self.began.elapsed().as_secs_f32())
    }
}

/// A line of its own.
pub(super) fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}
