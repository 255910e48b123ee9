//! `watcher demo` plays to its end, can be interrupted, and leaves nothing running.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use watcher::sim::home::Home;

use crate::node::{signal, wait_for};

fn demo(folder: &Path) -> Command {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_watcher"));
    demo.args(["demo", "--dir"]).arg(folder).stdin(Stdio::null());
    // What an operator's shell may have must not matter.
    demo.env("DAEMON_HOME", "/nonexistent")
        .env("http_proxy", "http://127.0.0.1:1")
        .env("UNSAFE_SKIP_BACKUP", "nonsense");
    demo
}

/// A demo whose node makes blocks.
fn under_way(folder: &Path) -> (Child, Home) {
    let child = demo(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let home = Home::at(folder);
    wait_for("blocks", || home.chain().is_ok_and(|chain| chain.committed > 1));
    (child, home)
}

#[test]
fn the_whole_story_is_told_in_time_and_nothing_is_left_running() {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let output = demo(folder.path()).output().unwrap();
    let (told, logged) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{logged}");
    assert!(began.elapsed() < Duration::from_secs(30), "{told}");
    let mut rest = &*told;
    for chapter in [
        "The chain runs",
        "A vote",
        "Passed",
        "Staged",
        "The halt",
        "The swap",
        "Blocks again",
        "Everything is stopped",
    ] {
        rest = rest.split_once(chapter).unwrap_or_else(|| panic!("no chapter {chapter:?} in:\n{told}")).1;
    }
    assert!(!told.contains('\x1b'), "colour in a pipe");
    let path = |file: &str| folder.path().join(file);
    assert_eq!(fs::read_link(path("cosmovisor/current")).unwrap(), Path::new("upgrades/v2"));
    assert_eq!(fs::read(path("cosmovisor/current/bin/demod")).unwrap(), fs::read(path("release/demod-v2")).unwrap());
    let home = Home::at(folder.path());
    assert_eq!(home.chain().unwrap().applied["v2"], 40);
    home.lock().unwrap();
}

#[test]
fn an_interrupt_ends_the_child_and_its_node() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, home) = under_way(folder.path());
    signal(&child, Signal::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    home.lock().unwrap();
}

/// Its home was left in TMPDIR, with several copies of this program.
#[test]
fn an_interrupted_demo_leaves_a_folder_only_where_one_was_named() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_watcher"));
    demo.arg("demo").env("TMPDIR", temporary.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = demo.spawn().unwrap();
    let made = || fs::read_dir(temporary.path()).unwrap().next();
    wait_for("blocks", || {
        let home = made().map(|folder| Home::at(&folder.unwrap().path()));
        home.is_some_and(|home| home.chain().is_ok_and(|chain| chain.committed > 1))
    });
    signal(&child, Signal::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(made().is_none());
}

#[test]
fn a_demo_that_is_killed_takes_its_node_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, home) = under_way(folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the node's end", || home.lock().is_ok());
}

#[test]
fn a_folder_with_something_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("precious"), "").unwrap();
    let output = demo(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty: name a new folder, or none"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
