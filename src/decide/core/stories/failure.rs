use super::{
    super::super::{
        event::Trouble,
        facts::{Failure, FailureState, Verdict},
        orders::{Replacement, Ruling},
        settings::OnFailure,
    },
    *,
};

fn by(on_upgrade_failure: OnFailure) -> Settings {
    Settings { on_upgrade_failure, poll_interval: Duration::from_hours(1), ..Settings::default() }
}

fn at(began: u64, reached: u64) -> Words {
    Words::At { began, reached }
}

fn trouble(trouble: Trouble) -> Words {
    Words::Trouble(trouble, "so it says".into())
}

fn tried(starts: u32, attempts: u32) -> Record {
    Record { starts, attempts, ..hooked() }
}

fn failure(state: FailureState) -> Failure {
    let reason = "it broke".into();
    Failure { state, folder: folder("v2"), sha256: "bad".into(), file: file(1), reason, restored: false }
}

/// The failure stands in the record.
fn fallen(state: FailureState) -> Record {
    Record { failure: Some(Box::new(failure(state))), ..tried(4, 4) }
}

/// A `watcher` that finds it there.
fn found(settings: Settings, state: FailureState) -> Scene {
    let mut scene = Scene::switched(settings);
    scene.facts.record = present(fallen(state));
    scene.facts.failed_file = Some(file(1));
    scene.facts.backup = Backup::Complete;
    scene
}

/// One after three attempts has started the fourth.
fn at_its_last(settings: Settings, record: Record) -> Scene {
    let mut scene = Scene::switched(settings);
    scene.facts.record = present(record);
    scene.facts.backup = Backup::Complete;
    scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
    scene.done();
    scene
}

/// What stands in the record after it has failed for good.
#[track_caller]
fn fails_with(scene: &mut Scene, words: Option<Words>) -> (Failure, Record) {
    scene.exits_saying(code(1), words).does(HomeJob::Weigh(folder("v2")));
    scene.done();
    let Some(HomeJob::Remember(record)) = scene.core.home.job() else { panic!("{:?}", scene.core.home) };
    (*record.failure.clone().expect("it has failed"), record.clone())
}

const STARTED: &str =
    "the new binary was started 4 times and ended before it was seen to commit height 1000: exit status 1";

#[test]
fn a_new_binary_is_started_again_after_a_pause_that_doubles_and_each_attempt_is_written_down_at_once() {
    let mut scene = Scene::upgraded(by(OnFailure::Hold));
    for attempt in 1..=3 {
        let told = scene.exits(code(i32::from(attempt > 1)));
        told.remembers(tried(attempt, attempt));
        let pause = 1 << (attempt - 1);
        let again = format!(
            "upgrade \"v2\" at height 1000: the new binary ended before it was seen to commit the height, start {} follows in \
             {pause}s",
            attempt + 1
        );
        scene.done().rests().says(&[&again]).wakes(scene.now + Duration::from_secs(pause));
        scene.after(Duration::from_millis(pause * 1_000 - 1)).rests().says(&[]);
        scene.after(Duration::from_millis(1)).remembers(tried(attempt + 1, attempt));
        let run = RunId(scene.life().id.0 + 4);
        scene.done().does(HomeJob::Start { run, version: v2(), halt: None, listen: true });
        scene.done();
    }
    let (failure, record) = fails_with(&mut scene, None);
    assert_eq!(failure, Failure { reason: STARTED.into(), ..self::failure(FailureState::Held) });
    assert_eq!((record.starts, record.attempts, record.verdict), (4, 4, Verdict::Pending));
}

#[test]
fn a_pause_between_attempts_is_not_lost_to_an_attempt_that_is_written_already() {
    // The record was written by a job whose end was not heard of.
    let mut scene = Scene::upgraded(by(OnFailure::Hold));
    scene.exits(code(1)).remembers(tried(1, 1));
    scene.facts.record = present(tried(1, 1));
    scene.fails().rests();
    let told = scene.seconds(1);
    told.remembers(tried(2, 1)).says(&[]);
}

#[test]
fn where_it_is_left_to_its_operator_an_end_of_zero_is_the_end_and_so_is_the_last_attempt() {
    let mut scene = Scene::upgraded(by(OnFailure::Leave));
    scene.exits(code(0)).leaves(Exit::Fine);
    let mut scene = Scene::upgraded(by(OnFailure::Leave));
    scene.exits(code(1)).remembers(tried(1, 1));
    let mut scene = at_its_last(by(OnFailure::Leave), tried(3, 3));
    scene.exits(code(1)).leaves(Exit::UpgradeFailed(format!("upgrade \"v2\": {STARTED}")));
}

#[test]
fn a_new_binary_is_listened_to_from_its_second_start_and_where_there_is_no_other() {
    let none = |on_failure| Settings { upgrade_restarts: 0, ..by(on_failure) };
    for (settings, record, listens) in [
        (by(OnFailure::Hold), hooked(), false),
        (by(OnFailure::Hold), tried(1, 0), true),
        (by(OnFailure::Leave), tried(1, 0), false),
        (none(OnFailure::Hold), hooked(), true),
        (none(OnFailure::Leave), hooked(), false),
        (by(OnFailure::Retry), Record { retried: true, ..hooked() }, true),
    ] {
        let mut scene = Scene::switched(settings.clone());
        scene.facts.record = present(record.clone());
        scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
        let listen = matches!(scene.core.home.job(), Some(HomeJob::Start { listen: true, .. }));
        assert_eq!(listen, listens, "{settings:?} {record:?}");
    }
}

#[test]
fn what_lies_outside_the_binary_is_waited_for_without_counting() {
    let mut scene = Scene::upgraded(by(OnFailure::Hold));
    for (start, pause) in (1..).zip([1, 2, 4, 8, 16, 30, 30]) {
        let waits = format!(
            "the node cannot run: another program listens at one of its addresses (so it says); it is started again in {pause}s"
        );
        let told = scene.exits_saying(code(1), trouble(Trouble::PortInUse));
        told.rests().wakes(scene.now + Duration::from_secs(pause));
        told.says(&["the node (upgrades/v2) ended: exit status 1", &waits]);
        scene.after(Duration::from_millis(pause * 1_000 - 1)).rests().says(&[]);
        scene.after(Duration::from_millis(1)).remembers(tried(start + 1, 0));
        scene.done().starts(v2());
        scene.done();
    }
    // One of its own ends the row.
    scene.exits(code(1)).remembers(tried(8, 1));
    scene.done();
    scene.seconds(1).remembers(tried(9, 1));
    scene.done();
    scene.done();
    scene.exits_saying(code(1), trouble(Trouble::Locked)).rests().wakes(scene.now + SECOND);
}

#[test]
fn a_key_that_has_signed_elsewhere_is_not_tried_again() {
    let mut scene = Scene::upgraded(by(OnFailure::Hold));
    let told = scene.exits_saying(code(1), trouble(Trouble::DoubleSign));
    assert!(
        matches!(&told.0.exit, Some(Exit::NodeFailed(why)) if why.starts_with("exit status 1: its key has signed one of the last \
                 blocks") && why.ends_with("(so it says)")),
        "{:?}",
        told.0
    );
}

#[test]
fn an_end_of_a_binary_that_began_at_its_height_is_no_failure_of_the_upgrade() {
    let passes = "upgrade \"v2\" at height 1000 has passed: its height is committed";
    let ended = "the node (upgrades/v2) ended: exit status 1";
    let mut scene = Scene::upgraded(by(OnFailure::Hold));
    scene.exits_saying(code(1), at(HEIGHT, HEIGHT)).remembers(Record { starts: 1, ..passed() }).says(&[ended, passes]);
    let mut scene = Scene::upgraded(by(OnFailure::Hold));
    scene.exits_saying(code(1), at(HEIGHT - 1, HEIGHT)).remembers(tried(1, 1));
    // At a height that the operator named, the old binary has committed it.
    let mut scene = Scene::upgraded(by(OnFailure::Hold));
    scene.facts.info = written(Origin::Operator);
    scene.exits_saying(code(1), at(HEIGHT, HEIGHT)).remembers(tried(1, 1));
}

#[test]
fn the_attempts_of_an_earlier_watcher_count() {
    let mut scene = at_its_last(by(OnFailure::Hold), tried(3, 3));
    assert_eq!(fails_with(&mut scene, None).0.state, FailureState::Held);
    let mut scene = at_its_last(by(OnFailure::Hold), tried(9, 2));
    scene.exits(code(1)).remembers(tried(10, 3));
    // Once it has passed, the next upgrade begins at none.
    let mut scene = Scene::upgraded(by(OnFailure::Hold));
    scene.is_at(HEIGHT + 1, HEIGHT).remembers(Record { starts: 1, ..passed() });
    scene.done();
    assert_eq!(scene.core.attempt, None);
}

#[test]
fn a_new_binary_that_cannot_be_executed_has_failed_an_attempt() {
    let mut scene = Scene::switched(by(OnFailure::Hold));
    scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
    scene
        .fails()
        .remembers(tried(1, 1))
        .says(&["starting the node failed: it broke", "the node (upgrades/v2) ended: exit status 126"]);
    let mut scene = Scene::switched(by(OnFailure::Leave));
    scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
    scene.fails().leaves(Exit::NodeFailed("it broke".into()));
}

#[test]
fn a_pre_upgrade_that_refuses_is_a_failure() {
    let refused = "pre-upgrade command failed : exit status 30";
    let refuses = |on_failure| {
        let mut scene = Scene::switched(by(on_failure));
        scene.facts.record = present(record());
        scene.tick().does(HomeJob::AppHook);
        let told = scene.ends(Outcome::PreUpgrade(Some(30)));
        (scene, told)
    };
    refuses(OnFailure::Leave).1.leaves(Exit::UpgradeFailed(refused.into()));
    let (mut scene, told) = refuses(OnFailure::Hold);
    told.does(HomeJob::Weigh(folder("v2")));
    let failure = Failure { reason: refused.into(), ..failure(FailureState::Held) };
    scene.done().remembers(Record { failure: Some(Box::new(failure)), ..record() });
}

#[test]
fn what_becomes_of_it_is_as_its_operator_chose() {
    for (on_failure, retried, state) in [
        (OnFailure::Hold, false, FailureState::Held),
        (OnFailure::Retry, false, FailureState::Retrying),
        (OnFailure::Retry, true, FailureState::Held),
        (OnFailure::Rollback, false, FailureState::RollingBack),
        (OnFailure::Rollback, true, FailureState::RollingBack),
    ] {
        let record = Record { retried, ..tried(3, 3) };
        let mut scene = at_its_last(by(on_failure), record);
        let (failure, _) = fails_with(&mut scene, Some(at(HEIGHT - 1, HEIGHT - 1)));
        assert_eq!((failure.state, failure.reason.as_str()), (state, STARTED), "{on_failure:?} {retried}");
    }
}

#[test]
fn it_is_taken_back_by_itself_only_where_its_height_is_known_not_to_be_committed() {
    let none = "there is no complete backup for \"v2\"";
    let unknown = "whether it has committed height 1000 is not known: it did not say where it stands (its log_level must be info)";
    let below = || Some(at(HEIGHT - 1, HEIGHT - 1));
    type Change<'a> = &'a dyn Fn(&mut Facts);
    let as_it_is: Change<'_> = &|_| {};
    let smudged: Change<'_> = &|facts| facts.signer_unknown = Some("smudged".into());
    let unsaved: Change<'_> = &|facts| facts.backup = Backup::Missing;
    let unwanted: Change<'_> = &|facts| facts.backup = Backup::NotWanted;
    for (what, words, change, why) in [
        ("it said so", below(), as_it_is, None),
        ("it said nothing", None, as_it_is, Some(unknown)),
        ("it said something else", Some(Words::WrongAppHash), as_it_is, Some(unknown)),
        ("it said it began there", Some(at(HEIGHT - 1, HEIGHT)), as_it_is, Some("it may have committed height 1000")),
        (
            "nobody knows what was signed",
            below(),
            smudged,
            Some("it is not known what the validator signed last (smudged)"),
        ),
        ("no backup", below(), unsaved, Some(none)),
        ("no backup was wanted", below(), unwanted, Some(none)),
    ] {
        let mut scene = at_its_last(by(OnFailure::Rollback), tried(3, 3));
        change(&mut scene.facts);
        let (failure, _) = fails_with(&mut scene, words);
        let expected = match why {
            None => (FailureState::RollingBack, STARTED.to_string()),
            Some(why) => (FailureState::Held, format!("{STARTED}; it is not taken back, because {why}")),
        };
        assert_eq!((failure.state, failure.reason), expected, "{what}");
    }
    let lost = Record { from: v2(), ..tried(3, 3) };
    let (failure, _) = fails_with(&mut at_its_last(by(OnFailure::Rollback), lost), below());
    assert!(failure.reason.ends_with("because the version before it is not known"), "{}", failure.reason);
    // What an earlier start may have done is told by what was signed.
    for (signed, why) in [(HEIGHT, unknown), (HEIGHT + 1, "the validator has signed beyond height 1000")] {
        let mut scene = Scene::switched(by(OnFailure::Rollback));
        scene.facts.record = present(Record { starts: 1, ..record() });
        (scene.facts.backup, scene.facts.signed_height) = (Backup::Complete, Some(signed));
        scene.tick();
        scene.ends(Outcome::PreUpgrade(Some(30)));
        scene.done();
        let Some(HomeJob::Remember(Record { failure: Some(failure), .. })) = scene.core.home.job() else { panic!() };
        assert!(failure.reason.ends_with(&format!("because {why}")), "{}", failure.reason);
    }
    // One that refuses before its first start has changed nothing.
    let mut scene = Scene::switched(by(OnFailure::Rollback));
    scene.facts.record = present(record());
    (scene.facts.backup, scene.facts.signed_height) = (Backup::Complete, Some(HEIGHT + 5));
    scene.tick();
    scene.ends(Outcome::PreUpgrade(Some(30)));
    scene.done();
    let Some(HomeJob::Remember(Record { failure: Some(failure), .. })) = scene.core.home.job() else { panic!() };
    assert_eq!(failure.state, FailureState::RollingBack);
}

/// While the verdict stands.
mod stands {
    use super::*;

    /// Under this ruling.
    fn ruled(state: FailureState, ruling: Ruling) -> Scene {
        let mut scene = found(by(OnFailure::Hold), state);
        scene.facts.orders.ruling = Some(ruling);
        scene
    }

    fn heed(record: Record) -> HomeJob {
        HomeJob::Heed(record)
    }

    const ALARM: &str = "upgrade \"v2\" at height 1000 failed: it broke; everything is left as it is and no node is started, until \
                         its binary is replaced or `watcher resume` is given; `watcher rollback` takes it back";

    #[test]
    fn no_node_is_started_and_it_is_told_every_ten_minutes() {
        let mut scene = found(by(OnFailure::Hold), FailureState::Held);
        scene.tick().rests().says(&[ALARM]);
        scene.seconds(199).rests().says(&[]);
        scene.seconds(1).rests().says(&[ALARM]);
        let left = ALARM.replace("upgrade \"v2\" at height 1000", "upgrade \"v2\"");
        scene.signal().leaves(Exit::UpgradeFailed(left));
    }

    #[test]
    fn whether_it_can_be_taken_back_by_hand_is_told_with_it() {
        let told = |change: &dyn Fn(&mut Facts)| {
            let mut scene = found(by(OnFailure::Hold), FailureState::Held);
            change(&mut scene.facts);
            scene.tick().0.notes[0].to_string()
        };
        let why = told(&|facts| facts.backup = Backup::Missing);
        assert!(why.ends_with("; it cannot be taken back: there is no complete backup for \"v2\""), "{why}");
        let why = told(&|facts| facts.info = Info::Absent);
        assert!(why.ends_with("; it cannot be taken back: data/upgrade-info.json names no upgrade"), "{why}");
        let other = upgrade("v2", HEIGHT + 1);
        let why = told(&|facts| {
            facts.info = Info::Plan { upgrade: other.clone(), fingerprint: file(11), origin: Origin::Node };
        });
        assert!(why.ends_with("there is no complete backup for \"v2\""), "{why}");
        let back = found(by(OnFailure::Hold), FailureState::RolledBack).tick().0.notes[0].to_string();
        assert!(back.ends_with("(--unsafe-skip-upgrades)"), "{back}");
    }

    #[test]
    fn a_node_that_runs_all_the_same_is_stopped() {
        let mut scene = Scene::upgraded(by(OnFailure::Hold));
        scene.facts.record = present(fallen(FailureState::Held));
        scene.tick().stops();
        let mut scene = found(by(OnFailure::Hold), FailureState::Held);
        scene.facts.lock = NodeLock::Held;
        scene.tick().stops_the_stray();
    }

    #[test]
    fn its_operators_word_sets_it_going_again_unless_it_is_on_its_way_back() {
        let goes_on = "upgrade \"v2\" at height 1000 goes on: its operator wants it";
        let anew = Record { starts: 4, ..record() };
        ruled(FailureState::Held, Ruling::Resume).tick().does(heed(anew)).says(&[goes_on]);
        // On other data nothing has counted yet, and what was signed tells nothing.
        let mut scene = ruled(FailureState::RolledBack, Ruling::Resume);
        scene.facts.signed_height = Some(7);
        scene.tick().does(heed(Record { signed_before: 7, ..record() })).says(&[goes_on]);
        for state in [FailureState::Retrying, FailureState::RollingBack] {
            ruled(state, Ruling::Resume).tick().does(HomeJob::Restore(plan("v2", HEIGHT)));
        }
        let mut scene = Scene::new(Settings::default());
        scene.facts.orders.ruling = Some(Ruling::Resume);
        scene.tick().does(heed(Record::nothing(Version::Genesis)));
        scene.done().starts(Version::Genesis);
    }

    #[test]
    fn hooks_and_attempts_begin_anew_once_it_goes_on() {
        let mut scene = Scene::switched(by(OnFailure::Hold));
        scene.facts.record = present(tried(4, 3));
        scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
        scene.done();
        fails_with(&mut scene, None);
        scene.done().rests();
        scene.facts.orders.ruling = Some(Ruling::Resume);
        scene.tick().does(heed(Record { starts: 5, ..record() }));
        scene.done().does(HomeJob::AppHook);
        scene.done().remembers(Record { starts: 6, app_hook_done: true, ..record() });
        scene.done().starts(v2());
        scene.done();
        scene.exits(code(1)).remembers(Record { starts: 6, attempts: 1, app_hook_done: true, ..record() });
    }

    #[test]
    fn its_operator_takes_it_back_by_hand() {
        let reason = "its operator takes it back".to_string();
        let back = Failure { reason, file: file(2), sha256: "new".into(), ..failure(FailureState::RollingBack) };
        let goes_back = |record: Record| {
            let mut scene = ruled(FailureState::Held, Ruling::Rollback);
            scene.facts.record = present(record.clone());
            scene.tick().does(HomeJob::Weigh(folder("v2")));
            let verdict = Verdict::Pending;
            let failure = Some(Box::new(back.clone()));
            scene.ends(weighed(2, "new")).does(heed(Record { failure, verdict, ..record }));
            scene.done().does(HomeJob::Restore(plan("v2", HEIGHT)));
        };
        goes_back(fallen(FailureState::Held));
        goes_back(passed());
        // The node is stopped first.
        let mut scene = Scene::upgraded(by(OnFailure::Hold));
        (scene.facts.orders.ruling, scene.facts.backup) = (Some(Ruling::Rollback), Backup::Complete);
        scene.tick().stops();
        // What is under way already is only obeyed.
        for state in [FailureState::Retrying, FailureState::RollingBack, FailureState::RolledBack] {
            ruled(state, Ruling::Rollback).tick().does(heed(fallen(state)));
        }
    }

    #[test]
    fn what_cannot_be_taken_back_by_hand_is_told_and_left() {
        let refused = |why: &str, change: &dyn Fn(&mut Facts)| {
            let mut scene = ruled(FailureState::Held, Ruling::Rollback);
            change(&mut scene.facts);
            let told = scene.tick();
            told.says_first(&format!("taking the upgrade back failed: {why}")).does(heed(fallen(FailureState::Held)));
        };
        refused("data/upgrade-info.json names no upgrade", &|facts| facts.info = Info::Absent);
        refused("there is no complete backup for \"v2\"", &|facts| facts.backup = Backup::Missing);
        refused("cosmovisor/current does not point at its binary", &|facts| {
            facts.current = Current::Version(Version::Genesis);
        });
    }

    #[test]
    fn data_come_first_and_current_last_and_each_step_is_made_once() {
        for state in [FailureState::Retrying, FailureState::RollingBack] {
            let mut scene = found(by(OnFailure::Hold), state);
            scene.facts.signed_height = Some(HEIGHT);
            let told = scene.tick();
            told.does(HomeJob::Restore(plan("v2", HEIGHT)));
            assert_eq!(told.0.notes.len(), 1, "it is told once: {:?}", told.0.notes);
            let restored = Failure { restored: true, ..failure(state) };
            let restored = Record { failure: Some(Box::new(restored)), ..fallen(state) };
            scene.facts.record = present(restored.clone());
            scene.ends(Outcome::Done).does(HomeJob::Choose(Version::Genesis)).says(&[]);
            let told = scene.done();
            if state == FailureState::Retrying {
                told.does(heed(Record { retried: true, signed_before: HEIGHT, ..record() }));
            } else {
                let rolled_back = Failure { state: FailureState::RolledBack, restored: true, ..failure(state) };
                told.remembers(Record { failure: Some(Box::new(rolled_back)), ..restored });
                scene.done().rests();
            }
        }
    }

    #[test]
    fn a_restore_that_fails_is_tried_again_and_told_at_once() {
        let mut scene = found(by(OnFailure::Hold), FailureState::RollingBack);
        scene.tick().does(HomeJob::Restore(plan("v2", HEIGHT)));
        scene.fails().rests().says(&[
            "upgrade \"v2\" at height 1000 stands still without a node: bringing the data back failed: it broke; it is tried again \
             and again: see to it",
        ]);
        scene.seconds(1).does(HomeJob::Restore(plan("v2", HEIGHT)));
    }

    #[test]
    fn an_upgrade_that_was_taken_back_is_dropped_once_the_node_is_to_skip_it() {
        let skips = |height| Settings { skip_heights: [height].into(), ..by(OnFailure::Hold) };
        let mut scene = found(skips(HEIGHT), FailureState::RolledBack);
        scene.facts.current = Current::Version(Version::Genesis);
        let data = Some(data(7));
        scene.facts.record = present(Record { data, ..fallen(FailureState::RolledBack) });
        let dropped =
            "upgrade \"v2\" at height 1000 is given up: the node is told to skip its height (--unsafe-skip-upgrades)";
        scene.tick().remembers(Record { data, ..Record::nothing(Version::Genesis) }).says_first(dropped);
        found(skips(HEIGHT - 1), FailureState::RolledBack).tick().rests();
        found(skips(HEIGHT), FailureState::Held).tick().rests();
    }

    #[test]
    fn another_binary_goes_on_once_it_lay_still_for_five_seconds() {
        let mut scene = found(by(OnFailure::Hold), FailureState::Held);
        scene.tick();
        scene.facts.failed_file = Some(file(2));
        scene.tick().rests().wakes(scene.now + 5 * SECOND);
        scene.seconds(4).rests().wakes(scene.now + SECOND);
        // It is still being written.
        scene.facts.failed_file = Some(file(3));
        scene.tick().rests().wakes(scene.now + 5 * SECOND);
        scene.after(Duration::from_millis(4_999)).rests();
        scene.after(Duration::from_millis(1)).does(HomeJob::Weigh(folder("v2")));
        scene
            .ends(weighed(3, "good"))
            .does(heed(Record { starts: 4, ..record() }))
            .says(&["upgrade \"v2\" at height 1000 goes on: its binary was replaced"]);
    }

    #[test]
    fn the_same_bytes_in_another_file_are_no_other_binary() {
        let mut scene = found(by(OnFailure::Hold), FailureState::Held);
        scene.facts.failed_file = Some(file(2));
        scene.tick().rests();
        scene.seconds(5).does(HomeJob::Weigh(folder("v2")));
        // It was exchanged while it was hashed.
        scene.facts.failed_file = Some(file(3));
        scene.ends(weighed(2, "good")).rests();
        scene.seconds(5).does(HomeJob::Weigh(folder("v2")));
        let same = Failure { file: file(3), ..failure(FailureState::Held) };
        scene.ends(weighed(3, "bad")).remembers(Record { failure: Some(Box::new(same)), ..fallen(FailureState::Held) });
        scene.done().rests();
        scene.seconds(60).rests();
    }

    #[test]
    fn a_binary_is_waited_for_until_it_is_whole() {
        for staged in [None, Some(Staged::None), Some(Staged::Arriving)] {
            let mut scene = found(by(OnFailure::Hold), FailureState::Held);
            scene.facts.failed_file = Some(file(2));
            let before = scene.facts.staged.clone();
            scene.facts.staged.clear();
            scene.facts.staged.extend(staged.map(|staged| (folder("v2"), staged)));
            scene.tick();
            scene.seconds(60).rests();
            scene.facts.staged = before;
            scene.tick().rests().wakes(scene.now + 5 * SECOND);
        }
        // One that comes and goes begins anew.
        let mut scene = found(by(OnFailure::Hold), FailureState::Held);
        for there in [file(2), file(1), file(2)] {
            scene.facts.failed_file = Some(there);
            scene.seconds(4).rests();
        }
    }

    #[test]
    fn a_replacement_is_made_while_it_stands() {
        let mut scene = found(by(OnFailure::Hold), FailureState::Held);
        scene.facts.orders.replacement = Some(Replacement { version: v2(), at: None });
        scene.tick().does(HomeJob::Replace(v2()));
    }
}
