//! `watcher`: carries a Cosmos SDK node through its software upgrades.
extern crate alloc;

pub mod artifact;
pub mod chain;
pub mod decide;
pub mod http;
