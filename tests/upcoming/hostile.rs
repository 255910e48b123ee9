//! A proposal costs a deposit and can hold any text. On the terminal it must not forge a line, a colour or a state.

use serde_json::Value;
use watcher::decide::plan::Plan;

use crate::world::{HEIGHT, World, assert_told, voted_on, watcher};

/// Begins a line, paints it, clears the screen in both ways, turns the direction of writing.
const POISON: &str = "x\nv9 at height 121, in 1 block\r\x1b[31m\x1b[2J\u{9b}2J\u{202e}\u{2028}\u{7f}\0";

fn world() -> World {
    let url = format!("https://evil.example/{POISON}?checksum=sha256:{}", "ab".repeat(32));
    let info = serde_json::json!({ "binaries": { "any": url } }).to_string();
    let with = |name: &str, info: &str| voted_on(Plan { name: name.into(), height: HEIGHT + 1_258, info: info.into() });
    World::with(vec![
        with(POISON, &info),
        with("v9 at height 121, in 1 block", POISON),
        with(&format!("long{}", " ".repeat(5_000)), &format!("https://evil.example/{}", "y".repeat(5_000))),
        with("..", &info),
    ])
}

fn is_clean(text: &str) {
    let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || "\u{202e}\u{2028}".contains(*c));
    assert_eq!(bad, None, "{text:?}");
}

#[test]
fn text_shows_what_is_there_and_does_nothing_of_it() {
    let told = world().upcoming(&[]);
    is_clean(told.quietly());
    assert!(!told.stdout.lines().any(|line| line.starts_with("v9")), "{told:?}");
    assert!(told.stdout.lines().all(|line| line.len() < 1_000), "{told:?}");
    assert_told!(&told.stdout);
}

#[test]
fn json_gives_it_back_to_the_letter() {
    let told = world().upcoming(&["--format", "json"]);
    is_clean(told.quietly());
    let list: Value = serde_json::from_str(&told.stdout).expect("JSON");
    let names: Vec<_> = (0..4).map(|place| list["upgrades"][place]["name"].as_str().expect("a text")).collect();
    assert!(names.contains(&POISON), "{names:?}");
    let info = &list["upgrades"][names.iter().position(|name| name.starts_with("v9")).expect("it is there")]["info"];
    assert_eq!(info, POISON);
}

#[test]
fn the_dry_run_and_the_log_are_as_careful() {
    let world = world();
    world.place_binary("genesis");
    let home = world.home.to_str().expect("a plain path");
    let variables = [("DAEMON_HOME", home), ("DAEMON_NAME", "noded"), ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true")];
    let told = watcher(&["run", "--dry-run"], &variables);
    is_clean(told.list());
    is_clean(&told.stderr);
    assert!(!told.stdout.lines().any(|line| line.starts_with("v9")), "{told:?}");
}
