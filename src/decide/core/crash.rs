//! A node that crashes while no upgrade is under way: it is started again where its operator wants that.

use ::core::time::Duration;

use super::{
    super::{
        decision::{Decision, HomeJob},
        event::{Event, NodeExit, Trouble, Words},
        note::Note,
        run::{Ear, Life, Run},
        schedule,
    },
    Core, SLOW_RETRY, wake_by,
};

/// A node that ran for so long has not crashed in a row with what was before.
const LASTS: Duration = Duration::from_mins(10);

impl Core {
    /// Whether a node that ended by itself is started again, now or in a moment. A signer that is not connected is waited for
    /// without counting.
    pub(super) fn outlives_a_crash(&mut self, exit: NodeExit, event: &Event, decision: &mut Decision) -> bool {
        let Run::Ended { life, at, .. } = &self.run else { return false };
        let most = self.settings.crash_restarts;
        if most == 0 || !is_crash(life, exit) {
            return false;
        }
        let waits = matches!(life.ear, Ear::Heard(Words::Trouble(Trouble::SignerAway, _)));
        let (lasted, at) = (at.saturating_sub(life.began) >= LASTS, *at);
        let crashes = if lasted { 0 } else { self.crashes };
        if !waits && crashes >= most {
            decision.notes.push(Note::CrashLoop { crashes: crashes.saturating_add(1) });
            return false;
        }
        let pause =
            if waits { self.pause_for_trouble() } else { schedule::back_off(crashes.saturating_add(1), SLOW_RETRY) };
        if event.now < at + pause {
            let why = if let Ear::Heard(Words::Trouble(trouble, said)) = &life.ear {
                Note::Waits { trouble: *trouble, said: said.clone(), pause }
            } else {
                Note::Crashed { crashes: crashes.saturating_add(1), most, pause }
            };
            self.tell(alloc::format!("crashed {at:?}"), decision, || why);
            wake_by(decision, at + pause);
            return true;
        }
        // It counts once, however often the end is looked at.
        if self.learns_the_generation(&event.facts, decision) {
            return true;
        }
        if let Some(record) = self.outlived(&event.facts) {
            self.begin(HomeJob::Remember(record), decision);
            return true;
        }
        (self.crashes, self.failing.waits) =
            if waits { (crashes, self.failing.waits.saturating_add(1)) } else { (crashes + 1, 0) };
        self.start(&event.facts, decision);
        true
    }
}

/// Whether an end is a crash. What somebody asked for is none, and what would end the same way again, or might do harm, is
/// not tried again: the wrong version for the data, another state than the network's, a key that signs elsewhere.
fn is_crash(life: &Life, exit: NodeExit) -> bool {
    const ASKED_FOR: [NodeExit; 5] =
        [NodeExit::Code(0), NodeExit::Code(130), NodeExit::Code(143), NodeExit::Signal(2), NodeExit::Signal(15)];
    let hopeless = matches!(
        life.ear,
        Ear::Heard(
            Words::Needs(_)
                | Words::TooNew(_)
                | Words::Halted(_)
                | Words::WrongAppHash
                | Words::Trouble(Trouble::DoubleSign, _)
        )
    );
    !hopeless && !ASKED_FOR.contains(&exit)
}
