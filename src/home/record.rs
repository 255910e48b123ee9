//! The record: the little that the disk does not show by itself.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

use super::{Home, SMALL, read_small, unless_missing, write_whole};
use crate::decide::{
    facts::{Record, RecordFact},
    plan::Plan,
};

/// What one write puts into the page cache as a whole.
const PAGE: usize = 4096;

/// Reads the record.
#[must_use]
pub fn read(home: &Home) -> RecordFact {
    match read_small(&home.record(), SMALL) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_or(RecordFact::Unreadable, RecordFact::Present),
        Err(error) if error.kind() == io::ErrorKind::NotFound => RecordFact::Absent,
        Err(_) => RecordFact::Unreadable,
    }
}

/// Whether the record can be read, whatever it says.
///
/// # Errors
/// Where it is there and cannot be: then nobody knows what it says.
pub fn readable(home: &Home) -> io::Result<()> {
    use io::ErrorKind::{InvalidData, NotFound};
    match read_small(&home.record(), SMALL) {
        Err(error) if !matches!(error.kind(), NotFound | InvalidData) => Err(error),
        _ => Ok(()),
    }
}

/// Why the record cannot be understood, where it is there, and where a copy of it is kept: the next one is written over it.
#[must_use]
pub fn set_aside_damaged(home: &Home) -> Option<(String, PathBuf)> {
    let bytes = read_small(&home.record(), SMALL).ok()?;
    let reason = serde_json::from_slice::<Record>(&bytes).err()?.to_string();
    let kept = home.record().with_extension("damaged.json");
    // It is for people, and nothing hangs on it.
    let _ = fs::write(&kept, bytes);
    Some((reason, kept))
}

/// Writes the record. One that settles an upgrade or gives it up is durable, and renamed into place. One on the way of the swap is
/// written over the old one in a single page, which a kill cannot tear: a rename over an existing file makes ext4 flush it
/// (`auto_da_alloc`), and that is a millisecond or two of disk between stop and start. A power cut may lose it; then an
/// older record is found, or none that can be read, and hooks run again.
///
/// # Errors
/// As the file system gives them.
pub fn write(home: &Home, record: &Record) -> io::Result<()> {
    let text = text_of(record)?;
    // What is no file, a pipe for example, is not opened but replaced.
    let is_file = home.record().metadata().is_ok_and(|meta| meta.is_file());
    if record.verdict.has_passed() || record.failure.is_some() || text.len() > PAGE || !is_file {
        return write_whole(&home.record(), &text, true);
    }
    let file = OpenOptions::new().write(true).open(home.record())?;
    file.write_all_at(&text, 0)?;
    // A longer record may have been there.
    file.set_len(PAGE as u64)
}

/// Writes the record so that it outlives a power cut, whatever it says.
///
/// # Errors
/// As the file system gives them.
pub fn write_to_last(home: &Home, record: &Record) -> io::Result<()> {
    write_whole(&home.record(), &text_of(record)?, true)
}

/// Has the record as it is outlive a power cut; none is no error.
///
/// # Errors
/// As the file system gives them.
pub fn sync(home: &Home) -> io::Result<()> {
    unless_missing(File::open(home.record()))?.map_or(Ok(()), |file| file.sync_data())
}

/// Writes down that data and configuration are as they were before an upgrade, where that is being taken back.
///
/// # Errors
/// As the file system gives them.
pub fn restored(home: &Home, plan: &Plan) -> io::Result<()> {
    let Some(bytes) = unless_missing(read_small(&home.record(), SMALL))? else { return Ok(()) };
    // One that is damaged says nothing of a failure.
    let Ok(mut record) = serde_json::from_slice::<Record>(&bytes) else { return Ok(()) };
    let is_of_it = record.is_of(plan);
    match &mut record.failure {
        Some(failure) if is_of_it && !failure.restored => failure.restored = true,
        _ => return Ok(()),
    }
    write_to_last(home, &record)
}

fn text_of(record: &Record) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
    text.resize(text.len().max(PAGE - 1), b' ');
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decide::facts::Version, home::tests::home_with};

    #[test]
    fn a_record_is_read_as_it_was_written_whatever_was_there_before() {
        let (_keep, home) = home_with(&[]);
        assert_eq!(read(&home), RecordFact::Absent);
        let record =
            |name: &str| Record::new(Plan { name: name.into(), height: 5, info: String::new() }, Version::Genesis);
        let mut settled = record("v2");
        settled.settle();
        for written in [record("first"), record(&"long ".repeat(2_000)), settled, record("v3")] {
            write(&home, &written).unwrap();
            assert_eq!(read(&home), RecordFact::Present(written));
        }
        std::fs::write(home.record(), "{\"plan\":").unwrap();
        assert_eq!(read(&home), RecordFact::Unreadable);
    }
}
