//! Zip archives. What the central directory says is held against the headers of the entries themselves, so that nothing is
//! listed twice, hidden, or overlapping.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use zip::{ZipArchive, result::ZipError};

use super::{MOST_ENTRIES, UnpackError, damaged, tree::Tree};
use crate::artifact::checksum::shortened;

/// Reads an archive.
pub(super) fn read(mut file: File, tree: &mut Tree<'_>) -> Result<(), UnpackError> {
    const LONGEST_TARGET: u64 = 4096;
    if claimed_entries(&mut file)? > MOST_ENTRIES {
        return Err(UnpackError::TooManyEntries);
    }
    let mut archive = ZipArchive::new(file).map_err(bad_zip)?;
    archive.validate_header_consistency().map_err(bad_zip)?;
    for number in 0..archive.len() {
        let mut file = archive.by_index(number).map_err(bad_zip)?;
        let lossy = |_| UnpackError::BadName(shortened(&String::from_utf8_lossy(file.name_raw())));
        let name = core::str::from_utf8(file.name_raw()).map(str::to_owned).map_err(lossy)?;
        let (mode, size) = (file.unix_mode().unwrap_or_default(), file.size());
        match mode & 0o170_000 {
            0o120_000 => {
                let mut target = String::new();
                file.by_ref().take(LONGEST_TARGET).read_to_string(&mut target).map_err(damaged)?;
                tree.symbolic_link(&name, &target)?;
            }
            _ if name.ends_with('/') => tree.folder(&name)?,
            0 | 0o100_000 => tree.file(&name, mode & 0o111 != 0, size, &mut file)?,
            0o010_000 => return Err(UnpackError::Special(shortened(&name), "named pipe")),
            0o020_000 | 0o060_000 => return Err(UnpackError::Special(shortened(&name), "device")),
            _ => return Err(UnpackError::Special(shortened(&name), "thing of unknown type")),
        }
    }
    Ok(())
}

/// The most entries that anything looking like an end of central directory claims (APPNOTE 4.3.16), found out before the
/// directory is read into memory. An archive of more than 65,534 says 65,535.
fn claimed_entries(file: &mut File) -> std::io::Result<usize> {
    const LONGEST_END: u64 = 22 + 0xffff;
    let length = file.metadata()?.len();
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_END)))?;
    file.take(LONGEST_END).read_to_end(&mut end)?;
    file.rewind()?;
    let claims = end.windows(12).filter(|bytes| bytes.starts_with(b"PK\x05\x06"));
    Ok(claims.map(|bytes| usize::from(u16::from_le_bytes([bytes[10], bytes[11]]))).max().unwrap_or_default())
}

fn bad_zip(error: ZipError) -> UnpackError {
    match error {
        ZipError::Io(error) => damaged(error),
        other => UnpackError::Damaged(other.to_string()),
    }
}
