//! Rows 26 to 45: when a plan in upgrade-info.json is acted on, and what the node is asked before.

use std::{
    fs,
    os::unix::fs::symlink,
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    home::{Home, LIMIT, each, ended, signal},
    supervisor::Supervisor,
    wait,
};

/// What the plan is read from.
pub(crate) const INFO: &str = "data/upgrade-info.json";

/// A plan as x/upgrade writes it, without info.
pub(crate) fn plan(name: &str, height: u64) -> String {
    format!(r#"{{"name":"{name}","time":"0001-01-01T00:00:00Z","height":{height}}}"#)
}

/// Waits until the record says that this upgrade has passed.
fn wait_for_settled(home: &Home, name: &str) {
    let settled = || {
        let record = fs::read_to_string(home.at("cosmovisor/watcher/record.json")).unwrap_or_default();
        (record.contains(&format!("{name:?}")) && record.contains("committed")).then_some(())
    };
    wait::until(&format!("{name} is settled"), LIMIT, settled);
}

/// Checks that what was called is all that was called, that the version runs, and that there is no backup.
pub(crate) fn expect_untouched(home: &Home, calls: &[&str], current: &str) {
    assert_eq!(
        (home.calls(), home.nodes().len()),
        (calls.iter().map(ToString::to_string).collect(), 1),
        "{}",
        home.log()
    );
    assert_eq!((home.current().as_str(), home.backups().len()), (current, 0));
}

/// Waits until the second version of `fixtures/homes/steady` runs in the place of genesis, and stops it.
fn expect_carried_to_v2(home: &Home, watcher: &mut Supervisor) {
    home.wait_for_call("start v2");
    assert_eq!(home.calls(), ["start genesis", "stop genesis", "pre-upgrade v2", "start v2"]);
    assert_eq!((home.current().as_str(), home.nodes().len()), ("upgrades/v2", 1));
    assert!(watcher.stop().success());
}

#[test]
fn row_26_a_swap_goes_in_the_order_of_the_contract() {
    /// Tells what is true at this moment: `v2`'s hook and the operator's script say it to the calls.
    const SCENE: &str = r#"scene() {
  cd "$DAEMON_HOME"
  set -- "$1 at $PWD:" "current $(readlink cosmovisor/current)," "$(ls -d data-backup-* 2> /dev/null | wc -l) backup,"
  [ -e cosmovisor/upgrades/v2/upgrade-info.json ] && marker=a || marker=no
  echo "$* $marker marker" >> calls
}
"#;
    let home = Home::halting();
    home.write("plan.json", r#"{"name":"V2","time":"0001-01-01T00:00:00Z","height":10,"info":"by <hand> & care"}"#);
    home.script("cosmovisor/before-upgrade", &format!("here=$(pwd -P)\n{SCENE}scene \"custom $1 $2 from $here\"\n"));
    for version in ["genesis", "upgrades/v2"] {
        let name = version.trim_start_matches("upgrades/");
        let script = format!(
            "version={name}\n{SCENE}case $1 in\npre-upgrade) scene \"pre-upgrade$# from $(pwd -P)\" ;;\nstart) echo \"{name} \
             gets $*\" >> \"$DAEMON_HOME/calls\" ;;\nesac\n. \"$DAEMON_HOME/node.sh\"\n"
        );
        home.script(&format!("cosmovisor/{version}/bin/noded"), &script);
    }
    home.write("data/application.db/000001.ldb", "state");
    let mut watcher = home.start_with(&["start", "--x", "a b"], &[("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade")]);
    home.halt();
    home.expect_upgraded();

    let here = home.path.to_str().expect("it is text");
    let args = format!("start --x a b start --home {here}");
    assert_eq!(
        home.calls(),
        [
            &format!("genesis gets {args}"),
            "start genesis",
            "stop genesis",
            &format!("custom V2 10 from {here} at {here}: current genesis, 1 backup, no marker"),
            &format!("pre-upgrade1 from {here}/cosmovisor at {here}: current upgrades/v2, 1 backup, a marker"),
            "pre-upgrade v2",
            &format!("v2 gets {args}"),
            "start v2",
        ]
    );
    let marker = r#"{"name":"v2","time":"0001-01-01T00:00:00Z","height":10,"info":"by \u003chand\u003e \u0026 care"}"#;
    assert_eq!(home.read("cosmovisor/upgrades/v2/upgrade-info.json"), marker);
    assert_eq!(home.read(INFO), home.read("plan.json"));
    let backup = home.backups().pop().expect("there is one");
    let saved = |path: &str| fs::read_to_string(backup.join(path)).expect("it is in the backup");
    assert_eq!((saved("height").trim(), saved("application.db/000001.ldb").as_str()), ("10", "state"));
    assert_eq!(saved("upgrade-info.json"), home.read("plan.json"));
    home.wait_for_log("has passed");
    assert!(watcher.stop().success());
    for said in [
        "daemon shutting down in an attempt to restart",
        "sent interrupt to app, waiting for exit",
        "app exited normally",
        "starting to take backup of data directory",
        "backup completed",
        "looking for COSMOVISOR_CUSTOM_PREUPGRADE file",
        "COSMOVISOR_CUSTOM_PREUPGRADE result",
        "pre-upgrade successful. continuing the upgrade.",
        "upgrade detected, relaunching",
    ] {
        assert_eq!(home.log_lines(said).len(), 1, "{said:?} is said once: {}", home.log());
    }
}

#[test]
fn row_27_below_the_height_a_plan_waits_whoever_wrote_it() {
    let cases = [("the node", 0o600), ("an operator", 0o755)];
    each(&cases, |mode| {
        let home = Home::steady();
        let mut watcher = home.start(&[]);
        home.wait_for_call("start genesis");
        home.write("data/plan", &plan("v2", 10));
        home.mode("data/plan", *mode);
        fs::rename(home.at("data/plan"), home.at(INFO)).expect("the home can be written");
        home.wait_for_three_questions();
        expect_untouched(&home, &["start genesis"], "genesis");
        home.write("data/height", "10\n");
        expect_carried_to_v2(&home, &mut watcher);
    });
}

#[test]
fn row_28_however_the_node_halts_the_upgrade_is_the_same() {
    let ends = |how| {
        let halts = "cd \"$DAEMON_HOME\"\necho 10 > data/height\ncat plan.json > data/upgrade-info.json";
        format!("[ $1 = start ] || exit 1\necho start genesis >> \"$DAEMON_HOME/calls\"\n{halts}\n{how}\n")
    };
    let cases = [
        ("stays up", None),
        ("exits 1 at once", Some(ends("exit 1"))),
        ("panics", Some(ends("exit 2"))),
        ("is killed", Some(ends("kill -KILL $$"))),
    ];
    each(&cases, |end| {
        let home = Home::halting();
        if let Some(script) = end {
            home.script("cosmovisor/genesis/bin/noded", script);
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
fn row_29_a_node_that_halted_before_the_start_and_dies_at_each_start_is_carried_through() {
    let home = Home::halting();
    home.write("data/height", "10\n");
    home.write(INFO, &home.read("plan.json"));
    let mut watcher = home.start(&[]);
    home.expect_upgraded();
    // It may have been asked, and told to stop, just before it died.
    let calls: Vec<_> = home.calls().into_iter().filter(|call| call != "stop genesis").collect();
    assert_eq!(calls, ["start genesis", "pre-upgrade v2", "start v2"]);
    assert!(watcher.stop().success());
}

#[test]
fn row_30_a_plan_for_a_height_to_come_is_not_acted_on_early_after_a_restart() {
    let home = Home::steady();
    home.write("silent", "");
    home.write(INFO, &plan("v2", 77));
    home.mode(INFO, 0o755);
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.wait_for_three_questions();
    expect_untouched(&home, &["start genesis"], "genesis");
    home.remove("silent");
    home.wait_for_three_questions();
    expect_untouched(&home, &["start genesis"], "genesis");
    home.write("data/height", "77\n");
    expect_carried_to_v2(&home, &mut watcher);
}

#[test]
fn row_30_a_plan_for_a_height_to_come_is_not_what_a_silent_node_ends_of() {
    let home = Home::steady();
    home.write("silent", "");
    home.write(INFO, &plan("v2", 77));
    home.mode(INFO, 0o755);
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.wait_for_three_questions();
    let node = home.nodes().pop().expect("it runs");
    kill(Pid::from_raw(node.pid), Signal::SIGKILL).expect("it runs");
    assert_eq!(ended(&mut watcher).code(), Some(1));
    assert_eq!((home.current().as_str(), home.count("start v2")), ("genesis", 0));
}

#[test]
fn row_31_a_node_that_exits_0_is_upgraded_if_it_wrote_the_plan_itself_and_no_stop_was_asked_for() {
    let home = Home::halting();
    let halts =
        "[ $1 = start ] || exit 1\ncd \"$DAEMON_HOME\"\necho 10 > data/height\ncat plan.json > data/upgrade-info.json";
    home.script("cosmovisor/genesis/bin/noded", &format!("{halts}\nexit 0\n"));
    let mut watcher = home.start(&[]);
    home.expect_upgraded();
    assert!(watcher.stop().success());

    let home = Home::steady();
    home.write(INFO, &plan("v2", 10));
    home.script("cosmovisor/genesis/bin/noded", "[ $1 = start ] && exit 0\nexit 1\n");
    let mut watcher = home.start(&[]);
    assert_eq!(ended(&mut watcher).code(), Some(0));
    assert_eq!((home.current().as_str(), home.count("start v2")), ("genesis", 0), "the plan was there before");

    let home = Home::steady();
    let halts = format!(
        "[ $1 = start ] || exit 1\ntrap 'echo '\\''{}'\\'' > \"$DAEMON_HOME/{INFO}\"; exit 0' TERM\n",
        plan("v2", 10)
    );
    home.script("cosmovisor/genesis/bin/noded", &format!("{halts}echo ready\nwhile :; do sleep 0.05; done\n"));
    let mut watcher = home.start(&[]);
    home.wait_for_log("ready");
    signal(&watcher, Signal::SIGTERM);
    assert_eq!(ended(&mut watcher).code(), Some(0));
    assert_eq!(home.read(INFO).trim(), plan("v2", 10));
    assert_eq!((home.current().as_str(), home.count("start v2")), ("genesis", 0), "a stop was asked for");
}

#[test]
fn row_32_a_plan_that_the_marker_names_is_done() {
    let home = Home::steady();
    home.write(INFO, &plan("v2", 5));
    home.write("cosmovisor/upgrades/v2/upgrade-info.json", &plan("v2", 5));
    symlink("upgrades/v2", home.at("cosmovisor/current")).expect("the home can be written");
    let mut watcher = home.start(&[]);
    home.wait_for_call("start v2");
    wait_for_settled(&home, "v2");
    expect_untouched(&home, &["start v2"], "upgrades/v2");
    assert!(watcher.stop().success());
}

#[test]
fn row_33_a_plan_whose_binary_was_linked_by_hand_is_done_and_gets_its_marker() {
    let home = Home::steady();
    home.write(INFO, r#"{"name":"V2","height":5,"info":"by hand"}"#);
    symlink("upgrades/v2", home.at("cosmovisor/current")).expect("the home can be written");
    let mut watcher = home.start(&[]);
    home.wait_for_call("start v2");
    wait_for_settled(&home, "V2");
    expect_untouched(&home, &["start v2"], "upgrades/v2");
    let marker = r#"{"name":"v2","time":"0001-01-01T00:00:00Z","height":5,"info":"by hand"}"#;
    assert_eq!(home.read("cosmovisor/upgrades/v2/upgrade-info.json"), marker);
    assert!(watcher.stop().success());
}

#[test]
fn row_34_a_plan_older_than_the_marker_brings_no_old_binary_back_until_current_is_linked_by_hand() {
    let home = Home::halting();
    home.script(
        "cosmovisor/upgrades/v3/bin/noded",
        &home.read("cosmovisor/upgrades/v2/bin/noded").replace("v2", "v3").replace("#!/bin/sh\n", ""),
    );
    home.write("cosmovisor/upgrades/v3/upgrade-info.json", &plan("v3", 20));
    symlink("upgrades/v3", home.at("cosmovisor/current")).expect("the home can be written");
    home.write("data/height", "10\n");
    home.write(INFO, &home.read("plan.json"));
    // At the data of an older height the newer binary cannot go on.
    let mut watcher = home.start(&[]);
    assert_eq!(ended(&mut watcher).code(), Some(0));
    home.wait_for_log("nothing is switched");
    assert_eq!((home.calls(), home.current().as_str()), (vec!["start v3".to_owned()], "upgrades/v3"));

    home.remove("cosmovisor/current");
    symlink("genesis", home.at("cosmovisor/current")).expect("the home can be written");
    let mut watcher = home.start(&[]);
    home.expect_upgraded();
    assert!(watcher.stop().success());
}

#[test]
fn row_35_a_plan_that_was_there_before_is_acted_on_once_the_node_says_its_height() {
    let home = Home::steady();
    home.write(INFO, &plan("v2", 9));
    let mut watcher = home.start(&[]);
    expect_carried_to_v2(&home, &mut watcher);
    assert_eq!(home.questions().first().map(String::as_str), Some("genesis"));
}

#[test]
fn row_36_a_second_plan_is_carried_out_and_the_binary_of_the_first_is_asked() {
    let home = Home::steady();
    let mut watcher = home.start(&[("UNSAFE_SKIP_BACKUP", "true")]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    home.wait_for_call("start v2");
    let before = home.questions().len();
    home.write(INFO, &plan("v3", 12));
    home.wait_for_three_questions();
    assert_eq!(home.current(), "upgrades/v2");
    home.write("data/height", "12\n");
    home.wait_for_call("start v3");
    let asked = home.questions()[before..].to_vec();
    assert!(asked.iter().all(|version| version == "v2" || version == "v3"), "{asked:?}");
    let first = ["start genesis", "stop genesis", "pre-upgrade v2", "start v2"];
    assert_eq!(home.calls(), [&first[..], &["stop v2", "pre-upgrade v3", "start v3"]].concat());
    assert_eq!(home.current(), "upgrades/v3");
    assert!(watcher.stop().success());
}

#[test]
fn row_37_a_second_plan_for_a_lower_height_is_ignored() {
    let home = Home::steady();
    let mut watcher = home.start(&[("UNSAFE_SKIP_BACKUP", "true")]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    home.wait_for_call("start v2");
    home.write(INFO, &plan("v3", 8));
    home.wait_for_log("\"v3\" at height 8: it is older");
    let calls = ["start genesis", "stop genesis", "pre-upgrade v2", "start v2"];
    expect_untouched(&home, &calls, "upgrades/v2");
    assert!(watcher.stop().success());
    assert_eq!(home.calls(), [&calls[..], &["stop v2"]].concat());
}

#[test]
fn row_38_an_empty_file_is_ignored_until_there_is_something_in_it() {
    let home = Home::steady();
    home.write(INFO, "");
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.wait_for_log("it is empty");
    expect_untouched(&home, &["start genesis"], "genesis");
    home.write(INFO, &plan("v2", 9));
    expect_carried_to_v2(&home, &mut watcher);
}

#[test]
fn row_39_a_half_written_plan_is_read_again() {
    let home = Home::steady();
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    let plan = plan("v2", 9);
    home.write(INFO, &plan[..plan.len() / 2]);
    home.wait_for_log("half written");
    expect_untouched(&home, &["start genesis"], "genesis");
    home.write(INFO, &plan);
    expect_carried_to_v2(&home, &mut watcher);
}

#[test]
fn row_40_a_plan_that_is_none_is_told_in_one_line_and_the_node_runs_on() {
    let cases = [
        ("half a plan", (r#"{"name":"v2","hei"#, "half written")),
        ("no name", (r#"{"height":10}"#, "name")),
        ("empty name", (r#"{"name":"","height":10}"#, "name")),
        ("height 0", (r#"{"name":"v2","height":0}"#, "height is 0")),
        ("negative height", (r#"{"name":"v2","height":-1}"#, "height is -1")),
        ("a time", (r#"{"name":"v2","height":10,"time":"2026-01-01T00:00:00Z"}"#, "time")),
        ("more behind it", (r#"{"name":"v2","height":10} and more"#, "trailing")),
        ("a list", ("[1, 2]", "not a JSON object")),
        ("prose", ("upgrade to v2 please", "upgrade to v2 please")),
    ];
    each(&cases, |(content, says)| {
        let home = Home::steady();
        let mut watcher = home.start(&[]);
        home.wait_for_call("start genesis");
        home.write(INFO, content);
        let told = home.wait_for_log(INFO);
        assert!(told.contains(" ERR ") && told.contains(says), "{told}");
        expect_untouched(&home, &["start genesis"], "genesis");
        // A plan that is one, and waits, shows that the file was looked at again and again. Its height is a text, as in REST.
        home.write(INFO, r#"{"name":"v2","height":"10"}"#);
        home.wait_for_three_questions();
        expect_untouched(&home, &["start genesis"], "genesis");
        home.write("data/height", "10\n");
        expect_carried_to_v2(&home, &mut watcher);
        assert_eq!(home.log_lines(INFO).len(), 1, "{}", home.log());
    });
}

#[test]
fn row_40_what_is_no_file_is_told_and_the_node_runs_on() {
    each(&[("a folder", "mkdir"), ("a pipe", "mkfifo")], |make| {
        let home = Home::steady();
        let mut watcher = home.start(&[]);
        home.wait_for_call("start genesis");
        assert!(Command::new(make).arg(home.at(INFO)).status().expect("it is there").success());
        let told = home.wait_for_log(INFO);
        assert!(told.contains(" ERR ") && told.contains("it is not a file"), "{told}");
        expect_untouched(&home, &["start genesis"], "genesis");
        fs::remove_dir(home.at(INFO)).or_else(|_| fs::remove_file(home.at(INFO))).expect("the home can be written");
        home.write(INFO, &plan("v2", 9));
        expect_carried_to_v2(&home, &mut watcher);
    });
}

#[test]
fn row_41_keys_in_any_case_and_unknown_keys_are_accepted() {
    let home = Home::steady();
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.write(INFO, r#"{"Name":"v2","HEIGHT":9,"iNfO":"","upgraded_client_state":null,"more":[1]}"#);
    expect_carried_to_v2(&home, &mut watcher);
}

#[test]
fn row_42_a_rewrite_with_the_time_of_the_file_before_is_seen() {
    let home = Home::steady();
    home.write(INFO, &plan("v2", 7));
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    wait_for_settled(&home, "v2");
    let file = fs::File::options().write(true).open(home.at(INFO)).expect("it is there");
    let time = file.metadata().and_then(|meta| meta.modified()).expect("it has a time");
    signal(&watcher, Signal::SIGSTOP);
    home.write(INFO, &plan("v2", 9));
    file.set_modified(time).expect("the home can be written");
    signal(&watcher, Signal::SIGCONT);
    expect_carried_to_v2(&home, &mut watcher);
}

/// Checks that a node whose `status` does this is carried from genesis to v2, once its height has come and not before.
fn expect_understood(status: &str) {
    let home = Home::steady();
    let script = format!(
        "version=genesis\nheight=$(cat \"$DAEMON_HOME/data/height\")\nif [ $1 = status ]; then\n  echo genesis >> \
         \"$DAEMON_HOME/questions\"\n  {status}\nfi\n. \"$DAEMON_HOME/node.sh\"\n"
    );
    home.script("cosmovisor/genesis/bin/noded", &script);
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 10));
    home.wait_for_three_questions();
    expect_untouched(&home, &["start genesis"], "genesis");
    home.write("data/height", "10\n");
    expect_carried_to_v2(&home, &mut watcher);
}

#[test]
fn row_43_noise_around_the_answer_of_status_does_no_harm() {
    let answer = r#"echo "{\"sync_info\":{\"latest_block_height\":\"$height\"}}""#;
    let cases = [
        ("before it, on stderr", format!("echo 'WARNING: {{odd}} config' >&2; {answer}; exit 0")),
        (
            "before it, on stdout",
            format!("echo 'WARNING: {{odd}} config'; echo '{{\"level\":\"info\"}}'; {answer}; exit 0"),
        ),
        ("behind it", format!("{answer}; echo bye; exit 0")),
    ];
    each(&cases, |status| expect_understood(status));
}

#[test]
fn row_44_every_form_of_an_answer_is_understood() {
    let cases = [
        (
            "SyncInfo on stderr",
            r#"echo "{\"NodeInfo\":{\"id\":\"\"},\"SyncInfo\":{\"latest_block_height\":\"$height\"}}" >&2; exit 0"#,
        ),
        ("SyncInfo on stdout", r#"echo "{\"SyncInfo\":{\"latest_block_height\":\"$height\"}}"; exit 0"#),
        ("sync_info on stderr", r#"echo "{\"sync_info\":{\"latest_block_height\":\"$height\"}}" >&2; exit 0"#),
        ("sync_info on stdout", r#"echo "{\"sync_info\":{\"latest_block_height\":\"$height\"}}"; exit 0"#),
        ("below result", r#"echo "{\"result\":{\"sync_info\":{\"latest_block_height\":\"$height\"}}}"; exit 0"#),
    ];
    each(&cases, |status| expect_understood(status));
}

#[test]
fn row_45_a_status_that_hangs_does_not_hold_the_upgrade_up_for_ever() {
    let home = Home::steady();
    let hangs = "version=genesis\n[ $1 = status ] && echo $$ >> \"$DAEMON_HOME/hanging\" && exec sleep 1000\n. \"$DAEMON_HOME/node.sh\"\n";
    home.script("cosmovisor/genesis/bin/noded", hangs);
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    let began = Instant::now();
    expect_carried_to_v2(&home, &mut watcher);
    assert!(began.elapsed() > Duration::from_secs(4), "it was given time to answer");
    for pid in home.read("hanging").lines() {
        assert!(!fs::exists(format!("/proc/{pid}")).expect("/proc is mounted"), "status {pid} is left");
    }
}
