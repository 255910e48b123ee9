//! Go's duration syntax, which unit files use: `300ms`, `1h2m3.5s`, `.5s`, `1µs`.

use std::time::Duration;

/// Reads a duration; none for a negative one.
///
/// # Errors
/// With the words of Go's `time.ParseDuration`, which people search for.
pub fn parse(text: &str) -> Result<Option<Duration>, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Some(Duration::ZERO));
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanoseconds = 0_f64;
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (amount, after) = rest.split_at(number);
        let amount: f64 = amount.parse().map_err(|_| invalid())?;
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        nanoseconds += amount
            * per_unit(unit).ok_or_else(|| match unit {
                "" => format!("time: missing unit in duration {text:?}"),
                unit => format!("time: unknown unit {unit:?} in duration {text:?}"),
            })?;
        rest = after;
    }
    // Go counts nanoseconds in 64 bits with a sign.
    let value = Duration::try_from_secs_f64(nanoseconds / 1e9).ok();
    let value = value.filter(|value| i64::try_from(value.as_nanos()).is_ok()).ok_or_else(invalid)?;
    Ok((!negative).then_some(value))
}

/// A duration as Go shows it: `300ms`, `2m0s`, `1h0m0.5s`.
#[must_use]
pub fn shown(time: Duration) -> String {
    let fraction = |whole: u64, rest: u64, digits: usize| {
        let rest = format!("{rest:0digits$}");
        match rest.trim_end_matches('0') {
            "" => whole.to_string(),
            rest => format!("{whole}.{rest}"),
        }
    };
    let (seconds, nanoseconds) = (time.as_secs(), u64::from(time.subsec_nanos()));
    match (seconds, nanoseconds) {
        (0, 0) => "0s".to_owned(),
        (0, ..1_000) => format!("{nanoseconds}ns"),
        (0, ..1_000_000) => format!("{}µs", fraction(nanoseconds / 1_000, nanoseconds % 1_000, 3)),
        (0, _) => format!("{}ms", fraction(nanoseconds / 1_000_000, nanoseconds % 1_000_000, 6)),
        _ => {
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            let seconds = fraction(seconds % 60, nanoseconds, 9);
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, _) => format!("{minutes}m{seconds}s"),
                _ => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

fn per_unit(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3_600e9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_reads_is_read() {
        for (text, milliseconds) in [
            ("300ms", 300),
            ("1h30m", 5_400_000),
            ("1h2m3s", 3_723_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("0", 0),
            ("+2s", 2_000),
            ("1000us", 1),
            ("1000µs", 1),
        ] {
            assert_eq!(parse(text), Ok(Some(Duration::from_millis(milliseconds))), "{text}");
        }
        assert_eq!(parse("-1s"), Ok(None));
    }

    #[test]
    fn durations_are_shown_as_go_shows_them() {
        for (text, expected) in [
            ("0", "0s"),
            ("15ns", "15ns"),
            ("1500ns", "1.5µs"),
            ("300ms", "300ms"),
            ("1.25s", "1.25s"),
            ("2m", "2m0s"),
            ("36h1ms", "36h0m0.001s"),
        ] {
            assert_eq!(shown(parse(text).unwrap().unwrap()), expected);
        }
    }

    #[test]
    fn what_go_refuses_is_refused_in_its_words() {
        assert_eq!(parse("300"), Err("time: missing unit in duration \"300\"".into()));
        assert_eq!(parse("xx"), Err("time: invalid duration \"xx\"".into()));
        assert_eq!(parse("5 minutes"), Err("time: unknown unit \" minutes\" in duration \"5 minutes\"".into()));
        assert_eq!(parse("2562048h"), Err("time: invalid duration \"2562048h\"".into()));
        assert!(parse("2562047h").is_ok());
        assert!(parse("").is_err() && parse("1..2s").is_err() && parse("-").is_err());
    }
}
