//! What a backup covers: which folders of the node belong together, and which files never leave their place.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    BackupError, NAME, Unreadable,
    mount::{self, Mount},
};
use crate::home::{
    Home, if_there,
    node_config::{self, NodeConfig},
    read_small, unless_missing, write_whole,
};

/// The folder within a backup that holds everything but `data`.
pub(super) const INNER: &str = ".watcher";
/// What ext4 has at the top of a mount, for root alone.
const LOST_AND_FOUND: &str = "lost+found";
/// How everything begins that `watcher` puts beside or into the node's folders; no backup covers it.
pub(super) const OURS: &str = ".watcher-";
/// A home's own name, with its inode, in `cosmovisor/watcher/`.
const ID: &str = "id";
/// Keys never leave their place, wherever they lie.
const KEYS: [&str; 2] = ["node_key.json", "priv_validator_key.json"];

/// The folders and files of a node, as its `config.toml` names them.
#[derive(Debug)]
pub(super) struct Layout {
    /// What a backup covers, `data` first. None lies within another.
    pub(super) roots: Vec<Root>,
    /// Where the validator keeps what it signed last.
    pub(super) signing: PathBuf,
    /// The head of the consensus log.
    pub(super) wal: PathBuf,
    /// State-sync snapshots, which the node makes again.
    pub(super) snapshots: PathBuf,
    /// `cosmovisor/`, which no restore moves anything of.
    pub(super) root: PathBuf,
    /// What files are never copied and never moved: keys, and the signing state.
    personal: Vec<(u64, u64)>,
}

/// One folder that a backup covers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// Where it is, without links.
    pub(super) live: PathBuf,
    /// Where it lies within a backup.
    pub(super) at: PathBuf,
    /// Which of its entries it covers.
    pub(super) only: Pattern,
}

/// Names: all, or those with this beginning and end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    begin: String,
    end: String,
    /// The whole name.
    exact: bool,
}

impl Pattern {
    fn ending(end: &str) -> Self {
        Self { end: end.to_owned(), ..Self::default() }
    }

    fn beginning(begin: &str) -> Self {
        Self { begin: begin.to_owned(), ..Self::default() }
    }

    fn exactly(name: &str) -> Self {
        Self { begin: name.to_owned(), end: String::new(), exact: true }
    }

    /// Whether what has this name in a part's own folder is saved, and makes room for what comes back.
    pub(super) fn moves(&self, name: &str) -> bool {
        let stays = [OURS, NAME].iter().any(|ours| name.starts_with(ours)) || [INNER, LOST_AND_FOUND].contains(&name);
        let covered =
            if self.exact { name == self.begin } else { name.starts_with(&self.begin) && name.ends_with(&self.end) };
        covered && !stays
    }
}

impl Layout {
    /// Reads what belongs together.
    ///
    /// # Errors
    /// Where `data` or what `WATCHER_BACKUP_PATHS` names is not there.
    pub(super) fn of(home: &Home) -> io::Result<Self> {
        check_more(home).map_err(io::Error::other)?;
        let config = config(home)?;
        let named = |key: &str, default: &str| named(home, &config, key, default);
        let signing = signing_in(home, &config);
        let wal = resolved(&named("consensus.wal_file", "data/cs.wal/wal"));
        let personal = [
            signing.clone(),
            named("priv_validator_key_file", "config/priv_validator_key.json"),
            named("node_key_file", "config/node_key.json"),
        ];
        let data = fs::canonicalize(home.data()).map_err(|error| at(&home.data(), &error))?;
        let known = personal.iter().map(|path| if_there(identity(path)).map_err(|error| at(path, &error)));
        let known: Vec<_> = known.collect::<io::Result<_>>()?;
        let mut layout = Self {
            snapshots: data.join("snapshots"),
            root: resolved(&home.root()),
            personal: known.into_iter().flatten().collect(),
            roots: vec![Root { live: data, at: PathBuf::new(), only: Pattern::default() }],
            signing,
            wal,
        };
        let base = file_name(&layout.wal);
        let logs = layout.wal.parent().unwrap_or(&layout.wal).to_owned();
        for (path, at, only) in [
            (home.path.join("config"), "config", Pattern::default()),
            (home.path.join("wasm"), "wasm", Pattern::default()),
            (named("db_dir", "data"), "databases", Pattern::ending(".db")),
            (logs, "wal", Pattern::beginning(&base)),
        ] {
            // What is not there is not there to be lost.
            if let Some(live) = if_there(fs::canonicalize(&path)).map_err(|error| self::at(&path, &error))? {
                layout.add(live, at.to_owned(), only);
            }
        }
        for (number, path) in home.manner.more.iter().enumerate() {
            let path = home.path.join(path);
            let live = fs::canonicalize(&path).map_err(|error| at(&path, &error))?;
            let number = format!("more-{}", number + 1);
            match live.parent().filter(|_| !live.is_dir()) {
                Some(parent) => layout.add(parent.to_owned(), number, Pattern::exactly(&file_name(&live))),
                None => layout.add(live, number, Pattern::default()),
            }
        }
        Ok(layout)
    }

    /// Whether both cover the same; what never leaves its place is looked for anew.
    pub(super) fn covers_as(&self, other: &Self) -> bool {
        (&self.roots, &self.wal, &self.snapshots) == (&other.roots, &other.wal, &other.snapshots)
    }

    /// Whether a file never leaves its place: by its name, by what the node is set to, or by what is in it, for a node may be
    /// set by what nobody else sees.
    ///
    /// # Errors
    /// Where it cannot be read, and may be one.
    pub(super) fn is_personal(&self, path: &Path, meta: &fs::Metadata) -> io::Result<bool> {
        let known = is_key(path) || self.personal.contains(&(meta.dev(), meta.ino()));
        Ok(known || is_key_or_signing_state(path, meta)?)
    }

    /// The files in a part's own folder that never leave their place, where a restore takes what is around them away: what is
    /// mounted there is a part of its own, and what is ours stays.
    pub(super) fn personal_in(&self, live: &Path, only: &Pattern) -> io::Result<Vec<PathBuf>> {
        let mount = Mount::of(live)?;
        let (mut found, mut left) = (Vec::new(), vec![live.to_owned()]);
        while let Some(folder) = left.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
                if name.starts_with(OURS) || folder == live && !only.moves(&name) {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    left.extend(Some(path).filter(|path| Mount::of(path).is_ok_and(|its| its == mount)));
                } else if let Some(meta) = if_there(fs::metadata(&path))?
                    && self.is_personal(&path, &meta)?
                {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    fn add(&mut self, live: PathBuf, at: String, only: Pattern) {
        let covered = |root: &Root| root.only == Pattern::default() && live.starts_with(&root.live);
        if !self.roots.iter().any(covered) {
            self.roots.push(Root { live, at: Path::new(INNER).join(at), only });
        }
    }
}

/// Refuses paths in `WATCHER_BACKUP_PATHS` that a restore would take away under itself.
///
/// # Errors
/// [`BackupError::Ours`].
pub(super) fn check_more(home: &Home) -> Result<(), BackupError> {
    // A backup at the halt asks as well.
    if home.manner.more.is_empty() {
        return Ok(());
    }
    let root = resolved(&home.root());
    let kept = [Some(resolved(&home.path)), Some(root.clone()), home.backups.as_deref().map(resolved)];
    for named in &home.manner.more {
        let live = resolved(&home.path.join(named));
        let held = kept.iter().flatten().find(|ours| ours.starts_with(&live));
        if let Some(ours) = held.or_else(|| Some(&root).filter(|root| live.starts_with(root))) {
            let is = if *ours == live { "is" } else { held.map_or("lies in", |_| "holds") };
            return Err(BackupError::Ours { named: named.clone(), is, ours: ours.clone() });
        }
    }
    Ok(())
}

/// Whether a file has the name of a key.
pub(super) fn is_key(path: &Path) -> bool {
    KEYS.contains(&file_name(path).as_str())
}

/// Whether a file is what CometBFT writes for a validator's key or a node's, or of what it signed last.
fn is_key_or_signing_state(path: &Path, meta: &fs::Metadata) -> io::Result<bool> {
    /// Both have some hundred bytes.
    const LARGEST: u64 = 4096;
    if !meta.is_file() || meta.len() > LARGEST {
        return Ok(false);
    }
    let content = match if_there(read_small(path, LARGEST)) {
        Ok(Some(content)) => content,
        // One that the node takes away meanwhile is looked at where it is carried, and one that has grown is no such file.
        Ok(None) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
        Err(error) => return Err(error),
    };
    let fields = serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(&content).unwrap_or_default();
    let has = |name: &&str| fields.contains_key(*name);
    Ok(["height", "round", "step"].iter().all(has) || has(&"priv_key"))
}

/// Where the validator keeps what it signed last, as the node is set.
///
/// # Errors
/// Where its `config.toml` cannot be read or understood.
pub(in crate::home) fn signing_state(home: &Home) -> Result<PathBuf, Unreadable> {
    let unreadable = |error: io::Error| Unreadable::new(&home.path.join("config"), error.to_string());
    config(home).map(|config| signing_in(home, &config)).map_err(unreadable)
}

fn signing_in(home: &Home, config: &NodeConfig<'_>) -> PathBuf {
    resolved(&named(home, config, "priv_validator_state_file", "data/priv_validator_state.json"))
}

fn config(home: &Home) -> io::Result<NodeConfig<'_>> {
    let file = node_config::read(&home.path, "config.toml")
        .map_err(|error| at(&home.path.join("config/config.toml"), &error))?;
    let env = &|name: &str| std::env::var(name).ok();
    Ok(NodeConfig { args: &home.manner.node_arguments, env, daemon_name: &home.daemon, file })
}

/// A path that the node's configuration names, within its home.
fn named(home: &Home, config: &NodeConfig<'_>, key: &str, default: &str) -> PathBuf {
    let text = config.value(key).filter(|text| !text.is_empty());
    home.path.join(text.as_deref().unwrap_or(default))
}

/// A name for something of this home's own: another home may keep its backups in the same place.
pub(super) fn ours(home: &Home, what: &str) -> String {
    let named = given(home).ok().flatten().unwrap_or_else(|| {
        let (device, inode) = identity(&home.path).unwrap_or_default();
        format!("{device:x}-{inode:x}")
    });
    format!("{OURS}{named}-{what}")
}

/// Whether this home gave that name.
pub(super) fn is_ours(home: &Home, name: &str) -> bool {
    name.starts_with(&ours(home, ""))
}

/// Gives a home a name of its own, once: device numbers change, and homes on other machines have the same ones. One that was
/// copied gets another.
///
/// # Errors
/// As the file system gives them.
pub(in crate::home) fn name(home: &Home) -> io::Result<()> {
    if given(home)?.is_some() {
        return Ok(());
    }
    let (_, inode) = identity(&home.path)?;
    let chance = RandomState::new().hash_one(std::process::id());
    write_whole(&home.own().join(ID), format!("{chance:016x}-{inode:x}").as_bytes(), true)
}

/// The name that was given to a home, and not to one of which it is a copy.
fn given(home: &Home) -> io::Result<Option<String>> {
    let Some(text) = unless_missing(read_small(&home.own().join(ID), 64))? else { return Ok(None) };
    let inode = format!("{:x}", identity(&home.path)?.1);
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(text.rsplit_once('-').filter(|(_, of)| *of == inode).map(|(name, _)| name.to_owned()))
}

/// A folder on the same mount as this one and outside it, or this one itself where it is a mount point, or where
/// nothing may be put beside it.
pub(super) fn beside(folder: &Path) -> PathBuf {
    let parent = folder.parent().filter(|parent| !mount::is_point(folder) && mount::writable(parent).is_ok());
    parent.unwrap_or(folder).to_owned()
}

/// What a file or folder is, whatever leads to it.
pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// The last component of a path, as text.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The path without links, as far as it is there.
pub(super) fn resolved(path: &Path) -> PathBuf {
    if let Ok(resolved) = fs::canonicalize(path) {
        return resolved;
    }
    let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    folder.zip(path.file_name()).map_or_else(|| path.to_owned(), |(folder, name)| folder.join(name))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::tests::home_with;

    /// Two that kept their backups in one place took each other's unfinished ones away.
    #[test]
    fn a_home_has_a_name_of_its_own_and_a_copy_has_another() {
        let [(_one, one), (_copy, copy)] = [(); 2].map(|()| home_with(&[]));
        let [own, copied] = [&one, &copy].map(|home| home.own().join(ID));
        fs::remove_file(&copied).unwrap();
        let [name, numbers] = [&one, &copy].map(|home| ours(home, ""));
        fs::copy(own, copied).unwrap();
        assert_eq!(ours(&copy, ""), numbers, "that name is another's");
        for home in [&one, &copy] {
            home.prepare().unwrap();
        }
        assert_eq!(ours(&one, ""), name);
        assert!(is_ours(&one, &ours(&one, "5")) && ![&name, &numbers].contains(&&ours(&copy, "")));
    }
}
