//! What a history is: a set-up and a list of acts. Each act stands for itself, so that a history from which one was
//! deleted still means something; that is how a failing one is shrunk, and why its print can be pasted as a story.

use proptest::{collection, prelude::*};
use watcher::decide::{event::Trouble, settings::OnFailure};

/// A home's settings, and what happens to it.
#[derive(Debug, Clone)]
pub struct History {
    pub setup: Setup,
    pub acts: Vec<Act>,
}

/// What stays the same throughout a history.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub downloads: bool,
    pub backups: bool,
    pub custom_hook: bool,
    pub restart_after_upgrade: bool,
    /// Seconds.
    pub restart_delay: u8,
    pub pre_upgrade_retries: i64,
    pub on_failure: OnFailure,
    pub crash_restarts: u32,
    /// Blocks to the first plan; none where 0.
    pub first: u8,
    pub asks: Wanted,
    pub before: Before,
    /// Whether the node is a validator's: another signs nothing.
    pub validates: bool,
    /// Whether the own node proves what it says of plans.
    pub proves: bool,
    /// The network dies for good where, at the end of the history, the next binary is staged.
    pub network_dies: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            downloads: true,
            backups: true,
            custom_hook: true,
            restart_after_upgrade: true,
            restart_delay: 0,
            pre_upgrade_retries: 0,
            on_failure: OnFailure::Hold,
            crash_restarts: 0,
            first: 8,
            asks: Wanted::A,
            before: Before::Fresh,
            validates: true,
            proves: true,
            network_dies: false,
        }
    }
}

impl Setup {
    /// Whether the node's `--halt-height N` stops it before it executes N (SDK 0.50), or once it has committed a block that
    /// high. It goes with the delay, so that histories keep their numbers.
    pub const fn stops_before(&self) -> bool {
        self.restart_delay == 0
    }
}

/// What had happened before `watcher` came to this home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    Fresh,
    /// Another supervisor, or none, and the node stands at the first plan's height.
    Halted,
    /// Another supervisor had switched to the new binary and did not start it.
    Switched,
}

/// What a plan's info asks for: one of two artifacts, one through a document, nothing, or what this machine cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    A,
    B,
    Document,
    Nothing,
    Unusable,
}

/// Something that happens from outside, or time that passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    /// So many things happen by themselves.
    Steps(u8),
    /// The network makes so many blocks.
    Blocks(u8),
    /// Things go on until this moment comes, or for long.
    Until(Moment),
    /// The chain schedules the next upgrade so many blocks ahead, in place of whatever was scheduled.
    Schedule(u8, Wanted),
    /// The same upgrade, at another height.
    Reschedule(u8),
    /// Nothing is scheduled any more.
    Cancel,
    /// The network waits at the height for other people, or not.
    Stall(bool),
    /// How an endpoint of other people answers from now on: number 1 or 2.
    Voice(u8, Voice),
    /// What the artifact host does from now on.
    Host(Host),
    /// How fast something is from now on, from 0, fast, to 5.
    Pace(Channel, u8),
    /// At a halt the node exits (block sync) or stays up (consensus).
    HaltExits(bool),
    /// The node writes the file before it shows the height (optimistic execution).
    FileFirst(bool),
    /// The node ignores SIGTERM.
    Stubborn(bool),
    /// From its next start the node is behind a wrapper script that does not exec.
    Wrapper(bool),
    /// The node's RPC does not answer.
    Deaf(bool),
    /// A new binary ends with this code before it commits its first block.
    Faulty(Option<u8>),
    /// It ends just after that instead.
    Late(bool),
    /// Something outside keeps a node from running.
    Trouble(Option<Trouble>),
    /// A node does not say how high it is.
    Mute(bool),
    /// The signer's state cannot be read.
    Smudged(bool),
    /// The new binary comes to another state than the network, as an endpoint says.
    Fork(bool),
    /// The operator replaces a binary that failed by one that does not.
    Mend,
    /// The operator wants an upgrade that failed to go on.
    Resume,
    /// The operator takes the last upgrade back.
    Rollback,
    /// The node ends by itself with this code; 137 stands for a SIGKILL by somebody.
    NodeDies(u8),
    /// The next jobs of the home lane fail: at once, or after they have done their work.
    Fails { jobs: u8, late: bool },
    /// What the app's `pre-upgrade` exits with.
    PreUpgrade(u8),
    /// Somebody asks `watcher` to stop.
    Signal,
    /// SIGKILL for `watcher`.
    Kill,
    /// A power cut; of the changes that were not synced, these survive.
    PowerCut(u64),
    /// An operator, or systemd, starts `watcher`.
    Start,
    /// The operator puts a binary of their own where the next upgrade wants it, also over one of ours.
    Place,
    /// The operator names a future height by hand, so many blocks ahead.
    Name(u8, How),
    /// The operator's brake, on or off.
    Hold(bool),
    /// The operator replaces the binary that runs, under the same name, so many blocks ahead, or at once.
    Replace(u8),
    /// While no upgrade is under way, `watcher` is stopped, and the data come from a snapshot of so many blocks after the
    /// network's last upgrade, or before it.
    Snapshot(i8, Carries),
    /// While an upgrade waits for its switch or its first block, `watcher` is stopped, and the data are set back by so many blocks.
    SetBack(u8),
    /// Something happens to the next upgrade's binary that `watcher` placed.
    Harm(Harm),
}

/// Which `upgrade-info.json` a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    Nothing,
    /// That of the last upgrade before it.
    Last,
    /// That of the one before that: it comes from a node that did not halt for the last.
    Earlier,
}

/// How an operator names a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// In `upgrade-info.json`.
    File,
    /// In the queue.
    Queue,
    /// In `upgrade-info.json`, and the old binary is to stop before it; a hundred blocks later than said.
    Exact,
}

/// A moment in which something is worth happening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The node has written upgrade-info.json.
    Halt,
    /// A node process ended.
    Exit,
    /// A node process was spawned.
    Spawn,
    /// The own node passed an upgrade's height.
    Passed,
    Ask,
    Remember,
    Place,
    SetAside,
    Stop,
    Room,
    BackUp,
    CustomHook,
    Switch,
    AppHook,
    Start,
    Fetch,
    Verify,
    Weigh,
    Restore,
    Compare,
    /// Something that an order of the operator asks for.
    Order,
}

/// How an endpoint of other people answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The truth, so many blocks ago.
    Lags(u8),
    /// The same, with a proof.
    Proves(u8),
    /// Not at all.
    Silent,
    /// That nothing is scheduled.
    Null,
    /// That another artifact is scheduled under the same name.
    OtherArtifact,
    /// That an upgrade nobody heard of is scheduled so many blocks ahead.
    OtherPlan(u8),
    /// That the chain is at this height, and that the plan was never applied.
    Height(u64),
}

/// What the artifact host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    Serves,
    Fails,
    /// What arrives does not match its checksum.
    Lies,
    /// Nothing arrives, and nothing ends.
    Hangs,
}

/// What can be slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Home,
    Fetch,
    /// From a change of upgrade-info.json until `watcher` hears of it.
    File,
    /// From the node's end until `watcher` hears of it.
    Exit,
    /// From a job's end until `watcher` hears of it.
    Done,
    Boot,
    /// Each step of the node at a halt.
    Halt,
    /// A block of a node that catches up.
    Sync,
    /// From SIGTERM to the node's end.
    Stop,
    /// Answers of endpoints.
    Answer,
}

/// What can happen to a placed binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// The disk loses content; nothing shows it but the hash.
    Rot,
    /// Somebody writes into it.
    Overwrite,
    /// It is copied, and is the same.
    Touch,
}

/// Histories, by the weight of what can happen in them.
pub fn histories() -> impl Strategy<Value = History> {
    let seldom = || prop::bool::weighted(0.2);
    // Many end before a new binary is started: some begin with one that fails, and with what comes while that is seen to.
    let failing = prop::sample::select(vec![Moment::Weigh, Moment::Restore]);
    let fails = (1..3_u8, seldom(), seldom(), failing, disturbances());
    let fails = fails.prop_map(|(code, late, mute, moment, comes)| {
        [vec![Act::Faulty(Some(code)), Act::Late(late), Act::Mute(mute), Act::Until(moment)], comes].concat()
    });
    // What comes in the middle of something matters most, and the slower that is the more does.
    let slow = prop::sample::select(vec![Channel::Home, Channel::Done, Channel::File, Channel::Boot, Channel::Halt]);
    let slow = (slow, 3..6_u8).prop_map(|(channel, class)| Act::Pace(channel, class));
    let proves = Just(Act::Voice(1, Voice::Proves(0)));
    let ways = (collection::vec(slow, 0..3), prop::option::weighted(0.2, proves));
    let begins = (ways, prop::option::weighted(0.4, fails));
    let amid = (moments(), disturbances()).prop_map(|(moment, comes)| [vec![Act::Until(moment)], comes].concat());
    let goes_on = collection::vec(prop_oneof![2 => acts().prop_map(|act| vec![act]), 1 => amid], 0..30);
    (setups(), begins, goes_on).prop_map(|(setup, ((slow, proves), fails), goes_on)| {
        let acts =
            slow.into_iter().chain(proves).chain(fails.into_iter().flatten()).chain(goes_on.into_iter().flatten());
        History { setup, acts: acts.collect() }
    })
}

/// What can come in the middle of something.
fn disturbances() -> impl Strategy<Value = Vec<Act>> {
    let fails = (any::<bool>()).prop_map(|late| Act::Fails { jobs: 1, late });
    let one = prop_oneof![
        3 => fails,
        1 => any::<bool>().prop_map(Act::Hold),
        1 => (1..20_u8, hows()).prop_map(|(ahead, how)| Act::Name(ahead, how)),
        1 => (0..6_u8).prop_map(Act::Replace),
        2 => prop_oneof![Just(Act::Resume), Just(Act::Rollback)],
        1 => prop_oneof![Just(Act::Place), Just(Act::Mend), harms()],
        1 => (2..30_u8, wanted()).prop_map(|(ahead, asks)| Act::Schedule(ahead, asks)),
        1 => Just(Act::Signal),
        1 => Just(Act::Kill),
        1 => power_cuts(),
        1 => Just(Act::NodeDies(1)),
    ];
    let twice = prop_oneof![Just(Act::Kill), power_cuts()].prop_map(|ends| vec![ends, Act::Start]);
    prop_oneof![6 => one.prop_map(|act| vec![act]), 1 => twice]
}

fn setups() -> impl Strategy<Value = Setup> {
    let often = || prop::bool::weighted(0.8);
    let seldom = || prop::bool::weighted(0.1);
    let switches = (often(), often(), often(), seldom(), seldom(), often(), often(), any::<bool>());
    let before = prop_oneof![8 => Just(Before::Fresh), 1 => Just(Before::Halted), 1 => Just(Before::Switched)];
    let first = prop_oneof![4 => 4..20_u8, 1 => Just(0), 1 => 60..70_u8];
    let fails = prop::sample::select(vec![OnFailure::Leave, OnFailure::Hold, OnFailure::Retry, OnFailure::Rollback]);
    let fails = (fails, prop_oneof![3 => Just(0), 1 => 1..4_u32]);
    (switches, 0..3_i64, first, wanted(), before, fails).prop_map(
        |(
            (downloads, backups, custom_hook, ends, delay, validates, proves, network_dies),
            retries,
            first,
            asks,
            before,
            (on_failure, crash_restarts),
        )| Setup {
            downloads,
            backups,
            custom_hook,
            restart_after_upgrade: !ends,
            restart_delay: u8::from(delay) * 7,
            pre_upgrade_retries: retries,
            on_failure,
            crash_restarts,
            first,
            asks,
            before,
            validates,
            proves,
            network_dies,
        },
    )
}

fn wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        6 => Just(Wanted::A),
        3 => Just(Wanted::B),
        1 => Just(Wanted::Document),
        1 => Just(Wanted::Nothing),
        1 => Just(Wanted::Unusable),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    let time = prop_oneof![
        4 => (0..12_u8).prop_map(Act::Steps),
        2 => (1..12_u8).prop_map(Act::Blocks),
        6 => moments().prop_map(Act::Until),
    ];
    let chain = prop_oneof![
        4 => (2..30_u8, wanted()).prop_map(|(ahead, asks)| Act::Schedule(ahead, asks)),
        2 => (2..30_u8).prop_map(Act::Reschedule),
        1 => Just(Act::Cancel),
        1 => any::<bool>().prop_map(Act::Stall),
        4 => (1..3_u8, voices()).prop_map(|(who, voice)| Act::Voice(who, voice)),
        2 => prop_oneof![Just(Host::Serves), Just(Host::Fails), Just(Host::Lies), Just(Host::Hangs)].prop_map(Act::Host),
    ];
    let node = prop_oneof![
        3 => any::<bool>().prop_map(Act::HaltExits),
        1 => any::<bool>().prop_map(Act::FileFirst),
        1 => any::<bool>().prop_map(Act::Stubborn),
        1 => any::<bool>().prop_map(Act::Wrapper),
        2 => any::<bool>().prop_map(Act::Deaf),
        4 => prop::option::weighted(0.8, 1..3_u8).prop_map(Act::Faulty),
        1 => any::<bool>().prop_map(Act::Late),
        1 => prop::option::weighted(0.7, troubles()).prop_map(Act::Trouble),
        1 => any::<bool>().prop_map(Act::Mute),
        1 => any::<bool>().prop_map(Act::Smudged),
        1 => any::<bool>().prop_map(Act::Fork),
        3 => prop_oneof![Just(0), Just(1), Just(2), Just(137)].prop_map(Act::NodeDies),
    ];
    let machine = prop_oneof![
        4 => (channels(), 0..6_u8).prop_map(|(channel, class)| Act::Pace(channel, class)),
        // Otherwise a file is seldom late, and more so beside a job that is slow as well.
        1 => (4..6_u8).prop_map(|class| Act::Pace(Channel::File, class)),
        2 => (prop_oneof![3 => 1..4_u8, 1 => Just(99)], any::<bool>()).prop_map(|(jobs, late)| Act::Fails { jobs, late }),
        1 => prop_oneof![Just(0), Just(1), Just(30), Just(31), Just(77)].prop_map(Act::PreUpgrade),
        2 => Just(Act::Signal),
        3 => Just(Act::Kill),
        3 => power_cuts(),
        6 => Just(Act::Start),
        1 => (1..12_u8).prop_map(Act::SetBack),
        2 => (-30..30_i8, carries()).prop_map(|(after, carries)| Act::Snapshot(after, carries)),
        2 => Just(Act::Place),
        1 => (1..20_u8, hows()).prop_map(|(ahead, how)| Act::Name(ahead, how)),
        1 => any::<bool>().prop_map(Act::Hold),
        1 => (0..6_u8).prop_map(Act::Replace),
        2 => prop_oneof![2 => Just(Act::Mend), 2 => Just(Act::Resume), 1 => Just(Act::Rollback)],
        1 => harms(),
    ];
    prop_oneof![5 => time, 3 => chain, 2 => node, 5 => machine]
}

fn hows() -> impl Strategy<Value = How> {
    prop_oneof![Just(How::File), Just(How::Queue), Just(How::Exact)]
}

fn carries() -> impl Strategy<Value = Carries> {
    prop_oneof![Just(Carries::Nothing), Just(Carries::Last), Just(Carries::Earlier)]
}

fn harms() -> impl Strategy<Value = Act> {
    prop_oneof![Just(Harm::Rot), Just(Harm::Overwrite), Just(Harm::Touch)].prop_map(Act::Harm)
}

fn moments() -> impl Strategy<Value = Moment> {
    use Moment::{
        AppHook, Ask, BackUp, Compare, CustomHook, Exit, Fetch, Halt, Order, Passed, Place, Remember, Restore, Room,
        SetAside, Spawn, Start, Stop, Switch, Verify, Weigh,
    };
    prop::sample::select(vec![
        Halt, Exit, Spawn, Passed, Ask, Remember, Place, SetAside, Stop, Room, BackUp, CustomHook, Switch, AppHook,
        Start, Fetch, Verify, Order, Weigh, Restore, Compare,
    ])
}

/// Any subset, and often all but one or one alone: that is where an order was taken for granted.
fn power_cuts() -> impl Strategy<Value = Act> {
    let one = || (0..16_u32).prop_map(|number| 1 << number);
    let survives = prop_oneof![2 => any::<u64>(), 1 => one(), 1 => one().prop_map(|one: u64| !one), 1 => Just(0)];
    survives.prop_map(Act::PowerCut)
}

fn troubles() -> impl Strategy<Value = Trouble> {
    use Trouble::{DiskFull, DoubleSign, Locked, PortInUse, SignerAway};
    prop::sample::select(vec![DiskFull, DoubleSign, Locked, PortInUse, SignerAway])
}

fn voices() -> impl Strategy<Value = Voice> {
    prop_oneof![
        2 => (0..20_u8).prop_map(Voice::Lags),
        2 => prop_oneof![Just(0), 0..20_u8].prop_map(Voice::Proves),
        1 => Just(Voice::Silent),
        1 => Just(Voice::Null),
        1 => Just(Voice::OtherArtifact),
        1 => (0..20_u8).prop_map(Voice::OtherPlan),
        1 => prop_oneof![Just(0), Just(1), Just(1_000_000), Just(u64::MAX)].prop_map(Voice::Height),
    ]
}

fn channels() -> impl Strategy<Value = Channel> {
    use Channel::{Answer, Boot, Done, Exit, Fetch, File, Halt, Home, Stop, Sync};
    prop::sample::select(vec![Home, Fetch, File, Exit, Done, Boot, Halt, Stop, Sync, Answer])
}
