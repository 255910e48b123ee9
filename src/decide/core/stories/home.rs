//! What is done at home when no job is under way.

mod calm;
mod climb;
mod situation;
mod stop;

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
        let again: &[&str] = &["writing the record failed and is tried again in 1s: it broke"];
        told.rests().says(if pause == 1 { again } else { &[] }).wakes(scene.now + Duration::from_secs(pause));
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
    scene.facts.record = RecordFact::Unreadable;
    assert!(matches!(scene.tick().0.exit, Some(Exit::NodeFailed(_))), "whatever it may have been");
}

#[test]
fn a_node_dies_of_an_old_file_only_where_its_binary_is_there_and_nothing_was_linked_by_hand() {
    let v1 = || Version::Upgrade(folder("v1"));
    let marker = Marker { name: "v1".into(), height: 500 };
    let dies = |change: &dyn Fn(&mut Facts)| with_old_file(change).exits(code(2));
    dies(&|_| {})
        .remembers(record())
        .says(&["the node (genesis) ended: exit status 2", "upgrade \"v2\" at height 1000 is due"]);
    let lasts = |change: &dyn Fn(&mut Facts)| {
        dies(change).leaves(Exit::NodeEnded(code(2)));
    };
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
            scene
                .hears(EndpointId(1), scheduled(next.clone()))
                .does(HomeJob::Place { receipt: receipt(&next), upgrade: next.clone() });
        } else {
            scene.exits(code(3)).leaves(Exit::NodeEnded(code(3)));
        }
    }
}
