//! Carries files to another place, as it was found to be done. Small files wait for the disk and not for a processor, so
//! many are carried at a time.

use std::{
    fs::{self, File, FileTimes, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, symlink},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    At, at,
    layout::OURS,
    work::{self, Way, Work},
};
use crate::home::{owned_alike, sync_folder, unless_missing};

/// Files under way at a time.
const WORKERS: usize = 8;
/// Bytes between two looks whether to stop.
const PIECE: u64 = 8 << 20;

/// Why it was not carried to the end.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// It was asked to stop.
    #[error("it was stopped")]
    Stopped,
    /// Something on disk failed.
    #[error(transparent)]
    Disk(#[from] At),
}

/// Hears how many bytes are copied, of how many.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Carries everything below a folder that lies there not yet, and makes it durable. Gives the bytes that were copied.
pub(super) fn carry(work: &Work, folder: &Path, stop: &AtomicBool, progress: Progress<'_>) -> Result<u64, CarryError> {
    for (_, to) in &work.folders {
        let to = folder.join(to);
        // Of what lies deeper than its part's own folder.
        fs::create_dir_all(&to).map_err(at(&to))?;
    }
    for (text, to) in &work.links {
        let to = folder.join(to);
        match symlink(text, &to) {
            // Brought up to date: another one would have been taken away.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(&to)(error).into()),
            _ => {}
        }
    }
    let total = work.bytes(Way::Copy);
    let (copied, next, failed) = (AtomicU64::new(0), AtomicUsize::new(0), Mutex::new(None));
    let (quick, slow): (Vec<_>, Vec<_>) =
        work.files.iter().filter(|file| !file.is_there).partition(|file| file.way.is_a_name());
    let tell = |bytes: u64| progress(copied.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
    let one = |file: &work::File| {
        if stop.load(Ordering::Relaxed) {
            return Err(CarryError::Stopped);
        }
        carried(file, &folder.join(&file.to), stop, &tell)
    };
    let worker = || {
        while failed.lock().unwrap_or_else(PoisonError::into_inner).is_none()
            && let Some(file) = slow.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(error) = one(file) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS.min(slow.len()) {
            scope.spawn(worker);
        }
        quick.iter().try_for_each(|file| one(file))
    })?;
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let shares = work.files.iter().any(|file| file.way == Way::Clone);
    for (from, to) in work.folders.iter().rev() {
        let to = folder.join(to);
        let meta = fs::metadata(from).map_err(at(from))?;
        let made = File::open(&to).map_err(at(&to))?;
        made.set_permissions(meta.permissions()).map_err(at(&to))?;
        owned_alike(&made, &meta).map_err(at(&to))?;
        if !shares {
            made.sync_all().map_err(at(&to))?;
        }
    }
    // Such filesystems write out everything for each single file that is to be durable.
    for place in work.places().filter(|_| shares) {
        File::open(place).and_then(|place| Ok(rustix::fs::syncfs(place)?)).map_err(at(place))?;
    }
    Ok(copied.into_inner())
}

/// Carries one file, as long as it was found; what shares its blocks is not durable yet.
pub(super) fn carried(file: &work::File, to: &Path, stop: &AtomicBool, tell: &dyn Fn(u64)) -> Result<(), CarryError> {
    let source = file.source();
    // A link may be refused although the mount is the same: `protected_hardlinks`.
    let linked = || fs::hard_link(source, to).is_ok();
    if file.way.is_a_name() && linked() {
        return Ok(());
    }
    let from = File::open(source).map_err(at(source))?;
    let meta = from.metadata().map_err(at(source))?;
    let create = || OpenOptions::new().write(true).create_new(true).mode(meta.mode()).open(to).map_err(at(to));
    let mut made = create()?;
    let cloned = file.way.shares() && rustix::fs::ioctl_ficlone(&made, &from).is_ok();
    if file.way == Way::Clone && !cloned && file.settled {
        // Single files may be set not to share (`chattr +C`).
        fs::remove_file(to).map_err(at(to))?;
        if linked() {
            return Ok(());
        }
        made = create()?;
    }
    if !cloned {
        let mut left = file.state.size;
        loop {
            let copied = io::copy(&mut (&from).take(PIECE.min(left)), &mut &made);
            let bytes = copied.map_err(|error| at(if is_of_target(&error) { to } else { source })(error))?;
            if bytes == 0 {
                break;
            }
            left -= bytes;
            tell(bytes);
            if stop.load(Ordering::Relaxed) {
                return Err(CarryError::Stopped);
            }
        }
    }
    let times = FileTimes::new().set_modified(meta.modified().map_err(at(source))?);
    let alike = made.set_permissions(meta.permissions()).and_then(|()| owned_alike(&made, &meta));
    alike.and_then(|()| made.set_times(times)).map_err(at(to))?;
    if !cloned {
        made.sync_all().map_err(at(to))?;
    }
    Ok(())
}

/// Writes a file whole that only its owner reads: that of what it is made from, before it has its name.
pub(super) fn write_alike(path: &Path, content: &[u8], meta: &fs::Metadata) -> Result<(), At> {
    let beside = path.with_file_name(format!("{OURS}written"));
    let written = || {
        unless_missing(fs::remove_file(&beside))?;
        let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        made.write_all(content)?;
        owned_alike(&made, meta)?;
        made.sync_all()
    };
    if let Err(error) = written() {
        let _ = fs::remove_file(&beside);
        return Err(at(&beside)(error));
    }
    rename(&beside, path)
}

/// Makes a folder where it is missing, as another one is.
pub(super) fn folder_alike(folder: &Path, other: &Path) -> Result<(), At> {
    let made = || match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => {
            made?;
            let (made, meta) = (File::open(folder)?, fs::metadata(other)?);
            made.set_permissions(meta.permissions())?;
            owned_alike(&made, &meta)
        }
    };
    made().map_err(at(folder))
}

/// Whether only where something is written can fail like this.
pub(super) fn is_of_target(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Removes a folder with everything in it, where it is there.
pub(super) fn remove(folder: &Path) -> Result<(), At> {
    unless_missing(fs::remove_dir_all(folder)).map_err(at(folder)).map(drop)
}

/// Renames, and makes it durable.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), At> {
    fs::rename(from, to).map_err(at(to))?;
    let folder = to.parent().unwrap_or(to);
    sync_folder(folder).map_err(at(folder))
}
