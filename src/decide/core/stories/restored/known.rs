//! Data that become those of this home.

use super::*;

#[test]
fn data_on_which_a_node_made_blocks_past_the_last_upgrade_are_written_down() {
    let v1 = Record { plan: plan("v1", 500), ..passed() };
    for (what, data, heights, written) in [
        ("it made a block beyond it", Some(data(1)), [500, 501], true),
        ("it made the block itself", Some(data(1)), [499, 500], true),
        ("it is not so far", Some(data(1)), [498, 499], false),
        ("it made none", Some(data(1)), [501, 501], false),
        ("there are none", None, [500, 501], false),
    ] {
        let mut scene = Scene::running(Settings::default());
        scene.facts.record = present(v1.clone());
        scene.facts.data = data;
        scene.core.begin(HomeJob::Ask, &mut Decision::default());
        for height in heights {
            scene.is_at(height, height);
        }
        let told = scene.ends(Outcome::Cancelled);
        let job = HomeJob::Remember(Record { data, ..v1.clone() });
        assert_eq!(told.0.home.as_ref().is_some_and(|(_, begun)| *begun == job), written, "{what}: {:?}", told.0);
    }
    let mut scene = Scene::running(Settings::default());
    scene.facts.data = Some(data(1));
    scene.facts.record = present(Record { data: Some(data(1)), ..Record::nothing(Version::Genesis) });
    scene.is_at(10, 10);
    scene.is_at(11, 11).rests();
    scene.facts.record = RecordFact::Unreadable;
    scene.tick().rests();
}

#[test]
fn they_are_kept_by_the_record_of_the_next_upgrade() {
    let data = Some(data(1));
    let mut scene = Scene::running(Settings::default());
    scene.facts.record = present(Record { data, ..Record::nothing(Version::Genesis) });
    scene.facts.data = data;
    scene.facts.info = written(Origin::Node);
    scene.asks();
    scene.ends(answer(HEIGHT, HEIGHT - 1)).remembers(Record { data, ..record() });
}
