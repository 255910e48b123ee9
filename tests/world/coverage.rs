//! What happened where: how often each kind of event came at each rung of the ladder, by what is true of the world. A cell
//! that stays empty is a promise nobody has tried.

use std::fmt;

use watcher::decide::{
    decision::{HomeJob, JobId},
    event::{Heard, Kind, News, OWN_NODE, Outcome},
    facts::{Backup, FailureState},
    plan::Plan,
};

use super::{
    chain::upgrade,
    history::{Act, Channel, Voice},
    jobs::Work,
    machine::World,
};

/// The rungs, from the bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// No upgrade is due.
    Ahead,
    /// One is, and its binary is not there, or is not sound.
    Binary,
    /// The operator's brake is on.
    Brake,
    Stop,
    BackUp,
    Script,
    Switch,
    PreUpgrade,
    Start,
    /// The new binary runs, and the height is not committed.
    Pass,
    /// It is, and that is not written down.
    Passed,
    /// It failed, and waits for its operator or another binary.
    Failed,
    /// It failed, and is being taken back.
    Back,
}

/// What can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Tick,
    /// The first look at the home of which no event is the reason, a while after `upgrade-info.json` was written.
    FileLate,
    /// A node ends.
    Exit,
    JobDone,
    /// A job is done, and that is heard a while later.
    JobLate,
    /// A job failed and did nothing.
    FailedAtOnce,
    /// A job failed after it had done its work.
    FailedLate,
    OwnNode,
    Others,
    Lie,
    Proof,
    /// The chain schedules, moves or cancels an upgrade.
    Plan,
    Hold,
    /// The operator names a height, or replaces a binary.
    Order,
    /// The operator's word on an upgrade that failed, or is to be taken back.
    Ruling,
    /// Somebody changes the binary that was staged.
    Binary,
    Signal,
    Kill,
    PowerCut,
    /// A `watcher` begins.
    Begin,
}

use Event as E;
use Rung as R;

const RUNGS: [Rung; 13] = [
    R::Ahead,
    R::Binary,
    R::Brake,
    R::Stop,
    R::BackUp,
    R::Script,
    R::Switch,
    R::PreUpgrade,
    R::Start,
    R::Pass,
    R::Passed,
    R::Failed,
    R::Back,
];
const EVENTS: [Event; 20] = [
    E::Tick,
    E::FileLate,
    E::Exit,
    E::JobDone,
    E::JobLate,
    E::FailedAtOnce,
    E::FailedLate,
    E::OwnNode,
    E::Others,
    E::Lie,
    E::Proof,
    E::Plan,
    E::Hold,
    E::Order,
    E::Ruling,
    E::Binary,
    E::Signal,
    E::Kill,
    E::PowerCut,
    E::Begin,
];

/// What cannot come where, and why.
const IMPOSSIBLE: &[(&[Rung], &[Event], &str)] = &[
    (&[R::BackUp, R::Script, R::Switch, R::PreUpgrade, R::Start, R::Failed, R::Back], &[E::Exit], "no node runs there"),
    (
        &[R::PreUpgrade, R::Start, R::Pass, R::Passed, R::Failed, R::Back],
        &[E::FileLate],
        "an old binary writes it, and the home is looked at before the switch",
    ),
];
/// Milliseconds after which something is heard late.
const LATE: u64 = 100;

/// How often what came where.
#[derive(Debug, Default, Clone, Copy)]
pub struct Coverage([[u64; EVENTS.len()]; RUNGS.len()]);

impl Coverage {
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.as_flattened_mut().iter_mut().zip(other.0.as_flattened()) {
            *count += more;
        }
    }

    /// The cells that are empty and should not be, and those that are called impossible and are not.
    pub fn faults(&self) -> Vec<String> {
        let cells = RUNGS.into_iter().flat_map(|rung| EVENTS.map(|event| (rung, event)));
        let cells = cells.map(|(rung, event)| (rung, event, self.0[rung as usize][event as usize] > 0));
        let wrong = cells.filter(|(rung, event, came)| *came == why_not(*rung, *event).is_some());
        wrong
            .map(|(rung, event, came)| format!("{event:?} at {rung:?}: {}", if came { "came" } else { "never came" }))
            .collect()
    }
}

fn why_not(rung: Rung, event: Event) -> Option<&'static str> {
    IMPOSSIBLE.iter().find(|(rungs, events, _)| rungs.contains(&rung) && events.contains(&event)).map(|(.., why)| *why)
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:12}", "")?;
        RUNGS.iter().try_for_each(|rung| write!(f, "{:>11}", format!("{rung:?}")))?;
        for event in EVENTS {
            write!(f, "\n{:12}", format!("{event:?}"))?;
            for rung in RUNGS {
                match (self.0[rung as usize][event as usize], why_not(rung, event)) {
                    (0, Some(_)) => write!(f, "{:>11}", "-")?,
                    (count, _) => write!(f, "{count:>11}")?,
                }
            }
        }
        IMPOSSIBLE.iter().try_for_each(|(rungs, events, why)| write!(f, "\n- {events:?} at {rungs:?}: {why}"))
    }
}

/// What is true when something comes.
impl World {
    fn hit(&mut self, event: Event) {
        self.hit_at(self.rung(), event);
    }

    fn hit_at(&mut self, rung: Rung, event: Event) {
        self.tally.coverage.0[rung as usize][event as usize] += 1;
    }

    pub fn covers(&mut self, act: Act) {
        let changes = self.chain.due_at(self.chain.height + 1).is_none();
        let failed = self.disk.record().is_some_and(|record| record.failure.is_some());
        let event = match act {
            Act::Schedule(..) if changes => E::Plan,
            Act::Reschedule(_) | Act::Cancel if changes && self.chain.scheduled().is_some() => E::Plan,
            Act::Hold(on) if on == self.disk.home.orders.holds.is_empty() => E::Hold,
            Act::Name(..) | Act::Replace(_) => E::Order,
            Act::Rollback => E::Ruling,
            Act::Resume if failed => E::Ruling,
            Act::Place | Act::Mend | Act::Harm(_) => E::Binary,
            Act::Signal if self.watcher.is_some() => E::Signal,
            Act::Kill if self.watcher.is_some() => E::Kill,
            Act::PowerCut(_) => E::PowerCut,
            Act::Start if self.watcher.is_none() => E::Begin,
            _ => return,
        };
        self.hit(event);
    }

    pub fn covers_what_is_heard(&mut self, kind: &Kind) {
        match kind {
            Kind::Tick if self.written.take().is_some_and(|at| self.now >= at + LATE) => self.hit(E::FileLate),
            Kind::Tick => self.hit(E::Tick),
            Kind::Heard(Heard { news: News::Proven { .. }, .. }) => self.hit(E::Proof),
            Kind::Heard(Heard { endpoint, .. }) if *endpoint == OWN_NODE => self.hit(E::OwnNode),
            Kind::Heard(Heard { endpoint, .. }) => {
                let voice = self.ways.voices[usize::from(endpoint.0 != 1)];
                let truth = matches!(voice, Voice::Lags(_) | Voice::Silent | Voice::Proves(_));
                self.hit(if truth { E::Others } else { E::Lie });
            }
            // Acts, and the ends of nodes and jobs, are counted where they come from.
            Kind::Exited { .. } | Kind::JobDone { .. } | Kind::Signal(_) => {}
        }
    }

    pub fn covers_an_exit(&mut self) {
        if self.watcher.is_some() && self.process.as_ref().is_some_and(|(_, process)| process.child) {
            self.hit(E::Exit);
        }
    }

    pub fn covers_an_end(&mut self, id: JobId, outcome: &Outcome) {
        let Some(job) = self.watcher.as_ref().and_then(|watcher| watcher.jobs.iter().find(|job| job.id == id)) else {
            return;
        };
        let rung = self.rung_of(&job.work).unwrap_or_else(|| self.rung());
        let event = match outcome {
            Outcome::Failed { .. } if job.fails && self.ways.fails_late => E::FailedLate,
            Outcome::Failed { .. } => E::FailedAtOnce,
            _ if self.pace(Channel::Done) > LATE => E::JobLate,
            _ => E::JobDone,
        };
        self.hit_at(rung, event);
    }

    /// The rung that a job is at, also when it is being done again.
    fn rung_of(&self, work: &Work) -> Option<Rung> {
        let Work::Home(job) = work else { return None };
        match job {
            HomeJob::Stop { .. } | HomeJob::StopStray { .. } if self.rung_by_truth() != Rung::Ahead => Some(Rung::Stop),
            HomeJob::BackUp(_) => Some(Rung::BackUp),
            HomeJob::CustomHook(_) => Some(Rung::Script),
            HomeJob::Switch { .. } => Some(Rung::Switch),
            HomeJob::AppHook => Some(Rung::PreUpgrade),
            _ => None,
        }
    }

    fn rung(&self) -> Rung {
        let mut jobs = self.watcher.iter().flat_map(|watcher| &watcher.jobs);
        jobs.find_map(|job| self.rung_of(&job.work)).unwrap_or_else(|| self.rung_by_truth())
    }

    fn rung_by_truth(&self) -> Rung {
        let failure = self.disk.record().and_then(|record| record.failure.as_ref());
        match failure.map(|failure| failure.state) {
            Some(FailureState::Held | FailureState::RolledBack) => return Rung::Failed,
            Some(FailureState::Retrying | FailureState::RollingBack) => return Rung::Back,
            None => {}
        }
        let Some(plan) = self.due() else { return Rung::Ahead };
        let (upgrade, key) = (upgrade(plan), (plan.name.clone(), plan.height));
        let alive = self.process.is_some();
        if self.is_current(&upgrade.folder) {
            return match (alive, self.data.committed >= plan.height, self.past.app.contains(&key)) {
                (_, true, _) => Rung::Passed,
                (true, ..) => Rung::Pass,
                (false, _, true) => Rung::Start,
                (false, _, false) => Rung::PreUpgrade,
            };
        }
        let binary = self.disk.home.staged.get(&upgrade.folder);
        let fits =
            binary.is_some_and(|binary| binary.receipt.as_ref().is_none_or(|receipt| receipt.satisfies(&upgrade)));
        if !fits || !self.disk.staged(&upgrade.folder).is_some_and(|file| file.sound) {
            Rung::Binary
        } else if self.disk.home.orders.hold(&upgrade.folder).is_some() {
            Rung::Brake
        } else if alive {
            Rung::Stop
        } else if self.disk.backup(self.setup.backups) == Backup::Missing {
            Rung::BackUp
        } else if self.setup.custom_hook && !self.past.custom.contains(&key) {
            Rung::Script
        } else {
            Rung::Switch
        }
    }

    /// The plan in upgrade-info.json at whose height the node stands, or which is under way.
    fn due(&self) -> Option<&Plan> {
        let under_way =
            |plan: &Plan| self.disk.record().is_some_and(|record| record.is_of(plan) && !record.verdict.has_passed());
        let stands = |plan: &Plan| self.data.committed < plan.height && plan.height <= self.data.block;
        self.disk.plan().filter(|plan| stands(plan) || under_way(plan))
    }
}
