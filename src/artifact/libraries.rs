//! `lib/` beside a version's `bin/`. What an operator puts there comes before all other libraries; what comes out of an
//! archive must not, whoever removes which receipt. So a `lib/` from an archive bears a mark of its own from the moment it
//! is unpacked, and the two never mix.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::disk::naming;
use crate::home::patiently;

/// The folder.
const LIB: &str = "lib";
/// In it: it came out of an archive. An operator who wants its libraries all the same takes this file away.
const MARK: &str = ".from-archive";

/// Whether a `lib/` is there, has something in it, and was put there by an operator.
#[must_use]
pub fn is_operators(lib: &Path) -> bool {
    let has_entries = || fs::read_dir(lib).is_ok_and(|mut entries| entries.next().is_some());
    has_entries() && patiently(|| fs::symlink_metadata(lib.join(MARK))).is_err()
}

/// Of what an archive holds, what is to be placed in a folder: nothing in an operator's `lib/`, and the mark before what it
/// marks.
pub(super) fn to_place(mut files: Vec<PathBuf>, folder: &Path) -> Vec<PathBuf> {
    if is_operators(&folder.join(LIB)) {
        files.retain(|file| !file.starts_with(LIB));
    }
    files.sort_by_key(|file| *file != Path::new(LIB).join(MARK));
    files
}

/// Marks what was unpacked.
pub(super) fn mark(tree: &Path) -> io::Result<()> {
    let lib = tree.join(LIB);
    if lib.is_dir() {
        fs::write(lib.join(MARK), "").map_err(naming("cannot mark", &lib))?;
    }
    Ok(())
}
