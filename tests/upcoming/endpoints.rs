//! Whom it asks, and what it says of those that do not answer as a chain does.

use std::{fs, net::TcpListener};

use serde_json::Value;

use crate::{
    servers::Server,
    world::{HEIGHT, NAME, World, assert_told, chain, passed, plan, watcher},
};

/// An address at which nobody listens.
fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    format!("http://{}", listener.local_addr().expect("it listens"))
}

fn world() -> World {
    World::with(vec![passed(plan("v2", HEIGHT + 1_000))])
}

#[test]
fn the_next_endpoint_answers_for_a_dead_one_which_is_named() {
    let (dead, world) = (dead(), world());
    let told = watcher(&["upcoming", "--rpc", &dead, "--rpc", &world.network.rpc.url()], &[]);
    assert!(told.list().contains("v2 at height 1120"), "{told:?}");
    assert_eq!(told.stderr.lines().count(), 1, "{told:?}");
    assert!(told.stderr.contains("WARN") && told.stderr.contains(&dead), "{told:?}");
    assert!(told.stderr.contains("is the address right, and is it up?"), "{told:?}");
    assert!(!told.stdout.contains(&dead), "{told:?}");
}

#[test]
fn rest_alone_tells_the_same_as_rpc() {
    let world = world();
    let by = |kind: &str, url: String| {
        let told = watcher(&["upcoming", kind, &url, "--format", "json"], &[]);
        serde_json::from_str::<Value>(told.quietly()).expect("JSON")
    };
    let list = by("--rest", world.network.rest.url());
    assert_eq!(list["upgrades"][0]["name"], "v2");
    assert_eq!(list, by("--rpc", world.network.rpc.url()));
}

#[test]
fn without_arguments_the_node_of_the_home_is_asked() {
    let world = world();
    let home = world.home.to_str().expect("a plain path");
    assert!(watcher(&["upcoming"], &[("DAEMON_HOME", home)]).quietly().contains("v2 at height 1120"));
    assert!(watcher(&["upcoming", "--home", home], &[]).quietly().contains("v2 at height 1120"));

    // Another node at the same address is not this home's.
    let other = World::of(chain("demo-1", vec![]));
    fs::copy(other.home.join("config/node_key.json"), world.home.join("config/node_key.json")).expect("a copy");
    let told = watcher(&["upcoming", "--home", home], &[]);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("is not the node of this home"), "{told:?}");
}

#[test]
fn where_nobody_answers_each_fault_is_named_with_a_remedy() {
    let html = Server::saying(200, "<html><body>It works!</body></html>");
    let failing = Server::saying(500, "oh no");
    let (empty, half) = (Server::saying(200, ""), Server::saying(200, r#"{"jsonrpc":"2.0","result":{"node_in"#));
    let dead = dead();
    let urls = [html.url(), failing.url(), empty.url(), half.url(), dead];
    for kind in ["--rpc", "--rest"] {
        let arguments: Vec<&str> = urls.iter().flat_map(|url| [kind, url]).collect();
        let told = watcher(&[&["upcoming"], arguments.as_slice()].concat(), &[]);
        assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""), "{told:?}");
        for url in &urls {
            assert_eq!(told.stderr.lines().filter(|line| line.contains(url)).count(), 1, "{told:?}");
        }
        // Each log line begins with the time of its making.
        let lines: Vec<&str> =
            told.stderr.lines().map(|line| line.split_once("Z ").map_or(line, |(_, it)| it)).collect();
        assert_told!(lines.join("\n"));
    }
}

#[test]
fn an_endpoint_of_another_chain_is_ignored_and_named() {
    let (world, other) = (world(), World::of(chain("other-1", vec![passed(plan("v9", HEIGHT + 7))])));
    let told = watcher(&["upcoming", "--rpc", &world.network.rpc.url(), "--rpc", &other.network.rpc.url()], &[]);
    assert!(told.list().starts_with("demo-1 is at height 120"), "{told:?}");
    assert!(!told.stdout.contains("v9"), "{told:?}");
    let named = format!("{} is on chain \"other-1\", not \"demo-1\"", other.network.rpc.url());
    assert!(told.stderr.contains(&named), "{told:?}");
}

#[test]
fn while_the_own_node_is_silent_its_genesis_tells_which_chain_is_meant() {
    let mut own = world();
    let mut strange = chain("other-1", vec![passed(plan("v9", HEIGHT + 7))]);
    strange.applied.insert("v2".into(), 50);
    let (world, other) = (world(), World::of(strange));
    [own.network.rpc, own.network.rest] = [(); 2].map(|()| Server::saying(503, "starting"));
    own.place_binary("genesis");
    fs::write(own.home.join("config/genesis.json"), r#"{"app_state":{},"chain_id":"demo-1"}"#).expect("a file");
    let home = own.home.to_str().expect("a plain path");
    let named = format!("{} is on chain \"other-1\", not \"demo-1\"", other.network.rpc.url());
    let both = format!("{},{}", other.network.rpc.url(), world.network.rpc.url());
    let with = |rpc: &str, arguments: &[&str]| {
        watcher(arguments, &[("DAEMON_HOME", home), ("DAEMON_NAME", NAME), ("WATCHER_RPC", rpc)])
    };
    let told = with(&both, &["upcoming"]);
    assert!(told.list().contains("v2 at height 1120") && told.stderr.contains(&named), "{told:?}");
    let told = with(&both, &["check", "--offline"]);
    assert!(told.stdout.contains("v2 at height 1120") && !told.stdout.contains("name-used"), "{told:?}");
    for arguments in [&["upcoming"][..], &["prepare-upgrade"], &["check", "--offline"]] {
        let told = with(&other.network.rpc.url(), arguments);
        assert_ne!(told.code, Some(0), "{told:?}");
        let all = format!("{}{}", told.stdout, told.stderr);
        assert!(all.contains(&named) && !all.contains("v9"), "{told:?}");
    }
    assert!(!own.home.join("cosmovisor/upgrades/v9").exists());
}

#[test]
fn a_list_that_may_lack_something_says_so_and_fails() {
    let status = world();
    let answer = move |body: String| {
        let site = std::sync::Arc::clone(&status.network.site);
        let call: Value = serde_json::from_str(&body).expect("a call");
        async move {
            if call["method"] == "abci_query" {
                return r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error"}}"#.to_owned();
            }
            drop(site);
            include_str!("../../fixtures/answers/cometbft-0.40/status.json").to_owned()
        }
    };
    let silent = Server::open(axum::Router::new().fallback(answer));
    let told = watcher(&["upcoming", "--rpc", &silent.url()], &[]);
    assert_eq!(told.code, Some(1), "{told:?}");
    for question in ["scheduled", "proposed"] {
        assert!(told.stdout.contains(&format!("nobody answered what is {question}")), "{told:?}");
    }
    assert!(!told.stdout.contains("no upgrade is coming"), "{told:?}");
    assert!(told.stderr.contains(&silent.url()), "{told:?}");
}

#[test]
fn a_wrong_command_line_ends_with_64_and_the_remedy() {
    for (arguments, words) in [
        (&["upcoming"][..], "give --rpc or --rest, or --home"),
        (&["upcoming", "--rpc", "ftp://host"], "write it as https://host:port/path"),
        (&["upcoming", "--home", "/nonexistent"], "/nonexistent is not the home of a node"),
        (&["upcoming", "--format", "yaml"], "possible values: text, json"),
        (&["upcomming"], "unrecognized subcommand"),
    ] {
        let told = watcher(arguments, &[]);
        assert_eq!((told.code, told.stdout.as_str()), (Some(64), ""), "{told:?}");
        assert!(told.stderr.contains(words), "{told:?}");
    }
    assert_eq!(watcher(&["--help"], &[]).code, Some(0));
}
