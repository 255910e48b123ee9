//! Rows 88 and 89: what `version`, `config` and `show-upgrade-info` print, and where.

use serde_json::{Value, json};

use crate::{
    home::Home,
    link::{Told, bare, cosmovisor, link},
};

/// A node that tells its version, also as JSON.
const VERSIONED: &str = "case \"$*\" in\n\
                         'version --long --output json') echo '{\"name\":\"noded\",\"version\":\"1.2.3\"}' ;;\n\
                         version*) echo \"noded 1.2.3 of $*\" ;;\nesac\n";

fn own() -> String {
    format!("cosmovisor version: v1.7.1 (watcher v{})\n", env!("CARGO_PKG_VERSION"))
}

#[test]
fn row_88_both_versions_are_told() {
    let home = Home::with_node(VERSIONED);
    let told = Told::of(&mut cosmovisor(&home, &["version"]));
    assert_eq!((told.fine(), &told.stderr), ("noded 1.2.3 of version\n", &own()));
    let told = Told::of(&mut cosmovisor(&home, &["version", "more"]));
    assert_eq!(told.fine(), "noded 1.2.3 of version more\n");
    let told = Told::of(&mut bare(link(&home), &home, &["version", "--cosmovisor-only"]));
    assert_eq!(told.fine_on_stderr(), own());
}

#[test]
fn row_88_json_is_json_with_logs_on_and_off_and_from_either_stream() {
    let home = Home::with_node(VERSIONED);
    let said = json!({
        "cosmovisor_version": "v1.7.1",
        "app_version": { "name": "noded", "version": "1.2.3" },
        "watcher_version": format!("v{}", env!("CARGO_PKG_VERSION")),
    });
    let expect = |off: &str| {
        let told = Told::of(cosmovisor(&home, &["version", "-o", "json"]).env("COSMOVISOR_DISABLE_LOGS", off));
        assert_eq!(serde_json::from_str::<Value>(told.fine_on_stderr()).expect("it is JSON"), said);
    };
    expect("true");
    expect("false");
    home.script("cosmovisor/genesis/bin/noded", &VERSIONED.replace("}' ;;", "}' >&2 ;;"));
    expect("false");
    home.script("cosmovisor/genesis/bin/noded", "echo not json");
    let words = "can't print version output, expected valid json from APP, got: not json";
    Told::of(&mut cosmovisor(&home, &["version", "--output=json"])).refused(&[words]);
}

#[test]
fn row_88_a_version_that_cannot_be_told_is_an_error() {
    let home = Home::with_node("exit 3");
    let told = Told::of(&mut cosmovisor(&home, &["version"]));
    assert_eq!((told.code, told.stderr), (Some(1), own() + "Error: exit status 3\n"));
    let told = Told::of(&mut bare(link(&home), &home, &["version"]));
    assert!(told.code == Some(1) && told.stderr.contains("DAEMON_NAME is not set"), "{told:?}");
}

#[test]
fn row_89_the_configuration_is_shown_on_stderr() {
    let home = Home::with_node("exit 0");
    let told = Told::of(cosmovisor(&home, &["config"]).env("DAEMON_SHUTDOWN_GRACE", "90s"));
    let place = home.path.display();
    let expected = format!(
        "Configurable Values:
  DAEMON_HOME: {place}
  DAEMON_NAME: noded
  DAEMON_ALLOW_DOWNLOAD_BINARIES: false
  DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM: false
  DAEMON_RESTART_AFTER_UPGRADE: true
  DAEMON_RESTART_DELAY: 0s
  DAEMON_SHUTDOWN_GRACE: 1m30s
  DAEMON_POLL_INTERVAL: 300ms
  UNSAFE_SKIP_BACKUP: false
  DAEMON_DATA_BACKUP_DIR: {place}
  DAEMON_PREUPGRADE_MAX_RETRIES: 0
  COSMOVISOR_DISABLE_LOGS: false
  COSMOVISOR_COLOR_LOGS: false
  COSMOVISOR_TIMEFORMAT_LOGS: 3:04PM
  COSMOVISOR_CUSTOM_PREUPGRADE: \n  COSMOVISOR_DISABLE_RECASE: false
Derived Values:
         Root Dir: {place}/cosmovisor
      Upgrade Dir: {place}/cosmovisor/upgrades
      Genesis Bin: {place}/cosmovisor/genesis/bin/noded
   Monitored File: {place}/data/upgrade-info.json
  Data Backup Dir: {place}
"
    );
    assert_eq!(told.fine_on_stderr(), expected);
    let told = Told::of(&mut bare(link(&home), &home, &["config"]));
    told.refused(&["DAEMON_NAME is not set", "DAEMON_HOME is not set", "DAEMON_DATA_BACKUP_DIR must not be empty"]);
}

#[test]
fn row_89_upgrade_info_is_shown_as_it_is() {
    let home = Home::with_node("exit 0");
    let info = home.at("data/upgrade-info.json");
    let show = || Told::of(&mut cosmovisor(&home, &["show-upgrade-info"]));
    assert_eq!(show().fine_on_stderr(), format!("No upgrade info found at {}\n", info.display()));
    home.write("data/upgrade-info.json", "{ half");
    assert_eq!(show().fine_on_stderr(), "{ half\n");
    home.remove("data/upgrade-info.json");
    home.write("data/upgrade-info.json/x", "");
    let told = show();
    let words = format!("Error: failed to read upgrade-info.json: open {}: is a directory\nUsage: ", info.display());
    assert!(told.code == Some(1) && told.stderr.starts_with(&words), "{told:?}");
}
