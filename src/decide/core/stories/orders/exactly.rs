//! The height before which the old binary is to stop.

use super::*;
use crate::decide::facts::Verdict;

/// At this height the node is asked what its `--halt-height` means.
fn at(height: u64) -> Scene {
    let mut scene = ordered(to_stop());
    scene.facts.info = written(Origin::Operator);
    asked(&mut scene, height);
    scene
}

/// It was restarted, and is to stop before the height.
fn armed(stops_before: bool) -> Scene {
    armed_with(stops_before, written(Origin::Operator))
}

fn armed_with(stops_before: bool, info: Info) -> Scene {
    let mut scene = Scene::new(Settings { poll_interval: SECOND / 2, ..Settings::default() });
    scene.facts.info = info;
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.facts.orders = to_stop();
    scene.tick().does(HomeJob::Generation);
    scene.ends(Outcome::HaltsBefore(Some(stops_before)));
    scene.done();
    scene
}

#[test]
fn a_node_is_restarted_once_within_three_hundred_blocks_and_not_within_a_hundred() {
    let restarts = "the node is restarted so that it stops before the exact height";
    let inexact = |why: &str| {
        format!(
            "upgrade v2 was to be swapped in before height 1000 is executed, and cannot be: {why}; name a later height \
             (`add-upgrade --force --exact`), or leave out --exact"
        )
    };
    let near = inexact("it came within 100 blocks of the height before it could be restarted");
    let unknown = inexact("what `--halt-height` means to the running binary cannot be told from its `version --long`");
    at(HEIGHT - 301).tick().rests();
    for (left, generation, job, note) in [
        (300, Some(true), true, restarts),
        (101, Some(false), true, restarts),
        (100, Some(true), false, near.as_str()),
        (1, Some(true), false, &near),
        (300, None, false, &unknown),
        (100, None, false, &unknown),
    ] {
        let mut scene = at(HEIGHT - left);
        assert_eq!(scene.core.home.job(), Some(&HomeJob::Generation), "{left}");
        let told = scene.ends(Outcome::HaltsBefore(generation));
        told.says(&[note]);
        if job {
            told.stops()
        } else {
            told.rests()
        };
        if !job {
            scene.tick().says(&[]);
        }
    }
}

#[test]
fn what_the_halt_height_means_is_asked_once_for_each_version() {
    let mut scene = at(HEIGHT - 300);
    scene.ends(Outcome::HaltsBefore(Some(true))).stops();
    scene.exits(code(0));
    let run = RunId(scene.life().id.0 + 5);
    let start = HomeJob::Start { run, version: Version::Genesis, halt: Some(HEIGHT), listen: true };
    scene.done().does(start);
    scene.done();
    // Another binary is asked again, and one that cannot say is left alone.
    let mut scene = at(HEIGHT - 300);
    scene.facts.current = Current::Version(Version::Elsewhere("/opt/node".into()));
    scene.ends(Outcome::HaltsBefore(None)).rests();
    scene.facts.current = Current::Version(Version::Genesis);
    scene.tick().does(HomeJob::Generation);
    // So is one that does not answer.
    scene.fails().rests();
    scene.tick().rests();
}

#[test]
fn a_node_that_is_not_to_stop_there_any_more_is_restarted() {
    let restarts = "the node is restarted because it is not to stop at that height any more";
    let mut scene = armed(true);
    scene.ends(answer(700, 699)).rests();
    scene.facts.orders.exact = Some(Exact { height: HEIGHT + 1, ..exact() });
    scene.tick().stops().says(&[restarts]);
    let mut scene = armed(true);
    scene.ends(answer(700, 699));
    scene.facts.orders = Orders::default();
    scene.tick().stops().says(&[restarts]);
}

#[test]
fn an_order_is_for_the_version_before_it_and_for_a_height_still_to_come() {
    let ahead = |change: &dyn Fn(&mut Scene)| {
        let mut scene = running();
        scene.facts.orders = to_stop();
        change(&mut scene);
        scene.core.exact_ahead(&scene.facts).is_some()
    };
    assert!(ahead(&|_| {}));
    assert!(!ahead(&|scene| scene.facts.orders.exact = Some(Exact { missed: true, ..exact() })));
    assert!(!ahead(&|scene| scene.facts.current = Current::Version(v2())));
    // At its halt a validator has signed that very height.
    assert!(ahead(&|scene| scene.facts.signed_height = Some(HEIGHT)));
    assert!(!ahead(&|scene| scene.facts.signed_height = Some(HEIGHT + 1)));
    let committed = |committed| {
        move |scene: &mut Scene| {
            let Run::Alive(life) = &mut scene.core.run else { panic!("it runs") };
            life.committed = Some(committed);
        }
    };
    assert!(ahead(&committed(HEIGHT - 1)) && !ahead(&committed(HEIGHT)));
}

#[test]
fn an_armed_node_that_is_behind_the_height_is_written_off_before_anything_else() {
    let mut scene = armed(true);
    scene.facts.info = Info::Absent;
    scene.ends(answer(HEIGHT, HEIGHT)).does(is_missed());
    scene.done().stops();
    let mut scene = armed(true);
    scene.facts.info = Info::Absent;
    scene.ends(answer(HEIGHT, HEIGHT - 1));
    assert_ne!(scene.core.home.job(), Some(&is_missed()));
}

#[test]
fn a_node_that_begins_just_before_its_halt_and_would_go_beyond_it_is_killed_at_once() {
    let stood = "the node is restarted because it stood before the exact height already";
    for in_time in [true, false] {
        let mut scene = armed(false);
        let run = scene.life().id;
        let told = scene.ends(answer(HEIGHT - 1, HEIGHT - 1));
        told.does(HomeJob::Stop { run, grace: Duration::ZERO }).says(&[stood]);
        // It is reaped, and its end was not heard of yet.
        scene.done().rests().says(&[]);
        let told = scene.exits(if in_time { NodeExit::Signal(9) } else { code(130) });
        if in_time {
            assert_eq!(
                told.0.notes.last().map(ToString::to_string).as_deref(),
                Some("upgrade \"v2\" at height 1000 is due")
            );
        } else {
            // It had committed the height, and interrupted itself.
            told.does(is_missed());
        }
    }
    // One whose halt lets nothing through is left to stop by itself.
    let mut scene = armed(true);
    scene.ends(answer(HEIGHT - 1, HEIGHT - 1)).rests();
}

#[test]
fn one_that_would_go_beyond_is_waited_for_without_a_pause_until_it_answers() {
    let silence = || Outcome::Answered(NodeAnswer::default());
    let mut scene = armed_with(false, Info::Absent);
    assert_eq!(scene.core.home.job(), Some(&HomeJob::Greet));
    scene.ends(answer(HEIGHT - 20, HEIGHT - 21)).does(HomeJob::Name { plan: plan("v2", HEIGHT), over: None });
    // Where its file is there, its `status` may know more than its RPC.
    let mut scene = armed(false);
    scene.asks();
    scene.ends(silence()).does(HomeJob::Greet);
    scene.ends(silence()).rests();
    let mut scene = armed(false);
    scene.ends(Outcome::Answered(NodeAnswer { latest: Some(HEIGHT - 20), committed: None })).rests();
    let mut scene = armed(true);
    scene.ends(silence()).rests();
    // The chain's own halt is not waited out: its RPC may be none that answers us.
    let mut scene = armed_with(false, Info::Absent);
    scene.facts.info = written(Origin::Node);
    assert_eq!(scene.tick().0.cancel.len(), 1);
    scene.ends(Outcome::Cancelled).does(HomeJob::Ask);
    scene.ends(silence()).says(&["upgrade \"v2\" at height 1000 is due"]);
}

#[test]
fn an_upgrade_that_the_old_binary_executed_is_not_made_at_another_height() {
    // It was not restarted in time.
    let mut scene = at(HEIGHT - 50);
    scene.ends(Outcome::HaltsBefore(Some(true))).rests();
    let told = scene.is_at(HEIGHT, HEIGHT - 1);
    told.says(&[MISSED]).does(is_missed());
    scene.done().rests().says(&[]);
    assert_eq!(scene.exits(code(2)).0.exit, Some(Exit::NodeEnded(code(2))));
    // It stopped too late.
    let mut scene = armed(true);
    scene.ends(answer(HEIGHT, HEIGHT)).says(&[MISSED]).does(is_missed());
    // It stands where it should.
    let mut scene = armed(true);
    scene.ends(answer(HEIGHT, HEIGHT - 1)).remembers(record());
    let mut scene = armed(true);
    scene.ends(answer(HEIGHT - 1, HEIGHT - 2)).rests();
}

/// Another job took its place in the same decision, and it was told again and again.
#[test]
fn that_an_order_was_missed_is_written_down_before_anything_else_is_done() {
    let mut scene = running();
    scene.facts.info = written(Origin::Operator);
    scene.asks();
    scene.facts.orders = to_stop();
    scene.ends(answer(HEIGHT, HEIGHT - 1)).does(is_missed()).says(&[MISSED]);
    scene.tick().rests().says(&[]);
    scene.done().rests().says(&[]);
}

#[test]
fn only_the_very_upgrade_that_was_ordered_comes_too_late() {
    let late = |exact: Exact| {
        let mut scene = running();
        scene.facts.info = written(Origin::Operator);
        scene.asks();
        scene.facts.orders.exact = Some(exact);
        matches!(scene.ends(answer(HEIGHT, HEIGHT - 1)).0.home, Some((_, HomeJob::Missed(_))))
    };
    assert!(late(exact()));
    assert!(!late(Exact { folder: folder("v9"), ..exact() }));
    assert!(!late(Exact { height: HEIGHT + 50, ..exact() }));
}

#[test]
fn an_order_that_was_missed_is_not_made_by_the_next_watcher_either() {
    let mut scene = Scene::new(Settings::default());
    scene.facts.info = written(Origin::Operator);
    scene.facts.staged.insert(folder("v2"), Staged::Operator);
    scene.facts.orders.exact = Some(Exact { missed: true, ..exact() });
    scene.tick().starts(Version::Genesis);
    scene.done().rests();
    scene.is_at(HEIGHT, HEIGHT).rests().says(&[]);
}

#[test]
fn a_node_is_started_with_the_halt_height_that_has_it_stop_before_the_exact_one() {
    for (stops_before, halt, goes_beyond) in
        [(Some(true), Some(HEIGHT), false), (Some(false), Some(HEIGHT - 1), true), (None, None, false)]
    {
        let mut scene = Scene::new(Settings::default());
        scene.facts.orders = to_stop();
        scene.tick().does(HomeJob::Generation);
        let told = scene.ends(Outcome::HaltsBefore(stops_before));
        // What would go beyond it is listened to: it says at once where it stands.
        told.does(HomeJob::Start { run: RunId(2), version: Version::Genesis, halt, listen: goes_beyond });
        let Life { halt: of, goes_beyond: beyond, .. } = scene.life();
        assert_eq!((*of, *beyond), (halt.map(|_| HEIGHT), goes_beyond), "{stops_before:?}");
    }
}

/// An earlier run had stopped there, and this one was over before anybody could ask it.
#[test]
fn a_node_that_says_it_began_before_the_height_and_interrupted_itself_has_executed_it() {
    let ended = |exit, began, reached, stops_before| {
        let mut scene = armed(stops_before);
        scene.exits_saying(code(exit), Words::At { began, reached });
        scene.core.home.job() == Some(&is_missed())
    };
    assert!(ended(130, HEIGHT - 1, HEIGHT - 1, false));
    assert!(!ended(130, HEIGHT - 2, HEIGHT - 1, false), "it stopped in time");
    assert!(!ended(130, HEIGHT - 1, HEIGHT - 1, true), "it stops before it begins");
    // SDK 0.46 ends like that also where it was told to.
    assert!(ended(0, HEIGHT - 1, HEIGHT, false));
    assert!(!ended(0, HEIGHT - 1, HEIGHT - 1, false), "it executed none");
    assert!(!ended(0, HEIGHT - 2, HEIGHT - 1, false), "it stopped in time");
    assert!(!ended(0, HEIGHT - 1, HEIGHT, true), "it stops before it begins");
}

/// It ran beyond the height, and could only be told of it.
#[test]
fn what_was_signed_on_other_data_does_not_keep_a_node_from_stopping_before_its_height() {
    let mut scene = ordered(to_stop());
    scene.facts.record = present(Record { data: Some(data(1)), ..Record::nothing(Version::Genesis) });
    scene.facts.data = Some(data(2));
    (scene.facts.info, scene.facts.signed_height) = (written(Origin::Operator), Some(HEIGHT + 500));
    asked(&mut scene, HEIGHT - 200);
    assert_eq!(scene.core.home.job(), Some(&HomeJob::Generation));
}

/// It was started and killed again and again: only the file makes it due there.
#[test]
fn one_that_stands_before_its_height_and_whose_file_does_not_name_it_is_not_killed_for_ever() {
    let other = |height, number| Info::Plan {
        upgrade: upgrade("v3", height),
        fingerprint: file(number),
        origin: Origin::Operator,
    };
    let settled = |info, skips: bool| {
        let mut scene = armed_with(false, info);
        if skips {
            // As it is of a `watcher` that was started like that.
            scene.core.settings.skip_heights = [HEIGHT].into();
        }
        for _ in 0..20 {
            let Some(job) = scene.core.home.job().cloned() else {
                scene.seconds(1);
                continue;
            };
            match job {
                HomeJob::Ask | HomeJob::Greet => drop(scene.ends(answer(HEIGHT - 1, HEIGHT - 1))),
                HomeJob::Stop { .. } => {
                    scene.exits(NodeExit::Signal(9));
                    if matches!(scene.core.home.job(), Some(HomeJob::Stop { .. })) {
                        scene.done();
                    }
                }
                HomeJob::Name { .. } => {
                    scene.facts.info = written(Origin::Operator);
                    scene.done();
                }
                HomeJob::Start { halt: None, .. } => return "goes on",
                HomeJob::BackUp(_) | HomeJob::CustomHook(_) | HomeJob::Switch { .. } => return "switches",
                _ => drop(scene.done()),
            }
        }
        "for ever"
    };
    assert_eq!(settled(Info::Absent, false), "switches");
    assert_eq!(settled(other(HEIGHT - 1, 7), false), "switches");
    assert_eq!(settled(other(HEIGHT + 5, 7), false), "goes on");
    assert_eq!(settled(written(Origin::Operator), true), "goes on");
}

/// It was given up at once, because the disk did not answer in that moment.
#[test]
fn one_that_stands_before_its_height_waits_for_a_file_that_cannot_be_read_for_a_moment() {
    let after = |seconds, info: Option<Info>| {
        let mut scene = armed_with(false, Info::Absent);
        scene.ends(answer(HEIGHT - 1, HEIGHT - 1)).stops();
        scene.facts.info = Info::Unreadable { reason: "it broke".into(), fingerprint: file(8) };
        scene.exits(NodeExit::Signal(9));
        scene.done().rests();
        scene.facts.info = info.unwrap_or(scene.facts.info);
        scene.seconds(seconds)
    };
    after(9, None).rests();
    after(10, None).does(is_missed()).says(&[
        "data/upgrade-info.json cannot be read: it broke",
        "upgrade v2 was to be swapped in before height 1000 is executed, and cannot be: data/upgrade-info.json cannot be read; \
         name a later height (`add-upgrade --force --exact`), or leave out --exact",
    ]);
    after(9, Some(Info::Absent)).does(HomeJob::Name { plan: plan("v2", HEIGHT), over: None });
}

/// The data were brought back, and it was named once more: the node stood at its halt, or went past it, without a word.
#[test]
fn what_has_passed_on_other_data_is_made_once_more_where_its_operator_names_it() {
    let over = Record { verdict: Verdict::Signing, ..passed() };
    let again = |exact| {
        let mut scene = Scene::new(Settings::default());
        scene.facts.info = written(Origin::Operator);
        scene.facts.staged.insert(folder("v2"), Staged::Operator);
        (scene.facts.record, scene.facts.orders.exact) = (present(over.clone()), exact);
        scene.core.generation = Some((Version::Genesis, Some(true)));
        scene.tick();
        scene.done();
        if scene.core.home.job() == Some(&HomeJob::Ask) {
            scene.ends(Outcome::Answered(NodeAnswer::default()));
        }
        scene
    };
    for exact in [Some(exact()), None] {
        let mut scene = again(exact);
        scene.is_at(HEIGHT - 50, HEIGHT - 50).remembers(Record::nothing(Version::Genesis));
        scene.done();
        scene.now += SECOND;
        scene.asks();
        scene.ends(answer(HEIGHT, HEIGHT - 1)).remembers(record());
    }
    // Where they were not, it is left as somebody linked it.
    again(None).is_at(HEIGHT + 50, HEIGHT + 50).rests();
}
