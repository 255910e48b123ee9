//! The simulated world: a pure model of disk, node, chain, network and operator in which the real core lives through
//! thousands of random histories with faults. It runs in virtual time, on all processors.
//!
//! ```text
//! WATCHER_HISTORIES=1000000 cargo test --test world random            # so many
//! WATCHER_SEED=7 cargo test --test world random                       # others
//! WATCHER_SEED=7 WATCHER_HISTORY=123 cargo test --test world random   # this one alone, and shrunk where it fails
//! cargo test --test world random -- --nocapture                       # with the table of what happened where
//! ```
//!
//! Which history has which number depends on what a history can be, so a failing one that is mended is kept as a story:
//! its print can be pasted into `world/stories.rs`.
#![expect(unreachable_pub, reason = "a test has no surface")]

mod world {
    pub mod chain;
    pub mod coverage;
    pub mod disk;
    pub mod endpoints;
    pub mod history;
    pub mod jobs;
    pub mod life;
    pub mod machine;
    pub mod node;
    pub mod play;
    #[cfg(test)]
    mod replay;
    pub mod snapshot;
    #[cfg(test)]
    pub mod stories;
}

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use world::{history::histories, machine::Tally, play::play};

/// So many fill the table.
const ENOUGH: u64 = 2_000;

#[test]
fn random_histories_break_no_promise() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("it is a number"));
    let (seed, alone) = (number("WATCHER_SEED").unwrap_or(1), number("WATCHER_HISTORY"));
    let end = alone.map_or_else(|| number("WATCHER_HISTORIES").unwrap_or(ENOUGH), |alone| alone + 1);
    let next = AtomicU64::new(alone.unwrap_or(0));
    let plays = || {
        let mut sum = Tally::default();
        loop {
            let history = next.fetch_add(1, Ordering::Relaxed);
            if history >= end {
                return Ok(sum);
            }
            sum = sum.and(&random(seed, history).inspect_err(|_| next.store(end, Ordering::Relaxed))?);
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let sums: Vec<Result<Tally, String>> = thread::scope(|scope| {
        let players: Vec<_> = (0..processors).map(|_| scope.spawn(plays)).collect();
        players.into_iter().map(|player| player.join().expect("it tells what it breaks")).collect()
    });
    let sum =
        sums.into_iter().fold(Tally::default(), |sum, more| sum.and(&more.unwrap_or_else(|broken| panic!("{broken}"))));
    println!("{sum}");
    if sum.histories >= ENOUGH {
        assert_eq!(sum.coverage.faults(), Vec::<String>::new(), "of what may happen where");
    }
}

/// One history, by its number.
fn random(seed: u64, history: u64) -> Result<Tally, String> {
    let config = Config { cases: 1, failure_persistence: None, max_shrink_iters: 3_000, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&history.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let tally = Cell::default();
    let outcome = runner.run(&histories(), |history| {
        tally.set(play(&history).map_err(TestCaseError::fail)?);
        Ok(())
    });
    outcome.map(|()| tally.into_inner()).map_err(|error| {
        format!(
            "{error}\nto play it again and shrink it: \
             WATCHER_SEED={seed} WATCHER_HISTORY={history} cargo test --test world random"
        )
    })
}
