//! A new binary that ends before its height is committed.

mod stands;

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
    Failure {
        state,
        folder: folder("v2"),
        sha256: "bad".into(),
        file: file(1),
        reason,
        restored: state == FailureState::RolledBack,
    }
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
    for (settings, record, strange, listens) in [
        (by(OnFailure::Hold), hooked(), false, false),
        (by(OnFailure::Hold), tried(1, 0), false, true),
        (by(OnFailure::Leave), tried(1, 0), false, false),
        (none(OnFailure::Hold), hooked(), false, true),
        (none(OnFailure::Leave), hooked(), false, false),
        (by(OnFailure::Retry), Record { retried: true, ..hooked() }, false, true),
        // On data from elsewhere whatever is done about its end.
        (by(OnFailure::Leave), tried(1, 0), true, true),
        (by(OnFailure::Leave), hooked(), true, false),
    ] {
        let mut scene = Scene::switched(settings.clone());
        scene.facts.record = present(record.clone());
        scene.facts.data = strange.then(|| data(1));
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
    let mut scene = Scene::upgraded(by(OnFailure::Rollback));
    let full = "the node cannot run: a disk is full and needs room (so it says); it is started again in 1s";
    let told = scene.exits_saying(code(1), trouble(Trouble::DiskFull));
    told.rests().says(&["the node (upgrades/v2) ended: exit status 1", full]);
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
fn a_new_binary_that_cannot_be_executed_is_tried_again_and_then_has_failed_an_attempt() {
    let mut scene = Scene::switched(by(OnFailure::Hold));
    scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
    is_tried_again(&mut scene);
    scene
        .fails()
        .remembers(tried(1, 1))
        .says(&["starting the node failed: it broke", "the node (upgrades/v2) ended: exit status 126"]);
    let mut scene = Scene::switched(by(OnFailure::Leave));
    scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
    scene.fails().leaves(Exit::NodeFailed("it broke".into()));
}

/// A disk that was full for a moment had an upgrade held that could have been taken back.
#[test]
fn a_start_that_could_not_be_made_changes_nothing_of_where_the_one_before_stood() {
    let unknown = "is not known: it did not say where it stands (its log_level must be info)";
    for (words, state, end) in [
        (Some(at(HEIGHT - 1, HEIGHT - 1)), FailureState::RollingBack, "exit status 126"),
        (Some(at(HEIGHT - 1, HEIGHT)), FailureState::Held, "it may have committed height 1000"),
        (None, FailureState::Held, unknown),
    ] {
        let mut scene = at_its_last(by(OnFailure::Rollback), tried(2, 2));
        scene.exits_saying(code(1), words).remembers(tried(3, 3));
        scene.done();
        scene.seconds(60);
        scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
        is_tried_again(&mut scene);
        scene.fails().does(HomeJob::Weigh(folder("v2")));
        scene.done();
        let Some(HomeJob::Remember(Record { failure: Some(failure), .. })) = scene.core.home.job() else { panic!() };
        assert_eq!(failure.state, state);
        assert!(failure.reason.ends_with(end), "{}", failure.reason);
    }
}

/// A start cannot be made, and is not counted anew where it is tried again.
#[track_caller]
fn is_tried_again(scene: &mut Scene) {
    for pause in [1, 2, 4] {
        scene.fails().rests().wakes(scene.now + Duration::from_secs(pause));
        scene.seconds(pause).starts(v2());
    }
}

#[test]
fn a_pre_upgrade_that_refuses_is_a_failure() {
    let refused = "pre-upgrade command failed : exit status 30";
    let says_no = |on_failure| {
        let mut scene = Scene::switched(by(on_failure));
        scene.facts.record = present(record());
        scene.tick().does(HomeJob::AppHook);
        let told = scene.ends(Outcome::PreUpgrade(Some(30)));
        (scene, told)
    };
    says_no(OnFailure::Leave).1.leaves(Exit::UpgradeFailed(refused.into()));
    let (mut scene, told) = says_no(OnFailure::Hold);
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

/// One look that failed had it held for good.
#[test]
fn a_backup_or_a_signing_state_that_cannot_be_read_is_looked_at_for_ten_seconds() {
    let smudged: fn(&mut Facts) = |facts| facts.signer_unknown = Some("smudged".into());
    let stuck: fn(&mut Facts) = |facts| facts.obstacle = Some("config is mounted".into());
    let unsaved: fn(&mut Facts) = |facts| facts.backup = Backup::Missing;
    for (change, why) in [
        (smudged, "it is not known what the validator signed last (smudged)"),
        (stuck, "config is mounted"),
        (unsaved, "there is no complete backup for \"v2\""),
    ] {
        for comes_back in [true, false] {
            let mut scene = at_its_last(by(OnFailure::Rollback), tried(3, 3));
            change(&mut scene.facts);
            scene.exits_saying(code(1), at(HEIGHT - 1, HEIGHT - 1)).remembers(tried(4, 4));
            scene.done().rests().wakes(scene.now + SECOND);
            scene.seconds(9).rests().wakes(scene.now + SECOND);
            if comes_back {
                scene.facts.backup = Backup::Complete;
                (scene.facts.signer_unknown, scene.facts.obstacle) = (None, None);
            }
            scene.seconds(1).does(HomeJob::Weigh(folder("v2")));
            scene.ends(weighed(1, "bad"));
            let Some(HomeJob::Remember(Record { failure: Some(failure), .. })) = scene.core.home.job() else {
                panic!()
            };
            let expected = if comes_back {
                (FailureState::RollingBack, STARTED.to_string())
            } else {
                (FailureState::Held, format!("{STARTED}; it is not taken back, because {why}"))
            };
            assert_eq!((failure.state, failure.reason.clone()), expected);
        }
    }
}

/// It was held because of what the old binary had signed.
#[test]
fn one_that_was_named_by_hand_and_refuses_is_taken_back_whatever_the_old_binary_signed() {
    let mut scene = Scene::switched(by(OnFailure::Rollback));
    scene.core.switched_here = true;
    scene.facts.info = written(Origin::Operator);
    (scene.facts.record, scene.facts.backup) = (present(record()), Backup::Complete);
    scene.facts.signed_height = Some(HEIGHT + 5);
    scene.tick();
    scene.ends(Outcome::PreUpgrade(Some(30)));
    scene.done();
    let Some(HomeJob::Remember(Record { failure: Some(failure), .. })) = scene.core.home.job() else { panic!() };
    assert_eq!(failure.state, FailureState::RollingBack);
}

#[test]
fn it_is_taken_back_by_itself_only_where_its_height_is_known_not_to_be_committed() {
    let unknown = "whether it has committed height 1000 is not known: it did not say where it stands (its log_level must be info)";
    let below = || Some(at(HEIGHT - 1, HEIGHT - 1));
    let as_it_is: &dyn Fn(&mut Facts) = &|_| {};
    let unwanted: &dyn Fn(&mut Facts) = &|facts| facts.backup = Backup::NotWanted;
    for (what, words, change, why) in [
        ("it said so", below(), as_it_is, None),
        ("it said nothing", None, as_it_is, Some(unknown)),
        ("it said something else", Some(Words::WrongAppHash), as_it_is, Some(unknown)),
        ("it said it began there", Some(at(HEIGHT - 1, HEIGHT)), as_it_is, Some("it may have committed height 1000")),
        ("no backup was wanted", below(), unwanted, Some("there is no complete backup for \"v2\"")),
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
}

/// It was started as any other binary while `upgrade-info.json` was away, and could be taken back.
#[test]
fn what_ran_without_its_plan_has_passed_where_it_committed_its_height() {
    let mut scene = Scene::switched(by(OnFailure::Rollback));
    (scene.core.switched_here, scene.facts.backup) = (true, Backup::Complete);
    (scene.facts.record, scene.facts.info) = (present(record()), Info::Absent);
    scene.tick().starts(v2());
    scene.done();
    scene.is_at(HEIGHT + 5, HEIGHT + 4);
    scene.facts.info = written(Origin::Node);
    scene.exits(code(1)).remembers(passed());
}

/// Others had run it for weeks in between, and the committed blocks of a validator were taken back.
#[test]
fn one_that_refuses_before_its_first_start_is_taken_back_only_where_nobody_else_can_have_started_it() {
    let refused = |switched_here, signed, backup| {
        let mut scene = Scene::switched(by(OnFailure::Rollback));
        scene.core.switched_here = switched_here;
        scene.facts.record = present(record());
        (scene.facts.backup, scene.facts.signed_height) = (backup, Some(signed));
        scene.tick();
        scene.ends(Outcome::PreUpgrade(Some(30)));
        scene.done();
        let Some(HomeJob::Remember(Record { failure: Some(failure), .. })) = scene.core.home.job() else { panic!() };
        (failure.state, failure.reason.clone())
    };
    assert_eq!(refused(true, HEIGHT, Backup::Complete).0, FailureState::RollingBack);
    assert_eq!(refused(true, HEIGHT, Backup::Earlier).0, FailureState::RollingBack, "UNSAFE_SKIP_BACKUP makes none");
    for (switched_here, signed, why) in [
        (true, HEIGHT + 5, "the validator has signed beyond height 1000"),
        (false, HEIGHT, "an earlier `watcher` switched to it, and others may have started it since"),
    ] {
        let (state, reason) = refused(switched_here, signed, Backup::Complete);
        assert!(state == FailureState::Held && reason.contains(why), "{reason}");
    }
}

/// It was told as passed by what the old binary had signed beyond its height, and the new one was started all the same.
#[test]
fn what_was_named_by_hand_and_refused_has_not_passed_by_what_the_old_binary_signed() {
    let mut scene = Scene::switched(by(OnFailure::Hold));
    scene.facts.info = written(Origin::Operator);
    scene.facts.record = present(record());
    scene.facts.signed_height = Some(HEIGHT + 5);
    scene.tick().does(HomeJob::AppHook);
    scene.ends(Outcome::PreUpgrade(Some(30)));
    scene.done();
    scene.done().rests();
}

/// Its operator had the same binary run under cosmovisor, and `watcher` kept the node down when it came back.
#[test]
fn what_failed_and_has_passed_elsewhere_since_is_over() {
    for (signed, before, passed) in [(HEIGHT + 20, 0, true), (HEIGHT, 0, false), (HEIGHT + 20, HEIGHT + 20, false)] {
        let mut scene = found(by(OnFailure::Hold), FailureState::Held);
        scene.facts.record = present(Record { signed_before: before, ..fallen(FailureState::Held) });
        scene.facts.signed_height = Some(signed);
        let told = scene.tick();
        let over = matches!(&told.0.home, Some((_, HomeJob::Remember(record))) if record.verdict.has_passed());
        assert_eq!(over, passed, "{signed} {before}");
    }
}

/// Its operator had cosmovisor make it and the one after it, and `watcher` kept the node down when it came back.
#[test]
fn what_failed_and_has_passed_elsewhere_with_the_one_after_it_is_over_too() {
    for (current, passed) in [("v3", true), ("v4", false)] {
        let mut scene = found(by(OnFailure::Hold), FailureState::Held);
        let upgrade = upgrade("v3", HEIGHT + 10);
        scene.facts.info = Info::Plan { upgrade, fingerprint: file(11), origin: Origin::Node };
        scene.facts.current = Current::Version(Version::Upgrade(folder(current)));
        scene.facts.marker = None;
        scene.facts.signed_height = Some(HEIGHT + 20);
        let told = scene.tick();
        let over = matches!(&told.0.home, Some((_, HomeJob::Remember(record))) if record.verdict.has_passed());
        assert_eq!(over, passed, "{current}");
    }
}
