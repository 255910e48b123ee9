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

/// On the ladder.
mod climb {
    use super::*;

    fn room() -> HomeJob {
        HomeJob::Room(plan("v2", HEIGHT))
    }

    #[test]
    fn room_for_the_backup_is_looked_for_once_before_the_node_is_stopped() {
        let mut scene = Scene::halted(Settings::default());
        scene.facts.backup = Backup::Missing;
        scene.tick().does(room());
        scene.fails().rests().says(&[
            "the backup for upgrade \"v2\" at height 1000 cannot be made, and the node is not stopped before it can: it broke",
        ]);
        scene.seconds(1).does(room());
        scene.done().stops();
        for backup in [Backup::NotWanted, Backup::Complete] {
            let mut scene = Scene::halted(Settings::default());
            scene.facts.backup = backup;
            scene.tick().stops();
        }
    }

    #[test]
    fn room_that_was_found_for_one_plan_is_looked_for_again_for_another_and_at_the_halt() {
        let mut scene = Scene::running(Settings::default());
        scene.facts.backup = Backup::Missing;
        scene.facts.staged.insert(folder("v2"), Staged::Operator);
        scene.hears(EndpointId(1), scheduled(upgrade("v2", HEIGHT))).does(room());
        scene.done().rests();
        scene.is_due();
        scene.tick().does(room());
        let other = Info::Plan { upgrade: upgrade("v2", HEIGHT + 1), fingerprint: file(11), origin: Origin::Node };
        scene.facts.info = other;
        scene.facts.record = present(Record::new(plan("v2", HEIGHT + 1), Version::Genesis));
        scene.done().does(HomeJob::Room(plan("v2", HEIGHT + 1)));
    }

    #[test]
    fn a_node_is_stopped_within_the_grace_and_once() {
        let grace = Duration::from_secs(7);
        let mut scene = Scene::halted(Settings { shutdown_grace: grace, ..Settings::default() });
        let run = scene.life().id;
        scene.tick().does(HomeJob::Stop { run, grace });
        // It is reaped, and its end has not been heard of yet.
        scene.done().rests();
        scene.seconds(1).rests();
        scene.exits(code(0)).does(HomeJob::Switch { folder: folder("v2"), plan: plan("v2", HEIGHT) });
        // A stop that fails is made again.
        let mut scene = Scene::halted(Settings::default());
        scene.tick().stops();
        scene.fails().rests();
        scene.seconds(1).stops();
    }

    #[test]
    fn the_restart_delay_begins_with_the_end_of_the_node() {
        let delay = Duration::from_secs(10);
        let settings = || Settings { restart_delay: delay, custom_hook: true, ..patient() };
        let mut scene = Scene::halted(settings());
        scene.facts.backup = Backup::Missing;
        scene.facts.orders.holds = [].into();
        scene.exits(code(2)).rests().wakes(scene.now + delay);
        scene.after(delay - SECOND).rests().wakes(scene.now + SECOND);
        scene.after(SECOND).does(HomeJob::BackUp(plan("v2", HEIGHT)));
        scene.done().does(HomeJob::CustomHook(plan("v2", HEIGHT)));
        // Nobody has seen a node end.
        let mut scene = Scene::new(settings());
        scene.is_due();
        scene.tick().does(HomeJob::CustomHook(plan("v2", HEIGHT)));
        scene.done().does(HomeJob::Switch { folder: folder("v2"), plan: plan("v2", HEIGHT) });
        // The node of an earlier `watcher` has.
        let mut scene = Scene::new(settings());
        scene.is_due();
        scene.facts.lock = NodeLock::Held;
        scene.tick().stops_the_stray().says(&[STRAY, OWN]);
        scene.done().rests().wakes(scene.now + delay);
        scene.after(delay).does(HomeJob::CustomHook(plan("v2", HEIGHT)));
    }

    #[test]
    fn what_was_fetched_is_stopped_for_once_it_is_hashed_as_it_is() {
        let mut scene = Scene::halted(Settings { downloads: true, ..Settings::default() });
        let ours = fetchable("v2", HEIGHT);
        scene.facts.info = Info::Plan { upgrade: ours.clone(), fingerprint: file(10), origin: Origin::Node };
        scene.facts.staged.insert(folder("v2"), Staged::Ours(receipt(&ours)));
        let told = scene.tick();
        assert!(matches!(&told.rests().0.fetch, Some((_, FetchJob::Verify(name))) if *name == folder("v2")));
        scene.fetch_ends(Outcome::Done).stops();
        // Another file than the one that was hashed.
        let mut scene = Scene::halted(Settings::default());
        scene.facts.staged.insert(folder("v2"), Staged::Ours(receipt(&ours)));
        scene.tick().rests();
        scene.fetch_ends(Outcome::Done).stops();
        scene.fails();
        let other = Receipt { file: file(51), ..receipt(&ours) };
        scene.facts.staged.insert(folder("v2"), Staged::Ours(other));
        scene.seconds(1).rests();
    }

    #[test]
    fn what_is_in_the_store_is_placed_and_what_is_not_asked_for_is_set_aside() {
        let mut scene = Scene::halted(Settings::default());
        let (asked, other) = (fetchable("v2", HEIGHT), receipt(&fetchable("v9", HEIGHT)));
        scene.facts.info = Info::Plan { upgrade: asked.clone(), fingerprint: file(10), origin: Origin::Node };
        scene.facts.stored = [receipt(&asked)].into();
        scene.facts.staged.insert(folder("v2"), Staged::Ours(other));
        scene.tick().does(HomeJob::SetAside(folder("v2")));
        scene.facts.staged.clear();
        scene.done().does(HomeJob::Place { receipt: receipt(&asked), upgrade: asked });
    }

    const HELD: &str = "upgrade \"v2\" at height 1000 is due and held by the operator (wait): nothing is switched until `watcher release`";

    const OWN: &str = "upgrade \"v2\" at height 1000: upgrades/v2 holds a binary without a receipt; it is taken as yours and \
                       used as it is";
    const STRAY: &str = "a node runs on although what started it has ended; it is stopped first";

    fn hold() -> Hold {
        Hold { folder: None, reason: "wait".into() }
    }

    #[test]
    fn an_upgrade_that_is_held_is_told_every_ten_minutes_and_its_node_stands() {
        let mut scene = Scene::halted(Settings::default());
        scene.facts.orders.holds = [hold()].into();
        scene.tick().rests().says(&[HELD, OWN]);
        scene.seconds(199).rests().says(&[]); // The first of all moments is a thousand seconds.
        scene.seconds(1).rests().says(&[HELD]);
        scene.exits(code(2)).rests();
        scene.facts.orders.holds.clear();
        scene.tick().does(HomeJob::Switch { folder: folder("v2"), plan: plan("v2", HEIGHT) });
        // After the switch there is nothing to hold.
        let mut scene = Scene::switched(Settings::default());
        scene.facts.orders.holds = [hold()].into();
        scene.tick().does(HomeJob::Remember(Record { starts: 1, ..hooked() }));
    }

    /// What stands in the way of an upgrade whose node does not run.
    #[test]
    fn the_old_binary_goes_on_while_a_height_that_was_named_by_hand_waits_for_its_operator() {
        let exact = |height| Exact { name: "v2".into(), folder: folder("v9"), height, missed: true };
        let held = |facts: &mut Facts| facts.orders.holds = [hold()].into();
        let missing = |facts: &mut Facts| facts.staged.clear();
        let arriving = |facts: &mut Facts| drop(facts.staged.insert(folder("v2"), Staged::Arriving));
        for waits in [&held as &dyn Fn(&mut Facts), &missing, &arriving] {
            for (origin, named, goes_on) in [
                (Origin::Node, None, false),
                (Origin::Operator, None, true),
                (Origin::Operator, Some(exact(HEIGHT)), false),
                (Origin::Operator, Some(exact(HEIGHT + 1)), true),
            ] {
                let mut scene = Scene::new(Settings::default());
                scene.is_due();
                (scene.facts.info, scene.facts.orders.exact) = (written(origin), named.clone());
                waits(&mut scene.facts);
                let told = scene.tick();
                if goes_on {
                    told.starts(Version::Genesis)
                } else {
                    told.rests()
                };
            }
        }
        // One that runs is left alone, whatever else is ordered.
        let mut scene = Scene::halted(Settings::default());
        scene.facts.info = written(Origin::Operator);
        scene.facts.orders.holds = [hold()].into();
        scene.facts.orders.queue = [plan("v3", 5_000)].into();
        scene.tick().rests();
    }

    #[test]
    fn a_binary_that_is_missing_is_asked_for_every_ten_minutes_at_the_halt() {
        let missing = "upgrade \"v2\" at height 1000 has no binary: place it at \
                       $DAEMON_HOME/cosmovisor/upgrades/v2/bin/$DAEMON_NAME (no binaries)";
        let mut scene = Scene::halted(Settings::default());
        scene.facts.staged.clear();
        scene.tick().rests().says(&[missing]);
        scene.seconds(199).rests().says(&[]);
        scene.seconds(1).rests().says(&[missing]);
    }

    #[test]
    fn pre_upgrade_is_not_even_run_where_it_may_not_be_tried_once() {
        let leave = |pre_upgrade_retries| Settings {
            pre_upgrade_retries,
            on_upgrade_failure: OnFailure::Leave,
            ..Settings::default()
        };
        let mut scene = Scene::switched(leave(-1));
        scene.facts.record = present(record());
        scene
            .tick()
            .leaves(Exit::UpgradeFailed("pre-upgrade command failed. reached max attempt of retries - -1".into()));
        let mut scene = Scene::switched(leave(0));
        scene.facts.record = present(record());
        scene.tick().does(HomeJob::AppHook);
    }

    #[test]
    fn a_new_binary_is_asked_after_two_seconds_and_then_every_five_until_its_height_is_known() {
        let mut scene = Scene::upgraded(patient());
        scene.core.is_told_of_changes();
        scene.tick().rests().wakes(scene.now + 2 * SECOND);
        scene.seconds(1).rests().wakes(scene.now + SECOND);
        scene.seconds(1).does(HomeJob::Ask);
        answered(&mut scene, None, None).rests().wakes(scene.now + 5 * SECOND);
        scene.seconds(4).rests().wakes(scene.now + SECOND);
        scene.seconds(1).does(HomeJob::Ask);
        answered(&mut scene, Some(HEIGHT), Some(HEIGHT - 1)).rests().wakes(scene.now + Duration::from_hours(1));
        scene.seconds(10).rests();
        let told = scene.is_at(HEIGHT + 1, HEIGHT);
        told.says(&["upgrade \"v2\" at height 1000 has passed: its height is committed"]);
        told.remembers(Record { starts: 1, ..passed() });
    }

    #[test]
    fn what_else_is_scheduled_is_kept_in_order_while_the_new_binary_is_watched() {
        let mut scene = Scene::upgraded(Settings { downloads: true, ..Settings::default() });
        let next = fetchable("v3", 5_000);
        scene.facts.stored = [receipt(&next)].into();
        scene
            .hears(EndpointId(1), scheduled(next.clone()))
            .does(HomeJob::Place { receipt: receipt(&next), upgrade: next });
    }

    #[test]
    fn a_height_that_nobody_has_seen_is_told_after_one_minute_two_and_four() {
        let unseen = |minutes, latest: &str| {
            format!(
                "upgrade \"v2\" at height 1000: the new binary runs for {minutes} min and was not seen to commit that height: \
                 {latest}"
            )
        };
        let silent = "it does not answer at its RPC address, and may be migrating its data";
        let mut scene = Scene::upgraded(Settings::default());
        scene.seconds(59).does(HomeJob::Ask).says(&[]);
        scene.now += SECOND;
        answered(&mut scene, None, None).says(&[&unseen(1, silent)]);
        scene.seconds(6).does(HomeJob::Ask).says(&[]);
        answered(&mut scene, Some(HEIGHT), Some(HEIGHT - 1)).says(&[]);
        scene.seconds(53).says(&[]);
        let there = "it is at height 1000, and the network may be waiting for two thirds to upgrade";
        scene.seconds(1).says(&[&unseen(2, there)]);
        scene.seconds(60).says(&[]);
        scene.seconds(60).says(&[&unseen(4, there)]);
    }

    #[test]
    fn the_start_after_an_upgrade_is_left_to_its_operator_where_this_watcher_made_the_switch() {
        let settings = || Settings { restart_after_upgrade: false, ..Settings::default() };
        let mut scene = Scene::new(settings());
        scene.is_due();
        scene.tick().does(HomeJob::Switch { folder: folder("v2"), plan: plan("v2", HEIGHT) });
        scene.done().does(HomeJob::AppHook);
        scene.done().remembers(Record { app_hook_done: true, ..record() });
        scene.done().leaves(Exit::Fine);
        // The next `watcher` starts it.
        Scene::switched(settings()).tick().remembers(Record { starts: 1, ..hooked() });
        let mut scene = Scene::new(Settings::default());
        scene.is_due();
        scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
    }

    #[test]
    fn each_start_of_a_new_binary_is_counted_beforehand_and_once() {
        let mut scene = Scene::switched(Settings::default());
        scene.tick().remembers(Record { starts: 1, ..hooked() });
        scene.done().starts(v2());
        // It was cancelled: it counts as made.
        scene.ends(Outcome::Cancelled).starts(v2());
        scene.done().rests();
    }
}

/// No plan asks for anything.
mod calm {
    use super::*;

    #[test]
    fn a_home_without_a_record_gets_one_before_its_node_is_first_started() {
        let mut scene = Scene::new(Settings::default());
        scene.facts.current = Current::Version(v2());
        scene.facts.record = RecordFact::Absent;
        scene.tick().remembers(Record::nothing(v2()));
        scene.done().starts(v2());
        let mut scene = Scene::new(Settings::default());
        scene.facts.record = RecordFact::Unreadable;
        scene.tick().starts(Version::Genesis);
    }

    #[test]
    fn the_node_of_an_earlier_watcher_is_stopped_before_another_is_started_and_told_of_once() {
        let stray = "a node runs on although what started it has ended; it is stopped first";
        let mut scene = Scene::new(Settings::default());
        scene.facts.lock = NodeLock::Held;
        scene.tick().stops_the_stray().says(&[stray]);
        scene.fails();
        scene.seconds(1).stops_the_stray().says(&[]);
        scene.done().starts(Version::Genesis);
    }

    #[test]
    fn a_node_that_ends_by_itself_ends_watcher_as_a_shell_would_tell() {
        for (exit, how) in [
            (code(0), Exit::Fine),
            (code(3), Exit::NodeEnded(code(3))),
            (NodeExit::Signal(9), Exit::NodeEnded(NodeExit::Signal(9))),
        ] {
            Scene::running(Settings::default()).exits(exit).leaves(how);
        }
    }

    #[test]
    fn a_node_is_listened_to_where_a_crash_may_be_outlived() {
        for crash_restarts in [0, 1] {
            let mut scene = Scene::new(Settings { crash_restarts, ..Settings::default() });
            let listen = crash_restarts > 0;
            scene.tick().does(HomeJob::Start { run: RunId(1), version: Version::Genesis, halt: None, listen });
            assert_eq!(scene.life().ear, if listen { Ear::Open } else { Ear::Closed });
        }
    }

    /// An upgrade is scheduled, and this lies in its folder.
    fn staged(settings: Settings, upgrade: &Upgrade, staged: Option<Staged>) -> Scene {
        let mut scene = Scene::running(settings);
        if let Some(staged) = staged {
            scene.facts.staged.insert(upgrade.folder.clone(), staged);
        }
        scene
    }

    fn downloads() -> Settings {
        Settings { downloads: true, ..Settings::default() }
    }

    #[test]
    fn what_was_staged_follows_what_is_scheduled() {
        let v3 = fetchable("v3", 5_000);
        let later = fetchable("v3", 6_000);
        let other = Upgrade { asks: Asks::Artifact(artifact("other")), ..v3.clone() };
        let ours = || Staged::Ours(receipt(&v3));
        let aside = || Some(HomeJob::SetAside(folder("v3")));
        let place = || Some(HomeJob::Place { receipt: receipt(&v3), upgrade: v3.clone() });
        let renewed =
            HomeJob::Renew { folder: folder("v3"), receipt: Receipt { plan: later.plan.clone(), ..receipt(&v3) } };
        let applied = || Staged::Ours(Receipt { applied: true, ..receipt(&v3) });
        let stored = || [receipt(&v3)].to_vec();
        for (what, said, staged, stored, job) in [
            ("it is as asked", vec![&v3], Some(ours()), [].to_vec(), None),
            ("another artifact", vec![&other], Some(ours()), [].to_vec(), aside()),
            ("another artifact, of an upgrade that is over", vec![&other], Some(applied()), [].to_vec(), None),
            ("one of two endpoints asks for it", vec![&other, &v3], Some(ours()), [].to_vec(), None),
            ("another height", vec![&later], Some(ours()), [].to_vec(), Some(renewed)),
            ("another height, but the old one is said as well", vec![&later, &v3], Some(ours()), [].to_vec(), None),
            ("it is in the store", vec![&v3], None, stored(), place()),
            ("something else is in the store", vec![&other], None, stored(), None),
            ("the operator has placed one", vec![&v3], Some(Staged::Operator), stored(), None),
        ] {
            let mut scene = self::staged(downloads(), &v3, staged);
            scene.facts.stored = stored;
            scene.core.begin(HomeJob::Ask, &mut Decision::default());
            for (endpoint, upgrade) in (1..).zip(said) {
                scene.hears(EndpointId(endpoint), scheduled(upgrade.clone()));
            }
            let told = scene.ends(Outcome::Cancelled);
            assert_eq!(told.0.home.map(|(_, job)| job), job, "{what}");
        }
    }

    #[test]
    fn nothing_is_placed_without_downloads_or_before_enough_endpoints_say_so() {
        let v3 = fetchable("v3", 5_000);
        for (settings, endpoints, places) in [
            (Settings::default(), 1, false),
            (downloads(), 1, true),
            (Settings { quorum: 2, ..downloads() }, 1, false),
            (Settings { quorum: 2, ..downloads() }, 2, true),
        ] {
            let mut scene = staged(settings.clone(), &v3, None);
            scene.facts.stored = [receipt(&v3)].into();
            let mut told = None;
            for endpoint in 1..=endpoints {
                scene.hears(
                    EndpointId(endpoint),
                    News::Block { height: 2, time: 1, catching_up: false, committed: None },
                );
                told = Some(scene.hears(EndpointId(endpoint), scheduled(v3.clone())));
            }
            assert_eq!(told.unwrap().0.home.is_some(), places, "{settings:?} {endpoints}");
        }
    }

    #[test]
    fn what_the_node_is_past_or_runs_already_is_left_as_it_is() {
        let v3 = fetchable("v3", 5_000);
        let other = Upgrade { asks: Asks::Artifact(artifact("other")), ..v3.clone() };
        for (committed, runs_it) in [(Some(5_000), false), (None, true)] {
            let mut scene = staged(downloads(), &v3, Some(Staged::Ours(receipt(&v3))));
            if runs_it {
                scene.facts.current = Current::Version(Version::Upgrade(folder("v3")));
            }
            if let Some(committed) = committed {
                scene.core.begin(HomeJob::Ask, &mut Decision::default());
                scene.ends(answer(committed, committed));
            }
            scene.hears(EndpointId(1), scheduled(other.clone())).rests();
        }
    }

    #[test]
    fn what_was_staged_for_a_plan_that_is_withdrawn_is_set_aside_unless_it_runs_or_is_needed_elsewhere() {
        let v3 = fetchable("v3", 5_000);
        let none = News::Scheduled { height: 1, upgrade: None, applied: None };
        let height = News::Block { height: 2, time: 1, catching_up: false, committed: None };
        let ours = Staged::Ours(receipt(&v3));
        let applied = Staged::Ours(Receipt { applied: true, ..receipt(&v3) });
        for (what, staged, runs_it, said, aside) in [
            ("withdrawn", ours.clone(), false, none.clone(), true),
            ("it was applied", applied, false, none.clone(), false),
            ("it runs", ours.clone(), true, none.clone(), false),
            ("the operator's own", Staged::Operator, false, none, false),
            ("another took its place", ours.clone(), false, scheduled(fetchable("v4", 6_000)), true),
            ("nobody says anything", ours.clone(), false, height.clone(), false),
            (
                "the folder is asked for by a plan of another height",
                ours,
                true,
                scheduled(fetchable("v3", 6_000)),
                false,
            ),
        ] {
            let mut scene = self::staged(downloads(), &v3, Some(staged));
            if runs_it {
                scene.facts.current = Current::Version(Version::Upgrade(folder("v3")));
            }
            scene.hears(EndpointId(1), height.clone());
            let told = scene.hears(EndpointId(1), said);
            let job = told.0.home.as_ref().map(|(_, job)| job.clone());
            assert_eq!(job, aside.then(|| HomeJob::SetAside(folder("v3"))), "{what}");
        }
    }

    #[test]
    fn room_for_a_backup_is_looked_for_when_a_binary_is_there_and_once_more_near_the_height() {
        let v3 = upgrade("v3", 5_000);
        for (what, backup, staged, looks) in [
            ("placed by hand", Backup::Missing, Some(Staged::Operator), true),
            ("placed by watcher", Backup::Missing, Some(Staged::Ours(receipt(&v3))), true),
            ("no binary", Backup::Missing, None, false),
            ("no backup", Backup::NotWanted, Some(Staged::Operator), false),
        ] {
            let mut scene = self::staged(Settings::default(), &v3, staged);
            scene.facts.backup = backup;
            let told = scene.hears(EndpointId(1), scheduled(v3.clone()));
            assert_eq!(told.0.home.is_some(), looks, "{what}");
        }
        let mut scene = staged(Settings::default(), &v3, Some(Staged::Operator));
        scene.facts.backup = Backup::Missing;
        let room = || HomeJob::Room(v3.plan.clone());
        scene.hears(EndpointId(1), scheduled(v3.clone())).does(room());
        scene.done().rests();
        scene.tick().rests();
        scene.is_at(4_950, 4_949).does(room());
        scene.done().rests();
        scene.is_at(4_951, 4_950).rests();
        let mut past = staged(Settings::default(), &v3, Some(Staged::Operator));
        past.facts.backup = Backup::Missing;
        past.facts.current = Current::Version(Version::Upgrade(folder("v3")));
        past.hears(EndpointId(1), scheduled(v3)).rests();
    }
}

/// The height that a node is to stop before.
mod halt {
    use super::*;

    #[test]
    fn a_node_is_started_with_the_halt_height_that_has_it_stop_before_the_exact_one() {
        for (stops_before, halt, goes_beyond) in
            [(Some(true), Some(HEIGHT), false), (Some(false), Some(HEIGHT - 1), true), (None, None, false)]
        {
            let mut scene = Scene::new(Settings::default());
            scene.facts.orders.exact =
                Some(Exact { name: "v2".into(), folder: folder("v2"), height: HEIGHT, missed: false });
            scene.tick().does(HomeJob::Generation);
            let told = scene.ends(Outcome::HaltsBefore(stops_before));
            told.does(HomeJob::Start { run: RunId(2), version: Version::Genesis, halt, listen: false });
            let Life { halt: of, goes_beyond: beyond, .. } = scene.life();
            assert_eq!((*of, *beyond), (halt.map(|_| HEIGHT), goes_beyond), "{stops_before:?}");
        }
    }
}
