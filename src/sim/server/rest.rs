//! The REST gateway: the same state as JSON, with the gateway's own spelling of paths, numbers and errors.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    middleware::map_response_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use cosmrs::proto::cosmos::{base::query::v1beta1::PageRequest, gov::v1::ProposalStatus};
use serde_json::{Value, json};

use super::{
    Site, abci,
    answers::{self, Spelling},
};
use crate::{
    decide::plan::Plan,
    sim::{chain::Action, home::address_of},
};

type Node = State<Arc<Site>>;

/// The REST server of a node.
pub fn router(site: Arc<Site>) -> Router {
    const BASE: &str = "/cosmos/base/tendermint/v1beta1";
    Router::new()
        .route("/cosmos/upgrade/v1beta1/current_plan", get(current_plan))
        .route("/cosmos/upgrade/v1beta1/applied_plan/{name}", get(applied_plan))
        .route("/cosmos/gov/v1/proposals", get(proposals))
        .route("/cosmos/gov/v1beta1/proposals", get(async || missing("unknown service cosmos.gov.v1beta1.Query")))
        .route(&format!("{BASE}/blocks/{{height}}"), get(block))
        .route(&format!("{BASE}/node_info"), get(node_info))
        .route(&format!("{BASE}/syncing"), get(syncing))
        .fallback(async || missing("Not Implemented"))
        .layer(map_response_with_state(site.clone(), with_height))
        .with_state(site)
}

/// The height whose state an answer shows.
async fn with_height(State(site): Node, mut response: Response) -> Response {
    let height = site.chain().committed;
    response.headers_mut().insert("x-cosmos-block-height", height.into());
    response.headers_mut().insert("grpc-metadata-x-cosmos-block-height", height.into());
    response
}

async fn current_plan(State(site): Node) -> Json<Value> {
    Json(json!({"plan": site.chain().plan.as_ref().map(plan)}))
}

async fn applied_plan(State(site): Node, Path(name): Path<String>) -> Json<Value> {
    Json(json!({"height": site.chain().applied.get(&name).copied().unwrap_or(0).to_string()}))
}

async fn proposals(State(site): Node, Query(asked): Query<HashMap<String, String>>) -> Response {
    let text = |name: &str| asked.get(name).map_or("", String::as_str);
    let status = match text("proposal_status") {
        "" => Some(ProposalStatus::Unspecified),
        name => {
            ProposalStatus::from_str_name(name).or_else(|| ProposalStatus::try_from(name.parse::<i32>().ok()?).ok())
        }
    };
    let Some(status) = status else {
        return problem(StatusCode::BAD_REQUEST, 3, &format!("{:?} is not a proposal status", text("proposal_status")));
    };
    let page = PageRequest {
        key: BASE64_STANDARD.decode(text("pagination.key")).unwrap_or_default(),
        limit: text("pagination.limit").parse().unwrap_or(0),
        reverse: text("pagination.reverse") == "true",
        count_total: text("pagination.count_total") == "true",
        ..PageRequest::default()
    };
    let chain = site.chain();
    let answer = abci::proposals(&chain, status, Some(&page));
    let found: Vec<_> = answer.proposals.iter().map(|encoded| proposal(encoded, &chain)).collect();
    let paging = answer.pagination.unwrap_or_default();
    let next_key = (!paging.next_key.is_empty()).then(|| BASE64_STANDARD.encode(paging.next_key));
    Json(json!({"proposals": found, "pagination": {"next_key": next_key, "total": paging.total.to_string()}}))
        .into_response()
}

async fn block(State(site): Node, Path(height): Path<String>) -> Response {
    let chain = site.chain();
    let height = if height == "latest" { Some(chain.saved) } else { height.parse().ok() };
    match height.and_then(|height| answers::block(&site, &chain, height, Spelling::Rest)) {
        Some(block) => Json(block).into_response(),
        None => problem(StatusCode::BAD_REQUEST, 3, "requested block height is bigger than the chain length"),
    }
}

async fn node_info(State(site): Node) -> Json<Value> {
    let mut node = answers::node_info(&site, &site.chain());
    node["default_node_id"] = json!(hex::encode(address_of(&site.public_key)));
    node["channels"] = json!("QCAhIiMwOGBhAA==");
    Json(json!({
        "default_node_info": node,
        "application_version": {
            "name": "demo", "app_name": "demod", "version": site.version, "git_commit": "", "build_tags": "",
            "go_version": "", "build_deps": [], "cosmos_sdk_version": "v0.55.0",
        },
    }))
}

async fn syncing(State(site): Node) -> Json<Value> {
    let chain = site.chain();
    let (earliest, latest) = (chain.earliest().to_string(), chain.saved.to_string());
    Json(json!({"syncing": false, "earliest_block_height": earliest, "latest_block_height": latest}))
}

/// A proposal as the gateway shows it: its protobuf form, with the message spelt out.
fn proposal(encoded: &cosmrs::proto::cosmos::gov::v1::Proposal, chain: &super::Chain) -> Value {
    let own = &chain.proposals[usize::try_from(encoded.id - 1).expect("a proposal's number counts places in memory")];
    let message = match &own.action {
        Action::Schedule(wanted) => {
            json!({"@type": encoded.messages[0].type_url, "authority": abci::AUTHORITY, "plan": plan(wanted)})
        }
        Action::Cancel => json!({"@type": encoded.messages[0].type_url, "authority": abci::AUTHORITY}),
    };
    let tally = encoded.final_tally_result.clone().unwrap_or_default();
    let deposit: Vec<_> =
        encoded.total_deposit.iter().map(|coin| json!({"denom": coin.denom, "amount": coin.amount})).collect();
    let voting = |end: u64| (own.voting_start > 0).then(|| answers::time(own.voting_start + end));
    json!({
        "id": encoded.id.to_string(), "messages": [message], "status": encoded.status().as_str_name(),
        "final_tally_result": {
            "yes_count": tally.yes_count, "abstain_count": tally.abstain_count, "no_count": tally.no_count,
            "no_with_veto_count": tally.no_with_veto_count,
        },
        "submit_time": answers::time(own.submitted),
        "deposit_end_time": answers::time(own.submitted + own.voting_period), "total_deposit": deposit,
        "voting_start_time": voting(0), "voting_end_time": voting(own.voting_period), "metadata": encoded.metadata,
        "title": encoded.title, "summary": encoded.summary, "proposer": encoded.proposer,
        "expedited": encoded.expedited, "failed_reason": encoded.failed_reason,
    })
}

fn plan(plan: &Plan) -> Value {
    json!({"name": plan.name, "time": "0001-01-01T00:00:00Z", "height": plan.height.to_string(), "info": plan.info,
        "upgraded_client_state": null})
}

fn missing(message: &str) -> Response {
    problem(StatusCode::NOT_IMPLEMENTED, 12, message)
}

fn problem(status: StatusCode, code: u32, message: &str) -> Response {
    (status, Json(json!({"code": code, "message": message, "details": []}))).into_response()
}
