//! The version that the data need.

use super::*;

/// The data need v2, and this is at its place.
fn needing(staged: Staged) -> (Scene, Told) {
    let mut scene = strange(Settings::default());
    scene.facts.staged.insert(folder("v2"), staged);
    let told = heard(&mut scene, needs("v2"));
    (scene, told)
}

const CHOSEN: &str = "the data were replaced and need upgrades/v2: it runs instead of genesis";

#[test]
fn it_is_what_the_node_says_and_runs_instead() {
    let (mut scene, told) = needing(Staged::Operator);
    told.does(HomeJob::Choose(v2())).says(&[ENDED, CHOSEN]);
    scene.done().starts(v2());
}

#[test]
fn it_is_looked_at_before_it_is_chosen() {
    let mut scene = strange(Settings::default());
    let told = heard(&mut scene, needs("v2"));
    told.rests().wakes(scene.now);
    assert_eq!(scene.core.interest(&Kind::Tick), [folder("v2")]);
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.tick().does(HomeJob::Choose(v2()));
}

#[test]
fn one_that_is_not_there_is_asked_for_and_one_that_arrives_is_waited_for() {
    let (_, told) = needing(Staged::None);
    assert!(matches!(&told.0.exit, Some(Exit::NodeFailed(why)) if why.starts_with("the data need upgrade v2")));
    let (mut scene, told) = needing(Staged::Arriving);
    told.rests();
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.tick().does(HomeJob::Choose(v2()));
}

#[test]
fn what_was_fetched_is_hashed_as_it_is_before_it_runs() {
    let ours = receipt(&fetchable("v2", HEIGHT));
    for staged in [Staged::Ours as fn(Receipt) -> Staged, Staged::Suspect] {
        let (mut scene, told) = needing(staged(ours.clone()));
        assert!(matches!(&told.rests().0.fetch, Some((_, FetchJob::Verify(name))) if *name == folder("v2")));
        assert!(scene.tick().rests().0.fetch.is_none(), "it is being hashed");
        scene.facts.staged.insert(folder("v2"), Staged::Ours(ours.clone()));
        scene.fetch_ends(Outcome::Done).does(HomeJob::Choose(v2()));
    }
    // Another file than the one that was hashed.
    let mut scene = strange(Settings::default());
    scene.core.hashed.insert(folder("v2"), Hashed { file: file(51), near: true });
    scene.facts.staged.insert(folder("v2"), Staged::Ours(ours));
    heard(&mut scene, needs("v2")).rests();
}

#[test]
fn one_that_runs_already_is_not_chosen_again_nor_any_more_than_three_times() {
    let mut scene = strange(Settings::default());
    scene.facts.current = Current::Version(v2());
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.exits(code(1));
    scene.done();
    scene.exits_saying(code(1), needs("v2")).leaves(Exit::NodeEnded(code(1)));
    let mut scene = strange(Settings::default());
    let names = ["v2", "v3", "v4", "v5"];
    for name in names {
        scene.facts.staged.insert(folder(name), Staged::Operator);
    }
    for (number, name) in names.iter().enumerate() {
        scene.exits(code(1)).starts_and_listens();
        scene.done();
        let told = scene.exits_saying(code(1), needs(name));
        if number < 3 {
            told.does(HomeJob::Choose(Version::Upgrade(folder(name))));
            scene.done();
            scene.done();
        } else {
            told.leaves(Exit::NodeEnded(code(1)));
        }
    }
}

#[test]
fn one_that_cannot_be_chosen_ends_watcher() {
    let (mut scene, _) = needing(Staged::Operator);
    scene.fails().leaves(Exit::NodeFailed("it broke".into()));
}

#[test]
fn the_version_before_an_upgrade_is_known_where_this_home_made_the_switch() {
    let older = |record: Record, current: Version, words: Words| {
        let mut scene = strange(Settings::default());
        (scene.facts.record, scene.facts.current) = (present(record), Current::Version(current));
        scene.exits(code(1)).starts_and_listens();
        scene.done();
        scene.exits_saying(code(1), words)
    };
    let too_new = || Words::TooNew(folder("v2"));
    older(passed(), v2(), too_new()).does(HomeJob::Choose(Version::Genesis));
    let unknown = "the data are from before upgrade v2: point cosmovisor/current at the version before it";
    let v3 = Version::Upgrade(folder("v3"));
    older(passed(), v3, too_new()).leaves(Exit::NodeFailed(unknown.into()));
    older(Record::nothing(v2()), v2(), too_new()).leaves(Exit::NodeFailed(unknown.into()));
}

#[test]
fn an_upgrade_that_was_under_way_on_other_data_begins_anew_on_these() {
    for (what, begun) in [
        ("the script has run", Record { custom_hook_done: true, ..record() }),
        ("pre-upgrade has run", Record { app_hook_done: true, ..record() }),
        ("it was started", Record { starts: 1, attempts: 1, ..record() }),
    ] {
        let mut scene = strange(Settings::default());
        scene.facts.staged.insert(folder("v2"), Staged::Operator);
        scene.exits(code(1)).starts_and_listens();
        scene.done();
        scene.core.counted = Some(1);
        scene.facts.record = present(begun);
        let told = scene.exits_saying(code(1), needs("v2"));
        let fresh = Record { outdated: true, ..record() };
        assert_eq!(told.0.home.as_ref().map(|(_, job)| job), Some(&HomeJob::Remember(fresh)), "{what}");
        assert_eq!((scene.core.counted, scene.core.attempt), (None, None));
        scene.done().does(HomeJob::Choose(v2()));
    }
    // One that has passed is over.
    let mut scene = strange(Settings::default());
    scene.facts.staged.insert(folder("v3"), Staged::Operator);
    scene.facts.record = present(Record { starts: 1, ..passed() });
    heard(&mut scene, needs("v3")).does(HomeJob::Choose(Version::Upgrade(folder("v3"))));
}

/// `gaiad rollback`, or a backup of the databases alone: the file says that its height has come.
#[test]
fn a_new_binary_on_data_that_were_set_back_makes_way_for_the_one_before() {
    let mut scene = Scene::switched(Settings::default());
    scene.facts.record = present(Record { starts: 1, ..hooked() });
    scene.climbs_to(|job| matches!(job, HomeJob::Start { listen: true, .. }));
    scene.done();
    let too_new = Words::TooNew(folder("v2"));
    // It counts, so that one that cannot be started keeps nobody at it for ever.
    scene.exits_saying(code(1), too_new).remembers(Record { starts: 2, attempts: 1, ..hooked() });
    scene.done().does(HomeJob::Choose(Version::Genesis));
    scene.done().remembers(Record::nothing(Version::Genesis));
    scene.done().starts(Version::Genesis);
    scene.done();
    // It halts once more.
    scene.facts.info = Info::Plan { upgrade: upgrade("v2", HEIGHT), fingerprint: file(12), origin: Origin::Node };
    scene.exits(code(1)).remembers(record());
}

/// A power cut took the record with it, and the new binary was started again and again whatever its operator did.
#[test]
fn whoever_links_current_to_the_version_before_gives_back_what_was_lost_with_the_record() {
    let lost = Record { from: v2(), attempts: 3, ..hooked() };
    let mut scene = Scene::switched(Settings::default());
    scene.facts.record = present(lost.clone());
    scene.climbs_to(|job| matches!(job, HomeJob::Start { .. }));
    scene.done();
    scene.exits_saying(code(1), Words::TooNew(folder("v2"))).does(HomeJob::Weigh(folder("v2")));
    scene.ends(weighed(1, "aa"));
    let Some(HomeJob::Remember(Record { failure: Some(failure), .. })) = scene.core.home.job() else {
        unreachable!("it is held: {:?}", scene.core.home)
    };
    assert!(failure.reason.ends_with(
        "; the data are from before it: link cosmovisor/current to the version before it and let it go on from there"
    ));

    let mut scene = Scene::switched(Settings::default());
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    (scene.facts.record, scene.facts.current) = (present(lost.clone()), Current::Version(Version::Genesis));
    scene.tick().remembers(Record { from: Version::Genesis, ..lost });
    scene.done().does(HomeJob::Switch { folder: folder("v2"), plan: plan("v2", HEIGHT) });
}

/// `upgrade-info.json` came with data that are past the upgrade after it.
#[test]
fn a_new_binary_that_names_another_upgrade_is_past_its_own() {
    let tried = Record { starts: 1, ..hooked() };
    let said = |words: Words, from: Version, data: Option<DataIdentity>| {
        let mut scene = Scene::switched(Settings::default());
        scene.facts.record = present(Record { from, ..tried.clone() });
        scene.facts.data = data;
        scene.climbs_to(|job| matches!(job, HomeJob::Start { listen: true, .. }));
        scene.done();
        let told = scene.exits_saying(code(1), words);
        (scene, told)
    };
    let strange = Some(data(1));
    let (mut scene, told) = said(needs("v3"), Version::Genesis, strange);
    told.remembers(Record { starts: 2, ..passed() });
    scene.facts.staged.insert(folder("v3"), Staged::Operator);
    scene.done().does(HomeJob::Choose(Version::Upgrade(folder("v3"))));
    // Its own, the one before it, and one on data that are known.
    for (words, from, data) in [
        (needs("v2"), Version::Genesis, strange),
        (needs("v1"), Version::Upgrade(folder("v1")), strange),
        (needs("v3"), Version::Genesis, None),
    ] {
        let (scene, told) = said(words, from, data);
        assert!(
            matches!(&told.0.home, Some((_, HomeJob::Remember(record))) if record.attempts == 1),
            "{:?}",
            scene.core.home
        );
    }
}
