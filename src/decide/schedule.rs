//! When to do what is not due now: ask again, fetch, hash again, remind.

use ::core::time::Duration;

/// Blocks before the halt within which the staged file is hashed again, which also warms the page cache.
pub const NEAR_BLOCKS: u64 = 50;
/// Blocks before the halt within which every block is looked at.
pub const CLOSE_BLOCKS: u64 = 100;
/// Time before the halt within which every block is looked at: longer than from one look at another's node to the next.
pub const CLOSE: Duration = Duration::from_mins(1);
/// Around the end of a vote every block is looked at.
pub const VOTE_WINDOW: Duration = Duration::from_mins(2);

/// How long to wait before the node is asked for its height again, with `left` blocks to go, or none where it did not
/// answer `silent` times in a row.
#[must_use]
pub fn ask_again(left: Option<u64>, silent: u32, poll: Duration) -> Duration {
    const SLOWEST: Duration = Duration::from_secs(5);
    let pause = match left {
        // No chain makes ten blocks a second for long: this cannot oversleep the height by more than a poll.
        Some(left) => Duration::from_millis(100).saturating_mul(u32::try_from(left).unwrap_or(u32::MAX)),
        None => poll.saturating_mul(1 << silent.min(4)),
    };
    pause.clamp(poll, SLOWEST.max(poll))
}

/// How long a fetch waits so that a whole network does not fall on a release host in the same second: a share of the
/// limit and of 5 % of the time left, by a number drawn at random.
#[must_use]
pub fn jitter(limit: Duration, left: Option<Duration>, seed: u64) -> Duration {
    let most = left.map_or(Duration::ZERO, |left| left / 20).min(limit);
    let share = u32::try_from(seed % 1_000).unwrap_or_default();
    most * share / 1_000
}

/// How long to wait after something failed `failures` times in a row: one second, doubling, up to `most`.
#[must_use]
pub fn back_off(failures: u32, most: Duration) -> Duration {
    Duration::from_secs(1).saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most)
}

/// How urgent it is that a missing binary is placed by hand, by the time left: each step is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// More than a day.
    Days,
    /// Less than a day.
    Day,
    /// Less than six hours.
    Hours,
    /// Less than an hour.
    Hour,
    /// Less than ten minutes.
    Minutes,
    /// Less than a minute.
    Minute,
    /// The height has come.
    Now,
}

/// The urgency with this many blocks left, and the time that they take at the recent pace; unknown time counts as days. The last
/// ones may come at any moment on a chain that makes no empty blocks, as fast as on any other.
#[must_use]
pub fn urgency(left: Option<(u64, Option<Duration>)>) -> Urgency {
    const BUSY: u64 = 6;
    let seconds = left.and_then(|(_, time)| time).map(|time| time.as_secs());
    let soonest = left.filter(|(blocks, _)| *blocks <= CLOSE_BLOCKS).map(|(blocks, _)| BUSY * blocks);
    match seconds.into_iter().chain(soonest).min() {
        Some(0) => Urgency::Now,
        Some(1..60) => Urgency::Minute,
        Some(60..600) => Urgency::Minutes,
        Some(600..3_600) => Urgency::Hour,
        Some(3_600..21_600) => Urgency::Hours,
        Some(21_600..86_400) => Urgency::Day,
        _ => Urgency::Days,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_height_is_asked_for_seldom_and_a_near_one_at_every_poll() {
        let poll = Duration::from_millis(300);
        assert_eq!(ask_again(Some(1), 0, poll), poll);
        assert_eq!(ask_again(Some(1_000_000), 0, poll), Duration::from_secs(5));
        assert!(ask_again(None, 1, poll) < ask_again(None, 3, poll));
    }

    #[test]
    fn jitter_never_exceeds_its_limit_nor_a_twentieth_of_the_time_left() {
        let limit = Duration::from_mins(10);
        for seed in [0, 1, 999, u64::MAX] {
            assert!(jitter(limit, Some(Duration::from_secs(100)), seed) <= Duration::from_secs(5));
            assert!(jitter(limit, Some(Duration::from_secs(1_000_000)), seed) <= limit);
            assert_eq!(jitter(Duration::ZERO, Some(limit), seed), Duration::ZERO);
            assert_eq!(jitter(limit, None, seed), Duration::ZERO);
        }
    }

    #[test]
    fn jitter_is_a_share_of_what_there_is_time_for() {
        let limit = Duration::from_mins(10);
        assert_eq!(jitter(limit, Some(Duration::from_secs(1_000)), 7_500), Duration::from_secs(25));
        assert_eq!(jitter(limit, Some(Duration::from_hours(24)), 250), Duration::from_secs(150));
    }

    #[test]
    fn the_less_time_is_left_the_more_urgent_it_is() {
        use Urgency::{Day, Days, Hour, Hours, Minute, Minutes, Now};
        for (urgency, first, last) in [
            (Now, 0, 0),
            (Minute, 1, 59),
            (Minutes, 60, 599),
            (Hour, 600, 3_599),
            (Hours, 3_600, 6 * 3_600 - 1),
            (Day, 6 * 3_600, 24 * 3_600 - 1),
            (Days, 24 * 3_600, u64::MAX),
        ] {
            let far = |left| super::urgency(Some((u64::MAX, Some(Duration::from_secs(left)))));
            assert_eq!([first, last].map(far), [urgency; 2]);
        }
        assert_eq!([None, Some((101, None))].map(urgency), [Days; 2]);
        assert!(Now > Minute && Minute > Hours && Hours > Days);
    }

    /// A chain without empty blocks had made a block a day, and made the last ones within a minute.
    #[test]
    fn the_last_blocks_are_urgent_whatever_time_the_ones_before_took() {
        use Urgency::{Days, Hour, Minute, Minutes, Now};
        let day = Duration::from_hours(24);
        for pace in [None, Some(day)] {
            let left = |blocks: u32| (u64::from(blocks), pace.map(|pace| pace * blocks));
            let urgencies = [101, 100, 99, 10, 9, 1, 0].map(|blocks| urgency(Some(left(blocks))));
            assert_eq!(urgencies, [Days, Hour, Minutes, Minutes, Minute, Minute, Now]);
        }
        assert_eq!(urgency(Some((100, Some(Duration::from_secs(20))))), Minute);
    }

    #[test]
    fn back_off_doubles_up_to_its_limit() {
        let most = Duration::from_mins(1);
        assert_eq!([1, 2, 3, 100].map(|n| back_off(n, most).as_secs()), [1, 2, 4, 60]);
    }
}
