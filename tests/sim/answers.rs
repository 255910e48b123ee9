//! The embedded node is asked the questions that a real node was asked, at the same heights of the same upgrade. What it
//! answers must have the same keys, types and kinds of text, and where only the chain's own state is told, the same bytes.

use std::{fs, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use cosmrs::proto::cosmos::gov::v1::QueryProposalsResponse;
use futures_util::{SinkExt, StreamExt};
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::{connect_async, tungstenite};
use watcher::{
    decide::plan::Plan,
    http::own_node_client,
    sim::{
        chain::{Chain, Proposal},
        home::Addresses,
        server::{self, Site},
    },
};

/// The height of the recorded upgrade.
const HEIGHT: u64 = 116;
/// `QueryProposalsRequest` for the stages in the vote and passed; one proposal a page, newest first.
const VOTING: &str = "0802";
const PASSED: &str = "0803";
const PASSED_NEWEST: &str = "0803220418012801";

pub(crate) fn recorded(file: &str) -> String {
    let path = format!("{}/fixtures/answers/cometbft-0.40/{file}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|problem| panic!("{path}: {problem}"))
}

/// What a program that reads an answer relies on: keys, types, and what kind of thing a text is.
pub(crate) fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(items) => items.iter().take(1).map(shape).collect(),
        Value::String(text) if text.parse::<i64>().is_ok() => json!("an integer as text"),
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => json!("a time"),
        Value::String(text) if text.len() == 64 && hex::decode(text).is_ok() => json!("a hash"),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("a number"),
        Value::Bool(_) => json!("a truth"),
        Value::Null => Value::Null,
    }
}

/// The recorded chain at one of its heights: the last that was saved, and committed unless it is the upgrade's.
struct World {
    site: Arc<Site>,
    addresses: Addresses,
}

impl World {
    async fn at(height: u64) -> Self {
        let plan: Value = serde_json::from_str(&recorded("rest-current_plan-scheduled.json")).unwrap();
        let info = plan["plan"]["info"].as_str().unwrap().to_owned();
        let plan = Plan { name: "v2".into(), height: HEIGHT, info };
        let mut chain = Chain::new("local-1", 1000, vec![Proposal::upgrade(plan, 78, 10_000)]);
        while chain.saved < height {
            chain.save(1_795_386_000_000 + 1000 * chain.saved);
            let handlers = if height > HEIGHT && chain.saved >= HEIGHT { vec!["v2".to_owned()] } else { vec![] };
            assert_eq!(chain.apply(&handlers).is_ok(), height > HEIGHT || chain.saved < HEIGHT);
        }
        let (rpc, rest) = (listener().await, listener().await);
        let addresses = Addresses { rpc: rpc.local_addr().unwrap(), rest: rest.local_addr().unwrap() };
        let site = Arc::new(Site::new(chain, "base", [7; 32], addresses));
        tokio::spawn(axum::serve(rpc, server::rpc(site.clone())).into_future());
        tokio::spawn(axum::serve(rest, server::rest(site.clone())).into_future());
        Self { site, addresses }
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": "7", "method": method, "params": params}).to_string();
        let client = own_node_client(Duration::from_secs(5)).unwrap();
        let answer = client.post(format!("http://{}", self.addresses.rpc)).body(request).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    async fn query(&self, path: &str, data: &str) -> Value {
        self.call("abci_query", json!({"path": path, "data": data, "height": "0", "prove": false})).await
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn get(url: String) -> (u16, Value) {
    let answer = own_node_client(Duration::from_secs(5)).unwrap().get(url).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

#[track_caller]
fn same_shape(answer: &Value, file: &str) {
    let recorded: Value = serde_json::from_str(&recorded(file)).unwrap();
    assert_eq!(shape(answer), shape(&recorded), "{file}");
}

#[tokio::test]
async fn rpc_answers_have_the_recorded_shape() {
    let world = World::at(49).await;
    for (file, method, params) in [
        ("status.json", "status", json!({})),
        ("abci_info.json", "abci_info", json!({})),
        ("header.json", "header", json!({"height": "2"})),
        ("header-of-the-future.json", "header", json!({"height": "9999999"})),
    ] {
        same_shape(&world.call(method, params).await, file);
    }
    let future: Value = serde_json::from_str(&recorded("header-of-the-future.json")).unwrap();
    assert_eq!(world.call("header", json!({"height": 9_999_999})).await, future);
    let (code, status) = get(format!("http://{}/status", world.addresses.rpc)).await;
    same_shape(&status, "status-get.json");
    assert_eq!(
        (code, &status["id"], &status["result"]["sync_info"]["latest_block_height"]),
        (200, &json!(-1), &json!("49"))
    );
    assert_eq!(get(format!("http://{}/nothing", world.addresses.rpc)).await.0, 404);
}

#[tokio::test]
async fn at_the_halt_status_is_a_block_ahead_of_the_application() {
    let world = World::at(HEIGHT).await;
    let (status, info) = (world.call("status", json!({})).await, world.call("abci_info", json!({})).await);
    same_shape(&status, "status-halted.json");
    same_shape(&info, "abci_info-halted.json");
    assert_eq!(status["result"]["sync_info"]["latest_block_height"], "116");
    assert_eq!(info["result"]["response"]["last_block_height"], "115");
}

#[tokio::test]
async fn the_application_answers_byte_for_byte() {
    const PLAN: &str = "/cosmos.upgrade.v1beta1.Query/CurrentPlan";
    const APPLIED: &str = "/cosmos.upgrade.v1beta1.Query/AppliedPlan";
    for (file, height, path, data) in [
        ("current_plan-none.json", 49, PLAN, ""),
        ("applied_plan-never.json", 49, APPLIED, "0a027632"),
        ("proposals-v1-none.json", 49, "/cosmos.gov.v1.Query/Proposals", VOTING),
        ("proposals-v1beta1-missing.json", 49, "/cosmos.gov.v1beta1.Query/Proposals", VOTING),
        ("unknown-path.json", 49, "/cosmos.nothing.v1.Query/Nothing", ""),
        ("current_plan-scheduled.json", 91, PLAN, ""),
        ("applied_plan-applied.json", 123, APPLIED, "0a027632"),
    ] {
        let expected: Value = serde_json::from_str(&recorded(file)).unwrap();
        assert_eq!(World::at(height).await.query(path, data).await, expected, "{file}");
    }
}

/// Times and the summary are the recorded chain's own; all else is compared.
#[tokio::test]
async fn proposals_are_encoded_as_recorded() {
    let decode = |answer: &Value| {
        let value = BASE64_STANDARD.decode(answer["result"]["response"]["value"].as_str().unwrap()).unwrap();
        QueryProposalsResponse::decode(value.as_slice()).unwrap()
    };
    for (file, height, data) in [
        ("proposals-v1-voting.json", 81, VOTING),
        ("proposals-v1-passed.json", 91, PASSED),
        ("proposals-v1-passed-newest-page.json", 123, PASSED_NEWEST),
    ] {
        let answer = World::at(height).await.query("/cosmos.gov.v1.Query/Proposals", data).await;
        let file_answer: Value = serde_json::from_str(&recorded(file)).unwrap();
        assert_eq!(shape(&answer), shape(&file_answer), "{file}");
        let (mut ours, theirs) = (decode(&answer), decode(&file_answer));
        let (one, other) = (&mut ours.proposals[0], &theirs.proposals[0]);
        assert_eq!(one.voting_end_time.unwrap().seconds - one.voting_start_time.unwrap().seconds, 10);
        (one.submit_time, one.deposit_end_time) = (other.submit_time, other.deposit_end_time);
        (one.voting_start_time, one.voting_end_time) = (other.voting_start_time, other.voting_end_time);
        one.summary.clone_from(&other.summary);
        assert_eq!(ours, theirs, "{file}");
    }
}

#[tokio::test]
async fn rest_answers_have_the_recorded_shape() {
    const BASE: &str = "cosmos/base/tendermint/v1beta1";
    const GOV: &str = "cosmos/gov/v1/proposals?pagination.limit=5&pagination.reverse=true&proposal_status=";
    const UPGRADE: &str = "cosmos/upgrade/v1beta1";
    let (voting, passed) = (format!("{GOV}2"), format!("{GOV}PROPOSAL_STATUS_PASSED"));
    for (file, height, path, code) in [
        ("rest-current_plan-none.json", 49, format!("{UPGRADE}/current_plan"), 200),
        ("rest-current_plan-scheduled.json", 91, format!("{UPGRADE}/current_plan"), 200),
        ("rest-applied_plan-never.json", 49, format!("{UPGRADE}/applied_plan/v2"), 200),
        ("rest-applied_plan-applied.json", 123, format!("{UPGRADE}/applied_plan/v2"), 200),
        ("rest-proposals-none.json", 49, voting.clone(), 200),
        ("rest-proposals-voting.json", 81, voting, 200),
        ("rest-proposals-passed.json", 91, passed, 200),
        ("rest-proposals-v1beta1-missing.json", 49, "cosmos/gov/v1beta1/proposals?proposal_status=2".into(), 501),
        ("rest-blocks-latest.json", 49, format!("{BASE}/blocks/latest"), 200),
        ("rest-height-of-the-future.json", 49, format!("{BASE}/blocks/9999999"), 400),
        ("rest-node_info.json", 49, format!("{BASE}/node_info"), 200),
        ("rest-syncing.json", 49, format!("{BASE}/syncing"), 200),
        ("rest-unknown-path.json", 49, "cosmos/nothing".into(), 501),
    ] {
        let world = World::at(height).await;
        let (answered, mut answer) = get(format!("http://{}/{path}", world.addresses.rest)).await;
        let mut expected: Value = serde_json::from_str(&recorded(file)).unwrap();
        // The modules that a Go program is built from; this node has none.
        for node in [&mut answer, &mut expected] {
            if node["application_version"]["build_deps"].take().is_array() {
                assert_eq!(file, "rest-node_info.json");
            }
        }
        assert_eq!((answered, shape(&answer)), (code, shape(&expected)), "{file}");
        let small = !(file.contains("block") || file.contains("node_info") || file.contains("proposals-"));
        assert!(!small || answer == expected, "{file}: {answer}");
    }
}

#[tokio::test]
async fn the_websocket_tells_of_every_committed_block() {
    let world = World::at(49).await;
    let (mut socket, _) = connect_async(format!("ws://{}/websocket", world.addresses.rpc)).await.unwrap();
    let subscribe =
        json!({"jsonrpc": "2.0", "id": "3", "method": "subscribe", "params": {"query": "tm.event='NewBlockHeader'"}});
    socket.send(tungstenite::Message::text(subscribe.to_string())).await.unwrap();
    let mut next =
        async || -> Value { serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap() };
    let expected: Value = serde_json::from_str(&recorded("websocket-subscribed.json")).unwrap();
    assert_eq!(next().await, expected);
    for _ in 0..2 {
        world.site.change(|chain| {
            chain.save(0);
            chain.apply(&[]).unwrap();
        });
    }
    for height in ["50", "51"] {
        let event = next().await;
        same_shape(&event, "new-block-header.json");
        assert_eq!(event["result"]["data"]["value"]["header"]["height"], height);
    }
}
