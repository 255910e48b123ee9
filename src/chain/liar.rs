//! An endpoint that says whatever a test wants it to say.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::{FromRequestParts as _, Request, WebSocketUpgrade, ws::Message},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::broadcast, task::JoinHandle};
use url::Url;

/// What is asked: the JSON-RPC method, for `abci_query` the path in it, or the path and query of a GET.
type Script = dyn Fn(&str, &Value) -> Response + Send + Sync;

/// Listens until dropped.
pub(super) struct Liar {
    pub(super) url: Url,
    /// Every question so far.
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    /// Sends an event to each subscriber.
    pub(super) events: broadcast::Sender<String>,
    task: JoinHandle<()>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Liar {
    /// Answers each question (with its parameters) as `script` says.
    pub(super) async fn telling(script: impl Fn(&str, &Value) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (asked, script, events) = (Arc::default(), Arc::new(script), broadcast::channel(16).0);
        let state = (Arc::clone(&asked), events.clone());
        let router = Router::new().fallback(move |request| answer(request, state.clone(), script.clone()));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, events, task }
    }

    /// Says the same to everybody.
    pub(super) async fn saying(status: u16, said: &'static [u8]) -> Self {
        Self::telling(move |_, _| (StatusCode::from_u16(status).unwrap(), said).into_response()).await
    }

    pub(super) fn count(&self, question: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.starts_with(question)).count()
    }
}

async fn answer(
    request: Request,
    (asked, events): (Arc<Mutex<Vec<String>>>, broadcast::Sender<String>),
    script: Arc<Script>,
) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        return subscribed(upgrade, events.subscribe());
    }
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let call: Value = serde_json::from_slice(&body).unwrap_or_default();
    let question = match call["method"].as_str() {
        Some("abci_query") => call["params"]["path"].as_str().unwrap().to_owned(),
        Some(method) => method.to_owned(),
        None => parts.uri.path_and_query().unwrap().to_string(),
    };
    asked.lock().unwrap().push(question.clone());
    script(&question, &call["params"])
}

/// Confirms the subscription, then passes events on under its id.
fn subscribed(upgrade: WebSocketUpgrade, mut events: broadcast::Receiver<String>) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let Some(Ok(Message::Text(call))) = socket.recv().await else { return };
        let id = serde_json::from_str::<Value>(&call).unwrap()["id"].clone();
        let confirmed = json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string();
        socket.send(Message::Text(confirmed.into())).await.unwrap();
        while let Ok(event) = events.recv().await {
            let mut event: Value = serde_json::from_str(&event).unwrap();
            event["id"] = id.clone();
            if socket.send(Message::Text(event.to_string().into())).await.is_err() {
                return;
            }
        }
    })
}

/// A JSON answer.
pub(super) fn json(text: impl Into<String>) -> Response {
    (HeaderMap::new(), text.into()).into_response()
}

/// A JSON answer of a gateway that read the store at `height`.
pub(super) fn gateway(height: u64, text: &str) -> Response {
    ([("Grpc-Metadata-X-Cosmos-Block-Height", height.to_string())], text.to_owned()).into_response()
}

/// A chain that has got to `height`, with a plan (base64) or none.
pub(super) fn node(question: &str, chain_id: &str, height: u64, plan: &str) -> Response {
    json(match question {
        "status" => format!(
            r#"{{"jsonrpc":"2.0","id":-1,"result":{{"node_info":{{"id":"{ID}","network":"{chain_id}"}},
            "sync_info":{{"latest_block_height":"{height}","latest_block_time":"1970-01-01T00:00:{:02}Z","catching_up":false}}}}}}"#,
            height % 60
        ),
        "abci_info" => format!(r#"{{"result":{{"response":{{"last_block_height":"{height}"}}}}}}"#),
        "/cosmos.upgrade.v1beta1.Query/CurrentPlan" => {
            format!(r#"{{"result":{{"response":{{"code":0,"value":"{plan}","height":"{height}"}}}}}}"#)
        }
        "/cosmos.upgrade.v1beta1.Query/AppliedPlan" => r#"{"result":{"response":{"code":0,"value":"CHQ="}}}"#.into(),
        _ => r#"{"result":{"response":{"code":0,"value":""}}}"#.into(),
    })
}

/// The id of the node whose key is [`NODE_KEY`], as CometBFT's `show-node-id` prints it.
pub(super) const ID: &str = "c12e99804a30ed0c7682821dee96dd53ed3720eb";
/// The key of a node that was thrown away.
pub(super) const NODE_KEY: &str = r#"{"priv_key":{"type":"tendermint/PrivKeyEd25519","value":"JgtbVcBhWbksQyOEcA1p5q97heDOGnAgJ3cnn1hmwoAnwX+LFJrx2WGIiyHVWj5Az1uJmAq4KLGZdDohK064dQ=="}}"#;
