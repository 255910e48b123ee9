//! `watcher`: carries a Cosmos SDK node through its software upgrades.
extern crate alloc;

pub mod artifact;
pub mod chain;
pub mod cli;
pub mod commands;
pub mod config;
pub mod decide;
pub mod exit;
pub mod home;
pub mod http;
mod json;
pub mod log;
pub mod persona;
pub mod process;
pub mod sim;
pub mod supervisor;
