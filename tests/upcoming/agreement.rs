//! How far what endpoints say can be believed: who says the same, and who says otherwise.

use serde_json::Value;
use watcher::decide::plan::Plan;

use crate::world::{HEIGHT, World, assert_told, chain, passed, plan, watcher};

/// Six-second blocks: a little more than 2 h 5 min.
const FAR: u64 = HEIGHT + 1_258;

fn says(plan: Plan) -> World {
    World::with(vec![passed(plan)])
}

/// Name, height, belief and problem of each upgrade that these endpoints tell of.
fn told(worlds: &[&World], more: &[&str]) -> Vec<(String, u64, String, String)> {
    let urls: Vec<String> = worlds.iter().map(|world| world.network.rpc.url()).collect();
    let arguments: Vec<&str> = urls.iter().flat_map(|url| ["--rpc", url]).collect();
    let told = watcher(&[&["upcoming", "--format", "json"], arguments.as_slice(), more].concat(), &[]);
    let list: Value = serde_json::from_str(told.list()).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let upgrades = list["upgrades"].as_array().expect("a list").iter();
    let height = |upgrade: &Value| upgrade["height"].as_u64().expect("a number");
    upgrades.map(|up| (text(&up["name"]), height(up), text(&up["belief"]), text(&up["problem"]))).collect()
}

fn beliefs(worlds: &[&World], more: &[&str]) -> Vec<String> {
    told(worlds, more).into_iter().map(|(_, _, belief, _)| belief).collect()
}

#[test]
fn who_says_the_same_agrees_whatever_the_order() {
    let [first, second, third] = [(); 3].map(|()| says(plan("v2", FAR)));
    let none = World::with(vec![]);
    for (worlds, more, belief) in [
        (&[&first][..], &[][..], "claimed"),
        (&[&first, &second], &[], "agreed (2 of 2)"),
        (&[&first, &second, &none], &["--quorum", "2"], "agreed (2 of 3)"),
        (&[&none, &second, &first], &["--quorum", "2"], "agreed (2 of 3)"),
        (&[&first, &second, &none], &["--quorum", "3"], "claimed"),
        (&[&first, &none], &[], "claimed"),
        (&[&first, &second, &third], &["--quorum", "3"], "agreed (3 of 3)"),
    ] {
        assert_eq!(beliefs(worlds, more), [belief], "{more:?}");
    }
    // The same node by another address is no second opinion.
    let told = watcher(
        &["upcoming", "--rpc", &first.network.rpc.url(), "--rest", &first.network.rest.url(), "--format", "json"],
        &[],
    );
    assert!(told.quietly().contains(r#""belief": "claimed""#), "{told:?}");
    let home = first.home.to_str().expect("a plain path");
    let told = watcher(
        &["upcoming", "--rpc", &first.network.rpc.url(), "--rpc", &second.network.rpc.url(), "--format", "json"],
        &[("DAEMON_HOME", home), ("WATCHER_QUORUM", "3")],
    );
    assert!(told.quietly().contains(r#""belief": "claimed""#), "{told:?}");
}

#[test]
fn endpoints_can_stand_in_the_environment_as_for_run() {
    let [first, second] = [(); 2].map(|()| says(plan("v2", FAR)));
    let urls = format!("{}, {}", first.network.rpc.url(), second.network.rpc.url());
    let told = watcher(&["upcoming", "--format", "json"], &[("WATCHER_RPC", &urls)]);
    assert!(told.quietly().contains(r#""belief": "agreed (2 of 2)""#), "{told:?}");
}

#[test]
fn who_says_otherwise_is_named() {
    let [honest, second] = [(); 2].map(|()| says(plan("v2", FAR)));
    let evil = says(Plan { info: r#"{"binaries":{"any":"https://evil.example/v2"}}"#.into(), ..plan("v2", FAR) });
    let (none, other) = (World::with(vec![]), says(plan("v2", FAR + 1)));
    for liar in [&evil, &none, &other] {
        let told = told(&[&honest, liar, &second], &[]);
        let agreed: Vec<_> = told.iter().filter(|(_, _, belief, _)| belief == "agreed (2 of 3)").collect();
        assert_eq!(agreed.len(), 1, "{told:?}");
        let url = liar.network.rpc.url();
        assert!(agreed[0].3.contains("contradicted by") && agreed[0].3.contains(&url), "{told:?}");
        assert!(told.iter().all(|(_, _, belief, _)| belief == "agreed (2 of 3)" || belief == "claimed"), "{told:?}");
    }
    let urls = [&honest, &second, &evil].map(|world| world.network.rpc.url());
    let told = watcher(&["upcoming", "--rpc", &urls[0], "--rpc", &urls[1], "--rest", &evil.network.rest.url()], &[]);
    assert_told!(told.quietly());
}

#[test]
fn who_is_past_the_height_has_no_say() {
    let [first, second] = [(); 2].map(|()| says(plan("v2", HEIGHT + 3)));
    let past = World::of(chain("demo-1", vec![]));
    past.network.site.change(|chain| {
        let now = chain.time(chain.saved).expect("the last block is kept");
        for _ in 0..5 {
            chain.save(now);
            chain.apply(&[]).expect("no plan is due");
        }
    });
    let told = told(&[&past, &first, &second], &[]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].2, "agreed (2 of 2)", "{told:?}");
    assert!(told[0].3.contains("is not ahead of the chain"), "{told:?}");
    let [past, first] = [&past, &first].map(|world| world.network.rpc.url());
    let told = watcher(&["upcoming", "--rpc", &past, "--rpc", &first], &[]);
    assert!(told.list().contains("v2 at height 123, which has passed"), "{told:?}");
}

#[test]
fn at_its_halt_a_plan_has_not_passed() {
    let world = says(plan("v2", HEIGHT + 1));
    world.network.site.change(|chain| {
        let now = chain.time(chain.saved).expect("the last block is kept");
        chain.save(now);
    });
    let told = world.upcoming(&[]);
    assert!(told.quietly().contains("v2 at height 121, where the chain halts now"), "{told:?}");
    assert!(!told.quietly().contains("is not ahead of the chain"), "{told:?}");
}

/// With "where the chain halts now" and "choose another name" its operator was sent after nothing.
#[test]
fn what_the_own_node_has_carried_out_is_not_coming_while_the_chain_waits_for_others() {
    let [own, behind] = [(); 2].map(|()| says(plan("v2", HEIGHT + 1)));
    own.place_binary("genesis");
    let home = own.home.to_str().expect("a plain path");
    let other = behind.network.rpc.url();
    let told = |command: &[&str]| {
        watcher(command, &[("DAEMON_HOME", home), ("DAEMON_NAME", "noded"), ("WATCHER_RPC", &other)])
    };
    own.network.site.change(|chain| {
        let now = chain.time(chain.saved).expect("the last block is kept");
        chain.save(now);
    });
    assert!(told(&["upcoming"]).list().contains("v2 at height 121, where the chain halts now"));
    own.network.site.change(|chain| {
        chain.apply(&["v2".to_owned()]).expect("it is the binary that the plan asks for");
    });
    let done = "v2 at height 121 is carried out, as the own node at";
    let list = told(&["upcoming"]);
    assert!(list.list().contains("no upgrade is coming") && list.stderr.contains(done), "{list:?}");
    let check = told(&["check"]);
    assert!(check.code == Some(0) && check.stdout.contains(done), "{check:?}");
}

#[test]
fn what_is_only_proposed_is_claimed() {
    let world = World::with(vec![crate::world::voted_on(plan("v2", FAR))]);
    assert_eq!(beliefs(&[&world], &[]), ["claimed"]);
}
