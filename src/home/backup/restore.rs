//! Brings a backup back: everything that it covers together, or nothing. Nothing is deleted: what was there is renamed.
//!
//! The restored folders are made whole beside the node's first. Then what is to change places is written down, and from
//! there on only renames are left, which whoever comes next completes.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::PathBuf, sync::atomic::AtomicBool};

use jiff::Zoned;
use serde::{Deserialize, Serialize};

use super::{
    At, CarryError, Completion, NAME, Progress, at, carry,
    layout::{LOST_AND_FOUND, Layout, OURS, Pattern, beside, file_name, identity, ours},
    place,
    signing::{self, Unreadable},
    verify::{Flaw, verify},
    work::{Room, Way, Work},
};
use crate::{
    decide::plan::Plan,
    home::{Home, if_there, lock, record, sync_folder, unless_missing, write_whole, write_with_mode},
};

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
    /// There is no room for it.
    #[error(
        "the restored files need {} {}, and {} has {}: make room, for what was there stays",
        .0.needed, .0.what, .0.place.display(), .0.free
    )]
    NoRoom(Room),
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

/// Completes a restore that was interrupted.
///
/// # Errors
/// [`RestoreError`].
pub fn resume(home: &Home) -> Result<(), RestoreError> {
    let path = swap_path(home);
    let Some(text) = unless_missing(fs::read(&path)).map_err(at(&path))? else { return Ok(()) };
    let swap: Swap = serde_json::from_slice(&text).map_err(io::Error::other).map_err(at(&path))?;
    swap.carry_out()?;
    // Before it is forgotten, or a kill would have it done twice.
    // Where it is written and not synced, everybody sees it: then it is done.
    let noted = record::restored(home, &swap.plan).or_else(|_| record::restored(home, &swap.plan));
    noted.map_err(at(&home.record()))?;
    fs::remove_file(&path).and_then(|()| sync_folder(&home.own())).map_err(at(&path))?;
    Ok(())
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
    for part in &backup.parts {
        if let Some(database) = lock::open_database(&part.live).map_err(at(&part.live))? {
            return Err(RestoreError::Open(database));
        }
    }
    fs::create_dir_all(home.data()).map_err(at(&home.data()))?;
    let layout = Layout::of(home).map_err(at(&home.path))?;
    let signed = signing::later(&layout.signing, &backup.path.join(signing::KEPT))?;
    let mut swap = Swap { plan: backup.plan.clone(), folders: Vec::new(), signing: None, stay: Vec::new() };
    let mut works = Vec::new();
    for (number, part) in backup.parts.iter().enumerate() {
        fs::create_dir_all(&part.live).map_err(at(&part.live))?;
        let beside = beside(&part.live);
        let new = beside.join(ours(home, &format!("restored-{number}")));
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
    for work in &works {
        if let Some(room) = work.room()?.into_iter().find(|room| !room.is_there()) {
            return Err(RestoreError::NoRoom(room));
        }
    }
    let (mut done, total) = (0, works.iter().map(|work| work.bytes(Way::Copy)).sum());
    for (work, change) in works.iter().zip(&swap.folders) {
        let copied = carry::carry(work, &change.new, stop, &|copied, _| progress(done + copied, total));
        done += copied.inspect_err(|error| {
            // Its room may be what is missing, and nobody may try again. One that was asked to stop is in a hurry.
            if !matches!(error, CarryError::Stopped) {
                swap.folders.iter().for_each(|change| drop(carry::remove(&change.new)));
            }
        })?;
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
    /// Keys and the signing state stay where they are; those that lie deeper get into the new folders beforehand.
    fn keep_personal(&mut self, layout: &Layout, signed: Option<&signing::Signed>) -> Result<(), RestoreError> {
        let own = signing::read(&layout.signing)?;
        if let Some(signed) = signed.filter(|signed| Some(*signed) != own.as_ref()) {
            self.signing = Some((layout.signing.clone(), String::from_utf8_lossy(&signed.content).into_owned()));
        }
        for change in &self.folders {
            let moves = |name: &str| moves(name, &change.only);
            for path in layout.personal_in(&change.live, moves).map_err(at(&change.live))? {
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
                let folder = to.parent().unwrap_or(&change.new);
                let placed = fs::create_dir_all(folder)
                    .and_then(|()| write_with_mode(&to, &mut content.as_slice(), 0o600, true));
                placed.map_err(at(&to))?;
            }
        }
        Ok(())
    }

    /// Every step can be taken again: what was moved is not there any more.
    fn carry_out(&self) -> Result<(), RestoreError> {
        // Once it is all done a node may have signed since, and this may be tried much later.
        let mut is_done = true;
        for change in &self.folders {
            is_done &= !change.new.try_exists().map_err(at(&change.new))?;
        }
        if let Some((path, content)) = self.signing.as_ref().filter(|_| !is_done) {
            write_with_mode(path, &mut content.as_bytes(), 0o600, true).map_err(at(path))?;
        }
        for change in &self.folders {
            self.change(change)?;
        }
        Ok(())
    }

    fn change(&self, Change { live, only, new, failed }: &Change) -> Result<(), At> {
        if !new.try_exists().map_err(at(new))? {
            return Ok(());
        }
        // It has its name once everything old is in it.
        if !failed.try_exists().map_err(at(failed))? {
            let leaving = failed.with_file_name(format!("{OURS}leaving-{}", file_name(failed)));
            fs::create_dir_all(&leaving).map_err(at(&leaving))?;
            let here = fs::metadata(live).map_err(at(live))?;
            for entry in fs::read_dir(live).map_err(at(live))? {
                let entry = entry.map_err(at(live))?;
                let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
                // What is mounted there cannot be moved, and is a part of its own.
                let mounted = entry.metadata().is_ok_and(|meta| meta.dev() != here.dev());
                if mounted || !moves(&name, only) || self.stay.contains(&path) {
                    continue;
                }
                fs::rename(&path, leaving.join(entry.file_name())).map_err(at(&path))?;
            }
            fs::set_permissions(&leaving, here.permissions()).map_err(at(&leaving))?;
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
        sync_folder(live).map_err(at(live))?;
        carry::remove(new)
    }
}

/// Whether what has this name in a part's own folder makes room for what comes back.
fn moves(name: &str, only: &Pattern) -> bool {
    let stays = name.starts_with(OURS) || name.starts_with(NAME) || name == LOST_AND_FOUND;
    !stays && only.covers(name)
}

fn swap_path(home: &Home) -> PathBuf {
    home.own().join("restore.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::backup::{Means, tests::*};

    /// Its last sync failed, and its node signed before somebody started anew.
    #[test]
    fn a_restore_that_is_all_done_brings_no_signing_state_back_when_it_is_completed_later() {
        let (_keep, home) = home_with(&["genesis"]);
        let state = home.data().join("priv_validator_state.json");
        fs::write(&state, "later").unwrap();
        let plan = Plan { name: "v2".into(), height: 5, info: String::new() };
        let signing = Some((state.clone(), "earlier".to_owned()));
        let swap = Swap { plan, folders: Vec::new(), signing, stay: Vec::new() };
        fs::write(swap_path(&home), serde_json::to_vec(&swap).unwrap()).unwrap();
        resume(&home).unwrap();
        assert!(fs::read_to_string(&state).unwrap() == "later" && !is_pending(&home));
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
}
