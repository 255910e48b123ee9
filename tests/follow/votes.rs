//! What becomes of a vote is told, whichever way it ends.

use watcher::{decide::plan::Plan, sim::chain::Proposal};

use crate::world::{FAR, HEIGHT, World, block};

/// An upgrade on which the vote runs for so many blocks from the next one on.
fn vote(name: &str, height: u64, blocks: u64) -> Proposal {
    let plan = Plan { name: name.into(), height, info: String::new() };
    Proposal::upgrade(plan, HEIGHT + 1, blocks * 6_000)
}

#[test]
fn a_vote_is_told_from_its_beginning_to_whatever_comes_of_it() {
    let mut world = World::new();
    world.network.site.change(|chain| {
        let rejected = Proposal { approved: false, ..vote("no", FAR, 3) };
        // Its own height is past when the vote ends: it passes, and cannot be carried out.
        let failed = vote("late", HEIGHT + 3, 3);
        chain.proposals = vec![rejected, failed, vote("yes", FAR, 9)];
    });
    block(&world.network.site);
    world.start(&[]);
    for (number, name) in [(1, "no"), (2, "late"), (3, "yes")] {
        world.until_told(1, &[&format!("proposal {number} is being voted on"), &format!("upgrade \"{name}\"")]);
    }
    // One that was expedited and is not agreed on so fast goes on as any other, with a later end.
    world.network.site.change(|chain| chain.proposals[2].voting_period = 12 * 6_000);
    block(&world.network.site);
    world.until_told(2, &["proposal 3 is being voted on"]);

    world.advance_to(HEIGHT + 4);
    for number in [1, 2] {
        world.until_told(1, &[&format!("proposal {number} is over, and nothing comes of it")]);
    }
    world.advance_to(HEIGHT + 13);
    world.until_told(1, &["upgrade \"yes\"", "is scheduled"]);
    world.until_told(1, &["proposal 3 has passed"]);
    assert_eq!(world.told(&["proposal 3 is over"]), Vec::<String>::new());
    assert_eq!(world.told(&["upgrade \"late\"", "is scheduled"]), Vec::<String>::new());
}
