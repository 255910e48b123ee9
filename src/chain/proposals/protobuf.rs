//! Proposals as `abci_query` gives them. The page is cut into proposals and those into messages before anything in them is
//! decoded, and no text field is declared at all: Go does not enforce UTF-8, prost does, and one bad title would
//! cost the whole page.

use cosmrs::proto::{
    Any, Timestamp,
    cosmos::{
        base::query::v1beta1::PageRequest,
        gov::v1::{MsgExecLegacyContent, QueryProposalsRequest},
        upgrade::v1beta1 as upgrade,
    },
};
use prost::Message;

use super::{
    super::{Dated, fault::Fault, rpc::Rpc, schedule::from_protobuf},
    GovVersion, Kind, PAGE, Page, number_of, status_of,
};
use crate::decide::event::{Action, Proposal, ProposalStatus};

impl Rpc {
    /// One page of the proposals in a status, newest first; `key` is [`Page::next`] of the page before.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer; one that [`Fault::is_unknown`] where this version of x/gov is not served.
    pub async fn proposals(&self, gov: GovVersion, status: ProposalStatus, key: &[u8]) -> Result<Page, Fault> {
        let request = QueryProposalsRequest {
            proposal_status: number_of(status),
            pagination: Some(PageRequest { key: key.to_vec(), limit: PAGE, reverse: true, ..PageRequest::default() }),
            ..QueryProposalsRequest::default()
        };
        let answer: Dated<SlimPage> = self.query(gov.query_path(), &request).await?;
        Ok(answer.value.into_page())
    }
}

/// `QueryProposalsResponse` of both versions.
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

/// The first field of ibc-go's message.
#[derive(Clone, PartialEq, Message)]
struct IbcUpgradeMessage {
    #[prost(message, optional, tag = "1")]
    plan: Option<upgrade::Plan>,
}

impl SlimPage {
    fn into_page(self) -> Page {
        let mut page =
            Page { next: self.pagination.map(|p| p.next_key).filter(|key| !key.is_empty()), ..Page::default() };
        for proposal in self.proposals.iter().filter_map(|bytes| SlimProposal::decode(bytes.as_slice()).ok()) {
            page.numbers.push(proposal.id);
            page.proposals.extend(proposal.into_proposal());
        }
        page
    }
}

impl SlimProposal {
    fn into_proposal(self) -> Option<Proposal> {
        let messages = self.messages.iter().filter_map(|bytes| Any::decode(bytes.as_slice()).ok());
        let actions: Vec<_> = messages.filter_map(|message| action(&message)).collect();
        let status = status_of(self.status)?;
        let voting_end = self.voting_end_time.as_ref().and_then(milliseconds);
        (!actions.is_empty()).then_some(Proposal { id: self.id, status, voting_end, actions })
    }
}

fn action(message: &Any) -> Option<Action> {
    match Kind::of(&message.type_url)? {
        Kind::Wrapper => {
            let content = MsgExecLegacyContent::decode(message.value.as_slice()).ok()?.content?;
            unwrapped(Kind::of(&content.type_url)?, &content.value)
        }
        kind => unwrapped(kind, &message.value),
    }
}

fn unwrapped(kind: Kind, value: &[u8]) -> Option<Action> {
    let plan = match kind {
        Kind::UpgradeMessage => upgrade::MsgSoftwareUpgrade::decode(value).ok()?.plan,
        Kind::UpgradeContent => upgrade::SoftwareUpgradeProposal::decode(value).ok()?.plan,
        Kind::IbcUpgradeMessage => IbcUpgradeMessage::decode(value).ok()?.plan,
        Kind::Cancel => return Some(Action::Cancel),
        // Only content can be wrapped, so this ends here: depth is not the writer's to choose.
        Kind::Wrapper => return None,
    };
    plan.and_then(from_protobuf).map(Action::Schedule)
}

/// None for Go's zero time, which stands for "not yet known".
fn milliseconds(time: &Timestamp) -> Option<u64> {
    let seconds = u64::try_from(time.seconds).ok()?;
    seconds.checked_mul(1000)?.checked_add(u64::try_from(time.nanos).ok()? / 1_000_000)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
    use cosmrs::proto::cosmos::gov;
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
        let content =
            upgrade::SoftwareUpgradeProposal { plan: Some(plan(name)), ..upgrade::SoftwareUpgradeProposal::default() };
        any("/cosmos.upgrade.v1beta1.SoftwareUpgradeProposal", &content)
    }

    fn wrapped(content: Any) -> Any {
        let message = MsgExecLegacyContent { content: Some(content), authority: String::new() };
        any("/cosmos.gov.v1.MsgExecLegacyContent", &message)
    }

    fn read(bytes: &[u8]) -> Page {
        SlimPage::decode(bytes).unwrap().into_page()
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
    fn every_shape_of_an_upgrade_is_read() {
        let ibc = any("/ibc.core.client.v1.MsgIBCSoftwareUpgrade", &IbcUpgradeMessage { plan: Some(plan("ibc")) });
        let cancel =
            any("/cosmos.upgrade.v1beta1.MsgCancelUpgrade", &upgrade::MsgCancelUpgrade { authority: String::new() });
        let ibc_content = Any { type_url: "/ibc.core.client.v1.UpgradeProposal".into(), ..content("ibc content") };
        let broken = Any { value: vec![0xff], ..message("never") };
        let negative =
            upgrade::MsgSoftwareUpgrade { plan: Some(upgrade::Plan { height: -1, ..plan("x") }), ..Default::default() };
        let messages = vec![
            any("/other.Msg", &plan("x")),
            broken,
            any("/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade", &negative),
            wrapped(wrapped(message("too deep"))),
            message("message"),
            wrapped(content("wrapped")),
            cancel,
            ibc,
            wrapped(ibc_content),
        ];
        let proposal = gov::v1::Proposal { id: 1, messages, status: 2, ..gov::v1::Proposal::default() };
        let page =
            read(&gov::v1::QueryProposalsResponse { proposals: vec![proposal], pagination: None }.encode_to_vec());
        let wanted =
            [schedule("message"), schedule("wrapped"), Action::Cancel, schedule("ibc"), schedule("ibc content")];
        assert_eq!(page.proposals[0].actions, wanted);
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
        let next = Some(SlimPagination { next_key: b"next".to_vec() });
        let page = SlimPage { proposals: vec![vec![0xff; 9], bad_title, good.encode_to_vec()], pagination: next };
        let page = read(&page.encode_to_vec());
        assert_eq!((page.numbers.as_slice(), page.proposals.len()), ([3, 2].as_slice(), 2));
        assert_eq!(page.next.as_deref(), Some(b"next".as_slice()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), cuts in proptest::array::uniform4(proptest::num::u8::ANY)) {
            let _ = SlimPage::decode(bytes.as_slice()).map(SlimPage::into_page);
            let proposal = gov::v1::Proposal { messages: vec![message("v2"), wrapped(content("x"))], ..Default::default() };
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
