//! Rows of the parity suite that are about the surface: settings, command lines, commands and what they print. Each test is
//! named after its row, and drives the program through a link called `cosmovisor`, as an operator who switches over does;
//! what it does under its own name follows at the end. The rows about running nodes are in `parity_run`.

#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/say.rs"]
mod say;
#[path = "support/servers.rs"]
#[expect(dead_code, reason = "servers that say the same to everybody matter in other tests")]
mod servers;
#[path = "support/sim_network.rs"]
#[expect(dead_code, reason = "who heard what matters in other tests")]
mod sim_network;
#[path = "support/supervisor.rs"]
#[expect(dead_code, reason = "nodes that run for a while matter in other tests")]
mod supervisor;
#[path = "support/wait.rs"]
mod wait;

#[path = "run/home.rs"]
#[expect(dead_code, reason = "nodes that run for a while matter in other tests")]
mod home;
#[path = "support/file_host.rs"]
#[expect(dead_code, reason = "hosts with TLS matter in other tests")]
mod server;

#[path = "parity/adding.rs"]
mod adding;
#[path = "parity/environment.rs"]
mod environment;
#[path = "parity/file.rs"]
mod file;
#[path = "parity/init.rs"]
mod init;
#[path = "parity/lines.rs"]
mod lines;
#[path = "parity/link.rs"]
mod link;
#[path = "parity/own_name.rs"]
mod own_name;
#[path = "parity/passing_on.rs"]
mod passing_on;
#[path = "parity/preparing.rs"]
mod preparing;
#[path = "parity/printing.rs"]
mod printing;

use std::path::PathBuf;

/// What a home starts.
fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_watcher").into()
}

/// What it is told each time.
const SETTINGS: [(&str, &str); 0] = [];
