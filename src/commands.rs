//! What each command does.

pub mod demo;
pub mod run;
pub mod upcoming;
