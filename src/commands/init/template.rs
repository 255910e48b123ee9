//! The configuration file that `init` writes: cosmovisor's keys in its order, with what the environment said.

use std::fmt::Write as _;

use crate::config::{
    value::Value,
    values::{Chosen, Values},
};

/// The content. Durations count nanoseconds.
pub(super) fn render(values: &Values) -> String {
    let known = values.iter().filter(|chosen| chosen.variable.is_cosmovisors());
    let mut text = String::new();
    for Chosen { variable, value, .. } in known {
        let _ = writeln!(text, "{} = {}", variable.key(), written(value));
    }
    text
}

fn written(value: &Value) -> String {
    match value {
        Value::Flag(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Duration(time) => time.as_nanos().to_string(),
        Value::TimeFormat(format) => quoted(format.map_or("", |format| format.name)),
        Value::Text(_) | Value::List(_) => quoted(&value.to_string()),
    }
}

/// In single quotes, where nothing is escaped, or in double quotes where those cannot hold it.
fn quoted(text: &str) -> String {
    if text.contains('\'') || text.chars().any(char::is_control) {
        toml::Value::String(text.to_owned()).to_string()
    } else {
        format!("'{text}'")
    }
}
