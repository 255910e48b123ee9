//! cosmovisor's log line: `3:04PM INF message key=value module=cosmovisor`, the keys sorted, an error before them.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use jiff::Zoned;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::time_format::TimeFormat;

/// Writes log lines in this form.
#[derive(Debug)]
pub(super) struct Console {
    /// Whether with colours; where it goes does not matter.
    pub(super) colour: bool,
    /// How the time is written, if at all.
    pub(super) time: Option<TimeFormat>,
}

/// Parameters of the terminal's sequences that set a colour.
mod colour {
    pub(super) const BOLD: u8 = 1;
    pub(super) const RED: u8 = 31;
    pub(super) const GREEN: u8 = 32;
    pub(super) const YELLOW: u8 = 33;
    pub(super) const CYAN: u8 = 36;
    pub(super) const GREY: u8 = 90;
}

impl<S, N> FormatEvent<S, N> for Console
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        writer.write_str(&self.line(level, self.time.map(|time| time.write(&Zoned::now())), &fields))
    }
}

impl Console {
    fn line(&self, level: Level, time: Option<String>, fields: &Fields) -> String {
        let mut line = String::new();
        if let Some(time) = time {
            let _ = write!(line, "{} ", self.painted(&[colour::GREY], &time));
        }
        let (word, paint): (_, &[u8]) = match level {
            Level::ERROR => ("ERR", &[colour::RED]),
            Level::WARN => ("WRN", &[colour::YELLOW]),
            Level::INFO => ("INF", &[colour::GREEN]),
            Level::DEBUG => ("DBG", &[]),
            Level::TRACE => ("TRC", &[]),
        };
        let bold: &[u8] = if paint.is_empty() { &[] } else { &[colour::BOLD] };
        let _ = write!(line, "{} {}", self.painted(paint, word), self.painted(bold, &fields.message));
        if let Some(error) = &fields.error {
            let key = self.painted(&[colour::CYAN], "error=");
            let _ = write!(line, " {key}{}", self.painted(&[colour::RED, colour::BOLD], error));
        }
        for (key, value) in &fields.others {
            let _ = write!(line, " {}{value}", self.painted(&[colour::CYAN], &format!("{key}=")));
        }
        line.push('\n');
        line
    }

    fn painted(&self, colours: &[u8], text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        colours.iter().rev().fold(text.to_owned(), |text, colour| format!("\u{1b}[{colour}m{text}\u{1b}[0m"))
    }
}

/// What an event says.
#[derive(Debug)]
struct Fields {
    message: String,
    error: Option<String>,
    others: BTreeMap<&'static str, String>,
}

impl Default for Fields {
    fn default() -> Self {
        let module = BTreeMap::from([("module", "cosmovisor".to_owned())]);
        Self { message: String::new(), error: None, others: module }
    }
}

impl Fields {
    fn keep(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value.chars().map(shown).collect(),
            "error" => self.error = Some(value),
            name => drop(self.others.insert(name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, quoted(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            return self.keep(field, text);
        }
        // Lists of texts and numbers look the same in JSON, but for the spaces.
        let list = text.starts_with('[').then(|| serde_json::from_str::<Vec<serde_json::Value>>(&text));
        let list = list.and_then(Result::ok).and_then(|list| serde_json::to_string(&list).ok());
        self.keep(field, list.unwrap_or_else(|| quoted(&text)));
    }
}

/// A value as it is, or in quotes where it holds a space, a quote, a backslash or anything beyond printable ASCII.
fn quoted(value: &str) -> String {
    if value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') {
        return value.to_owned();
    }
    let escaped = value.chars().map(|c| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        c => shown(c),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// A character, or its number where a terminal would act on it: a line stays one line, whoever wrote what is in it.
fn shown(c: char) -> String {
    match c {
        '\'' | '"' | '\\' => c.to_string(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c.is_ascii() && c.is_control() => format!("\\x{:02x}", u32::from(c)),
        c if c.escape_debug().len() > 1 => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &str, error: Option<&str>, others: &[(&'static str, &str)]) -> Fields {
        let mut fields = Fields { message: message.into(), error: error.map(quoted), ..Fields::default() };
        fields.others.extend(others.iter().map(|(key, value)| (*key, quoted(value))));
        fields
    }

    #[test]
    fn a_line_has_time_level_message_and_sorted_keys() {
        let plain = Console { colour: false, time: None };
        let running = fields("running app", None, &[("path", "/h/fd"), ("args", "a b")]);
        let line = plain.line(Level::INFO, Some("1:26PM".into()), &running);
        assert_eq!(line, "1:26PM INF running app args=\"a b\" module=cosmovisor path=/h/fd\n");
        let failed = fields("terminated", Some("exit status 7"), &[("bin", "/h/fd")]);
        let line = plain.line(Level::ERROR, None, &failed);
        assert_eq!(line, "ERR terminated error=\"exit status 7\" bin=/h/fd module=cosmovisor\n");
    }

    #[test]
    fn colours_are_those_of_the_console() {
        let coloured = Console { colour: true, time: None };
        let line = coloured.line(Level::INFO, Some("1:26PM".into()), &fields("msg", None, &[]));
        let expected = "\u{1b}[90m1:26PM\u{1b}[0m \u{1b}[32mINF\u{1b}[0m \u{1b}[1mmsg\u{1b}[0m \
                        \u{1b}[36mmodule=\u{1b}[0mcosmovisor\n";
        assert_eq!(line, expected);
    }

    #[test]
    fn values_are_quoted_only_where_they_must_be() {
        for (value, expected) in [
            ("/a/b-c_d", "/a/b-c_d"),
            ("", ""),
            ("a b", "\"a b\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("é", "\"é\""),
            ("\u{1b}[2J\u{9b}", "\"\\x1b[2J\\u009b\""),
            ("two\nlines", "\"two\\nlines\""),
        ] {
            assert_eq!(quoted(value), expected);
        }
    }
}
