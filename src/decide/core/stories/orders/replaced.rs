//! Another binary under the same name.

use super::*;

const RESTARTS: &str = "the node is restarted with the binary that replaces its own";

#[test]
fn the_node_that_runs_it_is_stopped_for_it_and_started_again() {
    let mut scene = ordered(to_replace(Version::Genesis, None));
    scene.tick().stops().says(&[RESTARTS]);
    scene.exits(code(0)).rests();
    scene.done().does(HomeJob::Replace(Version::Genesis));
    scene.done().starts(Version::Genesis);
}

/// It was started again without it, came to the height, was stopped for it, and so on.
#[test]
fn the_version_that_runs_is_replaced_at_its_height_with_one_restart() {
    let mut scene = ordered(to_replace(Version::Genesis, Some(200)));
    asked(&mut scene, 199).rests();
    scene.is_at(200, 199).stops().says(&[RESTARTS]);
    scene.exits(code(0)).rests();
    scene.done().does(HomeJob::Replace(Version::Genesis));
    scene.facts.orders = Orders::default();
    scene.done().starts(Version::Genesis);
}

/// It was told again where the node was reaped before its end was heard of.
#[test]
fn a_restart_is_told_once() {
    let mut scene = ordered(to_replace(Version::Genesis, None));
    scene.tick().stops().says(&[RESTARTS]);
    scene.done().rests().says(&[]);
    scene.exits(code(0)).does(HomeJob::Replace(Version::Genesis));
}

#[test]
fn a_binary_that_does_not_run_is_replaced_beside_the_node() {
    let mut scene = ordered(to_replace(v2(), None));
    scene.tick().does(HomeJob::Replace(v2())).says(&[]);
    scene.done().rests();
}

#[test]
fn it_waits_for_its_height() {
    let mut scene = ordered(to_replace(v2(), Some(200)));
    asked(&mut scene, 199).rests();
    scene.is_at(200, 199).does(HomeJob::Replace(v2()));
    // A node that does not run has no height.
    let mut scene = Scene::new(Settings::default());
    scene.facts.orders = to_replace(v2(), Some(200));
    scene.tick().starts(Version::Genesis);
}

#[test]
fn the_node_of_an_earlier_watcher_may_run_it_and_is_stopped_first() {
    let mut scene = ordered(to_replace(Version::Genesis, None));
    scene.tick().stops();
    scene.leaves_its_node(code(0), None);
    scene.done().stops_the_stray();
    scene.done().does(HomeJob::Replace(Version::Genesis));
    // A replacement comes before what is started.
    let mut scene = Scene::new(Settings::default());
    scene.facts.orders = to_replace(Version::Genesis, None);
    scene.tick().does(HomeJob::Replace(Version::Genesis));
}

#[test]
fn one_that_cannot_be_made_is_given_up_until_another_is_ordered() {
    let mut scene = ordered(to_replace(v2(), None));
    scene.tick().does(HomeJob::Replace(v2()));
    scene.fails().does(HomeJob::Ask).says(&["replacing the binary failed: it broke"]);
    scene.ends(answer(9, 8)).rests();
    scene.facts.orders = to_replace(Version::Upgrade(folder("v3")), None);
    scene.tick().does(HomeJob::Replace(Version::Upgrade(folder("v3"))));
}

#[test]
fn it_comes_before_the_ladder() {
    let mut scene = Scene::halted(Settings::default());
    scene.facts.orders = to_replace(v2(), None);
    scene.tick().does(HomeJob::Replace(v2()));
    scene.done().stops();
    // What an earlier `watcher` left may run it.
    let mut scene = Scene::new(Settings::default());
    scene.is_due();
    (scene.facts.orders, scene.facts.lock) = (to_replace(v2(), None), NodeLock::Held);
    scene.tick().stops_the_stray();
    scene.done().does(HomeJob::Replace(v2()));
}
