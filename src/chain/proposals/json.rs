//! Proposals as the REST gateway gives them.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{
        number::{Number, milliseconds},
        schedule::JsonPlan,
    },
    Kind, Page, status_of,
};
use crate::decide::{
    event::{Action, Proposal},
    plan::Plan,
};

/// The answer of both versions. Each proposal is read by itself, so that one which cannot be read costs only itself.
#[derive(Debug, Deserialize)]
pub(in crate::chain) struct PageAnswer {
    proposals: Vec<Value>,
    pagination: Option<Pagination>,
}

#[derive(Debug, Deserialize)]
struct Pagination {
    next_key: Option<String>,
}

impl PageAnswer {
    pub(in crate::chain) fn into_page(self) -> Page {
        let next = self.pagination.and_then(|p| BASE64.decode(p.next_key?).ok()).filter(|key| !key.is_empty());
        Page {
            numbers: self.proposals.iter().filter_map(number).collect(),
            proposals: self.proposals.iter().filter_map(proposal).collect(),
            next,
        }
    }
}

/// What a proposal would do that is not submitted yet, by the file that a client would send: the draft of a proposal, or a
/// transaction. None where it is neither.
#[must_use]
pub fn drafted(text: &str) -> Option<Vec<Action>> {
    let draft: Value = serde_json::from_str(text).ok()?;
    let places = [&draft, &draft["body"], &draft["tx"]["body"]];
    let messages = places.into_iter().find_map(|place| place["messages"].as_array())?;
    let of = |message: &Value| {
        // A transaction submits the proposal, or carries out what others allowed.
        let lists = ["messages", "msgs"].iter().filter_map(|list| message[list].as_array()).flatten();
        let inner = || lists.chain(message.get("content")).filter_map(action).collect();
        action(message).map_or_else(inner, |action| vec![action])
    };
    Some(messages.iter().flat_map(of).collect())
}

/// `id` in v1, `proposal_id` in v1beta1.
fn number(proposal: &Value) -> Option<u64> {
    ["id", "proposal_id"].iter().find_map(|key| Number::deserialize(proposal.get(key)?).ok()).map(|number| number.0)
}

fn proposal(value: &Value) -> Option<Proposal> {
    let number = number(value)?;
    let status = status_of(match &value["status"] {
        Value::String(name) => cosmrs::proto::cosmos::gov::v1::ProposalStatus::from_str_name(name)? as i32,
        other => i32::deserialize(other).ok()?,
    })?;
    let messages = value["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let actions: Vec<_> = messages.iter().chain(value.get("content")).filter_map(action).collect();
    let voting_end = value["voting_end_time"].as_str().and_then(milliseconds);
    (!actions.is_empty()).then_some(Proposal { id: number, status, voting_end, actions })
}

fn action(message: &Value) -> Option<Action> {
    match Kind::of(message["@type"].as_str()?)? {
        Kind::Wrapper => unwrapped(Kind::of(message["content"]["@type"].as_str()?)?, &message["content"]),
        kind => unwrapped(kind, message),
    }
}

fn unwrapped(kind: Kind, message: &Value) -> Option<Action> {
    match kind {
        Kind::Cancel => Some(Action::Cancel),
        Kind::Wrapper => None,
        _ => JsonPlan::deserialize(&message["plan"]).ok().map(|plan| Action::Schedule(Plan::from(plan))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

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
        let messages = json!([7, {"@type": 1}, {"@type": "/other.Msg"}, bad_plan, twice, good, cancel, ibc]);
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
