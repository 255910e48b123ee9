//! The ladder of an upgrade that is due: the first rung that is not met is the next job. A start of `watcher`, the end of
//! a job and the day after a power cut all ask this one question.

use super::{
    facts::{Facts, NodeLock, Receipt, Record, Staged, Version},
    plan::Upgrade,
    run::Run,
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
    if facts.current.is(&upgrade.folder) {
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
    between(record, facts, context, true).unwrap_or(Rung::Switch)
}

/// What comes after the node that ran; where the upgrade `begins` with its end, with a backup.
fn between(record: &Record, facts: &Facts, context: Context<'_>, begins: bool) -> Option<Rung> {
    if context.run.is_alive() {
        Some(Rung::Stop)
    } else if facts.lock == NodeLock::Held {
        Some(Rung::StopStray)
    } else if begins && facts.wants_backup(record) {
        Some(Rung::BackUp)
    } else {
        (begins && context.settings.custom_hook && !record.custom_hook_done).then_some(Rung::CustomHook)
    }
}

fn after_the_switch(upgrade: &Upgrade, record: &Record, facts: &Facts, context: Context<'_>) -> Rung {
    let new = Version::Upgrade(upgrade.folder.clone());
    let height = upgrade.plan.height;
    // What comes into the folder that ran already begins with the end of what runs.
    let begins = record.from == new && record.starts == 0;
    let life = context.run.life().filter(|life| life.version == new && !begins);
    let passed = life.is_some_and(|life| {
        let committed = life.committed.is_some_and(|committed| committed >= height);
        let signed = facts.signed_height.is_some_and(|signed| signed > height.max(record.signed_before));
        // Two blocks beyond it are not stored before the application has taken it.
        let beyond = life.latest.is_some_and(|latest| latest > height + 1);
        // A height that means nothing to the chain was committed by the old binary: the new one has to go on from there.
        let moved = life.latest > life.first.map(|first| first + 1);
        let by_hand = facts.is_named_by_hand();
        signed || committed && (!by_hand || life.grew) || beyond && (!by_hand || moved)
    });
    if passed {
        return Rung::Passed;
    }
    if life.is_some() && context.run.is_alive() {
        return Rung::Pass;
    }
    let ready = if record.app_hook_done { Rung::Start } else { Rung::AppHook };
    between(record, facts, context, begins).unwrap_or(ready)
}

#[cfg(test)]
mod tests {
    use ::core::time::Duration;
    use alloc::string::String;

    use super::*;
    use crate::decide::{
        decision::RunId,
        event::NodeExit,
        facts::{Backup, Current, Fingerprint, Info, Origin},
        plan::{Artifact, Asks, Folder, Plan},
        run::Life,
    };

    /// The rung of the upgrade to v2 at height 10.
    fn rung(facts: &Facts, run: &Run, record: &Record, hashed: bool) -> Rung {
        next(&upgrade(), record, facts, Context { settings: &Settings::default(), run, hashed })
    }

    fn upgrade() -> Upgrade {
        let plan = Plan { name: "v2".into(), height: 10, info: String::new() };
        Upgrade { plan, folder: folder(), asks: Asks::Nothing { reason: String::new() } }
    }

    fn folder() -> Folder {
        Folder::of("v2", false).unwrap()
    }

    fn record() -> Record {
        Record::new(upgrade().plan, Version::Genesis)
    }

    fn alive(version: Version) -> Life {
        Life::new(RunId(1), version, None)
    }

    fn switched() -> Facts {
        Facts { current: Current::Version(Version::Upgrade(folder())), ..Facts::default() }
    }

    #[test]
    fn what_was_fetched_is_hashed_before_the_node_is_stopped_for_it() {
        let artifact = Artifact { os_arch: String::new(), url: String::new(), checksum: None };
        let receipt = Receipt::of(upgrade().plan, artifact);
        let facts = Facts { staged: [(folder(), Staged::Ours(receipt))].into(), ..Facts::default() };
        let run = Run::Alive(alive(Version::Genesis));
        assert_eq!([false, true].map(|hashed| rung(&facts, &run, &record(), hashed)), [Rung::Hash, Rung::Stop]);
    }

    #[test]
    fn a_backup_from_before_the_old_binary_ran_on_is_made_anew() {
        let staged: alloc::collections::BTreeMap<_, _> = [(folder(), Staged::Operator)].into();
        let facts = |backup| Facts { staged: staged.clone(), backup, ..Facts::default() };
        let rung = |backup, outdated| rung(&facts(backup), &Run::Never, &Record { outdated, ..record() }, false);
        assert_eq!([false, true].map(|outdated| rung(Backup::Complete, outdated)), [Rung::Switch, Rung::BackUp]);
        assert_eq!(rung(Backup::NotWanted, true), Rung::Switch);
    }

    #[test]
    fn after_the_switch_whatever_else_runs_is_stopped_before_the_new_binary_is_made_ready_and_started() {
        let free = switched();
        assert_eq!(rung(&free, &Run::Alive(alive(Version::Genesis)), &record(), false), Rung::Stop);
        let held = Facts { lock: NodeLock::Held, ..free.clone() };
        assert_eq!(rung(&held, &Run::Never, &record(), false), Rung::StopStray);
        assert_eq!(rung(&free, &Run::Never, &record(), false), Rung::AppHook);
        assert_eq!(rung(&free, &Run::Never, &Record { app_hook_done: true, ..record() }, false), Rung::Start);
    }

    /// What the old binary committed, or signed, passed an upgrade whose new one only ever ended.
    #[test]
    fn a_height_that_was_named_by_hand_has_passed_once_the_new_binary_puts_a_block_on_another() {
        let info = Info::Plan { upgrade: upgrade(), fingerprint: Fingerprint::default(), origin: Origin::Operator };
        let facts = Facts { info, signed_height: Some(15), ..switched() };
        let record = Record { signed_before: 15, starts: 1, ..record() };
        for (committed, latest, grew, passed) in [
            (Some(14), Some(15), false, false),
            (None, Some(15), false, false),
            (Some(15), Some(15), true, true),
            (Some(9), Some(9), true, false),
        ] {
            let first = latest;
            let run = Run::Alive(Life { latest, committed, grew, first, ..alive(Version::Upgrade(folder())) });
            assert_eq!(rung(&facts, &run, &record, false) == Rung::Passed, passed, "{committed:?} {grew}");
        }
        // Where only the node's own height is known, two blocks more are not stored before the application has taken the first.
        for (first, passed) in [(14, false), (13, true)] {
            let run = Run::Alive(Life { latest: Some(15), first: Some(first), ..alive(Version::Upgrade(folder())) });
            assert_eq!(rung(&facts, &run, &record, false) == Rung::Passed, passed, "{first}");
        }
        let run = Run::Alive(alive(Version::Upgrade(folder())));
        assert_eq!(rung(&Facts { signed_height: Some(16), ..facts }, &run, &record, false), Rung::Passed);
    }

    /// It was called passed, and the old one ran on.
    #[test]
    fn what_came_into_the_folder_that_runs_begins_with_the_end_of_what_runs_and_its_backup() {
        let new = Version::Upgrade(folder());
        let same = Record { from: new.clone(), ..record() };
        let old = Life { committed: Some(30), latest: Some(31), grew: true, ..alive(new) };
        let facts = Facts { signed_height: Some(31), backup: Backup::Missing, ..switched() };
        assert_eq!(rung(&facts, &Run::Alive(old.clone()), &same, false), Rung::Stop);
        let ended = Run::Ended { life: old, exit: NodeExit::Code(0), at: Duration::ZERO };
        assert_eq!(rung(&facts, &ended, &same, false), Rung::BackUp);
        let saved = Facts { backup: Backup::Complete, ..facts };
        assert_eq!(rung(&saved, &ended, &same, false), Rung::AppHook);
        let settings = Settings { custom_hook: true, ..Settings::default() };
        let context = Context { settings: &settings, run: &ended, hashed: false };
        assert_eq!(next(&upgrade(), &same, &saved, context), Rung::CustomHook);
        let ready = Record { app_hook_done: true, ..same };
        assert_eq!(rung(&saved, &ended, &ready, false), Rung::Start);
        let started = Run::Alive(alive(Version::Upgrade(folder())));
        assert_eq!(rung(&saved, &started, &Record { starts: 1, ..ready }, false), Rung::Passed);
    }

    #[test]
    fn it_has_passed_once_committed_or_signed_beyond_or_two_blocks_on() {
        for (committed, latest, signed, signed_before, passed) in [
            (Some(9), Some(10), None, 0, false),
            (Some(10), None, None, 0, true),
            (None, Some(11), None, 0, false),
            (None, Some(12), None, 0, true),
            (None, None, Some(10), 0, false),
            (None, None, Some(11), 0, true),
            (None, None, Some(11), 11, false),
        ] {
            let run = Run::Alive(Life { latest, committed, ..alive(Version::Upgrade(folder())) });
            let facts = Facts { signed_height: signed, ..switched() };
            let is = rung(&facts, &run, &Record { signed_before, ..record() }, false);
            assert_eq!(is == Rung::Passed, passed, "{committed:?} {latest:?} {signed:?} {signed_before}: {is:?}");
        }
    }
}
