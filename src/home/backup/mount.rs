//! What lies on one mount: only there is anything renamed or given a second name. One filesystem may be mounted in many places,
//! also a single file or folder of it.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use nix::unistd::{AccessFlags, access};
use rustix::fs::{AtFlags, CWD, Statx, StatxAttributes, StatxFlags, ioctl_ficlone, makedev, statx};

/// A filesystem where it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mount {
    /// Device number of the filesystem.
    pub(super) device: u64,
    /// Which of its mounts; none where the kernel does not tell.
    id: Option<u64>,
}

impl Mount {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let Some(seen) = seen(path) else { return Ok(Self { device: fs::metadata(path)?.dev(), id: None }) };
        let told = seen.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        let device = makedev(seen.stx_dev_major, seen.stx_dev_minor);
        Ok(Self { device, id: told.then_some(seen.stx_mnt_id) })
    }

    /// Whether what is in a folder of this mount lies on it. An overlay may tell other devices of files than of their folders.
    pub(super) fn holds(self, entry: Self, is_folder: bool) -> bool {
        self == entry || !is_folder && self.id.is_some() && self.id == entry.id
    }
}

/// Whether something is mounted at this very path.
pub(in crate::home) fn is_point(path: &Path) -> bool {
    begins(path, |mount| mount)
}

/// Whether another filesystem is mounted there: more mounts of one come and go with a service's or a container's own view.
pub(super) fn is_disk(path: &Path) -> bool {
    begins(path, |mount| mount.device)
}

/// Whether this of a mount is not that of the folder above.
fn begins<T: PartialEq>(path: &Path, what: impl Fn(Mount) -> T) -> bool {
    let what = |path: &Path| Mount::of(path).ok().map(&what);
    what(path).is_some_and(|own| path.parent().is_none_or(|above| what(above) != Some(own)))
}

/// Whether blocks can be shared between two places, as far as their filesystem does that: on one mount, or where the kernel
/// does so between two of them.
pub(super) fn near(one: &Path, other: &Path) -> io::Result<bool> {
    let mounts = (Mount::of(one)?, Mount::of(other)?);
    let clones = || ioctl_ficlone(tempfile::tempfile_in(other)?, tempfile::tempfile_in(one)?).map_err(io::Error::from);
    Ok(mounts.0 == mounts.1 || mounts.0.device == mounts.1.device && clones().is_ok())
}

/// Whether this user may put something into a folder, and take it out.
pub(super) fn writable(folder: &Path) -> io::Result<()> {
    Ok(access(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

/// Why what is at a path cannot be moved to another folder of its mount, though its own folder may be written; for people.
pub(super) fn held(path: &Path) -> Option<String> {
    let set = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
    if seen(path).is_some_and(|seen| seen.stx_attributes.intersects(set)) {
        return Some("it is set never to be changed: `chattr -i -a` it".to_owned());
    }
    // A folder notes where it lies.
    let refused = if path.is_dir() { writable(path).err() } else { None };
    refused.map(|error| format!("{error}: `chown` it to this user, or mount it to be written"))
}

/// None also where the kernel, or what stands before it, is older than the question.
fn seen(path: &Path) -> Option<Statx> {
    statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok()
}
