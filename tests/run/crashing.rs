//! A node that crashes while no upgrade is under way.

use crate::{
    home::{Home, LIMIT, each, ended},
    wait,
};

/// A node that says this when it is started, and ends.
fn home(said: &str) -> Home {
    Home::with_node(&format!(
        "[ $1 = start ] || exit 1\necho start >> \"$DAEMON_HOME/calls\"\necho \"{said}\" >&2\nexit 3\n"
    ))
}

#[test]
fn a_node_that_crashes_is_started_again_only_where_its_operator_wants_that_and_so_often() {
    let home = home("panic: a defect");
    let mut watcher = home.start(&[]);
    assert_eq!((ended(&mut watcher).code(), home.count("start")), (Some(1), 1));
    let mut watcher = home.start(&[("WATCHER_RESTART_ON_CRASH", "2")]);
    assert_eq!((ended(&mut watcher).code(), home.count("start")), (Some(1), 1 + 3));
    home.wait_for_log("restart 2 of 2 in a row");
    home.wait_for_log("crashed 3 times in a row");
}

#[test]
fn what_would_end_the_same_way_or_do_harm_is_not_tried_again() {
    let cases = [
        ("a double sign", "Error: found signature from the same key"),
        ("another state", "panic: wrong Block.Header.AppHash.  Expected AB, got CD"),
        ("another version", "panic: wrong app version 1, upgrade handler is missing for v9 upgrade plan"),
        ("too new", "panic: BINARY UPDATED BEFORE TRIGGER! UPGRADE v9 - in binary but not executed on chain"),
        ("a halt", "panic: halt per configuration height 7 time 0"),
    ];
    each(&cases, |said| {
        let home = home(said);
        let mut watcher = home.start(&[("WATCHER_RESTART_ON_CRASH", "5")]);
        assert_eq!((ended(&mut watcher).code(), home.count("start")), (Some(1), 1));
    });
    for asked in ["exit 0", "kill -TERM $$"] {
        let home = Home::with_node(&format!("echo start >> \"$DAEMON_HOME/calls\"\n{asked}\n"));
        let mut watcher = home.start(&[("WATCHER_RESTART_ON_CRASH", "5")]);
        ended(&mut watcher);
        assert_eq!(home.count("start"), 1, "{asked}");
    }
}

#[test]
fn a_signer_that_is_not_connected_is_waited_for_without_counting() {
    let home = home("Error: error with private validator socket client: send: endpoint connection timed out");
    let mut watcher = home.start(&[("WATCHER_RESTART_ON_CRASH", "1")]);
    home.wait_for_log("remote signer is not connected");
    wait::until("it is started more often than it may crash", LIMIT, || (home.count("start") == 4).then_some(()));
    // A stop in the moment in which it ends by itself has its exit code.
    home.wait_for_log("started again in 8s");
    assert!(watcher.stop().success());
}
