//! The plan that x/upgrade holds, in its two forms: protobuf from `abci_query`, JSON from the REST gateway.

use cosmrs::proto::cosmos::upgrade::v1beta1 as upgrade;
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
        let answer: Dated<upgrade::QueryCurrentPlanResponse> =
            self.query(CURRENT_PLAN, &upgrade::QueryCurrentPlanRequest {}).await?;
        Ok(Dated { height: answer.height, value: answer.value.plan.and_then(from_protobuf) })
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

/// A plan as protobuf. The chain refuses heights below 1 since SDK 0.44; a plan by time from before that has height 0.
pub(super) fn from_protobuf(plan: upgrade::Plan) -> Option<Plan> {
    Some(Plan { height: u64::try_from(plan.height).ok()?, name: plan.name, info: plan.info })
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
