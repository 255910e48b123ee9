//! No plan asks for anything.

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
            scene.hears(EndpointId(endpoint), News::Block { height: 2, time: 1, catching_up: false, committed: None });
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
        ("the folder is asked for by a plan of another height", ours, true, scheduled(fetchable("v3", 6_000)), false),
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
    let room = |approach| HomeJob::Room { plan: v3.plan.clone(), approach };
    scene.hears(EndpointId(1), scheduled(v3.clone())).does(room(Approach::Far));
    scene.done().rests();
    scene.tick().rests();
    scene.is_at(4_950, 4_949).does(room(Approach::Near));
    scene.done().rests();
    scene.is_at(4_951, 4_950).rests();
    let mut past = staged(Settings::default(), &v3, Some(Staged::Operator));
    past.facts.backup = Backup::Missing;
    past.facts.current = Current::Version(Version::Upgrade(folder("v3")));
    past.hears(EndpointId(1), scheduled(v3)).rests();
}
