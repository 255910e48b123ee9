//! Moments as the list shows them: to the second for scripts; for people by the distance from now, and by the clock on
//! their wall.

use std::time::Duration;

use jiff::{Timestamp, Zoned};
use serde::{Serialize, Serializer};

use crate::decide::note::Rough;

/// A moment, to the second. Serialized as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Timestamp);

impl Moment {
    /// From milliseconds since the Unix epoch; the last moment of the year 9999 for anything later.
    #[must_use]
    pub fn from_milliseconds(milliseconds: u64) -> Self {
        let seconds = i64::try_from(milliseconds / 1000).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        Self(seconds.unwrap_or(Timestamp::MAX))
    }

    /// How far it is from now, as people say it: `in 2 h 5 min`, `40 s ago`.
    pub(in crate::commands) fn from(self, now: &Zoned) -> String {
        match self.left(now) {
            left if left > 0 => format!("in {}", distance(left)),
            left => format!("{} ago", distance(left)),
        }
    }

    /// The seconds from now until it, negative where it is past.
    pub(in crate::commands) fn left(self, now: &Zoned) -> i64 {
        self.0.as_second() - now.timestamp().as_second()
    }

    /// Date and time in the zone of `now`: `2026-11-22 12:05 UTC`.
    pub(in crate::commands) fn on_the_wall(self, now: &Zoned) -> String {
        self.0.to_zoned(now.time_zone().clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A distance in seconds, as people say it: `2 h 5 min`.
pub(in crate::commands) fn distance(seconds: i64) -> Rough {
    Rough(Duration::from_secs(seconds.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_seen_from_now() {
        let now: Zoned = "2026-11-22T10:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let moment = |seconds: i64| {
            Moment::from_milliseconds(u64::try_from((now.timestamp().as_second() + seconds) * 1000 + 999).unwrap())
        };
        assert_eq!(
            (moment(300).from(&now), moment(-7_200).from(&now)),
            ("in 5 min 0 s".into(), "2 h 0 min ago".into())
        );
        assert_eq!(moment(300).on_the_wall(&now), "2026-11-22 10:05 CET");
        assert_eq!(serde_json::to_string(&moment(0)).unwrap(), "\"2026-11-22T09:00:00Z\"");
        assert!(serde_json::to_string(&Moment::from_milliseconds(u64::MAX)).unwrap().starts_with("\"9999-12-30"));
    }
}
