//! Rows 9 to 12: settings from a file.

use std::fs;

use crate::{
    home::Home,
    link::{Told, bare, cosmovisor, link, path},
};

const FILE: &str = "cosmovisor/config.toml";

/// `config` with nothing in its environment but what is given, and this file.
fn config(home: &Home, file: &str, settings: &[(&str, &str)]) -> Told {
    let file = home.at(file);
    let args = ["config", "--cosmovisor-config", path(&file)];
    Told::of(bare(link(home), home, &args).envs(settings.iter().copied()))
}

/// What it says of a variable.
#[track_caller]
fn value(told: &Told, name: &str) -> String {
    let shown = told.fine_on_stderr();
    let line = shown.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("{name} is not shown:\n{shown}")).to_owned()
}

/// A file with these lines behind home and name.
fn write(home: &Home, lines: &str) {
    home.write(FILE, &format!("daemon_home = '{}'\ndaemon_name = 'noded'\n{lines}", home.path.display()));
}

#[test]
fn row_09_the_file_that_init_wrote_is_the_whole_configuration() {
    let home = Home::with_node("exit 0");
    let node = home.at("cosmovisor/genesis/bin/noded");
    let init = Told::of(cosmovisor(&home, &["init", path(&node)]).env("DAEMON_RESTART_DELAY", "1m30s"));
    init.fine();
    let written = home.read(FILE);
    assert!(written.contains("daemon_restart_delay = 90000000000\n"), "{written}");
    fs::write(home.at(FILE), written.replace("300000000\n", "450000000\n")).expect("the home can be written");
    let told = config(&home, FILE, &[]);
    assert_eq!(value(&told, "DAEMON_HOME"), path(&home.path));
    assert_eq!(value(&told, "DAEMON_NAME"), "noded");
    assert_eq!(value(&told, "DAEMON_RESTART_DELAY"), "1m30s");
    assert_eq!(value(&told, "DAEMON_POLL_INTERVAL"), "450ms");
    assert_eq!(value(&told, "COSMOVISOR_TIMEFORMAT_LOGS"), "3:04PM");
    assert_eq!(value(&told, "DAEMON_RESTART_AFTER_UPGRADE"), "true");
}

#[test]
fn row_09_other_formats_are_told_apart_by_their_extension() {
    let home = Home::with_node("exit 0");
    let shown = path(&home.path);
    home.write(
        "c.json",
        &format!(r#"{{"DAEMON_HOME":"{shown}","daemon_name":"noded","daemon_poll_interval":1000000000}}"#),
    );
    home.write("c.yaml", &format!("daemon_home: {shown}\ndaemon_name: noded\ndaemon_poll_interval: 1s\n"));
    for file in ["c.json", "c.yaml"] {
        assert_eq!(value(&config(&home, file, &[]), "DAEMON_POLL_INTERVAL"), "1s", "{file}");
    }
    home.write("c.conf", "");
    config(&home, "c.conf", &[]).refused(&["failed to read config file: Unsupported Config Type \"conf\""]);
    let missing = home.at("missing.toml");
    let missing = missing.display();
    let told = format!("config not found: at {missing} : stat {missing}: no such file or directory");
    config(&home, "missing.toml", &[]).refused(&[&told]);
    home.write("c.toml", "daemon_home");
    let told = config(&home, "c.toml", &[]);
    assert!(
        told.code == Some(1) && told.stderr.starts_with("Error: failed to read config file: While parsing"),
        "{told:?}"
    );
}

#[test]
fn row_10_the_environment_wins_over_the_file_and_is_read_less_strictly() {
    let home = Home::with_node("exit 0");
    write(&home, "unsafe_skip_backup = false\ndaemon_allow_download_binaries = true\ndaemon_poll_interval = '2s'\n");
    let settings = [("UNSAFE_SKIP_BACKUP", "1"), ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "0"), ("DAEMON_POLL_INTERVAL", "")];
    let told = config(&home, FILE, &settings);
    assert_eq!(value(&told, "UNSAFE_SKIP_BACKUP"), "true");
    assert_eq!(value(&told, "DAEMON_ALLOW_DOWNLOAD_BINARIES"), "false");
    assert_eq!(value(&told, "DAEMON_POLL_INTERVAL"), "2s", "nothing does not override");
    let bad = [("DAEMON_POLL_INTERVAL", "xx"), ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "yes")];
    config(&home, FILE, &bad).refused(&[
        "failed to unmarshal configuration: 2 error(s) decoding:",
        "",
        "* cannot parse 'daemon_allow_download_binaries' as bool: strconv.ParseBool: parsing \"yes\": invalid syntax",
        "* error decoding 'daemon_poll_interval': time: invalid duration \"xx\"",
    ]);
}

#[test]
fn row_11_what_is_not_in_the_file_is_as_documented() {
    let home = Home::with_node("exit 0");
    write(&home, "");
    let told = config(&home, FILE, &[]);
    for (name, default) in [
        ("DAEMON_RESTART_AFTER_UPGRADE", "true"),
        ("DAEMON_POLL_INTERVAL", "300ms"),
        ("DAEMON_DATA_BACKUP_DIR", path(&home.path)),
        ("COSMOVISOR_COLOR_LOGS", "true"),
        ("COSMOVISOR_TIMEFORMAT_LOGS", "3:04PM"),
        ("UNSAFE_SKIP_BACKUP", "false"),
    ] {
        assert_eq!(value(&told, name), default, "{name}");
    }
    let file = home.at(FILE);
    let told = Told::of(&mut bare(link(&home), &home, &["run", "--cosmovisor-config", path(&file)]));
    assert!(told.fine().contains("running app"), "{told:?}");
}

#[test]
fn row_12_the_environment_wins_for_what_is_not_in_the_file_too() {
    let home = Home::with_node("exit 0");
    write(&home, "");
    let settings = [("DAEMON_POLL_INTERVAL", "5s"), ("DAEMON_NAME", "other"), ("DAEMON_PREUPGRADE_MAX_RETRIES", "4")];
    let told = config(&home, FILE, &settings);
    assert_eq!(value(&told, "DAEMON_POLL_INTERVAL"), "5s");
    assert_eq!(value(&told, "DAEMON_NAME"), "other");
    assert_eq!(value(&told, "DAEMON_PREUPGRADE_MAX_RETRIES"), "4");
}
