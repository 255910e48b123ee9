//! Data that came from elsewhere.

mod chosen;
mod known;
mod stuck;

use super::{
    super::{
        super::{event::Trouble, orders::Exact},
        Hashed,
    },
    *,
};

/// A node that runs on data of which nothing is known.
fn strange(settings: Settings) -> Scene {
    let mut scene = Scene::running(settings);
    scene.facts.data = Some(data(1));
    scene
}

fn needs(name: &str) -> Words {
    Words::Needs(folder(name))
}

const LISTENS: &str = "the node ended and may have said why: it is started once more, and listened to";
const ENDED: &str = "the node (genesis) ended: exit status 1";

/// It ended, was started again and ended once more, with these words.
fn heard(scene: &mut Scene, words: impl Into<Option<Words>>) -> Told {
    let run = RunId(scene.life().id.0 + 2);
    let start = HomeJob::Start { run, version: Version::Genesis, halt: None, listen: true };
    scene.exits(code(1)).does(start).says(&[ENDED, LISTENS]);
    scene.done();
    scene.exits_saying(code(1), words)
}

#[test]
fn a_node_that_ends_on_strange_data_is_started_once_more_and_listened_to() {
    let mut scene = strange(Settings::default());
    heard(&mut scene, None).leaves(Exit::NodeEnded(code(1)));
    // It did what it was asked to.
    strange(Settings::default()).exits(code(0)).leaves(Exit::Fine);
    // These are the data of this home.
    let mut scene = strange(Settings::default());
    scene.facts.record = present(Record { data: Some(data(1)), ..Record::nothing(Version::Genesis) });
    scene.exits(code(1)).leaves(Exit::NodeEnded(code(1)));
    // Others than its own.
    scene = strange(Settings::default());
    scene.facts.record = present(Record { data: Some(data(2)), ..Record::nothing(Version::Genesis) });
    heard(&mut scene, None).leaves(Exit::NodeEnded(code(1)));
    // There are none.
    let mut scene = Scene::running(Settings::default());
    scene.exits(code(1)).leaves(Exit::NodeEnded(code(1)));
}

#[test]
fn a_node_that_was_to_stop_at_a_height_is_listened_to_as_well() {
    let mut scene = Scene::running(Settings::default());
    let Run::Alive(life) = &mut scene.core.run else { panic!("it runs") };
    life.halt = Some(HEIGHT);
    heard(&mut scene, None).leaves(Exit::NodeEnded(code(1)));
}

/// What its `--halt-height` means is asked for first: an exact height was ordered while it ran.
#[test]
fn that_a_node_is_listened_to_is_told_once() {
    let mut scene = strange(Settings::default());
    scene.facts.orders.exact = Some(Exact { name: "v2".into(), folder: folder("v2"), height: HEIGHT, missed: false });
    scene.facts.info = written(Origin::Operator);
    scene.exits(code(1)).does(HomeJob::Generation).says(&[ENDED]);
    scene.ends(Outcome::HaltsBefore(Some(true))).starts_and_listens().says(&[LISTENS]);
}

#[test]
fn what_outlived_the_end_of_what_was_started_is_stopped_before_it_is_started_again() {
    let mut scene = strange(Settings::default());
    scene.leaves_its_node(code(1), None).stops_the_stray();
    scene.done().starts_and_listens();
}

#[test]
fn words_that_name_no_version_choose_none() {
    let trouble = Words::Trouble(Trouble::Locked, String::new());
    for words in [Words::Halted(7), trouble, Words::WrongAppHash, Words::At { began: 1, reached: 1 }] {
        heard(&mut strange(Settings::default()), words).leaves(Exit::NodeEnded(code(1)));
    }
}
