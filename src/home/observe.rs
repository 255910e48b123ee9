//! Samples the facts of a home. It runs before every decision, so the longest file, `upgrade-info.json`, is read again only
//! when its fingerprint says that it changed.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    Home,
    backup::{self, signing},
    current, lock, orders, read_small, record, refusal, upgrade_info, version,
};
use crate::{
    artifact::{
        self, Platform,
        info::{self, Refusal},
    },
    decide::{
        facts::{Facts, Fingerprint, Info, NodeLock, Origin, Record, RecordFact, Staged},
        plan::{Asks, Folder, Plan, Upgrade},
    },
};

/// Looks at a home.
#[derive(Debug, Default)]
pub struct Observer {
    info: Option<Seen>,
    /// The record as it was read last: one that cannot be read for a moment is not lost, or the upgrade under way would be taken
    /// for one that nobody began here.
    record: Option<RecordFact>,
    /// What is wanted for a version and cannot be understood, as it was told.
    told: BTreeMap<Folder, String>,
    /// Why a backup could not be brought back, and when that was looked at: it takes a look at each file beside it.
    obstacle: Option<(Instant, Option<String>)>,
    /// Where the validator keeps what it signed last, and when the node's configuration was asked for that.
    signing: Option<(Instant, PathBuf)>,
}

/// `upgrade-info.json` as it was read last.
#[derive(Debug)]
struct Seen {
    /// The file, by the times that anybody can set.
    file: Fingerprint,
    /// When its content or permissions changed last, which nobody can set.
    changed: i64,
    /// The time by which this content is told from the one before.
    modified: i64,
    bytes: Result<Vec<u8>, String>,
    info: Info,
}

impl Observer {
    /// What is true now. `interest` are the folders that matter beside the one of the plan in `upgrade-info.json`;
    /// while a node of ours is `alive`, its lock needs no look.
    pub fn observe(&mut self, home: &Home, interest: &[Folder], alive: bool) -> Facts {
        let info = self.info(home);
        let record = match (record::read(home), &self.record) {
            (RecordFact::Unreadable, Some(known)) => known.clone(),
            (read, _) => self.record.insert(read).clone(),
        };
        let plan = if let Info::Plan { upgrade, .. } = &info { Some(upgrade) } else { None };
        // What was withdrawn is set aside while a node runs: the look costs nothing between two of them.
        let placed = if alive { placed(&home.upgrades()) } else { Vec::new() };
        let failure = if let RecordFact::Present(record) = &record { record.failure.as_ref() } else { None };
        let failed = failure.map(|failure| &failure.folder);
        let folders = interest.iter().chain(plan.map(|upgrade| &upgrade.folder)).chain(&placed).chain(failed);
        let (signed, orders) = (self.signed_height(home), orders::read(home));
        // Of an upgrade that is over it matters to who takes that back; the disk may hang on which its backup is.
        let plan = plan.map(|upgrade| &upgrade.plan).filter(|plan| orders.ruling.is_some() || !record.is_past(plan));
        let taken_back = plan.filter(|_| !alive || orders.ruling.is_some());
        let has_failed = matches!(&record, RecordFact::Present(record)
            if record.failure.is_some() || record.attempts > 0 || record.starts > 1);
        let staged = folders.map(|folder| (folder.clone(), self.staged(home, folder))).collect();
        Facts {
            current: current::read(home),
            marker: current::marker(home),
            staged,
            stored: artifact::stored(&home.store(), &home.daemon),
            backup: backup::state(home, plan),
            restoring: failure.is_some() && backup::restore::is_pending(home),
            lock: if alive { NodeLock::Held } else { lock::node(home).unwrap_or(NodeLock::Held) },
            signed_height: signed.as_ref().ok().copied().flatten(),
            signer_unknown: taken_back
                .and_then(|plan| backup::restore::refusal(home, plan))
                .or_else(|| signed.err().map(|error| error.to_string())),
            obstacle: taken_back.and_then(|plan| {
                let looked = (has_failed || orders.ruling.is_some()).then(|| self.obstacle(home, plan));
                let RecordFact::Present(record) = &record else { return looked.flatten() };
                no_version_before(home, record).or(looked.flatten())
            }),
            failed_file: failed.and_then(|folder| {
                let binary = fs::metadata(home.executable(&home.upgrade(folder))).ok()?;
                Some(artifact::fingerprint(&binary))
            }),
            data: orders::data_identity(home),
            orders,
            record,
            info,
        }
    }

    fn signed_height(&mut self, home: &Home) -> Result<Option<u64>, backup::Unreadable> {
        const LASTS: Duration = Duration::from_secs(5);
        if let Some((_, path)) = self.signing.as_ref().filter(|(asked, _)| asked.elapsed() < LASTS) {
            return height_in(path);
        }
        let path = backup::signing_state(home)?;
        height_in(&self.signing.insert((Instant::now(), path)).1)
    }

    fn obstacle(&mut self, home: &Home, plan: &Plan) -> Option<String> {
        const LASTS: Duration = Duration::from_secs(5);
        if self.obstacle.as_ref().is_none_or(|(looked, _)| looked.elapsed() > LASTS) {
            self.obstacle = Some((Instant::now(), backup::restore::obstacle(home, plan)));
        }
        self.obstacle.as_ref().and_then(|(_, obstacle)| obstacle.clone())
    }

    /// A version for which the operator wants something that cannot be understood, or that we may not execute, is not ready:
    /// he is still at it. He is told, and the node is not stopped for it.
    fn staged(&mut self, home: &Home, folder: &Folder) -> Staged {
        let staged = artifact::read_staged(&home.upgrades(), folder, &home.daemon);
        let unusable = unusable(home, folder, &staged);
        let spoilt = || artifact::receipt_flaw(&home.upgrades(), folder).filter(|_| staged == Staged::Operator);
        match unusable.clone().or_else(spoilt) {
            Some(error) if self.told.get(folder) != Some(&error) => {
                tracing::error!("{error}");
                self.told.insert(folder.clone(), error);
            }
            Some(_) => {}
            None => drop(self.told.remove(folder)),
        }
        if unusable.is_some() { Staged::Arriving } else { staged }
    }

    fn info(&mut self, home: &Home) -> Info {
        let path = home.upgrade_info();
        let strange = |reason, fingerprint| Info::Unreadable { reason, fingerprint };
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Info::Absent,
            Err(error) => return strange(refusal(&path, &error), Fingerprint::default()),
        };
        let changed = meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec());
        let file = artifact::fingerprint(&meta);
        let known = self.info.as_ref().filter(|seen| seen.file == file);
        // One that could not be read may be readable now, and looks the same.
        let still = |seen: &&Seen| seen.bytes.is_ok() && seen.changed == changed && !rests_on_a_file(home, &seen.info);
        if let Some(seen) = known.filter(still) {
            return seen.info.clone();
        }
        let bytes = read_small(&path, upgrade_info::LONGEST).map_err(|error| refusal(&path, &error));
        // A rewrite under the time of the content before must not be taken for that one.
        let modified = match known {
            None => file.modified,
            Some(seen) if seen.bytes == bytes => seen.modified,
            Some(_) => changed,
        };
        let info = understood(home, bytes.as_deref(), Fingerprint { modified, ..file }, meta.permissions().mode());
        self.info = Some(Seen { file, changed, modified, bytes, info: info.clone() });
        info
    }
}

/// Why what is staged in a folder is not ready: what is wanted for it cannot be understood, or it cannot be started.
#[must_use]
pub fn unusable(home: &Home, folder: &Folder, staged: &Staged) -> Option<String> {
    let place = home.upgrade(folder);
    let executable = home.executable(&place);
    // One that is written to is not whole yet, and what we placed is hashed.
    let whole = || if *staged == Staged::Operator { version::whole(&executable) } else { Ok(()) };
    let ready = version::read(&place).and_then(|_| version::startable(&executable)).and_then(|()| whole());
    ready.err().filter(|_| *staged != Staged::None).map(|error| error.to_string())
}

/// Why an upgrade cannot be taken back, where the version before it is not there: it is large, and somebody may have cleaned up.
#[must_use]
pub fn no_version_before(home: &Home, record: &Record) -> Option<String> {
    let binary = current::executable_of(home, &record.from);
    (!binary.is_file()).then(|| format!("{} is not there: place it first", binary.display()))
}

/// The folders in which something of ours is placed. Nothing tells when one that was there already gets it.
fn placed(upgrades: &Path) -> Vec<Folder> {
    let entries = fs::read_dir(upgrades).into_iter().flatten().flatten();
    let folders = entries.filter_map(|entry| Folder::existing(entry.file_name().to_str()?));
    folders.filter(|folder| artifact::has_receipt(upgrades, folder)).collect()
}

/// What this machine makes of a plan.
///
/// # Errors
/// Where the plan's name cannot be a folder.
pub fn upgrade_of(home: &Home, plan: Plan) -> Result<Upgrade, crate::decide::plan::BadName> {
    let folder = Folder::of(&plan.name, home.keep_case)?;
    let asks = asks(home, &plan.info, &home.platform).unwrap_or_else(Refusal::into_asks);
    Ok(Upgrade { plan, folder, asks })
}

/// What a plan's info asks a machine to run, on this home.
///
/// # Errors
/// [`Refusal`] where nothing is asked for, or nothing that can be had.
pub fn asks(home: &Home, info: &str, platform: &Platform) -> Result<Asks, Refusal> {
    match info::local_file(info).filter(|_| home.local_info) {
        Some(file) => info::local_document(&file, platform, home.must_have_checksum),
        None => info::read(info, platform, home.must_have_checksum),
    }
}

/// Whether what a plan asks for stands in a file on this machine, which may come later or change.
fn rests_on_a_file(home: &Home, info: &Info) -> bool {
    matches!(info, Info::Plan { upgrade, .. } if home.local_info && info::local_file(&upgrade.plan.info).is_some())
}

fn understood(home: &Home, bytes: Result<&[u8], &String>, fingerprint: Fingerprint, mode: u32) -> Info {
    let plan =
        bytes.map_err(Clone::clone).and_then(|bytes| upgrade_info::parse(bytes).map_err(|error| error.to_string()));
    match plan.and_then(|plan| upgrade_of(home, plan).map_err(|error| error.to_string())) {
        Ok(upgrade) => {
            let by_hand = upgrade_info::is_by_hand(mode) && upgrade.plan.info.is_empty();
            let origin = if by_hand { Origin::Operator } else { Origin::Node };
            Info::Plan { upgrade, fingerprint, origin }
        }
        Err(reason) => Info::Unreadable { reason, fingerprint },
    }
}

/// The height in the validator's signing state, which CometBFT writes before it lets a signature out; none where there is no
/// such file.
///
/// # Errors
/// Where there is one that cannot be read, or the node's configuration, which may name another.
pub fn signed_height(home: &Home) -> Result<Option<u64>, backup::Unreadable> {
    height_in(&backup::signing_state(home)?)
}

fn height_in(path: &Path) -> Result<Option<u64>, backup::Unreadable> {
    Ok(signing::read(path)?.map(|signed| signed.at.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decide::facts::Version, home::tests::home_with};

    #[test]
    fn a_record_that_cannot_be_read_for_a_moment_is_the_one_read_last() {
        let (_keep, home) = home_with(&["genesis"]);
        let plan = Plan { name: "v2".into(), height: 5, info: String::new() };
        let record = Record::new(plan, Version::Genesis);
        record::write(&home, &record).unwrap();
        let mut observer = Observer::default();
        let known = RecordFact::Present(record);
        assert_eq!(observer.observe(&home, &[], true).record, known);
        fs::remove_file(home.record()).unwrap();
        fs::create_dir(home.record()).unwrap();
        assert_eq!(observer.observe(&home, &[], true).record, known);
        assert_eq!(Observer::default().observe(&home, &[], true).record, RecordFact::Unreadable);
        fs::remove_dir(home.record()).unwrap();
        assert_eq!(observer.observe(&home, &[], true).record, RecordFact::Absent);
    }

    /// It was read at its usual place, so that an upgrade was taken back whose height the validator had signed beyond.
    #[test]
    fn what_was_signed_is_read_where_the_node_is_set_to_write_it() {
        let (_keep, home) = home_with(&["genesis"]);
        let state = |height: u64| format!(r#"{{"height":"{height}","round":0,"step":3}}"#);
        fs::create_dir_all(home.path.join("state")).unwrap();
        fs::create_dir_all(home.path.join("config")).unwrap();
        fs::write(home.data().join("priv_validator_state.json"), state(0)).unwrap();
        fs::write(home.path.join("state/pvs.json"), state(12)).unwrap();
        let config = home.path.join("config/config.toml");
        fs::write(&config, "priv_validator_state_file = \"state/pvs.json\"").unwrap();
        let seen = || Observer::default().observe(&home, &[], false);
        assert_eq!(seen().signed_height, Some(12));
        fs::write(&config, "priv_validator_state_file = ").unwrap();
        assert!(seen().signed_height.is_none() && seen().signer_unknown.is_some_and(|why| why.contains("config.toml")));
    }

    #[test]
    fn a_plan_with_an_info_is_the_chains_also_in_a_file_that_an_operator_made() {
        let (_keep, home) = home_with(&["genesis"]);
        let mut plan = Plan { name: "v2".into(), height: 5, info: String::new() };
        orders::name(&home, &plan, None).unwrap();
        let origin = || match Observer::default().observe(&home, &[], false).info {
            Info::Plan { origin, .. } => origin,
            other => panic!("{other:?}"),
        };
        assert_eq!(origin(), Origin::Operator);
        plan.info = "https://example.com/v2.json".into();
        fs::write(home.upgrade_info(), upgrade_info::render(&plan)).unwrap();
        assert_eq!(origin(), Origin::Node);
    }

    /// Such a folder was made for the plan's libraries beforehand; what lay in it was never set aside when the plan had gone.
    #[test]
    fn what_is_placed_in_a_folder_that_was_there_is_seen() {
        let (_keep, home) = home_with(&["genesis", "upgrades/v2"]);
        let (mut observer, v2) = (Observer::default(), Folder::existing("v2").unwrap());
        assert!(!observer.observe(&home, &[], true).staged.contains_key(&v2));
        fs::write(home.upgrade(&v2).join("watcher-receipt.json"), "{}").unwrap();
        assert!(observer.observe(&home, &[], true).staged.contains_key(&v2));
    }
}
