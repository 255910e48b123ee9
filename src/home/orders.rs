//! The operator's standing orders on disk. Commands write them, a running `watcher` hears of them by looking.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Home, backup, current, if_there, make_folders, read_small, sync_folder, unless_missing, upgrade_info, write_whole,
    write_with_mode,
};
use crate::{
    artifact,
    decide::{
        facts::{DataIdentity, Fingerprint, Version},
        orders::{Exact, Hold, Orders, Replacement, Ruling},
        plan::Plan,
    },
};

/// The file beside `upgrade-info.json` that `add-batch-upgrade` writes.
pub const QUEUE: &str = "upgrade-info.json.batch";
/// How Linux calls btrfs (`statfs`).
const BTRFS: i64 = 0x9123_683e;

/// Reads all orders. What cannot be read is named, and nothing is done about it; but a brake that cannot be read is on: who
/// put it there did not want to be overlooked.
#[must_use]
pub fn read(home: &Home) -> Orders {
    let mut unreadable = None;
    let holds = holds(home).unwrap_or_else(|reason| {
        unreadable = Some(reason.clone());
        vec![Hold { folder: None, reason }]
    });
    let exact = file(&exact_path(home), &mut unreadable);
    let replacement = file(&order_path(home), &mut unreadable);
    let ruling = file(&ruling_path(home), &mut unreadable);
    let queue = queue(home).unwrap_or_else(|reason| {
        unreadable = Some(reason);
        Vec::new()
    });
    Orders { holds, exact, replacement, ruling, queue, unreadable }
}

/// Which upgrades are held.
///
/// # Errors
/// Why that cannot be read.
pub fn holds(home: &Home) -> Result<Vec<Hold>, String> {
    let mut unreadable = None;
    let holds = file(&holds_path(home), &mut unreadable).unwrap_or_default();
    unreadable.map_or(Ok(holds), Err)
}

/// Writes which upgrades are held.
///
/// # Errors
/// As the file system gives them.
pub fn write_holds(home: &Home, holds: &[Hold]) -> io::Result<()> {
    write_or_remove(&holds_path(home), (!holds.is_empty()).then_some(holds))
}

/// Writes before which height the old binary is to stop, or that there is none.
///
/// # Errors
/// As the file system gives them.
pub fn write_exact(home: &Home, exact: Option<&Exact>) -> io::Result<()> {
    write_or_remove(&exact_path(home), exact)
}

/// Writes what is to become of an upgrade that failed, or that there is no word on it.
///
/// # Errors
/// As the file system gives them.
pub fn write_ruling(home: &Home, ruling: Option<Ruling>) -> io::Result<()> {
    write_or_remove(&ruling_path(home), ruling.as_ref())
}

/// Takes back the operator's word that was heeded. One that came meanwhile stays.
///
/// # Errors
/// As the file system gives them.
pub fn heeded(home: &Home, ruling: Option<Ruling>) -> io::Result<()> {
    if read(home).ruling == ruling { write_ruling(home, None) } else { Ok(()) }
}

/// Writes `upgrade-info.json` in the operator's name: executable, which a node's own file never is. It takes the place of
/// one file, or of none; what a node has written since stays.
///
/// # Errors
/// As the file system gives them, and where the file is another one.
pub fn name(home: &Home, plan: &Plan, over: Option<Fingerprint>) -> io::Result<()> {
    let beside = home.data().join(".upgrade-info.json.new");
    write_with_mode(&beside, &mut upgrade_info::render(plan).as_bytes(), 0o755, true)?;
    let info = home.upgrade_info();
    match over {
        None => {
            fs::hard_link(&beside, &info)?;
            fs::remove_file(&beside)?;
        }
        Some(over) if is_still(&fs::metadata(&info)?, over) => fs::rename(&beside, &info)?,
        Some(_) => return Err(io::Error::other("data/upgrade-info.json was written by somebody else just now")),
    }
    sync_folder(&home.data())
}

/// Whether it is the file that was looked at: a look takes the time of its last change where its content changed without
/// another time.
fn is_still(meta: &fs::Metadata, looked_at: Fingerprint) -> bool {
    let changed = meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec());
    let now = artifact::fingerprint(meta);
    now == looked_at || Fingerprint { modified: changed, ..now } == looked_at
}

/// Writes the queue anew, as an indented list that only its owner reads; an empty one is `[]`.
///
/// # Errors
/// As the file system gives them.
pub fn write_queue(home: &Home, queue: &[Plan]) -> io::Result<()> {
    write_with_mode(&home.data().join(QUEUE), &mut upgrade_info::render_list(queue).as_bytes(), 0o600, true)
}

/// Takes an upgrade that has passed out of the queue, and leaves what else is in it now.
///
/// # Errors
/// As the file system gives them, and where the queue cannot be understood.
pub fn unqueue(home: &Home, over: &Plan) -> io::Result<()> {
    let mut left = queue(home).map_err(io::Error::other)?;
    left.retain(|plan| !plan.is_alike(over));
    write_queue(home, &left)
}

/// Takes an order back that was fulfilled by this upgrade.
///
/// # Errors
/// As the file system gives them.
pub fn fulfilled(home: &Home, plan: &Plan) -> io::Result<()> {
    let exact: Option<Exact> = file(&exact_path(home), &mut None);
    match exact {
        Some(exact) if exact.height == plan.height => write_exact(home, None),
        _ => Ok(()),
    }
}

/// Orders a replacement: the file is copied beside its place, and `watcher` makes the change.
///
/// # Errors
/// As the file system gives them.
pub fn order_replacement(home: &Home, executable: &Path, order: &Replacement) -> io::Result<()> {
    const MODE: u32 = 0o755;
    let new = new_binary(home);
    make_folders(new.parent().unwrap_or(&new))?;
    let mut content = fs::File::open(executable)?;
    let beside = new.with_extension("copying");
    write_with_mode(&beside, &mut content, MODE, true)?;
    // An order that stands must not take this file for its own.
    write_or_remove::<Replacement>(&order_path(home), None)?;
    fs::rename(&beside, &new)?;
    write_or_remove(&order_path(home), Some(order))
}

/// Puts the ordered replacement in its place by a rename, and takes the order back. The old file is kept under `aside/`, and
/// what was said of it in a receipt does not hold for the new one. Does what is left where it was interrupted.
///
/// # Errors
/// As the file system gives them; then the old binary is still there.
pub fn replace(home: &Home, version: &Version) -> io::Result<()> {
    let replaced = put_in_place(home, version);
    // An order that cannot be carried out is given anew, not tried for ever.
    let taken_back = write_or_remove::<Replacement>(&order_path(home), None);
    replaced.and(taken_back)
}

/// The inode of the binary that is ordered to take another one's place.
#[must_use]
pub fn ordered(home: &Home) -> Option<u64> {
    fs::metadata(new_binary(home)).map(|meta| meta.ino()).ok()
}

fn put_in_place(home: &Home, version: &Version) -> io::Result<()> {
    let folder = version_folder(home, version);
    let (new, old) = (new_binary(home), home.executable(&folder));
    if new.try_exists()? {
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let label = version.to_string().replace('/', "-");
        let kept = home.own().join("aside").join(format!("{label}-{moment}-{}", home.daemon));
        artifact::keep(&folder, &old, &kept)?;
        fs::rename(&new, &old)?;
        sync_folder(old.parent().unwrap_or(&folder))?;
        tracing::info!(kept = %kept.display(), "replaced the binary of {version}");
    }
    Ok(())
}

/// Whether a replacement could take a version's place by a rename: whether both lie on one file system.
///
/// # Errors
/// As the file system gives them.
pub fn is_within_reach(home: &Home, version: &Version) -> io::Result<bool> {
    let bin = version_folder(home, version).join("bin");
    Ok(fs::metadata(bin)?.dev() == fs::metadata(home.own())?.dev())
}

/// The folder of a version.
#[must_use]
pub fn version_folder(home: &Home, version: &Version) -> PathBuf {
    home.root().join(current::target(version))
}

/// Which data these are.
#[must_use]
pub fn data_identity(home: &Home) -> Option<DataIdentity> {
    let data = home.data();
    let path = data.join("application.db");
    let mut state = fs::metadata(&path).ok()?;
    // One that is linked or mounted stays where others come into it. Databases keep this file as long as they live; badger alone
    // makes it anew.
    if fs::symlink_metadata(&path).ok()?.is_symlink() || backup::is_point(&path) {
        let lock = if_there(fs::metadata(path.join("LOCK"))).ok()?;
        state = lock.filter(|_| !path.join("KEYREGISTRY").exists()).unwrap_or(state);
    }
    let folder = fs::metadata(&data).ok()?;
    let is_btrfs = rustix::fs::statfs(&data).is_ok_and(|system| system.f_type == BTRFS);
    let filesystem = is_btrfs.then(|| rustix::fs::statvfs(&data).ok()).flatten().map_or(0, |system| system.f_fsid);
    // A folder that is made anew may get the number of the one that was removed.
    let born = state.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or(0, |born| u64::try_from(born.as_nanos()).unwrap_or(u64::MAX));
    Some(DataIdentity { filesystem, folder: folder.ino(), state: state.ino(), born })
}

fn queue(home: &Home) -> Result<Vec<Plan>, String> {
    let path = home.data().join(QUEUE);
    let wrong =
        |error: String| format!("failed to load batch upgrade file {}, which is ignored: {error}", path.display());
    let bytes = match content(&path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Vec::new()),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let entries: Option<Vec<Value>> = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    let plan =
        |entry: &Value| upgrade_info::parse(entry.to_string().as_bytes()).map_err(|error| wrong(error.to_string()));
    let mut plans = entries.unwrap_or_default().iter().map(plan).collect::<Result<Vec<_>, _>>()?;
    // A file with an info is the chain's.
    for plan in &mut plans {
        plan.info.clear();
    }
    plans.sort_by_key(|plan| plan.height);
    Ok(plans)
}

fn file<T: DeserializeOwned>(path: &Path, unreadable: &mut Option<String>) -> Option<T> {
    let read = content(path).and_then(|bytes| bytes.map(|bytes| Ok(serde_json::from_slice(&bytes)?)).transpose());
    read.unwrap_or_else(|error| {
        *unreadable = Some(format!("{} cannot be understood: {error}; correct or remove it", path.display()));
        None
    })
}

/// What is in a file, where it is there. No order is longer than a plan may be.
fn content(path: &Path) -> io::Result<Option<Vec<u8>>> {
    unless_missing(read_small(path, upgrade_info::LONGEST))
}

fn write_or_remove<T: Serialize + ?Sized>(path: &Path, content: Option<&T>) -> io::Result<()> {
    match content {
        Some(content) => write_whole(path, &serde_json::to_vec_pretty(content).map_err(io::Error::other)?, true),
        // What was taken back must not come again with a power cut.
        None if unless_missing(fs::remove_file(path))?.is_some() => path.parent().map_or(Ok(()), sync_folder),
        None => Ok(()),
    }
}

fn holds_path(home: &Home) -> PathBuf {
    home.own().join("holds.json")
}

fn exact_path(home: &Home) -> PathBuf {
    home.own().join("exact.json")
}

fn ruling_path(home: &Home) -> PathBuf {
    home.own().join("ruling.json")
}

fn order_path(home: &Home) -> PathBuf {
    home.own().join("replacement.json")
}

fn new_binary(home: &Home) -> PathBuf {
    home.own().join("replacement").join(&home.daemon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::tests::home_with;

    /// ext4 gives the numbers of what was removed to what is made next.
    #[test]
    fn data_that_take_the_place_and_the_numbers_of_others_are_others() {
        let (_keep, home) = home_with(&["genesis"]);
        let state = home.data().join("application.db");
        let made = || {
            fs::create_dir(&state).unwrap();
            data_identity(&home).unwrap()
        };
        let before = made();
        fs::write(state.join("000001.log"), "").unwrap();
        assert_eq!(data_identity(&home), Some(before));
        fs::remove_dir_all(&state).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_ne!(made(), before);
    }

    /// A file with an info is the chain's, and would be due at once.
    #[test]
    fn what_an_operator_queues_has_no_info() {
        let (_keep, home) = home_with(&["genesis"]);
        let plan = Plan { name: "v2".into(), height: 5, info: "{}".into() };
        write_queue(&home, std::slice::from_ref(&plan)).unwrap();
        assert_eq!(read(&home).queue, [Plan { info: String::new(), ..plan }]);
    }
}
