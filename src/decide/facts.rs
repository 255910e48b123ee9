//! What is true of the home right now: sampled from the disk before every decision, never remembered.

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use super::{
    orders::Orders,
    plan::{Artifact, Asks, Folder, Plan, Upgrade},
};

/// Everything the disk shows that a decision may rest on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The node's `data/upgrade-info.json`.
    pub info: Info,
    /// Where `cosmovisor/current` points.
    pub current: Current,
    /// The marker beside the current binary, `current/upgrade-info.json`.
    pub marker: Option<Marker>,
    /// What lies under `cosmovisor/upgrades/`, for the folders that matter now.
    pub staged: BTreeMap<Folder, Staged>,
    /// Verified artifacts in the store, not necessarily placed.
    pub stored: Vec<Receipt>,
    /// The backup for the plan in `info`.
    pub backup: Backup,
    /// Whether a restore for the failure in the record has begun to change what is there: it can only be completed.
    #[serde(default)]
    pub restoring: bool,
    /// Who holds the node's lock.
    pub lock: NodeLock,
    /// The small file that keeps what the disk does not show by itself.
    pub record: RecordFact,
    /// The height in `priv_validator_state.json`: the last height that this validator signed.
    pub signed_height: Option<u64>,
    /// Why nobody knows what the validator signed last, so that no backup is brought back.
    pub signer_unknown: Option<String>,
    /// Why the backup could not be brought back: something that would make room for it cannot be moved.
    pub obstacle: Option<String>,
    /// The binary of an upgrade that failed, as it is now; none where there is none, or nothing failed.
    pub failed_file: Option<Fingerprint>,
    /// Which data these are; none where there is no application state yet.
    pub data: Option<DataIdentity>,
    /// What the operator wants beyond what the chain asks for.
    pub orders: Orders,
}

/// Which data a home holds: a folder that was replaced has another identity, one in which the node works keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataIdentity {
    /// What a btrfs of `data/` calls itself: of a snapshot nothing else differs, and unlike its device number it lasts. 0 on others.
    #[serde(default)]
    pub filesystem: u64,
    /// Inode number of `data/`.
    pub folder: u64,
    /// Inode number of `data/application.db`.
    pub state: u64,
    /// When `data/application.db` was made, nanoseconds since the Unix epoch; 0 where its filesystem does not say.
    #[serde(default)]
    pub born: u64,
}

/// The state of `data/upgrade-info.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Info {
    /// There is no such file.
    #[default]
    Absent,
    /// There is something that cannot be understood, perhaps half written: x/upgrade truncates before it writes.
    Unreadable {
        /// What is wrong with it, for people.
        reason: String,
        /// Which bytes these are.
        fingerprint: Fingerprint,
    },
    /// A plan.
    Plan {
        /// The plan and what this machine makes of it.
        upgrade: Upgrade,
        /// Which bytes these are: a rewrite of the same plan has another fingerprint.
        fingerprint: Fingerprint,
        /// Who wrote it.
        origin: Origin,
    },
}

/// Who wrote `data/upgrade-info.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The node, at the halt.
    Node,
    /// An operator, perhaps for a future height: `add-upgrade --upgrade-height`.
    Operator,
}

/// Identity of a file's content without reading it. It is written down, and names no device: btrfs, overlays and NFS have others
/// after each boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the Unix epoch.
    pub modified: i64,
}

/// Where `cosmovisor/current` points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Current {
    /// There is no link.
    #[default]
    Absent,
    /// It leads to a folder with an executable in it.
    Version(Version),
    /// It is there, and cannot be used.
    Broken {
        /// What is wrong with it, for people.
        reason: String,
    },
}

impl Current {
    /// Whether it leads to this upgrade's binary.
    #[must_use]
    pub fn is(&self, folder: &Folder) -> bool {
        matches!(self, Self::Version(Version::Upgrade(its)) if its == folder)
    }
}

/// One version of the node's binary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// `cosmovisor/genesis`.
    Genesis,
    /// `cosmovisor/upgrades/<folder>`.
    Upgrade(Folder),
    /// A folder elsewhere that the operator linked.
    Elsewhere(String),
}

/// The marker that the switch writes beside the binary: which plan brought it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The plan's name, lower-cased unless recasing is off.
    pub name: String,
    /// The plan's height.
    pub height: u64,
}

/// What is at `upgrades/<folder>/bin/<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Staged {
    /// No executable.
    #[default]
    None,
    /// A file without our receipt that was written to a moment ago: somebody may still be copying it.
    Arriving,
    /// An executable without our receipt: the operator's own. It wins over every download.
    Operator,
    /// An executable with our receipt, and the file is the one the receipt was written for.
    Ours(Receipt),
    /// An executable with our receipt, but the file has changed since: it must be hashed to know whose it is.
    Suspect(Receipt),
}

/// What was fetched, from where, and what it was when it was verified. Kept beside each placed binary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The plan it was fetched for.
    pub plan: Plan,
    /// The artifact as the plan named it.
    pub artifact: Artifact,
    /// SHA-256 of the downloaded file, lower-case hex.
    pub download_sha256: String,
    /// SHA-256 of the executable, lower-case hex; the name of its folder in the store.
    pub sha256: String,
    /// The executable as it lay on disk after it was verified.
    pub file: Fingerprint,
    /// When it was verified, RFC 3339.
    pub verified_at: String,
    /// The endpoint that told of the plan.
    pub endpoint: String,
    /// The chain has applied the plan: to a node that is still behind it nothing withdraws it.
    #[serde(default, skip_serializing_if = "::core::ops::Not::not")]
    pub applied: bool,
}

impl Receipt {
    /// Whether this artifact is what a plan asks for. A plan without info matches any; a plan whose info is the URL of
    /// a document matches what was fetched for the same URL.
    #[must_use]
    pub fn satisfies(&self, upgrade: &Upgrade) -> bool {
        match &upgrade.asks {
            Asks::Nothing { .. } => self.plan.name == upgrade.plan.name,
            Asks::Document { .. } => self.plan.info.trim() == upgrade.plan.info.trim(),
            Asks::Artifact(artifact) => self.artifact == *artifact,
            Asks::Unusable { .. } => false,
        }
    }
}

#[cfg(test)]
impl Receipt {
    /// One of which nothing else matters.
    pub(crate) fn of(plan: Plan, artifact: Artifact) -> Self {
        Self {
            plan,
            artifact,
            download_sha256: String::new(),
            sha256: String::new(),
            file: Fingerprint::default(),
            verified_at: String::new(),
            endpoint: String::new(),
            applied: false,
        }
    }
}

/// The backup for the plan at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backup {
    /// `UNSAFE_SKIP_BACKUP`.
    #[default]
    NotWanted,
    /// None that is complete.
    Missing,
    /// Complete, made for this plan.
    Complete,
    /// The same, from before `UNSAFE_SKIP_BACKUP`: none is made any more.
    Earlier,
}

impl Facts {
    /// Whether a backup is to be made for this upgrade.
    pub(super) fn wants_backup(&self, record: &Record) -> bool {
        self.backup == Backup::Missing || self.backup == Backup::Complete && record.outdated
    }

    /// Whether the plan in `upgrade-info.json` is an operator's own, which means nothing to the chain.
    #[must_use]
    pub const fn is_named_by_hand(&self) -> bool {
        matches!(self.info, Info::Plan { origin: Origin::Operator, .. })
    }
}

/// Who holds the lock that a node inherits from the `watcher` that started it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeLock {
    /// No node runs on this home.
    #[default]
    Free,
    /// A node runs: ours, or one that an earlier `watcher` left.
    Held,
}

/// The record as found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordFact {
    /// No record: `watcher` has not worked on this home before.
    #[default]
    Absent,
    /// There is one, but it cannot be read: hooks must be taken as not run.
    Unreadable,
    /// The record.
    Present(Record),
}

impl RecordFact {
    /// Whether this upgrade is behind this home: it has passed, or a later one was begun.
    #[must_use]
    pub fn is_past(&self, plan: &Plan) -> bool {
        match self {
            Self::Present(record) if record.is_of(plan) => record.verdict.has_passed(),
            Self::Present(record) => record.plan.height > plan.height,
            _ => false,
        }
    }

    /// Why genesis is not started where `current` is missing: for people.
    #[must_use]
    pub fn past_genesis(&self) -> Option<String> {
        const REFUSED: &str = "genesis is not started on data that may be past it";
        match self {
            Self::Present(record) if record.plan.height > 0 => {
                let name = &record.plan.name;
                Some(format!(
                    "cosmovisor/current is missing, and the last upgrade here was {name:?}: link it to what is to run, for example \
                     `ln -s upgrades/{name} current`; {REFUSED}"
                ))
            }
            Self::Present(Record { from: Version::Upgrade(folder), .. }) => Some(format!(
                "cosmovisor/current is missing, and what ran here was upgrades/{folder}: link it to what is to run, for example \
                 `ln -s upgrades/{folder} current`; {REFUSED}"
            )),
            Self::Unreadable => Some(format!(
                "cosmovisor/current is missing, and which upgrade was the last here cannot be read: link it to what is to run, \
                 for example `ln -s upgrades/NAME current`; {REFUSED}"
            )),
            _ => None,
        }
    }
}

/// What the disk does not show by itself. Written whole, by rename.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was done, or is so")]
pub struct Record {
    /// The upgrade that is under way, or was the last.
    pub plan: Plan,
    /// The version that ran before it.
    pub from: Version,
    /// The operator's script ran to success.
    #[serde(default)]
    pub custom_hook_done: bool,
    /// The new binary's `pre-upgrade` ran to success.
    #[serde(default)]
    pub app_hook_done: bool,
    /// How often the new binary was started on these data, counted before each start.
    #[serde(default)]
    pub starts: u32,
    /// How often it ended by itself before its height since the upgrade was begun, or begun anew.
    #[serde(default)]
    pub attempts: u32,
    /// How it ended.
    #[serde(default)]
    pub verdict: Verdict,
    /// That the new binary failed, and what becomes of it. While this stands, no node is started.
    #[serde(default)]
    pub failure: Option<Box<Failure>>,
    /// It was begun once more from the backup (`WATCHER_ON_UPGRADE_FAILURE=retry`).
    #[serde(default)]
    pub retried: bool,
    /// What the validator had signed when the data came back from the backup, or beyond the height before this was due: it
    /// tells nothing of them.
    #[serde(default)]
    pub signed_before: u64,
    /// The data on which a node of this home last made blocks.
    #[serde(default)]
    pub data: Option<DataIdentity>,
    /// The backup that lies there is of before the old binary ran on, or of an earlier upgrade of the same name and height.
    #[serde(default)]
    pub outdated: bool,
    /// The `upgrade-info.json` that looks like the node's and that a person wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Fingerprint>,
}

/// How an upgrade ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not yet: due, and somewhere on the ladder.
    #[default]
    Pending,
    /// The new binary committed the plan's height.
    #[serde(rename = "committed")]
    Passed,
    /// It came to the state that the network agreed on.
    Agreed,
    /// Its validator signs again.
    Signing,
    /// It came to another state than the network.
    Forked,
    /// The node was told to skip it, and went on without.
    Skipped,
}

impl Verdict {
    /// Whether the height is committed, with the upgrade or without.
    #[must_use]
    pub const fn has_passed(self) -> bool {
        !matches!(self, Self::Pending)
    }
}

/// A new binary that failed before its height was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What becomes of the upgrade.
    pub state: FailureState,
    /// The folder of the binary.
    pub folder: Folder,
    /// Its SHA-256: another one goes on by itself.
    pub sha256: String,
    /// The file that was hashed.
    pub file: Fingerprint,
    /// What happened, for people.
    pub reason: String,
    /// Data and configuration were brought back; what is left is `current`. The restore itself writes that down.
    #[serde(default)]
    pub restored: bool,
}

/// What becomes of an upgrade that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureState {
    /// Everything is left as it is.
    Held,
    /// It is taken back, and begun once more.
    Retrying,
    /// It is taken back.
    RollingBack,
    /// Data, configuration and `current` are as before it.
    RolledBack,
}

impl Record {
    /// The record of an upgrade that has just become due. It does without the plan's info, which may be long.
    #[must_use]
    pub fn new(plan: Plan, from: Version) -> Self {
        let plan = Plan { info: String::new(), ..plan };
        Self {
            plan,
            from,
            custom_hook_done: false,
            app_hook_done: false,
            starts: 0,
            attempts: 0,
            verdict: Verdict::Pending,
            failure: None,
            retried: false,
            signed_before: 0,
            data: None,
            outdated: false,
            foreign: None,
        }
    }

    /// The same upgrade begun anew, hooks and all: with another binary, on other data, or because its operator wants it.
    #[must_use]
    pub fn anew(&self, retried: bool, signed: Option<u64>) -> Self {
        let is_back = self.failure.as_ref().is_some_and(|failure| failure.restored);
        // On the same data earlier starts still count: one of them may have committed the height.
        let (signed_before, starts) =
            if is_back { (signed.unwrap_or(u64::MAX), 0) } else { (self.signed_before, self.starts) };
        let (data, outdated, foreign) = (self.data, self.outdated, self.foreign);
        Self {
            starts,
            retried,
            signed_before,
            data,
            outdated,
            foreign,
            ..Self::new(self.plan.clone(), self.from.clone())
        }
    }

    /// The record of a home on which no upgrade was carried out yet. It is written (durably) before the first start, so
    /// that a record that is missing later is known to be lost.
    #[must_use]
    pub fn nothing(from: Version) -> Self {
        let mut record = Self::new(Plan { name: String::new(), height: 0, info: String::new() }, from);
        record.settle();
        record
    }

    /// Whether it is about this plan. The info is left out: an operator may have written the file without it.
    #[must_use]
    pub fn is_of(&self, plan: &Plan) -> bool {
        self.plan.is_alike(plan)
    }

    /// Marks it as passed, hooks and all.
    pub fn settle(&mut self) {
        self.custom_hook_done = true;
        self.app_hook_done = true;
        self.verdict = Verdict::Passed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A home that was taken over, and had done no upgrade yet, began with genesis once its link was lost.
    #[test]
    fn genesis_is_not_started_where_a_later_version_ran() {
        let v5 = Version::Upgrade(Folder::existing("v5").unwrap());
        let refused = RecordFact::Present(Record::nothing(v5)).past_genesis();
        assert!(refused.is_some_and(|why| why.contains("ln -s upgrades/v5 current")));
        assert_eq!(RecordFact::Present(Record::nothing(Version::Genesis)).past_genesis(), None);
        assert_eq!(RecordFact::Absent.past_genesis(), None);
    }

    #[test]
    fn a_receipt_satisfies_what_names_the_same_artifact_or_document_or_nothing_under_the_same_name() {
        let artifact = |url: &str| Artifact { os_arch: "any".into(), url: url.into(), checksum: None };
        let plan = |name: &str, info: &str| Plan { name: name.into(), height: 10, info: info.into() };
        let receipt = Receipt::of(plan("v2", "https://x.org/v2.json "), artifact("https://x.org/v2"));
        let nothing = || Asks::Nothing { reason: String::new() };
        let document = || Asks::Document { url: String::new() };
        for (name, info, asks, satisfied) in [
            ("v2", "", nothing(), true),
            ("v3", "https://x.org/v2.json", nothing(), false),
            ("v3", " https://x.org/v2.json", document(), true),
            ("v2", "https://x.org/v3.json", document(), false),
            ("v3", "", Asks::Artifact(artifact("https://x.org/v2")), true),
            ("v2", "", Asks::Artifact(artifact("https://x.org/v3")), false),
            ("v2", "https://x.org/v2.json", Asks::Unusable { reason: String::new() }, false),
        ] {
            let folder = Folder::of(name, false).unwrap();
            let upgrade = Upgrade { plan: plan(name, info), folder, asks };
            assert_eq!(receipt.satisfies(&upgrade), satisfied, "{upgrade:?}");
        }
    }
}
