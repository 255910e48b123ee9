//! `watcher run` is killed with SIGKILL at every system call with which it changes something between the halt and the new
//! binary's first blocks, each time on a fresh home; the next start must complete the upgrade. Needs strace.

#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/release_host.rs"]
mod release_host;
#[path = "support/say.rs"]
mod say;
#[path = "support/strace.rs"]
#[expect(dead_code, reason = "what is killed here runs already")]
mod strace;
#[path = "support/supervisor.rs"]
mod supervisor;
#[path = "support/tools.rs"]
mod tools;
#[path = "support/wait.rs"]
mod wait;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nodes::alive;
use ports::Ports;
use release_host::ReleaseHost;
use say::say;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use strace::Moment;
use supervisor::Supervisor;

const NAME: &str = "noded";
const LIMIT: Duration = Duration::from_secs(30);
/// How long `watcher` is watched after the new binary's start, for what it still has to write then.
const AFTERMATH: Duration = Duration::from_millis(1500);
/// Homes at a time: a run waits most of its time.
const WORKERS: usize = 6;

#[test]
fn a_kill_at_any_change_of_a_swap_is_made_good_by_the_next_start() {
    every_kill_is_made_good(&Story {
        settings: &[("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade")],
        plan: fs::read_to_string(fixture().join("plan.json")).expect("the fixture has a plan"),
        staged: true,
    });
}

#[test]
fn a_kill_at_any_change_of_a_swap_that_fetches_its_binary_is_made_good_by_the_next_start() {
    let bin = fixture().join("cosmovisor/upgrades/v2/bin");
    let ports = Ports::reserve();
    let host = ReleaseHost::open(ports.first, &bin, None);
    let sum = hex::encode(Sha256::digest(fs::read(bin.join(NAME)).expect("the fixture has a v2")));
    let url = format!("http://127.0.0.1:{}/{NAME}?checksum=sha256:{sum}", ports.first);
    let info = json!({ "binaries": { "any": url } }).to_string();
    every_kill_is_made_good(&Story {
        settings: &[
            ("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade"),
            ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true"),
            ("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", "true"),
        ],
        plan: json!({ "name": "v2", "height": 10, "info": info }).to_string(),
        staged: false,
    });
    assert!(!host.downloads().is_empty(), "the binary came from the host");
}

/// An upgrade, told again and again with another end.
struct Story {
    settings: &'static [(&'static str, &'static str)],
    /// What the node writes to upgrade-info.json.
    plan: String,
    /// Whether the operator has put v2 in its place.
    staged: bool,
}

fn every_kill_is_made_good(story: &Story) {
    if !strace::usable() {
        return;
    }
    let moments = clean_run(story);
    let by_name = moments.iter().fold(BTreeMap::<&str, u32>::new(), |mut counts, moment| {
        *counts.entry(&moment.name).or_default() += 1;
        counts
    });
    say(&format!("{} moments to be killed at: {by_name:?}", moments.len()));
    assert!(moments.len() >= 10, "a swap changes more than this: {moments:?}");

    let total = moments.len();
    let queue = Mutex::new(moments.into_iter());
    let ends: Vec<End> = thread::scope(|scope| {
        let work = || {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            std::iter::from_fn(next).map(|moment| told_apart(story, moment)).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("panics are caught below")).collect()
    });

    let stages = ends.iter().fold(BTreeMap::<&End, u32>::new(), |mut counts, end| {
        *counts.entry(end).or_default() += 1;
        counts
    });
    let count = |wanted| stages.get(&wanted).copied().unwrap_or_default() as usize;
    let (missed, failed) = (count(End::NotReached), count(End::Failed));
    say(&format!("killed at {}, completed {}: {stages:?}", total - missed, total - missed - failed));
    assert_eq!(failed, 0, "each failure is told above");
    assert!(missed * 5 <= total, "too many moments were not reached again: {missed} of {total}");
    for stage in [Stage::BeforeTheSwitch, Stage::Switched, Stage::Started] {
        assert!(count(End::Completed(stage)) > 0, "no kill came at the stage {stage:?}: {stages:?}");
    }
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Well, after a kill at this stage.
    Completed(Stage),
    /// The run differed from the clean one and made this call less often.
    NotReached,
    Failed,
}

/// How far an upgrade was when `watcher` was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    BeforeTheSwitch,
    Switched,
    Started,
}

/// The story with nobody interfering, and the moments at which `watcher` changed something.
fn clean_run(story: &Story) -> BTreeSet<Moment> {
    let trial = Trial::begin(story);
    let mut watcher = trial.up_to_the_halt(None);
    trial.wait_for_v2_under(&watcher);
    thread::sleep(AFTERMATH);
    let log = fs::read_to_string(trial.trace()).expect("strace wrote a log");
    assert!(watcher.stop().success());
    trial.expect_upgraded(0);
    strace::moments(&log, &trial.home)
}

/// A trial in a thread of its own, whose name appears in everything that is said about it.
fn told_apart(story: &Story, moment: Moment) -> End {
    let name = format!("killed at {} {}", moment.name, moment.number);
    thread::scope(|scope| {
        let trial = thread::Builder::new().name(name).spawn_scoped(scope, move || killed_at(story, &moment));
        trial.expect("a thread can be started").join().unwrap_or(End::Failed)
    })
}

fn killed_at(story: &Story, moment: &Moment) -> End {
    let trial = Trial::begin(story);
    let mut watcher = trial.up_to_the_halt(Some(moment));
    let mut deadline = None;
    let killed = wait::until("watcher is killed or v2 runs", LIMIT, || {
        if watcher.ended().is_some() {
            return Some(true);
        }
        if deadline.is_none() && trial.calls().contains("start v2") {
            deadline = Some(Instant::now() + AFTERMATH);
        }
        deadline.is_some_and(|deadline| deadline < Instant::now()).then_some(false)
    });
    if !killed {
        return End::NotReached;
    }
    let stage = trial.stage();
    // Half of the next starts come while the node is still on its way out.
    if moment.number.is_multiple_of(2) {
        wait::until("the node of a killed watcher ends", LIMIT, || alive(&trial.home, NAME).is_empty().then_some(()));
    }
    let mut watcher = Supervisor::start(&trial.home, NAME, story.settings);
    trial.wait_for_v2_under(&watcher);
    trial.expect_upgraded(1);
    let status = watcher.stop();
    assert!(status.success(), "watcher ended with {status}");
    trial.expect_upgraded(0);
    End::Completed(stage)
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/homes/halting")
}

/// A home of its own, about to halt.
struct Trial<'story> {
    home: PathBuf,
    story: &'story Story,
    _folder: tempfile::TempDir,
}

impl<'story> Trial<'story> {
    fn begin(story: &'story Story) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let home = folder.path().canonicalize().expect("it was just made").join("home");
        let copied = Command::new("cp").arg("-rp").arg(fixture()).arg(&home).status().expect("cp is there");
        assert!(copied.success());
        fs::write(home.join("plan.json"), &story.plan).expect("the home can be written");
        if !story.staged {
            fs::remove_dir_all(home.join("cosmovisor/upgrades")).expect("the home can be written");
        }
        Self { home, story, _folder: folder }
    }

    /// Starts `watcher`, sets strace on it, and lets the node halt.
    fn up_to_the_halt(&self, kill_at: Option<&Moment>) -> Supervisor {
        let watcher = Supervisor::start(&self.home, NAME, self.story.settings);
        wait::until("the old node runs", LIMIT, || self.home.join("data/LOCK").exists().then_some(()));
        let mut strace = strace::attach(watcher.pid(), &self.trace(), kill_at);
        // It ends with the process it is attached to.
        thread::spawn(move || strace.wait());
        fs::write(self.home.join("data/halt"), "").expect("the home can be written");
        watcher
    }

    fn trace(&self) -> PathBuf {
        self.home.with_extension("strace")
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.home.join("calls")).unwrap_or_default()
    }

    fn stage(&self) -> Stage {
        let current = fs::read_link(self.home.join("cosmovisor/current")).expect("current is a link at any time");
        match (current.ends_with("v2"), self.calls().contains("start v2")) {
            (false, false) => Stage::BeforeTheSwitch,
            (true, false) => Stage::Switched,
            (true, true) => Stage::Started,
            (false, true) => panic!("v2 was started before current pointed at it"),
        }
    }

    /// Waits until v2 has made blocks, and the one node that runs is this supervisor's and at work.
    fn wait_for_v2_under(&self, watcher: &Supervisor) {
        let number =
            |file: &str| fs::read_to_string(self.home.join("data").join(file)).ok()?.trim().parse::<i32>().ok();
        wait::until("v2 makes blocks", LIMIT, || {
            let running = alive(&self.home, NAME);
            let own = running.len() == 1 && running[0].parent == watcher.pid().as_raw();
            (own && number("LOCK") == Some(running[0].pid) && number("height") == Some(11)).then_some(())
        });
    }

    /// What must hold after an upgrade, however it came about.
    fn expect_upgraded(&self, running: usize) {
        let calls = self.calls();
        assert_eq!(alive(&self.home, NAME).len(), running, "{calls}");
        for unwanted in ["second-node", "too-early"] {
            assert!(!calls.contains(unwanted), "{unwanted}:\n{calls}");
        }
        let (before, after) = calls.split_once("start v2").expect("v2 was started");
        assert!(!after.contains("start genesis"), "the old binary was started after the new one:\n{calls}");
        assert!(before.contains("custom v2 10"), "the operator's script ran before the new binary:\n{calls}");
        assert!(before.contains("pre-upgrade v2"), "the app's hook ran before the new binary's start:\n{calls}");

        let link = fs::read_link(self.home.join("cosmovisor/current")).expect("current is a link");
        assert_eq!(link, Path::new("upgrades/v2"));
        let read = |path: &str| fs::read(self.home.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let marker: Value = serde_json::from_slice(&read("cosmovisor/upgrades/v2/upgrade-info.json")).expect("JSON");
        assert_eq!((marker["name"].as_str(), marker["height"].as_u64()), (Some("v2"), Some(10)));
        assert_eq!(String::from_utf8_lossy(&read("data/upgrade-info.json")), self.story.plan);

        let names = fs::read_dir(&self.home).expect("it is there").flatten().map(|entry| entry.file_name());
        let backups: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("data-backup-")).collect();
        let complete = |name: &std::ffi::OsString| {
            fs::read_to_string(self.home.join(name).join("height")).is_ok_and(|height| height.trim() == "10")
        };
        assert!(backups.iter().any(complete), "a backup holds the state of the halt: {backups:?}");
    }
}
