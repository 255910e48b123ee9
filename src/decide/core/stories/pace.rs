use super::*;

/// How long it is until the home is looked at again.
fn next_look(scene: &mut Scene) -> Duration {
    let wake = scene.tick().0.wake;
    wake.and_then(|wake| wake.checked_sub(scene.now)).expect("there is a next look")
}

#[test]
fn a_calm_home_of_whose_changes_the_shell_hears_is_looked_at_once_a_second() {
    const POLL: Duration = Duration::from_millis(300);
    let mut scene = Scene::running(Settings::default());
    assert_eq!(next_look(&mut scene), POLL, "nobody hears of changes");
    scene.core.is_told_of_changes();
    assert_eq!(next_look(&mut scene), SECOND);
    // An operator may want it seldomer.
    let mut slow = Scene::running(Settings { poll_interval: Duration::from_secs(9), ..Settings::default() });
    slow.core.is_told_of_changes();
    assert_eq!(next_look(&mut slow), Duration::from_secs(9));
    // A job is under way, a node is awaited at its halt, or none runs.
    scene.core.begin(HomeJob::Generation, &mut Decision::default());
    assert_eq!(next_look(&mut scene), POLL);
    scene.ends(failed("no"));
    scene.is_due();
    scene.facts.staged.clear();
    assert_eq!(next_look(&mut scene), POLL);
    let mut scene = Scene::new(Settings { restart_delay: 9 * SECOND, ..Settings::default() });
    scene.core.is_told_of_changes();
    scene.facts.lock = NodeLock::Held;
    scene.tick();
    scene.ends(failed("it does not end"));
    assert_eq!(next_look(&mut scene), POLL);
}

#[test]
fn the_restart_delay_is_counted_from_the_end_of_whatever_node_there_was() {
    let settings = || {
        let poll_interval = Duration::from_hours(1);
        Settings { restart_delay: 10 * SECOND, poll_interval, ..Settings::default() }
    };
    let waits = |mut scene: Scene, told: Told| {
        let end = scene.now + 10 * SECOND;
        told.rests().wakes(end);
        scene.after(Duration::from_millis(9_999)).rests().wakes(end);
        let switch = HomeJob::Switch { folder: folder("v2"), plan: plan("v2", HEIGHT) };
        scene.after(Duration::from_millis(1)).does(switch);
    };
    let mut own = Scene::halted(settings());
    own.tick().stops();
    own.exits(code(0)).rests();
    let told = own.done();
    waits(own, told);
    // One that an earlier `watcher` left.
    let mut stray = Scene::new(settings());
    stray.is_due();
    stray.facts.lock = NodeLock::Held;
    stray.tick().stops_the_stray();
    stray.now += SECOND;
    let told = stray.done();
    waits(stray, told);
}

#[test]
fn folders_that_somebody_asks_for_are_looked_at() {
    let mut scene = Scene::running(Settings::default());
    let v2 = upgrade("v2", HEIGHT);
    assert_eq!(scene.core.interest(&Kind::Tick), []);
    let proven = News::Proven { height: 1, until: 0, upgrade: Some(v2.clone()) };
    for news in [scheduled(v2.clone()), proven] {
        let heard = Kind::Heard(Heard { endpoint: OWN_NODE, news });
        assert_eq!(scene.core.interest(&heard), [folder("v2")], "it is told of just now");
    }
    scene.hears(OWN_NODE, scheduled(v2));
    scene.core.sought = Some(folder("v3"));
    assert_eq!(scene.core.interest(&Kind::Tick), [folder("v2"), folder("v3")]);
}

#[test]
fn which_data_are_known_outlasts_an_upgrade_and_its_beginning_anew() {
    let mut scene = Scene::running(Settings::default());
    scene.facts.record = present(Record { data: Some(data(1)), ..Record::nothing(Version::Genesis) });
    scene.facts.info = written(Origin::Node);
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.asks();
    let due = Record { data: Some(data(1)), ..record() };
    scene.ends(answer(HEIGHT, HEIGHT - 1)).remembers(due.clone());
    assert_eq!(due.anew(false, None), due);
}
