//! Taking in what happened.

use ::core::time::Duration;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    super::{
        agreement::Belief,
        decision::{Decision, Exit, FetchJob, HomeJob, NodeSignal, RunId},
        event::{
            Action, Event, Heard, Kind, News, NodeAnswer, NodeExit, OWN_NODE, Outcome, ProposalStatus, Signal, Words,
        },
        facts::{Facts, Staged, Version},
        knowledge::Change,
        note::Note,
        plan::{Folder, Plan, Upgrade},
        run::{Ear, Run},
    },
    Core, FAST_RETRY, Hashed, MOST_FAILING, MOST_TOLD, Retry, SLOW_RETRY, WAITS_AT_MOST, asked_about,
    failure::going_back,
    fetch::key_of,
    info, key, pending, version_of,
};

/// How often the new binary is tried again where it could not even be run: what kept it from that may be over in a moment.
const TRIES: u32 = 3;
/// What was told with this before it stays told until a job at home is done.
const UNDONE: &str = "undone ";
/// How a shell tells of a program that cannot be executed.
const NOT_EXECUTED: NodeExit = NodeExit::Code(126);

impl Core {
    pub(super) fn absorb(&mut self, event: &Event, decision: &mut Decision) {
        match &event.kind {
            Kind::Tick => {}
            Kind::Exited { run, exit, words } => self.exited(*run, *exit, words.as_ref(), event.now, decision),
            Kind::JobDone { job, outcome } => {
                if let Some(done) = self.home.end(*job) {
                    self.home_done(done, outcome, event, decision);
                } else if let Some(done) = self.fetch.end(*job) {
                    self.fetch_done(done, outcome, event, decision);
                } else {
                    self.strays += 1;
                }
            }
            Kind::Heard(heard) => self.heard(heard, event, decision),
            Kind::Signal(signal) => self.signalled(*signal, decision),
        }
    }

    pub(super) fn exited(
        &mut self,
        id: RunId,
        exit: NodeExit,
        words: Option<&Words>,
        now: Duration,
        decision: &mut Decision,
    ) {
        match ::core::mem::take(&mut self.run) {
            Run::Alive(mut life) if life.id == id => {
                if let Some(words) = words {
                    life.ear = Ear::Heard(words.clone());
                }
                decision.notes.push(Note::Ended(life.version.clone(), exit));
                self.gone_since = Some(now);
                self.run = Run::Ended { life, exit, at: now };
                if matches!(self.home.job(), Some(HomeJob::Ask | HomeJob::Greet)) {
                    decision.cancel.extend(self.home.cancel());
                }
            }
            other => {
                self.run = other;
                self.strays += 1;
            }
        }
    }

    pub(super) fn home_done(&mut self, job: HomeJob, outcome: &Outcome, event: &Event, decision: &mut Decision) {
        // A link that moved before the job failed has moved all the same: facts tell what is left to do.
        self.switched_here |= matches!(job, HomeJob::Switch { .. });
        let asked = matches!(job, HomeJob::Ask | HomeJob::Greet);
        match outcome {
            Outcome::Failed { reason, .. } if !asked => return self.home_failed(&job, reason, event, decision),
            _ if !asked => {
                (self.acting, self.stands_still) = (Retry::default(), None);
                self.told.retain(|told| !told.starts_with(UNDONE));
            }
            _ => {}
        }
        match (job, outcome) {
            // It was not asked about what is there now.
            (HomeJob::Greet, Outcome::Cancelled) => {}
            // One that fails to answer is silent.
            (HomeJob::Ask | HomeJob::Greet, outcome) => {
                let answer = if let Outcome::Answered(answer) = outcome { *answer } else { NodeAnswer::default() };
                if let Run::Alive(life) = &mut self.run {
                    life.answered(asked_about(&event.facts), answer, event.now);
                }
            }
            (HomeJob::Generation, Outcome::HaltsBefore(before)) => {
                self.generation = Some((version_of(&event.facts), *before));
            }
            (HomeJob::Choose(_), Outcome::Done) => (self.run, self.generation) = (Run::Never, None),
            (HomeJob::Replace(_), Outcome::Done) => {
                (self.generation, self.attempt, self.failing.refused) = (None, None, None);
            }
            (HomeJob::Weigh(_), Outcome::Weighed { file, sha256 }) => {
                self.failing.weighed = Some((*file, sha256.clone()));
            }
            (HomeJob::Stop { run, .. }, Outcome::Done) => {
                if let Run::Alive(life) = &mut self.run
                    && life.id == run
                {
                    life.reaped = true;
                }
            }
            // What was free when it was staged may be taken at the halt.
            (HomeJob::Room { plan, .. }, Outcome::Done) if pending(&event.facts).is_some() => self.roomy = Some(plan),
            (HomeJob::CustomHook(plan), Outcome::Done) => self.hooks_for(&plan).custom = true,
            (HomeJob::BackUp(plan), Outcome::Done) => self.hooks_for(&plan).saved = true,
            (HomeJob::AppHook, Outcome::PreUpgrade(code)) => self.pre_upgrade_ended(*code, event, decision),
            (HomeJob::Start { .. }, Outcome::Started) => {
                self.counted = None;
                // What it does now, no earlier word tells.
                self.failing.stood = None;
                // A stop that was asked for in the middle of the start found no process to signal.
                if self.stops > 0 && self.run.is_alive() {
                    decision.signal = Some(NodeSignal::Forward(Signal::Terminate));
                }
            }
            (HomeJob::Start { run, .. }, Outcome::Cancelled) if self.running() == Some(run) => self.run = Run::Never,
            _ => {}
        }
    }

    pub(super) fn home_failed(&mut self, job: &HomeJob, reason: &str, event: &Event, decision: &mut Decision) {
        match job {
            HomeJob::Generation => self.generation = Some((version_of(&event.facts), None)),
            HomeJob::Room { plan, .. } => {
                let stands = pending(&event.facts).is_some();
                let key = format!("no room {stands} {} {}", self.reminder(), wording(reason));
                self.tell(key, decision, || Note::NoRoom { plan: plan.clone(), reason: reason.to_string() });
                if stands {
                    self.acting.failed(event.now, FAST_RETRY, None);
                    self.stands_still = Some(format!("the backup cannot be made: {reason}"));
                }
            }
            HomeJob::Replace(_) => {
                // What ran before runs again: a replacement that cannot be made is no reason to stand still.
                self.given_up.clone_from(&event.facts.orders.replacement);
                let what = name_of(job).to_string();
                decision.notes.push(Note::GivenUp { what, reason: reason.to_string() });
            }
            HomeJob::Choose(_) => match going_back(&event.facts) {
                Some(plan) => self.stands_still(job, plan, reason, event, decision),
                None => self.fatal = Some(Exit::NodeFailed(reason.to_string())),
            },
            HomeJob::Start { run, .. } if self.fails_by_policy() && self.runs_new(&event.facts) => {
                if self.acting.failures < TRIES {
                    // It is counted, and nothing ran.
                    if self.running() == Some(*run) {
                        self.run = Run::Never;
                    }
                    return self.tries_again(job, reason, event, decision);
                }
                // It cannot be executed: for the new binary that is one way to fail.
                let what = name_of(job).to_string();
                decision.notes.push(Note::GivenUp { what, reason: reason.to_string() });
                self.counted = None;
                // Nothing ran, so that it stands where it stood.
                let stood = self.failing.stood.clone();
                self.exited(*run, NOT_EXECUTED, stood.as_ref(), event.now, decision);
            }
            HomeJob::AppHook if !self.fails_by_policy() || self.acting.failures >= TRIES => {
                self.failing.refused = Some(reason.to_string());
            }
            HomeJob::Start { run, .. } => {
                if self.running() == Some(*run) {
                    self.run = Run::Never;
                }
                self.fatal = Some(Exit::NodeFailed(reason.to_string()));
            }
            HomeJob::Restore(plan) => self.stands_still(job, plan, reason, event, decision),
            HomeJob::BackUp(plan) | HomeJob::CustomHook(plan) if self.fails_by_policy() => {
                self.stands_still(job, plan, reason, event, decision);
            }
            HomeJob::BackUp(_) | HomeJob::CustomHook(_) => {
                self.fatal = Some(Exit::UpgradeFailed(reason.to_string()));
            }
            other => self.tries_again(other, reason, event, decision),
        }
    }

    fn tries_again(&mut self, job: &HomeJob, reason: &str, event: &Event, decision: &mut Decision) {
        self.acting.failed(event.now, FAST_RETRY, None);
        let again = self.acting.not_before.saturating_sub(event.now);
        let what = name_of(job).to_string();
        let told = format!("{UNDONE}{what} {} {}", self.reminder(), numberless(reason));
        self.tell(told, decision, || Note::Failed { what, reason: reason.to_string(), again });
    }

    /// What is told with a job that writes it down is told once, however often that has to be tried.
    pub(super) fn tell_once(&mut self, note: Note, decision: &mut Decision) {
        self.tell(format!("{UNDONE}{note}"), decision, || note);
    }

    /// No node runs before this works: somebody has to look at once, and it is tried again, for it may work in a minute.
    fn stands_still(&mut self, job: &HomeJob, plan: &Plan, reason: &str, event: &Event, decision: &mut Decision) {
        self.acting.failed(event.now, WAITS_AT_MOST, None);
        let what = name_of(job);
        self.stands_still = Some(format!("{what} failed: {reason}"));
        let remedy = match job {
            HomeJob::BackUp(_) => "see to it, or start again with UNSAFE_SKIP_BACKUP=true",
            HomeJob::CustomHook(_) => "mend the script, or start again without COSMOVISOR_CUSTOM_PREUPGRADE",
            _ => "see to it, or have it go on without (`watcher resume`) as long as nothing was brought back",
        };
        let key = format!("stands still {} {what} {}", self.reminder(), numberless(reason));
        let (plan, reason) = (plan.clone(), reason.to_string());
        self.tell(key, decision, || Note::StandsStill { plan, what, reason, remedy });
    }

    pub(super) fn pre_upgrade_ended(&mut self, code: Option<i32>, event: &Event, decision: &mut Decision) {
        let Some((upgrade, ..)) = info(&event.facts) else { return };
        let retries = self.settings.pre_upgrade_retries;
        let hooks = self.hooks_for(&upgrade.plan);
        match code {
            Some(30) => {
                self.failing.refused = Some("pre-upgrade command failed : exit status 30".to_string());
            }
            Some(31) => {
                hooks.app_retries += 1;
                let attempt = hooks.app_retries;
                decision.notes.push(Note::PreUpgradeRetries { attempt });
                if attempt > retries {
                    let reason = format!("pre-upgrade command failed. reached max attempt of retries - {retries}");
                    self.failing.refused = Some(reason);
                }
            }
            Some(0 | 1) => hooks.app = true,
            odd => {
                hooks.app = true;
                decision.notes.push(Note::PreUpgradeOdd(odd));
            }
        }
    }

    pub(super) fn fetch_done(&mut self, job: FetchJob, outcome: &Outcome, event: &Event, decision: &mut Decision) {
        match (job, outcome) {
            (job, Outcome::Failed { reason, retry_after }) => {
                let due = pending(&event.facts).is_some();
                if self.fetching.len() >= MOST_FAILING {
                    self.fetching.clear();
                }
                let retry = self.fetching.entry(key_of(&job)).or_default();
                retry.failed(event.now, if due { FAST_RETRY } else { SLOW_RETRY }, *retry_after);
                let again = retry.not_before.saturating_sub(event.now);
                let what = match job {
                    FetchJob::Fetch { upgrade, .. } => {
                        format!("fetching the binary of upgrade {:?}", upgrade.plan.name)
                    }
                    FetchJob::Verify(folder) => format!("hashing the binary in upgrades/{folder}"),
                    FetchJob::Compare(height) => format!("comparing the state after height {height}"),
                };
                decision.notes.push(Note::Failed { what, reason: reason.clone(), again });
            }
            (FetchJob::Verify(folder), Outcome::Done) => {
                self.fetching.remove(folder.as_str());
                if let Some(Staged::Ours(receipt)) = event.facts.staged.get(&folder) {
                    let near = self.is_near(&folder);
                    self.hashed.insert(folder.clone(), Hashed { file: receipt.file, near });
                    self.tell(format!("ready {folder} {}", key(&receipt.plan)), decision, || {
                        Note::Ready(receipt.plan.clone(), folder.clone())
                    });
                }
            }
            (FetchJob::Compare(_), Outcome::Compared(comparison)) => self.compared = comparison.clone(),
            (job, _) => {
                self.fetching.remove(&key_of(&job));
            }
        }
    }

    pub(super) fn heard(&mut self, heard: &Heard, event: &Event, decision: &mut Decision) {
        match &heard.news {
            News::Block { height, committed: Some(committed), .. } if heard.endpoint == OWN_NODE => {
                self.unheard = false;
                if let Run::Alive(life) = &mut self.run {
                    life.heard(NodeAnswer { latest: Some(*height), committed: Some(*committed) });
                }
            }
            // A node that does not run cannot answer.
            News::Failed { .. } if heard.endpoint == OWN_NODE && !self.run.is_alive() => {}
            News::Failed { reason, silent } => {
                self.unheard |= *silent && heard.endpoint == OWN_NODE;
                let endpoint = heard.endpoint.0;
                self.tell(format!("endpoint {endpoint} {}", wording(reason)), decision, || Note::Endpoint {
                    endpoint,
                    reason: reason.clone(),
                });
            }
            _ => {}
        }
        for change in self.knowledge.absorb(heard) {
            match change {
                Change::Scheduled(upgrade) => {
                    if self.known_since.len() >= MOST_TOLD {
                        self.known_since.clear();
                    }
                    self.known_since.entry(upgrade.plan).or_insert(event.now);
                }
                // While others still say it, or where it was a lie that nobody was told of, nothing is withdrawn.
                Change::Withdrawn(plan) if self.knowledge.scheduled().iter().all(|upgrade| upgrade.plan != plan) => {
                    self.known_since.remove(&plan);
                    let key = key(&plan);
                    let told = self.told.iter().any(|told| told.starts_with("scheduled ") && told.ends_with(&key));
                    self.told.retain(|told| !told.ends_with(&key) || told.starts_with("disputed "));
                    // It is gone once its height has passed, and nobody took it back.
                    let skips = self.skips(plan.height);
                    if told {
                        decision.notes.push(if skips { Note::Dropped(plan) } else { Note::Withdrawn(plan) });
                    }
                }
                Change::Withdrawn(_) => {}
                // A vote that was expedited goes on to a later end as any other.
                Change::Proposal(proposal) => {
                    let told = format!("proposal {} {:?} {:?}", proposal.id, proposal.status, proposal.voting_end);
                    for action in &proposal.actions {
                        // Anybody can propose once more what an upgrade of this home is named after.
                        if let Action::Schedule(plan) = action
                            && proposal.status > ProposalStatus::Deposit
                            && event.facts.marker.is_none()
                        {
                            self.tell_what_runs_too_early(plan, &event.facts, decision);
                        }
                    }
                    self.tell(told, decision, || Note::Proposal(proposal));
                }
                Change::Over(proposal) => {
                    self.tell(format!("over {}", proposal.id), decision, || Note::Over(proposal));
                }
            }
        }
        if matches!(heard.news, News::Scheduled { .. } | News::Proven { .. }) {
            self.tell_of_plans(&event.facts, decision);
        }
    }

    /// Says what is scheduled and how far that can be believed, and where endpoints contradict each other.
    fn tell_of_plans(&mut self, facts: &Facts, decision: &mut Decision) {
        let scheduled: Vec<Upgrade> = self.knowledge.scheduled().into_iter().cloned().collect();
        for upgrade in scheduled {
            self.tell_what_runs_too_early(&upgrade.plan, facts, decision);
            let belief = self.knowledge.belief(&upgrade.plan, self.settings.quorum);
            let waits = (!self.may_stage(&upgrade.plan)).then_some(self.settings.quorum);
            let left = self.knowledge.left(upgrade.plan.height);
            let kind = match belief {
                Belief::Agreed { .. } => "agreed".to_string(),
                Belief::ProvenAsOf(_) => "was proven".to_string(),
                other => other.to_string(),
            };
            self.tell(format!("scheduled {kind} {}", key(&upgrade.plan)), decision, || Note::Scheduled {
                upgrade,
                left,
                belief,
                waits,
            });
        }
        for dispute in self.knowledge.disputes() {
            let told = format!("disputed {:?} {:?} {}", dispute.by, dispute.against, key(&dispute.plan));
            self.tell(told, decision, || Note::Disputed(dispute));
        }
    }

    /// Says that the binary of an upgrade to come runs already, be it by hand or by another height: once the chain has
    /// scheduled it, x/upgrade ends a node that knows it, and nobody may be there to hear why.
    fn tell_what_runs_too_early(&mut self, plan: &Plan, facts: &Facts, decision: &mut Decision) {
        let Version::Upgrade(folder) = version_of(facts) else { return };
        let runs = Folder::of(&plan.name, true).is_ok_and(|its| its.as_str().eq_ignore_ascii_case(folder.as_str()));
        let named = info(facts).is_some_and(|(upgrade, _)| upgrade.plan.is_alike(plan));
        let committed = self.run.life().and_then(|life| life.committed);
        if runs && !named && !facts.record.is_past(plan) && committed.is_none_or(|committed| committed < plan.height) {
            let plan = plan.clone();
            self.tell(format!("runs already {}", key(&plan)), decision, || Note::RunsAlready { plan, folder });
        }
    }

    pub(super) fn signalled(&mut self, signal: Signal, decision: &mut Decision) {
        self.stops += 1;
        // What failed before is nothing to the stop.
        self.acting = Retry::default();
        // It ended at a halt and was waited with: its end is not what comes of this stop.
        if let Run::Ended { life, .. } = &mut self.run {
            life.unwanted = true;
        }
        if self.run.is_alive() {
            decision.signal = Some(if self.stops > 1 { NodeSignal::Kill } else { NodeSignal::Forward(signal) });
        }
        let keep = matches!(self.home.job(), Some(HomeJob::Stop { .. } | HomeJob::StopStray { .. }));
        if self.stops > 1 {
            // Whoever asks again is in a hurry: a job that takes its time hears it once more.
            decision.cancel.extend(self.home.insist());
        } else if !keep {
            decision.cancel.extend(self.home.cancel());
        }
        decision.cancel.extend(self.fetch.cancel());
    }
}

/// What is told without a number: how much room there is changes all the time.
fn numberless(reason: &str) -> String {
    reason.replace(|letter: char| letter.is_ascii_digit(), "")
}

/// What is said, but for long numbers: heights and free bytes are others each time, and the same is told once.
fn wording(reason: &str) -> String {
    const CODE: usize = 3;
    let words = reason.split(|character: char| !character.is_ascii_alphanumeric());
    let is_number = |word: &&str| word.len() > CODE && word.bytes().all(|byte| byte.is_ascii_digit());
    words.filter(|word| !is_number(word)).collect::<Vec<_>>().join(" ")
}

pub(super) const fn name_of(job: &HomeJob) -> &'static str {
    match job {
        HomeJob::Ask => "asking the node for its height",
        HomeJob::Greet => "waiting for the node's first answer",
        HomeJob::Remember(_) => "writing the record",
        HomeJob::Place { .. } => "placing the binary",
        HomeJob::SetAside(_) => "setting the placed binary aside",
        HomeJob::Renew { .. } => "writing the receipt",
        HomeJob::Stop { .. } => "stopping the node",
        HomeJob::StopStray { .. } => "stopping the node of an earlier watcher",
        HomeJob::Room { .. } => "looking for room for the backup",
        HomeJob::BackUp(_) => "backing up the data directory",
        HomeJob::CustomHook(_) => "running the custom pre-upgrade script",
        HomeJob::Switch { .. } => "switching the current link",
        HomeJob::AppHook => "running pre-upgrade",
        HomeJob::Start { .. } => "starting the node",
        HomeJob::Generation => "asking the binary for its version",
        HomeJob::Name { .. } => "writing the next queued upgrade to data/upgrade-info.json",
        HomeJob::Unqueue(_) => "writing the queue of upgrades",
        HomeJob::Missed(_) => "writing down that a height was missed",
        HomeJob::Choose(_) => "pointing the current link at what the data need",
        HomeJob::Replace(_) => "replacing the binary",
        HomeJob::Weigh(_) => "hashing the binary",
        HomeJob::Restore(_) => "bringing the data back",
        HomeJob::Heed(_) => "writing the record as its operator wants it",
    }
}
