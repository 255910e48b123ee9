//! How often an endpoint is asked. The own node is near and costs nothing; other people's endpoints are asked rarely until
//! it matters, and never in step with everybody else's `watcher`.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use crate::{chain::endpoints::Endpoint, decide::decision::Attention};

/// By whose clock an endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// The own node's.
    Own,
    /// That of other people's endpoints.
    Others,
}

impl Pace {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        if endpoint.own.is_some() { Self::Own } else { Self::Others }
    }

    /// How long to wait for a block before looking by oneself. `chance` is between 0 and 1.
    pub(super) fn pause(self, attention: Attention, chance: f64) -> Duration {
        match (self, attention) {
            (_, Attention::EveryBlock) => Duration::from_secs(1),
            (Self::Own, Attention::Relaxed) => Duration::from_secs(3),
            (Self::Others, Attention::Relaxed) => Duration::from_secs(25) + Duration::from_secs(10).mul_f64(chance),
        }
    }

    /// Whether announcements of blocks are wanted. Other people's nodes have room for few subscribers.
    pub(super) fn wants_announcements(self, attention: Attention) -> bool {
        self == Self::Own || attention == Attention::EveryBlock
    }

    /// How long a failure lasts before it is told: the own node is silent at each of its starts.
    pub(super) fn patience(self) -> Duration {
        match self {
            Self::Own => Duration::from_secs(30),
            Self::Others => Duration::ZERO,
        }
    }

    /// Whether proposals are to be read: each block where a vote ends or a height is near, else now and then. `age` is
    /// the time since the last attempt; none before the first. `failed`: that one gave no answer.
    pub(super) fn wants_proposals(
        self,
        attention: Attention,
        age: Option<Duration>,
        new_block: bool,
        failed: bool,
    ) -> bool {
        let Some(age) = age else { return true };
        match (self, attention) {
            (_, Attention::EveryBlock) => new_block || failed && age >= Duration::from_secs(5),
            (Self::Own, Attention::Relaxed) => new_block && age >= Duration::from_secs(10),
            (Self::Others, Attention::Relaxed) => age >= Duration::from_mins(1),
        }
    }

    /// The longest pause after failures: the own node is back at any moment, because it is being restarted.
    fn longest(self) -> Duration {
        match self {
            Self::Own => Duration::from_secs(1),
            Self::Others => Duration::from_secs(30),
        }
    }
}

/// Longer and longer pauses after failures in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    pace: Pace,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, failures: 0 }
    }

    /// The pause after one more failure; not shorter than what the endpoint asked for, within reason.
    pub(super) fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        const LONGEST_WISH: Duration = Duration::from_mins(10);
        let doubled = Duration::from_millis(500) * (1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.pace.longest()).max(retry_after.unwrap_or_default().min(LONGEST_WISH))
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A number between 0 and 1 that differs from run to run.
#[expect(clippy::cast_precision_loss, reason = "a chance needs few digits")]
pub(super) fn chance() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_node_is_asked_more_often_than_others() {
        use Attention::{EveryBlock, Relaxed};
        let seconds = Duration::from_secs_f64;
        for (pace, attention, chance, pause) in [
            (Pace::Own, Relaxed, 0.9, 3.0),
            (Pace::Own, EveryBlock, 0.9, 1.0),
            (Pace::Others, Relaxed, 0.0, 25.0),
            (Pace::Others, Relaxed, 1.0, 35.0),
            (Pace::Others, EveryBlock, 0.5, 1.0),
        ] {
            assert_eq!(pace.pause(attention, chance), seconds(pause));
        }
        assert!(Pace::Own.wants_announcements(Relaxed) && Pace::Others.wants_announcements(EveryBlock));
        assert!(!Pace::Others.wants_announcements(Relaxed));
        assert!((0.0..=1.0).contains(&chance()));
    }

    #[test]
    fn proposals_are_read_each_block_when_it_matters_and_now_and_then_else() {
        use Attention::{EveryBlock, Relaxed};
        use Pace::{Others, Own};
        for (pace, attention, age, new_block, failed, wanted) in [
            (Others, Relaxed, None, false, false, true),
            (Others, Relaxed, Some(59), true, true, false),
            (Others, Relaxed, Some(60), false, false, true),
            (Own, Relaxed, Some(9), true, false, false),
            (Own, Relaxed, Some(10), true, false, true),
            (Own, Relaxed, Some(99), false, true, false),
            (Others, EveryBlock, Some(0), true, true, true),
            (Own, EveryBlock, Some(59), false, false, false),
            (Own, EveryBlock, Some(4), false, true, false),
            (Own, EveryBlock, Some(5), false, true, true),
        ] {
            let age = age.map(Duration::from_secs);
            assert_eq!(
                pace.wants_proposals(attention, age, new_block, failed),
                wanted,
                "{pace:?} {attention:?} {age:?}"
            );
        }
    }

    #[test]
    fn failures_make_pauses_longer_up_to_a_limit() {
        let pauses = |pace| {
            let mut backoff = Backoff::new(pace);
            (0..8).map(|_| backoff.next(None).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(Pace::Own), [500, 1000, 1000, 1000, 1000, 1000, 1000, 1000]);
        assert_eq!(pauses(Pace::Others), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn what_an_endpoint_asks_for_is_respected_within_reason() {
        let mut backoff = Backoff::new(Pace::Others);
        assert_eq!(backoff.next(Some(Duration::from_secs(90))), Duration::from_secs(90));
        assert_eq!(backoff.next(Some(Duration::MAX)), Duration::from_mins(10));
        backoff.reset();
        assert_eq!(backoff.next(Some(Duration::ZERO)), Duration::from_millis(500));
    }
}
