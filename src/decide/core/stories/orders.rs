//! Standing orders of the operator.

mod exactly;
mod queued;
mod replaced;

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
        scene.after(pause / 2).rests().wakes(scene.now + pause / 2);
        scene.after(pause / 2).does(HomeJob::Ask);
    }
}

#[test]
fn a_node_that_is_silent_is_asked_again_and_at_once_about_another_file() {
    let mut scene = ordered(queue(&[("v2", HEIGHT)]));
    scene.asks();
    scene.ends(Outcome::Answered(NodeAnswer::default())).rests().wakes(scene.now + SECOND);
    scene.facts.info = Info::Plan { upgrade: upgrade("v1", 1), fingerprint: file(9), origin: Origin::Node };
    scene.facts.record = present(Record { plan: plan("v1", 1), ..passed() });
    scene.facts.current = Current::Version(Version::Upgrade(folder("v1")));
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
    scene.facts.orders = to_replace(v2(), Some(HEIGHT - 1));
    assert_eq!(scene.ends(Outcome::HaltsBefore(None)).0.attention, Attention::Relaxed, "its height has come");
}
