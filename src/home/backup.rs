//! The copy of `data/` that is made before the switch, and the note that it is complete.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use jiff::Zoned;
use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access},
};
use serde::{Deserialize, Serialize};

use super::{Home, sync_folder, write_whole};
use crate::decide::{facts::Backup, plan::Plan};

/// The note that says that a backup is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The plan it was made for.
    pub plan: Plan,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes copied.
    pub bytes: u64,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The place would be within what is copied.
    #[error("DAEMON_DATA_BACKUP_DIR is {0}, which lies inside the data directory: choose a place outside it")]
    Inside(PathBuf),
    /// Something on disk failed.
    #[error("error while taking data backup: {path}: {source}")]
    Disk {
        /// At this path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The copy would not fit.
    #[error(
        "the backup needs {needed} bytes and {place} has {free}: make room, name another DAEMON_DATA_BACKUP_DIR, or set \
         UNSAFE_SKIP_BACKUP=true"
    )]
    NoRoom {
        /// Where it was to go.
        place: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// It was asked to stop.
    #[error("the backup was stopped")]
    Stopped,
}

/// Whether a complete backup for this plan is there.
#[must_use]
pub fn state(home: &Home, plan: Option<&Plan>) -> Backup {
    if home.backups.is_none() {
        return Backup::NotWanted;
    }
    let note = fs::read(note(home)).ok().and_then(|bytes| serde_json::from_slice::<Completion>(&bytes).ok());
    match (note, plan) {
        (Some(note), Some(plan)) if note.plan == *plan && note.path.is_dir() => Backup::Complete,
        _ => Backup::Missing,
    }
}

/// Refuses a place for backups that lies within what is copied.
///
/// # Errors
/// [`BackupError`], also where one of the folders cannot be found.
pub fn check_place(home: &Home) -> Result<(), BackupError> {
    home.backups.as_ref().map_or(Ok(()), |backups| places(home, backups).map(drop))
}

/// Where backups go, if this user cannot write there.
#[must_use]
pub fn refusing_place(home: &Home) -> Option<&Path> {
    let place = home.backups.as_deref()?;
    access(place, AccessFlags::W_OK | AccessFlags::X_OK).is_err().then_some(place)
}

/// Copies `data/` to `<backup dir>/data-backup-<year>-<month>-<day>`, with a number behind it where the name is taken.
/// Links are followed, so that a linked data directory is copied too; sockets and the like are left out. It is complete
/// only once everything is on the disk and the note is written; what an earlier try left is taken away first.
///
/// # Errors
/// [`BackupError`]; then no completion is noted.
pub fn take(home: &Home, plan: &Plan, now: &Zoned, stop: &AtomicBool) -> Result<Completion, BackupError> {
    let Some(backups) = &home.backups else { return Err(BackupError::Stopped) };
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::Disk { path, source }
    };
    room(home)?;
    let (data, backups) = places(home, backups)?;
    let unfinished = backups.join(".watcher-backup-unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(at(&unfinished))?;
    }
    let bytes = copy_folder(&data, &unfinished, &mut vec![identity(&backups).map_err(at(&backups))?], stop)
        .inspect_err(|error| {
            // A copy that is not whole is worth nothing, and its room may be what the node needs. One that was asked to
            // stop is in a hurry; the next one takes it away.
            if !matches!(error, BackupError::Stopped) {
                let _ = fs::remove_dir_all(&unfinished);
            }
        })?;
    let path = free_name(&backups, now);
    fs::rename(&unfinished, &path).map_err(at(&path))?;
    sync_folder(&backups).map_err(at(&backups))?;
    let completion = Completion { plan: plan.clone(), path, bytes };
    let text = serde_json::to_vec_pretty(&completion).map_err(io::Error::other);
    text.and_then(|text| write_whole(&note(home), &text, true)).map_err(at(&note(home)))?;
    Ok(completion)
}

/// Makes the place for backups where it is missing, and looks whether the next one would fit.
///
/// # Errors
/// [`BackupError`].
pub fn room(home: &Home) -> Result<(), BackupError> {
    let Some(place) = &home.backups else { return Ok(()) };
    fs::create_dir_all(place).map_err(|source| BackupError::Disk { path: place.clone(), source })?;
    fits(home)
}

/// Whether a backup would find its place there already, and room for it. Nothing is written.
///
/// # Errors
/// [`BackupError`].
pub fn fits(home: &Home) -> Result<(), BackupError> {
    let Some(backups) = &home.backups else { return Ok(()) };
    let (data, place) = places(home, backups)?;
    let free = free_space(&place).map_err(|source| BackupError::Disk { path: place.clone(), source })?;
    match size_of_folder(&data) {
        needed if needed > free => Err(BackupError::NoRoom { place, needed, free }),
        _ => Ok(()),
    }
}

/// `data/` and the place for its copies, without links.
fn places(home: &Home, backups: &Path) -> Result<(PathBuf, PathBuf), BackupError> {
    let resolved =
        |path: &Path| fs::canonicalize(path).map_err(|source| BackupError::Disk { path: path.to_owned(), source });
    let (data, backups) = (resolved(&home.data())?, resolved(backups)?);
    if backups.starts_with(&data) { Err(BackupError::Inside(backups)) } else { Ok((data, backups)) }
}

fn note(home: &Home) -> PathBuf {
    home.own().join("backup.json")
}

/// The name that cosmovisor would use, without leading zeros, or the next that is free.
fn free_name(backups: &Path, now: &Zoned) -> PathBuf {
    let name = format!("data-backup-{}-{}-{}", now.year(), now.month(), now.day());
    let mut candidates = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
    let free = candidates.find_map(|name| Some(backups.join(name)).filter(|path| fs::symlink_metadata(path).is_err()));
    free.unwrap_or_else(|| unreachable!("a folder cannot hold every number"))
}

/// Copies a folder and what its links lead to, but no folder into itself: neither the place of the backups nor one of
/// the folders above.
fn copy_folder(from: &Path, to: &Path, above: &mut Vec<(u64, u64)>, stop: &AtomicBool) -> Result<u64, BackupError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::Disk { path, source }
    };
    let this = identity(from).map_err(at(from))?;
    if above.contains(&this) {
        return Ok(0);
    }
    above.push(this);
    fs::create_dir(to).map_err(at(to))?;
    let mut bytes = 0;
    for entry in fs::read_dir(from).map_err(at(from))? {
        if stop.load(Ordering::Relaxed) {
            return Err(BackupError::Stopped);
        }
        let entry = entry.map_err(at(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let meta = match fs::metadata(&source) {
            Ok(meta) => meta,
            // A link that leads nowhere is data too, of a kind that has no content.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(at(&source)(error)),
        };
        if meta.is_dir() {
            bytes += copy_folder(&source, &target, above, stop)?;
        } else if meta.is_file() {
            bytes += fs::copy(&source, &target).map_err(at(&source))?;
            File::open(&target).and_then(|file| file.sync_all()).map_err(at(&target))?;
        }
    }
    fs::set_permissions(to, fs::metadata(from).map_err(at(from))?.permissions()).map_err(at(to))?;
    sync_folder(to).map_err(at(to))?;
    above.pop();
    Ok(bytes)
}

fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(folder).map(|meta| (meta.dev(), meta.ino()))
}

/// Bytes of the files in a folder; links are left out, so it may be more.
fn size_of_folder(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of_folder(&entry.path()),
        Ok(meta) if meta.is_file() => meta.len(),
        _ => 0,
    };
    entries.map(size).sum()
}

fn free_space(folder: &Path) -> io::Result<u64> {
    let system = statvfs(folder)?;
    Ok(system.blocks_available().saturating_mul(system.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::tests::home_with;

    fn plan(height: u64) -> Plan {
        Plan { name: "v2".into(), height, info: String::new() }
    }

    #[test]
    fn two_backups_on_one_day_do_not_mix_and_each_is_of_its_plan() {
        let (_keep, mut home) = home_with(&["genesis"]);
        let place = tempfile::tempdir().unwrap();
        home.backups = Some(place.path().join("deep/down"));
        fs::create_dir(home.data().join("application.db")).unwrap();
        fs::write(home.data().join("application.db/1.ldb"), "one").unwrap();
        let now = jiff::civil::date(2026, 1, 5).at(10, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        assert_eq!(state(&home, Some(&plan(5))), Backup::Missing);
        let first = take(&home, &plan(5), &now, &AtomicBool::new(false)).unwrap();
        assert!(first.path.ends_with("data-backup-2026-1-5"));
        assert_eq!(first.bytes, 3);
        assert_eq!(state(&home, Some(&plan(5))), Backup::Complete);
        assert_eq!(state(&home, Some(&plan(9))), Backup::Missing);
        fs::write(home.data().join("application.db/1.ldb"), "two!").unwrap();
        let second = take(&home, &plan(9), &now, &AtomicBool::new(false)).unwrap();
        assert!(second.path.ends_with("data-backup-2026-1-5-2"));
        assert_eq!(fs::read(first.path.join("application.db/1.ldb")).unwrap(), b"one");
    }

    #[test]
    fn linked_data_is_copied_sockets_are_left_out_and_a_place_inside_is_refused() {
        let (_keep, mut home) = home_with(&["genesis"]);
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("state"), "kept").unwrap();
        fs::remove_dir(home.data()).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), home.data()).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(elsewhere.path().join("socket")).unwrap();
        home.backups = Some(home.path.clone());
        let done = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false)).unwrap();
        assert_eq!(fs::read(done.path.join("state")).unwrap(), b"kept");
        assert!(!done.path.join("socket").exists());
        home.backups = Some(home.data().join("backups"));
        let refused = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false));
        assert!(matches!(refused, Err(BackupError::Inside(_))), "{refused:?}");
    }

    #[test]
    fn a_link_to_the_place_of_the_backups_or_to_a_folder_above_is_not_followed_into_itself() {
        let (_keep, mut home) = home_with(&["genesis"]);
        let place = tempfile::tempdir().unwrap();
        home.backups = Some(place.path().to_owned());
        fs::write(home.data().join("state"), "kept").unwrap();
        std::os::unix::fs::symlink(place.path(), home.data().join("backups")).unwrap();
        std::os::unix::fs::symlink(home.data(), home.data().join("itself")).unwrap();
        let done = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false)).unwrap();
        assert_eq!((done.bytes, fs::read(done.path.join("state")).unwrap()), (4, b"kept".to_vec()));
    }

    #[test]
    fn a_backup_that_was_stopped_is_not_complete_and_the_next_one_begins_anew() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        fs::write(home.data().join("state"), "kept").unwrap();
        let stopped = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(true));
        assert!(matches!(stopped, Err(BackupError::Stopped)), "{stopped:?}");
        assert_eq!(state(&home, Some(&plan(5))), Backup::Missing);
        take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false)).unwrap();
        assert_eq!(state(&home, Some(&plan(5))), Backup::Complete);
    }
}
