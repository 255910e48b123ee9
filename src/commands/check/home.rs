//! The home that is to go through the upgrade: what is staged in it, its room, and what of the node's own configuration
//! stands in the way of a restart.

use std::{
    fmt::Display,
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::{
    Subject, Wanted,
    artifacts::{self, Fetched},
};
use crate::{
    artifact::{
        self, Platform, RESERVE,
        inspect::{InspectError, inspect},
        source::redacted,
    },
    chain::own_node::own_setting,
    commands::findings::Findings,
    decide::{
        facts::Staged,
        plan::{Asks, Folder, Upgrade},
    },
    home::{
        Home,
        backup::{self, BackupError},
        observe,
    },
};

/// The operator's own binary for a plan, which is used whatever the plan says.
pub(super) fn staged(wanted: &Wanted<'_>, subject: &Subject) -> Option<PathBuf> {
    let home = &wanted.home;
    let folder = Folder::of(&subject.plan.name, home.keep_case).ok().filter(|_| wanted.has_home())?;
    let staged = artifact::read_staged(&home.upgrades(), &folder, &home.daemon);
    matches!(staged, Staged::Operator | Staged::Arriving).then(|| home.executable(&home.upgrade(&folder)))
}

/// Whether the host of the home has a library, where its loader finds it or where the operator put it for this version.
pub(super) fn has_library(wanted: &Wanted<'_>, subject: &Subject, platform: &Platform, library: &str) -> bool {
    let home = &wanted.home;
    if !wanted.has_home() || *platform != home.platform {
        return false;
    }
    let own = Folder::of(&subject.plan.name, home.keep_case).map(|folder| home.upgrade(&folder).join("lib"));
    let own = own.ok().filter(|lib| artifact::is_operators(lib));
    let usual = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    // Debian and its kin have a folder for each kind of machine.
    let inner =
        ["/lib", "/usr/lib"].into_iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let inner = inner.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    own.into_iter().chain(usual).chain(inner).any(|folder| folder.join(library).is_file())
}

/// Looks at what is staged for a plan, or at the room for it.
pub(super) fn look(wanted: &Wanted<'_>, subject: &Subject, fetched: Option<&Fetched>, findings: &mut Findings) {
    let home = &wanted.home;
    let Ok(upgrade) = observe::upgrade_of(home, subject.plan.clone()) else { return };
    let place = home.executable(&home.upgrade(&upgrade.folder));
    let shown = place.display();
    if place.is_file()
        && let Err(error) = inspect(&place, &home.platform)
    {
        if matches!(error, InspectError::Read(_)) {
            return unreadable(&place, &error, findings);
        }
        let help = "replace it: it would be used, and cannot be run";
        return findings.error("staged-unfit", format!("{shown}: {error}"), help);
    }
    match artifact::read_staged(&home.upgrades(), &upgrade.folder, &home.daemon) {
        Staged::Operator | Staged::Arriving => {
            artifacts::loads(&place, &|library| has_library(wanted, subject, &home.platform, library), findings);
            let wanted = fetched.map(|fetched| fetched.receipt.sha256.clone()).or_else(|| raw_checksum(&upgrade));
            let found = File::open(&place).and_then(|mut file| artifact::sha256_of(&mut file));
            match (wanted, found) {
                (Some(wanted), Ok(found)) if wanted != found => {
                    let message = format!("your own {shown} has the SHA-256 {found}, the plan's binary has {wanted}");
                    let help = "it is used as it is: make sure that it is meant, for example built by yourself from the same source";
                    findings.warning("staged-differs", message, help);
                }
                (_, Err(error)) => unreadable(&place, &error, findings),
                _ => {}
            }
        }
        Staged::Ours(receipt) | Staged::Suspect(receipt) => {
            let found = match File::open(&place).and_then(|mut file| artifact::sha256_of(&mut file)) {
                Ok(found) => found,
                Err(error) => return unreadable(&place, &error, findings),
            };
            if !receipt.satisfies(&upgrade) {
                let from = redacted(&receipt.artifact.url);
                let message = format!("{shown} was fetched from {from}, which is not what the plan asks for");
                let help =
                    "`watcher run` sets it aside and fetches the right one; `watcher prepare-upgrade` does it now";
                findings.warning("staged-differs", message, help);
            } else if found != receipt.sha256 {
                let message = format!("{shown} is not the file that was verified: its SHA-256 is {found}");
                let help = "put back what was there, or remove the folder and run `watcher prepare-upgrade`";
                findings.warning("staged-differs", message, help);
            }
        }
        Staged::None => missing(wanted, &upgrade, fetched, findings),
    }
}

fn unreadable(place: &Path, error: &impl Display, findings: &mut Findings) {
    let help = "let the node's user read it, and run this as that user";
    findings.error("staged-unreadable", format!("{}: {error}", place.display()), help);
}

/// Nothing is staged yet: is there room, and may it be fetched?
fn missing(wanted: &Wanted<'_>, upgrade: &Upgrade, fetched: Option<&Fetched>, findings: &mut Findings) {
    let home = &wanted.home;
    if let Some(Ok(config)) = &wanted.config
        && !config.settings.downloads
    {
        let message =
            format!("nothing is staged in upgrades/{}, and DAEMON_ALLOW_DOWNLOAD_BINARIES is not true", upgrade.folder);
        let help = format!("place the binary in upgrades/{}/bin, or allow downloads", upgrade.folder);
        findings.warning("staged-missing", message, help);
    }
    // Where nothing was fetched, what runs now tells how large such a binary is. It lies there packed and unpacked.
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
    let needed = match fetched {
        Some(fetched) => fetched.bytes + size(&fetched.executable),
        None => 2 * size(&home.executable(&home.current())),
    };
    match artifact::free_space(&home.path) {
        Ok(free) if free.saturating_sub(RESERVE) < needed => {
            let place = home.path.display();
            let message = format!(
                "{place} has {free} bytes free, of which {RESERVE} stay free for the node, and the new binary needs {needed}"
            );
            findings.error("disk-space", message, "make room there before the binary is staged");
        }
        Ok(_) => {}
        Err(error) => findings.warning("disk-space", error.to_string(), "run this as the node's user"),
    }
}

/// Looks at what holds for every upgrade of the home.
pub(super) fn settings(wanted: &Wanted<'_>, findings: &mut Findings) {
    let home = &wanted.home;
    match &wanted.config {
        Some(Err(error)) => {
            for line in &error.0 {
                findings.error("setting-invalid", line, "correct it: `watcher run` does not start with it");
            }
        }
        _ => match backup::fits(home) {
            Ok(()) => {}
            Err(error @ BackupError::Disk { .. }) => {
                findings.warning("backup-unknown", error.to_string(), "run this as the node's user");
            }
            Err(error) => {
                let help = "without its backup the upgrade stops after the node was stopped";
                findings.error("backup-impossible", error.to_string(), help);
            }
        },
    }
    signing(home, findings);
}

/// What of CometBFT's configuration keeps a validator from coming back at once.
fn signing(home: &Home, findings: &mut Findings) {
    let setting = |dotted: &str| own_setting(&home.path, &home.daemon, dotted);
    let remote = setting("priv_validator_laddr").filter(|address| !address.trim().is_empty());
    let window =
        setting("consensus.double_sign_check_height").and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
    let signed = observe::signed_height(home).ok().flatten().unwrap_or(0);
    if window > 0 && (signed > 0 || remote.is_some()) {
        let message = format!(
            "double_sign_check_height is {window} in config/config.toml: a validator that signed one of the last {window} \
             blocks refuses to start, and it signed the last one before the halt"
        );
        let help = "set it to 0 before the halt, where only one node signs with this key";
        findings.error("double-sign-check", message, help);
    }
    if let Some(address) = remote {
        let message = format!("a remote signer connects to {address} (priv_validator_laddr)");
        let help =
            "the new binary waits a few seconds for it at its start and gives up: have it reconnect within a second";
        findings.warning("remote-signer", message, help);
    }
}

/// The digest of the executable itself, where the plan tells it: that of a download which is no archive.
fn raw_checksum(upgrade: &Upgrade) -> Option<String> {
    let Asks::Artifact(artifact) = &upgrade.asks else { return None };
    let packed = [".gz", ".tgz", ".zip", ".tar"]
        .iter()
        .any(|end| artifact.url.split('?').next().unwrap_or_default().ends_with(end));
    artifact.checksum.as_deref()?.strip_prefix("sha256:").filter(|_| !packed).map(str::to_owned)
}
