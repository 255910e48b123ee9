//! What following a chain costs and how fast it is. Measured with
//! `cargo test --test follow -- --ignored --nocapture measured`.

use std::time::{Duration, Instant};

use watcher::sim::chain::{Chain, Proposal};

use crate::{
    servers::Server,
    sim_network::Network,
    world::{World, block, now},
};

/// As long as a proposal's text is on real chains, with links for four platforms.
const TEXT: usize = 3_000;

/// Plans that are scheduled one after the other, as votes end; how many blocks and milliseconds it takes each to be told.
#[test]
#[ignore = "it takes two minutes"]
fn measured_from_the_end_of_a_vote_to_the_plan_being_known() {
    const VOTES: u64 = 10;
    const BLOCK: u64 = 1_000;
    for own in [true, false] {
        let mut world = World::with_block_time(BLOCK);
        let start = world.network.site.chain().saved;
        let proposals: Vec<_> = (0..VOTES)
            .map(|vote| {
                let plan = watcher::decide::plan::Plan {
                    name: format!("v{vote}"),
                    height: start + 1_000 + vote,
                    info: "x".repeat(TEXT),
                };
                // Its vote ends with the block five after that of the one before.
                Proposal::upgrade(plan, start + 3, 5 * BLOCK * (vote + 1))
            })
            .collect();
        world.network.site.change(|chain| chain.proposals = proposals);
        let elsewhere = tempfile::tempdir().expect("a folder can be made");
        let chain: Chain = world.network.site.chain().clone();
        let other = Network::open(elsewhere.path(), chain);
        if !own {
            world.network.rpc = Server::saying(503, "not the own node");
        }
        let network = if own { &world.network.site } else { &other.site };
        let url = other.rpc.url();
        world.watcher = None;
        let settings = [("DAEMON_ALLOW_DOWNLOAD_BINARIES", "false"), ("WATCHER_RPC", url.as_str())];
        world.watcher = Some(crate::supervisor::Supervisor::start(
            &world.home,
            crate::world::NAME,
            if own { &settings[..1] } else { &settings },
        ));
        let mut took = Vec::new();
        let mut waiting: Option<(String, u64, Instant)> = None;
        let mut next = Instant::now() + Duration::from_millis(BLOCK);
        while took.len() < usize::try_from(VOTES).expect("a few") {
            if Instant::now() >= next {
                next += Duration::from_millis(BLOCK);
                let before = network.chain().plan.clone();
                block(network);
                let after = network.chain().plan.clone();
                if let Some(plan) = after.filter(|plan| before.as_ref() != Some(plan)) {
                    waiting = Some((plan.name, network.chain().saved, Instant::now()));
                }
            }
            if let Some((name, height, since)) = &waiting
                && !world.told(&[&format!("upgrade \"{name}\""), "is scheduled"]).is_empty()
            {
                took.push((network.chain().saved - height, since.elapsed()));
                waiting = None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        took.sort_by_key(|(_, time)| *time);
        let blocks = took.iter().map(|(blocks, _)| *blocks).max().expect("there were votes");
        let (middle, most) = (took[took.len() / 2].1, took[took.len() - 1].1);
        let whose = if own { "the own node" } else { "another's RPC" };
        crate::say::say(&format!(
            "{whose}: {VOTES} votes, blocks of {BLOCK} ms: known after {middle:?} (median), {most:?} (most), {blocks} blocks later at most"
        ));
        assert_eq!(blocks, 0, "known before the next block: {took:?}");
    }
}

/// A chain with a thousand old proposals, followed for two minutes.
#[test]
#[ignore = "it takes two minutes"]
fn measured_requests_and_bytes_with_a_thousand_old_proposals() {
    const BLOCK: u64 = 6_000;
    let followed: Vec<_> = [true, false]
        .map(|own| {
            let mut world = World::with_block_time(BLOCK);
            let elsewhere = tempfile::tempdir().expect("a folder can be made");
            let other = Network::open(elsewhere.path(), old_chain(BLOCK));
            let url = other.rpc.url();
            if own {
                world.network.site.change(|chain| *chain = old_chain(BLOCK));
                world.start(&[]);
            } else {
                world.network.rpc = Server::saying(503, "not the own node");
                world.start(&[("WATCHER_RPC", &url)]);
            }
            (own, world, other, elsewhere)
        })
        .into();
    let mut before = Vec::new();
    for minute in 0..2 {
        let counts: Vec<_> = followed
            .iter()
            .map(|(own, world, other, _)| if *own { world.network.served() } else { other.served() })
            .collect();
        before = counts;
        let _ = minute;
        let began = Instant::now();
        while began.elapsed() < Duration::from_mins(1) {
            for (own, world, other, _) in &followed {
                block(if *own { &world.network.site } else { &other.site });
            }
            std::thread::sleep(Duration::from_millis(BLOCK));
        }
    }
    for ((own, world, other, _), before) in followed.iter().zip(before) {
        let after = if *own { world.network.served() } else { other.served() };
        let whose = if *own { "the own node" } else { "another's RPC" };
        for (question, requests, bytes) in after {
            let earlier = before.iter().find(|earlier| earlier.0 == question);
            let (requests, bytes) =
                earlier.map_or((requests, bytes), |earlier| (requests - earlier.1, bytes - earlier.2));
            crate::say::say(&format!("{whose}: {question}: {requests} requests, {bytes} bytes a minute"));
        }
    }
}

/// A chain on which a thousand proposals were decided, every other one rejected.
fn old_chain(block_time: u64) -> Chain {
    const OLD: u64 = 1_000;
    let proposals = (0..OLD).map(|number| {
        let plan = watcher::decide::plan::Plan { name: format!("v{number}"), height: 10, info: "x".repeat(TEXT) };
        Proposal { approved: number % 2 == 0, ..Proposal::upgrade(plan, 2, block_time) }
    });
    let mut chain = Chain::new("demo-1", block_time, proposals.collect());
    let now = now();
    for left in (0..20).rev() {
        chain.save(now - left * block_time);
        chain.apply(&[]).expect("no plan is due");
        if chain.saved == 5 {
            chain.plan = None;
        }
    }
    chain
}
