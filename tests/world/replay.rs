//! What the supervisor gave to the core while a real chain upgraded, given to a core once more: it decides the same. Where it
//! is right that it decides otherwise now, what follows in a trace is no consequence of it any more, and so all are recorded
//! anew: `cargo test --test real_chain -- --ignored traces` (needs Go).

use std::{fs, path::Path};

use serde::de::DeserializeOwned;
use serde_json::Value;
use watcher::decide::{Core, event::Event};

#[test]
fn an_upgrade_of_a_real_chain_that_was_fetched_before_its_height_is_decided_as_it_was() {
    let steps = ["Fetch {", "Place {", "Due(", "Stop {", "Switch {", "Start {", "Passed(", "exit: Some(Fine)"];
    replay("fetched.jsonl", &steps);
}

#[test]
fn an_upgrade_of_a_real_chain_that_failed_and_was_taken_back_is_decided_as_it_was() {
    let fails = ["Due(", "BackUp(", "Switch {", "Start {", "StartsAgain {", "UpgradeFailed {", "Restore(", "Choose("];
    let comes_again = ["GoesOn {", "Switch {", "Start {", "Passed(", "exit: Some(Fine)"];
    replay("rolled_back.jsonl", &[&fails[..], &comes_again].concat());
}

/// Plays a trace, in whose decisions these words come in this order.
fn replay(name: &str, words: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traces").join(name);
    let trace = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut core, mut facts, mut words) = (None, Value::Null, words.iter().peekable());
    for (number, line) in (1..).zip(trace.lines()) {
        let place = format!("{name}:{number}");
        let mut line: Value = line.parse().unwrap_or_else(|error| panic!("{place}: {error}"));
        let told_of_changes = line["told_of_changes"] == true;
        if let Some(settings) = line.get_mut("settings") {
            let begun = core.insert(Core::new(read(&place, settings.take())));
            if told_of_changes {
                begun.is_told_of_changes();
            }
            continue;
        }
        // They are there where they have changed.
        facts = line["event"].get("facts").cloned().unwrap_or(facts);
        line["event"]["facts"] = facts.clone();
        let event: Event = read(&place, line["event"].take());
        let recorded = line["decision"].as_str().expect("each event has its decision");
        let decision = format!("{:?}", core.as_mut().expect("a trace begins with settings").decide(&event));
        assert!(
            decision == recorded,
            "{place} is decided otherwise than it was recorded (where that is right, `tests/world/replay.rs` \
             says how to record it anew)\n{event:?}\nrecorded: {recorded}\nnow:      {decision}"
        );
        while words.next_if(|word| decision.contains(**word)).is_some() {}
    }
    assert_eq!(words.next(), None, "{name} is not the whole story");
}

fn read<T: DeserializeOwned>(place: &str, value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{place} cannot be read, record it anew: {error}"))
}
