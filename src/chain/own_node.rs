//! The own node: where it listens, who it is, and how high it is. What it says moves binaries, so an answer counts only
//! if it comes from the node whose key lies in this home; another node may have its port.

mod addresses;
mod identity;

use std::{path::PathBuf, time::Duration};

use reqwest::Client;
use serde_json::Value;
use url::Url;

pub use self::{
    addresses::{own_genesis, own_rest_address, own_rpc_address, own_setting},
    identity::{chain_id, node_id},
};
use super::{
    Latest,
    fault::{Cause, Fault},
    number::Number,
    rest::Rest,
    rpc::Rpc,
};
use crate::{decide::event::NodeAnswer, http};

/// Asks the node of a home for its heights.
#[derive(Debug, Clone)]
pub struct OwnNode {
    rpc: Rpc,
    home: PathBuf,
}

impl OwnNode {
    /// The node of `home`, whose RPC is at `address`; one answer may take `limit`.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(address: Url, home: PathBuf, limit: Duration) -> reqwest::Result<Self> {
        Ok(Self::with_client(http::own_node_client(limit)?, address, home, limit))
    }

    pub(super) fn with_client(client: Client, address: Url, home: PathBuf, limit: Duration) -> Self {
        let label = format!("the own node at {}", crate::http::secrets::endpoint(&address));
        Self { rpc: Rpc::new(client, address, label, limit), home }
    }

    /// What the node says of itself. A node that does not answer, or is not this home's, says nothing.
    pub async fn ask(&self) -> NodeAnswer {
        match self.status().await {
            Ok(latest) => NodeAnswer { latest: Some(latest.height), committed: self.rpc.abci_info().await.ok() },
            Err(_) => NodeAnswer::default(),
        }
    }

    /// `/status`, believed only from this home's node.
    ///
    /// # Errors
    /// [`Fault`] where nothing answers, or another node does; without `config/node_key.json` nobody is believed.
    pub async fn status(&self) -> Result<Latest, Fault> {
        let latest = self.rpc.status().await?;
        // Read each time: a home may be made, or its key replaced, while `watcher` runs.
        let expected = node_id(&self.home);
        if expected.is_some() && expected == latest.node_id {
            return Ok(latest);
        }
        let or_none = |id: Option<String>| id.unwrap_or_else(|| String::from("none"));
        let cause = Cause::OtherNode { expected: or_none(expected), found: or_none(latest.node_id) };
        Err(self.rpc.door.fault("status", cause))
    }

    /// Whether it is this home's node whose gateway answers.
    pub(super) async fn is_behind(&self, gateway: &Rest) -> bool {
        let expected = node_id(&self.home);
        expected.is_some() && gateway.told_id().await.ok() == expected
    }

    pub(super) fn rpc(&self) -> &Rpc {
        &self.rpc
    }
}

/// The latest height in what `<binary> status` printed: on stdout since SDK 0.50, on stderr before, `sync_info` or
/// `SyncInfo`, after whatever lines stand before it. None where there is no such answer, or where it names another node
/// than `node_id`; one that names no node is taken as the own one's, because the command asked at the home's address.
#[must_use]
pub fn parse_status_command(stdout: &[u8], stderr: &[u8], node_id: Option<&str>) -> Option<u64> {
    [stdout, stderr].into_iter().flat_map(objects).find_map(|status| {
        let status = status.get("result").unwrap_or(&status);
        let field = |names: [&str; 2]| names.iter().find_map(|name| status.get(*name));
        let sync = field(["sync_info", "SyncInfo"])?;
        let height: Number = serde::Deserialize::deserialize(sync.get("latest_block_height")?).ok()?;
        let id = field(["node_info", "NodeInfo"]).and_then(|node| node.get("id")?.as_str()).filter(|id| !id.is_empty());
        let same = id.zip(node_id).is_none_or(|(found, expected)| found.eq_ignore_ascii_case(expected));
        same.then_some(height.0)
    })
}

/// The JSON objects that begin at the beginning of a line, at most as many as a talkative program prints in good faith.
fn objects(output: &[u8]) -> impl Iterator<Item = Value> + '_ {
    const MOST_TRIED: usize = 64;
    const MOST_READ: usize = 1 << 20;
    let output = &output[..output.len().min(MOST_READ)];
    let lines = output.iter().enumerate().filter(|(at, byte)| **byte == b'{' && starts_line(&output[..*at]));
    lines
        .take(MOST_TRIED)
        .filter_map(|(at, _)| serde_json::Deserializer::from_slice(&output[at..]).into_iter().next()?.ok())
}

fn starts_line(before: &[u8]) -> bool {
    matches!(before.iter().rev().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r')), None | Some(b'\n'))
}

#[cfg(test)]
mod tests {
    use super::{
        super::liar::{ID, Liar, NODE_KEY, node},
        *,
    };

    #[tokio::test]
    async fn only_the_node_of_this_home_is_believed() {
        let liar = Liar::telling(|question, _| node(question, "local-1", 7, "")).await;
        let home = tempfile::tempdir().unwrap();
        let own = OwnNode::new(liar.url.clone(), home.path().to_owned(), Duration::from_secs(5)).unwrap();
        assert_eq!(own.ask().await, NodeAnswer::default());
        std::fs::create_dir(home.path().join("config")).unwrap();
        std::fs::write(home.path().join("config/node_key.json"), NODE_KEY).unwrap();
        assert_eq!(own.ask().await, NodeAnswer { latest: Some(7), committed: Some(7) });
        std::fs::write(home.path().join("config/node_key.json"), NODE_KEY.replace("LFJrx", "LFJrX")).unwrap();
        assert_eq!(own.ask().await, NodeAnswer::default());
        let fault = own.status().await.unwrap_err().to_string();
        assert!(fault.contains(ID) && fault.contains("node_key.json"), "{fault}");
    }

    #[test]
    fn the_status_command_is_read_in_all_its_forms() {
        let recorded = include_str!("../../fixtures/answers/cometbft-0.40/status-command.stdout");
        assert_eq!(parse_status_command(recorded.as_bytes(), b"", Some(ID)), Some(91));
        assert_eq!(parse_status_command(b"", recorded.as_bytes(), None), Some(91));
        assert_eq!(parse_status_command(recorded.as_bytes(), b"", Some("00")), None);
        let halted = include_str!("../../fixtures/answers/cometbft-0.40/status-halted.json");
        assert_eq!(parse_status_command(halted.as_bytes(), b"", Some(ID)), Some(116));
        for (output, height) in [
            (r#"{"SyncInfo":{"latest_block_height":"7"}}"#, Some(7)),
            (r#"{"NodeInfo":{"id":"ab"},"SyncInfo":{"latest_block_height":7}}"#, None),
            (r#"{"NodeInfo":{"id":""},"SyncInfo":{"latest_block_height":7}}"#, Some(7)),
            (
                "WARN {odd}\n{\"level\":\"info\"}\n{ broken\n {\n \"sync_info\": {\"latest_block_height\": \"8\"}\n}\nbye",
                Some(8),
            ),
            ("Error: post failed: connection refused", None),
            (r#"{"sync_info":{"latest_block_height":"-1"}}"#, None),
            ("", None),
        ] {
            assert_eq!(parse_status_command(output.as_bytes(), b"", Some(ID)), height, "{output}");
        }
    }
}
