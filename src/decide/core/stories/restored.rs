use super::{super::super::facts::Verdict, *};

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

#[test]
fn what_outlived_the_end_of_what_was_started_is_stopped_before_it_is_started_again() {
    let mut scene = strange(Settings::default());
    scene.leaves_its_node(code(1), None).stops_the_stray();
    scene.done().starts_and_listens();
}

#[test]
fn words_that_name_no_version_choose_none() {
    let trouble = Words::Trouble(super::super::super::event::Trouble::Locked, String::new());
    for words in [Words::Halted(7), trouble, Words::WrongAppHash, Words::At { began: 1, reached: 1 }] {
        heard(&mut strange(Settings::default()), words).leaves(Exit::NodeEnded(code(1)));
    }
}

/// The version that the data need.
mod chosen {
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
            // It is another file by now.
            scene.facts.staged.insert(folder("v2"), Staged::Ours(ours.clone()));
            let other = Receipt { file: file(51), ..ours.clone() };
            scene.fetch_ends(Outcome::Done).does(HomeJob::Choose(v2()));
            scene.fails();
            let (mut scene, _) = needing(staged(ours.clone()));
            scene.facts.staged.insert(folder("v2"), Staged::Ours(ours.clone()));
            scene.core.home = Lane::Busy { id: JobId(99), job: HomeJob::Ask, cancelling: false };
            scene.fetch_ends(Outcome::Done).rests();
            scene.facts.staged.insert(folder("v2"), Staged::Ours(other));
            scene.core.home = Lane::Idle;
            scene.tick().rests();
        }
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
            assert_eq!(told.0.home.as_ref().map(|(_, job)| job), Some(&HomeJob::Remember(record())), "{what}");
            assert_eq!((scene.core.counted, scene.core.attempt), (None, None));
            scene.done().does(HomeJob::Choose(v2()));
        }
        // One that has passed is over.
        let mut scene = strange(Settings::default());
        scene.facts.staged.insert(folder("v3"), Staged::Operator);
        scene.facts.record = present(Record { starts: 1, ..passed() });
        heard(&mut scene, needs("v3")).does(HomeJob::Choose(Version::Upgrade(folder("v3"))));
    }
}

/// Data that become those of this home.
mod known {
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
            heights.map(|height| scene.is_at(height, height));
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
}

/// A node that stays up and makes no block.
mod stuck {
    use super::*;

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
}
