//! What is to be done to bring folders to another place: found by a walk that changes nothing, so that it can be counted
//! before anything is stopped.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ffi::OsStr,
    fs, io,
    num::NonZero,
    os::unix::fs::MetadataExt as _,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access},
};
use serde::{Deserialize, Serialize};

use super::{
    At, Means, at,
    layout::{Layout, OURS, Pattern, beside, file_name, identity, is_key},
    mount::{self, Mount},
};
use crate::home::{if_there, unless_missing};
pub use watched::Watched;
pub(super) use watched::Watches;

mod watched;

/// A folder of the node that a backup covers, and where the backup has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Where the node has it, without links.
    pub live: PathBuf,
    /// Where it lies: below the backup's folder, or anywhere on a filesystem of its own.
    pub at: PathBuf,
    /// Which entries it covers.
    pub only: Pattern,
    /// Where the walk came upon it within another part, below the backup's folder.
    pub found: Option<PathBuf>,
    /// What the link there says; none where something is mounted there.
    pub link: Option<PathBuf>,
}

/// What a filesystem has a number of, whatever its bytes: one for each file and folder.
pub(super) const INODES: &str = "inodes";

/// How a file gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The filesystem shares its blocks until one of both is changed.
    Clone,
    /// A second name: it never changes again.
    Link,
    /// It was cloned ahead.
    Cloned,
    /// It was copied ahead.
    Copied,
    /// Byte by byte.
    Copy,
}

impl Way {
    /// Whether it is one more name of a file that is there.
    pub(super) const fn is_a_name(self) -> bool {
        matches!(self, Self::Link | Self::Cloned | Self::Copied)
    }

    /// Whether blocks are shared.
    pub(super) const fn shares(self) -> bool {
        matches!(self, Self::Clone | Self::Cloned)
    }
}

/// One file.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) from: PathBuf,
    /// Where it lies ready, made of what is there still.
    pub(super) ready: Option<PathBuf>,
    /// Below the target's folder, or anywhere.
    pub(super) to: PathBuf,
    /// What it was when it was found.
    pub(super) state: State,
    pub(super) way: Way,
    /// It never changes again, and may have a second name there.
    pub(super) settled: bool,
    /// It lies where it goes to already.
    pub(super) is_there: bool,
    /// Blocks can be shared between where it is and where it goes, if the filesystem does that at all.
    pub(super) near: bool,
    /// Device number of the filesystem that it goes to.
    pub(super) device: u64,
}

/// A file's identity, and everything that changes with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    /// When its content changed last, nanoseconds since the Unix epoch.
    pub(super) modified: i64,
    /// When its content, or what else is noted of it, changed last, which nobody can set.
    pub(super) changed: i64,
}

/// Everything that is to be done.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) parts: Vec<Part>,
    /// From where and to where, those above first.
    pub(super) folders: Vec<(PathBuf, PathBuf)>,
    pub(super) files: Vec<File>,
    /// What they say, and where they go.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// A folder on each filesystem that something goes to.
    places: BTreeMap<u64, PathBuf>,
    /// What tells which of it changes.
    watches: Option<Watches>,
}

/// What is needed at a place, and what is free there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    pub(super) place: PathBuf,
    /// Bytes or inodes.
    pub(super) what: &'static str,
    pub(super) needed: u64,
    pub(super) free: u64,
}

impl Room {
    pub(super) const fn is_there(&self) -> bool {
        self.needed <= self.free
    }
}

/// Which folders are walked, and to where.
struct Walk<'a> {
    layout: &'a Layout,
    work: Work,
    /// Folders that were met: none is walked twice, and none into itself.
    met: HashSet<(u64, u64)>,
    /// The name that a part on another mount gets beside its folder; none where everything goes to one place.
    apart: Option<&'a str>,
    /// What stands for a folder of a backup that another part holds.
    elsewhere: HashMap<PathBuf, Option<PathBuf>>,
    /// Whether links out of a part are followed.
    follows: bool,
}

/// Where the walk is.
#[derive(Debug, Clone, Copy)]
struct Point<'a> {
    /// Which part.
    part: usize,
    /// In the part's own folder.
    top: bool,
    /// A folder where it goes.
    place: &'a Path,
    /// Where it is, and where it goes.
    mounts: (Mount, Mount),
    /// Whether both are near each other.
    near: bool,
    settled: bool,
    /// Of the folder.
    lowest_log: Option<u64>,
}

impl Work {
    /// What makes a backup of the node at `place`. With a name, what lies on another mount goes to a folder of that name
    /// there, and is linked where it can be.
    pub(super) fn of_backup(
        layout: &Layout,
        place: &Path,
        apart: Option<&str>,
        watches: Option<Watches>,
    ) -> Result<Self, At> {
        let mut walk = Walk::new(layout, apart, true);
        walk.work.watches = watches;
        // Neither backups nor our own files; what is not there yet stands for nothing that is saved.
        let own = identity(place).map_err(at(place))?;
        if layout.roots.iter().all(|root| identity(&root.live).ok() != Some(own)) {
            walk.met.insert(own);
        }
        for root in &layout.roots {
            walk.part(&root.live, root.at.clone(), &root.only, place, None)?;
        }
        Ok(walk.work)
    }

    /// What brings a part of a backup back to a folder.
    pub(super) fn of_restore(
        layout: &Layout,
        folder: &Path,
        (part, parts): (&Part, &[Part]),
        to: &Path,
        means: Means,
    ) -> Result<Self, At> {
        let mut walk = Walk::new(layout, None, false);
        let found = parts.iter().filter_map(|part| Some((folder.join(part.found.as_ref()?), part.link.clone())));
        walk.elsewhere = found.collect();
        let place = to.parent().unwrap_or(to);
        walk.part(&folder.join(&part.at), to.to_owned(), &Pattern::default(), place, None)?;
        Ok(walk.work.chosen(means))
    }

    /// Leaves out what goes elsewhere.
    pub(super) fn retain(&mut self, goes: impl Fn(&Path) -> bool) {
        self.folders.retain(|(_, to)| goes(to));
        self.links.retain(|(_, to)| goes(to));
        self.files.retain(|file| goes(&file.to));
    }

    /// Bytes that go this way.
    pub(super) fn bytes(&self, way: Way) -> u64 {
        self.files.iter().filter(|file| file.way == way).map(|file| file.state.size).sum()
    }

    /// Bytes that the node's files hold as well.
    pub(super) fn shared(&self) -> u64 {
        [Way::Clone, Way::Cloned, Way::Link].into_iter().map(|way| self.bytes(way)).sum()
    }

    /// Whether this user may read what is to be copied.
    pub(super) fn check_readable(&self) -> Result<(), At> {
        for file in self.files.iter().filter(|file| matches!(file.way, Way::Copy | Way::Clone)) {
            // What the node has taken away meanwhile is not copied.
            let read = access(&file.from, AccessFlags::R_OK).map_err(io::Error::from);
            unless_missing(read).map_err(at(&file.from))?;
        }
        Ok(())
    }

    /// A folder on each filesystem that something goes to.
    pub(super) fn places(&self) -> impl Iterator<Item = &Path> {
        self.places.values().map(PathBuf::as_path)
    }

    /// What is needed on each filesystem that something goes to, with what comes on top of the files themselves: bytes first.
    pub(super) fn room(&self) -> Result<Vec<Room>, At> {
        const BLOCK: u64 = 4096;
        /// What is noted of a file, and a name.
        const NOTED: u64 = 256;
        /// Notes, and the folders around.
        const NOTES: u64 = 8;
        let [folders, files, links] =
            [self.folders.len(), self.files.len(), self.links.len()].map(|count| count as u64);
        let around = (folders + 4) * BLOCK + (files * NOTED).next_multiple_of(BLOCK);
        let mut room = Vec::new();
        for (device, place) in &self.places {
            let made = || self.files.iter().filter(|file| file.device == *device && !file.way.is_a_name());
            let copied = made().filter(|file| file.way == Way::Copy);
            let bytes: u64 = copied.map(|file| file.state.size.next_multiple_of(BLOCK)).sum();
            let inodes = made().count() as u64 + folders + links + NOTES;
            let system = statvfs(place).map_err(|error| at(place)(error.into()))?;
            let free = system.blocks_available().saturating_mul(system.fragment_size());
            room.push(Room { place: place.clone(), what: "bytes", needed: bytes + around, free });
            // Filesystems that make inodes as they are needed tell of none.
            if system.files() > 0 {
                let free = system.files_available();
                room.push(Room { place: place.clone(), what: INODES, needed: inodes, free });
            }
        }
        Ok(room)
    }

    /// Chooses the cheapest way for each file that the filesystem has and the means allow.
    pub(super) fn chosen(mut self, means: Means) -> Self {
        if means == Means::Copy {
            return self;
        }
        for (device, place) in &self.places {
            let near: Vec<_> = self.files.iter_mut().filter(|file| file.near && file.device == *device).collect();
            // The greatest is a table, of which there are most: folders may be set not to share.
            let sample = near.iter().max_by_key(|file| file.state.size);
            let clones = sample.is_some_and(|sample| clones(&sample.from, place).is_ok());
            for file in near {
                file.choose(clones);
            }
        }
        self
    }
}

impl File {
    /// What it is made of.
    pub(super) fn source(&self) -> &Path {
        self.ready.as_deref().unwrap_or(&self.from)
    }

    /// Chooses its way, where the filesystem `clones` or does not.
    fn choose(&mut self, clones: bool) {
        self.way = match self.settled {
            _ if clones => Way::Clone,
            true => Way::Link,
            false => Way::Copy,
        };
    }
}

impl State {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|meta| Self::from(&meta))
    }

    /// Whether it was changed no longer ago than this, as far as its times tell.
    pub(super) fn changed_within(&self, time: Duration) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed = u64::try_from(self.changed.max(self.modified)).unwrap_or_default();
        now.saturating_sub(time) <= Duration::from_nanos(changed)
    }
}

impl From<&fs::Metadata> for State {
    fn from(meta: &fs::Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            modified: nanoseconds(meta.mtime(), meta.mtime_nsec()),
            changed: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl<'a> Walk<'a> {
    fn new(layout: &'a Layout, apart: Option<&'a str>, follows: bool) -> Self {
        Self { layout, work: Work::default(), met: HashSet::new(), apart, elsewhere: HashMap::new(), follows }
    }

    /// Walks a folder with what lies on its own mount.
    fn part(
        &mut self,
        live: &Path,
        place: PathBuf,
        only: &Pattern,
        target: &Path,
        found: Option<(PathBuf, Option<PathBuf>)>,
    ) -> Result<(), At> {
        if !self.met.insert(identity(live).map_err(at(live))?) && *only == Pattern::default() {
            return Ok(());
        }
        let (mut to, mut place) = (place, target.to_owned());
        let mut near = mount::near(live, &place).map_err(at(live))?;
        if let Some(name) = self.apart.filter(|_| !near)
            && mount::writable(&beside(live)).is_ok()
        {
            (place, near) = (beside(live), true);
            let number = self.work.parts.len();
            let apart = place.join(format!("{name}-{number}"));
            self.work.links.push((apart.clone(), to));
            to = apart;
        }
        let mount = |path: &Path| Mount::of(path).map_err(at(path));
        let mounts = (mount(live)?, mount(&place)?);
        self.work.places.entry(mounts.1.device).or_insert_with(|| place.clone());
        let (found, link) = found.map_or((None, None), |(found, link)| (Some(found), link));
        self.work.parts.push(Part { live: live.to_owned(), at: to.clone(), only: only.clone(), found, link });
        let part = self.work.parts.len() - 1;
        let point = Point { part, top: true, place: &place, mounts, near, settled: false, lowest_log: None };
        self.folder(live, &to, point)
    }

    fn folder(&mut self, from: &Path, to: &Path, point: Point<'_>) -> Result<(), At> {
        self.work.folders.push((from.to_owned(), to.to_owned()));
        // Before it is read, so that nothing is missed.
        if self.work.watches.as_mut().is_some_and(|watches| watches.add(from, to, point).is_err()) {
            self.work.watches = None;
        }
        let entries = fs::read_dir(from).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(at(from))?;
        let names = entries.iter().map(fs::DirEntry::file_name);
        let logs: BTreeSet<_> = names.filter(|name| log_number(name).is_some()).collect();
        let lowest_log = logs.iter().filter_map(|name| log_number(name)).min();
        if let Some(folder) = self.work.watches.as_mut().and_then(|watches| watches.folders.last_mut()) {
            (folder.names, folder.point.lowest_log) = (logs, lowest_log);
        }
        let metas = looked_at(&entries);
        for (entry, meta) in entries.into_iter().zip(metas) {
            self.entry(entry.path(), to, meta, Point { lowest_log, ..point })?;
        }
        Ok(())
    }

    /// Walks what is at a path, whose folder goes `to` there.
    fn entry(&mut self, path: PathBuf, to: &Path, meta: io::Result<fs::Metadata>, point: Point<'_>) -> Result<(), At> {
        let name = file_name(&path);
        let left_out = point.top && !self.work.parts[point.part].only.moves(&name);
        if left_out || name.starts_with(OURS) || path == self.layout.snapshots {
            return Ok(());
        }
        let to = to.join(path.file_name().unwrap_or_default());
        if let Some(link) = self.elsewhere.get(&path) {
            self.work.links.extend(link.clone().map(|link| (link, to)));
            return Ok(());
        }
        let meta = meta.map_err(at(&path))?;
        if meta.is_symlink() {
            self.link(&path, to, point)?;
        } else if meta.is_dir() {
            if self.follows && Mount::of(&path).map_err(at(&path))? != point.mounts.0 {
                self.part(&path, to.clone(), &Pattern::default(), point.place, Some((to, None)))?;
            } else if self.met.insert((meta.dev(), meta.ino())) {
                let settled = point.settled || is_snapshot(&path, &name);
                self.folder(&path, &to, Point { top: false, settled, ..point })?;
            }
        } else if meta.is_file() {
            let before = |number| point.lowest_log.is_some_and(|log| number < log);
            let settled = point.settled || number(&name, &["ldb", "sst"]).is_some_and(before) || self.is_rotated(&path);
            self.file(path, to, &meta, Point { settled, ..point })?;
        }
        Ok(())
    }

    fn file(&mut self, from: PathBuf, to: PathBuf, meta: &fs::Metadata, point: Point<'_>) -> Result<(), At> {
        // What never changes again is no signing state. A link may have another name than what it leads to.
        let personal = !point.settled && (self.layout.is_personal(&from, meta).map_err(at(&from))? || is_key(&to));
        if personal {
            self.work.watches.iter_mut().for_each(|watches| watches.personal.push(to.clone()));
            return Ok(());
        }
        let (mount, target) = point.mounts;
        let (state, settled, device) = (State::from(meta), point.settled && mount == target, target.device);
        let near = point.near && meta.dev() == device;
        self.work.files.push(File {
            from,
            ready: None,
            to,
            state,
            way: Way::Copy,
            settled,
            is_there: false,
            near,
            device,
        });
        Ok(())
    }

    /// A link within a part stays a link, and so does one that leads nowhere or to what is covered already.
    fn link(&mut self, path: &Path, to: PathBuf, point: Point<'_>) -> Result<(), At> {
        let text = fs::read_link(path).map_err(at(path))?;
        let target = if_there(fs::canonicalize(path)).map_err(at(path))?;
        let live = &self.work.parts[point.part].live;
        let Some(target) = target.filter(|target| self.follows && !target.starts_with(live)) else {
            self.work.links.push((text, to));
            return Ok(());
        };
        // Nothing tells of what lies on the way.
        self.work.watches = None;
        let meta = fs::metadata(&target).map_err(at(&target))?;
        if meta.is_file() {
            let near = Mount::of(&target).map_err(at(&target))? == point.mounts.1;
            self.file(target, to, &meta, Point { near, settled: false, ..point })?;
        } else if meta.is_dir() && self.met.contains(&(meta.dev(), meta.ino())) {
            self.work.links.push((text, to));
        } else if meta.is_dir() {
            self.part(&target, to.clone(), &Pattern::default(), point.place, Some((to, Some(text))))?;
        }
        Ok(())
    }

    /// A log of consensus that was closed: `wal.000` and so on, beside the one that is written.
    fn is_rotated(&self, path: &Path) -> bool {
        let wal = &self.layout.wal;
        let closed = |name: &str| {
            let number = name.strip_prefix(&file_name(wal)).and_then(|rest| rest.strip_prefix('.'));
            number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        // In a backup it lies in a folder of the same name.
        let folder = |path: &Path| path.parent().and_then(Path::file_name).map(ToOwned::to_owned);
        closed(&file_name(path)) && (path.parent() == wal.parent() || !self.follows && folder(path) == folder(wal))
    }
}

/// What each entry of a folder is. A database has tens of thousands of tables, and a look at each waits for nothing but a
/// processor.
fn looked_at(entries: &[fs::DirEntry]) -> Vec<io::Result<fs::Metadata>> {
    const AT_LEAST: usize = 1_000;
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let share = entries.len().div_ceil(workers).max(AT_LEAST);
    let look = |entries: &[fs::DirEntry]| entries.iter().map(fs::DirEntry::metadata).collect::<Vec<_>>();
    let mut shares = entries.chunks(share);
    let first = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = shares.map(|share| scope.spawn(move || look(share))).collect();
        let mut metas = look(first);
        metas.extend(others.into_iter().flat_map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic))));
        metas
    })
}

/// The number of a database's file: `000123.ldb`, or `000123-001.log` as newer ones write it.
fn number(name: &str, extensions: &[&str]) -> Option<u64> {
    let (stem, extension) = name.rsplit_once('.')?;
    let digits = stem.split_once('-').map_or(stem, |(digits, _)| digits);
    let named = extensions.contains(&extension) && digits.bytes().all(|byte| byte.is_ascii_digit());
    named.then(|| digits.parse().ok()).flatten()
}

fn log_number(name: &OsStr) -> Option<u64> {
    number(name.to_str()?, &["log"])
}

/// A version of a memiavl tree: `snapshot-<height>` beside the link `current`. One that is being written has another name.
fn is_snapshot(path: &Path, name: &str) -> bool {
    let height = name.strip_prefix("snapshot-");
    let whole = height.is_some_and(|height| !height.is_empty() && height.bytes().all(|byte| byte.is_ascii_digit()));
    whole && fs::symlink_metadata(path.with_file_name("current")).is_ok_and(|meta| meta.is_symlink())
}

/// Tries whether a filesystem shares blocks between files. The file that it is tried with has no name.
fn clones(sample: &Path, place: &Path) -> io::Result<()> {
    let target = tempfile::tempfile_in(place)?;
    rustix::fs::ioctl_ficlone(&target, fs::File::open(sample)?).map_err(io::Error::from)
}
