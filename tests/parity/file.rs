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
fn row_09_every_value_of_a_file_is_loaded() {
    let home = Home::with_node("exit 0");
    home.write("cosmovisor/backups/x", "");
    let (place, backups) = (home.path.display(), home.at("cosmovisor/backups"));
    let backups = backups.display();
    home.write(
        FILE,
        &format!(
            "daemon_home = '{place}'
daemon_name = 'other'
daemon_allow_download_binaries = true
daemon_download_must_have_checksum = true
daemon_restart_after_upgrade = false
daemon_restart_delay = 1000000000
daemon_shutdown_grace = 2000000000
daemon_poll_interval = 3000000000
unsafe_skip_backup = true
daemon_data_backup_dir = '{backups}'
daemon_preupgrade_max_retries = 4
daemon_grpc_address = 'h:1'
cosmovisor_disable_logs = true
cosmovisor_color_logs = false
cosmovisor_timeformat_logs = 'rfc3339'
cosmovisor_custom_preupgrade = 'script'
cosmovisor_disable_recase = true
"
        ),
    );
    let expected = format!(
        "Configurable Values:
  DAEMON_HOME: {place}
  DAEMON_NAME: other
  DAEMON_ALLOW_DOWNLOAD_BINARIES: true
  DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM: true
  DAEMON_RESTART_AFTER_UPGRADE: false
  DAEMON_RESTART_DELAY: 1s
  DAEMON_SHUTDOWN_GRACE: 2s
  DAEMON_POLL_INTERVAL: 3s
  UNSAFE_SKIP_BACKUP: true
  DAEMON_DATA_BACKUP_DIR: {backups}
  DAEMON_PREUPGRADE_MAX_RETRIES: 4
  COSMOVISOR_DISABLE_LOGS: true
  COSMOVISOR_COLOR_LOGS: false
  COSMOVISOR_TIMEFORMAT_LOGS: 2006-01-02T15:04:05Z07:00
  COSMOVISOR_CUSTOM_PREUPGRADE: script
  COSMOVISOR_DISABLE_RECASE: true
Derived Values:
"
    );
    let told = config(&home, FILE, &[]);
    assert!(told.fine_on_stderr().starts_with(&expected), "{told:?}");
}

#[test]
fn row_09_what_cannot_be_meant_is_refused() {
    let home = Home::with_node("exit 0");
    let key = "daemon_name = 'other'\n";
    for (file, content, told) in [
        ("c.toml", key.repeat(2), "duplicate key"),
        ("c.toml", key.to_owned() + &key.to_uppercase(), "daemon_name stands there twice"),
        ("c.yaml", "daemon_name: a\ndaemon_name: b\n".to_owned(), "line 2: daemon_name stands here a second time"),
        ("c.toml", "daemon_home = ['/x']\n".to_owned(), "'daemon_home' cannot be [\"/x\"]"),
        ("c.toml", "daemon_poll_interval = 1.5\n".to_owned(), "'daemon_poll_interval' cannot be 1.5"),
        ("c.toml", "daemon_poll_interval = -1\n".to_owned(), "'daemon_poll_interval' cannot be -1"),
        ("c.json", "[]".to_owned(), "expected a map"),
    ] {
        home.write(file, &content);
        let refused = config(&home, file, &[]);
        assert!(refused.code == Some(1) && refused.stderr.contains(told), "{told}: {refused:?}");
    }
    // This one is looked at with what follows, as in the environment.
    home.write("c.toml", "cosmovisor_timeformat_logs = 'foo'\nunsafe_skip_backup = true\ndaemon_home = '/'\n");
    let told = config(&home, "c.toml", &[]).stderr;
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines.len() == 3 && lines[0].ends_with("got \"foo\"") && lines[1] == "DAEMON_NAME is not set", "{told}");
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
fn row_12_the_environment_wins_for_each_key_in_the_file_or_not() {
    let home = Home::with_node("exit 0");
    let place = path(&home.path);
    // Each with a value in the environment that is neither the file's nor the default.
    let settings = [
        ("DAEMON_NAME", "other"),
        ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true"),
        ("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", "true"),
        ("DAEMON_RESTART_AFTER_UPGRADE", "false"),
        ("DAEMON_RESTART_DELAY", "1s"),
        ("DAEMON_SHUTDOWN_GRACE", "2s"),
        ("DAEMON_POLL_INTERVAL", "5s"),
        ("UNSAFE_SKIP_BACKUP", "true"),
        ("DAEMON_DATA_BACKUP_DIR", "/"),
        ("DAEMON_PREUPGRADE_MAX_RETRIES", "4"),
        ("COSMOVISOR_DISABLE_LOGS", "true"),
        ("COSMOVISOR_COLOR_LOGS", "false"),
        ("COSMOVISOR_TIMEFORMAT_LOGS", "layout"),
        ("COSMOVISOR_CUSTOM_PREUPGRADE", "script"),
        ("COSMOVISOR_DISABLE_RECASE", "true"),
    ];
    let init = Told::of(&mut cosmovisor(&home, &["init", path(&home.at("cosmovisor/genesis/bin/noded"))]));
    init.fine();
    let whole = home.read(FILE).replace(place, "/nowhere");
    for file in [whole.as_str(), ""] {
        home.write(FILE, file);
        let told = config(&home, FILE, &[&[("DAEMON_HOME", place)], settings.as_slice()].concat());
        assert_eq!(value(&told, "DAEMON_HOME"), place);
        for (name, set) in settings {
            let shown = if set == "layout" { "01/02 03:04:05PM '06 -0700" } else { set };
            assert_eq!(value(&told, name), shown, "{name} over {file:?}");
        }
    }
}
