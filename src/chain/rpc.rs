//! CometBFT's JSON-RPC. Questions are built with tendermint-rpc's own types; of the answers only the few fields that
//! matter are read, because its typed answers refuse real nodes: version strings of 0.39 and 1.x, key types it does not know.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use prost::Message;
use reqwest::Client;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tendermint_rpc::{
    endpoint::{abci_info, abci_query, block, header, status},
    request::RequestMessage,
};
use url::Url;

use super::{
    Dated, Latest,
    door::{Answer, Door},
    fault::{Cause, Fault, refusal},
    number::{Number, Words, milliseconds},
};

/// One endpoint that speaks CometBFT's JSON-RPC.
#[derive(Debug, Clone)]
pub struct Rpc {
    pub(super) door: Door,
    /// Whether it is asked by GET; not set before it answered in one way.
    by_get: Arc<OnceLock<bool>>,
}

impl Rpc {
    /// Asks the endpoint at `url` (see [`super::endpoints::address`]), called `label` in messages; one answer may take
    /// `limit`.
    #[must_use]
    pub fn new(client: Client, url: Url, label: String, limit: Duration) -> Self {
        Self { door: Door { client, base: url, label, limit }, by_get: Arc::default() }
    }

    /// `/status`: where the node is.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn status(&self) -> Result<Latest, Fault> {
        let answer: StatusAnswer = self.ask(status::Request, "status").await?;
        Ok(Latest {
            chain_id: answer.node_info.network,
            height: answer.sync_info.latest_block_height.0,
            time: milliseconds(&answer.sync_info.latest_block_time).unwrap_or_default(),
            catching_up: answer.sync_info.catching_up,
            earliest: answer.sync_info.earliest_block_height.0.parse().unwrap_or_default(),
            node_id: (!answer.node_info.id.is_empty()).then(|| answer.node_info.id.to_ascii_lowercase()),
        })
    }

    /// `last_block_height` of `/abci_info`: the last height that the application committed; 0 before the first.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn abci_info(&self) -> Result<u64, Fault> {
        let answer: Wrapped<InfoAnswer> = self.ask(abci_info::Request, "abci_info").await?;
        Ok(answer.response.last_block_height.0)
    }

    /// A query of the application by its gRPC path, which baseapp answers since SDK 0.40 also where gRPC and REST are off.
    ///
    /// # Errors
    /// [`Fault`] where there is no answer, or one with another code than 0.
    pub(super) async fn query<A: Message + Default>(&self, path: &str, data: &impl Message) -> Result<Dated<A>, Fault> {
        let request = abci_query::Request::new(Some(path.to_owned()), data.encode_to_vec(), None, false);
        let answer: Wrapped<QueryAnswer> = self.ask(request, path).await?;
        let QueryAnswer { code, log, value, height } = answer.response;
        if code.0 != 0 {
            return Err(self.door.fault(path, refusal(i64::try_from(code.0).unwrap_or(i64::MAX), &log)));
        }
        let unreadable =
            |reason: String, said: &str| self.door.fault(path, Cause::Unreadable { reason, said: said.to_owned() });
        let value = BASE64
            .decode(value.unwrap_or_default())
            .map_err(|error| unreadable(error.to_string(), "a value that is no base64"))?;
        let value =
            A::decode(value.as_slice()).map_err(|error| unreadable(error.to_string(), "a malformed protobuf"))?;
        Ok(Dated { height: Some(height.0).filter(|height| *height > 0), value })
    }

    /// The time of a block, milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`Fault`] where the block is pruned, still to come, or the answer is for another height.
    pub async fn header_time(&self, height: u64) -> Result<u64, Fault> {
        let question = format!("the block at height {height}");
        let header: Header = self.header(height, &question, Fault::is_unserved).await?;
        header.time_at(height).map_err(|reason| {
            self.door.fault(&question, Cause::Unreadable { reason, said: format!("a block at {}", header.height.0) })
        })
    }

    /// A block's header: `/header`, and `/block` where that fails as one without it does (Tendermint 0.34).
    pub(super) async fn header<H: DeserializeOwned>(
        &self,
        height: u64,
        question: &str,
        is_without: fn(&Fault) -> bool,
    ) -> Result<H, Fault> {
        let height = height.try_into().ok();
        match self.ask::<HeaderAnswer<H>>(header::Request { height }, question).await {
            Err(fault) if is_without(&fault) => {
                Ok(self.ask::<BlockAnswer<H>>(block::Request { height }, question).await?.block.header)
            }
            answer => Ok(answer?.header),
        }
    }

    pub(super) async fn ask<A: DeserializeOwned>(
        &self,
        request: impl RequestMessage,
        question: &str,
    ) -> Result<A, Fault> {
        let call = request.into_json();
        if self.by_get.get() == Some(&true) {
            return self.ask_by_get(&call, question).await;
        }
        let fault = match self.read(&self.door.post(call.clone(), question).await?, question) {
            Ok(answer) => {
                self.by_get.get_or_init(|| false);
                return Ok(answer);
            }
            Err(fault) => fault,
        };
        // Some gateways pass on addresses and nothing else.
        let other =
            fault.is_unserved() || matches!(fault.cause, Cause::Status(..) | Cause::Empty | Cause::Unreadable { .. });
        if !other || self.by_get.get().is_some() {
            return Err(fault);
        }
        let answer = self.ask_by_get(&call, question).await.map_err(|_| fault)?;
        self.by_get.get_or_init(|| true);
        Ok(answer)
    }

    async fn ask_by_get<A: DeserializeOwned>(&self, call: &str, question: &str) -> Result<A, Fault> {
        let call: Value = serde_json::from_str(call).expect("tendermint-rpc writes JSON");
        let named = call["params"].as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let written = named.map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (
                name.as_str(),
                match name.as_str() {
                    "data" => format!("0x{text}"),
                    "path" => format!("\"{text}\""),
                    _ => text,
                },
            )
        });
        let path = format!("/{}", call["method"].as_str().unwrap_or_default());
        let url = self.door.url(&path, &written.collect::<Vec<_>>());
        self.read(&self.door.get(url, question).await?, question)
    }

    /// A node answers a refused call with HTTP 200 or 500 alike, so the body is looked at first.
    fn read<A: DeserializeOwned>(&self, answer: &Answer, question: &str) -> Result<A, Fault> {
        match serde_json::from_slice::<Envelope<A>>(&answer.body) {
            Ok(Envelope { error: Some(error), .. }) => {
                Err(self.door.fault(question, refusal(error.code, &error.words())))
            }
            Ok(Envelope { result: Some(result), .. }) if answer.status.is_success() => Ok(result),
            Ok(_) => Err(self.door.unreadable(answer, question, &"no result")),
            Err(reason) => Err(self.door.unreadable(answer, question, &reason)),
        }
    }
}

/// The id is not read: there is one answer to a POST, and it comes back as number, string or `-1`.
#[derive(Deserialize)]
struct Envelope<A> {
    #[serde(default = "none")]
    result: Option<A>,
    error: Option<RpcError>,
}

fn none<A>() -> Option<A> {
    None
}

/// The error of JSON-RPC; CometBFT says in `data` what is meant.
#[derive(Deserialize)]
pub(super) struct RpcError {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Words,
}

impl RpcError {
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.message, self.data.0)
    }
}

#[derive(Deserialize)]
pub(super) struct Wrapped<A> {
    pub(super) response: A,
}

#[derive(Deserialize)]
struct StatusAnswer {
    node_info: NodeInfo,
    sync_info: SyncInfo,
}

#[derive(Deserialize)]
struct NodeInfo {
    #[serde(default)]
    id: String,
    network: String,
}

#[derive(Deserialize)]
struct SyncInfo {
    latest_block_height: Number,
    #[serde(default)]
    latest_block_time: String,
    #[serde(default)]
    catching_up: bool,
    /// Only a hint, so nothing is refused for what stands here.
    #[serde(default)]
    earliest_block_height: Words,
}

#[derive(Deserialize)]
struct InfoAnswer {
    /// Left out by the node before the first block.
    #[serde(default)]
    last_block_height: Number,
}

#[derive(Deserialize)]
struct QueryAnswer {
    #[serde(default)]
    code: Number,
    #[serde(default)]
    log: String,
    value: Option<String>,
    #[serde(default)]
    height: Number,
}

/// A header by itself. Whoever asks says which of its fields matter.
#[derive(Deserialize)]
struct HeaderAnswer<H> {
    header: H,
}

#[derive(Deserialize)]
struct BlockAnswer<H> {
    block: HeaderAnswer<H>,
}

/// The fields of a block's header that matter, in whatever it comes wrapped.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Header {
    #[serde(default)]
    pub(super) chain_id: String,
    pub(super) height: Number,
    #[serde(default, alias = "timestamp")]
    pub(super) time: String,
}

impl Header {
    /// The time, if it is that of the block asked for.
    pub(super) fn time_at(&self, height: u64) -> Result<u64, String> {
        if self.height.0 != height {
            return Err(format!("block {height} was asked for"));
        }
        milliseconds(&self.time).ok_or_else(|| format!("its time is {:?}", self.time))
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        http::StatusCode,
        response::{IntoResponse as _, Response},
    };
    use proptest::prelude::*;

    use super::{
        super::{
            door::LARGEST_ANSWER,
            liar::{Liar, json},
        },
        *,
    };
    use crate::{decide::plan::Plan, http};

    fn rpc(url: &Url) -> Rpc {
        rpc_within(url, Duration::from_secs(20))
    }

    fn rpc_within(url: &Url, limit: Duration) -> Rpc {
        let client = http::own_node_client(Duration::from_secs(30)).unwrap();
        Rpc::new(client, url.clone(), String::from("https://rpc"), limit)
    }

    macro_rules! recorded {
        ($file:literal) => {
            include_str!(concat!("../../fixtures/answers/", $file))
        };
    }

    #[tokio::test]
    async fn recorded_states_are_read() {
        for (file, chain_id, height, time) in [
            (recorded!("tendermint-0.34/status.json"), "cosmoshub-4", 14_183_736, 1_677_048_802_427),
            (recorded!("cometbft-0.37/status.json"), "cosmoshub-4", 21_076_916, 1_719_681_623_080),
            (recorded!("cometbft-0.38/status.json"), "disco", 26_083, 1_718_114_877_125),
            (recorded!("cometbft-0.40/status.json"), "local-1", 49, 1_795_386_111_303),
            (recorded!("cometbft-0.40/status-get.json"), "local-1", 49, 1_795_386_111_303),
            (recorded!("cometbft-0.40/status-halted.json"), "local-1", 116, 1_795_386_178_859),
        ] {
            let liar = Liar::telling(move |_, _| json(file)).await;
            let latest = rpc(&liar.url).status().await.unwrap();
            assert_eq!((latest.chain_id.as_str(), latest.height, latest.time), (chain_id, height, time));
            assert!(!latest.catching_up && latest.node_id.unwrap().len() == 40);
            // Numbers where strings are usual, key types nobody has heard of, and what CometBFT 0.39, 1.x and forks call
            // themselves.
            let mut odd: Value = serde_json::from_str(file).unwrap();
            odd["result"]["validator_info"]["pub_key"] =
                serde_json::json!({"type": "cometbft/PubKeySecp256k1eth", "value": "BA=="});
            for (version, height) in
                [("0.39.4", height), ("1.0.1", 1 << 60), ("", i64::MAX.cast_unsigned()), ("v5.0.1-app", 0)]
            {
                odd["id"] = version.into();
                odd["result"]["node_info"]["version"] = version.into();
                odd["result"]["sync_info"]["latest_block_height"] = height.into();
                let answer = odd.to_string();
                let liar = Liar::telling(move |_, _| json(answer.clone())).await;
                assert_eq!(rpc(&liar.url).status().await.unwrap().height, height);
            }
        }
    }

    #[tokio::test]
    async fn recorded_heights_of_the_application_are_read() {
        for (file, height) in [
            (recorded!("tendermint-0.34/abci_info.json"), 14_184_943),
            (recorded!("cometbft-0.40/abci_info.json"), 49),
            (recorded!("cometbft-0.40/abci_info-halted.json"), 115),
            (r#"{"result":{"response":{"version":"before the first block"}}}"#, 0),
        ] {
            let liar = Liar::telling(move |_, _| json(file)).await;
            assert_eq!(rpc(&liar.url).abci_info().await.unwrap(), height);
        }
    }

    #[tokio::test]
    async fn recorded_plans_are_read() {
        for (file, height, plan) in [
            (recorded!("cometbft-0.40/current_plan-none.json"), 49, None),
            (recorded!("cometbft-0.40/current_plan-scheduled.json"), 91, Some(("v2", 116))),
            (recorded!("cometbft-0.37/current_plan-none.json"), 21_094_637, None),
            (recorded!("cometbft-0.37/current_plan-scheduled.json"), 8_265_876, Some(("v1.5.0", 8_375_044))),
        ] {
            let liar = Liar::telling(move |_, _| json(file)).await;
            let answer = rpc(&liar.url).current_plan().await.unwrap();
            assert_eq!(answer.height, Some(height));
            assert_eq!(answer.value.as_ref().map(|plan| (plan.name.as_str(), plan.height)), plan);
            assert!(answer.value.is_none_or(|plan: Plan| plan.info.contains("linux/amd64")));
        }
        for (file, height) in [
            (recorded!("cometbft-0.40/applied_plan-never.json"), 0),
            (recorded!("cometbft-0.40/applied_plan-applied.json"), 116),
        ] {
            let liar = Liar::telling(move |_, _| json(file)).await;
            assert_eq!(rpc(&liar.url).applied_plan("v2").await.unwrap(), height);
        }
    }

    #[tokio::test]
    async fn a_block_without_header_call_is_asked_for_whole() {
        let liar = Liar::telling(|_, _| json(recorded!("cometbft-0.40/header.json"))).await;
        assert_eq!(rpc(&liar.url).header_time(2).await.unwrap(), 1_795_386_063_829);
        assert!(rpc(&liar.url).header_time(3).await.unwrap_err().to_string().contains("block 3 was asked for"));
        let old = Liar::telling(|method, _| match method {
            "block" => json(r#"{"result":{"block":{"header":{"height":2,"time":"1970-01-01T00:00:02Z"}}}}"#),
            _ => json(r#"{"error":{"code":-32601,"message":"Method not found"}}"#),
        });
        assert_eq!(rpc(&old.await.url).header_time(2).await.unwrap(), 2000);
        let liar = Liar::telling(|_, _| json(recorded!("cometbft-0.40/header-of-the-future.json"))).await;
        assert!(
            rpc(&liar.url)
                .header_time(9_999_999)
                .await
                .unwrap_err()
                .to_string()
                .contains("current blockchain height 49")
        );
    }

    #[tokio::test]
    async fn a_gateway_that_takes_no_posts_is_asked_by_address() {
        let liar = Liar::telling(|question, _| match question {
            "/p/status?key=k" => json(recorded!("cometbft-0.37/status.json")),
            "/p/abci_query?key=k&data=0x&path=%22%2Fcosmos.upgrade.v1beta1.Query%2FCurrentPlan%22&prove=false" => {
                json(recorded!("cometbft-0.37/current_plan-scheduled.json"))
            }
            "/p/header?key=k&height=2" => json(recorded!("cometbft-0.40/header.json")),
            _ => (StatusCode::METHOD_NOT_ALLOWED, "<html>no</html>").into_response(),
        })
        .await;
        let rpc = rpc(&liar.url.join("p?key=k").unwrap());
        assert_eq!(rpc.status().await.unwrap().height, 21_076_916);
        assert_eq!(rpc.current_plan().await.unwrap().value.unwrap().name, "v1.5.0");
        assert_eq!(rpc.header_time(2).await.unwrap(), 1_795_386_063_829);
        assert_eq!(liar.asked.lock().unwrap().len(), 4, "{:?}", liar.asked.lock().unwrap());
    }

    #[tokio::test]
    async fn what_is_secret_in_an_address_is_in_no_message() {
        let key = "0123456789abcdef0123456789abcdef";
        let said: &'static [u8] = format!("Cannot POST /{key}/?apikey=hidden-word, user:pass-word").into_bytes().leak();
        for status in [200, 404, 500] {
            let liar = Liar::saying(status, said).await;
            let mut url = liar.url.join(&format!("{key}/?apikey=hidden-word")).unwrap();
            url.set_username("user").unwrap();
            url.set_password(Some("pass-word")).unwrap();
            let fault = rpc(&url).status().await.unwrap_err().to_string();
            assert!(fault.contains("Cannot POST …"), "{fault}");
            assert!(!["0123", "hidden", "pass-word"].iter().any(|secret| fault.contains(secret)), "{fault}");
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_named() {
        let big: &'static [u8] = vec![b' '; LARGEST_ANSWER + 1].leak();
        let deep: &'static [u8] = format!(r#"{{"result":{{"node_info":{}"#, "[".repeat(100_000)).into_bytes().leak();
        for (status, said, words) in [
            (200, b"<html><h1>Welcome</h1>".as_slice(), r#"says "<html><h1>Welcome</h1>""#),
            (200, b"", "answers nothing"),
            (200, b"{\"result\":{\"node_info\":{\"netw", "does not answer in the form"),
            (200, b"{}", "no result"),
            (200, b"{\"result\":null}", "no result"),
            (200, b"[]", "does not answer in the form"),
            (500, b"oh no", r#"answers HTTP 500, saying "oh no""#),
            (502, b"{\"result\":{}}", "answers HTTP 502"),
            (404, b"<html>", "does not serve the question: HTTP 404"),
            (429, b"slower", "fewer questions"),
            (405, b"<html>", "does not serve the question: HTTP 405"),
            (
                500,
                b"{\"error\":{\"code\":-32603,\"message\":\"Internal error\",\"data\":\"broken\"}}",
                "code -32603: Internal error broken",
            ),
            (200, big, "more than 8388608 bytes"),
            (200, deep, "does not answer in the form"),
            (200, b"{\"result\":{\"node_info\":{\"network\":7}}}", "invalid type"),
        ] {
            let liar = Liar::saying(status, said).await;
            let fault = rpc(&liar.url).status().await.unwrap_err().to_string();
            assert!(fault.starts_with("https://rpc ") && fault.contains(words), "{fault}");
        }
    }

    #[tokio::test]
    async fn queries_that_fail_are_named() {
        for (said, words, unknown) in [
            (recorded!("cometbft-0.40/unknown-path.json"), "unknown query path", true),
            (
                r#"{"result":{"response":{"code":18,"log":"failed to load state at height 5"}}}"#,
                "no state at that height",
                false,
            ),
            (r#"{"result":{"response":{"value":"no base64!"}}}"#, "no base64", false),
            (r#"{"result":{"response":{"value":"CgE="}}}"#, "malformed protobuf", false),
        ] {
            let liar = Liar::telling(move |_, _| json(said)).await;
            let fault = rpc(&liar.url).current_plan().await.unwrap_err();
            assert_eq!(fault.is_unknown(), unknown);
            assert!(fault.to_string().contains(words), "{fault}");
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_wants_to_be_left_alone_says_for_how_long() {
        let in_an_hour = jiff::fmt::rfc2822::to_string(&(jiff::Zoned::now() + Duration::from_hours(1))).unwrap();
        for (value, seconds) in
            [(String::from("17"), 17..=17), (in_an_hour, 3590..=3600), (String::from("later"), 10..=10)]
        {
            let answer = move || (StatusCode::TOO_MANY_REQUESTS, [("Retry-After", value.clone())]).into_response();
            let liar = Liar::telling(move |_, _| answer()).await;
            let fault = rpc(&liar.url).status().await.unwrap_err();
            assert!(seconds.contains(&fault.retry_after().unwrap_or_default().as_secs()), "{fault:?}");
        }
    }

    #[tokio::test]
    async fn silence_and_closed_doors_end_in_time() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://u:secret@{}", silent.local_addr().unwrap())).unwrap();
        let fault = rpc_within(&url, Duration::from_millis(50)).status().await.unwrap_err();
        assert!(fault.to_string().contains("gave no answer within"), "{fault}");
        drop(silent);
        let fault = rpc(&url).status().await.unwrap_err().to_string();
        assert!(
            fault.contains("cannot be reached") && fault.contains("refused") && !fault.contains("secret"),
            "{fault}"
        );
    }

    #[tokio::test]
    async fn prefix_and_password_of_an_address_are_used() {
        let router = axum::Router::new().route(
            "/prefix",
            axum::routing::post(async |headers: axum::http::HeaderMap| -> Response {
                match headers.get("authorization").map(|value| value.to_str().unwrap()) {
                    Some("Basic dXNlcjpzZWNyZXQ=") => json(recorded!("cometbft-0.40/abci_info.json")),
                    _ => StatusCode::UNAUTHORIZED.into_response(),
                }
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://user:secret@{}/prefix", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        assert_eq!(rpc(&url).abci_info().await.unwrap(), 49);
        server.abort();
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), status in 200_u16..600) {
            let rpc = rpc(&Url::parse("http://localhost").unwrap());
            let answer = Answer { status: reqwest::StatusCode::from_u16(status).unwrap(), height: None, body };
            prop_assert!(rpc.read::<StatusAnswer>(&answer, "status").is_err());
        }
    }
}
