//! Rows 82 to 84: the queue of upgrades that `add-batch-upgrade` writes.

use std::{fs, process::Command};

use crate::{
    detection::INFO,
    home::{Home, LIMIT, NAME, each, output, text},
    program, wait,
};

const QUEUE: &str = "data/upgrade-info.json.batch";

/// A node that says the height in `data/height`, and tells which version was started.
const NODE: &str = r#"
case $1 in
status)
  printf '{"sync_info":{"latest_block_height":"%s"}}' "$(cat "$DAEMON_HOME/data/height")"
  echo >> "$DAEMON_HOME/asked"
  ;;
start)
  trap 'exit 0' TERM INT
  echo "start $version" >> "$DAEMON_HOME/calls"
  while :; do sleep 0.05; done
  ;;
*) exit 1 ;;
esac
"#;

/// A home at a height, with `v2` queued for 10 and `v3` for 20.
fn queued(height: &str) -> Home {
    let home = Home::with_node(&format!("version=genesis\n{NODE}"));
    home.write("data/height", height);
    let list = ["v2:10", "v3:20"].map(|entry| {
        let (version, height) = entry.split_once(':').expect("it has a height");
        home.script(version, &format!("version={version}\n{NODE}"));
        format!("{version}:{}:{height}", home.at(version).display())
    });
    let mut command = Command::new(program());
    command.args(["add-batch-upgrade", "--upgrade-list", &list.join(",")]);
    let ended = output(command.env("DAEMON_HOME", &home.path).env("DAEMON_NAME", NAME));
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    home
}

/// Waits until the next upgrade of the queue stands in `upgrade-info.json`.
fn wait_until_named(home: &Home, name: &str, height: u64) {
    let plan = format!(r#"{{"name":"{name}","time":"0001-01-01T00:00:00Z","height":{height}}}"#);
    wait::until(&plan, LIMIT, || (fs::read_to_string(home.at(INFO)).is_ok_and(|info| info == plan)).then_some(()));
}

/// Waits until the node has said where it stands once more.
fn wait_until_asked(home: &Home) {
    let asked = || home.read("asked").len();
    let before = asked();
    wait::until("it is asked", LIMIT, || (asked() > before).then_some(()));
}

/// From height 10 on, both upgrades are carried out and the queue is empty.
fn expect_both(home: &Home) {
    home.write("data/height", "10");
    home.wait_for_call("start v2");
    wait_until_asked(home);
    home.write("data/height", "12");
    wait_until_named(home, "v3", 20);
    home.write("data/height", "20");
    home.wait_for_call("start v3");
    wait_until_asked(home);
    home.write("data/height", "22");
    wait::until("the queue is empty", LIMIT, || (home.read(QUEUE) == "[]").then_some(()));
    assert_eq!(home.current(), "upgrades/v3");
}

#[test]
fn row_82_a_queue_is_worked_off_in_the_order_of_its_heights() {
    let home = queued("1");
    let mut watcher = home.start(&[("UNSAFE_SKIP_BACKUP", "true")]);
    wait_until_named(&home, "v2", 10);
    expect_both(&home);
    assert!(watcher.stop().success());
    assert_eq!(home.calls(), ["start genesis", "start v2", "start v3"]);
    assert_eq!(home.log_lines("INF starting the batch watcher loop").len(), 1, "{}", home.log());
}

#[test]
fn row_82_a_queue_that_is_none_is_told_and_ignored() {
    each(&[("half a list", "[{"), ("no plan", r#"[{"name":"v2","height":"x"}]"#)], |content| {
        let home = Home::with_node(&format!("version=genesis\n{NODE}"));
        home.write("data/height", "1");
        home.write(QUEUE, content);
        let mut watcher = home.start(&[]);
        let told = home.wait_for_log("failed to load batch upgrade file");
        assert!(told.contains(" WRN ") && told.contains(QUEUE), "{told}");
        home.wait_for_call("start genesis");
        assert!(watcher.stop().success());
        assert_eq!(home.read(QUEUE), *content);
    });
}

#[test]
fn row_83_a_restart_before_the_first_height_loses_nothing() {
    let home = queued("2");
    for starts in 1..=2 {
        let mut watcher = home.start(&[("UNSAFE_SKIP_BACKUP", "true")]);
        wait_until_named(&home, "v2", 10);
        wait::until("the node runs", LIMIT, || (home.count("start genesis") == starts).then_some(()));
        assert!(watcher.stop().success());
    }
    let mut watcher = home.start(&[("UNSAFE_SKIP_BACKUP", "true")]);
    expect_both(&home);
    assert!(watcher.stop().success());
}

#[test]
fn row_84_a_height_that_is_past_already_is_an_error_and_no_stall() {
    let home = queued("15");
    let mut watcher = home.start(&[("UNSAFE_SKIP_BACKUP", "true")]);
    let told = home.wait_for_log("is queued in");
    assert!(told.contains(" ERR ") && told.contains("\"v2\"") && told.contains("the node is at height 15"), "{told}");
    wait_until_named(&home, "v3", 20);
    home.write("data/height", "20");
    home.wait_for_call("start v3");
    assert!(watcher.stop().success());
    assert_eq!(home.calls(), ["start genesis", "start v3"]);
}
