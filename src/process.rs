//! The door to processes: the node, the programs that are run beside it, and the signals that reach `watcher`.

mod birth;
pub mod descriptor;
mod ear;
pub mod hook;
pub mod node;
pub mod orphans;
pub mod program;
pub mod requests;
pub mod signals;
pub mod stray;
pub mod systemd;
