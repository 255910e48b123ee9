//! Log lines, in the form that goes with the program's name: tracing's on stderr, or cosmovisor's on stdout.

mod console;
pub mod time_format;

use std::{
    ffi::OsString,
    fmt::{self, Display},
    io::{self, IsTerminal as _},
};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{
    persona::Persona,
    supervisor::progress::{Lines, Stream},
};
use console::Console;
use time_format::TimeFormat;

/// What is shown where `WATCHER_LOG` says nothing.
const FILTER: &str = "watcher=info,warn";

/// How the operator wants log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// `COSMOVISOR_DISABLE_LOGS`: none at all.
    pub disabled: bool,
    /// `COSMOVISOR_COLOR_LOGS`, for cosmovisor's form.
    pub colour: bool,
    /// `COSMOVISOR_TIMEFORMAT_LOGS`, for cosmovisor's form; none leaves the time out.
    pub time: Option<TimeFormat>,
    /// `WATCHER_LOG`.
    pub filter: Option<String>,
}

impl Default for Choices {
    fn default() -> Self {
        Self { disabled: false, colour: true, time: Some(TimeFormat::KITCHEN), filter: None }
    }
}

impl Choices {
    /// For commands that work without a configuration.
    #[must_use]
    pub fn from_environment() -> Self {
        Self { filter: std::env::var("WATCHER_LOG").ok(), ..Self::default() }
    }
}

/// Whether this can be `WATCHER_LOG`.
///
/// # Errors
/// With what is wrong with it.
pub fn check(filter: &str) -> Result<(), String> {
    parsed(filter).map(drop)
}

fn parsed(filter: &str) -> Result<EnvFilter, String> {
    let wrong = |error: &dyn Display| {
        format!("WATCHER_LOG must be a `tracing` filter such as debug, got \"{filter}\": {error}")
    };
    // A level that is mistyped is taken for the name of a part of the program, and all others are silent.
    let is_level =
        |word: &&str| word.is_empty() || word.contains(['=', '[', ':']) || word.parse::<LevelFilter>().is_ok();
    let understood = filter.parse::<EnvFilter>().map_err(|error| wrong(&error))?;
    match filter.split(',').map(str::trim).find(|word| !is_level(word)) {
        Some(word) => Err(wrong(&format!("{word:?} is none of off, error, warn, info, debug and trace"))),
        None => Ok(understood),
    }
}

/// Begins to log. Only the first call counts.
pub fn start(persona: Persona, choices: &Choices) {
    let filter = if choices.disabled { Some("off") } else { choices.filter.as_deref() };
    let filter = filter.filter(|filter| !filter.is_empty()).and_then(|filter| parsed(filter).ok());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new(FILTER)))
        // A log that cannot be written must not end the program: its node would go with it.
        .log_internal_errors(false);
    let _ = match persona {
        Persona::Watcher => builder
            .with_writer(|| Lines(Stream::Stderr))
            .with_target(false)
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .try_init(),
        Persona::Cosmovisor => builder
            .with_writer(|| Lines(Stream::Stdout))
            .event_format(Console { colour: choices.colour, time: choices.time })
            .try_init(),
    };
}

/// Arguments as log lines show them: a JSON list.
pub struct List<'a>(
    /// The arguments.
    pub &'a [OsString],
);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(|argument| argument.to_string_lossy()).collect();
        f.write_str(&serde_json::to_string(&texts).map_err(|_| fmt::Error)?)
    }
}
