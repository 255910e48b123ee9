//! The embedded chain and node behave as real ones do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod demo;
mod node;
