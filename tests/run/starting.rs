//! Homes and settings as they are found in the wild: what works, and what is refused before anything is started.

use std::{fs, os::unix::fs::symlink, process::Command};

use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::{
    home::{Home, each, ended, output, text},
    orders::command,
};

/// A node that says that it runs, and ends.
const RUNS: &str = "echo it runs";

fn expect_runs(watcher: &mut Command) -> String {
    let ended = output(watcher);
    let stderr = text(&ended.stderr);
    assert_eq!((text(&ended.stdout).as_str(), ended.status.code()), ("it runs\n", Some(0)), "{stderr}");
    stderr
}

/// Checks that nothing is started, and that the complaint names these.
fn expect_refused(watcher: &mut Command, code: i32, named: &[&str]) {
    let ended = output(watcher);
    let stderr = text(&ended.stderr);
    assert_eq!((text(&ended.stdout).as_str(), ended.status.code()), ("", Some(code)), "{stderr}");
    for name in named {
        assert!(stderr.contains(name), "{name:?} is not named:\n{stderr}");
    }
}

#[test]
fn a_home_without_what_a_home_has_is_refused_by_its_path() {
    let home = Home::with_node(RUNS);
    home.remove("data");
    let data = home.at("data");
    expect_refused(&mut home.watcher(&["start"]), 64, &[data.to_str().expect("it is text"), "directory"]);
    home.write("data", "a file");
    expect_refused(&mut home.watcher(&["start"]), 64, &[data.to_str().expect("it is text"), "directory"]);
    let nowhere = home.at("nowhere");
    let named = format!("{}/cosmovisor", nowhere.display());
    expect_refused(home.watcher(&["start"]).env("DAEMON_HOME", &nowhere), 64, &[&named, "no such file"]);
    let place = home.at("place");
    let named = [place.to_str().expect("it is text"), "DAEMON_DATA_BACKUP_DIR: mount its disk"];
    expect_refused(home.watcher(&["start"]).env("DAEMON_DATA_BACKUP_DIR", &place), 64, &named);
    assert!(!nowhere.exists() && !place.exists());
}

#[test]
fn another_home_than_daemon_home_is_refused_naming_both_unless_it_is_wanted() {
    let home = Home::with_node(RUNS);
    let here = home.path.to_str().expect("it is text");
    for args in [["start", "--home", "/elsewhere"].as_slice(), &["start", "--home=/elsewhere"]] {
        expect_refused(&mut home.watcher(args), 64, &["/elsewhere", here, "WATCHER_ALLOW_HOME_MISMATCH"]);
        expect_runs(home.watcher(args).env("WATCHER_ALLOW_HOME_MISMATCH", "true"));
    }
    expect_runs(&mut home.watcher(&["start", &format!("--home={here}/")]));
}

#[test]
fn every_malformed_variable_is_named_at_once_with_its_value() {
    let home = Home::with_node(RUNS);
    let malformed = [
        ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "yes"),
        ("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", "1"),
        ("DAEMON_RESTART_AFTER_UPGRADE", "on"),
        ("DAEMON_RESTART_DELAY", "soon"),
        ("DAEMON_SHUTDOWN_GRACE", "30"),
        ("DAEMON_POLL_INTERVAL", "5 seconds"),
        ("DAEMON_PREUPGRADE_MAX_RETRIES", "many"),
        ("UNSAFE_SKIP_BACKUP", "perhaps"),
        ("WATCHER_UPGRADE_MAX_RESTARTS", "few"),
        ("WATCHER_DOWNLOAD_JITTER", "any"),
        ("WATCHER_ALLOW_HOME_MISMATCH", "maybe"),
        ("DAEMON_DATA_BACKUP_DIR", "not/absolute"),
    ];
    let named: Vec<&str> = malformed.iter().flat_map(|(name, value)| [*name, *value]).collect();
    // cosmovisor names the value of this one, not the variable.
    let named: Vec<&str> = named.into_iter().filter(|name| *name != "DAEMON_DATA_BACKUP_DIR").collect();
    expect_refused(home.watcher(&["start"]).envs(malformed), 64, &named);
    let unset = ["DAEMON_HOME is not set", "DAEMON_NAME is not set"];
    expect_refused(home.watcher(&["start"]).env_remove("DAEMON_HOME").env_remove("DAEMON_NAME"), 64, &unset);
    assert!(!home.at("cosmovisor/watcher").exists(), "nothing is written before the settings are right");
}

#[test]
fn an_unknown_variable_is_told_with_the_one_that_may_be_meant_and_the_node_runs() {
    let home = Home::with_node(RUNS);
    let said = expect_runs(home.watcher(&["start"]).env("DAEMON_ALLOW_DOWNLOAD_BINARY", "true"));
    let line = said.lines().find(|line| line.contains("DAEMON_ALLOW_DOWNLOAD_BINARY ")).expect("it is told");
    assert!(line.contains("WARN") && line.contains("DAEMON_ALLOW_DOWNLOAD_BINARIES"), "{line}");
}

#[test]
fn an_endpoint_that_cannot_be_one_is_refused_by_its_variable_and_value() {
    let cases = [
        ("scheme of an RPC address", ("WATCHER_RPC", "ftp://x", "ftp://x")),
        ("scheme of a REST address", ("WATCHER_REST", "unix:///run/socket", "unix:///…")),
        ("no address", ("WATCHER_RPC", "http://", "http://")),
    ];
    each(&cases, |(variable, value, shown)| {
        let home = Home::with_node(RUNS);
        expect_refused(home.watcher(&["start"]).env(variable, value), 64, &[variable, shown]);
    });
}

#[test]
fn a_pipe_in_the_place_of_a_small_file_holds_nothing_up() {
    let home = Home::halting();
    fs::create_dir_all(home.at("cosmovisor/watcher")).expect("the home can be written");
    for path in ["cosmovisor/watcher/record.json", "cosmovisor/genesis/upgrade-info.json"] {
        mkfifo(&home.at(path), Mode::S_IRWXU).expect("the home can be written");
    }
    // Without the link, and without the record, nobody knows what is to be started.
    let mut watcher = home.start(&[("UNSAFE_SKIP_BACKUP", "true")]);
    assert!(!ended(&mut watcher).success());
    assert!(home.log().contains("cosmovisor/current is missing"), "{}", home.log());
    symlink("genesis", home.at("cosmovisor/current")).expect("the home can be written");
    let mut watcher = home.start(&[("UNSAFE_SKIP_BACKUP", "true")]);
    home.halt();
    home.expect_upgraded();
    assert!(watcher.stop().success());
}

/// A disk's doing. One ended without a word of what to do, the other without any, and the failed binary was tried once more.
#[test]
fn notes_of_its_own_that_cannot_be_understood_are_told_with_what_hangs_on_them() {
    let home = Home::steady();
    home.write("cosmovisor/watcher/record.json", "{\"plan\"");
    symlink("genesis", home.at("cosmovisor/current")).expect("the home can be written");
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    let told = home.wait_for_log("what is remembered of the last upgrade cannot be understood");
    assert!(told.contains("record.json") && told.contains("EOF"), "{told}");
    assert_eq!(home.read("cosmovisor/watcher/record.damaged.json"), "{\"plan\"");
    assert!(watcher.stop().success());

    home.write("cosmovisor/watcher/restore.json", "{");
    for dry in [true, false] {
        let args = if dry { ["run", "--dry-run", "start"].as_slice() } else { &["run", "start"] };
        let refused = output(&mut command(&home, args));
        let told = text(&refused.stdout) + &text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains("restore.json") && told.contains("`watcher backups restore`"), "{told}");
    }
}

#[test]
fn what_is_to_be_started_again_is_named_as_it_was_started() {
    let home = Home::halting();
    let mut watcher = home.start(&[("DAEMON_RESTART_AFTER_UPGRADE", "false")]);
    home.halt();
    assert!(ended(&mut watcher).success());
    home.wait_for_log("Verify new upgrade and start watcher again.");
}

#[test]
fn a_home_on_which_a_watcher_works_is_left_to_it_and_that_is_told_once() {
    let home = Home::halting();
    home.is_upgraded();
    let mut watcher = home.start(&[]);
    home.wait_until_ready();
    for mut other in [home.watcher(&["start"]), command(&home, &["backups", "restore", "--yes"])] {
        let refused = text(&output(&mut other).stderr);
        assert!(refused.contains("already works on") && refused.matches("stop it first").count() == 1, "{refused}");
    }
    assert!(watcher.stop().success());
}
