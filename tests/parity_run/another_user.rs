//! Rows 8, 23 and 26 where the home is not all ours: what `sudo` placed must not leave a node stopped at its halt. As root
//! they are told with a user who has nothing; anybody else has no second user.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::geteuid;

use crate::{
    detection::{INFO, expect_untouched, plan},
    home::Home,
    say::say,
    supervisor::Supervisor,
};

/// `nobody`, on every Linux.
const NOBODY: u32 = 65_534;

/// Gives a home to that user, but for this in it, and makes the program's `run` as that user. None where that cannot be.
fn given_away(home: &Home, kept: &str) -> Option<Command> {
    if !geteuid().is_root() {
        say("skipped: only root can give a home to another user");
        return None;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
    command.arg0("cosmovisor").uid(NOBODY).gid(NOBODY);
    let mut look = Command::new(env!("CARGO_BIN_EXE_watcher"));
    if look.uid(NOBODY).arg("--version").stdout(Stdio::null()).status().is_err() {
        say("skipped: another user cannot reach the program");
        return None;
    }
    let around = home.path.parent().expect("the home lies in a folder");
    assert!(Command::new("chmod").arg("755").arg(around).status().expect("chmod is there").success());
    give(&home.path, &home.at(kept));
    command.arg("run");
    Some(command)
}

fn give(path: &Path, kept: &Path) {
    if path == kept {
        return;
    }
    chown(path, Some(NOBODY), Some(NOBODY)).expect("root may do that");
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        give(&entry.path(), kept);
    }
}

fn start(command: Command, home: &Home, settings: &[(&str, &str)]) -> Supervisor {
    let settings = [&crate::SETTINGS, [("DAEMON_POLL_INTERVAL", "50ms")].as_slice(), settings].concat();
    Supervisor::spawn(command, &home.path, crate::home::NAME, &settings)
}

#[test]
fn row_08_a_place_for_backups_that_refuses_us_is_told_at_the_start() {
    let home = Home::steady();
    fs::create_dir(home.at("kept")).expect("the home can be written");
    let Some(command) = given_away(&home, "kept") else { return };
    let place = home.at("kept").display().to_string();
    let mut watcher = start(command, &home, &[("DAEMON_DATA_BACKUP_DIR", &place)]);
    let told = home.wait_for_log("where this user cannot write");
    assert!(told.contains(" ERR ") && told.contains(&place), "{told}");
    home.wait_for_call("start genesis");
    assert!(watcher.stop().success());
}

#[test]
fn row_23_a_binary_that_cannot_be_made_executable_is_told_and_the_node_is_not_stopped_for_it() {
    let home = Home::steady();
    home.mode("cosmovisor/upgrades/v2/bin/noded", 0o644);
    let Some(command) = given_away(&home, "cosmovisor/upgrades/v2") else { return };
    let mut watcher = start(command, &home, &[]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    let told = home.wait_for_log("may neither execute it nor make it executable");
    assert!(told.contains(" ERR ") && told.contains("upgrades/v2/bin/noded"), "{told}");
    expect_untouched(&home, &["start genesis"], "genesis");
    home.mode("cosmovisor/upgrades/v2/bin/noded", 0o755);
    home.wait_for_call("start v2");
    assert!(watcher.stop().success());
}

#[test]
fn row_26_a_folder_that_somebody_else_placed_is_switched_to_without_a_marker() {
    let home = Home::steady();
    let Some(command) = given_away(&home, "cosmovisor/upgrades/v2") else { return };
    let mut watcher = start(command, &home, &[]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    home.wait_for_call("start v2");
    home.wait_for_log("no marker is left beside the new binary");
    assert_eq!(home.current(), "upgrades/v2");
    assert!(watcher.stop().success());
}
