use super::{
    super::super::{
        orders::{Exact, Hold},
        settings::OnFailure,
    },
    *,
};

/// The home is looked at once an hour, so that every other reason to wake is seen.
fn patient() -> Settings {
    Settings { poll_interval: Duration::from_hours(1), ..Settings::default() }
}

/// A home whose `upgrade-info.json` names v2 already when its node is started.
fn with_old_file(change: impl FnOnce(&mut Facts)) -> Scene {
    let mut scene = Scene::new(Settings::default());
    scene.facts.info = written(Origin::Node);
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    change(&mut scene.facts);
    scene.tick();
    if matches!(scene.core.home.job(), Some(HomeJob::Start { .. })) {
        scene.done();
    }
    scene
}

/// The node names these heights when it is asked.
fn answered(scene: &mut Scene, latest: Option<u64>, committed: Option<u64>) -> Told {
    scene.ends(Outcome::Answered(NodeAnswer { latest, committed }))
}

#[test]
fn what_failed_is_tried_again_after_a_pause_that_doubles_up_to_five_seconds() {
    let mut scene = Scene::halted(patient());
    scene.facts.record = present(Record::nothing(Version::Genesis));
    scene.tick();
    let mut told = answered(&mut scene, Some(HEIGHT), Some(HEIGHT - 1));
    told.says(&["upgrade \"v2\" at height 1000 is due"]).remembers(record());
    for pause in [1, 2, 4, 5, 5] {
        told = scene.fails();
        let again = format!("writing the record failed and is tried again in {pause}s: it broke");
        told.rests().says(&[&again]).wakes(scene.now + Duration::from_secs(pause));
        scene.after(Duration::from_millis(pause * 1_000 - 1)).rests().wakes(scene.now + Duration::from_millis(1));
        scene.after(Duration::from_millis(1)).remembers(record());
    }
}

#[test]
fn a_link_that_cannot_be_used_ends_watcher_unless_its_node_runs() {
    let broken = Current::Broken { reason: "no executable".into() };
    let mut scene = Scene::new(Settings::default());
    scene.facts.current = broken.clone();
    scene.tick().leaves(Exit::NodeFailed("no executable".into()));
    let mut scene = Scene::running(Settings::default());
    scene.facts.current = broken;
    scene.tick().rests();
}

#[test]
fn without_a_link_genesis_is_started_only_where_nothing_was_upgraded() {
    let mut scene = Scene::new(Settings::default());
    scene.facts.current = Current::Absent;
    scene.tick().starts(Version::Genesis);
    scene.done();
    scene.facts.record = present(passed());
    scene.tick().rests();
    scene.exits(code(1));
    scene.core.run = Run::Never;
    let told = scene.tick();
    assert!(
        matches!(&told.0.exit, Some(Exit::NodeFailed(why)) if why.contains("ln -s upgrades/v2 current")),
        "{:?}",
        told.0
    );
    scene.facts.record = present(Record { plan: plan("v2", 1), ..passed() });
    assert!(matches!(scene.tick().0.exit, Some(Exit::NodeFailed(_))), "whatever the height was");
}

#[test]
fn a_node_dies_of_an_old_file_only_where_its_binary_is_there_and_nothing_was_linked_by_hand() {
    let v1 = || Version::Upgrade(folder("v1"));
    let marker = Marker { name: "v1".into(), height: 500 };
    let dies = |change: &dyn Fn(&mut Facts)| with_old_file(change).exits(code(2));
    dies(&|_| {})
        .remembers(record())
        .says(&["the node (genesis) ended: exit status 2", "upgrade \"v2\" at height 1000 is due"]);
    let lasts = |change: &dyn Fn(&mut Facts)| drop(dies(change).leaves(Exit::NodeEnded(code(2))));
    lasts(&|facts| facts.staged.clear());
    lasts(&|facts| drop(facts.staged.insert(folder("v2"), Staged::None)));
    lasts(&|facts| facts.current = Current::Version(v1()));
    lasts(&|facts| facts.current = Current::Version(Version::Elsewhere("/opt/node".into())));
    dies(&|facts| drop(facts.staged.insert(folder("v2"), Staged::Arriving))).remembers(record());
    dies(&|facts| (facts.current, facts.marker) = (Current::Version(v1()), Some(marker.clone())))
        .remembers(Record { from: v1(), ..record() });
}

#[test]
fn a_node_is_asked_about_a_new_file_and_again_as_its_height_comes_near() {
    let mut scene = Scene::running(Settings::default());
    scene.core.is_told_of_changes();
    scene.facts.info = written(Origin::Node);
    scene.asks();
    let soon = Settings::default().poll_interval;
    answered(&mut scene, Some(HEIGHT - 1), None).rests().wakes(scene.now + soon);
    scene.after(soon / 2).rests().wakes(scene.now + soon / 2);
    scene.after(soon / 2).does(HomeJob::Ask);
    answered(&mut scene, Some(HEIGHT), None).remembers(record());
}

#[test]
fn what_is_scheduled_is_kept_in_order_while_a_file_that_is_not_due_is_there() {
    for alive in [true, false] {
        let mut scene = Scene::running(Settings { downloads: true, ..Settings::default() });
        scene.facts.info = written(Origin::Operator);
        let next = fetchable("v3", 5_000);
        scene.facts.stored = [receipt(&next)].into();
        scene.asks();
        answered(&mut scene, Some(1), None).rests();
        if alive {
            scene.hears(EndpointId(1), scheduled(next.clone()));
            scene.core.home = Lane::Idle;
            scene.tick().does(HomeJob::Place { receipt: receipt(&next), upgrade: next.clone() });
        } else {
            scene.exits(code(3)).leaves(Exit::NodeEnded(code(3)));
        }
    }
}

/// After a stop request.
mod stop {
    use super::*;

    #[test]
    fn a_node_that_runs_is_waited_for_and_its_code_is_passed_on() {
        for (exit, how) in [(code(0), Exit::Fine), (code(7), Exit::NodeEnded(code(7)))] {
            let mut scene = Scene::running(Settings::default());
            scene.signal().rests();
            scene.seconds(60).rests();
            scene.exits(exit).leaves(how);
        }
        Scene::new(Settings::default()).signal().leaves(Exit::Fine);
    }

    #[test]
    fn the_end_of_a_node_that_watcher_itself_stopped_is_fine() {
        let mut scene = Scene::halted(Settings::default());
        scene.tick().stops();
        scene.signal().rests();
        scene.exits(NodeExit::Signal(9)).rests();
        scene.done().leaves(Exit::Fine);
        // One that has ended at its halt, and was waited with.
        let mut scene = Scene::halted(Settings::default());
        scene.facts.staged.clear();
        scene.exits(code(1)).rests();
        scene.signal().leaves(Exit::Fine);
    }

    #[test]
    fn a_node_that_outlived_a_script_in_front_of_it_is_stopped_once() {
        let mut scene = Scene::running(Settings::default());
        scene.signal();
        scene.leaves_its_node(NodeExit::Signal(15), None).stops_the_stray();
        scene.fails().leaves(Exit::NodeEnded(NodeExit::Signal(15)));
        let mut scene = Scene::running(Settings::default());
        scene.signal();
        scene.leaves_its_node(code(0), None).stops_the_stray();
        scene.done().leaves(Exit::Fine);
    }

    #[test]
    fn what_stands_in_the_way_of_an_upgrade_is_why_watcher_leaves() {
        let mut scene = Scene::halted(Settings::default());
        scene.exits(code(1));
        scene.core.home = Lane::Idle;
        scene.facts.backup = Backup::Missing;
        scene.tick().does(HomeJob::BackUp(plan("v2", HEIGHT)));
        scene.fails().rests();
        scene.signal().leaves(Exit::UpgradeFailed("backing up the data directory failed: it broke".into()));
    }
}

/// What `upgrade-info.json` leads to.
mod situation {
    use super::*;

    #[test]
    fn a_file_that_is_no_plan_is_told_once_it_stays_that_way_and_hinders_nothing() {
        let unreadable = |number| Info::Unreadable { reason: "half".into(), fingerprint: file(number) };
        let poll = Settings::default().poll_interval;
        let mut scene = Scene::new(Settings::default());
        scene.facts.info = unreadable(1);
        scene.tick().says(&[]).starts(Version::Genesis);
        assert_eq!(scene.life().info_before, Some(file(1)));
        scene.done();
        scene.facts.info = unreadable(2);
        scene.after(poll).says(&[]);
        scene.after(poll / 2).says(&[]);
        scene.after(poll / 2).says(&["data/upgrade-info.json cannot be read: half"]);
        scene.after(poll).says(&[]);
        scene.facts.info = unreadable(3);
        scene.after(poll).says(&[]);
        scene.after(poll).says(&["data/upgrade-info.json cannot be read: half"]);
    }

    #[test]
    fn an_upgrade_that_has_passed_is_due_again_only_at_a_new_halt_of_an_older_binary() {
        let mut scene = Scene::running(Settings::default());
        scene.facts.record = present(passed());
        scene.facts.info = written(Origin::Node);
        scene.asks();
        // The file was there before.
        let mut old = with_old_file(|facts| facts.record = present(passed()));
        old.exits(code(1)).leaves(Exit::NodeEnded(code(1)));
        // Its binary is current already.
        let mut new = Scene::new(Settings::default());
        new.facts.current = Current::Version(v2());
        new.facts.record = present(passed());
        new.tick().starts(v2());
        new.done();
        new.facts.info = written(Origin::Node);
        new.tick().rests();
    }

    /// A home that points at v2 already, with a file that names it; its node runs where it is wanted to.
    fn switched(origin: Origin, alive: bool, change: impl FnOnce(&mut Facts)) -> Scene {
        let mut scene = Scene::new(Settings::default());
        scene.facts.current = Current::Version(v2());
        if alive {
            scene.tick().starts(v2());
            scene.done();
        }
        scene.facts.info = written(origin);
        change(&mut scene.facts);
        scene
    }

    #[test]
    fn a_home_that_was_switched_by_others_is_taken_over_as_it_is() {
        let settled = Record { from: v2(), ..passed() };
        let absent = |facts: &mut Facts| facts.record = RecordFact::Absent;
        switched(Origin::Node, false, absent).tick().remembers(settled.clone());
        switched(Origin::Node, true, |_| {}).tick().remembers(settled);
        // A record that is lost, or cannot be read, may be that of this very upgrade: its hooks run once more.
        switched(Origin::Node, false, |_| {}).tick().does(HomeJob::AppHook);
        let unreadable = |facts: &mut Facts| facts.record = RecordFact::Unreadable;
        switched(Origin::Node, false, unreadable).tick().does(HomeJob::AppHook);
        let mut scene = switched(Origin::Node, true, unreadable);
        scene.seconds(2).does(HomeJob::Ask);
        answered(&mut scene, Some(HEIGHT + 1), Some(HEIGHT)).remembers(Record { from: v2(), ..passed() });
    }

    #[test]
    fn a_height_that_was_named_by_hand_is_not_over_because_its_folder_runs_already() {
        let settled = Record { from: v2(), ..passed() };
        let marked = |height| move |facts: &mut Facts| facts.marker = Some(Marker { name: "v2".into(), height });
        switched(Origin::Operator, true, |_| {}).asks();
        switched(Origin::Operator, true, marked(HEIGHT)).tick().remembers(settled.clone());
        switched(Origin::Operator, true, marked(HEIGHT - 1)).asks();
        for (committed, over) in [(HEIGHT - 1, false), (HEIGHT, true)] {
            let mut scene = switched(Origin::Operator, true, |_| {});
            scene.asks();
            let told = answered(&mut scene, Some(HEIGHT - 1), Some(committed));
            if over {
                told.remembers(settled.clone())
            } else {
                told.rests()
            };
        }
    }

    #[test]
    fn what_is_to_be_skipped_or_older_than_what_runs_is_told_and_left_alone() {
        let older = "data/upgrade-info.json asks for upgrade \"v2\" at height 1000: it is older than the upgrade that runs now, \
                     and nothing is switched; if the data were restored, link cosmovisor/current to the version they need, or \
                     wait for the node to say it";
        let skipped = "data/upgrade-info.json asks for upgrade \"v2\" at height 1000: the node is told to skip it \
                       (--unsafe-skip-upgrades)";
        let v3 = |height| Record { plan: plan("v3", height), ..passed() };
        let mark = |height| Some(Marker { name: "v3".into(), height });
        for (skip, marker, record, ignored) in [
            (HEIGHT, None, v3(1), Some(skipped)),
            (HEIGHT - 1, None, v3(1), None),
            (0, mark(HEIGHT + 1), v3(1), Some(older)),
            (0, mark(HEIGHT), v3(1), None),
            (0, None, v3(HEIGHT + 1), Some(older)),
            (0, None, v3(HEIGHT), None),
        ] {
            let mut scene = Scene::running(Settings { skip_heights: [skip].into(), ..Settings::default() });
            scene.facts.info = written(Origin::Node);
            (scene.facts.marker, scene.facts.record) = (marker, present(record));
            match ignored {
                Some(why) => {
                    scene.tick().rests().says(&[why]);
                    scene.tick().rests().says(&[]);
                }
                None => scene.asks(),
            }
        }
    }

    #[test]
    fn an_upgrade_that_the_running_binary_is_past_is_settled_and_not_made() {
        // A file that was there before the node began.
        for (latest, committed, signed, past) in [
            (None, Some(HEIGHT - 1), None, false),
            (None, Some(HEIGHT), None, true),
            (Some(HEIGHT + 2), Some(HEIGHT - 1), None, false),
            (Some(HEIGHT + 1), None, None, false),
            (Some(HEIGHT + 2), None, None, true),
            (None, None, Some(HEIGHT), false),
            (None, None, Some(HEIGHT + 1), true),
            (None, Some(HEIGHT - 1), Some(HEIGHT + 1), false),
        ] {
            let mut scene = with_old_file(|_| {});
            scene.asks();
            scene.facts.signed_height = signed;
            let told = answered(&mut scene, latest, committed);
            let settles = matches!(&told.0.home, Some((_, HomeJob::Remember(record))) if *record == passed());
            assert_eq!(settles, past, "{latest:?} {committed:?} {signed:?}: {:?}", told.0);
        }
        // A new one.
        let mut scene = Scene::running(Settings::default());
        (scene.facts.info, scene.facts.signed_height) = (written(Origin::Node), Some(HEIGHT + 1));
        scene.asks();
        // One that its operator wrote for a height that has come is made, late as it is.
        let mut scene = Scene::running(Settings::default());
        scene.facts.info = written(Origin::Operator);
        scene.asks();
        answered(&mut scene, Some(HEIGHT), Some(HEIGHT)).remembers(record());
    }
}
