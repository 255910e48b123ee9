//! `watcher migrate-check`: what an operator of cosmovisor is told before he moves over. Each home is
//! `fixtures/homes/taken-over`, a home after its first upgrade, with something done to it.

#[path = "support/wait.rs"]
mod wait;

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use serde_json::Value;

/// A home, its unit file in it, and what was told about it.
struct Home {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Home {
    fn taken_over() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let path = folder.path().canonicalize().expect("it was just made").join("home");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/homes/taken-over");
        assert!(Command::new("cp").arg("-a").args([&fixture, &path]).status().expect("cp is there").success());
        let home = Self { path, _folder: folder };
        let unit = fs::read_to_string(home.at("noded.service")).expect("the fixture has one");
        home.write("noded.service", &unit.replace("HOME\"", &format!("{}\"", home.path.display())));
        home
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("it lies in the home")).expect("the home can be written");
        fs::write(path, content).expect("the home can be written");
    }

    /// A line more in the unit's `[Service]`.
    fn service(&self, line: &str) {
        self.write("noded.service.d/more.conf", &format!("[Service]\n{line}\n"));
    }

    /// By the environment, with these variables beside the two that must be.
    fn check(&self, variables: &[(&str, &str)], args: &[&str]) -> Output {
        let mut command = watcher(args);
        command.env("DAEMON_HOME", &self.path).env("DAEMON_NAME", "noded").envs(variables.iter().copied());
        self.untouched_by(command)
    }

    /// By the unit and, where it is there, its drop-in.
    fn check_unit(&self, args: &[&str]) -> Output {
        let mut command = watcher(args);
        for file in ["noded.service", "noded.service.d/more.conf"].iter().filter(|file| self.at(file).exists()) {
            command.arg("--unit").arg(self.at(file));
        }
        self.untouched_by(command)
    }

    fn untouched_by(&self, mut command: Command) -> Output {
        let before = everything_in(&self.path);
        let output = command.output().expect("watcher can be started");
        assert_eq!(everything_in(&self.path), before, "nothing is touched");
        output
    }
}

fn watcher(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
    command.arg("migrate-check").args(args).env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
    command
}

/// Each file, link and folder with its size and the time of its last change.
fn everything_in(folder: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("it can be listed").flatten() {
        let metadata = entry.metadata().expect("it is there");
        found.push((entry.path(), metadata.len(), metadata.modified().expect("a time")));
        if metadata.is_dir() {
            found.extend(everything_in(&entry.path()));
        }
    }
    found.sort();
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("watcher writes UTF-8")
}

/// Whether this was found, weighs this much, and says this; and whether the exit code is that of the weightiest.
fn expect(output: &Output, severity: &str, check: &str, says: &str) {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let findings = report["findings"].as_array().expect("a list");
    let errors = findings.iter().any(|finding| finding["severity"] == "error");
    let (verdict, code) = if errors { ("not_ready", 2) } else { ("ready", 0) };
    assert_eq!((report["verdict"].as_str(), output.status.code()), (Some(verdict), Some(code)));
    let found = findings.iter().find(|finding| finding["check"] == check && finding.to_string().contains(says));
    let found = found.unwrap_or_else(|| panic!("no {check} that says {says:?} among {findings:#?}"));
    assert_eq!(found["severity"], severity, "{found}");
}

macro_rules! assert_told {
    ($output:expr) => {
        insta::with_settings!({
            filters => vec![(r"/\S*/\.tmp\w+", "[folder]"), (r"linux/\w+", "[os/arch]"), (r" {2,}(/|\S*\[folder\])", "  $1")],
            omit_expression => true,
        }, { insta::assert_snapshot!(text(&$output.stdout)) })
    };
}

#[test]
fn a_home_in_order_is_told_with_the_way_over_and_back() {
    let home = Home::taken_over();
    let output = home.check_unit(&[]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    assert_told!(output);
}

#[test]
fn what_is_in_the_way_comes_first_and_everything_has_its_remedy() {
    let home = Home::taken_over();
    fs::remove_file(home.at("cosmovisor/current")).expect("the home can be written");
    symlink("upgrades/gone", home.at("cosmovisor/current")).expect("the home can be written");
    home.write("cosmovisor/upgrades/Next Upgrade/bin/noded", "<html>not found</html>");
    home.write("cosmovisor/upgrades/v4/README", "");
    home.write("data/upgrade-info.json.batch", r#"[{"name":"v4","height":40},{"name":"v5","height":50}]"#);
    home.write("data/upgrade-info.json.v4", "{}");
    home.service("Environment=DAEMON_LOG_BUFFER_SIZE=512 DAEMON_RESTART_AFTER_UPGRADES=true\nKillMode=process\nRestart=\n\
                  TimeoutStopSec=10\nExecStart=\nExecStart=/usr/bin/cosmovisor run start --home /elsewhere --moniker \"it's %H\"");
    let output = home.check_unit(&[]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(2), ""));
    assert_told!(output);
}

#[test]
fn everything_about_the_environment_is_found() {
    let home = Home::taken_over();
    let here = home.path.to_str().expect("it is text");
    home.write("in-the-way", "");
    for (variables, severity, check, says) in [
        (&[("DAEMON_POLL_INTERVAL", "300")][..], "error", "setting-invalid", "missing unit in duration"),
        (&[("DAEMON_DATA_BACKUP_DIR", "/no/such")], "error", "setting-invalid", "must be a valid directory"),
        (&[("DAEMON_BACKUP_DIR", "/b")], "warning", "variable-deprecated", "DAEMON_DATA_BACKUP_DIR"),
        (&[("DAEMON_RPC_ADDRESS", "x")], "warning", "variable-deprecated", "WATCHER_RPC"),
        (&[("DAEMON_HOEM", "x")], "warning", "variable-unknown", "DAEMON_HOME may be meant"),
        (&[("COSMOVISOR_UNHEARD_OF", "x")], "warning", "variable-unknown", "remove it"),
        (&[("UNSAFE_SKIP_BACKUP", "true")], "note", "backup-off", "UNSAFE_SKIP_BACKUP"),
        (&[], "note", "backup", here),
        (&[("DAEMON_DATA_BACKUP_DIR", &format!("{here}/data"))], "error", "backup-impossible", "inside"),
        (&[("WATCHER_BACKUP_PATHS", "data,no/such")], "error", "backup-impossible", "no/such, which is not there"),
        (&[("WATCHER_BACKUP_PATHS", "/no/such")], "error", "backup-impossible", "take it out"),
        (&[("COSMOVISOR_CUSTOM_PREUPGRADE", "gone.sh")], "error", "hook-missing", "cosmovisor/gone.sh"),
        // What is wrong with a setting does not hide the rest.
        (&[("DAEMON_POLL_INTERVAL", "300")], "note", "info-settled", "marker"),
        (&[("DAEMON_NAME", "other")], "error", "current-dangling", "bin/other"),
    ] {
        expect(&home.check(variables, &["--format", "json"]), severity, check, says);
    }
    let output = home.check(&[("DAEMON_POLL_INTERVAL", "1s")], &["--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let variable = |name: &str| {
        let variables = report["variables"].as_array().expect("a list");
        let found = variables.iter().find(|variable| variable["name"] == name).expect("every variable is there");
        [found["value"].clone(), found["origin"].clone()]
    };
    assert_eq!(variable("DAEMON_POLL_INTERVAL"), ["1s", "environment"]);
    assert_eq!(variable("DAEMON_RESTART_AFTER_UPGRADE"), ["true", "default"]);
}

#[test]
fn everything_about_the_folders_is_found() {
    const PUT: &str = r#"put() { mkdir -p "$(dirname "$1")" && printf "$2" > "$1"; }; cd cosmovisor"#;
    for (deed, severity, check, says) in [
        ("ln -sfn upgrades/gone current", "error", "current-dangling", "upgrades/gone"),
        ("rm current; put current/bin/noded x", "error", "current-folder", "not a link"),
        ("rm current", "error", "current-absent", "ln -s upgrades/v2"),
        ("rm -r current upgrades", "note", "current-absent", "links it to genesis"),
        ("rm -r current upgrades genesis", "error", "genesis-missing", "genesis/bin/noded"),
        ("ln -sfn \"$PWD/upgrades/v2\" current", "note", "current-absolute", "upgrades/v2"),
        ("mv genesis ../there; ln -sfn ../there current", "warning", "current-elsewhere", "../there"),
        (r"put upgrades/v2/bin/noded '\177ELF\1\1\1'", "error", "binary-unfit", "a 32-bit ELF"),
        (r"put upgrades/v3/bin/noded '\177ELF\1\1\1'", "warning", "binary-unfit", "upgrades/v3"),
        ("chmod 644 upgrades/v3/bin/noded", "note", "binary-not-executable", "upgrades/v3"),
        ("rm upgrades/v3/bin/noded", "warning", "binary-missing", "upgrades/v3"),
        ("", "note", "staged-own", "upgrades/v2, upgrades/v3"),
        ("", "note", "binary-script", "upgrades/v2"),
        ("put upgrades/V4/bin/noded '#!/bin/sh'", "warning", "folder-unmatched", "upgrades/v4`"),
        ("put upgrades/V3/bin/noded '#!/bin/sh'", "warning", "folder-unmatched", "the wrong one"),
        ("put upgrades/v3/watcher.toml 'x = 1'", "error", "version-not-understood", "line 1"),
        ("put watcher/restore.json '{'", "error", "restore-interrupted", "`watcher backups restore`"),
        ("put watcher/record.json {}", "note", "worked-before", "watcher"),
        ("rm -r ../data; put ../data x", "error", "data-missing", "not a directory"),
        ("put ../data/upgrade-info.json.v9 {}", "note", "batch-leftover", "upgrade-info.json.v9"),
        ("put ../data/upgrade-info.json.batch '[{'", "warning", "batch-unreadable", ".batch"),
        ("put ../data/upgrade-info.json.batch '[]'", "note", "batch-queue", "is empty"),
    ] {
        let home = Home::taken_over();
        let mut shell = Command::new("/bin/sh");
        let done = shell.current_dir(&home.path).args(["-ec", &format!("{PUT}\n{deed}")]).status();
        assert!(done.expect("there is a shell").success(), "{deed}");
        expect(&home.check(&[], &["--format", "json"]), severity, check, says);
    }
}

#[test]
fn a_plan_in_the_data_is_told_by_what_would_become_of_it() {
    let plan = |name: &str, height: u64| format!(r#"{{"name":"{name}","height":{height}}}"#);
    for (content, signed, mode, severity, check, says) in [
        (plan("v2", 10), 14, 0o600, "note", "info-settled", "its marker"),
        (plan("V2", 10), 9, 0o600, "note", "info-settled", "its marker"),
        (plan("v3", 20), 20, 0o600, "warning", "info-pending", "the start carries the upgrade out"),
        (plan("v4", 20), 20, 0o600, "warning", "info-pending", "place the binary in upgrades/v4/bin"),
        (plan("v3", 20), 22, 0o600, "note", "info-settled", "signed beyond it"),
        (plan("v1", 5), 4, 0o600, "note", "info-settled", "of a later height"),
        (plan("v3", 20), 14, 0o755, "note", "info-operator", "add-upgrade wrote it"),
        (r#"{"name":"v3","hei"#.to_owned(), 14, 0o600, "warning", "info-unreadable", "half written"),
        (plan("v3", 0), 14, 0o600, "warning", "info-unreadable", "greater than 0"),
    ] {
        let home = Home::taken_over();
        home.write("data/upgrade-info.json", &content);
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(home.at("data/upgrade-info.json"), permissions).expect("the home can be written");
        home.write("data/priv_validator_state.json", &format!(r#"{{"height":"{signed}","round":0,"step":3}}"#));
        expect(&home.check(&[], &["--format", "json"]), severity, check, says);
    }
}

#[test]
fn everything_about_the_unit_is_found() {
    for (line, severity, check, says) in [
        ("KillMode=none", "warning", "kill-mode", "KillMode=mixed"),
        ("Restart=no", "warning", "restart-missing", "Restart=always"),
        (
            "Environment=DAEMON_RESTART_AFTER_UPGRADE=false\nRestart=on-failure",
            "note",
            "restart-after-upgrade",
            "on-failure",
        ),
        ("TimeoutStopSec=5s", "warning", "stop-limit", "TimeoutStopSec=60 or more"),
        ("TimeoutStopSec=\nEnvironment=DAEMON_SHUTDOWN_GRACE=5m", "note", "stop-limit", "is not set and is 90 s"),
        ("ExecStart=", "error", "exec-start", "no ExecStart="),
        ("ExecStart=\nExecStart=/bin/cosmovisor start", "error", "exec-start", "write `run`"),
        ("ExecStart=\nExecStart=/opt/start.sh", "error", "exec-start", "/opt/start.sh"),
        ("ExecStart=\nExecStart=/usr/bin/env bash -c \"cosmovisor run start\"", "error", "exec-start", "/usr/bin/env"),
        ("ExecStart=\nExecStart=cosmovisor run start --home=/x", "error", "home-differs", "--home is /x"),
        ("ExecStart=\nExecStart=cosmovisor run start --unsafe-skip-upgrades=7", "note", "skip-heights", "[7]"),
        ("User=no such user", "warning", "user-unknown", "/etc/passwd"),
        ("User=nobody", "error", "not-writable", "the user nobody cannot write to"),
        ("EnvironmentFile=/no/such", "warning", "unit-not-followed", "more.conf:2: EnvironmentFile=/no/such"),
        ("Environment=A=%h", "warning", "unit-not-followed", "%h"),
        ("ExecStart=\nExecStart=cosmovisor run --cosmovisor-config /no/such", "error", "config-unreadable", "/no/such"),
    ] {
        let home = Home::taken_over();
        home.service(line);
        expect(&home.check_unit(&["--format", "json"]), severity, check, says);
    }
}

/// The first word was replaced, whatever it was, and with `sh -c '…'` the restart took the validator down.
#[test]
fn the_commands_put_watcher_in_the_place_of_cosmovisor_alone() {
    for (start, code, told) in [
        (
            "/usr/bin/nice -n 5 /bin/cosmovisor run start",
            0,
            "ExecStart=/usr/bin/nice -n 5 /usr/local/bin/watcher run start",
        ),
        (
            "/bin/sh -c 'exec cosmovisor run start'",
            2,
            "put `/usr/local/bin/watcher run` where `cosmovisor run` is started",
        ),
    ] {
        let home = Home::taken_over();
        home.service(&format!("ExecStart=\nExecStart={start}"));
        let output = home.check_unit(&[]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let stdout = text(&output.stdout);
        assert!(stdout.contains(told) && stdout.contains("systemctl") == (code == 0), "{stdout}");
    }
}

#[test]
fn a_config_file_and_a_file_of_variables_are_followed() {
    let home = Home::taken_over();
    let at = |path: &str| home.at(path).to_str().expect("it is text").to_owned();
    home.write("env", "DAEMON_SHUTDOWN_GRACE='45s'\n");
    let config = "daemon_shutdown_grace = 1\ndaemon_poll_interval = 500000000\ndaemon_restart_delay = 0\nunsafe_skip_backup = true\n";
    home.write("config.toml", config);
    home.service(&format!(
        "EnvironmentFile={}\nExecStart=\nExecStart=cosmovisor run --Cosmovisor-Config {} start",
        at("env"),
        at("config.toml")
    ));
    let output = home.check_unit(&["--format", "json"]);
    expect(&output, "note", "backup-off", "");
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let variables = report["variables"].as_array().expect("a list").iter();
    let set = variables.filter(|variable| variable["origin"] != "default").skip(2);
    let set: Vec<String> =
        set.map(|it| format!("{}={} {}", it["name"], it["value"], it["origin"]).replace('"', "")).collect();
    assert!(set.contains(&format!("DAEMON_SHUTDOWN_GRACE=45s {}:1", at("env"))), "{set:?}");
    assert!(set.contains(&format!("DAEMON_POLL_INTERVAL=500000000ns {}", at("config.toml"))), "{set:?}");
    assert!(!set.iter().any(|it| it.starts_with("DAEMON_RESTART_DELAY")), "{set:?}");
}

/// What `run` takes with a file was called wrong, and JSON could not be read.
#[test]
fn a_config_file_counts_as_it_does_for_run() {
    let home = Home::taken_over();
    home.write("config.json", r#"{"watcher_download_jitter": 600000000000, "unsafe_skip_backup": false}"#);
    let config = home.at("config.json");
    let environment = "Environment=UNSAFE_SKIP_BACKUP=1 DAEMON_RESTART_DELAY=0s";
    home.service(&format!(
        "{environment}\nExecStart=\nExecStart=cosmovisor run --cosmovisor-config {} start",
        config.display()
    ));
    let output = home.check_unit(&["--format", "json"]);
    expect(&output, "note", "backup-off", "");
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(report["verdict"], "ready", "{report:#}");
    let told = report["variables"].to_string();
    assert!(told.contains("600000000000ns"), "{told}");
}

#[test]
fn what_runs_on_the_home_already_is_told() {
    let home = Home::taken_over();
    let node = home.at("cosmovisor/upgrades/v2/bin/noded");
    fs::write(&node, "#!/bin/sh\nread line\n").expect("the home can be written");
    let mut running = Command::new(&node);
    let mut running =
        running.current_dir(home.at("cosmovisor")).stdin(std::process::Stdio::piped()).spawn().expect("it starts");
    let says = format!("noded runs on this home (pid {})", running.id());
    let executed =
        || fs::read(format!("/proc/{}/cmdline", running.id())).ok().filter(|line| line.starts_with(b"/bin/sh"));
    wait::until("the node is executed", Duration::from_secs(30), executed);
    expect(&home.check(&[], &["--format", "json"]), "note", "running", &says);
    drop(running.stdin.take());
    running.wait().expect("it ends with its input");
    assert!(!text(&home.check(&[], &[]).stdout).contains("running:"));
}

#[test]
fn what_cannot_be_looked_at_is_a_matter_of_usage() {
    let cases: [(&[&str], &str); 3] = [
        (&[], "DAEMON_HOME is not set"),
        (&["--unit", "/no/such.service"], "/no/such.service"),
        (&["--format", "xml"], "xml"),
    ];
    for (args, says) in cases {
        let output = watcher(args).env("DAEMON_NAME", OsStr::new("noded")).output().expect("watcher can be started");
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(64), ""));
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
}
