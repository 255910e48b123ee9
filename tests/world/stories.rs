//! Histories with a name: what is known to go wrong with upgrades, told one by one.

use watcher::decide::{
    event::{EndpointId, Heard, Kind, News, OWN_NODE, Trouble},
    facts::{FailureState, Origin, Receipt, RecordFact, Verdict, Version},
    note::Note,
    settings::OnFailure,
};

use super::{
    chain::folder,
    disk::{Content, Place},
    history::{Act, Before, Carries, Channel, Harm, Host, How, Moment, Setup, Voice, Wanted},
    machine::World,
    node::Data,
};

fn is_at(world: &World, name: &str) -> bool {
    world.disk.home.current == Some(Version::Upgrade(folder(name)))
}

/// A home on which these things happen, and whatever else it takes to be past the upgrade.
fn story(setup: Setup, acts: &[Act]) -> World {
    let mut world = World::begin(setup);
    world.live(acts).unwrap();
    world.finish().unwrap();
    world
}

#[test]
fn an_upgrade_takes_its_steps_in_the_order_of_the_contract() {
    use Moment::{
        AppHook, BackUp, CustomHook, Exit, Fetch, Halt, Passed, Place, Remember, Room, Spawn, Start, Stop, Switch,
    };
    let world = story(Setup::default(), &[]);
    let told = |moment: &&Moment| !matches!(moment, Moment::Ask | Moment::Verify);
    let moments: Vec<Moment> = world.moments.iter().filter(told).copied().collect();
    // The data are known once a block came on another.
    let begins = [Remember, Start, Spawn, Fetch, Place, Room, Remember, Halt];
    let swaps =
        [Remember, Room, Stop, Exit, BackUp, CustomHook, Switch, AppHook, Remember, Start, Spawn, Passed, Remember];
    assert_eq!(moments, [begins.as_slice(), swaps.as_slice()].concat());
}

#[test]
fn the_file_and_the_exit_are_heard_in_either_order_with_the_same_outcome() {
    let told = |slow: Channel| {
        let world = story(Setup::default(), &[Act::HaltExits(true), Act::Pace(slow, 3)]);
        let swap = world.moments.iter().skip_while(|moment| **moment != Moment::Halt);
        let swap: Vec<Moment> = swap.filter(|moment| **moment != Moment::Ask).copied().collect();
        (swap, world.disk.home.current.clone(), world.tally.passed)
    };
    let (file_late, exit_late) = (told(Channel::File), told(Channel::Exit));
    assert_eq!(file_late, exit_late);
    assert_eq!((file_late.1, file_late.2), (Some(Version::Upgrade(folder("V1"))), 1));
}

#[test]
fn a_kill_between_marker_and_link_is_made_good_by_the_next_start() {
    let mut world = World::begin(Setup::default());
    assert!(world.step_until(|world| !world.disk.home.markers.is_empty()));
    assert_eq!(world.disk.home.current, Some(Version::Genesis));
    world.live(&[Act::Kill]).unwrap();
    world.finish().unwrap();
    assert!(is_at(&world, "V1") && world.times(Moment::BackUp) == 1);
}

#[test]
fn a_power_cut_after_the_switch_that_takes_the_record_runs_the_hooks_again() {
    let mut world = World::begin(Setup::default());
    world.live(&[Act::Until(Moment::AppHook)]).unwrap();
    for place in [Place::Info, Place::Root, Place::Version(folder("V1"))] {
        world.disk.sync(&place);
    }
    world.live(&[Act::PowerCut(0)]).unwrap();
    world.finish().unwrap();
    assert_eq!((world.times(Moment::Switch), world.times(Moment::AppHook)), (1, 2));
}

#[test]
fn a_power_cut_that_takes_everything_begins_again_at_the_halt() {
    let world = story(Setup::default(), &[Act::Until(Moment::AppHook), Act::PowerCut(0)]);
    assert_eq!((world.times(Moment::Halt), world.tally.switches, world.tally.passed), (2, 2, 1));
}

#[test]
fn a_power_cut_that_leaves_nothing_but_the_link_leaves_the_file_of_the_node_too() {
    let mut world = World::begin(Setup::default());
    assert!(world.step_until(|world| is_at(world, "V1")));
    world.disk.sync(&Place::Root);
    world.live(&[Act::PowerCut(0)]).unwrap();
    assert_eq!(world.disk.plan().map(|plan| plan.name.as_str()), Some("V1"));
    world.finish().unwrap();
    assert_eq!((world.tally.switches, world.tally.passed), (1, 1));
}

#[test]
fn an_old_binary_started_again_at_the_height_is_no_new_upgrade_and_no_failure() {
    let acts = [Act::HaltExits(true), Act::Until(Moment::Halt), Act::Kill, Act::Steps(5), Act::Start];
    let world = story(Setup::default(), &acts);
    assert_eq!((world.times(Moment::Halt), world.tally.passed), (2, 1));
    assert_eq!(world.times(Moment::Switch), 1);
}

#[test]
fn endpoints_that_lie_change_nothing_whether_the_node_can_be_asked_or_not() {
    for deaf in [false, true] {
        let lies = [Voice::OtherArtifact, Voice::Null, Voice::OtherPlan(3), Voice::Height(u64::MAX), Voice::Height(0)];
        for lie in lies {
            let acts = [Act::Deaf(deaf), Act::Voice(1, lie), Act::Voice(2, lie), Act::Until(Moment::Spawn)];
            let mut world = World::begin(Setup::default());
            world.live(&acts).unwrap();
            assert!(world.step_until(|world| world.tally.switches == 1), "{lie:?}");
            world.finish().unwrap();
            assert!(is_at(&world, "V1"), "{lie:?}");
            let evil = |receipt: &Receipt| receipt.sha256.contains("evil");
            assert!(deaf || !world.disk.home.store.iter().any(|(receipt, _)| evil(receipt)), "{lie:?}");
        }
    }
}

#[test]
fn a_cancelled_plan_is_not_carried_out_and_its_binary_is_set_aside() {
    let mut world = World::begin(Setup::default());
    world.live(&[Act::Until(Moment::Place), Act::Cancel, Act::Blocks(20)]).unwrap();
    assert!(world.disk.home.staged.is_empty() && world.disk.home.current == Some(Version::Genesis));
    assert_eq!((world.times(Moment::SetAside), world.tally.switches), (1, 0));
    world.finish().unwrap();
}

#[test]
fn what_the_chain_has_applied_stays_staged_on_a_node_that_has_not_heard_of_it_yet() {
    let mut world = World::begin(Setup::default());
    assert!(world.step_until(|world| !world.disk.home.staged.is_empty()));
    let staged = world.disk.home.staged.get_mut(&folder("V1")).expect("it was just placed");
    staged.receipt.as_mut().expect("watcher placed it").applied = true;
    world.live(&[Act::Cancel, Act::Blocks(20)]).unwrap();
    assert_eq!((world.disk.home.staged.len(), world.times(Moment::SetAside)), (1, 0));
    world.finish().unwrap();
}

#[test]
fn a_rescheduled_plan_keeps_its_binary_and_another_artifact_replaces_it() {
    let setup = Setup { first: 15, ..Setup::default() };
    let world = story(setup, &[Act::Until(Moment::Place), Act::Reschedule(25)]);
    assert_eq!((world.times(Moment::Fetch), world.times(Moment::SetAside)), (1, 0));
    let receipt = world.disk.home.staged[&folder("V1")].receipt.clone();
    assert_eq!(receipt.map(|receipt| receipt.plan), world.chain.applied.first().cloned());
    let world = story(setup, &[Act::Until(Moment::Place), Act::Schedule(15, Wanted::B)]);
    assert_eq!((world.times(Moment::Fetch), world.times(Moment::SetAside)), (2, 1));
}

#[test]
fn two_upgrades_in_a_row() {
    let world = story(Setup::default(), &[Act::Until(Moment::Passed), Act::Schedule(2, Wanted::B)]);
    assert!(is_at(&world, "V2") && world.tally.passed == 2);
}

#[test]
fn without_downloads_the_node_stays_up_until_the_operator_has_placed_the_binary() {
    let mut world = World::begin(Setup { downloads: false, ..Setup::default() });
    world.live(&[Act::Until(Moment::Halt), Act::Blocks(30)]).unwrap();
    assert!(world.process.is_some() && world.tally.switches == 0);
    world.live(&[Act::Place]).unwrap();
    assert!(world.step_until(|world| world.tally.passed == 1));
    world.finish().unwrap();
    assert_eq!(world.times(Moment::Fetch), 0);
}

#[test]
fn a_staged_upgrade_needs_no_network_at_the_halt() {
    let setup = Setup { network_dies: true, ..Setup::default() };
    let mut world = World::begin(setup);
    world.live(&[Act::Until(Moment::Place), Act::Steps(5), Act::Host(Host::Fails)]).unwrap();
    world.finish().unwrap();
    assert!(!world.network && world.times(Moment::Fetch) == 1);
}

#[test]
fn a_stop_asked_for_in_the_middle_of_the_backup_starts_nothing_and_is_made_good_later() {
    let mut world = World::begin(Setup::default());
    world.live(&[Act::Pace(Channel::Home, 3), Act::Until(Moment::BackUp), Act::Signal]).unwrap();
    assert!(world.step_until(|world| world.watcher.is_none()) && world.process.is_none());
    assert_eq!(world.disk.home.current, Some(Version::Genesis));
    world.finish().unwrap();
    assert_eq!(world.times(Moment::BackUp), 2);
}

#[test]
fn a_height_that_the_operator_named_is_waited_for() {
    let mut world = World::begin(Setup { first: 0, ..Setup::default() });
    world.live(&[Act::Until(Moment::Spawn), Act::Name(10, How::File), Act::Blocks(9)]).unwrap();
    assert_eq!(world.tally.switches, 0);
    assert!(world.step_until(|world| is_at(world, "patch0")));
    assert!(world.data.block >= 20);
}

#[test]
fn a_node_behind_a_wrapper_is_found_and_stopped_before_another_is_started() {
    let world = story(Setup::default(), &[Act::Wrapper(true), Act::Until(Moment::Halt), Act::Kill, Act::Blocks(2)]);
    assert_eq!((world.times(Moment::Switch), world.tally.passed), (1, 1));
}

#[test]
fn endpoints_past_the_height_withdraw_nothing_from_a_node_that_lags() {
    let mut world = World::begin(Setup::default());
    world.live(&[Act::Until(Moment::Place), Act::Blocks(2), Act::Pace(Channel::Sync, 5), Act::NodeDies(1)]).unwrap();
    world.live(&[Act::Blocks(20)]).unwrap();
    world.live(&[Act::Start, Act::Blocks(20)]).unwrap();
    assert!(world.process.is_some() && world.data.committed < 18);
    world.finish().unwrap();
    assert_eq!((world.times(Moment::SetAside), world.times(Moment::Fetch)), (0, 1));
}

#[test]
fn what_was_staged_is_hashed_again_near_the_height() {
    let mut world = World::begin(Setup { first: 70, ..Setup::default() });
    world.live(&[Act::Until(Moment::Verify), Act::Blocks(3), Act::Harm(Harm::Rot)]).unwrap();
    assert!(world.disk.files.values().any(|file| !file.sound));
    world.finish().unwrap();
    assert_eq!((world.times(Moment::Fetch), world.times(Moment::Place)), (2, 2));
}

#[test]
fn an_upgrade_info_from_before_the_last_upgrade_leads_nowhere() {
    let acts = [Act::Until(Moment::Passed), Act::Schedule(2, Wanted::B), Act::Until(Moment::Passed), Act::Blocks(1)];
    let mut world = World::begin(Setup::default());
    world.live(&acts).unwrap();
    world
        .live(&[Act::Kill, Act::Blocks(1), Act::Snapshot(9, Carries::Earlier), Act::Start, Act::Until(Moment::Spawn)])
        .unwrap();
    world.live(&[Act::NodeDies(1), Act::Blocks(1), Act::Start, Act::Blocks(3)]).unwrap();
    assert!(is_at(&world, "V2") && world.tally.switches == 2);
}

#[test]
fn a_snapshot_past_two_upgrades_with_the_file_of_the_first_runs_the_second() {
    let mut world = World::begin(Setup::default());
    world.live(&[Act::Blocks(1), Act::Signal, Act::Blocks(10), Act::Schedule(2, Wanted::B), Act::Blocks(8)]).unwrap();
    let (folders, applied) = (["V1", "V2"].map(folder), world.chain.applied.len());
    for folder in &folders {
        world.operator_builds(folder);
    }
    world.live(&[Act::Snapshot(3, Carries::Earlier), Act::Start, Act::Blocks(6)]).unwrap();
    assert_eq!(applied, 2);
    assert!(world.data.committed + 1 >= world.chain.height && is_at(&world, "V2"), "{:?}", world.data);
}

#[test]
fn on_data_from_before_two_upgrades_each_is_made_once_more() {
    let mut world = World::begin(Setup::default());
    let second = [Act::Schedule(2, Wanted::B), Act::Until(Moment::Passed), Act::Blocks(1)];
    world.live(&[Act::Until(Moment::Passed)]).unwrap();
    world.live(&second).unwrap();
    world.live(&[Act::Snapshot(-12, Carries::Nothing), Act::Start, Act::Blocks(1)]).unwrap();
    // Which version precedes the one before the last is not known here.
    assert!(world.watcher.is_none());
    world.operator_links();
    world.live(&[Act::Start, Act::Blocks(6)]).unwrap();
    assert_eq!((world.tally.passed, world.tally.switches, is_at(&world, "V2")), (4, 4, true));
}

/// Its operator brings the data of some time ago back, and links the version that they need.
#[test]
fn what_was_signed_passes_no_upgrade_on_data_from_before_it() {
    let mut world = World::begin(Setup::default());
    world.live(&[Act::Until(Moment::Passed), Act::Blocks(12), Act::Kill, Act::Blocks(1)]).unwrap();
    world.data = Data { committed: 15, block: 15, identity: None, ..world.data };
    world.point(&Version::Genesis);
    world.live(&[Act::Start]).unwrap();
    world.finish().unwrap();
    assert_eq!((world.tally.passed, world.tally.switches), (2, 2));
}

#[test]
fn a_home_that_halted_before_watcher_came_is_carried_on() {
    for before in [Before::Halted, Before::Switched] {
        let world = story(Setup { before, ..Setup::default() }, &[]);
        assert_eq!((world.tally.switches, world.tally.passed), (u64::from(before == Before::Halted), 1));
    }
}

#[test]
fn a_new_binary_that_cannot_start_is_started_a_few_times_and_then_left_to_the_operator_as_cosmovisor_does() {
    let mut world = World::begin(Setup { on_failure: OnFailure::Leave, ..Setup::default() });
    world.live(&[Act::Faulty(Some(2))]).unwrap();
    assert!(world.step_until(|world| world.tally.switches > 0 && world.watcher.is_none()));
    assert_eq!(world.times(Moment::Spawn), 1 + 4);
    world.finish().unwrap();
    assert_eq!((world.tally.switches, world.times(Moment::AppHook)), (1, 1));
}

#[test]
fn a_second_request_to_stop_kills_a_node_that_ignored_the_first() {
    let mut world = World::begin(Setup::default());
    world.live(&[Act::Stubborn(true), Act::Until(Moment::Spawn), Act::Signal, Act::Blocks(3)]).unwrap();
    assert!(world.process.is_some() && world.watcher.is_some());
    world.live(&[Act::Signal, Act::Blocks(1)]).unwrap();
    assert!(world.process.is_none() && world.watcher.is_none());
}

#[test]
fn an_upgrade_that_is_held_is_staged_and_stands_at_the_halt_until_it_is_released() {
    let mut world = World::begin(Setup::default());
    world.live(&[Act::Hold(true), Act::Until(Moment::Halt), Act::Blocks(12), Act::Kill, Act::Start]).unwrap();
    world.live(&[Act::Blocks(8)]).unwrap();
    assert_eq!((world.times(Moment::Switch), world.times(Moment::Place)), (0, 1));
    world.live(&[Act::Hold(false), Act::Until(Moment::Passed)]).unwrap();
    assert_eq!(world.tally.passed, 1);
}

#[test]
fn a_queue_is_worked_off_in_order_whatever_restarts_in_between() {
    let mut world = World::begin(Setup { first: 0, ..Setup::default() });
    let named = [Act::Name(8, How::Queue), Act::Name(16, How::Queue)];
    world.live(&[Act::Until(Moment::Spawn), named[0], named[1], Act::Until(Moment::Order), Act::Kill]).unwrap();
    world.live(&[Act::Start, Act::Blocks(4), Act::Kill, Act::Start]).unwrap();
    assert_eq!(world.disk.plan().map(|plan| plan.height), Some(18), "the first one is named, and stays");
    assert_eq!(world.disk.home.orders.queue.len(), 2, "what is named is not over");
    assert!(world.step_until(|world| is_at(world, "patch0")));
    assert!(world.step_until(|world| world.disk.home.orders.queue.is_empty()), "{:?}", world.disk.home.orders);
    assert_eq!(world.disk.plan().map(|plan| plan.height), Some(26));
}

#[test]
fn the_old_binary_stops_before_an_exact_height_after_one_restart() {
    // What its halt height means goes with the delay.
    for restart_delay in [0, 7] {
        let mut world = World::begin(Setup { first: 0, restart_delay, ..Setup::default() });
        world.live(&[Act::Until(Moment::Spawn), Act::Name(250, How::Exact)]).unwrap();
        world.live(&[Act::Blocks(80)]).unwrap();
        assert!(world.step_until(|world| world.times(Moment::Spawn) == 2), "it is restarted");
        let left = world.disk.plan().map(|plan| plan.height - world.data.committed);
        assert!(left.is_some_and(|left| (101..=300).contains(&left)), "{left:?}");
        while !is_at(&world, "patch0") {
            world.live(&[Act::Blocks(10)]).unwrap();
        }
        assert!(world.step_until(|world| world.times(Moment::Spawn) == 3));
        assert!(world.step_until(|world| world.data.committed > 361));
        assert_eq!(
            world.times(Moment::Spawn),
            3,
            "one restart, one swap, and the new binary is not stopped at the height"
        );
    }
}

/// Where the halt height is compared after the commit, a node that stands there from the start goes one block further. It was
/// asked once, before it answers, and had executed the height when it was asked again.
#[test]
fn a_node_that_begins_just_before_an_exact_height_does_not_execute_it() {
    for short in [0, 1, 2, 5] {
        let mut world = World::begin(Setup { first: 0, restart_delay: 7, ..Setup::default() });
        world.live(&[Act::Until(Moment::Spawn), Act::Name(250, How::Exact), Act::Blocks(80)]).unwrap();
        assert!(world.step_until(|world| world.times(Moment::Spawn) == 2), "it is restarted");
        let height = world.disk.plan().map(|plan| plan.height).expect("it was named");
        while world.data.committed + 1 + short < height {
            world.live(&[Act::Steps(1)]).unwrap();
        }
        world.live(&[Act::Kill, Act::Steps(20), Act::Start, Act::Blocks(20)]).unwrap();
        assert!(is_at(&world, "patch0") && world.data.committed > height, "{short} blocks short of it");
    }
}

#[test]
fn an_exact_height_that_was_missed_is_not_made_good_at_another_one() {
    let mut world = World::begin(Setup { first: 0, ..Setup::default() });
    world.live(&[Act::Until(Moment::Spawn), Act::Name(1, How::Exact), Act::Signal]).unwrap();
    assert!(world.step_until(|world| world.watcher.is_none()));
    // Somebody runs the old binary without `watcher`, past the height.
    (world.data.committed, world.data.block) = (130, 130);
    while world.chain.height < 130 {
        world.chain.grow();
    }
    world.live(&[Act::Start, Act::Blocks(12), Act::Kill, Act::Start, Act::Blocks(8)]).unwrap();
    assert_eq!(world.times(Moment::Switch), 0);
    assert!(world.process.is_some(), "the old binary runs on");
}

#[test]
fn an_exact_height_that_passed_unseen_stops_the_node_of_a_later_upgrade_once_and_not_for_ever() {
    let mut world = World::begin(Setup { first: 0, ..Setup::default() });
    world.live(&[Act::Until(Moment::Spawn), Act::Name(1, How::Exact), Act::Signal]).unwrap();
    assert!(world.step_until(|world| world.watcher.is_none()));
    // Somebody runs the old binary without `watcher`, past the height and to the halt of the chain's own upgrade.
    world.live(&[Act::Schedule(118, Wanted::A)]).unwrap();
    let plan = world.chain.scheduled().cloned().expect("it was just scheduled");
    (world.data.committed, world.data.block) = (plan.height - 1, plan.height);
    while world.chain.height < plan.height + 5 {
        world.chain.grow();
    }
    world.disk.write_info(Content::Plan(plan.clone()), Origin::Node);
    world.live(&[Act::Start, Act::Until(Moment::Passed), Act::Blocks(20)]).unwrap();
    assert_eq!(world.times(Moment::Spawn), 1 + 1 + 2, "the old binary once more, the new one, and it once more");
    assert!(world.process.is_some() && world.data.committed + 1 >= world.chain.height, "{:?}", world.data);
}

#[test]
fn a_binary_is_replaced_by_one_restart() {
    let mut world = World::begin(Setup { first: 0, ..Setup::default() });
    world.live(&[Act::Until(Moment::Spawn), Act::Blocks(2), Act::Replace(0), Act::Blocks(6)]).unwrap();
    assert_eq!((world.times(Moment::Spawn), world.disk.home.orders.replacement.as_ref()), (2, None));
    assert!(world.process.is_some());
}

#[test]
fn a_passing_that_nobody_sees_is_asked_for_and_harms_nothing() {
    let mut world = World::begin(Setup::default());
    let unseen = [Act::Until(Moment::Switch), Act::Deaf(true), Act::Smudged(true), Act::Until(Moment::Spawn)];
    world.live(&unseen).unwrap();
    // Twelve minutes.
    (0..12).for_each(|_| world.live(&[Act::Blocks(12)]).unwrap());
    assert!(world.process.is_some() && world.times(Moment::Spawn) == 2, "it is left alone");
    let minutes = |note: &Note| if let Note::Unseen { minutes, .. } = note { Some(*minutes) } else { None };
    assert_eq!(world.told.iter().filter_map(minutes).collect::<Vec<_>>(), [1, 2, 4, 8], "soon, and then seldomer");
    world.finish().unwrap();
}

#[test]
fn what_fails_at_the_halt_is_told_at_once_and_tried_again_until_it_works() {
    for moment in [Moment::BackUp, Moment::CustomHook] {
        let mut world = World::begin(Setup::default());
        world.live(&[Act::Until(Moment::Exit)]).unwrap();
        let saved = |world: &World| world.disk.home.backup.as_ref().is_some_and(|(_, whole)| *whole);
        assert!(moment == Moment::BackUp || world.step_until(saved));
        world.live(&[Act::Fails { jobs: 99, late: false }, Act::Blocks(36)]).unwrap();
        let told = world.told.iter().filter(|note| matches!(note, Note::StandsStill { .. })).count();
        assert_eq!((told, world.watcher.is_some(), world.process.is_some()), (1, true, false), "{moment:?}");
        assert!((8..14).contains(&world.times(moment)), "every half minute at most: {}", world.times(moment));
        world.live(&[Act::Fails { jobs: 0, late: false }, Act::Until(Moment::Passed)]).unwrap();
        assert_eq!((world.tally.passed, world.times(Moment::Stop)), (1, 1));
    }
    // cosmovisor leaves there.
    let mut world = World::begin(Setup { on_failure: OnFailure::Leave, ..Setup::default() });
    world.live(&[Act::Until(Moment::Exit), Act::Fails { jobs: 1, late: false }, Act::Until(Moment::BackUp)]).unwrap();
    assert!(world.step_until(|world| world.watcher.is_none()));
    world.finish().unwrap();
}

#[test]
fn a_crash_after_the_height_was_seen_to_be_committed_is_no_failure_of_the_upgrade() {
    let mut world = World::begin(Setup::default());
    // That it was started is heard late, and of its block and its end before.
    world.live(&[Act::Until(Moment::AppHook), Act::Until(Moment::Start), Act::Pace(Channel::Done, 5)]).unwrap();
    world.live(&[Act::Until(Moment::Spawn), Act::Blocks(3), Act::NodeDies(2)]).unwrap();
    assert_eq!((world.tally.passed, world.process.is_some()), (1, false));
    world.live(&[Act::Pace(Channel::Done, 0), Act::Blocks(24)]).unwrap();
    assert_eq!(world.disk.record().map(|record| record.verdict.has_passed()), Some(true));
    assert_eq!((world.times(Moment::Spawn), world.watcher.is_none()), (2, true), "a crash ends the run");
}

/// A home whose new binary does not come past its height.
fn failing(on_failure: OnFailure) -> World {
    let mut world = World::begin(Setup { on_failure, ..Setup::default() });
    world.live(&[Act::Faulty(Some(2)), Act::Until(Moment::Weigh), Act::Blocks(20)]).unwrap();
    world
}

fn stands(world: &World) -> Option<FailureState> {
    world.disk.record()?.failure.as_ref().map(|failure| failure.state)
}

#[test]
fn an_upgrade_that_fails_is_held_whatever_restarts_until_its_binary_is_another_one() {
    let mut world = failing(OnFailure::Hold);
    assert_eq!((stands(&world), world.times(Moment::Spawn)), (Some(FailureState::Held), 1 + 4));
    for _ in 0..5 {
        world.live(&[Act::Kill, Act::Start, Act::Blocks(3)]).unwrap();
    }
    assert!(world.watcher.is_some() && world.times(Moment::Spawn) == 1 + 4 && is_at(&world, "V1"));
    world.live(&[Act::Mend, Act::Until(Moment::Passed)]).unwrap();
    assert_eq!((world.tally.passed, world.times(Moment::Restore), world.times(Moment::AppHook)), (1, 0, 2));
    world.finish().unwrap();
}

#[test]
fn restarts_in_the_middle_do_not_begin_the_count_of_attempts_anew_and_another_binary_does() {
    let mut world = World::begin(Setup::default());
    world.live(&[Act::Faulty(Some(2))]).unwrap();
    for attempts in 1..=3 {
        assert!(world.step_until(|world| world.disk.record().is_some_and(|record| record.attempts == attempts)));
        world.live(&[Act::Kill, Act::Start]).unwrap();
    }
    for _ in 0..17 {
        world.live(&[Act::Blocks(3), Act::Kill, Act::Start]).unwrap();
    }
    assert_eq!((stands(&world), world.times(Moment::Spawn)), (Some(FailureState::Held), 1 + 4));
    world.live(&[Act::Faulty(None), Act::Resume, Act::Until(Moment::Passed)]).unwrap();
    assert_eq!(world.disk.record().map(|record| record.attempts), Some(0), "it goes on with all of them");

    let mut world = World::begin(Setup::default());
    world.live(&[Act::Faulty(Some(2))]).unwrap();
    assert!(world.step_until(|world| world.disk.record().is_some_and(|record| record.attempts == 2)));
    world.live(&[Act::Replace(0), Act::Blocks(20)]).unwrap();
    assert_eq!((stands(&world), world.times(Moment::Spawn)), (Some(FailureState::Held), 1 + 2 + 4));
}

#[test]
fn a_node_that_is_stopped_on_purpose_is_not_told_to_be_out_of_reach() {
    let mut world = failing(OnFailure::Hold);
    let refuses = |reason: &str| News::Failed { reason: reason.to_owned(), silent: true };
    for (endpoint, reason) in [(OWN_NODE, "own"), (EndpointId(1), "other")] {
        world.tell(0, Kind::Heard(Heard { endpoint, news: refuses(reason) }));
    }
    world.live(&[Act::Blocks(1)]).unwrap();
    let told = |of: &str| world.told.iter().any(|note| matches!(note, Note::Endpoint { reason, .. } if reason == of));
    assert_eq!((told("other"), told("own")), (true, false));
}

#[test]
fn a_kill_at_the_very_end_of_a_rollback_does_not_have_the_data_brought_back_twice() {
    let setup = Setup { on_failure: OnFailure::Rollback, ..Setup::default() };
    let mut world = World::begin(setup);
    world.live(&[Act::Faulty(Some(2)), Act::Until(Moment::Restore)]).unwrap();
    let restored = |world: &World| {
        let failure = world.disk.record().and_then(|record| record.failure.as_ref());
        failure.is_some_and(|failure| failure.restored)
    };
    assert!(world.step_until(restored) && is_at(&world, "V1"), "`current` is left");
    world.live(&[Act::Kill, Act::Start, Act::Blocks(3)]).unwrap();
    assert_eq!((stands(&world), world.times(Moment::Restore)), (Some(FailureState::RolledBack), 1));
    assert_eq!(world.disk.home.current, Some(Version::Genesis));
    world.finish().unwrap();
}

#[test]
fn an_upgrade_that_fails_is_taken_back_once_and_goes_on_with_another_binary() {
    let mut world = failing(OnFailure::Rollback);
    for _ in 0..5 {
        world.live(&[Act::Kill, Act::Start, Act::Blocks(3)]).unwrap();
    }
    assert_eq!((stands(&world), world.tally.taken_back), (Some(FailureState::RolledBack), 1));
    assert_eq!((world.disk.home.current.clone(), world.process.is_none()), (Some(Version::Genesis), true));
    world.live(&[Act::Mend, Act::Until(Moment::Passed)]).unwrap();
    assert_eq!((world.tally.passed, world.tally.switches, world.times(Moment::Spawn)), (1, 2, 1 + 4 + 1));
    world.finish().unwrap();
}

#[test]
fn an_upgrade_is_begun_once_more_from_the_backup_and_then_held() {
    let mut world = failing(OnFailure::Retry);
    world.live(&[Act::Blocks(20)]).unwrap();
    assert_eq!((stands(&world), world.tally.taken_back), (Some(FailureState::Held), 1));
    assert_eq!((world.times(Moment::Spawn), world.times(Moment::CustomHook)), (1 + 4 + 1, 2));
    world.live(&[Act::Faulty(None), Act::Resume, Act::Until(Moment::Passed)]).unwrap();
    assert_eq!(world.tally.passed, 1);
}

/// The height is committed, nothing of that is written down, and the new binary's `pre-upgrade` refuses to run once more.
#[test]
fn a_start_outlives_a_power_cut_so_that_nothing_committed_is_taken_back() {
    let setup = Setup { on_failure: OnFailure::Rollback, ..Setup::default() };
    let mut world = World::begin(setup);
    world.live(&[Act::Until(Moment::Passed), Act::PowerCut(0)]).unwrap();
    assert_eq!(world.disk.record().map(|record| record.starts), Some(1));
    world.live(&[Act::PreUpgrade(30), Act::Start, Act::Blocks(20)]).unwrap();
    assert_eq!((stands(&world), world.times(Moment::Restore)), (None, 0));
    world.finish().unwrap();
}

#[test]
fn a_record_that_cannot_be_read_does_not_say_that_nothing_was_started() {
    let setup = Setup { on_failure: OnFailure::Rollback, ..Setup::default() };
    let mut world = World::begin(setup);
    world.live(&[Act::Until(Moment::Passed), Act::Kill]).unwrap();
    world.disk.change(Place::Record, |home| home.record = RecordFact::Unreadable);
    world.live(&[Act::PreUpgrade(30), Act::Start]).unwrap();
    assert!(world.step_until(|world| world.disk.record().is_some_and(|record| record.failure.is_some())));
    world.finish().unwrap();
    assert_eq!((world.times(Moment::Restore), world.tally.taken_back), (0, 0));
}

#[test]
fn what_may_be_committed_is_not_taken_back() {
    for acts in [[Act::Mute(true), Act::Faulty(Some(2))], [Act::Smudged(true), Act::Faulty(Some(2))]] {
        let mut world = World::begin(Setup { on_failure: OnFailure::Rollback, ..Setup::default() });
        world.live(&acts).unwrap();
        world.live(&[Act::Until(Moment::Weigh), Act::Blocks(20)]).unwrap();
        assert_eq!((stands(&world), world.times(Moment::Restore)), (Some(FailureState::Held), 0), "{acts:?}");
    }
    // It commits, and ends before anybody hears of it.
    let mut world = World::begin(Setup { on_failure: OnFailure::Rollback, ..Setup::default() });
    world.live(&[Act::Deaf(true), Act::Late(true), Act::Faulty(Some(2)), Act::Until(Moment::Passed)]).unwrap();
    world.live(&[Act::Blocks(20)]).unwrap();
    assert_eq!((stands(&world), world.times(Moment::Restore)), (None, 0));
    world.finish().unwrap();
}

#[test]
fn what_lies_outside_the_binary_fails_no_upgrade() {
    for trouble in [Trouble::PortInUse, Trouble::Locked, Trouble::DiskFull, Trouble::SignerAway] {
        let mut world = World::begin(Setup { on_failure: OnFailure::Rollback, ..Setup::default() });
        world.live(&[Act::Until(Moment::Switch), Act::Trouble(Some(trouble)), Act::Blocks(60)]).unwrap();
        assert_eq!((stands(&world), world.tally.passed), (None, 0), "{trouble:?}");
        assert!(world.times(Moment::Spawn) > 1 + 4 && world.watcher.is_some(), "{trouble:?}");
        world.live(&[Act::Trouble(None), Act::Until(Moment::Passed)]).unwrap();
        assert_eq!(world.tally.passed, 1, "{trouble:?}");
    }
    let mut world = World::begin(Setup { on_failure: OnFailure::Rollback, ..Setup::default() });
    world.live(&[Act::Until(Moment::Switch), Act::Trouble(Some(Trouble::DoubleSign)), Act::Blocks(20)]).unwrap();
    assert_eq!((stands(&world), world.times(Moment::Spawn), world.watcher.is_none()), (None, 1 + 2, true));
}

#[test]
fn an_operator_takes_back_what_has_passed_and_goes_on() {
    let mut world = World::begin(Setup::default());
    world.live(&[Act::Until(Moment::Passed), Act::Blocks(2), Act::Rollback, Act::Blocks(5)]).unwrap();
    assert_eq!((stands(&world), world.process.is_none()), (Some(FailureState::RolledBack), true));
    assert!(world.data.signed > 20 && world.data.committed < 20, "{:?}", world.data);
    world.live(&[Act::Resume, Act::Until(Moment::Passed)]).unwrap();
    assert_eq!((world.tally.switches, is_at(&world, "V1")), (2, true));
    world.finish().unwrap();
}

#[test]
fn a_node_that_crashes_is_started_again_so_often_where_its_operator_wants_that() {
    let dies = [Act::NodeDies(1), Act::Blocks(6)];
    let mut world = World::begin(Setup { first: 0, crash_restarts: 2, ..Setup::default() });
    world.live(&[Act::Until(Moment::Spawn), Act::Blocks(2)]).unwrap();
    world.live(&dies).unwrap();
    world.live(&dies).unwrap();
    assert_eq!((world.times(Moment::Spawn), world.process.is_some()), (3, true));
    world.live(&dies).unwrap();
    assert_eq!((world.times(Moment::Spawn), world.watcher.is_none()), (3, true));

    let mut world = World::begin(Setup { first: 0, crash_restarts: 2, ..Setup::default() });
    world.live(&[Act::Trouble(Some(Trouble::SignerAway)), Act::Blocks(60)]).unwrap();
    assert!(world.times(Moment::Spawn) > 5 && world.watcher.is_some(), "a signer is waited for");
    world.live(&[Act::Trouble(Some(Trouble::DoubleSign)), Act::Blocks(20)]).unwrap();
    assert!(world.watcher.is_none(), "a refusal to sign twice is heard");
}

#[test]
fn what_an_earlier_binary_may_have_committed_is_not_taken_back_because_the_next_one_refuses() {
    let setup = Setup { custom_hook: false, on_failure: OnFailure::Retry, first: 4, ..Setup::default() };
    let mut world = World::begin(setup);
    let fails = [Act::Faulty(Some(1)), Act::Late(true), Act::Mute(true), Act::Pace(Channel::Exit, 4)];
    world.live(&fails).unwrap();
    world.live(&[Act::Until(Moment::Weigh), Act::Blocks(1), Act::PreUpgrade(30), Act::Mend, Act::Blocks(6)]).unwrap();
    assert_eq!((stands(&world), world.times(Moment::AppHook)), (Some(FailureState::Held), 2));
    assert_eq!((world.data.committed, world.times(Moment::Restore)), (16, 0));
    world.finish().unwrap();
}

#[test]
fn success_is_a_state_that_the_network_agrees_with_and_a_validator_that_signs() {
    let verdict = |world: &World| world.disk.record().map(|record| record.verdict);
    let mut world = World::begin(Setup::default());
    world.live(&[Act::Until(Moment::Passed), Act::Blocks(8)]).unwrap();
    assert_eq!(verdict(&world), Some(Verdict::Signing));

    let mut world = World::begin(Setup { on_failure: OnFailure::Rollback, ..Setup::default() });
    world.live(&[Act::Fork(true), Act::Until(Moment::Passed), Act::Blocks(30)]).unwrap();
    assert_eq!((verdict(&world), world.times(Moment::Restore)), (Some(Verdict::Forked), 0));
    assert!(world.process.is_some() && is_at(&world, "V1"), "it is told, and nothing is done about it");
    world.live(&[Act::Fork(false), Act::Blocks(8)]).unwrap();
    assert_ne!(verdict(&world), Some(Verdict::Forked), "it has applied the block after all");
}

/// It is queued under the same name for a lower one.
#[test]
fn an_exact_upgrade_does_not_come_in_before_its_height() {
    let acts = [Act::Blocks(12), Act::Name(6, How::Queue), Act::Name(1, How::Exact), Act::Blocks(6)];
    let world = story(Setup { first: 14, custom_hook: false, ..Setup::default() }, &acts);
    assert!(is_at(&world, "V1"));
}

/// The data came back from the backup after the validator had signed, and a power cut tears the record of what follows.
#[test]
fn what_was_signed_passes_no_upgrade_whose_record_is_lost() {
    let setup = Setup { first: 4, custom_hook: false, ..Setup::default() };
    let acts = [Act::Blocks(7), Act::Rollback, Act::Blocks(1), Act::Mend, Act::Until(Moment::Start)];
    for survives in 0..64 {
        let world = story(setup, &[&acts[..], &[Act::PowerCut(survives)]].concat());
        assert!(world.tally.passed > 1, "{survives}");
    }
}

/// Older data came in, on which the node halted once more, and nobody lived to see it. What was signed on the data before passed
/// the upgrade.
#[test]
fn an_upgrade_to_which_older_data_come_once_more_is_not_passed_by_what_was_signed_before() {
    let setup = Setup { backups: false, custom_hook: false, first: 4, proves: false, ..Setup::default() };
    let to_the_second = [
        Act::Pace(Channel::Boot, 5),
        Act::Place,
        Act::Until(Moment::Passed),
        Act::Schedule(16, Wanted::A),
        Act::Until(Moment::SetAside),
        Act::Until(Moment::Place),
    ];
    let back = [
        Act::Fails { jobs: 1, late: false },
        Act::Rollback,
        Act::Pace(Channel::Boot, 0),
        Act::Snapshot(-2, Carries::Last),
        Act::Until(Moment::Halt),
        Act::Kill,
        Act::Start,
        Act::Until(Moment::Halt),
        Act::Signal,
    ];
    let world = story(setup, &[&to_the_second[..], &back].concat());
    assert!(is_at(&world, "V2"));
}

/// It stands at an exact height, thousands of seconds behind the chain, and knows of no plan.
#[test]
fn a_node_that_is_far_behind_has_nothing_set_aside_that_others_see_scheduled() {
    let setup =
        Setup { backups: false, custom_hook: false, validates: false, proves: false, first: 0, ..Setup::default() };
    for ahead in [2, 19] {
        let acts = [
            Act::Pace(Channel::Boot, 5),
            Act::Pace(Channel::Home, 3),
            Act::Until(Moment::Weigh),
            Act::Signal,
            Act::Until(Moment::Halt),
            Act::Name(1, How::Exact),
            Act::Until(Moment::Halt),
            Act::Schedule(ahead, Wanted::A),
            Act::Start,
            Act::Until(Moment::Room),
        ];
        let world = story(Setup { on_failure: OnFailure::Leave, ..setup }, &acts);
        assert_eq!(world.times(Moment::SetAside), 0, "{ahead}");
    }
}

/// The switch to it outlived the power cut, and the record did not.
#[test]
fn what_an_operator_named_runs_its_hook_once_more_after_a_power_cut() {
    let acts = [
        Act::Until(Moment::Exit),
        Act::Signal,
        Act::Until(Moment::Halt),
        Act::Until(Moment::Halt),
        Act::Start,
        Act::Until(Moment::Place),
        Act::Name(1, How::Exact),
        Act::Until(Moment::AppHook),
        Act::PowerCut(7_761_273_486_067_374_136),
        Act::Schedule(2, Wanted::A),
    ];
    let setup = Setup { first: 4, backups: false, validates: false, proves: false, ..Setup::default() };
    story(Setup { on_failure: OnFailure::Leave, ..setup }, &acts);
}

#[test]
fn a_node_that_stands_where_it_was_told_to_is_not_started_again() {
    let acts = [
        Act::Signal,
        Act::Name(1, How::Exact),
        Act::Until(Moment::Halt),
        Act::Kill,
        Act::Start,
        Act::Until(Moment::Halt),
        Act::Name(1, How::File),
        Act::Until(Moment::Start),
        Act::Fails { jobs: 1, late: false },
        Act::Until(Moment::Room),
        Act::Schedule(2, Wanted::A),
    ];
    let setup = Setup { first: 60, custom_hook: false, validates: false, proves: false, ..Setup::default() };
    story(Setup { on_failure: OnFailure::Leave, ..setup }, &acts);
}
