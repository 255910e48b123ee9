//! The core itself: takes an event, answers with a decision.

mod absorb;
mod crash;
mod failure;
mod fetch;
mod home;
mod orders;
mod restored;
mod status;
#[cfg(test)]
mod stories;
mod success;

use ::core::time::Duration;
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use super::{
    decision::{Attention, Decision, Exit, FetchJob, HomeJob, RunId},
    event::{Comparison, Event, Heard, Kind, News, Words},
    facts::{Current, DataIdentity, Facts, Fingerprint, Info, NodeLock, Origin, Record, RecordFact, Verdict, Version},
    knowledge::Knowledge,
    lane::Lane,
    note::Note,
    orders::Replacement,
    plan::{Folder, Plan, Upgrade},
    run::Run,
    schedule,
    settings::Settings,
};

/// Longest pause between attempts at something that fails, while nothing is due.
const SLOW_RETRY: Duration = Duration::from_mins(5);
/// Longest pause between attempts while the node stands at the halt.
const FAST_RETRY: Duration = Duration::from_secs(5);
/// Longest pause between attempts while no node runs and a hand is needed.
const WAITS_AT_MOST: Duration = Duration::from_secs(30);
/// How often the home is looked at for what no event tells, while nothing is under way.
const CALM: Duration = Duration::from_secs(1);
/// How often what needs a hand is told again.
const REMINDER: Duration = Duration::from_mins(10);
/// More artifacts than this are not remembered as failing.
const MOST_FAILING: usize = 32;
/// More distinct things than this are not remembered as told; then telling starts anew.
const MOST_TOLD: usize = 500;

/// Decides. Holds what this process has started and heard; what was done to the home is read from the facts each time.
#[derive(Debug, Clone, Default)]
pub struct Core {
    settings: Settings,
    /// The pause between two looks at the home while nothing is under way, where it is longer than what the operator chose.
    calm: Duration,
    /// When the event at hand happened.
    now: Duration,
    /// The last identity given to a job or a run.
    identities: u64,
    run: Run,
    home: Lane<HomeJob>,
    fetch: Lane<FetchJob>,
    knowledge: Knowledge,
    /// When the last node ended that this process has seen end, its own or a stray.
    gone_since: Option<Duration>,
    /// Whether a node that is not ours was there when the home was last looked at.
    stray: bool,
    /// How often a stop was asked for from outside.
    stops: u32,
    /// The placed files that were hashed in this run of `watcher`.
    hashed: BTreeMap<Folder, Hashed>,
    /// When each scheduled plan was first heard of.
    known_since: BTreeMap<Plan, Duration>,
    /// Fetches that failed in a row, and when to try again.
    fetching: BTreeMap<String, Retry>,
    /// Home jobs that failed in a row, and when to try again.
    acting: Retry,
    /// What failed there, where no node runs before it works.
    stands_still: Option<String>,
    /// The hooks that ran for this plan in this process, beside what the record says.
    hooks: Option<Hooks>,
    /// Whether this process made the switch: then `DAEMON_RESTART_AFTER_UPGRADE=false` ends it.
    switched_here: bool,
    /// The count of starts in the record once the next one is in it.
    counted: Option<u32>,
    /// Which attempt of the new binary this process started last; none where its end says nothing.
    attempt: Option<u32>,
    /// An upgrade that fails.
    failing: Failing,
    /// Crashes in a row while no upgrade was under way.
    crashes: u32,
    /// How the new binary stands beside the network, and when that is asked again.
    compared: Comparison,
    comparing: Retry,
    /// A job ended so that nothing can go on.
    fatal: Option<Exit>,
    /// Whether `--halt-height N` of this version stops before N, where it was asked and could be told.
    generation: Option<(Version, Option<bool>)>,
    /// The replacement that could not be made.
    given_up: Option<Replacement>,
    /// The version that the data need, as their node says.
    sought: Option<Folder>,
    /// At which height the node stands, which its application has committed, and since when.
    stands: Option<((u64, u64), Duration)>,
    /// The own node does not answer: where it stands is not known.
    unheard: bool,
    /// How often another version was chosen for the data in this process.
    chosen: u32,
    /// The plan whose binary is too new for the data, which were set back: the version before it runs to its height once more.
    makes_way: Option<Plan>,
    /// The plan for whose backup there was room when it was looked for last.
    roomy: Option<Plan>,
    /// The `upgrade-info.json` that looks like the node's and is none of it.
    foreign: Option<Fingerprint>,
    /// The plan that an operator wrote into `upgrade-info.json` for a height ahead.
    by_hand: Option<Plan>,
    /// What `upgrade-info.json` is that is no plan, and since when.
    unreadable: Option<(Fingerprint, Duration)>,
    told: BTreeSet<String>,
    /// Results that came for a job that nobody awaited.
    pub strays: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hashed {
    file: Fingerprint,
    near: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Retry {
    failures: u32,
    not_before: Duration,
}

#[derive(Debug, Clone, Default)]
struct Failing {
    /// Starts in a row that something outside the binary kept from running.
    waits: u32,
    /// The binary of the upgrade as it was hashed.
    weighed: Option<(Fingerprint, String)>,
    /// The binary that took a failed one's place, and since when.
    replaced: Option<(Fingerprint, Duration)>,
    /// Why the new binary's `pre-upgrade` refused.
    refused: Option<String>,
    /// Where the new binary said last that its application stands, if the last start that ran said it.
    stood: Option<Words>,
    /// Since when something stands in the way of going back that may be there again.
    unread: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Hooks {
    plan: Plan,
    saved: bool,
    custom: bool,
    app: bool,
    app_retries: i64,
}

impl Core {
    /// A core that knows nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// The folders under `upgrades/` that the facts must show beside what happened, and beside the one in
    /// `upgrade-info.json`.
    #[must_use]
    pub fn interest(&self, kind: &Kind) -> Vec<Folder> {
        let heard = match kind {
            Kind::Heard(Heard { news: News::Scheduled { upgrade, .. } | News::Proven { upgrade, .. }, .. }) => {
                upgrade.as_ref()
            }
            _ => None,
        };
        let upgrades = self.knowledge.scheduled().into_iter().chain(heard);
        upgrades.map(|upgrade| &upgrade.folder).chain(&self.sought).cloned().collect()
    }

    /// The node's run that exists now.
    #[must_use]
    pub const fn running(&self) -> Option<RunId> {
        match &self.run {
            Run::Alive(life) => Some(life.id),
            _ => None,
        }
    }

    /// From now on the shell hears by itself of a change to `upgrade-info.json`: while nothing is under way, there is no need
    /// to look as often as the operator asked for.
    pub const fn is_told_of_changes(&mut self) {
        self.calm = CALM;
    }

    /// The one question: given what happened and what is true, what now?
    pub fn decide(&mut self, event: &Event) -> Decision {
        let corrected = self.corrected(event);
        let event = corrected.as_ref().unwrap_or(event);
        let mut decision = Decision::default();
        self.now = event.now;
        self.knowledge.at(event.wall);
        self.absorb(event, &mut decision);
        let stray = event.facts.lock == NodeLock::Held && !self.run.is_alive();
        if self.stray && !stray {
            self.gone_since = Some(event.now);
        }
        self.stray = stray;
        self.cut_the_greeting(&event.facts, &mut decision);
        self.choose_home(event, &mut decision);
        if self.stops == 0 && decision.exit.is_none() {
            self.choose_fetch(event, &mut decision);
        }
        if decision.exit.is_some() {
            decision.cancel.extend(self.home.cancel());
            decision.cancel.extend(self.fetch.cancel());
        }
        let calm = self.run.is_alive() && self.home.is_idle() && pending(&event.facts).is_none();
        let poll = self.settings.poll_interval;
        wake_by(&mut decision, event.now + if calm { poll.max(self.calm) } else { poll });
        decision.attention = self.attention(event);
        decision
    }
}

/// Small questions.
impl Core {
    /// A file that was there while the node was well below its height is not the node's, whatever its permissions say: a node
    /// writes it at the halt, and anew where data were set back.
    fn corrected(&mut self, event: &Event) -> Option<Event> {
        let Info::Plan { upgrade, fingerprint, origin: Origin::Node } = &event.facts.info else { return None };
        let known = known_foreign(&event.facts) == Some(*fingerprint);
        if known || self.run.has_not_written(*fingerprint, upgrade.plan.height) {
            self.foreign = Some(*fingerprint);
        }
        (self.foreign == Some(*fingerprint)).then(|| {
            let info = Info::Plan { upgrade: upgrade.clone(), fingerprint: *fingerprint, origin: Origin::Operator };
            Event { facts: Facts { info, ..event.facts.clone() }, ..event.clone() }
        })
    }

    /// Whether the own node still has this upgrade before it.
    fn is_ahead(&self, upgrade: &Upgrade, facts: &Facts) -> bool {
        let committed = self.run.life().and_then(|life| life.committed);
        !facts.current.is(&upgrade.folder) && committed.is_none_or(|committed| committed < upgrade.plan.height)
    }

    /// Whether the binary of the upgrade that is pending runs already.
    fn runs_new(&self, facts: &Facts) -> bool {
        let new = pending(facts).map(|upgrade| Version::Upgrade(upgrade.folder.clone()));
        matches!((&self.run, new), (Run::Alive(life), Some(new)) if life.version == new)
    }

    fn hooks_for(&mut self, plan: &Plan) -> &mut Hooks {
        let hooks = self.hooks.take().filter(|hooks| hooks.plan == *plan);
        self.hooks.insert(hooks.unwrap_or_else(|| Hooks {
            plan: plan.clone(),
            saved: false,
            custom: false,
            app: false,
            app_retries: 0,
        }))
    }

    /// The record with the hooks that ran since it was written.
    fn with_hooks(&self, record: &Record) -> Record {
        let mut record = record.clone();
        if let Some(hooks) = self.hooks.as_ref().filter(|hooks| record.is_of(&hooks.plan)) {
            record.outdated &= !hooks.saved;
            record.custom_hook_done |= hooks.custom;
            record.app_hook_done |= hooks.app;
        }
        record
    }

    fn attention(&self, event: &Event) -> Attention {
        // What has come needs no attention any more, and stays known.
        let near = self.knowledge.scheduled().iter().any(|upgrade| {
            let left = self.knowledge.left(upgrade.plan.height);
            left.is_some_and(|(blocks, time)| {
                let soon = time.is_some_and(|time| time < schedule::CLOSE);
                blocks > 0 && (blocks <= schedule::CLOSE_BLOCKS || soon)
            })
        });
        let vote = self.knowledge.vote_ends_near(event.wall, schedule::VOTE_WINDOW);
        // Only the new binary is watched until it has passed: at the halt itself there is nothing to hear.
        if near || vote || self.runs_new(&event.facts) || self.orders_are_near(&event.facts.orders) {
            Attention::EveryBlock
        } else {
            Attention::Relaxed
        }
    }

    fn tell(&mut self, key: String, decision: &mut Decision, note: impl FnOnce() -> Note) {
        if self.told.len() >= MOST_TOLD {
            self.told.clear();
        }
        if self.told.insert(key) {
            decision.notes.push(note());
        }
    }

    /// What needs a hand is told again when this number changes.
    const fn reminder(&self) -> u64 {
        self.now.as_secs() / REMINDER.as_secs()
    }

    fn next_identity(&mut self) -> u64 {
        self.identities += 1;
        self.identities
    }
}

impl Retry {
    /// Where it was asked to wait, it waits a minute also at the halt: what is asked for in vain may refuse it for longer.
    fn failed(&mut self, now: Duration, most: Duration, asked: Option<Duration>) {
        const ASKED: Duration = Duration::from_mins(1);
        self.failures = self.failures.saturating_add(1);
        let pause = schedule::back_off(self.failures, most);
        self.not_before = now + asked.map_or(pause, |asked| asked.clamp(pause, most.max(ASKED)));
    }
}

/// The upgrade that is due and not finished, if any.
fn pending(facts: &Facts) -> Option<&Upgrade> {
    let (upgrade, ..) = info(facts)?;
    let RecordFact::Present(record) = &facts.record else { return None };
    (record.is_of(&upgrade.plan) && record.verdict == Verdict::Pending).then_some(upgrade)
}

/// A plan among what was told: short, whatever its info is.
fn key(plan: &Plan) -> String {
    format!("{:?} at {} ({} bytes)", plan.name, plan.height, plan.info.len())
}

fn info(facts: &Facts) -> Option<(&Upgrade, Fingerprint)> {
    if let Info::Plan { upgrade, fingerprint, .. } = &facts.info { Some((upgrade, *fingerprint)) } else { None }
}

/// What the node is asked about: the file that is there, or none.
fn asked_about(facts: &Facts) -> Fingerprint {
    info(facts).map(|(_, fingerprint)| fingerprint).unwrap_or_default()
}

/// The record of an upgrade that becomes due or is settled now; which data are known does not change with it. One that cannot
/// be read may have told of a start, or that the data came back from a backup after the validator had signed; the latter may
/// be so too where what it signed cannot be read.
fn record_of(plan: &Plan, facts: &Facts) -> Record {
    let lost = facts.record == RecordFact::Unreadable;
    let signed_before = if lost || facts.signer_unknown.is_some() { u64::MAX } else { 0 };
    Record {
        data: known_data(facts),
        foreign: known_foreign(facts),
        starts: u32::from(lost),
        signed_before,
        ..Record::new(plan.clone(), version_of(facts))
    }
}

/// The record of a home whose last upgrade is nothing to it any more; which data are known stays so.
fn nothing_on(facts: &Facts) -> Record {
    let (data, foreign) = (known_data(facts), known_foreign(facts));
    Record { data, foreign, ..Record::nothing(version_of(facts)) }
}

/// The data on which a node of this home last made blocks.
fn known_data(facts: &Facts) -> Option<DataIdentity> {
    if let RecordFact::Present(record) = &facts.record { record.data } else { None }
}

/// The `upgrade-info.json` that is known to be none of the node's.
fn known_foreign(facts: &Facts) -> Option<Fingerprint> {
    if let RecordFact::Present(record) = &facts.record { record.foreign } else { None }
}

fn version_of(facts: &Facts) -> Version {
    match &facts.current {
        Current::Version(version) => version.clone(),
        _ => Version::Genesis,
    }
}

fn wake_by(decision: &mut Decision, at: Duration) {
    decision.wake = Some(decision.wake.map_or(at, |wake| wake.min(at)));
}
