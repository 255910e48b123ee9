//! The world itself: a clock that jumps from one thing to the next, and a `watcher` that drives the core as the shell
//! does. Whoever breaks a promise is written down in `broken`, judged by what is true here, never by what the core thinks.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

use watcher::decide::{
    Core,
    decision::{Decision, HomeJob, JobId, NodeSignal},
    event::{Event, Kind, NodeExit, Outcome, Signal, Trouble},
    facts::{NodeLock, Version},
    note::Note,
    orders::Ruling,
    plan::{Folder, Plan},
    settings::Settings,
};

use super::{
    chain::Chain,
    coverage::Coverage,
    disk::{Disk, InfoFile},
    endpoints::Follower,
    history::{Channel, Host, Moment, Setup, Voice},
    jobs::{Job, Work},
    node::{Data, Process},
};

/// Milliseconds between blocks of the network.
const BLOCK: u64 = 5_000;
/// Milliseconds after which the kernel has written everything back.
const WRITE_BACK: u64 = 30_000;
const POLL: Duration = Duration::from_secs(2);
/// Milliseconds within which a stop request has led to the end, nodes that ignore SIGTERM aside.
const STOPS_WITHIN: u64 = 1_000_000;

/// Everything that is true.
#[derive(Debug)]
pub struct World {
    pub setup: Setup,
    pub now: u64,
    queue: BTreeMap<(u64, u64), Thing>,
    order: u64,
    pub chain: Chain,
    pub disk: Disk,
    pub data: Data,
    pub process: Option<(u64, Process)>,
    pub ways: Ways,
    pub network: bool,
    pub watcher: Option<Watcher>,
    /// Which `watcher` this is, counted from the first.
    pub generation: u64,
    pub past: Past,
    pub tally: Tally,
    /// What has happened so far that is worth telling, and where the last thing began in it.
    pub moments: Vec<Moment>,
    latest: usize,
    /// What people were told.
    pub told: Vec<Note>,
    /// How this `watcher` follows each endpoint.
    pub followers: [Follower; 3],
    /// When upgrade-info.json was written last, unless a tick came since.
    pub written: Option<u64>,
    pub broken: Option<String>,
}

/// How everything behaves from now on.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Debug, Clone)]
pub struct Ways {
    pub pace: BTreeMap<u8, u8>,
    pub voices: [Voice; 2],
    pub host: Host,
    pub stall: bool,
    pub halt_exits: bool,
    pub file_first: bool,
    pub stubborn: bool,
    pub wrapper: bool,
    pub deaf: bool,
    pub faulty: Option<u8>,
    pub fails: u8,
    pub fails_late: bool,
    pub pre_upgrade: u8,
    pub late: bool,
    pub trouble: Option<Trouble>,
    pub mute: bool,
    pub smudged: bool,
    pub fork: bool,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            pace: BTreeMap::new(),
            voices: [Voice::Lags(0); 2],
            host: Host::Serves,
            stall: false,
            halt_exits: false,
            file_first: false,
            stubborn: false,
            wrapper: false,
            deaf: false,
            faulty: None,
            fails: 0,
            fails_late: false,
            pre_upgrade: 0,
            late: false,
            trouble: None,
            mute: false,
            smudged: false,
            fork: false,
        }
    }
}

/// What has really happened.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Default)]
pub struct Past {
    /// Plans for which `current` was moved, and what was committed then.
    pub switched: BTreeMap<(String, u64), u64>,
    /// Custom scripts and `pre-upgrade` commands that ran to success, by plan.
    pub custom: BTreeSet<(String, u64)>,
    pub app: BTreeSet<(String, u64)>,
    /// Heights that the operator named by hand.
    pub named: BTreeMap<Folder, u64>,
    /// Folders of what the operator queued or named exactly.
    pub ordered: BTreeSet<String>,
    /// The node's RPC was out of reach for a while.
    pub deafened: bool,
    /// An endpoint lied, or told of a chain of some blocks ago.
    pub misled: bool,
    /// The data came back from a snapshot.
    pub restored: bool,
    /// The data were set back to below this height, at which they had halted.
    pub set_back: Option<u64>,
    /// When the last node of this `watcher` ended.
    pub ended: Option<u64>,
    /// A power cut undid a switch.
    pub undone: bool,
    /// The data and the file as they were when the last backup was complete.
    pub checkpoint: Option<(Data, Option<InfoFile>)>,
    /// An upgrade was taken back, and nothing of a new binary ran since.
    pub taken_back: bool,
    /// The operator wants that it is.
    pub by_hand: bool,
}

/// What one history or more amounted to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub histories: u64,
    pub faults: u64,
    pub decisions: u64,
    pub switches: u64,
    pub passed: u64,
    pub taken_back: u64,
    pub coverage: Coverage,
}

impl Tally {
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.histories += other.histories;
        self.faults += other.faults;
        self.decisions += other.decisions;
        self.switches += other.switches;
        self.passed += other.passed;
        self.taken_back += other.taken_back;
        self.coverage.add(&other.coverage);
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { histories, faults, decisions, switches, passed, taken_back, coverage } = self;
        writeln!(
            f,
            "histories {histories}, faults injected {faults}, violations 0 \
             ({decisions} decisions, {switches} switches, {passed} upgrades passed, {taken_back} taken back)\n{coverage}"
        )
    }
}

/// A run of `watcher`.
#[derive(Debug)]
pub struct Watcher {
    pub core: Core,
    started: u64,
    pub jobs: Vec<Job>,
    /// Only the last wake-up counts.
    wakes: u64,
    /// Decisions without time passing.
    spins: u32,
    /// It moved `current`, and started the new binary so often before the height was passed.
    pub switched: bool,
    pub starts: u32,
    /// How many starts in a row could not be made.
    unmade: u32,
    /// When jobs began.
    begun: VecDeque<u64>,
    asked_to_stop: Option<u64>,
    node_ignored_it: bool,
}

/// Something that will happen by itself.
#[derive(Debug)]
pub enum Thing {
    Block,
    WriteBack,
    /// A step of this process, unless it has gone on since.
    Node {
        process: u64,
        serial: u64,
    },
    Dies {
        process: u64,
        exit: NodeExit,
    },
    Job {
        generation: u64,
        job: JobId,
    },
    Hears {
        generation: u64,
        kind: Box<Kind>,
    },
    Wakes {
        generation: u64,
        number: u64,
    },
}

impl Watcher {
    /// One that cannot be made is tried three times more before it counts.
    pub fn could_start(&mut self, made: bool) {
        self.unmade = if made { 0 } else { self.unmade + 1 };
        if !made && !self.unmade.is_multiple_of(4) {
            self.starts = self.starts.saturating_sub(1);
        }
    }
}

impl World {
    pub fn new(setup: Setup) -> Self {
        let mut world = Self {
            setup,
            now: 0,
            queue: BTreeMap::new(),
            order: 0,
            chain: Chain::new(),
            disk: Disk::default(),
            data: Data { committed: 10, block: 10, signed: if setup.validates { 10 } else { 0 }, identity: None },
            process: None,
            ways: Ways::default(),
            network: true,
            watcher: None,
            generation: 0,
            past: Past::default(),
            tally: Tally { histories: 1, ..Tally::default() },
            moments: Vec::new(),
            latest: 0,
            told: Vec::new(),
            followers: <[Follower; 3]>::default(),
            written: None,
            broken: None,
        };
        world.later(BLOCK, Thing::Block);
        world.later(WRITE_BACK, Thing::WriteBack);
        world
    }

    pub fn later(&mut self, after: u64, thing: Thing) {
        self.order += 1;
        self.queue.insert((self.now + after, self.order), thing);
    }

    /// How long something takes now.
    pub fn pace(&self, channel: Channel) -> u64 {
        const CLASSES: [u64; 6] = [1, 5, 50, 500, 5_000, 90_000];
        let usual = match channel {
            Channel::File | Channel::Exit | Channel::Done | Channel::Halt => 0,
            Channel::Home => 1,
            Channel::Sync | Channel::Stop | Channel::Answer => 2,
            Channel::Fetch | Channel::Boot => 3,
        };
        CLASSES[usize::from(*self.ways.pace.get(&(channel as u8)).unwrap_or(&usual))]
    }

    pub fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    /// The next thing happens.
    pub fn step(&mut self) {
        self.latest = self.moments.len();
        let Some(((at, _), thing)) = self.queue.pop_first() else { return };
        if let Some(watcher) = self.watcher.as_mut().filter(|_| at > self.now) {
            watcher.spins = 0;
        }
        self.now = at;
        match thing {
            Thing::Block => {
                if !(self.ways.stall && self.chain.applied.last().is_some_and(|plan| plan.height == self.chain.height))
                {
                    self.chain.grow();
                }
                self.later(BLOCK, Thing::Block);
                if self.data.committed + 1 >= self.chain.height {
                    self.nudge_node(10); // One that lags goes at its own pace.
                }
                self.poll_endpoints();
                self.watch_stop();
            }
            Thing::WriteBack => {
                self.disk.write_back();
                self.later(WRITE_BACK, Thing::WriteBack);
            }
            Thing::Node { process, serial } => self.node_step(process, serial),
            Thing::Dies { process, exit } => {
                if self.process.as_ref().is_some_and(|(id, _)| *id == process) {
                    self.node_dies(exit);
                }
            }
            Thing::Job { generation, job } if generation == self.generation => self.job_step(job),
            Thing::Hears { generation, kind } if generation == self.generation => self.hears(*kind),
            Thing::Wakes { generation, number } => {
                if generation == self.generation && self.watcher.as_ref().is_some_and(|watcher| watcher.wakes == number)
                {
                    self.hears(Kind::Tick);
                }
            }
            Thing::Job { .. } | Thing::Hears { .. } => {}
        }
    }

    /// `watcher` will hear this.
    pub fn tell(&mut self, after: u64, kind: Kind) {
        let (generation, kind) = (self.generation, Box::new(kind));
        self.later(after, Thing::Hears { generation, kind });
    }
}

impl Watcher {
    pub const fn is_stopping(&self) -> bool {
        self.asked_to_stop.is_some()
    }
}

/// The life of `watcher`.
impl World {
    pub fn start_watcher(&mut self) {
        if self.watcher.is_some() {
            return;
        }
        let settings = Settings {
            downloads: self.setup.downloads,
            restart_after_upgrade: self.setup.restart_after_upgrade,
            restart_delay: Duration::from_secs(u64::from(self.setup.restart_delay)),
            poll_interval: POLL,
            pre_upgrade_retries: self.setup.pre_upgrade_retries,
            custom_hook: self.setup.custom_hook,
            on_upgrade_failure: self.setup.on_failure,
            crash_restarts: self.setup.crash_restarts,
            seed: self.generation * 137,
            // From one alone to more than there are.
            quorum: 1 + usize::try_from(self.generation % 4).expect("it is below 4"),
            ..Settings::default()
        };
        self.watcher = Some(Watcher {
            core: Core::new(settings),
            started: self.now,
            jobs: Vec::new(),
            wakes: 0,
            spins: 0,
            switched: false,
            starts: 0,
            unmade: 0,
            begun: VecDeque::new(),
            asked_to_stop: None,
            node_ignored_it: false,
        });
        self.followers = <[Follower; 3]>::default();
        self.past.ended = None;
        self.tell(1, Kind::Tick);
    }

    /// However it ended: its jobs end with it, and its child is told to end.
    pub fn watcher_ends(&mut self) {
        if self.watcher.take().is_none() {
            return;
        }
        self.generation += 1;
        self.signal_child(Some(Signal::Terminate));
        if let Some((_, process)) = &mut self.process {
            process.child = false;
        }
    }

    pub fn power_cut(&mut self, survives: u64) {
        self.watcher = None;
        self.generation += 1;
        self.process = None;
        let (current, info) = (self.disk.home.current.clone(), self.disk.home.info.clone());
        self.disk.power_cut(survives);
        self.written = self.written.filter(|_| self.disk.home.info == info);
        self.past.undone |= self.disk.home.current != current;
    }

    pub fn asks_to_stop(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            watcher.asked_to_stop.get_or_insert(self.now);
            self.hears(Kind::Signal(Signal::Terminate));
        }
    }

    /// Facts are sampled after what happened; the decision is carried out at once.
    fn hears(&mut self, kind: Kind) {
        if self.watcher.is_some() {
            self.covers_what_is_heard(&kind);
        }
        let Some(watcher) = &mut self.watcher else { return };
        let lock = if self.process.is_some() { NodeLock::Held } else { NodeLock::Free };
        let mut facts = self.disk.facts(self.setup.backups, lock, self.data.signed, &watcher.core.interest(&kind));
        facts.data = self.data.identity;
        if self.ways.smudged {
            facts.signed_height = None;
            facts.signer_unknown = Some("smudged".to_owned());
        }
        let wall = 1_700_000_000_000 + self.now;
        let event = Event { now: Duration::from_millis(self.now - watcher.started), wall, facts, kind };
        let decision = watcher.core.decide(&event);
        self.tally.decisions += 1;
        watcher.spins += 1;
        if watcher.spins > 100 {
            self.breaks(format!(
                "a hundred decisions in the same millisecond, the last on {:?}: {decision:?}",
                event.kind
            ));
        }
        self.carry_out(decision);
    }

    fn carry_out(&mut self, decision: Decision) {
        self.told.extend(decision.notes);
        for job in decision.cancel {
            self.cancel(job);
        }
        match decision.signal {
            Some(NodeSignal::Forward(signal)) => self.signal_child(Some(signal)),
            Some(NodeSignal::Kill) => self.signal_child(None),
            None => {}
        }
        if let Some((id, job)) = decision.home {
            self.begins(id, Work::Home(job));
        }
        if let Some((id, job)) = decision.fetch {
            self.begins(id, Work::Fetch(job));
        }
        let (now, generation) = (self.now, self.generation);
        let Some(watcher) = &mut self.watcher else { return };
        if let Some(wake) = decision.wake {
            watcher.wakes += 1;
            let number = watcher.wakes;
            let at = watcher.started + u64::try_from(wake.as_nanos().div_ceil(1_000_000)).expect("no such time");
            self.later(at.saturating_sub(now), Thing::Wakes { generation, number });
        }
        if decision.exit.is_some() {
            if self.process.as_ref().is_some_and(|(_, process)| process.child) {
                self.breaks(format!("left with {:?} while its node runs", decision.exit));
            }
            self.watcher_ends();
        }
    }

    fn begins(&mut self, id: JobId, work: Work) {
        const WINDOW: u64 = 10_000;
        const MOST: usize = 80;
        let now = self.now;
        let Some(watcher) = &mut self.watcher else { return };
        let busy = watcher.jobs.iter().any(|job| matches!(job.work, Work::Home(_)) == matches!(work, Work::Home(_)));
        let stopping = watcher.asked_to_stop.is_some();
        watcher.begun.push_back(now);
        while watcher.begun.front().is_some_and(|at| at + WINDOW < now) {
            watcher.begun.pop_front();
        }
        let rush = watcher.begun.len() > MOST;
        self.moments.push(work.moment());
        if busy {
            self.breaks(format!("{work:?} began while its lane was busy"));
        }
        // A wrapper that ended may have left its node: that is stopped too. Nothing else may begin.
        if stopping && !matches!(work, Work::Home(HomeJob::StopStray { .. })) {
            self.breaks(format!("{work:?} began after a stop was asked for"));
        }
        if rush {
            self.breaks(format!("{MOST} jobs in ten seconds, the last {work:?}"));
        }
        self.judge(&work);
        let fails = matches!(work, Work::Home(_)) && self.ways.fails > 0;
        self.ways.fails -= u8::from(fails);
        self.past.deafened |= fails && matches!(work, Work::Home(HomeJob::Ask));
        let after = self.pace(work.channel());
        if let Some(watcher) = &mut self.watcher {
            watcher.jobs.push(Job { id, work, step: 0, fails });
        }
        let generation = self.generation;
        self.later(after, Thing::Job { generation, job: id });
    }

    /// What is promised about when a job may begin.
    fn judge(&mut self, work: &Work) {
        let delay = u64::from(self.setup.restart_delay) * 1_000;
        let Some(watcher) = &mut self.watcher else { return };
        match work {
            Work::Home(HomeJob::Start { .. }) => {
                let first = watcher.switched && self.data.committed < self.data.block;
                watcher.starts = if first { watcher.starts + 1 } else { 0 };
                if self.process.is_some() {
                    self.breaks("asked for a start while a node runs".to_owned());
                } else if self.disk.record().is_some_and(|record| record.failure.is_some()) {
                    self.breaks("asked for a start while an upgrade that failed stands".to_owned());
                } else if first && watcher.starts > Settings::default().upgrade_restarts + 1 {
                    let (data, plan) = (self.data, self.disk.plan().cloned());
                    self.breaks(format!("a new binary that fails was started too often, with {data:?} and {plan:?}"));
                } else if first && !self.setup.restart_after_upgrade {
                    self.breaks("started after the upgrade, which the operator wanted to do".to_owned());
                }
            }
            // Where it cannot even be run, that is another failure.
            Work::Home(HomeJob::AppHook) => self.past.taken_back = false,
            // Another binary has all its starts before it.
            Work::Home(HomeJob::Replace(_) | HomeJob::Restore(_)) => watcher.starts = 0,
            // Whether the operator takes his word back while it is heeded makes no difference.
            Work::Home(HomeJob::Heed(record)) => {
                watcher.starts = 0;
                self.past.by_hand = self.disk.home.orders.ruling == Some(Ruling::Rollback) && record.failure.is_some();
            }
            Work::Home(HomeJob::Switch { folder, .. }) if self.disk.home.orders.hold(folder).is_some() => {
                self.breaks(format!("{folder} was swapped in against the operator's brake"));
            }
            Work::Home(HomeJob::BackUp(_) | HomeJob::Switch { .. })
                if self.past.ended.is_some_and(|at| self.now < at + delay) =>
            {
                self.breaks(format!("{work:?} began before the restart delay was over"));
            }
            _ => {}
        }
    }

    /// A job is over; `watcher` hears of it in its own time.
    pub fn ends(&mut self, id: JobId, outcome: Outcome) {
        self.covers_an_end(id, &outcome);
        if let Some(watcher) = &mut self.watcher {
            watcher.jobs.retain(|job| job.id != id);
        }
        self.tell(self.pace(Channel::Done), Kind::JobDone { job: id, outcome });
    }

    fn watch_stop(&mut self) {
        let (now, stubborn) = (self.now, self.ways.stubborn);
        let Some(watcher) = &mut self.watcher else { return };
        watcher.node_ignored_it |= stubborn;
        if watcher.asked_to_stop.is_some_and(|at| at + STOPS_WITHIN < now) && !watcher.node_ignored_it {
            self.breaks("a stop was asked for, and watcher does not end".to_owned());
        }
    }
}

/// Small questions about the truth.
impl World {
    pub fn just_happened(&self, moment: Moment) -> bool {
        self.moments[self.latest..].contains(&moment)
    }

    pub fn times(&self, moment: Moment) -> usize {
        self.moments.iter().filter(|happened| **happened == moment).count()
    }

    /// The upgrade that the own node meets next, or is in.
    pub fn next_plan(&self) -> Option<&Plan> {
        let committed = self.data.committed;
        let due = self.chain.applied.iter().find(|plan| plan.height > committed);
        due.or_else(|| self.chain.scheduled())
    }

    pub fn is_current(&self, folder: &Folder) -> bool {
        self.disk.home.current == Some(Version::Upgrade(folder.clone()))
    }
}
