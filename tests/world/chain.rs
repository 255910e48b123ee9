//! The chain as the network sees it: heights, what was scheduled at each of them, and what was applied. Version `n` of the
//! binary has the handlers of the first `n` upgrades; every name ends in its upgrade's number.

use watcher::decide::plan::{Artifact, Asks, Folder, Plan, Upgrade};

use super::history::Wanted;

/// The network's chain.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The last block that the network decided.
    pub height: u64,
    /// Upgrades in the order in which they were applied.
    pub applied: Vec<Plan>,
    /// How often governance decided.
    pub decided: usize,
    /// From which height on what was scheduled.
    log: Vec<(u64, Option<Plan>)>,
}

impl Chain {
    pub fn new() -> Self {
        Self { height: 10, applied: Vec::new(), decided: 0, log: Vec::new() }
    }

    /// What is scheduled after this block.
    pub fn scheduled_at(&self, height: u64) -> Option<&Plan> {
        self.log.iter().rev().find(|(from, _)| *from <= height)?.1.as_ref()
    }

    pub fn scheduled(&self) -> Option<&Plan> {
        self.scheduled_at(self.height)
    }

    /// The plan that takes effect in this block.
    pub fn due_at(&self, height: u64) -> Option<&Plan> {
        self.scheduled_at(height.checked_sub(1)?).filter(|plan| plan.height == height)
    }

    /// The version that executes this block.
    pub fn version_at(&self, height: u64) -> usize {
        let pending = usize::from(height > self.height && self.due_at(height).is_some());
        self.applied.iter().filter(|plan| plan.height <= height).count() + pending
    }

    /// One more block.
    pub fn grow(&mut self) {
        self.height += 1;
        if let Some(plan) = self.due_at(self.height).cloned() {
            self.applied.push(plan);
            self.log.push((self.height, None));
        }
    }

    /// Governance changes its mind in the next block. What is due in it cannot be changed any more.
    pub fn schedule(&mut self, plan: Option<Plan>) {
        let changes = self.scheduled() != plan.as_ref() && self.due_at(self.height + 1).is_none();
        if changes && plan.as_ref().is_none_or(|plan| plan.height > self.height + 1) {
            self.log.push((self.height, plan));
            self.decided += 1;
        }
    }

    /// The next upgrade, so many blocks ahead.
    pub fn next_plan(&self, ahead: u8, wanted: Wanted) -> Plan {
        let number = self.applied.len() + 1;
        let info = match wanted {
            Wanted::A => format!("https://host/a{number}"),
            Wanted::B => format!("https://host/b{number}"),
            Wanted::Document => format!("document https://host/d{number}"),
            Wanted::Nothing => String::new(),
            Wanted::Unusable => "unusable".to_owned(),
        };
        Plan { name: format!("V{number}"), height: self.height + 2 + u64::from(ahead), info }
    }
}

/// What this machine makes of a plan, as the shell would.
pub fn upgrade(plan: &Plan) -> Upgrade {
    let reason = "prose".to_owned();
    let asks = match plan.info.as_str() {
        "" => Asks::Nothing { reason },
        "unusable" => Asks::Unusable { reason },
        info if info.starts_with("document") => Asks::Document { url: info.to_owned() },
        info => Asks::Artifact(artifact(info)),
    };
    Upgrade { plan: plan.clone(), folder: folder(&plan.name), asks }
}

pub fn artifact(url: &str) -> Artifact {
    Artifact { os_arch: "linux/amd64".to_owned(), url: url.to_owned(), checksum: Some(format!("sha256:{url}")) }
}

pub fn folder(name: &str) -> Folder {
    Folder::of(name, false).expect("names of this world are folders")
}

/// Which version a name is about.
pub fn number(name: &str) -> usize {
    name.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().expect("names end in a number")
}
