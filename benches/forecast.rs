//! How well the time of a height is foretold an hour, a day and a week ahead, beside the means of the last 100 and of the last
//! 10,000 blocks. The chains are generated: rounds that fail, busy hours, changes of pace, pauses, heavy tails, blocks on
//! demand, nodes that keep few blocks. Prints errors as parts of the time ahead, and how often the interval held; panics
//! where either mean does better than `watcher`. A few seconds:
//!
//! ```sh
//! cargo bench --bench forecast            # ORIGINS=200 forecasts for each kind of chain; SEED=1
//! ```

#![expect(clippy::cast_precision_loss, reason = "weeks in milliseconds are far below 2^53")]

#[path = "forecast/chains.rs"]
mod chains;
#[path = "../tests/support/say.rs"]
mod say;

use std::env;

use chains::{CHAINS, Chain, DAY, HOUR, Random, WEEK};
use say::say;
use watcher::decide::forecast::Pace;

/// As many headers as `watcher upcoming` asks for at most.
const MOST_HEADERS: u32 = 8;
const HORIZONS: [(&str, f64); 3] = [("1 hour", HOUR), ("1 day", DAY), ("1 week", WEEK)];
/// Forecasts made from one generated history.
const PER_HISTORY: u32 = 20;
const NAMES: [&str; 3] = ["watcher", "mean of 100", "mean of 10,000"];

fn main() {
    let number = |name: &str, usual: u32| env::var(name).map_or(usual, |text| text.parse().expect("it is a number"));
    let (origins, mut random) = (number("ORIGINS", 200), Random(number("SEED", 1).into()));
    let mut all = HORIZONS.map(|_| Results::default());
    let (mut asked, mut forecasts) = (0, 0);
    say("error, % of the time ahead (mean, 90th percentile), and how often the interval held");
    for chain in &CHAINS {
        let mut own = HORIZONS.map(|_| Results::default());
        for _ in 0..origins.div_ceil(PER_HISTORY) {
            let times = chain.history(&mut random);
            for _ in 0..PER_HISTORY {
                let newest = somewhere(&times, &mut random);
                let (pace, headers) = learn(&times, newest, chain);
                (asked, forecasts) = (asked + headers, forecasts + 1);
                for (at, (_, horizon)) in HORIZONS.iter().enumerate() {
                    own[at].judge(&pace, &times, newest, *horizon, chain);
                }
            }
        }
        report(chain.name, &own);
        all.iter_mut().zip(own).for_each(|(all, own)| all.take(own));
    }
    report("all", &all);
    say(&format!("headers asked for: {:.1} on average", f64::from(asked) / f64::from(forecasts)));
    for ((horizon, _), results) in HORIZONS.iter().zip(&all) {
        let [own, short, long] = results.errors.each_ref().map(|errors| mean(errors));
        assert!(own <= short && own <= long, "{horizon}: {own:.4} is worse than {short:.4} or {long:.4}");
    }
}

/// A block with a week and more on both sides.
fn somewhere(times: &[u64], random: &mut Random) -> usize {
    let wanted = milliseconds(WEEK * 1.5 + random.below_one() * WEEK);
    times.partition_point(|time| *time < wanted)
}

/// Asks for blocks as `watcher upcoming` does; and how many those were.
fn learn(times: &[u64], newest: usize, chain: &Chain) -> (Pace, u32) {
    let mut pace = Pace::default();
    pace.add(newest as u64, times[newest]);
    pace.keep_above(newest.saturating_sub(chain.kept) as u64);
    for asked in 0..MOST_HEADERS {
        let Some(height) = pace.wanted() else { return (pace, asked) };
        pace.add(height, times[usize::try_from(height).expect("it is a height")]);
    }
    (pace, MOST_HEADERS)
}

/// How far off each forecast was, as parts of the time ahead, and how often the interval held.
#[derive(Default)]
struct Results {
    errors: [Vec<f64>; 3],
    held: u32,
    late: u32,
}

impl Results {
    /// Foretells the height that would come in `horizon` at the usual pace of this history.
    fn judge(&mut self, pace: &Pace, times: &[u64], newest: usize, horizon: f64, chain: &Chain) {
        let ahead = times.partition_point(|time| *time < times[newest] + milliseconds(horizon)) - newest;
        let (start, truth) = (times[newest], times[newest + ahead]);
        let eta = pace.eta((newest + ahead) as u64, start).expect("some blocks are known");
        self.held += u32::from((eta.earliest..=eta.latest).contains(&truth));
        self.late += u32::from(truth > eta.latest);
        let mean = |blocks: usize| {
            let oldest = newest - blocks.min(chain.kept);
            start + (start - times[oldest]) * ahead as u64 / (newest - oldest) as u64
        };
        for (errors, at) in self.errors.iter_mut().zip([eta.at, mean(100), mean(10_000)]) {
            errors.push(at.abs_diff(truth) as f64 / (truth - start) as f64);
        }
    }

    fn take(&mut self, other: Self) {
        self.held += other.held;
        self.late += other.late;
        self.errors.iter_mut().zip(other.errors).for_each(|(all, more)| all.extend(more));
    }
}

fn report(chain: &str, results: &[Results; 3]) {
    say(chain);
    for ((horizon, _), results) in HORIZONS.iter().zip(results) {
        let errors = NAMES
            .iter()
            .zip(&results.errors)
            .map(|(name, errors)| format!("{name} {:6.2} {:6.2}", 100.0 * mean(errors), 100.0 * ninetieth(errors)));
        let count = results.errors[0].len() as f64;
        let held = 100.0 * f64::from(results.held) / count;
        let late = 100.0 * f64::from(results.late) / count;
        say(&format!(
            "  {horizon:7} {}   held {held:3.0} % (later {late:.0} %)",
            errors.collect::<Vec<_>>().join("   ")
        ));
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn ninetieth(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() * 9 / 10]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "weeks in milliseconds")]
fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1_000.0) as u64
}
