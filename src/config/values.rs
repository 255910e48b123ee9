//! The value of every variable and where it came from: environment over file over default, for each of them by itself.

use std::time::Duration;

use super::{
    file::File,
    value::{Rules, Value},
    variables::{Default, Kind, VARIABLES, Variable},
};
use crate::log;

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody chose it.
    Default,
    /// The configuration file.
    File,
    /// The environment.
    Environment,
}

/// A variable with its value.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Which.
    pub variable: &'static Variable,
    /// Its value.
    pub value: Value,
    /// Where that came from.
    pub origin: Origin,
}

/// The value of every variable, in the order of the table.
#[derive(Debug, Clone)]
pub struct Values(Vec<Chosen>);

/// Reads every variable, and tells what cannot be read; that has the value zero.
pub(super) fn read(get: &dyn Fn(&str) -> Option<String>, file: Option<&File>) -> (Values, Vec<String>) {
    let mut problems = Vec::new();
    let mut one = |variable: &'static Variable| {
        let (value, origin) = choose(variable, get, file);
        let value = value.unwrap_or_else(|problem| {
            problems.push((turn(variable), problem));
            Value::zero(variable.kind)
        });
        Chosen { variable, value, origin }
    };
    let values = Values(VARIABLES.iter().map(&mut one).collect());
    // In the order in which cosmovisor reads them.
    problems.sort_by_key(|(turn, _)| *turn);
    (values, problems.into_iter().map(|(_, problem)| problem).collect())
}

fn choose(
    variable: &Variable,
    get: &dyn Fn(&str) -> Option<String>,
    file: Option<&File>,
) -> (Result<Value, String>, Origin) {
    let rules = if file.is_some() { Rules::Weak } else { Rules::Strict };
    match get(variable.name) {
        Some(text) if !text.is_empty() => return (Value::of_text(variable, &text, rules), Origin::Environment),
        // Set to nothing: here alone that says something.
        Some(_) if variable.kind == Kind::TimeFormat && file.is_none() => {
            return (Ok(Value::TimeFormat(None)), Origin::Environment);
        }
        _ => {}
    }
    if let Some(found) = file.and_then(|file| file.get(&variable.key())) {
        return (Value::of_file(variable, found), Origin::File);
    }
    let value = match variable.default {
        Default::Is(text) => Value::of_text(variable, text, Rules::Weak),
        Default::Required | Default::InPlace(_) => Ok(Value::zero(variable.kind)),
    };
    (value, Origin::Default)
}

/// When cosmovisor reads it: flags and the time's format first, then durations, the poll interval before the others, then
/// numbers. What is ours follows.
fn turn(variable: &Variable) -> (bool, u8) {
    let kind = match variable.kind {
        Kind::Flag | Kind::TimeFormat => 0,
        Kind::Duration if variable.name == "DAEMON_POLL_INTERVAL" => 1,
        Kind::Duration | Kind::DurationOrZero => 2,
        Kind::Integer | Kind::Path | Kind::Text | Kind::List => 3,
    };
    (!variable.is_cosmovisors(), kind)
}

impl Values {
    /// Each in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &Chosen> {
        self.0.iter()
    }

    /// A flag.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Flag(true)))
    }

    /// Text or a path that is not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        if let Some(Value::Text(text)) = self.value(name) {
            Some(text.as_str()).filter(|text| !text.is_empty())
        } else {
            None
        }
    }

    /// How log lines are written.
    #[must_use]
    pub fn logs(&self) -> log::Choices {
        let time =
            if let Some(Value::TimeFormat(time)) = self.value("COSMOVISOR_TIMEFORMAT_LOGS") { *time } else { None };
        log::Choices {
            disabled: self.flag("COSMOVISOR_DISABLE_LOGS"),
            colour: self.flag("COSMOVISOR_COLOR_LOGS"),
            time,
            filter: self.text("WATCHER_LOG").map(str::to_owned),
        }
    }

    pub(super) fn duration(&self, name: &str) -> Duration {
        if let Some(Value::Duration(time)) = self.value(name) { *time } else { Duration::ZERO }
    }

    /// In a file, 0 stands for what is not set.
    pub(super) fn duration_or(&self, name: &str, default: Duration) -> Duration {
        Some(self.duration(name)).filter(|time| !time.is_zero()).unwrap_or(default)
    }

    pub(super) fn integer(&self, name: &str) -> i64 {
        if let Some(Value::Integer(number)) = self.value(name) { *number } else { 0 }
    }

    /// A list; none where it is not set.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        if let Some(Value::List(entries)) = self.value(name) { entries.clone() } else { Vec::new() }
    }

    /// Puts something in the place of what is not set.
    pub(super) fn put(&mut self, name: &str, text: &str) {
        if let Some(chosen) = self.0.iter_mut().find(|chosen| chosen.variable.name == name) {
            chosen.value = Value::Text(text.to_owned());
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|chosen| chosen.variable.name == name).map(|chosen| &chosen.value)
    }
}
