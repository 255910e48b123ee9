//! The fetch lane: what is fetched and hashed beside the node.

use ::core::time::Duration;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    super::{
        agreement::Belief,
        decision::{Decision, FetchJob, JobId},
        event::{Event, OWN_NODE},
        facts::Staged,
        note::Note,
        plan::{Asks, Folder, Plan, Upgrade},
        schedule::{self, Urgency},
    },
    Core, key, pending, wake_by,
};

impl Core {
    pub(super) fn choose_fetch(&mut self, event: &Event, decision: &mut Decision) {
        let facts = &event.facts;
        // Once the new binary runs, the upgrade after it is what is fetched for; so it is while one waits that means nothing to
        // the chain.
        let waits = |upgrade: &&Upgrade| facts.is_named_by_hand() && facts.orders.hold(&upgrade.folder).is_some();
        let under = pending(facts).filter(|upgrade| !self.runs_new(facts) && !waits(upgrade)).cloned();
        let scheduled: Vec<Upgrade> = self.knowledge.scheduled().into_iter().cloned().collect();
        if let Some(FetchJob::Fetch { upgrade, .. }) = self.fetch.job() {
            // At the halt nothing else is worth the bandwidth; before it, nothing that is not scheduled any more.
            let wanted = match &under {
                Some(due) => due.asks == upgrade.asks,
                None => scheduled.iter().any(|other| other.asks == upgrade.asks),
            };
            if !wanted {
                decision.cancel.extend(self.fetch.cancel());
            }
        }
        if !self.fetch.is_idle() {
            return;
        }
        if let Some(upgrade) = under {
            self.fetch_for(&upgrade, true, event, decision);
            return;
        }
        for upgrade in scheduled {
            if self.is_ahead(&upgrade, facts) && self.fetch_for(&upgrade, false, event, decision) {
                return;
            }
        }
        self.asks_how_it_goes(event, decision);
    }

    /// What the fetch lane can do for an upgrade now; whether it began something.
    pub(super) fn fetch_for(&mut self, upgrade: &Upgrade, due: bool, event: &Event, decision: &mut Decision) -> bool {
        let facts = &event.facts;
        let switched = facts.current.is(&upgrade.folder);
        match facts.staged.get(&upgrade.folder).unwrap_or(&Staged::None) {
            _ if switched => false,
            Staged::Arriving => false,
            Staged::Operator => {
                self.tell(format!("own {}", key(&upgrade.plan)), decision, || {
                    Note::OperatorsOwn(upgrade.plan.clone(), upgrade.folder.clone())
                });
                false
            }
            Staged::Suspect(_) => self.begin_fetch(FetchJob::Verify(upgrade.folder.clone()), event.now, decision),
            Staged::Ours(receipt) if receipt.satisfies(upgrade) => {
                let near = self.is_near(&upgrade.folder);
                let fresh = self.hashed.get(&upgrade.folder);
                let fresh = fresh.is_some_and(|hashed| hashed.file == receipt.file && (hashed.near || !near || due));
                !fresh && self.begin_fetch(FetchJob::Verify(upgrade.folder.clone()), event.now, decision)
            }
            Staged::Ours(_) | Staged::None if facts.stored.iter().any(|receipt| receipt.satisfies(upgrade)) => false,
            Staged::Ours(_) | Staged::None => {
                let fetchable = matches!(upgrade.asks, Asks::Artifact(_) | Asks::Document { .. });
                if !self.settings.downloads || !fetchable {
                    self.missing(upgrade, due.then_some(Urgency::Now), decision);
                    return false;
                }
                if !due && !self.may_stage(&upgrade.plan) {
                    return false;
                }
                self.missing(upgrade, due.then_some(Urgency::Now), decision);
                let at = if due { event.now } else { self.fetch_time(upgrade, event.now) };
                if event.now < at {
                    wake_by(decision, at);
                    return false;
                }
                let source = if due { None } else { self.knowledge.told_by(&upgrade.plan) };
                self.begin_fetch(FetchJob::Fetch { upgrade: upgrade.clone(), source }, event.now, decision)
            }
        }
    }

    /// Whether this plan is believed enough for its binary to be fetched and placed: the own node's word is, and that of
    /// others where as many as `WATCHER_QUORUM` agree, or one of them proves it.
    pub(super) fn may_stage(&self, plan: &Plan) -> bool {
        let quorum = self.settings.quorum;
        let own = || self.knowledge.told_by(plan) == Some(OWN_NODE);
        quorum <= 1 || own() || self.knowledge.belief(plan, quorum) != Belief::Claimed
    }

    /// Whether the height of a plan for this folder is so near that the placed file is hashed once more.
    pub(super) fn is_near(&self, folder: &Folder) -> bool {
        let scheduled = self.knowledge.scheduled();
        let mut heights = scheduled.iter().filter(|other| other.folder == *folder).map(|other| other.plan.height);
        heights.any(|height| self.knowledge.left(height).is_some_and(|left| left.0 <= schedule::NEAR_BLOCKS))
    }

    pub(super) fn fetch_time(&mut self, upgrade: &Upgrade, now: Duration) -> Duration {
        let since = *self.known_since.entry(upgrade.plan.clone()).or_insert(now);
        let left = self.knowledge.left(upgrade.plan.height).and_then(|left| left.1);
        since + schedule::jitter(self.settings.jitter, left, self.settings.seed)
    }

    /// Begins a job, unless the same one failed a moment ago.
    pub(super) fn begin_fetch(&mut self, job: FetchJob, now: Duration, decision: &mut Decision) -> bool {
        if let Some(retry) = self.fetching.get(&key_of(&job)).filter(|retry| now < retry.not_before) {
            wake_by(decision, retry.not_before);
            return false;
        }
        let id = JobId(self.next_identity());
        self.fetch.begin(id, job.clone());
        decision.fetch = Some((id, job));
        true
    }

    /// Says what must be placed where and by when, louder as the height comes near.
    pub(super) fn missing(&mut self, upgrade: &Upgrade, urgency: Option<Urgency>, decision: &mut Decision) {
        let left = self.knowledge.left(upgrade.plan.height);
        let reason = match &upgrade.asks {
            Asks::Nothing { reason } | Asks::Unusable { reason } => reason.clone(),
            _ if !self.settings.downloads => {
                "binary not present, downloading disabled: DAEMON_ALLOW_DOWNLOAD_BINARIES is not true".to_string()
            }
            // Each failure is told as it happens. That there is still none is told once it does not pass at once.
            asks if self.fetching.get(&key_of_artifact(asks)).is_none_or(|retry| retry.failures < 4) => return,
            _ => "it could not be fetched so far, and is tried again: the warnings say why".to_string(),
        };
        let urgency = urgency.unwrap_or_else(|| schedule::urgency(left));
        // At the halt it is said again and again.
        let again = if urgency == Urgency::Now { self.reminder() } else { 0 };
        self.tell(format!("missing {urgency:?} {again} {}", key(&upgrade.plan)), decision, || Note::Missing {
            plan: upgrade.plan.clone(),
            folder: upgrade.folder.clone(),
            reason,
            urgency,
            left,
        });
    }
}

/// What a failure is remembered by: the artifact, or the folder. A plan that names another artifact does not wait for the
/// one before it.
pub(super) fn key_of(job: &FetchJob) -> String {
    match job {
        FetchJob::Fetch { upgrade, .. } => key_of_artifact(&upgrade.asks),
        FetchJob::Verify(folder) => folder.to_string(),
        FetchJob::Compare(height) => height.to_string(),
    }
}

fn key_of_artifact(asks: &Asks) -> String {
    format!("{asks:?}")
}
