//! What is coming, in every state, as text and as JSON.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::Value;
use watcher::sim::chain::{Action, Proposal};

use crate::world::{HEIGHT, World, artifact, assert_told, command, passed, plan, voted_on, watcher};

/// Six-second blocks: a little more than 2 h 5 min.
const FAR: u64 = HEIGHT + 1_258;

#[test]
fn nothing_is_coming() {
    let world = World::with(vec![]);
    assert_told!(world.upcoming(&[]).quietly());
    assert_told!(world.upcoming(&["--format", "json"]).quietly());
}

#[test]
fn a_proposal_collects_its_deposit() {
    let world = World::with(vec![Proposal { vote_at: 1_000_000, ..voted_on(plan("v2", FAR)) }]);
    assert_told!(world.upcoming(&[]).quietly());
}

#[test]
fn a_proposal_is_voted_on() {
    let world = World::with(vec![voted_on(plan("v2", FAR))]);
    assert_told!(world.upcoming(&[]).quietly());
    assert_told!(world.upcoming(&["--format", "json"]).quietly());
}

#[test]
fn a_plan_is_scheduled() {
    let world = World::with(vec![passed(plan("v2", FAR))]);
    assert_told!(world.upcoming(&[]).quietly());
}

#[test]
fn a_passed_proposal_that_was_replaced_or_cancelled_is_not_taken_for_a_plan() {
    let replaced = World::with(vec![passed(plan("v2", FAR)), passed(plan("v3", FAR + 500))]);
    assert_told!(replaced.upcoming(&[]).quietly());
    let cancel = Proposal { action: Action::Cancel, ..Proposal::upgrade(plan("", 0), 50, 6_000) };
    let cancelled = World::with(vec![passed(plan("v2", FAR)), cancel]);
    assert_told!(cancelled.upcoming(&[]).quietly());
}

#[test]
fn a_proposal_that_passed_and_could_not_be_carried_out_is_not_coming() {
    let late = Proposal { submit_at: 50, vote_at: 50, ..passed(plan("late", 50)) };
    let rejected = Proposal { approved: false, ..passed(plan("no", FAR)) };
    let world = World::with(vec![late, rejected]);
    assert!(world.upcoming(&[]).quietly().contains("no upgrade is coming"));
}

#[test]
fn the_same_name_at_another_height_is_a_second_upgrade() {
    let world = World::with(vec![passed(plan("v2", FAR)), voted_on(plan("v2", FAR + 500))]);
    let list = json(&world, &[]);
    let told =
        |place: usize| ["name", "height", "state", "proposal_id"].map(|key| list["upgrades"][place][key].clone());
    assert_eq!(told(0), [Value::from("v2"), FAR.into(), "scheduled".into(), 1.into()]);
    assert_eq!(told(1), [Value::from("v2"), (FAR + 500).into(), "voting".into(), 2.into()]);
}

#[test]
fn a_vote_whose_height_has_passed_says_so() {
    let world = World::with(vec![voted_on(plan("v2", HEIGHT - 5)), voted_on(plan("v3", HEIGHT))]);
    assert_told!(world.upcoming(&[]).quietly());
}

#[test]
fn what_is_in_place_is_staged_whoever_put_it_there() {
    let world = World::with(vec![passed(plan("v2", FAR))]);
    let home = world.home.to_str().expect("a plain path");
    let (rpc, variables) = (world.network.rpc.url(), [("DAEMON_HOME", home), ("DAEMON_NAME", "noded")]);
    let state = || {
        let told = watcher(&["upcoming", "--rpc", &rpc, "--format", "json"], &variables);
        let list: Value = serde_json::from_str(told.quietly()).expect("JSON");
        list["upgrades"][0]["state"].clone()
    };
    assert_eq!(state(), "scheduled");
    world.place_binary("upgrades/v2");
    assert_eq!(state(), "staged");
    world.place_with_receipt(&plan("v2", FAR), artifact("something-else"));
    assert_eq!(state(), "scheduled");
    world.place_with_receipt(&plan("v2", FAR - 1), artifact("v2"));
    assert_eq!(state(), "staged");
    assert_told!(watcher(&["upcoming"], &variables).quietly());
}

/// It was looked for in the working directory.
#[test]
fn without_a_home_nothing_is_staged() {
    let world = World::with(vec![passed(plan("v2", FAR))]);
    world.place_binary("upgrades/v2");
    let mut command = command(&["upcoming", "--rpc", &world.network.rpc.url()], &[("DAEMON_NAME", "noded")]);
    let output = command.current_dir(&world.home).output().expect("watcher can be started");
    let list = String::from_utf8_lossy(&output.stdout);
    assert!(list.contains("scheduled by proposal 1\n"), "{output:?}");
}

#[test]
fn infos_without_a_binary_say_why() {
    let info = |info: &str| watcher::decide::plan::Plan { info: info.into(), ..plan("v2", FAR) };
    let infos = ["", "Please upgrade.\nThank you.", "{}", r#"{"binaries":{"plan9/386":"https://x.org/y"}}"#];
    let world = World::with(infos.iter().map(|text| voted_on(info(text))).collect());
    let list = json(&world, &[]);
    let problems: Vec<_> = (0..infos.len()).map(|place| list["upgrades"][place]["problem"].as_str()).collect();
    for (problem, words) in problems.iter().zip(["blank", "not JSON", "no \"binaries\"", "cannot find binary"]) {
        assert!(problem.is_some_and(|problem| problem.contains(words)), "{problems:?}");
    }
    let document = World::with(vec![voted_on(info("https://example.org/plan.json"))]);
    assert!(
        document.upcoming(&[]).quietly().contains("whatever https://example.org/plan.json lists for this platform")
    );
}

#[test]
fn json_has_the_fields_that_scripts_rely_on_and_no_others() {
    let world = World::with(vec![passed(plan("v2", FAR)), voted_on(plan("v3", FAR + 1))]);
    let list = json(&world, &[]);
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&list), ["chain_id", "height", "proven_height", "time", "upgrades"]);
    for (place, voted_on) in [(0, false), (1, true)] {
        let entry = &list["upgrades"][place];
        assert_eq!(
            keys(entry),
            [
                "artifact",
                "belief",
                "blocks_left",
                "eta",
                "height",
                "info",
                "name",
                "problem",
                "proposal_id",
                "state",
                "voting_end_time"
            ]
        );
        assert_eq!(keys(&entry["eta"]), ["at", "earliest", "latest"]);
        assert_eq!(keys(&entry["artifact"]), ["checksum", "os_arch", "url"]);
        assert!(entry["artifact"]["checksum"].as_str().is_some_and(|sum| sum.starts_with("sha256:abab")));
        assert_eq!(entry["voting_end_time"].is_string() && voted_on, voted_on);
        for time in ["at", "earliest", "latest"].map(|key| &entry["eta"][key]).into_iter().chain([&list["time"]]) {
            let text = time.as_str().expect("a text");
            assert!(text.parse::<jiff::Timestamp>().is_ok() && !text.contains('.'), "{text} is to the second");
        }
    }
    assert_eq!(list["upgrades"][0]["info"], plan("v2", FAR).info.as_str());
}

#[test]
fn a_reader_that_goes_early_is_no_failure() {
    let proposals = (0..100).map(|number| voted_on(plan(&format!("v{number}-{}", "x".repeat(500)), FAR + number)));
    let world = World::with(proposals.collect());
    for format in ["text", "json"] {
        let mut child = command(&["upcoming", "--rpc", &world.network.rpc.url(), "--format", format], &[])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("watcher can be started");
        let mut line = String::new();
        BufReader::with_capacity(64, child.stdout.take().expect("it is piped")).read_line(&mut line).expect("a line");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

fn json(world: &World, arguments: &[&str]) -> Value {
    let told = world.upcoming(&[&["--format", "json"], arguments].concat());
    serde_json::from_str(told.quietly()).expect("JSON")
}
