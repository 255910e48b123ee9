//! What comes out of an archive, entry by entry, on disk: files at once, links when all files are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
};

use super::{MOST_ENTRIES, UnpackError, damaged};
use crate::{
    artifact::{
        checksum::shortened,
        disk::{below, naming},
        libraries,
    },
    home::version,
};

/// Names that the folder of an upgrade needs for itself.
const RESERVED: [&str; 4] = ["receipt.json", "watcher-receipt.json", "upgrade-info.json", version::FILE];

/// A folder that is being filled.
pub(super) struct Tree<'a> {
    root: &'a Path,
    limit: u64,
    left: u64,
    entries: usize,
    folders: usize,
    files: BTreeSet<PathBuf>,
    links: BTreeMap<PathBuf, PathBuf>,
}

impl<'a> Tree<'a> {
    /// A tree at `root`, into which at most `limit` bytes are written.
    pub(super) fn new(root: &'a Path, limit: u64) -> Self {
        Self { root, limit, left: limit, entries: 0, folders: 0, files: BTreeSet::new(), links: BTreeMap::new() }
    }

    pub(super) fn folder(&mut self, name: &str) -> Result<(), UnpackError> {
        if name.trim_matches(['.', '/']).is_empty() && !name.starts_with('/') && !name.contains("..") {
            return Ok(());
        }
        self.count()?;
        checked(name).map(drop)
    }

    pub(super) fn file(
        &mut self,
        name: &str,
        executable: bool,
        declared: u64,
        content: &mut dyn Read,
    ) -> Result<(), UnpackError> {
        let path = self.claim(name)?;
        let target = self.root.join(&path);
        self.make_parent(&target)?;
        let mode = if executable { 0o755 } else { 0o644 };
        let file = File::options().write(true).create_new(true).mode(mode).open(&target);
        let mut file = file.map_err(naming("cannot create", &target))?;
        let found = io::copy(&mut content.take(self.left.saturating_add(1)), &mut file).map_err(damaged)?;
        self.left = self.left.checked_sub(found).ok_or(UnpackError::TooLarge(self.limit))?;
        if found != declared {
            return Err(UnpackError::WrongSize(shortened(name), declared, found));
        }
        self.files.insert(path);
        Ok(())
    }

    /// A symbolic link, whose target counts from where the link is.
    pub(super) fn symbolic_link(&mut self, name: &str, target: &str) -> Result<(), UnpackError> {
        let path = self.claim(name)?;
        let mut leads_to = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let stays = Path::new(target).components().all(|component| match component {
            Component::Normal(part) => {
                leads_to.push(part);
                true
            }
            Component::CurDir => true,
            Component::ParentDir => leads_to.pop(),
            Component::RootDir | Component::Prefix(_) => false,
        });
        self.link(name, target, path, stays.then_some(leads_to))
    }

    /// A hard link, whose target counts from the root of the archive.
    pub(super) fn hard_link(&mut self, name: &str, target: &str) -> Result<(), UnpackError> {
        let path = self.claim(name)?;
        self.link(name, target, path, below(target))
    }

    fn link(&mut self, name: &str, target: &str, path: PathBuf, to: Option<PathBuf>) -> Result<(), UnpackError> {
        let leaves = || UnpackError::LinkLeaves(shortened(name), shortened(target));
        self.links.insert(path, to.ok_or_else(leaves)?);
        Ok(())
    }

    /// Makes links to files real, moves the binary to `to`, and removes what may not come along. The binary is the only
    /// entry whatever its name, else `bin/<name>`, else `<name>`; false is none of them.
    pub(super) fn take_binary(mut self, name: &str, to: &Path) -> Result<Option<()>, UnpackError> {
        let ends =
            self.links.keys().filter_map(|link| Some((self.root.join(link), self.root.join(self.end_of(link)?))));
        for (link, file) in ends.collect::<Vec<_>>() {
            self.make_parent(&link)?;
            fs::hard_link(file, &link).map_err(naming("cannot create", &link))?;
        }
        let is_file = |path: &PathBuf| self.files.contains(path) || self.end_of(path).is_some();
        let only = if self.entries == 1 { self.files.first().cloned() } else { None };
        let Some(binary) = only.or_else(|| [Path::new("bin").join(name), name.into()].into_iter().find(is_file)) else {
            return Ok(None);
        };
        fs::rename(self.root.join(&binary), to).map_err(naming("cannot move", &binary))?;
        for reserved in RESERVED.map(|name| self.root.join(name)).iter().filter(|path| path.exists()) {
            let removed = if reserved.is_dir() { fs::remove_dir_all(reserved) } else { fs::remove_file(reserved) };
            removed.map_err(naming("cannot remove", reserved))?;
        }
        libraries::mark(self.root)?;
        Ok(Some(()))
    }

    /// The regular file at the end of a chain of links.
    fn end_of<'b>(&'b self, link: &'b Path) -> Option<&'b Path> {
        const LONGEST_CHAIN: usize = 40;
        let chain = core::iter::successors(self.links.get(link), |next| self.links.get(*next));
        chain.take(LONGEST_CHAIN).map(PathBuf::as_path).find(|path| self.files.contains(*path))
    }

    fn claim(&mut self, name: &str) -> Result<PathBuf, UnpackError> {
        self.count()?;
        let path = checked(name)?;
        let taken = |path: &Path| self.files.contains(path) || self.links.contains_key(path);
        if path.ancestors().any(taken) || self.root.join(&path).exists() {
            return Err(UnpackError::Duplicate(shortened(name)));
        }
        Ok(path)
    }

    fn count(&mut self) -> Result<(), UnpackError> {
        self.entries += 1;
        if self.entries > MOST_ENTRIES { Err(UnpackError::TooManyEntries) } else { Ok(()) }
    }

    /// One name can ask for as many folders as it has parts, so they count too.
    fn make_parent(&mut self, path: &Path) -> Result<(), UnpackError> {
        let parent = path.parent().unwrap_or(self.root);
        self.folders += parent.ancestors().take_while(|folder| !folder.exists()).count();
        if self.folders > MOST_ENTRIES {
            return Err(UnpackError::TooManyEntries);
        }
        Ok(fs::create_dir_all(parent).map_err(naming("cannot create", parent))?)
    }
}

/// The path that an entry's name stands for; one that every file system can take, and that is no deeper than what removes
/// it again has files open for.
fn checked(name: &str) -> Result<PathBuf, UnpackError> {
    const LONGEST: usize = 1024;
    const LONGEST_PART: usize = 255;
    const DEEPEST: usize = 64;
    let fits = |path: &PathBuf| {
        name.len() <= LONGEST && path.iter().count() <= DEEPEST && path.iter().all(|part| part.len() <= LONGEST_PART)
    };
    below(name).filter(fits).ok_or_else(|| match name {
        _ if name.starts_with('/') => UnpackError::AbsolutePath(shortened(name)),
        _ if name.split('/').any(|part| part == "..") => UnpackError::ParentPath(shortened(name)),
        _ => UnpackError::BadName(shortened(name)),
    })
}
