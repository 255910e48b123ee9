//! How a node lives and dies, and the promises that are judged at its birth.

use watcher::decide::{
    decision::RunId,
    event::{Kind, NodeExit, Signal, Words},
    facts::{Backup, Origin, Version},
    orders::Exact,
    plan::Plan,
};

use super::{
    chain::{folder, number, upgrade},
    disk::{Binary, Content, Place},
    history::{Channel, How, Moment},
    machine::{Thing, World},
    node::{Phase, Process},
};

impl World {
    /// A node is born, and what was promised about it is judged.
    pub fn spawn(&mut self, run: RunId, version: &Version, halt: Option<u64>, listened: bool) {
        let name = match version {
            Version::Upgrade(folder) => folder.as_str(),
            _ => "0",
        };
        // What an operator queued or named exactly is built for the version that it follows.
        let ordered = self.past.ordered.contains(name);
        let number = if ordered { self.chain.version_at(self.data.committed) } else { number(name) };
        if let Err(wrong) = self.may_start(version, number) {
            self.breaks(wrong);
        }
        self.past.taken_back = false;
        self.order_up(run, number, halt, listened);
    }

    fn may_start(&self, version: &Version, number: usize) -> Result<(), String> {
        let committed = self.data.committed;
        if self.process.is_some() {
            return Err("two nodes on one home".to_owned());
        }
        // Which version data from elsewhere need is told by the node that is started on them.
        let known = self.disk.record().and_then(|record| record.data);
        let set_back = self.past.set_back.is_some_and(|height| committed + 1 < height);
        if set_back || self.past.restored && known != self.data.identity {
            return Ok(());
        }
        if number > self.chain.version_at(committed + 1) {
            return Err(format!("{version} was started before its plan was due, with {committed} committed"));
        }
        if number < self.chain.version_at(committed) && !self.past.undone {
            return Err(format!("{version} was started although a later version had committed {committed}"));
        }
        let Version::Upgrade(folder) = version else { return Ok(()) };
        // Where the halt height is compared after the commit, the block of that height is not even stored.
        let block = if self.setup.stops_before() { self.data.block } else { committed + 1 };
        if self.past.named.get(folder).is_some_and(|named| block < *named) {
            return Err(format!("{version} was started before the height that its operator named"));
        }
        // What follows is promised for the first starts, until the height is passed.
        let Some(plan) = self.disk.plan().filter(|plan| upgrade(plan).folder == *folder) else { return Ok(()) };
        let key = (plan.name.clone(), plan.height);
        if committed >= plan.height || !self.past.switched.contains_key(&key) {
            return Ok(());
        }
        let binary = &self.disk.home.staged[folder];
        if binary.receipt.as_ref().is_some_and(|receipt| !receipt.satisfies(&upgrade(plan))) {
            return Err(format!("{version} was started, and it is not what {plan:?} asks for"));
        }
        if self.disk.backup(self.setup.backups) == Backup::Missing {
            return Err(format!("{version} was started without a complete backup"));
        }
        if self.setup.custom_hook && !self.past.custom.contains(&key) {
            return Err(format!("{version} was started, and the custom script never ran"));
        }
        if !self.past.app.contains(&key) {
            return Err(format!("{version} was started, and pre-upgrade never ran"));
        }
        Ok(())
    }

    fn order_up(&mut self, run: RunId, number: usize, halt: Option<u64>, listened: bool) {
        let process = Process {
            run,
            number,
            phase: Phase::Boots,
            serial: 0,
            child: true,
            wrapped: self.ways.wrapper,
            ending: false,
            halt,
            listened,
            began: self.data.committed,
            words: None,
        };
        let id = self.generation * 1_000_000 + run.0;
        self.process = Some((id, process));
        self.moments.push(Moment::Spawn);
        self.later(self.pace(Channel::Boot), Thing::Node { process: id, serial: 0 });
    }

    /// A node that runs looks for the next block soon.
    pub fn nudge_node(&mut self, after: u64) {
        if let Some((id, process)) = self.process.as_ref().filter(|(_, process)| process.phase == Phase::Runs) {
            let thing = Thing::Node { process: *id, serial: process.serial };
            self.later(after, thing);
        }
    }

    pub fn node_step(&mut self, id: u64, serial: u64) {
        let Some((_, process)) = self.process.as_ref().filter(|(at, process)| *at == id && process.serial == serial)
        else {
            return;
        };
        match process.phase {
            Phase::Boots => self.boots(process.number),
            Phase::Replays => {
                self.commits();
                match self.ways.faulty {
                    Some(code) if self.ways.late => self.node_dies(NodeExit::Code(i32::from(code))),
                    _ => self.goes(Phase::Runs, 1),
                }
            }
            Phase::Runs => self.runs(process.number),
            Phase::Writes { steps, booting } => self.writes(steps, booting),
            Phase::Halted => {}
        }
    }

    fn boots(&mut self, number: usize) {
        let next = self.data.committed + 1;
        let due = self.chain.due_at(next).is_some();
        let has_handler = number >= self.chain.version_at(next);
        self.makes_databases();
        if let (Some(trouble), Some((_, process))) = (self.ways.trouble, &mut self.process) {
            process.words = Some(Words::Trouble(trouble, "its words".to_owned()));
            if let Some(watcher) = self.watcher.as_mut().filter(|_| process.listened) {
                watcher.starts = watcher.starts.saturating_sub(1);
            }
            self.node_dies(NodeExit::Code(1));
        } else if number < self.chain.version_at(self.data.committed) || number > self.chain.version_at(next) {
            let words = self.words_of_a_misfit(number);
            if let Some((_, process)) = &mut self.process {
                process.words = words;
            }
            self.node_dies(NodeExit::Code(1));
        } else if let (Some(code), true) = (self.ways.faulty, self.is_faulty_at(number, due && has_handler)) {
            self.node_dies(NodeExit::Code(i32::from(code)));
        } else if due && has_handler && !self.past.restored && self.disk.plan() != self.chain.due_at(next) {
            self.node_dies(NodeExit::Code(1)); // It reads there at which height its new stores begin.
        } else if due && self.data.block >= next && has_handler {
            self.goes(Phase::Replays, self.pace(Channel::Boot));
        } else if due && self.data.block >= next {
            self.goes(Phase::Writes { steps: 0, booting: true }, self.pace(Channel::Halt));
        } else {
            // It answers before a peer sends it a block.
            let halts = self.process.as_ref().is_some_and(|(_, process)| process.halt.is_some());
            self.goes(Phase::Runs, if halts { 1_000 } else { 1 });
        }
    }

    /// What a version says that cannot run on these data: that it is too old, or too new.
    fn words_of_a_misfit(&self, number: usize) -> Option<Words> {
        let committed = self.data.committed;
        if number < self.chain.version_at(committed) {
            let applied = self.chain.applied.iter().rfind(|plan| plan.height <= committed)?;
            return Some(Words::Needs(folder(&applied.name)));
        }
        self.chain.scheduled_at(committed).map(|plan| Words::TooNew(folder(&plan.name)))
    }

    /// A new binary fails before its height, or ever after it.
    fn is_faulty_at(&self, number: usize, replays: bool) -> bool {
        if self.ways.late { number > 0 && number == self.chain.version_at(self.data.committed) } else { replays }
    }

    fn runs(&mut self, number: usize) {
        let next = self.data.committed + 1;
        // The header of the next block names another state than its own.
        let forked = self.ways.fork && self.chain.applied.iter().any(|plan| plan.height == self.data.committed);
        if forked {
            return self.nudge_node(5_000);
        }
        if next > self.chain.height {
            return;
        }
        let halt = self.process.as_ref().and_then(|(_, process)| process.halt);
        if self.setup.stops_before() && halt.is_some_and(|halt| next >= halt) {
            self.data.block = next;
            self.goes(Phase::Halted, 0);
            return;
        }
        if number < self.chain.version_at(next) {
            if !self.ways.file_first {
                self.data.block = next;
            }
            self.goes(Phase::Writes { steps: 0, booting: false }, self.pace(Channel::Halt));
            return;
        }
        self.commits();
        if halt.is_some_and(|halt| next >= halt) {
            // It compares after the commit, and interrupts itself; SDK 0.46 makes 0 of that.
            self.node_dies(NodeExit::Code(if self.ways.halt_exits { 0 } else { 130 }));
        } else if next < self.chain.height {
            self.nudge_node(self.pace(Channel::Sync));
        }
    }

    fn commits(&mut self) {
        let data = &mut self.data;
        data.committed += 1;
        data.block = data.committed;
        if data.committed >= self.chain.height && self.setup.validates {
            data.signed = data.committed + 1;
        }
        if self.chain.applied.iter().any(|plan| plan.height == data.committed) {
            self.moments.push(Moment::Passed);
            self.tally.passed += 1;
        }
    }

    fn writes(&mut self, steps: u8, booting: bool) {
        let next = self.data.committed + 1;
        let plan = self.chain.due_at(next).cloned().expect("a node writes because a plan is due");
        match steps {
            0 => self.disk.write_info(Content::Empty, Origin::Node),
            1 => self.disk.write_info(Content::Half, Origin::Node),
            2 => {
                self.disk.write_info(Content::Plan(plan), Origin::Node);
                self.moments.push(Moment::Halt);
            }
            _ => {
                self.data.block = next;
                // Where nobody hears it, an operator's mark would have it end so without end.
                let is_heard =
                    !self.ways.mute || self.disk.home.info.as_ref().is_some_and(|info| info.origin == Origin::Operator);
                if let Some((_, process)) = self.process.as_mut().filter(|_| is_heard) {
                    process.words = Some(Words::Due(next));
                }
                if booting || self.ways.halt_exits {
                    self.node_dies(NodeExit::Code(if booting { 1 } else { 2 }));
                } else {
                    self.goes(Phase::Halted, 0);
                }
                return;
            }
        }
        self.written = Some(self.now);
        self.tell(self.pace(Channel::File), Kind::Tick);
        self.goes(Phase::Writes { steps: steps + 1, booting }, self.pace(Channel::Halt));
    }

    fn goes(&mut self, phase: Phase, after: u64) {
        if let Some((id, process)) = &mut self.process {
            process.phase = phase;
            process.serial += 1;
            let thing = Thing::Node { process: *id, serial: process.serial };
            self.later(after, thing);
        }
    }
}

/// Ends.
impl World {
    /// A signal for the direct child, SIGKILL where none is named; a stray's is the node itself.
    pub fn signal_child(&mut self, signal: Option<Signal>) {
        let (stubborn, after) = (self.ways.stubborn, self.pace(Channel::Stop));
        let Some((id, process)) = &mut self.process else { return };
        if process.wrapped {
            // The wrapper dies of it, and the node does not notice.
            if process.child {
                process.child = false;
                let run = process.run;
                self.child_ended(run, NodeExit::Signal(if signal.is_some() { 15 } else { 9 }), None);
            }
            return;
        }
        if signal.is_none() {
            self.node_dies(NodeExit::Signal(9));
        } else if !stubborn && !process.ending {
            process.ending = true;
            let exit = if process.phase == Phase::Boots { NodeExit::Signal(15) } else { NodeExit::Code(0) };
            let thing = Thing::Dies { process: *id, exit };
            self.later(after, thing);
        }
    }

    pub fn node_dies(&mut self, exit: NodeExit) {
        self.covers_an_exit();
        let Some((_, process)) = self.process.take() else { return };
        self.moments.push(Moment::Exit);
        if process.child {
            let words = process.listened.then(|| self.last_words(&process)).flatten();
            self.child_ended(process.run, exit, words);
        }
        self.end_stops(None);
    }

    fn last_words(&self, process: &Process) -> Option<Words> {
        let at = Words::At { began: process.began, reached: self.data.committed };
        process.words.clone().or((!self.ways.mute).then_some(at))
    }

    fn child_ended(&mut self, run: RunId, exit: NodeExit, words: Option<Words>) {
        self.past.ended = Some(self.now);
        self.tell(self.pace(Channel::Exit), Kind::Exited { run, exit, words });
        self.end_stops(Some(run));
    }

    /// The operator names a future height by hand and puts a build of their own there.
    pub fn operator_names(&mut self, ahead: u8, how: How) {
        // Nobody does that in the middle of an upgrade.
        let under_way = self.disk.plan().is_some_and(|plan| {
            let folder = folder(&plan.name);
            let named = self.past.named.contains_key(&folder);
            let pending = self.disk.record().is_some_and(|record| record.is_of(plan) && !record.verdict.has_passed());
            // A node below SDK v0.50 that stands at the halt has not stored its height, so it is not asked for it; and a power
            // cut may have undone the switch to what has committed its own.
            pending
                || if named {
                    plan.height <= self.data.block && !self.is_current(&folder)
                } else {
                    plan.height > self.data.committed
                }
        });
        let version = self.chain.version_at(self.data.committed);
        let height = self.data.block + u64::from(ahead) + if how == How::Exact { 100 } else { 0 };
        // On data from elsewhere an upgrade of the network may lie before it, for which it is not built.
        if under_way || self.past.restored && self.chain.version_at(height.min(self.chain.height)) != version {
            return;
        }
        let name = format!("patch{version}");
        let file = self.disk.create(None);
        if !self.is_current(&folder(&name)) {
            // An earlier word may come back with a power cut.
            let named = self.past.named.entry(folder(&name)).or_insert(height);
            *named = height.min(*named);
        }
        self.disk.stage(folder(&name), Binary { file, receipt: None });
        let plan = Plan { name, height, info: String::new() };
        let folder = folder(&plan.name);
        if how != How::File {
            self.past.ordered.insert(folder.to_string());
        }
        if how == How::Queue {
            return self.disk.order(move |orders| {
                orders.queue.push(plan.clone());
                orders.queue.sort_by_key(|plan| plan.height);
            });
        }
        let exact = Exact { name: plan.name.clone(), folder, height, missed: false };
        self.disk.order(move |orders| orders.exact = (how == How::Exact).then(|| exact.clone()));
        self.disk.write_info(Content::Plan(plan), Origin::Operator);
        self.disk.sync(&Place::Info);
        self.tell(self.pace(Channel::File), Kind::Tick);
    }
}
