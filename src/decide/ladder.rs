//! The ladder of an upgrade that is due: the first rung that is not met is the next job. A start of `watcher`, the end of
//! a job and the day after a power cut all ask this one question.

use super::{
    facts::{Backup, Current, Facts, NodeLock, Receipt, Record, Staged, Version},
    plan::Upgrade,
    run::{Life, Run},
    settings::Settings,
};

/// The first rung that is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one exists at a time, for a moment")]
pub(super) enum Rung {
    /// The file under `upgrades/` changed since its receipt was written, or was not hashed in this run.
    Hash,
    /// What is placed is not what the plan asks for.
    SetAside,
    /// What the plan asks for is in the store.
    Place(Receipt),
    /// The operator is about to place it.
    Arriving,
    /// The binary is nowhere.
    Binary,
    /// A node of ours still runs.
    Stop,
    /// A node of an earlier `watcher` still runs.
    StopStray,
    /// No complete backup.
    BackUp,
    /// The operator's script has not run.
    CustomHook,
    /// `current` does not point at it.
    Switch,
    /// The app's `pre-upgrade` has not run.
    AppHook,
    /// Everything is ready for the start.
    Start,
    /// It runs, and its height is not committed yet.
    Pass,
    /// It is done.
    Passed,
}

/// What this process remembers about the upgrade beside the facts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub settings: &'a Settings,
    pub run: &'a Run,
    /// The placed file was hashed in this run of `watcher` and is the one that the receipt names.
    pub hashed: bool,
}

/// The first rung that is not met.
pub(super) fn next(upgrade: &Upgrade, record: &Record, facts: &Facts, context: Context<'_>) -> Rung {
    if facts.current == Current::Version(Version::Upgrade(upgrade.folder.clone())) {
        after_the_switch(upgrade, record, facts, context)
    } else {
        before_the_switch(upgrade, record, facts, context)
    }
}

fn before_the_switch(upgrade: &Upgrade, record: &Record, facts: &Facts, context: Context<'_>) -> Rung {
    match facts.staged.get(&upgrade.folder).unwrap_or(&Staged::None) {
        Staged::Operator => {}
        Staged::Arriving => return Rung::Arriving,
        Staged::Ours(receipt) if !receipt.satisfies(upgrade) => return Rung::SetAside,
        Staged::Ours(_) if context.hashed => {}
        Staged::Ours(_) | Staged::Suspect(_) => return Rung::Hash,
        Staged::None => {
            return match facts.stored.iter().find(|receipt| receipt.satisfies(upgrade)) {
                Some(receipt) => Rung::Place(receipt.clone()),
                None => Rung::Binary,
            };
        }
    }
    if context.run.is_alive() {
        Rung::Stop
    } else if facts.lock == NodeLock::Held {
        Rung::StopStray
    } else if facts.backup == Backup::Missing {
        Rung::BackUp
    } else if context.settings.custom_hook && !record.custom_hook_done {
        Rung::CustomHook
    } else {
        Rung::Switch
    }
}

fn after_the_switch(upgrade: &Upgrade, record: &Record, facts: &Facts, context: Context<'_>) -> Rung {
    let new = Version::Upgrade(upgrade.folder.clone());
    let height = upgrade.plan.height;
    // It may have ended by now; what ended before its first start was the old one, perhaps in the same folder.
    let is_new = |life: &&Life| life.version == new && (context.run.is_alive() || record.starts > 0);
    let passed = context.run.life().filter(is_new).is_some_and(|life| {
        let committed = life.committed.is_some_and(|committed| committed >= height);
        let signed = facts.signed_height.is_some_and(|signed| signed > height.max(record.signed_before));
        // Two blocks beyond it are not stored before the application has taken it.
        committed || signed || life.latest.is_some_and(|latest| latest > height + 1)
    });
    match context.run {
        _ if passed => Rung::Passed,
        Run::Alive(life) if life.version == new => Rung::Pass,
        Run::Alive(_) => Rung::Stop,
        _ if facts.lock == NodeLock::Held => Rung::StopStray,
        _ if !record.app_hook_done => Rung::AppHook,
        _ => Rung::Start,
    }
}
