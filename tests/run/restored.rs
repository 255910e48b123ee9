//! Data that came from elsewhere tell, by the words with which the wrong binary ends, which one they need.

use crate::{
    home::{Home, LIMIT, ended},
    wait,
};

const NEEDS_V2: &str = "panic: wrong app version 0, upgrade handler is missing for V2 upgrade plan";

/// A home whose genesis binary ends with these words.
fn home(words: &str) -> Home {
    Home::with_node(&format!(
        "echo \"$1 genesis\" >> \"$DAEMON_HOME/calls\"\n[ $1 = start ] || exit 1\necho out\necho '{words}' >&2\nexit 2\n"
    ))
}

#[test]
fn a_snapshot_on_a_fresh_home_is_run_by_the_binary_it_needs() {
    let home = home(NEEDS_V2);
    home.write("data/application.db/CURRENT", "");
    home.script(
        "cosmovisor/upgrades/v2/bin/noded",
        "trap 'exit 0' TERM\necho \"$1 v2\" >> \"$DAEMON_HOME/calls\"\n[ $1 = start ] || exit 1\nwhile :; do sleep 0.05; done\n",
    );
    let mut watcher = home.start(&[]);
    home.wait_for_call("start v2");
    assert_eq!((home.current().as_str(), home.count("start genesis")), ("upgrades/v2", 2));
    assert_eq!(home.log_lines(NEEDS_V2).len(), 2, "what it says is passed on when it is listened to");
    home.wait_for_log("need upgrades/v2: it runs instead of genesis");
    assert!(watcher.stop().success());
}

#[test]
fn where_the_needed_binary_is_not_there_it_is_named() {
    let home = home(NEEDS_V2);
    home.write("data/application.db/CURRENT", "");
    let mut watcher = home.start(&[]);
    assert_eq!(ended(&mut watcher).code(), Some(1));
    let told = home.wait_for_log("fetch-history");
    assert!(told.contains("cosmovisor/upgrades/v2/bin"), "{told}");
    assert_eq!(home.current(), "genesis");
}

#[test]
fn a_crash_on_data_without_a_state_is_a_crash_and_nothing_is_started_twice() {
    let home = home(NEEDS_V2);
    let mut watcher = home.start(&[]);
    assert_eq!(ended(&mut watcher).code(), Some(1));
    assert_eq!(home.count("start genesis"), 1);
    wait::until("its end is told", LIMIT, || (!home.log_lines("exit status 2").is_empty()).then_some(()));
}

#[test]
fn an_upgrade_that_was_under_way_begins_anew_on_data_that_come_back_from_before_it() {
    let home = Home::halting();
    home.write("data/application.db/CURRENT", "");
    let dies = |words: &str| {
        let script =
            format!("[ $1 = start ] || exit 0\necho \"$1 v2\" >> \"$DAEMON_HOME/calls\"\necho '{words}' >&2\nexit 2\n");
        home.script("cosmovisor/upgrades/v2/bin/noded", &script);
    };
    dies("a defect");
    let mut watcher = home.start(&[("WATCHER_UPGRADE_MAX_RESTARTS", "0")]);
    home.halt();
    home.wait_for_log("\"v2\" at height 10 failed");
    assert_eq!(watcher.stop().code(), Some(75), "it failed after the switch");
    assert_eq!(home.current(), "upgrades/v2");

    // The data come back as they were at height 9, and the plan is scheduled in them.
    for path in ["data/upgrade-info.json", "data/halt", "calls"] {
        home.remove(path);
    }
    home.write("data/height", "9");
    dies(r#"BINARY UPDATED BEFORE TRIGGER! UPGRADE "v2" - in binary but not executed on chain. Downgrade your binary"#);
    let mut watcher = home.start(&[]);
    home.wait_for_log("need genesis: it runs instead of upgrades/v2");
    home.wait_for_call("start genesis");
    home.script("cosmovisor/upgrades/v2/bin/noded", "version=v2\n. \"$DAEMON_HOME/node.sh\"\n");
    home.halt();
    home.wait_for_log("has passed");
    // Its hook runs once more.
    let calls = ["start v2", "start v2", "start genesis", "stop genesis", "pre-upgrade v2", "start v2"];
    assert_eq!((home.calls(), home.current().as_str()), (calls.map(str::to_owned).to_vec(), "upgrades/v2"));
    assert!(watcher.stop().success());
}

#[test]
fn what_a_node_left_behind_does_not_keep_it_from_being_heard() {
    let home = Home::with_node(&format!(
        "[ $1 = start ] || exit 1\necho \"$1 genesis\" >> \"$DAEMON_HOME/calls\"\nsleep 60 &\necho '{NEEDS_V2}' >&2\nexit 2\n"
    ));
    home.write("data/application.db/CURRENT", "");
    home.script(
        "cosmovisor/upgrades/v2/bin/noded",
        "trap 'exit 0' TERM\necho \"$1 v2\" >> \"$DAEMON_HOME/calls\"\n[ $1 = start ] || exit 1\nwhile :; do sleep 0.05; done\n",
    );
    let mut watcher = home.start(&[]);
    home.wait_for_call("start v2");
    assert_eq!((home.current().as_str(), home.count("start genesis")), ("upgrades/v2", 2));
    assert!(watcher.stop().success());
}
