//! What makes a copy of this program a node: a few bytes after the end of the executable, which the loader never looks
//! at. So the demo's genesis binary and its release are real executables of this machine, and really differ.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

/// The last bytes of an executable that carries a trailer; before them stand the trailer's length and its JSON.
const MAGIC: &[u8; 12] = b"watcher-node";
/// Length (four bytes, little endian) and magic.
const FOOT: usize = 4 + MAGIC.len();
/// A longer trailer is none of ours.
const LONGEST: u32 = 4096;

/// Which node an executable is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// What `version` and `/abci_info` say.
    pub version: String,
    /// The upgrades that this node can apply.
    pub handlers: Vec<String>,
}

impl Trailer {
    /// A node of this version that can apply these upgrades.
    #[must_use]
    pub fn new(version: &str, handlers: &[&str]) -> Self {
        Self { version: version.into(), handlers: handlers.iter().map(|name| String::from(*name)).collect() }
    }

    /// The trailer of this very program.
    #[must_use]
    pub fn own() -> Option<Self> {
        Self::of(&std::env::current_exe().ok()?)
    }

    /// The trailer of an executable; none where it carries none, or cannot be read.
    #[must_use]
    pub fn of(executable: &Path) -> Option<Self> {
        let mut file = File::open(executable).ok()?;
        let foot_at = file.metadata().ok()?.len().checked_sub(FOOT as u64)?;
        file.seek(SeekFrom::Start(foot_at)).ok()?;
        let mut foot = [0; FOOT];
        file.read_exact(&mut foot).ok()?;
        let (length, magic) = foot.split_at(4);
        let length = u32::from_le_bytes(length.try_into().ok()?);
        if magic != MAGIC || length > LONGEST {
            return None;
        }
        file.seek(SeekFrom::Start(foot_at.checked_sub(length.into())?)).ok()?;
        let mut json = vec![0; length as usize];
        file.read_exact(&mut json).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Makes `node` a copy of `executable` with this trailer, executable by everybody; its folder is made where missing.
    ///
    /// # Errors
    /// Where the copy cannot be read or written.
    pub fn install(&self, executable: &Path, node: &Path) -> io::Result<()> {
        if let Some(folder) = node.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(executable, node)?;
        fs::set_permissions(node, Permissions::from_mode(0o755))?;
        let json = serde_json::to_vec(self)?;
        let mut file = OpenOptions::new().append(true).open(node)?;
        file.write_all(&json)?;
        file.write_all(&u32::try_from(json.len()).map_err(io::Error::other)?.to_le_bytes())?;
        file.write_all(MAGIC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_carries_what_it_was_given_and_nothing_else_is_taken_for_a_node() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, node) = (folder.path().join("plain"), folder.path().join("bin/node"));
        for content in
            [&b""[..], b"short", b"#!/bin/sh\nexit 0\n", b"\xff\xff\xff\xffwatcher-node", b"xx\x02\0\0\0watcher-node"]
        {
            fs::write(&plain, content).unwrap();
            assert_eq!(Trailer::of(&plain), None, "{content:?}");
        }
        let trailer = Trailer::new("v2", &["v2"]);
        trailer.install(&plain, &node).unwrap();
        assert_eq!(Trailer::of(&node), Some(trailer));
        assert_eq!(fs::metadata(&node).unwrap().permissions().mode() & 0o777, 0o755);
    }
}
