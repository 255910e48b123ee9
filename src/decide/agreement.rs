//! How far a scheduled plan can be believed: who says so, and who says otherwise. An endpoint has a say only below the plan's
//! height, because whoever is past it has no plan left.

use ::core::fmt;
use alloc::vec::Vec;

use serde::{Serialize, Serializer};

use super::plan::Plan;

/// How far a plan can be believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Belief {
    /// Somebody says so.
    #[default]
    Claimed,
    /// Enough endpoints say the same, to the letter of the info.
    Agreed {
        /// So many say so.
        said: usize,
        /// Of so many that have a say.
        of: usize,
    },
    /// It was read with a proof against a header that is trusted.
    Proven,
    /// The same, at this height, and not since.
    ProvenAsOf(u64),
}

/// What one endpoint says is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voice<'a> {
    /// The plan; none where it says that nothing is scheduled.
    pub plan: Option<&'a Plan>,
    /// The height from which on it says so; 0 where it was asked only once, and may have said so for long.
    pub since: u64,
    /// The height at which it said so last.
    pub at: u64,
}

/// How the endpoints stand to one plan, by their places among the voices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Count {
    /// Those that say it.
    pub said: Vec<usize>,
    /// How many have a say.
    pub of: usize,
    /// Those that say otherwise for a height at which others say it. One that has only come later, or not so far yet,
    /// contradicts nobody.
    pub against: Vec<usize>,
}

/// Counts who says this plan, and who, having got as far and not past it, does not.
#[must_use]
pub fn count(plan: &Plan, voices: &[Voice<'_>]) -> Count {
    let says = |voice: &&Voice<'_>| voice.plan == Some(plan);
    let mut count = Count::default();
    let Some(first) = voices.iter().filter(says).map(|voice| voice.since).min() else { return count };
    for (place, voice) in voices.iter().enumerate() {
        if says(&voice) {
            count.said.push(place);
        } else if voice.at < first || voice.at >= plan.height {
            continue;
        } else if voices.iter().filter(says).any(|other| voice.since.max(other.since) <= voice.at.min(other.at)) {
            count.against.push(place);
        }
        count.of += 1;
    }
    count
}

/// Whether the same node has said the same at an earlier place: it may be known by several addresses. Its id is only what it
/// says of itself, so one that takes another's and says otherwise is heard as well.
#[must_use]
pub fn repeats(voices: &[(Option<&str>, Voice<'_>)], place: usize) -> bool {
    let (node, voice) = voices[place];
    node.is_some() && voices[..place].iter().any(|(other, earlier)| *other == node && earlier.plan == voice.plan)
}

impl Count {
    /// Agreed are those who are `quorum`, at least two, and more than all others that have a say.
    #[must_use]
    pub fn belief(&self, quorum: usize) -> Belief {
        let (said, of) = (self.said.len(), self.of);
        if said >= quorum.max(2) && 2 * said > of { Belief::Agreed { said, of } } else { Belief::Claimed }
    }
}

impl fmt::Display for Belief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claimed => f.write_str("claimed"),
            Self::Agreed { said, of } => write!(f, "agreed ({said} of {of})"),
            Self::Proven => f.write_str("proven"),
            Self::ProvenAsOf(height) => write!(f, "proven as of height {height}"),
        }
    }
}

impl Serialize for Belief {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec};

    use proptest::prelude::*;

    use super::*;

    fn plan(name: u8, height: u64) -> Plan {
        Plan { name: alloc::format!("v{name}"), height, info: String::new() }
    }

    fn voice(plan: Option<&Plan>, since: u64, at: u64) -> Voice<'_> {
        Voice { plan, since, at }
    }

    #[test]
    fn only_who_got_as_far_and_not_past_the_height_has_a_say() {
        let (p, other) = (plan(2, 100), plan(3, 100));
        let info = Plan { info: "https://evil".into(), ..p.clone() };
        let sayer = voice(Some(&p), 50, 60);
        for (what, more, said, of, against) in [
            ("alone", voice(Some(&p), 55, 55), 2, 2, vec![]),
            ("none, at the same time", voice(None, 1, 55), 1, 2, vec![1]),
            ("another name", voice(Some(&other), 40, 70), 1, 2, vec![1]),
            ("another info", voice(Some(&info), 52, 52), 1, 2, vec![1]),
            ("none, where it was first said", voice(None, 1, 50), 1, 2, vec![1]),
            ("none, before it was scheduled", voice(None, 1, 49), 1, 1, vec![]),
            ("none, since later: it may have been cancelled", voice(None, 61, 62), 1, 2, vec![]),
            ("none, past the height", voice(None, 1, 100), 1, 1, vec![]),
        ] {
            let count = count(&p, &[sayer, more]);
            assert_eq!((count.said.len(), count.of, count.against), (said, of, against), "{what}");
        }
        assert_eq!(count(&p, &[voice(None, 0, 5)]), Count::default());
    }

    #[test]
    fn a_quorum_is_at_least_two_and_more_than_the_rest() {
        for (said, of, quorum, agreed) in [
            (1, 1, 0, false),
            (1, 1, 1, false),
            (2, 2, 1, true),
            (2, 3, 2, true),
            (2, 3, 3, false),
            (2, 4, 2, false),
            (3, 4, 2, true),
            (3, 5, 2, true),
            (3, 6, 2, false),
            (0, 0, 1, false),
        ] {
            let belief = Count { said: (0..said).collect(), of, against: vec![] }.belief(quorum);
            assert_eq!(belief != Belief::Claimed, agreed, "{said} of {of}, {quorum}");
        }
        let words = [Belief::Claimed, Belief::Agreed { said: 2, of: 3 }, Belief::Proven, Belief::ProvenAsOf(7)];
        let words: Vec<_> = words.iter().map(|belief| serde_json::to_value(belief).unwrap()).collect();
        assert_eq!(words, ["claimed", "agreed (2 of 3)", "proven", "proven as of height 7"]);
    }

    fn voices() -> impl Strategy<Value = Vec<(u8, u64, u64)>> {
        proptest::collection::vec((0..4u8, 0..120u64, 0..120u64), 0..9)
    }

    /// Plans for three names; 0 stands for none.
    fn heard<'a>(plans: &'a [Plan], drawn: &[(u8, u64, u64)]) -> Vec<Voice<'a>> {
        let one = |(name, a, b): &(u8, u64, u64)| {
            let plan = usize::from(*name).checked_sub(1).map(|place| &plans[place]);
            // Nobody names a plan that is not ahead of where it reads.
            let most = plan.map_or(u64::MAX, |plan| plan.height - 1);
            voice(plan, *a.min(b).min(&most), *a.max(b).min(&most))
        };
        drawn.iter().map(one).collect()
    }

    fn plans() -> [Plan; 3] {
        [plan(1, 100), plan(2, 100), plan(3, 60)]
    }

    proptest! {
        #[test]
        fn the_order_of_endpoints_does_not_matter(drawn in voices(), turn in 0..9usize) {
            let (plans, mut turned) = (plans(), drawn.clone());
            let turn = turn % turned.len().max(1);
            turned.rotate_left(turn);
            let counts = [drawn, turned].map(|drawn| count(&plans[0], &heard(&plans, &drawn)));
            let [there, turned] = counts.map(|count| (count.said.len(), count.of, count.against.len()));
            prop_assert_eq!(there, turned);
        }

        #[test]
        fn fewer_than_the_quorum_never_agree(drawn in voices(), quorum in 0..6usize) {
            let plans = plans();
            let count = count(&plans[0], &heard(&plans, &drawn));
            if count.belief(quorum) != Belief::Claimed {
                prop_assert!(count.said.len() >= quorum.max(2) && 2 * count.said.len() > count.of);
            }
            prop_assert!(count.said.len() + count.against.len() <= count.of);
        }

        #[test]
        fn whoever_is_past_the_height_changes_nothing(drawn in voices(), past in proptest::collection::vec(100..200u64, 0..9)) {
            let plans = plans();
            let before = heard(&plans, &drawn);
            let mut after = before.clone();
            after.extend(past.iter().map(|at| voice(None, 0, *at)));
            prop_assert_eq!(count(&plans[0], &before), count(&plans[0], &after));
        }

        #[test]
        fn who_says_otherwise_never_makes_it_agreed(drawn in voices(), at in 0..120u64, quorum in 0..6usize) {
            let plans = plans();
            let mut voices = heard(&plans, &drawn);
            let before = count(&plans[0], &voices).belief(quorum);
            voices.push(voice(None, 0, at));
            prop_assert!(before != Belief::Claimed || count(&plans[0], &voices).belief(quorum) == Belief::Claimed);
        }

        #[test]
        fn of_two_plans_at_one_height_at_most_one_is_agreed(drawn in voices(), quorum in 0..6usize) {
            let plans = plans();
            let asked_once: Vec<_> = drawn.iter().map(|(name, _, at)| (*name, 0, *at)).collect();
            let voices = heard(&plans, &asked_once);
            let agreed = |plan| count(plan, &voices).belief(quorum) != Belief::Claimed;
            prop_assert!(!(agreed(&plans[0]) && agreed(&plans[1])));
        }
    }
}
