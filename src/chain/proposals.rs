//! The governance proposals that would schedule or cancel an upgrade, wherever in a proposal the plan hides: in a message
//! of gov v1, in legacy content inside one, or in the content of gov v1beta1. They are forecasts, written by anybody who
//! pays a deposit, so nothing in one may hide another.

mod protobuf;

pub(super) mod json;

pub use json::drafted;

use std::collections::{BTreeMap, BTreeSet};

use cosmrs::proto::cosmos::gov::v1::ProposalStatus as Wire;

use super::{endpoints::Source, fault::Fault};
use crate::decide::event::{Action, Proposal, ProposalStatus};

/// Proposals asked for at once. One can hold tens of kilobytes of prose, and a page is held in memory as a whole.
pub(super) const PAGE: u64 = 20;
/// Pages read of one status: whoever pays the deposits must not decide how long this takes.
const MOST_PAGES: usize = 10;
/// Pages read of all passed proposals: more than any chain has.
const MOST_PAGES_OF_ALL: usize = 1000;
/// Passed proposals whose numbers are remembered.
const MOST_SEEN: usize = 1000;

/// The versions of x/gov's queries. Both answers carry what is read here under the same field numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GovVersion {
    /// Since SDK 0.46.
    #[default]
    V1,
    /// From SDK 0.40; its server is gone in 0.55.
    V1Beta1,
}

impl GovVersion {
    fn query_path(self) -> &'static str {
        match self {
            Self::V1 => "/cosmos.gov.v1.Query/Proposals",
            Self::V1Beta1 => "/cosmos.gov.v1beta1.Query/Proposals",
        }
    }

    pub(super) fn rest_path(self) -> &'static str {
        match self {
            Self::V1 => "/cosmos/gov/v1/proposals",
            Self::V1Beta1 => "/cosmos/gov/v1beta1/proposals",
        }
    }
}

/// One page of proposals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The numbers of all proposals on it that could be read.
    pub numbers: Vec<u64>,
    /// Those among them that concern upgrades, in a status from which one can still come.
    pub proposals: Vec<Proposal>,
    /// The key of the next page.
    pub next: Option<Vec<u8>>,
}

/// Reads an endpoint's proposals again and again, without reading all of a chain's history each time.
#[derive(Debug, Default)]
pub struct Reader {
    gov: GovVersion,
    /// Passed proposals that were read before.
    seen: BTreeSet<u64>,
    /// Those among them whose height may still come.
    ahead: BTreeMap<u64, Proposal>,
}

impl Reader {
    /// The proposals that concern upgrades, by number: all in deposit and voting period, and the passed ones for a height
    /// that is not behind `height`.
    ///
    /// # Errors
    /// [`Fault`] where one of the questions got no answer.
    pub async fn read(&mut self, source: &Source, height: u64) -> Result<Vec<Proposal>, Fault> {
        let mut found = BTreeMap::new();
        for status in [ProposalStatus::Deposit, ProposalStatus::Voting, ProposalStatus::Passed] {
            let mut key = Vec::new();
            for _ in 0..MOST_PAGES {
                let page = self.page(source, status, &key).await?;
                let (next, done) =
                    (page.next.clone(), status == ProposalStatus::Passed && !self.take_passed(&page, height));
                found.extend(
                    page.proposals.into_iter().filter(|p| p.status != ProposalStatus::Passed).map(|p| (p.id, p)),
                );
                match next {
                    Some(next) if !done && next != key => key = next,
                    _ => break,
                }
            }
        }
        self.ahead.retain(|_, proposal| may_come(proposal, height));
        found.extend(self.ahead.clone());
        Ok(found.into_values().collect())
    }

    /// Every passed proposal that concerns upgrades, newest first, as far back as the chain keeps them.
    ///
    /// # Errors
    /// [`Fault`] where one of the pages is not answered.
    pub async fn passed(&mut self, source: &Source) -> Result<Vec<Proposal>, Fault> {
        let (mut found, mut key) = (Vec::new(), Vec::new());
        for _ in 0..MOST_PAGES_OF_ALL {
            let page = self.page(source, ProposalStatus::Passed, &key).await?;
            found.extend(page.proposals.into_iter().filter(|proposal| proposal.status == ProposalStatus::Passed));
            match page.next {
                Some(next) if next != key => key = next,
                _ => break,
            }
        }
        Ok(found)
    }

    /// Remembers what is on a page of passed proposals, and tells whether an older page could hold more that is ahead:
    /// not where one on it was seen before, or nothing on it is ahead.
    fn take_passed(&mut self, page: &Page, height: u64) -> bool {
        let known = page.numbers.iter().any(|number| self.seen.contains(number));
        self.seen.extend(&page.numbers);
        while self.seen.len() > MOST_SEEN {
            self.seen.pop_first();
        }
        let ahead = |p: &&Proposal| p.status == ProposalStatus::Passed && may_come(p, height);
        let before = self.ahead.len();
        self.ahead.extend(page.proposals.iter().filter(ahead).map(|p| (p.id, p.clone())));
        !known && self.ahead.len() > before
    }

    /// One page, by the newest version of x/gov that the endpoint serves.
    async fn page(&mut self, source: &Source, status: ProposalStatus, key: &[u8]) -> Result<Page, Fault> {
        if self.gov == GovVersion::V1 {
            match source.proposals(GovVersion::V1, status, key).await {
                Err(fault) if fault.is_unknown() => self.gov = GovVersion::V1Beta1,
                answer => return answer,
            }
        }
        let answer = source.proposals(GovVersion::V1Beta1, status, key).await;
        if answer.is_err() {
            self.gov = GovVersion::V1;
        }
        answer
    }
}

/// Whether a passed proposal's upgrade can still come. A cancellation that passed has done its work.
fn may_come(proposal: &Proposal, height: u64) -> bool {
    proposal.actions.iter().any(|action| matches!(action, Action::Schedule(plan) if plan.height >= height))
}

/// The number of a status in both versions of x/gov.
pub(super) fn number_of(status: ProposalStatus) -> i32 {
    match status {
        ProposalStatus::Deposit => Wire::DepositPeriod as i32,
        ProposalStatus::Voting => Wire::VotingPeriod as i32,
        ProposalStatus::Passed => Wire::Passed as i32,
    }
}

fn status_of(number: i32) -> Option<ProposalStatus> {
    [ProposalStatus::Deposit, ProposalStatus::Voting, ProposalStatus::Passed]
        .into_iter()
        .find(|s| number_of(*s) == number)
}

/// What a message of this type does; none for messages that have nothing to do with upgrades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    UpgradeMessage,
    /// Legacy content; the one of IBC has its fields under the same numbers.
    UpgradeContent,
    IbcUpgradeMessage,
    Cancel,
    /// Legacy content inside a message.
    Wrapper,
}

impl Kind {
    /// By the type URL, with or without what stands before the last `/`.
    fn of(type_url: &str) -> Option<Self> {
        Some(match type_url.rsplit('/').next()? {
            "cosmos.upgrade.v1beta1.MsgSoftwareUpgrade" => Self::UpgradeMessage,
            "cosmos.upgrade.v1beta1.SoftwareUpgradeProposal" | "ibc.core.client.v1.UpgradeProposal" => {
                Self::UpgradeContent
            }
            "ibc.core.client.v1.MsgIBCSoftwareUpgrade" => Self::IbcUpgradeMessage,
            "cosmos.upgrade.v1beta1.MsgCancelUpgrade" | "cosmos.upgrade.v1beta1.CancelSoftwareUpgradeProposal" => {
                Self::Cancel
            }
            "cosmos.gov.v1.MsgExecLegacyContent" => Self::Wrapper,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::{http::StatusCode, response::IntoResponse as _};

    use super::*;
    use crate::chain::{
        endpoints::{Clients, list},
        liar::{Liar, json},
    };

    fn source(liar: &Liar) -> Source {
        let endpoints = list(None, &[], &[liar.url.to_string()]).unwrap();
        Clients::new().unwrap().open(&endpoints[0])
    }

    /// A page of passed proposals; each is an upgrade at the height given, 0 for none.
    fn passed(proposals: &[(u64, u64)], next: &str) -> String {
        let proposals: Vec<_> = proposals
            .iter()
            .map(|(id, height)| {
                format!(
                    r#"{{"id":"{id}","status":3,"messages":[{{"@type":"/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade",
                "plan":{{"name":"v{id}","height":"{height}"}}}}]}}"#
                )
            })
            .collect();
        format!(r#"{{"proposals":[{}],"pagination":{{"next_key":"{next}"}}}}"#, proposals.join(","))
    }

    #[tokio::test]
    async fn passed_proposals_are_read_back_only_as_far_as_needed() {
        let liar = Liar::telling(|question, _| {
            json(match question {
                _ if !question.contains("status=3") => passed(&[], ""),
                _ if question.contains("key=AAAA") => passed(&[(7, 0), (6, 5)], "CCCC"),
                _ if question.contains("key=CCCC") => passed(&[(5, 900)], ""),
                _ => passed(&[(9, 0), (8, 100)], "AAAA"),
            })
        })
        .await;
        let (mut reader, source) = (Reader::default(), source(&liar));
        let numbers = |proposals: Vec<Proposal>| proposals.into_iter().map(|proposal| proposal.id).collect::<Vec<_>>();
        assert_eq!(numbers(reader.read(&source, 10).await.unwrap()), [8]);
        assert_eq!(
            liar.asked.lock().unwrap().len(),
            4,
            "two statuses, the first page, and one more that held nothing ahead"
        );
        assert_eq!(numbers(reader.read(&source, 100).await.unwrap()), [8]);
        assert_eq!(liar.asked.lock().unwrap().len(), 7, "the first page is known");
        assert!(reader.read(&source, 101).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn endless_pages_end() {
        let liar = Liar::telling(|question, _| {
            let next = if question.contains("key=AAAA") { "BBBB" } else { "AAAA" };
            json(passed(&[], next))
        })
        .await;
        assert_eq!(Reader::default().read(&source(&liar), 1).await.unwrap(), []);
        assert_eq!(liar.asked.lock().unwrap().len(), 2 * MOST_PAGES + 1);
    }

    #[tokio::test]
    async fn the_older_version_is_asked_where_the_newer_is_missing() {
        let liar = Liar::telling(|question, _| {
            if question.starts_with("/cosmos/gov/v1/") {
                return (StatusCode::NOT_IMPLEMENTED, r#"{"code":12,"message":"Not Implemented"}"#).into_response();
            }
            json(passed(&[(3, 50)], ""))
        })
        .await;
        let (mut reader, source) = (Reader::default(), source(&liar));
        assert_eq!(reader.read(&source, 1).await.unwrap()[0].id, 3);
        assert_eq!(reader.read(&source, 1).await.unwrap()[0].id, 3);
        assert_eq!((liar.count("/cosmos/gov/v1/"), liar.count("/cosmos/gov/v1beta1/")), (1, 6));
    }
}
