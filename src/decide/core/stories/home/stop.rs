//! After a stop request.

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

/// It was left running where anything had failed since a job last did what it was for.
#[test]
fn a_node_that_outlived_a_script_is_stopped_whatever_failed_before() {
    let mut scene = Scene::running(Settings { downloads: true, ..Settings::default() });
    let next = fetchable("v3", 5_000);
    scene.facts.stored = [receipt(&next)].into();
    scene.hears(EndpointId(1), scheduled(next.clone()));
    scene.fails().rests();
    scene.facts.staged.insert(next.folder, Staged::Operator);
    scene.seconds(3_600).rests();
    scene.signal().rests();
    scene.leaves_its_node(NodeExit::Signal(15), None).stops_the_stray();
}

#[test]
fn what_stands_in_the_way_of_an_upgrade_is_why_watcher_leaves() {
    let mut scene = Scene::halted(Settings::default());
    scene.facts.backup = Backup::Missing;
    scene.exits(code(1)).does(HomeJob::BackUp(plan("v2", HEIGHT)));
    scene.fails().rests();
    scene.signal().leaves(Exit::UpgradeFailed("backing up the data directory failed: it broke".into()));

    let held = "upgrade \"v2\" is due and held by the operator, until `watcher release all`";
    let no_room = "the backup cannot be made: it broke";
    // A node that is older than SDK 0.50 ends of a SIGTERM with 143.
    for (what, reason, exit) in [("held", held, code(0)), ("held", held, code(143)), ("no room", no_room, code(0))] {
        let mut scene = Scene::halted(Settings::default());
        scene.facts.staged.insert(folder("v2"), Staged::Operator);
        if what == "held" {
            scene.facts.orders.holds = [Hold { folder: None, reason: String::new() }].into();
            scene.tick().rests();
        } else {
            scene.facts.backup = Backup::Missing;
            scene.tick();
            scene.fails().rests();
        }
        scene.signal();
        scene.exits(exit).leaves(Exit::UpgradeFailed(reason.into()));
    }
    // What has passed the brake is not held.
    let mut scene = Scene::upgraded(Settings::default());
    scene.facts.orders.holds = [Hold { folder: None, reason: String::new() }].into();
    scene.signal();
    scene.exits(code(0)).leaves(Exit::Fine);
}

/// `watcher` left with its end, and the node ran on alone.
#[test]
fn what_a_node_leaves_in_the_background_is_stopped_with_its_end() {
    for exit in [code(0), code(3)] {
        let mut scene = Scene::running(Settings::default());
        scene.leaves_its_node(exit, None).stops_the_stray();
        scene.facts.lock = NodeLock::Free;
        scene.done().leaves(if exit == code(0) { Exit::Fine } else { Exit::NodeEnded(exit) });
    }
    // What cannot be stopped keeps nobody.
    let mut scene = Scene::running(Settings::default());
    scene.leaves_its_node(code(3), None).stops_the_stray();
    scene.fails();
    scene.seconds(1).leaves(Exit::NodeEnded(code(3)));
}
