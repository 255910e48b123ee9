//! `/websocket`: every RPC method, and subscriptions to new block headers.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
};
use serde_json::{Value, json};

use super::{
    Site,
    answers::{self, Spelling},
    rpc,
};

/// The only query that can be subscribed to.
const NEW_BLOCK_HEADER: &str = "tm.event='NewBlockHeader'";

pub(super) async fn upgrade(State(site): State<Arc<Site>>, request: WebSocketUpgrade) -> Response {
    request.on_upgrade(async move |socket| {
        // A client that goes away ends its connection and nothing else.
        let _: Result<(), axum::Error> = converse(&site, socket).await;
    })
}

async fn converse(site: &Site, mut socket: WebSocket) -> Result<(), axum::Error> {
    let mut news = site.committed.subscribe();
    let mut sent = *news.borrow_and_update();
    // The query as the client wrote it, and the id of its request, which every event repeats.
    let mut subscriptions = HashMap::<String, Value>::new();
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    let answer = respond(site, &text, &mut subscriptions);
                    socket.send(Message::Text(answer.to_string().into())).await?;
                }
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(message) => drop(message?),
            },
            changed = news.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let committed = *news.borrow_and_update();
                for height in sent + 1..=committed {
                    let header = answers::header(site, &site.chain(), height, Spelling::Rpc);
                    for (query, id) in &subscriptions {
                        let event = rpc::envelope(id, Ok(json!({
                            "query": query,
                            "data": {"type": "tendermint/event/NewBlockHeader", "value": {"header": header}},
                            "events": {"tm.event": ["NewBlockHeader"]},
                        })));
                        socket.send(Message::Text(event.to_string().into())).await?;
                    }
                }
                sent = committed;
            }
        }
    }
}

fn respond(site: &Site, text: &str, subscriptions: &mut HashMap<String, Value>) -> Value {
    let Ok(request) = serde_json::from_str::<Value>(text) else {
        return rpc::envelope(&Value::Null, Err(json!({"code": -32700, "message": "Parse error. Invalid JSON"})));
    };
    let query = request["params"]["query"].as_str().unwrap_or_default();
    let outcome = match request["method"].as_str() {
        Some("subscribe") if query.replace(' ', "") != NEW_BLOCK_HEADER => {
            Err(rpc::internal_error(format!("failed to parse query: {query:?} is not {NEW_BLOCK_HEADER}")))
        }
        Some("subscribe") if subscriptions.contains_key(query) => Err(rpc::internal_error("already subscribed")),
        Some("subscribe") => {
            subscriptions.insert(query.into(), request["id"].clone());
            Ok(json!({}))
        }
        _ => return rpc::answer(site, &request),
    };
    rpc::envelope(&request["id"], outcome)
}
