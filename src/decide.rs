//! The core: a function of facts and events that decides what to do and cannot do anything itself. No clock, no disk, no
//! network, no async; `tests/purity` compiles this very folder under `no_std`.

pub mod agreement;
mod core;
pub mod decision;
pub mod event;
pub mod facts;
pub mod forecast;
pub mod knowledge;
mod ladder;
mod lane;
pub mod note;
pub mod orders;
pub mod plan;
pub mod proven;
pub mod run;
pub mod schedule;
pub mod settings;

pub use self::core::Core;
