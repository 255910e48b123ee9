//! When a height will come: an estimate with an interval from the times of recent blocks.

use ::core::time::Duration;
use alloc::vec::Vec;

/// How many samples of a chain's pace are kept.
const SAMPLES: usize = 64;

/// The recent pace of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pace {
    /// Height and block time in milliseconds since the Unix epoch, by height.
    samples: Vec<(u64, u64)>,
}

/// When a height will come, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eta {
    /// The best guess.
    pub at: u64,
    /// Not before this, as far as recent blocks tell.
    pub earliest: u64,
    /// Not after this, as far as recent blocks tell.
    pub latest: u64,
}

impl Pace {
    /// Adds a block; a height that goes back starts anew.
    pub fn add(&mut self, height: u64, time: u64) {
        match self.samples.binary_search_by_key(&height, |sample| sample.0) {
            Ok(_) => return,
            Err(place) => self.samples.insert(place, (height, time)),
        }
        if self.samples.len() > SAMPLES {
            self.samples.remove(0);
        }
    }

    /// Mean time between recent blocks; none with fewer than two of them.
    #[must_use]
    pub fn block_time(&self) -> Option<Duration> {
        let (first, last) = (self.samples.first()?, self.samples.last()?);
        let blocks = last.0.checked_sub(first.0).filter(|blocks| *blocks > 0)?;
        Some(Duration::from_millis(last.1.saturating_sub(first.1) / blocks))
    }

    /// When `height` will come. The interval spans how far each stretch between two samples was off the mean; a stretch
    /// that is shorter than what is left counts by the square root of its share, as independent blocks would.
    #[must_use]
    pub fn eta(&self, height: u64) -> Option<Eta> {
        const WHOLE: u64 = 1_000;
        let last = *self.samples.last()?;
        let left = height.saturating_sub(last.0);
        let mean = u64::try_from(self.block_time()?.as_millis()).ok()?;
        let (mut faster, mut slower) = (0, 0);
        for pair in self.samples.windows(2) {
            let blocks = (pair[1].0 - pair[0].0).max(1);
            let pace = pair[1].1.saturating_sub(pair[0].1) / blocks;
            let share = (blocks.saturating_mul(WHOLE * WHOLE) / left.max(1)).isqrt().min(WHOLE);
            let off = pace.abs_diff(mean).saturating_mul(share) / WHOLE;
            let widest = if pace < mean { &mut faster } else { &mut slower };
            *widest = off.max(*widest);
        }
        let after = |pace: u64| last.1.saturating_add(left.saturating_mul(pace));
        Some(Eta {
            at: after(mean),
            earliest: after(mean.saturating_sub(faster)),
            latest: after(mean.saturating_add(slower)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_chain_is_foretold_to_the_millisecond() {
        let mut pace = Pace::default();
        for height in 100..140 {
            pace.add(height, height * 6_000);
        }
        assert_eq!(pace.block_time(), Some(Duration::from_secs(6)));
        let eta = pace.eta(239).unwrap();
        assert_eq!((eta.at, eta.earliest, eta.latest), (239 * 6_000, 239 * 6_000, 239 * 6_000));
    }

    #[test]
    fn an_irregular_chain_gets_an_interval_around_the_guess() {
        let mut pace = Pace::default();
        let mut time = 0;
        for height in 1..=40_u64 {
            time += if height % 5 == 0 { 14_000 } else { 5_000 };
            pace.add(height, time);
        }
        let eta = pace.eta(140).unwrap();
        assert!(eta.earliest < eta.at && eta.at < eta.latest, "{eta:?}");
    }

    #[test]
    fn one_slow_block_says_little_about_a_height_far_away() {
        let mut pace = Pace::default();
        for (height, time) in [(1_000, 6_000_000), (9_000, 54_000_000), (9_999, 59_994_000), (10_000, 60_030_000)] {
            pace.add(height, time);
        }
        let eta = pace.eta(110_000).unwrap();
        assert!(eta.latest - eta.at < (eta.at - 60_030_000) / 50, "{eta:?}");
    }

    #[test]
    fn one_block_alone_foretells_nothing() {
        let mut pace = Pace::default();
        pace.add(7, 1_000);
        pace.add(7, 9_000);
        assert_eq!(pace.eta(9), None);
    }
}
