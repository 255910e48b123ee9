//! The queue of upgrades.

use super::*;

fn name(name: &str, height: u64, over: Option<Fingerprint>) -> HomeJob {
    HomeJob::Name { plan: plan(name, height), over }
}

/// Such a file is there, of an upgrade that has passed.
fn passed_already(scene: &mut Scene, name: &str, height: u64) {
    scene.facts.info = Info::Plan { upgrade: upgrade(name, height), fingerprint: file(9), origin: Origin::Operator };
    let record = Record { plan: plan(name, height), ..passed() };
    scene.facts.record = present(record);
    scene.facts.current = Current::Version(Version::Upgrade(folder(name)));
}

#[test]
fn the_lowest_height_ahead_is_named_first() {
    let mut scene = ordered(queue(&[("v4", 400), ("v3", 300)]));
    asked(&mut scene, 100).does(name("v3", 300, None)).says(&[]);
    scene.facts.info = Info::Plan { upgrade: upgrade("v3", 300), fingerprint: file(9), origin: Origin::Operator };
    scene.done().does(HomeJob::Ask);
    scene.ends(answer(150, 149)).rests();
}

#[test]
fn what_has_passed_leaves_the_queue_and_the_next_is_named_over_its_file() {
    let mut scene = ordered(queue(&[("v3", 90), ("v4", 400)]));
    passed_already(&mut scene, "v3", 90);
    asked(&mut scene, 100).does(HomeJob::Unqueue(plan("v3", 90)));
    scene.done().does(name("v4", 400, Some(file(9))));
    // One that is under way stays.
    let mut scene = ordered(queue(&[("v3", 90)]));
    scene.facts.record = present(Record::new(plan("v3", 90), Version::Genesis));
    asked(&mut scene, 100).rests();
    // So does one of the same name at another height.
    let mut scene = ordered(queue(&[("v3", 400)]));
    passed_already(&mut scene, "v3", 90);
    asked(&mut scene, 100).does(name("v3", 400, Some(file(9))));
}

#[test]
fn a_height_that_was_missed_is_told_once_and_the_next_is_named() {
    let missed = "upgrade \"v3\" at height 100 is queued in data/upgrade-info.json.batch, and the node is at height 100: it \
                  is not carried out; take it from the file, or restore older data";
    let mut scene = ordered(queue(&[("v3", 100), ("v4", 101)]));
    asked(&mut scene, 100).does(name("v4", 101, None)).says(&[missed]);
    scene.fails();
    scene.seconds(1).says(&[]);
    // What the file names already is not missed: it may be due.
    let mut scene = ordered(queue(&[("v3", 100)]));
    scene.facts.info = Info::Plan { upgrade: upgrade("v3", 100), fingerprint: file(9), origin: Origin::Operator };
    scene.asks();
    scene.ends(answer(100, 99)).says(&["upgrade \"v3\" at height 100 is due"]);
    for (of, height) in [("v3", 99), ("v9", 100)] {
        let mut scene = ordered(queue(&[("v3", 100)]));
        passed_already(&mut scene, of, height);
        asked(&mut scene, 100).rests().says(&[missed]);
    }
}

#[test]
fn the_file_belongs_to_what_it_names_until_that_height_is_committed() {
    let behind = |height, latest, committed| {
        let mut scene = ordered(queue(&[("v4", 400)]));
        passed_already(&mut scene, "v3", height);
        scene.asks();
        let told = scene.ends(Outcome::Answered(NodeAnswer { latest: Some(latest), committed }));
        matches!(told.0.home, Some((_, HomeJob::Name { .. })))
    };
    assert!(behind(100, 100, Some(100)));
    assert!(!behind(101, 101, Some(100)));
    assert!(behind(99, 100, None), "what is not known is one less than the height");
    assert!(!behind(100, 100, None));
    // One that cannot be read may be being written.
    let mut scene = ordered(queue(&[("v4", 400)]));
    scene.facts.info = Info::Unreadable { reason: "half".into(), fingerprint: file(3) };
    asked(&mut scene, 100).rests();
}

#[test]
fn an_exact_height_whose_file_was_taken_by_another_upgrade_is_named_again() {
    for (height, again) in [(399, true), (400, false)] {
        let exact = Some(Exact { name: "patch".into(), folder: folder("patch"), height: 400, missed: false });
        let mut scene = ordered(Orders { exact, ..Orders::default() });
        passed_already(&mut scene, "v3", 90);
        scene.core.generation = Some((Version::Upgrade(folder("v3")), None));
        scene.asks();
        let told = scene.ends(answer(height, height.min(399)));
        let named = told.0.home.as_ref().is_some_and(|(_, job)| *job == name("patch", 400, Some(file(9))));
        assert_eq!(named, again, "{height}: {:?}", told.0);
    }
}
