//! What was proven to be scheduled, or not to be. A proof needs no trust in who shows it: the newest counts, whosever it is.

use super::{
    agreement::Belief,
    plan::{Plan, Upgrade},
};

/// What was scheduled at a height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The height.
    pub height: u64,
    /// Until then (milliseconds since the Unix epoch) it says what is, and later what was.
    pub until: u64,
    /// The upgrade; none is proven as well.
    pub upgrade: Option<Upgrade>,
}

impl Proven {
    /// Whether it says what is, at this moment.
    #[must_use]
    pub const fn holds(&self, wall: u64) -> bool {
        wall <= self.until
    }

    /// How far this plan can be believed by this proof alone.
    #[must_use]
    pub fn belief(&self, plan: &Plan, wall: u64) -> Option<Belief> {
        let belief = if self.holds(wall) { Belief::Proven } else { Belief::ProvenAsOf(self.height) };
        self.says(plan).then_some(belief)
    }

    /// Whether this plan, which somebody says is scheduled since a height, was not.
    #[must_use]
    pub fn refutes(&self, plan: &Plan, since: u64) -> bool {
        since <= self.height && self.height < plan.height && !self.says(plan)
    }

    fn says(&self, plan: &Plan) -> bool {
        self.upgrade.as_ref().is_some_and(|upgrade| upgrade.plan == *plan)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn a_proof_refutes_only_what_was_said_by_then_for_a_height_beyond_it() {
        let nothing = Proven { height: 50, until: 0, upgrade: None };
        for (since, height, refuted) in [(50, 51, true), (51, 60, false), (0, 50, false), (0, 49, false)] {
            let plan = Plan { name: "v2".into(), height, info: String::new() };
            assert_eq!(nothing.refutes(&plan, since), refuted, "said since {since} for {height}");
        }
    }
}
