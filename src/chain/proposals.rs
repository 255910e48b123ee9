//! The governance proposals that would schedule or cancel an upgrade, wherever in a proposal the plan hides: in one of the
//! messages of gov v1, in legacy content inside one, in what authz executes, or in the content of gov v1beta1. They are
//! forecasts, written by anybody who pays a deposit, so nothing in one may hide another. What a group or another authority
//! decides is no proposal here: only the plan in x/upgrade shows it.

mod protobuf;

pub(super) mod json;

pub use json::drafted;

use std::collections::{BTreeMap, BTreeSet};

use cosmrs::proto::cosmos::gov::v1::ProposalStatus as Wire;

use super::{endpoints::Source, fault::Fault};
use crate::decide::{
    event::{Action, Proposal, ProposalStatus},
    plan::Plan,
};

/// Proposals asked for at once. One can hold tens of kilobytes of prose, and a page is held in memory as a whole.
const PAGE: u64 = 20;
/// Pages read of one status: whoever pays the deposits must not decide how long this takes.
const MOST_PAGES: usize = 10;
/// Pages read of all passed proposals: more than any chain has.
const MOST_PAGES_OF_ALL: usize = 1000;
/// Proposals read of one page, whatever limit a gateway has of its own.
const MOST_OF_A_PAGE: usize = 1_000;
/// What one proposal can do to upgrades, and how deep that may be wrapped, before the rest is passed over.
const MOST_ACTIONS: usize = 16;
const DEEPEST: usize = 4;
/// Texts of plans that are kept of one status, bytes.
const MOST_TEXT: usize = 1 << 20;
/// Proposals that are asked for one by one where the server cannot list them, the newest.
const MOST_SINGLE: u64 = 100;
/// Numbers in a row at which there is no proposal, after which none is expected: those whose deposit failed are deleted.
const GAP: u64 = 5;

/// A number that no proposal has.
const BEYOND: u64 = 1 << 62;

/// After how many reads what was given up is tried again: servers are mended, replaced and upgraded.
const AGAIN: u32 = 20;

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
    const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1Beta1 => "v1beta1",
        }
    }

    fn query_path(self, question: &str) -> String {
        format!("/cosmos.gov.{}.Query/{question}", self.name())
    }

    pub(super) fn rest_path(self) -> String {
        format!("/cosmos/gov/{}/proposals", self.name())
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

/// Reads an endpoint's proposals again and again. A proposal does not change once it was voted on, so the passed ones are
/// only read where something points at them: a plan that is scheduled, or a proposal that was seen and is voted on no more.
#[derive(Debug, Default)]
pub struct Reader {
    gov: GovVersion,
    /// What was in deposit and voting period the last time.
    open: BTreeMap<u64, Proposal>,
    /// The passed ones whose height may still come; none before they were read.
    passed: Option<BTreeMap<u64, Proposal>>,
    /// The plans for which the passed ones were searched.
    searched: Vec<Plan>,
    /// Where they are asked for one by one: the numbers that need not be asked for any more, those that are given up for a
    /// while, those that were refused, and the greatest of a proposal that could be read.
    settled: BTreeSet<u64>,
    given_up: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    newest: u64,
    /// How often this was read.
    reads: u32,
}

impl Reader {
    /// The proposals that concern upgrades, by number: all in deposit and voting period, and the passed ones for a height
    /// that is not behind `height`. `scheduled` is what x/upgrade has.
    ///
    /// # Errors
    /// [`Fault`] where one of the questions got no answer.
    pub async fn read(&mut self, source: &Source, height: u64, scheduled: &[Plan]) -> Result<Vec<Proposal>, Fault> {
        self.reads = self.reads.wrapping_add(1);
        if self.reads.is_multiple_of(AGAIN) {
            self.given_up.clear();
            self.refused.clear();
            self.gov = GovVersion::default();
        }
        match self.read_lists(source, height, scheduled).await {
            Err(fault) if fault.is_refusal() => {
                // The older version may refuse what only the newer one can show.
                self.gov = GovVersion::default();
                self.read_single(source, fault).await?;
            }
            read => read?,
        }
        let mut found = self.open.clone();
        let passed = self.passed.get_or_insert_default();
        passed.retain(|_, proposal| may_come(proposal, height));
        found.extend(passed.clone());
        Ok(found.into_values().collect())
    }

    /// Every passed proposal that concerns upgrades, newest first, as far back as the chain keeps them; and a fault for each
    /// proposal that cannot be read, and may be one as well.
    ///
    /// # Errors
    /// [`Fault`] where one of the pages is not answered.
    pub async fn passed(&mut self, source: &Source) -> Result<(Vec<Proposal>, Vec<Fault>), Fault> {
        match self.passed_lists(source).await {
            Err(fault) if fault.is_refusal() => {
                self.gov = GovVersion::default();
                self.passed_single(source, fault).await
            }
            read => Ok((read?, Vec::new())),
        }
    }

    async fn passed_lists(&mut self, source: &Source) -> Result<Vec<Proposal>, Fault> {
        let (mut found, mut key) = (Vec::new(), Vec::new());
        for _ in 0..MOST_PAGES_OF_ALL {
            let page = self.page(source, Some(ProposalStatus::Passed), PAGE, &key).await?;
            found.extend(page.proposals.into_iter().filter(|proposal| proposal.status == ProposalStatus::Passed));
            match page.next {
                Some(next) if next != key => key = next,
                _ => break,
            }
        }
        Ok(found)
    }

    async fn passed_single(&mut self, source: &Source, fault: Fault) -> Result<(Vec<Proposal>, Vec<Fault>), Fault> {
        let newest = self.newest_number(source).await?;
        if newest == 0 {
            return Err(fault);
        }
        let (mut found, mut unread) = (BTreeMap::new(), Vec::new());
        let mut wanted: Vec<_> = (newest.saturating_sub(MOST_PAGES_OF_ALL as u64 * PAGE).max(1)..=newest).collect();
        // What is refused is asked for once more: that may have been the moment, and not the proposal.
        for _ in 0..2 {
            unread.clear();
            for id in core::mem::take(&mut wanted) {
                match source.proposal(self.gov, id).await {
                    Err(fault) if fault.is_missing() => {}
                    Err(fault) if fault.is_refusal() => {
                        wanted.push(id);
                        unread.push(fault);
                    }
                    page => found.extend(page?.proposals.into_iter().map(|proposal| (id, proposal))),
                }
            }
            if let Some(fault) = unread.first() {
                tells_apart(self.gov, source, fault).await?;
            }
        }
        found.retain(|_, proposal| proposal.status == ProposalStatus::Passed);
        Ok((found.into_values().rev().collect(), unread))
    }

    async fn read_lists(&mut self, source: &Source, height: u64, scheduled: &[Plan]) -> Result<(), Fault> {
        let mut open = BTreeMap::new();
        for status in [ProposalStatus::Deposit, ProposalStatus::Voting] {
            let (mut key, mut text) = (Vec::new(), 0);
            for _ in 0..MOST_PAGES {
                let page = self.page(source, Some(status), PAGE, &key).await?;
                keep(page.proposals.into_iter().filter(|proposal| proposal.status == status), &mut text, &mut open);
                match page.next {
                    Some(next) if next != key => key = next,
                    _ => break,
                }
            }
        }
        let gone = self.open.keys().copied().filter(|id| !open.contains_key(id)).min();
        let unknown = |plan: &&Plan| {
            !self.searched.contains(plan) && !self.passed.iter().flatten().any(|(_, p)| schedules(p, plan))
        };
        let mut wanted: Vec<_> = scheduled.iter().filter(unknown).cloned().collect();
        if self.passed.is_none() || gone.is_some() || !wanted.is_empty() {
            let (mut passed, mut key, mut text) = (BTreeMap::new(), Vec::new(), 0);
            for _ in 0..MOST_PAGES {
                let page = self.page(source, Some(ProposalStatus::Passed), PAGE, &key).await?;
                wanted.retain(|plan| !page.proposals.iter().any(|proposal| schedules(proposal, plan)));
                let ahead = |p: &Proposal| p.status == ProposalStatus::Passed && may_come(p, height);
                let before = passed.len();
                keep(page.proposals.into_iter().filter(ahead), &mut text, &mut passed);
                // They come by their numbers, and not in the order in which they passed.
                let older = gone.is_some_and(|gone| page.numbers.iter().all(|number| *number > gone));
                match page.next {
                    Some(next) if next != key && (older || !wanted.is_empty() || passed.len() > before) => key = next,
                    _ => break,
                }
            }
            self.passed.get_or_insert_default().extend(passed);
            self.searched = scheduled.to_vec();
        }
        self.open = open;
        Ok(())
    }

    /// Where one proposal that the server itself cannot decode breaks its list, each is asked for by its number.
    async fn read_single(&mut self, source: &Source, fault: Fault) -> Result<(), Fault> {
        let newest = self.newest_number(source).await?.max(self.newest);
        let (mut open, mut refused, mut greatest) = (BTreeMap::new(), BTreeMap::new(), 0);
        for id in (newest.saturating_sub(MOST_SINGLE - 1).max(1)..=newest).rev() {
            if self.settled.contains(&id) {
                greatest = greatest.max(id);
                continue;
            }
            if self.given_up.contains(&id) {
                continue;
            }
            match source.proposal(self.gov, id).await {
                // Below another it was deleted; else it may still come.
                Err(fault) if fault.is_missing() => self.given_up.extend((id < greatest).then_some(id)),
                Err(fault) if fault.is_refusal() => drop(refused.insert(id, fault)),
                page => {
                    greatest = greatest.max(id);
                    match page?.proposals.into_iter().next() {
                        Some(proposal) if proposal.status != ProposalStatus::Passed => drop(open.insert(id, proposal)),
                        passed => {
                            self.passed.get_or_insert_default().extend(passed.map(|proposal| (id, proposal)));
                            self.settled.insert(id);
                        }
                    }
                }
            }
        }
        if greatest == 0 {
            return Err(fault);
        }
        if let Some(fault) = refused.values().next() {
            tells_apart(self.gov, source, fault).await?;
        }
        for id in refused.into_keys() {
            match self.open.get(&id) {
                // It could be read once, so it can again.
                Some(known) => drop(open.insert(id, known.clone())),
                // It may have been something that passes; twice it is not.
                None => self.given_up.extend((!self.refused.insert(id)).then_some(id)),
            }
        }
        self.newest = self.newest.max(greatest);
        self.open = open;
        Ok(())
    }

    /// The greatest number of a proposal, by the shortest list of all of them, else by trying numbers.
    async fn newest_number(&mut self, source: &Source) -> Result<u64, Fault> {
        let refused = match self.page(source, None, 1, &[]).await {
            Err(fault) if fault.is_refusal() => fault,
            page => return Ok(page?.numbers.into_iter().max().unwrap_or_default()),
        };
        tells_apart(self.gov, source, &refused).await?;
        // There is one at or soon before `low`, and none at or soon after `high`.
        let (mut low, mut high) = (self.newest, self.newest + 1);
        while let Some(found) = self.first_from(source, high).await? {
            (low, high) = (found, found.saturating_add(found.saturating_sub(self.newest)).saturating_add(1));
            if high >= BEYOND {
                return Err(refused);
            }
        }
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match self.first_from(source, middle).await? {
                Some(found) => low = found,
                None => high = middle,
            }
        }
        Ok(low)
    }

    /// The first number at or soon after this one that belongs to a proposal, be it one that the server cannot decode.
    async fn first_from(&mut self, source: &Source, id: u64) -> Result<Option<u64>, Fault> {
        for id in id..id.saturating_add(GAP) {
            match source.proposal(self.gov, id).await {
                Err(fault) if fault.is_missing() => continue,
                Err(fault) if fault.is_refusal() => tells_apart(self.gov, source, &fault).await?,
                page => drop(page?),
            }
            return Ok(Some(id));
        }
        Ok(None)
    }

    /// One page, by the newest version of x/gov that the application knows. The older one leaves out proposals of several
    /// messages, so nothing but the application's word leads to it.
    async fn page(
        &mut self,
        source: &Source,
        status: Option<ProposalStatus>,
        limit: u64,
        key: &[u8],
    ) -> Result<Page, Fault> {
        if self.gov == GovVersion::V1 {
            match source.proposals(GovVersion::V1, status, limit, key).await {
                Err(fault) if fault.is_unknown() => self.gov = GovVersion::V1Beta1,
                answer => return answer,
            }
        }
        let answer = source.proposals(GovVersion::V1Beta1, status, limit, key).await;
        if answer.as_ref().is_err_and(Fault::is_unknown) {
            self.gov = GovVersion::V1;
        }
        answer
    }
}

/// Refusals say something of what was asked for only as long as the server does not refuse whatever it is asked.
///
/// # Errors
/// The refusal, where a number that no proposal has is not just missing.
async fn tells_apart(gov: GovVersion, source: &Source, refusal: &Fault) -> Result<(), Fault> {
    match source.proposal(gov, BEYOND).await {
        Err(fault) if fault.is_missing() => Ok(()),
        Err(fault) if !fault.is_refusal() => Err(fault),
        _ => Err(refusal.clone()),
    }
}

/// Keeps proposals as long as the texts of their plans are not too much in all.
fn keep(proposals: impl Iterator<Item = Proposal>, text: &mut usize, kept: &mut BTreeMap<u64, Proposal>) {
    for proposal in proposals {
        *text += proposal.actions.iter().map(length).sum::<usize>();
        if *text <= MOST_TEXT {
            kept.insert(proposal.id, proposal);
        }
    }
}

fn length(action: &Action) -> usize {
    if let Action::Schedule(plan) = action { plan.name.len() + plan.info.len() } else { 0 }
}

fn schedules(proposal: &Proposal, plan: &Plan) -> bool {
    proposal.actions.iter().any(|action| matches!(action, Action::Schedule(other) if other == plan))
}

/// Whether a passed proposal's upgrade can still come. A cancellation that passed has done its work.
fn may_come(proposal: &Proposal, height: u64) -> bool {
    proposal.actions.iter().any(|action| matches!(action, Action::Schedule(plan) if plan.height >= height))
}

/// The number of a status in both versions of x/gov; 0 for any.
pub(super) fn number_of(status: Option<ProposalStatus>) -> i32 {
    match status {
        None => Wire::Unspecified as i32,
        Some(ProposalStatus::Deposit) => Wire::DepositPeriod as i32,
        Some(ProposalStatus::Voting) => Wire::VotingPeriod as i32,
        Some(ProposalStatus::Passed) => Wire::Passed as i32,
    }
}

fn status_of(number: i32) -> Option<ProposalStatus> {
    [ProposalStatus::Deposit, ProposalStatus::Voting, ProposalStatus::Passed]
        .into_iter()
        .find(|status| number_of(Some(*status)) == number)
}

/// What a message of this type does; none for messages that have nothing to do with upgrades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    UpgradeMessage,
    /// Legacy content; the one of IBC has its fields under the same numbers.
    UpgradeContent,
    IbcMessage,
    Cancel,
    /// Legacy content inside a message.
    Legacy,
    /// Messages that authz executes for others.
    Exec,
}

impl Kind {
    /// By the type URL, with or without what stands before the last `/`.
    fn of(type_url: &str) -> Option<Self> {
        Some(match type_url.rsplit('/').next()? {
            "cosmos.upgrade.v1beta1.MsgSoftwareUpgrade" => Self::UpgradeMessage,
            "cosmos.upgrade.v1beta1.SoftwareUpgradeProposal" | "ibc.core.client.v1.UpgradeProposal" => {
                Self::UpgradeContent
            }
            "ibc.core.client.v1.MsgIBCSoftwareUpgrade" => Self::IbcMessage,
            "cosmos.upgrade.v1beta1.MsgCancelUpgrade" | "cosmos.upgrade.v1beta1.CancelSoftwareUpgradeProposal" => {
                Self::Cancel
            }
            "cosmos.gov.v1.MsgExecLegacyContent" => Self::Legacy,
            "cosmos.authz.v1beta1.MsgExec" => Self::Exec,
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

    fn numbers(proposals: Vec<Proposal>) -> Vec<u64> {
        proposals.into_iter().map(|proposal| proposal.id).collect()
    }

    fn plan(id: u64, height: u64) -> Plan {
        Plan { name: format!("v{id}"), height, info: String::new() }
    }

    #[tokio::test]
    async fn passed_proposals_are_read_only_as_far_as_needed_and_not_again() {
        let liar = Liar::telling(|question, _| {
            json(match question {
                _ if !question.contains("status=3") => passed(&[], ""),
                _ if question.contains("key=AAAA") => passed(&[(7, 0), (6, 5)], "CCCC"),
                _ if question.contains("key=CCCC") => passed(&[(5, 900), (4, 0)], "EEEE"),
                _ if question.contains("key=EEEE") => passed(&[(3, 0)], ""),
                _ => passed(&[(9, 0), (8, 100)], "AAAA"),
            })
        })
        .await;
        let (mut reader, source) = (Reader::default(), source(&liar));
        let asked = || liar.asked.lock().unwrap().len();
        assert_eq!(numbers(reader.read(&source, 10, &[]).await.unwrap()), [8]);
        assert_eq!(asked(), 4, "two statuses, the first page, and one more that held nothing ahead");
        assert_eq!(numbers(reader.read(&source, 100, &[]).await.unwrap()), [8]);
        assert_eq!(asked(), 6, "two statuses");
        // What is scheduled has been proposed before all that.
        assert_eq!(numbers(reader.read(&source, 100, &[plan(5, 900)]).await.unwrap()), [5, 8]);
        assert_eq!(asked(), 12, "two statuses, and all pages: on the one before the last there was something ahead");
        // Another authority scheduled this one: it is searched for once.
        for more in [6, 2] {
            let before = asked();
            assert_eq!(numbers(reader.read(&source, 101, &[plan(1, 900)]).await.unwrap()), [5]);
            assert_eq!(asked() - before, more);
        }
        assert_eq!(numbers(reader.read(&source, 901, &[]).await.unwrap()), Vec::<u64>::new());
    }

    #[tokio::test]
    async fn one_that_passes_out_of_order_is_found_behind_those_that_passed_before() {
        let closed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let is_closed = std::sync::Arc::clone(&closed);
        let liar = Liar::telling(move |question, _| {
            let closed = is_closed.load(std::sync::atomic::Ordering::SeqCst);
            json(match question {
                _ if question.contains("status=2") && !closed => {
                    passed(&[(2, 50)], "").replace("\"status\":3", "\"status\":2")
                }
                _ if question.contains("key=AAAA") && closed => passed(&[(3, 0), (2, 50), (1, 0)], ""),
                _ if question.contains("key=AAAA") => passed(&[(3, 0), (1, 0)], ""),
                _ if question.contains("status=3") => passed(&[(5, 0), (4, 0)], "AAAA"),
                _ => passed(&[], ""),
            })
        })
        .await;
        let (mut reader, source) = (Reader::default(), source(&liar));
        assert_eq!(reader.read(&source, 10, &[]).await.unwrap()[0].status, ProposalStatus::Voting);
        closed.store(true, std::sync::atomic::Ordering::SeqCst);
        let found = reader.read(&source, 10, &[]).await.unwrap();
        assert_eq!((found[0].id, found[0].status), (2, ProposalStatus::Passed));
    }

    #[tokio::test]
    async fn where_the_list_breaks_each_is_asked_for_by_its_number() {
        // 3 was deleted, 4 is what breaks the list, 6 is the newest; 5 failed, the others have passed or are voted on.
        let liar = Liar::telling(|question, _| {
            let refused =
                |status: u16, said: &'static str| (StatusCode::from_u16(status).unwrap(), said).into_response();
            let number = question.strip_prefix("/cosmos/gov/v1/proposals/").and_then(|id| id.parse::<u64>().ok());
            let status = match number {
                Some(1 | 2) => 3,
                Some(5) => 5,
                Some(6) => 2,
                Some(3 | 7..) => return refused(404, r#"{"code":5,"message":"proposal 3 doesn't exist"}"#),
                _ => return refused(500, r#"{"code":2,"message":"no concrete type registered for type URL /x.Msg"}"#),
            };
            let number = number.unwrap_or_default();
            let page = passed(&[(number, 10 * number)], "").replace("\"status\":3", &format!("\"status\":{status}"));
            let page: serde_json::Value = serde_json::from_str(&page).unwrap();
            json(serde_json::json!({"proposal": page["proposals"][0]}).to_string())
        })
        .await;
        let (mut reader, source) = (Reader::default(), source(&liar));
        assert_eq!(numbers(reader.read(&source, 15, &[]).await.unwrap()), [2, 6]);
        let before = liar.asked.lock().unwrap().len();
        assert_eq!(numbers(reader.read(&source, 15, &[]).await.unwrap()), [2, 6]);
        let again = liar.asked.lock().unwrap().len() - before;
        let most = 6 + usize::try_from(GAP).unwrap();
        assert!(
            again <= most,
            "{again}: two lists, what may be new, what is open, what was refused, once more, and twice what is not there"
        );
        let (passed, unread) = Reader::default().passed(&source).await.unwrap();
        assert_eq!((numbers(passed), unread.len()), (vec![2, 1], 1));
        assert!(unread[0].question.ends_with("/4"), "{unread:?}");
        let all_broken = Liar::saying(500, br#"{"code":2,"message":"oh no"}"#).await;
        assert!(Reader::default().read(&super::tests::source(&all_broken), 1, &[]).await.is_err());
    }

    /// The search for the greatest number never ended, and no proposal was seen any more once it had.
    #[tokio::test]
    async fn a_server_that_refuses_all_for_a_while_is_left_soon_and_read_again_afterwards() {
        let mood = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (set, (down, echo)) = (std::sync::Arc::clone(&mood), (1, 2));
        let liar = Liar::telling(move |question, _| {
            let mood = mood.load(std::sync::atomic::Ordering::SeqCst);
            let number = question.strip_prefix("/cosmos/gov/v1/proposals/").and_then(|id| id.parse::<u64>().ok());
            let refused = |status: u16, code: u64| {
                (StatusCode::from_u16(status).unwrap(), format!(r#"{{"code":{code},"message":"oh no"}}"#))
                    .into_response()
            };
            match number {
                _ if mood == down => refused(500, 13),
                Some(3) | None => refused(500, 2),
                Some(7..) if mood != echo => refused(404, 5),
                Some(number) => {
                    let page = passed(&[(number, 50)], "").replace("\"status\":3", "\"status\":2");
                    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
                    json(serde_json::json!({"proposal": page["proposals"][0]}).to_string())
                }
            }
        })
        .await;
        let (mut reader, source) = (Reader::default(), source(&liar));
        let expected = [1, 2, 4, 5, 6];
        assert_eq!(numbers(reader.read(&source, 1, &[]).await.unwrap()), expected);
        for bad in [down, echo] {
            set.store(bad, std::sync::atomic::Ordering::SeqCst);
            let before = liar.asked.lock().unwrap().len();
            reader.read(&source, 1, &[]).await.unwrap_err();
            assert!(liar.asked.lock().unwrap().len() - before < 100);
            set.store(0, std::sync::atomic::Ordering::SeqCst);
            assert_eq!(numbers(reader.read(&source, 1, &[]).await.unwrap()), expected);
        }
    }

    #[tokio::test]
    async fn what_was_given_up_is_tried_again() {
        let mended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mend = std::sync::Arc::clone(&mended);
        let liar = Liar::telling(move |question, _| {
            let mended = mended.load(std::sync::atomic::Ordering::SeqCst);
            let number = question.strip_prefix("/cosmos/gov/v1/proposals/").and_then(|id| id.parse::<u64>().ok());
            match number {
                Some(number) if number == 2 || number == 1 && mended => {
                    let page: serde_json::Value = serde_json::from_str(&passed(&[(number, 50)], "")).unwrap();
                    json(serde_json::json!({"proposal": page["proposals"][0]}).to_string())
                }
                Some(3..) => json(r#"{"code":5,"message":"proposal 3 doesn't exist"}"#),
                _ => json(r#"{"code":2,"message":"no concrete type registered"}"#),
            }
        })
        .await;
        let (mut reader, source) = (Reader::default(), source(&liar));
        for _ in 1..AGAIN {
            assert_eq!(numbers(reader.read(&source, 1, &[]).await.unwrap()), [2]);
        }
        mend.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(numbers(reader.read(&source, 1, &[]).await.unwrap()), [1, 2]);
    }

    #[tokio::test]
    async fn endless_pages_end() {
        let liar = Liar::telling(|question, _| {
            let next = if question.contains("key=AAAA") { "BBBB" } else { "AAAA" };
            json(passed(&[], next))
        })
        .await;
        assert_eq!(Reader::default().read(&source(&liar), 1, &[]).await.unwrap(), []);
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
        assert_eq!(reader.read(&source, 1, &[]).await.unwrap()[0].id, 3);
        assert_eq!(reader.read(&source, 1, &[]).await.unwrap()[0].id, 3);
        assert_eq!((liar.count("/cosmos/gov/v1/"), liar.count("/cosmos/gov/v1beta1/")), (1, 5));
        for _ in 2..AGAIN {
            reader.read(&source, 1, &[]).await.unwrap();
        }
        assert_eq!(liar.count("/cosmos/gov/v1/"), 2, "an endpoint may be upgraded");
    }

    #[tokio::test]
    async fn the_newer_version_is_not_left_for_what_a_gateway_says() {
        for (status, said, refused) in [(404, "404 page not found", true), (501, r#"{"code":12,"message":""}"#, false)]
        {
            let liar = Liar::telling(move |question, _| {
                if question.starts_with("/cosmos/gov/v1/") {
                    return (StatusCode::from_u16(status).unwrap(), said).into_response();
                }
                json(passed(&[], ""))
            })
            .await;
            let mut reader = Reader::default();
            assert_eq!(reader.read(&source(&liar), 1, &[]).await.is_err(), refused);
            assert_eq!(liar.count("/cosmos/gov/v1beta1/") == 0, refused);
        }
        // The older version refuses what it cannot show.
        let known = std::sync::atomic::AtomicBool::new(false);
        let liar = Liar::telling(move |question, _| {
            let newer = question.starts_with("/cosmos/gov/v1/");
            json(match question.rsplit('/').next().and_then(|id| id.parse::<u64>().ok()) {
                None if newer && !known.swap(true, std::sync::atomic::Ordering::SeqCst) => {
                    r#"{"code":12,"message":"Not Implemented"}"#.to_owned()
                }
                None if newer => passed(&[(3, 50)], ""),
                None => r#"{"code":3,"message":"one of several messages"}"#.to_owned(),
                Some(3) if newer => {
                    let page: serde_json::Value = serde_json::from_str(&passed(&[(3, 50)], "")).unwrap();
                    serde_json::json!({"proposal": page["proposals"][0]}).to_string()
                }
                Some(_) => r#"{"code":5,"message":"proposal 3 doesn't exist"}"#.to_owned(),
            })
        })
        .await;
        assert_eq!(numbers(Reader::default().read(&source(&liar), 1, &[]).await.unwrap()), [3]);
    }
}
