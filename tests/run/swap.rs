//! The swap of a binary that the operator has put in its place: the order of its steps, and every setting that changes it.

use std::{fs, path::Path, time::Duration};

use nix::sys::signal::Signal;

use crate::{
    home::{Home, IDLE, LIMIT, each, ended, signal},
    wait,
};

/// Tells what is true at this moment: `v2`'s hook and the operator's script say it to the calls.
const SCENE: &str = r#"scene() {
  cd "$DAEMON_HOME"
  set -- "$1 at $PWD:" "current $(readlink cosmovisor/current)," "$(ls -d data-backup-* 2> /dev/null | wc -l) backup,"
  [ -e cosmovisor/upgrades/v2/upgrade-info.json ] && marker=a || marker=no
  echo "$* $marker marker" >> calls
}
"#;

#[test]
fn a_swap_goes_in_the_order_of_the_contract() {
    let home = Home::halting();
    home.write("plan.json", r#"{"name":"V2","time":"0001-01-01T00:00:00Z","height":10,"info":"by <hand> & care"}"#);
    home.script("cosmovisor/before-upgrade", &format!("here=$(pwd -P)\n{SCENE}scene \"custom $1 $2 from $here\"\n"));
    for version in ["genesis", "upgrades/v2"] {
        let name = version.trim_start_matches("upgrades/");
        let script = format!(
            "version={name}\n{SCENE}case $1 in\npre-upgrade) scene \"pre-upgrade$#\" ;;\nstart) echo \"{name} gets $*\" >> \
             \"$DAEMON_HOME/calls\" ;;\nesac\n. \"$DAEMON_HOME/node.sh\"\n"
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
            &format!("pre-upgrade1 at {here}: current upgrades/v2, 1 backup, a marker"),
            "pre-upgrade v2",
            &format!("v2 gets {args}"),
            "start v2",
        ]
    );
    let marker = r#"{"name":"v2","time":"0001-01-01T00:00:00Z","height":10,"info":"by \u003chand\u003e \u0026 care"}"#;
    assert_eq!(home.read("cosmovisor/upgrades/v2/upgrade-info.json"), marker);
    assert_eq!(home.read("data/upgrade-info.json"), home.read("plan.json"));
    let backup = home.backups().pop().expect("there is one");
    let saved = |path: &str| fs::read_to_string(backup.join(path)).expect("it is in the backup");
    assert_eq!((saved("height").trim(), saved("application.db/000001.ldb").as_str()), ("10", "state"));
    assert_eq!(saved("upgrade-info.json"), home.read("plan.json"));
    home.wait_for_log("has passed");
    assert!(watcher.stop().success());
}

#[test]
fn a_backup_goes_where_it_is_told_or_nowhere() {
    let elsewhere = Home::empty();
    let place = elsewhere.path.to_str().expect("it is text");
    let cases = [("elsewhere", ("DAEMON_DATA_BACKUP_DIR", place)), ("nowhere", ("UNSAFE_SKIP_BACKUP", "true"))];
    each(&cases, |setting| {
        let home = Home::halting();
        let mut watcher = home.start(&[*setting]);
        home.halt();
        home.expect_upgraded();
        assert!(home.backups().is_empty());
        assert!(watcher.stop().success());
    });
    let backups = elsewhere.backups();
    assert!(backups.len() == 1 && backups[0].join("height").exists(), "{backups:?}");
}

#[test]
fn without_a_restart_everything_is_done_but_the_start_which_the_next_run_makes() {
    let home = Home::halting();
    let mut watcher = home.start(&[("DAEMON_RESTART_AFTER_UPGRADE", "false")]);
    home.halt();
    assert!(ended(&mut watcher).success());
    assert_eq!(home.calls(), ["start genesis", "stop genesis", "pre-upgrade v2"]);
    assert_eq!(home.current(), "upgrades/v2");
    let mut watcher = home.start(&[("DAEMON_RESTART_AFTER_UPGRADE", "false")]);
    home.expect_upgraded();
    assert_eq!(home.count("pre-upgrade v2"), 1);
    assert!(watcher.stop().success());
}

#[test]
fn the_new_binary_starts_after_the_restart_delay() {
    let noting = |file: &str| format!("date +%s%N > \"$DAEMON_HOME/{file}\"");
    let halts =
        "[ $1 = start ] || exit 1\necho '{\"name\":\"v2\",\"height\":10}' > \"$DAEMON_HOME/data/upgrade-info.json\"\n";
    let home = Home::with_node(&format!("trap '{}; exit 0' TERM\n{halts}{IDLE}", noting("stopped").replace('\'', "")));
    let starts = format!("trap 'exit 0' TERM\n[ $1 = start ] || exit 1\n{}\n{IDLE}", noting("started"));
    home.script("cosmovisor/upgrades/v2/bin/noded", &starts);
    let mut watcher = home.start(&[("DAEMON_RESTART_DELAY", "700ms")]);
    let time = |file: &str| -> Option<u64> { fs::read_to_string(home.at(file)).ok()?.trim().parse().ok() };
    let started = wait::until("v2 starts", LIMIT, || time("started"));
    let pause = Duration::from_nanos(started - time("stopped").expect("the old node was stopped"));
    assert!(pause >= Duration::from_millis(700), "{pause:?}");
    assert!(watcher.stop().success());
}

#[test]
fn a_node_that_ignores_sigterm_is_killed_after_the_grace_and_only_then_is_switched() {
    let home = Home::halting();
    let deaf = format!(
        "[ $1 = start ] || exit 1\ntrap 'echo asked >> calls' TERM\ncd \"$DAEMON_HOME\"\necho $$ > old\necho start genesis >> \
         calls\ncat plan.json > data/upgrade-info.json\n{IDLE}"
    );
    home.script("cosmovisor/genesis/bin/noded", &deaf);
    let still =
        "kill -0 $(cat \"$DAEMON_HOME/old\") 2> /dev/null && echo 'the old one lives' >> \"$DAEMON_HOME/calls\"";
    home.script("cosmovisor/before-upgrade", &format!("{still}\nexit 0\n"));
    let settings = [("DAEMON_SHUTDOWN_GRACE", "500ms"), ("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade")];
    let mut watcher = home.start(&settings);
    home.expect_upgraded();
    assert_eq!(home.calls(), ["start genesis", "asked", "pre-upgrade v2", "start v2"]);
    home.wait_for_log("DAEMON_SHUTDOWN_GRACE exceeded, killing app");
    assert!(watcher.stop().success());
}

#[test]
fn the_exit_code_of_pre_upgrade_decides() {
    // How it exits, one time after the other; how often it is run; whether the upgrade goes on.
    let cases = [
        ("0", ("0", 1, true)),
        ("1, there is no such command", ("1", 1, true)),
        ("2, which means nothing", ("2", 1, true)),
        ("30", ("30", 1, false)),
        ("31 and no end", ("31 31 31 31 31", 3, false)),
        ("31 twice", ("31 31 0", 3, true)),
    ];
    each(&cases, |(codes, runs, goes_on)| {
        let home = Home::halting();
        let script = format!(
            "version=v2\nif [ $1 = pre-upgrade ]; then\n  echo pre-upgrade v2 >> \"$DAEMON_HOME/calls\"\n  set -- {codes}\n  \
             shift $(($(grep -c pre-upgrade \"$DAEMON_HOME/calls\") - 1))\n  exit $1\nfi\n. \"$DAEMON_HOME/node.sh\"\n"
        );
        home.script("cosmovisor/upgrades/v2/bin/noded", &script);
        let mut watcher = home.start(&[("DAEMON_PREUPGRADE_MAX_RETRIES", "2")]);
        home.halt();
        if *goes_on {
            home.expect_upgraded();
            assert!(watcher.stop().success());
        } else {
            assert_eq!(ended(&mut watcher).code(), Some(75));
            assert_eq!((home.count("start v2"), home.current().as_str()), (0, "upgrades/v2"));
            assert_eq!(home.log_lines("ERROR").len(), 1, "{}", home.log());
            assert!(home.log_lines("ERROR")[0].contains("pre-upgrade command failed"));
        }
        assert_eq!(home.count("pre-upgrade v2"), *runs);
    });
}

#[test]
fn a_custom_script_that_is_missing_or_fails_ends_the_upgrade_before_the_switch_and_the_next_start_goes_on() {
    let cases = [("missing", None), ("fails", Some("exit 3"))];
    each(&cases, |script| {
        let home = Home::halting();
        match script {
            None => home.remove("cosmovisor/before-upgrade"),
            Some(script) => home.script("cosmovisor/before-upgrade", script),
        }
        let settings = [("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade")];
        let mut watcher = home.start(&settings);
        home.halt();
        assert_eq!(ended(&mut watcher).code(), Some(75));
        assert_eq!((home.current().as_str(), home.calls().len()), ("genesis", 2));
        let told = home.log_lines("ERROR").pop().expect("it is told");
        let why = script.map_or("No such file", |_| "exit status 3");
        assert!(told.contains("COSMOVISOR_CUSTOM_PREUPGRADE") && told.contains(why), "{told}");

        home.script("cosmovisor/before-upgrade", "echo custom $1 $2 >> \"$DAEMON_HOME/calls\"");
        home.mode("cosmovisor/before-upgrade", 0o644);
        let mut watcher = home.start(&settings);
        home.expect_upgraded();
        assert_eq!((home.count("custom v2 10"), home.count("start genesis")), (1, 1));
        assert_eq!(home.backups().len(), 1, "the backup of the first attempt is good enough");
        assert!(watcher.stop().success());
    });
}

#[test]
fn a_binary_that_is_missing_at_the_halt_leaves_the_node_alone_until_it_is_placed() {
    let home = Home::halting();
    let info = r#"{\"binaries\":{\"any\":\"https://example.org/noded\"}}"#;
    home.write("plan.json", &format!(r#"{{"name":"v2","height":10,"info":"{info}"}}"#));
    let aside = home.path.with_extension("v2");
    fs::rename(home.at("cosmovisor/upgrades/v2"), &aside).expect("the home can be written");
    let mut watcher = home.start(&[]);
    home.halt();
    let told = home.wait_for_log("$DAEMON_HOME/cosmovisor/upgrades/v2/bin/$DAEMON_NAME");
    assert!(told.contains("ERROR") && told.contains("DAEMON_ALLOW_DOWNLOAD_BINARIES"), "{told}");
    assert!(told.contains("\"v2\" at height 10"), "{told}");
    assert_eq!((home.calls().len(), home.nodes().len(), home.backups().len()), (1, 1, 0));

    fs::rename(&aside, home.at("cosmovisor/upgrades/v2")).expect("the home can be written");
    home.expect_upgraded();
    assert_eq!(home.log_lines("has no binary").len(), 1, "it is said once: {}", home.log());
    assert!(home.log_lines("running app")[1].contains(path(&home.at("cosmovisor/upgrades/v2/bin/noded"))));
    signal(&watcher, Signal::SIGTERM);
    assert!(ended(&mut watcher).success());
}

fn path(path: &Path) -> &str {
    path.to_str().expect("it is text")
}
