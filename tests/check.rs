//! `watcher check`, as a chain's CI and the operator before the halt meet it.

#[path = "check/artifacts.rs"]
mod artifacts;
#[path = "check/chain.rs"]
mod chain;
#[path = "check/home.rs"]
mod home;
#[path = "check/report.rs"]
mod report;
#[path = "check/workflow.rs"]
mod workflow;

#[path = "support/elf.rs"]
mod elf;
#[path = "support/file_host.rs"]
mod file_host;
#[path = "check/release.rs"]
mod release;
#[path = "support/servers.rs"]
mod servers;
#[path = "support/sim_network.rs"]
#[expect(dead_code, reason = "who heard what matters in other tests")]
mod sim_network;
#[path = "support/wait.rs"]
mod wait;
#[path = "upcoming/world.rs"]
#[expect(dead_code, reason = "lists matter in other tests")]
mod world;
