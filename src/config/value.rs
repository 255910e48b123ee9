//! One value: read from text or from a configuration file, and written as `config` shows it.

use std::{
    fmt,
    num::{IntErrorKind, ParseIntError},
    time::Duration,
};

use serde_json::Value as Json;

use super::{
    duration,
    variables::{Kind, Variable},
};
use crate::log::time_format::{self, TimeFormat};

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A duration.
    Duration(Duration),
    /// A number.
    Integer(i64),
    /// Text or a path.
    Text(String),
    /// A way to write the time; none leaves it out.
    TimeFormat(Option<TimeFormat>),
    /// Texts.
    List(Vec<String>),
}

/// How strictly text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// Without a configuration file: `true` and `false`, durations above 0.
    Strict,
    /// With one: also `1`, `0`, `t`, `f`, and a duration of 0.
    Weak,
}

impl Value {
    /// The value that says nothing.
    pub(super) fn zero(kind: Kind) -> Self {
        match kind {
            Kind::Flag => Self::Flag(false),
            Kind::Duration | Kind::DurationOrZero => Self::Duration(Duration::ZERO),
            Kind::Integer => Self::Integer(0),
            Kind::Path | Kind::Text => Self::Text(String::new()),
            Kind::TimeFormat => Self::TimeFormat(None),
            Kind::List => Self::List(Vec::new()),
        }
    }

    /// Reads text, with cosmovisor's words where it cannot be read.
    pub(super) fn of_text(variable: &Variable, text: &str, rules: Rules) -> Result<Self, String> {
        match variable.kind {
            Kind::Flag => flag(variable, text, rules).map(Self::Flag),
            Kind::Duration | Kind::DurationOrZero => of_duration(variable, text, rules).map(Self::Duration),
            Kind::Integer => text.parse().map(Self::Integer).map_err(|error| match (rules, not_a_number(&error)) {
                (Rules::Strict, why) => {
                    let name = variable.name;
                    format!("{name} could not be parsed to int: strconv.Atoi: parsing \"{text}\": {why}")
                }
                (Rules::Weak, why) => {
                    let key = variable.key();
                    format!("cannot parse '{key}' as int: strconv.ParseInt: parsing \"{text}\": {why}")
                }
            }),
            Kind::Path | Kind::Text => Ok(Self::Text(text.to_owned())),
            Kind::TimeFormat => time_format(variable, text).map(Self::TimeFormat),
            Kind::List => {
                let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
                Ok(Self::List(entries.map(str::to_owned).collect()))
            }
        }
    }

    /// Reads what stands in a configuration file.
    pub(super) fn of_file(variable: &Variable, found: &Json) -> Result<Self, String> {
        match (variable.kind, found) {
            (Kind::Flag | Kind::Integer, Json::String(text)) if text.is_empty() => Ok(Self::zero(variable.kind)),
            (_, Json::String(text)) => Self::of_text(variable, text, Rules::Weak),
            (Kind::Flag, Json::Bool(flag)) => Ok(Self::Flag(*flag)),
            (Kind::Flag, Json::Number(number)) => Ok(Self::Flag(number.as_f64() != Some(0.0))),
            // A number counts nanoseconds.
            (Kind::Duration | Kind::DurationOrZero, Json::Number(number)) if number.as_u64().is_some() => {
                Ok(Self::Duration(Duration::from_nanos(number.as_u64().unwrap_or_default())))
            }
            (Kind::Integer, Json::Number(number)) if number.is_i64() => {
                Ok(Self::Integer(number.as_i64().unwrap_or_default()))
            }
            (Kind::Integer, Json::Bool(flag)) => Ok(Self::Integer(i64::from(*flag))),
            (Kind::Path | Kind::Text, Json::Number(_) | Json::Bool(_)) => Ok(Self::Text(found.to_string())),
            (Kind::List, Json::Array(entries)) if entries.iter().all(Json::is_string) => {
                let texts = entries.iter().filter_map(Json::as_str);
                Ok(Self::List(texts.map(|text| text.trim().to_owned()).collect()))
            }
            // Its addresses may hold passwords.
            (Kind::List, _) => Err(format!("'{}' must be a text or a list of texts", variable.key())),
            _ => Err(format!("'{}' cannot be {found}", variable.key())),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Duration(time) => f.write_str(&duration::shown(*time)),
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::TimeFormat(format) => f.write_str(format.map_or("", |format| format.layout)),
            Self::List(entries) => f.write_str(&entries.join(",")),
        }
    }
}

/// Go's words for a text that is no number.
pub(crate) const fn not_a_number(error: &ParseIntError) -> &'static str {
    match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    }
}

fn flag(variable: &Variable, text: &str, rules: Rules) -> Result<bool, String> {
    match (rules, text, text.to_lowercase().as_str()) {
        (Rules::Strict, _, "true") | (Rules::Weak, "1" | "t" | "T" | "true" | "TRUE" | "True", _) => Ok(true),
        (Rules::Strict, _, "false") | (Rules::Weak, "0" | "f" | "F" | "false" | "FALSE" | "False", _) => Ok(false),
        (Rules::Strict, _, lower) => {
            let name = variable.name;
            Err(format!(r#"env variable "{name}" must have a boolean value ("true" or "false"), got "{lower}""#))
        }
        (Rules::Weak, ..) => {
            let key = variable.key();
            Err(format!("cannot parse '{key}' as bool: strconv.ParseBool: parsing \"{text}\": invalid syntax"))
        }
    }
}

fn of_duration(variable: &Variable, text: &str, rules: Rules) -> Result<Duration, String> {
    let name = variable.name;
    match duration::parse(text) {
        Ok(Some(time)) if !time.is_zero() || rules == Rules::Weak || variable.kind == Kind::DurationOrZero => Ok(time),
        Ok(_) => Err(format!("invalid: {name}: must be greater than 0")),
        Err(reason) if rules == Rules::Weak => Err(format!("error decoding '{}': {reason}", variable.key())),
        Err(reason) => Err(format!("invalid: {name}: could not parse '{text}' into a duration: {reason}")),
    }
}

fn time_format(variable: &Variable, text: &str) -> Result<Option<TimeFormat>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    TimeFormat::named(text).map(Some).ok_or_else(|| {
        let names: Vec<&str> = time_format::FORMATS.iter().map(|format| format.name).collect();
        let (name, names) = (variable.name, names.join("|"));
        format!(r#"env variable "{name}" must have a timeformat value ("{names}"), got "{text}""#)
    })
}
