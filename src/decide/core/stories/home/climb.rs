//! On the ladder.

use super::*;

fn room() -> HomeJob {
    HomeJob::Room { plan: plan("v2", HEIGHT), approach: Approach::There }
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
    let early = HomeJob::Room { plan: plan("v2", HEIGHT), approach: Approach::Far };
    scene.hears(EndpointId(1), scheduled(upgrade("v2", HEIGHT))).does(early);
    scene.done().rests();
    scene.is_due();
    scene.tick().does(room());
    let other = Info::Plan { upgrade: upgrade("v2", HEIGHT + 1), fingerprint: file(11), origin: Origin::Node };
    scene.facts.info = other;
    scene.facts.record = present(Record::new(plan("v2", HEIGHT + 1), Version::Genesis));
    scene.done().does(HomeJob::Room { plan: plan("v2", HEIGHT + 1), approach: Approach::There });
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

/// What it finds rotten is set aside, and the link would lead nowhere.
#[test]
fn the_switch_waits_for_the_hash_of_its_binary_that_is_under_way() {
    let mut scene = Scene::halted(Settings::default());
    scene.core.fetch.begin(JobId(99), FetchJob::Verify(folder("v2")));
    scene.tick().stops();
    scene.done();
    scene.exits(code(0)).rests();
    scene.fetch_ends(Outcome::Done).does(HomeJob::Switch { folder: folder("v2"), plan: plan("v2", HEIGHT) });
}

#[test]
fn the_restart_delay_begins_with_the_end_of_the_node() {
    let delay = Duration::from_secs(10);
    let settings = || Settings { restart_delay: delay, custom_hook: true, ..patient() };
    let mut scene = Scene::halted(settings());
    scene.facts.backup = Backup::Missing;
    scene.facts.orders.holds = [].into();
    scene.exits(code(2)).rests().wakes(scene.now + delay);
    scene.seconds(9).rests().wakes(scene.now + SECOND);
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

const HELD: &str =
    "upgrade \"v2\" at height 1000 is due and held by the operator (wait): nothing is switched until `watcher release`";

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

/// `watcher` was restarted meanwhile, and the script ran once more.
#[test]
fn what_was_done_before_the_brake_was_put_on_is_written_down_under_it() {
    let mut scene = Scene::new(Settings { custom_hook: true, ..Settings::default() });
    scene.is_due();
    scene.facts.record = present(Record { outdated: true, ..record() });
    scene.facts.backup = Backup::Complete;
    scene.tick().does(HomeJob::BackUp(plan("v2", HEIGHT)));
    scene.done().remembers(record());
    scene.done().does(HomeJob::CustomHook(plan("v2", HEIGHT)));
    scene.facts.orders.holds = [hold()].into();
    scene.done().remembers(Record { custom_hook_done: true, ..record() });
    scene.done().rests();
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
                // What was saved, and which hooks ran, tells of other data then.
                told.remembers(Record { outdated: true, ..record() });
                scene.done().starts(Version::Genesis)
            } else {
                told.rests()
            };
        }
    }
    // So it does whatever had been done for it.
    let mut scene = Scene::new(Settings::default());
    scene.is_due();
    (scene.facts.info, scene.facts.record) = (written(Origin::Operator), present(hooked()));
    held(&mut scene.facts);
    scene.tick().remembers(Record { outdated: true, ..record() });
    scene.done().starts(Version::Genesis);
    // One that runs is left alone, whatever else is ordered.
    let mut scene = Scene::halted(Settings::default());
    scene.facts.info = written(Origin::Operator);
    scene.facts.orders.holds = [hold()].into();
    scene.facts.orders.queue = [plan("v3", 5_000)].into();
    scene.tick().rests();
}

/// Its copy broke off days before, which was told then, and at the halt nothing was.
#[test]
fn a_binary_that_is_not_whole_is_told_every_ten_minutes_at_the_halt() {
    let waits = "upgrade \"v2\" at height 1000 is due and waits for what lies in upgrades/v2: it is still being copied, its copy broke \
                 off, it may not be executed, or its watcher.toml cannot be understood";
    let mut scene = Scene::new(Settings::default());
    scene.is_due();
    scene.facts.staged.insert(folder("v2"), Staged::Arriving);
    scene.tick().says(&[waits]);
    scene.tick().says(&[]);
    scene.now += Duration::from_mins(10);
    scene.tick().says(&[waits]);
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    assert!(scene.tick().0.home.is_some(), "the upgrade goes on");
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
    scene.tick().leaves(Exit::UpgradeFailed("pre-upgrade command failed. reached max attempt of retries - -1".into()));
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
    scene.hears(EndpointId(1), scheduled(next.clone())).does(HomeJob::Place { receipt: receipt(&next), upgrade: next });
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

/// The old binary ran on for days, and a rollback would have led to before them.
#[test]
fn a_backup_made_between_two_holds_is_outdated_too() {
    let mut scene = Scene::new(Settings::default());
    scene.is_due();
    scene.facts.info = written(Origin::Operator);
    (scene.facts.record, scene.facts.backup) = (present(Record { outdated: true, ..record() }), Backup::Complete);
    scene.tick().does(HomeJob::BackUp(plan("v2", HEIGHT)));
    // Held again before the switch; the old binary goes on for days.
    scene.facts.orders.holds = [hold()].into();
    scene.done().starts(Version::Genesis);
    scene.done();
    scene.facts.orders.holds = [].into();
    scene.climbs_to(|job| matches!(job, HomeJob::Stop { .. }));
    scene.exits(code(143));
    scene.done().does(HomeJob::BackUp(plan("v2", HEIGHT)));
}

/// It passed by what the old binary had committed, before it was started at all.
#[test]
fn what_comes_by_hand_into_the_folder_that_runs_is_started_and_watched() {
    let mut scene = Scene::new(Settings::default());
    scene.is_due();
    scene.facts.info = written(Origin::Operator);
    scene.facts.current = Current::Version(v2());
    scene.facts.marker = Some(Marker { name: "v2".into(), height: HEIGHT - 1 });
    scene.facts.signed_height = Some(HEIGHT + 1);
    scene.facts.record = present(Record { from: v2(), ..record() });
    let life = Life {
        committed: Some(HEIGHT),
        latest: Some(HEIGHT + 1),
        grew: true,
        ..Life::new(RunId(7), v2(), Some(file(10)))
    };
    scene.core.run = Run::Alive(life);
    scene.facts.lock = NodeLock::Held;
    scene.climbs_to(|job| matches!(job, HomeJob::Stop { .. }));
    scene.exits(code(143));
    scene.done().does(HomeJob::AppHook);
    scene.done().remembers(Record {
        from: v2(),
        starts: 1,
        signed_before: HEIGHT + 1,
        app_hook_done: true,
        ..record()
    });
    scene.done().starts(v2());
}

/// Without room for that it was not started at all, nor where `pre-upgrade` refused a second run.
#[test]
fn a_home_that_was_switched_while_nobody_watched_is_not_saved_before_it_starts() {
    let mut scene = Scene::new(Settings { custom_hook: true, ..Settings::default() });
    // v1 was carried out here; v2 was linked by hand and has run for a week, beyond its height.
    scene.facts.record = present(Record { plan: plan("v1", 1), ..passed() });
    scene.facts.info = written(Origin::Node);
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.facts.current = Current::Version(v2());
    scene.facts.backup = Backup::Missing;
    scene.facts.signed_height = Some(HEIGHT + 1_000);
    let mut signed = Scene::new(Settings::default());
    signed.facts = scene.facts.clone();
    signed.tick().remembers(Record { from: v2(), ..passed() });
    // The old binary has signed beyond what its operator named, and a power cut took the record.
    let mut by_hand = Scene::new(Settings::default());
    let marker = Some(Marker { name: "v2".into(), height: HEIGHT });
    by_hand.facts = Facts { info: written(Origin::Operator), marker, ..scene.facts.clone() };
    by_hand.tick().remembers(Record { from: v2(), starts: 1, signed_before: HEIGHT + 1_000, ..record() });
    scene.facts.signed_height = None;
    scene.tick().remembers(Record { from: v2(), starts: 1, ..record() });
    scene.done().does(HomeJob::AppHook);
}

#[test]
fn what_was_signed_and_could_not_be_read_passes_no_height_named_by_hand() {
    let mut scene = Scene::switched(Settings::default());
    scene.facts.info = written(Origin::Operator);
    scene.facts.signer_unknown = Some("it cannot be read".into());
    scene.climbs_to(|job| matches!(job, HomeJob::Remember(record) if record.starts == 1));
    scene.done();
    scene.done();
    // It can be read again, and is what the old binary signed beyond a height that means nothing to the chain.
    (scene.facts.signer_unknown, scene.facts.signed_height) = (None, Some(HEIGHT + 5));
    assert!(!matches!(&scene.tick().0.home, Some((_, HomeJob::Remember(record))) if record.verdict.has_passed()));
}

/// Nothing else could be asked, and every later crash was a failed attempt.
#[test]
fn a_height_that_was_named_by_hand_has_passed_where_the_new_binary_says_that_it_executed_a_block_above_it() {
    for (reached, passed) in [(HEIGHT + 5, false), (HEIGHT + 6, true)] {
        let mut scene = Scene::switched(Settings::default());
        scene.facts.info = written(Origin::Operator);
        scene.facts.record = present(Record { starts: 1, ..hooked() });
        scene.climbs_to(|job| matches!(job, HomeJob::Start { listen: true, .. }));
        scene.done();
        let told = scene.exits_saying(code(1), Words::At { began: HEIGHT + 5, reached });
        let Some((_, HomeJob::Remember(record))) = &told.0.home else { unreachable!("it is noted: {:?}", told.0) };
        assert_eq!((record.verdict.has_passed(), record.attempts), (passed, u32::from(!passed)), "{reached}");
    }
}

/// It stood until the hold was released.
#[test]
fn the_old_binary_goes_on_while_what_is_held_is_not_hashed_yet() {
    for staged in [Staged::Ours(receipt(&upgrade("v2", HEIGHT))), Staged::Suspect(receipt(&upgrade("v2", HEIGHT)))] {
        let mut scene = Scene::new(Settings::default());
        scene.is_due();
        scene.facts.info = written(Origin::Operator);
        scene.facts.staged.insert(folder("v2"), staged);
        scene.facts.orders.holds = [hold()].into();
        let told = scene.tick();
        assert!(told.0.home.is_some() || told.0.fetch.is_some(), "{:?}", told.0);
    }
}

/// `pre-upgrade` ran, and it passed, though its operator held it.
#[test]
fn what_comes_by_hand_into_the_folder_that_runs_is_held_too() {
    let mut scene = Scene::new(Settings::default());
    scene.is_due();
    scene.facts.info = written(Origin::Operator);
    scene.facts.current = Current::Version(v2());
    scene.facts.marker = Some(Marker { name: "v2".into(), height: HEIGHT - 1 });
    scene.facts.record = present(Record { from: v2(), outdated: true, ..record() });
    scene.facts.orders.holds = [hold()].into();
    scene.tick().starts(v2());
    scene.done().rests();
    scene.facts.orders.holds = [].into();
    scene.tick().stops();
}
