//! The ends of jobs.

use super::*;

#[test]
fn a_node_that_ended_is_not_asked_any_more_and_every_other_job_goes_on() {
    let mut scene = Scene::running(Settings::default());
    scene.facts.info = written(Origin::Node);
    scene.asks();
    let run = scene.life().id;
    let told = scene.happens(Kind::Exited { run, exit: code(1), words: None });
    assert_eq!(told.0.cancel.len(), 1);
    let mut scene = Scene::halted(Settings::default());
    scene.tick().stops();
    assert!(scene.exits(code(0)).0.cancel.is_empty());
}

#[test]
fn an_answer_that_did_not_come_is_a_silence() {
    for outcome in [failed("no"), Outcome::Cancelled, Outcome::Answered(NodeAnswer::default())] {
        let mut scene = Scene::running(Settings::default());
        scene.facts.info = written(Origin::Node);
        scene.asks();
        scene.now += SECOND;
        // It was written since the node began, which is silent.
        scene.ends(outcome).remembers(record());
        assert_eq!((scene.life().silent, scene.life().asked), (1, Some((file(10), scene.now))));
    }
}

#[test]
fn a_failure_is_not_forgotten_because_the_node_answers() {
    let mut scene = Scene::upgraded(Settings { downloads: true, ..Settings::default() });
    let next = fetchable("v3", 5_000);
    scene.facts.stored = [receipt(&next)].into();
    scene.hears(EndpointId(1), scheduled(next.clone()));
    let place = "placing the binary failed and is tried again in";
    scene.fails().says(&[&format!("{place} 1s: it broke")]);
    scene.seconds(2).does(HomeJob::Ask);
    scene.ends(Outcome::Answered(NodeAnswer::default()));
    scene.fails().says(&[]);
    scene.seconds(1).rests();
    scene.seconds(1);
    scene.done();
    scene.fails().says(&[&format!("{place} 1s: it broke")]);
}

#[test]
fn a_start_that_was_cancelled_leaves_no_node() {
    let mut scene = Scene::new(Settings::default());
    scene.tick().starts(Version::Genesis);
    scene.ends(Outcome::Cancelled).starts(Version::Genesis);
    // What had been cancelled too late has a node.
    let run = scene.life().id;
    scene.happens(Kind::Exited { run, exit: code(4), words: None }).rests();
    scene.ends(Outcome::Cancelled).leaves(Exit::NodeEnded(code(4)));
}

#[test]
fn a_start_that_failed_ends_watcher_and_leaves_no_node() {
    let mut scene = Scene::new(Settings::default());
    scene.tick().starts(Version::Genesis);
    scene.fails().leaves(Exit::NodeFailed("it broke".into()));
    assert_eq!(scene.core.running(), None);
    // Its end was heard of before that.
    let mut scene = Scene::new(Settings::default());
    scene.tick();
    scene.exits(code(4)).rests();
    scene.fails().leaves(Exit::NodeFailed("it broke".into()));
    assert!(matches!(scene.core.run, Run::Ended { .. }));
}

#[test]
fn only_a_new_binary_fails_its_upgrade_by_not_starting() {
    let mut scene = Scene::new(Settings::default());
    scene.is_due();
    scene.facts.staged.clear();
    scene.facts.info = written(Origin::Operator);
    scene.facts.record = present(Record { outdated: true, ..record() });
    scene.tick().starts(Version::Genesis);
    scene.fails().leaves(Exit::NodeFailed("it broke".into()));
}

#[test]
fn a_node_that_was_started_while_a_stop_was_asked_for_hears_of_it() {
    let mut scene = Scene::new(Settings::default());
    scene.tick().starts(Version::Genesis);
    let told = scene.signal();
    assert_eq!((told.0.cancel.len(), told.0.signal), (1, Some(NodeSignal::Forward(Signal::Terminate))));
    assert_eq!(scene.done().0.signal, Some(NodeSignal::Forward(Signal::Terminate)));
    scene.exits(code(0)).leaves(Exit::Fine);
    // It is over already.
    let mut scene = Scene::new(Settings::default());
    scene.tick();
    scene.signal();
    scene.exits(code(0));
    assert_eq!(scene.ends(Outcome::Started).0.signal, None);
    let mut scene = Scene::new(Settings::default());
    scene.tick();
    assert_eq!(scene.done().0.signal, None);
}

#[test]
fn only_the_run_that_was_stopped_is_taken_as_reaped() {
    let mut scene = Scene::halted(Settings::default());
    scene.core.begin(HomeJob::Stop { run: RunId(77), grace: SECOND }, &mut Decision::default());
    scene.done();
    assert!(!scene.life().reaped);
}

#[test]
fn a_script_that_ran_is_not_run_again_before_the_record_says_so() {
    let mut scene = Scene::new(Settings { custom_hook: true, ..Settings::default() });
    scene.is_due();
    scene.tick().does(HomeJob::CustomHook(plan("v2", HEIGHT)));
    scene.done().does(HomeJob::Switch { folder: folder("v2"), plan: plan("v2", HEIGHT) });
    scene.done().does(HomeJob::AppHook);
    scene.done().remembers(Record { starts: 1, ..hooked() });
}

#[test]
fn room_that_was_found_while_nothing_was_due_is_looked_for_again() {
    let mut scene = Scene::running(Settings::default());
    scene.facts.backup = Backup::Missing;
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.hears(EndpointId(1), scheduled(upgrade("v2", HEIGHT)));
    scene.done();
    assert_eq!(scene.core.roomy, None);
    scene.is_due();
    scene.tick().does(HomeJob::Room { plan: plan("v2", HEIGHT), approach: Approach::There });
    scene.done().stops();
    assert_eq!(scene.core.roomy, Some(plan("v2", HEIGHT)));
}

#[test]
fn too_little_room_is_told_and_holds_nothing_up_while_nothing_is_due() {
    let no_room = "the backup for upgrade \"v2\" at height 1000 cannot be made, and the node is not stopped before it can: it broke";
    let mut scene = Scene::running(Settings { poll_interval: Duration::from_hours(1), ..Settings::default() });
    scene.facts.backup = Backup::Missing;
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.hears(EndpointId(1), scheduled(upgrade("v2", HEIGHT)));
    scene.fails().rests().says(&[no_room]).wakes(scene.now + Duration::from_hours(1));
    scene.is_due();
    scene.tick().does(HomeJob::Room { plan: plan("v2", HEIGHT), approach: Approach::There });
    scene.fails().rests().says(&[no_room]).wakes(scene.now + SECOND);
    // It is not told at each try.
    scene.seconds(1);
    scene.fails().rests().says(&[]);
}

#[test]
fn another_binary_has_all_its_attempts_before_it() {
    let mut scene = Scene::upgraded(Settings::default());
    scene.exits(code(1));
    scene.done();
    scene.facts.orders.replacement = Some(Replacement { version: v2(), at: None });
    scene.facts.record = present(Record { starts: 1, attempts: 1, ..hooked() });
    // Before it is made, so that nothing is left to do after it.
    let anew = Record { starts: 1, attempts: 0, ..hooked() };
    scene.seconds(5).remembers(anew.clone());
    scene.facts.record = present(anew);
    scene.done().does(HomeJob::Replace(v2()));
    scene.facts.orders.replacement = None;
    scene.done();
    assert_eq!(scene.core.attempt, None);
    // Nothing was counted.
    let mut scene = Scene::running(Settings::default());
    scene.facts.orders.replacement = Some(Replacement { version: v2(), at: None });
    scene.tick().does(HomeJob::Replace(v2()));
    scene.done().rests();
}

#[test]
fn a_replacement_that_a_stop_comes_before_waits_for_the_next_start() {
    let mut scene = Scene::switched(Settings::default());
    scene.facts.record = present(Record { starts: 1, attempts: 1, ..hooked() });
    scene.facts.orders.replacement = Some(Replacement { version: v2(), at: None });
    scene.tick().remembers(Record { starts: 1, attempts: 0, ..hooked() });
    scene.signal().rests();
    scene.done().leaves(Exit::Fine);
}

/// It was held against the binary that had taken its place.
#[test]
fn a_refusal_is_forgotten_with_the_binary_that_refused() {
    let mut scene = Scene::switched(Settings::default());
    scene.facts.record = present(record());
    scene.tick().does(HomeJob::AppHook);
    scene.facts.orders.replacement = Some(Replacement { version: v2(), at: None });
    scene.ends(Outcome::PreUpgrade(Some(30))).does(HomeJob::Replace(v2()));
    scene.done().does(HomeJob::AppHook);
}

#[test]
fn what_its_halt_height_means_is_asked_of_each_binary_anew() {
    let exact = Exact { name: "v9".into(), folder: folder("v9"), height: HEIGHT, missed: false };
    let mut scene = Scene::new(Settings::default());
    scene.facts.orders.exact = Some(exact);
    scene.tick().does(HomeJob::Generation);
    scene.fails();
    assert_eq!(scene.core.generation, Some((Version::Genesis, None)));
    for job in [HomeJob::Replace(v2()), HomeJob::Choose(v2())] {
        let mut scene = Scene::running(Settings::default());
        scene.core.generation = Some((Version::Genesis, Some(true)));
        scene.core.begin(job, &mut Decision::default());
        scene.done();
        assert_eq!(scene.core.generation, None);
    }
}

#[test]
fn what_fails_at_the_halt_ends_watcher_or_is_tried_again_as_its_operator_chose() {
    let by = |on_upgrade_failure| Settings { on_upgrade_failure, custom_hook: true, ..Settings::default() };
    let waits = |what: &str, remedy: &str| {
        format!(
            "upgrade \"v2\" at height 1000 stands still without a node: {what} failed: it broke; it is tried again and again: \
             {remedy}"
        )
    };
    let backup = waits("backing up the data directory", "see to it, or start again with UNSAFE_SKIP_BACKUP=true");
    let script = waits(
        "running the custom pre-upgrade script",
        "mend the script, or start again without COSMOVISOR_CUSTOM_PREUPGRADE",
    );
    for (kept, note) in [(Backup::Missing, backup), (Backup::Complete, script)] {
        let mut scene = Scene::new(by(OnFailure::Leave));
        scene.is_due();
        scene.facts.backup = kept;
        scene.tick();
        scene.fails().leaves(Exit::UpgradeFailed("it broke".into()));
        let mut scene = Scene::new(by(OnFailure::Hold));
        scene.is_due();
        scene.facts.backup = kept;
        scene.tick();
        let mut told = scene.fails();
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            let first: &[&str] = if pause == 1 { &[&note] } else { &[] };
            told.rests().says(first);
            scene.after(Duration::from_millis(pause * 1_000 - 1)).rests();
            scene.after(Duration::from_millis(1));
            told = scene.fails();
        }
        scene.seconds(600);
        scene.fails().says(&[&note]);
        // It fails of something else now.
        scene.seconds(30);
        scene.ends(failed("it is full")).says(&[&note.replace("it broke", "it is full")]);
    }
}

#[test]
fn pre_upgrade_that_cannot_be_run_ends_watcher_or_fails_the_upgrade() {
    for on_upgrade_failure in [OnFailure::Leave, OnFailure::Hold] {
        let mut scene = Scene::switched(Settings { on_upgrade_failure, ..Settings::default() });
        scene.facts.record = present(record());
        scene.tick().does(HomeJob::AppHook);
        let told = scene.fails();
        if on_upgrade_failure == OnFailure::Leave {
            told.leaves(Exit::UpgradeFailed("it broke".into()));
            continue;
        }
        // What kept it from running may be over in a moment: it is tried three times more.
        for pause in [1, 2, 4] {
            scene.seconds(pause).does(HomeJob::AppHook);
            scene.fails();
        }
        assert_eq!(scene.core.home.job(), Some(&HomeJob::Weigh(folder("v2"))));
    }
}
