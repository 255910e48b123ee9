//! Rows 15 to 25: the node as a child, and the homes that it is started from.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    process::{Command, Stdio},
};

use crate::{
    detection::{INFO, plan},
    home::{Home, NAME, each, output, text},
};

/// A node that says that it runs, and ends.
const RUNS: &str = "echo it runs";

/// Runs it to its end, checks that the node was started once and that this was all, and gives what was logged.
fn expect_runs(watcher: &mut Command) -> String {
    let ended = output(watcher);
    let (stdout, stderr) = (text(&ended.stdout), text(&ended.stderr));
    assert_eq!((ended.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    assert_eq!(stdout.lines().filter(|line| *line == "it runs").count(), 1, "{stdout}");
    stdout
}

/// Checks that nothing is started, and that the complaint names these.
fn expect_refused(watcher: &mut Command, named: &[&str]) {
    let ended = output(watcher);
    let (stdout, stderr) = (text(&ended.stdout), text(&ended.stderr));
    assert_eq!(ended.status.code(), Some(1), "{stdout}{stderr}");
    assert!(stderr.starts_with("Error: ") && !stdout.contains("it runs"), "{stdout}{stderr}");
    for name in named {
        assert!(stderr.contains(name), "{name:?} is not named:\n{stderr}");
    }
}

#[test]
fn row_15_a_node_that_exits_0_is_the_end() {
    let home = Home::with_node("echo started >> \"$DAEMON_HOME/calls\"");
    let ended = output(&mut home.watcher(&["start"]));
    assert_eq!((ended.status.code(), text(&ended.stderr).as_str()), (Some(0), ""));
    assert_eq!(home.count("started"), 1);
}

#[test]
fn row_16_a_node_that_fails_is_told_and_the_end_with_code_1() {
    let cases = [
        ("exit 7", ("exit 7", "exit status 7")),
        ("killed", ("kill -KILL $$", "signal: killed")),
        ("terminated by somebody else", ("kill -TERM $$", "signal: terminated")),
        ("nobody reads", ("kill -PIPE $$", "signal: broken pipe")),
        ("a user's signal", ("kill -USR1 $$", "signal: user defined signal 1")),
        ("a signal without a name", ("kill -16 $$", "signal: signal 16")),
    ];
    each(&cases, |(end, said)| {
        let home = Home::with_node(&format!("echo started >> \"$DAEMON_HOME/calls\"\n{end}"));
        let ended = output(&mut home.watcher(&["start"]));
        assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(1), format!("Error: {said}\n")));
        assert_eq!(home.count("started"), 1);
    });
}

#[test]
fn row_16_the_end_of_the_node_is_passed_on_where_that_is_wished() {
    let cases =
        [("exit 7", ("exit 7", 7)), ("killed", ("kill -KILL $$", 137)), ("a real-time signal", ("kill -40 $$", 168))];
    each(&cases, |(end, code)| {
        let home = Home::with_node(end);
        let ended = output(home.watcher(&["start"]).env("WATCHER_PASS_EXIT_CODE", "true"));
        assert_eq!(ended.status.code(), Some(*code), "{}", text(&ended.stderr));
    });
}

#[test]
fn row_17_standard_streams_are_the_nodes_own() {
    let home = Home::with_node("cat\necho 'a complaint' >&2");
    let mut watcher = home.watcher(&["start"]);
    watcher.env("COSMOVISOR_DISABLE_LOGS", "true");
    watcher.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = watcher.spawn().expect("it can be started");
    child.stdin.take().expect("it is a pipe").write_all(b"what is said to it\n").expect("the node reads");
    let ended = child.wait_with_output().expect("the node ends with its input");
    assert_eq!((text(&ended.stdout).as_str(), text(&ended.stderr).as_str()), ("what is said to it\n", "a complaint\n"));
    assert!(ended.status.success());
}

#[test]
fn row_18_the_node_works_in_the_cosmovisor_folder_with_the_environment_as_it_is() {
    let home = Home::with_node("pwd -P\nenv");
    let mut watcher = home.watcher(&[]);
    let passed =
        [("NODED_MONIKER", "two words"), ("COSMOVISOR_DISABLE_LOGS", "true"), ("DAEMON_LOG_BUFFER_SIZE", "512")];
    watcher.envs(passed).env("WATCHER_LOG", "info").env("NOTIFY_SOCKET", "/run/socket");
    let ended = output(&mut watcher);
    let stdout = text(&ended.stdout);
    let (folder, environment) = stdout.split_once('\n').expect("there are two lines at least");
    assert_eq!(Some(folder), home.at("cosmovisor").to_str(), "{}", text(&ended.stderr));
    // What the shell itself sets is left out.
    let own = ["PWD", "OLDPWD", "SHLVL", "_", "PATH"];
    let mut found: Vec<&str> =
        environment.lines().filter(|line| !own.contains(&line.split('=').next().unwrap_or(line))).collect();
    found.sort_unstable();
    let daemon_home = format!("DAEMON_HOME={}", home.path.display());
    let daemon_name = format!("DAEMON_NAME={NAME}");
    let expected = [
        "COSMOVISOR_COLOR_LOGS=false",
        "COSMOVISOR_DISABLE_LOGS=true",
        &daemon_home,
        "DAEMON_LOG_BUFFER_SIZE=512",
        &daemon_name,
        "NODED_MONIKER=two words",
    ];
    assert_eq!(found, expected);
}

#[test]
fn row_19_without_current_a_relative_link_to_genesis_is_made() {
    let home = Home::with_node(RUNS);
    expect_runs(&mut home.watcher(&["start"]));
    assert_eq!(home.current(), "genesis");
}

#[test]
fn row_20_an_absolute_current_and_a_linked_home_work_and_the_resolved_path_is_logged() {
    let home = Home::with_node(RUNS);
    symlink(home.at("cosmovisor/genesis"), home.at("cosmovisor/current")).expect("the home can be written");
    let second = home.path.with_extension("link");
    symlink(&home.path, &second).expect("the folder can be written");
    let path = format!("path={}", home.at("cosmovisor/genesis/bin/noded").display());
    for place in [&home.path, &second] {
        let told = expect_runs(home.watcher(&["start"]).env("DAEMON_HOME", place));
        let line = told.lines().find(|line| line.contains(" INF running app ")).expect("it is logged");
        assert!(line.contains(&path) && line.contains("args=[\"start\"] module=cosmovisor"), "{line}");
    }
}

#[test]
fn row_20_binaries_behind_links_work() {
    let home = Home::steady();
    fs::create_dir(home.at("built")).expect("the home can be written");
    for version in ["genesis", "upgrades/v2"] {
        let (binary, built) = (home.at(&format!("cosmovisor/{version}/bin/noded")), version.replace('/', "-"));
        let built = home.at("built").join(built);
        fs::rename(&binary, &built).expect("the home can be written");
        symlink(&built, &binary).expect("the home can be written");
    }
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    home.wait_for_call("start v2");
    assert!(fs::symlink_metadata(home.at("cosmovisor/upgrades/v2/bin/noded")).expect("it is there").is_symlink());
    assert!(watcher.stop().success());
}

#[test]
fn row_21_a_current_that_leads_nowhere_or_is_a_folder_is_refused_and_left_as_it_is() {
    let home = Home::with_node(RUNS);
    symlink("upgrades/gone", home.at("cosmovisor/current")).expect("the home can be written");
    expect_refused(&mut home.watcher(&["start"]), &["cosmovisor/current", "upgrades/gone"]);
    assert_eq!(home.current(), "upgrades/gone");

    home.remove("cosmovisor/current");
    home.script("cosmovisor/current/bin/noded", RUNS);
    expect_refused(&mut home.watcher(&["start"]), &["cosmovisor/current", "not a link"]);
    assert_eq!(home.read("cosmovisor/current/bin/noded"), format!("#!/bin/sh\n{RUNS}"));
}

#[test]
fn row_22_without_genesis_the_start_is_refused_and_no_link_is_left_behind() {
    let home = Home::empty();
    for _ in 0..2 {
        let binary = home.at("cosmovisor/genesis/bin/noded");
        expect_refused(&mut home.watcher(&["start"]), &[binary.to_str().expect("it is text")]);
        assert!(fs::symlink_metadata(home.at("cosmovisor/current")).is_err());
        assert!(!home.at("cosmovisor/genesis").exists());
    }
    fs::create_dir_all(home.at("cosmovisor/genesis/bin/noded")).expect("the home can be written");
    expect_refused(&mut home.watcher(&["start"]), &["genesis/bin/noded: it is not a file"]);
    assert!(fs::symlink_metadata(home.at("cosmovisor/current")).is_err());
    home.remove("cosmovisor/genesis/bin/noded");
    home.script("cosmovisor/genesis/bin/noded", RUNS);
    expect_runs(&mut home.watcher(&["start"]));
}

#[test]
fn row_23_a_binary_that_is_not_executable_is_made_so_and_runs() {
    for (before, after) in [(0o600, 0o711), (0o644, 0o755), (0o744, 0o755)] {
        let home = Home::with_node(RUNS);
        home.mode("cosmovisor/genesis/bin/noded", before);
        expect_runs(&mut home.watcher(&["start"]));
        let mode = fs::metadata(home.at("cosmovisor/genesis/bin/noded")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, after, "from {before:o}");
    }
}

#[test]
fn row_24_a_binary_that_this_machine_cannot_run_is_named_with_the_systems_words() {
    // The second one is what an ELF file begins with, and no more.
    for content in ["\u{1}\u{2}\u{3}\u{4}", "\u{7f}ELF\u{2}\u{1}\u{1}"] {
        let home = Home::empty();
        home.write("cosmovisor/genesis/bin/noded", content);
        let binary = home.at("cosmovisor/genesis/bin/noded").display().to_string();
        let expected = format!("launching process {binary} start --x failed: fork/exec {binary}: exec format error");
        expect_refused(&mut home.watcher(&["start", "--x"]), &[&expected]);
    }
}

#[test]
fn row_25_a_home_without_data_is_refused_by_its_path() {
    let home = Home::with_node(RUNS);
    home.remove("data");
    let said = format!("{} must be an existing directory", home.at("data").display());
    expect_refused(&mut home.watcher(&["start"]), &[&said]);
    home.write("data", "a file");
    expect_refused(&mut home.watcher(&["start"]), &[&said]);
}
