//! What each command does.

pub mod demo;
pub mod migrate_check;
pub mod run;
pub mod upcoming;
