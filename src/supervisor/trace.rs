//! What the core was given and what it answered, where `WATCHER_LOG=watcher::supervisor::trace=trace` wants it. A core that
//! begins with the same settings and is given the same events decides the same, so these lines can be played again
//! (`tests/world/replay.rs`). They name endpoints by number alone; plans, which are public, are in them as they are.

use std::fmt;

use serde::Serialize;

use crate::decide::{decision::Decision, event::Event, settings::Settings};

/// The first line of a trace.
#[derive(Serialize)]
struct Beginning<'a> {
    settings: &'a Settings,
    /// Whether the core was told [that it hears of changes](crate::decide::Core::is_told_of_changes).
    told_of_changes: bool,
}

/// Every other line.
#[derive(Serialize)]
struct Step<'a> {
    event: &'a Event,
    /// As `Debug` writes it, which holds all of it: nobody but a comparison reads it.
    decision: fmt::Arguments<'a>,
}

/// A line as JSON, which is made only where it is shown.
struct Json<T>(T);

impl<T: Serialize> fmt::Display for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| fmt::Error)?)
    }
}

pub(super) fn begins(settings: &Settings, told_of_changes: bool) {
    tracing::trace!("{}", Json(Beginning { settings, told_of_changes }));
}

pub(super) fn decided(event: &Event, decision: &Decision) {
    tracing::trace!("{}", Json(Step { event, decision: format_args!("{decision:?}") }));
}
