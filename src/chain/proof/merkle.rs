//! The way from a plan in the store of x/upgrade to the application's hash in a header: two steps of ICS-23.

use ics23::{
    CommitmentProof, calculate_existence_root, commitment_proof, iavl_spec, tendermint_spec, verify_membership,
    verify_non_membership,
};
use prost::Message as _;

use super::{doubt::Doubt, hashes::Hashes};
use crate::{chain::schedule::SlimPlan, decide::plan::Plan};

/// The name of the store of x/upgrade.
pub(super) const STORE: &str = "upgrade";
/// The key of the plan in it.
pub(super) const KEY: &[u8] = &[0];

/// What an endpoint says is stored there.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    /// The plan as protobuf; empty where there is none.
    pub(super) value: Vec<u8>,
    /// The proof, from the key up to the application's hash.
    pub(super) steps: Vec<Step>,
}

/// One step of a proof.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// How it is to be read: `ics23:iavl`, `ics23:simple`.
    pub(super) kind: String,
    /// The key that it proves.
    pub(super) key: Vec<u8>,
    /// A `CommitmentProof` as protobuf.
    pub(super) data: Vec<u8>,
}

/// The plan, or that there is none, as the application's hash commits to it.
pub(super) fn plan(stored: &Stored, app_hash: &[u8]) -> Result<Option<Plan>, Doubt> {
    let [in_store, of_store] = stored.steps.as_slice() else {
        return Err(wrong(&format!("it has {} steps, and two are needed", stored.steps.len())));
    };
    let in_store = read(in_store, "ics23:iavl", KEY)?;
    let of_store = read(of_store, "ics23:simple", STORE.as_bytes())?;
    let root = root(&in_store)?;
    if !verify_membership::<Hashes>(&of_store, &tendermint_spec(), &app_hash.to_vec(), STORE.as_bytes(), &root) {
        return Err(wrong(&"the store is not in the application's hash"));
    }
    if stored.value.is_empty() {
        let none = verify_non_membership::<Hashes>(&in_store, &iavl_spec(), &root, KEY);
        return if none { Ok(None) } else { Err(wrong(&"that no plan is scheduled does not follow from it")) };
    }
    if !verify_membership::<Hashes>(&in_store, &iavl_spec(), &root, KEY, &stored.value) {
        return Err(wrong(&"the plan is not the one in the store"));
    }
    let plan = SlimPlan::decode(stored.value.as_slice()).map_err(|error| wrong(&format!("its plan: {error}")))?;
    plan.into_plan().map(Some).ok_or_else(|| wrong(&"its plan has a height below 0"))
}

fn read(step: &Step, kind: &str, key: &[u8]) -> Result<CommitmentProof, Doubt> {
    if step.kind != kind {
        return Err(Doubt::Unsupported(format!("a proof of the kind {:.40?}", step.kind)));
    }
    if step.key != key {
        return Err(wrong(&"it is for another key"));
    }
    CommitmentProof::decode(step.data.as_slice()).map_err(|error| wrong(&error))
}

/// The hash of the store, as the proof in it gives it. Whether it is the right one is for the next step to say.
fn root(proof: &CommitmentProof) -> Result<Vec<u8>, Doubt> {
    let existing = match &proof.proof {
        Some(commitment_proof::Proof::Exist(proof)) => Some(proof),
        Some(commitment_proof::Proof::Nonexist(proof)) => proof.left.as_ref().or(proof.right.as_ref()),
        _ => None,
    };
    let existing = existing.ok_or_else(|| wrong(&"it proves neither that a plan is there nor that none is"))?;
    calculate_existence_root::<Hashes>(existing).map_err(|error| wrong(&error))
}

fn wrong(why: &dyn ToString) -> Doubt {
    Doubt::Proof(why.to_string())
}
