//! The simulated world: a pure model of disk, node, chain, network and operator in which the real core lives through
//! thousands of random histories with faults. It runs in virtual time. `WATCHER_HISTORIES=n` plays more of them.
#![expect(unreachable_pub, reason = "a test has no surface")]

mod world {
    pub mod chain;
    pub mod disk;
    pub mod endpoints;
    pub mod history;
    pub mod jobs;
    pub mod life;
    pub mod machine;
    pub mod node;
    pub mod play;
    #[cfg(test)]
    pub mod stories;
}

use std::cell::Cell;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use world::{history::histories, machine::Tally, play::play};

#[test]
fn random_histories_break_no_promise() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (cases, seed) = (number("WATCHER_HISTORIES").unwrap_or(2_000), number("WATCHER_SEED").unwrap_or(1));
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 3_000, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let sum = Cell::new(Tally::default());
    let outcome = runner.run(&histories(), |history| {
        let tally = play(&history).map_err(TestCaseError::fail)?;
        sum.set(sum.get().and(tally));
        Ok(())
    });
    let Tally { histories, faults, decisions, switches, passed, taken_back } = sum.get();
    if let Err(error) = outcome {
        panic!("after {histories} histories with seed {seed}: {error}");
    }
    println!(
        "histories {histories}, faults injected {faults}, violations 0 \
         ({decisions} decisions, {switches} switches, {passed} upgrades passed, {taken_back} taken back)"
    );
}
