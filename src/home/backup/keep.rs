//! How long checkpoints stay. Each pins what it links: tables that the node has compacted away since, it alone holds.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::statvfs::statvfs;
use serde::{Deserialize, Serialize};

use super::{
    APART, At, BackupError, Completion, Means, Part, ahead, all, carry,
    layout::ours,
    list, place, verify,
    work::{INODES, Room, State, Work},
};
use crate::{
    decide::{
        facts::{RecordFact, Verdict},
        plan::Plan,
    },
    home::{Home, record},
};

/// Healthy blocks after which a checkpoint is not needed any more.
const ENOUGH: Duration = Duration::from_hours(48);
/// The longest time between two looks that counts as one in which blocks were made.
const LONGEST: Duration = Duration::from_mins(30);
/// Why a backup that has another name, or lies elsewhere, is not removed.
const ELSEWHERE: &str =
    "is that backup under another name or in another place, or what the node runs on: give it its name and place again";
/// What of a file is counted.
type Measure = fn(&fs::Metadata) -> u64;
/// Space is short where less than one part in this many is free.
const SHORT: u64 = 20;

/// How long the node has made blocks since an upgrade passed, as it was looked at from time to time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Seconds in which blocks were made.
    pub seconds: u64,
    /// When it was looked at last, seconds since the Unix epoch.
    pub looked: u64,
    /// The height then.
    pub height: u64,
}

impl Health {
    /// What a look adds: time in which the height grew. A clock that jumps adds next to nothing.
    #[must_use]
    pub fn with(self, now: u64, height: u64) -> Self {
        let between = now.saturating_sub(self.looked);
        let counts = self.looked > 0 && height > self.height && between <= LONGEST.as_secs();
        Self { seconds: self.seconds + if counts { between } else { 0 }, looked: now, height }
    }

    /// What is left of the time after which the checkpoint goes.
    #[must_use]
    pub fn left(self) -> Duration {
        ENOUGH.saturating_sub(Duration::from_secs(self.seconds))
    }
}

/// Takes note of a height of the node, and drops what is not needed any more. Gives what was dropped.
///
/// # Errors
/// [`At`].
pub fn look(home: &Home, now: u64, height: u64) -> Result<Vec<Completion>, At> {
    let expired = ahead::expire(home, height);
    let listing = list::listing(home)?;
    let (mut backups, record) = (list::known(home)?, record::read(home));
    let mut passed: Vec<_> =
        backups.iter_mut().filter(|its| may_go(&record, its) && list::own(home, its).is_some()).collect();
    if passed.is_empty() {
        return expired.map(|()| Vec::new());
    }
    for backup in &mut passed {
        backup.health = backup.health.with(now, height);
    }
    list::note(home, &backups)?;
    drop(listing);
    let short = |backup: &Completion| is_short(&backup.path, 0).unwrap_or(false) && pinned(backup) > 0;
    let dropped = dropped(home, list::noted(home)?, |backup| backup.health.left().is_zero() || short(backup))?;
    expired.map(|()| dropped)
}

/// Drops the checkpoints of upgrades that have passed, but for the newest that are to stay, and what was made ahead for them.
/// Gives what was dropped.
///
/// # Errors
/// [`At`].
pub fn prune(home: &Home) -> Result<Vec<Completion>, At> {
    if let RecordFact::Present(record) = record::read(home)
        && record.verdict.has_passed()
    {
        ahead::expire(home, record.plan.height)?;
    }
    // Both by one look: one that could not be read in another would not count as the newest.
    let there = list::noted(home)?;
    let checkpoints = there.iter().filter(|backup| backup.means == Means::Checkpoint);
    let newest: Vec<_> = checkpoints.rev().take(home.manner.keep).map(|backup| backup.path.clone()).collect();
    dropped(home, there, |backup| !newest.contains(&backup.path))
}

/// Removes a backup of whatever kind.
///
/// # Errors
/// [`At`].
pub fn remove(home: &Home, backup: &Completion) -> Result<(), At> {
    let place = backup.path.parent().unwrap_or(&backup.path);
    // From here on it is one that is not complete: the next one takes away what is left of it.
    let gone = place.join(ours(home, &format!("{APART}dropped")));
    carry::remove(&gone)?;
    let listing = list::listing(home)?;
    let others: Vec<_> = list::known(home)?.into_iter().filter(|other| other.token != backup.token).collect();
    if !list::is(&backup.path, backup)? {
        // What is lost is forgotten.
        return match list::moved(home, backup) {
            Ok(Some(path)) => Err(At { source: io::Error::other(ELSEWHERE), path }),
            _ => place::forget(home, place).and_then(|()| list::note(home, &others)),
        };
    }
    carry::rename(&backup.path, &gone)?;
    list::note(home, &others)?;
    drop(listing);
    for part in backup.parts.iter().filter(|part| part.at.is_absolute()) {
        carry::remove(&part.at)?;
    }
    carry::remove(&gone)
}

/// Bytes that no other file holds: what is freed where the backup goes. Files that share their blocks with the node's are
/// not counted while those are unchanged.
#[must_use]
pub fn pinned(backup: &Completion) -> u64 {
    let shared = verify::clones(backup).into_iter().filter(|path| is_live(backup, path));
    held(backup, bytes).saturating_sub(shared.map(|path| held_by(&path, bytes)).sum())
}

/// What no other file holds, each measured so.
fn held(backup: &Completion, each: Measure) -> u64 {
    let folders: HashSet<PathBuf> = backup.parts.iter().map(|part| backup.path.join(&part.at)).collect();
    let below = |folder: &PathBuf| folders.iter().any(|other| other != folder && folder.starts_with(other));
    folders.iter().filter(|folder| !below(folder)).map(|folder| held_alone(folder, each)).sum()
}

/// Whether the node's file is still the one of which this is the clone.
fn is_live(backup: &Completion, path: &Path) -> bool {
    let inner = |part: &Part| Some(part.live.join(path.strip_prefix(backup.path.join(&part.at)).ok()?));
    // What lies deeper comes later.
    let live = backup.parts.iter().rev().find_map(inner).and_then(|live| State::of(&live).ok());
    live.zip(State::of(path).ok()).is_some_and(|(live, own)| (live.size, live.modified) == (own.size, own.modified))
}

/// Whether an upgrade has passed, and its backup is only kept for doubts.
#[must_use]
pub fn has_passed(record: &RecordFact, plan: &Plan) -> bool {
    // One that forked is what an operator may want to take back.
    let forked = matches!(record, RecordFact::Present(its) if its.is_of(plan) && its.verdict == Verdict::Forked);
    record.is_past(plan) && !forked
}

fn may_go(record: &RecordFact, backup: &Completion) -> bool {
    backup.means == Means::Checkpoint && has_passed(record, &backup.plan)
}

/// Whether there is room, also by dropping what may go.
pub(super) fn check_room(home: &Home, work: &Work) -> Result<(), BackupError> {
    let record = record::read(home);
    let freed = |backup: &Completion, what| if what == INODES { held(backup, |_| 1) } else { pinned(backup) };
    let may_go = |backup: &Completion| may_go(&record, backup);
    let spare = |what| all(home).iter().filter(|backup| may_go(backup)).map(|backup| freed(backup, what)).sum::<u64>();
    match work.room()?.into_iter().find(|room| !room.is_there() && room.needed > room.free + spare(room.what)) {
        Some(room) => Err(BackupError::NoRoom(room)),
        None => Ok(()),
    }
}

/// Whether there is room with nothing dropped.
pub(super) fn has_room(work: &Work) -> Result<bool, At> {
    Ok(work.room()?.iter().all(Room::is_there))
}

/// The same, with enough left for the node.
pub(super) fn has_room_to_spare(work: &Work) -> Result<bool, At> {
    let short = |room: &Room| room.what != INODES && is_short(&room.place, room.needed).unwrap_or(false);
    Ok(work.room()?.iter().all(|room| room.is_there() && !short(room)))
}

/// Whether what was counted earlier is there now, and enough besides for what the node has written since.
pub(super) fn is_ample(room: &Room) -> bool {
    match room.what {
        INODES => statvfs(&room.place).is_ok_and(|system| system.files_available() / 2 >= room.needed),
        _ => is_short(&room.place, room.needed).is_ok_and(|short| !short),
    }
}

/// Makes room, where there is none, by dropping what may go.
pub(super) fn make_room(home: &Home, work: &Work) -> Result<(), BackupError> {
    if !has_room(work)? {
        dropped(home, list::noted(home)?, |_| true)?;
    }
    check_room(home, work)
}

/// Drops those that may go and are unwanted.
fn dropped(
    home: &Home,
    mut backups: Vec<Completion>,
    unwanted: impl Fn(&Completion) -> bool,
) -> Result<Vec<Completion>, At> {
    let record = record::read(home);
    backups.retain(|backup| may_go(&record, backup) && unwanted(backup));
    backups.iter().try_for_each(|backup| remove(home, backup))?;
    Ok(backups)
}

fn held_alone(folder: &Path, each: Measure) -> u64 {
    let held = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => held_alone(&entry.path(), each),
        _ => held_by(&entry.path(), each),
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(held).sum()
}

fn held_by(path: &Path, each: Measure) -> u64 {
    let meta = fs::symlink_metadata(path).ok().filter(|meta| meta.is_file() && meta.nlink() == 1);
    meta.map_or(0, |meta| each(&meta))
}

fn bytes(meta: &fs::Metadata) -> u64 {
    const BLOCK: u64 = 512;
    meta.blocks() * BLOCK
}

/// Whether a filesystem is short of room once so many bytes more are taken.
pub(super) fn is_short(folder: &Path, taken: u64) -> io::Result<bool> {
    let system = statvfs(folder)?;
    let [free, little] = [system.blocks_available(), system.blocks() / SHORT]
        .map(|blocks| blocks.saturating_mul(system.fragment_size()));
    Ok(free.saturating_sub(taken) < little)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::backup::tests::*;

    #[test]
    fn a_checkpoint_goes_after_two_days_of_blocks_and_never_before_its_upgrade_has_passed() {
        use crate::{
            decide::facts::{Record, Version},
            home::record,
        };

        const HOUR: u64 = 3_600;
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let paths = || all(&home).into_iter().map(|backup| backup.path).collect::<Vec<_>>();
        let (first, second) = (taken(&home, 5), taken(&home, 9));
        let mut now = 1_000_000;
        let mut look = |height| {
            now += HOUR / 4;
            look(&home, now, height).unwrap().len()
        };
        let mut record = Record::new(plan(9), Version::Genesis);
        record::write(&home, &record).unwrap();
        assert_eq!((0..400).position(|height| look(height) == 1), Some(4 * 48), "of the first only, after 48 hours");
        assert_eq!(paths(), std::slice::from_ref(&second.path));
        assert!(!first.path.exists() && prune(&home).unwrap().is_empty());
        record.settle();
        record::write(&home, &record).unwrap();
        assert!((0..400).all(|_| look(7) == 0), "the node stands still");
        assert_eq!(paths(), [second.path]);
        let third = taken(&home, 12);
        assert_eq!(prune(&home).unwrap().len(), 1, "one stays");
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
            taken(&home, 5);
            record::write(&home, &Record { verdict, ..Record::new(plan(5), Version::Genesis) }).unwrap();
            prune(&home).unwrap().len()
        });
        assert_eq!(went, [1, 1, 1, 0, 0]);
    }
}
