//! What the chain's endpoints have said. It may be wrong, and it never moves the node: it only leads to fetching, staging
//! and telling.

use ::core::time::Duration;
use alloc::{collections::BTreeMap, string::String, vec::Vec};

use super::{
    agreement::{Belief, Voice, count, repeats},
    event::{EndpointId, Heard, News, OWN_NODE, Proposal, ProposalStatus},
    forecast::Pace,
    plan::{Plan, Upgrade},
    proven::Proven,
};

/// Everything heard, by endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knowledge {
    views: BTreeMap<EndpointId, View>,
    /// The newest thing that was proven.
    proven: Option<Proven>,
    /// The wall clock, milliseconds since the Unix epoch.
    wall: u64,
}

/// One endpoint's view of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct View {
    height: Option<u64>,
    /// The id of the node that answers there.
    node: Option<String>,
    catching_up: bool,
    pace: Pace,
    /// The plan it says is scheduled, and the height at which it read that.
    scheduled: Option<Upgrade>,
    read_at: u64,
    /// The height from which on it says so.
    since: u64,
    /// Whether it has not answered since.
    silent: bool,
    /// Whether it was in step with the chain when it read that: a height it has caught up to since makes that no truer.
    read_in_step: bool,
    /// The plan it said before it went past that plan's height: still ahead for a node that lags.
    earlier: Option<Upgrade>,
    proposals: Vec<Proposal>,
}

/// What an answer changed, for telling people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A plan that this endpoint had not named before.
    Scheduled(Upgrade),
    /// A plan that it named before and that is cancelled or replaced.
    Withdrawn(Plan),
    /// A proposal that is new or has moved on.
    Proposal(Proposal),
    /// A proposal of which nothing comes: it was rejected or withdrawn, or passed and could not be carried out.
    Over(Proposal),
}

/// A plan on which endpoints contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The plan.
    pub plan: Plan,
    /// Who says it.
    pub by: Vec<EndpointId>,
    /// Who says otherwise.
    pub against: Vec<EndpointId>,
}

impl Knowledge {
    /// What is asked from now on is asked at this moment, milliseconds since the Unix epoch: proofs grow old.
    pub const fn at(&mut self, wall: u64) {
        self.wall = wall;
    }

    /// Takes in what an endpoint said.
    pub fn absorb(&mut self, heard: &Heard) -> Vec<Change> {
        let view = self.views.entry(heard.endpoint).or_default();
        match &heard.news {
            News::Block { height, time, catching_up, .. } => {
                if heard.endpoint == OWN_NODE && view.height.is_some_and(|before| *height < before) {
                    // Its data were restored: what it reads now is no late answer.
                    view.read_at = 0;
                }
                view.height = Some(*height);
                view.catching_up = *catching_up;
                view.silent = false;
                // Before its first block a node says the year 1970.
                if *time > 0 {
                    view.pace.add(*height, *time);
                }
                Vec::new()
            }
            News::Node(id) => {
                view.node = Some(id.clone());
                Vec::new()
            }
            News::Scheduled { height, upgrade, applied } => view.take_plan(*height, upgrade.as_ref(), applied.as_ref()),
            News::Proposals { proposals } => {
                let moved = proposals.iter().filter(|p| !view.proposals.contains(p)).cloned();
                let over = |p: &&Proposal| {
                    p.status != ProposalStatus::Passed && !proposals.iter().any(|other| other.id == p.id)
                };
                let over = view.proposals.iter().filter(over).cloned().map(Change::Over);
                let changes = moved.map(Change::Proposal).chain(over).collect();
                view.proposals.clone_from(proposals);
                changes
            }
            News::Proven { height, until, upgrade } => {
                self.take_proof(Proven { height: *height, until: *until, upgrade: upgrade.clone() })
            }
            News::Failed { silent, .. } => {
                view.silent |= silent;
                Vec::new()
            }
        }
    }

    /// Whether anybody has told what is scheduled, be that nothing.
    #[must_use]
    pub fn knows_the_schedule(&self) -> bool {
        self.newest_proof().is_some() || self.views.values().any(|view| view.read_at > 0)
    }

    /// The plans that are ahead of the own node, nearest first. What the own node, in step with the chain, knows
    /// nothing of is left out, and what is proven not to be scheduled: others cannot talk it into an upgrade. What is
    /// proven is there, whoever keeps silent about it.
    #[must_use]
    pub fn scheduled(&self) -> Vec<&Upgrade> {
        let own = self.views.get(&OWN_NODE).filter(|own| own.is_in_step());
        let refuted = |upgrade: &Upgrade| {
            own.is_some_and(|own| own.read_at < upgrade.plan.height && own.scheduled.as_ref() != Some(upgrade))
        };
        let proven = self.newest_proof();
        let said = self.views.values().flat_map(|view| {
            let stands = |upgrade: &&Upgrade| proven.is_none_or(|proven| !proven.refutes(&upgrade.plan, view.since));
            view.earlier.iter().chain(view.scheduled.iter().filter(stands))
        });
        let ahead = |upgrade: &&Upgrade| self.height().is_none_or(|height| height < upgrade.plan.height);
        let mut plans: Vec<&Upgrade> = Vec::new();
        for upgrade in said.chain(proven.and_then(|proven| proven.upgrade.as_ref()).filter(ahead)) {
            if !refuted(upgrade) && !plans.contains(&upgrade) {
                plans.push(upgrade);
            }
        }
        plans.sort_by_key(|upgrade| upgrade.plan.height);
        plans
    }

    /// How far it can be believed that this plan is scheduled; `quorum` endpoints must say so for it to be agreed.
    #[must_use]
    pub fn belief(&self, plan: &Plan, quorum: usize) -> Belief {
        if let Some(belief) = self.proven.as_ref().and_then(|proven| proven.belief(plan, self.wall)) {
            return belief;
        }
        let voices: Vec<_> = self.voices().map(|(_, voice)| voice).collect();
        count(plan, &voices).belief(quorum)
    }

    /// Where endpoints contradict each other.
    #[must_use]
    pub fn disputes(&self) -> Vec<Dispute> {
        let (endpoints, voices): (Vec<_>, Vec<_>) = self.voices().unzip();
        let mut disputes: Vec<Dispute> = Vec::new();
        for plan in voices.iter().filter_map(|voice| voice.plan) {
            let count = count(plan, &voices);
            let named = |places: Vec<usize>| places.into_iter().map(|place| endpoints[place]).collect();
            if !count.against.is_empty() && disputes.iter().all(|dispute| dispute.plan != *plan) {
                let (by, against) = (named(count.said), named(count.against));
                disputes.push(Dispute { plan: plan.clone(), by, against });
            }
        }
        disputes
    }

    /// What those endpoints say that answer and are in step with the chain.
    fn voices(&self) -> impl Iterator<Item = (EndpointId, Voice<'_>)> {
        let heard: Vec<_> = self.views.iter().filter(|(_, view)| !view.silent && view.is_in_step()).collect();
        let voices = heard.iter().map(|(_, view)| (view.node.as_deref(), view.voice())).collect::<Vec<_>>();
        let is_new = move |place: &usize| !repeats(&voices, *place);
        (0..heard.len()).filter(is_new).map(move |place| (*heard[place].0, heard[place].1.voice()))
    }

    /// Who says that this plan is scheduled: the own node, else the first of the others.
    #[must_use]
    pub fn told_by(&self, plan: &Plan) -> Option<EndpointId> {
        let says = |view: &View| view.scheduled.iter().chain(&view.earlier).any(|upgrade| upgrade.plan == *plan);
        self.views.iter().find(|(_, view)| says(view)).map(|(endpoint, _)| *endpoint)
    }

    /// Whether this plan does not stand any more: the endpoint that is to be believed most reads the chain below the plan's
    /// height, and another plan is scheduled there, or none; and `quorum` say so, unless it is the own node.
    #[must_use]
    pub fn withdrew(&self, plan: &Plan, quorum: usize) -> bool {
        let denies = |voice: &Voice<'_>| voice.at < plan.height && voice.plan != Some(plan);
        let said = self.voices().filter(|(_, voice)| voice.plan == Some(plan));
        let since = said.map(|(_, voice)| voice.since).min().unwrap_or_default();
        let own = self.views.get(&OWN_NODE).filter(|view| view.is_in_step()).map(View::voice);
        if let Some(own) = own {
            // One that is cut off is in step for all it knows, and what it is not so far to see denies nothing.
            let sees = own.at >= since && self.voices().all(|(_, voice)| voice.at < plan.height);
            return sees && denies(&own);
        }
        if let Some(proven) = self.newest_proof().filter(|proven| proven.height < plan.height) {
            return proven.refutes(plan, since);
        }
        let judge = self.views.values().filter(|view| view.is_in_step()).max_by_key(|view| view.read_at);
        judge.is_some_and(|judge| denies(&judge.voice()))
            && (quorum <= 1 || self.voices().filter(|(_, voice)| denies(voice)).count() >= quorum)
    }

    /// What is proven at this moment.
    fn newest_proof(&self) -> Option<&Proven> {
        self.proven.as_ref().filter(|proven| proven.holds(self.wall))
    }

    fn take_proof(&mut self, proven: Proven) -> Vec<Change> {
        if self.newest_proof().is_some_and(|before| before.height > proven.height) {
            return Vec::new(); // From an endpoint that is not so far.
        }
        let before = self.proven.take().and_then(|before| before.upgrade);
        let said = self.views.values().filter_map(|view| Some((view.scheduled.clone()?, view.since)));
        let said = said.chain(before.clone().map(|upgrade| (upgrade, 0)));
        let refuted = said.filter(|(upgrade, since)| proven.refutes(&upgrade.plan, *since));
        let mut changes: Vec<_> = refuted.map(|(upgrade, _)| Change::Withdrawn(upgrade.plan)).collect();
        changes.extend(proven.upgrade.clone().filter(|_| proven.upgrade != before).map(Change::Scheduled));
        self.proven = Some(proven);
        changes
    }

    /// The chain's height as the own node sees it, else the highest that anybody names.
    #[must_use]
    pub fn height(&self) -> Option<u64> {
        let own = self.views.get(&OWN_NODE).and_then(|own| own.height);
        own.or_else(|| self.views.values().filter(|view| !view.silent).filter_map(|view| view.height).max())
    }

    /// Blocks until a height, and the time that takes at the recent pace.
    #[must_use]
    pub fn left(&self, height: u64) -> Option<(u64, Option<Duration>)> {
        let blocks = height.saturating_sub(self.height()?);
        let pace = self.views.values().find_map(|view| view.pace.block_time(blocks));
        Some((blocks, pace.map(|pace| pace.saturating_mul(u32::try_from(blocks).unwrap_or(u32::MAX)))))
    }

    /// Whether a vote on an upgrade ends within `window` of `wall` (milliseconds since the Unix epoch).
    #[must_use]
    pub fn vote_ends_near(&self, wall: u64, window: Duration) -> bool {
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let mut proposals = self.views.values().flat_map(|view| &view.proposals);
        proposals.any(|proposal| proposal.voting_end.is_some_and(|end| end.abs_diff(wall) <= window))
    }
}

impl View {
    const fn is_in_step(&self) -> bool {
        self.read_at > 0 && self.read_in_step && !self.catching_up
    }

    fn voice(&self) -> Voice<'_> {
        let plan = self.scheduled.as_ref().map(|upgrade| &upgrade.plan);
        Voice { plan, since: self.since, at: self.read_at }
    }

    fn take_plan(&mut self, height: u64, upgrade: Option<&Upgrade>, applied: Option<&(String, u64)>) -> Vec<Change> {
        if height < self.read_at {
            return Vec::new(); // An answer from before the one that is held: late, or from a node behind a balancer.
        }
        // A plan that is not ahead of the height at which it was read is none.
        let upgrade = upgrade.filter(|upgrade| upgrade.plan.height > height);
        if self.read_at == 0 || self.scheduled.as_ref() != upgrade {
            self.since = height;
        }
        self.read_at = height;
        self.read_in_step = !self.catching_up;
        if self.scheduled.as_ref() == upgrade {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if let Some(before) = self.scheduled.take() {
            let never_applied = applied.is_some_and(|(name, at)| *name == before.plan.name && *at == 0);
            if height < before.plan.height || never_applied {
                changes.push(Change::Withdrawn(before.plan));
            } else {
                self.earlier = Some(before);
            }
        }
        if let Some(upgrade) = upgrade {
            self.scheduled = Some(upgrade.clone());
            changes.push(Change::Scheduled(upgrade.clone()));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use alloc::{
        string::{String, ToString},
        vec,
    };

    use super::*;
    use crate::decide::plan::{Asks, Folder};

    const PEER: EndpointId = EndpointId(1);

    fn upgrade(name: &str, height: u64) -> Upgrade {
        let plan = Plan { name: name.to_string(), height, info: String::new() };
        Upgrade { plan, folder: Folder::of(name, false).unwrap(), asks: Asks::Nothing { reason: String::new() } }
    }

    fn block(who: EndpointId, height: u64, catching_up: bool) -> Heard {
        Heard { endpoint: who, news: News::Block { height, time: height * 6_000, catching_up, committed: None } }
    }

    fn read(who: EndpointId, height: u64, upgrade: Option<&Upgrade>, applied: Option<(&str, u64)>) -> Heard {
        let applied = applied.map(|(name, at)| (name.to_string(), at));
        Heard { endpoint: who, news: News::Scheduled { height, upgrade: upgrade.cloned(), applied } }
    }

    #[test]
    fn nothing_scheduled_is_a_withdrawal_only_below_the_height_or_where_it_was_never_applied() {
        let plan = upgrade("v2", 100);
        for (height, applied, withdrawn) in
            [(99, None, true), (100, None, false), (120, Some(("v2", 100)), false), (120, Some(("v2", 0)), true)]
        {
            let mut knowledge = Knowledge::default();
            knowledge.absorb(&read(PEER, 90, Some(&plan), None));
            let changes = knowledge.absorb(&read(PEER, height, None, applied));
            assert_eq!(changes == [Change::Withdrawn(plan.plan.clone())], withdrawn, "{height} {applied:?}");
            assert_eq!(knowledge.scheduled().is_empty(), withdrawn, "{height} {applied:?}");
        }
    }

    #[test]
    fn endpoints_agree_disagree_and_fall_silent() {
        let [plan, lie] = [upgrade("v2", 100), upgrade("evil", 95)];
        let [first, second, third] = [1, 2, 3].map(EndpointId);
        let mut knowledge = Knowledge::default();
        let mut says = |who, height, upgrade: Option<&Upgrade>| {
            knowledge.absorb(&block(who, height, false));
            knowledge.absorb(&read(who, height, upgrade, None));
            (knowledge.belief(&plan.plan, 2), knowledge.disputes())
        };
        assert_eq!(says(first, 50, Some(&plan)), (Belief::Claimed, vec![]));
        assert_eq!(says(second, 49, None).0, Belief::Claimed, "it is not so far yet");
        assert_eq!(says(second, 51, Some(&plan)).0, Belief::Agreed { said: 2, of: 2 });
        assert_eq!(says(third, 52, None), (Belief::Agreed { said: 2, of: 3 }, vec![]), "it may have been cancelled");
        let (belief, disputes) = says(first, 53, Some(&plan));
        assert_eq!(belief, Belief::Agreed { said: 2, of: 3 });
        let by = vec![first, second];
        assert_eq!(disputes, [Dispute { plan: plan.plan.clone(), by, against: vec![third] }]);
        assert_eq!(says(third, 54, Some(&lie)).0, Belief::Agreed { said: 2, of: 3 });
        assert_eq!(says(first, 55, Some(&plan)).0, Belief::Agreed { said: 2, of: 3 });
        // A node that is named twice says the same only once; one that takes its id and says otherwise silences nobody.
        for who in [first, second, third] {
            knowledge.absorb(&Heard { endpoint: who, news: News::Node("id".into()) });
        }
        assert_eq!(knowledge.belief(&plan.plan, 2), Belief::Claimed);
        assert_eq!(knowledge.disputes().len(), 2, "{:?}", knowledge.disputes());
        for (who, id) in [(first, "one"), (second, "two"), (third, "three")] {
            knowledge.absorb(&Heard { endpoint: who, news: News::Node(id.into()) });
        }
        let mut says = |who, height, upgrade: Option<&Upgrade>| {
            knowledge.absorb(&block(who, height, false));
            knowledge.absorb(&read(who, height, upgrade, None));
            (knowledge.belief(&plan.plan, 2), knowledge.disputes())
        };
        // One that is past the height has no plan left, and no say.
        assert_eq!(says(third, 100, None).0, Belief::Agreed { said: 2, of: 2 });
        knowledge.absorb(&Heard { endpoint: first, news: News::Failed { reason: String::new(), silent: true } });
        assert_eq!(knowledge.belief(&plan.plan, 2), Belief::Claimed);
        assert!(knowledge.scheduled().contains(&&plan), "what is known stays known");
    }

    #[test]
    fn one_alone_withdraws_nothing_where_a_quorum_is_asked_for() {
        let plan = upgrade("v2", 100).plan;
        let mut knowledge = Knowledge::default();
        for (who, alone, both) in [(1, true, false), (2, true, true)] {
            knowledge.absorb(&block(EndpointId(who), 50, false));
            knowledge.absorb(&read(EndpointId(who), 50, None, None));
            assert_eq!((knowledge.withdrew(&plan, 1), knowledge.withdrew(&plan, 2)), (alone, both));
        }
    }

    /// What was staged for it was set aside, and placed again once the node came so far.
    #[test]
    fn an_own_node_that_lags_withdraws_nothing_that_others_see_scheduled_or_saw_come() {
        let plan = upgrade("v2", 100);
        let mut knowledge = Knowledge::default();
        let mut withdrew = |who, height, says: Option<&Upgrade>| {
            knowledge.absorb(&block(who, height, false));
            knowledge.absorb(&read(who, height, says, None));
            knowledge.withdrew(&plan.plan, 1)
        };
        assert!(withdrew(OWN_NODE, 50, None) && withdrew(PEER, 89, None));
        assert!(!withdrew(PEER, 90, Some(&plan)) && !withdrew(OWN_NODE, 89, None));
        assert!(withdrew(OWN_NODE, 90, None), "it is so far, and sees none");
        assert!(withdrew(PEER, 99, None));
        assert!(!withdrew(PEER, 100, None));
    }

    #[test]
    fn a_proof_brings_out_what_is_hidden_and_refutes_what_is_invented() {
        let [plan, lie] = [upgrade("v2", 100), upgrade("evil", 95)];
        let proof = |height, until, upgrade: Option<&Upgrade>| {
            let upgrade = upgrade.cloned();
            Heard { endpoint: EndpointId(2), news: News::Proven { height, until, upgrade } }
        };
        let mut knowledge = Knowledge::default();
        knowledge.at(1_000);
        // Invented at 50, and proven for 49 only: that may have been just before.
        knowledge.absorb(&block(PEER, 50, false));
        knowledge.absorb(&read(PEER, 50, Some(&lie), None));
        assert_eq!(knowledge.absorb(&proof(49, 2_000, None)), []);
        assert_eq!((knowledge.scheduled(), knowledge.withdrew(&lie.plan, 1)), (vec![&lie], false));
        assert_eq!(knowledge.absorb(&proof(50, 2_000, None)), [Change::Withdrawn(lie.plan.clone())]);
        assert_eq!((knowledge.scheduled(), knowledge.withdrew(&lie.plan, 1)), (vec![], true));
        knowledge.absorb(&read(PEER, 59, None, None));
        // Whoever hides a plan hides nothing.
        assert_eq!(knowledge.absorb(&proof(60, 2_000, Some(&plan))), [Change::Scheduled(plan.clone())]);
        knowledge.absorb(&read(PEER, 61, None, None));
        assert_eq!((knowledge.scheduled(), knowledge.withdrew(&plan.plan, 1)), (vec![&plan], false));
        assert_eq!(knowledge.belief(&plan.plan, 2), Belief::Proven);
        // An older proof changes nothing; one of the same height is as good for longer; a proof that has grown old hides nothing and brings nothing out.
        assert_eq!(knowledge.absorb(&proof(55, 9_000, None)), []);
        assert_eq!(knowledge.absorb(&proof(60, 3_000, Some(&plan))), []);
        knowledge.at(3_000);
        assert_eq!(knowledge.belief(&plan.plan, 2), Belief::Proven);
        knowledge.at(3_001);
        assert_eq!(knowledge.belief(&plan.plan, 2), Belief::ProvenAsOf(60));
        assert_eq!((knowledge.scheduled(), knowledge.withdrew(&plan.plan, 1)), (vec![], true));
        knowledge.absorb(&read(PEER, 62, Some(&lie), None));
        assert_eq!(knowledge.scheduled(), [&lie]);
        knowledge.absorb(&read(PEER, 63, None, None));
        // Nothing of it lasts beyond the height.
        knowledge.absorb(&proof(99, 9_000, Some(&plan)));
        assert_eq!(knowledge.scheduled(), [&plan]);
        knowledge.absorb(&block(PEER, 100, false));
        assert_eq!(knowledge.scheduled(), Vec::<&Upgrade>::new());
    }

    #[test]
    fn a_proof_from_past_the_height_leaves_it_to_those_who_are_not_so_far() {
        let plan = upgrade("v2", 100).plan;
        let mut knowledge = Knowledge::default();
        knowledge.absorb(&read(PEER, 99, None, None));
        let past = News::Proven { height: 100, until: 1_000, upgrade: None };
        knowledge.absorb(&Heard { endpoint: EndpointId(2), news: past });
        assert!(knowledge.withdrew(&plan, 1));
        knowledge.absorb(&read(PEER, 100, None, None));
        assert!(!knowledge.withdrew(&plan, 1), "it has come");
    }

    #[test]
    fn a_proposal_that_is_gone_and_has_not_passed_is_over() {
        let proposal = |id, status| Proposal { id, status, voting_end: None, actions: vec![] };
        let mut knowledge = Knowledge::default();
        let mut hears = |proposals: &[Proposal]| {
            knowledge.absorb(&Heard { endpoint: PEER, news: News::Proposals { proposals: proposals.to_vec() } })
        };
        let (voting, passed) = (proposal(1, ProposalStatus::Voting), proposal(2, ProposalStatus::Passed));
        assert_eq!(hears(&[voting.clone(), passed.clone()]).len(), 2);
        let failed = proposal(1, ProposalStatus::Passed);
        assert_eq!(hears(::core::slice::from_ref(&failed)), [Change::Proposal(failed)]);
        assert_eq!(hears(::core::slice::from_ref(&voting)), [Change::Proposal(voting.clone())]);
        assert_eq!(hears(::core::slice::from_ref(&passed)), [Change::Proposal(passed), Change::Over(voting)]);
    }

    #[test]
    fn the_own_node_may_read_older_data_once_they_were_restored() {
        let plan = upgrade("v2", 100);
        let mut knowledge = Knowledge::default();
        knowledge.absorb(&block(OWN_NODE, 150, false));
        knowledge.absorb(&read(OWN_NODE, 150, None, None));
        knowledge.absorb(&block(OWN_NODE, 60, false));
        assert!(!knowledge.withdrew(&plan.plan, 1), "what it read before is of other data");
        knowledge.absorb(&read(OWN_NODE, 60, Some(&plan), None));
        assert_eq!(knowledge.scheduled(), [&plan]);
    }

    #[test]
    fn whoever_else_goes_back_is_a_balancer_with_a_node_that_lags() {
        let plan = upgrade("v2", 100);
        let mut knowledge = Knowledge::default();
        knowledge.absorb(&block(PEER, 90, false));
        knowledge.absorb(&read(PEER, 90, Some(&plan), None));
        knowledge.absorb(&block(PEER, 80, false));
        assert_eq!(knowledge.absorb(&read(PEER, 80, None, None)), []);
    }

    #[test]
    fn an_answer_from_before_the_one_that_is_held_changes_nothing() {
        let plan = upgrade("v2", 100);
        let mut knowledge = Knowledge::default();
        knowledge.absorb(&read(PEER, 90, Some(&plan), None));
        assert_eq!(knowledge.absorb(&read(PEER, 80, None, None)), []);
        assert_eq!(knowledge.scheduled(), [&plan]);
        // Of two for one height the later counts.
        assert_eq!(knowledge.absorb(&read(PEER, 90, None, None)), [Change::Withdrawn(plan.plan)]);
    }

    #[test]
    fn a_plan_that_is_not_ahead_of_where_it_was_read_is_none() {
        let plan = upgrade("v2", 100);
        let mut knowledge = Knowledge::default();
        assert_eq!(knowledge.absorb(&read(PEER, 100, Some(&plan), None)), []);
        assert_eq!(knowledge.absorb(&read(PEER, 99, Some(&plan), None)), [], "late");
        assert_eq!(knowledge.scheduled(), Vec::<&Upgrade>::new());
    }

    #[test]
    fn the_own_node_s_word_is_named_before_that_of_others() {
        let [plan, other] = [upgrade("v2", 100), upgrade("v3", 200)];
        let mut knowledge = Knowledge::default();
        let mut told = |who, height, says: &Upgrade| {
            knowledge.absorb(&read(who, height, Some(says), None));
            [&plan, &other].map(|upgrade| knowledge.told_by(&upgrade.plan))
        };
        assert_eq!(told(EndpointId(2), 50, &plan), [Some(EndpointId(2)), None]);
        assert_eq!(told(PEER, 50, &other), [Some(EndpointId(2)), Some(PEER)]);
        assert_eq!(told(OWN_NODE, 50, &plan), [Some(OWN_NODE), Some(PEER)]);
        assert_eq!(told(OWN_NODE, 100, &other), [Some(OWN_NODE); 2], "it has said so before it was past it");
    }

    #[test]
    fn a_block_without_a_time_tells_nothing_of_the_pace() {
        let mut knowledge = Knowledge::default();
        for (height, time) in [(0, 0), (1, 0), (2, 1_000), (4, 5_000)] {
            let news = News::Block { height, time, catching_up: false, committed: None };
            knowledge.absorb(&Heard { endpoint: PEER, news });
        }
        assert_eq!(knowledge.left(14), Some((10, Some(Duration::from_secs(20)))));
    }

    #[test]
    fn the_end_of_a_vote_is_near_on_both_sides_of_it() {
        let mut knowledge = Knowledge::default();
        let vote = |id, voting_end| Proposal { id, status: ProposalStatus::Voting, voting_end, actions: vec![] };
        let proposals = vec![vote(1, None), vote(2, Some(500_000)), vote(3, Some(900_000))];
        knowledge.absorb(&Heard { endpoint: PEER, news: News::Proposals { proposals } });
        let near = |wall| knowledge.vote_ends_near(wall, Duration::from_secs(100));
        assert_eq!([399_999, 400_000, 600_000, 600_001, 900_000].map(near), [false, true, true, false, true]);
    }

    #[test]
    fn the_own_node_refutes_others_once_it_has_read_in_step() {
        let lie = upgrade("v2", 100);
        let mut knowledge = Knowledge::default();
        knowledge.absorb(&read(PEER, 90, Some(&lie), None));
        knowledge.absorb(&block(OWN_NODE, 20, true));
        knowledge.absorb(&read(OWN_NODE, 20, None, None));
        assert_eq!(knowledge.scheduled(), [&lie]);
        // It has caught up since, and its last word about plans is from far below.
        knowledge.absorb(&block(OWN_NODE, 91, false));
        assert_eq!(knowledge.scheduled(), [&lie]);
        assert!(!knowledge.withdrew(&lie.plan, 1));
        knowledge.absorb(&read(OWN_NODE, 91, None, None));
        assert_eq!(knowledge.scheduled(), Vec::<&Upgrade>::new());
        assert!(knowledge.withdrew(&lie.plan, 1));
        // That it is told of a block again takes nothing back.
        knowledge.absorb(&block(OWN_NODE, 91, false));
        assert_eq!(knowledge.scheduled(), Vec::<&Upgrade>::new());
        // Past the height it has no say.
        knowledge.absorb(&read(OWN_NODE, 100, None, None));
        assert_eq!(knowledge.scheduled(), [&lie]);
    }
}
