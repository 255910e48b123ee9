//! Command lines that are refused, log lines, and exit codes: §1.1 and §1.5 of the reference's description.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    home::Home,
    link::{Told, bare, cosmovisor, link},
};

#[test]
fn a_copy_is_as_good_as_a_link_and_every_failure_is_one() {
    let home = Home::with_node("echo out; exit 7");
    let copy = home.at("cosmovisor/cosmovisor");
    // By another process: a child that another test is just making would hold the file open, and it could not be started.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_watcher")).arg(&copy).status().expect("cp is there");
    assert!(copied.success());
    for program in [copy, link(&home)] {
        let mut command = bare(program, &home, &["run", "start", "--a", "b c"]);
        let told = Told::of(command.env("DAEMON_HOME", &home.path).env("DAEMON_NAME", "noded"));
        assert_eq!((told.code, told.stderr.as_str()), (Some(1), "Error: exit status 7\n"));
        let lines: Vec<&str> = told.stdout.lines().collect();
        let running = "\u{1b}[0m \u{1b}[32mINF\u{1b}[0m \u{1b}[1mrunning app\u{1b}[0m \
                       \u{1b}[36margs=\u{1b}[0m[\"start\",\"--a\",\"b c\"] \u{1b}[36mmodule=\u{1b}[0mcosmovisor \
                       \u{1b}[36mpath=\u{1b}[0m";
        assert!(lines[0].starts_with("\u{1b}[90m") && lines[0].contains(running), "{lines:?}");
        assert_eq!(lines[1], "out");
    }
}

#[test]
fn logs_can_be_plain_and_can_be_off() {
    let home = Home::with_node("echo out");
    let told = Told::of(cosmovisor(&home, &["run", "x"]).env("COSMOVISOR_TIMEFORMAT_LOGS", ""));
    let path = home.at("cosmovisor/genesis/bin/noded");
    let running = format!("INF running app args=[\"x\"] module=cosmovisor path={}\nout\n", path.display());
    assert!(told.fine().starts_with(&running), "{told:?}");
    let told = Told::of(cosmovisor(&home, &["run", "x"]).env("COSMOVISOR_DISABLE_LOGS", "TRUE"));
    assert_eq!((told.fine(), told.stderr.as_str()), ("out\n", ""));
}

#[test]
fn another_home_is_a_loud_warning_and_the_node_runs() {
    let home = Home::with_node("echo out");
    let told = Told::of(&mut cosmovisor(&home, &["run", "start", "--home", "/elsewhere"]));
    let warning = told.fine().lines().find(|line| line.contains("/elsewhere")).expect("it is told");
    assert!(warning.contains(" ERR ") && warning.contains("DAEMON_HOME is"), "{warning}");
    assert!(told.stdout.contains("\nout\n"), "{told:?}");
}

#[test]
fn command_lines_are_refused_in_the_words_of_cobra() {
    let home = Home::with_node("exit 0");
    for (line, words) in [
        ("foo", "unknown command \"foo\" for \"cosmovisor\"\nRun 'cosmovisor --help' for usage."),
        ("upcoming", "unknown command \"upcoming\" for \"cosmovisor\"\nRun 'cosmovisor --help' for usage."),
        ("--version", "unknown flag: --version"),
        ("config --foo", "unknown flag: --foo"),
        ("config -x", "unknown shorthand flag: 'x' in -x"),
        ("init", "accepts 1 arg(s), received 0"),
        ("init a b", "accepts 1 arg(s), received 2"),
        ("add-upgrade --upgrade-height 5 v2", "accepts 2 arg(s), received 1"),
        ("add-upgrade v2 a b", "accepts 2 arg(s), received 3"),
        ("version --output", "flag needs an argument: --output"),
        (
            "add-upgrade v2 a --upgrade-height x",
            "invalid argument \"x\" for \"--upgrade-height\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "add-upgrade v2 a --upgrade-height 9223372036854775808",
            "invalid argument \"9223372036854775808\" for \"--upgrade-height\" flag: strconv.ParseInt: parsing \
             \"9223372036854775808\": value out of range",
        ),
        ("add-upgrade v2 a --exact", "unknown flag: --exact"),
        ("add-upgrade v2 a --exact --upgrade-height 5", "unknown flag: --exact"),
        ("completion nope", "unknown command \"nope\" for \"cosmovisor completion\""),
        ("-- run", "unknown command \"run\" for \"cosmovisor\""),
        ("add-batch-upgrade x", "unknown command \"x\" for \"cosmovisor add-batch-upgrade\""),
    ] {
        let words: Vec<&str> = words.lines().collect();
        Told::of(&mut cosmovisor(&home, &line.split(' ').collect::<Vec<_>>())).refused(&words);
    }
    for line in ["prepare-upgrade x", "show-upgrade-info x"] {
        let told = Told::of(&mut cosmovisor(&home, &line.split(' ').collect::<Vec<_>>()));
        let (command, _) = line.split_once(' ').expect("there is a space");
        let words = format!("Error: unknown command \"x\" for \"cosmovisor {command}\"\nUsage: cosmovisor {command}");
        assert!(told.code == Some(1) && told.stdout.is_empty() && told.stderr.starts_with(&words), "{told:?}");
    }
}

#[test]
fn what_answers_at_once_takes_less_than_ten_milliseconds() {
    const ENOUGH: Duration = Duration::from_millis(10);
    let home = Home::with_node("exit 0");
    for args in [&["version", "--cosmovisor-only"][..], &["config"], &["show-upgrade-info"]] {
        // The machine may have something else to do, but not every time.
        let quick = (0..100).any(|_| {
            let begun = Instant::now();
            let ended = cosmovisor(&home, args).output().expect("it can be started");
            ended.status.success() && begun.elapsed() < ENOUGH
        });
        assert!(quick, "{args:?}");
    }
}

#[test]
fn help_goes_to_stdout() {
    let home = Home::empty();
    for args in [&[][..], &["help"], &["--help"], &["help", "add-upgrade"], &["completion", "bash"], &["completion"]] {
        let told = Told::of(&mut bare(link(&home), &home, args));
        assert!(told.fine().contains("cosmovisor") && told.stderr.is_empty(), "{args:?}: {told:?}");
    }
    let told = Told::of(&mut bare(link(&home), &home, &["help", "run"]));
    assert!(told.stdout.contains("\n  cosmovisor run start") && !told.stdout.contains("--dry-run"), "{}", told.stdout);
    for command in ["init", "add-upgrade", "add-batch-upgrade", "prepare-upgrade", "show-upgrade-info", "config"] {
        let told = Told::of(&mut bare(link(&home), &home, &["help", command]));
        assert!(!told.fine().contains(" watcher "), "{command}: {}", told.stdout);
    }
    let told = Told::of(&mut bare(link(&home), &home, &["help", "add-upgrade"]));
    assert!(told.stdout.contains("\n  cosmovisor add-upgrade v2 "), "{}", told.stdout);
    let told = Told::of(&mut bare(link(&home), &home, &[]));
    assert!(!told.stdout.contains("upcoming") && told.stdout.contains("show-upgrade-info"), "{}", told.stdout);
}
