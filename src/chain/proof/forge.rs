//! A chain that a test makes up: its validators, their signatures and what it stores, answered as CometBFT answers.

use std::{sync::LazyLock, time::Duration};

use axum::response::Response;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use cosmrs::proto::cosmos::upgrade::v1beta1 as upgrade;
use ed25519_consensus::SigningKey;
use ics23::{
    CommitmentProof, ExistenceProof, LeafOp, NonExistenceProof, calculate_existence_root, commitment_proof::Proof,
    iavl_spec, tendermint_spec,
};
use prost::Message as _;
use serde_json::{Value, json};
use tendermint::{
    Hash, PublicKey, Signature, Time, account,
    block::{Commit, CommitSig, Header, Id, header::Version, parts, signed_header::SignedHeader},
    validator::{Info, Set},
    vote::{self, ValidatorIndex, Vote},
};

use super::{
    answers,
    hashes::Hashes,
    light::now,
    merkle::{KEY, STORE, Step, Stored},
    trust::Point,
};
use crate::{chain::liar, decide::plan::Plan};

/// The moment of the newest blocks.
static BORN: LazyLock<Time> = LazyLock::new(now);

/// A validator: what its key is made of, and its power.
pub(super) type Validator = (u8, u64);

/// What happens on the chain at each height.
#[derive(Clone)]
pub(super) struct Forge {
    pub(super) validators: fn(u64) -> Vec<Validator>,
    pub(super) plan: fn(u64) -> Option<Plan>,
    /// The newest height, whose block is of this moment; blocks are a minute apart.
    pub(super) latest: u64,
}

impl Forge {
    pub(super) fn point(&self, height: u64) -> Point {
        Point { height, hash: self.signed(height).header.hash() }
    }

    /// The header at a height, signed by all.
    pub(super) fn signed(&self, height: u64) -> SignedHeader {
        self.signed_by(height, &(self.validators)(height), Hash::Sha256([1; 32]))
    }

    /// The same, with other data in the block and other signers.
    pub(super) fn signed_by(&self, height: u64, signers: &[Validator], data: Hash) -> SignedHeader {
        let hash_at = |height| self.set(height).hash();
        let minutes = |blocks: u64| Duration::from_secs(60 * blocks);
        let (before, after) = (self.latest.saturating_sub(height), height.saturating_sub(self.latest));
        let header = Header {
            version: Version { block: 11, app: 0 },
            chain_id: "forged-1".parse().unwrap(),
            height: height.try_into().unwrap(),
            time: ((*BORN - minutes(before)).unwrap() + minutes(after)).unwrap(),
            last_block_id: None,
            last_commit_hash: None,
            data_hash: Some(data),
            validators_hash: hash_at(height),
            next_validators_hash: hash_at(height + 1),
            consensus_hash: Hash::Sha256([2; 32]),
            app_hash: self.stored(height - 1).1.try_into().unwrap(),
            last_results_hash: None,
            evidence_hash: None,
            proposer_address: account::Id::new([3; 20]),
        };
        let block_id =
            Id { hash: header.hash(), part_set_header: parts::Header::new(1, Hash::Sha256([4; 32])).unwrap() };
        let mut signatures: Vec<_> = signers.iter().map(|signer| signature(&header, block_id, *signer)).collect();
        signatures.resize(signatures.len().max((self.validators)(height).len()), CommitSig::BlockIdFlagAbsent);
        let commit = Commit { height: header.height, round: 0_u16.into(), block_id, signatures };
        SignedHeader::new(header, commit).unwrap()
    }

    pub(super) fn set(&self, height: u64) -> Set {
        answers::set((self.validators)(height).into_iter().map(info).collect()).unwrap()
    }

    /// What is stored at a height, and the application's hash of it.
    pub(super) fn stored(&self, height: u64) -> (Stored, Vec<u8>) {
        let plan = (self.plan)(height);
        // What stands beside the plan in the store: without one, it is the neighbour that proves it.
        let (key, value) = match &plan {
            Some(plan) => (KEY.to_vec(), protobuf(plan)),
            None => (vec![2], vec![u8::try_from(height % 250).unwrap() + 1]),
        };
        // The version of the node in the tree follows height and size.
        let leaf = LeafOp { prefix: vec![0, 2, 2], ..iavl_spec().leaf_spec.unwrap() };
        let existing = ExistenceProof { key, value: value.clone(), leaf: Some(leaf), path: Vec::new() };
        let root = calculate_existence_root::<Hashes>(&existing).unwrap();
        let proof = match plan {
            Some(_) => Proof::Exist(existing),
            None => Proof::Nonexist(NonExistenceProof { key: KEY.to_vec(), left: None, right: Some(existing) }),
        };
        let store = STORE.as_bytes().to_vec();
        let leaf = tendermint_spec().leaf_spec;
        let stored = ExistenceProof { key: store.clone(), value: root, leaf, path: Vec::new() };
        let app_hash = calculate_existence_root::<Hashes>(&stored).unwrap();
        let step = |kind: &str, key: &[u8], proof| Step {
            kind: kind.to_owned(),
            key: key.to_vec(),
            data: CommitmentProof { proof: Some(proof) }.encode_to_vec(),
        };
        let steps = vec![step("ics23:iavl", KEY, proof), step("ics23:simple", &store, Proof::Exist(stored))];
        let value = if (self.plan)(height).is_some() { value } else { Vec::new() };
        (Stored { value, steps }, app_hash)
    }

    /// An answer as an honest node gives it.
    pub(super) fn answer(&self, question: &str, parameters: &Value) -> Value {
        // It speaks by POST alone.
        let Some(height) = parameters["height"].as_str() else { return Value::Null };
        let height = height.parse().unwrap();
        match question {
            "commit" => json!({"signed_header": self.signed(height), "canonical": true}),
            "validators" => {
                let page: usize = parameters["page"].as_str().unwrap().parse().unwrap();
                let all = self.set(height).validators;
                let of = |it: &Info| json!({"address": it.address, "pub_key": it.pub_key, "voting_power": it.power.value().to_string()});
                let shown: Vec<_> = all.iter().skip(100 * (page - 1)).take(100).map(of).collect();
                json!({"block_height": height.to_string(), "validators": shown, "count": shown.len().to_string(), "total": all.len().to_string()})
            }
            "/store/upgrade/key" => stored_json(&self.stored(height).0, height),
            other => panic!("nobody asks for {other}"),
        }
    }
}

/// A result, wrapped as a node does it.
pub(super) fn wrapped(result: &Value) -> Response {
    liar::json(json!({"jsonrpc": "2.0", "id": -1, "result": result}).to_string())
}

pub(super) fn stored_json(stored: &Stored, height: u64) -> Value {
    let text = |bytes: &Vec<u8>| BASE64.encode(bytes);
    let step = |it: &Step| json!({"type": it.kind, "key": text(&it.key), "data": text(&it.data)});
    let ops: Vec<_> = stored.steps.iter().map(step).collect();
    let value = Some(text(&stored.value)).filter(|value| !value.is_empty());
    json!({"response": {"code": 0, "key": "AA==", "value": value, "proofOps": {"ops": ops}, "height": height.to_string()}})
}

pub(super) fn protobuf(plan: &Plan) -> Vec<u8> {
    let height = i64::try_from(plan.height).unwrap();
    let (name, info) = (plan.name.clone(), plan.info.clone());
    upgrade::Plan { name, height, info, ..Default::default() }.encode_to_vec()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from([seed; 32])
}

fn info((seed, power): Validator) -> Info {
    let key = PublicKey::from_raw_ed25519(key(seed).verification_key().as_ref()).unwrap();
    Info::new(key, power.try_into().unwrap())
}

fn signature(header: &Header, block_id: Id, signer: Validator) -> CommitSig {
    let timestamp: Time = header.time;
    let validator_address = info(signer).address;
    let vote = Vote {
        vote_type: vote::Type::Precommit,
        height: header.height,
        round: 0_u16.into(),
        block_id: Some(block_id),
        timestamp: Some(timestamp),
        validator_address,
        validator_index: ValidatorIndex::try_from(0_u32).unwrap(),
        signature: None,
        extension: Vec::new(),
        extension_signature: None,
    };
    let signature: Signature = key(signer.0).sign(&vote.into_signable_vec(header.chain_id.clone())).into();
    CommitSig::BlockIdFlagCommit { validator_address, timestamp, signature: Some(signature) }
}
