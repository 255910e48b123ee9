//! With `WATCHER_QUORUM` one endpoint alone talks nobody into a download: others must say the same, or the own node.

use std::{net::TcpListener, sync::Arc};

use watcher::sim::server;

use crate::{
    host::Answer,
    servers::Server,
    sim_network::Network,
    world::{HEIGHT, World, block, chain_at, plan, program},
};

/// Near enough for every block to be looked at everywhere.
const NEAR: u64 = HEIGHT + 80;

#[test]
fn nothing_is_fetched_before_enough_endpoints_or_the_own_node_say_so() {
    let mut world = World::new();
    let [honest, evil] = ["honest", "evil"].map(program);
    world.host.answer("/honest", &[Answer::File(honest.clone())]);
    world.host.answer("/evil", &[Answer::File(evil.clone())]);
    let (honest_offer, evil_offer) = (world.host.offer("/honest", &honest), world.host.offer("/evil", &evil));
    let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder can be made"));
    let [first, second, liar] = [0, 1, 2].map(|place| Network::open(folders[place].path(), chain_at(HEIGHT, 6_000)));
    let says = |network: &Network, plan| {
        network.site.change(|chain| chain.plan = plan);
        block(&network.site);
    };
    let address = world.network.rpc.address;
    world.network.rpc = Server::saying(503, "starting");
    says(&liar, plan("v2", NEAR, evil_offer));
    let urls = [&first, &second, &liar].map(|network| network.rpc.url());
    world.start(&[("WATCHER_RPC", &urls.join(",")), ("WATCHER_QUORUM", "2")]);
    let v2 = "upgrade \"v2\" at height 100";
    world.until_told(1, &[v2, "; claimed, and not fetched before 2 endpoints say so (WATCHER_QUORUM)"]);

    says(&first, plan("v2", NEAR, honest_offer.clone()));
    world.until_told(2, &[v2, "; claimed, and not fetched"]);
    assert_eq!(world.host.requests(), []);
    says(&second, plan("v2", NEAR, honest_offer.clone()));
    world.staged("v2", NEAR);
    world.until_told(1, &[v2, "; agreed (2 of 3)"]);
    assert_eq!(world.binary("v2"), Some(honest));
    let fetched: Vec<_> = world.host.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(fetched, ["/honest"]);
    // Once the liar speaks again of the same blocks, it contradicts them.
    block(&liar.site);
    world.until_told(1, &["WARN", "contradict each other", v2, &format!("no: {})", urls[2])]);

    // The own node is back and alone knows of another plan: its word is enough.
    let own = program("own");
    world.host.answer("/own", &[Answer::File(own.clone())]);
    world.schedule(plan("v3", NEAR - 1, world.host.offer("/own", &own)));
    let listener = TcpListener::bind(address).expect("the port was just freed");
    listener.set_nonblocking(true).expect("a socket can be made non-blocking");
    world.network.rpc = Server::at(listener, server::rpc(Arc::clone(&world.network.site)));
    world.staged("v3", NEAR - 1);
    world.until_told(1, &["\"v3\" at height 99", "; claimed"]);
    assert_eq!(world.binary("v3"), Some(own));
}

#[test]
fn a_quorum_that_cannot_be_reached_is_told_at_the_start() {
    let mut world = World::new();
    world.start(&[("WATCHER_QUORUM", "3")]);
    world.until_told(1, &["WARN", "WATCHER_QUORUM is 3, and the number of endpoints is 1", "WATCHER_RPC"]);
}
