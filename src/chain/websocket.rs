//! News of blocks as they come, over CometBFT's websocket. It only wakes the poller earlier than its clock would: a
//! subscription that is refused, dropped or silent costs time and nothing else.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Client, StatusCode, header};
use serde::{Deserialize, de::IgnoredAny};
use tendermint_rpc::{endpoint::subscribe, request::Wrapper};
use tokio::{sync::mpsc::Sender, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};
use url::Url;

use super::{door::LARGEST_ANSWER, fault::excerpt, rpc::RpcError};

/// Without a block for so long the subscription counts as dead. Polling goes on meanwhile, so slow chains lose nothing.
const STALL: Duration = Duration::from_mins(1);
const CONNECT: Duration = Duration::from_secs(10);

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// No connection, or one that broke.
    #[error("the websocket cannot be reached: {0}")]
    Unreachable(#[from] reqwest::Error),
    /// The connection was not turned into a websocket.
    #[error("the websocket was refused with HTTP {0}")]
    Refused(StatusCode),
    /// The websocket's protocol was broken, or the connection was.
    #[error("the websocket broke: {0}")]
    Broke(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    /// The node does not accept the subscription; it has room for few (`max_subscription_clients`).
    #[error("the subscription was refused: {0}")]
    NotSubscribed(String),
    /// No block for too long.
    #[error("the websocket was silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// The other side ended it.
    #[error("the websocket was closed")]
    Closed,
}

/// Subscribes to block headers at the RPC endpoint `url`, and tells of each until that fails or nobody listens.
///
/// The connection is made by the client that also polls, so that names, proxies, certificates and passwords are
/// treated alike.
///
/// # Errors
/// Always ends with the reason why it ended.
pub async fn subscribe(client: &Client, url: &Url, blocks: &Sender<()>) -> Result<(), Ended> {
    let mut socket = timeout(CONNECT, connect(client, url)).await.map_err(|_| Ended::Silent(CONNECT))??;
    let request = Wrapper::new(subscribe::Request::new(String::from("tm.event='NewBlockHeader'")));
    let id = request.id().to_string();
    socket.send(Message::text(request.into_json())).await.map_err(Box::new)?;
    let mut deadline = tokio::time::Instant::now() + STALL;
    loop {
        let message = tokio::time::timeout_at(deadline, socket.next()).await.map_err(|_| Ended::Silent(STALL))?;
        let message = message.ok_or(Ended::Closed)?.map_err(Box::new)?;
        let (Message::Text(_) | Message::Binary(_)) = message else { continue };
        if announces(&message.into_data(), &id)? {
            deadline = tokio::time::Instant::now() + STALL;
            if blocks.send(()).await.is_err() {
                return Ok(());
            }
        }
    }
}

async fn connect(client: &Client, url: &Url) -> Result<WebSocketStream<reqwest::Upgraded>, Ended> {
    let mut url = url.clone();
    url.set_path(&format!("{}/websocket", url.path().trim_end_matches('/')));
    let key = generate_key();
    let request = client.get(url).header(header::CONNECTION, "Upgrade").header(header::UPGRADE, "websocket");
    let request = request.header(header::SEC_WEBSOCKET_VERSION, "13").header(header::SEC_WEBSOCKET_KEY, &key);
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(header::HeaderValue::as_bytes);
    if response.status() != StatusCode::SWITCHING_PROTOCOLS
        || accepted != Some(derive_accept_key(key.as_bytes()).as_bytes())
    {
        return Err(Ended::Refused(response.status()));
    }
    // Up to Tendermint 0.37 an event carries all events of the block beside its header.
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .max_message_size(Some(LARGEST_ANSWER))
        .max_frame_size(Some(LARGEST_ANSWER));
    let connection = response.upgrade().await.map_err(reqwest::Error::without_url)?;
    Ok(WebSocketStream::from_raw_socket(connection, Role::Client, Some(config)).await)
}

/// Whether a message is a block's header. Only the id tells whose it is: gateways rewrite the text of a query.
fn announces(message: &[u8], id: &str) -> Result<bool, Ended> {
    let Ok(Event { id: Some(found), result, error }) = serde_json::from_slice(message) else {
        return Ok(false);
    };
    // Tendermint up to 0.33 added `#event` to the id.
    if found.strip_suffix("#event").unwrap_or(&found) != id {
        return Ok(false);
    }
    match error {
        Some(error) => Err(Ended::NotSubscribed(excerpt(error.words().as_bytes()))),
        None => Ok(result.is_some_and(|result| result.data.is_some())),
    }
}

#[derive(Deserialize)]
struct Event {
    id: Option<String>,
    result: Option<EventResult>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct EventResult {
    /// What is in it is asked for: it only says that it is time to ask.
    data: Option<IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = include_str!("../../fixtures/answers/cometbft-0.40/new-block-header.json");

    #[test]
    fn a_recorded_event_is_read_by_its_id() {
        assert!(announces(EVENT.as_bytes(), "3").unwrap());
        assert!(announces(EVENT.replace("\"3\"", "\"3#event\"").as_bytes(), "3").unwrap());
        let other_words = EVENT.replace("NewBlockHeader'", "NewBlockHeader' AND more");
        assert!(announces(other_words.as_bytes(), "3").unwrap());
        assert!(!announces(EVENT.as_bytes(), "4").unwrap());
    }

    #[test]
    fn other_messages_are_no_blocks() {
        let subscribed = include_bytes!("../../fixtures/answers/cometbft-0.40/websocket-subscribed.json");
        for message in
            [subscribed.as_slice(), b"", b"{", b"[]", b"{\"id\":3}", b"{\"id\":\"3\",\"result\":{\"data\":null}}"]
        {
            assert!(!announces(message, "3").unwrap());
        }
        let refused =
            br#"{"jsonrpc":"2.0","id":"3","error":{"code":-32603,"message":"max_subscription_clients 100 reached"}}"#;
        assert!(announces(refused, "3").unwrap_err().to_string().contains("max_subscription_clients 100"));
    }
}
