//! Locks: one says that a `watcher` works on this home, another that a node runs on it. The node inherits that one, so it
//! outlives every way in which `watcher` can end. Whoever changes what others may change as well takes a folder's, and the
//! locks of databases tell of nodes that somebody else started.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::fcntl::{FcntlArg, fcntl};

use super::{Home, if_there, make_folders, owned_as_around, remedied, unless_missing};
use crate::decide::facts::NodeLock;

/// Held as long as this `watcher` lives.
#[derive(Debug)]
pub struct Supervisor {
    _file: File,
}

/// Takes the supervisor's lock.
///
/// # Errors
/// Where another one has it, or the lock file cannot be used.
pub fn supervise(home: &Home) -> io::Result<Supervisor> {
    let path = home.own().join("watcher.lock");
    let named = |error: io::Error| {
        let error = remedied(&path)(error);
        io::Error::new(error.kind(), format!("cannot lock {}: {error}", path.display()))
    };
    let mut file = open(&path).map_err(named)?;
    if !taken(&file).map_err(named)? {
        let (pid, home) = (supervisor(home).unwrap_or_default(), home.path.display());
        return Err(io::Error::other(format!(
            "another watcher (pid {pid}) already works on {home}: stop it first, or choose another DAEMON_HOME"
        )));
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(named)?;
    writeln!(file, "{}", std::process::id()).map_err(named)?;
    Ok(Supervisor { _file: file })
}

/// The pid of the `watcher` that works on this home, where one does. Nothing is written.
#[must_use]
pub fn supervisor(home: &Home) -> Option<String> {
    let mut file = File::open(home.own().join("watcher.lock")).ok()?;
    if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid).ok()?;
    Some(pid.trim().to_owned())
}

/// Whether a node runs on this home. Nothing is written: without the file no node was ever started here.
///
/// # Errors
/// Where the lock file cannot be used.
pub fn node(home: &Home) -> io::Result<NodeLock> {
    let Some(file) = unless_missing(File::open(node_path(home)))? else { return Ok(NodeLock::Free) };
    match file.try_lock() {
        Ok(()) => Ok(NodeLock::Free),
        Err(TryLockError::WouldBlock) => Ok(NodeLock::Held),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A fresh lock for a node that is about to start: it is held by whoever holds this descriptor or inherits it.
///
/// # Errors
/// Where it is held already, or the lock file cannot be used.
pub fn for_node(home: &Home) -> io::Result<OwnedFd> {
    let file = open(&node_path(home))?;
    if !taken(&file)? {
        return Err(io::Error::other("another node process still runs on this home"));
    }
    Ok(file.into())
}

/// The file whose lock a node holds.
#[must_use]
pub fn node_path(home: &Home) -> PathBuf {
    home.own().join("node.lock")
}

/// A lock on a folder, which is made where it is missing: of two that change what is in it at the same time one waits.
///
/// # Errors
/// As the file system gives them.
pub fn alone(folder: &Path) -> io::Result<File> {
    make_folders(folder)?;
    let alone = File::open(folder)?;
    alone.lock()?;
    Ok(alone)
}

/// A database below this folder that a process has open, whoever started that: goleveldb locks by `flock`, Pebble and others
/// by `fcntl`.
///
/// # Errors
/// As the file system gives them.
pub fn open_database(folder: &Path) -> io::Result<Option<PathBuf>> {
    for entry in unless_missing(fs::read_dir(folder))?.into_iter().flatten() {
        let path = entry?.path();
        let Some(file) = if_there(OpenOptions::new().read(true).write(true).open(path.join("LOCK")))? else { continue };
        let mut lock = whole_file();
        fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
        if i32::from(lock.l_type) != nix::libc::F_UNLCK || !taken(&file)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Asks for the whole file.
fn whole_file() -> nix::libc::flock {
    let [l_type, l_whence] =
        [nix::libc::F_WRLCK, nix::libc::SEEK_SET].map(|value| i16::try_from(value).unwrap_or_default());
    nix::libc::flock { l_type, l_whence, l_start: 0, l_len: 0, l_pid: 0 }
}

/// Whether the lock could be taken. Whoever only looks whether it is free holds it for a moment.
fn taken(file: &File) -> io::Result<bool> {
    for _ in 0..5 {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    owned_as_around(&file, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::tests::home_with;

    #[test]
    fn a_second_watcher_is_refused_with_the_pid_of_the_first() {
        let (_keep, home) = home_with(&[]);
        let first = supervise(&home).unwrap();
        assert_eq!(supervisor(&home), Some(std::process::id().to_string()));
        let refused = supervise(&home).unwrap_err().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        assert_eq!(supervisor(&home), None);
        supervise(&home).unwrap();
    }

    #[test]
    fn the_nodes_lock_is_held_as_long_as_its_descriptor_lives() {
        let (_keep, home) = home_with(&[]);
        assert_eq!(node(&home).unwrap(), NodeLock::Free);
        assert!(!node_path(&home).exists(), "a look writes nothing");
        let held = for_node(&home).unwrap();
        assert_eq!(node(&home).unwrap(), NodeLock::Held);
        assert!(for_node(&home).is_err());
        drop(held);
        assert_eq!(node(&home).unwrap(), NodeLock::Free);
    }

    #[test]
    fn a_database_is_open_while_anybody_holds_its_lock() {
        let (_keep, home) = home_with(&[]);
        let database = home.data().join("state.db");
        fs::create_dir_all(&database).unwrap();
        let look = || open_database(&home.data()).unwrap();
        assert_eq!(look(), None, "it has no lock");
        let file = File::create(database.join("LOCK")).unwrap();
        assert_eq!(look(), None);
        file.lock().unwrap();
        assert_eq!(look(), Some(database.clone()));
        file.unlock().unwrap();
        // One that belongs to the open file is met by its own process as well.
        fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())).unwrap();
        assert_eq!(look(), Some(database));
        drop(file);
        assert_eq!(look(), None);
    }
}
