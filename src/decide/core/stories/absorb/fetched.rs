//! Beside the home lane.

use super::*;

/// A fetch for this upgrade is under way.
fn fetching(upgrade: &Upgrade) -> Scene {
    let mut scene = Scene::running(Settings {
        downloads: true,
        jitter: Duration::ZERO,
        poll_interval: Duration::from_hours(1),
        ..Settings::default()
    });
    let told = scene.hears(EndpointId(1), scheduled(upgrade.clone()));
    assert!(matches!(told.0.fetch, Some((_, FetchJob::Fetch { .. }))), "{:?}", told.0);
    scene
}

#[test]
fn a_fetch_that_fails_is_tried_again_seldomer_each_time_and_faster_once_it_is_due() {
    let v2 = fetchable("v2", HEIGHT);
    let mut scene = fetching(&v2);
    let again =
        |pause| format!("fetching the binary of upgrade \"v2\" failed and is tried again in {pause}s: it broke");
    // Once it does not pass at once, and at the halt once more, its operator is told where he may put it.
    let missing = "upgrade \"v2\" at height 1000 has no binary: place it at $DAEMON_HOME/cosmovisor/upgrades/v2/bin/$DAEMON_NAME \
                   (it could not be fetched so far, and is tried again: the warnings say why)";
    for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        let told = scene.fetch_ends(failed("it broke"));
        let (failed, again) = (again(pause), [missing]);
        told.says(&[&[failed.as_str()], &again[..usize::from(pause == 8)]].concat())
            .wakes(scene.now + Duration::from_secs(pause));
        assert_eq!(scene.seconds(pause - 1).0.fetch, None);
        assert!(scene.seconds(1).0.fetch.is_some());
    }
    scene.facts.info = Info::Plan { upgrade: v2, fingerprint: file(10), origin: Origin::Node };
    scene.facts.record = present(record());
    scene.fetch_ends(failed("it broke")).says(&[&again(5), missing]);
}

#[test]
fn the_other_side_may_say_when_to_come_back() {
    let mut scene = fetching(&fetchable("v2", HEIGHT));
    let later = Outcome::Failed { reason: "busy".into(), retry_after: Some(Duration::from_mins(1)) };
    scene.fetch_ends(later).says(&["fetching the binary of upgrade \"v2\" failed and is tried again in 60s: busy"]);
}

/// An archive that can never be used was fetched every five seconds by every node that stood at the halt.
#[test]
fn at_the_halt_the_other_side_is_heeded_for_a_minute() {
    let v2 = fetchable("v2", HEIGHT);
    let mut scene = fetching(&v2);
    scene.facts.info = Info::Plan { upgrade: v2, fingerprint: file(10), origin: Origin::Node };
    scene.facts.record = present(record());
    let unusable = Outcome::Failed { reason: "unusable".into(), retry_after: Some(Duration::from_mins(5)) };
    let told = "fetching the binary of upgrade \"v2\" failed and is tried again in 60s: unusable";
    scene.fetch_ends(unusable).says(&[told]);
}

#[test]
fn a_fetch_that_works_is_forgotten_as_a_failure() {
    let v2 = fetchable("v2", HEIGHT);
    let mut scene = fetching(&v2);
    scene.fetch_ends(failed("it broke"));
    scene.seconds(1);
    scene.facts.stored = [receipt(&v2)].into();
    scene.fetch_ends(Outcome::Done).does(HomeJob::Place { receipt: receipt(&v2), upgrade: v2 });
    assert!(scene.core.fetching.is_empty());
}

#[test]
fn no_more_failures_are_remembered_than_there_is_room_for() {
    let mut scene = fetching(&fetchable("v2", HEIGHT));
    scene.core.fetching = (0..31).map(|number| (number.to_string(), super::super::super::Retry::default())).collect();
    scene.fetch_ends(failed("it broke"));
    assert_eq!(scene.core.fetching.len(), 32);
    scene.seconds(1);
    scene.fetch_ends(failed("it broke"));
    assert_eq!(scene.core.fetching.len(), 1);
}

#[test]
fn a_binary_that_is_hashed_is_told_once_to_be_ready() {
    let v2 = fetchable("v2", HEIGHT);
    let mut scene = fetching(&v2);
    scene.facts.staged.insert(folder("v2"), Staged::Ours(receipt(&v2)));
    let verifies = |told: Told| assert!(matches!(told.0.fetch, Some((_, FetchJob::Verify(_)))), "{:?}", told.0);
    let ready = "upgrade \"v2\" at height 1000 is staged and verified in upgrades/v2";
    verifies(scene.fetch_ends(Outcome::Done));
    scene
        .fetch_ends(failed("it broke"))
        .says(&["hashing the binary in upgrades/v2 failed and is tried again in 1s: it broke"]);
    verifies(scene.seconds(1));
    let told = scene.fetch_ends(Outcome::Done);
    told.says(&[ready]);
    assert_eq!(told.0.fetch, None);
    assert!(scene.core.fetching.is_empty());
    // Near its height it is hashed once more, and nothing new is said.
    verifies(scene.is_at(HEIGHT - 50, HEIGHT - 51));
    let told = scene.fetch_ends(Outcome::Done);
    told.says(&[]);
    assert_eq!(told.0.fetch, None);
}

#[test]
fn how_the_node_stands_beside_the_network_is_kept() {
    let mut scene = Scene::running(Settings::default());
    scene.core.begin_fetch(FetchJob::Compare(7), scene.now, &mut Decision::default());
    let comparison = Comparison { own: Some("a".into()), ..Comparison::default() };
    scene.fetch_ends(Outcome::Compared(comparison.clone()));
    assert_eq!(scene.core.compared, comparison);
    scene.core.begin_fetch(FetchJob::Compare(7), scene.now, &mut Decision::default());
    scene
        .fetch_ends(failed("it broke"))
        .says(&["comparing the state after height 7 failed and is tried again in 1s: it broke"]);
}
