//! What proofs are made of, as CometBFT's RPC answers it. Typed reading begins only where signatures are verified: key types
//! that nobody here can verify are named, and hinder nothing else.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use cosmrs::proto::tendermint::v0_38::types as proto;
use serde::Deserialize;
use serde_json::Value;
use tendermint::{
    PublicKey,
    block::signed_header::SignedHeader,
    validator::{Info, Set},
};
use tendermint_rpc::endpoint::{abci_query, commit, validators};

use super::{
    doubt::Doubt,
    merkle::{KEY, STORE, Step, Stored},
};
use crate::chain::{
    fault::{Cause, Fault, refusal},
    number::Number,
    rpc::{Rpc, Wrapped},
};

/// Validators on one page: CometBFT gives no more.
const ON_A_PAGE: u8 = 100;
/// CometBFT allows no more validators.
const MOST_VALIDATORS: usize = 10_000;

impl Rpc {
    /// The header at a height with its signatures.
    pub(super) async fn commit(&self, height: u64) -> Result<SignedHeader, Fault> {
        let question = "a signed header";
        let request = commit::Request { height: height.try_into().ok() };
        let signed = self.ask::<CommitAnswer>(request, question).await?.signed_header;
        if signed.header.height.value() != height {
            return Err(self.misread(question, &format!("it is for height {}", signed.header.height)));
        }
        Ok(signed)
    }

    /// The validators that sign the block at a height.
    pub(super) async fn validators(&self, height: u64) -> Result<Set, Fault> {
        let question = "the validators";
        let mut all: Vec<Info> = Vec::new();
        for page in 1.. {
            let request = validators::Request::new(height.try_into().ok(), Some(page.into()), Some(ON_A_PAGE.into()));
            let answer: ValidatorsAnswer = self.ask(request, question).await?;
            let last = answer.validators.len() < ON_A_PAGE.into();
            for validator in answer.validators {
                let power = validator.voting_power.0.try_into();
                let power = power.map_err(|_| self.misread(question, &"a voting power above 2^63"))?;
                let key = key(validator.pub_key).map_err(|doubt| self.doubted(&doubt))?;
                all.push(Info::new(key, power));
            }
            if last || all.len() as u64 == answer.total.0 {
                break;
            }
            if all.len() > MOST_VALIDATORS {
                return Err(self.misread(question, &format!("more than {MOST_VALIDATORS} validators")));
            }
        }
        set(all).map_err(|doubt| self.doubted(&doubt))
    }

    /// The plan in the store at a height, with its proof.
    pub(super) async fn stored_plan(&self, height: u64) -> Result<Stored, Fault> {
        let question = "the plan with its proof";
        let path = Some(format!("/store/{STORE}/key"));
        let request = abci_query::Request::new(path, KEY, height.try_into().ok(), true);
        let StoredAnswer { code, log, value, proof } =
            self.ask::<Wrapped<StoredAnswer>>(request, question).await?.response;
        if code.0 != 0 {
            let code = i64::try_from(code.0).unwrap_or(i64::MAX);
            return Err(self.door.fault(question, refusal(code, &log)));
        }
        let decoded = |text: Option<String>| {
            BASE64.decode(text.unwrap_or_default()).map_err(|error| self.misread(question, &error))
        };
        let steps = proof
            .unwrap_or_default()
            .ops
            .into_iter()
            .map(|step| Ok(Step { kind: step.kind, key: decoded(step.key)?, data: decoded(step.data)? }));
        Ok(Stored { steps: steps.collect::<Result<_, Fault>>()?, value: decoded(value)? })
    }

    /// The fault of an endpoint whose word is doubted.
    pub(super) fn doubted(&self, doubt: &Doubt) -> Fault {
        self.door.fault("a proof", Cause::Unproven(doubt.to_string()))
    }

    fn misread(&self, question: &str, reason: &dyn ToString) -> Fault {
        self.door.fault(question, Cause::Unreadable { reason: reason.to_string(), said: "JSON".into() })
    }
}

/// A set of validators. Those whose powers overflow are refused here: the constructor panics on them.
pub(super) fn set(validators: Vec<Info>) -> Result<Set, Doubt> {
    let validators = validators.into_iter().map(Into::into).collect();
    let raw = proto::ValidatorSet { validators, proposer: None, total_voting_power: 0 };
    Set::try_from(raw).map_err(|error| Doubt::Header(format!("its validators: {error}")))
}

fn key(json: Value) -> Result<PublicKey, Doubt> {
    let kind = json.get("type").and_then(Value::as_str).unwrap_or("without a type").to_owned();
    serde_json::from_value(json).map_err(|_| Doubt::Unsupported(format!("a validator's key {kind:.60?}")))
}

#[derive(Deserialize)]
struct CommitAnswer {
    signed_header: SignedHeader,
}

#[derive(Deserialize)]
struct ValidatorsAnswer {
    validators: Vec<Validator>,
    #[serde(default)]
    total: Number,
}

/// The address is left out: it follows from the key, which the header commits to.
#[derive(Deserialize)]
struct Validator {
    pub_key: Value,
    voting_power: Number,
}

#[derive(Deserialize)]
struct StoredAnswer {
    #[serde(default)]
    code: Number,
    #[serde(default)]
    log: String,
    value: Option<String>,
    #[serde(rename = "proofOps", alias = "proof_ops")]
    proof: Option<ProofAnswer>,
}

#[derive(Default, Deserialize)]
struct ProofAnswer {
    ops: Vec<StepAnswer>,
}

#[derive(Deserialize)]
struct StepAnswer {
    #[serde(rename = "type")]
    kind: String,
    key: Option<String>,
    data: Option<String>,
}
