//! A partial file, its running digests, and the small file beside it that remembers which version of the remote file it is
//! a part of.

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::{
    artifact::{
        checksum::{Checksum, Digests},
        disk::{each_piece, fingerprint, naming, read_json, sync_folder, write_json},
    },
    home::{make_folders, owned_as_around, unless_missing},
};

/// Which version of the remote file a part belongs to.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    validator: Option<String>,
    total: Option<u64>,
    /// Without a checksum nothing finds bytes that a power cut took, so such a part ends with the boot.
    boot: String,
}

impl Memory {
    pub(super) fn new(validator: Option<String>, total: Option<u64>) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { validator, total, boot: boot.trim().to_owned() }
    }
}

/// A partial file that is open, locked, and hashed as far as it goes.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    length: u64,
    demanded: Option<Checksum>,
    digests: Digests,
    memory: Memory,
}

/// A complete file with the digest that was demanded. Nobody else can write to it while this lives.
pub(in crate::artifact) struct Download {
    part: Part,
    /// Its SHA-256, lower-case hex.
    pub(in crate::artifact) sha256: String,
}

impl Part {
    /// Opens the part for `key`, waiting for whoever still writes to it, and hashes what is there.
    pub(super) fn open(folder: &Path, key: &str, demanded: Option<Checksum>) -> io::Result<Self> {
        make_folders(folder).map_err(naming("cannot create", folder))?;
        let path = folder.join(hex::encode(Sha256::digest(key))).with_extension("part");
        let file = open_locked(&path).map_err(naming("cannot open", &path))?;
        let memory: Option<Memory> = read_json(&path.with_extension("json"));
        let now = Memory::new(None, None);
        let resumable = memory.as_ref().is_some_and(|memory| memory.validator.is_some() && memory.boot == now.boot);
        let digests = Digests::new(demanded.clone());
        let memory = memory.unwrap_or_default();
        let mut part = Self { file, path, length: 0, digests, memory, demanded };
        if !resumable && part.demanded.is_none() {
            return part.emptied();
        }
        part.length = part.file.metadata()?.len();
        let digests = &mut part.digests;
        each_piece(&mut part.file, |piece| digests.update(piece)).map_err(naming("cannot read", &part.path))?;
        Ok(part)
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn validator(&self) -> Option<&str> {
        self.memory.validator.as_deref()
    }

    pub(super) fn total_agrees(&self, total: u64) -> bool {
        self.memory.total.is_none_or(|known| known == total)
    }

    /// Whether everything is here: an earlier run ended just before it could use it.
    pub(super) fn is_complete(&self) -> bool {
        self.length > 0 && self.memory.total == Some(self.length)
    }

    pub(super) fn emptied(mut self) -> io::Result<Self> {
        self.memory = Memory::default();
        self.digests = Digests::new(self.demanded.clone());
        self.length = 0;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(naming("cannot empty", &self.path))?;
        Ok(self)
    }

    /// Writes pieces after the first `from` bytes, which is all that are here or none, until no more come.
    pub(super) fn fill<T: AsRef<[u8]>>(
        mut self,
        from: u64,
        memory: Memory,
        mut pieces: mpsc::Receiver<T>,
    ) -> io::Result<Self> {
        if from == 0 {
            self = self.emptied()?;
        }
        write_json(&self.path.with_extension("json"), &memory)?;
        self.memory = memory;
        self.file.seek(SeekFrom::Start(from))?;
        while let Some(piece) = pieces.blocking_recv() {
            if let Err(error) = self.file.write_all(piece.as_ref()).map_err(naming("cannot write to", &self.path)) {
                // The node needs the room more.
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                    self.remove().ok();
                }
                return Err(error);
            }
            self.digests.update(piece.as_ref());
            self.length += piece.as_ref().len() as u64;
        }
        Ok(self)
    }

    /// Ends the digests. Bytes that are not those demanded are removed, and the digest they have is told.
    pub(super) fn finish(mut self) -> io::Result<Result<Download, (Checksum, String)>> {
        match core::mem::replace(&mut self.digests, Digests::new(None)).finish() {
            Ok(sha256) => Ok(Ok(Download { part: self, sha256 })),
            Err(difference) => self.remove().map(|()| Err(difference)),
        }
    }

    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path).map_err(naming("cannot remove", &self.path))?;
        self.forget()
    }

    fn forget(&self) -> io::Result<()> {
        unless_missing(fs::remove_file(self.path.with_extension("json")))?;
        self.path.parent().map_or(Ok(()), sync_folder)
    }
}

impl Download {
    /// Moves the file away on the same filesystem; from here on nobody knows it by its old name.
    pub(in crate::artifact) fn move_to(&self, path: &Path) -> io::Result<()> {
        fs::rename(&self.part.path, path).map_err(naming("cannot move", &self.part.path))?;
        self.part.forget()
    }

    /// Moves it back as a part that is complete, so that nobody asks for these bytes again.
    pub(in crate::artifact) fn put_back(&self, from: &Path) -> io::Result<()> {
        let memory = Memory { total: Some(self.part.length), ..self.part.memory.clone() };
        write_json(&self.part.path.with_extension("json"), &memory)?;
        fs::rename(from, &self.part.path).map_err(naming("cannot move", from))
    }
}

/// Opens and locks a file, and makes sure that it is still the one with that name: the last holder may have moved it.
fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        owned_as_around(&file, path)?;
        file.lock()?;
        let named = fs::metadata(path).map(|metadata| fingerprint(&metadata).inode);
        if named.is_ok_and(|inode| file.metadata().is_ok_and(|metadata| fingerprint(&metadata).inode == inode)) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_for_which_there_is_no_room_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = Part::open(folder.path(), "key", None).unwrap();
        part.file = File::options().write(true).open("/dev/full").unwrap();
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(b"more").unwrap();
        drop(sender);
        let error = part.fill(1, Memory::new(None, None), receiver).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
