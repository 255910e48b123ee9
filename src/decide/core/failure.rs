//! A new binary that ends before its height is committed: what it ended of, and what becomes of the upgrade.

use ::core::time::Duration;
use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
};

use super::{
    super::{
        decision::{Decision, Exit, HomeJob},
        event::{Event, NodeExit, Trouble, Words},
        facts::{
            Backup, Current, Facts, Failure, FailureState, NodeLock, Record, RecordFact, Staged, Verdict, Version,
        },
        note::Note,
        orders::Ruling,
        plan::{Folder, Plan, Upgrade},
        run::{Ear, Run},
        schedule,
        settings::OnFailure,
    },
    Core, Failing, SLOW_RETRY, WAITS_AT_MOST, info, key, nothing_on,
    restored::{MOST_CHOSEN, are_strange, signed_on_these},
    version_of, wake_by,
};

/// How long a binary that took the failed one's place has to lie unchanged before it is used.
const SETTLES: Duration = Duration::from_secs(5);

impl Core {
    /// Whether the new binary is listened to: not at its first start, which may last for months.
    pub(super) fn listens_to_new(&self, record: &Record, facts: &Facts) -> bool {
        let last = self.starts_allowed(record) == 1;
        self.fails_by_policy() && (record.starts > 1 || last) || record.starts > 1 && are_strange(facts)
    }

    /// What to do about a new binary that ended before its height was committed, before it is started again; whether that
    /// is something.
    pub(super) fn failed_before_its_height(
        &mut self,
        upgrade: &Upgrade,
        record: &Record,
        event: &Event,
        decision: &mut Decision,
    ) -> bool {
        let (Run::Ended { life, exit, at }, Some(attempt)) = (&self.run, self.attempt) else { return false };
        let (exit, at) = (*exit, *at);
        let words = if let Ear::Heard(words) = &life.ear { Some(words.clone()) } else { None };
        self.failing.stood = words.clone().filter(|words| matches!(words, Words::At { .. }));
        // A height not committed is a failure, whatever the code; the reference ends with it.
        if exit == NodeExit::Code(0) && !self.fails_by_policy() {
            decision.exit = Some(Exit::Fine);
            return true;
        }
        match &words {
            Some(Words::Trouble(trouble @ Trouble::DoubleSign, said)) => {
                decision.exit = Some(Exit::NodeFailed(format!("{exit}: {trouble} ({said})")));
                return true;
            }
            Some(Words::Trouble(trouble, said)) => {
                let pause = self.pause_for_trouble();
                if event.now < at + pause {
                    let (trouble, said) = (*trouble, said.clone());
                    self.tell(format!("waits {at:?}"), decision, || Note::Waits { trouble, said, pause });
                    wake_by(decision, at + pause);
                    return true;
                }
                self.failing.waits = self.failing.waits.saturating_add(1);
                return false;
            }
            // It committed the height in an earlier start, and ends of something else.
            // At a height that the operator named, the old binary did, and only a block on top of its is the new one's.
            Some(Words::At { began, reached })
                if *began >= record.plan.height && (!event.facts.is_named_by_hand() || reached > began) =>
            {
                self.passed(record, decision);
                return true;
            }
            // The data came from elsewhere, and are past another upgrade: what they need is looked for next.
            Some(Words::Needs(folder))
                if are_strange(&event.facts)
                    && *folder != upgrade.folder
                    && record.from != Version::Upgrade(folder.clone()) =>
            {
                // Nothing was seen to pass, so that nothing is told or dropped for it.
                self.settles(record, decision);
                return true;
            }
            _ => self.failing.waits = 0,
        }
        let record = &Record { attempts: record.attempts.max(attempt), ..record.clone() };
        let written = matches!(&event.facts.record, RecordFact::Present(written) if written.attempts >= attempt);
        let is_too_new = matches!(&words, Some(Words::TooNew(folder)) if *folder == upgrade.folder);
        // The data were set back to before its height, and the version before halts at it once more.
        if is_too_new
            && record.from != version_of(&event.facts)
            && self.chosen < MOST_CHOSEN
            && attempt <= self.starts_allowed(record)
        {
            if written {
                self.begin_anew();
                self.makes_way = Some(upgrade.plan.clone());
                self.runs_instead(record.from.clone(), &event.facts, decision);
            } else {
                self.begin(HomeJob::Remember(record.clone()), decision);
            }
            return true;
        }
        if attempt >= self.starts_allowed(record) {
            let (name, height) = (&record.plan.name, record.plan.height);
            let reason = format!(
                "the new binary was started {attempt} times and ended before it was seen to commit height {height}: {exit}"
            );
            let reason = if self.fails_by_policy() { reason } else { format!("upgrade {name:?}: {reason}") };
            let remedy = if is_too_new {
                "; the data are from before it: link cosmovisor/current to the version before it and let it go on from there"
            } else {
                ""
            };
            let reason = format!("{reason}{remedy}");
            self.fails(upgrade, record, reason, words.as_ref(), event, decision);
            if !written && decision.exit.is_none() && self.home.is_idle() {
                self.begin(HomeJob::Remember(record.clone()), decision);
            }
            return true;
        }
        // Written down at once: a `watcher` that is restarted gives it no more attempts for that.
        if !written {
            self.begin(HomeJob::Remember(record.clone()), decision);
            return true;
        }
        let pause = schedule::back_off(attempt, SLOW_RETRY);
        if event.now < at + pause {
            let plan = record.plan.clone();
            self.tell(format!("again {at:?}"), decision, || Note::StartsAgain { plan, attempt, pause });
            wake_by(decision, at + pause);
            return true;
        }
        false
    }

    /// The height is committed.
    pub(super) fn passed(&mut self, record: &Record, decision: &mut Decision) {
        let (plan, verdict) = (record.plan.clone(), Verdict::Skipped);
        let skips = self.skips(plan.height);
        self.tell_once(if skips { Note::Proven { plan, verdict } } else { Note::Passed(plan) }, decision);
        self.settles(record, decision);
    }

    fn settles(&mut self, record: &Record, decision: &mut Decision) {
        let mut record = record.clone();
        record.settle();
        if self.skips(record.plan.height) {
            record.verdict = Verdict::Skipped;
        }
        (self.attempt, self.failing.waits) = (None, 0);
        self.begin(HomeJob::Remember(record), decision);
    }

    pub(super) fn pause_for_trouble(&self) -> Duration {
        schedule::back_off(self.failing.waits.saturating_add(1), WAITS_AT_MOST)
    }

    fn starts_allowed(&self, record: &Record) -> u32 {
        if record.retried { 1 } else { self.settings.upgrade_restarts.saturating_add(1) }
    }

    /// Whether a failure is written down, and does not just end the run.
    pub(super) fn fails_by_policy(&self) -> bool {
        self.settings.on_upgrade_failure != OnFailure::Leave
    }

    /// It failed for good.
    pub(super) fn fails(
        &mut self,
        upgrade: &Upgrade,
        record: &Record,
        mut reason: String,
        words: Option<&Words>,
        event: &Event,
        decision: &mut Decision,
    ) {
        let wanted = match self.settings.on_upgrade_failure {
            OnFailure::Leave => {
                decision.exit = Some(Exit::UpgradeFailed(reason));
                return;
            }
            OnFailure::Retry if !record.retried => FailureState::Retrying,
            OnFailure::Hold | OnFailure::Retry => FailureState::Held,
            OnFailure::Rollback => FailureState::RollingBack,
        };
        let state = match self.may_go_back(record, words, &event.facts) {
            Err(_) if wanted != FailureState::Held && self.looks_again(event, decision) => return,
            Err(why) if wanted != FailureState::Held => {
                reason = format!("{reason}; it is not taken back, because {why}");
                FailureState::Held
            }
            _ => wanted,
        };
        if let Some(failure) = self.failure(state, &upgrade.folder, reason, decision) {
            self.begin(HomeJob::Remember(Record { failure: Some(failure), ..record.clone() }), decision);
        }
    }

    /// Whether an upgrade may be taken back without asking: only where its height is known not to be committed. That is told
    /// by the node's own words: each start says at which height its application stands, so the last one speaks for those before
    /// it, and of itself it has said nothing of a block. What is not known counts as committed.
    fn may_go_back(&self, record: &Record, words: Option<&Words>, facts: &Facts) -> Result<(), String> {
        let height = record.plan.height;
        has_a_way_back(record, facts)?;
        // Beyond a height that means nothing to the chain the old binary has signed.
        let by_old = record.starts == 0 && facts.is_named_by_hand();
        match words {
            _ if !by_old && facts.signed_height.is_some_and(|signed| signed > height) => {
                Err(format!("the validator has signed beyond height {height}"))
            }
            // Nothing of it ever ran on the data: others may have started it meanwhile.
            _ if record.starts == 0 && self.switched_here => Ok(()),
            _ if record.starts == 0 => Err(format!(
                "whether height {height} is committed is not known: an earlier `watcher` switched to it, and others may have started it since"
            )),
            Some(Words::At { began, reached }) if began.max(reached) < &height => Ok(()),
            Some(Words::At { .. }) => Err(format!("it may have committed height {height}")),
            _ => Err(format!(
                "whether it has committed height {height} is not known: it did not say where it stands (its log_level must be info)"
            )),
        }
    }

    /// Whether what stands in the way of going back may be there again in a moment, and is looked at then: a backup or a signing
    /// state that cannot be read, a disk that cannot be written.
    fn looks_again(&mut self, event: &Event, decision: &mut Decision) -> bool {
        const PATIENCE: Duration = Duration::from_secs(10);
        const PAUSE: Duration = Duration::from_secs(1);
        let facts = &event.facts;
        if facts.backup != Backup::Missing && facts.signer_unknown.is_none() && facts.obstacle.is_none() {
            return false;
        }
        let waits = event.now < *self.failing.unread.get_or_insert(event.now) + PATIENCE;
        if waits {
            wake_by(decision, event.now + PAUSE);
        }
        waits
    }

    /// A failure of the binary in a folder, once that is hashed.
    fn failure(
        &mut self,
        state: FailureState,
        folder: &Folder,
        reason: String,
        decision: &mut Decision,
    ) -> Option<Box<Failure>> {
        let Some((file, sha256)) = self.failing.weighed.take() else {
            self.begin(HomeJob::Weigh(folder.clone()), decision);
            return None;
        };
        Some(Box::new(Failure { state, folder: folder.clone(), sha256, file, reason, restored: false }))
    }
}

/// While the verdict stands.
impl Core {
    /// Whether an upgrade failed here, or its operator has the word on it: then nothing else is done, and no node started.
    pub(super) fn stands_down(&mut self, event: &Event, decision: &mut Decision) -> bool {
        let facts = &event.facts;
        let RecordFact::Present(record) = &facts.record else { return false };
        match (facts.orders.ruling, &record.failure) {
            (Some(Ruling::Resume), Some(failure)) if !is_on_its_way(failure.state) || is_untouched(failure, facts) => {
                self.goes_on(record, facts, "its operator wants it", decision);
            }
            (Some(Ruling::Rollback), failure)
                if failure.as_ref().is_none_or(|failure| failure.state == FailureState::Held) =>
            {
                self.roll_back_by_hand(record, event, decision);
            }
            // What is asked for is so.
            (Some(Ruling::Rollback), _) | (Some(Ruling::Resume), None) => {
                self.begin(HomeJob::Heed(record.clone()), decision);
            }
            (_, None) => return false,
            (_, Some(failure)) if failure.state == FailureState::Held && passed_elsewhere(record, failure, facts) => {
                let record = Record { failure: None, ..record.clone() };
                self.begin_anew();
                self.passed(&record, decision);
            }
            (_, Some(_)) if self.clears_the_home(facts, decision) || self.replace_now(facts, decision) => {}
            (_, Some(failure))
                if self.skips(record.plan.height)
                    && (failure.state == FailureState::RolledBack
                        || failure.state == FailureState::Held && !facts.current.is(&failure.folder)) =>
            {
                let record = self.drops(&record.plan, facts, decision);
                self.begin(HomeJob::Remember(record), decision);
            }
            (_, Some(failure)) if is_on_its_way(failure.state) => self.go_back(record, failure, facts, decision),
            (_, Some(failure)) => {
                self.skips_too_late(&record.plan, decision);
                self.wait_for_another_binary(record, failure, event, decision);
            }
        }
        true
    }

    /// Whether the node is told to skip what is scheduled for a height.
    pub(super) fn skips(&self, height: u64) -> bool {
        self.settings.skip_heights.contains(&height)
    }

    /// Tells where that is wanted of an upgrade whose binary is linked: x/upgrade has it go on without a migration as well.
    pub(super) fn skips_too_late(&mut self, plan: &Plan, decision: &mut Decision) {
        if self.skips(plan.height) {
            self.tell(format!("skips too late {}", key(plan)), decision, || Note::SkipsTooLate(plan.clone()));
        }
    }

    /// The chain goes on without an upgrade, and its operator says so to the node. Gives what is to be written down.
    pub(super) fn drops(&mut self, plan: &Plan, facts: &Facts, decision: &mut Decision) -> Record {
        self.tell(format!("dropped {}", key(plan)), decision, || Note::Dropped(plan.clone()));
        self.begin_anew();
        nothing_on(facts)
    }

    /// Why `watcher` leaves, where an upgrade that failed stands.
    pub(super) fn failed(facts: &Facts) -> Option<Exit> {
        let RecordFact::Present(record) = &facts.record else { return None };
        let Record { plan, failure: Some(failure), .. } = record else { return None };
        let way_back = way_back(record, failure, facts);
        Some(Exit::UpgradeFailed(format!(
            "upgrade {:?} failed: {}; {}{way_back}",
            plan.name, failure.reason, failure.state
        )))
    }

    /// Whether a node runs that must not, and is stopped now.
    fn clears_the_home(&mut self, facts: &Facts, decision: &mut Decision) -> bool {
        if self.run.is_alive() {
            self.stop(decision);
        } else if facts.lock == NodeLock::Held {
            self.stop_stray(decision);
        } else {
            return false;
        }
        true
    }

    fn roll_back_by_hand(&mut self, record: &Record, event: &Event, decision: &mut Decision) {
        let facts = &event.facts;
        let back = has_a_way_back(record, facts).and_then(|upgrade| {
            let folder = Some(upgrade.folder.clone()).filter(|folder| facts.current.is(folder));
            folder.ok_or_else(|| "cosmovisor/current does not point at its binary".to_string())
        });
        let folder = match back {
            Ok(folder) => folder,
            Err(_) if self.looks_again(event, decision) => return,
            Err(reason) => {
                self.failing.unread = None;
                decision.notes.push(Note::GivenUp { what: "taking the upgrade back".to_string(), reason });
                return self.begin(HomeJob::Heed(record.clone()), decision);
            }
        };
        if self.clears_the_home(facts, decision) {
            return;
        }
        let reason = "its operator takes it back".to_string();
        if let Some(failure) = self.failure(FailureState::RollingBack, &folder, reason, decision) {
            let verdict = Verdict::Pending;
            self.begin(HomeJob::Heed(Record { failure: Some(failure), verdict, ..record.clone() }), decision);
        }
    }

    /// Data and configuration first, then `current`, wherever that points: somebody may have linked it by hand.
    fn go_back(&mut self, record: &Record, failure: &Failure, facts: &Facts, decision: &mut Decision) {
        self.alarm(record, facts, decision);
        if !failure.restored || facts.restoring {
            self.begin(HomeJob::Restore(record.plan.clone()), decision);
        } else if facts.current == Current::Version(record.from.clone()) {
            if failure.state == FailureState::Retrying {
                self.begin_anew();
                return self.begin(HomeJob::Heed(record.anew(true, facts.signed_height)), decision);
            }
            let mut record = record.clone();
            record.failure.iter_mut().for_each(|failure| failure.state = FailureState::RolledBack);
            self.begin(HomeJob::Remember(record), decision);
        } else {
            self.begin(HomeJob::Choose(record.from.clone()), decision);
        }
    }

    fn wait_for_another_binary(&mut self, record: &Record, failure: &Failure, event: &Event, decision: &mut Decision) {
        let facts = &event.facts;
        self.alarm(record, facts, decision);
        let complete = !matches!(facts.staged.get(&failure.folder), None | Some(Staged::None | Staged::Arriving));
        let Some(file) = facts.failed_file.filter(|file| complete && *file != failure.file) else {
            self.failing.replaced = None;
            return;
        };
        let (_, since) = *self
            .failing
            .replaced
            .insert(self.failing.replaced.filter(|(seen, _)| *seen == file).unwrap_or((file, event.now)));
        if event.now < since + SETTLES {
            return wake_by(decision, since + SETTLES);
        }
        match self.failing.weighed.take() {
            Some((weighed, sha256)) if weighed == file && sha256 != failure.sha256 => {
                self.goes_on(record, facts, "its binary was replaced", decision);
            }
            // The same bytes in another file.
            Some((weighed, _)) if weighed == file => {
                let failure = Box::new(Failure { file, ..failure.clone() });
                self.begin(HomeJob::Remember(Record { failure: Some(failure), ..record.clone() }), decision);
            }
            _ => self.begin(HomeJob::Weigh(failure.folder.clone()), decision),
        }
    }

    fn goes_on(&mut self, record: &Record, facts: &Facts, why: &'static str, decision: &mut Decision) {
        decision.notes.push(Note::GoesOn { plan: record.plan.clone(), why });
        self.begin_anew();
        self.chosen = 0;
        let record = if record.failure.as_ref().is_some_and(|failure| is_on_its_way(failure.state)) {
            // Nothing came back: it goes on where it was, and its hooks have run on these data.
            Record { failure: None, attempts: 0, ..record.clone() }
        } else {
            record.anew(false, facts.signed_height)
        };
        self.begin(HomeJob::Heed(record), decision);
    }

    pub(super) fn begin_anew(&mut self) {
        // What ended before is judged no more.
        if !self.run.is_alive() {
            self.run = Run::Never;
        }
        (self.hooks, self.counted, self.attempt) = (None, None, None);
        self.failing = Failing::default();
        // What fails once more is told once more.
        self.told.retain(|told| !told.starts_with("failed "));
    }

    fn alarm(&mut self, record: &Record, facts: &Facts, decision: &mut Decision) {
        let Some(failure) = &record.failure else { return };
        let way_back = way_back(record, failure, facts);
        let again = self.reminder();
        let key = format!("failed {again} {:?} {} {}", failure.state, failure.sha256, record.starts);
        let (plan, failure) = (record.plan.clone(), failure.clone());
        self.tell(key, decision, || Note::UpgradeFailed { plan, failure: *failure, way_back });
    }
}

const fn is_on_its_way(state: FailureState) -> bool {
    matches!(state, FailureState::Retrying | FailureState::RollingBack)
}

/// The upgrade that is being taken back.
pub(super) fn going_back(facts: &Facts) -> Option<&Plan> {
    let RecordFact::Present(Record { plan, failure: Some(failure), .. }) = &facts.record else { return None };
    is_on_its_way(failure.state).then_some(plan)
}

/// Whether somebody else had the new binary commit the height, after it had failed here: its validator has signed beyond it.
fn passed_elsewhere(record: &Record, failure: &Failure, facts: &Facts) -> bool {
    let beyond = signed_on_these(facts).is_some_and(|signed| signed > record.plan.height.max(record.signed_before));
    // Beyond a height that means nothing to the chain the old binary has signed, and only a first start writes down how far.
    let by_new = record.starts > 0 || !facts.is_named_by_hand();
    let later = info(facts).filter(|(upgrade, _)| upgrade.plan.height > record.plan.height);
    let is_there = facts.current.is(&failure.folder) || later.is_some_and(|(later, _)| facts.current.is(&later.folder));
    beyond && by_new && is_there
}

/// Whether nothing was brought back yet of what is to come back: a backup may turn out to be damaged.
fn is_untouched(failure: &Failure, facts: &Facts) -> bool {
    !failure.restored && !facts.restoring
}

/// The upgrade from which there is something to go back to.
fn has_a_way_back<'a>(record: &Record, facts: &'a Facts) -> Result<&'a Upgrade, String> {
    let Some((upgrade, ..)) = info(facts) else { return Err("data/upgrade-info.json names no upgrade".to_string()) };
    if record.from == Version::Upgrade(upgrade.folder.clone()) {
        return Err("the version before it is not known".to_string());
    }
    let is_there = matches!(facts.backup, Backup::Complete | Backup::Earlier);
    if !record.is_of(&upgrade.plan) || !is_there || record.outdated {
        return Err(format!("there is no complete backup for {:?}", record.plan.name));
    }
    if let Some(why) = &facts.signer_unknown {
        return Err(format!("it is not known what the validator signed last ({why})"));
    }
    facts.obstacle.clone().map_or(Ok(upgrade), Err)
}

/// Whether an upgrade that is held can be taken back by hand, for people.
fn way_back(record: &Record, failure: &Failure, facts: &Facts) -> String {
    if failure.state != FailureState::Held {
        return String::new();
    }
    match has_a_way_back(record, facts) {
        Ok(_) => "; `watcher rollback` takes it back".to_string(),
        Err(why) => format!("; it cannot be taken back: {why}"),
    }
}
