//! A checkpoint is made ahead, while the node runs: at the halt it is only brought up to date. What is still what it was costs
//! a look; what has changed since is done as ever, and what is gone is taken away.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    os::unix::fs::DirEntryExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    APART, At, BackupError, CarryError, Means, UNFINISHED, at, carry, keep,
    layout::{Layout, ours},
    place,
    work::{self, State, Way, Work},
    work_for,
};
use crate::home::{Home, if_there, write_whole};

/// The folder within the place of backups.
const FOLDER: &str = "ahead";
/// Bytes copied until that is noted.
const NOTED_EVERY: u64 = 1 << 30;
/// Filesystems keep times in ticks: a change within one is seen by no time.
const QUIET: Duration = Duration::from_secs(2);

/// What lies ready, as it is noted in the home, whatever becomes of the settings.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    /// Where.
    folder: PathBuf,
    /// The upgrade's. Once it is committed nobody needs any of it.
    height: u64,
    /// Where each file lies that is no second name, and what it was made of.
    files: Vec<(PathBuf, State)>,
}

/// Copies what a checkpoint before this height would copy, and where that is near makes all the rest of it: until then its
/// names and clones would hold what the node takes away. Nothing is made where that would leave little room: the node needs it.
/// Gives how many files lie ready.
///
/// # Errors
/// [`BackupError`], also where there would be no room at the halt.
pub fn make(home: &Home, height: u64, near: bool, stop: &AtomicBool) -> Result<usize, BackupError> {
    made(home, height, near, stop, QUIET)
}

/// The same with files that were left alone for so long.
pub(super) fn made(
    home: &Home,
    height: u64,
    near: bool,
    stop: &AtomicBool,
    quiet: Duration,
) -> Result<usize, BackupError> {
    let Some(chosen) = &home.backups else { return Ok(0) };
    let place = place::of(home, chosen)?;
    place::see(home, &place)?;
    let (folder, tree) = (folder(home, &place), tree(home, &place));
    if read(home).is_some_and(|ready| ready.folder != folder) {
        clear(home)?;
    }
    let layout = Layout::of(home).map_err(at(&home.path))?;
    let (mut work, means) = work_for(home, &layout, &place, FOLDER, &tree, None)?;
    // Byte by byte it would be everything, twice. In the last blocks what is made is needed at once.
    if means == Means::Copy || !(near && keep::has_room(&work)? || keep::has_room_to_spare(&work)?) {
        clear(home)?;
        keep::check_room(home, &work)?;
        return Ok(0);
    }
    work.retain(Path::is_relative);
    work.files.retain(|file| near || matches!(file.way, Way::Copy | Way::Copied));
    fs::create_dir_all(&tree).map_err(at(&tree))?;
    keep_in(&mut work, &tree)?;
    let (there, new): (Vec<_>, Vec<_>) = work.files.iter().partition(|file| file.is_there);
    let mut files = there.len();
    let copies = there.iter().filter(|file| file.way != Way::Link);
    let mut ready = Ready { folder, height, files: copies.map(|file| (file.to.clone(), file.state)).collect() };
    note(home, &ready, true)?;
    for (_, to) in &work.folders {
        let to = tree.join(to);
        fs::create_dir_all(&to).map_err(at(&to))?;
    }
    let (mut clones, mut unnoted) = (Vec::new(), 0);
    for file in new {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let to = tree.join(&file.to);
        match one(file, &to, stop, quiet) {
            Ok(true) => files += 1,
            // A file that is gone or changes is nobody's fault: the node works.
            Ok(false) => {
                let _ = fs::remove_file(&to);
                continue;
            }
            Err(_full) => {
                let _ = fs::remove_file(&to);
                break;
            }
        }
        match file.way {
            Way::Link => {}
            Way::Clone => clones.push((file.to.clone(), file.state)),
            _ => {
                ready.files.push((file.to.clone(), file.state));
                unnoted += file.state.size;
                // Others count what lies ready meanwhile.
                if unnoted >= NOTED_EVERY {
                    note(home, &ready, true)?;
                    unnoted = 0;
                }
            }
        }
    }
    // What shares its blocks is not durable one by one, and who was told to stop before this does not wait for it.
    if !clones.is_empty() && !stop.load(Ordering::Relaxed) {
        File::open(&tree).and_then(|tree| Ok(rustix::fs::syncfs(tree)?)).map_err(at(&tree))?;
        ready.files.append(&mut clones);
    }
    note(home, &ready, true)?;
    Ok(files)
}

/// Makes one file ahead. Gives whether it is there now, and still what it was made of.
///
/// # Errors
/// Where there is no room for it.
fn one(file: &work::File, to: &Path, stop: &AtomicBool, quiet: Duration) -> Result<bool, At> {
    if file.way == Way::Link {
        return Ok(fs::hard_link(&file.from, to).is_ok());
    }
    // What has a name that is no text cannot be noted.
    if file.to.to_str().is_none() || !is_quiet(&file.from, &file.state, quiet) {
        return Ok(false);
    }
    match carry::carried(file, to, stop, &|_| {}) {
        Err(CarryError::Disk(error)) if carry::is_of_target(&error.source) => Err(error),
        carried => Ok(carried.is_ok() && State::of(&file.from).is_ok_and(|now| now == file.state)),
    }
}

/// What each file was made of that lies ready.
pub(super) fn noted(home: &Home) -> HashMap<PathBuf, State> {
    read(home).into_iter().flat_map(|ready| ready.files).collect()
}

/// Has what lies ready in a tree, and is of what is there still, taken from there.
pub(super) fn use_in(work: &mut Work, ready: &HashMap<PathBuf, State>, tree: &Path) {
    for file in work.files.iter_mut().filter(|file| !file.way.is_a_name()) {
        if ready.get(&file.to) != Some(&file.state) {
            continue;
        }
        let path = tree.join(&file.to);
        // Its time was set to the one that it was made of.
        if State::of(&path).is_ok_and(|it| (it.size, it.modified) == (file.state.size, file.state.modified)) {
            file.ready = Some(path);
            file.way = if file.way.shares() { Way::Cloned } else { Way::Copied };
        }
    }
}

/// Copies to there, as work besides, what lies ready and changed lately: a node that pauses between blocks writes to it with the
/// next one.
pub(super) fn restless(work: &Work, lately: Duration, there: &Path) -> Vec<work::File> {
    let restless = work.files.iter().filter(|file| file.ready.is_some() && file.state.changed_within(lately));
    let again = |(number, file): (usize, &work::File)| work::File {
        ready: None,
        to: there.join(format!("restless-{number}")),
        way: if file.way.shares() { Way::Clone } else { Way::Copy },
        ..file.clone()
    };
    restless.enumerate().map(again).collect()
}

/// Has a backup begin with what lies ready, and gives where it goes on. What lies ready may be taken away by others at any time,
/// what has this name not.
pub(super) fn begin(home: &Home, place: &Path, height: u64) -> Result<PathBuf, At> {
    put_back(home)?;
    let folder = folder(home, place);
    if read(home).is_none_or(|ready| ready.folder != folder) {
        clear(home)?;
        note(home, &Ready { folder, height, files: Vec::new() }, false)?;
    }
    let (tree, unfinished) = (tree(home, place), place.join(ours(home, UNFINISHED)));
    carry::remove(&unfinished)?;
    if_there(fs::rename(&tree, &unfinished)).map_err(at(&unfinished))?;
    Ok(unfinished)
}

/// Has what a backup left that did not end lie ready again.
///
/// # Errors
/// [`At`].
pub fn put_back(home: &Home) -> Result<(), At> {
    let Some(Ready { folder, .. }) = read(home) else { return Ok(()) };
    let unfinished = folder.with_file_name(ours(home, UNFINISHED));
    let tree = folder.join("tree");
    if if_there(fs::symlink_metadata(&unfinished)).map_err(at(&unfinished))?.is_none() {
        return Ok(());
    }
    carry::remove(&tree)?;
    fs::create_dir_all(&folder).and_then(|()| fs::rename(&unfinished, &tree)).map_err(at(&tree))
}

/// Leaves in a tree what is to be there and is, which is then not done again, and takes away everything else.
pub(super) fn keep_in(work: &mut Work, tree: &Path) -> Result<(), At> {
    let mut folders = HashSet::new();
    for (_, to) in &work.folders {
        folders.extend(to.ancestors().map(Path::to_owned));
    }
    let links: HashMap<_, _> = work.links.iter().map(|(text, to)| (to.clone(), text.clone())).collect();
    let mut there = HashMap::new();
    let mut left = vec![PathBuf::new()];
    while let Some(folder) = left.pop() {
        let path = tree.join(&folder);
        let Some(entries) = if_there(fs::read_dir(&path)).map_err(at(&path))? else { continue };
        for entry in entries {
            let entry = entry.map_err(at(&path))?;
            let to = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(at(&path))?;
            if kind.is_file() {
                there.insert(to, entry.ino());
                continue;
            }
            let path = entry.path();
            if kind.is_dir() {
                if folders.contains(&to) {
                    left.push(to);
                } else {
                    carry::remove(&path)?;
                }
            } else if links.get(&to).is_none_or(|text| fs::read_link(&path).ok().as_ref() != Some(text)) {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
    }
    keep_of(there, work, tree)
}

/// The same of these files, which are there with these inodes.
pub(super) fn keep_of(mut there: HashMap<PathBuf, u64>, work: &mut Work, tree: &Path) -> Result<(), At> {
    for file in &mut work.files {
        let Some(inode) = there.get(&file.to).filter(|_| file.way.is_a_name()) else { continue };
        // While a name is kept here, no other file gets this inode. Where folders tell of others than files have, it is made again.
        let is_it = match &file.ready {
            Some(ready) => *ready == tree.join(&file.to),
            None => *inode == file.state.inode,
        };
        if is_it {
            file.is_there = true;
            there.remove(&file.to);
        }
    }
    there.keys().map(|to| tree.join(to)).try_for_each(|path| fs::remove_file(&path).map_err(at(&path)))
}

fn folder(home: &Home, place: &Path) -> PathBuf {
    place.join(ours(home, FOLDER))
}

/// Where it is made.
pub(super) fn tree(home: &Home, place: &Path) -> PathBuf {
    folder(home, place).join("tree")
}

fn list(home: &Home) -> PathBuf {
    home.own().join("ahead.json")
}

fn read(home: &Home) -> Option<Ready> {
    let ready: Ready = serde_json::from_slice(&fs::read(list(home)).ok()?).ok()?;
    // That of a home of which this one is a copy is not ours.
    Some(ready).filter(|ready| ready.folder.ends_with(ours(home, FOLDER)))
}

fn note(home: &Home, ready: &Ready, durable: bool) -> Result<(), At> {
    let list = list(home);
    let text = serde_json::to_vec(ready).map_err(io::Error::other);
    text.and_then(|text| write_whole(&list, &text, durable)).map_err(at(&list))
}

/// Takes away what lies ready for a height that is committed, as its upgrade has passed or was called off; and where the node
/// needs the room.
pub(super) fn expire(home: &Home, height: u64) -> Result<(), At> {
    match read(home) {
        Some(ready) if ready.height <= height || keep::is_short(&ready.folder, 0).unwrap_or(false) => clear(home),
        _ => Ok(()),
    }
}

/// Takes away what lies ready. It gets another name first, so that nothing is taken out of a backup that is being made of it.
pub(super) fn clear(home: &Home) -> Result<(), At> {
    let Some(ready) = read(home) else { return Ok(()) };
    let gone = ready.folder.with_file_name(ours(home, &format!("{APART}{FOLDER}-gone")));
    carry::remove(&gone)?;
    if if_there(fs::rename(&ready.folder, &gone)).map_err(at(&gone))?.is_some() {
        carry::remove(&gone)?;
    }
    let list = list(home);
    if_there(fs::remove_file(&list)).map_err(at(&list)).map(drop)
}

/// Whether every later change of a file will change its times: what is mapped and not written back changes without.
fn is_quiet(path: &Path, state: &State, quiet: Duration) -> bool {
    let written = File::open(path).and_then(|file| file.sync_data());
    written.is_ok() && !state.changed_within(quiet) && State::of(path).is_ok_and(|now| now == *state)
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
        assert_eq!(made(&home, 5, true, &never, Duration::from_hours(1)).unwrap(), 0, "too fresh");
        for _ in 0..2 {
            assert_eq!(made(&home, 5, true, &never, Duration::ZERO).unwrap(), 2);
        }
        let estimated = |lately| estimate::estimated(&home, false, lately, &never).unwrap().unwrap().bytes;
        let written_to = if shares_blocks(&home.data()) { 0 } else { 10 };
        assert_eq!([Duration::ZERO, Duration::from_hours(1)].map(estimated), [0, written_to]);
        fs::write(home.data().join("state"), "after it").unwrap();
        let done = take(&home, &plan(5), None, &Zoned::now(), &never, &|_, _| {}).unwrap();
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
    fn what_was_made_ahead_is_brought_up_to_date_at_the_halt() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let live = home.data().join("state.db");
        database(&live);
        fs::create_dir(home.data().join("gone.db")).unwrap();
        for gone in ["gone.db/000001.ldb", "gone.db/000009.log", "becomes-a-folder"] {
            fs::write(home.data().join(gone), gone).unwrap();
        }
        std::os::unix::fs::symlink("state.db", home.data().join("link")).unwrap();
        let never = AtomicBool::new(false);
        let made = || made(&home, 5, true, &never, Duration::ZERO).unwrap();
        assert_eq!(made(), 6);
        let tree = tree(&home, &home.path);
        let before = inode(&tree.join("state.db/000001.ldb"));
        assert_eq!(estimate::estimated(&home, true, Duration::ZERO, &never).unwrap().unwrap().bytes, 0);
        assert_eq!(fs::read_link(tree.join("link")).unwrap(), Path::new("state.db"));

        fs::remove_dir_all(home.data().join("gone.db")).unwrap();
        fs::remove_file(home.data().join("becomes-a-folder")).unwrap();
        fs::create_dir(home.data().join("becomes-a-folder")).unwrap();
        fs::write(home.data().join("becomes-a-folder/file"), "in it").unwrap();
        fs::remove_file(home.data().join("link")).unwrap();
        std::os::unix::fs::symlink("becomes-a-folder", home.data().join("link")).unwrap();
        // The table that may be written anew is, and one is new; what lay there by nobody's note is not believed.
        fs::write(live.join("000003.ldb"), "anew").unwrap();
        fs::write(live.join("000004.ldb"), "new").unwrap();
        fs::write(tree.join("state.db/000004.ldb"), "of an earlier try").unwrap();
        let done = taken(&home, 5);
        assert!(!tree.exists());
        assert_eq!(inode(&done.path.join("state.db/000001.ldb")), before, "it lay there already");
        for (path, content) in
            [("state.db/000003.ldb", "anew"), ("state.db/000004.ldb", "new"), ("becomes-a-folder/file", "in it")]
        {
            assert_eq!(fs::read_to_string(done.path.join(path)).unwrap(), content);
        }
        assert_eq!(fs::read_link(done.path.join("link")).unwrap(), Path::new("becomes-a-folder"));
        assert!(!done.path.join("gone.db").exists());
        assert_eq!((verify::verify(&done), done.files), (Vec::new(), 5));
    }

    #[test]
    fn until_the_halt_is_near_nothing_is_made_that_holds_what_the_node_takes_away() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        database(&home.data().join("state.db"));
        let never = AtomicBool::new(false);
        let copies = if shares_blocks(&home.data()) { 0 } else { 2 };
        assert_eq!(made(&home, 5, false, &never, Duration::ZERO).unwrap(), copies);
        assert_eq!(made(&home, 5, true, &never, Duration::ZERO).unwrap(), 3);
        let tree = tree(&home, &home.path);
        for (height, is_there) in [(4, true), (5, false)] {
            keep::look(&home, 1_000_000, height).unwrap();
            assert_eq!(tree.exists(), is_there, "{height}");
        }
    }

    #[test]
    fn a_making_ahead_that_is_stopped_keeps_what_lies_ready() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        database(&home.data().join("state.db"));
        let stopped = AtomicBool::new(true);
        assert_eq!(made(&home, 5, true, &stopped, Duration::ZERO).unwrap(), 0);
        made(&home, 5, true, &AtomicBool::new(false), Duration::ZERO).unwrap();
        assert_eq!(made(&home, 5, true, &stopped, Duration::ZERO).unwrap(), 3);
        let estimate = estimate::estimated(&home, true, Duration::ZERO, &AtomicBool::new(false));
        assert_eq!(estimate.unwrap().unwrap().bytes, 0);
    }

    /// Its operator goes on without a backup then, and nobody would ever have taken it away.
    #[test]
    fn what_a_backup_leaves_that_did_not_end_lies_ready_again_and_goes_once_the_height_is_committed() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        database(&home.data().join("state.db"));
        made(&home, 5, true, &AtomicBool::new(false), Duration::ZERO).unwrap();
        let (tree, table) = (tree(&home, &home.path), "state.db/000001.ldb");
        let before = inode(&tree.join(table));
        fs::write(home.data().join("new"), "").unwrap();
        let stopped = || take(&home, &plan(5), None, &Zoned::now(), &AtomicBool::new(true), &|_, _| {}).unwrap_err();
        assert!(matches!(stopped(), BackupError::Stopped));
        assert_eq!(inode(&tree.join(table)), before);
        // As where it was killed.
        let unfinished = begin(&home, &home.path, 5).unwrap();
        assert_eq!((inode(&unfinished.join(table)), tree.exists()), (before, false));
        put_back(&home).unwrap();
        assert_eq!((inode(&tree.join(table)), unfinished.exists()), (before, false));
        home.backups = None;
        keep::look(&home, 1_000_000, 5).unwrap();
        assert!(!tree.exists() && !list(&home).exists());
    }

    #[test]
    fn what_lies_ready_in_the_home_of_which_this_one_is_a_copy_is_left_alone() {
        let [(_one, mut one), (_other, mut other)] = [(); 2].map(|()| home_with(&["genesis"]));
        (one.backups, other.backups) = (Some(one.path.clone()), Some(other.path.clone()));
        database(&one.data().join("state.db"));
        made(&one, 5, true, &AtomicBool::new(false), Duration::ZERO).unwrap();
        fs::copy(list(&one), list(&other)).unwrap();
        keep::look(&other, 1_000_000, 9).unwrap();
        taken(&other, 5);
        assert!(tree(&one, &one.path).join("state.db/000001.ldb").exists());
    }
}
