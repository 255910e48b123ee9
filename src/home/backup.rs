//! Backups: what of a node is saved before the switch, how it comes back, and when it may go.
//!
//! A checkpoint costs next to nothing. Where the filesystem shares blocks between files, it does that. Elsewhere what never
//! changes again gets a second name: tables of databases numbered below the lowest log beside them (a database that was
//! killed writes others anew under their old name), closed consensus logs, versions of memiavl trees. The rest is copied.

pub mod ahead;
mod carry;
pub mod estimate;
pub mod keep;
mod layout;
pub mod restore;
pub(super) mod signing;
pub mod verify;
mod work;

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Instant,
};

use jiff::Zoned;
use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};

use super::{Home, sync_folder, write_whole, write_with_mode};
use crate::decide::{facts::Backup, plan::Plan};
pub use carry::{CarryError, Progress};
use layout::{INNER, Layout, OURS, beside, ours};
pub use signing::Unreadable;
pub use work::Part;
use work::{Way, Work};

/// The operator's choices.
#[derive(Debug, Clone)]
pub struct Manner {
    /// `WATCHER_BACKUP`.
    pub means: Means,
    /// Whether `DAEMON_DATA_BACKUP_DIR` names another place than the home.
    pub place_chosen: bool,
    /// `WATCHER_BACKUP_KEEP`: how many checkpoints stay.
    pub keep: usize,
    /// `WATCHER_BACKUP_PATHS`, absolute or within the home.
    pub more: Vec<PathBuf>,
}

impl Default for Manner {
    fn default() -> Self {
        Self { means: Means::Checkpoint, place_chosen: false, keep: 1, more: Vec::new() }
    }
}

/// How a backup is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Means {
    /// With as little writing as the filesystem allows. It is dropped once it is not needed.
    Checkpoint,
    /// Byte by byte. It stays until somebody removes it.
    Copy,
}

/// The note that says that a backup is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The plan it was made for.
    pub plan: Plan,
    /// Where it is.
    pub path: PathBuf,
    /// Where its filesystem was mounted; none where an earlier build made it.
    #[serde(default)]
    pub mount: Option<PathBuf>,
    /// What tells it from another of that name.
    pub token: String,
    /// How it was made.
    pub means: Means,
    /// When, RFC 3339.
    pub made: String,
    /// How long that took.
    pub milliseconds: u64,
    /// Bytes copied.
    pub bytes: u64,
    /// Bytes that were copied ahead.
    pub ahead: u64,
    /// Bytes that it shares with the node's files.
    pub shared: u64,
    /// How many files it has; none where an earlier build made it.
    #[serde(default)]
    pub files: Option<usize>,
    /// What it covers.
    pub parts: Vec<Part>,
    /// The node's health since its upgrade has passed.
    #[serde(default)]
    pub health: keep::Health,
}

/// What was done at a path, and what the system says.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct At {
    /// The path.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The place would be within what is copied.
    #[error("DAEMON_DATA_BACKUP_DIR is {0}, which lies inside the data directory: choose a place outside it")]
    Inside(PathBuf),
    /// The place that the operator chose is no folder, or missing.
    #[error("DAEMON_DATA_BACKUP_DIR is {place}, which {what}")]
    Gone {
        /// The place.
        place: PathBuf,
        /// What it is instead, and what is to be done.
        what: String,
    },
    /// It cannot be written there.
    #[error(
        "backups go to {place}, where this user cannot write: {why}: `chown` it or mount it to be written, name another \
         DAEMON_DATA_BACKUP_DIR, or set UNSAFE_SKIP_BACKUP=true"
    )]
    Refused {
        /// The place.
        place: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// What is there is the filesystem below.
    #[error(
        "DAEMON_DATA_BACKUP_DIR is {place}, and {mount} is not mounted, where earlier backups are: mount it, name another \
         DAEMON_DATA_BACKUP_DIR, or have the backups forgotten that are lost (`watcher backups prune NAME`)"
    )]
    NotMounted {
        /// The place that the operator chose.
        place: PathBuf,
        /// Where its disk is to be mounted.
        mount: PathBuf,
    },
    /// Something on disk failed.
    #[error("error while taking data backup: {0}")]
    Disk(#[from] At),
    /// The copy would not fit.
    #[error(
        "the backup needs {needed} {what} and {place} has {free}: make room (`watcher backups list` shows what older ones hold), \
         name another DAEMON_DATA_BACKUP_DIR, or set UNSAFE_SKIP_BACKUP=true"
    )]
    NoRoom {
        /// Where it was to go.
        place: PathBuf,
        /// Bytes or inodes.
        what: &'static str,
        /// How many are needed.
        needed: u64,
        /// How many are free.
        free: u64,
    },
    /// It was asked to stop.
    #[error("the backup was stopped")]
    Stopped,
}

impl From<CarryError> for BackupError {
    fn from(error: CarryError) -> Self {
        match error {
            CarryError::Stopped => Self::Stopped,
            CarryError::Disk(error) => Self::Disk(error),
        }
    }
}

/// Whether a complete backup for this plan is there.
#[must_use]
pub fn state(home: &Home, plan: Option<&Plan>) -> Backup {
    match plan {
        _ if home.backups.is_none() => Backup::NotWanted,
        Some(plan) if all(home).iter().any(|backup| backup.plan == *plan) => Backup::Complete,
        _ => Backup::Missing,
    }
}

/// Every backup that is complete and still there, the oldest first; none where that cannot be read.
#[must_use]
pub fn all(home: &Home) -> Vec<Completion> {
    noted(home).unwrap_or_default()
}

/// Backups that the list names and that are not there under their names, or cannot be read now.
#[must_use]
pub fn away(home: &Home) -> Vec<Completion> {
    let mut away = known(home).unwrap_or_default();
    away.retain(|backup| !is_there(backup));
    away
}

/// The backup that was made for a plan. Its info is left out: a record does without it.
#[must_use]
pub fn of(home: &Home, plan: &Plan) -> Option<Completion> {
    let of = |backup: &Completion| backup.plan.name == plan.name && backup.plan.height == plan.height;
    all(home).into_iter().rfind(of)
}

/// Refuses a place for backups that lies within what is copied, is not there, or cannot be written.
///
/// # Errors
/// [`BackupError`], also where one of the folders cannot be found.
pub fn check_place(home: &Home) -> Result<(), BackupError> {
    let Some(chosen) = &home.backups else { return Ok(()) };
    place(home, chosen)?;
    written(chosen)
}

fn written(place: &Path) -> Result<(), BackupError> {
    let refused = |why: nix::Error| BackupError::Refused { place: place.to_owned(), why: why.into() };
    access(place, AccessFlags::W_OK | AccessFlags::X_OK).map_err(refused)
}

/// Saves the node to `<backup dir>/data-backup-<year>-<month>-<day>`, with a number behind it where the name is taken: what
/// is in `data/` as it is there, everything else in `.watcher/`. Links are followed; sockets and keys are left out. It is
/// complete only once everything is on the disk, noted, and under its name; what an earlier try left is taken away first.
///
/// # Errors
/// [`BackupError`]; then there is none.
pub fn take(
    home: &Home,
    plan: &Plan,
    now: &Zoned,
    stop: &AtomicBool,
    progress: Progress<'_>,
) -> Result<Completion, BackupError> {
    let Some(chosen) = &home.backups else { return Err(BackupError::Stopped) };
    let began = Instant::now();
    let place = made_place(home, chosen)?;
    let before = known(home)?;
    clear(home, &place, &place, &before)?;
    let path = free_name(home, &place, now, &before);
    let layout = Layout::of(home).map_err(at(&home.path))?;
    let (work, means) = work_for(home, &layout, &place, &layout::file_name(&path))?;
    for part in &work.parts {
        clear(home, &beside(&part.live), &place, &before)?;
    }
    keep::make_room(home, &work)?;
    let unfinished = place.join(ours(home, UNFINISHED));
    let complete = |bytes, shared| Completion {
        plan: plan.clone(),
        mount: mount_of(&place).map(Path::to_owned),
        path,
        token: ours(home, &now.timestamp().as_nanosecond().to_string()),
        means,
        made: now.timestamp().to_string(),
        milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        bytes,
        ahead: work.bytes(Way::Copied),
        shared,
        files: Some(work.files.len()),
        parts: work.parts.clone(),
        health: keep::Health::default(),
    };
    let made = saved(&layout, &work, &unfinished, complete, stop, progress);
    let completion = made.inspect_err(|error| {
        // A copy that is not whole is worth nothing, and its room may be what the node needs. One that was asked to
        // stop is in a hurry; the next one takes it away.
        if !matches!(error, BackupError::Stopped) {
            let _ = clear(home, &place, &place, &before);
        }
    })?;
    // Noted under a name that is not there yet: the rename completes it.
    let listing = listing();
    let mut backups = known(home)?;
    backups.push(completion.clone());
    note(home, &backups)?;
    drop(listing);
    carry::rename(&unfinished, &completion.path)?;
    Ok(completion)
}

/// Makes the place for backups where it is missing, and looks whether it can be written and the next one would fit.
///
/// # Errors
/// [`BackupError`].
pub fn room(home: &Home) -> Result<(), BackupError> {
    let Some(chosen) = &home.backups else { return Ok(()) };
    let place = made_place(home, chosen)?;
    written(&place)?;
    fits(home)
}

/// The place of backups. One that the operator chose is made by the operator: where it is missing, its disk is not mounted.
fn made_place(home: &Home, chosen: &Path) -> Result<PathBuf, BackupError> {
    if !home.manner.place_chosen {
        fs::create_dir_all(chosen).map_err(at(chosen))?;
    }
    let place = place(home, chosen)?;
    fs::create_dir_all(&place).map_err(at(&place))?;
    Ok(place)
}

/// Whether a backup would find its place there already, and room for it. Nothing is written.
///
/// # Errors
/// [`BackupError`].
pub fn fits(home: &Home) -> Result<(), BackupError> {
    let Some(chosen) = &home.backups else { return Ok(()) };
    let place = place(home, chosen)?;
    let layout = Layout::of(home).map_err(at(&home.path))?;
    keep::check_room(home, &work_for(home, &layout, &place, UNFINISHED)?.0)
}

/// What lies in a place until it is complete.
const UNFINISHED: &str = "backup-unfinished";
/// How the name of everything begins that a backup leaves outside its own folder.
const APART: &str = "backup-";
/// How the name of every backup begins.
const NAME: &str = "data-backup-";
/// Within a backup: what is noted of it in the list, for when there is none.
const NOTE: &str = ".watcher/note.json";
/// What earlier builds wrote instead of the note: the token alone.
const TOKEN: &str = ".watcher/token";
/// Within a backup: each file, how it was saved, and how it was then.
const FILES: &str = ".watcher/files";

/// What is to be done, and whether that makes a checkpoint: on another filesystem than the data everything is copied.
fn work_for(home: &Home, layout: &Layout, place: &Path, name: &str) -> Result<(Work, Means), At> {
    let (mut work, means) = work_without(home, layout, place, name)?;
    if means == Means::Checkpoint {
        ahead::use_in(&mut work, home, place);
    }
    Ok((work, means))
}

/// The same without what lies ready.
fn work_without(home: &Home, layout: &Layout, place: &Path, name: &str) -> Result<(Work, Means), At> {
    // What is not there yet will be made within what is.
    let place = place.ancestors().find(|folder| folder.is_dir()).unwrap_or(place);
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).map_err(at(path));
    let near = device(place)? == device(&layout.roots[0].live)?;
    let means = if near { home.manner.means } else { Means::Copy };
    let apart = (means == Means::Checkpoint).then_some(name);
    let apart = apart.map(|name| ours(home, &format!("{APART}{name}")));
    Work::of_backup(layout, place, apart.as_deref(), means).map(|work| (work, means))
}

fn saved<Note: Serialize>(
    layout: &Layout,
    work: &Work,
    folder: &Path,
    note: impl FnOnce(u64, u64) -> Note,
    stop: &AtomicBool,
    progress: Progress<'_>,
) -> Result<Note, BackupError> {
    fs::create_dir_all(folder.join(INNER)).map_err(at(folder))?;
    let copied = carry::carry(work, folder, stop, progress)?;
    let inner = folder.join(INNER);
    let note = note(copied, work.shared());
    let text = serde_json::to_vec(&note).map_err(io::Error::other).map_err(at(folder))?;
    for (path, content) in [(FILES, verify::listed(work)), (NOTE, text)] {
        let path = folder.join(path);
        fs::write(&path, content).and_then(|()| fs::File::open(&path)?.sync_all()).map_err(at(&path))?;
    }
    match fs::read(&layout.signing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        content => {
            let kept = folder.join(signing::KEPT);
            let content = content.map_err(at(&layout.signing))?;
            write_with_mode(&kept, &mut content.as_slice(), 0o600, true).map_err(at(&kept))?;
        }
    }
    sync_folder(&inner).and_then(|()| sync_folder(folder)).map_err(at(folder))?;
    Ok(note)
}

/// Where backups go: where the operator says; else in the home, or beside the data where those are on another filesystem.
fn place(home: &Home, chosen: &Path) -> Result<PathBuf, BackupError> {
    if home.manner.place_chosen {
        match fs::metadata(chosen) {
            Ok(found) if found.is_dir() => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(chosen)(error).into()),
            _ => return Err(BackupError::Gone { place: chosen.to_owned(), what: instead(chosen) }),
        }
    }
    let resolved = |path: &Path| fs::canonicalize(path).map_err(at(path));
    let (data, chosen) = (resolved(&home.data())?, resolved(chosen)?);
    if chosen.starts_with(&data) {
        return Err(BackupError::Inside(chosen));
    }
    // A list that cannot be read is told by whoever changes it.
    if home.manner.place_chosen
        && let Ok(List::Readable(listed)) = listed(home)
        && let Some(mount) = listed.iter().filter(|backup| backup.path.parent() == Some(&chosen)).find_map(not_mounted)
    {
        return Err(BackupError::NotMounted { place: chosen, mount: mount.to_owned() });
    }
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).map_err(at(path));
    if home.manner.means == Means::Copy || home.manner.place_chosen || device(&data)? == device(&chosen)? {
        return Ok(chosen);
    }
    let beside = beside(&data);
    Ok(if beside == data { data.join(format!("{OURS}backups")) } else { beside })
}

/// What a place is that is no folder, and what is to be done: for people.
fn instead(place: &Path) -> String {
    match fs::read_link(place) {
        _ if place.exists() => "is no folder: name one, or move it away and make the folder".to_owned(),
        Ok(to) => format!("leads to {}, which is not there: mount its disk, or make the folder", to.display()),
        Err(_) => "is not there any more: mount its disk, or make the folder".to_owned(),
    }
}

/// Takes away what nothing notes, and what is no part of a backup in the place of backups: one whose note is damaged is still
/// worth its data.
fn clear(home: &Home, folder: &Path, place: &Path, noted: &[Completion]) -> Result<(), At> {
    let known = |path: &Path| noted.iter().flat_map(|backup| &backup.parts).any(|part| part.at == path);
    let prefix = ours(home, APART);
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let name = layout::file_name(&path);
        let Some(of) = name.strip_prefix(&prefix) else { continue };
        let is_there = of.rsplit_once('-').is_some_and(|(of, _)| of.starts_with(NAME) && place.join(of).is_dir());
        if !known(&path) && !is_there {
            carry::remove(&path)?;
        }
    }
    Ok(())
}

/// Whether a folder is this backup.
fn is(folder: &Path, backup: &Completion) -> Result<bool, At> {
    if let Some(found) = read(folder)? {
        return Ok(found.token == backup.token);
    }
    let path = folder.join(TOKEN);
    match fs::read_to_string(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        read => read.map(|token| token == backup.token).map_err(at(&path)),
    }
}

/// Whether a backup is there under its name, as far as can be read.
fn is_there(backup: &Completion) -> bool {
    is(&backup.path, backup).unwrap_or(false)
}

/// The same as [`all`] for whoever changes something by it: where the list cannot be read for a moment, nothing is gone.
fn noted(home: &Home) -> Result<Vec<Completion>, At> {
    let mut backups = match listed(home)? {
        List::Readable(listed) => listed,
        List::Missing | List::Unreadable(_) => found(home)?,
    };
    backups.retain(is_there);
    Ok(backups)
}

/// What the list is to go on naming: what is there, and what may be there again under its name.
fn known(home: &Home) -> Result<Vec<Completion>, At> {
    match listed(home)? {
        List::Readable(mut listed) => {
            listed.retain(|backup| !is_gone(backup));
            Ok(listed)
        }
        List::Missing | List::Unreadable(_) => found(home),
    }
}

/// Whether nothing is left of a backup. One that cannot be read, whose disk is not mounted, or that has another name now may
/// come back.
fn is_gone(backup: &Completion) -> bool {
    let place = backup.path.parent().unwrap_or(&backup.path);
    let is_away = || !place.is_dir() || not_mounted(backup).is_some();
    matches!(is(&backup.path, backup), Ok(false)) && !is_away() && matches!(renamed(backup), Ok(None))
}

/// Where a backup is under another name. There it is none: it may be what the node runs on.
fn renamed(backup: &Completion) -> Result<Option<PathBuf>, At> {
    let place = backup.path.parent().unwrap_or(&backup.path);
    for path in entries(place)? {
        match is(&path, backup) {
            Ok(true) if path != backup.path => return Ok(Some(path)),
            // What this user made he can read.
            Err(error) if error.source.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// Where the disk of a backup that is not there is to be mounted, if it is not.
fn not_mounted(backup: &Completion) -> Option<&Path> {
    backup.mount.as_deref().filter(|mount| !backup.path.is_dir() && !is_mount(mount))
}

/// Where the filesystem of a folder is mounted.
fn mount_of(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| is_mount(folder))
}

fn is_mount(folder: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    device(folder).is_some_and(|own| folder.parent().is_none_or(|above| device(above) != Some(own)))
}

/// What is in a folder, but for what is not complete.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, At> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(at(folder))?;
    Ok(entries.iter().map(fs::DirEntry::path).filter(|path| !layout::file_name(path).starts_with(OURS)).collect())
}

/// What is wrong with the list of backups, if anything, and what is done about it: for people.
#[must_use]
pub fn flaw(home: &Home) -> Option<String> {
    let Ok(List::Unreadable(error)) = listed(home) else { return None };
    Some(format!(
        "{} cannot be understood: {error}. What counts is what the backups in {} say of themselves, and the next backup \
         writes the list anew; backups in other places or of earlier builds are not known",
        index(home).display(),
        home.backups.as_deref().unwrap_or(&home.path).display()
    ))
}

enum List {
    Missing,
    Unreadable(serde_json::Error),
    Readable(Vec<Completion>),
}

fn listed(home: &Home) -> Result<List, At> {
    let path = index(home);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(List::Missing),
        text => Ok(serde_json::from_slice(&text.map_err(at(&path))?).map_or_else(List::Unreadable, List::Readable)),
    }
}

/// The backups of this home in the place where they go now, by what they say of themselves.
fn found(home: &Home) -> Result<Vec<Completion>, At> {
    let place = home.backups.as_ref().and_then(|chosen| place(home, chosen).ok());
    let Some(place) = place.filter(|place| place.is_dir()) else { return Ok(Vec::new()) };
    let data = fs::canonicalize(home.data()).map_err(at(&home.data()))?;
    // Homes on other machines may have the same numbers.
    let is_ours = |note: &Completion| {
        note.token.starts_with(&ours(home, "")) && note.parts.first().is_some_and(|part| part.live == data)
    };
    let mut found: Vec<Completion> = Vec::new();
    for path in entries(&place)? {
        match read(&path) {
            Ok(note) => found.extend(note.filter(|note| is_ours(note))),
            // What this user made he can read.
            Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    // It ends with the time. A copy says the same as what was copied.
    found.sort_by(|one, other| one.token.cmp(&other.token));
    found.dedup_by(|one, other| one.token == other.token);
    Ok(found)
}

/// What a folder says of itself, if it is a backup.
fn read(backup: &Path) -> Result<Option<Completion>, At> {
    let path = backup.join(NOTE);
    match fs::read(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        text => text.map(|text| serde_json::from_slice(&text).ok()).map_err(at(&path)),
    }
}

/// Held by whoever reads the list to write it anew: health is noted beside the node's work, also while a backup is made.
fn listing() -> MutexGuard<'static, ()> {
    static LIST: Mutex<()> = Mutex::new(());
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

fn index(home: &Home) -> PathBuf {
    home.own().join("backups.json")
}

fn note(home: &Home, backups: &[Completion]) -> Result<(), At> {
    let index = index(home);
    if let List::Unreadable(_) = listed(home)? {
        carry::rename(&index, &index.with_extension("json.unreadable"))?;
    }
    let text = serde_json::to_vec_pretty(backups).map_err(io::Error::other);
    text.and_then(|text| write_whole(&index, &text, true)).map_err(at(&index))
}

/// The name that cosmovisor would use, without leading zeros, or the next that is free, also of parts of one that was renamed.
fn free_name(home: &Home, place: &Path, now: &Zoned, known: &[Completion]) -> PathBuf {
    let parts = known.iter().flat_map(|backup| &backup.parts).map(|part| layout::file_name(&part.at));
    let taken: Vec<_> = parts.filter_map(|part| Some(part.rsplit_once('-')?.0.to_owned())).collect();
    let is_free = |path: &PathBuf| !taken.contains(&ours(home, &format!("{APART}{}", layout::file_name(path))));
    let name = format!("{NAME}{}-{}-{}", now.year(), now.month(), now.day());
    numbered(place, &name).find(is_free).unwrap_or_else(|| unreachable!("a folder cannot hold every number"))
}

/// This name, with a number behind it where it is taken.
fn free(folder: &Path, name: &str) -> PathBuf {
    numbered(folder, name).next().unwrap_or_else(|| unreachable!("a folder cannot hold every number"))
}

fn numbered(folder: &Path, name: &str) -> impl Iterator<Item = PathBuf> {
    let names = std::iter::once(name.to_owned()).chain((2..).map(move |number| format!("{name}-{number}")));
    names.map(|name| folder.join(name)).filter(|path| fs::symlink_metadata(path).is_err())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> At + use<> {
    let path = path.to_owned();
    move |source| At { path, source }
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
        let first = take(&home, &plan(5), &now, &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert!(first.path.ends_with("data-backup-2026-1-5"));
        assert_eq!(first.bytes, if shares_blocks(place.path()) { 0 } else { 3 });
        assert_eq!(state(&home, Some(&plan(5))), Backup::Complete);
        assert_eq!(state(&home, Some(&plan(9))), Backup::Missing);
        fs::write(home.data().join("application.db/1.ldb"), "two!").unwrap();
        let second = take(&home, &plan(9), &now, &AtomicBool::new(false), &|_, _| {}).unwrap();
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
        let done = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert_eq!(fs::read(done.path.join("state")).unwrap(), b"kept");
        assert!(!done.path.join("socket").exists());
        home.backups = Some(home.data().join("backups"));
        let refused = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {});
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
        let done = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        let copied = if shares_blocks(place.path()) { 0 } else { 4 };
        assert_eq!((done.bytes, fs::read(done.path.join("state")).unwrap()), (copied, b"kept".to_vec()));
    }

    #[test]
    fn a_backup_that_was_stopped_is_not_complete_and_the_next_one_begins_anew() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        fs::write(home.data().join("state"), "kept").unwrap();
        let stopped = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(true), &|_, _| {});
        assert!(matches!(stopped, Err(BackupError::Stopped)), "{stopped:?}");
        assert_eq!(state(&home, Some(&plan(5))), Backup::Missing);
        take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert_eq!(state(&home, Some(&plan(5))), Backup::Complete);
    }

    /// A folder on another filesystem, where this machine has one.
    fn elsewhere() -> Option<tempfile::TempDir> {
        let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
        let folder = tempfile::tempdir_in("/dev/shm").ok()?;
        (device(folder.path()) != device(&std::env::temp_dir())).then_some(folder)
    }

    /// A home that keeps its backups, and beside it a folder on another filesystem with the database to which it links.
    fn home_with_a_database_elsewhere() -> Option<(tempfile::TempDir, tempfile::TempDir, Home)> {
        let elsewhere = elsewhere()?;
        let (keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let far = elsewhere.path().join("deep/application.db");
        database(&far);
        std::os::unix::fs::symlink(&far, home.data().join("application.db")).unwrap();
        Some((elsewhere, keep, home))
    }

    /// Whether the filesystem of this folder can share blocks: then nothing is linked, and nothing copied.
    fn shares_blocks(folder: &Path) -> bool {
        let [from, to] = [(); 2].map(|()| tempfile::tempfile_in(folder).unwrap());
        rustix::fs::ioctl_ficlone(to, from).is_ok()
    }

    /// A database with a table that never changes again and one that may.
    fn database(folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        for name in ["000001.ldb", "000002.log", "000003.ldb"] {
            fs::write(folder.join(name), name).unwrap();
        }
    }

    fn inode(path: &Path) -> u64 {
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn two_homes_that_keep_their_backups_in_one_place_leave_each_other_alone() {
        let place = tempfile::tempdir().unwrap();
        let [one, other] = [(); 2].map(|()| {
            let (keep, mut home) = home_with(&["genesis"]);
            home.backups = Some(place.path().to_owned());
            (keep, home)
        });
        let unfinished = place.path().join(ours(&other.1, UNFINISHED));
        fs::create_dir(&unfinished).unwrap();
        let first = take(&one.1, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert!(unfinished.exists());
        let second = take(&other.1, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert!(!unfinished.exists() && first.path != second.path);
        // Whoever noted a name that the other one has got by then has no backup.
        fs::remove_dir_all(&first.path).unwrap();
        note(&one.1, &[Completion { path: second.path, ..first }]).unwrap();
        assert_eq!(state(&one.1, Some(&plan(5))), Backup::Missing);
    }

    #[test]
    fn what_lies_on_another_filesystem_is_saved_there_and_comes_back_with_the_rest() {
        let Some(elsewhere) = elsewhere() else { return };
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let far = elsewhere.path().join("deep/application.db");
        database(&far);
        database(&home.data().join("state.db"));
        std::os::unix::fs::symlink(&far, home.data().join("application.db")).unwrap();
        let done = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        for (saved, live) in
            [(done.path.join("application.db"), &far), (done.path.join("state.db"), &home.data().join("state.db"))]
        {
            let linked = inode(&saved.join("000001.ldb")) == inode(&live.join("000001.ldb"));
            assert!(linked || shares_blocks(live));
            assert_ne!(inode(&saved.join("000003.ldb")), inode(&live.join("000003.ldb")));
        }
        assert_eq!(state(&home, Some(&plan(5))), Backup::Complete);
        fs::write(far.join("000003.ldb"), "after").unwrap();
        fs::write(home.data().join("state.db/000003.ldb"), "after").unwrap();
        let restored = restore::restore(&home, &done, &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert_eq!(fs::read_link(home.data().join("application.db")).unwrap(), far);
        for live in [&far, &home.data().join("state.db")] {
            assert_eq!(fs::read(live.join("000003.ldb")).unwrap(), b"000003.ldb");
        }
        let failed = elsewhere.path().join("deep").join(layout::file_name(&restored.failed[1]));
        assert_eq!(fs::read(failed.join("000003.ldb")).unwrap(), b"after");
        keep::remove(&home, &done).unwrap();
        let left: Vec<_> =
            fs::read_dir(elsewhere.path().join("deep")).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left.len(), 2, "the database and what failed: {left:?}");
    }

    #[test]
    fn a_backup_whose_note_is_damaged_keeps_its_data_on_other_filesystems() {
        let Some((_elsewhere, _keep, home)) = home_with_a_database_elsewhere() else { return };
        let first = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        fs::write(first.path.join(NOTE), "{\"plan").unwrap();
        take(&home, &plan(9), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert_eq!(fs::read(first.path.join("application.db/000003.ldb")).unwrap(), b"000003.ldb");
    }

    #[test]
    fn a_backup_that_was_renamed_is_none_and_keeps_what_it_has_on_other_filesystems_until_it_has_its_name_again() {
        let Some((_elsewhere, _keep, home)) = home_with_a_database_elsewhere() else { return };
        let taken = |height| take(&home, &plan(height), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        let first = taken(5);
        let renamed = home.path.join("before-v2");
        fs::rename(&first.path, &renamed).unwrap();
        assert_eq!((all(&home), state(&home, Some(&plan(5)))), (Vec::new(), Backup::Missing));
        let second = taken(9);
        for list_is_lost in [false, true] {
            if list_is_lost {
                fs::remove_file(index(&home)).unwrap();
            }
            assert_eq!((all(&home), away(&home)), (vec![second.clone()], vec![first.clone()]));
        }
        let third = taken(13);
        fs::rename(&renamed, &first.path).unwrap();
        assert_eq!(
            (all(&home), verify::verify(&first)),
            (vec![first.clone(), second.clone(), third.clone()], Vec::new())
        );
        fs::remove_dir_all(&first.path).unwrap();
        assert_eq!((all(&home), away(&home)), (vec![second, third], Vec::new()));
    }

    /// As one does it by hand: `mv data data.bad; mv data-backup-2026-11-1 data`.
    #[test]
    fn a_backup_that_the_node_runs_on_is_none_and_nobody_takes_it_away() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        database(&home.data().join("application.db"));
        let taken = |height| take(&home, &plan(height), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        let first = taken(5);
        fs::rename(home.data(), home.path.join("data.bad")).unwrap();
        fs::rename(&first.path, home.data()).unwrap();
        assert_eq!((all(&home), state(&home, Some(&plan(5)))), (Vec::new(), Backup::Missing));
        let again = taken(5);
        for list_is_lost in [false, true] {
            if list_is_lost {
                fs::remove_file(index(&home)).unwrap();
            }
            assert_eq!(all(&home), std::slice::from_ref(&again));
            // What it has elsewhere may be what the node runs on as well.
            let [lost] = &away(&home)[..] else { panic!("{:?}", away(&home)) };
            assert_eq!(keep::remove(&home, lost).unwrap_err().path, home.data());
            let is_there = |path: &Path| path.join("application.db/000003.ldb").exists();
            assert!(is_there(&home.data()) && is_there(&again.path));
        }
    }

    #[test]
    fn a_backup_on_a_disk_that_is_not_mounted_for_a_while_is_listed_when_it_comes_back() {
        let (keep, mut home) = home_with(&["genesis"]);
        let (disk, away) = (keep.path().join("disk"), keep.path().join("away"));
        fs::create_dir_all(disk.join("place")).unwrap();
        home.backups = Some(disk.join("place"));
        let taken = |home: &Home, height| take(home, &plan(height), &Zoned::now(), &AtomicBool::new(false), &|_, _| {});
        let first = taken(&home, 5).unwrap();
        fs::rename(&disk, &away).unwrap();
        home.backups = Some(home.path.clone());
        let second = taken(&home, 9).unwrap();
        assert_eq!((all(&home), super::away(&home)), (vec![second.clone()], vec![first.clone()]));
        fs::rename(&away, &disk).unwrap();
        assert_eq!((all(&home), super::away(&home)), (vec![first, second], Vec::new()));
    }

    /// Nothing would be seen of it but that the folder is empty.
    #[test]
    fn a_chosen_place_whose_disk_is_not_mounted_is_not_filled_on_the_disk_below() {
        let (_keep, mut home) = home_with(&["genesis"]);
        let (place, data) = (tempfile::tempdir().unwrap(), home.data());
        home.backups = Some(place.path().to_owned());
        home.manner.place_chosen = true;
        let taken = || take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {});
        let done = taken().unwrap();
        assert_eq!(done.mount.as_deref(), mount_of(&data));
        // As if the place had been a mount point.
        let done = Completion { mount: Some(place.path().to_owned()), ..done };
        note(&home, std::slice::from_ref(&done)).unwrap();
        let aside = home.path.join("aside");
        fs::rename(&done.path, &aside).unwrap();
        assert!(matches!(taken(), Err(BackupError::NotMounted { .. })));
        assert!(
            matches!(fits(&home), Err(BackupError::NotMounted { .. }))
                && ahead::copy(&home, &AtomicBool::new(false)).is_err()
        );
        assert_eq!((fs::read_dir(place.path()).unwrap().count(), all(&home)), (0, Vec::new()));
        fs::rename(&aside, &done.path).unwrap();
        assert_eq!(all(&home), std::slice::from_ref(&done));
        taken().unwrap();
        // It is lost for good.
        fs::remove_dir_all(&done.path).unwrap();
        assert!(matches!(taken(), Err(BackupError::NotMounted { .. })));
        keep::remove(&home, &done).unwrap();
        taken().unwrap();
    }

    #[test]
    fn a_chosen_place_that_is_gone_is_not_made_on_the_disk_below() {
        let (keep, mut home) = home_with(&["genesis"]);
        let gone = keep.path().join("not-mounted");
        home.backups = Some(gone.clone());
        home.manner.place_chosen = true;
        let taken = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {});
        assert!(matches!(taken, Err(BackupError::Gone { .. })) && !gone.exists());
        let said = || room(&home).unwrap_err().to_string();
        assert!(said().ends_with("not-mounted, which is not there any more: mount its disk, or make the folder"));
        std::os::unix::fs::symlink("elsewhere", &gone).unwrap();
        assert!(said().ends_with("which leads to elsewhere, which is not there: mount its disk, or make the folder"));
        fs::remove_file(&gone).unwrap();
        fs::write(&gone, "").unwrap();
        assert!(said().ends_with("which is no folder: name one, or move it away and make the folder"));
    }

    #[test]
    fn what_a_mount_has_for_root_alone_is_left_where_it_is() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        fs::create_dir(home.data().join("lost+found")).unwrap();
        fs::write(home.data().join("state"), "before").unwrap();
        let done = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert!(!done.path.join("lost+found").exists());
        restore::restore(&home, &done, &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert!(home.data().join("lost+found").is_dir());
    }

    #[test]
    fn a_shortened_list_of_files_is_a_flaw() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        fs::write(home.data().join("state"), "before").unwrap();
        let done = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert_eq!(verify::verify(&done), []);
        fs::write(done.path.join(FILES), "").unwrap();
        assert_eq!(verify::verify(&done).len(), 1);
    }

    #[test]
    fn what_was_copied_ahead_and_is_still_the_same_is_not_copied_again() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        fs::create_dir(home.path.join("wasm")).unwrap();
        fs::write(home.path.join("wasm/code"), "code").unwrap();
        fs::write(home.data().join("state"), "before").unwrap();
        let never = AtomicBool::new(false);
        assert_eq!(ahead::copied(&home, &never, std::time::Duration::from_hours(1)).unwrap(), 0, "too fresh");
        for _ in 0..2 {
            assert_eq!(ahead::copied(&home, &never, std::time::Duration::ZERO).unwrap(), 2);
        }
        assert_eq!(estimate::estimate(&home, &never).unwrap().unwrap().bytes, 0);
        fs::write(home.data().join("state"), "after it").unwrap();
        let done = take(&home, &plan(5), &Zoned::now(), &never, &|_, _| {}).unwrap();
        let expected = if shares_blocks(&home.data()) { (0, 0, 12) } else { (8, 4, 0) };
        assert_eq!((done.bytes, done.ahead, done.shared), expected);
        assert_eq!(fs::read(done.path.join("state")).unwrap(), b"after it");
        let code = done.path.join(".watcher/wasm/code");
        fs::write(home.path.join("wasm/code"), "changed").unwrap();
        assert_eq!((fs::read(&code).unwrap(), verify::verify(&done)), (b"code".to_vec(), Vec::new()));
        keep::prune(&home).unwrap();
        assert_eq!(fs::metadata(&code).unwrap().nlink(), 1, "what lay ready is gone");
    }

    #[test]
    fn to_a_place_on_another_filesystem_everything_is_copied_and_it_stays() {
        let Some(elsewhere) = elsewhere() else { return };
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(elsewhere.path().to_owned());
        home.manner.place_chosen = true;
        database(&home.data().join("state.db"));
        let estimate = estimate::estimate(&home, &AtomicBool::new(false)).unwrap().unwrap();
        let done = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert_eq!((done.means, done.bytes, done.shared), (Means::Copy, 30, 0));
        assert_eq!((estimate.bytes, estimate.shared, estimate.files), (30, 0, 3));
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "nothing is left of the estimate");
        restore::restore(&home, &done, &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert_eq!(verify::verify(&done), []);
    }

    #[test]
    fn a_checkpoint_goes_after_two_days_of_blocks_and_never_before_its_upgrade_has_passed() {
        use crate::{
            decide::facts::{Record, Version},
            home::record,
        };

        const HOUR: u64 = 3_600;
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let taken = |height| take(&home, &plan(height), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        let paths = || all(&home).into_iter().map(|backup| backup.path).collect::<Vec<_>>();
        let (first, second) = (taken(5), taken(9));
        let mut now = 1_000_000;
        let mut look = |height| {
            now += HOUR / 4;
            keep::look(&home, now, height).unwrap().len()
        };
        let mut record = Record::new(plan(9), Version::Genesis);
        record::write(&home, &record).unwrap();
        assert_eq!((0..400).position(|height| look(height) == 1), Some(4 * 48), "of the first only, after 48 hours");
        assert_eq!(paths(), std::slice::from_ref(&second.path));
        assert!(!first.path.exists() && keep::prune(&home).unwrap().is_empty());
        record.settle();
        record::write(&home, &record).unwrap();
        assert!((0..400).all(|_| look(7) == 0), "the node stands still");
        assert_eq!(paths(), [second.path]);
        let third = taken(12);
        assert_eq!(keep::prune(&home).unwrap().len(), 1, "one stays");
        assert_eq!(paths(), [third.path]);
    }

    #[test]
    fn a_checkpoint_may_go_however_far_its_upgrade_was_shown_to_have_come_and_not_after_a_fork() {
        use crate::{
            decide::facts::{Record, Verdict, Version},
            home::record,
        };

        let verdicts = [Verdict::Passed, Verdict::Agreed, Verdict::Signing, Verdict::Pending, Verdict::Forked];
        let went = verdicts.map(|verdict| {
            let (_keep, mut home) = home_with(&["genesis"]);
            home.backups = Some(home.path.clone());
            home.manner.keep = 0;
            take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
            record::write(&home, &Record { verdict, ..Record::new(plan(5), Version::Genesis) }).unwrap();
            keep::prune(&home).unwrap().len()
        });
        assert_eq!(went, [1, 1, 1, 0, 0]);
    }

    #[test]
    fn a_list_that_cannot_be_read_for_a_moment_drops_no_backup() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let taken = |height| take(&home, &plan(height), &Zoned::now(), &AtomicBool::new(false), &|_, _| {});
        let first = taken(5).unwrap();
        let aside = home.path.join("aside");
        fs::rename(index(&home), &aside).unwrap();
        fs::create_dir(index(&home)).unwrap();
        assert!(keep::prune(&home).is_err() && keep::remove(&home, &first).is_err() && taken(9).is_err());
        fs::remove_dir(index(&home)).unwrap();
        fs::rename(aside, index(&home)).unwrap();
        assert_eq!(all(&home), [first]);
    }

    #[test]
    fn a_list_that_cannot_be_understood_or_is_gone_drops_no_backup_and_is_made_anew_from_them() {
        let Some((_elsewhere, _keep, home)) = home_with_a_database_elsewhere() else { return };
        let taken = |height| take(&home, &plan(height), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        let mut backups = vec![taken(5)];
        let aside = index(&home).with_extension("json.unreadable");
        for (height, harm) in [(9, Some("[{\"plan\"")), (12, Some("{}")), (15, None)] {
            match harm {
                Some(text) => fs::write(index(&home), text).unwrap(),
                None => fs::remove_file(index(&home)).unwrap(),
            }
            assert_eq!(flaw(&home).is_some(), harm.is_some());
            assert_eq!((all(&home), keep::prune(&home).unwrap()), (backups.clone(), Vec::new()));
            backups.push(taken(height));
            assert!(flaw(&home).is_none() && all(&home) == backups);
            assert!(harm.is_none_or(|text| fs::read_to_string(&aside).unwrap() == text));
        }
        // Also what they have on the other filesystem, which only the list names.
        assert!(backups.iter().all(|backup| verify::verify(backup).is_empty()));
        // Another home's are not its own.
        let (_keep, mut other) = home_with(&["genesis"]);
        other.backups = Some(home.path.clone());
        assert_eq!(all(&other), []);
    }

    #[test]
    fn a_backup_of_an_earlier_build_that_has_no_note_in_it_is_there_as_long_as_the_list_names_it() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let done = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        fs::remove_file(done.path.join(NOTE)).unwrap();
        assert_eq!(all(&home), []);
        for (token, there) in [(done.token.as_str(), Backup::Complete), ("another", Backup::Missing)] {
            fs::write(done.path.join(TOKEN), token).unwrap();
            assert_eq!(state(&home, Some(&plan(5))), there);
        }
    }

    #[test]
    fn a_restore_tells_how_far_it_has_come_over_everything_it_copies() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        home.manner.means = Means::Copy;
        fs::create_dir(home.path.join("wasm")).unwrap();
        fs::write(home.path.join("wasm/code"), "code").unwrap();
        fs::write(home.data().join("state"), "before").unwrap();
        let done = take(&home, &plan(5), &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap();
        let told = std::sync::Mutex::new(Vec::new());
        let tell = |done, total| told.lock().unwrap().push((done, total));
        restore::restore(&home, &done, &Zoned::now(), &AtomicBool::new(false), &tell).unwrap();
        assert_eq!(told.into_inner().unwrap(), [(6, 10), (10, 10)]);
    }

    #[test]
    fn a_rehearsal_copies_a_part_of_what_is_to_be_copied_also_of_few_great_files() {
        let sampled = |count: usize, size: usize| {
            let (_keep, mut home) = home_with(&["genesis"]);
            home.manner.means = Means::Copy;
            for number in 0..count {
                fs::write(home.data().join(number.to_string()), vec![1; size]).unwrap();
            }
            let layout = Layout::of(&home).unwrap();
            let mut work = work_for(&home, &layout, &home.path, "rehearsal").unwrap().0;
            estimate::sampled(&mut work, 100)
        };
        assert_eq!([sampled(1, 50), sampled(1, 500), sampled(2, 150), sampled(100, 10)], [50, 100, 100, 100]);
    }
}
