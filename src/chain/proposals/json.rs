//! Proposals as the REST gateway gives them. Nothing is turned into a tree of values: what takes two bytes in JSON would
//! take hundreds in memory. Each part stays text until it is looked at, so that what cannot be read costs only itself.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::{
        few::Few,
        number::{Number, milliseconds},
        schedule::JsonPlan,
    },
    DEEPEST, Kind, MOST_ACTIONS, MOST_OF_A_PAGE, Page, status_of,
};
use crate::decide::{
    event::{Action, Proposal},
    plan::Plan,
};

/// Any part of an answer, as text.
type Raw = Box<RawValue>;

/// The answer of both versions to the question for a page.
#[derive(Debug, Deserialize)]
pub(in crate::chain) struct PageAnswer {
    proposals: Few<Raw, MOST_OF_A_PAGE>,
    pagination: Option<Pagination>,
}

/// And to that for one proposal.
#[derive(Debug, Deserialize)]
pub(in crate::chain) struct SingleAnswer {
    proposal: Raw,
}

#[derive(Debug, Deserialize)]
struct Pagination {
    next_key: Option<String>,
}

#[derive(Deserialize)]
struct RawProposal {
    /// Since v1.
    id: Option<Raw>,
    /// In v1beta1.
    proposal_id: Option<Raw>,
    status: Option<Raw>,
    messages: Option<Raw>,
    content: Option<Raw>,
    voting_end_time: Option<Raw>,
}

#[derive(Deserialize)]
struct RawMessage {
    #[serde(rename = "@type")]
    kind: String,
    plan: Option<Raw>,
    content: Option<Raw>,
    msgs: Option<Raw>,
    messages: Option<Raw>,
}

/// The draft of a proposal, the body of a transaction, or what holds one.
#[derive(Deserialize)]
struct Draft {
    messages: Option<Raw>,
    body: Option<Raw>,
    tx: Option<Raw>,
}

/// What a proposal would do that is not submitted yet, by the file that a client would send: the draft of a proposal, or a
/// transaction. None where it is neither.
#[must_use]
pub fn drafted(text: &str) -> Option<Vec<Action>> {
    let mut draft: Draft = serde_json::from_str(text).ok()?;
    while let Some(inner) = draft.tx.as_deref().or(draft.body.as_deref()) {
        draft = read(inner)?;
    }
    let mut actions = Vec::new();
    for raw in &list(Some(&*draft.messages?)) {
        match read::<RawMessage>(raw) {
            // It submits a proposal.
            Some(RawMessage { kind, messages: inner, content, .. }) if Kind::of(&kind).is_none() => {
                messages(inner.as_deref(), DEEPEST, &mut actions);
                if let Some(content) = content {
                    collect(&content, DEEPEST, &mut actions);
                }
            }
            _ => collect(raw, DEEPEST, &mut actions),
        }
    }
    Some(actions)
}

impl PageAnswer {
    pub(in crate::chain) fn into_page(self) -> Page {
        let next = self.pagination.and_then(|p| BASE64.decode(p.next_key?).ok()).filter(|key| !key.is_empty());
        Page { next, ..page(&self.proposals.0) }
    }
}

impl SingleAnswer {
    pub(in crate::chain) fn into_page(self) -> Page {
        page(&[self.proposal])
    }
}

fn page(proposals: &[Raw]) -> Page {
    let mut page = Page::default();
    for proposal in proposals.iter().filter_map(|raw| read::<RawProposal>(raw)) {
        let number = [&proposal.id, &proposal.proposal_id].into_iter().flatten().find_map(|raw| read::<Number>(raw));
        let Some(Number(number)) = number else { continue };
        page.numbers.push(number);
        page.proposals.extend(proposal.into_proposal(number));
    }
    page
}

impl RawProposal {
    fn into_proposal(self, id: u64) -> Option<Proposal> {
        let status = self.status?;
        let named = read::<String>(&status);
        let named = named.and_then(|name| cosmrs::proto::cosmos::gov::v1::ProposalStatus::from_str_name(&name));
        let status = status_of(named.map(|status| status as i32).or_else(|| read(&status))?)?;
        let mut actions = Vec::new();
        messages(self.messages.as_deref(), DEEPEST, &mut actions);
        self.content.iter().for_each(|content| collect(content, DEEPEST, &mut actions));
        let voting_end = self.voting_end_time.and_then(|raw| milliseconds(&read::<String>(&raw)?));
        (!actions.is_empty()).then_some(Proposal { id, status, voting_end, actions })
    }
}

fn messages(raw: Option<&RawValue>, depth: usize, actions: &mut Vec<Action>) {
    for message in &list(raw) {
        collect(message, depth, actions);
    }
}

fn list(raw: Option<&RawValue>) -> Vec<Raw> {
    const MOST_MESSAGES: usize = 10_000;
    raw.and_then(read::<Few<Raw, MOST_MESSAGES>>).map(|few| few.0).unwrap_or_default()
}

/// What a message does about upgrades, and those in it.
fn collect(message: &RawValue, depth: usize, actions: &mut Vec<Action>) {
    let Some(message) = read::<RawMessage>(message) else { return };
    if actions.len() >= MOST_ACTIONS {
        return;
    }
    match Kind::of(&message.kind) {
        Some(Kind::Exec) if depth > 0 => messages(message.msgs.as_deref(), depth - 1, actions),
        Some(Kind::Legacy) => {
            actions.extend(message.content.and_then(|raw| read::<RawMessage>(&raw)).and_then(RawMessage::action));
        }
        _ => actions.extend(message.action()),
    }
}

impl RawMessage {
    /// What a message or content does that holds no others.
    fn action(self) -> Option<Action> {
        match Kind::of(&self.kind)? {
            Kind::Cancel => Some(Action::Cancel),
            Kind::Legacy | Kind::Exec => None,
            _ => read::<JsonPlan>(&self.plan?).map(|plan| Action::Schedule(Plan::from(plan))),
        }
    }
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::decide::event::ProposalStatus;

    fn page(text: &str) -> Page {
        serde_json::from_str::<PageAnswer>(text).unwrap().into_page()
    }

    /// Number, status, name and height of each upgrade on a page.
    fn upgrades(page: &Page) -> Vec<(u64, ProposalStatus, String, u64)> {
        let mut found = Vec::new();
        for proposal in &page.proposals {
            for action in &proposal.actions {
                if let Action::Schedule(plan) = action {
                    found.push((proposal.id, proposal.status, plan.name.clone(), plan.height));
                }
            }
        }
        found
    }

    #[derive(Deserialize)]
    struct Expected {
        count: usize,
        next_key: Option<String>,
        upgrades: Vec<(u64, String, String, String, u64)>,
    }

    #[test]
    fn recorded_pages_hold_just_the_upgrades_expected() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/answers/proposals");
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let expected: std::collections::BTreeMap<String, Expected> =
            serde_json::from_str(&read("expected.json")).unwrap();
        let mut found = 0;
        for (file, expected) in &expected {
            // Answers to the question for one proposal hold it under another name.
            let text = read(file);
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            if let Some(single) = answer.get_mut("proposal").map(Value::take) {
                answer = json!({ "proposals": [single] });
            }
            let page = page(&answer.to_string());
            assert_eq!(page.numbers.len(), expected.count, "{file}");
            assert_eq!(page.next.as_ref().map(|key| BASE64.encode(key)), expected.next_key, "{file}");
            let wanted = expected.upgrades.iter().map(|(id, status, action, name, height)| {
                assert_eq!(action, "upgrade");
                let status = if status.ends_with("PASSED") { ProposalStatus::Passed } else { ProposalStatus::Voting };
                (*id, status, name.clone(), *height)
            });
            let wanted: Vec<_> = wanted.collect();
            assert_eq!(upgrades(&page), wanted, "{file}");
            found += wanted.len();
        }
        assert_eq!((expected.len(), found), (7, 21));
    }

    #[derive(Deserialize)]
    struct Row {
        file: String,
        draft: Value,
        /// Name and height of each plan, null for a cancel; none where it is no draft with messages.
        plans: Option<Vec<Option<(String, u64)>>>,
    }

    #[test]
    fn drafts_and_transactions_seen_in_the_wild_are_read() {
        let rows = include_str!("../../../fixtures/plans/drafts.jsonl").lines();
        let (mut drafts, mut plans) = (0, 0);
        for row in rows.map(|line| serde_json::from_str::<Row>(line).unwrap()) {
            let shown = |action| match action {
                Action::Schedule(plan) => Some((plan.name, plan.height)),
                Action::Cancel => None,
            };
            let found = drafted(&row.draft.to_string());
            let found = found.map(|actions| actions.into_iter().map(shown).collect::<Vec<_>>());
            assert_eq!(found, row.plans, "{}", row.file);
            drafts += 1;
            plans += found.map_or(0, |found| found.len());
        }
        assert_eq!((drafts, plans), (99, 70));
    }

    #[test]
    fn what_cannot_be_read_hides_nothing_else() {
        let plan = json!({"name": "v2", "height": 7, "info": null});
        let good = json!({"@type": "/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade", "plan": plan});
        let wrapper = |content: Value| json!({"@type": "/cosmos.gov.v1.MsgExecLegacyContent", "content": content});
        let cancel = wrapper(json!({"@type": "/cosmos.upgrade.v1beta1.CancelSoftwareUpgradeProposal"}));
        let twice = wrapper(wrapper(good.clone()));
        let ibc = json!({"@type": "/ibc.core.client.v1.MsgIBCSoftwareUpgrade", "plan": plan});
        let bad_plan = json!({"@type": "/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade", "plan": {"name": 5}});
        let other = json!({"@type": "/other.Msg", "msgs": 5, "plan": [], "content": {}});
        let messages = json!([7, {"@type": 1}, other, bad_plan, twice, good, cancel, ibc]);
        let text = json!({"proposals": [
            null, "x", {"id": []}, {"id": "1", "status": 2, "messages": "none"}, {"id": "2", "status": "NEW", "messages": messages},
            {"id": 3, "status": "PROPOSAL_STATUS_VOTING_PERIOD", "messages": messages, "voting_end_time": "1970-01-01T00:00:01Z"},
            {"proposal_id": "4", "status": 1, "content": good, "voting_end_time": "0001-01-01T00:00:00Z"},
        ], "pagination": null});
        let page = page(&text.to_string());
        assert_eq!(page.numbers, [1, 2, 3, 4]);
        let plan = Plan { name: "v2".into(), height: 7, info: String::new() };
        let schedule = || Action::Schedule(plan.clone());
        let actions = vec![schedule(), Action::Cancel, schedule()];
        let (voting, deposit) = (ProposalStatus::Voting, ProposalStatus::Deposit);
        assert_eq!(
            page.proposals,
            [
                Proposal { id: 3, status: voting, voting_end: Some(1000), actions },
                Proposal { id: 4, status: deposit, voting_end: None, actions: vec![schedule()] },
            ]
        );
    }

    #[test]
    fn a_plan_is_found_wherever_it_hides() {
        let plan = json!({"name": "v2", "height": "9007199254740993", "info": "i", "upgraded_client_state": null});
        let of = |kind: &str| json!({"@type": kind, "plan": plan, "title": "t"});
        let message = || of("/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade");
        let content = || of("/cosmos.upgrade.v1beta1.SoftwareUpgradeProposal");
        let wrapped = |content| json!({"@type": "/cosmos.gov.v1.MsgExecLegacyContent", "content": content});
        let exec = |msgs: Vec<Value>| json!({"@type": "/cosmos.authz.v1beta1.MsgExec", "grantee": "g", "msgs": msgs});
        let cancel = json!({"@type": "/cosmos.upgrade.v1beta1.MsgCancelUpgrade", "authority": "gov"});
        let nested = |depth: usize| (0..depth).fold(message(), |inner, _| exec(vec![inner]));
        let schedule = || Action::Schedule(Plan { name: "v2".into(), height: 9_007_199_254_740_993, info: "i".into() });
        let one = || vec![schedule()];
        for (what, message, wanted) in [
            ("a message", message(), one()),
            ("a message of IBC", of("/ibc.core.client.v1.MsgIBCSoftwareUpgrade"), one()),
            ("legacy content in a message", wrapped(content()), one()),
            ("legacy content of IBC in a message", wrapped(of("/ibc.core.client.v1.UpgradeProposal")), one()),
            ("an execution by authz", exec(vec![message(), cancel]), vec![schedule(), Action::Cancel]),
            ("legacy content in an execution", exec(vec![wrapped(content())]), one()),
            ("executions in each other", nested(DEEPEST), one()),
            ("deeper than anybody needs", nested(DEEPEST + 1), vec![]),
            ("so many that nobody needs them", exec(vec![message(); 2 * MOST_ACTIONS]), vec![schedule(); MOST_ACTIONS]),
        ] {
            let text = json!({"proposal": {"id": 1, "status": 2, "messages": [message]}}).to_string();
            let page = serde_json::from_str::<SingleAnswer>(&text).unwrap().into_page();
            let found = page.proposals.into_iter().next().map(|proposal| proposal.actions).unwrap_or_default();
            assert_eq!(found, wanted, "{what}");
        }
        for content in [content(), of("/ibc.core.client.v1.UpgradeProposal")] {
            let text = json!({"proposals": [{"proposal_id": "1", "status": 1, "content": content}]}).to_string();
            assert_eq!(page(&text).proposals[0].actions, one());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}", end in "\\PC{0,30}") {
            let proposal = json!({"id": text, "status": end, "voting_end_time": end, "content": {"@type": text}});
            let _ = page(&json!({"proposals": [proposal, text], "pagination": {"next_key": text}}).to_string());
            let _ = serde_json::from_str::<PageAnswer>(&text);
            let _ = drafted(&json!({"body": {"messages": [{"msgs": text, "content": end}, text]}}).to_string());
        }
    }
}
