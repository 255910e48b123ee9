//! What each command does.

pub mod demo;
pub mod fetch_history;
pub mod hold;
pub mod migrate_check;
pub mod replace;
pub mod run;
pub mod upcoming;

use std::future::Future;

/// Waits for work that waits for others. Commands that answer at once do without a runtime.
///
/// There is one thread: a child is told of our end by the end of the thread that started it, and that must be this one.
fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // Threads that wait for a slow disk or network must not hold up the end.
    runtime.shutdown_background();
    result
}
