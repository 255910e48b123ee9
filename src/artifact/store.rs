//! Where artifacts wait until their plan is due: partial downloads, and verified executables in a folder each, named by
//! their SHA-256. Nothing is ever started from here.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use super::{
    disk::{files_below, fingerprint, naming, read_json, sha256_of, sync_folder, write_json},
    staged::weigh,
};
use crate::{
    decide::facts::Receipt,
    home::{make_folders, owned_alike, unless_missing},
};

const RECEIPT: &str = "receipt.json";
const SCRATCH: &str = ".scratch-";

/// The folders of the store, both under `<home>/cosmovisor/watcher/`, on one filesystem.
#[derive(Debug, Clone)]
pub struct Store {
    /// Downloads that are not complete.
    pub downloads: PathBuf,
    /// Verified artifacts, and folders in which they are being made.
    pub artifacts: PathBuf,
}

impl Store {
    /// The store below `<home>/cosmovisor/watcher`.
    #[must_use]
    pub fn below(watcher: &Path) -> Self {
        Self { downloads: watcher.join("downloads"), artifacts: watcher.join("artifacts") }
    }

    /// Removes what earlier runs left unfinished: scratch folders, and downloads that nobody went on with for 30 days.
    /// To be called before the first fetch, never during one.
    ///
    /// # Errors
    /// Where a folder cannot be listed or something in it cannot be removed.
    pub fn sweep(&self) -> io::Result<()> {
        const STALE: Duration = Duration::from_hours(30 * 24);
        for path in entries(&self.artifacts)? {
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SCRATCH)) {
                fs::remove_dir_all(&path).map_err(naming("cannot remove", &path))?;
            }
        }
        let now = SystemTime::now();
        for path in entries(&self.downloads)? {
            let modified = fs::symlink_metadata(&path).and_then(|metadata| metadata.modified());
            if modified.is_ok_and(|time| now.duration_since(time).is_ok_and(|age| age > STALE)) {
                fs::remove_file(&path).map_err(naming("cannot remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes the artifacts that were fetched for heights up to this one.
    ///
    /// # Errors
    /// Where one cannot be removed.
    pub fn forget(&self, height: u64, daemon_name: &str) -> io::Result<()> {
        for receipt in stored(self, daemon_name).iter().filter(|receipt| receipt.plan.height <= height) {
            let tree = self.tree(&receipt.sha256);
            fs::remove_dir_all(&tree).map_err(naming("cannot remove", &tree))?;
        }
        Ok(())
    }

    /// Removes an artifact whose executable is not what it was, and leaves one that is.
    pub(super) fn drop_rotten(&self, receipt: &Receipt, daemon_name: &str) -> io::Result<()> {
        let tree = self.tree(&receipt.sha256);
        match weigh(&self.executable(receipt, daemon_name)) {
            Ok((_, found)) if found == receipt.sha256 => Ok(()),
            _ => unless_missing(fs::remove_dir_all(&tree)).map(drop).map_err(naming("cannot remove", &tree)),
        }
    }

    /// The executable of a verified artifact.
    #[must_use]
    pub fn executable(&self, receipt: &Receipt, daemon_name: &str) -> PathBuf {
        self.tree(&receipt.sha256).join("bin").join(daemon_name)
    }

    /// The folder of a verified artifact.
    pub(super) fn tree(&self, sha256: &str) -> PathBuf {
        self.artifacts.join(sha256)
    }

    /// A fresh folder for something in the making; it goes when it is dropped.
    pub(super) fn scratch(&self) -> io::Result<TempDir> {
        make_folders(&self.artifacts).map_err(naming("cannot create", &self.artifacts))?;
        tempfile::Builder::new()
            .prefix(SCRATCH)
            .tempdir_in(&self.artifacts)
            .map_err(naming("cannot create a folder in", &self.artifacts))
    }

    /// Takes a finished tree with `bin/<daemon_name>` in it, and completes its receipt: SHA-256 and fingerprint.
    /// Where the same executable from the same download is already kept, only its receipt is written anew.
    pub(super) fn keep(&self, tree: &Path, mut receipt: Receipt, daemon_name: &str) -> io::Result<Receipt> {
        let binary = Path::new("bin").join(daemon_name);
        let hash = |path: &Path| File::open(path).and_then(|mut file| sha256_of(&mut file));
        receipt.sha256 = hash(&tree.join(&binary)).map_err(naming("cannot read", &tree.join(&binary)))?;
        let kept = self.tree(&receipt.sha256);
        let known: Option<Receipt> = read_json(&kept.join(RECEIPT));
        let same = known.is_some_and(|known| known.download_sha256 == receipt.download_sha256);
        if same && hash(&kept.join(&binary)).is_ok_and(|found| found == receipt.sha256) {
            receipt.file = fingerprint(&fs::metadata(kept.join(&binary))?);
            write_json(&kept.join(RECEIPT), &receipt)?;
            return Ok(receipt);
        }
        receipt.file = fingerprint(&fs::metadata(tree.join(&binary))?);
        let owner = fs::metadata(&self.artifacts)?;
        for file in files_below(tree)? {
            let last = |path: &Path| {
                let path = File::open(tree.join(path))?;
                owned_alike(&path, &owner)?;
                path.sync_all()
            };
            file.ancestors().try_for_each(last).map_err(naming("cannot sync", &file))?;
        }
        write_json(&tree.join(RECEIPT), &receipt)?;
        if kept.exists() {
            fs::remove_dir_all(&kept).map_err(naming("cannot remove", &kept))?;
        }
        fs::rename(tree, &kept).map_err(naming("cannot create", &kept))?;
        sync_folder(&self.artifacts)?;
        Ok(receipt)
    }
}

/// The verified artifacts in the store. One whose executable is not the file that was verified is left out.
#[must_use]
pub fn stored(store: &Store, daemon_name: &str) -> Vec<Receipt> {
    let folders = entries(&store.artifacts).unwrap_or_default();
    let receipt = |folder: &PathBuf| {
        let receipt: Receipt = read_json(&folder.join(RECEIPT))?;
        let found = fs::metadata(folder.join("bin").join(daemon_name)).ok()?;
        let is_it = store.tree(&receipt.sha256) == *folder && fingerprint(&found) == receipt.file;
        is_it.then_some(receipt)
    };
    folders.iter().filter_map(receipt).collect()
}

/// What belongs to a stored artifact: its files without the receipt.
pub(super) fn contents(tree: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = files_below(tree)?;
    files.retain(|file| file != Path::new(RECEIPT));
    Ok(files)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let list = unless_missing(fs::read_dir(folder)).map_err(naming("cannot list", folder))?;
    list.into_iter().flatten().map(|entry| entry.map(|entry| entry.path())).collect()
}
