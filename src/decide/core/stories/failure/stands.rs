//! While the verdict stands.

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

/// The second time the log ended without a reason.
#[test]
fn what_fails_once_more_is_told_once_more() {
    let mut scene = found(by(OnFailure::Hold), FailureState::RolledBack);
    let told = scene.tick().0.notes[0].to_string();
    scene.facts.orders.ruling = Some(Ruling::Resume);
    scene.tick();
    // It goes on, and comes to the same end.
    scene.facts.orders.ruling = None;
    let once_more = scene.ends(Outcome::Done).0.notes;
    assert!(once_more.iter().any(|note| note.to_string() == told), "{once_more:?}");
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
        let mut scene = ruled(state, Ruling::Resume);
        scene.facts.restoring = true;
        scene.tick().does(HomeJob::Restore(plan("v2", HEIGHT)));
    }
    let mut scene = Scene::new(Settings::default());
    scene.facts.orders.ruling = Some(Ruling::Resume);
    scene.tick().does(heed(Record::nothing(Version::Genesis)));
    scene.done().starts(Version::Genesis);
}

/// All but the last line of it was done, and that it is under way stood there until `watcher` was started anew.
#[test]
fn a_restore_that_is_noted_as_done_is_completed_before_anything_else() {
    for state in [FailureState::Retrying, FailureState::RollingBack] {
        let mut scene = found(by(OnFailure::Hold), state);
        let restored = Failure { restored: true, ..failure(state) };
        scene.facts.record = present(Record { failure: Some(Box::new(restored)), ..fallen(state) });
        scene.facts.restoring = true;
        scene.tick().does(HomeJob::Restore(plan("v2", HEIGHT)));
        scene.facts.restoring = false;
        scene.done().does(HomeJob::Choose(Version::Genesis));
    }
}

/// Its operator was told that it goes on, and was not heeded: it was tried again for ever.
#[test]
fn a_backup_that_cannot_be_brought_back_does_not_keep_its_operator_from_going_on() {
    for state in [FailureState::Retrying, FailureState::RollingBack] {
        let mut scene = found(by(OnFailure::Hold), state);
        scene.tick().does(HomeJob::Restore(plan("v2", HEIGHT)));
        scene.fails();
        scene.facts.orders.ruling = Some(Ruling::Resume);
        // The data are those on which its hooks ran and it was started before, and each start still counts.
        scene.seconds(1).does(heed(tried(4, 0)));
    }
}

/// It was taken for brought back then, with nothing of it there.
#[test]
fn a_link_made_by_hand_brings_no_data_back() {
    for state in [FailureState::Retrying, FailureState::RollingBack] {
        let mut scene = found(by(OnFailure::Hold), state);
        scene.facts.current = Current::Version(Version::Genesis);
        scene.tick().does(HomeJob::Restore(plan("v2", HEIGHT)));
    }
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

/// With `UNSAFE_SKIP_BACKUP` no other is made, and the next failure brought back what was of days before.
#[test]
fn a_backup_that_is_outdated_is_so_once_it_goes_on() {
    let mut scene = ruled(FailureState::Held, Ruling::Resume);
    scene.facts.record = present(Record { outdated: true, ..fallen(FailureState::Held) });
    scene.facts.backup = Backup::Earlier;
    scene.tick().does(heed(Record { outdated: true, starts: 4, ..record() }));
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
        scene.ends(weighed(2, "new")).does(heed(Record { verdict, failure, ..record }));
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
        let told = if scene.facts.backup == Backup::Missing {
            // It may only not be readable for the moment.
            scene.tick().rests().says(&[]);
            scene.seconds(10)
        } else {
            scene.tick()
        };
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
         and again: see to it, or have it go on without (`watcher resume`) as long as nothing was brought back",
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
    // One that is held was not taken back, but where its operator did that by hand.
    let mut held = found(skips(HEIGHT), FailureState::Held);
    let linked = "the node is told to skip upgrade \"v2\" at height 1000 (--unsafe-skip-upgrades), whose binary is linked \
                  already and would run on data without its migration: `watcher rollback` goes back first; else leave the flag \
                  out";
    held.tick().rests().says_first(linked);
    held.facts.current = Current::Version(Version::Genesis);
    held.tick().remembers(Record::nothing(Version::Genesis));
}

/// It was judged by the end of the binary that had failed, and left.
#[test]
fn a_node_is_started_where_its_operator_put_other_data_in_the_place_of_those_on_which_it_failed() {
    let mut scene = at_its_last(by(OnFailure::Hold), tried(3, 3));
    fails_with(&mut scene, None);
    scene.done().rests();
    (scene.facts.info, scene.facts.orders.ruling) = (Info::Absent, Some(Ruling::Resume));
    assert!(matches!(scene.tick().0.home, Some((_, HomeJob::Heed(_)))));
    scene.done().starts(v2());
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
    let RecordFact::Present(record) = &mut scene.facts.record else { unreachable!("it failed") };
    record.attempts = 0;
    scene.tick().does(HomeJob::Replace(v2()));
}
