//! What can be seen from outside: the chain by its own RPC and REST, the home by its files. The story is told from this
//! alone.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use reqwest::Client;
use serde_json::Value;

use crate::{
    decide::plan::{Folder, Plan},
    home::Home,
    http::own_node_client,
    sim::home::Addresses,
};

/// How long the node may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Somebody who looks at a node.
pub(super) struct Eyes {
    pub(super) home: Home,
    pub(super) plan: Plan,
    addresses: Addresses,
    client: Client,
}

impl Eyes {
    pub(super) fn new(home: Home, addresses: Addresses, plan: Plan) -> anyhow::Result<Self> {
        Ok(Self { home, addresses, plan, client: own_node_client(ANSWER_LIMIT)? })
    }

    /// The version of the node that answers, and the height it has committed.
    pub(super) async fn committed(&self) -> Option<(String, u64)> {
        let answer = self.get(&format!("http://{}/abci_info", self.addresses.rpc)).await?;
        let response = &answer["result"]["response"];
        Some((response["version"].as_str()?.into(), number(&response["last_block_height"])?))
    }

    /// The first proposal that is voted on.
    pub(super) async fn voting(&self) -> Option<Value> {
        let path = "cosmos/gov/v1/proposals?proposal_status=PROPOSAL_STATUS_VOTING_PERIOD";
        let answer = self.get(&format!("http://{}/{path}", self.addresses.rest)).await?;
        answer["proposals"].get(0).cloned()
    }

    /// The height of the scheduled plan, and where the chain is.
    pub(super) async fn scheduled(&self) -> Option<(u64, u64)> {
        let answer = self.get(&format!("http://{}/cosmos/upgrade/v1beta1/current_plan", self.addresses.rest)).await?;
        Some((number(&answer["plan"]["height"])?, self.committed().await?.1))
    }

    /// The size of the staged binary, once it is in its place, and where the chain is.
    pub(super) async fn staged(&self) -> Option<(u64, u64)> {
        let folder = Folder::of(&self.plan.name, self.home.keep_case).ok()?;
        let found = fs::metadata(self.home.executable(&self.home.upgrade(&folder))).ok()?;
        Some((found.len(), self.committed().await?.1))
    }

    /// When the node wrote upgrade-info.json.
    pub(super) fn halted(&self) -> Option<Duration> {
        let found = fs::metadata(self.home.upgrade_info()).ok().filter(|found| found.len() > 0)?;
        since_epoch(found.modified().ok()?)
    }

    /// When the node that runs now began; it says so in its lock.
    pub(super) fn began(&self) -> Option<Duration> {
        let lock = fs::read_to_string(self.home.data().join("application.db/LOCK")).ok()?;
        lock.parse().ok().map(Duration::from_micros)
    }

    async fn get(&self, url: &str) -> Option<Value> {
        let answer = self.client.get(url).send().await.ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }
}

fn number(text: &Value) -> Option<u64> {
    text.as_str()?.parse().ok()
}

fn since_epoch(time: SystemTime) -> Option<Duration> {
    time.duration_since(UNIX_EPOCH).ok()
}
