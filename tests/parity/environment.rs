//! Rows 1 to 8: settings from the environment.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, process::Command};

use jiff::Timestamp;

use crate::{
    home::{Home, each},
    link::{Told, bare, cosmovisor, link, path},
};

/// A node that ends at once.
const ENDS: &str = "echo it runs";

fn run_with(home: &Home, settings: &[(&str, &str)]) -> Told {
    Told::of(cosmovisor(home, &["run", "start"]).envs(settings.iter().copied()))
}

fn bool_error(name: &str, value: &str) -> String {
    format!(r#"env variable "{name}" must have a boolean value ("true" or "false"), got "{value}""#)
}

#[test]
fn row_01_without_settings_the_three_that_are_missing_are_named() {
    let home = Home::with_node(ENDS);
    let missing = ["DAEMON_NAME is not set", "DAEMON_HOME is not set", "DAEMON_DATA_BACKUP_DIR must not be empty"];
    Told::of(&mut bare(link(&home), &home, &["run", "x"])).refused(&missing);
}

#[test]
fn row_02_a_relative_home_is_refused() {
    let home = Home::with_node(ENDS);
    run_with(&home, &[("DAEMON_HOME", "here")])
        .refused(&["DAEMON_HOME must be an absolute path", "here must be an absolute path"]);
}

#[test]
fn row_03_a_home_without_the_folder_is_refused() {
    let home = Home::with_node(ENDS);
    home.remove("cosmovisor");
    let root = home.at("cosmovisor");
    let stat = format!("cannot stat home dir: stat {}: no such file or directory", root.display());
    run_with(&home, &[]).refused(&[&stat]);
    home.write("cosmovisor", "a file");
    run_with(&home, &[]).refused(&[&format!("{} is not a directory", root.display())]);
}

#[test]
fn row_04_everything_that_is_wrong_is_told_at_once_in_order() {
    let home = Home::with_node(ENDS);
    let bad = [
        ("DAEMON_PREUPGRADE_MAX_RETRIES", "x"),
        ("DAEMON_SHUTDOWN_GRACE", "0s"),
        ("DAEMON_RESTART_DELAY", "soon"),
        ("DAEMON_POLL_INTERVAL", "300"),
        ("COSMOVISOR_DISABLE_RECASE", "a"),
        ("COSMOVISOR_TIMEFORMAT_LOGS", "foo"),
        ("COSMOVISOR_COLOR_LOGS", "b"),
        ("COSMOVISOR_DISABLE_LOGS", "c"),
        ("UNSAFE_SKIP_BACKUP", "d"),
        ("DAEMON_RESTART_AFTER_UPGRADE", "e"),
        ("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", "f"),
        ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "g"),
        ("DAEMON_NAME", ""),
        ("DAEMON_HOME", ""),
    ];
    let bools = [
        ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "g"),
        ("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", "f"),
        ("DAEMON_RESTART_AFTER_UPGRADE", "e"),
        ("UNSAFE_SKIP_BACKUP", "d"),
        ("COSMOVISOR_DISABLE_LOGS", "c"),
        ("COSMOVISOR_COLOR_LOGS", "b"),
    ];
    let mut lines: Vec<String> = bools.iter().map(|(name, value)| bool_error(name, value)).collect();
    lines.push(timeformat_error("foo"));
    lines.push(bool_error("COSMOVISOR_DISABLE_RECASE", "a"));
    lines.extend(
        [
            r#"invalid: DAEMON_POLL_INTERVAL: could not parse '300' into a duration: time: missing unit in duration "300""#,
            r#"invalid: DAEMON_RESTART_DELAY: could not parse 'soon' into a duration: time: invalid duration "soon""#,
            "invalid: DAEMON_SHUTDOWN_GRACE: must be greater than 0",
            r#"DAEMON_PREUPGRADE_MAX_RETRIES could not be parsed to int: strconv.Atoi: parsing "x": invalid syntax"#,
            "DAEMON_NAME is not set",
            "DAEMON_HOME is not set",
            "DAEMON_DATA_BACKUP_DIR must not be empty",
        ]
        .map(str::to_owned),
    );
    run_with(&home, &bad).refused(&lines.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn row_04_a_number_that_is_too_large_is_told_as_such() {
    let home = Home::with_node(ENDS);
    let large = "9223372036854775808";
    let told = format!(
        "DAEMON_PREUPGRADE_MAX_RETRIES could not be parsed to int: strconv.Atoi: parsing \"{large}\": value out of range"
    );
    run_with(&home, &[("DAEMON_PREUPGRADE_MAX_RETRIES", large)]).refused(&[&told]);
}

#[test]
fn row_05_what_is_no_text_is_refused_and_does_not_count_as_unset() {
    let home = Home::with_node(ENDS);
    let odd = OsStr::from_bytes(b"true\xa0");
    for name in ["DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", "DAEMON_HOME", "COSMOVISOR_CUSTOM_PREUPGRADE"] {
        let told = Told::of(cosmovisor(&home, &["run"]).env(name, odd));
        told.refused(&[&format!(r#"{name} must be UTF-8, got "true\xa0""#)]);
    }
}

#[test]
fn row_05_only_true_and_false_in_any_case_are_flags() {
    let home = Home::with_node(ENDS);
    for (value, told) in [("Yes", "yes"), ("1", "1"), (" TRUE", " true")] {
        run_with(&home, &[("UNSAFE_SKIP_BACKUP", value)]).refused(&[&bool_error("UNSAFE_SKIP_BACKUP", told)]);
    }
    for value in ["", "true", "FALSE", "tRuE"] {
        run_with(&home, &[("UNSAFE_SKIP_BACKUP", value)]).fine();
    }
}

#[test]
fn row_06_durations_have_a_unit_and_are_above_zero() {
    let home = Home::with_node(ENDS);
    let missing = r#"could not parse '300' into a duration: time: missing unit in duration "300""#;
    let beyond = r#"could not parse '2562048h' into a duration: time: invalid duration "2562048h""#;
    for (value, told) in [
        ("300", missing),
        ("0s", "must be greater than 0"),
        ("-1s", "must be greater than 0"),
        // Go's durations end before.
        ("2562048h", beyond),
    ] {
        let told = format!("invalid: DAEMON_POLL_INTERVAL: {told}");
        run_with(&home, &[("DAEMON_POLL_INTERVAL", value)]).refused(&[&told]);
    }
    for value in ["1h2m3.5s", "100ms", "1000us", "1µs", ".5s"] {
        run_with(&home, &[("DAEMON_POLL_INTERVAL", value)]).fine();
    }
}

fn timeformat_error(value: &str) -> String {
    let names = "layout|ansic|unixdate|rubydate|rfc822|rfc822z|rfc850|rfc1123|rfc1123z|rfc3339|rfc3339nano|kitchen";
    format!(r#"env variable "COSMOVISOR_TIMEFORMAT_LOGS" must have a timeformat value ("{names}"), got "{value}""#)
}

/// What stands before the level of the first log line.
fn time(command: &mut Command) -> String {
    let told = Told::of(command);
    let line = told.fine().lines().next().expect("there is a line");
    line.split_once("INF running app").unwrap_or_else(|| panic!("{line}")).0.to_owned()
}

#[test]
fn row_07_the_time_is_written_as_it_is_wanted() {
    let home = Home::with_node(ENDS);
    let set = |value| time(cosmovisor(&home, &["run"]).env("COSMOVISOR_TIMEFORMAT_LOGS", value));
    for kitchen in [time(&mut cosmovisor(&home, &["run"])), set("kitchen")] {
        let (hour, rest) = kitchen.split_once(':').expect("it is a time");
        let (minute, half) = rest.split_at(2);
        assert!((1..=12).contains(&hour.parse::<u8>().expect("a number")) && !hour.starts_with('0'), "{kitchen}");
        assert!(minute.parse::<u8>().is_ok() && ["AM ", "PM "].contains(&half), "{kitchen}");
    }
    assert_eq!(set(""), "", "no time, and nothing in its place");
    for format in ["rfc3339", "rfc3339nano"] {
        let time = set(format);
        assert!(time.trim_end().parse::<Timestamp>().is_ok() && time.ends_with("Z "), "{time}");
    }
    for bad in ["foo", "Kitchen"] {
        run_with(&home, &[("COSMOVISOR_TIMEFORMAT_LOGS", bad)]).refused(&[&timeformat_error(bad)]);
    }
}

#[test]
fn row_08_the_place_of_backups_is_looked_at_where_backups_are_wanted() {
    let home = Home::with_node(ENDS);
    let missing = home.at("nowhere");
    let missing = path(&missing);
    home.write("file", "");
    let file = home.at("file");
    let cases = [
        ("relative", ("a/b".to_owned(), "a/b must be an absolute path".to_owned())),
        (
            "missing",
            (
                missing.to_owned(),
                format!("\"{missing}\" must be a valid directory: stat {missing}: no such file or directory"),
            ),
        ),
        ("a file", (path(&file).to_owned(), format!("\"{}\" must be a valid directory", file.display()))),
    ];
    run_with(&home, &[]).fine();
    each(&cases, |(place, told)| {
        run_with(&home, &[("DAEMON_DATA_BACKUP_DIR", place)]).refused(&[told]);
    });
    for (_, (place, _)) in &cases {
        run_with(&home, &[("DAEMON_DATA_BACKUP_DIR", place), ("UNSAFE_SKIP_BACKUP", "true")]).fine();
    }
}
