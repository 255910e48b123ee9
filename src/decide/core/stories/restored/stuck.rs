//! A node that stays up and makes no block.

use super::*;
use crate::decide::facts::Verdict;

const STANDS: &str = "the node is restarted because it stands still on data from elsewhere, and may say why";

#[test]
fn on_strange_data_it_is_started_again_after_twenty_seconds() {
    let mut scene = strange(Settings::default());
    scene.is_at(101, 100).rests();
    scene.seconds(19).rests();
    scene.seconds(1).stops().says(&[STANDS]);
    scene.exits(code(0)).rests();
    scene.done().starts(Version::Genesis);
}

#[test]
fn one_that_goes_on_or_is_level_or_is_known_is_left_alone() {
    let stands = |latest, committed, change: &dyn Fn(&mut Scene)| {
        let mut scene = strange(Settings::default());
        scene.is_at(latest, committed);
        scene.seconds(19);
        change(&mut scene);
        scene.seconds(1).0.home.is_some()
    };
    assert!(stands(101, 100, &|_| {}));
    assert!(!stands(100, 100, &|_| {}));
    assert!(!stands(102, 100, &|_| {}));
    assert!(!stands(101, 100, &|scene| scene.facts.data = None));
    let own = Record { data: Some(data(1)), ..Record::nothing(Version::Genesis) };
    assert!(!stands(101, 100, &|scene| scene.facts.record = present(own.clone())));
    // It has moved on.
    let mut scene = strange(Settings::default());
    scene.facts.record = RecordFact::Unreadable;
    scene.is_at(101, 100);
    scene.seconds(19);
    scene.is_at(102, 101).rests();
    scene.seconds(1).rests();
    scene.seconds(18).rests();
    scene.seconds(1).stops();
}

#[test]
fn it_is_not_started_again_for_ever() {
    let mut scene = strange(Settings::default());
    for _ in 0..3 {
        scene.is_at(101, 100).rests();
        scene.seconds(20).stops();
        scene.exits(code(0));
        scene.done().starts(Version::Genesis);
        scene.done();
    }
    scene.is_at(101, 100).rests();
    scene.seconds(200).rests();
}

#[test]
fn one_that_was_told_to_stop_there_says_nothing_by_standing() {
    let mut scene = strange(Settings::default());
    scene.facts.orders.exact = Some(Exact { name: "v2".into(), folder: folder("v2"), height: 101, missed: false });
    let Run::Alive(life) = &mut scene.core.run else { panic!("it runs") };
    life.halt = Some(101);
    scene.is_at(101, 100);
    scene.seconds(19);
    scene.ends(Outcome::Cancelled);
    scene.seconds(1).says(&[]);
}

/// x/upgrade could not write the file, and nothing else makes an upgrade due; or the application failed at the block.
#[test]
fn one_that_stands_at_a_block_is_told_after_a_minute() {
    let stands = |latest, settings, change: &dyn Fn(&mut Scene)| {
        let mut scene = Scene::running(settings);
        scene.facts.staged.insert(folder("v2"), Staged::Operator);
        scene.hears(OWN_NODE, scheduled(upgrade("v2", HEIGHT)));
        scene.is_at(latest, latest - 1).says(&[]);
        scene.seconds(59).says(&[]);
        change(&mut scene);
        scene.seconds(1)
    };
    let unwritten = "the node stands at the height of upgrade \"v2\" at height 1000 and has not written data/upgrade-info.json, \
                     before which nothing is switched: its log says why; where it may not write there, the disk is full, or it \
                     was told to stop there (halt-height), mend that and restart it";
    stands(HEIGHT, Settings::default(), &|_| {}).says(&[unwritten]);
    let fails = |height| {
        format!(
            "the node has block {height} and has not executed it for a minute: where it failed at it (its log says CONSENSUS \
             FAILURE) or was told to stop there (halt-height), it makes no block until that is mended and it is restarted"
        )
    };
    stands(HEIGHT - 1, Settings::default(), &|_| {}).says(&[&fails(HEIGHT - 1)]);
    let skips = Settings { skip_heights: [HEIGHT].into(), ..Settings::default() };
    stands(HEIGHT, skips, &|_| {}).says(&[&fails(HEIGHT)]);
    let commits = |scene: &mut Scene| scene.is_at(HEIGHT, HEIGHT).says(&[]).0.home.is_none().then_some(()).unwrap();
    stands(HEIGHT, Settings::default(), &commits).says(&[]);
}

/// Two thirds were missing, or its disk was full and it stayed up: nothing was told for as long as it took.
#[test]
fn one_that_makes_no_block_after_an_upgrade_is_told_once_after_five_minutes() {
    let stands = |committed, record: &Record| {
        let mut scene = Scene::running(Settings::default());
        scene.facts.record = present(record.clone());
        scene.is_at(committed, committed).says(&[]);
        scene.seconds(299).says(&[]);
        let told = scene.seconds(1);
        scene.seconds(3_600).says(&[]);
        told
    };
    let still = |height| {
        format!(
            "upgrade \"v2\" at height 1000 has passed, and no block came after height {height} for 5 min: the network may be \
             waiting for two thirds to upgrade, or the node failed and stays up (its log says CONSENSUS FAILURE), until that is \
             mended and it is restarted; nothing is taken back by itself"
        )
    };
    let agreed = Record { verdict: Verdict::Agreed, ..passed() };
    for height in [HEIGHT, HEIGHT + 1] {
        stands(height, &agreed).says(&[&still(height)]);
    }
    stands(HEIGHT + 2, &agreed).says(&[]);
    stands(HEIGHT, &Record::nothing(Version::Genesis)).says(&[]);
}

/// It was heard of in the middle of a block, and made others while its RPC was too busy to say so.
#[test]
fn one_that_is_not_heard_of_does_not_stand() {
    let mut scene = Scene::running(Settings::default());
    scene.is_at(101, 100);
    scene.seconds(33);
    scene.hears(OWN_NODE, News::Failed { reason: "it does not answer".into(), silent: true });
    scene.seconds(300).says(&[]);
    scene.is_at(151, 150).says(&[]);
    scene.seconds(59).says(&[]);
    assert_eq!(scene.seconds(1).0.notes.len(), 1);
}
