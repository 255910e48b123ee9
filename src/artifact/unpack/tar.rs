//! Tar archives. The names of entries may be of any length and are read into memory, so what is read between two files
//! is metered.

use std::{
    cell::Cell,
    io::{self, Read},
};

use tar::{Archive, EntryType};

use super::{UnpackError, damaged, tree::Tree};
use crate::artifact::checksum::shortened;

/// The most bytes of names, attributes and padding before one file, and of padding at the end.
const LARGEST_HEADER: u64 = 1 << 20;

/// Reads an archive to its very end, so that a checksum around it is checked as well.
pub(super) fn read(reader: impl Read, tree: &mut Tree<'_>) -> Result<(), UnpackError> {
    let left = Cell::new(LARGEST_HEADER);
    let mut archive = Archive::new(Metered { reader, left: &left });
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let (kind, size) = (entry.header().entry_type(), entry.size());
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
        let name = text(&entry.path_bytes())?;
        let target = |entry: &tar::Entry<'_, _>| text(&entry.link_name_bytes().unwrap_or_default());
        match kind {
            EntryType::Regular | EntryType::Continuous if !name.ends_with('/') => {
                left.set(size);
                tree.file(&name, executable, size, &mut entry)?;
            }
            EntryType::Regular | EntryType::Directory => tree.folder(&name)?,
            EntryType::Symlink => tree.symbolic_link(&name, &target(&entry)?)?,
            EntryType::Link => tree.hard_link(&name, &target(&entry)?)?,
            EntryType::XGlobalHeader => {}
            EntryType::Char | EntryType::Block => return Err(UnpackError::Special(shortened(&name), "device")),
            EntryType::Fifo => return Err(UnpackError::Special(shortened(&name), "named pipe")),
            EntryType::GNUSparse => return Err(UnpackError::Special(shortened(&name), "sparse file")),
            _ => return Err(UnpackError::Special(shortened(&name), "thing of unknown type")),
        }
        left.set(LARGEST_HEADER);
    }
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop).map_err(damaged)
}

fn text(bytes: &[u8]) -> Result<String, UnpackError> {
    let lossy = |_| UnpackError::BadName(shortened(&String::from_utf8_lossy(bytes)));
    core::str::from_utf8(bytes).map(str::to_owned).map_err(lossy)
}

/// A reader that fails once it gave as much as is left.
struct Metered<'a, R> {
    reader: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(into)?;
        let left = self.left.get().checked_sub(length as u64);
        self.left.set(left.ok_or_else(|| io::Error::other("more names and padding than an archive can need"))?);
        Ok(length)
    }
}
