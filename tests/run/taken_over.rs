//! Homes with a history: what cosmovisor, a snapshot or an operator left there must not bring an old binary back.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::symlink,
    process::{Child, ExitStatus, Stdio},
};

use nix::sys::signal::Signal;

use crate::{
    home::{Home, LIMIT, ended, output, signal, text},
    wait,
};

/// What a plan is written to.
const INFO: &str = "data/upgrade-info.json";

/// A home whose plan v2 at height 10 is long done: the file is still there, and `current` was linked to v3 by hand.
fn long_past_v2(v3: &str) -> Home {
    let home = Home::halting();
    home.write(INFO, &home.read("plan.json"));
    home.write("data/height", "5000\n");
    home.script("cosmovisor/upgrades/v3/bin/noded", v3);
    symlink("upgrades/v3", home.at("cosmovisor/current")).expect("the home can be written");
    home
}

#[test]
fn a_newer_binary_that_fails_once_is_not_replaced_by_the_one_of_the_last_plan() {
    let home = long_past_v2("[ $1 = start ] && exit 1\nexit 1\n");
    let failed = output(&mut home.watcher(&["start"]));
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    assert_eq!((home.current().as_str(), home.calls().len()), ("upgrades/v3", 0));
}

#[test]
fn a_newer_binary_of_which_only_the_height_is_known_is_left_alone() {
    let status = "[ $1 = status ] && echo '{\"sync_info\":{\"latest_block_height\":\"5000\"}}' && exit 0\n";
    let node = "echo $$ > \"$DAEMON_HOME/data/LOCK\"\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n";
    let home = long_past_v2(&format!("{status}{node}"));
    let mut watcher = home.start(&[]);
    let record = || fs::read_to_string(home.at("cosmovisor/watcher/record.json")).unwrap_or_default();
    wait::until("the old plan is settled", LIMIT, || record().contains("\"v2\"").then_some(()));
    assert!(record().contains("committed"), "{}", record());
    assert_eq!((home.current().as_str(), home.nodes().len()), ("upgrades/v3", 1));
    assert!(watcher.stop().success());
}

#[test]
fn a_link_that_got_lost_after_an_upgrade_does_not_start_genesis() {
    let home = Home::halting();
    home.is_upgraded();
    home.remove("cosmovisor/current");
    let refused = output(&mut home.watcher(&["start"]));
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("ln -s upgrades/v2"), "{said}");
    assert_eq!(home.count("start genesis"), 1, "only before the upgrade");
}

#[test]
fn data_that_was_restored_to_before_the_height_is_carried_through_once_more() {
    let home = Home::halting();
    home.is_upgraded();
    home.remove("cosmovisor/current");
    symlink("genesis", home.at("cosmovisor/current")).expect("the home can be written");
    home.remove("data/halt");
    home.write("data/height", "9\n");
    home.write("data/priv_validator_state.json", r#"{"height":"9","round":0,"step":3}"#);
    let mut watcher = home.start(&[]);
    wait::until("genesis runs again", LIMIT, || (home.count("start genesis") == 2).then_some(()));
    home.write("data/halt", "");
    wait::until("v2 makes blocks again", LIMIT, || (home.count("start v2") == 2).then_some(()));
    assert_eq!(home.current(), "upgrades/v2");
    assert!(watcher.stop().success());
}

#[test]
fn a_file_for_a_far_height_is_not_what_a_node_ends_of() {
    let home = Home::steady();
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.write(INFO, "{\"name\":\"v2\",\"height\":1000}");
    home.wait_for_three_questions();
    let pid = home.nodes()[0].pid;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).expect("it is still there");
    assert!(ended(&mut watcher).success());
    assert_eq!((home.current().as_str(), home.count("start v2")), ("genesis", 0));
}

/// Asks a `watcher` to stop, and gives how it ends.
fn stopped(watcher: &mut Child) -> ExitStatus {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(watcher.id().cast_signed()), Signal::SIGTERM).expect("it lives");
    wait::until("watcher ends", LIMIT, || watcher.try_wait().expect("a child can be asked"))
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let home = Home::halting();
    let mut command = home.watcher(&["start", "--home"]);
    command.arg(&home.path).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut watcher = command.spawn().expect("it can be started");
    let mut first = [0];
    let mut log = watcher.stderr.take().expect("it is a pipe");
    log.read_exact(&mut first).expect("it says that it starts");
    drop(log);
    home.halt();
    home.expect_upgraded();
    assert!(watcher.try_wait().expect("a child can be asked").is_none(), "it goes on without its log");
    assert!(stopped(&mut watcher).success());
}

/// The node was not even started, and no signal went to it.
#[test]
fn a_log_whose_reader_stalls_holds_nothing_up() {
    /// What a pipe holds, as the kernel makes it.
    const FULL: usize = 65_536;
    let home = Home::halting();
    let (stalls, mut log) = std::io::pipe().expect("a pipe can be made");
    log.write_all(&vec![b'x'; FULL]).expect("so much fits");
    let mut command = home.watcher(&["start", "--home"]);
    command.arg(&home.path).stdout(Stdio::null()).stderr(log);
    let mut watcher = command.spawn().expect("it can be started");
    drop(command);
    home.wait_until_ready();
    home.halt();
    home.expect_upgraded();
    assert!(stopped(&mut watcher).success());
    drop(stalls);
}

#[test]
fn a_data_folder_that_is_moved_away_and_back_does_not_make_it_deaf() {
    let home = Home::halting();
    let mut watcher = home.start(&[]);
    home.wait_until_ready();
    signal(&watcher, Signal::SIGSTOP);
    fs::create_dir(home.at("other")).expect("the home can be written");
    fs::rename(home.at("data"), home.at("away")).expect("the home can be written");
    fs::rename(home.at("other"), home.at("data")).expect("the home can be written");
    fs::remove_dir(home.at("data")).expect("it is empty");
    fs::rename(home.at("away"), home.at("data")).expect("the home can be written");
    signal(&watcher, Signal::SIGCONT);
    home.halt();
    home.expect_upgraded();
    assert!(watcher.stop().success());
}
