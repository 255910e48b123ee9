//! Chains of several characters, as the times of their blocks.

use std::f64::consts::TAU;

/// Seconds.
pub(crate) const HOUR: f64 = 3_600.0;
pub(crate) const DAY: f64 = 24.0 * HOUR;
pub(crate) const WEEK: f64 = 7.0 * DAY;

/// What a chain is like. Times are in seconds, the rest are parts of the usual time for a block, or of all blocks.
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    /// The usual time for a block.
    pub(crate) pace: f64,
    /// How much blocks differ: the standard deviation.
    noise: f64,
    /// How many blocks need another round or more, and by how much the least of these is later. The tail is Pareto's, 1.5.
    rounds: (f64, f64),
    /// How much slower the busiest hour is, and how much faster the quietest.
    day: f64,
    /// Changes of pace for good in a week, each by up to a half.
    changes: f64,
    /// Pauses in a week, of ten minutes to twelve hours.
    pauses: f64,
    /// Blocks that nodes keep.
    pub(crate) kept: usize,
}

const STEADY: Chain = Chain {
    name: "steady, 6 s",
    pace: 6.0,
    noise: 0.05,
    rounds: (0.01, 0.5),
    day: 0.0,
    changes: 0.0,
    pauses: 0.0,
    kept: usize::MAX,
};

pub(crate) const CHAINS: [Chain; 9] = [
    STEADY,
    Chain { name: "with the day, 8 %", day: 0.08, ..STEADY },
    Chain { name: "heavy tails, 5 % of blocks", rounds: (0.05, 1.0), noise: 0.2, ..STEADY },
    Chain { name: "a pause in every three days", pauses: 2.0, ..STEADY },
    Chain { name: "a change of pace in a week", changes: 1.0, ..STEADY },
    Chain { name: "fast, 0.6 s, with the day", pace: 0.6, day: 0.05, noise: 0.2, pauses: 0.5, ..STEADY },
    Chain { name: "slow, 40 s, on demand", pace: 40.0, noise: 0.8, day: 0.3, ..STEADY },
    Chain { name: "all of it", rounds: (0.03, 1.0), noise: 0.1, day: 0.05, changes: 0.5, pauses: 1.0, ..STEADY },
    Chain {
        name: "all of it, 20,000 blocks kept",
        rounds: (0.03, 1.0),
        noise: 0.1,
        day: 0.05,
        changes: 0.5,
        pauses: 1.0,
        kept: 20_000,
        ..STEADY
    },
];

impl Chain {
    /// The times of all blocks in four weeks, milliseconds.
    pub(crate) fn history(&self, random: &mut Random) -> Vec<u64> {
        let (mut time, mut pace, mut times) = (0.0, self.pace, Vec::new());
        let phase = random.below_one();
        while time < 4.0 * WEEK {
            let share = pace / WEEK;
            if random.below_one() < self.changes * share {
                pace *= (random.below_one() - 0.5).exp().clamp(0.5, 1.5);
            }
            if random.below_one() < self.pauses * share {
                time += 600.0 * 72_f64.powf(random.below_one());
            }
            let hour = 1.0 + self.day * (TAU * (time / DAY + phase)).sin();
            let round = if random.below_one() < self.rounds.0 {
                (self.rounds.1 * random.below_one().max(1e-9).powf(-1.0 / 1.5)).min(100.0)
            } else {
                0.0
            };
            time += pace * (hour * (1.0 + self.noise * random.normal()).max(0.2) + round);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "weeks in milliseconds")]
            times.push((time * 1_000.0) as u64);
        }
        times
    }
}

/// Numbers by chance (`SplitMix64`), the same ones for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below_one(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).expect("32 bits are left")) / 4_294_967_296.0
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.below_one().max(1e-12).ln()).sqrt() * (TAU * self.below_one()).cos()
    }
}
