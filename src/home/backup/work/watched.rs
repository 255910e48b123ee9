//! What was made ahead is remembered, and the kernel tells which names have changed since: at the halt only those are looked at
//! again, as the walk does it, with everything that may change untold. Where more has changed than files, all is walked.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ffi::OsString,
    fs, io, mem,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
};

use super::{File, Point, Walk, Work, log_number};
use crate::home::{
    Home,
    backup::{
        Means, ahead,
        layout::{Layout, identity},
        mount::Mount,
        place, work_for,
    },
    if_there,
};

/// What is told of names in a folder. A file that was written to is told once nobody has it open, as after the node's end:
/// each single write would be more than the queue holds. Nobody cuts a table that is settled by its path, which is not told.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_ATTRIB);

/// What was made ahead and is watched since.
#[derive(Debug)]
pub struct Watched {
    layout: Layout,
    /// What the folder is in which it lies.
    tree: (u64, u64),
    /// None once it was used.
    work: Option<Work>,
    watches: Watches,
}

/// What tells of changes in the folders of a walk.
#[derive(Debug)]
pub(in crate::home::backup) struct Watches {
    inotify: Inotify,
    pub(super) folders: Vec<Folder>,
    /// Where files would go that never leave their place.
    pub(super) personal: Vec<PathBuf>,
}

/// A folder as the walk came upon it.
#[derive(Debug)]
pub(super) struct Folder {
    watch: WatchDescriptor,
    from: PathBuf,
    to: PathBuf,
    identity: (u64, u64),
    pub(super) point: Point<'static>,
    /// What is to be looked at again: its logs, and what changes.
    pub(super) names: BTreeSet<OsString>,
}

impl Watched {
    /// Begins to watch what was made ahead; none where not everything can be watched, or lies there.
    #[must_use]
    pub fn of(home: &Home) -> Option<Self> {
        let place = place::of(home, home.backups.as_deref()?).ok()?;
        let (layout, tree) = (Layout::of(home).ok()?, ahead::tree(home, &place));
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
        let watches = Watches { inotify, folders: Vec::new(), personal: Vec::new() };
        let (mut work, means) = work_for(home, &layout, &place, "watched", &tree, Some(watches)).ok()?;
        ahead::keep_in(&mut work, &tree).ok()?;
        let watches = work.watches.take().filter(|_| means == Means::Checkpoint)?;
        // What is told of these is told of none of the node's; what goes elsewhere was not made.
        for (_, to) in &work.folders {
            watches.inotify.add_watch(&tree.join(to), CHANGES).ok()?;
        }
        Some(Self { layout, tree: identity(&tree).ok()?, work: Some(work), watches })
    }

    /// What a walk would find now; in the tree it leaves what is to be there and is. None where it takes a walk to know.
    pub(in crate::home::backup) fn up_to_date(&mut self, layout: &Layout, place: &Path, tree: &Path) -> Option<Work> {
        let (mut work, watches) = (self.work.take()?, &mut self.watches);
        if !layout.covers_as(&self.layout) || identity(tree).ok()? != self.tree {
            return None;
        }
        watches.hear()?;
        watches.add_untold(&work)?;
        let mut walk = Walk::new(layout, None, true);
        walk.work.parts.clone_from(&work.parts);
        let target = Mount::of(place).ok()?;
        watches.folders.iter().try_for_each(|folder| walk.again(folder, target))?;
        let mut again = walk.work;
        let links = |work: &Work| work.links.iter().cloned().collect::<HashSet<_>>();
        if links(&again) != links(&work) {
            return None;
        }
        let clones = work.files.iter().any(|file| file.way.shares());
        again.files.iter_mut().filter(|file| file.near).for_each(|file| file.choose(clones));

        let names = |folder: &Folder| folder.names.iter().map(|name| folder.to.join(name)).collect::<Vec<_>>();
        let paths: Vec<_> = watches.folders.iter().flat_map(names).collect();
        let looked_at: HashSet<_> = paths.iter().map(|path| path.as_os_str()).collect();
        let known = mem::take(&mut work.files).into_iter();
        let (before, kept) = known.partition(|file| looked_at.contains(file.to.as_os_str()));
        work.files = kept;
        let ready = before.into_iter().filter(|file: &File| file.ready.is_some()).map(|file| (file.to, file.state));
        ahead::use_in(&mut again, &ready.collect(), tree);
        let there = |to: &PathBuf| fs::symlink_metadata(tree.join(to)).ok().filter(fs::Metadata::is_file);
        let there = paths.iter().filter_map(|to| Some((to.clone(), there(to)?.ino())));
        ahead::keep_of(there.collect(), &mut again, tree).ok()?;
        work.files.append(&mut again.files);
        Some(work)
    }
}

impl Watches {
    /// Watches a folder that is about to be read.
    pub(super) fn add(&mut self, from: &Path, to: &Path, point: Point<'_>) -> io::Result<()> {
        let Point { part, top, place: _, mounts, near, settled, lowest_log } = point;
        // Only files are looked at again, which need none.
        let point = Point { part, top, place: Path::new(""), mounts, near, settled, lowest_log };
        let (identity, watch) = (identity(from)?, self.inotify.add_watch(from, CHANGES)?);
        let (from, to, names) = (from.to_owned(), to.to_owned(), BTreeSet::new());
        self.folders.push(Folder { watch, from, to, identity, point, names });
        Ok(())
    }

    /// Hears which names have changed. None where one of a folder has, or what was made, or the queue ran over.
    fn hear(&mut self) -> Option<()> {
        loop {
            let events = match self.inotify.read_events() {
                Err(Errno::EAGAIN) => return Some(()),
                events => events.ok()?,
            };
            for event in events {
                let name = event.name.filter(|_| !event.mask.contains(AddWatchFlags::IN_ISDIR))?;
                let mut folders = self.folders.iter_mut().filter(|folder| folder.watch == event.wd).peekable();
                folders.peek()?;
                folders.for_each(|folder| folder.names.extend([name.clone()]));
            }
        }
    }

    /// Adds what may change although nothing is told: what is mapped to memory is written without a word, links may lead
    /// elsewhere, and another file may be what the node signs with.
    fn add_untold(&mut self, work: &Work) -> Option<()> {
        let folders = self.folders.iter_mut().map(|Folder { to, names, .. }| (to.as_path(), names));
        let mut folders: HashMap<_, _> = folders.collect();
        let files = work.files.iter().filter(|file| !file.settled).map(|file| &file.to);
        for to in files.chain(work.links.iter().map(|(_, to)| to)).chain(&self.personal) {
            folders.get_mut(to.parent()?)?.insert(to.file_name()?.to_owned());
        }
        Some(())
    }
}

impl Walk<'_> {
    /// Looks at names in a folder again. None where it is another folder, or mounted elsewhere, or where tables may be written
    /// anew that never were to be.
    fn again(&mut self, folder: &Folder, target: Mount) -> Option<()> {
        let mounts = (Mount::of(&folder.from).ok()?, target);
        if identity(&folder.from).ok()? != folder.identity || mounts != folder.point.mounts {
            return None;
        }
        let mut there = Vec::new();
        for name in &folder.names {
            let path = folder.from.join(name);
            let meta = if_there(fs::symlink_metadata(&path)).ok()?;
            there.extend(meta.map(|meta| (path, meta)));
        }
        let lowest_log = there.iter().filter_map(|(path, _)| log_number(path.file_name()?)).min();
        if lowest_log < folder.point.lowest_log || there.iter().any(|(_, meta)| meta.is_dir()) {
            return None;
        }
        let point = Point { lowest_log, ..folder.point };
        there.into_iter().try_for_each(|(path, meta)| self.entry(path, &folder.to, Ok(meta), point)).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::Permissions,
        io::Write as _,
        os::unix::{fs::PermissionsExt as _, fs::symlink, net::UnixListener},
        process::Command,
        sync::atomic::AtomicBool,
        time::Duration,
    };

    use proptest::{collection::vec, prelude::*};

    use super::{super::State, *};
    use crate::home::backup::{BackupError, estimate, take, tests::*, verify};

    const FOLDERS: [&str; 9] = [
        "data",
        "data/application.db",
        "data/state.db",
        "data/state.db/deep",
        "data/memiavl.db",
        "data/memiavl.db/snapshot-5",
        "data/cs.wal",
        "config",
        "wasm/wasm",
    ];
    const NAMES: [&str; 18] = [
        "000001.ldb",
        "000002.sst",
        "000004.log",
        "000003.ldb",
        "000005.ldb",
        "000006.log",
        "000006-001.log",
        "000007.ldb",
        "CURRENT",
        "MANIFEST-000001",
        "wal",
        "wal.000",
        "priv_validator_state.json",
        "current",
        "snapshot-5",
        "snapshots",
        ".watcher-own",
        "code",
    ];

    /// A node with several databases, and what was made ahead of its backup.
    fn node() -> (tempfile::TempDir, Home, PathBuf) {
        let (keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        home.manner.more = vec!["extra/one".into()];
        fs::create_dir(home.path.join("extra")).unwrap();
        for folder in FOLDERS {
            fs::create_dir_all(home.path.join(folder)).unwrap();
        }
        for folder in ["data/application.db", "data/state.db", "data/state.db/deep"] {
            for name in &NAMES[..10] {
                fs::write(home.path.join(folder).join(name), name).unwrap();
            }
        }
        for file in [
            "data/cs.wal/wal",
            "data/cs.wal/wal.000",
            "data/memiavl.db/snapshot-5/nodes",
            "wasm/wasm/code",
            "extra/one",
        ] {
            fs::write(home.path.join(file), file).unwrap();
        }
        for state in ["data/priv_validator_state.json", "config/state"] {
            fs::write(home.path.join(state), signed(9)).unwrap();
        }
        for (text, link) in [("snapshot-5", "memiavl.db/current"), ("state.db", "link"), ("nowhere", "nothing")] {
            symlink(text, home.data().join(link)).unwrap();
        }
        // Whoever writes by these names is not heard.
        for (name, file) in [("log", "data/state.db/000006.log"), ("state", "config/state")] {
            fs::hard_link(home.path.join(file), home.path.join(name)).unwrap();
        }
        let never = AtomicBool::new(false);
        ahead::made(&home, 5, true, &never, Duration::ZERO).unwrap();
        estimate::estimated(&home, true, Duration::ZERO, &never).unwrap();
        let tree = ahead::tree(&home, &home.path);
        (keep, home, tree)
    }

    fn signed(height: u8) -> String {
        format!(r#"{{"height": "{height}", "round": 0, "step": 3}}"#)
    }

    /// What somebody does to a node: to one of its files or folders, of which there is another.
    #[derive(Debug, Clone, Copy)]
    struct Done {
        what: u8,
        folder: usize,
        name: usize,
        other: (usize, usize),
    }

    fn anything() -> impl Strategy<Value = Vec<Done>> {
        let paths = || (0..FOLDERS.len(), 0..NAMES.len());
        let done = (0..19u8, paths(), paths());
        vec(done.prop_map(|(what, (folder, name), other)| Done { what, folder, name, other }), 0..12)
    }

    /// What fails was not to be done.
    fn done(home: &Home, Done { what, folder, name, other }: Done, open: &mut Vec<fs::File>) -> io::Result<()> {
        let folder = home.path.join(FOLDERS[folder]);
        let (path, beside) = (folder.join(NAMES[name]), folder.join("beside"));
        let other = home.path.join(FOLDERS[other.0]).join(NAMES[other.1]);
        let write = || fs::File::options().write(true).open(&path);
        match what {
            0 | 1 => fs::write(path, "made or written anew"),
            2 | 3 => fs::remove_file(path),
            4 => fs::rename(path, other),
            5 => {
                let mut file = fs::File::options().append(true).open(path)?;
                file.write_all(b"more")?;
                // It ends with the node.
                open.push(file);
                Ok(())
            }
            6 => fs::write(&beside, "replaces it").and_then(|()| fs::rename(beside, path)),
            7 => fs::create_dir(path),
            8 => fs::remove_dir_all(path),
            9 => fs::remove_dir_all(folder),
            10 => {
                let _ = fs::remove_file(&path);
                let to = [&other, Path::new("snapshot-5"), Path::new("/dev/null"), Path::new("missing")];
                symlink(to[name % 4], path)
            }
            11 => {
                fs::remove_file(&path)?;
                fs::create_dir(&path).and_then(|()| fs::write(path.join("within"), "it was a file"))
            }
            12 => write()?.set_len(1),
            13 => fs::set_permissions(path, Permissions::from_mode(0o600)),
            14 => UnixListener::bind(path).map(drop),
            15 => fs::write(&beside, signed(10)).and_then(|()| fs::rename(beside, path)),
            16 => fs::write(path, signed(11)),
            17 => write()?.set_modified(std::time::UNIX_EPOCH),
            _ => fs::rename(&folder, home.path.join("away")).and_then(|()| fs::rename(home.path.join("away"), folder)),
        }
    }

    /// What a node does between blocks.
    fn ordinary(home: &Home, done: (u8, usize, u8)) {
        let (what, database, number) = done;
        let database = home.path.join(FOLDERS[1 + database % 3]);
        let path = |number: u8, extension: &str| database.join(format!("{number:06}.{extension}"));
        let append = |path: &Path| {
            let file = fs::File::options().append(true).create(true).open(path);
            file.and_then(|mut file| file.write_all(b"more")).unwrap();
        };
        match what {
            0 => fs::write(path(20 + number, "ldb"), "new").unwrap(),
            1 => drop(fs::remove_file(path(number % 8, "ldb"))),
            2 => {
                append(&path(100 + number, "log"));
                for old in [4, 6] {
                    let _ = fs::remove_file(path(old, "log"));
                }
            }
            3 => append(&path(if path(6, "log").exists() { 6 } else { 200 }, "log")),
            4 => {
                fs::write(database.join("CURRENT.tmp"), [number]).unwrap();
                fs::rename(database.join("CURRENT.tmp"), database.join("CURRENT")).unwrap();
            }
            5 => append(&database.join("MANIFEST-000001")),
            6 => {
                let wal = home.data().join("cs.wal/wal");
                fs::rename(&wal, wal.with_extension(format!("{number:03}"))).unwrap();
                fs::write(wal, "the next").unwrap();
            }
            7 => {
                let state = home.data().join("priv_validator_state.json");
                fs::write(state.with_extension("tmp"), signed(number)).unwrap();
                fs::rename(state.with_extension("tmp"), state).unwrap();
            }
            8 => fs::write(home.path.join("wasm/wasm").join(number.to_string()), "code").unwrap(),
            _ => fs::File::options().write(true).open(path(7, "ldb")).map_or((), |file| file.set_len(2).unwrap()),
        }
    }

    /// Everything below a folder: inodes of files, and what links say.
    fn below(folder: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut left = vec![PathBuf::new()];
        while let Some(at) = left.pop() {
            for entry in fs::read_dir(folder.join(&at)).unwrap().flatten() {
                let (to, meta) = (at.join(entry.file_name()), entry.metadata().unwrap());
                let inode = meta.is_file().then(|| meta.ino());
                found.insert(format!("{} {inode:?} {:?}", to.display(), fs::read_link(entry.path()).ok()));
                left.extend(Some(to).filter(|_| meta.is_dir()));
            }
        }
        found
    }

    /// Everything that is to be done, in one order. A name taken away in the tree changes a time of what it was a name of.
    fn sorted(work: &Work) -> [Vec<String>; 5] {
        let files = work.files.iter().cloned().map(|file| match file.ready {
            None => File { state: State { changed: 0, ..file.state }, ..file },
            _ => file,
        });
        let mut all = [
            files.map(|file| format!("{file:?}")).collect::<Vec<_>>(),
            work.folders.iter().map(|folder| format!("{folder:?}")).collect(),
            work.links.iter().map(|link| format!("{link:?}")).collect(),
            work.parts.iter().map(|part| format!("{part:?}")).collect(),
            work.places.iter().map(|place| format!("{place:?}")).collect(),
        ];
        all[0].sort();
        all[2].sort();
        all
    }

    /// Whether it was brought up to date without a walk, and then as a walk would have.
    fn is_as_walked(act: impl FnOnce(&mut Home)) -> bool {
        let (_keep, mut home, tree) = node();
        let spare = home.path.join(".watcher-spare");
        // Inodes are compared, so the second has the same.
        assert!(Command::new("cp").arg("-al").args([&tree, &spare]).status().unwrap().success());
        let mut watched = Watched::of(&home).unwrap();
        act(&mut home);
        let Ok(layout) = Layout::of(&home) else { return false };
        let told = watched.up_to_date(&layout, &home.path, &tree);
        let Some(told) = told else { return false };
        let left = below(&tree);
        fs::rename(&tree, home.path.join(".watcher-first")).unwrap();
        fs::rename(&spare, &tree).unwrap();
        let (mut walked, _) = work_for(&home, &layout, &home.path, "watched", &tree, None).unwrap();
        ahead::keep_in(&mut walked, &tree).unwrap();
        for (told, walked) in sorted(&told).iter().zip(&sorted(&walked)) {
            assert_eq!(told, walked);
        }
        assert_eq!(left, below(&tree));
        true
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_was_done_is_found_as_a_walk_finds_it(all in anything()) {
            is_as_walked(|home| {
                let mut open = Vec::new();
                for one in all {
                    let _ = done(home, one, &mut open);
                }
            });
        }

        #[test]
        fn what_a_node_does_takes_no_walk(all in vec((0..10u8, 0..3usize, 0..9u8), 0..12)) {
            prop_assert!(is_as_walked(|home| all.iter().for_each(|one| ordinary(home, *one))));
        }
    }

    #[test]
    fn what_nothing_tells_of_is_found() {
        for name in ["log", "state"] {
            assert!(is_as_walked(|home| fs::write(home.path.join(name), "another").unwrap()));
        }
    }

    #[test]
    fn what_is_not_known_for_certain_takes_a_walk() {
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let most: usize = most.trim().parse().unwrap();
        let tree = |home: &Home| ahead::tree(home, &home.path);
        let acts: [fn(&mut Home, usize); 8] = [
            |home, most| {
                for _ in 0..=most / 3 {
                    fs::write(home.data().join("comes"), "and goes").unwrap();
                    fs::remove_file(home.data().join("comes")).unwrap();
                }
            },
            |home, _| fs::create_dir(home.data().join("new")).unwrap(),
            |home, _| fs::remove_dir_all(home.data().join("state.db/deep")).unwrap(),
            |home, _| symlink("/dev", home.data().join("more")).unwrap(),
            |home, _| fs::remove_file(home.data().join("memiavl.db/current")).unwrap(),
            |home, _| {
                for log in &NAMES[..10] {
                    let _ = log.ends_with("log").then(|| fs::remove_file(home.data().join("state.db").join(log)));
                }
            },
            |home, _| home.manner.more.clear(),
            |home, _| {
                // As where its disk is another now.
                let (data, aside) = (home.data(), home.path.join("aside"));
                fs::rename(&data, &aside).unwrap();
                assert!(Command::new("cp").arg("-a").args([aside, data]).status().unwrap().success());
            },
        ];
        for (number, act) in acts.iter().enumerate() {
            assert!(!is_as_walked(|home| act(home, most)), "{number}");
        }
        let table = |home: &Home| tree(home).join("state.db/000001.ldb");
        for act in [
            |home: &Home, table: PathBuf| fs::remove_file(table).and_then(|()| fs::write(home.path.join("x"), "")),
            |_: &Home, table: PathBuf| fs::write(table.with_extension("other"), ""),
            |home: &Home, _: PathBuf| {
                let tree = ahead::tree(home, &home.path);
                fs::rename(&tree, home.path.join("away")).and_then(|()| fs::create_dir(tree))
            },
        ] {
            assert!(!is_as_walked(|home| act(home, table(home)).unwrap()));
        }
        assert!(is_as_walked(|_| {}));
    }

    #[test]
    fn what_cannot_be_watched_is_not() {
        let (_keep, home, tree) = node();
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(Watched::of(&home).is_some());
        symlink(elsewhere.path(), home.data().join("far")).unwrap();
        assert!(Watched::of(&home).is_none(), "nothing tells where that link leads");
        fs::remove_file(home.data().join("far")).unwrap();
        fs::create_dir(home.data().join("new")).unwrap();
        assert!(Watched::of(&home).is_none(), "it was not made");
        fs::remove_dir(home.data().join("new")).unwrap();
        fs::remove_dir_all(tree).unwrap();
        assert!(Watched::of(&home).is_none(), "nothing was made");
    }

    #[test]
    fn a_backup_of_what_was_watched_is_whole_and_one_that_was_stopped_is_not_begun_with_it_again() {
        let (_keep, home, tree) = node();
        let mut watched = Watched::of(&home).unwrap();
        let (old, new) = ("state.db/000001.ldb", "state.db/000009.ldb");
        let before = inode(&tree.join(old));
        fs::write(home.data().join(new), "new").unwrap();
        fs::remove_file(home.data().join("state.db/000003.ldb")).unwrap();
        let mut tried = |is_stopped| {
            let stop = AtomicBool::new(is_stopped);
            take(&home, &plan(5), Some(&mut watched), &jiff::Zoned::now(), &stop, &|_, _| {})
        };
        assert!(matches!(tried(true), Err(BackupError::Stopped)));
        let done = tried(false).unwrap();
        assert_eq!(verify::verify(&done), []);
        assert_eq!((inode(&done.path.join(old)), fs::read(done.path.join(new)).unwrap()), (before, b"new".to_vec()));
        assert!(!done.path.join("state.db/000003.ldb").exists());
    }
}
