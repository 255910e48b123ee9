use super::{
    super::super::{
        decision::Attention,
        orders::{Exact, Orders, Replacement},
    },
    *,
};

/// The home is looked at once a second, the node is asked as often as it takes.
fn running() -> Scene {
    let mut scene = Scene::running(Settings { poll_interval: SECOND / 2, ..Settings::default() });
    scene.core.is_told_of_changes();
    scene
}

fn exact() -> Exact {
    Exact { name: "v2".into(), folder: folder("v2"), height: HEIGHT, missed: false }
}

const MISSED: &str = "upgrade v2 was to be swapped in before height 1000 is executed, and cannot be: the old binary executed it \
                      already; name a later height (`add-upgrade --force --exact`), or leave out --exact";

fn is_missed() -> HomeJob {
    HomeJob::Missed(Exact { missed: true, ..exact() })
}

/// The node was asked once, and is at this height.
fn asked(scene: &mut Scene, height: u64) -> Told {
    scene.asks();
    scene.ends(answer(height, height - 1))
}

/// Under orders that were given while it ran.
fn ordered(orders: Orders) -> Scene {
    let mut scene = running();
    scene.facts.orders = orders;
    scene
}

fn queue(plans: &[(&str, u64)]) -> Orders {
    Orders { queue: plans.iter().map(|(name, height)| plan(name, *height)).collect(), ..Orders::default() }
}

fn to_replace(version: Version, at: Option<u64>) -> Orders {
    Orders { replacement: Some(Replacement { version, at }), ..Orders::default() }
}

fn to_stop() -> Orders {
    Orders { exact: Some(exact()), ..Orders::default() }
}

#[test]
fn an_order_that_cannot_be_read_is_told_once_and_the_others_are_carried_out() {
    let mut scene = ordered(Orders { unreadable: Some("holds.json: bad".into()), ..queue(&[("v2", HEIGHT)]) });
    scene.tick().does(HomeJob::Ask).says(&["holds.json: bad"]);
    scene.ends(Outcome::Cancelled).says(&[]);
}

#[test]
fn a_node_without_orders_is_not_asked() {
    ordered(Orders::default()).tick().rests();
}

#[test]
fn a_node_is_asked_as_often_as_the_nearest_of_all_orders_needs() {
    let at = |height| to_replace(Version::Genesis, Some(height)).replacement;
    let exact = |height| Some(Exact { height, ..exact() });
    let orders = |queued, exact, replacement| Orders { exact, replacement, ..queue(&[("v2", queued)]) };
    for (what, orders, pause) in [
        ("the queue", orders(110, exact(9_000), at(9_000)), SECOND),
        ("the exact height", orders(9_000, exact(108), at(9_000)), Duration::from_millis(800)),
        ("the replacement", orders(9_000, exact(9_000), at(112)), Duration::from_millis(1_200)),
        ("what is behind counts for nothing", orders(120, exact(99), at(9_000)), 2 * SECOND),
        ("it is next", orders(101, None, None), SECOND / 2),
    ] {
        let mut scene = ordered(orders);
        scene.core.calm = Duration::from_hours(1);
        scene.core.generation = Some((Version::Genesis, None));
        scene.facts.info = Info::Plan { upgrade: upgrade("v9", 9_000), fingerprint: file(9), origin: Origin::Operator };
        let told = asked(&mut scene, 100);
        assert_eq!((told.rests().0.wake, what), (Some(scene.now + pause), what));
        scene.after(pause - Duration::from_millis(1)).rests().wakes(scene.now + Duration::from_millis(1));
        scene.after(Duration::from_millis(1)).does(HomeJob::Ask);
    }
}

#[test]
fn a_node_that_is_silent_is_asked_again_and_at_once_about_another_file() {
    let mut scene = ordered(queue(&[("v2", HEIGHT)]));
    scene.asks();
    scene.ends(Outcome::Answered(NodeAnswer::default())).rests().wakes(scene.now + SECOND);
    scene.facts.info = Info::Plan { upgrade: upgrade("v1", 1), fingerprint: file(9), origin: Origin::Node };
    scene.facts.record = present(Record { plan: plan("v1", 1), ..passed() });
    scene.tick().does(HomeJob::Ask);
}

#[test]
fn every_block_is_looked_at_within_a_hundred_of_what_an_order_waits_for() {
    let attention = |orders: Orders, height| {
        let mut scene = running();
        scene.facts.info = Info::Plan { upgrade: upgrade("v0", 1), fingerprint: file(9), origin: Origin::Node };
        scene.facts.record = present(Record { plan: plan("v0", 1), ..passed() });
        scene.facts.orders = orders;
        asked(&mut scene, height).0.attention == Attention::EveryBlock
    };
    let replace = |at| to_replace(v2(), at);
    for (orders, height, near) in [
        (to_stop(), HEIGHT - 101, false),
        (to_stop(), HEIGHT - 100, true),
        (to_stop(), HEIGHT - 1, true),
        (replace(Some(HEIGHT)), HEIGHT - 101, false),
        (replace(Some(HEIGHT)), HEIGHT - 100, true),
        (replace(Some(HEIGHT)), HEIGHT - 1, true),
        (queue(&[("v2", HEIGHT)]), HEIGHT - 1, false),
    ] {
        assert_eq!(attention(orders.clone(), height), near, "{height} {orders:?}");
    }
    let mut scene = running();
    scene.facts.orders = to_stop();
    asked(&mut scene, HEIGHT - 1);
    scene.core.home = Lane::Idle;
    scene.facts.orders = Orders { replacement: to_replace(v2(), Some(HEIGHT - 1)).replacement, ..Orders::default() };
    assert_eq!(scene.tick().0.attention, Attention::Relaxed, "its height has come");
}

/// The queue of upgrades.
mod queued {
    use super::*;

    fn name(name: &str, height: u64, over: Option<Fingerprint>) -> HomeJob {
        HomeJob::Name { plan: plan(name, height), over }
    }

    /// Such a file is there, of an upgrade that has passed.
    fn passed_already(scene: &mut Scene, name: &str, height: u64) {
        scene.facts.info =
            Info::Plan { upgrade: upgrade(name, height), fingerprint: file(9), origin: Origin::Operator };
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
        asked(&mut scene, 100).does(HomeJob::Queue([plan("v4", 400)].into()));
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
}

/// The height before which the old binary is to stop.
mod exactly {
    use super::*;

    /// At this height the node is asked what its `--halt-height` means.
    fn at(height: u64) -> Scene {
        let mut scene = ordered(to_stop());
        scene.facts.info = written(Origin::Operator);
        asked(&mut scene, height);
        scene
    }

    /// It was restarted, and is to stop before the height.
    fn armed(stops_before: bool) -> Scene {
        let mut scene = Scene::new(Settings { poll_interval: SECOND / 2, ..Settings::default() });
        scene.facts.info = written(Origin::Operator);
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
        let unknown =
            inexact("what `--halt-height` means to the running binary cannot be told from its `version --long`");
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
        let start = HomeJob::Start { run, version: Version::Genesis, halt: Some(HEIGHT), listen: false };
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
        let mut scene = armed(false);
        assert_eq!(scene.core.home.job(), Some(&HomeJob::Ask));
        let run = scene.life().id;
        let told = scene.ends(answer(HEIGHT - 1, HEIGHT - 1));
        told.does(HomeJob::Stop { run, grace: Duration::ZERO }).says(&[stood]);
        scene.done();
        assert_ne!(scene.tick().0.notes.len(), 1, "it is reaped, and its end was not heard of");
        // One whose halt lets nothing through is left to stop by itself.
        let mut scene = armed(true);
        scene.ends(answer(HEIGHT - 1, HEIGHT - 1)).rests();
    }

    #[test]
    fn one_that_would_go_beyond_is_waited_for_until_its_first_answer() {
        let mut scene = armed(false);
        scene.facts.info = Info::Absent;
        scene.ends(Outcome::Cancelled);
        scene.core.home = Lane::Idle;
        let Run::Alive(life) = &mut scene.core.run else { panic!("it runs") };
        life.asked = None;
        scene.tick().does(HomeJob::Greet);
        scene.ends(answer(700, 699));
        assert_ne!(scene.core.home.job(), Some(&HomeJob::Greet));
    }

    #[test]
    fn an_upgrade_that_the_old_binary_executed_is_not_made_at_another_height() {
        // It was not restarted in time.
        let mut scene = at(HEIGHT - 50);
        scene.ends(Outcome::HaltsBefore(Some(true)));
        scene.core.home = Lane::Idle;
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
            scene.ends(answer(HEIGHT, HEIGHT - 1)).0.home.map(|(_, job)| job) == Some(is_missed())
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
}

/// Another binary under the same name.
mod replaced {
    use super::*;

    const RESTARTS: &str = "the node is restarted with the binary that replaces its own";

    #[test]
    fn the_node_that_runs_it_is_stopped_for_it_and_started_again() {
        let mut scene = ordered(to_replace(Version::Genesis, None));
        scene.tick().stops().says(&[RESTARTS]);
        scene.exits(code(0)).rests();
        scene.done().does(HomeJob::Replace(Version::Genesis));
        scene.done().starts(Version::Genesis);
    }

    #[test]
    fn a_binary_that_does_not_run_is_replaced_beside_the_node() {
        let mut scene = ordered(to_replace(v2(), None));
        scene.tick().does(HomeJob::Replace(v2())).says(&[]);
        scene.done().rests();
    }

    #[test]
    fn it_waits_for_its_height() {
        let mut scene = ordered(to_replace(v2(), Some(200)));
        asked(&mut scene, 199).rests();
        scene.is_at(200, 199).does(HomeJob::Replace(v2()));
        // A node that does not run has no height.
        let mut scene = Scene::new(Settings::default());
        scene.facts.orders = to_replace(v2(), Some(200));
        scene.tick().starts(Version::Genesis);
    }

    #[test]
    fn the_node_of_an_earlier_watcher_may_run_it_and_is_stopped_first() {
        let mut scene = ordered(to_replace(Version::Genesis, None));
        scene.tick().stops();
        scene.leaves_its_node(code(0), None);
        scene.done().stops_the_stray();
        scene.done().does(HomeJob::Replace(Version::Genesis));
        // A replacement comes before what is started.
        let mut scene = Scene::new(Settings::default());
        scene.facts.orders = to_replace(Version::Genesis, None);
        scene.tick().does(HomeJob::Replace(Version::Genesis));
    }

    #[test]
    fn one_that_cannot_be_made_is_given_up_until_another_is_ordered() {
        let mut scene = ordered(to_replace(v2(), None));
        scene.tick().does(HomeJob::Replace(v2()));
        scene.fails().says(&["replacing the binary failed: it broke"]);
        scene.seconds(9).0.home.is_none().then_some(()).expect("it is not made again");
        scene.facts.orders = to_replace(Version::Upgrade(folder("v3")), None);
        scene.core.home = Lane::Idle;
        scene.tick().does(HomeJob::Replace(Version::Upgrade(folder("v3"))));
    }

    #[test]
    fn it_comes_before_the_ladder() {
        let mut scene = Scene::halted(Settings::default());
        scene.facts.orders = to_replace(v2(), None);
        scene.tick().does(HomeJob::Replace(v2()));
        scene.done().stops();
    }
}
