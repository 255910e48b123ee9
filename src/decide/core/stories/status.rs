use super::*;

#[test]
fn what_runs_and_what_comes_next_is_one_line() {
    let says = |scene: &Scene, line: &str| assert_eq!(scene.core.status(&scene.facts), line);
    let mut scene = Scene::new(Settings::default());
    says(&scene, "no node runs; what is scheduled is not known");
    scene.tick();
    says(&scene, "genesis runs; starting the node");
    scene.done();
    says(&scene, "genesis runs; what is scheduled is not known");
    scene.is_at(900, 899);
    scene.hears(OWN_NODE, scheduled(upgrade("v2", HEIGHT)));
    says(&scene, "genesis runs at height 900; next upgrade v2 at 1000, its binary is NOT there");
    for (staged, there) in [(Staged::None, "NOT there"), (Staged::Arriving, "NOT there"), (Staged::Operator, "there")] {
        scene.facts.staged.insert(folder("v2"), staged);
        says(&scene, &format!("genesis runs at height 900; next upgrade v2 at 1000, its binary is {there}"));
    }
    scene.is_due();
    says(&scene, "genesis runs at height 900; upgrade v2 at 1000: waiting");
    scene.tick().stops();
    says(&scene, "genesis runs at height 900; upgrade v2 at 1000: stopping the node");
}

#[test]
fn of_a_new_binary_it_says_what_is_waited_for_and_of_one_that_has_passed_nothing() {
    let mut scene = Scene::upgraded(Settings::default());
    scene.hears(EndpointId(1), scheduled(upgrade("v2", HEIGHT)));
    let line = |scene: &Scene| scene.core.status(&scene.facts);
    assert_eq!(line(&scene), "upgrades/v2 runs; upgrade v2 at 1000: waiting until its height is committed");
    // It is asked for its height, which is told of nowhere.
    scene.seconds(2).does(HomeJob::Ask);
    scene.facts.record = present(passed());
    assert_eq!(line(&scene), "upgrades/v2 runs; no upgrade is scheduled");
}

#[test]
fn that_no_upgrade_is_scheduled_is_said_once_somebody_said_so() {
    let mut scene = Scene::running(Settings::default());
    assert_eq!(scene.core.status(&scene.facts), "genesis runs; what is scheduled is not known");
    scene.hears(EndpointId(1), News::Scheduled { height: 899, upgrade: None, applied: None });
    assert_eq!(scene.core.status(&scene.facts), "genesis runs; no upgrade is scheduled");
}

/// It said that no node ran, and that no upgrade was scheduled.
#[test]
fn of_a_node_that_crashes_it_says_how() {
    let mut scene = Scene::running(Settings { crash_restarts: 3, ..Settings::default() });
    scene.exits(code(7)).rests();
    assert_eq!(scene.core.status(&scene.facts), "no node runs; it ended with exit status 7");
}
