//! Data that came from elsewhere: a snapshot, a backup, state sync. Which binary they need is told by the node itself, in the
//! words with which the wrong one ends.

use ::core::time::Duration;
use alloc::format;

use super::{
    super::{
        decision::{Decision, Exit, FetchJob, HomeJob},
        event::{Event, NodeExit, Words},
        facts::{Facts, Record, RecordFact, Staged, Verdict, Version},
        note::Note,
        run::{Ear, Run},
    },
    Core, info, key, known_data, version_of, wake_by,
};

/// How often another version is chosen in one run of `watcher`.
pub(super) const MOST_CHOSEN: u32 = 3;

impl Core {
    /// What to do about a node that ended before it answered, on data that no node of this home has worked on: it is
    /// started once more and listened to, and what it names is what runs. Whether there is something to do.
    pub(super) fn hear_it_out(&mut self, exit: NodeExit, event: &Event, decision: &mut Decision) -> bool {
        let facts = &event.facts;
        let Run::Ended { life, .. } = &self.run else { return false };
        // A node that catches up is at its height before it was heard of near it, or at all.
        let armed = life.halt.is_some();
        if exit == NodeExit::Code(0) || !(are_strange(facts) || armed) {
            return false;
        }
        match life.ear.clone() {
            Ear::Open
            | Ear::Heard(
                Words::Due(_)
                | Words::Halted(_)
                | Words::Trouble(..)
                | Words::WrongAppHash
                | Words::At { .. }
                | Words::Otherwise,
            ) => false,
            // That the node is started anew is told once.
            Ear::Closed if self.learns_the_generation(facts, decision) => true,
            Ear::Closed => {
                decision.notes.push(Note::Listens);
                self.start_as(facts, true, decision);
                true
            }
            Ear::Heard(Words::Needs(folder)) => self.choose(Version::Upgrade(folder), event, decision),
            Ear::Heard(Words::TooNew(folder)) => match &facts.record {
                // The version before it is known where this home made the switch.
                RecordFact::Present(record)
                    if version_of(facts) == Version::Upgrade(folder.clone()) && record.plan.height > 0 =>
                {
                    self.choose(record.from.clone(), event, decision)
                }
                _ => {
                    let reason = format!(
                        "the data are from before upgrade {folder}: point cosmovisor/current at the version before it"
                    );
                    decision.exit = Some(Exit::NodeFailed(reason));
                    true
                }
            },
        }
    }

    /// Whether a node stands on strange data with a block that its application does not take: out of block sync it stays up
    /// then (state sync, or a validator that is in step), and says why only to its log. It is started again, and ends before
    /// it answers, which is heard.
    pub(super) fn is_stuck(&mut self, event: &Event, decision: &mut Decision) -> bool {
        const LONG: Duration = Duration::from_secs(20);
        let Run::Alive(life) = &self.run else { return false };
        let stands = match (life.latest, life.committed) {
            // One that was told to stop there does what it was told.
            (Some(latest), Some(committed)) if life.halt != Some(latest) && !self.unheard => Some((latest, committed)),
            _ => None,
        };
        let since = self.stands.filter(|(at, _)| Some(*at) == stands).map_or(event.now, |(_, since)| since);
        self.stands = stands.map(|at| (at, since));
        self.tells_where_it_stands(event, decision);
        let refuses = stands.is_some_and(|(latest, committed)| latest == committed + 1);
        if !refuses || !are_strange(&event.facts) || self.chosen >= MOST_CHOSEN || event.now < since + LONG {
            return false;
        }
        self.stands = None;
        self.chosen += 1;
        self.restart("because it stands still on data from elsewhere, and may say why", decision);
        true
    }

    /// Tells of a node that has a block and does not execute it: of one that stands there as at its halt and has not written the
    /// plan, without which nothing is due (x/upgrade writes it before it stops the chain, in no time, or says to its log why it
    /// cannot), and of one that failed at it and stays up. After an upgrade it also tells of one that has come to no other block.
    fn tells_where_it_stands(&mut self, event: &Event, decision: &mut Decision) {
        const LONG: Duration = Duration::from_mins(1);
        const STILL: Duration = Duration::from_mins(5);
        let Some(((height, committed), since)) = self.stands else { return };
        let passed = match &event.facts.record {
            RecordFact::Present(Record { plan, verdict, .. })
                if height == committed
                    && plan.height > 0
                    && (plan.height..=plan.height.saturating_add(1)).contains(&height)
                    && !matches!(verdict, Verdict::Pending | Verdict::Skipped) =>
            {
                Some(plan.clone())
            }
            _ => None,
        };
        let long = match passed {
            Some(_) => STILL,
            None if height == committed + 1 => LONG,
            None => return,
        };
        if event.now < since + long {
            return wake_by(decision, since + long);
        }
        if let Some(plan) = passed {
            let (minutes, told) = (long.as_secs() / 60, format!("still {height} {}", key(&plan)));
            return self.tell(told, decision, || Note::Still { plan, height, minutes });
        }
        let scheduled = self.knowledge.scheduled().into_iter().find(|upgrade| upgrade.plan.height == height);
        let plan = scheduled.map(|upgrade| upgrade.plan.clone()).filter(|plan| !self.skips(plan.height));
        self.tell(format!("stands {} {height}", self.reminder()), decision, || match plan {
            Some(plan) => Note::Unwritten(plan),
            None => Note::Stands { height },
        });
    }

    fn choose(&mut self, version: Version, event: &Event, decision: &mut Decision) -> bool {
        let facts = &event.facts;
        if version == version_of(facts) || self.chosen >= MOST_CHOSEN {
            return false;
        }
        if let Version::Upgrade(folder) = &version {
            match facts.staged.get(folder) {
                // It was not looked at yet; the next facts show it.
                None => {
                    self.sought = Some(folder.clone());
                    wake_by(decision, event.now);
                    return true;
                }
                Some(Staged::Arriving) => return true,
                Some(Staged::None) => {
                    let reason = format!(
                        "the data need upgrade {folder}, which is not here: place its binary at \
                         $DAEMON_HOME/cosmovisor/upgrades/{folder}/bin/$DAEMON_NAME, or run `watcher fetch-history`"
                    );
                    decision.exit = Some(Exit::NodeFailed(reason));
                    return true;
                }
                Some(Staged::Suspect(receipt) | Staged::Ours(receipt))
                    if self.hashed.get(folder).is_none_or(|hashed| hashed.file != receipt.file) =>
                {
                    // What was fetched is hashed before it runs.
                    if self.fetch.is_idle() {
                        self.begin_fetch(FetchJob::Verify(folder.clone()), event.now, decision);
                    }
                    return true;
                }
                Some(_) => {}
            }
        }
        // An upgrade that was under way on other data begins anew on these, hooks and all.
        if let RecordFact::Present(record) = &facts.record
            && record.verdict == Verdict::Pending
            && (record.custom_hook_done || record.app_hook_done || record.starts > 0)
        {
            (self.hooks, self.counted, self.attempt) = (None, None, None);
            let (custom_hook_done, app_hook_done, starts, attempts) = (false, false, 0, 0);
            // What was saved of before it is of the other data.
            let outdated = true;
            let fresh = Record { custom_hook_done, app_hook_done, starts, attempts, outdated, ..record.clone() };
            self.begin(HomeJob::Remember(fresh), decision);
            return true;
        }
        self.runs_instead(version, facts, decision);
        true
    }

    /// Chooses another version for the data.
    pub(super) fn runs_instead(&mut self, version: Version, facts: &Facts, decision: &mut Decision) {
        self.chosen += 1;
        decision.notes.push(Note::Chosen { version: version.clone(), instead_of: version_of(facts) });
        self.begin(HomeJob::Choose(version), decision);
    }

    /// Remembers which `upgrade-info.json` is none of the node's: the next node may end before it says so. Whether it does
    /// so now.
    pub(super) fn remembers_who_wrote_it(&mut self, facts: &Facts, decision: &mut Decision) -> bool {
        let RecordFact::Present(record) = &facts.record else { return false };
        let foreign = info(facts).map(|(_, fingerprint)| fingerprint).filter(|file| self.foreign == Some(*file));
        if foreign.is_none() || record.foreign == foreign {
            return false;
        }
        self.begin(HomeJob::Remember(Record { foreign, ..record.clone() }), decision);
        true
    }

    /// Remembers that a node of this home made blocks on these data, past the last upgrade: older ones stay strange until
    /// they have come that far again. Whether it does so now.
    pub(super) fn remember_the_data(&mut self, facts: &Facts, decision: &mut Decision) -> bool {
        let RecordFact::Present(record) = &facts.record else { return false };
        let grew = self.run.life().is_some_and(|life| life.grew && life.committed >= Some(record.plan.height));
        if !grew || facts.data.is_none() || record.data == facts.data {
            return false;
        }
        let mut record = record.clone();
        record.data = facts.data;
        self.begin(HomeJob::Remember(record), decision);
        true
    }
}

/// Whether no node of this home has worked on its data.
pub(super) fn are_strange(facts: &Facts) -> bool {
    facts.data.is_some() && known_data(facts) != facts.data
}

/// What the validator has signed on these data. Those that came instead of ours may be older than that, and a record that is
/// lost may have told of it.
pub(super) fn signed_on_these(facts: &Facts) -> Option<u64> {
    facts.signed_height.filter(|_| facts.record != RecordFact::Unreadable && !were_exchanged(facts))
}

/// Whether the data are others than those on which this home has worked. A home that is taken over has worked with what it has.
pub(super) fn were_exchanged(facts: &Facts) -> bool {
    let RecordFact::Present(record) = &facts.record else { return false };
    are_strange(facts) && (record.data.is_some() || record.plan.height > 0)
}
