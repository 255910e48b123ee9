//! `data/`: what an earlier upgrade left there, and whether its backup would find a place.

use std::{fs, path::Path};

use nix::{
    errno::Errno,
    unistd::{AccessFlags, access},
};
use serde::Deserialize;

use super::findings::Findings;
use crate::{
    commands::upcoming::text,
    config::Config,
    decide::{
        facts::{Facts, Info, Origin, Staged},
        plan::Upgrade,
    },
    home::{
        Home,
        backup::{self, BackupError},
        upgrade_info,
    },
};

/// An entry of a batch, of which only this is told.
#[derive(Deserialize)]
struct Entry {
    name: String,
    height: u64,
}

/// Looks at what a run would find there.
pub(super) fn look(home: &Home, config: Option<&Config>, facts: &Facts, findings: &mut Findings) {
    if !home.data().is_dir() {
        let message = format!("{} is not a directory", home.data().display());
        return findings.error(
            "data-missing",
            message,
            "let DAEMON_HOME be the node's home, and the node be initialised",
        );
    }
    match &facts.info {
        Info::Absent => {}
        Info::Unreadable { reason, .. } => {
            if access(&home.upgrade_info(), AccessFlags::R_OK) == Err(Errno::EACCES) {
                // The halt could not be read of, and nothing would be switched.
                findings.error("info-unreadable", format!("data/upgrade-info.json cannot be read: {reason}"), "");
            } else {
                let message = format!("data/upgrade-info.json is no plan: {reason}");
                findings.warning("info-unreadable", message, "move it away, unless the node is just writing it");
            }
        }
        Info::Plan { upgrade, origin, .. } => plan(upgrade, *origin, config, facts, findings),
    }
    left_behind(home, findings);
    if let Some(config) = config {
        room(&config.home, findings);
    }
}

/// What the core would make of the plan in the file.
fn plan(upgrade: &Upgrade, origin: Origin, config: Option<&Config>, facts: &Facts, findings: &mut Findings) {
    let plan = &upgrade.plan;
    let named = format!("data/upgrade-info.json names {} at height {}", text::name(&plan.name), plan.height);
    let marker = facts.marker.as_ref().map(|marker| marker.height);
    let runs = facts.current.is(&upgrade.folder);
    let signed = facts.signed_height.is_some_and(|signed| signed > plan.height);
    let downloads = config.is_some_and(|config| config.settings.downloads);
    if runs && (origin == Origin::Node || marker == Some(plan.height)) {
        let by =
            if marker == Some(plan.height) { "its marker is beside the current binary" } else { "current leads to it" };
        findings.note("info-settled", format!("{named}, which is done: {by}"), "");
    } else if origin == Origin::Operator {
        let message = format!("{named}; it is executable, so add-upgrade wrote it");
        findings.note(
            "info-operator",
            message,
            "it is carried out once the node itself says that it is at this height",
        );
    } else if marker.is_some_and(|marker| marker > plan.height) {
        let message = format!("{named}, and what runs is of a later height: nothing is switched");
        findings.note("info-settled", message, "");
    } else if signed {
        findings.note("info-settled", format!("{named}, and the validator signed beyond it"), "");
    } else {
        let missing = facts.staged.get(&upgrade.folder).is_none_or(|staged| *staged == Staged::None) && !downloads;
        let help = if missing {
            format!(
                "if the node stands at that halt, place the binary in upgrades/{}/bin before the start",
                upgrade.folder
            )
        } else {
            "if the node stands at that halt, the start carries the upgrade out; if not, it only waits".to_owned()
        };
        findings.warning("info-pending", format!("{named}, and nothing tells that it is done"), help);
    }
}

/// The batch queue, and the files that it was made of.
fn left_behind(home: &Home, findings: &mut Findings) {
    let prefix = format!("{}.", upgrade_info::FILE);
    let entries = fs::read_dir(home.data()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix(&prefix).map(str::to_owned));
    let (batch, mut others): (Vec<_>, Vec<_>) = names.partition(|name| name == "batch");
    if !batch.is_empty() {
        queue(&home.data().join(prefix.clone() + "batch"), findings);
    }
    others.sort();
    if !others.is_empty() {
        let message = format!("data/ has {prefix}{}, left by add-batch-upgrade", others.join(&format!(", {prefix}")));
        findings.note("batch-leftover", message, "nobody reads them; they can be removed");
    }
}

fn queue(path: &Path, findings: &mut Findings) {
    let read = fs::read(path).map_err(|error| error.to_string());
    let read =
        read.and_then(|bytes| serde_json::from_slice::<Option<Vec<Entry>>>(&bytes).map_err(|error| error.to_string()));
    match read.map(Option::unwrap_or_default) {
        Ok(entries) if entries.is_empty() => {
            findings.note("batch-queue", "the batch queue in data/ is empty", "");
        }
        Ok(entries) => {
            let told = entries.iter().map(|entry| format!("{} at {}", text::name(&entry.name), entry.height));
            let message = format!("the batch queue in data/ holds {}", told.collect::<Vec<_>>().join(", "));
            findings.note("batch-queue", message, "each is carried out at its height");
        }
        Err(error) => {
            let message = format!("the batch queue {} cannot be read: {error}", path.display());
            findings.warning("batch-unreadable", message, "make it anew with add-batch-upgrade, or move it away");
        }
    }
}

fn room(home: &Home, findings: &mut Findings) {
    let Some(place) = &home.backups else {
        return findings.note("backup-off", "no backup is made before a switch (UNSAFE_SKIP_BACKUP)", "");
    };
    match backup::fits(home) {
        Ok(()) => findings.note("backup", format!("the node is saved to {} before a switch", place.display()), ""),
        Err(error @ BackupError::Disk { .. }) => {
            findings.warning("backup-unknown", error.to_string(), "run this as the node's user");
        }
        Err(error) => findings.error("backup-impossible", error.to_string(), ""),
    }
}
