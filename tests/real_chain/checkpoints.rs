//! A checkpoint stays what it was while the node goes on, however the node had ended before it was taken; and a node that is
//! brought back to it runs on.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::AtomicBool,
    time::Instant,
};

use jiff::Zoned;
use nix::sys::signal::{Signal, kill};
use sha2::{Digest as _, Sha256};
use watcher::{
    artifact::Platform,
    decide::plan::Plan,
    home::{
        Home,
        backup::{self, Completion, Manner, Watched, ahead, keep, restore, verify},
    },
};

use crate::{
    LIMIT, carried_through,
    chain::{Chain, Kind},
    say::say,
    supervisor::Supervisor,
    wait,
};

#[test]
fn a_checkpoint_stays_what_it_was_and_a_node_runs_on_from_it() {
    goes_on(4, 5);
}

#[test]
#[ignore = "takes half an hour: `cargo test --test real_chain -- --ignored checkpoint`"]
fn a_checkpoint_stays_what_it_was_over_hundreds_of_blocks_and_kills() {
    goes_on(60, 100);
}

/// A full node, whose chain somebody else makes.
struct Node {
    chain: Chain,
    home: Home,
    /// What was saved, and what was in each file.
    saved: Vec<(Completion, BTreeMap<PathBuf, String>)>,
    /// What was made ahead, and is watched while it runs.
    watched: Option<Watched>,
}

/// Saves a node after each kind of end, lets it go on for so many rounds of so many blocks, and brings it back to each.
fn goes_on(rounds: u32, blocks: u64) {
    /// The vote takes twenty of them.
    const BLOCKS: u64 = 100;
    let Some(chain) = Chain::paced(Kind::Today, "2s", "100ms") else { return };
    let settings = [("UNSAFE_SKIP_BACKUP", "true")];
    chain.place("v2", "upgrades/v2");
    let mut validator = Supervisor::start(&chain.home, chain.kind.name(), &settings);
    let height = chain.propose("v2", BLOCKS, "");
    carried_through(&chain, "v2", height);

    let follower = chain.follower("follower");
    follower.place("v2", "upgrades/v2");
    let mut node = Node::of(follower);
    // In block sync the halt ends the old binary in the middle of its work. At its next start the databases make tables of
    // what they find in their logs.
    for _ in 0..2 {
        let mut old = node.start("genesis");
        let ended = wait::until("the old binary ends at the height", LIMIT, || old.ended());
        assert!(!ended.success(), "{ended}");
    }
    node.save();

    let mut number = 0;
    let mut go_on = |node: &mut Node, signal: Signal, catches_up: bool| {
        let mut running = node.start("upgrades/v2");
        let behind = if catches_up { chain.height() } else { node.chain.height() };
        node.chain.wait_for_blocks_by("v2", behind, LIMIT);
        node.chain.wait_for_blocks_by("v2", node.chain.height() + blocks, LIMIT);
        ahead::make(&node.home, u64::MAX, true, &AtomicBool::new(false)).expect("it fits");
        node.watched = Watched::of(&node.home);
        node.chain.wait_for_blocks_by("v2", node.chain.height() + blocks, LIMIT);
        kill(running.pid(), signal).expect("it runs");
        wait::until("it ends", LIMIT, || running.ended());
        number += 2 * blocks;
    };
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        go_on(&mut node, signal, true);
        node.save();
    }
    for round in 0..rounds {
        go_on(&mut node, if round % 4 == 3 { Signal::SIGTERM } else { Signal::SIGKILL }, true);
        node.expect_unchanged();
    }
    let pinned: u64 = node.saved.iter().map(|(backup, _)| tables_held_alone(&backup.path)).sum();
    assert!(pinned > 0, "tables were compacted away meanwhile, or this shows nothing");

    for place in 0..node.saved.len() {
        let backup = node.saved[place].0.clone();
        restore::restore(&node.home, &backup, &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).expect("it is whole");
        go_on(&mut node, Signal::SIGKILL, false);
        node.expect_unchanged();
    }
    say(&format!("{rounds} rounds, {number} blocks, {pinned} tables compacted away that a checkpoint still holds"));
    assert!(validator.stop().success());
}

impl Node {
    fn of(chain: Chain) -> Self {
        let home = Home {
            path: chain.home.clone(),
            daemon: chain.kind.name().to_owned(),
            keep_case: false,
            backups: Some(chain.home.clone()),
            manner: Manner::default(),
            platform: Platform::host(),
            must_have_checksum: false,
            local_info: false,
        };
        home.prepare().expect("the home can be written");
        Self { chain, home, saved: Vec::new(), watched: None }
    }

    fn start(&self, version: &str) -> Supervisor {
        Supervisor::spawn(Command::new(self.chain.binary(version)), &self.chain.home, self.chain.kind.name(), &[])
    }

    fn save(&mut self) {
        let plan = Plan { name: format!("v{}", self.saved.len()), height: 1, info: String::new() };
        let mut watched = self.watched.take();
        let began = Instant::now();
        let stop = AtomicBool::new(false);
        let backup = backup::take(&self.home, &plan, watched.as_mut(), &Zoned::now(), &stop, &|_, _| {});
        let backup = backup.expect("it fits");
        let (took, held) = (began.elapsed(), keep::pinned(&backup));
        let Completion { bytes, ahead, shared, .. } = &backup;
        say(&format!("{took:?}: {bytes} bytes copied, {ahead} ahead, {shared} shared, {held} held alone"));
        assert!(backup.shared > 0, "something is linked");
        assert_eq!(left_out(&backup), Vec::<PathBuf>::new());
        let digests = digests(&backup.path);
        for part in &backup.parts {
            let saved = backup.path.join(&part.at);
            let saved = digests.iter().filter_map(|(path, digest)| Some((path.strip_prefix(&saved).ok()?, digest)));
            for (path, digest) in saved.filter(|(path, _)| !path.starts_with(".watcher")) {
                let live = fs::read(part.live.join(path)).expect("what is saved is there");
                assert_eq!(*digest, hex::encode(Sha256::digest(live)), "{}", path.display());
            }
        }
        self.saved.push((backup, digests));
    }

    fn expect_unchanged(&self) {
        for (backup, before) in &self.saved {
            let now = digests(&backup.path);
            let changed: Vec<_> = before.iter().filter(|(path, digest)| now.get(*path) != Some(*digest)).collect();
            assert!(changed.is_empty() && now.len() == before.len(), "{changed:?}");
            assert_eq!(verify::verify(backup), []);
        }
    }
}

/// What is in each file below a folder.
fn digests(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        if entry.file_type().expect("it has one").is_dir() {
            found.extend(digests(&entry.path()));
        } else {
            let content = fs::read(entry.path()).expect("it can be read");
            found.insert(entry.path(), hex::encode(Sha256::digest(content)));
        }
    }
    found
}

/// What the application's database has and a backup has not.
fn left_out(backup: &Completion) -> Vec<PathBuf> {
    let (live, at) = (&backup.parts[0].live, backup.path.join(&backup.parts[0].at));
    let names = digests(&live.join("application.db")).into_keys();
    names.filter(|name| !at.join(name.strip_prefix(live).expect("it is below")).exists()).collect()
}

/// Tables that have no second name any more.
fn tables_held_alone(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;

    let tables = digests(folder).into_keys().filter(|path| path.extension().is_some_and(|end| end == "ldb"));
    let alone = tables.filter(|path| fs::metadata(path).expect("it is there").nlink() == 1);
    u64::try_from(alone.count()).expect("they are few")
}
