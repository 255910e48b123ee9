//! The disk, in two views: what processes see, and what is known to survive. Between them lie changes, each to one name in
//! a folder or to one file's content. A power cut takes any of those that no fsync covers, in whatever order they were
//! made; the kernel writes everything back by itself now and then.

use std::{collections::BTreeMap, fmt};

use watcher::decide::{
    facts::{
        Backup, Current, Facts, Fingerprint, Info, Marker, NodeLock, Origin, Receipt, Record, RecordFact, Staged,
        Version,
    },
    orders::Orders,
    plan::{Folder, Plan},
};

use super::chain::{folder, upgrade};

/// The disk.
#[derive(Debug, Default)]
pub struct Disk {
    /// What processes see. It is changed by [`Disk::change`].
    pub home: Home,
    /// What is known to survive.
    kept: Home,
    /// What was changed and may not survive.
    unsynced: Vec<Change>,
    /// Files under `upgrades/` and in the store: links to one file share what happens to it.
    pub files: BTreeMap<u64, File>,
    stamp: u64,
}

/// What is made to last together: a folder's names, with what is in the files, or one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `data/upgrade-info.json`, name and content.
    Info,
    /// `cosmovisor/`, with the link.
    Root,
    /// `record.json`, name and content.
    Record,
    /// What the operator ordered.
    Orders,
    /// `upgrades/<folder>/`: the marker, the binary, its receipt.
    Version(Folder),
    Store,
    Backup,
}

/// A change to one name, or to one file's content.
struct Change {
    place: Place,
    make: Box<dyn Fn(&mut Home)>,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

/// What a home holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Home {
    pub info: Option<InfoFile>,
    pub record: RecordFact,
    pub current: Option<Version>,
    pub markers: BTreeMap<Folder, Marker>,
    /// For which plan, and whether it is complete.
    pub backup: Option<(Plan, bool)>,
    pub staged: BTreeMap<Folder, Binary>,
    pub store: Vec<(Receipt, u64)>,
    pub orders: Orders,
}

/// `data/upgrade-info.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct InfoFile {
    pub content: Content,
    pub origin: Origin,
    pub fingerprint: Fingerprint,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Empty,
    Half,
    Plan(Plan),
}

/// What is at `upgrades/<folder>/bin/<name>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    pub file: u64,
    pub receipt: Option<Receipt>,
}

/// An executable.
#[derive(Debug, Clone)]
pub struct File {
    /// What it really is: the URL it was published at, or none for a build of the operator.
    pub origin: Option<String>,
    pub sound: bool,
    /// In the time of which `watcher` it was harmed without a trace.
    pub rotten_since: Option<u64>,
    pub fingerprint: Fingerprint,
}

impl Disk {
    /// The plan in upgrade-info.json.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.home.info {
            Some(InfoFile { content: Content::Plan(plan), .. }) => Some(plan),
            _ => None,
        }
    }

    pub fn record(&self) -> Option<&Record> {
        if let RecordFact::Present(record) = &self.home.record { Some(record) } else { None }
    }

    /// An operator's file is told by its mode, which a node that writes into it does not change; where the plan has an
    /// info, it is the chain's all the same.
    pub fn write_info(&mut self, content: Content, by: Origin) {
        let known = self.home.info.as_ref().map(|file| file.origin);
        let plain = !matches!(&content, Content::Plan(plan) if !plan.info.is_empty());
        let origin = if known == Some(Origin::Operator) && plain { Origin::Operator } else { by };
        let file = InfoFile { content, origin, fingerprint: self.fingerprint() };
        self.change(Place::Info, move |home| home.info = Some(file.clone()));
    }

    /// A new executable file.
    pub fn create(&mut self, origin: Option<String>) -> u64 {
        let fingerprint = self.fingerprint();
        self.files.insert(fingerprint.inode, File { origin, sound: true, rotten_since: None, fingerprint });
        fingerprint.inode
    }

    /// Puts a binary under `upgrades/`, as `cp` and `sync` or a staging does.
    pub fn stage(&mut self, folder: Folder, binary: Binary) {
        let place = Place::Version(folder.clone());
        self.change(place.clone(), move |home| drop(home.staged.insert(folder.clone(), binary.clone())));
        self.sync(&place);
    }

    /// The file staged in a folder.
    pub fn staged(&self, folder: &Folder) -> Option<&File> {
        self.home.staged.get(folder).map(|binary| &self.files[&binary.file])
    }

    pub fn fingerprint(&mut self) -> Fingerprint {
        self.stamp += 1;
        Fingerprint { inode: self.stamp, size: 100, modified: i64::try_from(self.stamp).expect("small") }
    }

    pub fn resolves(&self, version: &Version) -> bool {
        match version {
            Version::Upgrade(folder) => self.home.staged.contains_key(folder),
            _ => true,
        }
    }
}

/// Changes, and what becomes of them.
impl Disk {
    pub fn change(&mut self, place: Place, make: impl Fn(&mut Home) + 'static) {
        make(&mut self.home);
        self.unsynced.push(Change { place, make: Box::new(make) });
    }

    /// An order is given or taken back, durably.
    pub fn order(&mut self, make: impl Fn(&mut Orders) + 'static) {
        self.change(Place::Orders, move |home| make(&mut home.orders));
        self.sync(&Place::Orders);
    }

    /// What fsync does.
    pub fn sync(&mut self, place: &Place) {
        for change in self.unsynced.extract_if(.., |change| change.place == *place) {
            (change.make)(&mut self.kept);
        }
    }

    /// What the kernel does by itself within half a minute.
    pub fn write_back(&mut self) {
        self.kept = self.home.clone();
        self.unsynced.clear();
    }

    /// The lights go out. Each bit of `survives` lets one change keep that was not synced.
    pub fn power_cut(&mut self, survives: u64) {
        for (number, change) in self.unsynced.drain(..).enumerate() {
            if survives.rotate_right(u32::try_from(number % 64).expect("it is below 64")) & 1 == 1 {
                (change.make)(&mut self.kept);
            }
        }
        self.home = self.kept.clone();
    }
}

/// Sampling.
impl Disk {
    /// What the shell would see now; of the versions, those of `interest` and what else it always looks at.
    pub fn facts(&self, backups: bool, lock: NodeLock, signed: u64, interest: &[Folder]) -> Facts {
        let home = &self.home;
        let (record, signed_height, orders) = (home.record.clone(), Some(signed), home.orders.clone());
        let mut facts = Facts { lock, record, signed_height, orders, ..Facts::default() };
        let failure = self.record().and_then(|record| record.failure.as_ref());
        facts.failed_file = failure.and_then(|failure| self.staged(&failure.folder)).map(|file| file.fingerprint);
        if let Some(file) = &home.info {
            facts.info = match &file.content {
                Content::Empty => Info::Absent,
                Content::Half => Info::Unreadable { reason: "half".to_owned(), fingerprint: file.fingerprint },
                Content::Plan(plan) => {
                    Info::Plan { upgrade: upgrade(plan), fingerprint: file.fingerprint, origin: file.origin }
                }
            };
        }
        facts.current = match &home.current {
            None => Current::Absent,
            Some(version) if self.resolves(version) => Current::Version(version.clone()),
            Some(_) => Current::Broken { reason: "no executable".to_owned() },
        };
        if let Some(Version::Upgrade(folder)) = &home.current {
            facts.marker = home.markers.get(folder).cloned();
        }
        let placed = home.staged.iter().filter(|(_, binary)| binary.receipt.is_some()).map(|(folder, _)| folder);
        let named = self.plan().map(|plan| folder(&plan.name));
        let folders = interest.iter().chain(&named).chain(placed).chain(failure.map(|failure| &failure.folder));
        facts.staged = folders.map(|folder| (folder.clone(), self.shown(folder))).collect();
        let whole = |entry: &&(Receipt, u64)| entry.0.file == self.files[&entry.1].fingerprint;
        facts.stored = home.store.iter().filter(whole).map(|(receipt, _)| receipt.clone()).collect();
        facts.backup = self.backup(backups);
        facts
    }

    pub fn backup(&self, wanted: bool) -> Backup {
        match (&self.home.backup, self.plan()) {
            _ if !wanted => Backup::NotWanted,
            (Some((of, true)), Some(plan)) if of == plan => Backup::Complete,
            _ => Backup::Missing,
        }
    }

    fn shown(&self, folder: &Folder) -> Staged {
        match self.home.staged.get(folder) {
            None => Staged::None,
            Some(Binary { receipt: None, .. }) => Staged::Operator,
            Some(Binary { file, receipt: Some(receipt) }) if receipt.file == self.files[file].fingerprint => {
                Staged::Ours(receipt.clone())
            }
            Some(Binary { receipt: Some(receipt), .. }) => Staged::Suspect(receipt.clone()),
        }
    }
}
