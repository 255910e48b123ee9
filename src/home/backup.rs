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
mod list;
mod mount;
pub mod place;
pub mod restore;
pub(super) mod signing;
pub mod verify;
mod work;

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Instant,
};

use jiff::Zoned;
use serde::{Deserialize, Serialize};

use super::{Home, sync_folder, unless_missing, write_with_mode};
use crate::decide::plan::Plan;
pub use carry::{CarryError, Progress};
use layout::{INNER, Layout, beside, ours};
pub(super) use layout::{name, signing_state};
pub use list::{Completion, all, away, flaw, of, state, whereabouts};
pub(super) use mount::is_point;
pub use signing::{Reset, Unreadable};
pub use work::{Part, Room, Watched};
use work::{Watches, Way, Work};

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
    /// The node's arguments, where they are known: `--db_dir` comes before its configuration.
    pub node_arguments: Vec<OsString>,
}

impl Default for Manner {
    fn default() -> Self {
        let (more, node_arguments) = Default::default();
        Self { means: Means::Checkpoint, place_chosen: false, keep: 1, more, node_arguments }
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
    /// Something that the operator wants in it is missing.
    #[error("WATCHER_BACKUP_PATHS names {0}, which is not there: correct it, mount its disk, or take it out")]
    Missing(PathBuf),
    /// Something that the operator wants in it is what `watcher` works with.
    #[error(
        "WATCHER_BACKUP_PATHS names {named}, which {is} {ours}, and bringing it back would take away what a restore works \
         with: take it out, and name only what is the node's"
    )]
    Ours {
        /// As it is named.
        named: PathBuf,
        /// How it lies to that.
        is: &'static str,
        /// What is not to be in a backup.
        ours: PathBuf,
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
        "DAEMON_DATA_BACKUP_DIR is {place}, and {mount} is not mounted, {then}: mount it, name another \
         DAEMON_DATA_BACKUP_DIR, or {lost}"
    )]
    NotMounted {
        /// The place that the operator chose.
        place: PathBuf,
        /// Where its disk is to be mounted.
        mount: PathBuf,
        /// How that is known.
        then: &'static str,
        /// What is to be done where the disk does not come back.
        lost: String,
    },
    /// Something on disk failed.
    #[error("error while taking data backup: {0}")]
    Disk(#[from] At),
    /// The copy would not fit.
    #[error(
        "the backup needs {} {} and {} has {}: make room (`watcher backups list` shows what older ones hold), name another \
         DAEMON_DATA_BACKUP_DIR, or set UNSAFE_SKIP_BACKUP=true",
        .0.needed, .0.what, .0.place.display(), .0.free
    )]
    NoRoom(Room),
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

/// Saves the node to `<backup dir>/data-backup-<year>-<month>-<day>`, with a number behind it where the name is taken: what
/// is in `data/` as it is there, everything else in `.watcher/`. Links are followed; sockets and keys are left out. It is
/// complete only once everything is on the disk, noted, and under its name; what was made ahead, or left by an earlier try, is
/// brought up to date, and only what has changed is looked at where that was `watched`.
///
/// # Errors
/// [`BackupError`]; then there is none.
pub fn take(
    home: &Home,
    plan: &Plan,
    watched: Option<&mut Watched>,
    now: &Zoned,
    stop: &AtomicBool,
    progress: Progress<'_>,
) -> Result<Completion, BackupError> {
    let Some(chosen) = &home.backups else { return Err(BackupError::Stopped) };
    let place = place::made(home, chosen)?;
    let unfinished = ahead::begin(home, &place, plan.height)?;
    let completion = taken(home, (plan, watched), (&place, &unfinished), now, stop, progress).inspect_err(|error| {
        // What lay ready is gone on with by the next one, but where its room may be what the node needs.
        let _ = match error {
            BackupError::Disk(error) if carry::is_of_target(&error.source) => carry::remove(&unfinished),
            _ => ahead::put_back(home),
        };
    })?;
    // What is left is a list of what lay ready.
    let _ = ahead::clear(home);
    Ok(completion)
}

fn taken(
    home: &Home,
    (plan, watched): (&Plan, Option<&mut Watched>),
    (place, unfinished): (&Path, &Path),
    now: &Zoned,
    stop: &AtomicBool,
    progress: Progress<'_>,
) -> Result<Completion, BackupError> {
    let began = Instant::now();
    let before = list::known(home)?;
    clear(home, place, place, &before)?;
    let path = place::free_name(home, place, now, &before)?;
    let layout = Layout::of(home).map_err(at(&home.path))?;
    let watched = watched.filter(|_| home.manner.means == Means::Checkpoint);
    let known = watched.and_then(|watched| watched.up_to_date(&layout, place, unfinished));
    let (work, means) = if let Some(work) = known {
        (work, Means::Checkpoint)
    } else {
        let (mut work, means) = work_for(home, &layout, place, &layout::file_name(&path), unfinished, None)?;
        ahead::keep_in(&mut work, unfinished)?;
        (work, means)
    };
    for part in &work.parts {
        clear(home, &beside(&part.live), place, &before)?;
    }
    keep::make_room(home, &work)?;
    let complete = |bytes, shared| Completion {
        plan: plan.clone(),
        home: layout::resolved(&home.path),
        mount: place::mount_of(place).map(Path::to_owned),
        path,
        token: ours(home, &now.timestamp().as_nanosecond().to_string()),
        means,
        made: now.timestamp().to_string(),
        milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        bytes,
        ahead: work.bytes(Way::Copied),
        shared,
        files: work.files.len(),
        parts: work.parts.clone(),
        health: keep::Health::default(),
    };
    let completion = saved(&layout, &work, unfinished, complete, stop, progress)?;
    // Noted under a name that is not there yet: the rename completes it, before anybody looks for it.
    let _listing = list::listing(home)?;
    let mut backups = list::known(home)?;
    backups.push(completion.clone());
    list::note(home, &backups)?;
    carry::rename(unfinished, &completion.path)?;
    Ok(completion)
}

/// Makes the place for backups where it is missing, and looks whether it can be written and the next one would fit. Where it
/// lies ready, and there is plenty of what it is known to need, files are not counted once more.
///
/// # Errors
/// [`BackupError`].
pub fn room(home: &Home, known: &[Room]) -> Result<(), BackupError> {
    let Some(chosen) = &home.backups else { return Ok(()) };
    let place = place::made(home, chosen)?;
    place::written(&place)?;
    if known.is_empty() || !ahead::tree(home, &place).is_dir() || !known.iter().all(keep::is_ample) {
        return fits(home);
    }
    Layout::of(home).map_err(at(&home.path))?;
    Ok(())
}

/// Whether a backup could read all that it copies, and would find its place there already, and room for it. Nothing is written.
///
/// # Errors
/// [`BackupError`].
pub fn fits(home: &Home) -> Result<(), BackupError> {
    let Some(chosen) = &home.backups else { return Ok(()) };
    is_all_there(home)?;
    let place = place::of(home, chosen)?;
    let layout = Layout::of(home).map_err(at(&home.path))?;
    let (work, _) = work_for(home, &layout, &place, UNFINISHED, &ahead::tree(home, &place), None)?;
    work.places().try_for_each(place::written)?;
    work.check_readable()?;
    keep::check_room(home, &work)
}

/// Whether everything is there that `WATCHER_BACKUP_PATHS` names, and may be in a backup.
///
/// # Errors
/// [`BackupError::Missing`], [`BackupError::Ours`].
pub fn is_all_there(home: &Home) -> Result<(), BackupError> {
    layout::check_more(home)?;
    let mut paths = home.manner.more.iter().map(|path| home.path.join(path));
    let missing = paths.find(|path| matches!(path.try_exists(), Ok(false)));
    missing.map_or(Ok(()), |path| Err(BackupError::Missing(path)))
}

/// What lies in a place until it is complete.
const UNFINISHED: &str = "unfinished";
/// How the name of everything begins that a backup leaves outside its own folder.
const APART: &str = "backup-";
/// How the name of every backup begins.
const NAME: &str = "data-backup-";
/// Within a backup: what is noted of it in the list, for when there is none.
const NOTE: &str = ".watcher/note.json";
/// Within a backup: each file, how it was saved, and how it was then.
const FILES: &str = ".watcher/files";

/// What is to be done, and whether that makes a checkpoint: on another mount than the data everything is copied. What lies
/// ready lies in `tree`.
fn work_for(
    home: &Home,
    layout: &Layout,
    place: &Path,
    name: &str,
    tree: &Path,
    watches: Option<Watches>,
) -> Result<(Work, Means), At> {
    let there = place::there(place);
    let near = mount::near(&layout.roots[0].live, there).map_err(at(there))?;
    let means = if near { home.manner.means } else { Means::Copy };
    let apart = (means == Means::Checkpoint).then_some(name);
    let apart = apart.map(|name| ours(home, &format!("{APART}{name}")));
    let mut work = Work::of_backup(layout, there, apart.as_deref(), watches)?.chosen(means);
    if means == Means::Checkpoint {
        ahead::use_in(&mut work, &ahead::noted(home), tree);
    }
    Ok((work, means))
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
    if let Some(content) = unless_missing(fs::read(&layout.signing)).map_err(at(&layout.signing))? {
        let kept = folder.join(signing::KEPT);
        write_with_mode(&kept, &mut content.as_slice(), 0o600, true).map_err(at(&kept))?;
    }
    sync_folder(&inner).and_then(|()| sync_folder(folder)).map_err(at(folder))?;
    Ok(note)
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

fn at(path: &Path) -> impl FnOnce(io::Error) -> At + use<> {
    let path = path.to_owned();
    move |source| At { path, source }
}

#[cfg(test)]
mod tests;
