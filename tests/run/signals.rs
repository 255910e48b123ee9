//! Requests to stop: the node gets them, is waited for, and nothing is started any more; the next start goes on where this
//! one was.

use std::fs;

use nix::sys::signal::Signal;

use crate::{
    home::{Home, IDLE, LIMIT, each, ended, signal},
    wait,
};

/// A node that tells which signal it got, and takes a while to end. Each version halts for the next one at once, the
/// last of them not at all.
const RELAY: &str = r#"cd "$DAEMON_HOME"
[ $1 = start ] || exit 1
last() { echo "$1 $version" >> calls; sleep 0.2; echo "ended $version" >> calls; exit 0; }
for signal in TERM INT QUIT HUP; do trap "last $signal" $signal; done
echo "start $version" >> calls
next=$((version + 1))
[ -e cosmovisor/upgrades/v$next ] && echo "{\"name\":\"v$next\",\"height\":$((next * 10))}" > data/upgrade-info.json
"#;

fn relay(upgrades: usize) -> Home {
    let home = Home::with_node(&format!("version=0\n{RELAY}{IDLE}"));
    for number in 1..=upgrades {
        let script = format!("version={number}\n{RELAY}{IDLE}");
        home.script(&format!("cosmovisor/upgrades/v{number}/bin/noded"), &script);
    }
    home
}

#[test]
fn every_signal_reaches_the_node_which_is_waited_for_however_many_upgrades_there_were() {
    let signals = [
        ("SIGTERM", (Signal::SIGTERM, "TERM")),
        ("SIGINT", (Signal::SIGINT, "INT")),
        ("SIGQUIT", (Signal::SIGQUIT, "QUIT")),
        ("SIGHUP", (Signal::SIGHUP, "TERM")),
    ];
    let stories: Vec<_> = signals
        .iter()
        .flat_map(|(name, (sent, got))| [0, 1, 3].map(|upgrades| (*name, (*sent, *got, upgrades))))
        .collect();
    each(&stories, |(sent, got, upgrades)| {
        let home = relay(*upgrades);
        let mut watcher = home.start(&[("UNSAFE_SKIP_BACKUP", "true")]);
        home.wait_for_call(&format!("start {upgrades}"));
        signal(&watcher, *sent);
        assert_eq!(ended(&mut watcher).code(), Some(0));
        let calls = home.calls();
        assert!(calls.ends_with(&[format!("{got} {upgrades}"), format!("ended {upgrades}")]), "{calls:?}");
        assert_eq!(calls.len(), 3 * (upgrades + 1), "each was started, asked to stop and ended: {calls:?}");
        assert!(home.nodes().is_empty());
    });
}

#[test]
fn a_second_request_kills_a_node_that_does_not_heed_the_first() {
    let home = Home::with_node(&format!("trap 'echo asked >> \"$DAEMON_HOME/calls\"' TERM\necho ready\n{IDLE}"));
    let mut watcher = home.start(&[]);
    home.wait_for_log("ready");
    signal(&watcher, Signal::SIGTERM);
    home.wait_for_call("asked");
    assert_eq!((watcher.ended(), home.nodes().len()), (None, 1));
    signal(&watcher, Signal::SIGTERM);
    assert_eq!(ended(&mut watcher).code(), Some(1));
    home.wait_for_log("signal: killed");
    assert!(home.nodes().is_empty());
}

#[test]
fn a_stop_in_the_middle_of_a_backup_starts_nothing_and_the_next_start_makes_it_whole() {
    const FILES: usize = 3000;
    let home = Home::halting();
    for number in 0..FILES {
        home.write(&format!("data/application.db/{number:06}.ldb"), "state");
    }
    let mut watcher = home.start(&[]);
    home.halt();
    let begun = home.at(".watcher-backup-unfinished/application.db");
    wait::until("the backup begins", LIMIT, || begun.exists().then_some(()));
    signal(&watcher, Signal::SIGTERM);
    assert_eq!(ended(&mut watcher).code(), Some(0));
    let copied = fs::read_dir(&begun).expect("the backup was stopped on its way").count();
    assert!(copied < FILES, "it was made to the end");
    assert_eq!((home.calls().len(), home.current().as_str()), (2, "genesis"), "{:?}", home.calls());

    home.remove("data/application.db");
    home.write("data/application.db/000000.ldb", "state");
    let mut watcher = home.start(&[]);
    home.expect_upgraded();
    assert_eq!(home.count("start genesis"), 1);
    let backups = home.backups();
    assert!(backups.len() == 1 && backups[0].join("application.db/000000.ldb").exists(), "{backups:?}");
    assert_eq!(fs::read_dir(backups[0].join("application.db")).expect("it is there").count(), 1);
    assert!(watcher.stop().success());
}

#[test]
fn a_stop_while_a_hook_hangs_starts_nothing_and_the_next_start_goes_on() {
    let hanging = format!("echo $$ > \"$DAEMON_HOME/hook\"\n{IDLE}");
    let v2 = format!("version=v2\n[ $1 = pre-upgrade ] && {{\n{hanging}}}\n. \"$DAEMON_HOME/node.sh\"\n");
    let cases = [
        ("the operator's", ("cosmovisor/before-upgrade", hanging.clone(), "genesis")),
        ("the app's", ("cosmovisor/upgrades/v2/bin/noded", v2, "upgrades/v2")),
    ];
    each(&cases, |(hook, script, current)| {
        let home = Home::halting();
        let sound = home.read(hook);
        home.script(hook, script);
        let settings = [("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade")];
        let mut watcher = home.start(&settings);
        home.halt();
        let pid: i32 =
            wait::until("the hook runs", LIMIT, || fs::read_to_string(home.at("hook")).ok()?.trim().parse().ok());
        signal(&watcher, Signal::SIGTERM);
        assert_eq!(ended(&mut watcher).code(), Some(0));
        assert_eq!((home.current().as_str(), home.count("start v2")), (*current, 0));
        let process = std::path::PathBuf::from(format!("/proc/{pid}"));
        wait::until("the hook is gone", LIMIT, || (!process.exists()).then_some(()));

        home.script(hook, sound.trim_start_matches("#!/bin/sh\n"));
        let mut watcher = home.start(&settings);
        home.expect_upgraded();
        assert_eq!((home.count("start genesis"), home.count("custom v2 10"), home.backups().len()), (1, 1, 1));
        assert!(watcher.stop().success());
    });
}
