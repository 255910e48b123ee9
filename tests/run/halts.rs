//! When a plan in upgrade-info.json is acted on: however a node halts the outcome is the same, and before its time nothing
//! happens at all.

use std::fs;

use crate::{
    home::{Home, LIMIT, each, ended},
    wait,
};

/// What the plan of `fixtures/homes/halting` is written to.
pub(crate) const INFO: &str = "data/upgrade-info.json";

/// Makes genesis write down how often it was asked for its status; below, it answers with the height in `data/height`.
pub(crate) fn counting_questions(home: &Home) {
    let script =
        "version=genesis\n[ $1 = status ] && echo status >> \"$DAEMON_HOME/questions\"\n. \"$DAEMON_HOME/node.sh\"\n";
    home.script("cosmovisor/genesis/bin/noded", script);
}

/// Waits until the node was asked three times more, so that every answer up to now was thought about.
pub(crate) fn wait_for_three_questions(home: &Home) {
    let asked = || fs::read_to_string(home.at("questions")).unwrap_or_default().lines().count();
    let before = asked();
    wait::until("the node is asked for its height", LIMIT, || (asked() >= before + 3).then_some(()));
}

/// Checks that genesis still runs and nothing of an upgrade has begun.
fn expect_untouched(home: &Home) {
    assert_eq!((home.calls(), home.nodes().len()), (vec!["start genesis".to_owned()], 1), "{}", home.log());
    assert_eq!((home.current().as_str(), home.backups().len()), ("genesis", 0));
}

#[test]
fn whether_the_node_stays_up_at_the_halt_or_ends_the_upgrade_is_the_same() {
    let ends = |code| {
        let halts = "cd \"$DAEMON_HOME\"\necho 10 > data/height\ncat plan.json > data/upgrade-info.json";
        format!("{halts}\nexit {code}\n")
    };
    let cases = [
        ("stays up", None),
        ("exits 1 at once", Some(ends(1))),
        ("panics", Some(ends(2))),
        ("exits 0", Some(ends(0))),
        ("is killed", Some(ends(0).replace("exit 0", "kill -KILL $$"))),
    ];
    each(&cases, |end| {
        let home = Home::halting();
        if let Some(end) = end {
            let script = format!("[ $1 = start ] || exit 1\necho start genesis >> \"$DAEMON_HOME/calls\"\n{end}");
            home.script("cosmovisor/genesis/bin/noded", &script);
        }
        let mut watcher = home.start(&[("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade")]);
        home.halt();
        home.expect_upgraded();
        let calls: Vec<_> = home.calls().into_iter().filter(|call| call != "stop genesis").collect();
        assert_eq!(calls, ["start genesis", "custom v2 10", "pre-upgrade v2", "start v2"]);
        assert_eq!(home.read(INFO), home.read("plan.json"));
        assert_eq!(home.backups().len(), 1);
        assert_eq!(fs::read_to_string(home.backups()[0].join("height")).expect("it is there").trim(), "10");
        assert!(watcher.stop().success());
    });
}

#[test]
fn a_node_that_halted_before_watcher_was_there_is_carried_through() {
    let home = Home::halting();
    home.write("data/height", "10\n");
    home.write(INFO, &home.read("plan.json"));
    let mut watcher = home.start(&[]);
    home.expect_upgraded();
    assert_eq!(home.calls(), ["start genesis", "pre-upgrade v2", "start v2"]);
    assert!(watcher.stop().success());
}

#[test]
fn below_the_height_a_plan_waits_whoever_wrote_it() {
    let cases = [("the node", 0o600), ("an operator", 0o755)];
    each(&cases, |mode| {
        let home = Home::halting();
        counting_questions(&home);
        let mut watcher = home.start(&[]);
        home.wait_for_call("start genesis");
        home.write("data/plan", &home.read("plan.json"));
        home.mode("data/plan", *mode);
        fs::rename(home.at("data/plan"), home.at(INFO)).expect("the home can be written");
        wait_for_three_questions(&home);
        expect_untouched(&home);
        home.write("data/height", "10\n");
        home.expect_upgraded();
        assert!(watcher.stop().success());
    });
}

#[test]
fn an_operators_plan_is_not_acted_on_while_the_node_is_silent_nor_when_it_ends() {
    let home = Home::halting();
    // Without data/LOCK the node's status is silent.
    counting_questions(&home);
    home.write(INFO, &home.read("plan.json"));
    home.mode(INFO, 0o755);
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    wait::until("the node runs", LIMIT, || fs::rename(home.at("data/LOCK"), home.at("data/KEPT")).ok());
    wait_for_three_questions(&home);
    expect_untouched(&home);
    let node = home.nodes().pop().expect("it runs");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(node.pid), nix::sys::signal::Signal::SIGKILL).expect("it runs");
    assert_eq!(ended(&mut watcher).code(), Some(1));
    assert_eq!((home.current().as_str(), home.count("start v2")), ("genesis", 0));
}

#[test]
fn a_half_written_plan_is_read_again() {
    let home = Home::halting();
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    let plan = home.read("plan.json");
    home.write(INFO, &plan[..plan.len() / 2]);
    home.wait_for_log("half written");
    expect_untouched(&home);
    home.write("data/height", "10\n");
    home.write(INFO, &plan);
    home.expect_upgraded();
    assert!(watcher.stop().success());
}

#[test]
fn a_plan_that_is_none_is_told_in_one_line_and_the_node_runs_on() {
    let cases = [
        ("folder of another", (r#"{"name":"..","height":10}"#, "..")),
        ("no name", (r#"{"height":10}"#, "name")),
        ("height 0", (r#"{"name":"v2","height":0}"#, "height is 0")),
        ("negative height", (r#"{"name":"v2","height":-1}"#, "height is -1")),
        ("a list", ("[1, 2]", "not a JSON object")),
        ("prose", ("upgrade to v2 please", "upgrade to v2 please")),
        ("empty", ("", "empty")),
    ];
    each(&cases, |(content, says)| {
        let home = Home::halting();
        counting_questions(&home);
        let mut watcher = home.start(&[]);
        home.wait_for_call("start genesis");
        home.write(INFO, content);
        let told = home.wait_for_log("data/upgrade-info.json");
        assert!(told.contains("WARN") && told.contains(says), "{told}");
        expect_untouched(&home);
        // A plan that is one, and waits, shows that the file was looked at again and again.
        home.write(INFO, &home.read("plan.json"));
        wait_for_three_questions(&home);
        expect_untouched(&home);
        home.write("data/height", "10\n");
        home.expect_upgraded();
        assert_eq!(home.log_lines("data/upgrade-info.json").len(), 1, "{}", home.log());
        assert!(watcher.stop().success());
    });
}

#[test]
fn a_height_that_the_node_skips_is_not_acted_on() {
    let cases = [
        ("two words", ["--unsafe-skip-upgrades", "9", "10"].as_slice()),
        ("one word", &["--unsafe-skip-upgrades=9,10"]),
    ];
    each(&cases, |flag| {
        let home = Home::halting();
        let mut watcher = home.start_with(&[&["start"], *flag].concat(), &[]);
        home.halt();
        let told = home.wait_for_log("--unsafe-skip-upgrades)");
        assert!(told.contains("\"v2\" at height 10"), "{told}");
        expect_untouched(&home);
        assert!(watcher.stop().success());
        assert_eq!(home.calls(), ["start genesis", "stop genesis"]);
    });
}
