//! The plan that x/upgrade holds, in its two forms: protobuf from `abci_query`, JSON from the REST gateway.

use cosmrs::proto::cosmos::upgrade::v1beta1 as upgrade;
use prost::Message;
use serde::Deserialize;

use super::{Dated, fault::Fault, number::Number, rpc::Rpc};
use crate::decide::plan::Plan;

const CURRENT_PLAN: &str = "/cosmos.upgrade.v1beta1.Query/CurrentPlan";
const APPLIED_PLAN: &str = "/cosmos.upgrade.v1beta1.Query/AppliedPlan";

impl Rpc {
    /// The plan scheduled in x/upgrade.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn current_plan(&self) -> Result<Dated<Option<Plan>>, Fault> {
        let answer: Dated<CurrentPlanAnswer> = self.query(CURRENT_PLAN, &upgrade::QueryCurrentPlanRequest {}).await?;
        Ok(Dated { height: answer.height, value: answer.value.plan.and_then(SlimPlan::into_plan) })
    }

    /// The height at which the plan of this name was applied; 0 for never.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn applied_plan(&self, name: &str) -> Result<u64, Fault> {
        let request = upgrade::QueryAppliedPlanRequest { name: name.to_owned() };
        let answer: Dated<upgrade::QueryAppliedPlanResponse> = self.query(APPLIED_PLAN, &request).await?;
        Ok(u64::try_from(answer.value.height).unwrap_or_default())
    }
}

/// `QueryCurrentPlanResponse`.
#[derive(Clone, PartialEq, Message)]
struct CurrentPlanAnswer {
    #[prost(message, optional, tag = "1")]
    plan: Option<SlimPlan>,
}

/// A plan as protobuf. Its texts are read as bytes: up to SDK 0.47 a chain takes those that are no UTF-8 too.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SlimPlan {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(int64, tag = "3")]
    height: i64,
    #[prost(bytes = "vec", tag = "4")]
    info: Vec<u8>,
}

impl SlimPlan {
    /// The chain refuses heights below 1 since SDK 0.44; a plan by time from before that has height 0.
    pub(super) fn into_plan(self) -> Option<Plan> {
        Some(Plan { height: u64::try_from(self.height).ok()?, name: text(&self.name), info: text(&self.info) })
    }
}

/// As the node writes it into `upgrade-info.json`: for each byte that is no UTF-8 Go puts one replacement character.
fn text(bytes: &[u8]) -> String {
    let chunks = bytes.utf8_chunks();
    chunks.flat_map(|chunk| chunk.valid().chars().chain(chunk.invalid().iter().map(|_| '\u{fffd}'))).collect()
}

/// A plan as the gateway writes it.
#[derive(Debug, Deserialize)]
pub(super) struct JsonPlan {
    name: String,
    #[serde(default)]
    height: Number,
    #[serde(default)]
    info: Option<String>,
}

impl From<JsonPlan> for Plan {
    fn from(plan: JsonPlan) -> Self {
        Self { name: plan.name, height: plan.height.0, info: plan.info.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_whatever_its_texts_and_its_height() {
        let plan = |height, info: &[u8]| SlimPlan { name: b"v2".to_vec(), height, info: info.to_vec() }.into_plan();
        assert_eq!(plan(7, b"a\xff\xe2\x82z").unwrap().info, "a\u{fffd}\u{fffd}\u{fffd}z");
        assert_eq!(plan(i64::MAX, "\u{fc}".as_bytes()).unwrap().height, 9_223_372_036_854_775_807);
        assert_eq!(plan(-1, b""), None);
        for (height, read) in
            [("9007199254740993", 9_007_199_254_740_993), ("\"9007199254740993\"", 9_007_199_254_740_993)]
        {
            let plan: JsonPlan =
                serde_json::from_str(&format!(r#"{{"name":"v2","height":{height},"info":null}}"#)).unwrap();
            assert_eq!(Plan::from(plan).height, read);
        }
    }
}
