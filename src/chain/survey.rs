//! What the chain says now, asked once: for commands that print it and end.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{
    Latest,
    endpoints::{Clients, Endpoint, Source, chain_of_the_home},
    fault::{Cause, Fault},
    now,
    proof::{Proof, Prover, Trust},
    proposals::Reader,
};
use crate::decide::{
    agreement::{Belief, Voice, count, repeats},
    event::Proposal,
    forecast::Pace,
    plan::Plan,
};

/// How long one endpoint may take for a question, however many answers that takes.
const QUESTION_LIMIT: Duration = Duration::from_secs(30);

/// How many blocks are asked for at most to learn the chain's pace.
const MOST_HEADERS: u32 = 8;

/// The question for the plan in x/upgrade.
pub const SCHEDULED: &str = "scheduled";
/// The question for the proposals.
pub const PROPOSED: &str = "proposed";

/// What the chain says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The chain's id.
    pub chain_id: String,
    /// The latest height.
    pub height: u64,
    /// That block's time, milliseconds since the Unix epoch.
    pub time: u64,
    /// The moment up to which that is the latest block, milliseconds since the Unix epoch: now, and for a node that is
    /// still catching up its latest block's time.
    pub as_of: u64,
    /// The chain's pace, as far back as the endpoints keep blocks.
    pub pace: Pace,
    /// The plans in x/upgrade, as far as endpoints say the same the only one; the one to be believed most is first.
    pub scheduled: Vec<Scheduled>,
    /// What was proven of that, where something was.
    pub proof: Option<Proof>,
    /// The proposals that concern upgrades.
    pub proposals: Vec<Proposal>,
    /// What was not answered, or not so that it can be understood.
    pub problems: Vec<Fault>,
    /// [`SCHEDULED`] or [`PROPOSED`] where nobody answered that: nothing is known of it.
    pub unanswered: Vec<&'static str>,
}

impl Survey {
    /// The endpoints that are on the chain, and the own one only where it is this home's node.
    pub fn heeded<'a>(&self, endpoints: &'a [Endpoint]) -> impl Iterator<Item = &'a Endpoint> {
        let of_another = |fault: &&Fault| matches!(fault.cause, Cause::OtherChain { .. } | Cause::OtherNode { .. });
        let ignored: Vec<_> = self.problems.iter().filter(of_another).map(|fault| fault.endpoint.clone()).collect();
        endpoints.iter().filter(move |endpoint| !ignored.contains(&endpoint.label))
    }
}

/// A plan that is scheduled, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// The plan.
    pub plan: Plan,
    /// How far it can be believed.
    pub belief: Belief,
    /// Whether the own node says it; none where that has no say.
    pub own: Option<bool>,
    /// Who says otherwise, as messages call them.
    pub against: Vec<String>,
    /// Whether a proof that holds says otherwise.
    pub refuted: bool,
}

impl Scheduled {
    /// Whether its binary may be fetched: as [`crate::decide::settings::Settings::quorum`] says, and no proof against it.
    #[must_use]
    pub fn may_be_staged(&self, quorum: usize) -> bool {
        !self.refuted && self.own.unwrap_or(quorum <= 1 || self.belief != Belief::Claimed)
    }
}

/// No endpoint told where the chain is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no endpoint answered; {}", if .problems.is_empty() { "none is known, name one with --rpc or --rest" } else { "their faults are listed" })]
pub struct NoAnswer {
    /// What each did instead.
    pub problems: Vec<Fault>,
}

/// Asks every endpoint what is scheduled, and one after the other, until one answers, everything else. All answers are from
/// one chain: the own node's, else the one that the home tells, else that of the first which answers. `quorum` endpoints must say
/// the same for it to be agreed; what is scheduled is proven from what is trusted, where one of them can.
///
/// # Errors
/// [`NoAnswer`] where not one tells where the chain is.
pub async fn survey(
    endpoints: &[Endpoint],
    clients: &Clients,
    quorum: usize,
    trust: &Arc<Trust>,
) -> Result<Survey, NoAnswer> {
    let (mut reached, mut faults) = reach(endpoints, clients).await?;
    let mut scheduled = scheduled(&reached, &mut faults, quorum).await;
    let proof = proven(&reached, &mut faults, trust).await;
    if let Some(proof) = &proof {
        faults.unanswered.retain(|question| *question != SCHEDULED);
        take_proof(&mut scheduled, proof, !trust.grew_old(proof.time));
        hold_to_proof(&mut reached, proof, &mut faults);
    }
    let Latest { chain_id, height, time, catching_up, .. } = reached[0].latest.clone();
    let as_of = if catching_up { time } else { now() };
    let plans: Vec<_> = scheduled.iter().map(|scheduled| scheduled.plan.clone()).collect();
    let proposals = faults.first(&reached, PROPOSED, async |at| {
        let mut reader = Reader::default();
        let reading = tokio::time::timeout(QUESTION_LIMIT, reader.read(&at.source, height, &plans));
        reading.await.unwrap_or_else(|_| Err(at.fault("its proposals", Cause::Slow(QUESTION_LIMIT))))
    });
    let proposals = proposals.await.unwrap_or_default();
    let pace = pace(&reached).await;
    let Faults { problems, unanswered } = faults;
    Ok(Survey { chain_id, height, time, as_of, pace, scheduled, proof, proposals, problems, unanswered })
}

/// Asks for the blocks that tell most of the chain's pace. One that is pruned is no fault of anybody.
async fn pace(reached: &[Reached<'_>]) -> Pace {
    let (mut pace, latest) = (Pace::default(), &reached[0].latest);
    pace.add(latest.height, latest.time);
    pace.keep_above(reached.iter().map(|at| at.latest.earliest).min().unwrap_or_default());
    for _ in 0..MOST_HEADERS {
        let Some(height) = pace.wanted() else { break };
        let mut time = None;
        for at in reached.iter().filter(|at| (at.latest.earliest..=at.latest.height).contains(&height)) {
            time = at.source.header_time(height).await.ok().filter(|time| *time <= latest.time);
            if time.is_some() {
                break;
            }
        }
        match time {
            Some(time) => pace.add(height, time),
            None => pace.is_missing(height),
        }
    }
    pace
}

/// What is scheduled, asked of all at the same time.
async fn scheduled(reached: &[Reached<'_>], faults: &mut Faults, quorum: usize) -> Vec<Scheduled> {
    let answers = join_all(reached.iter().map(async |at| at.source.current_plan().await)).await;
    let mut answered = Vec::new();
    for (at, answer) in reached.iter().zip(&answers) {
        match answer {
            Ok(dated) => answered.push((at, dated)),
            Err(fault) => faults.add(fault.clone()),
        }
    }
    // Where the application of all does not know the question, the chain has no such module.
    if answered.is_empty() && answers.iter().any(|answer| answer.as_ref().is_err_and(|fault| !fault.is_unknown())) {
        faults.unanswered.push(SCHEDULED);
    }
    // One that is still catching up with the chain says what was.
    let in_step: Vec<_> = answered.iter().filter(|(at, _)| !at.latest.catching_up).collect();
    let named = in_step.iter().map(|(at, dated)| {
        let (plan, read) = (dated.value.as_ref(), dated.height.unwrap_or(at.latest.height));
        (at.latest.node_id.as_deref(), Voice { plan, since: 0, at: read })
    });
    let named: Vec<_> = named.collect();
    let (heard, voices): (Vec<_>, Vec<_>) = (0..named.len())
        .filter(|place| !repeats(&named, *place))
        .map(|place| (in_step[place].0.endpoint, named[place].1))
        .unzip();
    let mut plans: Vec<&Plan> = Vec::new();
    for plan in answered.iter().filter_map(|(_, dated)| dated.value.as_ref()) {
        if !plans.contains(&plan) {
            plans.push(plan);
        }
    }
    let mut scheduled: Vec<_> = plans
        .into_iter()
        .map(|plan| {
            let count = count(plan, &voices);
            let is_own = |place: &usize| heard[*place].own.is_some();
            let own = count.said.iter().any(is_own).then_some(true);
            let own = own.or_else(|| count.against.iter().any(is_own).then_some(false));
            let against = count.against.iter().map(|place| heard[*place].label.clone()).collect();
            let said = count.said.len();
            (said, Scheduled { plan: plan.clone(), belief: count.belief(quorum), own, against, refuted: false })
        })
        .collect();
    scheduled.sort_by_key(|(said, scheduled)| Reverse((scheduled.own, *said)));
    scheduled.into_iter().map(|(_, scheduled)| scheduled).collect()
}

/// What is scheduled, proven by the first that can. The own node is asked first: others may be verified from it.
async fn proven(reached: &[Reached<'_>], faults: &mut Faults, trust: &Arc<Trust>) -> Option<Proof> {
    let (own, others): (Vec<_>, Vec<_>) = reached.iter().partition(|at| at.endpoint.own.is_some());
    for at in own.into_iter().chain(others) {
        let Some(rpc) = at.source.rpc() else { continue };
        let (own, mut prover) = (at.endpoint.own.is_some(), Prover::new(Arc::clone(trust)));
        match prover.prove(rpc, own, at.latest.height).await {
            Ok(None) => {}
            Ok(proof) => return proof,
            // Nobody asked for proofs of what the own node says.
            Err(_) if own && !trust.was_chosen() => {}
            Err(fault) => faults.add(fault),
        }
    }
    None
}

/// Makes of what is said what is proven: what was hidden comes out, and what is said otherwise is contradicted, while the proof
/// holds.
fn take_proof(scheduled: &mut Vec<Scheduled>, proof: &Proof, holds: bool) {
    let belief = if holds { Belief::Proven } else { Belief::ProvenAsOf(proof.height) };
    for said in scheduled.iter_mut() {
        if proof.plan.as_ref() == Some(&said.plan) {
            said.belief = belief;
        } else if holds && proof.height < said.plan.height {
            said.against.push(format!("the proof for height {}", proof.height));
            said.refuted = true;
        }
    }
    if let Some(plan) = proof.plan.as_ref().filter(|plan| scheduled.iter().all(|said| said.plan != **plan)) {
        scheduled.push(Scheduled { plan: plan.clone(), belief, own: None, against: Vec::new(), refuted: false });
    }
    // Before whatever else is said.
    scheduled.sort_by_key(|said| said.belief != Belief::Proven);
}

/// Whether a chain that was at a height at that time cannot be at this one: none makes ten blocks a second for long.
fn is_beyond(said: u64, height: u64, time: u64) -> bool {
    const AT_ONCE: u64 = 1_000;
    const MILLISECONDS_A_BLOCK: u64 = 100;
    said > height.saturating_add(AT_ONCE).saturating_add(now().saturating_sub(time) / MILLISECONDS_A_BLOCK)
}

/// One height that is much too great would make every upgrade a thing of the past. It is held against the own node's, or
/// against that of most; of two strangers nobody knows which of them lies.
fn ignore_beyond(reached: &mut Vec<Reached<'_>>, problems: &mut Vec<Fault>) {
    let mut known: Vec<_> = reached.iter().map(|at| (at.latest.height, at.latest.time, &at.endpoint.label)).collect();
    known.sort_unstable();
    let middle = (known.len() > 2).then(|| known[(known.len() - 1) / 2]);
    let own = reached.iter().find(|at| at.endpoint.own.is_some());
    let own = own.map(|at| (at.latest.height, at.latest.time, &at.endpoint.label));
    let Some((height, time, against)) = own.or(middle) else { return };
    let against = against.clone();
    reached.retain(|at| {
        let said = at.latest.height;
        let beyond = is_beyond(said, height, time);
        if beyond {
            problems.push(at.fault("its latest block", Cause::Beyond { said, height, against: against.clone() }));
        }
        !beyond
    });
}

/// A verified header tells how high the chain can be, whoever says otherwise.
fn hold_to_proof(reached: &mut [Reached<'_>], proof: &Proof, faults: &mut Faults) {
    for at in reached.iter_mut().filter(|at| is_beyond(at.latest.height, proof.height, proof.time)) {
        let against = String::from("a header that was verified");
        let cause = Cause::Beyond { said: at.latest.height, height: proof.height, against };
        faults.add(at.fault("its latest block", cause));
        (at.latest.height, at.latest.time) = (proof.height, proof.time);
    }
    reached.sort_by_key(|at| Reverse(at.latest.height));
}

/// An endpoint that told where it is.
pub(super) struct Reached<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) source: Source,
    pub(super) latest: Latest,
}

impl Reached<'_> {
    fn fault(&self, question: &str, cause: Cause) -> Fault {
        Fault { endpoint: self.endpoint.label.clone(), question: question.into(), cause }
    }
}

/// The endpoints that tell where they are, all on one chain (the own node's, else the one that the home tells, else that of the
/// first which answers), the one that is furthest first: what is scheduled is best known there. At least one.
///
/// # Errors
/// [`NoAnswer`] where not one tells.
pub(super) async fn reach<'a>(
    endpoints: &'a [Endpoint],
    clients: &Clients,
) -> Result<(Vec<Reached<'a>>, Faults), NoAnswer> {
    let mut problems = Vec::new();
    let mut reached: Vec<Reached<'a>> = Vec::new();
    let answers = join_all(endpoints.iter().map(async |endpoint| {
        let source = clients.open(endpoint);
        let latest = source.latest().await;
        (endpoint, source, latest)
    }));
    let answers = answers.await;
    let own = answers.iter().find(|(endpoint, _, latest)| endpoint.own.is_some() && latest.is_ok());
    let mut expected = if own.is_some() { None } else { chain_of_the_home(endpoints).await };
    for (endpoint, source, latest) in answers {
        match latest {
            Ok(latest) => {
                let expected = expected.get_or_insert_with(|| latest.chain_id.clone());
                if *expected == latest.chain_id {
                    reached.push(Reached { endpoint, source, latest });
                } else {
                    let cause = Cause::OtherChain { expected: expected.clone(), found: latest.chain_id };
                    problems.push(Fault {
                        endpoint: endpoint.label.clone(),
                        question: "its latest block".into(),
                        cause,
                    });
                }
            }
            Err(fault) => problems.push(fault),
        }
    }
    ignore_beyond(&mut reached, &mut problems);
    reached.sort_by_key(|at| Reverse(at.latest.height));
    if reached.is_empty() {
        return Err(NoAnswer { problems });
    }
    Ok((reached, Faults { problems, unanswered: Vec::new() }))
}

/// What went wrong so far, each thing once.
pub(super) struct Faults {
    pub(super) problems: Vec<Fault>,
    pub(super) unanswered: Vec<&'static str>,
}

impl Faults {
    fn add(&mut self, fault: Fault) {
        if !self.problems.contains(&fault) {
            self.problems.push(fault);
        }
    }

    /// The answer of the first source that has one. Where the application of all does not know the question, the chain
    /// has no such module, and nothing is missing.
    pub(super) async fn first<T>(
        &mut self,
        reached: &[Reached<'_>],
        question: &'static str,
        ask: impl AsyncFn(&Reached<'_>) -> Result<T, Fault>,
    ) -> Option<T> {
        let mut known = false;
        for at in reached {
            match ask(at).await {
                Ok(answer) => return Some(answer),
                Err(fault) => {
                    known |= !fault.is_unknown();
                    self.add(fault);
                }
            }
        }
        if known {
            self.unanswered.push(question);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use url::Url;

    use super::*;
    use crate::chain::{
        endpoints::{Own, list},
        liar::{Liar, NODE_KEY, json, node},
        proof::Choice,
    };

    fn trust() -> Arc<Trust> {
        Arc::new(Trust::new(Choice::default(), None, true))
    }

    #[test]
    fn a_proof_stands_above_what_is_said() {
        let plan = |name: &str| Plan { name: name.into(), height: 100, info: String::new() };
        let said = |name| Scheduled {
            plan: plan(name),
            belief: Belief::Claimed,
            own: None,
            against: Vec::new(),
            refuted: false,
        };
        let proof = |plan| Proof { height: 60, time: 0, plan };
        let told = |mut scheduled: Vec<Scheduled>, proof: &Proof, holds| {
            take_proof(&mut scheduled, proof, holds);
            scheduled
                .iter()
                .map(|it| {
                    let staged = if it.may_be_staged(1) { "staged" } else { "left" };
                    format!("{} {} {} {staged}", it.plan.name, it.belief, it.against.len())
                })
                .collect::<Vec<_>>()
        };
        let hidden = proof(Some(plan("v2")));
        assert_eq!(told(vec![said("evil")], &hidden, true), ["v2 proven 0 staged", "evil claimed 1 left"]);
        assert_eq!(told(vec![said("v2")], &hidden, false), ["v2 proven as of height 60 0 staged"]);
        assert_eq!(told(vec![said("evil")], &proof(None), true), ["evil claimed 1 left"]);
        assert_eq!(told(vec![said("v2")], &proof(None), false), ["v2 claimed 0 staged"]);
    }

    #[tokio::test]
    async fn a_vast_height_is_not_believed_against_two_others() {
        let says = |height| Liar::telling(move |question, _| node(question, "local-1", height, ""));
        let (vast, first, second) = (says(1 << 62).await, says(5000).await, says(4998).await);
        let urls = [&vast, &first, &second].map(|liar| liar.url.to_string());
        let clients = Clients::new().unwrap();
        let all = list(None, &urls, &[]).unwrap();
        let (reached, faults) = reach(&all, &clients).await.unwrap();
        assert_eq!(reached.iter().map(|at| at.latest.height).collect::<Vec<_>>(), [5000, 4998]);
        let fault = faults.problems[0].to_string();
        assert!(fault.contains(&(1_u64 << 62).to_string()) && fault.contains("is ignored"), "{fault}");
        // Of two strangers nobody knows which of them lies; a header that was verified says it.
        let two = list(None, &urls[..2], &[]).unwrap();
        let (mut reached, mut faults) = reach(&two, &clients).await.unwrap();
        assert_eq!(reached[0].latest.height, 1 << 62);
        hold_to_proof(&mut reached, &Proof { height: 4999, time: now(), plan: None }, &mut faults);
        assert_eq!(reached[0].latest.height, 5000);
    }

    #[tokio::test]
    async fn the_home_tells_the_chain_where_the_own_node_does_not() {
        let says = |chain| Liar::telling(move |question, _| node(question, chain, 7, ""));
        let (other, good) = (says("other-1").await, says("local-1").await);
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("config")).unwrap();
        std::fs::write(home.path().join("config/node_key.json"), NODE_KEY).unwrap();
        let (genesis, clients) = (home.path().join("config/genesis.json"), Clients::new().unwrap());
        let chains = async |own: Url| {
            let mine = Own { home: home.path().to_owned(), rest: None };
            let urls = [&other, &good].map(|liar| liar.url.to_string());
            let mut all = list(Some((own, mine)), &urls, &[]).unwrap();
            for endpoint in &mut all {
                endpoint.genesis = Some(genesis.clone());
            }
            let (reached, faults) = reach(&all, &clients).await.unwrap();
            let named = faults.problems.iter().any(|fault| matches!(fault.cause, Cause::OtherChain { .. }));
            assert!(named, "{:?}", faults.problems);
            reached.iter().map(|at| at.latest.chain_id.clone()).collect::<Vec<_>>()
        };
        let silent: Url = "http://127.0.0.1:1".parse().unwrap();
        assert_eq!(chains(silent.clone()).await, ["other-1"], "a home that tells nothing");
        std::fs::write(&genesis, r#"{"chain_id":"local-1"}"#).unwrap();
        assert_eq!(chains(silent).await, ["local-1"]);
        assert_eq!(chains(other.url.clone()).await, ["other-1", "other-1"], "its own node knows better");
    }

    #[tokio::test]
    async fn each_question_is_asked_until_somebody_answers() {
        let html = Liar::saying(200, b"<html>").await;
        let other = Liar::telling(|question, _| node(question, "other-1", 900, "")).await;
        let behind = Liar::telling(|question, params| match question {
            "header" if params["height"] == "4900" => {
                json(r#"{"result":{"header":{"chain_id":"local-1","height":"4900","time":"1970-01-01T00:00:10Z"}}}"#)
            }
            "header" => {
                json(r#"{"error":{"code":-32603,"message":"Internal error","data":"height is not available"}}"#)
            }
            _ => node(question, "local-1", 4999, "ChcKAnYyEgsIgJK4w5j+////ARh0IgJoaQ=="),
        })
        .await;
        let ahead = Liar::telling(|question, _| match question {
            "status" => node(question, "local-1", 5000, ""),
            _ => json(r#"{"result":{"response":{"code":18,"log":"failed to load state at height 5000"}}}"#),
        })
        .await;
        let urls = [&html, &behind, &ahead, &other].map(|liar| liar.url.to_string());
        let endpoints = list(None, &urls, &[]).unwrap();
        let clients = Clients::new().unwrap();
        let survey = survey(&endpoints, &clients, 1, &trust()).await.unwrap();
        assert_eq!((survey.chain_id.as_str(), survey.height), ("local-1", 5000));
        let [scheduled] = survey.scheduled.as_slice() else { panic!("{:?}", survey.scheduled) };
        assert_eq!((scheduled.plan.name.as_str(), scheduled.belief, scheduled.own), ("v2", Belief::Claimed, None));
        assert_eq!(survey.pace.samples(), [(4900, 10_000), (5000, survey.time)]);
        let problems: Vec<_> = survey.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 4, "{problems:#?}");
        for (problem, words) in
            problems.iter().zip(["form of a Cosmos chain", "on chain \"other-1\"", "no state", "no state"])
        {
            assert!(problem.contains(words), "{problem}");
        }
    }

    /// `check` said that all was ready where gateways pass on nothing of what is scheduled.
    #[tokio::test]
    async fn only_a_chain_itself_can_say_that_it_schedules_nothing() {
        let clients = Clients::new().unwrap();
        let unknown = r#"{"result":{"response":{"code":6,"log":"unknown query path: unknown request"}}}"#;
        for (status, said, unanswered) in [
            (200, unknown, &[][..]),
            (200, r#"{"error":{"code":-32601,"message":"Method not found"}}"#, &[SCHEDULED, PROPOSED]),
            (404, "404 page not found", &[SCHEDULED, PROPOSED]),
            (405, "", &[SCHEDULED, PROPOSED]),
            (501, "", &[SCHEDULED, PROPOSED]),
        ] {
            let liar = Liar::telling(move |question, _| match question {
                "status" => node(question, "local-1", 5000, ""),
                _ => (axum::http::StatusCode::from_u16(status).unwrap(), said).into_response(),
            })
            .await;
            let endpoints = list(None, &[liar.url.to_string()], &[]).unwrap();
            let survey = survey(&endpoints, &clients, 1, &trust()).await.unwrap();
            assert_eq!(survey.unanswered, unanswered, "{status} {said}");
        }
    }

    #[tokio::test]
    async fn no_answer_says_what_each_did_instead() {
        let empty = Liar::saying(200, b"").await;
        let clients = Clients::new().unwrap();
        let endpoints = list(None, &[empty.url.to_string()], &[]).unwrap();
        let none = survey(&endpoints, &clients, 1, &trust()).await.unwrap_err();
        assert!(none.problems[0].to_string().contains("answers nothing"));
        assert!(survey(&[], &clients, 1, &trust()).await.unwrap_err().to_string().contains("--rpc"));
    }
}
