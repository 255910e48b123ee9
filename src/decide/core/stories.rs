//! What the core decides, told as stories: a home that is nothing but facts, in which one thing happens after another.

mod absorb;
mod crash;
mod failure;
mod fetch;
mod home;
mod orders;
mod pace;
mod restored;
mod status;
mod success;

use ::core::time::Duration;
use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    super::{
        decision::{Approach, Decision, Exit, FetchJob, HomeJob, JobId, RunId},
        event::{EndpointId, Event, Heard, Kind, News, NodeAnswer, NodeExit, OWN_NODE, Outcome, Signal, Words},
        facts::{
            Backup, Current, DataIdentity, Facts, Fingerprint, Info, Marker, NodeLock, Origin, Receipt, Record,
            RecordFact, Staged, Version,
        },
        lane::Lane,
        plan::{Artifact, Asks, Folder, Plan, Upgrade},
        run::{Ear, Life, Run},
        settings::Settings,
    },
    Core,
};

/// The height of the upgrade to v2.
const HEIGHT: u64 = 1_000;
const SECOND: Duration = Duration::from_secs(1);

/// A `watcher` and its home.
struct Scene {
    core: Core,
    facts: Facts,
    now: Duration,
}

/// What it decided.
struct Told(Decision);

impl Scene {
    /// A home on which genesis is current and nothing was upgraded yet.
    fn new(settings: Settings) -> Self {
        let facts = Facts {
            current: Current::Version(Version::Genesis),
            record: RecordFact::Present(Record::nothing(Version::Genesis)),
            ..Facts::default()
        };
        Self { core: Core::new(settings), facts, now: Duration::from_secs(1_000) }
    }

    /// Its node runs.
    fn running(settings: Settings) -> Self {
        let mut scene = Self::new(settings);
        scene.tick().starts(Version::Genesis);
        scene.done();
        scene
    }

    /// It runs, and has halted at the upgrade to v2, whose binary the operator has placed.
    fn halted(settings: Settings) -> Self {
        let mut scene = Self::running(settings);
        scene.is_due();
        scene
    }

    /// The binary of v2 runs for the first time.
    fn upgraded(settings: Settings) -> Self {
        let mut scene = Self::switched(settings);
        scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
        scene.done();
        scene
    }

    /// An earlier `watcher` has switched to v2, hooks and all.
    fn switched(settings: Settings) -> Self {
        let mut scene = Self::new(settings);
        scene.is_due();
        scene.facts.current = Current::Version(v2());
        scene.facts.marker = Some(Marker { name: "v2".into(), height: HEIGHT });
        scene.facts.record = present(hooked());
        scene
    }

    /// The record and the file say that v2 is due.
    fn is_due(&mut self) {
        self.facts.info = written(Origin::Node);
        self.facts.staged.insert(folder("v2"), Staged::Operator);
        self.facts.record = present(record());
    }

    fn happens(&mut self, kind: Kind) -> Told {
        let wall = 1_700_000_000_000 + u64::try_from(self.now.as_millis()).unwrap();
        Told(self.core.decide(&Event { now: self.now, wall, facts: self.facts.clone(), kind }))
    }

    fn tick(&mut self) -> Told {
        self.happens(Kind::Tick)
    }

    /// So much later.
    fn after(&mut self, pause: Duration) -> Told {
        self.now += pause;
        self.tick()
    }

    fn seconds(&mut self, seconds: u64) -> Told {
        self.after(Duration::from_secs(seconds))
    }

    /// The job at hand ends like this.
    fn ends(&mut self, outcome: Outcome) -> Told {
        let Lane::Busy { id: job, .. } = self.core.home else { panic!("no job is under way") };
        self.happens(Kind::JobDone { job, outcome })
    }

    fn fails(&mut self) -> Told {
        self.ends(failed("it broke"))
    }

    /// The fetch at hand ends like this.
    fn fetch_ends(&mut self, outcome: Outcome) -> Told {
        let Lane::Busy { id: job, .. } = self.core.fetch else { panic!("nothing is fetched") };
        self.happens(Kind::JobDone { job, outcome })
    }

    /// The job at hand does what it is for.
    fn done(&mut self) -> Told {
        let facts = &mut self.facts;
        let mut outcome = Outcome::Done;
        match self.core.home.job().expect("a job is under way").clone() {
            HomeJob::Remember(record) => facts.record = present(record),
            HomeJob::Heed(record) => (facts.record, facts.orders.ruling) = (present(record), None),
            HomeJob::Start { .. } => (facts.lock, outcome) = (NodeLock::Held, Outcome::Started),
            HomeJob::StopStray { .. } => facts.lock = NodeLock::Free,
            HomeJob::BackUp(_) => facts.backup = Backup::Complete,
            HomeJob::Choose(version) => facts.current = Current::Version(version),
            HomeJob::Switch { folder, plan } => {
                facts.current = Current::Version(Version::Upgrade(folder));
                facts.marker = Some(Marker { name: plan.name, height: plan.height });
            }
            HomeJob::AppHook => outcome = Outcome::PreUpgrade(Some(0)),
            HomeJob::Weigh(_) => outcome = weighed(1, "bad"),
            HomeJob::Replace(_) => facts.orders.replacement = None,
            HomeJob::Unqueue(over) => facts.orders.queue.retain(|plan| *plan != over),
            HomeJob::Missed(exact) => facts.orders.exact = Some(exact),
            _ => {}
        }
        self.ends(outcome)
    }

    /// One job after the other does what it is for, until this one is at hand.
    fn climbs_to(&mut self, wanted: impl Fn(&HomeJob) -> bool) {
        self.tick();
        for _ in 0..20 {
            if wanted(self.core.home.job().expect("there is a next job")) {
                return;
            }
            self.done();
        }
        panic!("it does not come to that: {:?}", self.core.home);
    }

    /// The node ends.
    fn exits(&mut self, exit: NodeExit) -> Told {
        self.exits_saying(exit, None)
    }

    fn exits_saying(&mut self, exit: NodeExit, words: impl Into<Option<Words>>) -> Told {
        self.facts.lock = NodeLock::Free;
        self.leaves_its_node(exit, words)
    }

    /// What was started ends, and the node runs on.
    fn leaves_its_node(&mut self, exit: NodeExit, words: impl Into<Option<Words>>) -> Told {
        let run = self.core.running().expect("a node runs");
        let mut told = self.happens(Kind::Exited { run, exit, words: words.into() });
        // It is not asked any more.
        if matches!(self.core.home.job(), Some(HomeJob::Ask | HomeJob::Greet)) {
            assert_eq!(told.0.cancel.len(), 1, "{:?}", told.0);
            let after = self.ends(Outcome::Cancelled);
            told.0.notes.extend(after.0.notes.iter().cloned());
            told.0 = Decision { notes: told.0.notes, ..after.0 };
        }
        told
    }

    /// The node is being asked for its height.
    #[track_caller]
    fn asks(&mut self) {
        if self.core.home.is_idle() {
            self.tick();
        }
        assert_eq!(self.core.home.job(), Some(&HomeJob::Ask));
    }

    fn hears(&mut self, endpoint: EndpointId, news: News) -> Told {
        self.happens(Kind::Heard(Heard { endpoint, news }))
    }

    /// The own node is at this height, and its application has committed that one.
    fn is_at(&mut self, latest: u64, committed: u64) -> Told {
        let wall = 1_700_000_000_000 + u64::try_from(self.now.as_millis()).unwrap();
        let news = News::Block { height: latest, time: wall, catching_up: false, committed: Some(committed) };
        self.hears(OWN_NODE, news)
    }

    fn signal(&mut self) -> Told {
        self.happens(Kind::Signal(Signal::Terminate))
    }

    fn life(&self) -> &Life {
        self.core.run.life().expect("a node was started")
    }
}

impl Told {
    /// It begins this job.
    #[track_caller]
    fn does(&self, job: HomeJob) -> &Self {
        assert_eq!(self.0.home.clone().map(|(_, job)| job), Some(job), "{:?}", self.0);
        self
    }

    /// It writes this record.
    #[track_caller]
    fn remembers(&self, record: Record) -> &Self {
        self.does(HomeJob::Remember(record))
    }

    /// It starts this version, with streams that are its own and no height to stop at.
    #[track_caller]
    fn starts(&self, expected: Version) -> &Self {
        let started = match &self.0.home {
            Some((_, HomeJob::Start { version, halt: None, .. })) => Some(version.clone()),
            _ => None,
        };
        assert_eq!(started, Some(expected), "{:?}", self.0);
        self
    }

    /// It starts the version at hand and listens to it.
    #[track_caller]
    fn starts_and_listens(&self) -> &Self {
        assert!(matches!(self.0.home, Some((_, HomeJob::Start { listen: true, .. }))), "{:?}", self.0);
        self
    }

    /// It stops the node.
    #[track_caller]
    fn stops(&self) -> &Self {
        assert!(matches!(self.0.home, Some((_, HomeJob::Stop { .. }))), "{:?}", self.0);
        self
    }

    /// It stops the node of an earlier `watcher`.
    #[track_caller]
    fn stops_the_stray(&self) -> &Self {
        self.does(HomeJob::StopStray { grace: Settings::default().shutdown_grace })
    }

    /// It begins nothing at home, and stays.
    #[track_caller]
    fn rests(&self) -> &Self {
        assert_eq!((&self.0.home, &self.0.exit), (&None, &None), "{:?}", self.0);
        self
    }

    #[track_caller]
    fn leaves(&self, exit: Exit) -> &Self {
        assert_eq!((&self.0.home, &self.0.exit), (&None, &Some(exit)), "{:?}", self.0);
        self
    }

    /// What it tells people, all of it.
    #[track_caller]
    fn says(&self, expected: &[&str]) -> &Self {
        let notes: Vec<String> = self.0.notes.iter().map(ToString::to_string).collect();
        assert_eq!(notes, expected, "{:?}", self.0.home);
        self
    }

    /// What it tells people first.
    #[track_caller]
    fn says_first(&self, expected: &str) -> &Self {
        assert_eq!(self.0.notes.first().map(ToString::to_string).as_deref(), Some(expected));
        self
    }

    /// When it decides again at the latest.
    #[track_caller]
    fn wakes(&self, at: Duration) -> &Self {
        assert_eq!(self.0.wake, Some(at), "{:?}", self.0);
        self
    }
}

const fn code(code: i32) -> NodeExit {
    NodeExit::Code(code)
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.into(), retry_after: None }
}

fn weighed(number: u64, sha256: &str) -> Outcome {
    Outcome::Weighed { file: file(number), sha256: sha256.into() }
}

fn answer(latest: u64, committed: u64) -> Outcome {
    Outcome::Answered(NodeAnswer { latest: Some(latest), committed: Some(committed) })
}

fn file(number: u64) -> Fingerprint {
    Fingerprint { inode: number, size: 60, modified: 1 }
}

const fn data(number: u64) -> DataIdentity {
    DataIdentity { filesystem: 1, folder: number, state: number, born: 0 }
}

fn folder(name: &str) -> Folder {
    Folder::of(name, false).unwrap()
}

fn v2() -> Version {
    Version::Upgrade(folder("v2"))
}

fn plan(name: &str, height: u64) -> Plan {
    Plan { name: name.into(), height, info: String::new() }
}

/// An upgrade to what its operator places.
fn upgrade(name: &str, height: u64) -> Upgrade {
    Upgrade { plan: plan(name, height), folder: folder(name), asks: Asks::Nothing { reason: "no binaries".into() } }
}

fn artifact(url: &str) -> Artifact {
    Artifact { os_arch: "any".into(), url: url.into(), checksum: None }
}

/// An upgrade to an artifact.
fn fetchable(name: &str, height: u64) -> Upgrade {
    Upgrade { asks: Asks::Artifact(artifact(name)), ..upgrade(name, height) }
}

/// What was fetched for it.
fn receipt(upgrade: &Upgrade) -> Receipt {
    Receipt { file: file(50), ..Receipt::of(upgrade.plan.clone(), artifact(&upgrade.plan.name)) }
}

/// `upgrade-info.json` names v2.
fn written(origin: Origin) -> Info {
    Info::Plan { upgrade: upgrade("v2", HEIGHT), fingerprint: file(10), origin }
}

/// An endpoint says that these are scheduled.
fn scheduled(upgrade: Upgrade) -> News {
    News::Scheduled { height: 1, upgrade: Some(upgrade), applied: None }
}

/// v2 is due.
fn record() -> Record {
    Record::new(plan("v2", HEIGHT), Version::Genesis)
}

/// Its hooks have run.
fn hooked() -> Record {
    Record { custom_hook_done: true, app_hook_done: true, ..record() }
}

fn passed() -> Record {
    let mut record = record();
    record.settle();
    record
}

const fn present(record: Record) -> RecordFact {
    RecordFact::Present(record)
}
