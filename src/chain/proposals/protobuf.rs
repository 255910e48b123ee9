//! Proposals as `abci_query` gives them. The page is cut into proposals and those into messages before anything in them is
//! decoded, and no text field is declared at all: Go does not enforce UTF-8, prost does, and one bad title would
//! cost the whole page.

use cosmrs::proto::{
    Timestamp,
    cosmos::{
        base::query::v1beta1::PageRequest,
        gov::v1::{QueryProposalRequest, QueryProposalsRequest},
    },
};
use prost::Message;

use super::{
    super::{Dated, fault::Fault, rpc::Rpc, schedule::SlimPlan},
    DEEPEST, GovVersion, Kind, MOST_ACTIONS, MOST_OF_A_PAGE, Page, number_of, status_of,
};
use crate::decide::event::{Action, Proposal, ProposalStatus};

impl Rpc {
    /// One page of the proposals in a status, or of all, newest first; `key` is [`Page::next`] of the page before.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer; one that [`Fault::is_unknown`] where this version of x/gov is not served.
    pub async fn proposals(
        &self,
        gov: GovVersion,
        status: Option<ProposalStatus>,
        limit: u64,
        key: &[u8],
    ) -> Result<Page, Fault> {
        let request = QueryProposalsRequest {
            proposal_status: number_of(status),
            pagination: Some(PageRequest { key: key.to_vec(), limit, reverse: true, ..PageRequest::default() }),
            ..QueryProposalsRequest::default()
        };
        let answer: Dated<SlimPage> = self.query(&gov.query_path("Proposals"), &request).await?;
        Ok(answer.value.into_page())
    }

    /// The proposal of a number, as a page that holds nothing else.
    ///
    /// # Errors
    /// As [`Rpc::proposals`]; one that [`Fault::is_missing`] where there is no such proposal.
    pub async fn proposal(&self, gov: GovVersion, id: u64) -> Result<Page, Fault> {
        let request = QueryProposalRequest { proposal_id: id };
        let answer: Dated<SlimPage> = self.query(&gov.query_path("Proposal"), &request).await?;
        Ok(answer.value.into_page())
    }
}

/// `QueryProposalsResponse` and `QueryProposalResponse` of both versions.
#[derive(Clone, PartialEq, Message)]
struct SlimPage {
    #[prost(bytes = "vec", repeated, tag = "1")]
    proposals: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "2")]
    pagination: Option<SlimPagination>,
}

#[derive(Clone, PartialEq, Message)]
struct SlimPagination {
    #[prost(bytes = "vec", tag = "1")]
    next_key: Vec<u8>,
}

/// `Proposal` of both versions: field 2 is the list of messages in v1 and the one content in v1beta1.
#[derive(Clone, PartialEq, Message)]
struct SlimProposal {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bytes = "vec", repeated, tag = "2")]
    messages: Vec<Vec<u8>>,
    #[prost(int32, tag = "3")]
    status: i32,
    #[prost(message, optional, tag = "9")]
    voting_end_time: Option<Timestamp>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct SlimAny {
    #[prost(bytes = "vec", tag = "1")]
    type_url: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `MsgIBCSoftwareUpgrade`: the plan is its first field.
#[derive(Clone, PartialEq, Message)]
struct IbcMessage {
    #[prost(message, optional, tag = "1")]
    plan: Option<SlimPlan>,
}

/// `MsgSoftwareUpgrade`: authority, then the plan.
#[derive(Clone, PartialEq, Message)]
struct UpgradeMessage {
    #[prost(message, optional, tag = "2")]
    plan: Option<SlimPlan>,
}

/// `SoftwareUpgradeProposal`, and the `UpgradeProposal` of IBC: title, description, then the plan.
#[derive(Clone, PartialEq, Message)]
struct UpgradeContent {
    #[prost(message, optional, tag = "3")]
    plan: Option<SlimPlan>,
}

/// `MsgExecLegacyContent`.
#[derive(Clone, PartialEq, Message)]
struct LegacyMessage {
    #[prost(bytes = "vec", tag = "1")]
    content: Vec<u8>,
}

/// `MsgExec` of x/authz: grantee, then the messages.
#[derive(Clone, PartialEq, Message)]
struct ExecMessage {
    #[prost(bytes = "vec", repeated, tag = "2")]
    messages: Vec<Vec<u8>>,
}

impl SlimPage {
    fn into_page(self) -> Page {
        let mut page =
            Page { next: self.pagination.map(|p| p.next_key).filter(|key| !key.is_empty()), ..Page::default() };
        let proposals = self.proposals.iter().take(MOST_OF_A_PAGE);
        for proposal in proposals.filter_map(|bytes| SlimProposal::decode(bytes.as_slice()).ok()) {
            page.numbers.push(proposal.id);
            page.proposals.extend(proposal.into_proposal());
        }
        page
    }
}

impl SlimProposal {
    fn into_proposal(self) -> Option<Proposal> {
        let status = status_of(self.status)?;
        let mut actions = Vec::new();
        self.messages.iter().for_each(|message| collect(message, DEEPEST, &mut actions));
        let voting_end = self.voting_end_time.as_ref().and_then(milliseconds);
        (!actions.is_empty()).then_some(Proposal { id: self.id, status, voting_end, actions })
    }
}

/// What a message does about upgrades, and those in it.
fn collect(message: &[u8], depth: usize, actions: &mut Vec<Action>) {
    let Ok(SlimAny { type_url, value }) = SlimAny::decode(message) else { return };
    let kind = std::str::from_utf8(&type_url).ok().and_then(Kind::of);
    if actions.len() >= MOST_ACTIONS {
        return;
    }
    let value = value.as_slice();
    match kind {
        Some(Kind::Exec) if depth > 0 => {
            let inner = ExecMessage::decode(value).unwrap_or_default().messages;
            for message in &inner {
                collect(message, depth - 1, actions);
            }
        }
        Some(Kind::Legacy) => {
            let content = LegacyMessage::decode(value).unwrap_or_default().content;
            let Ok(SlimAny { type_url, value }) = SlimAny::decode(content.as_slice()) else { return };
            let kind = std::str::from_utf8(&type_url).ok().and_then(Kind::of);
            actions.extend(kind.and_then(|kind| action(kind, &value)));
        }
        kind => actions.extend(kind.and_then(|kind| action(kind, value))),
    }
}

/// What a message or content does that holds no others.
fn action(kind: Kind, value: &[u8]) -> Option<Action> {
    let plan = match kind {
        Kind::UpgradeMessage => UpgradeMessage::decode(value).ok()?.plan,
        Kind::UpgradeContent => UpgradeContent::decode(value).ok()?.plan,
        Kind::IbcMessage => IbcMessage::decode(value).ok()?.plan,
        Kind::Cancel => return Some(Action::Cancel),
        Kind::Legacy | Kind::Exec => return None,
    };
    plan.and_then(SlimPlan::into_plan).map(Action::Schedule)
}

/// None for Go's zero time, which stands for "not yet known".
fn milliseconds(time: &Timestamp) -> Option<u64> {
    let seconds = u64::try_from(time.seconds).ok()?;
    seconds.checked_mul(1000)?.checked_add(u64::try_from(time.nanos).ok()? / 1_000_000)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
    use cosmrs::proto::{
        Any,
        cosmos::{
            authz::v1beta1::MsgExec,
            gov::{self, v1::MsgExecLegacyContent},
            upgrade::v1beta1 as upgrade,
        },
    };
    use proptest::proptest;

    use super::*;
    use crate::decide::plan::Plan;

    fn any(type_url: &str, value: &impl Message) -> Any {
        Any { type_url: type_url.into(), value: value.encode_to_vec() }
    }

    fn plan(name: &str) -> upgrade::Plan {
        upgrade::Plan { name: name.into(), height: 7, info: "i".into(), ..upgrade::Plan::default() }
    }

    fn schedule(name: &str) -> Action {
        Action::Schedule(Plan { name: name.into(), height: 7, info: "i".into() })
    }

    fn message(name: &str) -> Any {
        let message = upgrade::MsgSoftwareUpgrade { authority: "gov".into(), plan: Some(plan(name)) };
        any("/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade", &message)
    }

    fn content(name: &str) -> Any {
        let content = upgrade::SoftwareUpgradeProposal {
            title: "TITLE".into(),
            description: "why".into(),
            plan: Some(plan(name)),
        };
        any("/cosmos.upgrade.v1beta1.SoftwareUpgradeProposal", &content)
    }

    fn wrapped(content: Any) -> Any {
        let message = MsgExecLegacyContent { content: Some(content), authority: String::new() };
        any("/cosmos.gov.v1.MsgExecLegacyContent", &message)
    }

    fn exec(msgs: Vec<Any>) -> Any {
        any("/cosmos.authz.v1beta1.MsgExec", &MsgExec { grantee: "gov".into(), msgs })
    }

    /// `MsgIBCSoftwareUpgrade` with its three fields, by hand: the crate that has it is none of ours.
    fn ibc(name: &str) -> Any {
        #[derive(Clone, PartialEq, Message)]
        struct Whole {
            #[prost(message, optional, tag = "1")]
            plan: Option<upgrade::Plan>,
            #[prost(message, optional, tag = "2")]
            upgraded_client_state: Option<Any>,
            #[prost(string, tag = "3")]
            signer: String,
        }
        let state = Some(any("/ibc.lightclients.tendermint.v1.ClientState", &plan("state")));
        let whole = Whole { plan: Some(plan(name)), upgraded_client_state: state, signer: "gov".into() };
        any("/ibc.core.client.v1.MsgIBCSoftwareUpgrade", &whole)
    }

    fn read(bytes: &[u8]) -> Page {
        SlimPage::decode(bytes).unwrap().into_page()
    }

    fn actions(messages: Vec<Any>) -> Vec<Action> {
        let proposal = gov::v1::Proposal { id: 1, messages, status: 2, ..gov::v1::Proposal::default() };
        let answer = gov::v1::QueryProposalResponse { proposal: Some(proposal) };
        read(&answer.encode_to_vec()).proposals.pop().map(|proposal| proposal.actions).unwrap_or_default()
    }

    #[test]
    fn a_recorded_proposal_is_read() {
        for (file, status) in [
            (include_str!("../../../fixtures/answers/cometbft-0.40/proposals-v1-voting.json"), ProposalStatus::Voting),
            (include_str!("../../../fixtures/answers/cometbft-0.40/proposals-v1-passed.json"), ProposalStatus::Passed),
            (
                include_str!("../../../fixtures/answers/cometbft-0.40/proposals-v1-passed-newest-page.json"),
                ProposalStatus::Passed,
            ),
        ] {
            let answer: serde_json::Value = serde_json::from_str(file).unwrap();
            let page = read(&BASE64.decode(answer["result"]["response"]["value"].as_str().unwrap()).unwrap());
            let [proposal] = page.proposals.as_slice() else { panic!("{page:?}") };
            assert_eq!((proposal.id, proposal.status, proposal.voting_end), (1, status, Some(1_795_386_149_536)));
            assert!(
                matches!(proposal.actions.as_slice(), [Action::Schedule(plan)] if plan.name == "v2" && plan.height == 116)
            );
        }
    }

    #[test]
    fn a_plan_is_found_wherever_it_hides() {
        let cancel =
            any("/cosmos.upgrade.v1beta1.MsgCancelUpgrade", &upgrade::MsgCancelUpgrade { authority: String::new() });
        let cancel_content = any(
            "/cosmos.upgrade.v1beta1.CancelSoftwareUpgradeProposal",
            &upgrade::CancelSoftwareUpgradeProposal::default(),
        );
        let ibc_content = |name| Any { type_url: "/ibc.core.client.v1.UpgradeProposal".into(), ..content(name) };
        let bare = Any { type_url: "cosmos.upgrade.v1beta1.MsgSoftwareUpgrade".into(), ..message("v2") };
        let hosted =
            Any { type_url: "type.googleapis.com/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade".into(), ..bare.clone() };
        let mut bad_title = content("v2");
        let at = bad_title.value.windows(5).position(|bytes| bytes == b"TITLE").unwrap();
        bad_title.value[at] = 0xff;
        let mut bad_info = message("v2");
        let last = bad_info.value.len() - 1;
        bad_info.value[last] = 0xff;
        let odd = Action::Schedule(Plan { name: "v2".into(), height: 7, info: "\u{fffd}".into() });
        let negative = upgrade::MsgSoftwareUpgrade {
            plan: Some(upgrade::Plan { height: -1, ..plan("v2") }),
            ..Default::default()
        };
        let nested = |depth: usize| (0..depth).fold(message("v2"), |inner, _| exec(vec![inner]));
        let one = || vec![schedule("v2")];
        for (what, message, wanted) in [
            ("a message", message("v2"), one()),
            ("a type without a slash", bare, one()),
            ("a type with a host", hosted, one()),
            ("a message of IBC", ibc("v2"), one()),
            ("legacy content", content("v2"), one()),
            ("legacy content of IBC", ibc_content("v2"), one()),
            ("legacy content in a message", wrapped(content("v2")), one()),
            ("legacy content of IBC in a message", wrapped(ibc_content("v2")), one()),
            ("a title that is no UTF-8", wrapped(bad_title), one()),
            ("an info that is no UTF-8", bad_info, vec![odd]),
            ("a cancellation", cancel.clone(), vec![Action::Cancel]),
            ("legacy cancellation", wrapped(cancel_content.clone()), vec![Action::Cancel]),
            ("cancellation as content", cancel_content, vec![Action::Cancel]),
            ("an execution by authz", exec(vec![message("v2"), cancel]), vec![schedule("v2"), Action::Cancel]),
            ("legacy content in an execution", exec(vec![wrapped(content("v2"))]), one()),
            ("executions in each other", nested(DEEPEST), one()),
            ("deeper than anybody needs", nested(DEEPEST + 1), vec![]),
            ("legacy content in legacy content", wrapped(wrapped(content("v2"))), vec![]),
            ("a negative height", any("/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade", &negative), vec![]),
            (
                "no plan",
                any("/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade", &upgrade::MsgSoftwareUpgrade::default()),
                vec![],
            ),
            ("something else", any("/other.Msg", &plan("v2")), vec![]),
            ("broken", Any { value: vec![0xff], ..message("v2") }, vec![]),
        ] {
            assert_eq!(actions(vec![message.clone()]), wanted, "{what}");
            // Whatever it is, it hides nothing beside it.
            let beside = actions(vec![message.clone(), super::tests::message("v3")]);
            assert_eq!(beside.last(), Some(&schedule("v3")), "{what}");
            let beside = actions(vec![exec(vec![message, super::tests::message("v3")])]);
            assert_eq!(beside.last(), Some(&schedule("v3")), "{what}");
        }
    }

    #[test]
    fn a_proposal_has_only_so_many_actions() {
        let many = (0..MOST_ACTIONS + 5).map(|_| message("v2")).collect();
        assert_eq!(actions(vec![exec(many)]).len(), MOST_ACTIONS);
    }

    #[test]
    fn the_older_version_is_read_alike() {
        let end = Some(Timestamp { seconds: 5, nanos: 600_000_000 });
        let proposal = gov::v1beta1::Proposal {
            proposal_id: 9,
            content: Some(content("old")),
            status: 1,
            voting_end_time: end,
            ..gov::v1beta1::Proposal::default()
        };
        let page =
            read(&gov::v1beta1::QueryProposalsResponse { proposals: vec![proposal], pagination: None }.encode_to_vec());
        let (status, actions) = (ProposalStatus::Deposit, vec![schedule("old")]);
        assert_eq!(page.proposals, [Proposal { id: 9, status, voting_end: Some(5600), actions }]);
    }

    #[test]
    fn a_proposal_that_cannot_be_read_hides_no_other() {
        let good =
            gov::v1::Proposal { id: 2, messages: vec![message("v2")], status: 2, ..gov::v1::Proposal::default() };
        let bad_title = gov::v1::Proposal { title: "TITLE".into(), id: 3, ..good.clone() };
        let mut bad_title = bad_title.encode_to_vec();
        let at = bad_title.windows(5).position(|bytes| bytes == b"TITLE").unwrap();
        bad_title[at] = 0xff;
        assert!(gov::v1::Proposal::decode(bad_title.as_slice()).is_err());
        let unheard_of = gov::v1::Proposal { id: 4, status: 77, ..good.clone() };
        let next = Some(SlimPagination { next_key: b"next".to_vec() });
        let proposals = vec![vec![0xff; 9], bad_title, unheard_of.encode_to_vec(), good.encode_to_vec()];
        let page = read(&SlimPage { proposals, pagination: next }.encode_to_vec());
        assert_eq!((page.numbers.as_slice(), page.proposals.len()), ([3, 4, 2].as_slice(), 2));
        assert_eq!(page.next.as_deref(), Some(b"next".as_slice()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), cuts in proptest::array::uniform4(proptest::num::u8::ANY)) {
            let _ = SlimPage::decode(bytes.as_slice()).map(SlimPage::into_page);
            let messages = vec![message("v2"), wrapped(content("x")), exec(vec![ibc("y")])];
            let proposal = gov::v1::Proposal { messages, ..Default::default() };
            let page = SlimPage { proposals: vec![proposal.encode_to_vec(), bytes.clone()], pagination: None };
            bytes = page.encode_to_vec();
            for cut in cuts {
                let at = usize::from(cut) % bytes.len();
                bytes[at] = bytes[at].wrapping_add(cut);
            }
            let _ = SlimPage::decode(bytes.as_slice()).map(SlimPage::into_page);
        }
    }
}
