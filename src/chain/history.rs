//! Which upgrades the chain has gone through: the plans of passed proposals that x/upgrade says were applied. A node that
//! starts from genesis has all of them before it.

use std::collections::BTreeMap;

use super::{
    endpoints::{Clients, Endpoint},
    fault::Fault,
    proposals::Reader,
    survey::{NoAnswer, PROPOSED, reach},
};
use crate::decide::{event::Action, plan::Plan};

/// The question for what was applied.
const APPLIED: &str = "applied";

/// What the chain has gone through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The chain's id.
    pub chain_id: String,
    /// The height up to which this is known.
    pub height: u64,
    /// Whether whoever told that height is still catching up with the chain: then later upgrades are missing.
    pub catching_up: bool,
    /// Who told of the proposals, as messages call it.
    pub endpoint: String,
    /// The plans that were applied, by height.
    pub plans: Vec<Plan>,
    /// What was not answered, or not so that it can be understood.
    pub problems: Vec<Fault>,
    /// A fault for each proposal that could not be read: an upgrade may be missing here.
    pub unread: Vec<Fault>,
}

/// Asks the endpoints, in the order of their heights, until each question is answered.
///
/// # Errors
/// [`NoAnswer`] where not one tells of the passed proposals.
pub async fn history(endpoints: &[Endpoint], clients: &Clients) -> Result<History, NoAnswer> {
    let (reached, mut faults) = reach(endpoints, clients).await?;
    let latest = reached[0].latest.clone();
    let passed = faults.first(&reached, PROPOSED, async |at| {
        let (proposals, unread) = Reader::default().passed(&at.source).await?;
        Ok((at.endpoint.label.clone(), proposals, unread))
    });
    let Some((endpoint, proposals, unread)) = passed.await else { return Err(NoAnswer { problems: faults.problems }) };
    let mut named: BTreeMap<String, Vec<Plan>> = BTreeMap::new();
    for action in proposals.into_iter().flat_map(|proposal| proposal.actions) {
        if let Action::Schedule(plan) = action {
            named.entry(plan.name.clone()).or_default().push(plan);
        }
    }
    let mut plans = Vec::new();
    for (name, proposed) in named {
        let applied = faults.first(&reached, APPLIED, async |at| at.source.applied_plan(&name).await).await;
        plans.extend(which_was_applied(proposed, applied, latest.height));
    }
    plans.sort_by_key(|plan| plan.height);
    let (chain_id, height, catching_up) = (latest.chain_id, latest.height, latest.catching_up);
    Ok(History { chain_id, height, catching_up, endpoint, plans, problems: faults.problems, unread })
}

/// The one of the plans of a name, newest first, that was `applied` at that height (0 for never). Where nobody can tell, the
/// newest whose height the chain, at `height`, has behind it.
fn which_was_applied(proposed: Vec<Plan>, applied: Option<u64>, height: u64) -> Option<Plan> {
    match applied {
        Some(0) => None,
        Some(applied) => {
            let exact = proposed.iter().position(|plan| plan.height == applied).unwrap_or_default();
            proposed.into_iter().nth(exact).map(|plan| Plan { height: applied, ..plan })
        }
        None => proposed.into_iter().find(|plan| plan.height <= height),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{
        endpoints::list,
        liar::{Liar, json},
    };

    fn plan(height: u64, info: &str) -> Plan {
        Plan { name: "v2".into(), height, info: info.into() }
    }

    #[test]
    fn of_several_plans_of_a_name_the_one_that_was_applied_counts() {
        let proposed = || vec![plan(300, "cancelled"), plan(200, "mended"), plan(200, "broken"), plan(100, "missed")];
        for (applied, height, expected) in [
            (Some(200), 1000, Some(plan(200, "mended"))),
            (Some(250), 1000, Some(plan(250, "cancelled"))),
            (Some(0), 1000, None),
            (None, 250, Some(plan(200, "mended"))),
            (None, 50, None),
        ] {
            assert_eq!(which_was_applied(proposed(), applied, height), expected, "{applied:?} at {height}");
        }
    }

    #[tokio::test]
    async fn all_pages_are_read_and_another_endpoint_helps_out() {
        let page = |id: u64, name: &str, height: u64, next: &str| {
            json(format!(
                r#"{{"proposals":[{{"id":"{id}","status":3,"messages":[{{"@type":"/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade",
                "plan":{{"name":"{name}","height":"{height}"}}}}]}}],"pagination":{{"next_key":"{next}"}}}}"#
            ))
        };
        let block = |height: u64| {
            json(format!(
                r#"{{"block":{{"header":{{"chain_id":"c-1","height":"{height}","time":"2020-01-01T00:00:00Z"}}}}}}"#
            ))
        };
        let furthest = Liar::telling(move |question, _| match question {
            _ if question.ends_with("/blocks/latest") => block(900),
            _ => json(r#"{"code":2,"message":"failed to load state at height 900"}"#),
        })
        .await;
        let helpful = Liar::telling(move |question, _| match question {
            _ if question.ends_with("/blocks/latest") => block(899),
            _ if question.ends_with("/applied_plan/v2") => json(r#"{"height":"200"}"#),
            _ if question.ends_with("/applied_plan/v3") => json(r#"{"height":"0"}"#),
            _ if question.ends_with("/applied_plan/v1") => json(r#"{"height":"100"}"#),
            _ if question.contains("key=AAAA") => page(2, "v2", 200, "CCCC"),
            _ if question.contains("key=CCCC") => page(1, "v1", 100, ""),
            _ => page(3, "v3", 2000, "AAAA"),
        })
        .await;
        let endpoints = list(None, &[], &[&helpful, &furthest].map(|liar| liar.url.to_string())).unwrap();
        let history = history(&endpoints, &Clients::new().unwrap()).await.unwrap();
        assert_eq!((history.height, history.endpoint.as_str()), (900, endpoints[0].label.as_str()));
        let plans: Vec<_> = history.plans.iter().map(|plan| (plan.name.as_str(), plan.height)).collect();
        assert_eq!(plans, [("v1", 100), ("v2", 200)]);
        assert!(history.problems.iter().any(|fault| fault.to_string().contains("no state")), "{:?}", history.problems);
    }
}
