//! The embedded chain and node of `watcher demo`: a one-validator chain that votes, schedules and halts as a real one
//! does, over real HTTP and a real websocket. Tests use it too, wherever a real chain would be too slow.

pub mod chain;
pub mod home;
pub mod node;
pub mod release;
pub mod server;
pub mod trailer;
