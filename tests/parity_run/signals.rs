//! Rows 62 to 66: requests to stop reach the node, which is waited for, and nothing is started any more; whatever becomes of
//! the program, no node is left behind.

use std::{fs, path::PathBuf};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    IDLE,
    census::Census,
    detection::{INFO, plan},
    home::{Home, LIMIT, NAME, each, ended, signal},
    wait,
};

/// A node that tells which signal it got, takes a while to end, and ends with the code in `code`. Each version halts for the
/// next one at once, the last of them not at all.
const RELAY: &str = r#"cd "$DAEMON_HOME"
[ $1 = start ] || exit 1
last() { echo "$1 $version" >> calls; sleep 0.2; echo "ended $version" >> calls; exit $(cat code); }
for signal in TERM INT QUIT HUP; do trap "last $signal" $signal; done
echo "start $version" >> calls
next=$((version + 1))
[ -e cosmovisor/upgrades/v$next ] && echo "{\"name\":\"v$next\",\"height\":$((next * 10))}" > data/upgrade-info.json
"#;

fn relay(upgrades: usize) -> Home {
    let home = Home::with_node(&format!("version=0\n{RELAY}{IDLE}"));
    home.write("code", "0");
    for number in 1..=upgrades {
        let script = format!("version={number}\n{RELAY}{IDLE}");
        home.script(&format!("cosmovisor/upgrades/v{number}/bin/noded"), &script);
    }
    home
}

/// Sends a signal after so many upgrades, and checks that the node gets that one, is waited for, and was the last thing
/// started.
fn expect_passed_on(sent: Signal, got: &str, upgrades: usize) {
    let home = relay(upgrades);
    let mut watcher = home.start(&[("UNSAFE_SKIP_BACKUP", "true")]);
    home.wait_for_call(&format!("start {upgrades}"));
    signal(&watcher, sent);
    assert_eq!(ended(&mut watcher).code(), Some(0));
    let calls = home.calls();
    assert!(calls.ends_with(&[format!("{got} {upgrades}"), format!("ended {upgrades}")]), "{calls:?}");
    assert_eq!(calls.len(), 3 * (upgrades + 1), "each was started, asked to stop and ended: {calls:?}");
    assert!(home.nodes().is_empty());
}

#[test]
fn row_62_sigterm_and_sigquit_reach_the_node_whose_exit_code_decides() {
    let signals = [("SIGTERM", (Signal::SIGTERM, "TERM")), ("SIGQUIT", (Signal::SIGQUIT, "QUIT"))];
    each(&signals, |(sent, got)| {
        expect_passed_on(*sent, got, 0);
        let home = relay(0);
        home.write("code", "7");
        let mut watcher = home.start(&[]);
        home.wait_for_call("start 0");
        signal(&watcher, *sent);
        assert_eq!(ended(&mut watcher).code(), Some(1));
        home.wait_for_log("Error: exit status 7");
        assert_eq!(home.calls(), ["start 0".to_owned(), format!("{got} 0"), "ended 0".to_owned()]);
    });
}

#[test]
fn row_62_signals_that_ask_for_nothing_end_nothing() {
    let home = relay(0);
    let mut watcher = home.start(&[]);
    home.wait_for_call("start 0");
    let others = [
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGIO,
        Signal::SIGPWR,
        Signal::SIGXFSZ,
        Signal::SIGWINCH,
        Signal::SIGURG,
    ];
    for other in others {
        signal(&watcher, other);
    }
    let status = fs::read_to_string(format!("/proc/{}/status", home.nodes()[0].pid)).expect("it runs");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("proc(5) has it").trim();
    let ignored = u64::from_str_radix(ignored, 16).expect("it is hexadecimal");
    let none = others.iter().all(|other| ignored >> (*other as u32 - 1) & 1 == 0);
    assert!(none, "the node ignores none of them: {ignored:x}");
    signal(&watcher, Signal::SIGTERM);
    assert_eq!(ended(&mut watcher).code(), Some(0));
    assert_eq!(home.calls(), ["start 0", "TERM 0", "ended 0"]);
}

#[test]
fn row_63_sigint_reaches_the_node_and_sighup_does_as_sigterm() {
    let signals = [("SIGINT", (Signal::SIGINT, "INT")), ("SIGHUP", (Signal::SIGHUP, "TERM"))];
    let stories: Vec<_> = signals
        .iter()
        .flat_map(|(name, (sent, got))| [0, 2].map(|upgrades| (*name, (*sent, *got, upgrades))))
        .collect();
    each(&stories, |(sent, got, upgrades)| expect_passed_on(*sent, got, *upgrades));
}

#[test]
fn row_64_a_second_request_kills_a_node_that_does_not_heed_the_first() {
    let home = Home::with_node(&format!("trap 'echo asked >> \"$DAEMON_HOME/calls\"' TERM\necho ready\n{IDLE}"));
    let mut watcher = home.start(&[]);
    home.wait_for_log("ready");
    signal(&watcher, Signal::SIGTERM);
    home.wait_for_call("asked");
    assert_eq!((watcher.ended(), home.nodes().len()), (None, 1));
    signal(&watcher, Signal::SIGTERM);
    assert_eq!(ended(&mut watcher).code(), Some(1));
    home.wait_for_log("Error: signal: killed");
    assert!(home.nodes().is_empty());
}

#[test]
fn row_64_requests_to_stop_shorten_the_stop_of_an_upgrade_and_nothing_follows_it() {
    let home = Home::steady();
    let deaf = format!(
        "trap 'echo asked >> \"$DAEMON_HOME/calls\"' TERM\necho start genesis >> \"$DAEMON_HOME/calls\"\n{IDLE}"
    );
    let status = "[ $1 = status ] && echo '{\"sync_info\":{\"latest_block_height\":\"9\"}}' && exit 0\n";
    home.script("cosmovisor/genesis/bin/noded", &format!("{status}{deaf}"));
    let mut watcher = home.start(&[("DAEMON_SHUTDOWN_GRACE", "1h")]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    for request in 1..=2 {
        wait::until("the node is asked", LIMIT, || (home.count("asked") == request).then_some(()));
        assert_eq!((watcher.ended(), home.nodes().len()), (None, 1));
        signal(&watcher, Signal::SIGTERM);
    }
    assert_eq!(ended(&mut watcher).code(), Some(0));
    assert_eq!((home.nodes().len(), home.backups().len(), home.current().as_str()), (0, 0, "genesis"));
    let mut watcher = home.start(&[]);
    home.wait_for_call("start v2");
    assert_eq!(home.count("start genesis"), 1);
    assert!(watcher.stop().success());
}

/// `fixtures/homes/halting` at its halt while one of its hooks waits for something that does not come. What the hook is, and
/// what it does when it is told to stop.
fn hanging_hook(hook: &str, trap: &str) -> Home {
    let home = Home::halting();
    let hangs = format!("{trap}\necho $$ > \"$DAEMON_HOME/hook\"\n{IDLE}");
    let script = match hook {
        "cosmovisor/before-upgrade" => hangs,
        _ => format!("version=v2\n[ $1 = pre-upgrade ] && {{\n{hangs}}}\n. \"$DAEMON_HOME/node.sh\"\n"),
    };
    home.write("sound", &home.read(hook));
    home.script(hook, &script);
    home
}

/// Waits until the hook waits, and tells its process.
fn hook_of(home: &Home) -> PathBuf {
    let pid = || fs::read_to_string(home.at("hook")).ok()?.trim().parse::<i32>().ok();
    PathBuf::from(format!("/proc/{}", wait::until("the hook runs", LIMIT, pid)))
}

#[test]
fn row_64_a_stop_lets_a_hook_tidy_up_starts_nothing_and_the_next_start_goes_on() {
    let cases = [
        ("the operator's", ("cosmovisor/before-upgrade", "genesis")),
        ("the app's", ("cosmovisor/upgrades/v2/bin/noded", "upgrades/v2")),
    ];
    each(&cases, |(hook, current)| {
        let home = hanging_hook(hook, "trap 'sleep 0.3; echo tidied up >> \"$DAEMON_HOME/calls\"; exit 1' TERM");
        let settings = [("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade")];
        let mut watcher = home.start(&settings);
        home.halt();
        let process = hook_of(&home);
        signal(&watcher, Signal::SIGTERM);
        assert_eq!(ended(&mut watcher).code(), Some(0));
        assert!(!process.exists(), "the hook is waited for");
        assert_eq!((home.current().as_str(), home.count("start v2"), home.count("tidied up")), (*current, 0, 1));

        home.script(hook, home.read("sound").trim_start_matches("#!/bin/sh\n"));
        let mut watcher = home.start(&settings);
        home.expect_upgraded();
        assert_eq!((home.count("start genesis"), home.count("custom v2 10"), home.backups().len()), (1, 1, 1));
        assert!(watcher.stop().success());
    });
}

#[test]
fn row_64_a_hook_that_a_service_manager_stops_along_with_everything_has_not_failed() {
    let cases = [("the operator's", "cosmovisor/before-upgrade"), ("the app's", "cosmovisor/upgrades/v2/bin/noded")];
    each(&cases, |hook| {
        let home = hanging_hook(hook, "trap 'exit 30' TERM");
        let mut watcher = home.start(&[("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade")]);
        home.halt();
        let process = hook_of(&home);
        // Both have the signal before either is looked at.
        signal(&watcher, Signal::SIGSTOP);
        signal(&watcher, Signal::SIGTERM);
        let pid = process.file_name().and_then(|pid| pid.to_str()?.parse().ok()).expect("it is a number");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it waits");
        let ends = || fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z ")).then_some(());
        wait::until("the hook has ended", LIMIT, ends);
        signal(&watcher, Signal::SIGCONT);
        assert_eq!(ended(&mut watcher).code(), Some(0));
        assert_eq!((home.count("start v2"), home.log_lines("Error: ").len()), (0, 0), "{}", home.log());

        home.script(hook, home.read("sound").trim_start_matches("#!/bin/sh\n"));
        let mut watcher = home.start(&[("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade")]);
        home.expect_upgraded();
        assert!(watcher.stop().success());
    });
}

#[test]
fn row_64_a_hook_that_does_not_heed_a_stop_is_killed_with_what_it_started() {
    let deaf = "trap 'echo asked >> \"$DAEMON_HOME/calls\"' TERM\nsh -c 'trap \"\" TERM; echo $$ > \"$DAEMON_HOME/child\"; exec sleep 1000' &";
    let cases = [("by a second request", true), ("after a while", false)];
    each(&cases, |second| {
        let home = hanging_hook("cosmovisor/before-upgrade", deaf);
        let mut watcher = home.start(&[("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade")]);
        home.halt();
        let process = hook_of(&home);
        let child = wait::until("the hook's own child runs", LIMIT, || {
            let pid: i32 = fs::read_to_string(home.at("child")).ok()?.trim().parse().ok()?;
            Some(PathBuf::from(format!("/proc/{pid}")))
        });
        signal(&watcher, Signal::SIGTERM);
        home.wait_for_call("asked");
        assert!(watcher.ended().is_none() && process.exists(), "it is given time");
        if *second {
            signal(&watcher, Signal::SIGTERM);
        }
        assert_eq!(ended(&mut watcher).code(), Some(0));
        assert!(!process.exists(), "the hook is gone");
        wait::until("its child is gone", LIMIT, || (!child.exists()).then_some(()));
        assert_eq!(home.count("start v2"), 0);
    });
}

#[test]
fn row_64_a_second_request_shortens_the_stop_of_a_node_that_was_left() {
    let home = Home::halting();
    // The signal at the end of the program reaches this script, and not the node that it started.
    let deaf = "trap 'echo asked >> \"$DAEMON_HOME/calls\"' TERM\necho ready\n";
    home.script("real/noded", &format!("{deaf}{IDLE}"));
    home.script("cosmovisor/genesis/bin/noded", "\"$DAEMON_HOME/real/noded\" \"$@\"\n");
    let mut watcher = home.start(&[]);
    home.wait_for_log("ready");
    signal(&watcher, Signal::SIGKILL);
    ended(&mut watcher);
    let mut watcher = home.start(&[]);
    home.wait_for_call("asked");
    signal(&watcher, Signal::SIGTERM);
    let again = || {
        // It may have ended since it was last looked at.
        let _ = kill(watcher.pid(), Signal::SIGTERM);
        watcher.ended()
    };
    assert_eq!(wait::until("it ends", LIMIT, again).code(), Some(0));
    assert_eq!(home.nodes(), []);
}

#[test]
fn row_65_after_upgrades_a_stop_is_passed_on_and_waited_for_each_time() {
    let stories: Vec<_> = [1, 3].repeat(5).into_iter().map(|upgrades| ("SIGTERM", upgrades)).collect();
    each(&stories, |upgrades| expect_passed_on(Signal::SIGTERM, "TERM", *upgrades));
}

#[test]
fn row_66_the_node_of_a_killed_supervisor_is_told_to_stop() {
    let home = Home::halting();
    let mut watcher = home.start(&[]);
    home.wait_until_ready();
    let census = Census::of(&home.path, NAME);
    signal(&watcher, Signal::SIGKILL);
    ended(&mut watcher);
    home.wait_for_call("stop genesis");
    wait::until("the node is gone", LIMIT, || home.nodes().is_empty().then_some(()));
    let mut watcher = home.start(&[]);
    wait::until("the next node runs", LIMIT, || (home.count("start genesis") == 2).then_some(()));
    home.wait_until_ready();
    assert_eq!(census.end().most_at_once, 1);
    assert!(watcher.stop().success());
}
