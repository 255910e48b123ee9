//! Row 90: a home made ready.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    home::{Home, text},
    link::{Told, bare, cosmovisor, link, path},
};

const FILE: &str = "cosmovisor/config.toml";

/// A folder that is no home yet, and an executable beside it.
fn world() -> (Home, PathBuf) {
    let home = Home::empty();
    home.remove("cosmovisor");
    home.remove("data");
    let executable = home.path.with_file_name("build");
    fs::write(&executable, "#!/bin/sh\necho genesis\n").expect("the folder can be written");
    (home, executable)
}

/// Runs it to its end with this answer to whatever it asks.
fn answering(command: &mut Command, answer: &[u8]) -> Told {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(answer).expect("it reads");
    drop(input);
    let ended = child.wait_with_output().expect("its output can be read");
    Told { code: ended.status.code(), stdout: text(&ended.stdout), stderr: text(&ended.stderr) }
}

#[test]
fn row_90_a_fresh_home_gets_folders_a_link_and_a_file() {
    let (home, executable) = world();
    let mut command = cosmovisor(&home, &["init", path(&executable)]);
    Told::of(command.env("DAEMON_POLL_INTERVAL", "2s").env("COSMOVISOR_CUSTOM_PREUPGRADE", "it's")).fine();
    let place = home.path.display();
    let expected = format!(
        "daemon_home = '{place}'
daemon_name = 'noded'
daemon_allow_download_binaries = false
daemon_download_must_have_checksum = false
daemon_restart_after_upgrade = true
daemon_restart_delay = 0
daemon_shutdown_grace = 0
daemon_poll_interval = 2000000000
unsafe_skip_backup = false
daemon_data_backup_dir = '{place}'
daemon_preupgrade_max_retries = 0
daemon_grpc_address = 'localhost:9090'
cosmovisor_disable_logs = false
cosmovisor_color_logs = false
cosmovisor_timeformat_logs = 'kitchen'
cosmovisor_custom_preupgrade = \"it's\"
cosmovisor_disable_recase = false
"
    );
    assert_eq!(home.read(FILE), expected);
    assert_eq!(home.current(), "genesis");
    let mode = |path| fs::metadata(home.at(path)).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode("cosmovisor/genesis/bin/noded") & 0o111, 0o111);
    for folder in ["cosmovisor", "cosmovisor/genesis", "cosmovisor/genesis/bin"] {
        assert_eq!(mode(folder), 0o750, "{folder}");
    }
    assert_eq!(home.read("cosmovisor/genesis/bin/noded"), "#!/bin/sh\necho genesis\n");
    assert!(!home.at("data").exists());
}

#[test]
fn row_90_again_the_file_is_overwritten_only_after_a_yes() {
    let (home, executable) = world();
    let init = || cosmovisor(&home, &["init", path(&executable)]);
    Told::of(&mut init()).fine();
    let written = home.read(FILE);
    home.write(FILE, "mine");
    fs::write(&executable, "another").expect("the folder can be written");
    let question = format!("file {} already exists, do you want to overwrite it? [y/n]: ", home.at(FILE).display());
    for answer in [b"".as_slice(), b"n\n", b"yes\n", b"\n", b"\xff\n"] {
        let told = answering(&mut init(), answer);
        assert!(told.fine().contains(&question), "{told:?}");
        assert!(told.stdout.contains("INF file already exists, not overriding"), "{told:?}");
        assert_eq!(home.read(FILE), "mine", "{answer:?}");
    }
    for answer in [b"y\n".as_slice(), b"Y\n", b"y"] {
        home.write(FILE, "mine");
        assert!(answering(&mut init(), answer).fine().contains(&question));
        assert_eq!(home.read(FILE), written, "{answer:?}");
    }
    assert_eq!(home.read("cosmovisor/genesis/bin/noded"), "#!/bin/sh\necho genesis\n", "it is never overwritten");
}

#[test]
fn row_90_settings_that_cannot_be_read_are_written_as_nothing() {
    let (home, executable) = world();
    let mut command = cosmovisor(&home, &["init", path(&executable)]);
    let told = Told::of(command.env("DAEMON_POLL_INTERVAL", "xx").env("UNSAFE_SKIP_BACKUP", "perhaps"));
    assert!(told.fine().contains("WRN invalid: DAEMON_POLL_INTERVAL"), "{told:?}");
    let written = home.read(FILE);
    assert!(written.contains("\ndaemon_poll_interval = 0\n") && written.contains("\nunsafe_skip_backup = false\n"));
}

#[test]
fn row_90_a_link_that_cannot_be_made_is_named() {
    let (home, executable) = world();
    home.write("cosmovisor/watcher", "in the way");
    let told = Told::of(&mut cosmovisor(&home, &["init", path(&executable)]));
    let words = format!("Error: cannot link {}: ", home.at("cosmovisor/current").display());
    assert!(told.code == Some(1) && told.stderr.starts_with(&words), "{told:?}");
}

#[test]
fn row_90_what_is_missing_is_told_before_anything_is_made() {
    let (home, executable) = world();
    let init = |args: &[&str], settings: &[(&str, &str)]| {
        let mut command = bare(link(&home), &home, &[&["init"], args].concat());
        Told::of(command.envs(settings.iter().copied()))
    };
    let build = path(&executable);
    init(&[build], &[]).refused(&["DAEMON_NAME is not set", "DAEMON_HOME is not set"]);
    let relative = [("DAEMON_HOME", "here"), ("DAEMON_NAME", "noded")];
    init(&[build], &relative).refused(&["DAEMON_HOME must be an absolute path"]);
    init(&[""], &relative).refused(&["no <path to executable> provided"]);
    init(&["nowhere"], &relative).refused(&["executable file not found: stat nowhere: no such file or directory"]);
    init(&[path(&home.path)], &relative).refused(&["invalid path to executable: must not be a directory"]);
    assert!(!home.at("cosmovisor").exists() && !home.path.with_file_name("here").exists());
}
