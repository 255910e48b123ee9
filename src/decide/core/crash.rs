//! A node that crashes while no upgrade is under way: it is started again where its operator wants that.

use ::core::time::Duration;
use alloc::{format, string::String};

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
        if most == 0 || was_asked_for(exit) {
            return false;
        }
        if let Some(why) = hopeless(life) {
            decision.notes.push(Note::Hopeless { why });
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
            self.tell(format!("crashed {at:?}"), decision, || why);
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

/// Whether somebody asked for it, so that it is no crash.
fn was_asked_for(exit: NodeExit) -> bool {
    matches!(exit.as_shell(), 0 | 130 | 143)
}

/// Why a node would end the same way again, or might do harm.
fn hopeless(life: &Life) -> Option<String> {
    let Ear::Heard(words) = &life.ear else { return None };
    Some(match words {
        Words::WrongAppHash => {
            const REMEDY: &str = "compare its binary with what others run, or give it other data";
            format!("it came to another state than the network (wrong app hash): {REMEDY}")
        }
        Words::Needs(folder) => format!("its data need the binary of upgrade {folder}"),
        Words::TooNew(folder) => format!(
            "its binary is that of upgrade {folder}, and its data are from before it: point cosmovisor/current at the version \
             before it"
        ),
        Words::Due(height) => format!("an upgrade is due at height {height}"),
        Words::Halted(height) => format!("it was told to stop at height {height}"),
        Words::Trouble(Trouble::DoubleSign, said) => format!("its key has signed elsewhere ({said})"),
        Words::Trouble(..) | Words::At { .. } | Words::Otherwise => return None,
    })
}
