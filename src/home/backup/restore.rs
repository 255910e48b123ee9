//! Brings a backup back: everything that it covers together, or nothing. Nothing is deleted: what was there is renamed.
//!
//! The restored folders are made whole beside the node's first. Then what is to change places is written down, and from
//! there on only renames are left, which whoever comes next completes.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use jiff::Zoned;
use serde::{Deserialize, Serialize};

use super::{
    At, CarryError, Completion, Part, Progress, at, carry,
    layout::{Layout, OURS, Pattern, beside, file_name, identity, is_ours, ours, resolved},
    list,
    mount::{self, Mount},
    place,
    signing::{self, Reset, Unreadable},
    verify::{Flaw, verify},
    work::{Room, Way, Work},
};
use crate::{
    decide::plan::Plan,
    home::{Home, SMALL, if_there, lock, make_folders, read_small, record, sync_folder, unless_missing, write_whole},
};

/// How the names of folders go on that are to change places with the node's.
const RESTORED: &str = "restored-";

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What was there before, under its new names.
    pub failed: Vec<PathBuf>,
    /// Height, round and step that the validator signed last, as they hold now.
    pub signed: Option<(u64, u64, u64)>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is not what it was.
    #[error("the backup was changed since it was made, and is not used: {}: {}", .0.path.display(), .0.reason)]
    Flawed(Flaw),
    /// Nobody knows what the validator signed last.
    #[error(
        "nothing is restored while it is not known what the validator signed last, which could make it sign a height twice: {0}"
    )]
    Signing(#[from] Unreadable),
    /// A node works on what is to be replaced.
    #[error("{0} is held open by a process: stop the node that works on it, however it was started")]
    Open(PathBuf),
    /// What is there cannot make room.
    #[error("{path} cannot make room for what comes back: {reason}")]
    Stuck {
        /// What cannot be moved, or a folder that nothing can be moved out of.
        path: PathBuf,
        /// Why, and what is to be done.
        reason: String,
    },
    /// It was begun by another home, or where this one was before.
    #[error(
        "{note} tells of a restore that was begun in {live}, and this home's data are in {data}: move the home back there to \
         have it completed; where this home is a copy, bring it whole data and remove that file"
    )]
    Elsewhere {
        /// What tells of it.
        note: PathBuf,
        /// The data that it is about.
        live: PathBuf,
        /// The data of this home.
        data: PathBuf,
    },
    /// There is no room for it.
    #[error(
        "the restored files need {} {}, and {} has {}: make room, for what was there stays",
        .0.needed, .0.what, .0.place.display(), .0.free
    )]
    NoRoom(Room),
    /// Nobody knows how far one is that was interrupted.
    #[error(
        "a restore was interrupted, and {}, which says what is left of it, cannot be understood: {}: no node is started before \
         you move it away; data and configuration may be half of then and half of now, so bring the backup back anew with \
         `watcher backups restore`",
        .0.path.display(), .0.source
    )]
    Forgotten(At),
    /// Something on disk failed.
    #[error("the restore failed: {0}")]
    Disk(#[from] At),
    /// It was asked to stop.
    #[error("the restore was stopped, and nothing is changed")]
    Stopped,
}

impl From<CarryError> for RestoreError {
    fn from(error: CarryError) -> Self {
        match error {
            CarryError::Stopped => Self::Stopped,
            CarryError::Disk(error) => Self::Disk(error),
        }
    }
}

/// What is to change places.
#[derive(Debug, Serialize, Deserialize)]
struct Swap {
    /// The upgrade before which the backup was made.
    plan: Plan,
    folders: Vec<Change>,
    /// The signing state that is to hold, and where, where the node's own is an older one.
    signing: Option<(PathBuf, String)>,
    /// Names that stay where they are, each with its folder.
    stay: Vec<PathBuf>,
}

/// The entries of one folder.
#[derive(Debug, Serialize, Deserialize)]
struct Change {
    /// The node's folder, which stays.
    live: PathBuf,
    only: Pattern,
    /// Where the new entries come from.
    new: PathBuf,
    /// Where the old entries go.
    failed: PathBuf,
}

/// Whether a restore was interrupted where it could not be taken back any more: nothing may be started before [`resume`].
#[must_use]
pub fn is_pending(home: &Home) -> bool {
    !matches!(fs::symlink_metadata(swap_path(home)), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Why the backup before an upgrade would not be brought back: nobody knows what the validator signed last.
#[must_use]
pub fn refusal(home: &Home, plan: &Plan) -> Option<String> {
    let backup = super::of(home, plan)?;
    match Layout::of(home) {
        Ok(layout) => signing::later(&layout.signing, &backup.path.join(signing::KEPT)).err().map(|e| e.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// Why the backup before an upgrade could not be brought back, whatever is known: something cannot be moved. Nothing is tried.
#[must_use]
pub fn obstacle(home: &Home, plan: &Plan) -> Option<String> {
    let (backup, layout) = super::of(home, plan).zip(Layout::of(home).ok())?;
    let stuck = backup.parts.iter().filter_map(|part| staying(&layout, &backup, part).err());
    stuck.filter(|error| matches!(error, RestoreError::Stuck { .. })).map(|error| error.to_string()).next()
}

/// That the node's own signing state is behind the backup's, or was at an earlier restore, and nothing was signed since. A restore
/// goes on with the backup's, which may be older than what was signed last.
#[must_use]
pub fn reset(home: &Home, backup: &Completion) -> Option<Reset> {
    let layout = Layout::of(home).ok()?;
    let kept = signing::later(&layout.signing, &backup.path.join(signing::KEPT)).ok()??.at;
    let live = signing::read(&layout.signing).ok()??.at;
    if live < kept {
        return Some(Reset { live, kept });
    }
    let raised: Reset = serde_json::from_slice(&read_small(&reset_path(home), SMALL).ok()?).ok()?;
    (raised.kept == live).then_some(raised)
}

/// Why one that was interrupted cannot be completed, as far as can be told without trying.
#[must_use]
pub fn impasse(home: &Home) -> Option<String> {
    pending(home).err().map(|error| error.to_string())
}

/// What is left of one that was interrupted, where it is this home's.
fn pending(home: &Home) -> Result<Option<Swap>, RestoreError> {
    let path = swap_path(home);
    let Some(text) = unless_missing(fs::read(&path)).map_err(at(&path))? else { return Ok(None) };
    let swap: Result<Swap, _> = serde_json::from_slice(&text).map_err(io::Error::other).map_err(at(&path));
    let swap = swap.map_err(RestoreError::Forgotten)?;
    swap.check_home(home)?;
    Ok(Some(swap))
}

/// Completes a restore that was interrupted.
///
/// # Errors
/// [`RestoreError`].
pub fn resume(home: &Home) -> Result<(), RestoreError> {
    let Some(swap) = pending(home)? else { return Ok(()) };
    swap.carry_out(home)?;
    // Before it is forgotten, or a kill would have it done twice.
    // Where it is written and not synced, everybody sees it: then it is done.
    let noted = record::restored(home, &swap.plan).or_else(|_| record::restored(home, &swap.plan));
    noted.map_err(at(&home.record()))?;
    let path = swap_path(home);
    fs::remove_file(&path).and_then(|()| sync_folder(&home.own())).map_err(at(&path))?;
    Ok(())
}

/// What a restore left that ended before anything was changed: folders on their way to change places. While one is under way,
/// they are that one's.
#[must_use]
pub fn left(home: &Home) -> Vec<PathBuf> {
    let of_backups = list::named(home).into_iter().flat_map(|backup| backup.parts).map(|part| part.live);
    let of_node = Layout::of(home).map(|layout| layout.roots).unwrap_or_default().into_iter().map(|root| root.live);
    let folders: BTreeSet<_> = of_backups.chain(of_node).map(|live| beside(&live)).collect();
    let prefix = ours(home, RESTORED);
    let is_left =
        |path: &PathBuf| file_name(path).strip_prefix(&prefix).is_some_and(|end| end.parse::<usize>().is_ok());
    let entries = folders.iter().filter(|_| !is_pending(home)).flat_map(fs::read_dir).flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_left).collect()
}

/// Removes [`left`], for whoever works on the home alone: nobody else restores meanwhile. Gives what was removed.
///
/// # Errors
/// [`At`].
pub fn clear(home: &Home, _alone: &lock::Supervisor) -> Result<Vec<PathBuf>, At> {
    let left = left(home);
    for path in &left {
        carry::remove(path)?;
        tracing::info!(path = %path.display(), "removed what a restore left that ended before it changed anything");
    }
    Ok(left)
}

/// Brings a backup back. No node may run. The later one of both signing states holds afterwards.
///
/// # Errors
/// [`RestoreError`]; then nothing was changed, or [`is_pending`].
pub fn restore(
    home: &Home,
    backup: &Completion,
    now: &Zoned,
    stop: &AtomicBool,
    progress: Progress<'_>,
) -> Result<Restored, RestoreError> {
    resume(home)?;
    if let Some(flaw) = verify(backup).into_iter().next() {
        return Err(RestoreError::Flawed(flaw));
    }
    let closed = || backup.parts.iter().try_for_each(|part| closed(&part.live));
    closed()?;
    make_folders(&home.data()).map_err(at(&home.data()))?;
    let layout = Layout::of(home).map_err(at(&home.path))?;
    let signed = signing::later(&layout.signing, &backup.path.join(signing::KEPT))?;
    let mut swap = Swap { plan: backup.plan.clone(), folders: Vec::new(), signing: None, stay: Vec::new() };
    let mut works = Vec::new();
    for (number, part) in backup.parts.iter().enumerate() {
        make_folders(&part.live).map_err(at(&part.live))?;
        let beside = beside(&part.live);
        let new = beside.join(ours(home, &format!("{RESTORED}{number}")));
        carry::remove(&new)?;
        let (year, month, day) = (now.year(), now.month(), now.day());
        let prefix = if beside == part.live { OURS.to_owned() } else { format!("{}-", file_name(&part.live)) };
        let failed = place::free(&beside, &format!("{prefix}failed-{year}-{month}-{day}"))?;
        // Two parts of one folder.
        let taken = swap.folders.iter().filter(|change| change.failed == failed).count();
        let failed =
            if taken == 0 { failed } else { failed.with_file_name(format!("{}-{number}", file_name(&failed))) };
        let work = Work::of_restore(&layout, &backup.path, (part, &backup.parts), &new, backup.means)?;
        works.push(work);
        swap.folders.push(Change { live: part.live.clone(), only: part.only.clone(), new, failed });
    }
    swap.staying(&layout, backup)?;
    for work in &works {
        if let Some(room) = work.room()?.into_iter().find(|room| !room.is_there()) {
            return Err(RestoreError::NoRoom(room));
        }
    }
    let (mut done, total) = (0, works.iter().map(|work| work.bytes(Way::Copy)).sum());
    for (work, change) in works.iter().zip(&swap.folders) {
        let copied = carry::carry(work, &change.new, stop, &|copied, _| progress(done + copied, total));
        done += copied.inspect_err(|error| {
            // Its room may be what is missing, and nobody may try again. One that was asked to stop is in a hurry: see `clear`.
            if !matches!(error, CarryError::Stopped) {
                swap.folders.iter().for_each(|change| drop(carry::remove(&change.new)));
            }
        })?;
    }
    // Hours may have passed.
    closed()?;
    if stop.load(Ordering::Relaxed) {
        return Err(RestoreError::Stopped);
    }
    swap.stay = swap.staying(&layout, backup)?;
    for path in swap.stay.iter().filter(|path| !is_part(backup, path)) {
        tracing::warn!("{} is mounted there: it is left as it is", path.display());
    }
    swap.keep_personal(&layout, signed.as_ref())?;
    let path = swap_path(home);
    let text = serde_json::to_vec_pretty(&swap).map_err(io::Error::other);
    text.and_then(|text| write_whole(&path, &text, true)).map_err(at(&path))?;
    resume(home)?;
    let failed = swap.folders.into_iter().map(|change| change.failed).filter(|failed| failed.exists()).collect();
    Ok(Restored { failed, signed: signed.map(|signed| signed.at) })
}

impl Swap {
    /// Refuses what is about other folders than this home's: one that was copied or renamed has the note of that one, or of then.
    fn check_home(&self, home: &Home) -> Result<(), RestoreError> {
        let data = resolved(&home.data());
        match self.folders.first() {
            Some(Change { live, new, .. }) if *live != data || !is_ours(home, &file_name(new)) => {
                Err(RestoreError::Elsewhere { note: swap_path(home), live: live.clone(), data })
            }
            _ => Ok(()),
        }
    }

    /// What stays, where all else can change places.
    fn staying(&self, layout: &Layout, backup: &Completion) -> Result<Vec<PathBuf>, RestoreError> {
        let mut stay = Vec::new();
        for (part, change) in backup.parts.iter().zip(&self.folders) {
            stay.append(&mut staying(layout, backup, part)?);
            change.tried()?;
        }
        Ok(stay)
    }

    /// Keys and the signing state stay where they are; those that lie deeper get into the new folders beforehand.
    fn keep_personal(&mut self, layout: &Layout, signed: Option<&signing::Signed>) -> Result<(), RestoreError> {
        let own = signing::read(&layout.signing)?;
        if let Some(signed) = signed.filter(|signed| Some(*signed) != own.as_ref()) {
            self.signing = Some((layout.signing.clone(), String::from_utf8_lossy(&signed.content).into_owned()));
        }
        for change in &self.folders {
            for path in layout.personal_in(&change.live, &change.only).map_err(at(&change.live))? {
                let inner = path.strip_prefix(&change.live).unwrap_or(&path);
                if inner.components().count() == 1 {
                    self.stay.push(path);
                    continue;
                }
                let to = change.new.join(inner);
                let own = identity(&path).map_err(at(&path))?;
                let is_state = if_there(identity(&layout.signing)).map_err(at(&layout.signing))? == Some(own);
                let content = signed.filter(|_| is_state).map(|signed| signed.content.clone());
                let content = content.map_or_else(|| fs::read(&path), Ok).map_err(at(&path))?;
                let folders: Vec<_> = inner.ancestors().skip(1).collect();
                let mut folders = folders.into_iter().rev();
                folders.try_for_each(|of| carry::folder_alike(&change.new.join(of), &change.live.join(of)))?;
                carry::write_alike(&to, &content, &fs::metadata(&path).map_err(at(&path))?)?;
            }
        }
        Ok(())
    }

    /// Every step can be taken again: what was moved is not there any more.
    fn carry_out(&self, home: &Home) -> Result<(), RestoreError> {
        let mut left = Vec::new();
        for change in &self.folders {
            if change.new.try_exists().map_err(at(&change.new))? {
                closed(&change.live)?;
                left.push(change);
            }
        }
        // Once it is all done there is nothing to bring back, however much later this is tried.
        if let Some((path, content)) = self.signing.as_ref().filter(|_| !left.is_empty()) {
            let kept = signing::understood(path, content.clone().into_bytes())?;
            // A node may have signed since it was written down.
            let live = signing::read(path)?.map(|now| now.at);
            if live.is_none_or(|live| live < kept.at) {
                let there = if_there(fs::metadata(path));
                let around = || fs::metadata(path.parent().unwrap_or(path));
                let alike = there.and_then(|there| there.map_or_else(around, Ok)).map_err(at(path))?;
                if let Some(live) = live {
                    let (reset, note) = (Reset { live, kept: kept.at }, reset_path(home));
                    tracing::warn!("{reset}");
                    // Once the state is written, nothing else tells of it.
                    let text = serde_json::to_vec(&reset).map_err(io::Error::other);
                    text.and_then(|text| write_whole(&note, &text, true)).map_err(at(&note))?;
                }
                carry::write_alike(path, content.as_bytes(), &alike)?;
            }
        }
        left.into_iter().try_for_each(|change| Ok(self.change(change)?))
    }

    fn change(&self, Change { live, only, new, failed }: &Change) -> Result<(), At> {
        // It has its name once everything old is in it.
        if !failed.try_exists().map_err(at(failed))? {
            let leaving = failed.with_file_name(format!("{OURS}leaving-{}", file_name(failed)));
            make_folders(&leaving).map_err(at(&leaving))?;
            for entry in fs::read_dir(live).map_err(at(live))? {
                let entry = entry.map_err(at(live))?;
                let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
                if !only.moves(&name) || self.stay.contains(&path) {
                    continue;
                }
                fs::rename(&path, leaving.join(entry.file_name())).map_err(at(&path))?;
            }
            let permissions = fs::metadata(live).map_err(at(live))?.permissions();
            fs::set_permissions(&leaving, permissions).map_err(at(&leaving))?;
            sync_folder(&leaving).map_err(at(&leaving))?;
            carry::rename(&leaving, failed)?;
        }
        for entry in fs::read_dir(new).map_err(at(new))? {
            let entry = entry.map_err(at(new))?;
            let to = live.join(entry.file_name());
            if self.stay.contains(&to) {
                continue;
            }
            fs::rename(entry.path(), &to).map_err(at(&to))?;
        }
        for (path, target) in links_replaced(failed, live) {
            tracing::warn!(
                "{} was a link to {}, and is a file now, with what that had in it then: link it again where you want that",
                path.display(),
                target.display()
            );
        }
        sync_folder(live).map_err(at(live))?;
        carry::remove(new)
    }
}

/// Links in a folder that was, whose place in the one that is has a file. What they lead to is somebody else's to change.
fn links_replaced(was: &Path, is: &Path) -> Vec<(PathBuf, PathBuf)> {
    let entries = fs::read_dir(was).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| Some((is.join(entry.file_name()), fs::read_link(entry.path()).ok()?)));
    links.filter(|(path, _)| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())).collect()
}

impl Change {
    /// Tries with a file of our own whether anything can be moved: what mounts and permissions allow, only the system knows.
    fn tried(&self) -> Result<(), RestoreError> {
        let (here, there) = (self.live.join(format!("{OURS}tried")), self.new.with_extension("tried"));
        let tried =
            fs::write(&here, []).and_then(|()| fs::rename(&here, &there)).and_then(|()| fs::remove_file(&there));
        tried.map_err(|error| {
            let _ = fs::remove_file(&here);
            let reason = format!(
                "nothing can be moved from it to {}: {error}: both must be on one mount, and this user's to be written",
                there.parent().unwrap_or(&there).display()
            );
            RestoreError::Stuck { path: self.live.clone(), reason }
        })
    }
}

/// What stays in a part's own folder: what is mounted there, or is a part of its own. Nothing is written.
fn staying(layout: &Layout, backup: &Completion, part: &Part) -> Result<Vec<PathBuf>, RestoreError> {
    let (live, mut stay) = (&part.live, Vec::new());
    let stuck = |path: &Path, reason: String| Err(RestoreError::Stuck { path: path.to_owned(), reason });
    let Some(entries) = unless_missing(fs::read_dir(live)).map_err(at(live))? else { return Ok(stay) };
    if let Some(reason) = mount::held(live) {
        return stuck(live, reason);
    }
    let here = Mount::of(live).map_err(at(live))?;
    for entry in entries {
        let entry = entry.map_err(at(live))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if !part.only.moves(&name) {
            continue;
        }
        if path.starts_with(&layout.root) || layout.root.starts_with(&path) {
            let kept = backup.path.join(&part.at);
            let reason = format!(
                "a restore works with what is in {}, and would take it away: with the node stopped, bring back by hand what is \
                 the node's in {}",
                layout.root.display(),
                kept.display()
            );
            return stuck(live, reason);
        }
        let meta = entry.metadata().map_err(at(&path))?;
        if meta.is_symlink() {
            continue;
        }
        let mounted = !here.holds(Mount::of(&path).map_err(at(&path))?, meta.is_dir());
        if is_part(backup, &path) {
            stay.push(path);
        } else if let Some(part) = backup.parts.iter().find(|part| part.live.starts_with(&path)) {
            let inner = part.live.display();
            return stuck(&path, format!("{inner} in it was mounted: mount it elsewhere, and have a link lead there"));
        } else if mounted && meta.is_dir() && backup.path.join(&part.at).join(&name).is_dir() {
            return stuck(&path, "it was saved while nothing was mounted there: unmount it".to_owned());
        } else if mounted {
            stay.push(path);
        } else if let Some(reason) = mount::held(&path)
            && !layout.is_personal(&path, &meta).map_err(at(&path))?
        {
            return stuck(&path, reason);
        }
    }
    Ok(stay)
}

/// Refuses a folder of which a process has a database open.
fn closed(live: &Path) -> Result<(), RestoreError> {
    lock::open_database(live).map_err(at(live))?.map_or(Ok(()), |database| Err(RestoreError::Open(database)))
}

/// Whether a folder is one of a backup's own parts.
fn is_part(backup: &Completion, path: &Path) -> bool {
    backup.parts.iter().any(|part| part.live == path)
}

fn swap_path(home: &Home) -> PathBuf {
    home.own().join("restore.json")
}

fn reset_path(home: &Home) -> PathBuf {
    home.own().join("reset.json")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::home::backup::{Means, tests::*};

    /// Nothing was moved yet. Gives where the new entries come from.
    fn interrupted(home: &Home, signing: Option<(PathBuf, String)>) -> PathBuf {
        let [new, failed] = [&ours(home, "restored"), "failed"].map(|name| home.path.join(name));
        fs::create_dir(&new).unwrap();
        let folders = vec![Change { live: home.data(), only: Pattern::default(), new: new.clone(), failed }];
        let stay = signing.iter().map(|(path, _)| path.clone()).collect();
        let swap = Swap { plan: plan(5), folders, signing, stay };
        fs::write(swap_path(home), serde_json::to_vec(&swap).unwrap()).unwrap();
        new
    }

    #[test]
    fn what_is_left_of_a_restore_is_removed_unless_that_is_to_be_completed_and_nothing_else_is() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        fs::create_dir_all(home.path.join("logs/wal")).unwrap();
        home.manner.more = vec!["logs/wal".into()];
        taken(&home, 5);
        home.manner.more.clear();
        let make = |path: &Path| fs::create_dir(path).unwrap();
        let halves =
            [home.path.join(ours(&home, "restored-0")), home.path.join("logs").join(ours(&home, "restored-12"))];
        let another = format!("{OURS}another-restored-0");
        let others =
            [&ours(&home, "restored-"), &ours(&home, "restored-x"), &ours(&home, "ahead"), &another, "restored-0"];
        let others = others.map(|name| home.path.join(name));
        halves.iter().chain(&others).for_each(|path| make(path));
        let alone = lock::supervise(&home).unwrap();
        fs::write(swap_path(&home), "").unwrap();
        assert_eq!(clear(&home, &alone).unwrap(), Vec::<PathBuf>::new(), "it is to be completed");
        fs::remove_file(swap_path(&home)).unwrap();
        assert_eq!(clear(&home, &alone).unwrap(), halves);
        assert!(halves.iter().all(|path| !path.exists()) && others.iter().all(|path| path.exists()));
    }

    /// It was killed, and somebody started the node before it was completed, or its last sync failed.
    #[test]
    fn a_restore_that_is_completed_later_never_takes_the_signing_state_back() {
        let at_7 = r#"{"height": "7", "round": 0, "step": 3}"#;
        let at_9 = r#"{"height": "9", "round": 0, "step": 1}"#;
        let at_3 = r#"{"height": "3", "round": 2, "step": 3}"#;
        for (now, all_done, then) in [
            (Some(at_9), false, Some(at_9)),
            (Some(at_3), false, Some(at_7)),
            (None, false, Some(at_7)),
            (Some("half"), false, None),
            (Some("half"), true, Some("half")),
        ] {
            let (_keep, home) = home_with(&["genesis"]);
            let path = home.data().join("priv_validator_state.json");
            now.inspect(|now| fs::write(&path, now).unwrap());
            let new = interrupted(&home, Some((path.clone(), at_7.to_owned())));
            if all_done {
                fs::remove_dir(new).unwrap();
            }
            let resumed = resume(&home).map(|()| fs::read_to_string(&path).unwrap());
            assert_eq!((resumed.ok().as_deref(), is_pending(&home)), (then, then.is_none()), "{now:?} {all_done}");
        }
    }

    #[test]
    fn a_restore_that_was_begun_where_the_home_was_before_or_by_another_is_not_completed_there() {
        let (keep, mut home) = home_with(&["genesis"]);
        fs::write(home.data().join("state"), "half").unwrap();
        interrupted(&home, None);
        let copy = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-a").args([&home.path.join("."), copy.path()]).status();
        assert!(copied.unwrap().success());
        let refused = |home: &Home| {
            assert!(matches!(resume(home), Err(RestoreError::Elsewhere { .. })) && is_pending(home));
            assert!(home.data().join("state").exists());
        };
        refused(&Home { path: copy.path().to_owned(), ..home.clone() });
        assert!(home.data().join("state").exists());
        let renamed = tempfile::tempdir().unwrap();
        let before = std::mem::replace(&mut home.path, renamed.path().join("home"));
        fs::rename(&before, &home.path).unwrap();
        refused(&home);
        fs::rename(&home.path, &before).unwrap();
        home.path = before;
        resume(&home).unwrap();
        assert!(!home.data().join("state").exists());
        drop(keep);
    }

    /// The node behind `gosu` or `User=` could not read them any more.
    #[test]
    fn what_root_writes_of_a_validator_in_a_restore_stays_its_owners() {
        use std::os::unix::fs::{MetadataExt as _, chown};

        const NOBODY: u32 = 65_534;
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let state = home.data().join("priv_validator_state.json");
        fs::write(&state, r#"{"height": "7", "round": 0, "step": 3}"#).unwrap();
        let done = taken(&home, 5);
        let deep = home.data().join("late/key");
        fs::create_dir(deep.parent().unwrap()).unwrap();
        fs::write(&deep, r#"{"priv_key": "secret"}"#).unwrap();
        fs::write(&state, r#"{"height": "5", "round": 0, "step": 3}"#).unwrap();
        let of_nobody = [&state, &deep, deep.parent().unwrap()];
        if of_nobody.iter().any(|path| chown(path, Some(NOBODY), Some(NOBODY)).is_err()) {
            return;
        }
        restored(&home, &done);
        assert_eq!(signing::read(&state).unwrap().unwrap().at.0, 7);
        for path in of_nobody {
            let meta = fs::metadata(path).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (NOBODY, NOBODY), "{}", path.display());
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
        let done = taken(&home, 5);
        let told = std::sync::Mutex::new(Vec::new());
        let tell = |done, total| told.lock().unwrap().push((done, total));
        restore(&home, &done, &Zoned::now(), &AtomicBool::new(false), &tell).unwrap();
        assert_eq!(told.into_inner().unwrap(), [(6, 10), (10, 10)]);
    }

    #[test]
    fn nothing_is_moved_under_a_node_that_was_started_while_it_was_copied_or_before_it_was_completed() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        home.manner.means = Means::Copy;
        let lock = home.data().join("state.db/LOCK");
        for (path, text) in [(&lock, ""), (&home.data().join("state"), "before")] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let done = taken(&home, 5);
        let node = std::sync::OnceLock::new();
        let starts =
            |_, _| _ = node.get_or_init(|| fs::File::open(&lock).inspect(|file| file.lock().unwrap()).unwrap());
        let refused = |done| assert!(matches!(done, Err(RestoreError::Open(_))), "{done:?}");
        refused(restore(&home, &done, &Zoned::now(), &AtomicBool::new(false), &starts).map(drop));
        assert!(!is_pending(&home));
        interrupted(&home, None);
        refused(resume(&home));
        assert!(is_pending(&home) && lock.exists());
        drop(node);
        resume(&home).unwrap();
        assert!(!lock.exists());
    }

    /// A mount point cannot be renamed, and nothing across it: half a restore, for ever.
    #[test]
    fn a_restore_goes_around_what_is_mounted_of_the_same_filesystem() {
        let ((_keep, mut home), apart) = (home_with(&["genesis"]), tempfile::tempdir().unwrap());
        home.backups = Some(home.path.clone());
        let inner = ["config/config.toml", "config/app.toml", "data/state", "data/application.db/deep/state"];
        for folder in ["config", "data", "data/application.db/deep"] {
            fs::create_dir_all(home.path.join(folder)).unwrap();
            fs::create_dir_all(apart.path().join(folder)).unwrap();
        }
        let write = |text: &str| inner.map(|path| fs::write(home.path.join(path), text).unwrap());
        let read = || inner.map(|path| fs::read_to_string(home.path.join(path)).unwrap());
        write("# before");
        fs::write(apart.path().join(inner[0]), "").unwrap();
        let bound = |path: &str| Bound::of(&apart.path().join(path), &home.path.join(path), "rw");
        let Some(_config) = bound(inner[0]) else { return };
        let _mounts = ["data", "data/application.db"].map(bound);
        write("# before");
        let done = taken(&home, 5);
        for _ in 0..2 {
            write("# after");
            restored(&home, &done);
            assert_eq!(read(), ["# after", "# before", "# before", "# before"]);
        }
    }

    #[test]
    fn what_cannot_be_moved_is_told_before_anything_is_changed() {
        let ((_keep, mut home), apart) = (home_with(&["genesis"]), tempfile::tempdir().unwrap());
        home.backups = Some(home.path.clone());
        let [config, database] = ["config", "data/application.db"].map(|folder| home.path.join(folder));
        for folder in [&config, &database] {
            fs::create_dir_all(folder).unwrap();
        }
        let state = home.data().join("state");
        fs::write(&state, "before").unwrap();
        fs::write(config.join("app.toml"), "").unwrap();
        let done = taken(&home, 5);
        fs::write(&state, "after").unwrap();
        let entries = || fs::read_dir(&home.path).unwrap().count();
        let refused = |done: &Completion, path: &Path, why: &str| {
            let before = entries();
            let error = restore(&home, done, &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap_err();
            assert!(matches!(&error, RestoreError::Stuck { path: stuck, .. } if stuck == path), "{error}");
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(obstacle(&home, &done.plan), Some(error.to_string()));
            assert!(!is_pending(&home) && fs::read_to_string(&state).unwrap() == "after");
            assert_eq!(entries(), before, "nothing is left of it");
        };
        let Some(mount) = Bound::of(&config, &config, "ro") else { return };
        refused(&done, &config, "Read-only file system");
        drop(mount);
        let mount = Bound::of(apart.path(), &database, "rw");
        refused(&done, &database, "unmount it");
        drop(mount);
        let set =
            |flag| Command::new("chattr").args([flag, state.to_str().unwrap()]).status().is_ok_and(|it| it.success());
        if set("+i") {
            refused(&done, &state, "chattr -i");
            set("-i");
        }
        assert_eq!(obstacle(&home, &done.plan), None);
        let deep = database.join("deep");
        fs::create_dir(&deep).unwrap();
        let mount = Bound::of(apart.path(), &deep, "rw");
        refused(&taken(&home, 5), &database, "deep in it was mounted");
        drop(mount);
        restored(&home, &done);
    }
}
