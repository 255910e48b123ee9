//! CometBFT's RPC: JSON-RPC by POST, the same methods by GET with arguments in the address, and the door to the websocket.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    Site, abci,
    answers::{self, Spelling},
    websocket,
};

/// Arguments by name, all as text: RPC takes numbers with and without quotes.
pub(super) type Arguments = HashMap<String, String>;

/// The RPC server of a node.
pub fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", post(by_post))
        .route("/websocket", get(websocket::upgrade))
        .route("/{method}", get(by_get))
        .with_state(site)
}

/// The whole answer to a JSON-RPC request.
pub(super) fn answer(site: &Site, request: &Value) -> Value {
    let arguments = request["params"].as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    let arguments = arguments.map(|(name, value)| (name.clone(), text(value))).collect();
    envelope(&request["id"], call(site, request["method"].as_str().unwrap_or_default(), &arguments))
}

/// A result or an error with the id it belongs to.
pub(super) fn envelope(id: &Value, outcome: Result<Value, Value>) -> Value {
    match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
    }
}

/// An error as CometBFT wraps it.
pub(super) fn internal_error(data: impl Into<String>) -> Value {
    json!({"code": -32603, "message": "Internal error", "data": data.into()})
}

async fn by_post(State(site): State<Arc<Site>>, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(request) => Json(answer(&site, &request)).into_response(),
        Err(problem) => {
            let error = json!({"code": -32700, "message": "Parse error. Invalid JSON", "data": problem.to_string()});
            (StatusCode::INTERNAL_SERVER_ERROR, Json(envelope(&Value::Null, Err(error)))).into_response()
        }
    }
}

async fn by_get(
    State(site): State<Arc<Site>>,
    Path(method): Path<String>,
    Query(arguments): Query<Arguments>,
) -> impl IntoResponse {
    let arguments = arguments.into_iter().map(|(name, value)| (name, value.trim_matches('"').to_owned())).collect();
    let outcome = call(&site, &method, &arguments);
    let status = match &outcome {
        Ok(_) => StatusCode::OK,
        Err(error) if error["code"] == -32601 => StatusCode::NOT_FOUND,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(envelope(&json!(-1), outcome)))
}

fn call(site: &Site, method: &str, arguments: &Arguments) -> Result<Value, Value> {
    match method {
        "health" => Ok(json!({})),
        "status" => Ok(answers::status(site)),
        "abci_info" => {
            let chain = site.chain();
            let app_hash = answers::app_hash(&chain, chain.committed + 1, Spelling::Rest);
            let height = chain.committed.to_string();
            Ok(json!({"response": {"data": "demo", "version": site.version, "last_block_height": height,
                "last_block_app_hash": app_hash}}))
        }
        "abci_query" => {
            let data = hex::decode(argument(arguments, "data").trim_start_matches("0x"));
            let data = data
                .map_err(|problem| json!({"code": -32602, "message": "Invalid params", "data": problem.to_string()}))?;
            let abci::Answer { code, log, value, height } =
                abci::query(&site.chain(), argument(arguments, "path"), &data);
            let codespace = if code == 0 { "" } else { "sdk" };
            Ok(json!({"response": {"code": code, "log": log, "info": "", "index": "0", "key": null,
                "value": value.map(|it| BASE64_STANDARD.encode(it)), "proofOps": null, "height": height.to_string(),
                "codespace": codespace}}))
        }
        "header" | "block" => {
            let chain = site.chain();
            let height = height(&chain, argument(arguments, "height")).map_err(internal_error)?;
            let found = match method {
                "header" => {
                    answers::header(site, &chain, height, Spelling::Rpc).map(|header| json!({"header": header}))
                }
                _ => answers::block(site, &chain, height, Spelling::Rpc),
            };
            found.ok_or_else(|| internal_error(format!("height {height} is not available")))
        }
        _ => Err(json!({"code": -32601, "message": "Method not found"})),
    }
}

fn argument<'a>(arguments: &'a Arguments, name: &str) -> &'a str {
    arguments.get(name).map_or("", String::as_str)
}

/// The height that is asked for; the latest where none is named.
fn height(chain: &super::Chain, text: &str) -> Result<u64, String> {
    let (latest, earliest) = (chain.saved, chain.earliest());
    match text {
        "" | "0" | "null" => Ok(latest),
        _ => match text.parse() {
            Ok(height) if height > latest => {
                Err(format!("height {height} must be less than or equal to the current blockchain height {latest}"))
            }
            Ok(height) if height < earliest => {
                Err(format!("height {height} is not available, lowest height is {earliest}"))
            }
            Ok(height) => Ok(height),
            Err(_) => Err(format!("{text:?} is not a height")),
        },
    }
}
