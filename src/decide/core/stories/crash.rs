//! A node that crashes while no upgrade is under way.

use super::{
    super::super::{
        event::{Trouble, Words},
        orders::{Exact, Hold},
    },
    *,
};

/// Two crashes in a row are outlived; the home is looked at once an hour.
fn hardy() -> Settings {
    Settings { crash_restarts: 2, poll_interval: Duration::from_hours(1), ..Settings::default() }
}

/// A node that runs for so long, and then ends like this.
fn crashed(after: u64, exit: NodeExit, words: impl Into<Option<Words>>) -> (Scene, Told) {
    let mut scene = Scene::running(hardy());
    scene.seconds(after);
    let told = scene.exits_saying(exit, words);
    (scene, told)
}

fn trouble(trouble: Trouble) -> Words {
    Words::Trouble(trouble, "so it says".into())
}

#[test]
fn a_crash_is_outlived_after_a_pause_that_doubles_until_there_were_too_many() {
    let (mut scene, told) = crashed(1, code(2), None);
    told.rests().wakes(scene.now + SECOND).says(&[
        "the node (genesis) ended: exit status 2",
        "the node crashed and is started again in 1s: restart 1 of 2 in a row",
    ]);
    scene.after(Duration::from_millis(999)).rests().says(&[]);
    let run = RunId(scene.life().id.0 + 2);
    let start = HomeJob::Start { run, version: Version::Genesis, halt: None, listen: true };
    scene.after(Duration::from_millis(1)).does(start);
    scene.done();
    scene.exits(NodeExit::Signal(6)).rests().wakes(scene.now + 2 * SECOND).says(&[
        "the node (genesis) ended: signal: aborted",
        "the node crashed and is started again in 2s: restart 2 of 2 in a row",
    ]);
    scene.seconds(2).starts(Version::Genesis);
    scene.done();
    scene.exits(code(2)).leaves(Exit::NodeEnded(code(2))).says(&[
        "the node (genesis) ended: exit status 2",
        "the node crashed 3 times in a row and is not started again (WATCHER_RESTART_ON_CRASH)",
    ]);
}

/// It was counted before the node's generation was asked for, and once more after that.
#[test]
fn a_crash_counts_once_where_an_exact_height_is_ahead() {
    let (mut scene, _) = crashed(1, code(2), None);
    scene.facts.orders.exact = Some(Exact { name: "v2".into(), folder: folder("v2"), height: HEIGHT, missed: false });
    scene.facts.info = written(Origin::Operator);
    scene.seconds(1).does(HomeJob::Generation);
    scene.ends(Outcome::HaltsBefore(Some(true)));
    scene.done();
    let again = "the node crashed and is started again in 2s: restart 2 of 2 in a row";
    scene.exits(code(2)).says(&["the node (genesis) ended: exit status 2", again]);
}

#[test]
fn a_node_that_ran_for_ten_minutes_has_not_crashed_in_a_row_with_what_was_before() {
    for (lasts, number) in [(599, 2), (600, 1)] {
        let (mut scene, _) = crashed(1, code(2), None);
        scene.seconds(1);
        scene.done();
        scene.seconds(lasts);
        let told = scene.exits(code(2));
        let again = format!("the node crashed and is started again in {number}s: restart {number} of 2 in a row");
        told.rests().says(&["the node (genesis) ended: exit status 2", &again]);
    }
}

#[test]
fn what_somebody_asked_for_or_would_end_the_same_way_again_is_no_crash() {
    let at = Some(Words::At { began: 1, reached: 2 });
    for (exit, words, is_crash) in [
        (code(1), None, true),
        (NodeExit::Signal(9), None, true),
        (code(1), at, true),
        (code(1), Some(trouble(Trouble::PortInUse)), true),
        (code(130), None, false),
        (code(143), None, false),
        (NodeExit::Signal(2), None, false),
        (NodeExit::Signal(15), None, false),
        (code(1), Some(Words::Needs(folder("v2"))), false),
        (code(1), Some(Words::TooNew(folder("v2"))), false),
        (code(1), Some(Words::Halted(7)), false),
        (code(1), Some(Words::WrongAppHash), false),
        (code(1), Some(trouble(Trouble::DoubleSign)), false),
    ] {
        let (_, told) = crashed(1, exit, words.clone());
        assert_eq!(told.0.exit.is_none(), is_crash, "{exit} {words:?}");
    }
    crashed(1, code(0), None).1.leaves(Exit::Fine);
    let (_, told) = crashed(1, code(2), Some(Words::WrongAppHash));
    told.says(&[
        "the node (genesis) ended: exit status 2",
        "the node ended and is not started again (WATCHER_RESTART_ON_CRASH is for what may pass): it came to another state than \
         the network (wrong app hash): compare its binary with what others run, or give it other data",
    ]);
    let mut frail = Scene::running(Settings::default());
    frail.exits(code(1)).leaves(Exit::NodeEnded(code(1)));
}

#[test]
fn a_node_that_outlived_what_started_it_is_stopped_before_another_is_started() {
    let mut scene = Scene::running(hardy());
    let ended = "the node (genesis) ended: signal: killed";
    let stray = "a node runs on although what started it has ended; it is stopped first";
    scene.leaves_its_node(NodeExit::Signal(9), None).stops_the_stray().says(&[ended, stray]);
    scene.done().rests();
    scene.seconds(1).starts(Version::Genesis);
}

#[test]
fn a_signer_that_is_away_is_waited_for_without_counting() {
    let (mut scene, told) = crashed(1, code(1), trouble(Trouble::SignerAway));
    let mut told = told;
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        let waits = format!(
            "the node cannot run: its remote signer is not connected (so it says); it is started again in {pause}s"
        );
        told.rests().says(&["the node (genesis) ended: exit status 1", &waits]);
        scene.after(Duration::from_millis(pause * 1_000 - 1)).rests().says(&[]);
        scene.after(Duration::from_millis(1)).starts(Version::Genesis);
        scene.done();
        told = scene.exits_saying(code(1), trouble(Trouble::SignerAway));
    }
    scene.seconds(30).starts(Version::Genesis);
    scene.done();
    // The first crash of its own, and the next wait begins anew.
    scene.exits(code(2)).says(&[
        "the node (genesis) ended: exit status 2",
        "the node crashed and is started again in 1s: restart 1 of 2 in a row",
    ]);
    scene.seconds(1).starts(Version::Genesis);
    scene.done();
    scene.exits_saying(code(1), trouble(Trouble::SignerAway)).wakes(scene.now + SECOND);
    scene.seconds(1).starts(Version::Genesis);
    scene.done();
    scene.exits(code(2)).wakes(scene.now + 2 * SECOND);
}

#[test]
fn a_signer_that_is_away_is_waited_for_after_any_number_of_crashes() {
    let mut scene = Scene::running(hardy());
    for _ in 0..2 {
        scene.exits(code(2)).rests();
        scene.seconds(2).starts(Version::Genesis);
        scene.done();
    }
    scene.exits_saying(code(1), trouble(Trouble::SignerAway)).rests();
    scene.seconds(1).starts(Version::Genesis);
}

#[test]
fn another_trouble_than_the_signer_counts_as_a_crash_and_is_told_in_its_own_words() {
    let (_, told) = crashed(1, code(1), trouble(Trouble::PortInUse));
    told.rests();
    let said = told.0.notes.last().unwrap().to_string();
    assert!(said.ends_with("(so it says); it is started again in 1s"), "{said}");
}

/// A rollback would have led to before all that it did since.
#[test]
fn a_backup_is_outdated_once_the_old_binary_was_started_again_after_it() {
    let mut scene = Scene::running(hardy());
    scene.is_due();
    scene.facts.info = written(Origin::Operator);
    scene.facts.backup = Backup::Missing;
    scene.exits(code(1)).does(HomeJob::BackUp(plan("v2", HEIGHT)));
    // It is held now, and the old binary goes on for days.
    scene.facts.orders.holds = [Hold { folder: None, reason: String::new() }].into();
    scene.done();
    scene.seconds(1).remembers(Record { outdated: true, ..record() });
    scene.done().starts_and_listens();
    scene.done();
    scene.facts.orders.holds = [].into();
    scene.climbs_to(|job| matches!(job, HomeJob::Stop { .. }));
    scene.exits(code(143));
    scene.done().does(HomeJob::BackUp(plan("v2", HEIGHT)));
}
