//! Success is more than a height: the new binary came to the state that the network agreed on, the block after that was
//! applied, and the validator signs again.

use super::{
    super::{
        decision::{Decision, FetchJob, HomeJob},
        event::{Comparison, Event, Signs},
        facts::{Facts, Record, RecordFact, Verdict},
        note::Note,
    },
    Core, SLOW_RETRY, wake_by,
};

impl Core {
    /// Begins to ask for what is not shown yet, seldomer each time.
    pub(super) fn asks_how_it_goes(&mut self, event: &Event, decision: &mut Decision) {
        let Some(height) = self.unproven(&event.facts).map(|record| record.plan.height) else { return };
        if event.now < self.comparing.not_before {
            return wake_by(decision, self.comparing.not_before);
        }
        self.comparing.failed(event.now, SLOW_RETRY, None);
        self.begin_fetch(FetchJob::Compare(height), event.now, decision);
    }

    /// Writes down what was shown; whether it does so now.
    pub(super) fn proves(&mut self, facts: &Facts, decision: &mut Decision) -> bool {
        let Some(record) = self.unproven(facts) else { return false };
        let Comparison { own, theirs, signs } = &self.compared;
        // A node does not apply a block whose header names another state than its own.
        let applied = self.run.life().is_some_and(|life| life.committed > Some(record.plan.height));
        let verdict = match (record.verdict, own, theirs) {
            (Verdict::Passed | Verdict::Forked, ..) if applied => Verdict::Agreed,
            (Verdict::Passed, Some(own), Some((_, theirs))) if own == theirs => Verdict::Agreed,
            (Verdict::Passed, Some(_), Some(_)) => Verdict::Forked,
            (Verdict::Agreed, ..) if *signs == Signs::Yes => Verdict::Signing,
            _ => return false,
        };
        let plan = record.plan.clone();
        let note = match (verdict, own.clone(), theirs.clone()) {
            (Verdict::Forked, Some(own), Some((by, theirs))) => Note::Forked { plan, own, theirs, by },
            _ => Note::Proven { plan, verdict },
        };
        self.tell_once(note, decision);
        let record = Record { verdict, ..record.clone() };
        self.comparing = super::Retry::default();
        self.compared = Comparison { signs: self.compared.signs, ..Comparison::default() };
        self.begin(HomeJob::Remember(record), decision);
        true
    }

    /// The last upgrade, where its node tells its heights and there is something left to show.
    fn unproven<'a>(&self, facts: &'a Facts) -> Option<&'a Record> {
        let RecordFact::Present(record) = &facts.record else { return None };
        let left = match record.verdict {
            Verdict::Passed | Verdict::Forked => true,
            Verdict::Agreed => self.compared.signs != Signs::NoValidator,
            Verdict::Pending | Verdict::Signing | Verdict::Skipped => false,
        };
        let committed =
            self.run.is_alive() && self.run.life().is_some_and(|life| life.committed >= Some(record.plan.height));
        (left && committed && record.plan.height > 0).then_some(record)
    }
}
