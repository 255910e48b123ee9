//! What `upgrade-info.json` leads to.

use super::*;
use crate::decide::{event::Trouble, facts::Verdict, note::Note, orders::Exact};

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

/// The file has room for one plan.
#[test]
fn a_height_that_was_named_by_hand_and_that_an_earlier_halt_overwrites_is_told() {
    let named = || {
        let mut scene = Scene::running(Settings::default());
        let upgrade = upgrade("v3", HEIGHT + 3);
        scene.facts.info = Info::Plan { upgrade, fingerprint: file(9), origin: Origin::Operator };
        scene.asks();
        scene.ends(answer(HEIGHT - 1, HEIGHT - 1)).says(&[]);
        scene
    };
    let mut scene = named();
    scene.facts.info = written(Origin::Node);
    let lost = "upgrade \"v3\" at height 1003, named by hand, is not carried out: the node wrote upgrade \"v2\" at height 1000 over \
                it; name it again (`watcher add-upgrade --upgrade-height`)";
    let due = "upgrade \"v2\" at height 1000 is due";
    scene.tick().says(&[]);
    scene.ends(answer(HEIGHT, HEIGHT - 1)).says(&[lost, due]);
    // Also where the file stays marked as the operator's: the node wrote into it, and its plan has no info.
    let mut scene = named();
    scene.hears(EndpointId(1), scheduled(upgrade("v2", HEIGHT)));
    scene.facts.info = written(Origin::Operator);
    scene.tick();
    scene.ends(answer(HEIGHT, HEIGHT - 1)).says(&[lost, due]);
    // Also of one that catches up, and was heard of last long before it halted.
    let mut scene = named();
    let Run::Alive(life) = &mut scene.core.run else { panic!("it runs") };
    (life.latest, life.committed) = (Some(HEIGHT - 90), Some(HEIGHT - 90));
    scene.facts.info = written(Origin::Node);
    scene.tick().says(&[]);
    let ended = "the node (genesis) ended: exit status 1";
    scene.exits(code(1)).says(&[ended, lost, due]);
    // Who names another, or takes it back, knows.
    let mut scene = named();
    scene.facts.info = written(Origin::Operator);
    scene.tick().says(&[]);
    let mut scene = named();
    scene.facts.info = Info::Absent;
    scene.tick().says(&[]);
    scene.facts.info = written(Origin::Node);
    scene.tick().says(&[]);
    // The chain has it as well, with an info.
    let mut scene = named();
    scene.is_at(HEIGHT + 2, HEIGHT + 2);
    let plan = Plan { info: "binaries".into(), ..plan("v3", HEIGHT + 3) };
    let upgrade = Upgrade { plan, ..upgrade("v3", HEIGHT + 3) };
    scene.facts.info = Info::Plan { upgrade, fingerprint: file(10), origin: Origin::Node };
    scene.asks();
    scene.ends(answer(HEIGHT + 3, HEIGHT + 2)).says(&["upgrade \"v3\" at height 1003 is due"]);
    // It was carried out, and the next one follows it.
    let mut scene = named();
    scene.is_at(HEIGHT + 3, HEIGHT + 2).says(&["upgrade \"v3\" at height 1003 is due"]);
    scene.facts.info = written(Origin::Node);
    scene.tick().says(&[]);
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
    let mut scene = switched(Origin::Node, false, |_| {});
    scene.tick().remembers(Record { from: v2(), starts: 1, ..record() });
    scene.done().does(HomeJob::AppHook);
    let unreadable = |facts: &mut Facts| facts.record = RecordFact::Unreadable;
    let mut scene = switched(Origin::Node, false, unreadable);
    scene.tick().remembers(Record { from: v2(), ..unknown(record()) });
    scene.done().does(HomeJob::AppHook);
    let mut scene = switched(Origin::Node, true, unreadable);
    scene.seconds(2).remembers(Record { from: v2(), ..unknown(record()) });
    scene.done().does(HomeJob::Ask);
    answered(&mut scene, Some(HEIGHT + 1), Some(HEIGHT)).remembers(Record { from: v2(), ..unknown(passed()) });
}

/// It was told as passed, and the old binary stood at its halt for ever.
#[test]
fn a_link_that_was_made_ahead_by_hand_ends_no_upgrade_of_the_node_that_runs() {
    let mut scene = Scene::running(Settings::default());
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.facts.current = Current::Version(v2());
    scene.is_at(HEIGHT, HEIGHT - 1).rests();
    scene.facts.info = written(Origin::Node);
    scene.tick().remembers(Record { from: v2(), ..record() });
    scene.done().stops();
    scene.exits(code(143));
    scene.done().does(HomeJob::AppHook);
    scene.climbs_to(|job| matches!(job, HomeJob::Start { version, .. } if *version == v2()));
}

/// A disk snapshot, or a backup of the upgrade before: it was saved again and again, and hooks long past ran once more.
#[test]
fn older_data_that_come_back_with_their_version_run_on() {
    for verdict in [Verdict::Passed, Verdict::Pending] {
        let later = present(Record { verdict, ..Record::new(plan("v3", HEIGHT + 50), v2()) });
        let change = |facts: &mut Facts| (facts.record, facts.backup) = (later.clone(), Backup::Missing);
        let mut scene = switched(Origin::Node, false, change);
        scene.climbs_to(|job| matches!(job, HomeJob::Start { version, .. } if *version == v2()));
        scene.done().rests();
    }
}

/// What a record that cannot be read may have told: a start, and that the data came back from a backup.
fn unknown(record: Record) -> Record {
    Record { starts: 1, signed_before: u64::MAX, ..record }
}

#[test]
fn a_height_that_was_named_by_hand_is_not_over_because_its_folder_runs_already() {
    let settled = Record { from: v2(), ..passed() };
    let marked = |height| move |facts: &mut Facts| facts.marker = Some(Marker { name: "v2".into(), height });
    switched(Origin::Operator, true, |_| {}).asks();
    switched(Origin::Operator, true, marked(HEIGHT)).tick().remembers(settled.clone());
    switched(Origin::Operator, true, marked(HEIGHT - 1)).asks();
    // The chain may ask for the same folder twice.
    switched(Origin::Node, true, marked(HEIGHT)).tick().remembers(settled.clone());
    switched(Origin::Node, true, marked(HEIGHT - 1)).asks();
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

/// It passed before its new binary had said a word, and what ended then was no failed upgrade.
#[test]
fn an_upgrade_whose_record_is_lost_does_not_pass_by_what_was_signed_before_it_runs_again() {
    let by_hand = |facts: &mut Facts| {
        facts.marker = Some(Marker { name: "v2".into(), height: HEIGHT });
        facts.record = present(Record { plan: plan("v1", 1), ..passed() });
    };
    let restored = |facts: &mut Facts| {
        facts.record = present(Record { plan: plan("v1", 1), data: Some(data(1)), ..passed() });
        facts.data = Some(data(2));
    };
    for (origin, change) in [(Origin::Operator, &by_hand as &dyn Fn(&mut Facts)), (Origin::Node, &restored)] {
        let mut scene = switched(origin, false, change);
        scene.facts.signed_height = Some(HEIGHT + 1_000);
        scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
        scene.done();
        assert!(!matches!(scene.core.home.job(), Some(HomeJob::Remember(_))), "{:?}", scene.core.home);
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
        let mut scene = Scene::new(Settings { skip_heights: [skip].into(), ..Settings::default() });
        scene.facts.info = written(Origin::Node);
        (scene.facts.marker, scene.facts.record) = (marker, present(record.clone()));
        scene.core.run = Run::Alive(Life::new(RunId(1), Version::Genesis, Some(file(10))));
        match ignored {
            Some(why) => {
                scene.tick().rests().says(&[why]);
                scene.tick().rests().says(&[]);
            }
            None => scene.asks(),
        }
    }
    // A node that wrote it has halted at it once more, on data from before.
    let mut scene = Scene::running(Settings::default());
    scene.facts.info = written(Origin::Node);
    (scene.facts.marker, scene.facts.record) = (mark(HEIGHT + 1), present(v3(HEIGHT + 1)));
    scene.asks();
    scene.ends(answer(HEIGHT, HEIGHT - 1)).remembers(Record { outdated: true, ..record() });
}

/// Another chain's data, or long outdated ones, came back: the backup was taken for this upgrade's by name and height alone.
#[test]
fn what_was_saved_before_an_upgrade_begins_is_of_an_earlier_one() {
    for (backup, outdated) in [(Backup::Missing, false), (Backup::Complete, true)] {
        let mut scene = Scene::running(Settings::default());
        scene.facts.record = present(Record { plan: plan("v1", 1), ..passed() });
        (scene.facts.info, scene.facts.backup) = (written(Origin::Node), backup);
        scene.asks();
        scene.ends(answer(HEIGHT, HEIGHT - 1)).remembers(Record { outdated, ..record() });
    }
    let mut scene = Scene::halted(Settings::default());
    let begun = Record { outdated: true, ..record() };
    (scene.facts.record, scene.facts.backup) = (present(begun.clone()), Backup::Complete);
    scene.climbs_to(|job| matches!(job, HomeJob::Stop { .. }));
    scene.exits(code(2));
    scene.done().does(HomeJob::BackUp(plan("v2", HEIGHT)));
    // What was saved since is this one's, whoever goes on from here.
    scene.done().remembers(record());
    scene.done().does(HomeJob::Switch { folder: folder("v2"), plan: plan("v2", HEIGHT) });
}

/// `watcher` was killed between the switch and the first start, and the backup that it had made was none any more.
#[test]
fn what_was_saved_is_not_outdated_for_a_watcher_that_is_started_after_the_switch() {
    let mut scene = Scene::new(Settings::default());
    scene.is_due();
    scene.facts.record = present(Record { outdated: true, ..record() });
    scene.facts.backup = Backup::Complete;
    scene.tick().does(HomeJob::BackUp(plan("v2", HEIGHT)));
    // Killed before it was complete, it is made anew.
    scene.core = Core::new(Settings::default());
    scene.climbs_to(|job| matches!(job, HomeJob::AppHook));
    scene.core = Core::new(Settings::default());
    scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
    assert_eq!(scene.facts.record, present(Record { starts: 1, app_hook_done: true, ..record() }));
}

/// It was brought back, from before all that the old binary had done since.
#[test]
fn what_was_saved_before_no_backup_was_wanted_any_more_is_of_an_earlier_one_too() {
    let mut scene = Scene::halted(Settings::default());
    scene.facts.record = present(Record::nothing(Version::Genesis));
    scene.facts.backup = Backup::Earlier;
    scene.asks();
    answered(&mut scene, Some(HEIGHT), Some(HEIGHT - 1)).remembers(Record { outdated: true, ..record() });
}

/// No node was started any more, or the new binary was, on a chain that went on with the old one.
#[test]
fn a_halt_that_the_chain_goes_past_without_its_upgrade_is_dropped_where_nothing_was_switched() {
    let skips = || Settings { skip_heights: [HEIGHT].into(), ..Settings::default() };
    let mut scene = Scene::new(skips());
    scene.is_due();
    scene.tick().remembers(Record::nothing(Version::Genesis)).says_first(
        "upgrade \"v2\" at height 1000 is given up: the node is told to skip its height (--unsafe-skip-upgrades)",
    );
    scene.done().starts(Version::Genesis);
    scene.done();
    scene.is_at(HEIGHT, HEIGHT - 1).rests();
    // Whatever becomes of the flag.
    scene.is_at(HEIGHT + 1, HEIGHT).remembers(Record { verdict: Verdict::Skipped, ..passed() });
    scene.done().rests();
    // It was told that the state after it is the network's.
    scene.is_at(HEIGHT + 2, HEIGHT + 1).says(&[]);
}

/// It was told as passed, agreed with the network and signing, although none of it had been carried out.
#[test]
fn what_the_node_skips_although_its_binary_is_linked_is_told_and_passes_as_skipped() {
    let mut scene = Scene::switched(Settings { skip_heights: [HEIGHT].into(), ..Settings::default() });
    assert!(scene.tick().0.notes.iter().any(|note| note.to_string().contains("whose binary is linked already")));
    scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
    scene.done();
    let told = scene.is_at(HEIGHT + 1, HEIGHT);
    told.says(&["upgrade \"v2\" at height 1000: the node went on without it"]);
    let Some((_, HomeJob::Remember(record))) = &told.0.home else { panic!("{:?}", told.0) };
    assert_eq!(record.verdict, Verdict::Skipped);
}

/// A file that was touched, or that a script wrote that was run once more.
#[test]
fn an_older_upgrade_stops_no_node_that_is_beyond_it_nor_does_one_that_its_operator_names() {
    for (origin, latest) in [(Origin::Node, HEIGHT + 1), (Origin::Operator, HEIGHT + 1), (Origin::Operator, HEIGHT)] {
        let mut scene = Scene::running(Settings::default());
        scene.facts.record = present(Record { plan: plan("v3", HEIGHT + 1), ..passed() });
        scene.is_at(latest, latest - 1);
        scene.facts.info = written(origin);
        let told = scene.tick();
        told.rests();
        assert!(told.0.notes.iter().any(|note| note.to_string().contains("it is older")), "{origin:?} {latest}");
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

/// Without an execute bit, as no `add-upgrade` leaves it: whether it was made hung on which height was heard first.
#[test]
fn a_plan_that_was_written_by_hand_for_a_height_ahead_is_made_whatever_its_permissions() {
    for mut scene in [Scene::running(Settings::default()), with_old_file(|_| {})] {
        scene.facts.info = written(Origin::Node);
        scene.facts.staged.insert(folder("v2"), Staged::Operator);
        scene.asks();
        scene.ends(answer(HEIGHT - 2, HEIGHT - 2)).rests();
        scene.is_at(HEIGHT, HEIGHT).remembers(record()).says(&["upgrade \"v2\" at height 1000 is due"]);
    }
    // A node that had halted there would have said so.
    let mut scene = Scene::running(Settings::default());
    scene.facts.info = written(Origin::Node);
    scene.asks();
    let told = scene.ends(answer(HEIGHT, HEIGHT));
    told.remembers(Record { verdict: Verdict::Skipped, ..passed() });
    told.says(&[
        "data/upgrade-info.json asks for upgrade \"v2\" at height 1000: its height is past, and nothing is switched",
    ]);
}

/// Only the node's own `status` answered, and the binary of long ago took the place of a later one that was linked by hand.
#[test]
fn a_file_of_what_is_past_that_is_written_anew_switches_nothing_where_only_the_nodes_own_height_is_known() {
    let mut scene = Scene::new(Settings::default());
    scene.facts.current = Current::Version(Version::Upgrade(folder("v2-hotfix")));
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.tick();
    scene.done();
    scene.facts.info = written(Origin::Node);
    scene.asks();
    let from = Version::Upgrade(folder("v2-hotfix"));
    let over = Record { from, verdict: Verdict::Skipped, ..passed() };
    answered(&mut scene, Some(HEIGHT + 2), None).remembers(over);
}

/// The node had halted on them and was killed before anybody saw it: the upgrade was written down as passed, and the old
/// binary started for ever.
#[test]
fn what_was_signed_on_other_data_settles_no_upgrade() {
    let v1 = |data| Record { plan: plan("v1", 5), data, ..passed() };
    let none = |data| Record { data, ..Record::nothing(Version::Genesis) };
    for (record, settles) in [
        (v1(None), false),
        (v1(Some(data(2))), false),
        (v1(Some(data(1))), true),
        (none(Some(data(2))), false),
        (none(None), true),
    ] {
        let mut scene = with_old_file(|_| {});
        (scene.facts.data, scene.facts.record) = (Some(data(1)), present(record.clone()));
        scene.asks();
        scene.facts.signed_height = Some(HEIGHT + 1);
        let told = answered(&mut scene, None, None);
        let settled = Record { data: record.data, ..passed() };
        let is = matches!(&told.0.home, Some((_, HomeJob::Remember(record))) if *record == settled);
        assert_eq!(is, settles, "{record:?}: {:?}", told.0);
    }
}

/// The data were exchanged for older ones in the middle of it, and it was told as passed at its start.
#[test]
fn what_was_signed_on_other_data_passes_no_upgrade_that_is_under_way() {
    let mut scene = Scene::switched(Settings::default());
    scene.facts.record = present(Record { starts: 1, data: Some(data(1)), ..hooked() });
    (scene.facts.data, scene.facts.signed_height) = (Some(data(2)), Some(HEIGHT + 5));
    scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
    scene.done().rests();
    // What it signs itself counts.
    scene.facts.signed_height = Some(HEIGHT + 6);
    assert!(matches!(&scene.tick().0.home, Some((_, HomeJob::Remember(record))) if record.verdict == Verdict::Passed));
}

#[test]
fn what_was_signed_before_an_upgrade_was_due_says_nothing_of_it_nor_does_what_could_not_be_read_then() {
    for (signed, unknown, before) in
        [(Some(HEIGHT), None, 0), (Some(HEIGHT + 1), None, HEIGHT + 1), (None, Some("half".to_string()), u64::MAX)]
    {
        let mut scene = Scene::running(Settings::default());
        (scene.facts.info, scene.facts.signed_height) = (written(Origin::Node), signed);
        scene.facts.signer_unknown = unknown;
        scene.asks();
        let told = scene.ends(answer(HEIGHT, HEIGHT - 1));
        told.remembers(Record { signed_before: before, ..record() });
    }
}

/// One look at it failed, and the new binary was started without its hooks, or the old one at the halt.
#[test]
fn nothing_is_started_in_the_middle_of_a_swap_while_its_plan_cannot_be_read() {
    let unreadable = || Info::Unreadable { reason: "it broke".into(), fingerprint: Fingerprint::default() };
    let stopped = || {
        let mut scene = Scene::switched(Settings::default());
        scene.facts.record = present(record());
        let readable = core::mem::replace(&mut scene.facts.info, unreadable());
        scene.tick().rests();
        scene.seconds(9).rests();
        (scene, readable)
    };
    let (mut scene, readable) = stopped();
    scene.facts.info = readable;
    scene.seconds(1).does(HomeJob::AppHook);
    // It stays that way, and a node is better than none.
    let (mut scene, _) = stopped();
    scene.seconds(1).starts(v2());
}

/// The record was written again and again, without a pause and without end.
#[test]
fn a_file_of_what_is_past_that_is_written_anew_is_settled_once() {
    let skips = || Settings { skip_heights: [HEIGHT].into(), ..Settings::default() };
    for (settings, record) in [
        (Settings::default(), Record::nothing(Version::Genesis)),
        (Settings::default(), Record { verdict: Verdict::Signing, ..passed() }),
        (skips(), Record::nothing(Version::Genesis)),
    ] {
        let mut scene = Scene::running(settings);
        scene.facts.record = present(record);
        scene.is_at(HEIGHT + 10, HEIGHT + 9).rests();
        scene.facts.info = written(Origin::Node);
        scene.tick();
        let jobs = (0..20).take_while(|_| scene.core.home.job().is_some() && scene.done().0.exit.is_none()).count();
        assert!(jobs < 20, "{:?}", scene.core.home);
    }
}

/// A node that writes into an operator's file leaves it marked as his: killed at its halt together with `watcher`, it ended before it
/// could be asked, without end. And a port that was taken, or a killed node, had a far height carried out that an editor had named.
#[test]
fn what_a_node_died_of_before_it_was_asked_is_told_by_its_own_words() {
    let died = |origin, exit, says: Option<Words>| {
        let mut scene = Scene::new(Settings::default());
        scene.facts.info = written(origin);
        scene.facts.staged.insert(folder("v2"), Staged::Operator);
        assert!(matches!(scene.tick().0.home, Some((_, HomeJob::Start { listen: true, .. }))));
        scene.done();
        scene.exits_saying(exit, says).0
    };
    let is_due = Note::Due(plan("v2", HEIGHT));
    let short = Words::At { began: HEIGHT - 9, reached: HEIGHT - 2 };
    let taken = Words::Trouble(Trouble::PortInUse, "address already in use".into());
    for (origin, exit, says, due) in [
        (Origin::Operator, code(1), Some(Words::Due(HEIGHT)), true),
        (Origin::Operator, code(1), Some(Words::Due(HEIGHT + 1)), false),
        (Origin::Operator, code(1), None, false),
        (Origin::Node, code(1), Some(Words::Due(HEIGHT)), true),
        (Origin::Node, code(1), Some(Words::At { began: HEIGHT - 1, reached: HEIGHT - 1 }), true),
        (Origin::Node, code(1), None, true),
        (Origin::Node, code(1), Some(short), false),
        (Origin::Node, code(1), Some(taken), false),
        (Origin::Node, NodeExit::Signal(9), None, false),
        (Origin::Node, code(143), None, false),
        // Its own configuration, say.
        (Origin::Node, code(1), Some(Words::Otherwise), false),
        // A block of unknown height was executed: it was a defect of `watcher` to count on from there.
        (Origin::Node, code(1), Some(Words::At { began: 5, reached: u64::MAX }), true),
        // Its plan was scheduled in the block of its own height.
        (Origin::Node, code(1), Some(Words::Due(HEIGHT - 1)), true),
        (Origin::Operator, code(1), Some(Words::Due(HEIGHT - 1)), false),
        // Somebody ran the new binary on these data.
        (Origin::Node, code(1), Some(Words::Needs(folder("v2"))), true),
    ] {
        let decision = died(origin, exit, says.clone());
        assert_eq!(decision.notes.contains(&is_due), due, "{origin:?} {says:?}: {decision:?}");
        assert_eq!(decision.exit.is_none(), due, "{decision:?}");
    }
}

/// A queued or an exact one is named again by itself, and a file that somebody wrote anew was not the node's.
#[test]
fn only_what_the_node_wrote_over_and_nobody_names_again_is_told_as_lost() {
    let named = |change: &dyn Fn(&mut Facts)| {
        let mut scene = Scene::running(Settings::default());
        let upgrade = upgrade("v3", HEIGHT + 3);
        scene.facts.info = Info::Plan { upgrade, fingerprint: file(9), origin: Origin::Operator };
        change(&mut scene.facts);
        scene.asks();
        scene.ends(answer(HEIGHT - 1, HEIGHT - 1)).says(&[]);
        scene
    };
    let mut queued = named(&|facts| facts.orders.queue = [plan("v3", HEIGHT + 3)].into());
    queued.facts.info = written(Origin::Node);
    queued.tick().says(&[]);
    let exact = Exact { name: "v3".into(), folder: folder("v3"), height: HEIGHT + 3, missed: false };
    let mut exact = named(&|facts| facts.orders.exact = Some(exact.clone()));
    exact.facts.info = written(Origin::Node);
    exact.tick().says(&[]);
    // An editor leaves no execute bit.
    let mut scene = named(&|_| {});
    let upgrade = upgrade("v4", HEIGHT + 500);
    scene.facts.info = Info::Plan { upgrade, fingerprint: file(10), origin: Origin::Node };
    scene.tick().says(&[]);
}

/// The node ended at once (a port in use), and the upgrade was carried out at whatever height that was.
#[test]
fn a_plan_that_was_written_by_hand_is_so_for_the_next_watcher_too() {
    let mut scene = Scene::running(Settings::default());
    scene.facts.info = written(Origin::Node);
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.asks();
    scene.ends(answer(HEIGHT - 500, HEIGHT - 500));
    for _ in 0..5 {
        if scene.after(Settings::default().poll_interval).0.home.is_some()
            && scene.core.home.job() != Some(&HomeJob::Ask)
        {
            scene.done();
        }
    }
    // The next one.
    (scene.core, scene.facts.lock) = (Core::new(Settings::default()), NodeLock::Free);
    scene.tick().starts(Version::Genesis);
    scene.done();
    scene.exits(code(1)).leaves(Exit::NodeEnded(code(1)));
}

/// The record was written again and again, without a pause and without end.
#[test]
fn a_height_that_was_named_by_hand_and_is_skipped_is_settled_once() {
    for origin in [Origin::Operator, Origin::Node] {
        let mut scene = Scene::running(Settings { skip_heights: [HEIGHT].into(), ..Settings::default() });
        scene.facts.info = written(origin);
        let Run::Alive(life) = &mut scene.core.run else { panic!("it runs") };
        // As of a plan without an execute bit.
        life.answered(file(10), NodeAnswer { latest: Some(HEIGHT - 9), committed: None }, scene.now);
        scene.is_at(HEIGHT - 9, HEIGHT - 9);
        scene.is_at(HEIGHT + 1, HEIGHT);
        let jobs = (0..20).take_while(|_| scene.core.home.job().is_some() && scene.done().0.exit.is_none()).count();
        assert!(jobs < 20, "{:?}", scene.core.home);
    }
}

/// State sync: the file of an upgrade of long ago was taken for a person's, and its binary took the place of what ran.
#[test]
fn a_node_that_has_no_block_yet_does_not_tell_who_wrote_the_file() {
    let mut scene = with_old_file(|_| {});
    scene.asks();
    scene.ends(answer(0, 0)).rests();
    scene.tick().rests();
    scene.is_at(HEIGHT + 500, HEIGHT + 500).remembers(passed()).says(&[]);
}
