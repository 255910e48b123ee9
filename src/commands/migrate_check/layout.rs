//! `cosmovisor/`: where `current` leads, and what is staged under which name.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::findings::{Findings, Severity};
use crate::{
    artifact::{
        self,
        inspect::{self, InspectError},
    },
    decide::{
        facts::{Current, Facts, Info, Staged, Version},
        plan::Folder,
    },
    home::{Home, backup::restore, upgrade_info, version},
    http::secrets::decoded,
};

/// Looks at everything in there that a run would rest on.
pub(super) fn look(home: &Home, facts: &Facts, findings: &mut Findings) {
    let folders = upgrades(home);
    current(home, &facts.current, &folders, findings);
    let pending = if let Info::Plan { upgrade, .. } = &facts.info { Some(&upgrade.folder) } else { None };
    let needed = |folder: &Folder| pending == Some(folder) || facts.current.is(folder);
    let genesis = home.root().join("genesis");
    if home.executable(&genesis).exists() {
        let needed = matches!(facts.current, Current::Absent | Current::Version(Version::Genesis));
        binary(home, &genesis, needed, findings);
    }
    for folder in &folders {
        let path = home.upgrade(folder);
        name(home, folder, findings);
        if home.executable(&path).is_file() {
            binary(home, &path, needed(folder), findings);
        } else {
            let message = format!("upgrades/{folder} has no bin/{}", home.daemon);
            let help = "place the binary there, or remove the folder if nothing more is to come";
            findings.warning("binary-missing", message, help);
        }
    }
    let own = |folder: &&Folder| {
        let staged = artifact::read_staged(&home.upgrades(), folder, &home.daemon);
        matches!(staged, Staged::Operator | Staged::Arriving)
    };
    let own: Vec<&str> = folders.iter().filter(own).map(Folder::as_str).collect();
    if !own.is_empty() {
        let message = format!("no receipt is beside the binaries of upgrades/{}", own.join(", upgrades/"));
        let help = "they are taken as your own: used as they are, never checked against a plan, never replaced";
        findings.note("staged-own", message, help);
    }
    for error in version::not_understood(home) {
        findings.error("version-not-understood", error.to_string(), "");
    }
    if let Some(impasse) = restore::impasse(home) {
        findings.error("restore-interrupted", impasse, "");
    }
    if home.own().exists() {
        findings.note("worked-before", "watcher has worked on this home before (cosmovisor/watcher/ is there)", "");
    }
}

/// Looks at the operator's script that runs before each switch.
pub(super) fn hook(home: &Home, script: &str, findings: &mut Findings) {
    let path = home.root().join(script);
    if !path.is_file() {
        let message =
            format!("COSMOVISOR_CUSTOM_PREUPGRADE: {} is not a file: no upgrade would get past it", path.display());
        findings.error("hook-missing", message, "place the script there, or unset the variable");
    }
}

/// The folders of upgrades, by name.
fn upgrades(home: &Home) -> Vec<Folder> {
    let entries = fs::read_dir(home.upgrades()).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut folders: Vec<_> = folders.filter_map(|entry| Folder::existing(entry.file_name().to_str()?)).collect();
    folders.sort();
    folders
}

fn current(home: &Home, current: &Current, folders: &[Folder], findings: &mut Findings) {
    let link = home.current();
    match current {
        Current::Absent => {
            let upgraded = folders.iter().find(|folder| home.upgrade(folder).join(upgrade_info::FILE).exists());
            let genesis = home.executable(&home.root().join("genesis"));
            if let Some(folder) = upgraded {
                let message = "cosmovisor/current is missing, though there was an upgrade: genesis would be started on \
                               data that is past it";
                let help =
                    format!("link it to what ran last, for example `ln -s upgrades/{folder} {}`", link.display());
                findings.error("current-absent", message, help);
            } else if genesis.is_file() {
                findings.note("current-absent", "cosmovisor/current is missing; the start links it to genesis", "");
            } else {
                let message = format!("cosmovisor/current is missing, and so is {}", genesis.display());
                findings.error("genesis-missing", message, "place the binary that is to run there");
            }
        }
        Current::Broken { reason } => {
            let is_folder = fs::symlink_metadata(&link).is_ok_and(|meta| meta.is_dir());
            let check = if is_folder { "current-folder" } else { "current-dangling" };
            let help = "link it to genesis or upgrades/<name>, whatever ran last";
            findings.error(check, reason, help);
        }
        Current::Version(version) => {
            let target = fs::read_link(&link).unwrap_or_default();
            if let Version::Elsewhere(place) = version {
                let message = format!("cosmovisor/current leads to {place}, which is neither genesis nor an upgrade");
                let help = "it is started from there, and switched away from there at the next upgrade";
                findings.warning("current-elsewhere", message, help);
            } else if target.is_absolute() {
                let message = format!("cosmovisor/current is the absolute link {}", target.display());
                let help = "it works, and breaks where the home is moved; the next switch makes it relative";
                findings.note("current-absolute", message, help);
            }
        }
    }
}

/// Whether this machine can run it; what a plan or `current` leads to has to.
fn binary(home: &Home, folder: &Path, needed: bool, findings: &mut Findings) {
    let path = home.executable(folder);
    let shown = path.display();
    match inspect::inspect(&path, &home.platform) {
        Ok(inspect::Kind::Script) if needed => {
            let help = "let it `exec` the node: signals reach the script, and only it is known to end";
            findings.note("binary-script", format!("{shown} is a script"), help);
        }
        Ok(_) => {}
        Err(InspectError::Read(error)) => {
            findings.warning(
                "binary-unreadable",
                error.to_string(),
                "let the node's user read it, and run this as that user",
            );
        }
        Err(error) => {
            let severity = if needed { Severity::Error } else { Severity::Warning };
            findings.add(severity, "binary-unfit", format!("{shown}: {error}"), "place one for this machine");
        }
    }
    if fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o111 == 0) {
        findings.note("binary-not-executable", format!("{shown} is not executable; the start makes it so"), "");
    }
}

/// Whether a plan can lead to this folder at all.
fn name(home: &Home, folder: &Folder, findings: &mut Findings) {
    let Ok(wanted) = Folder::of(&decoded(folder.as_str()), home.keep_case) else { return };
    if wanted != *folder {
        let from = home.upgrade(folder);
        let message = format!("no plan's name leads to upgrades/{folder}: its binary would not be found at the halt");
        let to = home.upgrade(&wanted);
        let help = if to.exists() {
            format!("upgrades/{wanted} is what would be looked for, and is there as well: remove the wrong one")
        } else {
            format!("rename it: `mv {} {}`", quoted(&from), quoted(&to))
        };
        findings.warning("folder-unmatched", message, help);
    }
}

/// As a word for a shell.
fn quoted(path: &Path) -> String {
    super::text::word(&PathBuf::from(path).to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::tests::home_with;

    #[test]
    fn folders_that_no_plan_leads_to_are_told() {
        let unmatched = |folder: &str, keep_case: bool| {
            let (_keep, mut home) = home_with(&[]);
            home.keep_case = keep_case;
            let mut findings = Findings::default();
            name(&home, &Folder::existing(folder).unwrap(), &mut findings);
            findings.0.pop().map(|finding| finding.help)
        };
        for fine in ["v2", "upgrade%20two", "a%2Fb", "v2%2520x", "h%C3%A9llo", "a+b&c=d:e@f"] {
            assert_eq!(unmatched(fine, false), None, "{fine}");
        }
        assert_eq!(unmatched("V2", true), None);
        assert!(unmatched("V2", false).unwrap().contains("upgrades/v2`"));
        assert!(unmatched("upgrade two", false).unwrap().contains("upgrades/upgrade%20two`"));
        assert!(unmatched("100%", false).unwrap().contains("100%25"));
    }
}
