//! A home of its own, about to halt, and how its story ends.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;
use watcher::sim::chain::Chain;

use crate::{
    nodes::alive,
    sim_network::Network,
    strace::{self, Harm, Moment},
    supervisor::{Supervisor, log_of},
    wait,
};

pub(crate) const NAME: &str = "noded";
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// A file that was left alone for so long is copied ahead.
const QUIET: Duration = Duration::from_millis(2_200);
/// How long a backup that is made ahead is waited for: harm may keep it from being made.
const AHEAD: Duration = Duration::from_secs(5);

/// What belongs to a node, and what is in it at the halt.
const SAVED: [&str; 5] = [
    "data/application.db/000001.ldb",
    "data/application.db/000005.log",
    "data/application.db/CURRENT",
    "config/app.toml",
    "wasm/code",
];
/// A new binary that leaves its marks, says where it stands, and ends.
const FAILING: &str = r#"#!/bin/sh
[ $1 = pre-upgrade ] && echo pre-upgrade v2 >> "$DAEMON_HOME/calls" && exit 0
[ $1 = start ] || exit 1
echo start v2 >> "$DAEMON_HOME/calls"
for file in data/application.db/CURRENT config/app.toml wasm/code; do echo after > "$DAEMON_HOME/$file"; done
echo 'INF ABCI Handshake App Info hash=AB height=9 module=consensus' >&2
exit 3
"#;

/// An upgrade, told again and again with another mishap.
pub(crate) struct Story {
    pub(crate) settings: &'static [(&'static str, &'static str)],
    /// What the node writes to upgrade-info.json.
    pub(crate) plan: String,
    /// Whether the operator has put v2 in its place.
    pub(crate) staged: bool,
    /// Whether the chain tells of it before the halt.
    pub(crate) known: bool,
    /// Whether v2 fails, and is taken back.
    pub(crate) fails: bool,
}

/// How far an upgrade is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    BeforeTheSwitch,
    Switched,
    Started,
}

pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/homes/halting")
}

pub(crate) struct Trial<'story> {
    pub(crate) home: PathBuf,
    story: &'story Story,
    signed: Cell<u64>,
    /// The chain that tells of it.
    network: Option<Network>,
    _folder: tempfile::TempDir,
}

impl<'story> Trial<'story> {
    pub(crate) fn begin(story: &'story Story) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let home = folder.path().canonicalize().expect("it was just made").join("home");
        let copied = Command::new("cp").arg("-rp").arg(fixture()).arg(&home).status().expect("cp is there");
        assert!(copied.success());
        let write = |path: &str, text: &str| {
            let path = home.join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("the home can be written");
            fs::write(path, text).expect("the home can be written");
        };
        write("plan.json", &story.plan);
        for path in SAVED {
            write(path, path);
        }
        if !story.staged {
            fs::remove_dir_all(home.join("cosmovisor/upgrades")).expect("the home can be written");
        }
        if story.fails {
            write("cosmovisor/upgrades/v2/bin/noded", FAILING);
        }
        let network =
            story.known.then(|| Network::open(&folder.path().join("chain"), Chain::new("demo-1", 1_000, vec![])));
        Self { home, story, signed: Cell::new(0), network, _folder: folder }
    }

    /// Starts `watcher`.
    pub(crate) fn start(&self) -> Supervisor {
        let url = self.network.as_ref().map(|network| network.rpc.url());
        let told = url.iter().map(|url| ("WATCHER_RPC", url.as_str()));
        let settings: Vec<_> = self.story.settings.iter().copied().chain(told).collect();
        Supervisor::start(&self.home, NAME, &settings)
    }

    /// Starts `watcher`, sets strace on it, and lets the node halt.
    pub(crate) fn up_to_the_halt(&self, harm: Option<(&Moment, Harm)>) -> Supervisor {
        let mut watcher = self.start();
        wait::until("the old node runs", LIMIT, || self.home.join("data/LOCK").exists().then_some(()));
        let mut strace = strace::attach(watcher.pid(), &self.home.with_extension("strace"), harm);
        // It ends with the process it is attached to.
        thread::spawn(move || strace.wait());
        if let Some(network) = &self.network {
            thread::sleep(QUIET);
            let plan = serde_json::from_str(&self.story.plan).expect("it is a plan");
            network.site.change(|chain| {
                chain.plan = Some(plan);
                chain.save(u64::try_from(Timestamp::now().as_millisecond()).expect("it is later than 1970"));
                chain.apply(&[]).expect("no plan is due");
            });
            let deadline = Instant::now() + AHEAD;
            while !self.is_ahead() && watcher.ended().is_none() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
        }
        fs::write(self.home.join("data/halt"), "").expect("the home can be written");
        watcher
    }

    /// Whether the next backup lies ready, as far as that was tried.
    fn is_ahead(&self) -> bool {
        let list = fs::read(self.home.join("cosmovisor/watcher/ahead.json")).unwrap_or_default();
        let list: Option<Value> = serde_json::from_slice(&list).ok();
        list.is_some_and(|list| list["files"].as_array().is_some_and(|files| !files.is_empty()))
    }

    /// What strace has seen.
    pub(crate) fn trace(&self) -> String {
        fs::read_to_string(self.home.with_extension("strace")).unwrap_or_default()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.home.join("calls")).unwrap_or_default()
    }

    fn current(&self) -> PathBuf {
        fs::read_link(self.home.join("cosmovisor/current")).expect("current is a link at any time")
    }

    pub(crate) fn stage(&self) -> Stage {
        let started = self.calls().contains("start v2");
        match (started, self.current().ends_with("v2")) {
            (true, _) => Stage::Started,
            (false, true) => Stage::Switched,
            (false, false) => Stage::BeforeTheSwitch,
        }
    }

    /// What holds at any time: `current` resolves, and what was signed stays signed. Two nodes would tell of each other.
    pub(crate) fn look(&self) {
        let current = self.home.join("cosmovisor/current").join("bin").join(NAME);
        assert!(current.exists(), "current leads to a binary at any time");
        // The node of the fixture writes it in place, so that it may be empty for a moment.
        let state = fs::read(self.home.join("data/priv_validator_state.json")).unwrap_or_default();
        let state: Option<Value> = serde_json::from_slice(&state).ok();
        if let Some(height) = state.and_then(|state| state["height"].as_str()?.parse().ok()) {
            assert!(height >= self.signed.replace(height), "what was signed stays signed: {height}");
        }
    }

    /// Whether the story is at its end: v2 has made blocks, and the one node that runs is this supervisor's and at work; or
    /// v2 is taken back.
    pub(crate) fn is_at_its_end(&self, watcher: &Supervisor) -> bool {
        if self.story.fails {
            let record = fs::read(self.home.join("cosmovisor/watcher/record.json")).unwrap_or_default();
            let record: Option<Value> = serde_json::from_slice(&record).ok();
            return record.is_some_and(|record| record["failure"]["state"] == "rolled_back");
        }
        let number =
            |file: &str| fs::read_to_string(self.home.join("data").join(file)).ok()?.trim().parse::<i32>().ok();
        let running = alive(&self.home, NAME);
        let own = running.len() == 1 && running[0].parent == watcher.pid().as_raw();
        own && number("LOCK") == Some(running[0].pid) && number("height") == Some(11)
    }

    pub(crate) fn wait_for_the_end(&self, watcher: &Supervisor) {
        let mut looks = 0_u32;
        wait::until("the story ends", LIMIT, || {
            self.look();
            looks += 1;
            (looks.is_multiple_of(10) && self.is_at_its_end(watcher)).then_some(())
        });
    }

    pub(crate) fn wait_until_no_node_runs(&self) {
        wait::until("the node of a killed watcher ends", LIMIT, || alive(&self.home, NAME).is_empty().then_some(()));
    }

    /// Asks it to stop, as it does.
    pub(crate) fn stop(&self, watcher: &mut Supervisor) {
        assert_eq!(watcher.stop().code(), Some(if self.story.fails { 75 } else { 0 }));
    }

    /// What must hold after a story, however it came about.
    pub(crate) fn expect_ended_well(&self) {
        self.look();
        let calls = self.calls();
        assert_eq!(alive(&self.home, NAME).len(), 0, "{calls}");
        for unwanted in ["second-node", "too-early"] {
            assert!(!calls.contains(unwanted), "{unwanted}:\n{calls}");
        }
        let (before, after) = calls.split_once("start v2").expect("v2 was started");
        assert!(!after.contains("start genesis"), "the old binary was started after the new one:\n{calls}");
        assert!(before.contains("custom v2 10"), "the operator's script ran before the new binary:\n{calls}");
        assert!(before.contains("pre-upgrade v2"), "the app's hook ran before the new binary's start:\n{calls}");

        assert_eq!(self.current(), Path::new(if self.story.fails { "genesis" } else { "upgrades/v2" }));
        // Where the marker cannot be written the upgrade goes on; it is left once the height has passed.
        if !self.story.fails {
            let marker = self.read("cosmovisor/upgrades/v2/upgrade-info.json");
            let marker: Value = serde_json::from_str(&marker).expect("it is JSON");
            assert_eq!((marker["name"].as_str(), marker["height"].as_u64()), (Some("v2"), Some(10)));
        }
        assert_eq!(self.read("data/upgrade-info.json"), self.story.plan);
        assert_eq!(self.read("data/height").trim(), if self.story.fails { "10" } else { "11" });
        for path in SAVED {
            assert_eq!(self.read(path), path, "it is there, and as it was before");
        }

        let named = |part: &str| {
            let names = fs::read_dir(&self.home).expect("it is there").flatten().map(|entry| entry.path());
            names.filter(|path| path.to_string_lossy().contains(part)).collect::<Vec<_>>()
        };
        let backups = named("/data-backup-");
        let complete = |backup: &PathBuf| {
            let saved = |path: &str| fs::read_to_string(backup.join(path)).unwrap_or_default();
            saved("height").trim() == "10" && saved("application.db/CURRENT") == SAVED[2]
        };
        assert!(backups.iter().any(complete), "a backup holds the state of the halt: {backups:?}");
        if self.story.fails {
            let failed = named("data-failed");
            let kept =
                |folder: &PathBuf| fs::read(folder.join("application.db/CURRENT")).is_ok_and(|text| text == b"after\n");
            assert!(failed.len() == 1 && kept(&failed[0]), "what the failed binary left is kept, once: {failed:?}");
            let unfinished = [named("-restored-"), named(".watcher-leaving")].concat();
            assert!(
                unfinished.is_empty() && !self.home.join("cosmovisor/watcher/restore.json").exists(),
                "{unfinished:?}"
            );
        }
    }

    /// What nobody needs any more is gone, where no harm came.
    pub(crate) fn expect_nothing_left(&self) {
        let names = fs::read_dir(&self.home).expect("it is there").flatten().map(|entry| entry.file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".watcher-")).collect();
        assert!(left.is_empty() && !self.home.join("cosmovisor/watcher/ahead.json").exists(), "{left:?}");
        if self.story.known {
            let log = fs::read_to_string(log_of(&self.home)).unwrap_or_default();
            let done = log.lines().find(|line| line.contains("backup completed")).expect("a backup was made");
            assert!(!done.contains(" ahead=0 "), "a part of it was made ahead: {done}");
        }
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.home.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}
