//! Standing orders of the operator: the brake, the queue, an exact height, a replacement.

use ::core::time::Duration;
use alloc::{format, string::ToString};

use super::{
    super::{
        decision::{Decision, HomeJob},
        event::{Event, NodeExit, Words},
        facts::{Facts, Info, NodeLock, Record, RecordFact, Version},
        note::Note,
        orders::{Exact, Orders},
        plan::{Plan, Upgrade},
        run::{Ear, Life, Run},
        schedule,
    },
    Core, asked_about,
    home::UNREAD,
    info,
    restored::signed_on_these,
    version_of, wake_by,
};

impl Core {
    /// Whether the operator's brake is on for an upgrade that is due; told again and again.
    pub(super) fn is_held(&mut self, upgrade: &Upgrade, facts: &Facts, decision: &mut Decision) -> bool {
        let Some(hold) = facts.orders.hold(&upgrade.folder) else { return false };
        let (plan, reason) = (upgrade.plan.clone(), hold.reason.clone());
        let again = self.reminder();
        self.tell(format!("held {again} {} {reason}", upgrade.folder), decision, || Note::Held { plan, reason });
        true
    }

    /// Does what the operator asked of a node that runs; whether that is something.
    pub(super) fn carry_out_orders(&mut self, event: &Event, decision: &mut Decision) -> bool {
        let facts = &event.facts;
        let orders = &facts.orders;
        if let Some(reason) = &orders.unreadable {
            self.tell(format!("order {reason}"), decision, || Note::OrderUnreadable(reason.clone()));
        }
        if self.remember_the_data(facts, decision)
            || self.remembers_who_wrote_it(facts, decision)
            || self.is_stuck(event, decision)
            || self.replace_now(facts, decision)
        {
            return true;
        }
        let exact = self.exact_ahead(facts).is_some() || self.run.life().is_some_and(|life| life.halt.is_some());
        if orders.queue.is_empty() && orders.replacement.is_none() && !exact {
            return false;
        }
        let Run::Alive(life) = &self.run else { return false };
        let Some(height) = life.height() else { return self.ask_for_its_height(event, decision) };
        self.arm(height, facts, decision)
            || self.work_off_the_queue(height, facts, decision)
            || self.ask_for_its_height(event, decision)
    }

    /// Whether an order is waiting for a height that is near: then every block is looked at.
    pub(super) fn orders_are_near(&self, orders: &Orders) -> bool {
        let Some(height) = self.run.life().and_then(Life::height) else { return false };
        let exact = orders.exact.iter().map(|exact| exact.height);
        let replacement = orders.replacement.iter().filter_map(|replacement| replacement.at);
        exact.chain(replacement).any(|at| at > height && at - height <= schedule::CLOSE_BLOCKS)
    }

    /// Asks, as often as its height is worth knowing; whether it does so now.
    fn ask_for_its_height(&mut self, event: &Event, decision: &mut Decision) -> bool {
        let orders = &event.facts.orders;
        if self.greets(&event.facts) {
            self.begin(HomeJob::Greet, decision);
            return true;
        }
        let Run::Alive(life) = &self.run else { return false };
        let heights = orders.queue.iter().map(|plan| plan.height);
        let heights = heights.chain(orders.exact.iter().map(|exact| exact.height));
        let heights = heights.chain(orders.replacement.iter().filter_map(|replacement| replacement.at));
        let known = life.height();
        let left = heights.filter_map(|height| height.checked_sub(known?)).min();
        let again = match life.asked {
            Some((about, at)) if about == asked_about(&event.facts) => {
                at + schedule::ask_again(left, life.silent, self.settings.poll_interval)
            }
            _ => event.now,
        };
        if event.now < again {
            wake_by(decision, again);
            return false;
        }
        self.begin(HomeJob::Ask, decision);
        true
    }

    /// Whether the node would go beyond its halt and has said nothing yet: it is waited for without a pause until it does, for
    /// each moment counts. What was written meanwhile may be its halt.
    fn greets(&self, facts: &Facts) -> bool {
        let is_early = |life: &Life| life.goes_beyond && life.height().is_none() && life.silent < 2;
        let found = info(facts).map(|(_, fingerprint)| fingerprint);
        self.run.life().is_some_and(|life| is_early(life) && life.info_before == found)
    }

    /// Ends the wait for a first answer where it is about something else by now.
    pub(super) fn cut_the_greeting(&mut self, facts: &Facts, decision: &mut Decision) {
        if self.home.job() == Some(&HomeJob::Greet) && !self.greets(facts) {
            decision.cancel.extend(self.home.cancel());
        }
    }
}

/// The queue.
impl Core {
    /// Names the next upgrade of the queue once the one before it is over; whether it does something.
    fn work_off_the_queue(&mut self, height: u64, facts: &Facts, decision: &mut Decision) -> bool {
        let queue = &facts.orders.queue;
        let passed = |plan: &Plan| matches!(&facts.record, RecordFact::Present(record) if record.is_of(plan) && record.verdict.has_passed());
        if let Some(over) = queue.iter().find(|plan| passed(plan)) {
            self.begin(HomeJob::Unqueue(over.clone()), decision);
            return true;
        }
        let named = info(facts).map(|(upgrade, ..)| &upgrade.plan);
        let is_named = |plan: &Plan| named.is_some_and(|named| named.is_alike(plan));
        for plan in queue.iter().filter(|plan| plan.height <= height && !is_named(plan)) {
            self.tell(format!("missed {} {}", plan.name, plan.height), decision, || Note::Missed {
                plan: plan.clone(),
                height,
            });
        }
        // An upgrade of the chain in between has taken the file of an exact one.
        let exact = self.exact_ahead(facts).filter(|exact| exact.height > height);
        let exact = exact.map(Exact::plan);
        // What is to come in at its exact height does not come in before it.
        let waits = |plan: &Plan| facts.orders.exact.as_ref().is_some_and(|exact| exact.name == plan.name);
        let ahead = queue.iter().filter(|plan| plan.height > height && !waits(plan)).chain(&exact);
        let Some(next) = ahead.min_by_key(|plan| plan.height) else { return false };
        // The file belongs to what is named there until its height is committed: at a halt a node shows it before.
        let committed = self.run.life().and_then(|life| life.committed).unwrap_or(height.saturating_sub(1));
        let taken =
            matches!(facts.info, Info::Unreadable { .. }) || named.is_some_and(|named| named.height > committed);
        if taken || is_named(next) {
            return false;
        }
        let over = info(facts).map(|(_, fingerprint)| fingerprint);
        self.begin(HomeJob::Name { plan: next.clone(), over }, decision);
        true
    }
}

/// The exact height.
impl Core {
    /// The exact upgrade that the version at hand is to stop before.
    pub(super) fn exact_ahead<'a>(&self, facts: &'a Facts) -> Option<&'a Exact> {
        // What a validator has signed is not executed yet: at its halt it has signed that very height.
        let signed = signed_on_these(facts).map(|signed| signed.saturating_sub(1));
        let committed = self.run.life().and_then(|life| life.committed).max(signed);
        facts.orders.exact.as_ref().filter(|exact| {
            !(exact.missed || self.skips(exact.height))
                && version_of(facts) != Version::Upgrade(exact.folder.clone())
                && committed.is_none_or(|committed| committed < exact.height)
        })
    }

    /// Begins to find out what `--halt-height` means to the current binary, where that matters and is not known.
    pub(super) fn learns_the_generation(&mut self, facts: &Facts, decision: &mut Decision) -> bool {
        let version = version_of(facts);
        let known = self.generation.as_ref().is_some_and(|(of, _)| *of == version);
        let asks = !known && self.exact_ahead(facts).is_some();
        if asks {
            self.begin(HomeJob::Generation, decision);
        }
        asks
    }

    /// Ends a node that would execute the height before which it is to stop: each moment counts, and CometBFT is made to be
    /// killed.
    pub(super) fn stops_at_once(&mut self, decision: &mut Decision) -> bool {
        let Run::Alive(life) = &self.run else { return false };
        let beyond = life.halt.is_some_and(|height| life.stands_before(height));
        // Of what it ended, once it is reaped, tells whether it was in time.
        if beyond && !life.reaped {
            decision.notes.push(Note::Restarts { why: "because it stood before the exact height already" });
            self.stop_within(Duration::ZERO, decision);
        }
        beyond
    }

    /// Has the file name the exact upgrade before whose height the node stood when it was ended: nothing else makes it due
    /// there, and the node would be started and ended again and again. Whether there is something to do.
    pub(super) fn names_where_it_stood(&mut self, facts: &Facts, decision: &mut Decision) -> bool {
        let stood = self.run.life().and_then(|life| life.halt.filter(|height| life.stands_before(*height)));
        let Some(exact) = self.exact_ahead(facts).filter(|exact| Some(exact.height) == stood).cloned() else {
            return false;
        };
        let over = info(facts).map(|(upgrade, fingerprint)| (upgrade.plan.height, fingerprint));
        let unread = matches!(facts.info, Info::Unreadable { .. });
        // It may be there again in a moment.
        if unread && self.unreadable.is_some_and(|(_, since)| self.now < since + UNREAD) {
            wake_by(decision, self.now + self.settings.poll_interval);
        } else if unread || over.is_some_and(|(height, _)| height >= exact.height) {
            let is = if unread { "cannot be read" } else { "is of another upgrade" };
            let reason = format!("data/upgrade-info.json {is}");
            decision.notes.push(Note::NotExact { exact: exact.clone(), reason });
            self.begin(HomeJob::Missed(Exact { missed: true, ..exact }), decision);
        } else {
            self.begin(HomeJob::Name { plan: exact.plan(), over: over.map(|(_, fingerprint)| fingerprint) }, decision);
        }
        true
    }

    /// Restarts the node once, shortly before the height but not within a hundred blocks of it, so that it stops there.
    fn arm(&mut self, height: u64, facts: &Facts, decision: &mut Decision) -> bool {
        const WITHIN: u64 = 300;
        let (armed, committed) = self.run.life().map_or((None, None), |life| (life.halt, life.committed));
        // One that is behind is written off first: how high the node is is not known at its next start, and it would be
        // stopped there again, and so on.
        let behind = |exact: &&Exact| !exact.missed && armed == Some(exact.height) && committed >= armed;
        if let Some(exact) = facts.orders.exact.as_ref().filter(behind) {
            self.begin(HomeJob::Missed(Exact { missed: true, ..exact.clone() }), decision);
            return true;
        }
        let exact = self.exact_ahead(facts);
        if armed.is_some() && armed != exact.map(|exact| exact.height) {
            self.restart("because it is not to stop at that height any more", decision);
            return true;
        }
        let Some(exact) = exact else { return false };
        let left = exact.height.saturating_sub(height);
        if armed.is_some() || left > WITHIN {
            return false;
        }
        if self.learns_the_generation(facts, decision) {
            return true;
        }
        let cannot = if matches!(self.generation, Some((_, None))) {
            Some(
                "what `--halt-height` means to the running binary cannot be told from its `version --long`".to_string(),
            )
        } else if left <= schedule::CLOSE_BLOCKS {
            Some(format!("it came within {} blocks of the height before it could be restarted", schedule::CLOSE_BLOCKS))
        } else {
            None
        };
        if let Some(reason) = cannot {
            let exact = exact.clone();
            self.tell(format!("inexact {exact:?}"), decision, || Note::NotExact { exact, reason });
            return false;
        }
        self.restart("so that it stops before the exact height", decision);
        true
    }

    /// Whether a plan was to be swapped in before its height was executed, and the old binary executed it: then nothing is
    /// swapped any more without a new word of the operator.
    pub(super) fn came_too_late(&mut self, upgrade: &Upgrade, facts: &Facts, decision: &mut Decision) -> bool {
        let exact = facts.orders.exact.as_ref();
        let Some(exact) = exact.filter(|exact| exact.folder == upgrade.folder && exact.height == upgrade.plan.height)
        else {
            return false;
        };
        let Some(life) = self.run.life() else { return exact.missed };
        let unarmed = life.halt != Some(exact.height) && life.height().is_some_and(|height| height >= exact.height);
        // One that stood before it and interrupted itself had committed it before it could be killed.
        let stood_and_went_on = match life.ear {
            Ear::Heard(Words::At { began, reached }) if began + 1 == exact.height => Some(reached > began),
            _ => None,
        };
        let interrupted = match self.run {
            Run::Ended { exit: NodeExit::Code(130), .. } => {
                life.stands_before(exact.height) || life.goes_beyond && stood_and_went_on.is_some()
            }
            // As SDK 0.46 ends of it, and of a stop as well.
            Run::Ended { exit: NodeExit::Code(0), .. } => {
                life.goes_beyond && !life.unwanted && stood_and_went_on == Some(true)
            }
            _ => false,
        };
        let executed = interrupted || life.committed.is_some_and(|committed| committed >= exact.height);
        if !exact.missed && (unarmed || executed) {
            let reason = "the old binary executed it already".to_string();
            decision.notes.push(Note::NotExact { exact: exact.clone(), reason });
            self.begin(HomeJob::Missed(Exact { missed: true, ..exact.clone() }), decision);
        }
        exact.missed || unarmed || executed
    }
}

/// The replacement.
impl Core {
    /// Makes a replacement that is due: the node is stopped first where it runs the binary that is replaced.
    pub(super) fn replace_now(&mut self, facts: &Facts, decision: &mut Decision) -> bool {
        let ordered = facts.orders.replacement.as_ref();
        let Some(replacement) = ordered.filter(|ordered| self.given_up.as_ref() != Some(ordered)) else { return false };
        let height = self.run.life().and_then(Life::height);
        if replacement.at.is_some_and(|at| height.is_none_or(|height| height < at)) {
            return false;
        }
        match &self.run {
            Run::Alive(life) if life.version == replacement.version => {
                self.restart("with the binary that replaces its own", decision);
            }
            // It may run that binary behind a script that has ended.
            Run::Never | Run::Ended { .. } if facts.lock == NodeLock::Held => self.stop_stray(decision),
            _ => match &facts.record {
                // Another binary has all its attempts before it. The order stands until it is fulfilled, whatever comes between.
                RecordFact::Present(record) if record.attempts > 0 => {
                    self.begin(HomeJob::Remember(Record { attempts: 0, ..record.clone() }), decision);
                }
                _ => self.begin(HomeJob::Replace(replacement.version.clone()), decision),
            },
        }
        true
    }
}
