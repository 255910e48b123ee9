//! What jobs do to the home, step by step: between two steps anything can happen, and a `watcher` that is killed leaves
//! its job where it was.

use watcher::decide::{
    decision::{FetchJob, HomeJob, JobId, RunId},
    event::{Comparison, NodeAnswer, Outcome, Signal, Signs},
    facts::{DataIdentity, FailureState, Marker, Origin, Receipt, Record, RecordFact, Verdict, Version},
    plan::{Asks, Folder, Plan, Upgrade},
};

use super::{
    chain::{artifact, upgrade},
    disk::{Binary, Content, Home, Place},
    history::{Before, Channel, Host, Moment},
    machine::{Thing, World},
    node::Data,
};

/// A job under way.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: JobId,
    pub work: Work,
    pub step: u8,
    /// It is going to fail.
    pub fails: bool,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "two exist at a time")]
pub enum Work {
    Home(HomeJob),
    Fetch(FetchJob),
}

impl Work {
    pub const fn channel(&self) -> Channel {
        if matches!(self, Self::Home(_)) { Channel::Home } else { Channel::Fetch }
    }

    pub const fn moment(&self) -> Moment {
        match self {
            Self::Home(HomeJob::Ask | HomeJob::Greet) => Moment::Ask,
            Self::Home(HomeJob::Remember(_)) => Moment::Remember,
            Self::Home(HomeJob::Place { .. } | HomeJob::Renew { .. }) => Moment::Place,
            Self::Home(HomeJob::SetAside(_)) => Moment::SetAside,
            Self::Home(HomeJob::Stop { .. } | HomeJob::StopStray { .. }) => Moment::Stop,
            Self::Home(HomeJob::Room { .. }) => Moment::Room,
            Self::Home(HomeJob::BackUp(_)) => Moment::BackUp,
            Self::Home(HomeJob::CustomHook(_)) => Moment::CustomHook,
            Self::Home(HomeJob::Switch { .. }) => Moment::Switch,
            Self::Home(HomeJob::AppHook) => Moment::AppHook,
            Self::Home(HomeJob::Start { .. }) => Moment::Start,
            Self::Home(HomeJob::Weigh(_)) => Moment::Weigh,
            Self::Home(HomeJob::Restore(_)) => Moment::Restore,
            Self::Home(
                HomeJob::Generation
                | HomeJob::Name { .. }
                | HomeJob::Unqueue(_)
                | HomeJob::Missed(_)
                | HomeJob::Choose(_)
                | HomeJob::Replace(_)
                | HomeJob::Heed(_),
            ) => Moment::Order,
            Self::Fetch(FetchJob::Fetch { .. }) => Moment::Fetch,
            Self::Fetch(FetchJob::Verify(_)) => Moment::Verify,
            Self::Fetch(FetchJob::Compare(_)) => Moment::Compare,
        }
    }
}

/// What comes of a step.
enum Next {
    /// Another step, after the usual time.
    Again,
    /// Another step, so many milliseconds later, unless something ends the job before.
    In(u64),
    End(Outcome),
}

impl World {
    pub fn job_step(&mut self, id: JobId) {
        let Some(watcher) = &mut self.watcher else { return };
        let Some(job) = watcher.jobs.iter_mut().find(|job| job.id == id) else { return };
        let (work, step, fails) = (job.work.clone(), job.step, job.fails);
        job.step = job.step.saturating_add(1);
        let late = self.ways.fails_late && !matches!(work, Work::Home(HomeJob::Start { .. }));
        if let (Work::Home(HomeJob::Start { .. }), Some(watcher)) = (&work, &mut self.watcher) {
            watcher.could_start(!fails);
        }
        if fails && !late {
            self.ends(id, failed("the disk is full"));
            return;
        }
        let next = match &work {
            Work::Home(job) => self.home_step(job, step),
            Work::Fetch(job) => self.fetch_step(job),
        };
        self.check_home(&work);
        match next {
            Next::Again => self.step_later(id, self.pace(work.channel())),
            Next::In(after) => self.step_later(id, after),
            Next::End(_) if fails => self.ends(id, failed("it was done, and then the disk was full")),
            Next::End(outcome) => self.ends(id, outcome),
        }
    }

    /// A wish. What cannot be left in the middle goes on.
    pub fn cancel(&mut self, id: JobId) {
        let Some(job) = self.watcher.as_ref().and_then(|watcher| watcher.jobs.iter().find(|job| job.id == id)) else {
            return;
        };
        let ends = match &job.work {
            Work::Fetch(_)
            | Work::Home(
                HomeJob::Ask
                | HomeJob::Greet
                | HomeJob::Room { .. }
                | HomeJob::BackUp(_)
                | HomeJob::CustomHook(_)
                | HomeJob::AppHook,
            ) => true,
            Work::Home(HomeJob::Start { .. }) => job.step == 0,
            Work::Home(_) => false,
        };
        if ends {
            self.ends(id, Outcome::Cancelled);
        }
    }

    /// The direct child of this run ended, or whatever held the lock.
    pub fn end_stops(&mut self, run: Option<RunId>) {
        let waits = |work: &Work| match work {
            Work::Home(HomeJob::Stop { run: of, .. }) => run == Some(*of),
            Work::Home(HomeJob::StopStray { .. }) => run.is_none(),
            _ => false,
        };
        let Some(watcher) = &self.watcher else { return };
        if let Some(job) = watcher.jobs.iter().find(|job| waits(&job.work)) {
            let (id, outcome) = (job.id, if job.fails { failed("late") } else { Outcome::Done });
            self.past.ended = Some(self.now);
            self.ends(id, outcome);
        }
    }

    fn step_later(&mut self, job: JobId, after: u64) {
        let generation = self.generation;
        self.later(after, Thing::Job { generation, job });
    }

    fn home_step(&mut self, job: &HomeJob, step: u8) -> Next {
        match job {
            HomeJob::Greet if self.answer().committed.is_none() && step < u8::MAX => Next::In(100),
            HomeJob::Ask | HomeJob::Greet => Next::End(Outcome::Answered(self.answer())),
            HomeJob::Remember(record) => self.remember(record),
            HomeJob::Place { receipt, upgrade } => self.place(receipt, upgrade),
            HomeJob::SetAside(folder) => self.set_aside(folder),
            HomeJob::Renew { folder, receipt } => {
                self.receipt_becomes(folder, |held| held.plan.clone_from(&receipt.plan));
                Next::End(Outcome::Done)
            }
            HomeJob::Stop { run, grace } => {
                let child = self.process.as_ref().is_some_and(|(_, process)| process.child && process.run == *run);
                self.stop_step(child, step, grace.as_millis())
            }
            HomeJob::StopStray { grace } => {
                // It is found by its lock, so it is the node itself that gets the signal, not a wrapper.
                if let Some((_, process)) = &mut self.process {
                    process.wrapped = false;
                }
                self.stop_step(self.process.is_some(), step, grace.as_millis())
            }
            HomeJob::BackUp(plan) => {
                if self.process.is_some() {
                    self.breaks("the data was copied while a node ran".to_owned());
                }
                let backup = (plan.clone(), step > 0);
                self.disk.change(Place::Backup, move |home| home.backup = Some(backup.clone()));
                if step == 0 {
                    return Next::Again;
                }
                self.disk.sync(&Place::Backup);
                self.past.checkpoint = Some((self.data, self.disk.home.info.clone()));
                Next::End(Outcome::Done)
            }
            HomeJob::Room { .. } => Next::End(Outcome::Done),
            HomeJob::CustomHook(plan) => {
                self.past.custom.insert((plan.name.clone(), plan.height));
                Next::End(Outcome::Done)
            }
            HomeJob::Switch { folder, plan } => self.switch(folder, plan, step),
            HomeJob::AppHook => self.app_hook(),
            HomeJob::Start { run, version, halt, listen } => self.start(*run, version, *halt, *listen, step),
            HomeJob::Weigh(folder) => self.weigh(folder),
            HomeJob::Restore(plan) => self.restore(plan, step),
            HomeJob::Generation => Next::End(Outcome::HaltsBefore(Some(self.setup.stops_before()))),
            order => self.order_step(order),
        }
    }

    fn answer(&self) -> NodeAnswer {
        match &self.process {
            Some((_, process)) if process.answers() && !self.ways.deaf => {
                NodeAnswer { latest: Some(self.data.block), committed: Some(self.data.committed) }
            }
            _ => NodeAnswer::default(),
        }
    }

    fn remember(&mut self, record: &Record) -> Next {
        let passed = record.verdict.has_passed();
        let began =
            record.verdict == Verdict::Pending && self.disk.record().is_none_or(|known| known.plan != record.plan);
        let waits = self.process.as_ref().is_some_and(|(_, process)| process.answers());
        if began && waits && !self.past.deafened && self.data.block < record.plan.height {
            self.breaks(format!("{:?} was taken as due while its node said {}", record.plan, self.data.block));
        }
        let anew = !self.disk.record().is_some_and(|known| known.plan == record.plan && known.verdict.has_passed());
        if passed && anew && self.data.committed < record.plan.height && self.setup.before != Before::Switched {
            self.breaks(format!(
                "{:?} was written down as passed, with {} committed",
                record.plan, self.data.committed
            ));
        }
        let is_back = |record: &Record| {
            record.retried || record.failure.as_ref().is_some_and(|f| f.state == FailureState::RolledBack)
        };
        if is_back(record) && !self.disk.record().is_some_and(is_back) {
            if std::mem::replace(&mut self.past.taken_back, true) {
                self.breaks(format!("{:?} was taken back a second time for one failure", record.plan));
            }
            self.tally.taken_back += 1;
        }
        // The order that was for this upgrade is fulfilled.
        if record.verdict == Verdict::Passed {
            let height = record.plan.height;
            self.disk.order(move |orders| orders.exact = orders.exact.take().filter(|exact| exact.height != height));
        }
        if passed || record.failure.is_some() {
            self.write_record(record);
            self.disk.sync(&Place::Record);
        } else {
            // Its page is written over the old one, and a power cut may tear that.
            self.disk.change(Place::Record, |home| home.record = RecordFact::Unreadable);
            self.write_record(record);
        }
        Next::End(Outcome::Done)
    }

    fn write_record(&mut self, record: &Record) {
        let record = RecordFact::Present(record.clone());
        self.disk.change(Place::Record, move |home| home.record = record.clone());
    }

    fn weigh(&self, folder: &Folder) -> Next {
        Next::End(self.disk.staged(folder).map_or_else(
            || failed("no binary"),
            |file| Outcome::Weighed {
                file: file.fingerprint,
                sha256: file.origin.clone().unwrap_or_else(|| file.fingerprint.inode.to_string()),
            },
        ))
    }

    fn restore(&mut self, plan: &Plan, step: u8) -> Next {
        if self.process.is_some() {
            self.breaks("the data was brought back while a node ran".to_owned());
        }
        // At a height that the operator named, the old binary has committed it, and may have gone on since the backup.
        let before = self.past.switched.get(&(plan.name.clone(), plan.height)).copied().unwrap_or_default();
        if self.data.committed >= plan.height.max(before + 1) && !self.past.by_hand {
            self.breaks(format!("{plan:?} was taken back with {} committed", self.data.committed));
        }
        if self.ways.smudged {
            return Next::End(failed("the signer's state cannot be read"));
        }
        let Some((data, info)) = self.past.checkpoint.clone() else { return Next::End(failed("there is no backup")) };
        if step == 0 {
            return Next::Again;
        }
        // What was signed stays, and so does the folder: its entries change places.
        let state = self.disk.fingerprint().inode;
        let identity = self.data.identity.map(|identity| DataIdentity { state, ..identity });
        self.data = Data { signed: self.data.signed.max(data.signed), identity, ..data };
        self.disk.change(Place::Info, move |home| home.info.clone_from(&info));
        self.disk.sync(&Place::Info);
        if self.disk.record().and_then(|record| record.failure.as_ref()).is_some_and(|failure| failure.restored) {
            self.breaks(format!("{plan:?} was brought back a second time for one failure"));
        }
        self.disk.change(Place::Record, |home| {
            if let RecordFact::Present(Record { failure: Some(failure), .. }) = &mut home.record {
                failure.restored = true;
            }
        });
        self.disk.sync(&Place::Record);
        Next::End(Outcome::Done)
    }

    fn place(&mut self, receipt: &Receipt, upgrade: &Upgrade) -> Next {
        let store = &self.disk.home.store;
        let Some((_, file)) = store.iter().find(|(held, _)| held == receipt).cloned() else {
            return Next::End(failed("it is not in the store"));
        };
        if self.disk.home.staged.contains_key(&upgrade.folder) || self.disk.files[&file].fingerprint != receipt.file {
            return Next::End(failed("there is a binary already, or this one has changed"));
        }
        let receipt = Receipt { plan: upgrade.plan.clone(), ..receipt.clone() };
        self.disk.stage(upgrade.folder.clone(), Binary { file, receipt: Some(receipt) });
        Next::End(Outcome::Done)
    }

    fn set_aside(&mut self, folder: &Folder) -> Next {
        let receipt = self.disk.home.staged.get(folder).and_then(|binary| binary.receipt.clone());
        let Some(receipt) =
            receipt.filter(|receipt| self.disk.staged(folder).is_some_and(|file| file.fingerprint == receipt.file))
        else {
            return Next::End(failed("it is not what was placed there"));
        };
        let next = self.next_plan().map(upgrade);
        let wanted = next.is_some_and(|upgrade| upgrade.folder == *folder && receipt.satisfies(&upgrade));
        if wanted && !self.past.misled && self.chain.decided == 1 {
            self.breaks(format!("set aside what the chain asks for in {folder}, and nobody had said anything else"));
        }
        self.take_away(folder);
        Next::End(Outcome::Done)
    }

    fn take_away(&mut self, folder: &Folder) {
        let (gone, place) = (folder.clone(), Place::Version(folder.clone()));
        self.disk.change(place.clone(), move |home| drop(home.staged.remove(&gone)));
        self.disk.sync(&place);
    }

    /// The receipt beside a placed binary is written anew, durably.
    fn receipt_becomes(&mut self, folder: &Folder, change: impl Fn(&mut Receipt)) {
        let Some(Binary { file, receipt: Some(mut receipt) }) = self.disk.home.staged.get(folder).cloned() else {
            return;
        };
        change(&mut receipt);
        self.disk.stage(folder.clone(), Binary { file, receipt: Some(receipt) });
    }

    fn stop_step(&mut self, alive: bool, step: u8, grace: u128) -> Next {
        match step {
            _ if !alive => return Next::End(Outcome::Done),
            0 => self.signal_child(Some(Signal::Terminate)),
            _ => self.signal_child(None),
        }
        Next::In(u64::try_from(grace).unwrap_or(u64::MAX))
    }

    fn switch(&mut self, folder: &Folder, plan: &Plan, step: u8) -> Next {
        if step == 0 {
            let marker = Marker { name: plan.name.to_lowercase(), height: plan.height };
            let named = folder.clone();
            let mark = move |home: &mut Home| drop(home.markers.insert(named.clone(), marker.clone()));
            self.disk.change(Place::Version(folder.clone()), mark);
            if self.disk.home.info.as_ref().is_some_and(|info| info.origin == Origin::Operator) {
                self.disk.sync(&Place::Version(folder.clone()));
            }
            return Next::Again;
        }
        if self.process.is_some() {
            self.breaks("switched while a node ran".to_owned());
        }
        let exact = self.disk.home.orders.exact.as_ref().filter(|exact| exact.folder == *folder);
        let unheard = self.past.deafened && !self.setup.stops_before();
        if exact.is_some_and(|exact| exact.missed || self.data.committed + 1 != exact.height && !unheard) {
            self.breaks(format!("{exact:?} was swapped in with {} committed", self.data.committed));
        }
        if self.disk.staged(folder).is_some_and(|file| file.rotten_since.is_some_and(|since| since < self.generation)) {
            self.breaks(format!("switched to what the disk had lost in {folder} before this watcher began"));
        }
        self.disk.sync(&Place::Info);
        self.point(&Version::Upgrade(folder.clone()));
        self.past.switched.insert((plan.name.clone(), plan.height), self.data.committed);
        self.past.undone = false;
        if let Some(watcher) = &mut self.watcher {
            (watcher.switched, watcher.starts) = (true, 0);
        }
        self.tally.switches += 1;
        Next::End(Outcome::Done)
    }

    pub fn point(&mut self, version: &Version) {
        self.written = None; // The file was read, whatever was heard.
        let version = version.clone();
        self.disk.change(Place::Root, move |home| home.current = Some(version.clone()));
    }

    fn app_hook(&mut self) -> Next {
        let code = self.ways.pre_upgrade;
        if let (Some(plan), false) = (self.disk.plan(), matches!(code, 30 | 31)) {
            let key = (plan.name.clone(), plan.height);
            self.past.app.insert(key);
        }
        Next::End(Outcome::PreUpgrade(Some(i32::from(code))))
    }

    fn order_step(&mut self, order: &HomeJob) -> Next {
        let committed = self.data.committed;
        match order {
            HomeJob::Name { plan, over } => {
                if self.disk.home.info.as_ref().map(|file| file.fingerprint) != *over {
                    return Next::End(failed("the file is another one"));
                }
                if let Some(there) = self.disk.plan().filter(|there| there.height > committed) {
                    self.breaks(format!("{there:?} is still to come, and {plan:?} was written over it"));
                }
                self.disk.write_info(Content::Plan(plan.clone()), Origin::Operator);
                self.disk.sync(&Place::Info);
            }
            HomeJob::Unqueue(over) => {
                if over.height > committed {
                    self.breaks(format!("{over:?} is still to come, and was taken out of the queue"));
                }
                let over = over.clone();
                self.disk.order(move |orders| orders.queue.retain(|plan| *plan != over));
            }
            HomeJob::Missed(exact) => {
                let exact = exact.clone();
                self.disk.order(move |orders| orders.exact = Some(exact.clone()));
            }
            HomeJob::Choose(version) => {
                self.point(version);
                self.disk.sync(&Place::Root);
            }
            HomeJob::Heed(record) => {
                self.past.taken_back &= !self.past.by_hand;
                self.remember(record);
                self.disk.sync(&Place::Record);
                self.disk.order(|orders| orders.ruling = None);
            }
            HomeJob::Replace(version) => {
                if self.process.as_ref().is_some_and(|_| self.disk.home.current.as_ref() == Some(version)) {
                    self.breaks(format!("the binary of {version} was replaced while it ran"));
                }
                let at = self.disk.home.orders.replacement.as_ref().and_then(|ordered| ordered.at);
                if at.is_some_and(|at| self.data.committed + 1 < at) {
                    self.breaks(format!("the binary of {version} was replaced with {} committed", self.data.committed));
                }
                if let Version::Upgrade(folder) = version {
                    let file = self.disk.create(None);
                    self.disk.stage(folder.clone(), Binary { file, receipt: None });
                }
                self.disk.order(|orders| orders.replacement = None);
            }
            _ => unreachable!("this is no order"),
        }
        Next::End(Outcome::Done)
    }

    fn start(&mut self, run: RunId, version: &Version, halt: Option<u64>, listen: bool, step: u8) -> Next {
        if step > 0 {
            self.disk.sync(&Place::Root);
            return Next::End(Outcome::Started);
        }
        if self.disk.home.current.is_none() {
            self.point(&Version::Genesis);
        }
        if self.disk.home.current.as_ref() != Some(version) || !self.disk.resolves(version) {
            return Next::End(failed("current points elsewhere"));
        }
        self.spawn(run, version, halt, listen);
        // It begins at once, and the node's own first sync comes after it.
        self.disk.sync(&Place::Record);
        Next::Again
    }

    fn fetch_step(&mut self, job: &FetchJob) -> Next {
        match job {
            FetchJob::Fetch { upgrade, .. } => match self.ways.host {
                _ if !self.network => Next::End(failed("no network")),
                Host::Fails | Host::Lies => Next::End(failed("the host fails, or its bytes do not match")),
                Host::Hangs => Next::In(5_000),
                Host::Serves => self.fetch(upgrade),
            },
            FetchJob::Verify(folder) => self.verify(folder),
            FetchJob::Compare(height) => Next::End(Outcome::Compared(self.compare(*height))),
        }
    }

    /// Others are asked only while the node is at the height, and about its vote once there are blocks to look for it in.
    fn compare(&self, height: u64) -> Comparison {
        let NodeAnswer { latest: Some(latest), committed } = self.answer() else { return Comparison::default() };
        let is_there = committed == Some(height);
        let agreed = is_there && self.network && self.ways.voices.iter().any(|voice| self.reads(*voice) > height);
        let theirs = if self.ways.fork { "another state" } else { "the state" };
        Comparison {
            own: is_there.then(|| "the state".to_owned()),
            theirs: agreed.then(|| ("an endpoint".to_owned(), theirs.to_owned())),
            signs: match latest {
                _ if latest <= height => Signs::Unknown,
                _ if !self.setup.validates => Signs::NoValidator,
                _ if self.data.signed >= latest => Signs::Yes,
                _ => Signs::No,
            },
        }
    }

    fn fetch(&mut self, upgrade: &Upgrade) -> Next {
        let artifact = match &upgrade.asks {
            Asks::Artifact(artifact) => artifact.clone(),
            Asks::Document { url } => artifact(url.trim_start_matches("document ")),
            Asks::Nothing { .. } | Asks::Unusable { .. } => return Next::End(failed("nothing to fetch")),
        };
        let number = self.disk.create(Some(artifact.url.clone()));
        let receipt = Receipt {
            plan: upgrade.plan.clone(),
            download_sha256: artifact.url.clone(),
            sha256: artifact.url.clone(),
            artifact,
            file: self.disk.files[&number].fingerprint,
            verified_at: String::new(),
            endpoint: String::new(),
            applied: false,
        };
        self.disk.change(Place::Store, move |home| {
            home.store.retain(|(held, _)| held.sha256 != receipt.sha256);
            home.store.push((receipt.clone(), number));
        });
        self.disk.sync(&Place::Store);
        Next::End(Outcome::Done)
    }

    fn verify(&mut self, folder: &Folder) -> Next {
        let Some(binary) = self.disk.home.staged.get(folder).cloned() else { return Next::End(failed("no binary")) };
        let file = self.disk.files[&binary.file].clone();
        let Some(receipt) = binary.receipt else { return Next::End(Outcome::Done) };
        if file.sound && file.origin.as_ref() == Some(&receipt.sha256) {
            self.receipt_becomes(folder, |receipt| receipt.file = file.fingerprint);
        } else if receipt.file == file.fingerprint {
            self.take_away(folder);
            self.disk.change(Place::Store, move |home| home.store.retain(|(_, file)| *file != binary.file));
            self.disk.sync(&Place::Store);
        } else {
            self.disk.stage(folder.clone(), Binary { receipt: None, ..binary });
        }
        Next::End(Outcome::Done)
    }

    /// Whatever a job did, `current` leads to a binary.
    fn check_home(&mut self, work: &Work) {
        if self.disk.home.current.as_ref().is_some_and(|current| !self.disk.resolves(current)) {
            self.breaks(format!("current leads nowhere after {work:?}"));
        }
    }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after: None }
}
