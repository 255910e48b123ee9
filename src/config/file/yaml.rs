//! The part of YAML that a flat configuration needs: `key: value` lines, quotes, comments. Anything else is refused, never
//! guessed at.

use serde_json::{Map, Value};

/// Reads it.
pub(super) fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let mut keys = Map::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line == "---" || line.trim_start().starts_with('#') {
            continue;
        }
        // The value may be a password.
        let refused = || format!("line {} is read only as `key: value`; a TOML file can say more", index + 1);
        let (key, value) = line.split_once(':').ok_or_else(refused)?;
        let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !plain || !(value.is_empty() || value.starts_with([' ', '\t'])) {
            return Err(refused());
        }
        if keys.insert(key.to_owned(), scalar(value.trim()).ok_or_else(refused)?).is_some() {
            return Err(format!("line {}: {key} stands here a second time", index + 1));
        }
    }
    Ok(keys)
}

fn scalar(text: &str) -> Option<Value> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let (inside, rest) = quoted.rsplit_once('\'')?;
        let whole = is_comment(rest) && !inside.replace("''", "").contains('\'');
        return whole.then(|| Value::String(inside.replace("''", "'")));
    }
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let value = values.next()?.ok()?;
        return is_comment(&text[values.byte_offset()..]).then_some(Value::String(value));
    }
    let text = text.split(" #").next().unwrap_or_default().trim_end();
    if text.starts_with(['[', '{', '&', '*', '!', '|', '>', '%', '@', '`', '-', '?']) && text.parse::<i64>().is_err() {
        return None;
    }
    Some(match text {
        "" | "~" | "null" => Value::String(String::new()),
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        text => text.parse::<i64>().map_or_else(|_| Value::String(text.to_owned()), Value::from),
    })
}

fn is_comment(rest: &str) -> bool {
    rest.trim_start().is_empty() || rest.trim_start().starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_files_are_read() {
        let text = "---\n# mine\ndaemon_home: /var/lib/gaia # here\ndaemon_name: 'it''s'\nunsafe_skip_backup: true\n\
                    daemon_poll_interval: 300000000\ndaemon_restart_delay: \"2s\" # two\ncosmovisor_custom_preupgrade:\n";
        let expected = serde_json::json!({
            "daemon_home": "/var/lib/gaia", "daemon_name": "it's", "unsafe_skip_backup": true,
            "daemon_poll_interval": 300_000_000, "daemon_restart_delay": "2s", "cosmovisor_custom_preupgrade": "",
        });
        assert_eq!(Value::Object(parse(text).unwrap()), expected);
    }

    #[test]
    fn what_is_more_than_that_is_refused() {
        for text in
            ["a:\n  b: 1", "- a", "a: [1]", "a: &x 1", "a", "a:b", "a: 'x' y", "a: \"x\" y", "? a", "a: 1\na: 2"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
