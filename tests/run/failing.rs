//! A new binary that does not come past its height.

use crate::home::{Home, ended};

#[test]
fn a_new_binary_that_fails_before_its_height_is_started_again_so_often_and_then_held() {
    let home = Home::halting();
    let script = "[ $1 = start ] && echo start v2 >> \"$DAEMON_HOME/calls\"\n[ $1 = pre-upgrade ] || exit 3\n";
    home.script("cosmovisor/upgrades/v2/bin/noded", script);
    let mut watcher = home.start(&[("WATCHER_UPGRADE_MAX_RESTARTS", "1")]);
    home.halt();
    assert_eq!(ended(&mut watcher).code(), Some(75));
    assert_eq!(home.calls(), ["start genesis", "stop genesis", "start v2", "start v2"]);
    assert_eq!(home.current(), "upgrades/v2", "the old binary is not started at a height that is not its own");
    let errors = home.log_lines("ERROR");
    assert!(errors.len() == 2 && errors[0].contains("start 2 follows in 1s"), "{errors:?}");
    for said in ["\"v2\"", "started 2 times", "height 10", "exit status 3"] {
        assert!(errors[1].contains(said), "{said:?} is not said: {errors:?}");
    }
    assert!(home.nodes().is_empty());

    let mut watcher = home.start(&[("WATCHER_UPGRADE_MAX_RESTARTS", "0")]);
    assert_eq!(ended(&mut watcher).code(), Some(75));
    assert_eq!((home.count("start genesis"), home.count("start v2")), (1, 3));
}
