//! Answers of endpoints: recorded ones that are bent, over real HTTP and a real websocket.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{State, WebSocketUpgrade, ws},
    routing,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use serde_json::Value;
use tokio::{runtime::Runtime, sync::mpsc};
use url::Url;
use watcher::{
    chain::{fault::Fault, proposals::GovVersion, rest::Rest, rpc::Rpc, websocket},
    decide::event::ProposalStatus,
    http,
};

use crate::{bent, cases, in_company, in_time, is_fit, servers::Server};

macro_rules! recorded {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/answers/", $file))
    };
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question {
    Status,
    AbciInfo,
    Block,
    Plan,
    Applied,
    Proposals,
    RestLatest,
    RestBlock,
    RestPlan,
    RestApplied,
    RestProposals,
}

const RECORDED: [(Question, &str); 21] = [
    (Question::Status, recorded!("tendermint-0.34/status.json")),
    (Question::Status, recorded!("cometbft-0.37/status.json")),
    (Question::Status, recorded!("cometbft-0.40/status.json")),
    (Question::AbciInfo, recorded!("cometbft-0.40/abci_info.json")),
    (Question::Block, recorded!("cometbft-0.40/header.json")),
    (Question::Block, recorded!("cometbft-0.40/header-of-the-future.json")),
    (Question::Plan, recorded!("cometbft-0.37/current_plan-scheduled.json")),
    (Question::Plan, recorded!("cometbft-0.40/unknown-path.json")),
    (Question::Applied, recorded!("cometbft-0.40/applied_plan-applied.json")),
    (Question::Proposals, recorded!("cometbft-0.40/proposals-v1-voting.json")),
    (Question::Proposals, recorded!("cometbft-0.40/proposals-v1-passed.json")),
    (Question::RestLatest, recorded!("cometbft-0.40/rest-blocks-latest.json")),
    (Question::RestBlock, recorded!("cometbft-0.40/rest-blocks-latest.json")),
    (Question::RestBlock, recorded!("cometbft-0.40/rest-height-of-the-future.json")),
    (Question::RestPlan, recorded!("tendermint-0.34/rest-current_plan-scheduled.json")),
    (Question::RestPlan, recorded!("cometbft-0.40/rest-current_plan-none.json")),
    (Question::RestApplied, recorded!("cometbft-0.40/rest-applied_plan-applied.json")),
    (Question::RestProposals, recorded!("cometbft-0.40/rest-proposals-voting.json")),
    (Question::RestProposals, recorded!("proposals/cosmoshub-4-gov-v1-page1.json")),
    (Question::RestProposals, recorded!("proposals/bitsong-2b-gov-v1beta1-page1.json")),
    (Question::RestProposals, recorded!("proposals/kaiyo-1-gov-v1-page1.json")),
];

/// An endpoint that says to everybody what it was told last, and who asks it.
pub(crate) struct Endpoint {
    says: Arc<Mutex<Bytes>>,
    rpc: Rpc,
    rest: Rest,
    runtime: Runtime,
    _server: Server,
}

const LABEL: &str = "https://stranger";

impl Endpoint {
    pub(crate) fn open() -> Self {
        let says = Arc::<Mutex<Bytes>>::default();
        let answer = async |State(says): State<Arc<Mutex<Bytes>>>| says.lock().expect("nobody panics with it").clone();
        let server = Server::open(Router::new().fallback(answer).with_state(Arc::clone(&says)));
        let url = Url::parse(&server.url()).expect("it is an address");
        let limit = Duration::from_secs(20);
        let client = http::own_node_client(limit).expect("a client can be made");
        let rpc = Rpc::new(client.clone(), url.clone(), LABEL.to_owned(), limit);
        let rest = Rest::new(client, url, LABEL.to_owned(), limit);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
        Self { says, rpc, rest, runtime, _server: server }
    }

    /// Asks, and is answered so.
    pub(crate) fn hear(&self, question: Question, body: Vec<u8>) {
        self.say(body);
        let _ = self.ask(question);
    }

    fn say(&self, body: Vec<u8>) {
        *self.says.lock().expect("nobody panics with it") = body.into();
    }

    fn ask(&self, question: Question) -> Result<(), Fault> {
        let (rpc, rest, voting) = (&self.rpc, &self.rest, ProposalStatus::Voting);
        self.runtime.block_on(async {
            match question {
                Question::Status => rpc.status().await.map(drop),
                Question::AbciInfo => rpc.abci_info().await.map(drop),
                Question::Block => rpc.header_time(2).await.map(drop),
                Question::Plan => rpc.current_plan().await.map(drop),
                Question::Applied => rpc.applied_plan("v2").await.map(drop),
                Question::Proposals => rpc.proposals(GovVersion::V1, Some(voting), 20, &[]).await.map(drop),
                Question::RestLatest => rest.latest().await.map(drop),
                Question::RestBlock => rest.header_time(49).await.map(drop),
                Question::RestPlan => rest.current_plan().await.map(drop),
                Question::RestApplied => rest.applied_plan("v2").await.map(drop),
                Question::RestProposals => rest.proposals(GovVersion::V1, Some(voting), 20, &[]).await.map(drop),
            }
        })
    }

    fn check(&self, question: Question, body: Vec<u8>) -> Result<(), TestCaseError> {
        self.say(body);
        if let Err(fault) = in_time(|| self.ask(question)) {
            let words = fault.to_string();
            prop_assert!(words.starts_with(LABEL) && is_fit(&words), "{} bytes: {words:.300}", words.len());
        }
        Ok(())
    }
}

#[test]
fn recorded_answers_that_are_bent_are_read_or_refused_by_name() {
    let (_company, endpoint) = (in_company(), Endpoint::open());
    let strategy = (select(&RECORDED[..]), bent::bends(), bent::cuts(), any::<bool>());
    let run = |((question, text), bends, cuts, bytes): ((Question, &str), Vec<_>, Vec<_>, bool)| {
        let text = bent::json(text, &bends);
        let body = if bytes { bent::bytes(text.as_bytes(), &cuts) } else { text.into_bytes() };
        endpoint.check(question, body)
    };
    TestRunner::new(cases(800)).run(&strategy, run).unwrap();
}

#[test]
fn what_was_found_so_before_stays_mended() {
    let (_company, endpoint) = (in_company(), Endpoint::open());
    let long = "a\\u001b[2J".repeat(100_000);
    for (question, text, found) in [
        (Question::Status, recorded!("cometbft-0.40/status.json"), "\"49\""),
        (Question::Block, recorded!("cometbft-0.40/header.json"), "\"2026-11-22T22:21:03.82938967Z\""),
        (Question::Plan, recorded!("cometbft-0.40/unknown-path.json"), "6"),
        (Question::RestBlock, recorded!("cometbft-0.40/rest-blocks-latest.json"), "\"49\""),
        (Question::RestApplied, recorded!("cometbft-0.40/rest-applied_plan-applied.json"), "\"116\""),
    ] {
        assert!(text.contains(found), "{question:?}");
        for odd in [format!("\"{long}\""), "18446744073709551615".to_owned(), format!("[\"{long}\"]")] {
            endpoint.check(question, text.replace(found, &odd).into_bytes()).unwrap();
        }
    }
}

#[test]
fn protobuf_inside_an_answer_that_is_bent_is_read_or_refused_by_name() {
    let (_company, endpoint) = (in_company(), Endpoint::open());
    let inside: Vec<_> = RECORDED.into_iter().filter(|(_, text)| text.contains("\"response\"")).collect();
    let strategy = (select(inside), bent::cuts(), any::<bool>());
    let run = |((question, text), cuts, twice): ((Question, &str), Vec<_>, bool)| {
        let mut answer: Value = serde_json::from_str(text).expect("it was recorded");
        let value = &mut answer["result"]["response"]["value"];
        let plain = BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).expect("it was recorded");
        let plain = if twice { [plain.clone(), plain].concat() } else { plain };
        *value = Value::String(BASE64_STANDARD.encode(bent::bytes(&plain, &cuts)));
        endpoint.check(question, answer.to_string().into_bytes())
    };
    TestRunner::new(cases(800)).run(&strategy, run).unwrap();
}

#[test]
fn announcements_that_are_bent_are_read_or_passed_over_and_the_end_is_named() {
    const EVENT: &str = recorded!("cometbft-0.40/new-block-header.json");
    const SUBSCRIBED: &str = recorded!("cometbft-0.40/websocket-subscribed.json");
    let _company = in_company();
    let says = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    // As a node does, it answers with the id of the request.
    let subscribed = async |upgrade: WebSocketUpgrade, State(says): State<Arc<Mutex<Vec<Vec<u8>>>>>| {
        upgrade.on_upgrade(async move |mut socket: ws::WebSocket| {
            let Some(Ok(ws::Message::Text(request))) = socket.recv().await else { return };
            let request: Value = serde_json::from_str(&request).unwrap_or_default();
            let messages = says.lock().expect("nobody panics with it").clone();
            for message in messages {
                let text = String::from_utf8_lossy(&message).replace("\"3\"", &request["id"].to_string());
                if socket.send(ws::Message::Text(text.into())).await.is_err() {
                    return;
                }
            }
        })
    };
    let server =
        Server::open(Router::new().route("/websocket", routing::any(subscribed)).with_state(Arc::clone(&says)));
    let url = Url::parse(&server.url()).expect("it is an address");
    let client = http::own_node_client(Duration::from_secs(20)).expect("a client can be made");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
    let message = (select(&[EVENT, SUBSCRIBED][..]), bent::bends(), bent::cuts(), any::<bool>());
    let strategy = proptest::collection::vec(message, 1..4);
    let run = |messages: Vec<(&str, Vec<_>, Vec<_>, bool)>| {
        let bend = |(text, bends, cuts, bytes): (&str, Vec<_>, Vec<_>, bool)| {
            let text = bent::json(text, &bends);
            if bytes { bent::bytes(text.as_bytes(), &cuts) } else { text.into_bytes() }
        };
        *says.lock().expect("nobody panics with it") = messages.into_iter().map(bend).collect();
        let (blocks, mut heard) = mpsc::channel(8);
        let ended = in_time(|| runtime.block_on(websocket::subscribe(&client, &url, &blocks)));
        let words = ended.expect_err("it ends").to_string();
        prop_assert!(words.contains("subscri") || words.contains("websocket"), "{words:.300}");
        prop_assert!(is_fit(&words), "{words:.300}");
        while heard.try_recv().is_ok() {}
        Ok(())
    };
    TestRunner::new(cases(200)).run(&strategy, run).unwrap();
}
