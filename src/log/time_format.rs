//! The ways to write a log line's time, by the names that `COSMOVISOR_TIMEFORMAT_LOGS` knows.

use jiff::{Zoned, tz::Offset};

/// One way to write a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeFormat {
    /// Its name.
    pub name: &'static str,
    /// The same in Go's words, as `config` shows it.
    pub layout: &'static str,
    /// The same in strftime's.
    pattern: &'static str,
}

/// Every way, in the order in which messages list them.
pub const FORMATS: &[TimeFormat] = &[
    format("layout", "01/02 03:04:05PM '06 -0700", "%m/%d %I:%M:%S%p '%y %z"),
    format("ansic", "Mon Jan _2 15:04:05 2006", "%a %b %e %H:%M:%S %Y"),
    format("unixdate", "Mon Jan _2 15:04:05 MST 2006", "%a %b %e %H:%M:%S %Z %Y"),
    format("rubydate", "Mon Jan 02 15:04:05 -0700 2006", "%a %b %d %H:%M:%S %z %Y"),
    format("rfc822", "02 Jan 06 15:04 MST", "%d %b %y %H:%M %Z"),
    format("rfc822z", "02 Jan 06 15:04 -0700", "%d %b %y %H:%M %z"),
    format("rfc850", "Monday, 02-Jan-06 15:04:05 MST", "%A, %d-%b-%y %H:%M:%S %Z"),
    format("rfc1123", "Mon, 02 Jan 2006 15:04:05 MST", "%a, %d %b %Y %H:%M:%S %Z"),
    format("rfc1123z", "Mon, 02 Jan 2006 15:04:05 -0700", "%a, %d %b %Y %H:%M:%S %z"),
    format("rfc3339", "2006-01-02T15:04:05Z07:00", "%Y-%m-%dT%H:%M:%S%:z"),
    format("rfc3339nano", "2006-01-02T15:04:05.999999999Z07:00", "%Y-%m-%dT%H:%M:%S%.f%:z"),
    TimeFormat::KITCHEN,
];

const fn format(name: &'static str, layout: &'static str, pattern: &'static str) -> TimeFormat {
    TimeFormat { name, layout, pattern }
}

impl TimeFormat {
    /// The one where nothing is said.
    pub const KITCHEN: Self = format("kitchen", "3:04PM", "%-I:%M%p");

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        FORMATS.iter().copied().find(|format| format.name == name)
    }

    /// A time written so.
    #[must_use]
    pub fn write(self, time: &Zoned) -> String {
        let pattern = self.pattern.trim_end_matches("%:z");
        // Go writes no offset at all as `Z`.
        if pattern != self.pattern && time.offset() == Offset::UTC {
            return time.strftime(pattern).to_string() + "Z";
        }
        time.strftime(self.pattern).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_writes_what_go_writes() {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(-7));
        let time = jiff::civil::datetime(2006, 1, 2, 15, 4, 5, 120_000_000).to_zoned(zone).unwrap();
        for (name, expected) in [
            ("layout", "01/02 03:04:05PM '06 -0700"),
            ("ansic", "Mon Jan  2 15:04:05 2006"),
            ("rubydate", "Mon Jan 02 15:04:05 -0700 2006"),
            ("rfc822z", "02 Jan 06 15:04 -0700"),
            ("rfc1123z", "Mon, 02 Jan 2006 15:04:05 -0700"),
            ("rfc3339", "2006-01-02T15:04:05-07:00"),
            ("rfc3339nano", "2006-01-02T15:04:05.12-07:00"),
            ("kitchen", "3:04PM"),
        ] {
            assert_eq!(TimeFormat::named(name).unwrap().write(&time), expected);
        }
        let time = time.with_time_zone(jiff::tz::TimeZone::UTC);
        for (name, expected) in [
            ("unixdate", "Mon Jan  2 22:04:05 UTC 2006"),
            ("rfc822", "02 Jan 06 22:04 UTC"),
            ("rfc850", "Monday, 02-Jan-06 22:04:05 UTC"),
            ("rfc1123", "Mon, 02 Jan 2006 22:04:05 UTC"),
            ("rfc3339", "2006-01-02T22:04:05Z"),
        ] {
            assert_eq!(TimeFormat::named(name).unwrap().write(&time), expected);
        }
        assert_eq!(TimeFormat::named("Kitchen"), None);
    }
}
