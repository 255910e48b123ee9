//! When a height will come: an estimate with an interval, from the times of a few blocks over several scales.
//!
//! Chains pause for hours at an upgrade, change their pace for good, breathe with the day, and now and then need a minute for
//! a block; a mean over a fixed number of blocks is wrong after most of these. So the stretches between known blocks first
//! agree on a pace, each scale with one vote; those far off it (a pause, the pace before a change) are left out; and of
//! the others as many blocks count as lie ahead. `benches/forecast.rs` holds that against such means.

use ::core::{cmp::Reverse, time::Duration};
use alloc::vec::Vec;

/// How many blocks of a chain are kept.
const SAMPLES: usize = 64;
/// Blocks within which no pace is told apart from chance; the first block asked for is so far back.
const NEAR: u64 = 100;
/// Parts of one.
const PPM: u64 = 1_000_000;
/// How far blocks are looked for, microseconds: whole days and whole weeks have no hour or day of their own.
const WEEK: u64 = 7 * 86_400 * PPM;

/// The recent pace of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pace {
    /// Height and block time in milliseconds since the Unix epoch, by height.
    samples: Vec<(u64, u64)>,
    /// Blocks below this height are not to be had.
    floor: u64,
}

/// When a height will come, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eta {
    /// The best guess.
    pub at: u64,
    /// Before this in about one case of twenty, by the generated chains of the benchmark.
    pub earliest: u64,
    /// After this in about one case of twenty.
    pub latest: u64,
}

/// What lies between two known blocks.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// The height of its newer end.
    end: u64,
    /// Blocks from that to the newest known one.
    age: u64,
    blocks: u64,
    /// Microseconds for a block.
    pace: u64,
}

impl Pace {
    /// Adds a block. One whose time contradicts its height starts anew where it is the newest, and is ignored else.
    pub fn add(&mut self, height: u64, time: u64) {
        let place = self.samples.partition_point(|sample| sample.0 < height);
        let (older, newer) = self.samples.split_at(place);
        if newer.first().is_some_and(|sample| sample.0 == height) {
            return;
        }
        let fits =
            older.last().is_none_or(|sample| sample.1 <= time) && newer.first().is_none_or(|sample| time <= sample.1);
        if fits {
            self.samples.insert(place, (height, time));
            self.thin();
        } else if newer.last().is_none_or(|newest| newest.1 < time) {
            *self = Self { samples: alloc::vec![(height, time)], floor: 0 };
        }
    }

    /// Blocks below this height are not kept where they would be asked for.
    pub fn keep_above(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
    }

    /// Nobody has this block, so the next one is looked for between it and the oldest known one.
    pub fn is_missing(&mut self, height: u64) {
        if let (Some(oldest), Some(newest)) = (self.samples.first(), self.samples.last()) {
            let (near, far) = (newest.0.saturating_sub(oldest.0).max(1), newest.0.saturating_sub(height));
            self.floor = newest.0.saturating_sub(near.saturating_mul(far).isqrt()).max(height.saturating_add(1));
        }
    }

    /// The height whose time would tell most: one on the next scale up to a week; then the middle of the newest stretch that
    /// does not agree with the others, to find where a pause or a change was.
    #[must_use]
    pub fn wanted(&self) -> Option<u64> {
        const NEXT_SCALE: u64 = 5;
        let (oldest, newest) = (self.samples.first()?.0, self.samples.last()?.0);
        let (reach, pace) = (newest - oldest, self.consensus());
        let week = pace.map_or(NEAR, |pace| WEEK / pace.max(1)).max(NEAR);
        let older = newest.saturating_sub(reach.saturating_mul(NEXT_SCALE).clamp(NEAR, week)).max(self.floor).max(1);
        if oldest.saturating_sub(older) > reach / 4 {
            return Some(older);
        }
        // A part of a stretch is further off than all of it.
        let odd = |stretch: &Stretch| {
            stretch.blocks > NEAR && pace.is_some_and(|pace| stretch.off(pace) > stretch.tolerance() / 2)
        };
        let middle = |stretch: Stretch| stretch.end - stretch.blocks / 2;
        self.stretches().filter(odd).map(middle).find(|middle| *middle >= self.floor)
    }

    /// Heights and times that are known, by height.
    #[must_use]
    pub fn samples(&self) -> &[(u64, u64)] {
        &self.samples
    }

    /// Time for a block over the next `ahead` blocks; none with fewer than two known.
    #[must_use]
    pub fn block_time(&self, ahead: u64) -> Option<Duration> {
        self.outlook(ahead).map(|outlook| Duration::from_micros(outlook.pace))
    }

    /// When `height` will come; `now` is the clock, milliseconds since the Unix epoch. A chain that has been silent for
    /// longer than ten blocks may stand still, and every height comes later by that; or whoever told its newest block may
    /// lag behind, and nothing does: the interval allows for both.
    #[must_use]
    pub fn eta(&self, height: u64, now: u64) -> Option<Eta> {
        const SILENT: u64 = 10;
        let newest = *self.samples.last()?;
        let left = height.saturating_sub(newest.0);
        let Outlook { pace, fastest, slowest } = self.outlook(left)?;
        let after = |blocks: u64, pace: u64| newest.1.saturating_add(blocks.saturating_mul(pace) / 1_000);
        let silent = now.saturating_sub(after(SILENT, pace));
        let at = after(left, pace).saturating_add(silent);
        let latest = after(left, slowest).saturating_add(silent);
        Some(Eta { at, earliest: after(left, fastest).max(now).min(at), latest })
    }

    /// The pace for the next `ahead` blocks: the mean of as many blocks back, of those which agree. It may be off by what
    /// chance does to so many blocks, by what the counted stretches differ (one that is shorter than what lies ahead by the
    /// square root of its share, as independent blocks would), and by what no past tells.
    fn outlook(&self, ahead: u64) -> Option<Outlook> {
        let consensus = self.consensus()?;
        let window = ahead.saturating_mul(2).max(NEAR);
        let counted = || {
            let agreeing = self.stretches().filter(|stretch| stretch.agrees(consensus));
            agreeing.map(|stretch| (stretch, stretch.blocks.min(window.saturating_sub(stretch.age))))
        };
        let mean = |value: &dyn Fn(Stretch) -> u64| {
            let (mut sum, mut blocks) = (0_u128, 0_u128);
            for (stretch, count) in counted() {
                sum += u128::from(value(stretch)) * u128::from(count);
                blocks += u128::from(count);
            }
            sum.checked_div(blocks).and_then(|mean| u64::try_from(mean).ok())
        };
        let pace = mean(&|stretch| stretch.pace).unwrap_or(consensus);
        let spread = mean(&|stretch| {
            let share = (PPM.saturating_mul(stretch.blocks) / ahead.max(1)).saturating_mul(PPM).isqrt().min(PPM);
            stretch.off(pace).saturating_mul(share) / PPM
        });
        let chance = PPM / ahead.max(1).isqrt();
        let known = chance + 2 * spread.unwrap_or_default() + PPM / 100;
        let restless = self.stretches().any(|stretch| !stretch.agrees(consensus));
        let weeks = PPM.saturating_mul(ahead.saturating_mul(pace) / (WEEK / PPM)).isqrt();
        let (faster, slower) = if restless { (weeks / 8, weeks / 5) } else { (weeks / 50, weeks / 25) };
        let part = |ppm: u64| u64::try_from(u128::from(pace) * u128::from(ppm) / u128::from(PPM)).unwrap_or(u64::MAX);
        let fastest = part(PPM.saturating_sub(known.saturating_add(faster)));
        Some(Outlook { pace, fastest, slowest: part(PPM.saturating_add(known).saturating_add(slower)) })
    }

    /// The pace at which half of the scales are faster, each octave of age with about the same weight: a pause is in one
    /// of them, and the pace before a change in few.
    fn consensus(&self) -> Option<u64> {
        let vote = |stretch: Stretch| {
            let scale = NEAR.saturating_add(stretch.age).saturating_add(stretch.blocks / 2);
            (stretch.pace, u128::from(stretch.blocks) * u128::from(PPM) / u128::from(scale))
        };
        let mut votes: Vec<_> = self.stretches().map(vote).collect();
        votes.sort_unstable();
        let all: u128 = votes.iter().map(|vote| vote.1).sum();
        let mut counted = 0;
        let middle = votes.into_iter().find(|vote| {
            counted += vote.1;
            counted * 2 >= all
        });
        middle.map(|vote| vote.0)
    }

    /// From the newest on.
    fn stretches(&self) -> impl Iterator<Item = Stretch> {
        let newest = self.samples.last().map_or(0, |sample| sample.0);
        self.samples.windows(2).rev().map(move |pair| {
            let blocks = pair[1].0 - pair[0].0;
            let pace = (pair[1].1 - pair[0].1).saturating_mul(1_000) / blocks;
            Stretch { end: pair[1].0, age: newest - pair[1].0, blocks, pace }
        })
    }

    /// Forgets the block that is missed least, where there are too many: the younger, the denser they are.
    fn thin(&mut self) {
        let newest = self.samples.last().map_or(0, |sample| sample.0);
        let merged = |at: &usize| {
            let (older, newer) = (self.samples[at - 1].0, self.samples[at + 1].0);
            (newer - older).saturating_mul(PPM) / (newest - newer).saturating_add(NEAR / 2)
        };
        if self.samples.len() > SAMPLES {
            let least = (1..SAMPLES).min_by_key(|at| (merged(at), Reverse(*at)));
            least.map(|at| self.samples.remove(at));
        }
    }
}

/// Microseconds for a block: the best guess, and the ends of its interval.
struct Outlook {
    pace: u64,
    fastest: u64,
    slowest: u64,
}

impl Stretch {
    /// How far off a pace it is, parts in a million.
    fn off(&self, pace: u64) -> u64 {
        parts(self.pace.abs_diff(pace), pace)
    }

    fn agrees(&self, pace: u64) -> bool {
        self.off(pace) <= self.tolerance()
    }

    /// How far off the time of the day, or chance within few blocks, can put it.
    fn tolerance(&self) -> u64 {
        PPM / 12 + 4 * PPM / self.blocks.isqrt()
    }
}

/// Parts in a million.
fn parts(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * u128::from(PPM) / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
