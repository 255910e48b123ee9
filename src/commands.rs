//! What each command does.

pub mod demo;
pub mod fetch_history;
pub mod run;
pub mod upcoming;
