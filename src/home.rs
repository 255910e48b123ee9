//! The door to the disk: where everything of a node's home lies, and how it is read and changed. Every change can be
//! interrupted at any point and made again.

pub mod backup;
pub mod changes;
pub mod current;
pub mod lock;
pub(crate) mod node_config;
pub mod observe;
pub mod orders;
pub mod record;
pub mod upgrade_info;
pub mod version;

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access, geteuid},
};

use crate::{
    artifact::{Platform, Store},
    decide::plan::Folder,
};

/// The home of a node, and what is needed to understand it.
#[derive(Debug, Clone)]
pub struct Home {
    /// `DAEMON_HOME`, absolute.
    pub path: PathBuf,
    /// `DAEMON_NAME`: the executable's file name.
    pub daemon: String,
    /// `COSMOVISOR_DISABLE_RECASE`: folders keep the case of upgrade names.
    pub keep_case: bool,
    /// Where backups go; none where they are not wanted (`UNSAFE_SKIP_BACKUP`).
    pub backups: Option<PathBuf>,
    /// How backups are made and kept.
    pub manner: backup::Manner,
    /// What binaries this machine runs.
    pub platform: Platform,
    /// `DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM`.
    pub must_have_checksum: bool,
    /// `WATCHER_LOCAL_INFO`: a plan's info that is the path of a file on this machine is read.
    pub local_info: bool,
}

impl Home {
    /// A home of which nothing else is known: no backups, and otherwise the defaults on this machine.
    #[must_use]
    pub fn plain(path: PathBuf, daemon: String) -> Self {
        Self {
            path,
            daemon,
            keep_case: false,
            backups: None,
            manner: backup::Manner::default(),
            platform: Platform::host(),
            must_have_checksum: false,
            local_info: false,
        }
    }

    /// `cosmovisor/`: the working directory of the node.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.path.join("cosmovisor")
    }

    /// `cosmovisor/current`.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.root().join("current")
    }

    /// `cosmovisor/upgrades`.
    #[must_use]
    pub fn upgrades(&self) -> PathBuf {
        self.root().join("upgrades")
    }

    /// `cosmovisor/upgrades/<folder>`.
    #[must_use]
    pub fn upgrade(&self, folder: &Folder) -> PathBuf {
        self.upgrades().join(folder.as_str())
    }

    /// The executable within a version's folder.
    #[must_use]
    pub fn executable(&self, folder: &Path) -> PathBuf {
        folder.join("bin").join(&self.daemon)
    }

    /// `data/`.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// `data/upgrade-info.json`.
    #[must_use]
    pub fn upgrade_info(&self) -> PathBuf {
        self.data().join(upgrade_info::FILE)
    }

    /// `cosmovisor/watcher/`: what `watcher` keeps for itself.
    #[must_use]
    pub fn own(&self) -> PathBuf {
        self.root().join("watcher")
    }

    /// `cosmovisor/watcher/record.json`.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.own().join("record.json")
    }

    /// `cosmovisor/watcher/header.json`: the newest header that was verified.
    #[must_use]
    pub fn trusted_header(&self) -> PathBuf {
        self.own().join("header.json")
    }

    /// The store of verified artifacts.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::below(&self.own())
    }

    /// Makes `cosmovisor/watcher/` and what is in it.
    ///
    /// # Errors
    /// Where the home cannot be written to.
    pub fn prepare(&self) -> io::Result<()> {
        let own = ["downloads", "artifacts", "aside"].map(|folder| self.own().join(folder));
        own.iter().chain([&self.upgrades()]).try_for_each(|folder| make_folders(folder))?;
        backup::name(self)
    }
}

/// What a file of the home may have where nothing says how long it can get, in bytes.
pub(crate) const SMALL: u64 = 16 << 20;

/// Reads a small file. What is no file is refused: a pipe in its place would never end.
///
/// # Errors
/// As the file system gives them, and for what is no file or has more than so many bytes.
pub(crate) fn read_small(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    patiently(|| read_once(path, longest))
}

fn read_once(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let refused = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    if !fs::metadata(path)?.is_file() {
        return refused("it is not a file".to_owned());
    }
    // What a file of the kernel's has is not told beforehand.
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest { refused(format!("it has more than {longest} bytes")) } else { Ok(bytes) }
}

/// None where nothing is there, or nothing that this user may see. Every other error may be of the moment and says nothing of
/// what is there.
pub(crate) fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if is_absence(&error) => Ok(None),
        found => found.map(Some),
    }
}

/// None where nothing is there. What this user may not see is an error.
pub(crate) fn unless_missing<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Looks again where a look failed for a reason that may be of the moment: too many open files, a disk that did not answer.
pub(crate) fn patiently<T>(look: impl Fn() -> io::Result<T>) -> io::Result<T> {
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 0..2 {
        match look() {
            Err(error) if may_pass(&error) => thread::sleep(PAUSE),
            found => return found,
        }
    }
    look()
}

/// A folder in the place of a link is one again at the next look.
fn may_pass(error: &io::Error) -> bool {
    !is_absence(error) && error.raw_os_error().is_some() && error.kind() != io::ErrorKind::InvalidInput
}

fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
        || error.raw_os_error() == Some(nix::Error::ELOOP as i32)
}

/// Writes a whole file beside its place and renames it there, so that a reader sees the old or the new content.
///
/// # Errors
/// As the file system gives them; nothing is left behind.
pub fn write_whole(path: &Path, content: &[u8], durable: bool) -> io::Result<()> {
    write_with_mode(path, &mut &*content, 0o644, durable)
}

/// The same with other permissions, from anything that can be read.
///
/// # Errors
/// As the file system gives them, or the reader; nothing is left behind.
pub fn write_with_mode(path: &Path, content: &mut impl io::Read, mode: u32, durable: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    written(path, folder, content, mode, durable).map_err(remedied(folder))
}

fn written(path: &Path, folder: &Path, content: &mut impl io::Read, mode: u32, durable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::copy(content, file.as_file_mut())?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    owned_alike(file.as_file(), &fs::metadata(folder)?)?;
    if durable {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|error| error.error)?;
    if durable {
        sync_folder(folder)?;
    }
    Ok(())
}

/// Makes a folder and those above it that are missing.
///
/// # Errors
/// As the file system gives them.
pub(crate) fn make_folders(folder: &Path) -> io::Result<()> {
    make_folders_with(folder, 0o777)
}

/// The same with other permissions. Each belongs to the owner of the one around it: what root makes for a home is the service's
/// to work in.
pub(crate) fn make_folders_with(folder: &Path, mode: u32) -> io::Result<()> {
    let missing: Vec<_> = folder.ancestors().take_while(|folder| !folder.is_dir()).collect();
    for folder in missing.into_iter().rev() {
        let around = folder.parent().unwrap_or(folder);
        let fresh = fs::DirBuilder::new().mode(mode).create(folder);
        match fresh.and_then(|()| owned_as_around(&fs::File::open(folder)?, folder)) {
            // Somebody else was quicker.
            Err(_) if folder.is_dir() => {}
            tried => tried.map_err(remedied(around))?,
        }
    }
    Ok(())
}

/// Gives what was made to the owner of what it was made from, or in: the node must be able to use it, whoever made it.
pub(crate) fn owned_alike(made: &fs::File, meta: &fs::Metadata) -> io::Result<()> {
    let now = made.metadata()?;
    if (now.uid(), now.gid()) == (meta.uid(), meta.gid()) {
        return Ok(());
    }
    fchown(made, Some(meta.uid()), Some(meta.gid())).or_else(|error| match error.kind() {
        // Only root may; everybody else made it for himself. A container may not have that user, or a filesystem none.
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Ok(()),
        _ => Err(error),
    })
}

/// Gives what was made at a path to the owner of the folder around it.
pub(crate) fn owned_as_around(made: &fs::File, path: &Path) -> io::Result<()> {
    owned_alike(made, &fs::metadata(path.parent().unwrap_or(path))?)
}

/// The first folder on the way to a path that this user may not enter, or the path itself.
fn shut(path: &Path) -> &Path {
    path.ancestors().skip(1).filter(|folder| access(*folder, AccessFlags::X_OK).is_err()).last().unwrap_or(path)
}

/// Whose it is that this user may not use, and what is to be done.
fn not_ours(path: &Path) -> String {
    let (path, us) = (shut(path), geteuid());
    let owner = fs::metadata(path).map_or_else(|_| "not there".to_owned(), |meta| format!("user {}'s", meta.uid()));
    format!(
        "{} is {owner}, and user {us} may not use it: `chown` or `chmod` it, or run this as its user",
        path.display()
    )
}

/// What the system says of a path; of one that is not ours also whose it is, and what is to be done.
fn refusal(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{error}: {}", not_ours(path)),
        _ => error.to_string(),
    }
}

/// Says of a disk that is full which one it is, what it has left, and of a folder that is not ours whose it is; and what is to
/// be done.
fn remedied(folder: &Path) -> impl FnOnce(io::Error) -> io::Error + use<'_> {
    /// What `watcher` keeps for itself, downloads and backups aside.
    const BYTES: u64 = 64 << 10;
    const INODES: u64 = 16;
    move |error| {
        if error.kind() == io::ErrorKind::PermissionDenied && !geteuid().is_root() {
            return io::Error::new(error.kind(), format!("{error}: {}", not_ours(folder)));
        }
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let Some(left) = is_full.then(|| folder.ancestors().find_map(|folder| statvfs(folder).ok())).flatten() else {
            return error;
        };
        let (bytes, inodes) = (left.blocks_available().saturating_mul(left.fragment_size()), left.files_available());
        let text = format!(
            "{error}: the filesystem of {} has {bytes} bytes and {inodes} inodes left, and at least {BYTES} and {INODES} are \
             needed: make room there",
            folder.display()
        );
        io::Error::new(error.kind(), text)
    }
}

/// Makes the names in a folder survive a power cut.
///
/// # Errors
/// As the file system gives them.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A home with executables in these folders under `cosmovisor/`.
    pub(crate) fn home_with(versions: &[&str]) -> (tempfile::TempDir, Home) {
        let keep = tempfile::tempdir().unwrap();
        let home = Home::plain(keep.path().to_owned(), "noded".into());
        fs::create_dir_all(home.data()).unwrap();
        home.prepare().unwrap();
        for version in versions {
            let binary = home.executable(&home.root().join(version));
            fs::create_dir_all(binary.parent().unwrap()).unwrap();
            fs::write(&binary, "#!/bin/sh\n").unwrap();
        }
        (keep, home)
    }

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let (_keep, home) = home_with(&[]);
        let path = home.own().join("file");
        write_whole(&path, b"one", true).unwrap();
        write_whole(&path, b"two", false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(write_whole(&home.own().join("no/such/folder"), b"x", false).is_err());
        assert_eq!(fs::read_dir(home.own()).unwrap().count(), 5, "three folders, the name of the home and the file");
    }

    #[test]
    fn a_look_that_fails_for_a_moment_is_made_again_and_what_is_not_there_is_believed_at_once() {
        for (error, enough, looks) in [
            (nix::Error::EMFILE, 2, (true, 2)),
            (nix::Error::EIO, 3, (true, 3)),
            (nix::Error::EIO, 4, (false, 3)),
            (nix::Error::ENOENT, 2, (false, 1)),
        ] {
            let made = std::cell::Cell::new(0);
            let found = patiently(|| {
                made.set(made.get() + 1);
                if made.get() < enough { Err(io::Error::from(error)) } else { Ok(()) }
            });
            assert_eq!((found.is_ok(), made.get()), looks, "{error}");
        }
    }

    /// It says that it has no bytes, as do files of the kernel that never end.
    #[test]
    fn a_file_that_has_more_than_it_says_is_not_read_to_its_end() {
        let refused = read_small(Path::new("/proc/self/maps"), 16).unwrap_err();
        assert_eq!(refused.to_string(), "it has more than 16 bytes");
        assert!(read_small(Path::new("/proc/self/maps"), SMALL).is_ok_and(|maps| maps.len() > 16));
    }
}
