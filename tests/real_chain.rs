//! A real chain votes an upgrade through, halts, and makes blocks again with the new binary, under `watcher run`: one of
//! today's generation of the Cosmos SDK, and in some stories one of the generation before as well.
//! Needs Go; the first run on a machine compiles the Cosmos SDK. `WATCHER_UNDER_TEST` names another program to test.

#[path = "support/census.rs"]
mod census;
#[path = "support/chain.rs"]
mod chain;
#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/own_name.rs"]
mod own_name;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/release_host.rs"]
mod release_host;
#[path = "support/say.rs"]
mod say;
#[path = "support/strace.rs"]
#[expect(dead_code, reason = "the moments are chosen here, and every harm is a kill")]
mod strace;
#[path = "support/supervisor.rs"]
mod supervisor;
#[path = "support/tools.rs"]
mod tools;
#[path = "support/wait.rs"]
mod wait;

#[path = "real_chain/checkpoints.rs"]
mod checkpoints;
#[path = "real_chain/faults.rs"]
mod faults;
#[path = "real_chain/network.rs"]
mod network;
#[path = "real_chain/traces.rs"]
mod traces;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use census::Census;
use chain::{Chain, Kind};
use nix::sys::signal::{Signal, kill};
use release_host::ReleaseHost;
use serde_json::Value;
use supervisor::Supervisor;

/// How long a vote lasts.
const VOTE: &str = "4s";
/// How long it lasts where it is looked at.
const LONG_VOTE: &str = "8s";
/// Blocks until an upgrade for which nothing is to be done beforehand: the vote takes ten of them.
const SOON: u64 = 20;
/// Blocks until an upgrade whose binary is to be staged before.
const LATER: u64 = 44;
/// Longer than any of the upgrades takes, on a slow and busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// A new binary that fails twice is taken back.
const TAKES_BACK: &[(&str, &str)] =
    &[("WATCHER_ON_UPGRADE_FAILURE", "rollback"), ("WATCHER_UPGRADE_MAX_RESTARTS", "1")];
const RECORD: &str = "cosmovisor/watcher/record.json";

const DOWNLOADS: &[(&str, &str)] = &[
    ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true"),
    ("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", "true"),
    ("UNSAFE_SKIP_BACKUP", "true"),
];

#[test]
fn the_binary_is_staged_while_the_chain_still_runs() {
    staged_while_the_chain_still_runs(Kind::Today);
}

#[test]
fn the_binary_is_staged_while_a_chain_of_the_generation_before_still_runs() {
    staged_while_the_chain_still_runs(Kind::Before);
}

fn staged_while_the_chain_still_runs(kind: Kind) {
    let Some(chain) = Chain::with(kind, LONG_VOTE) else { return };
    let host = ReleaseHost::open(chain.port + 9, chain.versions, None);
    let census = Census::of(&chain.home, chain.kind.name());
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), DOWNLOADS);

    let height = chain.propose("v2", LATER, &chain.offer("v2", chain.port + 9));
    shown_in_voting(&chain, "--rpc", chain.port, height);
    shown_in_voting(&chain, "--rest", chain.port + 2, height);
    wait::until("the vote has passed", LIMIT, || chain.scheduled());
    let staged = chain.binary("upgrades/v2");
    wait::until("v2 is staged", LIMIT, || staged.exists().then_some(()));
    assert!(same(&staged, &chain.version("v2")), "what is staged is the whole binary from the first moment");
    let now = chain.application().expect("the chain runs while the binary is staged").height;
    assert!(now < height - 1, "v2 was staged at {now}, too late for {height}");
    assert_eq!(chain.upgrade_info(), None);
    assert_eq!(chain.current(), Path::new("genesis"));

    carried_through(&chain, "v2", height);
    assert_eq!(host.downloads(), [0], "one download");

    let another = chain.home.with_file_name("another");
    fs::create_dir_all(another.join("cosmovisor")).expect("the folder can be written");
    fetch_history(&chain, &another, "--rest", chain.port + 2);
    let staged = another.join("cosmovisor/upgrades/v2/bin").join(chain.kind.name());
    assert!(same(&staged, &chain.version("v2")), "what the chain has gone through is staged in a new home");
    stops_in_order(&chain, &mut watcher, census, 2);
}

#[test]
fn a_release_host_that_is_dead_until_the_halt_costs_a_pause_and_not_the_upgrade() {
    let Some(chain) = Chain::with(Kind::Today, VOTE) else { return };
    let census = Census::of(&chain.home, chain.kind.name());
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), DOWNLOADS);

    let height = chain.propose("v2", SOON, &chain.offer("v2", chain.port + 9));
    wait::until("the chain halts", LIMIT, || chain.upgrade_info());
    assert!(!chain.binary("upgrades/v2").exists());
    let host = ReleaseHost::open(chain.port + 9, chain.versions, None);

    carried_through(&chain, "v2", height);
    assert_eq!(host.downloads(), [0], "one download");
    stops_in_order(&chain, &mut watcher, census, 2);
}

#[test]
fn a_watcher_that_is_killed_between_the_halt_and_the_swap_completes_it_when_it_is_started_again() {
    killed_between_the_halt_and_the_swap(Kind::Today);
}

#[test]
fn a_watcher_that_is_killed_at_a_halt_of_the_generation_before_completes_the_swap_as_well() {
    killed_between_the_halt_and_the_swap(Kind::Before);
}

fn killed_between_the_halt_and_the_swap(kind: Kind) {
    let Some(chain) = Chain::with(kind, VOTE) else { return };
    chain.place("v2", "upgrades/v2");
    let census = Census::of(&chain.home, chain.kind.name());
    // The pause between the node's end and the swap is long enough to be met.
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), &[("DAEMON_RESTART_DELAY", "1m")]);

    let height = chain.propose("v2", SOON, "");
    wait::until("the chain halts", LIMIT, || chain.upgrade_info());
    kill(watcher.pid(), Signal::SIGKILL).expect("it is there");
    wait::until("watcher is dead", LIMIT, || watcher.ended());
    assert_eq!(chain.current(), Path::new("genesis"), "it was killed before the swap");

    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), &[("UNSAFE_SKIP_BACKUP", "true")]);
    carried_through(&chain, "v2", height);
    // Whether the old binary runs once more before the upgrade is taken as due is the supervisor's choice.
    stops_in_order(&chain, &mut watcher, census, 3);
}

#[test]
fn two_upgrades_in_a_row_and_a_stop() {
    let Some(chain) = Chain::with(Kind::Today, VOTE) else { return };
    let host = ReleaseHost::open(chain.port + 9, chain.versions, None);
    let census = Census::of(&chain.home, chain.kind.name());
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), DOWNLOADS);

    for version in ["v2", "v3"] {
        let height = chain.propose(version, LATER, &chain.offer(version, chain.port + 9));
        carried_through(&chain, version, height);
    }
    assert_eq!(host.downloads(), [0, 0], "two downloads");
    stops_in_order(&chain, &mut watcher, census, 3);
}

#[test]
fn a_node_that_starts_from_genesis_comes_through_three_upgrades_with_what_fetch_history_staged() {
    let Some((chain, follower, mut validator)) = from_genesis(Kind::Today, &["v2", "v3", "v4"]) else { return };
    with_data_from_elsewhere(&chain, &follower);
    assert!(validator.stop().success());
}

#[test]
fn a_node_of_the_generation_before_comes_from_genesis_as_well() {
    let Some((.., mut validator)) = from_genesis(Kind::Before, &["v2"]) else { return };
    assert!(validator.stop().success());
}

/// A network that went through these upgrades and goes on, and a node that followed it from genesis and was stopped.
fn from_genesis(kind: Kind, upgrades: &[&str]) -> Option<(Chain, Chain, Supervisor)> {
    let chain = Chain::with(kind, VOTE)?;
    let host = ReleaseHost::open(chain.port + 9, chain.versions, None);
    let validator = Supervisor::start(&chain.home, chain.kind.name(), DOWNLOADS);
    for version in upgrades {
        let height = chain.propose(version, SOON, &chain.offer(version, chain.port + 9));
        carried_through(&chain, version, height);
    }

    let follower = chain.follower("follower");
    fetch_history(&chain, &follower.home, "--rpc", chain.port);
    let staged = || upgrades.iter().all(|version| follower.binary(&format!("upgrades/{version}")).exists());
    assert!(staged());
    assert_eq!(host.downloads().len(), 2 * upgrades.len(), "one for each node and upgrade");

    // No downloads, no other endpoints: what was staged must do.
    let census = Census::of(&follower.home, follower.kind.name());
    let mut watcher = Supervisor::start(&follower.home, follower.kind.name(), &[("UNSAFE_SKIP_BACKUP", "true")]);
    let last = upgrades.last().expect("there is one");
    follower.wait_for_blocks_by(last, chain.height(), LIMIT);
    follower.wait_until_served();
    assert_eq!(follower.current(), Path::new("upgrades").join(last));
    assert!(staged(), "nothing was set aside on the way");
    let log = fs::read(supervisor::log_of(&follower.home)).expect("the log is there");
    let log = String::from_utf8_lossy(&log);
    let deaths = log.lines().filter(|line| line.starts_with("panic: ") && line.contains(" NEEDED at height"));
    // The generation before may have caught up by then, and stays up at the halt.
    let most = upgrades.len();
    let fewest = if matches!(kind, Kind::Today) { most } else { 0 };
    let deaths = deaths.count();
    assert!((fewest..=most).contains(&deaths), "in block sync each halt kills the node, and not {deaths} times");
    stops_in_order(&follower, &mut watcher, census, 1 + upgrades.len());
    Some((chain, follower, validator))
}

/// Data come back from before v3, then on a fresh installation: each time the node itself says which binary they need.
fn with_data_from_elsewhere(chain: &Chain, follower: &Chain) {
    let name = follower.kind.name();
    let said = |chain: &Chain, text: &str| wait::until(text, LIMIT, || logged(chain, text));
    let started = |chain: &Chain| Supervisor::start(&chain.home, name, &[("UNSAFE_SKIP_BACKUP", "true")]);

    // Another node is held at v3, and its data take the place of this one's.
    let held = chain.follower("held");
    held.place("v2", "upgrades/v2");
    held.place("v3", "upgrades/v3");
    let mut brake = Command::new(env!("CARGO_BIN_EXE_watcher"));
    brake.args(["hold", "v3"]).env("DAEMON_HOME", &held.home).env("DAEMON_NAME", name);
    assert!(brake.status().expect("it runs").success());
    let mut watcher = started(&held);
    said(&held, "held by the operator");
    assert_eq!(held.current(), Path::new("upgrades/v2"));
    assert_eq!(watcher.stop().code(), Some(75), "an upgrade is held");
    fs::rename(follower.home.join("data"), follower.home.join("newer")).expect("the home can be written");
    fs::rename(held.home.join("data"), follower.home.join("data")).expect("both are on one filesystem");
    // What halted the other node is not part of a snapshot.
    fs::remove_file(follower.home.join("data/upgrade-info.json")).expect("it halted at v3");

    let census = Census::of(&follower.home, name);
    let mut watcher = started(follower);
    // The newest binary knows v3 and applies it; once v4 is scheduled it says that it is too new.
    said(follower, "the data were replaced and need upgrades/v3: it runs instead of upgrades/v4");
    follower.wait_for_blocks_by("v4", chain.height(), LIMIT);
    stops_in_order(follower, &mut watcher, census, 5);

    for path in ["cosmovisor/watcher", "cosmovisor/current", "data/upgrade-info.json"] {
        let path = follower.home.join(path);
        let whole = path.is_dir() && !path.is_symlink();
        let removed = if whole { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let census = Census::of(&follower.home, name);
    let mut watcher = started(follower);
    said(follower, "the data were replaced and need upgrades/v4: it runs instead of genesis");
    follower.wait_for_blocks_by("v4", chain.height(), LIMIT);
    assert_eq!(follower.current(), Path::new("upgrades/v4"));
    stops_in_order(follower, &mut watcher, census, 3);
}

#[test]
fn the_old_binary_stops_before_an_exact_height_that_nobody_voted_on() {
    stops_before_an_exact_height(Kind::Today);
}

#[test]
fn the_old_binary_of_the_generation_before_stops_before_an_exact_height_as_well() {
    stops_before_an_exact_height(Kind::Before);
}

fn stops_before_an_exact_height(kind: Kind) {
    let Some(chain) = Chain::paced(kind, VOTE, "100ms") else { return };
    let name = chain.kind.name();
    let census = Census::of(&chain.home, name);
    let mut watcher = Supervisor::start(&chain.home, name, &[("UNSAFE_SKIP_BACKUP", "true")]);
    chain.wait_until_served();
    // The binary is copied meanwhile, and a busy machine takes its time.
    let height = chain.height() + 450;
    let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
    command.args(["add-upgrade", "hotfix"]).arg(chain.version("v2"));
    command.args(["--exact", "--upgrade-height", &height.to_string()]);
    let added = command.env("DAEMON_HOME", &chain.home).env("DAEMON_NAME", name).output().expect("it runs");
    assert!(added.status.success(), "{added:?}");

    let mut last = 0;
    wait::until("the new binary makes blocks", LIMIT, || {
        let application = chain.application()?;
        if application.version == "v1" {
            last = application.height;
        }
        (application.version == "v2" && application.height > height).then_some(())
    });
    assert!((height - 10..height).contains(&last), "the old binary went up to {last} of {height}");
    assert_eq!(chain.current(), Path::new("upgrades/hotfix"));
    let log = fs::read(supervisor::log_of(&chain.home)).expect("the log is there");
    let halt = if matches!(kind, Kind::Today) { height } else { height - 1 };
    let armed = String::from_utf8_lossy(&log).matches(&format!("\"--halt-height\",\"{halt}\"")).count();
    assert_eq!(armed, 1, "one restart is armed, and the new binary is not");
    chain.wait_until_served();
    stops_in_order(&chain, &mut watcher, census, 3);
}

/// SDK 0.46 stops by itself once it has committed the block before the height. Killed right then, `watcher` could not write
/// down that it did.
#[test]
fn a_halt_that_nobody_lived_to_see_does_not_let_the_old_binary_execute_the_exact_height() {
    const HEIGHT: u64 = 30;
    let Some(chain) = Chain::paced(Kind::Before, VOTE, "500ms") else { return };
    let name = chain.kind.name();
    let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
    command.args(["add-upgrade", "hotfix"]).arg(chain.version("v2"));
    command.args(["--exact", "--upgrade-height", &HEIGHT.to_string()]);
    let added = command.env("DAEMON_HOME", &chain.home).env("DAEMON_NAME", name).output().expect("it runs");
    assert!(added.status.success(), "{added:?}");
    let before = (HEIGHT - 1).to_string();
    let mut old = Command::new(chain.binary("genesis"));
    old.args(["start", "--halt-height", &before, "--home"])
        .arg(&chain.home)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let ended = old.status().expect("it runs").code();
    assert!(matches!(ended, Some(0 | 130)), "it stops by itself: {ended:?}");

    let census = Census::of(&chain.home, name);
    let mut watcher = Supervisor::start(&chain.home, name, &[("UNSAFE_SKIP_BACKUP", "true")]);
    chain.wait_for_blocks_by("v2", HEIGHT, LIMIT);
    let log = fs::read(supervisor::log_of(&chain.home)).expect("the log is there");
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("it stood before the exact height already") && !log.contains("executed it already"));
    assert_eq!(chain.current(), Path::new("upgrades/hotfix"));
    chain.wait_until_served();
    stops_in_order(&chain, &mut watcher, census, 3);
}

#[test]
fn a_node_that_comes_by_state_sync_runs_the_binary_that_its_snapshot_needs() {
    let Some(chain) = Chain::with(Kind::Today, VOTE) else { return };
    let name = chain.kind.name();
    chain.place("v2", "upgrades/v2");
    for version in ["genesis", "upgrades/v2"] {
        let wishes = chain.home.join("cosmovisor").join(version).join("watcher.toml");
        fs::write(
            wishes,
            "extra_args = [\"--state-sync.snapshot-interval\", \"5\", \"--state-sync.snapshot-keep-recent\", \"50\"]\n",
        )
        .expect("the home can be written");
    }
    let mut validator = Supervisor::start(&chain.home, name, &[("UNSAFE_SKIP_BACKUP", "true")]);
    let height = chain.propose("v2", SOON, "");
    carried_through(&chain, "v2", height);
    chain.wait_for_blocks_by("v2", height + 12, LIMIT);

    let follower = chain.follower("follower");
    follower.place("v2", "upgrades/v2");
    follower.state_sync_from(&chain, height + 1);
    let census = Census::of(&follower.home, name);
    let mut watcher = Supervisor::start(&follower.home, name, &[("UNSAFE_SKIP_BACKUP", "true")]);
    follower.wait_for_blocks_by("v2", chain.height(), LIMIT);
    assert_eq!(follower.current(), Path::new("upgrades/v2"));
    let log = fs::read(supervisor::log_of(&follower.home)).expect("the log is there");
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("Snapshot restored") && log.contains("need upgrades/v2: it runs instead of genesis"));
    stops_in_order(&follower, &mut watcher, census, 4);
    assert!(validator.stop().success());
}

#[test]
fn a_binary_placed_by_hand_needs_no_downloads() {
    let Some(chain) = Chain::with(Kind::Today, VOTE) else { return };
    chain.place("v2", "upgrades/v2");
    let census = Census::of(&chain.home, chain.kind.name());
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), &[]);

    let height = chain.propose("v2", SOON, "made by hand, see the forum");
    carried_through(&chain, "v2", height);
    assert!(same(&chain.binary("upgrades/v2"), &chain.version("v2")));
    let backups = entries(&chain.home).filter(|name| name.starts_with("data-backup-")).collect::<Vec<_>>();
    assert_eq!(backups.len(), 1, "one backup: {backups:?}");
    assert!(chain.home.join(&backups[0]).join("application.db/CURRENT").exists(), "the backup holds the database");
    stops_in_order(&chain, &mut watcher, census, 2);
}

#[test]
fn a_watcher_that_first_comes_after_the_halt_completes_the_upgrade() {
    let Some(chain) = Chain::with(Kind::Today, VOTE) else { return };
    chain.place("v2", "upgrades/v2");
    let mut node = Supervisor::spawn(Command::new(chain.binary("genesis")), &chain.home, chain.kind.name(), &[]);
    let height = chain.propose("v2", SOON, "");
    wait::until("the chain halts", LIMIT, || chain.upgrade_info());
    assert!(node.stop().success());

    let census = Census::of(&chain.home, chain.kind.name());
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), &[("UNSAFE_SKIP_BACKUP", "true")]);
    carried_through(&chain, "v2", height);
    stops_in_order(&chain, &mut watcher, census, 2);
}

fn logged(chain: &Chain, text: &str) -> Option<()> {
    let log = fs::read(supervisor::log_of(&chain.home)).unwrap_or_default();
    String::from_utf8_lossy(&log).contains(text).then_some(())
}

/// No node was started any more, whatever it was told.
#[test]
fn a_chain_goes_on_past_a_halt_that_its_validators_skip() {
    let Some(chain) = Chain::with(Kind::Today, VOTE) else { return };
    let census = Census::of(&chain.home, chain.kind.name());
    let settings = [("UNSAFE_SKIP_BACKUP", "true")];
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), &settings);
    let height = chain.propose("v2", SOON, "");
    let is_due = format!("at height {height} is due");
    wait::until(&is_due, LIMIT, || logged(&chain, &is_due));
    watcher.stop();
    let mut skips = Command::new("sh");
    let run = format!("exec {} run \"$@\" --unsafe-skip-upgrades={height}", env!("CARGO_BIN_EXE_watcher"));
    skips.args(["-c", &run, "sh"]);
    let mut watcher = Supervisor::spawn(skips, &chain.home, chain.kind.name(), &settings);
    chain.wait_for_blocks_by("v1", height + 2, LIMIT);
    assert!(logged(&chain, "is given up: the node is told to skip its height").is_some());
    assert!(watcher.stop().success());
    // The flag has done what it was for, and the binary comes too late.
    chain.place("v2", "upgrades/v2");
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), &settings);
    chain.wait_for_blocks_by("v1", chain.height() + 2, LIMIT);
    assert_eq!(chain.current(), Path::new("genesis"));
    stops_in_order(&chain, &mut watcher, census, 3);
}

#[test]
fn a_binary_whose_migration_fails_is_held_and_the_upgrade_goes_on_with_another_one() {
    a_failing_migration("hold", "held", "upgrades/v2");
}

#[test]
fn a_binary_whose_migration_fails_is_rolled_back_and_the_upgrade_goes_on_with_another_one() {
    a_failing_migration("rollback", "rolled_back", "genesis");
}

/// What is written down of the last upgrade.
fn record(home: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(home.join(RECORD)).ok()?).ok()
}

/// Waits until it is taken back.
fn wait_for_the_way_back(home: &Path, limit: Duration) {
    wait::until("it is taken back", limit, || (record(home)?["failure"]["state"] == "rolled_back").then_some(()));
}

fn a_failing_migration(policy: &str, state: &str, current: &str) {
    let Some(chain) = Chain::with(Kind::Today, VOTE) else { return };
    chain.place("broken", "upgrades/v2");
    let settings = [("WATCHER_ON_UPGRADE_FAILURE", policy), ("WATCHER_UPGRADE_MAX_RESTARTS", "1")];
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), &settings);

    let height = chain.propose("v2", SOON, "");
    let record = || record(&chain.home);
    wait::until(&format!("the upgrade is {state}"), LIMIT, || {
        (record()?["failure"]["state"].as_str() == Some(state)).then_some(())
    });
    assert_eq!(nodes::alive(&chain.home, chain.kind.name()), []);
    assert_eq!((watcher.ended(), chain.current().as_path()), (None, Path::new(current)), "it stays");
    assert_eq!(watcher.stop().code(), Some(75));

    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), &settings);
    fs::remove_file(chain.binary("upgrades/v2")).expect("it is there");
    chain.place("v2", "upgrades/v2");
    carried_through(&chain, "v2", height);
    wait::until("the validator signs", LIMIT, || (record()?["verdict"].as_str() == Some("signing")).then_some(()));
    assert!(watcher.stop().success());
    let log = fs::read(supervisor::log_of(&chain.home)).expect("the log is there");
    let log = String::from_utf8_lossy(&log);
    let count = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!((count("CONFLICTING VOTE"), count("the state after it is the network's")), (0, 1));
}

#[test]
fn a_plan_and_its_absence_are_proven_from_a_block_that_is_trusted() {
    proven_from_a_block_that_is_trusted(Kind::Today);
}

#[test]
fn a_plan_and_its_absence_are_proven_on_a_chain_of_the_generation_before_as_well() {
    proven_from_a_block_that_is_trusted(Kind::Before);
}

fn proven_from_a_block_that_is_trusted(kind: Kind) {
    let Some(chain) = Chain::with(kind, VOTE) else { return };
    let census = Census::of(&chain.home, chain.kind.name());
    let mut watcher = Supervisor::start(&chain.home, chain.kind.name(), &[("UNSAFE_SKIP_BACKUP", "true")]);
    chain.wait_until_served();
    wait::until("a few blocks are made", LIMIT, || (chain.height() > 6).then_some(()));
    let (hash, other) = (chain.block_hash(3), chain.block_hash(4));
    let trusting = |hash: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
        command.args(["upcoming", "--format", "json", "--rpc", &format!("http://127.0.0.1:{}", chain.port)]);
        let command = command.env("WATCHER_TRUST_HEIGHT", "3").env("WATCHER_TRUST_HASH", hash);
        let told = command.env_remove("DAEMON_HOME").output().expect("it runs");
        assert!(told.status.success(), "{told:?}");
        let list: Value = serde_json::from_slice(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"));
        (list, String::from_utf8_lossy(&told.stderr).into_owned())
    };
    let (list, said) = trusting(&hash);
    assert_eq!(list["upgrades"], Value::Array(Vec::new()), "{list}");
    let proven = list["proven_height"].as_u64().unwrap_or_else(|| panic!("nothing is proven: {list}, {said}"));
    assert_eq!(Some(proven + 1), list["height"].as_u64(), "the newest header proves what was below it");

    chain.propose("v2", 400, "");
    wait::until("the vote has passed", LIMIT, || chain.scheduled());
    let belief = |list: &Value| list["upgrades"][0]["belief"].as_str().map(str::to_owned);
    wait::until("the plan is proven", LIMIT, || (belief(&trusting(&hash).0)? == "proven").then_some(()));
    let (list, said) = trusting(&other);
    assert_eq!((belief(&list).as_deref(), &list["proven_height"]), (Some("claimed"), &Value::Null), "{list}");
    assert!(said.contains("is not WATCHER_TRUST_HASH") && said.contains("counts as claimed"), "{said}");

    // For the node's own watcher its node is the root of what is trusted.
    let log = supervisor::log_of(&chain.home);
    wait::until("the log tells of the proof", LIMIT, || {
        let log = fs::read_to_string(&log).unwrap_or_default();
        log.lines().any(|line| line.contains("v2") && line.ends_with("; proven")).then_some(())
    });
    assert!(chain.home.join("cosmovisor/watcher/header.json").exists(), "the newest verified header is kept");
    stops_in_order(&chain, &mut watcher, census, 1);
}

/// `watcher upcoming` tells of the proposal and its plan while the vote runs.
fn shown_in_voting(chain: &Chain, speaking: &str, port: u16, height: u64) {
    let address = format!("http://127.0.0.1:{port}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
    let told = command.args(["upcoming", "--format", "json", speaking, &address]).output().expect("it runs");
    let list: Value = serde_json::from_slice(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"));
    let shown = &list["upgrades"][0];
    let facts =
        (shown["name"].as_str(), shown["height"].as_u64(), shown["state"].as_str(), shown["proposal_id"].as_u64());
    assert_eq!(facts, (Some("v2"), Some(height), Some("voting"), Some(1)), "{speaking}: {list}");
    let url = format!("http://127.0.0.1:{}/{}-v2", chain.port + 9, chain.kind.name());
    assert_eq!(shown["artifact"]["url"], url.as_str(), "{speaking}");
}

/// `watcher fetch-history` stages in a home everything that the chain has gone through.
fn fetch_history(chain: &Chain, home: &Path, speaking: &str, port: u16) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
    command.args(["fetch-history", speaking, &format!("http://127.0.0.1:{port}")]);
    command.env("DAEMON_HOME", home).env("DAEMON_NAME", chain.kind.name());
    let told = command.output().expect("it runs");
    assert!(told.status.success(), "{told:?}");
}

/// Waits until the new version has made blocks above the height, and looks at what the swap left in the home.
fn carried_through(chain: &Chain, version: &str, height: u64) {
    let info = wait::until("the chain halts", LIMIT, || chain.upgrade_info().filter(|info| info.contains(version)));
    chain.wait_for_blocks_by(version, height, LIMIT);
    chain.wait_until_served();
    assert_eq!(chain.current(), Path::new("upgrades").join(version));
    assert_eq!(chain.upgrade_info(), Some(info), "upgrade-info.json is the node's own");

    let marker = fs::read(chain.home.join("cosmovisor/current/upgrade-info.json")).expect("the swap leaves a marker");
    let marker: Value = serde_json::from_slice(&marker).expect("the marker is JSON");
    assert_eq!((marker["name"].as_str(), marker["height"].as_u64()), (Some(version), Some(height)));
    let running = nodes::alive(&chain.home, chain.kind.name());
    assert_eq!(running.len(), 1);
    assert_eq!(running[0].executable, chain.binary(&format!("upgrades/{version}")));
}

/// Asks `watcher` to stop. It must end well, leave no node behind, and never have run more than one at a time or more
/// than `most` in all.
fn stops_in_order(chain: &Chain, watcher: &mut Supervisor, census: Census, most: usize) {
    let status = watcher.stop();
    assert_eq!(nodes::alive(&chain.home, chain.kind.name()), [], "no node is left behind");
    assert!(status.success(), "watcher ended with {status}");
    let count = census.end();
    assert_eq!(count.most_at_once, 1, "one node at a time: {:?}", count.seen);
    assert!(count.seen.len() <= most, "at most {most} nodes in all: {:?}", count.seen);
}

fn same(left: &Path, right: &Path) -> bool {
    fs::read(left).expect("it can be read") == fs::read(right).expect("it can be read")
}

fn entries(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).expect("the folder is there").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}
