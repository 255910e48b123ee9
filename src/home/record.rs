//! The record: the little that the disk does not show by itself.

use std::{fs::OpenOptions, io, os::unix::fs::FileExt as _};

use super::{Home, read_small, write_whole};
use crate::decide::facts::{Record, RecordFact, Verdict};

/// What one write puts into the page cache as a whole.
const PAGE: usize = 4096;

/// Reads the record.
#[must_use]
pub fn read(home: &Home) -> RecordFact {
    match read_small(&home.record()) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_or(RecordFact::Unreadable, RecordFact::Present),
        Err(error) if error.kind() == io::ErrorKind::NotFound => RecordFact::Absent,
        Err(_) => RecordFact::Unreadable,
    }
}

/// Writes the record. One that settles an upgrade is durable, and renamed into place. One on the way of the swap is
/// written over the old one in a single page, which a kill cannot tear: a rename over an existing file makes ext4 flush it
/// (`auto_da_alloc`), and that is a millisecond or two of disk between stop and start. A power cut may lose it; then an
/// older record is found, or none that can be read, and hooks run again.
///
/// # Errors
/// As the file system gives them.
pub fn write(home: &Home, record: &Record) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
    text.resize(text.len().max(PAGE - 1), b' ');
    text.push(b'\n');
    // What is no file, a pipe for example, is not opened but replaced.
    let is_file = home.record().metadata().is_ok_and(|meta| meta.is_file());
    if record.verdict == Verdict::Passed || text.len() > PAGE || !is_file {
        return write_whole(&home.record(), &text, true);
    }
    let file = OpenOptions::new().write(true).open(home.record())?;
    file.write_all_at(&text, 0)?;
    // A longer record may have been there.
    file.set_len(PAGE as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::{facts::Version, plan::Plan},
        home::tests::home_with,
    };

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
