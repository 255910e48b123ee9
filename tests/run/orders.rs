//! What the operator orders besides what the chain asks for: the brake, the queue, an exact height, a replacement.

use std::{fs, os::unix::fs::symlink, process::Command};

use serde_json::json;

use crate::{
    home::{Home, LIMIT, NAME, output, text},
    supervisor::Supervisor,
    wait,
};

/// A node that is at the height in `data/height`, says so, and tells with which arguments it was started. It ends as SDK
/// 0.47 does at its halt height once there is a `data/halted`, and as SDK 0.50 in block sync once there is a `data/refused`.
const NODE: &str = r#"
case $1 in
version) printf 'name: node\ncosmos_sdk_version: %s\n' "$(cat "$DAEMON_HOME/sdk")" ;;
status)
  height=$(cat "$DAEMON_HOME/data/height")
  printf '{"sync_info":{"latest_block_height":"%s"}}' "$height"
  echo "$height" >> "$DAEMON_HOME/asked"
  ;;
start)
  trap 'exit 0' TERM INT
  echo "$version ${*#--home=*}" >> "$DAEMON_HOME/calls"
  while :; do
    [ -e "$DAEMON_HOME/data/halted" ] && [ $version = genesis ] && exit 130
    [ -e "$DAEMON_HOME/data/refused" ] && [ $version = genesis ] && echo 'halt per configuration height 210 time 0' && exit 2
    sleep 0.05
  done
  ;;
*) exit 1 ;;
esac
"#;

/// A home at height 5 with that node, also as `upgrades/v2` and `upgrades/v3`.
fn home(sdk: &str) -> Home {
    let home = Home::empty();
    for (folder, version) in [("genesis", "genesis"), ("upgrades/v2", "v2"), ("upgrades/v3", "v3")] {
        home.script(&format!("cosmovisor/{folder}/bin/noded"), &format!("version={version}\n{NODE}"));
    }
    home.write("sdk", sdk);
    home.write("data/height", "5");
    home
}

/// Starts `watcher` on it; the node gets no more than `start`.
fn start(home: &Home) -> Supervisor {
    home.start(&[("UNSAFE_SKIP_BACKUP", "true")])
}

/// How often a version was started, with or without a `--halt-height`.
fn starts(home: &Home, version: &str) -> Vec<Option<String>> {
    let lines = home.calls().into_iter().filter(|line| line.starts_with(&format!("{version} start")));
    lines.map(|line| line.split_once("--halt-height ").map(|(_, height)| height.to_owned())).collect()
}

/// `watcher` with another command on this home.
pub(crate) fn command(home: &Home, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
    command.args(args).env("DAEMON_HOME", &home.path).env("DAEMON_NAME", NAME);
    command
}

/// What it says on stdout, where it succeeds.
fn said(home: &Home, args: &[&str]) -> String {
    let output = output(&mut command(home, args));
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn an_upgrade_that_is_held_waits_at_the_halt_until_it_is_released() {
    let home = Home::halting();
    said(&home, &["hold", "V2", "--reason", "waiting for the team"]);
    assert!(said(&home, &["hold"]).contains("v2 (waiting for the team)"));
    let mut watcher = home.start(&[]);
    home.halt();
    let alarm = home.wait_for_log("held by the operator");
    assert!(alarm.contains("waiting for the team") && alarm.contains("ERROR"), "{alarm}");
    assert_eq!((home.current().as_str(), home.count("stop genesis")), ("genesis", 0));
    assert_eq!(watcher.stop().code(), Some(75), "README tells its exit code");
    let mut watcher = home.start(&[]);
    wait::until("the brake holds after a restart", LIMIT, || {
        (home.log_lines("held by the operator").len() == 2).then_some(())
    });
    assert_eq!(home.current(), "genesis");
    said(&home, &["release", "v2"]);
    home.wait_for_call("start v2");
    home.expect_upgraded();
    assert!(watcher.stop().success());
    assert!(said(&home, &["hold", "v2"]).contains("What was swapped in already runs on"));
    said(&home, &["release", "v2"]);
    assert_eq!(output(&mut command(&home, &["release", "v2"])).status.code(), Some(1), "nothing is held any more");
}

#[test]
fn the_old_binary_runs_on_past_an_operators_own_height_while_that_is_held() {
    let home = home("v0.50.1");
    home.script("v4", &format!("version=v4\n{NODE}"));
    let v4 = home.at("v4");
    said(&home, &["add-upgrade", "v4", v4.to_str().expect("it is text"), "--upgrade-height", "10"]);
    said(&home, &["hold", "v4"]);
    let mut watcher = start(&home);
    wait::until("the node runs", LIMIT, || (starts(&home, "genesis").len() == 1).then_some(()));
    home.write("data/height", "20");
    home.wait_for_log("held by the operator");
    assert_eq!(watcher.stop().code(), Some(75));
    let mut watcher = start(&home);
    wait::until("the old binary runs again", LIMIT, || (starts(&home, "genesis").len() == 2).then_some(()));
    said(&home, &["release", "v4"]);
    wait::until("v4 runs", LIMIT, || (starts(&home, "v4").len() == 1).then_some(()));
    assert!(watcher.stop().success());
}

#[test]
fn brakes_that_are_put_on_at_the_same_time_are_all_on() {
    let home = home("v0.50.1");
    let names: Vec<String> = (0..8).map(|number| format!("u{number}")).collect();
    let commands: Vec<_> = names.iter().map(|name| command(&home, &["hold", name]).spawn()).collect();
    for command in commands {
        assert!(command.expect("it can be started").wait().expect("it can be waited for").success());
    }
    let mistyped = "nothing of that name is here yet";
    assert!(said(&home, &["hold", "v22"]).contains(mistyped) && !said(&home, &["hold", "all"]).contains(mistyped));
    let held = said(&home, &["hold"]);
    assert!(names.iter().all(|name| held.contains(name)), "{held}");
    said(&home, &["hold", "V9 x"]);
    said(&home, &["release", "v9%20x"]);
    assert!(!said(&home, &["hold"]).contains("v9"), "it is released by the name that is listed");
    assert!(said(&home, &["hold", "ALL"]).contains("held: ALL"));
    said(&home, &["release", "all"]);
    assert!(said(&home, &["hold"]).contains("nothing is held"));
}

#[test]
fn a_brake_that_cannot_be_read_is_on() {
    let home = Home::halting();
    home.write("cosmovisor/watcher/holds.json", "[{\"folder\":");
    let mut watcher = home.start(&[]);
    home.halt();
    let alarm = home.wait_for_log("held by the operator");
    assert!(alarm.contains("holds.json cannot be understood"), "{alarm}");
    assert_eq!((home.current().as_str(), home.count("stop genesis")), ("genesis", 0));
    home.remove("cosmovisor/watcher/holds.json");
    home.expect_upgraded();
    assert!(watcher.stop().success());
}

#[test]
fn an_order_that_is_a_pipe_is_told_and_holds_nothing_up() {
    let home = home("v0.50.1");
    let pipe = Command::new("mkfifo").arg(home.at("data/upgrade-info.json.batch")).status();
    assert!(pipe.expect("mkfifo is there").success());
    let mut watcher = start(&home);
    home.wait_for_log("it is not a file");
    assert!(said(&home, &["hold", "v2"]).contains("held: v2"), "the brake can be put on all the same");
    assert!(watcher.stop().success());
}

#[test]
fn a_queue_is_worked_off_across_a_restart() {
    let home = home("v0.50.1");
    let queue = json!([{ "name": "v3", "height": 20 }, { "name": "v2", "height": 10 }]);
    home.write("data/upgrade-info.json.batch", &queue.to_string());
    let named = |height: u64| {
        wait::until("the next upgrade is named", LIMIT, || {
            let info = fs::read_to_string(home.at("data/upgrade-info.json")).unwrap_or_default();
            info.contains(&format!("\"height\":{height}")).then_some(())
        });
    };
    let mut watcher = start(&home);
    named(10);
    assert!(watcher.stop().success());
    let mut watcher = start(&home);
    home.write("data/height", "10");
    wait::until("v2 runs", LIMIT, || (starts(&home, "v2").len() == 1).then_some(()));
    // Two blocks beyond the height say that it has passed, where the new binary has made them.
    let stands = || {
        let asked = || home.read("asked").lines().count();
        let before = asked();
        wait::until("it says where it stands", LIMIT, || (asked() > before).then_some(()));
    };
    stands();
    home.write("data/height", "12");
    named(20);
    home.write("data/height", "20");
    wait::until("v3 runs", LIMIT, || (starts(&home, "v3").len() == 1).then_some(()));
    stands();
    home.write("data/height", "22");
    wait::until("the queue is empty", LIMIT, || (home.read("data/upgrade-info.json.batch") == "[]").then_some(()));
    assert!(watcher.stop().success());
    assert_eq!((home.current().as_str(), starts(&home, "v3").len()), ("upgrades/v3", 1));
}

#[test]
fn a_batch_tells_what_it_drops_of_the_one_before_that_has_not_passed() {
    let home = home("v0.50.1");
    home.script("build", &format!("version=build\n{NODE}"));
    let record = json!({"plan": {"name": "v2", "height": 10, "info": ""}, "from": "genesis", "verdict": "committed"});
    home.write("cosmovisor/watcher/record.json", &record.to_string());
    let build = home.at("build").display().to_string();
    let batch = |list: &str| {
        let list = list.replace("EXE", &build);
        text(&output(&mut command(&home, &["add-batch-upgrade", "--upgrade-list", &list])).stderr)
    };
    assert!(!batch("v2:EXE:10,v3:EXE:20,v4:EXE:30").contains("dropped"));
    let told = batch("v3:EXE:20");
    assert!(
        told.contains("dropped from the queue: \"v4\" at height 30") && told.matches("dropped").count() == 1,
        "{told}"
    );
}

#[test]
fn a_queue_that_lies_behind_the_node_is_an_error_that_is_told() {
    let home = home("v0.50.1");
    home.write("data/height", "25");
    home.write("data/upgrade-info.json.batch", r#"[{"name":"v2","height":10},{"name":"v3","height":20}]"#);
    let mut watcher = start(&home);
    for name in ["v2", "v3"] {
        let told = home.wait_for_log(&format!("upgrade \"{name}\""));
        assert!(told.contains("ERROR") && told.contains("the node is at height 25"), "{told}");
    }
    assert!(watcher.stop().success());
    assert_eq!((home.current().as_str(), starts(&home, "genesis").len()), ("genesis", 1));
}

/// It took the plan's file from an upgrade that was held, and with that its backup and its store upgrades.
#[test]
fn nothing_is_named_over_an_upgrade_that_is_under_way_or_has_failed() {
    let home = home("v0.50.1");
    home.script("mended", &format!("version=mended\n{NODE}"));
    let mended = home.at("mended");
    let mended = mended.to_str().expect("it is text");
    let info = r#"{"name":"v2","height":10,"info":"of the chain"}"#;
    let failure = |state: &str| {
        json!({"state": state, "folder": "v2", "sha256": "", "reason": "it panicked",
        "file": {"inode": 1, "size": 1, "modified": 1}})
    };
    let named = ["add-upgrade", "v3", mended, "--force", "--upgrade-height", "500"];
    for (verdict, failure, says) in [
        ("pending", json!(null), "is under way"),
        ("pending", failure("held"), "it panicked"),
        ("pending", failure("rolling_back"), "it panicked"),
        ("pending", failure("rolled_back"), ""),
        ("committed", json!(null), ""),
    ] {
        let record = json!({"plan": {"name": "v2", "height": 10, "info": ""}, "from": "genesis", "verdict": verdict, "failure": failure});
        home.write("cosmovisor/watcher/record.json", &record.to_string());
        home.write("data/upgrade-info.json", info);
        let before = home.read("cosmovisor/upgrades/v3/bin/noded");
        let ended = output(&mut command(&home, &named));
        if says.is_empty() {
            assert!(
                ended.status.success() && home.read("data/upgrade-info.json").contains("v3"),
                "{verdict}: {ended:?}"
            );
            continue;
        }
        let told = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{told}");
        for part in [says, "\"v2\" at height 10", "add-batch-upgrade"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(
            (home.read("data/upgrade-info.json"), home.read("cosmovisor/upgrades/v3/bin/noded")),
            (info.to_owned(), before)
        );
        said(&home, &["add-upgrade", "v2", mended, "--force"]);
        said(&home, &["add-upgrade", "v2", mended, "--force", "--upgrade-height", "10"]);
        home.remove("data/upgrade-info.json");
        said(&home, &named);
        home.script("cosmovisor/upgrades/v3/bin/noded", &format!("version=v3\n{NODE}"));
    }
}

#[test]
fn a_height_that_the_validator_has_signed_beyond_is_told_as_past_with_what_becomes_of_it() {
    let home = home("v0.50.1");
    home.script("v4", &format!("version=v4\n{NODE}"));
    home.write("data/priv_validator_state.json", r#"{"height":"14","round":0,"step":3}"#);
    let v4 = home.at("v4");
    let named = |height: &str| {
        let args = ["add-upgrade", "v4", v4.to_str().expect("it is text"), "--force", "--upgrade-height", height];
        text(&output(&mut command(&home, &args)).stderr)
    };
    for (height, past) in [("13", true), ("14", false)] {
        let told = named(height);
        assert_eq!(told.contains("height 13 is past: the node works on height 14"), past, "{told}");
        assert_eq!(told.contains("next `watcher run` switches to \"v4\" at once, unless"), past, "{told}");
    }
    let mut watcher = start(&home);
    wait::until("the node runs", LIMIT, || (starts(&home, "genesis").len() == 1).then_some(()));
    let told = named("3");
    assert!(told.contains("the running watcher switches to \"v4\" at once"), "{told}");
    wait::until("it does", LIMIT, || (starts(&home, "v4").len() == 1).then_some(()));
    assert!(watcher.stop().success());
}

/// An operator's exact order for `v2` at 210.
fn order_exactly(home: &Home) {
    let (place, copy) = (home.at("cosmovisor/upgrades/v2/bin/noded"), home.at("noded-v2"));
    fs::copy(place, &copy).expect("the home can be written");
    let copy = copy.to_str().expect("it is text");
    said(home, &["add-upgrade", "v2", copy, "--force", "--upgrade-height", "210", "--exact"]);
}

#[test]
fn an_exact_height_that_is_too_near_or_cannot_be_kept_is_refused_with_nothing_changed() {
    for (sdk, height, says) in [("v0.50.1", "150", "name a height above 250"), ("", "5", "cosmos_sdk_version")] {
        let home = home(sdk);
        home.write("data/height", height);
        symlink("genesis", home.at("cosmovisor/current")).expect("the home can be written");
        let place = home.at("cosmovisor/upgrades/v2/bin/noded");
        let place = place.to_str().expect("it is text");
        let args = ["add-upgrade", "v4", place, "--upgrade-height", "210", "--exact"];
        let output = output(&mut command(&home, &args));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
        assert!(!home.at("cosmovisor/upgrades/v4").exists() && !home.at("data/upgrade-info.json").exists());
    }
}

#[test]
fn the_old_binary_is_restarted_once_so_that_it_stops_before_an_exact_height() {
    let home = home("v0.50.1");
    let mut watcher = start(&home);
    wait::until("the node runs", LIMIT, || (starts(&home, "genesis").len() == 1).then_some(()));
    order_exactly(&home);
    wait::until("it is restarted", LIMIT, || (starts(&home, "genesis").len() == 2).then_some(()));
    // Since SDK 0.50 the node stays up with the height decided and not executed.
    home.write("data/height", "210");
    wait::until("v2 runs", LIMIT, || (starts(&home, "v2").len() == 1).then_some(()));
    assert_eq!(starts(&home, "genesis"), [None, Some("210".to_owned())]);
    assert_eq!(starts(&home, "v2"), [None], "the new binary is not stopped there");
    assert!(watcher.stop().success());
}

#[test]
fn before_sdk_50_the_halt_height_is_one_less_and_its_end_is_no_crash() {
    let home = home("v0.47.17");
    // Its RPC would be waited for.
    home.write("config/config.toml", "[rpc]\nladdr = \"\"\n");
    home.write("data/height", "100");
    order_exactly(&home);
    let mut watcher = start(&home);
    wait::until("the node runs", LIMIT, || (starts(&home, "genesis").len() == 1).then_some(()));
    assert_eq!(starts(&home, "genesis"), [Some("209".to_owned())], "a start before the height is already armed");
    home.write("data/height", "209");
    let asked =
        || fs::read_to_string(home.at("asked")).unwrap_or_default().lines().filter(|line| *line == "209").count();
    // The answer before the last one has been heard.
    wait::until("watcher has heard of it", LIMIT, || (asked() > 1).then_some(()));
    home.write("data/halted", "");
    wait::until("v2 runs", LIMIT, || (starts(&home, "v2").len() == 1).then_some(()));
    assert_eq!(home.current(), "upgrades/v2");
    assert!(watcher.stop().success());
}

#[test]
fn a_node_that_ends_at_an_exact_height_without_an_answer_is_heard_in_its_last_words() {
    let home = home("v0.50.1");
    home.write("data/height", "50");
    order_exactly(&home);
    let mut watcher = start(&home);
    wait::until("the node runs", LIMIT, || (starts(&home, "genesis").len() == 1).then_some(()));
    // It catches up with blocks that were made long ago, and nobody hears of the last hundred.
    home.write("data/refused", "");
    wait::until("v2 runs", LIMIT, || (starts(&home, "v2").len() == 1).then_some(()));
    assert_eq!(starts(&home, "genesis").len(), 1, "it is not started once more to be heard");
    assert!(watcher.stop().success());
}

#[test]
fn a_validator_that_has_signed_an_exact_height_is_still_stopped_before_it() {
    let home = home("v0.50.1");
    home.write("data/height", "50");
    order_exactly(&home);
    // It signed the block that its application refused, and ends at once when it is started again.
    home.write("data/priv_validator_state.json", r#"{"height":"210","round":0,"step":3}"#);
    home.write("data/refused", "");
    let mut watcher = start(&home);
    wait::until("v2 runs", LIMIT, || (starts(&home, "v2").len() == 1).then_some(()));
    assert!(starts(&home, "genesis").iter().all(|halt| halt.as_deref() == Some("210")), "{:?}", home.calls());
    assert!(watcher.stop().success());
}

#[test]
fn a_new_binary_that_ends_at_its_height_is_replaced_and_the_upgrade_goes_on() {
    let home = home("v0.50.1");
    home.script(
        "cosmovisor/upgrades/v2/bin/noded",
        "[ $1 = start ] && echo v2 start >> \"$DAEMON_HOME/calls\"\nexit 3\n",
    );
    home.script("hotfix", &format!("version=hotfix\n{NODE}"));
    let mut watcher = start(&home);
    wait::until("the node runs", LIMIT, || (starts(&home, "genesis").len() == 1).then_some(()));
    home.write("data/upgrade-info.json", r#"{"name":"v2","height":10}"#);
    home.write("data/height", "10");
    wait::until("v2 is tried", LIMIT, || (!starts(&home, "v2").is_empty()).then_some(()));
    let hotfix = home.at("hotfix");
    let told = said(&home, &["replace", "v2", hotfix.to_str().expect("it is text"), "--now"]);
    assert!(told.contains("replaced"), "{told}");
    wait::until("the hotfix runs", LIMIT, || (starts(&home, "hotfix").len() == 1).then_some(()));
    assert!(watcher.stop().success());
}

#[test]
fn the_order_for_one_version_never_takes_the_binary_for_another() {
    let home = home("v0.50.1");
    home.script("hotfix", &format!("version=hotfix\n{NODE}"));
    let hotfix = home.at("hotfix");
    let hotfix = hotfix.to_str().expect("it is text");
    let again = || output(&mut command(&home, &["replace", "v2", hotfix, "--at", "1000"]));
    assert!([again(), again()].iter().all(|ended| !text(&ended.stderr).contains("taken back")), "it is the same");
    // An order for the same version goes as well.
    for args in [&["replace", "v2", hotfix, "--at", "2000"][..], &["replace", "v3", hotfix]] {
        let ended = output(&mut command(&home, args));
        let (told, height) = (text(&ended.stderr), if args[1] == "v2" { 1000 } else { 2000 });
        let wanted = format!("taken back: the order to replace the binary of upgrades/v2 at height {height}");
        assert!(ended.status.success() && told.contains(&wanted), "{told}");
    }
    assert!(home.read("cosmovisor/upgrades/v3/bin/noded").contains("version=hotfix"));
    assert!(!home.at("cosmovisor/watcher/replacement.json").exists());
}

#[test]
fn a_binary_that_is_a_link_is_kept_as_what_it_led_to() {
    let home = home("v0.50.1");
    home.script("cosmovisor/upgrades/v2/build", &format!("version=v2\n{NODE}"));
    home.script("hotfix", &format!("version=hotfix\n{NODE}"));
    home.remove("cosmovisor/upgrades/v2/bin/noded");
    symlink("../build", home.at("cosmovisor/upgrades/v2/bin/noded")).expect("the home can be written");
    let hotfix = home.at("hotfix");
    said(&home, &["replace", "v2", hotfix.to_str().expect("it is text")]);
    // As `cp` does.
    home.write("cosmovisor/upgrades/v2/build", "another");
    let kept = fs::read_dir(home.at("cosmovisor/watcher/aside")).expect("it is there").flatten().next();
    let kept = fs::read_to_string(kept.expect("the old one is kept").path()).expect("it is a script");
    assert!(kept.contains("version=v2"));
    assert!(home.read("cosmovisor/upgrades/v2/bin/noded").contains("version=hotfix"));
}

#[test]
fn a_binary_is_replaced_with_one_graceful_restart_and_the_old_one_is_kept() {
    let home = home("v0.50.1");
    home.script("hotfix", &format!("version=hotfix\n{NODE}"));
    let mut watcher = start(&home);
    wait::until("the node runs", LIMIT, || (starts(&home, "genesis").len() == 1).then_some(()));
    let hotfix = home.at("hotfix");
    let hotfix = hotfix.to_str().expect("it is text");
    let refused = output(&mut command(&home, &["replace", "genesis", hotfix]));
    assert!(text(&refused.stderr).contains("--now"), "{}", text(&refused.stderr));
    let told = said(&home, &["replace", "genesis", hotfix, "--now"]);
    assert!(told.contains("replaced"), "{told}");
    wait::until("the hotfix runs", LIMIT, || (starts(&home, "hotfix").len() == 1).then_some(()));
    let kept = fs::read_dir(home.at("cosmovisor/watcher/aside")).expect("it is there").flatten().next();
    let kept = fs::read_to_string(kept.expect("the old one is kept").path()).expect("it is a script");
    assert!(kept.contains("version=genesis"));
    said(&home, &["replace", "genesis", hotfix, "--at", "30"]);
    home.write("data/height", "30");
    wait::until("it is restarted at the height", LIMIT, || (starts(&home, "hotfix").len() == 2).then_some(()));
    assert!(!home.at("cosmovisor/watcher/replacement.json").exists(), "with the order fulfilled");
    assert!(watcher.stop().success());
    let told = said(&home, &["replace", "genesis", hotfix, "--now"]);
    assert!(told.contains("replaced"), "without a watcher it is done at once: {told}");
}

#[test]
fn what_cannot_take_a_binarys_place_is_refused_before_anything_is_touched() {
    let home = home("v0.50.1");
    home.write("page.html", "<html>not found</html>");
    let page = home.at("page.html");
    let page = page.to_str().expect("it is text");
    for (args, says) in [(["replace", "v2", page], "no executable"), (["replace", "v9", page], "add-upgrade")] {
        let output = output(&mut command(&home, &args));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
    assert!(!home.at("cosmovisor/watcher/replacement.json").exists());
}
