//! What endpoints say: the own node what is true of it, others the truth of a while ago, nothing, or a lie.

use watcher::decide::{
    event::{Action, EndpointId, Heard, Kind, News, OWN_NODE, Proposal, ProposalStatus},
    plan::Plan,
};

use super::{
    chain::upgrade,
    history::{Channel, Voice},
    machine::World,
    node::Phase,
};

/// Milliseconds since the Unix epoch at height 0, and between blocks.
const GENESIS: u64 = 1_700_000_000_000;
const BLOCK: u64 = 5_000;
/// Milliseconds for which a proof says what is.
const PROOFS_HOLD: u64 = 60_000;

/// How an endpoint is followed.
#[derive(Debug, Default)]
pub struct Follower {
    /// When its last answer comes.
    last: u64,
    /// Whether it told its id.
    named: bool,
    /// What it proved last, and until when that holds.
    proven: Option<(Option<Plan>, u64)>,
    /// The last plan it told, asked after once it is no longer scheduled.
    believed: Option<Plan>,
}

impl World {
    /// Every endpoint is asked once.
    pub fn poll_endpoints(&mut self) {
        if self.watcher.is_none() {
            return;
        }
        self.ask_own_node();
        for (index, voice) in (1..).zip(self.ways.voices) {
            let endpoint = EndpointId(index);
            if self.network {
                self.ask_other(endpoint, voice);
            } else {
                self.says(endpoint, News::Failed { reason: "no network".to_owned(), silent: true });
            }
        }
    }

    fn ask_own_node(&mut self) {
        let phase = self.process.as_ref().filter(|(_, process)| process.answers() && !self.ways.deaf);
        let Some(phase) = phase.map(|(_, process)| process.phase) else {
            self.says(OWN_NODE, News::Failed { reason: "connection refused".to_owned(), silent: true });
            return;
        };
        let data = self.data;
        let catching_up = phase == Phase::Runs && data.committed + 2 < self.chain.height;
        let committed = Some(data.committed);
        self.says_node(OWN_NODE);
        self.says(OWN_NODE, News::Block { height: data.block, time: time(data.block), catching_up, committed });
        let plan = self.chain.scheduled_at(data.committed).cloned();
        self.says_scheduled(OWN_NODE, data.committed, plan.as_ref());
        if self.setup.proves {
            self.shows_proof(OWN_NODE, data.block, plan.as_ref());
        }
    }

    fn ask_other(&mut self, endpoint: EndpointId, voice: Voice) {
        self.past.misled |= !matches!(voice, Voice::Lags(0) | Voice::Proves(0) | Voice::Silent);
        let height = self.chain.height;
        let truth = self.chain.scheduled().cloned();
        let (height, plan) = match voice {
            Voice::Lags(_) | Voice::Proves(_) => {
                let height = self.reads(voice);
                (height, self.chain.scheduled_at(height).cloned())
            }
            Voice::Silent => {
                self.says(endpoint, News::Failed { reason: "timed out".to_owned(), silent: true });
                return;
            }
            Voice::Null => (height, None),
            Voice::OtherArtifact => (height, truth.map(|plan| Plan { info: "https://host/evil".to_owned(), ..plan })),
            Voice::OtherPlan(ahead) => {
                let info = "https://host/evil".to_owned();
                (height, Some(Plan { name: "Evil9".to_owned(), height: height + u64::from(ahead), info }))
            }
            Voice::Height(height) => (height, None),
        };
        self.says_node(endpoint);
        self.says(endpoint, News::Block { height, time: time(height), catching_up: false, committed: Some(height) });
        self.says_scheduled(endpoint, height, plan.as_ref());
        if matches!(voice, Voice::Proves(_)) {
            self.shows_proof(endpoint, height, plan.as_ref());
        }
    }

    /// The last block of which an endpoint has heard, 0 where it does not answer.
    pub fn reads(&self, voice: Voice) -> u64 {
        match voice {
            Voice::Lags(blocks) | Voice::Proves(blocks) => self.chain.height.saturating_sub(u64::from(blocks)).max(1),
            Voice::Silent => 0,
            _ => self.chain.height,
        }
    }

    fn says_node(&mut self, endpoint: EndpointId) {
        if !std::mem::replace(&mut self.followers[usize::from(endpoint.0)].named, true) {
            self.says(endpoint, News::Node(format!("{endpoint:?}")));
        }
    }

    /// Proves what is scheduled where it said something else than it proved last, or that grows old. The hash that a proof
    /// leads to stands in the latest block, so that it is one of the height before.
    fn shows_proof(&mut self, endpoint: EndpointId, latest: u64, said: Option<&Plan>) {
        let wall = GENESIS + self.now;
        let proven = &mut self.followers[usize::from(endpoint.0)].proven;
        let stands = |(plan, until): &(Option<Plan>, u64)| plan.as_ref() == said && wall + PROOFS_HOLD / 2 < *until;
        if proven.as_ref().is_some_and(stands) {
            return;
        }
        let (height, age) = (latest - 1, self.chain.height.saturating_sub(latest) * BLOCK);
        let (plan, until) = (self.chain.scheduled_at(height).cloned(), wall + PROOFS_HOLD - age);
        let upgrade = plan.as_ref().map(upgrade);
        *proven = Some((plan, until));
        self.says(endpoint, News::Proven { height, until, upgrade });
    }

    fn says_scheduled(&mut self, endpoint: EndpointId, height: u64, plan: Option<&Plan>) {
        let believed = &mut self.followers[usize::from(endpoint.0)].believed;
        let applied = believed.as_ref().filter(|believed| Some(*believed) != plan).map(|believed| {
            let applied = self.chain.applied.iter().find(|plan| plan.name == believed.name && plan.height <= height);
            (believed.name.clone(), applied.map_or(0, |plan| plan.height))
        });
        // One that was never applied stays asked after.
        if plan.is_some() || applied.as_ref().is_some_and(|(_, at)| *at > 0) {
            *believed = plan.cloned();
        }
        let proposals = plan.into_iter().map(|plan| Proposal {
            id: plan.height,
            status: ProposalStatus::Passed,
            voting_end: Some(time(plan.height.saturating_sub(5))),
            actions: vec![Action::Schedule(plan.clone())],
        });
        let proposals = News::Proposals { proposals: proposals.collect() };
        self.says(endpoint, News::Scheduled { height, upgrade: plan.map(upgrade), applied });
        if self.chain.height.is_multiple_of(4) {
            self.says(endpoint, proposals);
        }
    }

    fn says(&mut self, endpoint: EndpointId, news: News) {
        // What one of them says comes in its order, however long it takes.
        let soon = self.now + self.pace(Channel::Answer);
        let last = &mut self.followers[usize::from(endpoint.0)].last;
        let at = soon.max(*last + 1);
        *last = at;
        self.tell(at - self.now, Kind::Heard(Heard { endpoint, news }));
    }
}

const fn time(height: u64) -> u64 {
    GENESIS.saturating_add(height.saturating_mul(BLOCK))
}
