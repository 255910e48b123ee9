//! Endpoints that lie: whatever they say, the own node's word stands.

use std::{fs, net::TcpListener, sync::Arc};

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
fn another_endpoint_cannot_overrule_the_own_node() {
    let mut world = World::new();
    let elsewhere = tempfile::tempdir().expect("a folder can be made");
    let liar = Network::open(elsewhere.path(), chain_at(HEIGHT, 6_000));
    let [honest, evil] = ["honest", "evil"].map(program);
    world.host.answer("/honest", &[Answer::File(honest.clone())]);
    world.host.answer("/evil", &[Answer::File(evil.clone())]);
    let (honest_offer, evil_offer) = (world.host.offer("/honest", &honest), world.host.offer("/evil", &evil));
    let lie = |plan| {
        liar.site.change(|chain| chain.plan = plan);
        block(&liar.site);
    };
    world.schedule(plan("v2", NEAR, honest_offer.clone()));
    world.start(&[("WATCHER_RPC", &liar.rpc.url())]);
    world.staged("v2", NEAR);

    let heard = |height: u64| world.until("the liar is heard", || (liar.heard_at() >= height).then_some(()));
    // Another plan, another artifact for the same plan, no plan at a low height, a height that goes back.
    lie(plan("evil", NEAR - 10, evil_offer.clone()));
    heard(HEIGHT + 1);
    let contradicted = format!("(yes: {}; no: the own node at {})", liar.rpc.url(), world.network.rpc.url());
    world.until_told(1, &["WARN", "endpoints contradict each other on whether upgrade \"evil\"", &contradicted]);
    lie(plan("v2", NEAR, evil_offer));
    heard(HEIGHT + 2);
    lie(None);
    heard(HEIGHT + 3);
    liar.site.change(|liar| *liar = chain_at(HEIGHT - 5, 6_000));
    world.until_told(1, &["WARN", &liar.rpc.url(), "went back behind height 23"]);

    // Once the own node's next word is acted on, so is all that was heard before it.
    world.schedule(plan("v2", NEAR + 1, honest_offer));
    world.staged("v2", NEAR + 1);
    assert_eq!(world.binary("v2"), Some(honest));
    assert_eq!((world.binary("evil"), world.aside().len()), (None, 0));
    let fetched: Vec<_> = world.host.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(fetched, ["/honest"]);
}

#[test]
fn while_the_own_node_is_silent_others_are_believed_and_then_corrected() {
    let mut world = World::new();
    let elsewhere = tempfile::tempdir().expect("a folder can be made");
    let other = Network::open(elsewhere.path(), chain_at(HEIGHT, 6_000));
    let file = program("v2");
    world.host.answer("/v2", &[Answer::File(file.clone())]);
    let address = world.network.rpc.address;
    world.network.rpc = Server::saying(503, "starting");
    let offer = world.host.offer("/v2", &file);
    other.site.change(|chain| chain.plan = plan("v2", NEAR, offer));
    block(&other.site);
    world.start(&[("WATCHER_RPC", &other.rpc.url())]);
    let receipt = world.staged("v2", NEAR);
    assert!(receipt["endpoint"].as_str().is_some_and(|from| from.contains(&other.rpc.url())), "{receipt}");

    let listener = TcpListener::bind(address).expect("the port was just freed");
    listener.set_nonblocking(true).expect("a socket can be made non-blocking");
    world.network.rpc = Server::at(listener, server::rpc(Arc::clone(&world.network.site)));
    // At the height of who says it, it sees that there is none.
    block(&world.network.site);
    world.until("what the own node knows nothing of is set aside", || (world.aside().len() == 1).then_some(()));
    assert_eq!(world.binary("v2"), None);
}

#[test]
fn while_the_own_node_is_silent_an_endpoint_of_another_chain_is_ignored() {
    let mut world = World::new();
    let [strange, elsewhere] = [(); 2].map(|()| tempfile::tempdir().expect("a folder can be made"));
    let [strange, other] = [&strange, &elsewhere].map(|folder| Network::open(folder.path(), chain_at(HEIGHT, 6_000)));
    strange.site.change(|chain| chain.chain_id = "other-1".into());
    let file = program("v2");
    world.host.answer("/v2", &[Answer::File(file.clone())]);
    world.network.rpc = Server::saying(503, "starting");
    for (network, name) in [(&strange, "v5"), (&other, "v2")] {
        network.site.change(|chain| chain.plan = plan(name, NEAR, world.host.offer("/v2", &file)));
        block(&network.site);
    }
    fs::write(world.home.join("config/genesis.json"), r#"{"chain_id":"demo-1"}"#).expect("the home can be written");
    world.start(&[("WATCHER_RPC", &strange.rpc.url())]);
    world.until_told(1, &["WARN", &strange.rpc.url(), "is on chain \"other-1\", not \"demo-1\"; it is ignored"]);
    world.kill();
    world.start(&[("WATCHER_RPC", &format!("{},{}", strange.rpc.url(), other.rpc.url()))]);
    world.staged("v2", NEAR);
    assert_eq!((world.binary("v5"), world.told(&["v5"])), (None, vec![]));
}

#[test]
fn the_node_runs_on_whatever_its_endpoints_say() {
    let mut world = World::new();
    let [html, empty, error] =
        [(200, "<html>hello</html>"), (200, ""), (500, "oh")].map(|(status, said)| Server::saying(status, said));
    world.start(&[
        ("WATCHER_RPC", &format!("{},{}", html.url(), empty.url())),
        ("WATCHER_REST", &format!("{},{}", error.url(), html.url())),
    ]);
    let file = program("v2");
    world.host.answer("/v2", &[Answer::File(file.clone())]);
    world.schedule(plan("v2", NEAR, world.host.offer("/v2", &file)));
    world.staged("v2", NEAR);
    for url in [html.url(), empty.url(), error.url()] {
        world.until_told(1, &["WARN", &url]);
    }
    assert!(world.watcher.as_mut().is_some_and(|watcher| watcher.ended().is_none()));
    assert!(fs::read_link(world.home.join("cosmovisor/current")).is_ok());
}
