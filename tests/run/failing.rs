//! A new binary that does not come past its height.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, symlink},
        net::UnixDatagram,
    },
    path::Path,
    process::{Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    home::{Home, LIMIT, each, ended, output, signal, text},
    orders::command,
    supervisor::Supervisor,
    wait,
};

const V2: &str = "cosmovisor/upgrades/v2/bin/noded";
/// What a node says of its height when it begins, and why the new one ends.
const STANDS: &str = "INF ABCI Handshake App Info hash=AB height=9 module=consensus";
const DEFECT: &str = "panic: a defect in the migration";

/// A `v2` that says these lines when it is started, and ends.
fn ends_saying(lines: &[&str]) -> String {
    let said = lines.iter().map(|line| format!("echo '{line}' >&2")).collect::<Vec<_>>().join("\n");
    format!(
        "[ $1 = pre-upgrade ] && exit 0\n[ $1 = start ] || exit 1\necho start v2 >> \"$DAEMON_HOME/calls\"\n{said}\nexit 3\n"
    )
}

/// A home at whose halt such a `v2` is waiting.
fn home(lines: &[&str]) -> Home {
    let home = Home::halting();
    home.write("data/application.db/CURRENT", "before");
    home.script(V2, &ends_saying(lines));
    home
}

fn start(home: &Home, policy: &str) -> Supervisor {
    home.start(&[("WATCHER_UPGRADE_MAX_RESTARTS", "1"), ("WATCHER_ON_UPGRADE_FAILURE", policy)])
}

fn record(home: &Home) -> Value {
    serde_json::from_str(&home.read("cosmovisor/watcher/record.json")).expect("it is JSON")
}

/// Waits until the verdict is this one.
fn wait_for_verdict(home: &Home, state: &str) {
    wait::until(&format!("the upgrade is {state}"), LIMIT, || {
        (record(home)["failure"]["state"].as_str() == Some(state)).then_some(())
    });
}

/// As an impatient service manager: the program is started again and again, and each time it stays and says why.
fn restart_often(home: &Home, policy: &str, said: &str) {
    for number in 0..20 {
        let before = home.log_lines(said).len();
        let mut watcher = start(home, policy);
        wait::until(&format!("start {number} says why"), LIMIT, || (home.log_lines(said).len() > before).then_some(()));
        assert_eq!(watcher.ended(), None, "it stays");
        assert_eq!(watcher.stop().code(), Some(75));
    }
}

#[test]
fn a_new_binary_that_fails_is_started_again_so_often_and_then_held_until_it_is_replaced() {
    let home = home(&[DEFECT]);
    let mut watcher = start(&home, "hold");
    home.halt();
    wait_for_verdict(&home, "held");
    let calls = ["start genesis", "stop genesis", "start v2", "start v2"];
    assert_eq!((home.calls(), home.current().as_str()), (calls.map(str::to_owned).to_vec(), "upgrades/v2"));
    let sha256 = hex::encode(Sha256::digest(fs::read(home.at(V2)).expect("it is there")));
    assert_eq!(record(&home)["failure"]["sha256"].as_str(), Some(sha256.as_str()));
    let told = home.wait_for_log("\"v2\" at height 10 failed");
    for said in ["started 2 times", "height 10", "exit status 3", "watcher resume", "watcher rollback"] {
        assert!(told.contains(said), "{said:?} is not said: {told}");
    }
    assert_eq!((watcher.ended(), home.nodes().len()), (None, 0), "it stays, without a node");
    assert_eq!(watcher.stop().code(), Some(75));
    restart_often(&home, "hold", "\"v2\" at height 10 failed");
    assert_eq!(home.count("start v2"), 2);

    let mut watcher = start(&home, "hold");
    // The same bytes in another file are no other binary.
    home.script(V2, &ends_saying(&[DEFECT]));
    wait::until("it is looked at", LIMIT, || {
        let inode = fs::metadata(home.at(V2)).expect("it is there").ino();
        (record(&home)["failure"]["file"]["inode"].as_u64() == Some(inode)).then_some(())
    });
    assert_eq!(home.count("start v2"), 2);
    home.script(V2, "version=v2\n. \"$DAEMON_HOME/node.sh\"\n");
    home.wait_for_log("its binary was replaced");
    home.wait_for_log("has passed");
    assert_eq!((home.count("pre-upgrade v2"), home.count("start genesis")), (1, 1), "{:?}", home.calls());
    assert!(record(&home)["failure"].is_null());
    assert!(watcher.stop().success());
}

#[test]
fn an_upgrade_that_fails_is_taken_back_once_however_often_watcher_is_started() {
    let home = home(&[STANDS, DEFECT]);
    // What the new binary leaves behind.
    let script = ends_saying(&[STANDS, DEFECT])
        .replace("exit 3", "echo after > \"$DAEMON_HOME/data/application.db/CURRENT\"\nexit 3");
    home.script(V2, &script);
    let mut watcher = start(&home, "rollback");
    home.halt();
    wait_for_verdict(&home, "rolled_back");
    assert_eq!((home.current().as_str(), home.read("data/application.db/CURRENT").as_str()), ("genesis", "before"));
    assert!(home.at("data/upgrade-info.json").exists() && home.nodes().is_empty());
    assert_eq!(watcher.stop().code(), Some(75));
    restart_often(&home, "rollback", "\"v2\" at height 10 failed");
    assert_eq!((home.count("start v2"), home.count("start genesis")), (2, 1));
    let kept = |path: &Path| fs::read(path.join("application.db/CURRENT")).is_ok_and(|said| said == b"after\n");
    let failed = fs::read_dir(&home.path).expect("it is there").flatten().filter(|entry| kept(&entry.path()));
    assert_eq!(failed.count(), 1, "the failed data is kept, once");

    let mut watcher = start(&home, "rollback");
    home.script(V2, "version=v2\n. \"$DAEMON_HOME/node.sh\"\n");
    home.wait_for_log("has passed");
    assert_eq!((home.count("start genesis"), home.current().as_str()), (1, "upgrades/v2"));
    assert_eq!((home.nodes().len(), home.read("data/height").trim()), (1, "11"));
    assert!(watcher.stop().success());
}

#[test]
fn an_upgrade_that_fails_is_begun_once_more_from_the_backup_and_then_held() {
    let home = home(&[STANDS, DEFECT]);
    let mut watcher = start(&home, "retry");
    home.halt();
    wait_for_verdict(&home, "held");
    assert_eq!((home.count("start v2"), home.current().as_str()), (3, "upgrades/v2"));
    assert_eq!(watcher.stop().code(), Some(75));
}

#[test]
fn what_may_be_committed_is_held_and_not_taken_back() {
    let executed = "INF executed block app_hash=CD height=10 module=state";
    let silent = "its log_level must be info";
    let cases = [
        ("it does not say where it stands", (vec![DEFECT], None, silent)),
        ("it has executed the block", (vec![STANDS, executed, DEFECT], None, "may have committed height 10")),
        ("its signer's state is broken", (vec![STANDS, DEFECT], Some("echo '{' >"), "what the validator signed last")),
        ("its signer's state is gone", (vec![STANDS, DEFECT], Some("rm -f"), "put the last one in its place first")),
    ];
    each(&cases, |(lines, signer, why)| {
        let home = home(lines);
        if let Some(spoils) = signer {
            let writes = format!("{spoils} \"$DAEMON_HOME/data/priv_validator_state.json\"\nexit 3");
            home.script(V2, &ends_saying(lines).replace("exit 3", &writes));
        }
        let mut watcher = start(&home, "rollback");
        home.halt();
        wait_for_verdict(&home, "held");
        let told = home.wait_for_log("is not taken back");
        assert!(told.contains(why), "{told}");
        assert_eq!(home.current(), "upgrades/v2");
        if signer.is_some() {
            assert!(output(&mut command(&home, &["rollback", "--yes"])).status.success());
            assert!(home.wait_for_log("taking the upgrade back failed").contains(why));
        }
        assert_eq!(watcher.stop().code(), Some(75));
    });
}

#[test]
fn what_fails_while_the_node_is_stopped_is_told_at_once_and_tried_again_until_it_works() {
    let script = ("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade");
    let cases = [
        // What else belongs to the node is there while room is looked for, and gone when it is copied.
        ("a backup", (("WATCHER_BACKUP_PATHS", "more"), "rm -r \"$DAEMON_HOME/more\"", "UNSAFE_SKIP_BACKUP=true")),
        (
            "a script",
            (script, "mv \"$DAEMON_HOME/fails\" \"$DAEMON_HOME/cosmovisor/before-upgrade\"", "mend the script"),
        ),
    ];
    each(&cases, |(setting, spoils, remedy)| {
        let home = Home::halting();
        home.write("more/file", "");
        home.script("fails", "exit 3");
        let works = home.read("cosmovisor/before-upgrade");
        let node = home.read("node.sh");
        home.write("node.sh", &node.replace("trap 'note stop;", &format!("trap 'note stop; {spoils};")));
        let notify = home.at("notify");
        let manager = UnixDatagram::bind(&notify).expect("the home can be written");
        let mut watcher = home.start(&[*setting, ("NOTIFY_SOCKET", notify.to_str().expect("it is text"))]);
        home.halt();
        let told = home.wait_for_log("stands still without a node");
        assert!(told.contains("ERROR") && told.contains(remedy), "{told}");
        wait::until("the service manager hears it", LIMIT, || {
            let mut buffer = [0; 4096];
            let length = manager.recv(&mut buffer).expect("it says what goes on");
            let said = text(&buffer[..length]);
            (said.contains("STATUS=no node runs; upgrade v2 at 10") && said.contains("failed")).then_some(())
        });
        assert_eq!((watcher.ended(), home.nodes().len(), home.current().as_str()), (None, 0, "genesis"));
        assert_eq!(watcher.stop().code(), Some(75));
        let mut watcher = home.start(&[*setting]);
        wait::until("it is told again", LIMIT, || (home.log_lines("stands still").len() == 2).then_some(()));
        home.write("more/file", "");
        home.script("cosmovisor/before-upgrade", works.trim_start_matches("#!/bin/sh\n"));
        home.expect_upgraded();
        assert!(watcher.stop().success());
    });
}

#[test]
fn restarts_by_an_impatient_hand_give_a_new_binary_no_more_attempts() {
    let home = home(&[DEFECT]);
    let settings = [("WATCHER_UPGRADE_MAX_RESTARTS", "2")];
    let mut watcher = home.start(&settings);
    home.halt();
    for attempts in 1..=2 {
        wait::until("it has failed", LIMIT, || (record(&home)["attempts"].as_u64() == Some(attempts)).then_some(()));
        signal(&watcher, Signal::SIGKILL);
        ended(&mut watcher);
        watcher = home.start(&settings);
    }
    wait_for_verdict(&home, "held");
    assert_eq!((home.count("start v2"), home.count("start genesis")), (3, 1));
    assert_eq!(watcher.stop().code(), Some(75));
}

#[test]
fn without_restarts_the_one_start_is_heard_and_the_upgrade_taken_back() {
    let home = home(&[STANDS, DEFECT]);
    let settings = [("WATCHER_UPGRADE_MAX_RESTARTS", "0"), ("WATCHER_ON_UPGRADE_FAILURE", "rollback")];
    let mut watcher = home.start(&settings);
    home.halt();
    wait_for_verdict(&home, "rolled_back");
    assert_eq!((home.count("start v2"), home.current().as_str()), (1, "genesis"));
    assert_eq!(watcher.stop().code(), Some(75));
}

#[test]
fn where_there_is_no_backup_nobody_is_told_to_go_back_to_it() {
    let home = home(&[DEFECT]);
    let settings = [("WATCHER_UPGRADE_MAX_RESTARTS", "0"), ("UNSAFE_SKIP_BACKUP", "true")];
    let mut watcher = home.start(&settings);
    home.halt();
    let told = home.wait_for_log("\"v2\" at height 10 failed");
    assert!(told.contains("it cannot be taken back: there is no complete backup"), "{told}");
    assert!(told.contains("watcher resume") && !told.contains("watcher rollback"), "{told}");
    assert_eq!(watcher.stop().code(), Some(75));
}

#[test]
fn a_rollback_of_which_only_the_link_is_left_is_completed_without_bringing_the_data_back_again() {
    let home = home(&[STANDS, DEFECT]);
    let mut watcher = start(&home, "rollback");
    home.halt();
    wait_for_verdict(&home, "rolled_back");
    assert_eq!(watcher.stop().code(), Some(75));
    assert_eq!(record(&home)["failure"]["restored"], Value::Bool(true), "the restore says itself that it is done");
    // As a kill just before the last step leaves it.
    let path = "cosmovisor/watcher/record.json";
    home.write(path, &home.read(path).replace("rolled_back", "rolling_back"));
    home.remove("cosmovisor/current");
    symlink("upgrades/v2", home.at("cosmovisor/current")).expect("the home can be written");
    let failed = || home.log_lines("what was there before is kept").len();
    let before = failed();
    let mut watcher = start(&home, "rollback");
    wait_for_verdict(&home, "rolled_back");
    assert_eq!((home.current().as_str(), failed()), ("genesis", before));
    assert_eq!(watcher.stop().code(), Some(75));
}

#[test]
fn a_binary_that_cannot_be_executed_or_refuses_in_its_pre_upgrade_fails_the_upgrade() {
    let refuses = "#!/bin/sh\n[ $1 = pre-upgrade ] && exit 30\n";
    let cases = [
        ("it refuses", (refuses, "pre-upgrade command failed : exit status 30")),
        ("it is no program", ("no program", "Exec format error")),
    ];
    each(&cases, |(content, said)| {
        let home = home(&[]);
        home.write(V2, content);
        home.mode(V2, 0o755);
        let mut watcher = start(&home, "rollback");
        home.halt();
        // It never ran on the data, so it has committed nothing.
        wait_for_verdict(&home, "rolled_back");
        home.wait_for_log(said);
        assert_eq!((watcher.stop().code(), home.count("start genesis")), (Some(75), 1));
    });
}

#[test]
fn an_upgrade_whose_validator_signed_beyond_it_has_passed_and_is_not_taken_back() {
    let home = home(&[STANDS, DEFECT]);
    let writes = "echo '{\"height\":\"11\",\"round\":0,\"step\":3}' > \"$DAEMON_HOME/data/priv_validator_state.json\"\nsleep 0.5\nexit 3";
    home.script(V2, &ends_saying(&[STANDS, DEFECT]).replace("exit 3", writes));
    let mut watcher = start(&home, "rollback");
    home.halt();
    assert_eq!(ended(&mut watcher).code(), Some(1), "a crash after the upgrade ends the run");
    assert_eq!((record(&home)["verdict"].as_str(), home.current().as_str()), (Some("committed"), "upgrades/v2"));
    assert!(record(&home)["failure"].is_null());
}

#[test]
fn what_lies_outside_the_binary_is_named_and_waited_for() {
    let signer =
        "Error: error with private validator socket client: can't get pubkey: send: endpoint connection timed out";
    let cases = [
        (
            "a port",
            ("Error: listen tcp 127.0.0.1:26657: bind: address already in use", "listens at one of its addresses"),
        ),
        ("a signer", (&signer.replace('\'', ""), "remote signer is not connected")),
        (
            "a lock",
            ("Error: failed to initialize database: resource temporarily unavailable", "has its databases open"),
        ),
    ];
    each(&cases, |(line, named)| {
        let home = home(&[line]);
        let mut watcher = start(&home, "rollback");
        home.halt();
        let told = home.wait_for_log(named);
        assert!(told.contains(line.trim_start_matches("Error: ")), "{told}");
        wait::until("it is started more often than a failure would be", LIMIT, || {
            (home.count("start v2") == 4).then_some(())
        });
        assert!(record(&home)["failure"].is_null());
        home.script(V2, "version=v2\n. \"$DAEMON_HOME/node.sh\"\n");
        home.wait_for_log("has passed");
        assert!(watcher.stop().success());
    });
}

#[test]
fn a_refusal_to_sign_twice_is_named_and_ends_it() {
    let home = home(&["Error: found signature from the same key"]);
    let mut watcher = start(&home, "rollback");
    home.halt();
    assert_eq!(ended(&mut watcher).code(), Some(1));
    assert!(home.wait_for_log("double_sign_check_height").contains("no other node signs"));
    assert!((home.count("start v2"), record(&home)["failure"].is_null()) == (2, true));
}

#[test]
fn what_an_order_to_take_an_upgrade_back_is_told_is_so() {
    let home = Home::halting();
    home.is_upgraded();
    let asked = |told: &Output| text(&told.stdout) + &text(&told.stderr);
    let rollback = || command(&home, &["rollback"]);

    let mut record = record(&home);
    record["verdict"] = "pending".into();
    home.write("cosmovisor/watcher/record.json", &record.to_string());
    // The validator has signed height 11, and backups need not be wanted any more.
    let told = asked(&output(rollback().env("UNSAFE_SKIP_BACKUP", "true")));
    assert!(told.contains("Its height is committed"), "{told}");

    home.remove("data/upgrade-info.json");
    let told = asked(&output(&mut rollback()));
    let backup = home.backups()[0].file_name().expect("it has a name").display().to_string();
    assert!(told.contains("does not name upgrade \"v2\"") && told.contains(&format!("restore {backup}")), "{told}");
}

/// Its data came back, and the node could not be started any more.
#[test]
fn an_upgrade_is_not_taken_back_to_a_version_that_was_cleaned_up() {
    let home = home(&[STANDS, DEFECT]);
    let mut watcher = start(&home, "rollback");
    home.halt();
    home.wait_for_call("start v2");
    fs::rename(home.at("cosmovisor/genesis"), home.at("cosmovisor/cleaned")).expect("the home can be written");
    wait_for_verdict(&home, "held");
    let missing = "cosmovisor/genesis/bin/noded is not there: place it first";
    assert!(home.wait_for_log("it cannot be taken back").contains(missing));
    let refused = output(&mut command(&home, &["rollback", "--yes"]));
    assert!(refused.status.code() == Some(1) && text(&refused.stderr).contains(missing), "{refused:?}");

    fs::rename(home.at("cosmovisor/cleaned"), home.at("cosmovisor/genesis")).expect("the home can be written");
    assert!(output(&mut command(&home, &["rollback", "--yes"])).status.success());
    wait_for_verdict(&home, "rolled_back");
    assert_eq!(watcher.stop().code(), Some(75));
}

#[test]
fn an_operator_takes_an_upgrade_back_and_goes_on_with_it() {
    let home = Home::halting();
    home.write("data/application.db/CURRENT", "before");
    let command = |args: &[&str]| output(&mut command(&home, args));
    assert_eq!(command(&["resume"]).status.code(), Some(1), "nothing was carried out here");
    assert_eq!(command(&["rollback", "--yes"]).status.code(), Some(1));
    let mut watcher = home.start(&[]);
    home.halt();
    home.wait_for_log("has passed");
    home.write("data/application.db/CURRENT", "after");
    assert_eq!(command(&["resume"]).status.code(), Some(1), "it did not fail");

    let asked = command(&["rollback"]);
    assert_eq!(asked.status.code(), Some(64), "nobody can be asked");
    for said in ["\"v2\" at height 10", "genesis", "Its height is committed"] {
        assert!(text(&asked.stdout).contains(said), "{said:?} is not said: {}", text(&asked.stdout));
    }
    assert!(text(&asked.stderr).contains("--yes"));
    assert_eq!(home.count("stop v2"), 0);

    assert!(command(&["rollback", "--yes"]).status.success());
    wait_for_verdict(&home, "rolled_back");
    assert_eq!((home.current().as_str(), home.read("data/application.db/CURRENT").as_str()), ("genesis", "before"));
    let state = home.read("data/priv_validator_state.json");
    assert!(state.contains("\"11\""), "what was signed stays signed: {state}");
    assert_eq!((home.nodes().len(), watcher.ended()), (0, None));

    assert!(command(&["resume"]).status.success());
    wait::until("v2 is started again", LIMIT, || (home.count("start v2") == 2).then_some(()));
    assert_eq!((home.count("start genesis"), home.current().as_str()), (1, "upgrades/v2"));
    assert!(watcher.stop().success());
}

#[test]
fn a_node_that_is_listened_to_outlives_the_kill_of_watcher_long_enough_to_stop_in_order() {
    // It fails once, so that it is listened to.
    let home = Home::halting();
    let script = "if [ $1 = start ] && ! [ -e \"$DAEMON_HOME/failed\" ]; then : > \"$DAEMON_HOME/failed\"; exit 3; fi\n\
                  version=v2\n. \"$DAEMON_HOME/node.sh\"\n";
    let says = "note() { echo stopping >&2; echo more >&2; echo \"$1 $version\" >> \"$DAEMON_HOME/calls\"; }\n";
    home.script(V2, &script.replace("node.sh\"\n", "node2.sh\"\n"));
    let node = home.read("node.sh").replace("runs() {", &format!("{says}runs() {{"));
    home.write("node2.sh", &node);
    let watcher = home.start(&[]);
    home.halt();
    home.wait_for_call("start v2");
    home.wait_for_log("has passed");
    signal(&watcher, Signal::SIGKILL);
    wait::until("the node stops in order", LIMIT, || (home.count("stop v2") == 1).then_some(()));
}

#[test]
fn an_upgrade_that_was_taken_back_is_given_up_where_the_node_is_told_to_skip_its_height() {
    let home = home(&[STANDS]);
    let mut watcher = start(&home, "rollback");
    home.halt();
    wait_for_verdict(&home, "rolled_back");
    assert_eq!(watcher.stop().code(), Some(75));
    let before = home.count("start genesis");
    let mut run = home.watcher(&["start", "--home"]);
    run.arg(&home.path).args(["--unsafe-skip-upgrades", "10"]).stderr(Stdio::null());
    let mut watcher = run.spawn().expect("it can be started");
    wait::until("the old binary runs", LIMIT, || (home.count("start genesis") > before).then_some(()));
    assert_eq!((home.current().as_str(), record(&home)["failure"].clone()), ("genesis", Value::Null));
    kill(Pid::from_raw(i32::try_from(watcher.id()).expect("it is a pid")), Signal::SIGTERM).expect("it runs");
    watcher.wait().expect("it is our child");
}

#[test]
fn an_order_to_take_an_upgrade_back_can_be_withdrawn_before_anybody_obeys_it() {
    let home = Home::halting();
    let mut watcher = start(&home, "hold");
    home.halt();
    home.expect_upgraded();
    assert!(watcher.stop().success());
    assert!(output(&mut command(&home, &["rollback", "--yes"])).status.success());
    let withdrawn = output(&mut command(&home, &["resume"]));
    assert!(withdrawn.status.success() && text(&withdrawn.stdout).contains("is withdrawn"), "{withdrawn:?}");
    let mut watcher = start(&home, "hold");
    wait::until("the new binary runs", LIMIT, || (home.count("start v2") == 2).then_some(()));
    assert_eq!(home.current(), "upgrades/v2");
    assert!(watcher.stop().success());
}

#[test]
fn a_new_binary_that_ends_before_its_height_with_0_has_failed_as_well() {
    let home = home(&[STANDS]);
    home.script(V2, &ends_saying(&[STANDS]).replace("exit 3", "exit 0"));
    let mut watcher = start(&home, "hold");
    home.halt();
    wait_for_verdict(&home, "held");
    assert_eq!((home.count("start v2"), watcher.stop().code()), (2, Some(75)));
}
