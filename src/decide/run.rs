//! One run of the node, and the rule that tells whether a plan is due.

use ::core::time::Duration;

use super::{
    decision::RunId,
    event::{NodeAnswer, NodeExit, Words},
    facts::{Fingerprint, Origin, Version},
    schedule,
};

/// The node process, as far as this `watcher` has started one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Run {
    /// None was started yet.
    #[default]
    Never,
    /// It was asked for, or runs.
    Alive(Life),
    /// It ended and was reaped.
    Ended {
        /// What is known of it.
        life: Life,
        /// How it ended.
        exit: NodeExit,
        /// When, on the monotonic clock.
        at: Duration,
    },
}

/// What is known of one run of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was seen, and any may go with any")]
pub struct Life {
    /// Its identity.
    pub id: RunId,
    /// Which version it is.
    pub version: Version,
    /// When it was started, on the monotonic clock.
    pub began: Duration,
    /// `upgrade-info.json` as it was before the start.
    pub info_before: Option<Fingerprint>,
    /// The greatest height that it named in this run.
    pub latest: Option<u64>,
    /// The greatest height that its application committed, as named in this run.
    pub committed: Option<u64>,
    /// When it was last asked about which file, and how often it was silent since it last answered.
    pub asked: Option<(Fingerprint, Duration)>,
    /// How often in a row it did not answer.
    pub silent: u32,
    /// Whether `watcher` itself wanted it to stop: then its exit code is told, not judged.
    pub unwanted: bool,
    /// Whether a stop job has seen it reaped; its exit code is heard apart, before or after.
    pub reaped: bool,
    /// The height of the exact upgrade before which its `--halt-height` stops it.
    pub halt: Option<u64>,
    /// Whether that `--halt-height` lets it execute what comes after it, where it stands there from the start (SDK below 0.50
    /// stops once it has committed a block that high, and compares nothing before).
    pub goes_beyond: bool,
    /// Whether it is listened to, and what it said at its end.
    pub ear: Ear,
    /// Whether its application committed a block on top of others in this run: its data are in order.
    pub grew: bool,
    /// The height that it named first.
    pub first: Option<u64>,
}

/// Whether a node is listened to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ear {
    /// It is not: its streams are ours.
    #[default]
    Closed,
    /// It is, and has said nothing yet that matters.
    Open,
    /// What it said.
    Heard(Words),
}

impl Life {
    /// A run that begins now.
    #[must_use]
    pub const fn new(id: RunId, version: Version, info_before: Option<Fingerprint>) -> Self {
        Self {
            id,
            version,
            began: Duration::ZERO,
            info_before,
            latest: None,
            committed: None,
            asked: None,
            silent: 0,
            unwanted: false,
            reaped: false,
            halt: None,
            goes_beyond: false,
            ear: Ear::Closed,
            grew: false,
            first: None,
        }
    }

    /// Takes in what the node said when it was asked.
    pub fn answered(&mut self, about: Fingerprint, answer: NodeAnswer, now: Duration) {
        self.asked = Some((about, now));
        self.silent = if answer.latest.is_some() { 0 } else { self.silent.saturating_add(1) };
        self.heard(answer);
    }

    /// Takes in heights. A latest height counts only beside the committed one or as the answer to a question: alone it
    /// would make a plan look due that this very binary has long passed.
    pub fn heard(&mut self, answer: NodeAnswer) {
        self.grew |= self.committed.is_some_and(|before| before > 0 && answer.committed > Some(before));
        self.latest = self.latest.max(answer.latest);
        self.committed = self.committed.max(answer.committed);
        self.first = self.first.or(self.height());
    }

    /// The greatest height that is known of it.
    #[must_use]
    pub fn height(&self) -> Option<u64> {
        self.latest.max(self.committed)
    }

    /// Whether `--halt-height` ended it before `height`. It says so itself, where its log tells. SDK 0.50 stays up else, with
    /// the height decided; before it the application sends itself SIGINT, of which the server makes 130, and SDK 0.46 makes 0 as
    /// at any other end.
    #[must_use]
    pub fn was_halted_before(&self, height: u64, exit: NodeExit) -> bool {
        let says =
            matches!(self.ear, Ear::Heard(Words::Halted(at)) if at == height || at.checked_add(1) == Some(height));
        let interrupted = match exit {
            NodeExit::Code(130) => true,
            NodeExit::Code(0) => self.goes_beyond && self.is_near(height),
            _ => false,
        };
        // It told of each block, so that somebody else has interrupted it.
        let fell_short = matches!(self.ear, Ear::Heard(Words::At { began, reached }) if reached > began && reached < height.saturating_sub(1));
        self.halt == Some(height) && !self.unwanted && (says || interrupted && !fell_short)
    }

    /// Whether it was started where it was to stop, and would execute the height: an earlier run had stopped there, and nobody
    /// lived to see it.
    #[must_use]
    pub fn stands_before(&self, height: u64) -> bool {
        self.goes_beyond && self.halt == Some(height) && !self.grew && self.committed.is_some_and(|at| at + 1 == height)
    }

    /// Whether it said, of this very file, that its height is further than the next.
    fn says_that_it_falls_short(&self, file: Fingerprint, height: u64) -> bool {
        let asked = self.asked.is_some_and(|(about, _)| about == file);
        asked && self.silent == 0 && self.latest.is_some_and(|latest| latest + 1 < height)
    }

    /// Whether its last words are that this height has come, or that something else ended it; nothing where they may be either. A
    /// file that it has `written` itself, as it seems, takes more to be denied.
    fn says_that_it_is_due(&self, height: u64, written: bool) -> Option<bool> {
        let Ear::Heard(words) = &self.ear else { return None };
        match words {
            Words::Due(at) if *at == height => Some(true),
            // x/upgrade writes the block's height, and says the plan's: one that is scheduled in its own block halts the next.
            Words::Due(at) if at.checked_add(1) == Some(height) => None,
            Words::Due(_) | Words::TooNew(_) | Words::Trouble(..) | Words::WrongAppHash => Some(false),
            // Its log may tell of no block.
            Words::At { began, reached } if written && began == reached => None,
            // It may not get as far as to tell of its last one.
            Words::At { reached: at, .. } | Words::Halted(at) => (*at < height.saturating_sub(1)).then_some(false),
            Words::Otherwise => (!written).then_some(false),
            Words::Needs(_) => None,
        }
    }

    /// Whether it was heard of within a few blocks of a height: what is heard lags a little.
    #[must_use]
    pub fn is_near(&self, height: u64) -> bool {
        const LAG: u64 = 3;
        self.height().is_some_and(|latest| latest + LAG >= height)
    }
}

/// Whether the plan in `upgrade-info.json` is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is.
    Yes,
    /// It is not, and nothing more is to be asked.
    No,
    /// The node is to be asked first.
    Ask,
    /// The node is to be asked again at this time.
    AskAt(Duration),
}

/// The plan of which it is asked whether it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The plan's height.
    pub height: u64,
    /// The bytes it stands in.
    pub fingerprint: Fingerprint,
    /// Who wrote them.
    pub origin: Origin,
    /// Whether a plan that was there before the node began can be what it died of: its binary is there, and what ran was
    /// not put in its place by hand after it. A home that is taken over keeps the file of its last upgrade for ever.
    pub plausible: bool,
}

/// How often a node does not answer before it is taken for one that stands at a height far above what was heard of it.
const MANY: u32 = 10;

impl Run {
    /// Whether a process exists.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        matches!(self, Self::Alive(_))
    }

    /// What is known of the run, alive or ended.
    #[must_use]
    pub const fn life(&self) -> Option<&Life> {
        match self {
            Self::Never => None,
            Self::Alive(life) | Self::Ended { life, .. } => Some(life),
        }
    }

    /// Whether it runs, and said of this file that its height is further than the next. One that has no block yet may get its state
    /// from beyond that height (state sync).
    #[must_use]
    pub fn has_not_written(&self, file: Fingerprint, height: u64) -> bool {
        matches!(self, Self::Alive(life) if life.latest > Some(0) && life.says_that_it_falls_short(file, height))
    }

    /// The rule. In this order: what the node answers decides, or says at its end; a file that an operator wrote waits for that; a
    /// file written since this run began is due once the node is silent or died; one that was there before, once it died.
    ///
    /// At a halt a node says H in `/status` and H-1 in `/abci_info`, because CometBFT saves block H before the
    /// application refuses it. A node in block sync, or one that is started again at H, dies before it can be asked.
    #[must_use]
    pub fn due(&self, plan: &Question, now: Duration, poll: Duration) -> Due {
        let Question { height, fingerprint, origin, plausible } = *plan;
        let Some(life) = self.life() else { return Due::No };
        if life.latest.is_some_and(|latest| latest >= height) {
            return Due::Yes;
        }
        let written_since = origin == Origin::Node && Some(fingerprint) != life.info_before;
        let says = life.says_that_it_is_due(height, written_since);
        if life.stands_before(height) || says == Some(true) {
            return Due::Yes;
        }
        match self {
            Self::Never => Due::No,
            Self::Ended { exit, .. } => {
                let fell_short = life.latest.is_some_and(|latest| latest + 1 < height);
                // What is in the file did not end it then.
                let denied = life.says_that_it_falls_short(fingerprint, height) || says == Some(false);
                // Nobody but others ends a process so; shells and the SDK below 0.50 make codes of SIGINT, SIGKILL and SIGTERM.
                let was_killed = matches!(exit.as_shell(), 130 | 137 | 143);
                let died = *exit != NodeExit::Code(0) && !was_killed && !fell_short && !denied;
                let died_at_it = origin == Origin::Node && died && plausible;
                let halted = life.was_halted_before(height, *exit);
                if written_since && !denied || died_at_it || halted { Due::Yes } else { Due::No }
            }
            Self::Alive(_) => match life.asked {
                Some((about, at)) if about == fingerprint => {
                    // One that was heard of far below it may be busy, and somebody else have written the file.
                    let enough = if life.height().is_none() || life.is_near(height) { 1 } else { MANY };
                    if written_since && life.silent >= enough {
                        return Due::Yes;
                    }
                    let left = life.latest.filter(|_| life.silent == 0).map(|latest| height - latest);
                    let again = at + schedule::ask_again(left, life.silent, poll);
                    if now >= again { Due::Ask } else { Due::AskAt(again) }
                }
                _ => Due::Ask,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_millis(300);
    const OLD: Fingerprint = Fingerprint { inode: 1, size: 60, modified: 1 };
    const NEW: Fingerprint = Fingerprint { inode: 1, size: 60, modified: 2 };

    fn alive(latest: Option<u64>) -> Run {
        let mut life = Life::new(RunId(1), Version::Genesis, Some(OLD));
        if let Some(latest) = latest {
            life.answered(NEW, NodeAnswer { latest: Some(latest), committed: None }, Duration::ZERO);
        }
        Run::Alive(life)
    }

    fn ended(exit: NodeExit, latest: Option<u64>) -> Run {
        let Run::Alive(life) = alive(latest) else { unreachable!("alive() is alive") };
        Run::Ended { life, exit, at: Duration::ZERO }
    }

    fn silent() -> Run {
        let Run::Alive(mut life) = alive(None) else { unreachable!("alive() is alive") };
        life.answered(NEW, NodeAnswer::default(), Duration::ZERO);
        Run::Alive(life)
    }

    #[test]
    fn the_rule_line_by_line() {
        let code = NodeExit::Code;
        let (node, operator) = (Origin::Node, Origin::Operator);
        let ask = |fingerprint, origin| Question { height: 5, fingerprint, origin, plausible: true };
        let at = |run: &Run, file, origin| run.due(&ask(file, origin), Duration::ZERO, POLL);
        // Nobody asked yet.
        assert_eq!(at(&alive(None), NEW, node), Due::Ask);
        // (1) The node answers.
        assert_eq!(at(&alive(Some(5)), NEW, node), Due::Yes);
        assert_eq!(at(&alive(Some(5)), NEW, operator), Due::Yes);
        assert_eq!(at(&alive(Some(4)), NEW, node), Due::AskAt(POLL));
        // (2) An operator's file waits for the answer.
        assert!(matches!(at(&silent(), NEW, operator), Due::AskAt(_)));
        assert_eq!(at(&ended(code(2), None), NEW, operator), Due::No);
        let says = |at| {
            let Run::Ended { life, exit, at: ended } = ended(code(2), None) else { unreachable!("it has ended") };
            Run::Ended { life: Life { ear: Ear::Heard(Words::Due(at)), ..life }, exit, at: ended }
        };
        assert_eq!([5, 6].map(|height| at(&says(height), OLD, operator)), [Due::Yes, Due::No]);
        // (3) Written since this run began, and the node is silent, or died, or even exited 0.
        assert_eq!(at(&silent(), NEW, node), Due::Yes);
        assert_eq!(at(&ended(code(2), None), NEW, node), Due::Yes);
        assert_eq!(at(&ended(code(0), None), NEW, node), Due::Yes);
        // What it said may be all that its log tells.
        let heard = |ear| {
            let Run::Ended { life, exit, at: ended } = ended(code(1), None) else { unreachable!("it has ended") };
            at(&Run::Ended { life: Life { ear: Ear::Heard(ear), ..life }, exit, at: ended }, NEW, node)
        };
        assert_eq!(heard(Words::At { began: 3, reached: 3 }), Due::Yes);
        assert_eq!(heard(Words::At { began: 1, reached: 3 }), Due::No);
        assert_eq!(heard(Words::Otherwise), Due::Yes);
        // (4) There before, and the node died.
        assert_eq!(at(&ended(code(1), None), OLD, node), Due::Yes);
        assert_eq!(at(&ended(code(0), None), OLD, node), Due::No);
        // The file of a home that was taken over is not what its node died of.
        let old = Question { plausible: false, ..ask(OLD, node) };
        assert_eq!(ended(code(1), None).due(&old, Duration::ZERO, POLL), Due::No);
        // A node that ended far below the height of a file that it was asked about did not end because of it.
        assert_eq!(at(&ended(code(0), Some(3)), NEW, node), Due::No);
        // A node that ran far below the height and crashed did not die of the plan.
        assert_eq!(at(&ended(code(1), Some(3)), OLD, node), Due::No);
    }

    /// A file that a person wrote, and forgot to make executable, was swapped for after one question without an answer.
    #[test]
    fn a_node_far_below_the_height_that_does_not_answer_once_may_be_busy() {
        let ask = Question { height: 5_000, fingerprint: NEW, origin: Origin::Node, plausible: true };
        let after = |latest, silent| {
            let asked = Some((NEW, Duration::ZERO));
            Run::Alive(Life { latest, asked, silent, ..Life::new(RunId(1), Version::Genesis, Some(OLD)) })
        };
        let due = |run: Run| run.due(&ask, Duration::ZERO, POLL) == Due::Yes;
        assert!(!due(after(Some(100), 1)) && due(after(Some(4_997), 1)) && due(after(None, 1)));
        assert!(due(after(Some(100), MANY)), "it stands, and was asked long ago");
    }

    #[test]
    fn an_end_by_its_own_sigint_is_the_halt_however_far_behind_the_last_word_is() {
        let Run::Alive(life) = alive(Some(100)) else { unreachable!("alive() is alive") };
        let life = Life { halt: Some(210), ..life };
        assert!(life.was_halted_before(210, NodeExit::Code(130)), "SDK 0.47 in block sync");
        assert!(!life.was_halted_before(210, NodeExit::Code(0)) && !life.was_halted_before(210, NodeExit::Code(2)));
        assert!(!life.was_halted_before(300, NodeExit::Code(130)), "another height");
        assert!(!Life { unwanted: true, ..life }.was_halted_before(210, NodeExit::Code(130)), "it was asked to end");
    }

    #[test]
    fn optimistic_execution_writes_the_file_before_the_height_is_decided_and_is_waited_for() {
        let ask = Question { height: 5, fingerprint: NEW, origin: Origin::Node, plausible: true };
        let mut run = alive(Some(4));
        assert_eq!(run.due(&ask, POLL, POLL), Due::Ask);
        let Run::Alive(life) = &mut run else { unreachable!("it is alive") };
        life.answered(NEW, NodeAnswer { latest: Some(5), committed: Some(4) }, POLL);
        assert_eq!(run.due(&ask, POLL, POLL), Due::Yes);
    }

    /// A run that is heard of: its application's last height, and its node's.
    fn at(committed: Option<u64>, latest: Option<u64>) -> Life {
        Life { latest, committed, ..Life::new(RunId(1), Version::Genesis, Some(OLD)) }
    }

    #[test]
    fn a_node_has_grown_once_its_application_put_a_block_on_another() {
        let mut life = at(None, None);
        for (committed, grew) in [(Some(0), false), (Some(1), false), (Some(1), false), (Some(2), true), (None, true)] {
            life.heard(NodeAnswer { latest: None, committed });
            assert_eq!(life.grew, grew, "{committed:?}");
        }
    }

    #[test]
    fn a_node_that_begins_just_before_its_halt_and_would_go_beyond_it_stands_there_and_the_plan_is_due() {
        let stands = Life { halt: Some(10), goes_beyond: true, ..at(Some(9), None) };
        assert!(stands.stands_before(10));
        let not = |life: Life| assert!(!life.stands_before(10), "{life:?}");
        not(Life { goes_beyond: false, ..stands.clone() });
        not(Life { halt: Some(11), ..stands.clone() });
        not(Life { grew: true, ..stands.clone() });
        for committed in [None, Some(8), Some(10)] {
            not(Life { committed, ..stands.clone() });
        }
        let ask = Question { height: 10, fingerprint: OLD, origin: Origin::Operator, plausible: true };
        assert_eq!(Run::Alive(stands).due(&ask, Duration::ZERO, POLL), Due::Yes);
    }

    #[test]
    fn an_armed_node_that_somebody_else_ends_was_not_halted_however_near_the_height_is() {
        let halted = |ear, goes_beyond, exit| {
            let life = Life { halt: Some(10), goes_beyond, ear, ..at(Some(7), Some(7)) };
            life.was_halted_before(10, exit)
        };
        let reached = |reached| Ear::Heard(Words::At { began: 5, reached });
        for exit in [NodeExit::Code(143), NodeExit::Code(1), NodeExit::Signal(2)] {
            assert!(!halted(Ear::Closed, true, exit) && !halted(reached(9), true, exit), "{exit:?}");
        }
        for exit in [NodeExit::Code(0), NodeExit::Code(130)] {
            for ear in [Ear::Open, reached(9), reached(u64::MAX)] {
                assert!(halted(ear.clone(), true, exit), "{exit:?} {ear:?}");
            }
            assert!(halted(reached(5), true, exit), "its log_level may be such that it tells of none");
            assert!(!halted(reached(8), true, exit), "it has committed no more");
        }
        assert!(!halted(Ear::Closed, false, NodeExit::Code(0)), "SDK 0.50 stays up");
        let far = Life { halt: Some(11), goes_beyond: true, ear: Ear::Open, ..at(Some(7), Some(7)) };
        assert!(!far.was_halted_before(11, NodeExit::Code(0)));
    }

    #[test]
    fn only_what_a_node_said_of_this_very_file_is_held_against_its_end() {
        let ask = |fingerprint| Question { height: 5, fingerprint, origin: Origin::Node, plausible: true };
        let due = |life: Life, file| {
            let run = Run::Ended { life, exit: NodeExit::Code(1), at: Duration::ZERO };
            run.due(&ask(file), Duration::ZERO, POLL)
        };
        let asked = |file, silent| Life { asked: Some((file, Duration::ZERO)), silent, ..at(None, Some(3)) };
        assert_eq!(due(asked(NEW, 0), NEW), Due::No);
        assert_eq!(due(asked(OLD, 0), NEW), Due::Yes, "it was asked about another file");
        assert_eq!(due(asked(NEW, 1), NEW), Due::Yes, "it has not answered since");
        assert_eq!(due(at(None, Some(4)), OLD), Due::Yes, "the height was the next");
        assert_eq!(Run::Alive(asked(OLD, 0)).due(&ask(NEW), Duration::ZERO, POLL), Due::Ask);
    }
}
