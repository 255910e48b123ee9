//! The home lane: one job at a time on the home and the node.

use ::core::time::Duration;
use alloc::{format, string::String, vec::Vec};

use super::{
    super::{
        decision::{Approach, Decision, Exit, FetchJob, HomeJob, JobId, RunId},
        event::{Event, NodeExit},
        facts::{
            Backup, Current, Facts, Fingerprint, Info, NodeLock, Origin, Receipt, Record, RecordFact, Staged, Verdict,
            Version,
        },
        ladder::{self, Context, Rung},
        note::Note,
        plan::{Plan, Upgrade},
        run::{Due, Ear, Life, Question, Run},
        schedule::Urgency,
    },
    Core, info, key, nothing_on, pending, record_of,
    restored::{signed_on_these, were_exchanged},
    version_of, wake_by,
};

/// What `upgrade-info.json` leads to.
enum Situation<'a> {
    /// Nothing to do.
    Nothing,
    /// The plan that is on the ladder cannot be read for the moment.
    Unread,
    /// A plan that may become due.
    Candidate { upgrade: &'a Upgrade, fingerprint: Fingerprint, origin: Origin },
    /// A plan that is due and somewhere on the ladder.
    Under { upgrade: &'a Upgrade, record: Record },
    /// What is to be written down before anything else.
    Recorded(Record),
}

/// For so long nothing is started in the middle of a swap because its plan cannot be read.
pub(super) const UNREAD: Duration = Duration::from_secs(10);

impl Core {
    pub(super) fn choose_home(&mut self, event: &Event, decision: &mut Decision) {
        if !self.home.is_idle() {
            return;
        }
        if let Some(exit) = self.fatal.clone() {
            // No node runs while a job is under way that ends in this.
            decision.exit = Some(exit);
            return;
        }
        if self.stops > 0 {
            self.stopping(&event.facts, decision);
            return;
        }
        if event.now < self.acting.not_before {
            wake_by(decision, self.acting.not_before);
            return;
        }
        if self.stops_at_once(decision) || self.stands_down(event, decision) {
            return;
        }
        let facts = &event.facts;
        if let (Current::Broken { reason }, false) = (&facts.current, self.run.is_alive()) {
            decision.exit = Some(Exit::NodeFailed(reason.clone()));
            return;
        }
        if facts.current == Current::Absent
            && !self.run.is_alive()
            && let Some(reason) = facts.record.past_genesis()
        {
            decision.exit = Some(Exit::NodeFailed(reason));
            return;
        }
        match self.situation(event, decision) {
            Situation::Under { upgrade, record } => self.climb(upgrade, record, event, decision),
            Situation::Recorded(record) => self.begin(HomeJob::Remember(record), decision),
            Situation::Candidate { upgrade, fingerprint, origin } => {
                let poll = self.settings.poll_interval;
                let by_hand = facts.marker.is_none()
                    && matches!(facts.current, Current::Version(Version::Upgrade(_) | Version::Elsewhere(_)));
                if self.came_too_late(upgrade, facts, decision) {
                    if self.home.is_idle() {
                        self.keep_running(event, decision);
                    }
                    return;
                }
                // A node that writes into an operator's file leaves it marked so.
                let by_chain = || self.knowledge.scheduled().iter().any(|known| known.plan.is_alike(&upgrade.plan));
                if origin == Origin::Operator && !by_chain() {
                    self.by_hand = Some(upgrade.plan.clone());
                }
                let there = facts.staged.get(&upgrade.folder).is_some_and(|staged| *staged != Staged::None);
                let height = upgrade.plan.height;
                let question = Question { height, fingerprint, origin, plausible: there && !by_hand };
                match self.run.due(&question, event.now, poll) {
                    Due::Yes => {
                        (self.attempt, self.counted, self.switched_here) = (None, None, false);
                        // What could wait until now can wait no longer.
                        self.fetching.clear();
                        // The file has room for one. What the orders name is named again by itself.
                        let is_lost = |named: &Plan| !named.is_alike(&upgrade.plan) && !facts.orders.names(named);
                        if let Some(lost) = self.by_hand.take().filter(is_lost) {
                            decision.notes.push(Note::Overwritten { lost, by: upgrade.plan.clone() });
                        }
                        self.tell_once(Note::Due(upgrade.plan.clone()), decision);
                        let mut record = record_of(&upgrade.plan, facts);
                        // What was saved for an upgrade that only begins is of an earlier one of its name and height. One
                        // whose record is lost may have begun long ago.
                        record.outdated = facts.record != RecordFact::Unreadable
                            && (matches!(facts.backup, Backup::Complete | Backup::Earlier)
                                || facts.record.is_past(&upgrade.plan));
                        // What was signed beyond its height before it was due was signed on other data.
                        let beyond = facts.signed_height.filter(|signed| *signed > height).unwrap_or_default();
                        record.signed_before = record.signed_before.max(beyond);
                        self.begin(HomeJob::Remember(record), decision);
                    }
                    Due::Ask => self.begin(HomeJob::Ask, decision),
                    Due::AskAt(at) => {
                        wake_by(decision, at);
                        self.keep_running(event, decision);
                    }
                    Due::No => self.keep_running(event, decision),
                }
            }
            Situation::Nothing => self.keep_running(event, decision),
            // A node that is started now would be the wrong one, or would be started without its hooks.
            Situation::Unread => {}
        }
    }

    /// After a stop request nothing is started; what is under way is finished by the next start.
    pub(super) fn stopping(&mut self, facts: &Facts, decision: &mut Decision) {
        match &self.run {
            Run::Alive(_) => {}
            // The signal ended a script in front of the node, and the node runs on.
            Run::Ended { .. } if facts.lock == NodeLock::Held && self.acting.failures == 0 => self.stop_stray(decision),
            Run::Never => decision.exit = Some(Exit::Fine),
            Run::Ended { life, .. } if life.unwanted => decision.exit = Some(Exit::Fine),
            Run::Ended { exit, .. } => decision.exit = Some(exit_by(*exit)),
        }
        if decision.exit.is_some() {
            let held = pending(facts).filter(|upgrade| !facts.current.is(&upgrade.folder)).and_then(|upgrade| {
                let of = facts.orders.hold(&upgrade.folder)?.name();
                let name = &upgrade.plan.name;
                Some(format!("upgrade {name:?} is due and held by the operator, until `watcher release {of}`"))
            });
            let stands_still = self.stands_still.clone().filter(|_| pending(facts).is_some());
            let stands_still = held.or(stands_still).map(Exit::UpgradeFailed);
            decision.exit = Self::failed(facts).or(stands_still).or(decision.exit.take());
        }
    }

    fn situation<'a>(&mut self, event: &'a Event, decision: &mut Decision) -> Situation<'a> {
        let facts = &event.facts;
        let (upgrade, fingerprint, origin) = match &facts.info {
            Info::Absent => {
                self.by_hand = None;
                return Situation::Nothing;
            }
            Info::Unreadable { reason, fingerprint } => {
                // A writer may be at it: what is no plan is told once it stays that way.
                let seen = self.unreadable.filter(|(known, _)| known == fingerprint);
                let (_, since) = *self.unreadable.insert(seen.unwrap_or((*fingerprint, event.now)));
                if event.now >= since + self.settings.poll_interval {
                    let reason = reason.clone();
                    self.tell(format!("unreadable {fingerprint:?}"), decision, || Note::Unreadable(reason));
                }
                let is_pending = |record: &Record| record.verdict == Verdict::Pending;
                let under_way = matches!(&facts.record, RecordFact::Present(record) if is_pending(record));
                if under_way && !self.run.is_alive() && event.now < since + UNREAD {
                    wake_by(decision, event.now + self.settings.poll_interval);
                    return Situation::Unread;
                }
                return Situation::Nothing;
            }
            Info::Plan { upgrade, fingerprint, origin } => (upgrade, *fingerprint, *origin),
        };
        let plan = &upgrade.plan;
        let committed = self.run.life().and_then(|life| life.committed);
        let switched = facts.current.is(&upgrade.folder);
        // It was there before the node began.
        let leftover = self.run.life().is_none_or(|life| life.info_before == Some(fingerprint));
        let present = if let RecordFact::Present(record) = &facts.record { Some(record) } else { None };
        if let Some(record) = present.filter(|record| record.is_of(plan)) {
            return match record.verdict {
                Verdict::Pending if !switched && self.skips(plan.height) => {
                    Situation::Recorded(self.drops(plan, facts, decision))
                }
                Verdict::Pending if !switched && self.makes_way.take_if(|way| way == plan).is_some() => {
                    Situation::Recorded(nothing_on(facts))
                }
                Verdict::Pending => {
                    if switched {
                        self.skips_too_late(plan, decision);
                    }
                    Situation::Under { upgrade, record: self.with_hooks(record) }
                }
                // The data was restored to before the height, and the node has halted at it once more.
                _ if !leftover && !switched && !self.skips(plan.height) => {
                    self.candidate(facts, upgrade, fingerprint, origin, leftover, decision)
                }
                // No halt tells of that where only its operator has named it.
                _ if origin == Origin::Operator
                    && !switched
                    && committed.is_some_and(|committed| (1..plan.height).contains(&committed)) =>
                {
                    Situation::Recorded(nothing_on(facts))
                }
                _ => Situation::Nothing,
            };
        }
        let marked = facts.marker.as_ref().is_some_and(|marker| marker.height == plan.height);
        // What an operator named for a height still to come is not settled because the same folder runs already.
        let is_past = origin == Origin::Node || marked || committed.is_some_and(|committed| committed >= plan.height);
        // Another plan may ask for what is to come into the folder that runs.
        let brought = facts.marker.as_ref().is_none_or(|marker| marker.height >= plan.height);
        // Whoever linked it ahead left the one before it running, which halts there as any other.
        let is_it = self.run.life().is_none_or(|life| life.version == version_of(facts));
        if switched && is_past && brought && is_it {
            // Older data came back with their version, and the later upgrade is before them once more.
            if facts.record.is_past(plan) {
                return Situation::Nothing;
            }
            let mut record = record_of(plan, facts);
            // One that cannot be read now may be that of this very upgrade, which is not over.
            let unread = facts.record == RecordFact::Unreadable;
            // Others made the upgrade, and the validator has signed beyond it since; beyond a height of the operator's, so has
            // the version before.
            let beyond = origin == Origin::Node && signed_on_these(facts).is_some_and(|signed| signed > plan.height);
            if facts.record == RecordFact::Absent || beyond || self.run.is_alive() && !unread {
                record.settle();
            } else {
                // We have worked here before, and the record of this upgrade is lost: its hooks run once more. It may have run
                // already, so that what is there now is not of before it.
                record.starts = record.starts.max(1);
                // Nor is what was signed before it runs again its own.
                record.signed_before = record.signed_before.max(facts.signed_height.unwrap_or_default());
            }
            return Situation::Recorded(record);
        }
        let ignored = if self.skips(plan.height) {
            // So that it never is due, whatever becomes of the flag.
            if committed.is_some_and(|committed| committed >= plan.height) {
                return Situation::Recorded(Record { verdict: Verdict::Skipped, ..settled(plan, facts) });
            }
            Some("the node is told to skip it (--unsafe-skip-upgrades)")
        } else if (facts.marker.as_ref().is_some_and(|marker| marker.height > plan.height)
            || present.is_some_and(|record| record.plan.height > plan.height))
            && !self.halts_again(plan, origin, leftover)
        {
            Some(
                "it is older than the upgrade that runs now, and nothing is switched; if the data were restored, link \
                 cosmovisor/current to the version they need, or wait for the node to say it",
            )
        } else {
            None
        };
        if let Some(reason) = ignored {
            self.tell(format!("ignored {fingerprint:?}"), decision, || Note::Ignored { plan: plan.clone(), reason });
            return Situation::Nothing;
        }
        self.candidate(facts, upgrade, fingerprint, origin, leftover, decision)
    }

    /// Whether a node may have written an older plan because it has halted at it once more, on data from before: none does
    /// that beyond its height, and a file may also be touched.
    fn halts_again(&self, plan: &Plan, origin: Origin, leftover: bool) -> bool {
        let beyond = self.run.life().and_then(Life::height).is_some_and(|height| height > plan.height);
        origin == Origin::Node && !leftover && !beyond
    }

    /// A plan that may become due, unless the binary that runs is past its height already: it committed it, or the file is
    /// an old one and the validator signed beyond it, or the node is two blocks beyond it, which it cannot be without.
    fn candidate<'a>(
        &mut self,
        facts: &Facts,
        upgrade: &'a Upgrade,
        fingerprint: Fingerprint,
        origin: Origin,
        leftover: bool,
        decision: &mut Decision,
    ) -> Situation<'a> {
        let height = upgrade.plan.height;
        let (latest, committed) = self.run.life().map_or((None, None), |life| (life.latest, life.committed));
        let signed_beyond = signed_on_these(facts).is_some_and(|signed| signed > height);
        let beyond = latest.is_some_and(|latest| latest > height + 1);
        let past = committed.map_or(beyond || leftover && signed_beyond, |committed| committed >= height);
        if origin == Origin::Node && past {
            // What is written down already would be written again and again.
            if facts.record.is_past(&upgrade.plan) {
                return Situation::Nothing;
            }
            let mut record = settled(&upgrade.plan, facts);
            // It came while another binary ran.
            let known = matches!(facts.current, Current::Version(Version::Genesis | Version::Upgrade(_)));
            if known && !leftover && !facts.current.is(&upgrade.folder) {
                record.verdict = Verdict::Skipped;
                // Whoever wrote it waits for it.
                let (plan, reason) = (upgrade.plan.clone(), "its height is past, and nothing is switched");
                self.tell(format!("ignored {fingerprint:?}"), decision, || Note::Ignored { plan, reason });
            }
            return Situation::Recorded(record);
        }
        Situation::Candidate { upgrade, fingerprint, origin }
    }

    pub(super) fn climb(&mut self, upgrade: &Upgrade, record: Record, event: &Event, decision: &mut Decision) {
        // A hotfix for a binary that is held, or that ends at its height, is wanted before it is started again.
        if self.replace_now(&event.facts, decision) {
            return;
        }
        let hashed = match event.facts.staged.get(&upgrade.folder) {
            Some(Staged::Ours(receipt)) => self.hashed.get(&upgrade.folder).is_some_and(|h| h.file == receipt.file),
            _ => false,
        };
        let rung =
            ladder::next(upgrade, &record, &event.facts, Context { settings: &self.settings, run: &self.run, hashed });
        let folder = upgrade.folder.clone();
        let plan = upgrade.plan.clone();
        let begins = is_before_its_first_start(&record, &event.facts);
        let was_outdated = matches!(&event.facts.record, RecordFact::Present(written) if written.outdated);
        match rung {
            Rung::AppHook | Rung::Start if begins && self.is_held(upgrade, &event.facts, decision) => {
                self.run_on(upgrade, record, event, decision);
            }
            Rung::Hash | Rung::Stop | Rung::StopStray | Rung::BackUp | Rung::CustomHook | Rung::Switch
                if self.is_held(upgrade, &event.facts, decision) =>
            {
                self.run_on(upgrade, record, event, decision);
            }
            Rung::Binary => {
                self.missing(upgrade, Some(Urgency::Now), decision);
                self.run_on(upgrade, record, event, decision);
            }
            Rung::SetAside => self.begin(HomeJob::SetAside(folder), decision),
            Rung::Place(receipt) => self.begin(HomeJob::Place { receipt, upgrade: upgrade.clone() }, decision),
            // Whoever has no room for a backup learns it while the node still stands.
            Rung::Stop if event.facts.wants_backup(&record) && self.roomy.as_ref() != Some(&plan) => {
                self.begin(HomeJob::Room { plan, approach: Approach::There }, decision);
            }
            Rung::Stop => self.stop(decision),
            Rung::StopStray => self.stop_stray(decision),
            Rung::BackUp | Rung::CustomHook | Rung::Switch if self.resting(event, decision) => {}
            Rung::BackUp => self.begin(HomeJob::BackUp(plan), decision),
            // It is written down while one that is lost would only be made anew: after the switch there is no other.
            Rung::CustomHook | Rung::Switch | Rung::AppHook | Rung::Start if was_outdated && !record.outdated => {
                self.begin(HomeJob::Remember(record), decision);
            }
            Rung::CustomHook => self.begin(HomeJob::CustomHook(plan), decision),
            // It is being hashed once more, which has the last word: what is rotten is set aside, and `current` would lead nowhere.
            Rung::Switch if self.fetch.job() == Some(&FetchJob::Verify(folder.clone())) => {}
            // What ran before was lost with the record: it is what is left now.
            Rung::Switch if record.from == Version::Upgrade(folder.clone()) => {
                self.begin(HomeJob::Remember(Record { from: version_of(&event.facts), ..record }), decision);
            }
            Rung::Switch => self.begin(HomeJob::Switch { folder, plan }, decision),
            Rung::AppHook if self.settings.pre_upgrade_retries < 0 => {
                let retries = self.settings.pre_upgrade_retries;
                let reason = format!("pre-upgrade command failed. reached max attempt of retries - {retries}");
                self.fails(upgrade, &record, reason, None, event, decision);
            }
            Rung::AppHook => match self.failing.refused.clone() {
                Some(reason) => self.fails(upgrade, &record, reason, None, event, decision),
                None => self.begin(HomeJob::AppHook, decision),
            },
            Rung::Start => self.start_new(upgrade, record, event, decision),
            // What is being copied is complete in a moment, or waits for its operator.
            Rung::Arriving => {
                let (told, plan) =
                    (format!("arriving {} {}", self.reminder(), key(&upgrade.plan)), upgrade.plan.clone());
                self.tell(told, decision, || Note::NotWhole { plan, folder });
                self.run_on(upgrade, record, event, decision);
            }
            // The fetch lane hashes.
            Rung::Hash => {}
            Rung::Pass => self.watch_it_pass(upgrade, event, decision),
            Rung::Passed => self.passed(&record, decision),
        }
    }

    /// An upgrade waits for its operator. What he named for a height himself is nothing to the chain, so the old binary goes
    /// on meanwhile: nothing else would start it again. What was done for another is written down, for `watcher` may be
    /// started again before it goes on.
    fn run_on(&mut self, upgrade: &Upgrade, record: Record, event: &Event, decision: &mut Decision) {
        let exact = event.facts.orders.exact.as_ref().is_some_and(|exact| exact.height == upgrade.plan.height);
        if event.facts.is_named_by_hand() && !exact {
            match self.run {
                Run::Alive(_) => self.housekeeping(&event.facts, decision),
                _ => self.keep_running(event, decision),
            }
        } else if !matches!(&event.facts.record, RecordFact::Present(written) if *written == record) {
            self.begin(HomeJob::Remember(record), decision);
        }
    }

    /// The record of an upgrade that is begun and whose old binary runs on: hooks and backup speak of other data then.
    pub(super) fn outlived(&mut self, facts: &Facts) -> Option<Record> {
        let RecordFact::Present(record) = &facts.record else { return None };
        let runs_on = record.verdict == Verdict::Pending && is_before_its_first_start(record, facts);
        if !runs_on {
            return None;
        }
        self.hooks = None;
        if record.outdated && !record.custom_hook_done && !record.app_hook_done {
            return None;
        }
        Some(Record { outdated: true, custom_hook_done: false, app_hook_done: false, ..record.clone() })
    }

    /// The new binary runs. Where the chain's own words do not tell how high it is, it is asked; what else is scheduled is
    /// kept in order meanwhile.
    fn watch_it_pass(&mut self, upgrade: &Upgrade, event: &Event, decision: &mut Decision) {
        /// By then an RPC is up and has been heard; before, a `status` would take the start a core away.
        const FIRST: Duration = Duration::from_secs(2);
        const PAUSE: Duration = Duration::from_secs(5);
        if let Run::Alive(life) = &self.run {
            let (latest, minutes) = (life.height(), event.now.saturating_sub(life.began).as_secs() / 60);
            // After one minute, two, four: time alone is no failure, and the network may take hours.
            if let Some(doubled) = minutes.checked_ilog2() {
                let (run, plan) = (life.id, upgrade.plan.clone());
                self.tell(format!("unseen {doubled} {run:?}"), decision, || Note::Unseen { plan, minutes, latest });
            }
        }
        if let Run::Alive(life) = &self.run
            && life.committed.is_none()
        {
            let again = life.asked.map_or(life.began + FIRST, |(_, at)| at + PAUSE);
            if event.now >= again {
                return self.begin(HomeJob::Ask, decision);
            }
            wake_by(decision, again);
        }
        self.housekeeping(&event.facts, decision);
    }

    /// `DAEMON_RESTART_DELAY` after the node's end.
    pub(super) fn resting(&self, event: &Event, decision: &mut Decision) -> bool {
        let Some(since) = self.gone_since else { return false };
        let until = since + self.settings.restart_delay;
        let rests = event.now < until;
        if rests {
            wake_by(decision, until);
        }
        rests
    }

    pub(super) fn start_new(&mut self, upgrade: &Upgrade, mut record: Record, event: &Event, decision: &mut Decision) {
        if self.switched_here && !self.settings.restart_after_upgrade {
            // The hooks are done; what is left is the start, which the operator wants to make.
            if matches!(&event.facts.record, RecordFact::Present(written) if *written == record) {
                decision.exit = Some(Exit::Fine);
            } else {
                self.begin(HomeJob::Remember(record), decision);
            }
            return;
        }
        if self.counted != Some(record.starts) {
            if self.failed_before_its_height(upgrade, &record, event, decision) {
                return;
            }
            // The old binary committed and signed beyond a height that means nothing to the chain.
            if event.facts.is_named_by_hand() && record.starts == 0 {
                record.signed_before = record.signed_before.max(event.facts.signed_height.unwrap_or(u64::MAX));
            }
            // What was signed on other data says nothing of these.
            if were_exchanged(&event.facts) {
                record.signed_before = record.signed_before.max(event.facts.signed_height.unwrap_or_default());
            }
            // What ended in the folder that it comes to was the old one.
            if is_before_its_first_start(&record, &event.facts) {
                self.run = Run::Never;
            }
            record.starts = record.starts.saturating_add(1);
            self.counted = Some(record.starts);
            self.begin(HomeJob::Remember(record), decision);
            return;
        }
        self.attempt = Some(record.attempts.saturating_add(1));
        self.start_as(&event.facts, self.listens_to_new(&record, &event.facts), decision);
    }

    /// No plan asks for anything: the node runs, or its end is the end.
    pub(super) fn keep_running(&mut self, event: &Event, decision: &mut Decision) {
        match &self.run {
            Run::Alive(_) => {
                if !self.carry_out_orders(event, decision) && !self.proves(&event.facts, decision) {
                    self.housekeeping(&event.facts, decision);
                }
            }
            Run::Never if event.facts.lock == NodeLock::Held => self.stop_stray(decision),
            Run::Never if event.facts.record == RecordFact::Absent => {
                self.begin(HomeJob::Remember(Record::nothing(version_of(&event.facts))), decision);
            }
            Run::Never => {
                if !self.replace_now(&event.facts, decision) {
                    match self.outlived(&event.facts) {
                        Some(record) => self.begin(HomeJob::Remember(record), decision),
                        None => self.start(&event.facts, decision),
                    }
                }
            }
            // An order asked for its end, and for its return.
            Run::Ended { life, .. } if life.unwanted => {
                // A replacement at a height knows that height from the node that ended.
                if !self.replace_now(&event.facts, decision) && !self.names_where_it_stood(&event.facts, decision) {
                    self.run = Run::Never;
                    self.keep_running(event, decision);
                }
            }
            // It put itself into the background, or left something there, which would outlive us.
            Run::Ended { .. } if event.facts.lock == NodeLock::Held && self.acting.failures == 0 => {
                self.stop_stray(decision);
            }
            Run::Ended { exit, .. } => {
                let exit = *exit;
                if !self.hear_it_out(exit, event, decision) && !self.outlives_a_crash(exit, event, decision) {
                    decision.exit = Some(exit_by(exit));
                }
            }
        }
    }

    /// What was staged is brought in line with what is scheduled.
    pub(super) fn housekeeping(&mut self, facts: &Facts, decision: &mut Decision) {
        let scheduled: Vec<Upgrade> = self.knowledge.scheduled().into_iter().cloned().collect();
        for upgrade in &scheduled {
            if !self.is_ahead(upgrade, facts) || !self.may_stage(&upgrade.plan) {
                continue;
            }
            // Endpoints may disagree about one folder: what any of them asks for stays, or it would move to and fro.
            let mut asking = scheduled.iter().filter(|other| other.folder == upgrade.folder);
            match facts.staged.get(&upgrade.folder).unwrap_or(&Staged::None) {
                Staged::Ours(receipt) if !receipt.applied && !asking.clone().any(|asks| receipt.satisfies(asks)) => {
                    return self.begin(HomeJob::SetAside(upgrade.folder.clone()), decision);
                }
                Staged::Ours(receipt)
                    if receipt.satisfies(upgrade) && !asking.any(|asks| asks.plan == receipt.plan) =>
                {
                    let receipt = Receipt { plan: upgrade.plan.clone(), ..receipt.clone() };
                    return self.begin(HomeJob::Renew { folder: upgrade.folder.clone(), receipt }, decision);
                }
                Staged::None if self.settings.downloads => {
                    if let Some(receipt) = facts.stored.iter().find(|receipt| receipt.satisfies(upgrade)) {
                        let job = HomeJob::Place { receipt: receipt.clone(), upgrade: upgrade.clone() };
                        return self.begin(job, decision);
                    }
                }
                _ => {}
            }
        }
        let withdrawn = facts.staged.iter().find_map(|(folder, staged)| match staged {
            Staged::Ours(receipt)
                if !receipt.applied
                    && !facts.current.is(folder)
                    && !scheduled.iter().any(|upgrade| upgrade.folder == *folder)
                    && self.knowledge.withdrew(&receipt.plan, self.settings.quorum) =>
            {
                Some(folder.clone())
            }
            _ => None,
        });
        if let Some(folder) = withdrawn {
            return self.begin(HomeJob::SetAside(folder), decision);
        }
        self.look_for_room(&scheduled, facts, decision);
    }

    /// Whether a backup will fit is looked at once when an upgrade is staged, and once more when its height is near.
    fn look_for_room(&mut self, scheduled: &[Upgrade], facts: &Facts, decision: &mut Decision) {
        if matches!(facts.backup, Backup::NotWanted | Backup::Earlier) {
            return;
        }
        let staged = |upgrade: &&Upgrade| {
            let staged = matches!(facts.staged.get(&upgrade.folder), Some(Staged::Operator | Staged::Ours(_)));
            staged && self.is_ahead(upgrade, facts)
        };
        // What is made ahead is made of one.
        let Some(next) = scheduled.iter().filter(staged).min_by_key(|upgrade| upgrade.plan.height) else { return };
        let approach = if self.is_near(&next.folder) { Approach::Near } else { Approach::Far };
        if self.told.insert(format!("room {approach:?} {}", key(&next.plan))) {
            self.begin(HomeJob::Room { plan: next.plan.clone(), approach }, decision);
        }
    }

    pub(super) fn start(&mut self, facts: &Facts, decision: &mut Decision) {
        self.start_as(facts, false, decision);
    }

    /// Starts what `current` points at; `listen` where its last words matter, as they do where a crash may be outlived.
    pub(super) fn start_as(&mut self, facts: &Facts, listen: bool, decision: &mut Decision) {
        if self.learns_the_generation(facts, decision) {
            return;
        }
        let version = version_of(facts);
        let exact = self.exact_ahead(facts).map(|exact| exact.height);
        let stops_before = self.generation.as_ref().and_then(|(_, before)| *before);
        let halt =
            exact.zip(stops_before).map(|(height, before)| if before { height } else { height.saturating_sub(1) });
        let goes_beyond = halt.is_some() && stops_before == Some(false);
        // One that would execute the height if it stood before it already says so at once, and may end before it is asked; and one
        // that dies of a plan says of which, whoever wrote the file.
        let named = info(facts).is_some_and(|(upgrade, _)| !facts.current.is(&upgrade.folder));
        let listen = listen || self.settings.crash_restarts > 0 || goes_beyond || named;
        let id = RunId(self.next_identity());
        let before = match &facts.info {
            Info::Absent => None,
            Info::Unreadable { fingerprint, .. } | Info::Plan { fingerprint, .. } => Some(*fingerprint),
        };
        let life = Life::new(id, version.clone(), before);
        self.run = Run::Alive(Life {
            began: self.now,
            halt: halt.and(exact),
            goes_beyond,
            ear: if listen { Ear::Open } else { Ear::Closed },
            ..life
        });
        self.begin(HomeJob::Start { run: id, version, halt, listen }, decision);
    }

    pub(super) fn stop(&mut self, decision: &mut Decision) {
        self.stop_within(self.settings.shutdown_grace, decision);
    }

    pub(super) fn stop_within(&mut self, grace: Duration, decision: &mut Decision) {
        if let Run::Alive(life) = &mut self.run
            && !life.reaped
        {
            life.unwanted = true;
            let stop = HomeJob::Stop { run: life.id, grace };
            self.begin(stop, decision);
        }
    }

    /// Stops the node for an order, or to hear why it stands still; it is started again by itself.
    pub(super) fn restart(&mut self, why: &'static str, decision: &mut Decision) {
        self.stop(decision);
        // One that is reaped already was told of.
        if !self.home.is_idle() {
            decision.notes.push(Note::Restarts { why });
        }
    }

    pub(super) fn stop_stray(&mut self, decision: &mut Decision) {
        self.tell(String::from("stray"), decision, || Note::Stray);
        self.begin(HomeJob::StopStray { grace: self.settings.shutdown_grace }, decision);
    }

    pub(super) fn begin(&mut self, job: HomeJob, decision: &mut Decision) {
        debug_assert!(self.home.is_idle(), "{job:?} after {:?}", self.home);
        let id = JobId(self.next_identity());
        self.home.begin(id, job.clone());
        decision.home = Some((id, job));
    }
}

/// Whether what `current` points at is the version from before an upgrade, whose binary was never started.
fn is_before_its_first_start(record: &Record, facts: &Facts) -> bool {
    record.starts == 0 && record.from == version_of(facts)
}

/// The record of an upgrade that needs no switch.
fn settled(plan: &Plan, facts: &Facts) -> Record {
    let mut record = record_of(plan, facts);
    record.settle();
    record
}

fn exit_by(exit: NodeExit) -> Exit {
    match exit {
        NodeExit::Code(0) => Exit::Fine,
        other => Exit::NodeEnded(other),
    }
}
