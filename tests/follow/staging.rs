//! A scheduled plan is staged, and what is staged follows the plan.

use std::fs;

use crate::{
    host::{Answer, Request, sha256},
    own_name::own_name,
    supervisor::Supervisor,
    world::{FAR, HEIGHT, NAME, World, aside_name, inode, plan, program},
};

#[test]
fn a_plan_is_staged_and_followed_wherever_it_goes() {
    let mut world = World::new();
    let [first, second] = ["first", "second"].map(program);
    world.host.answer("/first", &[Answer::File(first.clone())]);
    world.host.answer("/second", &[Answer::File(second.clone())]);
    let [offer, other] = [world.host.offer("/first", &first), world.host.offer("/second", &second)];
    let fetched = |world: &World| world.host.requests().into_iter().map(|request| request.path).collect::<Vec<_>>();
    world.start(&[]);

    // Scheduled: fetched and staged, with a receipt.
    world.schedule(plan("v2", FAR, offer.clone()));
    let receipt = world.staged("v2", FAR);
    assert_eq!(world.binary("v2"), Some(first.clone()));
    assert_eq!(receipt["plan"], serde_json::json!({ "name": "v2", "height": FAR, "info": offer }));
    assert_eq!(receipt["artifact"]["url"], world.host.url("/first"));
    assert_eq!(receipt["artifact"]["checksum"], format!("sha256:{}", sha256(&first)));
    assert_eq!(receipt["sha256"], sha256(&first));
    assert!(receipt["verified_at"].as_str().is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok()), "{receipt}");
    assert!(receipt["endpoint"].as_str().is_some_and(|from| from.contains(&world.network.rpc.url())), "{receipt}");
    assert_eq!(fetched(&world), ["/first"]);
    world.until_told(1, &["\"v2\" at height 2000 is staged and verified in upgrades/v2"]);

    // Rescheduled: only the receipt changes.
    let binary = world.home.join("cosmovisor/upgrades/v2/bin").join(NAME);
    let before = inode(&binary);
    world.schedule(plan("v2", FAR + 500, offer.clone()));
    let renewed = world.staged("v2", FAR + 500);
    assert_eq!((&renewed["sha256"], inode(&binary)), (&receipt["sha256"], before));
    assert_eq!((fetched(&world).len(), world.aside().len()), (1, 0));

    // Replaced by another artifact: set aside, and the new one staged.
    world.schedule(plan("v2", FAR + 600, other.clone()));
    assert_eq!(world.staged("v2", FAR + 600)["sha256"], sha256(&second));
    assert_eq!(world.binary("v2"), Some(second.clone()));
    assert_eq!(world.aside(), [aside_name("v2", &sha256(&first))]);
    assert_eq!(fetched(&world), ["/first", "/second"]);

    // Cancelled: set aside.
    world.schedule(None);
    world.until("the binary of a cancelled plan is set aside", || world.binary("v2").is_none().then_some(()));
    world.until("it is kept", || (world.aside().len() == 2).then_some(()));
    world.until_told(1, &["\"v2\" at height 2600 is cancelled"]);

    // Scheduled once more: from the store.
    world.schedule(plan("v2", FAR + 700, other));
    world.staged("v2", FAR + 700);
    assert_eq!(world.binary("v2"), Some(second));
    assert_eq!(fetched(&world).len(), 2, "nothing is fetched twice");
    let status = world.watcher.as_mut().map(Supervisor::stop);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

#[test]
fn a_document_that_lists_the_binaries_is_followed() {
    let mut world = World::new();
    let file = program("listed");
    let document = world.host.offer("/listed", &file).into_bytes();
    world.host.answer("/listed", &[Answer::File(file.clone())]);
    world.host.answer("/plan.json", &[Answer::File(document.clone())]);
    world.schedule(plan("v2", FAR, world.host.pinned("/plan.json", &document)));
    world.start(&[]);
    assert_eq!(world.staged("v2", FAR)["artifact"]["url"], world.host.url("/listed"));
    assert_eq!(world.binary("v2"), Some(file));
}

#[test]
fn the_binary_of_the_operator_is_never_touched() {
    let mut world = World::new();
    let (own, file) = (b"#!/bin/sh\n# my own\n".to_vec(), program("v2"));
    world.host.answer("/v2", &[Answer::File(file.clone())]);
    world.put("cosmovisor/upgrades/v2/bin/noded", &own);
    let before = inode(&world.home.join("cosmovisor/upgrades/v2/bin/noded"));
    let offer = world.host.offer("/v2", &file);
    world.start(&[]);
    world.schedule(plan("v2", FAR, offer.clone()));
    world.until_told(1, &["upgrades/v2 holds a binary without a receipt; it is taken as yours"]);
    world.schedule(plan("v2", FAR + 1, offer.clone()));
    world.schedule(None);
    // Once another plan is staged, all before it has been acted on.
    world.schedule(plan("v3", FAR, offer));
    world.staged("v3", FAR);
    assert_eq!(world.binary("v2"), Some(own));
    assert_eq!(inode(&world.home.join("cosmovisor/upgrades/v2/bin/noded")), before);
    assert_eq!((world.aside().len(), world.host.requests().len()), (0, 1));
}

#[test]
fn what_the_operator_puts_over_a_staged_binary_wins() {
    let mut world = World::new();
    let (own, file) = (b"#!/bin/sh\n# my own\n".to_vec(), program("v2"));
    world.host.answer("/v2", &[Answer::File(file.clone())]);
    world.start(&[]);
    world.schedule(plan("v2", FAR, world.host.offer("/v2", &file)));
    world.staged("v2", FAR);
    world.put("cosmovisor/upgrades/v2/bin/own", &own);
    let bin = world.home.join("cosmovisor/upgrades/v2/bin");
    std::fs::rename(bin.join("own"), bin.join(NAME)).expect("the home can be written");
    world.until_told(1, &["upgrades/v2 holds a binary without a receipt; it is taken as yours"]);
    world.schedule(None);
    world.schedule(plan("v3", FAR, world.host.offer("/v2", &file)));
    world.staged("v3", FAR);
    assert_eq!(world.binary("v2"), Some(own));
    assert_eq!(world.host.requests(), [Request { path: "/v2".into(), from: None, if_range: None }]);
}

#[test]
fn a_backup_lies_ready_before_a_near_height_and_what_keeps_it_from_that_is_told() {
    for in_the_way in [false, true] {
        let mut world = World::new();
        world.put("cosmovisor/upgrades/v2/bin/noded", &program("v2"));
        world.put("data/application.db/000001.ldb", b"table");
        world.put("data/application.db/000002.log", b"log");
        let ahead = world.home.join(format!("{}ahead", own_name(&world.home)));
        if in_the_way {
            fs::write(&ahead, "").expect("the home can be written");
        }
        world.start(&[]);
        world.schedule(plan("v2", HEIGHT + 20, String::new()));
        if in_the_way {
            let name = ahead.file_name().and_then(|name| name.to_str()).expect("it is text");
            world.until_told(1, &["WARN", "was rehearsed and failed", name]);
        } else {
            world.until_told(1, &["as rehearsed", "bytes="]);
            let table = ahead.join("tree/application.db/000001.ldb");
            assert_eq!(fs::read(table).expect("it lies ready"), b"table");
        }
        let status = world.watcher.as_mut().map(Supervisor::stop);
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
}
