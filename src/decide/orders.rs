//! What the operator wants beyond what the chain asks for: standing orders, each a file in the home that outlives every
//! restart, sampled like all facts.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use super::{
    facts::Version,
    plan::{Folder, Plan},
};

/// All that are given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// Upgrades that are not to be swapped in.
    pub holds: Vec<Hold>,
    /// An upgrade nobody voted on, before whose height the old binary is to stop.
    pub exact: Option<Exact>,
    /// A binary that is to take the place of one under the same name.
    pub replacement: Option<Replacement>,
    /// What is to become of an upgrade that failed.
    pub ruling: Option<Ruling>,
    /// Upgrades that the operator named ahead, by height (`add-batch-upgrade`).
    pub queue: Vec<Plan>,
    /// Why an order cannot be read, where one cannot.
    pub unreadable: Option<String>,
}

/// The operator's brake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The upgrade's folder; none: every upgrade.
    pub folder: Option<Folder>,
    /// Why, in the operator's words.
    #[serde(default)]
    pub reason: String,
}

impl Hold {
    /// The word for every upgrade.
    pub const ALL: &str = "all";

    /// What it is called where it is put on and taken off.
    #[must_use]
    pub fn name(&self) -> &str {
        self.folder.as_ref().map_or(Self::ALL, Folder::as_str)
    }
}

/// `add-upgrade --upgrade-height N --exact`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exact {
    /// The upgrade's name.
    pub name: String,
    /// Its folder.
    pub folder: Folder,
    /// The first height that the new binary executes.
    pub height: u64,
    /// The old binary executed that height all the same: nothing is swapped by itself any more.
    #[serde(default)]
    pub missed: bool,
}

/// `watcher replace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// Which version's binary is replaced.
    pub version: Version,
    /// At which height; none: now.
    #[serde(default)]
    pub at: Option<u64>,
}

/// The operator's word on an upgrade that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// `watcher resume`: go on with it as it is.
    Resume,
    /// `watcher rollback`: take it back.
    Rollback,
}

impl Exact {
    /// As it is written into `upgrade-info.json`.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan { name: self.name.clone(), height: self.height, info: String::new() }
    }
}

impl Orders {
    /// Whether a plan is written into `upgrade-info.json` anew once its place is free there.
    #[must_use]
    pub fn names(&self, plan: &Plan) -> bool {
        self.queue.iter().any(|queued| queued.is_alike(plan))
            || self.exact.as_ref().is_some_and(|exact| !exact.missed && exact.plan().is_alike(plan))
    }

    /// The brake that is on for an upgrade, if any.
    #[must_use]
    pub fn hold(&self, folder: &Folder) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.folder.as_ref().is_none_or(|held| held == folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brake_is_for_one_upgrade_or_for_all() {
        let [v2, v3] = ["v2", "v3"].map(|name| Folder::of(name, false).unwrap());
        let held = |folder: Option<&Folder>| {
            let hold = Hold { folder: folder.cloned(), reason: String::new() };
            let orders = Orders { holds: [hold].into(), ..Orders::default() };
            [&v2, &v3].map(|folder| orders.hold(folder).is_some())
        };
        assert_eq!([Some(&v2), Some(&v3), None].map(held), [[true, false], [false, true], [true, true]]);
        assert_eq!(Orders::default().hold(&v2), None);
    }

    #[test]
    fn what_is_in_the_queue_or_exact_and_not_missed_is_named_by_its_name_and_height() {
        let plan = |name: &str, height| Plan { name: name.into(), height, info: String::new() };
        let exact = |missed| Exact { name: "v3".into(), folder: Folder::of("v3", false).unwrap(), height: 7, missed };
        let orders = |missed| Orders { queue: [plan("v2", 5)].into(), exact: Some(exact(missed)), ..Orders::default() };
        for (name, height, missed, named) in [
            ("v2", 5, false, true),
            ("v2", 6, false, false),
            ("v9", 5, false, false),
            ("v3", 7, false, true),
            ("v3", 8, false, false),
            ("v3", 7, true, false),
        ] {
            assert_eq!(orders(missed).names(&plan(name, height)), named, "{name} at {height}, missed: {missed}");
        }
    }
}
