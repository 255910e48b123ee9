//! What a checkpoint would have to copy or to clone is made ahead, while the node runs. At the halt each file that is still
//! what it was only gets one more name; what has changed since is done as ever.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    BackupError, Means, at, carry, keep,
    layout::{Layout, ours},
    place,
    work::{State, Way, Work},
    work_without,
};
use crate::home::{Home, write_whole};

/// The folder within the place of backups.
const FOLDER: &str = "ahead";
/// Filesystems keep times in ticks: a change within one is seen by no time.
const QUIET: Duration = Duration::from_secs(2);

/// Copies what a checkpoint made now would copy. Gives how many files lie ready.
///
/// # Errors
/// [`BackupError`], also where there is no room.
pub fn copy(home: &Home, stop: &AtomicBool) -> Result<usize, BackupError> {
    copied(home, stop, QUIET)
}

/// The same with files that were left alone for so long.
pub(super) fn copied(home: &Home, stop: &AtomicBool, quiet: Duration) -> Result<usize, BackupError> {
    let Some(chosen) = &home.backups else { return Ok(0) };
    let place = place::of(home, chosen)?;
    let layout = Layout::of(home).map_err(at(&home.path))?;
    let (mut work, means) = work_without(home, &layout, &place, FOLDER)?;
    let folder = place.join(ours(home, FOLDER));
    if means == Means::Copy {
        // That would be everything, twice.
        return Ok(0);
    }
    keep::check_room(home, &work)?;
    work.files.retain(|file| !file.way.is_a_name());
    let wanted: HashSet<State> = work.files.iter().map(|file| file.state).collect();
    let (mut kept, dropped): (HashMap<_, _>, HashMap<_, _>) =
        ready(&folder).into_iter().partition(|(state, _)| wanted.contains(state));
    fs::create_dir_all(&folder).map_err(at(&folder))?;
    for path in dropped.values() {
        let _ = fs::remove_file(path);
    }
    work.files.retain(|file| !kept.contains_key(&file.state) && file.is_for(&place));
    for (number, file) in work.files.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = folder.join(format!("{}-{number}", file.state.inode));
        // One that was left there by whoever was killed, and is in no list.
        let _ = fs::remove_file(&name);
        // A file that is gone or changes is nobody's fault: the node works.
        if is_quiet(&file.from, &file.state, quiet) && carry::carried(file, &name, stop, &|_| {}).is_ok() {
            let still = State::of(&file.from).is_ok_and(|now| now == file.state);
            if still {
                kept.insert(file.state, name);
                continue;
            }
        }
        let _ = fs::remove_file(&name);
    }
    if work.files.iter().any(|file| file.way.shares()) {
        // What shares its blocks is not durable one by one.
        File::open(&folder).and_then(|folder| Ok(rustix::fs::syncfs(folder)?)).map_err(at(&folder))?;
    }
    let list = folder.join("list");
    let text = serde_json::to_vec(&kept.iter().collect::<Vec<_>>()).map_err(std::io::Error::other);
    text.and_then(|text| write_whole(&list, &text, false)).map_err(at(&list))?;
    Ok(kept.len())
}

/// Has what lies ready and is still what it was linked in the place of copied.
pub(super) fn use_in(work: &mut Work, home: &Home, place: &Path) {
    let ready = ready(&place.join(ours(home, FOLDER)));
    for file in work.files.iter_mut().filter(|file| !file.way.is_a_name()) {
        if let Some(path) = ready.get(&file.state) {
            file.from.clone_from(path);
            file.way = if file.way.shares() { Way::Cloned } else { Way::Copied };
        }
    }
}

/// Takes away what lies ready.
pub(super) fn clear(home: &Home, place: &Path) -> Result<(), super::At> {
    carry::remove(&place.join(ours(home, FOLDER)))
}

fn ready(folder: &Path) -> HashMap<State, PathBuf> {
    let list = fs::read(folder.join("list")).ok();
    let list = list.and_then(|text| serde_json::from_slice::<Vec<(State, PathBuf)>>(&text).ok());
    list.unwrap_or_default().into_iter().filter(|(_, path)| path.is_file()).collect()
}

/// Whether every later change of a file will change its times: what is mapped and not written back changes without.
fn is_quiet(path: &Path, state: &State, quiet: Duration) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let changed = Duration::from_nanos(u64::try_from(state.changed.max(state.modified)).unwrap_or_default());
    let written = File::open(path).and_then(|file| file.sync_data());
    written.is_ok() && now.saturating_sub(quiet) > changed && State::of(path).is_ok_and(|now| now == *state)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use jiff::Zoned;

    use super::*;
    use crate::home::backup::{estimate, take, tests::*, verify};

    #[test]
    fn what_was_copied_ahead_and_is_still_the_same_is_not_copied_again() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        fs::create_dir(home.path.join("wasm")).unwrap();
        fs::write(home.path.join("wasm/code"), "code").unwrap();
        fs::write(home.data().join("state"), "before").unwrap();
        let never = AtomicBool::new(false);
        assert_eq!(copied(&home, &never, std::time::Duration::from_hours(1)).unwrap(), 0, "too fresh");
        for _ in 0..2 {
            assert_eq!(copied(&home, &never, std::time::Duration::ZERO).unwrap(), 2);
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
}
