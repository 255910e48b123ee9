//! The home that is to go through the upgrade.

use std::{fs, path::Path};

use watcher::decide::plan::{Artifact, Plan};

use crate::{
    file_host::CERTIFICATE,
    release::{Release, expect, findings, report},
    world::{HEIGHT, Told, World, passed, watcher},
};

const FAR: u64 = HEIGHT + 14_400;

/// A home beside a chain on which this plan is scheduled; and what `check` says of it.
struct Home {
    world: World,
    plan: Plan,
}

impl Home {
    fn with(plan: Plan) -> Self {
        let world = World::with(vec![passed(plan.clone())]);
        world.place_binary("genesis");
        std::os::unix::fs::symlink("genesis", world.home.join("cosmovisor/current")).expect("the home can be written");
        Self { world, plan }
    }

    fn check(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Told {
        let home = self.world.home.to_str().expect("a plain path");
        let own = [("DAEMON_HOME", home), ("DAEMON_NAME", "noded"), ("SSL_CERT_FILE", CERTIFICATE)];
        watcher(&[&["check", "--format", "json"], arguments].concat(), &[&own, variables].concat())
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.world.home.join(path);
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("the home can be written");
        fs::write(path, text).expect("the home can be written");
    }

    /// Adds to the node's configuration: a section behind what is there, a key before it.
    fn configure(&self, text: &str) {
        let path = self.world.home.join("config/config.toml");
        let old = fs::read_to_string(&path).expect("it is there");
        let new = if text.starts_with('[') { format!("{old}\n{text}\n") } else { format!("{text}\n{old}") };
        fs::write(path, new).expect("the home can be written");
    }
}

/// What this machine can run: a script.
fn script() -> Release {
    Release::of(&[("/script", b"#!/bin/sh\nexit 0\n".to_vec())])
}

fn scheduled(release: &Release) -> Plan {
    let info = crate::release::info(&[("any", &release.pinned("/script"))]);
    Plan { name: "v2".into(), height: FAR, info }
}

const ON: (&str, &str) = ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true");

#[test]
fn a_home_in_order_is_ready_and_is_left_as_it_is() {
    let release = script();
    let home = Home::with(scheduled(&release));
    let before = everything_in(&home.world.home);
    let told = home.check(&[ON], &[]);
    assert_eq!(report(&told)["findings"], serde_json::json!([]), "{told:?}");
    assert_eq!(everything_in(&home.world.home), before);
}

#[test]
fn what_is_staged_and_is_not_the_plans_is_told() {
    let release = script();
    let home = Home::with(scheduled(&release));
    expect(&home.check(&[], &["--offline"]), "warning", "staged-missing", "DAEMON_ALLOW_DOWNLOAD_BINARIES");
    let file = home.world.home.with_extension("toml");
    fs::write(&file, "daemon_allow_download_binaries = true\n").expect("it can be written");
    let file = file.to_str().expect("it is text");
    let told = home.check(&[], &["--offline", "--cosmovisor-config", file]);
    assert!(!report(&told)["findings"].to_string().contains("DAEMON_ALLOW_DOWNLOAD_BINARIES"), "{told:?}");
    // The operator's own: used as it is.
    let place = home.world.place_binary("upgrades/v2");
    for arguments in [&[][..], &["--offline"]] {
        expect(&home.check(&[ON], arguments), "warning", "staged-differs", "your own");
    }
    fs::write(&place, b"#!/bin/sh\nexit 0\n").expect("the home can be written");
    assert_eq!(report(&home.check(&[ON], &[]))["findings"], serde_json::json!([]));
    fs::write(&place, b"<html>").expect("the home can be written");
    expect(&home.check(&[ON], &["--offline"]), "error", "staged-unfit", "HTML");
    // Fetched for something else.
    let url = "https://user:secret@releases.example.org/old?token=secret".to_owned();
    home.world.place_with_receipt(&home.plan, Artifact { os_arch: "any".into(), url, checksum: None });
    let told = home.check(&[ON], &["--offline"]);
    expect(&told, "warning", "staged-differs", "releases.example.org/old");
    assert!(!told.stdout.contains("secret"), "{told:?}");
    let url = release.url("/script");
    let checksum = home.plan.info.rsplit_once("checksum=").map(|(_, rest)| rest.trim_end_matches("\"}}").to_owned());
    home.world.place_with_receipt(&home.plan, Artifact { os_arch: "any".into(), url, checksum });
    expect(&home.check(&[ON], &["--offline"]), "warning", "staged-differs", "not the file that was verified");
}

#[test]
fn libraries_are_looked_for_on_the_host_of_the_home() {
    let program = crate::elf::program(host_machine(), host_loader(), &["libc.so.6", "libwasmvm.so"], "");
    let release = Release::of(&[("/script", program.clone())]);
    let home = Home::with(scheduled(&release));
    expect(&home.check(&[ON], &[]), "error", "library-missing", "libwasmvm.so");
    home.write("cosmovisor/upgrades/v2/lib/libwasmvm.so", "library");
    assert_eq!(report(&home.check(&[ON], &[]))["findings"], serde_json::json!([]));
    // The same holds for the operator's own binary, which makes what the plan names unimportant.
    let place = home.world.place_binary("upgrades/v2");
    fs::write(&place, &program).expect("the home can be written");
    assert_eq!(report(&home.check(&[ON], &[]))["findings"], serde_json::json!([]));
    fs::remove_dir_all(home.world.home.join("cosmovisor/upgrades/v2/lib")).expect("the home can be written");
    expect(&home.check(&[ON], &["--offline"]), "error", "library-missing", "libwasmvm.so");
}

#[test]
fn too_little_room_is_told_before_the_binary_is_fetched() {
    let home = Home::with(scheduled(&script()));
    let current = home.world.home.join("cosmovisor/genesis/bin/noded");
    // It takes no room, and says that such binaries take more than there is.
    let size = 8 << 40;
    fs::File::options().write(true).open(current).and_then(|file| file.set_len(size)).expect("a sparse file");
    for told in ["needs 17592186044416", "268435456 stay free for the node"] {
        expect(&home.check(&[ON], &["--offline"]), "error", "disk-space", told);
    }
}

#[test]
fn an_operator_who_placed_the_binary_needs_none_in_the_plan() {
    let home = Home::with(Plan { name: "v2".into(), height: FAR, info: "see the forum".into() });
    expect(&home.check(&[], &[]), "error", "info-not-json", "not JSON");
    home.world.place_binary("upgrades/v2");
    let told = home.check(&[("WATCHER_RPC", &home.world.network.rpc.url())], &[]);
    assert_eq!((told.code, findings(&report(&told))[0]["severity"].as_str()), (Some(0), Some("note")), "{told:?}");
}

#[test]
fn what_keeps_a_validator_from_coming_back_is_told() {
    let release = script();
    let window = "[consensus]\ndouble_sign_check_height = 10";
    let signer = "priv_validator_laddr = \"tcp://0.0.0.0:26659\"";
    for (text, signed, severity, check, says) in [
        (window, "119", "error", "double-sign-check", "is 10 in config"),
        (signer, "0", "warning", "remote-signer", "tcp://0.0.0.0:26659"),
    ] {
        let home = Home::with(scheduled(&release));
        home.configure(text);
        home.write("data/priv_validator_state.json", &format!(r#"{{"height":"{signed}","round":0,"step":3}}"#));
        expect(&home.check(&[ON], &["--offline"]), severity, check, says);
    }
    // A node that never signed has nothing to be afraid of.
    let home = Home::with(scheduled(&release));
    home.configure(window);
    home.write("data/priv_validator_state.json", r#"{"height":"0","round":0,"step":0}"#);
    assert_eq!(home.check(&[ON], &["--offline"]).code, Some(0));
    // The environment wins over the file.
    let told = home.check(&[ON, ("NODED_PRIV_VALIDATOR_LADDR", "unix:///run/signer.sock")], &["--offline"]);
    assert_eq!(findings(&report(&told)).len(), 2, "{told:?}");
}

#[test]
fn variables_with_which_run_would_not_start_and_backups_without_a_place_are_told() {
    let release = script();
    let home = Home::with(scheduled(&release));
    let told = home.check(&[ON, ("DAEMON_POLL_INTERVAL", "300")], &["--offline"]);
    expect(&told, "error", "setting-invalid", "missing unit");
    let inside = home.world.home.join("data");
    let told = home.check(&[ON, ("DAEMON_DATA_BACKUP_DIR", inside.to_str().expect("a plain path"))], &["--offline"]);
    expect(&told, "error", "backup-impossible", "inside the data directory");
    let told = watcher(&["check", "--home", home.world.home.to_str().expect("a plain path")], &[]);
    assert_eq!(told.code, Some(64), "{told:?}");
    assert!(told.stderr.contains("--daemon-name"), "{told:?}");
}

/// In ELF's words, where this test runs.
fn host_machine() -> u16 {
    if cfg!(target_arch = "aarch64") { crate::elf::ARM64 } else { crate::elf::AMD64 }
}

fn host_loader() -> &'static str {
    if cfg!(target_arch = "aarch64") { "/lib/ld-linux-aarch64.so.1" } else { "/lib64/ld-linux-x86-64.so.2" }
}

/// Each file and folder below with its size.
fn everything_in(folder: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("it can be listed").flatten() {
        let metadata = entry.metadata().expect("it is there");
        found.push((entry.path(), metadata.len()));
        if metadata.is_dir() {
            found.extend(everything_in(&entry.path()));
        }
    }
    found.sort();
    found
}
