//! The parts that answers are made of: status, headers, blocks, in the two spellings that RPC and REST use for the same
//! things. The hashes stand for their blocks and nothing else; nobody can verify a light block against them.

use base64::{Engine, prelude::BASE64_STANDARD};
use cosmrs::AccountId;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Site;
use crate::sim::{chain::Chain, home::address_of};

/// How an interface spells bytes and the header's nested parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Upper-case hex; zero values are left out.
    Rpc,
    /// Base64; zero values are shown.
    Rest,
}

impl Spelling {
    fn bytes(self, bytes: &[u8]) -> String {
        match self {
            Self::Rpc => hex::encode_upper(bytes),
            Self::Rest => BASE64_STANDARD.encode(bytes),
        }
    }

    fn block_id(self, chain: &Chain, height: u64) -> Value {
        let (block, parts) = match height {
            0 => (String::new(), json!({"total": 0, "hash": ""})),
            _ => (
                self.bytes(&hash(chain, "block", height)),
                json!({"total": 1, "hash": self.bytes(&hash(chain, "parts", height))}),
            ),
        };
        match self {
            Self::Rpc => json!({"hash": block, "parts": parts}),
            Self::Rest => json!({"hash": block, "part_set_header": parts}),
        }
    }
}

/// Milliseconds since the Unix epoch, as Go writes a time in JSON.
pub(super) fn time(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(|it| Timestamp::from_millisecond(it).ok());
    time.unwrap_or(Timestamp::MAX).to_string()
}

/// The result of `/status`.
pub(super) fn status(site: &Site) -> Value {
    let chain = site.chain();
    let mut node = node_info(site, &chain);
    node["id"] = json!(hex::encode(address_of(&site.public_key)));
    node["channels"] = json!("40202122233038606100");
    let shown =
        |height: u64| (Spelling::Rpc.bytes(&hash(&chain, "block", height)), time(chain.time(height).unwrap_or(0)));
    let ((latest_hash, latest_time), (earliest_hash, earliest_time)) = (shown(chain.saved), shown(chain.earliest()));
    json!({
        "node_info": node,
        "sync_info": {
            "latest_block_hash": latest_hash, "latest_app_hash": app_hash(&chain, chain.saved, Spelling::Rpc),
            "latest_block_height": chain.saved.to_string(), "latest_block_time": latest_time,
            "earliest_block_hash": earliest_hash, "earliest_app_hash": app_hash(&chain, chain.earliest(), Spelling::Rpc),
            "earliest_block_height": chain.earliest().to_string(), "earliest_block_time": earliest_time,
            "catching_up": false,
        },
        "validator_info": {
            "address": hex::encode_upper(address_of(&site.public_key)),
            "pub_key": {"type": "tendermint/PubKeyEd25519", "value": BASE64_STANDARD.encode(site.public_key)},
            "voting_power": "1000",
        },
    })
}

/// What RPC and REST both say of the node; the id and the channels they spell in ways of their own.
pub(super) fn node_info(site: &Site, chain: &Chain) -> Value {
    json!({
        "protocol_version": {"p2p": "8", "block": "11", "app": "0"},
        "listen_addr": "tcp://127.0.0.1:26656", "network": chain.chain_id, "version": "0.39.0", "moniker": "demo",
        "other": {"tx_index": "on", "rpc_address": format!("tcp://{}", site.addresses.rpc)},
    })
}

/// A block's header; none for a height that is not kept.
pub(super) fn header(site: &Site, chain: &Chain, height: u64, spelling: Spelling) -> Option<Value> {
    let time = time(chain.time(height)?);
    let nothing = spelling.bytes(&Sha256::digest([]));
    let validators = spelling.bytes(&Sha256::digest(site.public_key));
    Some(json!({
        "version": if spelling == Spelling::Rpc { json!({"block": "11"}) } else { json!({"block": "11", "app": "0"}) },
        "chain_id": chain.chain_id, "height": height.to_string(), "time": time,
        "last_block_id": spelling.block_id(chain, height - 1),
        "last_commit_hash": spelling.bytes(&hash(chain, "commit", height - 1)), "data_hash": nothing,
        "validators_hash": validators, "next_validators_hash": validators,
        "consensus_hash": spelling.bytes(&hash(chain, "parameters", 0)), "app_hash": app_hash(chain, height, spelling),
        "last_results_hash": nothing, "evidence_hash": nothing,
        "proposer_address": spelling.bytes(&address_of(&site.public_key)),
    }))
}

/// A block with its id; none for a height that is not kept. REST adds the block once more as `sdk_block`, where the
/// proposer is an address of the application.
pub(super) fn block(site: &Site, chain: &Chain, height: u64, spelling: Spelling) -> Option<Value> {
    let flag = if spelling == Spelling::Rpc { json!(2) } else { json!("BLOCK_ID_FLAG_COMMIT") };
    let signature = json!({
        "block_id_flag": flag, "validator_address": spelling.bytes(&address_of(&site.public_key)),
        "timestamp": time(chain.time(height)?),
        "signature": BASE64_STANDARD.encode([hash(chain, "signature", height), hash(chain, "nonce", height)].concat()),
    });
    let block = json!({
        "header": header(site, chain, height, spelling)?, "data": {"txs": []}, "evidence": {"evidence": []},
        "last_commit": {
            "height": (height - 1).to_string(), "round": 0, "block_id": spelling.block_id(chain, height - 1),
            "signatures": if height > 1 { vec![signature] } else { Vec::new() },
        },
    });
    let mut answer = json!({"block_id": spelling.block_id(chain, height), "block": block});
    if spelling == Spelling::Rest {
        let proposer = AccountId::new("cosmosvalcons", &address_of(&site.public_key)).ok()?;
        answer["sdk_block"] = answer["block"].clone();
        answer["sdk_block"]["header"]["proposer_address"] = json!(proposer.to_string());
    }
    Some(answer)
}

/// The state that the application had before this block, as headers name it.
pub(super) fn app_hash(chain: &Chain, height: u64, spelling: Spelling) -> String {
    spelling.bytes(&hash(chain, "state", height.saturating_sub(1)))
}

fn hash(chain: &Chain, of: &str, height: u64) -> [u8; 32] {
    Sha256::digest(format!("{of} of {} at {height}", chain.chain_id)).into()
}
