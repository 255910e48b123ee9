//! `cosmovisor/current`: the link that says which binary runs. It only ever moves by one rename.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Component, Path, PathBuf},
};

use nix::unistd::{AccessFlags, access, geteuid};

use super::{Home, SMALL, patiently, read_small, record, sync_folder, unless_missing, upgrade_info, write_whole};
use crate::{
    artifact::fingerprint,
    decide::{
        facts::{Current, Marker, Record, RecordFact, Version},
        plan::{Folder, Plan},
    },
};

/// The permissions to execute, for everybody.
const ALL_EXECUTE: u32 = 0o111;

/// Where the link points.
#[must_use]
pub fn read(home: &Home) -> Current {
    let link = home.current();
    let target = match patiently(|| fs::read_link(&link)) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Current::Absent,
        Err(error) => {
            let shown = link.display();
            let reason =
                format!("{shown} is not a link ({error}): move it away and link it to genesis or upgrades/<name>");
            return Current::Broken { reason };
        }
    };
    let binary = home.executable(&home.root().join(&target));
    match patiently(|| fs::metadata(&binary)) {
        Ok(meta) if meta.is_file() => Current::Version(version(home, &target)),
        Ok(_) => Current::Broken { reason: format!("current binary is invalid: {} is not a file", binary.display()) },
        Err(error) => {
            let (link, target) = (link.display(), target.display());
            let reason = format!(
                "current binary is invalid: {link} points to {target}, and {} cannot be used: {error}",
                binary.display()
            );
            Current::Broken { reason }
        }
    }
}

/// The marker beside the current binary.
#[must_use]
pub fn marker(home: &Home) -> Option<Marker> {
    let bytes = read_small(&home.current().join(upgrade_info::FILE), SMALL).ok()?;
    let plan = upgrade_info::parse(&bytes).ok()?;
    Some(Marker { name: plan.name, height: plan.height })
}

/// Writes the marker into the folder, then points `current` at it. A folder that somebody else placed may not be ours to
/// write in: the record knows what the marker would say, and no node stays down for want of one.
///
/// # Errors
/// As the file system gives them; then `current` still points where it did.
pub fn switch(home: &Home, folder: &Folder, plan: &Plan) -> io::Result<()> {
    make_executable(&home.executable(&home.upgrade(folder)))?;
    if let Err(error) = write_marker(home, folder, plan) {
        tracing::warn!(%error, "no marker is left beside the new binary; it is tried again once its height has passed");
    }
    point(home, &Path::new("upgrades").join(folder.as_str()))
}

/// Writes the marker for the plan in `upgrade-info.json` that has `passed` beside the current binary, where that is the plan's
/// and has none: then somebody else put the link there.
///
/// # Errors
/// As the file system gives them.
pub fn mark(home: &Home, passed: &Record) -> io::Result<()> {
    let Current::Version(Version::Upgrade(folder)) = read(home) else { return Ok(()) };
    let plan = upgrade_info::read(home).filter(|plan| passed.is_of(plan));
    match plan.filter(|plan| Folder::of(&plan.name, home.keep_case).as_ref() == Ok(&folder)) {
        Some(plan) if marker(home).is_none() => write_marker(home, &folder, &plan),
        _ => Ok(()),
    }
}

/// Points an absent `current` at genesis.
///
/// # Errors
/// Where there is no usable genesis binary; then nothing is left behind.
pub fn point_at_genesis(home: &Home) -> io::Result<()> {
    genesis(home)?;
    point(home, Path::new("genesis"))
}

/// Whether there is a genesis binary that an absent `current` could be pointed at.
///
/// # Errors
/// Where there is none.
pub fn genesis(home: &Home) -> io::Result<()> {
    let binary = home.executable(&home.root().join("genesis"));
    let file = |meta: fs::Metadata| {
        if meta.is_file() { Ok(()) } else { Err(io::Error::other("it is not a file")) }
    };
    let found = fs::metadata(&binary).and_then(file);
    found.map_err(|error| {
        let text = format!("there is no current version and no genesis binary at {}: {error}", binary.display());
        io::Error::new(error.kind(), text)
    })
}

/// The executable that `current` leads to, fully resolved, made executable where it is not.
///
/// # Errors
/// Where it is not there or is no file.
pub fn executable(home: &Home) -> io::Result<PathBuf> {
    let folder = fs::canonicalize(home.current())?;
    let binary = home.executable(&folder);
    make_executable(&binary)?;
    Ok(binary)
}

/// Points `current` at a version that is there, for data that need it.
///
/// # Errors
/// As the file system gives them; then `current` still points where it did.
pub fn choose(home: &Home, version: &Version) -> io::Result<()> {
    let binary = executable_of(home, version);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", binary.display()));
    make_executable(&binary).map_err(named)?;
    point(home, &target(version))?;
    sync_folder(&home.root())
}

/// Where a version's executable belongs.
#[must_use]
pub fn executable_of(home: &Home, version: &Version) -> PathBuf {
    home.executable(&home.root().join(target(version)))
}

/// What `current` says where it points at a version.
pub(super) fn target(version: &Version) -> PathBuf {
    match version {
        Version::Genesis => PathBuf::from("genesis"),
        Version::Upgrade(folder) => Path::new("upgrades").join(folder.as_str()),
        Version::Elsewhere(path) => PathBuf::from(path),
    }
}

fn write_marker(home: &Home, folder: &Folder, plan: &Plan) -> io::Result<()> {
    let mut plan = plan.clone();
    if !home.keep_case {
        plan.name = plan.name.to_lowercase();
    }
    let foreign = if let RecordFact::Present(record) = record::read(home) { record.foreign } else { None };
    let by_hand = |info: fs::Metadata| upgrade_info::is_by_hand(info.mode()) || foreign == Some(fingerprint(&info));
    // Of a height that somebody named by hand, nothing else tells after a power cut that it was this switch.
    let durable = fs::metadata(home.upgrade_info()).is_ok_and(by_hand);
    write_whole(&home.upgrade(folder).join(upgrade_info::FILE), upgrade_info::render(&plan).as_bytes(), durable)
}

fn point(home: &Home, target: &Path) -> io::Result<()> {
    let beside = home.own().join(".current");
    unless_missing(fs::remove_file(&beside))?;
    symlink(target, &beside)?;
    fs::rename(&beside, home.current())
}

/// Whether [`make_executable`] would leave something that we may execute. Whoever places a binary may be another user, and a
/// file system may refuse.
#[must_use]
pub fn can_be_executed(binary: &Path) -> bool {
    let ours = |meta: &fs::Metadata| geteuid().is_root() || meta.uid() == geteuid().as_raw();
    let may_execute = access(binary, AccessFlags::X_OK).is_ok();
    fs::metadata(binary).is_ok_and(|meta| can_become_executable(may_execute, ours(&meta), meta.permissions().mode()))
}

const fn can_become_executable(may_execute: bool, ours: bool, mode: u32) -> bool {
    may_execute || (ours && mode & ALL_EXECUTE != ALL_EXECUTE)
}

/// Lets everybody execute a binary.
///
/// # Errors
/// Where it is not there, is no file, or is not ours to change and we may not execute it.
pub fn make_executable(binary: &Path) -> io::Result<()> {
    let meta = fs::metadata(binary)?;
    if !meta.is_file() {
        return Err(io::Error::other(format!("{} is not a file", binary.display())));
    }
    let mode = meta.permissions().mode();
    if mode & ALL_EXECUTE == ALL_EXECUTE {
        return Ok(());
    }
    let changed = fs::set_permissions(binary, fs::Permissions::from_mode(mode | ALL_EXECUTE));
    changed.or_else(|error| {
        let named = |_| io::Error::new(error.kind(), format!("cannot make {} executable: {error}", binary.display()));
        access(binary, AccessFlags::X_OK).map_err(named)
    })
}

fn version(home: &Home, target: &Path) -> Version {
    let elsewhere = || Version::Elsewhere(target.display().to_string());
    let inside = if target.is_absolute() {
        let resolved = |_| target.strip_prefix(fs::canonicalize(home.root()).unwrap_or_default());
        match target.strip_prefix(home.root()).or_else(resolved) {
            Ok(inside) => inside,
            Err(_) => return elsewhere(),
        }
    } else {
        target
    };
    let parts: Vec<&str> = inside
        .components()
        .filter(|part| *part != Component::CurDir)
        .filter_map(|part| part.as_os_str().to_str())
        .collect();
    match parts.as_slice() {
        ["genesis"] => Version::Genesis,
        ["upgrades", folder] => Folder::existing(folder).map_or_else(elsewhere, Version::Upgrade),
        _ => elsewhere(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::tests::home_with;

    #[test]
    fn a_link_is_understood_relative_absolute_and_elsewhere() {
        let (_keep, home) = home_with(&["genesis", "upgrades/v2"]);
        assert_eq!(read(&home), Current::Absent);
        point_at_genesis(&home).unwrap();
        assert_eq!(read(&home), Current::Version(Version::Genesis));
        point(&home, &home.root().join("upgrades/v2")).unwrap();
        assert!(matches!(read(&home), Current::Version(Version::Upgrade(folder)) if folder.as_str() == "v2"));
        point(&home, Path::new("upgrades/gone")).unwrap();
        assert!(matches!(read(&home), Current::Broken { reason } if reason.contains("upgrades/gone")));
    }

    #[test]
    fn a_switch_writes_the_marker_and_moves_the_link() {
        let (_keep, home) = home_with(&["genesis", "upgrades/v2"]);
        point_at_genesis(&home).unwrap();
        let plan = Plan { name: "V2".into(), height: 5, info: String::new() };
        switch(&home, &Folder::of("V2", false).unwrap(), &plan).unwrap();
        assert_eq!(fs::read_link(home.current()).unwrap(), Path::new("upgrades/v2"));
        assert_eq!(marker(&home), Some(Marker { name: "v2".into(), height: 5 }));
    }

    /// Any other word that was written down marked it, and what was to come into the folder that runs was taken for past.
    #[test]
    fn only_a_plan_that_has_passed_is_marked() {
        let (_keep, home) = home_with(&["genesis", "upgrades/v2"]);
        point(&home, Path::new("upgrades/v2")).unwrap();
        let plan = Plan { name: "v2".into(), height: 5, info: String::new() };
        fs::write(home.upgrade_info(), upgrade_info::render(&plan)).unwrap();
        mark(&home, &Record::nothing(Version::Genesis)).unwrap();
        assert_eq!(marker(&home), None);
        mark(&home, &Record::new(plan, Version::Genesis)).unwrap();
        assert_eq!(marker(&home), Some(Marker { name: "v2".into(), height: 5 }));
    }

    #[test]
    fn what_is_not_executable_must_be_ours_to_change() {
        for (may_execute, ours, mode, can) in [
            (true, false, 0o755, true),
            (false, true, 0o644, true),
            (false, false, 0o644, false),
            // The file system is mounted without the right to execute.
            (false, true, 0o755, false),
        ] {
            assert_eq!(can_become_executable(may_execute, ours, mode), can, "{may_execute} {ours} {mode:o}");
        }
        let (_keep, home) = home_with(&["genesis"]);
        assert!(can_be_executed(&home.executable(&home.root().join("genesis"))));
    }

    #[test]
    fn without_genesis_nothing_is_left_behind() {
        let (_keep, home) = home_with(&[]);
        assert!(point_at_genesis(&home).unwrap_err().to_string().contains("genesis"));
        assert!(fs::symlink_metadata(home.current()).is_err());
    }
}
