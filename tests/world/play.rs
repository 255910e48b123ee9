//! Plays a history to its end: its acts, then a world without faults in which the upgrade has to get done.

use watcher::decide::{
    event::NodeExit,
    facts::{DataIdentity, Origin, Version},
    orders::{Hold, Orders, Replacement, Ruling},
    plan::{Asks, Plan},
};

use super::{
    chain::{folder, upgrade},
    disk::{Binary, Content},
    history::{Act, Before, Harm, History, Setup, Wanted},
    machine::{Tally, Watcher, Ways, World},
};

/// The most that happens while a moment is waited for.
const PATIENCE: u32 = 600;
/// Within which the world without faults has to be past the upgrade: things that happen, milliseconds, starts.
const BOUND: u32 = 30_000;
const WITHIN: u64 = 4 * 3_600_000;
const STARTS: u32 = 40;

/// What the history amounted to, or the promise that was broken.
pub fn play(history: &History) -> Result<Tally, String> {
    let mut world = World::begin(history.setup);
    world.live(&history.acts)?;
    world.finish()?;
    Ok(world.tally)
}

impl World {
    /// A home on which `watcher` has just been started.
    pub fn begin(setup: Setup) -> Self {
        let mut world = Self::new(setup);
        if setup.first > 0 {
            let plan = world.chain.next_plan(setup.first, setup.asks);
            world.chain.schedule(Some(plan));
        }
        if setup.before != Before::Fresh {
            world.was_halted(setup.before == Before::Switched);
        }
        world.start_watcher();
        world
    }

    pub fn live(&mut self, acts: &[Act]) -> Result<(), String> {
        for act in acts {
            self.perform(*act);
            self.verdict()?;
        }
        Ok(())
    }
    fn verdict(&self) -> Result<(), String> {
        self.broken.as_ref().map_or(Ok(()), |broken| Err(format!("{broken} (after {} ms)", self.now)))
    }

    fn perform(&mut self, act: Act) {
        self.tally.faults += u64::from(!matches!(act, Act::Steps(_) | Act::Blocks(_) | Act::Until(_) | Act::Start));
        self.covers(act);
        match act {
            Act::Steps(steps) => (0..steps).for_each(|_| self.step()),
            Act::Blocks(blocks) => {
                let height = self.chain.height + u64::from(blocks);
                self.step_until(|world| world.chain.height >= height);
            }
            Act::Until(moment) => {
                self.step_until(|world| world.just_happened(moment));
            }
            Act::Schedule(ahead, wanted) => {
                let plan = self.chain.next_plan(ahead, wanted);
                self.chain.schedule(Some(plan));
            }
            Act::Reschedule(ahead) => {
                if let Some(plan) = self.chain.scheduled().cloned() {
                    let height = self.chain.height + 2 + u64::from(ahead);
                    self.chain.schedule(Some(Plan { height, ..plan }));
                }
            }
            Act::Cancel => self.chain.schedule(None),
            Act::Stall(stall) => self.ways.stall = stall,
            Act::Voice(who, voice) => self.ways.voices[usize::from(who != 1)] = voice,
            Act::Host(host) => self.ways.host = host,
            Act::Pace(channel, class) => {
                self.ways.pace.insert(channel as u8, class);
            }
            Act::HaltExits(exits) => self.ways.halt_exits = exits,
            Act::FileFirst(first) => self.ways.file_first = first,
            Act::Stubborn(stubborn) => self.ways.stubborn = stubborn,
            Act::Wrapper(wrapper) => self.ways.wrapper = wrapper,
            Act::Deaf(deaf) => {
                self.ways.deaf = deaf;
                self.past.deafened |= deaf;
            }
            Act::Faulty(code) => self.ways.faulty = code,
            Act::Late(late) => self.ways.late = late,
            Act::Trouble(trouble) => self.ways.trouble = trouble,
            Act::Mute(mute) => self.ways.mute = mute,
            Act::Smudged(smudged) => self.ways.smudged = smudged,
            Act::Fork(fork) => self.ways.fork = fork,
            Act::Mend => self.operator_mends(),
            Act::Resume => self.operator_rules(Ruling::Resume),
            Act::Rollback => self.operator_rules(Ruling::Rollback),
            // Nobody can tell it from its halt.
            Act::NodeDies(0) if self.is_silent_before_its_halt() => {}
            Act::NodeDies(137) => self.node_dies(NodeExit::Signal(9)),
            Act::NodeDies(code) => self.node_dies(NodeExit::Code(i32::from(code))),
            Act::Fails { jobs, late } => (self.ways.fails, self.ways.fails_late) = (jobs, late),
            Act::PreUpgrade(code) => self.ways.pre_upgrade = code,
            Act::Signal => self.asks_to_stop(),
            Act::Kill => self.watcher_ends(),
            Act::PowerCut(survives) => self.power_cut(survives),
            Act::Start => self.start_watcher(),
            Act::Place => self.operator_places(),
            Act::Name(ahead, how) => self.operator_names(ahead, how),
            Act::Hold(on) => {
                let hold = on.then(|| Hold { folder: None, reason: String::new() });
                self.disk.order(move |orders| orders.holds = hold.iter().cloned().collect());
            }
            // Another order while one is carried out would take its place unseen.
            Act::Replace(_) if self.disk.home.orders.replacement.is_some() => {}
            Act::Replace(ahead) => {
                let version = self.disk.home.current.clone().unwrap_or(Version::Genesis);
                let at = (ahead > 0).then(|| self.data.committed + u64::from(ahead));
                let replacement = Replacement { version, at };
                self.disk.order(move |orders| orders.replacement = Some(replacement.clone()));
            }
            Act::Snapshot(after, carries) => self.snapshot(after, carries),
            Act::SetBack(blocks) => self.set_back(blocks),
            Act::Harm(harm) => self.harm(harm),
        }
    }

    /// Whether it came to that before patience ran out.
    pub fn step_until(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..PATIENCE {
            self.step();
            if self.broken.is_some() || done(self) {
                return true;
            }
        }
        false
    }

    fn operator_places(&mut self) {
        let Some(folder) = self.next_plan().map(|plan| folder(&plan.name)).filter(|folder| !self.is_current(folder))
        else {
            return;
        };
        let file = self.disk.create(None);
        let receipt = self.disk.home.staged.get(&folder).and_then(|binary| binary.receipt.clone());
        self.disk.stage(folder, Binary { file, receipt });
    }

    fn operator_mends(&mut self) {
        let failure = self.disk.record().and_then(|record| record.failure.as_ref());
        let Some(folder) = failure.map(|failure| failure.folder.clone()) else { return };
        self.ways.faulty = None;
        let file = self.disk.create(None);
        let receipt = self.disk.home.staged.get(&folder).and_then(|binary| binary.receipt.clone());
        self.disk.stage(folder, Binary { file, receipt });
    }

    /// The commands refuse where it would mean nothing.
    pub fn operator_rules(&mut self, ruling: Ruling) {
        let failed = self.disk.record().is_some_and(|record| record.failure.is_some());
        if failed || ruling == Ruling::Rollback && self.disk.record().is_some_and(|record| record.plan.height > 0) {
            self.disk.order(move |orders| orders.ruling = Some(ruling));
        }
    }

    /// The node went up to the first plan's height before `watcher` was there.
    fn was_halted(&mut self, switched: bool) {
        let Some(plan) = self.chain.scheduled().cloned() else { return };
        while self.chain.height < plan.height {
            self.chain.grow();
        }
        (self.data.block, self.data.committed) = (plan.height, plan.height - 1);
        self.makes_databases();
        self.disk.write_info(Content::Plan(plan.clone()), Origin::Node);
        if switched {
            let file = self.disk.create(None);
            self.disk.stage(folder(&plan.name), Binary { file, receipt: None });
            self.point(&Version::Upgrade(folder(&plan.name)));
        }
        self.disk.write_back();
    }

    pub fn makes_databases(&mut self) {
        let [folder, state] = [(); 2].map(|()| self.disk.fingerprint().inode);
        self.data.identity.get_or_insert(DataIdentity { filesystem: 1, folder, state, born: 0 });
    }

    /// Whether a node below SDK v0.50 is a few blocks below the height that it is to stop at, and its log tells of no block.
    fn is_silent_before_its_halt(&self) -> bool {
        const FEW: u64 = 4;
        let Some((_, process)) = &self.process else { return false };
        let near = process.halt.is_some_and(|halt| self.data.committed + FEW >= halt);
        near && !self.setup.stops_before() && (self.ways.mute || process.began == self.data.committed)
    }

    fn harm(&mut self, harm: Harm) {
        let Some(folder) = self.next_plan().map(|plan| folder(&plan.name)).filter(|folder| !self.is_current(folder))
        else {
            return;
        };
        let Some(Binary { file, receipt: Some(receipt) }) = self.disk.home.staged.get(&folder).cloned() else { return };
        let (fingerprint, generation) = (self.disk.fingerprint(), self.generation);
        let file = self.disk.files.get_mut(&file).expect("what is staged is a file");
        match harm {
            Harm::Rot if file.fingerprint != receipt.file => {} // It may be a build of the operator: nobody can tell.
            Harm::Rot => {
                file.sound = false;
                file.rotten_since.get_or_insert(generation);
            }
            // A copy of what was lost looks like another build.
            Harm::Overwrite | Harm::Touch if harm == Harm::Overwrite || !file.sound => {
                (file.origin, file.sound, file.rotten_since) = (None, true, None);
                file.fingerprint = fingerprint;
            }
            Harm::Overwrite | Harm::Touch => file.fingerprint = fingerprint,
        }
    }
}

/// The end.
impl World {
    /// The faults are over, and whoever is needed does their part: now the upgrade has to get done.
    pub fn finish(&mut self) -> Result<(), String> {
        self.ways = Ways::default();
        self.disk.order(|orders| *orders = Orders::default());
        if self.next_plan().is_none() && self.tally.passed == 0 {
            let plan = self.chain.next_plan(6, Wanted::A);
            self.chain.schedule(Some(plan));
        }
        self.network = !(self.setup.network_dies && self.needs_no_network());
        if self.watcher.as_ref().is_some_and(Watcher::is_stopping) {
            self.asks_to_stop(); // Whoever asked loses patience.
        }
        let (deadline, mut starts) = (self.now + WITHIN, 0);
        for _ in 0..BOUND {
            if self.is_done() {
                return Ok(());
            }
            if self.watcher.is_none() {
                starts += 1;
                if starts > STARTS {
                    return Err(format!("watcher ended {STARTS} times: {}", self.state()));
                }
                if self.past.restored && starts % 3 == 0 && self.process.is_none() {
                    self.operator_links();
                }
                self.start_watcher();
            }
            if let Some(record) = self.disk.record().filter(|record| record.failure.is_some()) {
                // The data were set back, and the record that told what ran before is lost.
                if self.past.set_back.is_some() && record.from == Version::Upgrade(folder(&record.plan.name)) {
                    self.operator_links();
                }
                self.operator_rules(Ruling::Resume);
            }
            if self.nobody_else_will_place() {
                self.operator_places();
            }
            self.operator_places_what_is_asked_for();
            self.step();
            self.verdict()?;
            if self.now > deadline {
                break;
            }
        }
        Err(format!("the upgrade does not get done: {}", self.state()))
    }

    fn is_done(&self) -> bool {
        let Some(last) = self.chain.applied.last() else { return false };
        // A height that an operator named may have come in between.
        let named = |plan: &Plan| plan.name.starts_with("patch");
        let recorded = self
            .disk
            .record()
            .is_some_and(|record| named(&record.plan) || record.is_of(last) && record.verdict.has_passed());
        let done = recorded || self.past.restored || self.disk.plan().is_some_and(named);
        self.next_plan().is_none() && self.data.committed >= last.height && done
    }

    /// The binary of the one upgrade that is left is in its place.
    fn needs_no_network(&self) -> bool {
        let Some(plan) = self.next_plan() else { return false };
        let left = self.chain.applied.iter().filter(|plan| plan.height > self.data.committed).count()
            + usize::from(self.chain.scheduled().is_some());
        let upgrade = upgrade(plan);
        let Some(binary) = self.disk.home.staged.get(&upgrade.folder) else { return false };
        left == 1
            && self.disk.files[&binary.file].sound
            && binary.receipt.as_ref().is_none_or(|receipt| receipt.satisfies(&upgrade))
    }

    fn nobody_else_will_place(&self) -> bool {
        let Some(upgrade) = self.next_plan().map(upgrade) else { return false };
        let fetchable = matches!(upgrade.asks, Asks::Artifact(_) | Asks::Document { .. });
        let missing = !self.disk.home.staged.contains_key(&upgrade.folder);
        missing && !(self.setup.downloads && fetchable)
    }

    fn state(&self) -> String {
        format!(
            "at {} ms {:?} chain {} of {:?} applied {:?}, process {:?}, home {:?}, core {}",
            self.now,
            self.data,
            self.chain.height,
            self.chain.scheduled(),
            self.chain.applied,
            self.process,
            self.disk.home,
            self.watcher.as_ref().map_or("none".to_owned(), |watcher| {
                let core = format!("{:?}", watcher.core);
                let knows = core.split_once("knowledge").map_or(core.len(), |(head, _)| head.len());
                core[..knows].to_owned()
            }),
        )
    }
}
