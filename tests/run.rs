//! Stories of `watcher run`, each told from outside: a home of its own whose node is a shell script, the program as its
//! operator starts it, and then what the node was asked, what lies on the disk and what the log says.

#[path = "support/census.rs"]
mod census;
#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/own_name.rs"]
mod own_name;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/release_host.rs"]
mod release_host;
#[path = "support/say.rs"]
mod say;
#[path = "support/strace.rs"]
#[expect(dead_code, reason = "what is killed here is started for it")]
mod strace;
#[path = "support/supervisor.rs"]
#[expect(dead_code, reason = "a home starts the program itself")]
mod supervisor;
#[path = "support/tools.rs"]
mod tools;
#[path = "support/wait.rs"]
mod wait;

#[path = "run/home.rs"]
mod home;
#[path = "support/file_host.rs"]
#[expect(dead_code, reason = "TLS matters in the parity suite")]
mod server;

#[path = "run/backups.rs"]
mod backups;
#[path = "run/crashing.rs"]
mod crashing;
#[path = "run/disks.rs"]
mod disks;
#[path = "run/dry_run.rs"]
mod dry_run;
#[path = "run/failing.rs"]
mod failing;
#[path = "run/orders.rs"]
mod orders;
#[path = "run/owners.rs"]
mod owners;
#[path = "run/passing_on.rs"]
mod passing_on;
#[path = "run/restored.rs"]
mod restored;
#[path = "run/restores_killed.rs"]
mod restores_killed;
#[path = "run/signals.rs"]
mod signals;
#[path = "run/starting.rs"]
mod starting;
#[path = "run/stray.rs"]
mod stray;
#[path = "run/systemd.rs"]
mod systemd;
#[path = "run/taken_over.rs"]
mod taken_over;
#[path = "run/terminal.rs"]
mod terminal;
#[path = "run/wishes.rs"]
mod wishes;

use std::path::PathBuf;

/// What is started.
fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_watcher").into()
}

/// What it is told each time.
const SETTINGS: [(&str, &str); 0] = [];
