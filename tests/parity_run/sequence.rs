//! Rows 52 to 61: the steps of a swap and every setting that changes them.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    IDLE,
    detection::{INFO, expect_untouched, plan},
    home::{Home, NAME, each, ended, output, signal, text},
    wait,
};

/// The operator's own step.
const SCRIPT: (&str, &str) = ("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade");

#[test]
fn row_26_a_marker_that_cannot_be_written_does_not_keep_the_node_down() {
    let home = Home::halting();
    home.write("cosmovisor/upgrades/v2/upgrade-info.json/x", "in the way");
    let mut watcher = home.start(&[]);
    home.halt();
    home.expect_upgraded();
    let told = home.wait_for_log("no marker is left beside the new binary");
    assert!(told.contains(" WRN ") && told.contains("error="), "{told}");
    assert!(watcher.stop().success());
}

#[test]
fn row_52_without_a_restart_everything_is_done_but_the_start_which_the_next_run_makes() {
    let home = Home::halting();
    let mut watcher = home.start(&[("DAEMON_RESTART_AFTER_UPGRADE", "FALSE")]);
    home.halt();
    assert!(ended(&mut watcher).success());
    let said = "upgrade detected, DAEMON_RESTART_AFTER_UPGRADE is off. Verify new upgrade and start cosmovisor again.";
    assert_eq!(home.log_lines(said).len(), 1, "{}", home.log());
    assert_eq!(home.calls(), ["start genesis", "stop genesis", "pre-upgrade v2"]);
    assert_eq!(home.current(), "upgrades/v2");
    let mut watcher = home.start(&[("DAEMON_RESTART_AFTER_UPGRADE", "FALSE")]);
    home.expect_upgraded();
    assert_eq!((home.count("pre-upgrade v2"), home.log_lines(said).len()), (1, 1));
    assert!(watcher.stop().success());
}

#[test]
fn row_53_the_restart_delay_lies_between_the_stop_and_the_backup() {
    /// How coarse a filesystem's clock is.
    const TICK: Duration = Duration::from_millis(10);
    let home = Home::steady();
    let noting = "trap 'echo > \"$DAEMON_HOME/stopped\"; exit 0' TERM\n";
    let status = "[ $1 = status ] && echo '{\"sync_info\":{\"latest_block_height\":\"9\"}}' && exit 0\n";
    home.script(
        "cosmovisor/genesis/bin/noded",
        &format!("{status}{noting}echo start genesis >> \"$DAEMON_HOME/calls\"\n{IDLE}"),
    );
    let mut watcher = home.start(&[("DAEMON_RESTART_DELAY", "2s")]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    home.wait_for_call("start v2");
    // Both times are the filesystem's.
    let (stopped, made) = (fs::metadata(home.at("stopped")), fs::metadata(&home.backups()[0]));
    let stopped = stopped.and_then(|meta| meta.modified()).expect("it was stopped");
    let made = made.and_then(|meta| meta.created()).expect("the filesystem keeps that time");
    let pause = made.duration_since(stopped).expect("the backup follows the stop");
    assert!(pause + TICK >= Duration::from_secs(2), "{pause:?}");
    assert!(watcher.stop().success());
}

/// `fixtures/homes/halting` whose node halts at once and does this when it is told to stop, and whose script tells whether
/// the node is still there.
fn told_to_stop(trap: &str) -> Home {
    let home = Home::halting();
    let node = format!(
        "[ $1 = start ] || exit 1\ncd \"$DAEMON_HOME\"\n{trap}\necho $$ > old\necho start genesis >> calls\ncat plan.json > \
         data/upgrade-info.json\n{IDLE}"
    );
    home.script("cosmovisor/genesis/bin/noded", &node);
    let still =
        "kill -0 $(cat \"$DAEMON_HOME/old\") 2> /dev/null && echo 'the old one lives' >> \"$DAEMON_HOME/calls\"";
    home.script("cosmovisor/before-upgrade", &format!("{still}\nexit 0\n"));
    home
}

#[test]
fn row_54_within_the_grace_a_node_may_end_by_itself_and_is_killed_after_it() {
    let ends = |name| format!("trap 'echo asked {name} >> calls; sleep 0.3; echo ended >> calls; exit 0' {name}");
    let cases = [
        ("in time", (ends("TERM"), vec![], ["asked TERM", "ended"].as_slice(), "app exited normally")),
        (
            "in time, of SIGINT",
            (ends("INT"), vec![("WATCHER_STOP_SIGNAL", "SIGINT")], &["asked INT", "ended"], "app exited normally"),
        ),
        (
            "ignores it",
            (
                "trap 'echo asked >> calls' TERM".to_owned(),
                vec![("DAEMON_SHUTDOWN_GRACE", "500ms")],
                &["asked"],
                "DAEMON_SHUTDOWN_GRACE exceeded, killing app",
            ),
        ),
    ];
    each(&cases, |(trap, settings, calls, said)| {
        let home = told_to_stop(trap);
        let mut watcher = home.start(&[&[("DAEMON_SHUTDOWN_GRACE", "1m"), SCRIPT], settings.as_slice()].concat());
        home.expect_upgraded();
        assert_eq!(home.calls(), [&["start genesis"], *calls, &["pre-upgrade v2", "start v2"]].concat());
        assert_eq!(home.log_lines("sent interrupt to app, waiting for exit").len(), 1, "{}", home.log());
        assert_eq!(home.log_lines(said).len(), 1, "{said:?}: {}", home.log());
        assert!(watcher.stop().success());
    });
}

#[test]
fn row_55_without_a_grace_the_node_is_asked_to_stop_and_waited_for() {
    let home = told_to_stop("trap 'echo asked >> calls; sleep 2; echo ended >> calls; exit 0' TERM");
    let mut watcher = home.start(&[SCRIPT]);
    home.expect_upgraded();
    assert_eq!(home.calls(), ["start genesis", "asked", "ended", "pre-upgrade v2", "start v2"]);
    assert!(watcher.stop().success());
}

#[test]
#[ignore = "takes two minutes; `.ci/run` runs it, or `cargo test --test parity_run -- --ignored`"]
fn row_55_without_a_grace_a_node_that_does_not_end_is_killed_after_two_minutes() {
    let home = told_to_stop("trap 'echo asked >> calls' TERM");
    let mut watcher = home.start(&[SCRIPT]);
    home.wait_for_call("asked");
    let asked = Instant::now();
    wait::until("v2 starts", Duration::from_mins(3), || (home.count("start v2") == 1).then_some(()));
    assert!(asked.elapsed() >= Duration::from_secs(119), "{:?}", asked.elapsed());
    home.expect_upgraded();
    assert_eq!(home.calls(), ["start genesis", "asked", "pre-upgrade v2", "start v2"]);
    assert!(watcher.stop().success());
}

#[test]
fn row_56_a_backup_is_called_by_its_day_with_a_number_where_that_is_taken() {
    let home = Home::steady();
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    home.wait_for_call("start v2");
    home.write("data/height", "12\n");
    home.write(INFO, &plan("v3", 12));
    home.wait_for_call("start v3");
    assert!(watcher.stop().success());
    let day = text(&Command::new("date").arg("+data-backup-%Y-%-m-%-d").output().expect("date is there").stdout);
    let names: Vec<_> = home.backups().iter().map(|path| path.file_name().expect("it has one").to_owned()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    for (name, height) in [(day.trim().to_owned(), "9"), (format!("{}-2", day.trim()), "12")] {
        assert_eq!(home.read(&format!("{name}/height")).trim(), height, "{names:?}");
    }
}

#[test]
fn row_57_data_behind_a_link_is_copied() {
    let home = Home::steady();
    let elsewhere = home.path.with_extension("data");
    fs::rename(home.at("data"), &elsewhere).expect("the folder can be written");
    symlink(&elsewhere, home.at("data")).expect("the home can be written");
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    home.wait_for_call("start v2");
    let backup = home.backups().pop().expect("there is one");
    assert!(fs::symlink_metadata(&backup).expect("it is there").is_dir(), "no link to the data that goes on");
    let (saved, data) = (backup.join("height"), home.at("data/height"));
    assert_eq!(fs::read(&saved).expect("it is saved"), fs::read(&data).expect("it is there"));
    let inode = |path: &Path| fs::metadata(path).expect("it is there").ino();
    assert_ne!(inode(&saved), inode(&data));
    assert!(watcher.stop().success());
}

#[test]
fn row_58_a_socket_in_data_is_left_out_of_the_backup() {
    let home = Home::steady();
    let _socket = UnixListener::bind(home.at("data/socket")).expect("the home can be written");
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    home.wait_for_call("start v2");
    let backup = home.backups().pop().expect("there is one");
    assert_eq!((backup.join("height").exists(), backup.join("socket").exists()), (true, false));
    assert!(watcher.stop().success());
}

#[test]
fn row_58_a_backup_folder_inside_data_is_refused_before_the_node_is_started() {
    let home = Home::steady();
    let inside = home.at("data/backups");
    fs::create_dir(&inside).expect("the home can be written");
    let link = home.path.with_extension("backups");
    symlink(&inside, &link).expect("the folder can be written");
    for place in [&inside, &home.at("data"), &link] {
        let ended = output(home.watcher(&["start"]).env("DAEMON_DATA_BACKUP_DIR", place));
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.starts_with("Error: ") && said.contains("DAEMON_DATA_BACKUP_DIR"), "{said}");
    }
    assert_eq!(home.calls(), [""; 0]);
}

#[test]
fn row_59_without_a_binary_the_node_is_left_alone_until_one_is_placed() {
    let home = Home::steady();
    let aside = home.path.with_extension("v2");
    fs::rename(home.at("cosmovisor/upgrades/v2"), &aside).expect("the home can be written");
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    let info = r#"{\"binaries\":{\"any\":\"https://example.org/noded\"}}"#;
    home.write(INFO, &format!(r#"{{"name":"v2","height":9,"info":"{info}"}}"#));
    let told = home.wait_for_log("$DAEMON_HOME/cosmovisor/upgrades/v2/bin/$DAEMON_NAME");
    for part in
        [" ERR ", "\"v2\" at height 9", "binary not present, downloading disabled", "DAEMON_ALLOW_DOWNLOAD_BINARIES"]
    {
        assert!(told.contains(part), "{part:?}: {told}");
    }
    expect_untouched(&home, &["start genesis"], "genesis");

    fs::rename(&aside, home.at("cosmovisor/upgrades/v2")).expect("the home can be written");
    home.wait_for_call("start v2");
    assert_eq!(home.calls(), ["start genesis", "stop genesis", "pre-upgrade v2", "start v2"]);
    assert_eq!(home.log_lines("binary not present").len(), 1, "it is said once: {}", home.log());
    signal(&watcher, Signal::SIGTERM);
    assert!(ended(&mut watcher).success());
}

#[test]
fn row_60_the_operators_script_is_run_before_the_switch_and_its_failure_ends_the_upgrade() {
    let cases = [
        ("missing", (None, "stat SCRIPT: no such file or directory".to_owned())),
        ("a folder", (Some("folder"), "COSMOVISOR_CUSTOM_PREUPGRADE: before-upgrade is not a regular file".to_owned())),
        ("fails", (Some("echo no room >&2\nexit 3\n"), "exit status 3".to_owned())),
        ("is killed", (Some("kill -KILL $$\n"), "signal: killed".to_owned())),
    ];
    each(&cases, |(script, said)| {
        let home = Home::halting();
        home.remove("cosmovisor/before-upgrade");
        match script {
            None => {}
            Some("folder") => fs::create_dir(home.at("cosmovisor/before-upgrade")).expect("the home can be written"),
            Some(script) => home.script("cosmovisor/before-upgrade", script),
        }
        let mut watcher = home.start(&[SCRIPT]);
        home.halt();
        assert_eq!(ended(&mut watcher).code(), Some(1));
        let foretold = home.log_lines("and is no file: an upgrade would stop the node").len();
        assert_eq!(foretold, usize::from(script.is_none_or(|script| script == "folder")), "{}", home.log());
        assert_eq!((home.current().as_str(), home.calls().len()), ("genesis", 2));
        let said = said.replace("SCRIPT", &home.at("cosmovisor/before-upgrade").display().to_string());
        assert!(home.log().lines().any(|line| line == format!("Error: {said}")), "{said}: {}", home.log());
        assert_eq!(home.log_lines("COSMOVISOR_CUSTOM_PREUPGRADE file missing").len(), usize::from(script.is_none()));
        let told = home.log().contains("no room");
        assert_eq!(told, script.is_some_and(|script| script.contains("no room")), "{}", home.log());

        if home.at("cosmovisor/before-upgrade").exists() {
            home.remove("cosmovisor/before-upgrade");
        }
        let works =
            "echo custom $1 $2 at \"$(pwd -P)\" with \"$DAEMON_NAME\" >> \"$DAEMON_HOME/calls\"\necho it works\n";
        home.script("cosmovisor/before-upgrade", works);
        home.mode("cosmovisor/before-upgrade", 0o644);
        let mut watcher = home.start(&[SCRIPT]);
        home.expect_upgraded();
        let called = format!("custom v2 10 at {} with noded", home.path.display());
        assert_eq!((home.count(&called), home.count("start genesis")), (1, 1));
        let mode = fs::metadata(home.at("cosmovisor/before-upgrade")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o744);
        let told = home.wait_for_log("COSMOVISOR_CUSTOM_PREUPGRADE result");
        let command = home.at("cosmovisor/before-upgrade");
        let fields = format!("argv1=v2 argv2=10 command={} module=cosmovisor result=\"it works", command.display());
        assert!(told.contains(&fields), "{told}");
        let looked = format!("looking for COSMOVISOR_CUSTOM_PREUPGRADE file file={} ", command.display());
        assert_eq!(home.log_lines(&looked).len(), 2, "{}", home.log());
        assert_eq!(home.backups().len(), 1, "the backup of the first attempt is good enough");
        assert!(watcher.stop().success());
    });
}

#[test]
fn row_60_the_operators_script_gets_the_name_as_the_chain_writes_it() {
    let home = Home::halting();
    home.write("plan.json", &plan("V2", 10));
    let mut watcher = home.start(&[SCRIPT]);
    home.halt();
    home.expect_upgraded();
    assert_eq!(home.count("custom V2 10"), 1, "{:?}", home.calls());
    assert!(watcher.stop().success());
}

#[test]
fn row_61_the_exit_code_of_pre_upgrade_decides() {
    const FAILED: &str = "Error: pre-upgrade command failed : exit status 30";
    const TRIED: &str = "Error: pre-upgrade command failed. reached max attempt of retries - 2";
    const RETRIED: &str = "pre-upgrade command failed. retrying";
    const SUCCESS: &str = "pre-upgrade successful. continuing the upgrade.";
    // How it exits, one time after the other; how often it is run; whether the upgrade goes on; what is said how often.
    let cases = [
        ("0", ("exit 0", 1, true, SUCCESS, 1)),
        ("1", ("exit 1", 1, true, "pre-upgrade command does not exist. continuing the upgrade.", 1)),
        ("2", ("exit 2", 1, true, "exit code 2", 1)),
        ("255", ("exit 255", 1, true, "exit code 255", 1)),
        ("a signal", ("kill -KILL $$", 1, true, "ended by a signal", 1)),
        ("30", ("exit 30", 1, false, FAILED, 1)),
        ("31 and no end", ("exit 31", 3, false, TRIED, 1)),
        ("31 twice", ("[ $runs -lt 3 ] && exit 31\nexit 0", 3, true, RETRIED, 2)),
        ("31, then 30", ("[ $runs -lt 2 ] && exit 31\nexit 30", 2, false, FAILED, 1)),
    ];
    each(&cases, |(how, runs, goes_on, said, times)| {
        let home = Home::halting();
        let script = format!(
            "version=v2\nif [ $1 = pre-upgrade ]; then\n  echo pre-upgrade v2 >> \"$DAEMON_HOME/calls\"\n  runs=$(grep -c \
             pre-upgrade \"$DAEMON_HOME/calls\")\n  {how}\nfi\n. \"$DAEMON_HOME/node.sh\"\n"
        );
        home.script("cosmovisor/upgrades/v2/bin/noded", &script);
        let mut watcher = home.start(&[("DAEMON_PREUPGRADE_MAX_RETRIES", "2")]);
        home.halt();
        if *goes_on {
            home.expect_upgraded();
            assert!(watcher.stop().success());
        } else {
            assert_eq!(ended(&mut watcher).code(), Some(1));
            assert_eq!((home.count("start v2"), home.current().as_str()), (0, "upgrades/v2"));
        }
        assert_eq!(home.count("pre-upgrade v2"), *runs);
        assert_eq!(home.log_lines(said).len(), *times, "{said:?}: {}", home.log());
    });
}

#[test]
fn row_61_with_retries_below_0_the_upgrade_fails_at_once() {
    let home = Home::halting();
    let mut watcher = home.start(&[("DAEMON_PREUPGRADE_MAX_RETRIES", "-1")]);
    home.halt();
    assert_eq!(ended(&mut watcher).code(), Some(1));
    home.wait_for_log("Error: pre-upgrade command failed. reached max attempt of retries - -1");
    assert_eq!((home.count("pre-upgrade v2"), home.count("start v2"), home.current().as_str()), (0, 0, "upgrades/v2"));
}

#[test]
fn a_new_binary_that_ends_before_its_height_is_the_end_with_code_1_at_each_start() {
    let home = Home::halting();
    let script = "[ $1 = start ] && echo start v2 >> \"$DAEMON_HOME/calls\"\n[ $1 = pre-upgrade ] || exit 3\n";
    home.script("cosmovisor/upgrades/v2/bin/noded", script);
    let settings = [("WATCHER_UPGRADE_MAX_RESTARTS", "0")];
    let mut watcher = home.start(&settings);
    home.halt();
    for starts in 1..=3 {
        assert_eq!(ended(&mut watcher).code(), Some(1));
        assert_eq!((home.count("start v2"), home.current().as_str()), (starts, "upgrades/v2"));
        watcher = home.start(&settings);
    }
    ended(&mut watcher);
    // What says otherwise is obeyed under this name too.
    let mut watcher = home.start(&[settings[0], ("WATCHER_ON_UPGRADE_FAILURE", "hold")]);
    let told = home.wait_for_log("\"v2\" at height 10 failed");
    // Commands that cosmovisor does not have are named so that they work as they stand.
    let program = fs::canonicalize(env!("CARGO_BIN_EXE_watcher")).expect("it was built");
    assert!(told.contains(&format!("`{} resume`", program.display())), "{told}");
    let mut resume = Command::new(program);
    resume.arg("resume").env_clear().env("DAEMON_HOME", &home.path).env("DAEMON_NAME", NAME);
    assert!(output(&mut resume).status.success());
    let failed = || (home.log_lines("\"v2\" at height 10 failed").len() == 2).then_some(());
    wait::until("it goes on, and has failed once more", Duration::from_secs(30), failed);
    assert_eq!(watcher.stop().code(), Some(1));
}
