//! The core compiled without the standard library: that it cannot touch disk, network or clock is a compile error here,
//! not a habit. Built by `cargo test` with the other examples.
#![no_std]
#![allow(dead_code, unreachable_pub, reason = "the same files are a public module of the crate")]

extern crate alloc;

/// The sources of the crate, of which only the core is taken.
#[path = "../../src"]
pub mod source {
    pub mod decide;
}
