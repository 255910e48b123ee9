//! What following a chain costs and how fast it is. Measured with
//! `cargo test --test follow -- --ignored --nocapture measured`.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use watcher::{
    decide::plan::Plan,
    sim::chain::{Chain, Proposal},
};

use crate::{
    say::say,
    servers::Server,
    sim_network::Network,
    world::{HEIGHT, World, block, chain_at, now},
};

/// As long as a proposal's text is on real chains, with links for four platforms.
const TEXT: usize = 3_000;

/// Votes that end one after the other, each with a plan that takes the place of the one before: how many blocks and how long
/// it takes until the log tells of each.
#[test]
#[ignore = "it takes two minutes"]
fn measured_from_the_end_of_a_vote_to_the_plan_being_known() {
    const VOTES: u64 = 10;
    const BLOCK: u64 = 1_000;
    for own in [true, false] {
        let mut world = World::with_block_time(BLOCK);
        let elsewhere = tempfile::tempdir().expect("a folder can be made");
        let other = Network::open(elsewhere.path(), chain_at(HEIGHT, BLOCK));
        let url = other.rpc.url();
        let site = Arc::clone(if own { &world.network.site } else { &other.site });
        let proposals = (1..=VOTES).map(|vote| {
            let plan = Plan { name: format!("v{vote}"), height: HEIGHT + 1_000 + vote, info: "x".repeat(TEXT) };
            Proposal::upgrade(plan, 1, (5 * vote + 5) * BLOCK)
        });
        site.change(|chain| chain.proposals = proposals.collect());
        block(&site);
        let downloads = ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "false");
        if own {
            world.start(&[downloads]);
        } else {
            world.network.rpc = Server::saying(503, "not the own node");
            world.start(&[downloads, ("WATCHER_RPC", &url)]);
        }
        let mut took = Vec::new();
        for vote in 1..=VOTES {
            let name = format!("v{vote}");
            while site.chain().plan.as_ref().is_none_or(|plan| plan.name != name) {
                thread::sleep(Duration::from_millis(BLOCK));
                block(&site);
            }
            let (passed, since) = (site.chain().saved, Instant::now());
            let mut next = since + Duration::from_millis(BLOCK);
            while world.told(&[&format!("upgrade \"{name}\""), "is scheduled"]).is_empty() {
                assert!(since.elapsed() < Duration::from_mins(1), "{name} was never told of");
                if Instant::now() >= next {
                    next += Duration::from_millis(BLOCK);
                    block(&site);
                }
                thread::sleep(Duration::from_millis(2));
            }
            took.push((since.elapsed(), site.chain().saved - passed));
        }
        took.sort();
        let whose = if own { "the own node" } else { "another's RPC" };
        let ((middle, _), (most, _)) = (took[took.len() / 2], took[took.len() - 1]);
        let blocks = took.iter().map(|(_, blocks)| *blocks).max();
        say(&format!(
            "{whose}: {VOTES} votes, a block a second: told {middle:?} after the block (median), {most:?} (most), {blocks:?} blocks later"
        ));
        assert!(blocks <= Some(1), "{took:?}");
    }
}

/// A chain with a thousand old proposals, followed for two minutes.
#[test]
#[ignore = "it takes four minutes"]
fn measured_requests_and_bytes_with_a_thousand_old_proposals() {
    const BLOCK: u64 = 6_000;
    for own in [true, false] {
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
        let (network, whose) = if own { (&world.network, "the own node") } else { (&other, "another's RPC") };
        let mut before = Vec::new();
        for minute in ["the first", "the second"] {
            let began = Instant::now();
            while began.elapsed() < Duration::from_mins(1) {
                thread::sleep(Duration::from_millis(BLOCK));
                block(&network.site);
            }
            let after = network.served();
            for (question, requests, bytes) in &after {
                let earlier = before.iter().find(|(earlier, _, _)| earlier == question);
                let (_, asked, answered) = earlier.cloned().unwrap_or_default();
                let (requests, bytes) = (requests - asked, bytes - answered);
                say(&format!("{whose}, {minute} minute: {question}: {requests} requests, {bytes} bytes"));
            }
            before = after;
        }
    }
}

/// A chain on which a thousand proposals were decided, every other one rejected.
fn old_chain(block_time: u64) -> Chain {
    const OLD: u64 = 1_000;
    let proposals = (0..OLD).map(|number| {
        let plan = Plan { name: format!("v{number}"), height: 10, info: "x".repeat(TEXT) };
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
