//! Records what the supervisor gives to the core in a real upgrade and what it decides, for `tests/world/replay.rs`:
//! `cargo test --test real_chain -- --ignored traces`. What changes nothing is left out: facts that are as they were.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    DOWNLOADS, LATER, LIMIT, SOON, TAKES_BACK, VOTE, carried_through,
    chain::{Chain, Kind},
    release_host::ReleaseHost,
    supervisor::{Supervisor, log_of},
    wait_for_the_way_back,
};

const TRACE: &[(&str, &str)] = &[("WATCHER_LOG", "info,watcher::supervisor::trace=trace")];
/// Blocks after an upgrade in which it shows how it went.
const AFTER: u64 = 10;

#[test]
#[ignore = "writes fixtures/traces anew"]
fn an_upgrade_that_is_fetched_before_its_height() {
    let Some(chain) = Chain::with(Kind::Today, VOTE) else { return };
    let _host = ReleaseHost::open(chain.port + 9, chain.versions, None);
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), &[DOWNLOADS, TRACE].concat());
    let height = chain.propose("v2", LATER, &chain.offer("v2", chain.port + 9));
    ends_well(&chain, height, &mut watcher, "fetched.jsonl");
}

#[test]
#[ignore = "writes fixtures/traces anew"]
fn an_upgrade_that_fails_and_is_taken_back_and_comes_with_another_binary() {
    let Some(chain) = Chain::with(Kind::Today, VOTE) else { return };
    chain.place("broken", "upgrades/v2");
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), &[TAKES_BACK, TRACE].concat());
    let height = chain.propose("v2", SOON, "");
    wait_for_the_way_back(&chain.home, LIMIT);
    fs::remove_file(chain.binary("upgrades/v2")).expect("it is there");
    chain.place("v2", "upgrades/v2");
    ends_well(&chain, height, &mut watcher, "rolled_back.jsonl");
}

fn ends_well(chain: &Chain, height: u64, watcher: &mut Supervisor, name: &str) {
    carried_through(chain, "v2", height);
    chain.wait_for_blocks_by("v2", height + AFTER, LIMIT);
    assert!(watcher.stop().success());

    let folder = chain.home.parent().and_then(Path::to_str).expect("a plain path");
    let log = String::from_utf8_lossy(&fs::read(log_of(&chain.home)).expect("the log is there")).replace(folder, "");
    let (mut trace, mut facts) = (Vec::new(), Value::Null);
    for (_, line) in log.lines().filter_map(|line| line.split_once(" TRACE ")) {
        let mut line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if let Some(event) = line.get_mut("event").and_then(Value::as_object_mut)
            && let Some(seen) = event.remove("facts")
            && seen != facts
        {
            event.insert("facts".to_owned(), seen.clone());
            facts = seen;
        }
        trace.push(line.to_string());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traces").join(name);
    fs::write(path, trace.join("\n") + "\n").expect("the fixtures can be written");
}
