//! What strangers write, bent in every way: answers of endpoints, plans, documents, checksums, files, archives. Nothing
//! panics, takes long or takes much memory, and what is refused is named in a few words. A few seconds as it is; more with
//! `PROPTEST_CASES=20000 cargo test --release --test fuzz`.

#[path = "fuzz/answers.rs"]
mod answers;
#[path = "fuzz/archives.rs"]
mod archives;
#[path = "fuzz/bent.rs"]
mod bent;
#[path = "fuzz/memory.rs"]
mod memory;
#[path = "fuzz/plans.rs"]
mod plans;
#[path = "support/say.rs"]
mod say;
#[path = "support/servers.rs"]
#[expect(dead_code, reason = "what says the same to everybody is used by other tests")]
mod servers;

use std::{
    sync::{PoisonError, RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};

use proptest::prelude::ProptestConfig;

/// Memory is measured while nothing else runs.
static ALONE: RwLock<()> = RwLock::new(());

fn in_company() -> RwLockReadGuard<'static, ()> {
    ALONE.read().unwrap_or_else(PoisonError::into_inner)
}

/// So many cases, unless `PROPTEST_CASES` says otherwise.
fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig { cases: cases.unwrap_or(usual), failure_persistence: None, ..ProptestConfig::default() }
}

/// Runs it.
///
/// # Panics
/// Where it takes longer than anything here may.
fn in_time<T>(run: impl FnOnce() -> T) -> T {
    const LONGEST: Duration = Duration::from_mins(1);
    let begun = Instant::now();
    let value = run();
    assert!(begun.elapsed() < LONGEST, "it took {:?}", begun.elapsed());
    value
}

/// Whether it is fit to be shown: in a few words, and nothing that a terminal would act on.
fn is_fit(words: &str) -> bool {
    const LONGEST: usize = 2_000;
    words.len() <= LONGEST && !words.chars().any(char::is_control)
}
