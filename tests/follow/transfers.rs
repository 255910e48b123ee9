//! Release hosts fail in every way, `watcher` is killed, and the binary is staged all the same, or nothing is.

use std::time::{Duration, Instant};

use crate::{
    host::{Answer, sha256},
    world::{FAR, World, plan, program},
};

const CUT: usize = 100_000;

#[test]
fn errors_and_cut_connections_cost_time_and_no_bytes() {
    let mut world = World::new();
    let file = program("v2");
    world.host.answer(
        "/v2",
        &[
            Answer::Status(500, ""),
            Answer::Status(429, "retry-after: 1\r\n"),
            Answer::Cut(file.clone(), CUT),
            Answer::File(file.clone()),
        ],
    );
    world.start(&[]);
    world.schedule(plan("v2", FAR, world.host.offer("/v2", &file)));
    world.staged("v2", FAR);
    assert_eq!(world.binary("v2"), Some(file.clone()));
    let requests = world.host.requests();
    assert_eq!(requests.iter().map(|request| request.from).collect::<Vec<_>>(), [None, None, None, Some(CUT)]);
    assert_eq!(requests[3].if_range, Some(format!("\"{}\"", &sha256(&file)[..8])));
    for words in ["the server answered 500", "the server answered 429", "cannot fetch"] {
        assert!(!world.told(&["WARN", "fetching the binary of upgrade \"v2\" failed", words]).is_empty(), "{words}");
    }
}

#[test]
fn a_watcher_that_is_killed_in_a_download_goes_on_with_it() {
    let mut world = World::new();
    let file = program("v2");
    world.host.answer("/v2", &[Answer::Stall(file.clone(), CUT), Answer::File(file.clone())]);
    world.start(&[]);
    world.schedule(plan("v2", FAR, world.host.offer("/v2", &file)));
    world.until("a part has come", || world.partial().contains(&(CUT as u64)).then_some(()));
    world.kill();
    world.start(&[]);
    world.staged("v2", FAR);
    assert_eq!(world.binary("v2"), Some(file));
    assert_eq!(world.host.requests().iter().map(|request| request.from).collect::<Vec<_>>(), [None, Some(CUT)]);
}

#[test]
fn wrong_bytes_are_never_placed_and_the_right_ones_are_once_they_come() {
    let mut world = World::new();
    let file = program("v2");
    world.host.answer("/v2", &[Answer::File(program("evil"))]);
    world.start(&[]);
    world.schedule(plan("v2", FAR, world.host.offer("/v2", &file)));
    world.until_told(2, &["WARN", "has the wrong checksum", &sha256(&file), "what was fetched is removed"]);
    assert!(!world.home.join("cosmovisor/upgrades").join("v2").exists());
    world.host.answer("/v2", &[Answer::File(file.clone())]);
    world.staged("v2", FAR);
    assert_eq!(world.binary("v2"), Some(file));
    assert!(world.host.requests().iter().all(|request| request.from.is_none()), "no byte of the wrong ones was kept");
}

#[test]
fn a_fetch_for_a_plan_that_is_gone_ends_with_it() {
    let mut world = World::new();
    let [slow, next] = ["slow", "next"].map(program);
    world.host.answer("/slow", &[Answer::Stall(slow.clone(), CUT)]);
    world.host.answer("/next", &[Answer::File(next.clone())]);
    world.start(&[]);
    world.schedule(plan("v2", FAR, world.host.offer("/slow", &slow)));
    world.until("a part has come", || world.partial().contains(&(CUT as u64)).then_some(()));
    let began = Instant::now();
    world.schedule(plan("v2", FAR + 1, world.host.offer("/next", &next)));
    world.staged("v2", FAR + 1);
    assert_eq!(world.binary("v2"), Some(next));
    // A transfer that stands still is given up after 30 s.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
