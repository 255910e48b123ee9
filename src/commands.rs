//! What each command does.

pub mod demo;
pub mod fetch_history;
pub mod hold;
pub mod migrate_check;
pub mod replace;
pub mod run;
pub mod upcoming;
