//! Where nothing can be fetched, the log says what must be placed where, the louder the nearer the height.

use std::fs;

use watcher::artifact::Platform;

use crate::world::{FAR, HEIGHT, World, plan, program};

#[test]
fn without_downloads_the_reminders_grow_louder_until_a_binary_is_there() {
    // Ten minutes from block to block, of which the last may come at once.
    let mut world = World::with_block_time(600_000);
    let height = HEIGHT + 301;
    world.start(&[("DAEMON_ALLOW_DOWNLOAD_BINARIES", "false")]);
    world.schedule(plan("v2", height, world.host.offer("/v2", &program("v2"))));
    let words = [
        "upgrade \"v2\"",
        "place it at $DAEMON_HOME/cosmovisor/upgrades/v2/bin/$DAEMON_NAME",
        "DAEMON_ALLOW_DOWNLOAD_BINARIES",
    ];
    for (told, left, level, time) in [
        (1, 300, "WARN", " has no binary"),
        (2, 100, "ERROR", " (about 16 h 40 min)"),
        (3, 30, "ERROR", " (about 5 h 0 min)"),
        (4, 5, "ERROR", " (about 50 min 0 s)"),
    ] {
        world.advance_to(height - left);
        world.until_told(told, &words);
        let last = world.told(&words).pop().expect("it was just told");
        assert!(last.contains(level) && last.contains(&format!("{left} blocks from now{time}")), "{last}");
    }
    world.put("cosmovisor/upgrades/v2/bin/noded", b"#!/bin/sh\n");
    world.until_told(1, &["it is taken as yours"]);
    assert_eq!(world.told(&words).len(), 4, "each step is told once");
    assert_eq!(world.host.requests(), []);
}

#[test]
fn a_binary_that_was_there_before_its_plan_is_never_called_missing() {
    let mut world = World::new();
    world.put("cosmovisor/upgrades/v2/bin/noded", b"#!/bin/sh\n");
    world.start(&[("DAEMON_ALLOW_DOWNLOAD_BINARIES", "false")]);
    world.schedule(plan("v2", FAR, String::new()));
    world.until_told(1, &["upgrade \"v2\"", "it is taken as yours"]);
    assert_eq!(world.told(&["has no binary"]), Vec::<String>::new());
}

#[test]
fn an_info_that_names_no_binary_is_told_with_its_place() {
    let mut world = World::new();
    world.start(&[]);
    let platform = Platform::host().os_arch;
    let elsewhere = r#"{"binaries":{"plan9/386":"https://x.org/y?checksum=sha256:00"}}"#;
    let scheme = r#"{"binaries":{"any":"ftp://x.org/y"}}"#;
    for (number, (info, reason)) in [
        ("see the forum for the binary", "not JSON"),
        ("", "blank"),
        ("{}", "has no \"binaries\""),
        ("[]", "not an object"),
        (elsewhere, platform.as_str()),
        (scheme, "only http and https are fetched"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("plan-{number}");
        world.schedule(plan(&name, FAR, info.into()));
        world
            .until_told(1, &[&format!("place it at $DAEMON_HOME/cosmovisor/upgrades/{name}/bin/$DAEMON_NAME"), reason]);
    }
    world.schedule(plan("..", FAR, "{}".into()));
    world.until_told(1, &["WARN", "\"..\" cannot be used as a folder"]);
    let placed = fs::read_dir(world.home.join("cosmovisor/upgrades")).expect("it is made at the start");
    assert_eq!((placed.count(), world.host.requests()), (0, vec![]));
}
