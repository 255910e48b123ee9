//! What an operator of cosmovisor relies on while a node runs: rows 15 to 78 of the parity suite, a test each, named for its
//! row. The program is started under the name `cosmovisor`; a home of each test's own has shell scripts for nodes.

#[path = "support/census.rs"]
mod census;
#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/say.rs"]
mod say;
#[path = "support/supervisor.rs"]
#[expect(dead_code, reason = "a home starts the program itself")]
mod supervisor;
#[path = "support/wait.rs"]
mod wait;

#[path = "run/home.rs"]
#[expect(dead_code, reason = "homes that were upgraded before matter in other tests")]
mod home;
#[path = "support/file_host.rs"]
mod server;

#[path = "parity_run/another_user.rs"]
mod another_user;
#[path = "parity_run/detection.rs"]
mod detection;
#[path = "parity_run/downloads.rs"]
mod downloads;
#[path = "parity_run/names_and_skips.rs"]
mod names_and_skips;
#[path = "parity_run/process.rs"]
mod process;
#[path = "parity_run/queue.rs"]
mod queue;
#[path = "parity_run/sequence.rs"]
mod sequence;
#[path = "parity_run/signals.rs"]
mod signals;

use std::{
    env, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// What is started: a link called `cosmovisor`, or what `WATCHER_UNDER_TEST` names instead.
fn program() -> PathBuf {
    static LINK: LazyLock<PathBuf> = LazyLock::new(|| {
        let link = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linked/cosmovisor");
        fs::create_dir_all(link.parent().expect("it was just put there")).expect("the target folder can be written");
        match symlink(env!("CARGO_BIN_EXE_watcher"), &link) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => panic!("{}: {error}", link.display()),
            // An earlier run has left it there.
            _ => link,
        }
    });
    env::var_os("WATCHER_UNDER_TEST").map_or_else(|| LINK.clone(), PathBuf::from)
}

/// Keeps a script alive until a signal's trap ends it.
const IDLE: &str = "while :; do sleep 0.05; done\n";

/// What it is told each time: lines without colours.
const SETTINGS: [(&str, &str); 1] = [("COSMOVISOR_COLOR_LOGS", "false")];
