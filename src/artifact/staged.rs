//! What lies at `upgrades/<folder>/`, and whose it is. A receipt beside the binary says that `watcher` placed it; a binary
//! without one, or that is no longer the one the receipt was written for, is the operator's and is left alone.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    Store,
    disk::{
        below, copy, fingerprint, link_or_copy, move_anywhere, naming, read_anew, read_json, sha256_of, sync_folder,
        write_json,
    },
};
use crate::{
    decide::{
        facts::{Fingerprint, Receipt, Staged},
        plan::Folder,
    },
    home::{make_folders, owned_as_around, patiently, unless_missing},
};

const RECEIPT: &str = "watcher-receipt.json";

/// The receipt beside a placed binary, and which other files came with it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Placed {
    #[serde(flatten)]
    pub(super) receipt: Receipt,
    #[serde(default)]
    pub(super) files: Vec<String>,
}

pub(super) fn read_placed(folder: &Path) -> Option<Placed> {
    read_json(&folder.join(RECEIPT))
}

pub(super) fn write_placed(folder: &Path, placed: &Placed) -> io::Result<()> {
    write_json(&folder.join(RECEIPT), placed)
}

pub(super) fn binary_in(folder: &Path, daemon_name: &str) -> PathBuf {
    folder.join("bin").join(daemon_name)
}

/// Tells whose binary lies in a folder, without reading it. A regular file that is not executable counts: the start makes
/// it so, as cosmovisor does.
#[must_use]
pub fn read_staged(upgrades: &Path, folder: &Folder, daemon_name: &str) -> Staged {
    let folder = upgrades.join(folder.as_str());
    match patiently(|| fs::metadata(binary_in(&folder, daemon_name))) {
        Ok(found) if found.is_file() => match read_placed(&folder) {
            None if is_fresh(&found) => Staged::Arriving,
            None => Staged::Operator,
            Some(placed) if placed.receipt.file == fingerprint(&found) => Staged::Ours(placed.receipt),
            Some(placed) => Staged::Suspect(placed.receipt),
        },
        _ => Staged::None,
    }
}

/// Whether a file was written to so lately that somebody may still be at it. A time in the future is a clock's fault.
fn is_fresh(found: &fs::Metadata) -> bool {
    const SETTLES: Duration = Duration::from_secs(2);
    let age = found.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age < SETTLES)
}

/// Whether `watcher` placed something in a folder.
#[must_use]
pub fn has_receipt(upgrades: &Path, folder: &Folder) -> bool {
    upgrades.join(folder.as_str()).join(RECEIPT).is_file()
}

/// Why a binary counts as an operator's although a receipt of ours lies beside it.
#[must_use]
pub fn receipt_flaw(upgrades: &Path, folder: &Folder) -> Option<String> {
    let path = upgrades.join(folder.as_str());
    let spoilt = has_receipt(upgrades, folder) && read_placed(&path).is_none();
    spoilt.then(|| {
        format!(
            "{} cannot be understood, so that the binary beside it is taken as yours: remove both to have it fetched anew",
            path.join(RECEIPT).display()
        )
    })
}

/// Keeps a version's binary under another name, with the receipt that was for it: another one takes its place.
///
/// # Errors
/// As the filesystem gives them.
pub fn keep(folder: &Path, binary: &Path, kept: &Path) -> io::Result<()> {
    // A link would lead nowhere from elsewhere, or, as another name of its target, to what is written over that later.
    let named = if fs::symlink_metadata(binary)?.is_symlink() { copy } else { link_or_copy };
    named(&fs::canonicalize(binary)?, kept)?;
    unless_missing(move_anywhere(&folder.join(RECEIPT), &kept.with_added_extension("receipt.json"))).map(drop)
}

/// The SHA-256 of a binary, whoever placed it, and which file it is of. Reads the whole file: call it where blocking is fine.
///
/// # Errors
/// `WouldBlock` where the file changed while it was read, and whatever the filesystem says.
pub fn weigh(binary: &Path) -> io::Result<(Fingerprint, String)> {
    let mut file = File::open(binary).map_err(naming("cannot read", binary))?;
    let before = fingerprint(&file.metadata()?);
    read_anew(&file);
    let sha256 = sha256_of(&mut file).map_err(naming("cannot read", binary))?;
    if fingerprint(&fs::metadata(binary)?) != before {
        let message = format!("{} changed while it was read", binary.display());
        return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
    }
    Ok((before, sha256))
}

/// What hashing a placed binary told.
#[derive(Debug, PartialEq, Eq)]
pub enum Verified {
    /// It is what was placed; the receipt has its fingerprint of now.
    Same(Box<Receipt>),
    /// Somebody put another file there: it is the operator's own, and the receipt is gone from its side.
    Operator,
    /// Nobody touched it and yet its content differs: the disk has lost it. It was moved out of the way, and is not in the store
    /// any more, where it may be the same file.
    Rotten {
        /// Where it is now.
        kept: PathBuf,
    },
}

/// Hashes a placed binary and holds it against its receipt. Reads the whole file: call it where blocking is fine.
///
/// # Errors
/// `WouldBlock` where the file changed while it was read, and whatever the filesystem says.
pub fn verify(
    store: &Store,
    upgrades: &Path,
    folder: &Folder,
    daemon_name: &str,
    aside: &Path,
) -> io::Result<Verified> {
    let path = upgrades.join(folder.as_str());
    let binary = binary_in(&path, daemon_name);
    let Some(placed) = read_placed(&path) else { return Ok(Verified::Operator) };
    let (before, found) = weigh(&binary)?;
    if found == placed.receipt.sha256 {
        let receipt = Receipt { file: before, ..placed.receipt.clone() };
        if receipt != placed.receipt {
            write_placed(&path, &Placed { receipt: receipt.clone(), files: placed.files })?;
        }
        return Ok(Verified::Same(Box::new(receipt)));
    }
    if before == placed.receipt.file {
        // First: what is set aside would be placed from there again.
        store.drop_rotten(&placed.receipt, daemon_name)?;
        return Ok(Verified::Rotten { kept: set_aside(upgrades, folder, aside, daemon_name)? });
    }
    let kept = free_folder(aside, folder, &placed.receipt.sha256)?;
    move_anywhere(&path.join(RECEIPT), &kept.join(RECEIPT))?;
    sync_folder(&path)?;
    tracing::warn!(
        binary = %binary.display(), sha256 = found, placed = placed.receipt.sha256,
        "another file has taken the place of what was fetched: it is taken as yours, whatever the plan demands"
    );
    Ok(Verified::Operator)
}

/// Moves what `watcher` placed in a folder (binary, files that came with it, receipt) to `<aside>/<folder>-<sha8>`, with a
/// number where that is taken. Nothing is deleted, and nothing of the operator's is moved.
///
/// # Errors
/// `InvalidInput` where the binary is not known to be ours, and whatever the filesystem says.
pub fn set_aside(upgrades: &Path, folder: &Folder, aside: &Path, daemon_name: &str) -> io::Result<PathBuf> {
    let path = upgrades.join(folder.as_str());
    let binary = binary_in(&path, daemon_name);
    let (Staged::Ours(_), Some(placed)) = (read_staged(upgrades, folder, daemon_name), read_placed(&path)) else {
        let message = format!("{} is not what was placed there, so it is left alone", binary.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    };
    let kept = free_folder(aside, folder, &placed.receipt.sha256)?;
    // The receipt last, the binary before it: an interrupted attempt is found and goes on.
    for file in placed.files.iter().filter_map(|file| below(file)).filter(|file| path.join(file).is_file()) {
        let to = kept.join(&file);
        make_folders(to.parent().unwrap_or(&kept)).map_err(naming("cannot create a folder for", &to))?;
        move_anywhere(&path.join(&file), &to)?;
        // What is empty now is nobody's; what is not stays.
        file.ancestors().skip(1).try_for_each(|folder| fs::remove_dir(path.join(folder))).ok();
    }
    make_folders(&kept.join("bin")).map_err(naming("cannot create a folder in", &kept))?;
    move_anywhere(&binary, &binary_in(&kept, daemon_name))?;
    sync_folder(&path.join("bin"))?;
    move_anywhere(&path.join(RECEIPT), &kept.join(RECEIPT))?;
    sync_folder(&path)?;
    Ok(kept)
}

/// Writes the receipt of a placed binary anew, for the same artifact under a changed plan.
///
/// # Errors
/// `InvalidInput` where there is no receipt for the same executable, and whatever the filesystem says.
pub fn renew(upgrades: &Path, folder: &Folder, receipt: &Receipt) -> io::Result<()> {
    let path = upgrades.join(folder.as_str());
    match read_placed(&path) {
        Some(placed) if placed.receipt.sha256 == receipt.sha256 => {
            let receipt = Receipt { file: placed.receipt.file, ..receipt.clone() };
            write_placed(&path, &Placed { receipt, files: placed.files })
        }
        _ => {
            let message = format!("{} holds no receipt for the executable {}", path.display(), receipt.sha256);
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        }
    }
}

/// Makes a folder of a name that is not taken.
fn free_folder(aside: &Path, folder: &Folder, sha256: &str) -> io::Result<PathBuf> {
    const LONGEST: usize = 200;
    make_folders(aside).map_err(naming("cannot create", aside))?;
    let short = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    let name = format!("{}-{}", short(folder.as_str(), LONGEST), short(sha256, 8));
    let mut path = aside.join(&name);
    for number in 2.. {
        match fs::create_dir(&path).and_then(|()| owned_as_around(&File::open(&path)?, &path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                path = aside.join(format!("{name}-{number}"));
            }
            other => {
                other.map_err(naming("cannot create", &path))?;
                break;
            }
        }
    }
    sync_folder(aside)?;
    Ok(path)
}
