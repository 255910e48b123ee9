//! What the application answers to `abci_query`: protobuf by the names of its gRPC methods.

use cosmrs::{
    Any,
    proto::{
        Timestamp,
        cosmos::{
            base::{
                query::v1beta1::{PageRequest, PageResponse},
                v1beta1::Coin,
            },
            gov::v1::{
                Proposal as GovProposal, ProposalStatus, QueryProposalsRequest, QueryProposalsResponse, TallyResult,
            },
            upgrade::v1beta1::{
                MsgCancelUpgrade, MsgSoftwareUpgrade, Plan as UpgradePlan, QueryAppliedPlanRequest,
                QueryAppliedPlanResponse, QueryCurrentPlanResponse,
            },
        },
    },
};
use prost::{DecodeError, Message, Name};

use crate::{
    decide::plan::Plan,
    sim::chain::{Action, Chain, Proposal, Stage},
};

/// The gov module's account, which alone may schedule and cancel.
pub(super) const AUTHORITY: &str = "cosmos10d07y265gmmuvt4z0w9aw880jnsr700j6zn9kn";
/// Who submits the proposals.
const PROPOSER: &str = "cosmos1xhcy3sr7wpmmhck324cy8sg9ej9ln32h3wk532";
/// What a page holds where no limit is asked for.
const DEFAULT_LIMIT: u64 = 100;
/// Seconds from the Unix epoch to the zero time of Go, which every plan carries.
const ZERO_TIME: i64 = -62_135_596_800;

/// An answer of the application.
pub(super) struct Answer {
    pub(super) code: u32,
    pub(super) log: String,
    pub(super) value: Option<Vec<u8>>,
    pub(super) height: u64,
}

/// Answers a query of the committed state.
pub(super) fn query(chain: &Chain, path: &str, data: &[u8]) -> Answer {
    if chain.committed == 0 {
        let log = "demo is not ready; please wait for first block: invalid height".into();
        return Answer { code: 18, log, value: None, height: 0 };
    }
    match respond(chain, path, data) {
        Some(Ok(value)) => Answer { code: 0, log: String::new(), value: Some(value), height: chain.committed },
        Some(Err(problem)) => Answer { code: 6, log: problem.to_string(), value: None, height: chain.committed },
        None => Answer { code: 6, log: "unknown query path: unknown request".into(), value: None, height: 0 },
    }
}

/// A page of the submitted proposals in one stage, or in any for [`ProposalStatus::Unspecified`].
pub(super) fn proposals(chain: &Chain, status: ProposalStatus, page: Option<&PageRequest>) -> QueryProposalsResponse {
    let wanted = |stage: &Stage| status == ProposalStatus::Unspecified || status_of(stage) == status;
    let mut found: Vec<_> = chain.submitted().filter(|(_, proposal)| wanted(&proposal.stage)).collect();
    let page_counts = page.is_none_or(|page| page.count_total);
    let total = if page_counts { found.len() as u64 } else { 0 };
    let page = page.cloned().unwrap_or_default();
    if page.reverse {
        found.reverse();
    }
    if let Ok(key) = page.key.as_slice().try_into().map(u64::from_be_bytes) {
        found.retain(|(number, _)| if page.reverse { *number <= key } else { *number >= key });
    }
    let limit = usize::try_from(if page.limit == 0 { DEFAULT_LIMIT } else { page.limit }).unwrap_or(usize::MAX);
    let next_key = found.get(limit).map_or_else(Vec::new, |(number, _)| number.to_be_bytes().to_vec());
    found.truncate(limit);
    let proposals = found.into_iter().map(|(number, it)| encode(number, it)).collect();
    QueryProposalsResponse { proposals, pagination: Some(PageResponse { next_key, total }) }
}

/// A plan as the chain encodes it.
pub(super) fn plan(plan: &Plan) -> UpgradePlan {
    #[expect(deprecated, reason = "chains still write the zero time")]
    UpgradePlan {
        name: plan.name.clone(),
        time: Some(Timestamp { seconds: ZERO_TIME, nanos: 0 }),
        height: i64::try_from(plan.height).unwrap_or(i64::MAX),
        info: plan.info.clone(),
        upgraded_client_state: None,
    }
}

/// None for a path that the application does not know.
fn respond(chain: &Chain, path: &str, data: &[u8]) -> Option<Result<Vec<u8>, DecodeError>> {
    Some(match path {
        "/cosmos.upgrade.v1beta1.Query/CurrentPlan" => {
            Ok(QueryCurrentPlanResponse { plan: chain.plan.as_ref().map(plan) }.encode_to_vec())
        }
        "/cosmos.upgrade.v1beta1.Query/AppliedPlan" => QueryAppliedPlanRequest::decode(data).map(|request| {
            let height = chain.applied.get(&request.name).copied().unwrap_or(0);
            QueryAppliedPlanResponse { height: i64::try_from(height).unwrap_or(i64::MAX) }.encode_to_vec()
        }),
        "/cosmos.gov.v1.Query/Proposals" => QueryProposalsRequest::decode(data)
            .map(|request| proposals(chain, request.proposal_status(), request.pagination.as_ref()).encode_to_vec()),
        _ => return None,
    })
}

fn status_of(stage: &Stage) -> ProposalStatus {
    match stage {
        Stage::Unsubmitted => ProposalStatus::Unspecified,
        Stage::Deposit => ProposalStatus::DepositPeriod,
        Stage::Voting => ProposalStatus::VotingPeriod,
        Stage::Passed => ProposalStatus::Passed,
        Stage::Rejected => ProposalStatus::Rejected,
        Stage::Failed(_) => ProposalStatus::Failed,
    }
}

fn encode(number: u64, proposal: &Proposal) -> GovProposal {
    let (message, title) = match &proposal.action {
        Action::Schedule(wanted) => (
            any(&MsgSoftwareUpgrade { authority: AUTHORITY.into(), plan: Some(plan(wanted)) }),
            format!("Upgrade {}", wanted.name),
        ),
        Action::Cancel => (any(&MsgCancelUpgrade { authority: AUTHORITY.into() }), "Cancel the upgrade".into()),
    };
    let begun = proposal.voting_start > 0;
    let counted =
        if matches!(proposal.stage, Stage::Passed | Stage::Rejected | Stage::Failed(_)) { "1000000000" } else { "0" };
    let (yes, no) = if proposal.approved { (counted, "0") } else { ("0", counted) };
    GovProposal {
        id: number,
        messages: vec![message],
        status: status_of(&proposal.stage).into(),
        final_tally_result: Some(TallyResult {
            yes_count: yes.into(),
            abstain_count: "0".into(),
            no_count: no.into(),
            no_with_veto_count: "0".into(),
        }),
        submit_time: Some(timestamp(proposal.submitted)),
        deposit_end_time: Some(timestamp(proposal.submitted + proposal.voting_period)),
        total_deposit: vec![Coin { denom: "stake".into(), amount: "1000".into() }],
        voting_start_time: begun.then(|| timestamp(proposal.voting_start)),
        voting_end_time: begun.then(|| timestamp(proposal.voting_start + proposal.voting_period)),
        metadata: String::new(),
        title,
        summary: "A proposal of the embedded chain.".into(),
        proposer: PROPOSER.into(),
        expedited: false,
        failed_reason: if let Stage::Failed(reason) = &proposal.stage { reason.clone() } else { String::new() },
    }
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: format!("/{}", M::full_name()), value: message.encode_to_vec() }
}

/// Milliseconds since the Unix epoch.
fn timestamp(milliseconds: u64) -> Timestamp {
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    let nanos = i32::try_from(rest * 1_000_000).expect("less than a second in nanoseconds fits");
    Timestamp { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos }
}
