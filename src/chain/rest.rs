//! The SDK's REST gateway: the same questions as over RPC, for those who have no other endpoint, and for the own node
//! where its `abci_query` does not answer.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use reqwest::Client;
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::{
    Dated, Latest,
    door::{Answer, Door},
    fault::{Cause, Fault, refusal},
    number::Number,
    proposals::{GovVersion, Page, json},
    rpc::Header,
    schedule::JsonPlan,
};
use crate::decide::{event::ProposalStatus, plan::Plan};

/// One endpoint that speaks the gateway's REST.
#[derive(Debug, Clone)]
pub struct Rest {
    door: Door,
    /// The id of the node behind it, where it says so; asked for once.
    node_id: Arc<OnceLock<Option<String>>>,
    /// Set once a block was too large to be read.
    has_large_blocks: Arc<OnceLock<()>>,
}

impl Rest {
    /// Asks the endpoint at `url` (see [`super::endpoints::address`]), called `label` in messages; one answer may take
    /// `limit`.
    #[must_use]
    pub fn new(client: Client, url: Url, label: String, limit: Duration) -> Self {
        Self {
            door: Door { client, base: url, label, limit },
            node_id: Arc::default(),
            has_large_blocks: Arc::default(),
        }
    }

    /// Where the node is: its latest block, and whether it is syncing.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn latest(&self) -> Result<Latest, Fault> {
        let header = self.latest_header().await?;
        let syncing = self.ask::<SyncingAnswer>("/cosmos/base/tendermint/v1beta1/syncing", &[]).await;
        if self.node_id.get().is_none() {
            match self.told_id().await {
                Ok(id) => drop(self.node_id.set(Some(id).filter(|id| !id.is_empty()))),
                Err(fault) if fault.is_unserved() => drop(self.node_id.set(None)),
                // It may be told the next time: without it a node that is named twice counts twice.
                Err(_) => {}
            }
        }
        Ok(Latest {
            node_id: self.node_id.get().cloned().flatten(),
            height: header.height.0,
            time: header.time_at(header.height.0).unwrap_or_default(),
            chain_id: header.chain_id,
            catching_up: syncing.is_ok_and(|answer| answer.value.syncing),
            earliest: 0,
        })
    }

    /// Of the latest block. One with megabytes of transactions cannot be read whole; then the application is asked where it
    /// is (since SDK 0.50), and the node for its chain, which an ordinary block tells in fewer bytes.
    async fn latest_header(&self) -> Result<Header, Fault> {
        if self.has_large_blocks.get().is_some() {
            return self.header_without_block().await;
        }
        match self.ask::<BlockAnswer>("/cosmos/base/tendermint/v1beta1/blocks/latest", &[]).await {
            Err(large) if matches!(large.cause, Cause::TooLarge(_)) => {
                let header = self.header_without_block().await;
                let header = header.map_err(|fault| if fault.is_unserved() { large } else { fault })?;
                self.has_large_blocks.get_or_init(|| ());
                Ok(header)
            }
            block => Ok(block?.value.block.header),
        }
    }

    async fn header_without_block(&self) -> Result<Header, Fault> {
        let path = "/cosmos/base/node/v1beta1/status";
        let chain_id = self.node_info().await?.network;
        let header = Header { chain_id, ..self.ask::<Header>(path, &[]).await?.value };
        // After a restart it knows no time before its next block.
        self.time_of(&header, header.height.0, path)?;
        Ok(header)
    }

    fn time_of(&self, header: &Header, height: u64, path: &str) -> Result<u64, Fault> {
        header.time_at(height).map_err(|reason| {
            self.door.fault(path, Cause::Unreadable { reason, said: format!("a block at {}", header.height.0) })
        })
    }

    /// The id of the node that answers now.
    pub(super) async fn told_id(&self) -> Result<String, Fault> {
        self.node_info().await.map(|info| info.default_node_id.to_ascii_lowercase())
    }

    async fn node_info(&self) -> Result<NodeInfo, Fault> {
        let info = self.ask::<InfoAnswer>("/cosmos/base/tendermint/v1beta1/node_info", &[]).await?;
        Ok(info.value.default_node_info)
    }

    /// The plan scheduled in x/upgrade.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn current_plan(&self) -> Result<Dated<Option<Plan>>, Fault> {
        let answer = self.ask::<PlanAnswer>("/cosmos/upgrade/v1beta1/current_plan", &[]).await?;
        Ok(Dated { height: answer.height, value: answer.value.plan.map(Plan::from) })
    }

    /// The height at which the plan of this name was applied; 0 for never.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn applied_plan(&self, name: &str) -> Result<u64, Fault> {
        let segment: String =
            url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
        let path = format!("/cosmos/upgrade/v1beta1/applied_plan/{segment}");
        Ok(self.ask::<AppliedAnswer>(&path, &[]).await?.value.height.0)
    }

    /// The time of a block, milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`Fault`] where the block is pruned, still to come, or the answer is for another height.
    pub async fn header_time(&self, height: u64) -> Result<u64, Fault> {
        let path = format!("/cosmos/base/tendermint/v1beta1/blocks/{height}");
        let header = self.ask::<BlockAnswer>(&path, &[]).await?.value.block.header;
        self.time_of(&header, height, &path)
    }

    /// One page of the proposals in a status, or of all, newest first; `key` is [`Page::next`] of the page before.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer; one that [`Fault::is_unknown`] where this version of x/gov is not served.
    pub async fn proposals(
        &self,
        gov: GovVersion,
        status: Option<ProposalStatus>,
        limit: u64,
        key: &[u8],
    ) -> Result<Page, Fault> {
        let mut parameters =
            vec![("pagination.limit", limit.to_string()), ("pagination.reverse", String::from("true"))];
        if status.is_some() {
            parameters.push(("proposal_status", super::proposals::number_of(status).to_string()));
        }
        if !key.is_empty() {
            parameters.push(("pagination.key", BASE64.encode(key)));
        }
        Ok(self.ask::<json::PageAnswer>(&gov.rest_path(), &parameters).await?.value.into_page())
    }

    /// The proposal of a number, as a page that holds nothing else.
    ///
    /// # Errors
    /// As [`Rest::proposals`]; one that [`Fault::is_missing`] where there is no such proposal.
    pub async fn proposal(&self, gov: GovVersion, id: u64) -> Result<Page, Fault> {
        let path = format!("{}/{id}", gov.rest_path());
        Ok(self.ask::<json::SingleAnswer>(&path, &[]).await?.value.into_page())
    }

    async fn ask<A: DeserializeOwned>(&self, path: &str, parameters: &[(&str, String)]) -> Result<Dated<A>, Fault> {
        let answer = self.door.get(self.door.url(path, parameters), path).await?;
        let value = self.read(&answer, path)?;
        Ok(Dated { height: answer.height, value })
    }

    fn read<A: DeserializeOwned>(&self, answer: &Answer, path: &str) -> Result<A, Fault> {
        if let Ok(GatewayError { code, message }) = serde_json::from_slice(&answer.body) {
            return Err(self.door.fault(path, refusal(code, &message)));
        }
        match serde_json::from_slice(&answer.body) {
            Ok(value) if answer.status.is_success() => Ok(value),
            Ok(_) => Err(self.door.unreadable(answer, path, &"an error status")),
            Err(reason) => Err(self.door.unreadable(answer, path, &reason)),
        }
    }
}

#[derive(Deserialize)]
struct GatewayError {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
struct BlockAnswer {
    block: BlockPart,
}

#[derive(Deserialize)]
struct BlockPart {
    header: Header,
}

#[derive(Deserialize)]
struct SyncingAnswer {
    syncing: bool,
}

#[derive(Deserialize)]
struct InfoAnswer {
    default_node_info: NodeInfo,
}

#[derive(Deserialize)]
struct NodeInfo {
    default_node_id: String,
    #[serde(default)]
    network: String,
}

#[derive(Deserialize)]
struct PlanAnswer {
    /// Null where nothing is scheduled; a page that has no such field is no answer to this question.
    #[serde(deserialize_with = "Option::deserialize")]
    plan: Option<JsonPlan>,
}

#[derive(Deserialize)]
struct AppliedAnswer {
    height: Number,
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use axum::{http::StatusCode, response::IntoResponse as _};

    use super::{
        super::{
            door::LARGEST_ANSWER,
            liar::{Liar, gateway, json},
        },
        *,
    };
    use crate::http;

    macro_rules! recorded {
        ($file:literal) => {
            include_str!(concat!("../../fixtures/answers/", $file))
        };
    }

    fn rest(liar: &Liar) -> Rest {
        let limit = Duration::from_secs(5);
        Rest::new(http::own_node_client(limit).unwrap(), liar.url.clone(), String::from("https://rest"), limit)
    }

    #[tokio::test]
    async fn recorded_answers_are_read() {
        let liar = Liar::telling(|path, _| match path {
            "/cosmos/base/tendermint/v1beta1/blocks/latest" | "/cosmos/base/tendermint/v1beta1/blocks/49" => {
                json(recorded!("cometbft-0.40/rest-blocks-latest.json"))
            }
            "/cosmos/base/tendermint/v1beta1/syncing" => json(recorded!("cometbft-0.40/rest-syncing.json")),
            "/cosmos/base/tendermint/v1beta1/node_info" => json(recorded!("cometbft-0.40/rest-node_info.json")),
            "/cosmos/upgrade/v1beta1/current_plan" => {
                gateway(91, recorded!("cometbft-0.40/rest-current_plan-scheduled.json"))
            }
            "/cosmos/upgrade/v1beta1/applied_plan/v2%20%2F%C3%A9" => {
                json(recorded!("cometbft-0.40/rest-applied_plan-applied.json"))
            }
            _ => (StatusCode::BAD_REQUEST, recorded!("cometbft-0.40/rest-height-of-the-future.json")).into_response(),
        })
        .await;
        let rest = rest(&liar);
        let latest = rest.latest().await.unwrap();
        assert_eq!((latest.chain_id.as_str(), latest.height, latest.time), ("local-1", 49, 1_795_386_111_303));
        assert_eq!(latest.node_id.map(|id| id.len()), Some(40));
        assert_eq!(rest.header_time(49).await.unwrap(), latest.time);
        assert!(
            rest.header_time(50).await.unwrap_err().to_string().contains("code 3: requested block height is bigger")
        );
        let answer = rest.current_plan().await.unwrap();
        assert_eq!(
            (answer.height, answer.value.map(|plan| (plan.name, plan.height))),
            (Some(91), Some(("v2".into(), 116)))
        );
        assert_eq!(rest.applied_plan("v2 /é").await.unwrap(), 116);
    }

    /// Nothing was known of such a chain where nobody but its REST could be asked.
    #[tokio::test]
    async fn a_chain_whose_blocks_are_too_large_to_be_read_is_asked_where_it_is() {
        let asked = AtomicUsize::new(0);
        let status = |time| json(format!(r#"{{"earliest_store_height":"0","height":"49","timestamp":"{time}"}}"#));
        let liar = Liar::telling(move |path, _| match path {
            "/cosmos/base/tendermint/v1beta1/blocks/latest" => json(" ".repeat(LARGEST_ANSWER + 1)),
            "/cosmos/base/tendermint/v1beta1/node_info" => json(recorded!("cometbft-0.40/rest-node_info.json")),
            "/cosmos/base/node/v1beta1/status" => match asked.fetch_add(1, Relaxed) {
                0 => StatusCode::NOT_IMPLEMENTED.into_response(),
                1 => status("0001-01-01T00:00:00Z"),
                _ => status("1970-01-01T00:00:07.5Z"),
            },
            _ => StatusCode::NOT_IMPLEMENTED.into_response(),
        })
        .await;
        let rest = rest(&liar);
        for says in ["answers with more than", "its time is \"0001-01-01"] {
            let fault = rest.latest().await.unwrap_err().to_string();
            assert!(fault.contains(says), "{fault}");
        }
        for _ in 0..2 {
            let latest = rest.latest().await.unwrap();
            assert_eq!((latest.chain_id.as_str(), latest.height, latest.time), ("local-1", 49, 7_500));
        }
        assert_eq!(liar.count("/cosmos/base/tendermint/v1beta1/blocks/latest"), 3);
    }

    /// It counted twice from then on, where it was named by its RPC as well.
    #[tokio::test]
    async fn a_node_that_does_not_say_who_it_is_at_first_is_asked_again() {
        let asked = AtomicUsize::new(0);
        let liar = Liar::telling(move |path, _| match path {
            "/cosmos/base/tendermint/v1beta1/blocks/latest" => json(recorded!("cometbft-0.40/rest-blocks-latest.json")),
            "/cosmos/base/tendermint/v1beta1/node_info" => match asked.fetch_add(1, Relaxed) {
                0 => StatusCode::TOO_MANY_REQUESTS.into_response(),
                _ => json(recorded!("cometbft-0.40/rest-node_info.json")),
            },
            _ => StatusCode::NOT_IMPLEMENTED.into_response(),
        })
        .await;
        let rest = rest(&liar);
        for known in [false, true, true] {
            assert_eq!(rest.latest().await.unwrap().node_id.is_some(), known);
        }
        assert_eq!(liar.count("/cosmos/base/tendermint/v1beta1/node_info"), 2);
    }

    #[tokio::test]
    async fn plans_of_other_chains_are_read() {
        for (file, plan) in [
            (recorded!("tendermint-0.34/rest-current_plan-none.json"), None),
            (recorded!("tendermint-0.34/rest-current_plan-scheduled.json"), Some(("v8-Rho", 14_099_412))),
        ] {
            let liar = Liar::telling(move |_, _| json(file)).await;
            let answer = rest(&liar).current_plan().await.unwrap();
            assert_eq!(
                (answer.height, answer.value.as_ref().map(|plan| (plan.name.as_str(), plan.height))),
                (None, plan)
            );
        }
    }

    #[tokio::test]
    async fn a_page_of_millions_of_things_is_passed_over() {
        let bomb = format!(r#"{{"proposals":[{}{{}}],"pagination":{{}}}}"#, r#"{"":0},"#.repeat(1_000_000));
        let liar = Liar::telling(move |_, _| json(bomb.clone())).await;
        let page = rest(&liar).proposals(GovVersion::V1, None, 20, &[]).await.unwrap();
        assert_eq!(page, Page::default());
    }

    #[tokio::test]
    async fn what_is_no_answer_is_named() {
        let no_state = br#"{"code":2,"message":"failed to load state at height 5; no commit info found","details":[]}"#;
        for (status, said, words, unknown) in [
            (500, no_state.as_slice(), "has no state at that height", false),
            (501, recorded!("tendermint-0.34/rest-proposals-v1-missing.json").as_bytes(), "Not Implemented", true),
            (501, recorded!("cometbft-0.40/rest-proposals-v1beta1-missing.json").as_bytes(), "unknown service", true),
            (404, b"404 page not found", "HTTP 404", false),
            (200, b"<html>", "does not answer in the form", false),
            (200, b"{}", "missing field `plan`", false),
            (200, b"", "answers nothing", false),
            (503, b"{\"plan\":null}", "HTTP 503", false),
        ] {
            let liar = Liar::saying(status, said).await;
            let fault = rest(&liar).current_plan().await.unwrap_err();
            assert_eq!(fault.is_unknown(), unknown, "{fault}");
            assert!(fault.to_string().contains(words), "{fault}");
        }
    }
}
