//! Rows 85 to 87: the binary of a scheduled plan, staged by hand ahead of time.

use std::{fs, os::unix::fs::PermissionsExt as _};

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use watcher::{
    decide::plan::Plan,
    sim::chain::{Chain, Proposal},
};

use crate::{
    home::Home,
    link::{Told, cosmovisor},
    server::{Server, found},
    sim_network::Network,
};

const HEIGHT: u64 = 12;
const BLOCK_TIME: u64 = 6_000;
const BINARY: &[u8] = b"#!/bin/sh\necho v2\n";

/// A home, a chain on which this info is scheduled under this name, and a host that has the binary.
struct World {
    home: Home,
    network: Network,
    host: Server,
}

impl World {
    fn scheduling(name: &str, info: impl Fn(&Server) -> String) -> Self {
        let (home, host) = (Home::with_node("exit 0"), Server::plain(|_| found(BINARY)));
        let plan = Plan { name: name.into(), height: 1_000, info: info(&host) };
        let network = network(&home, vec![Proposal::upgrade(plan, 2, BLOCK_TIME)]);
        Self { home, network, host }
    }

    fn prepare(&self) -> Told {
        Told::of(cosmovisor(&self.home, &["prepare-upgrade"]).env("WATCHER_RPC", self.network.rpc.url()))
    }

    #[track_caller]
    fn expect_refused(&self, words: &str) {
        let told = self.prepare();
        assert_eq!((told.code, told.stderr.starts_with(&format!("Error: {words}"))), (Some(1), true), "{told:?}");
        assert!(told.stderr.contains("\nUsage: cosmovisor prepare-upgrade"), "{told:?}");
        assert!(!self.home.at(&binary("v2")).exists());
    }
}

/// Where a home has an upgrade's binary.
fn binary(folder: &str) -> String {
    format!("cosmovisor/upgrades/{folder}/bin/noded")
}

fn network(home: &Home, proposals: Vec<Proposal>) -> Network {
    let mut chain = Chain::new("demo-1", BLOCK_TIME, proposals);
    let now = u64::try_from(Timestamp::now().as_millisecond()).expect("it is later than 1970");
    for height in 1..=HEIGHT {
        chain.save(now - (HEIGHT - height) * BLOCK_TIME);
        chain.apply(&[]).expect("no plan is due");
    }
    Network::open(&home.path.with_file_name("chain"), chain)
}

/// An info that names the host's file, with this checksum.
fn naming(host: &Server, checksum: &str) -> String {
    json!({ "binaries": { "any": format!("{}/noded?checksum={checksum}", host.base) } }).to_string()
}

fn sum() -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(BINARY)))
}

#[test]
fn row_85_without_a_plan_there_is_nothing_to_do() {
    let home = Home::with_node("exit 0");
    let network = network(&home, vec![]);
    let told = Told::of(cosmovisor(&home, &["prepare-upgrade"]).env("WATCHER_RPC", network.rpc.url()));
    assert!(told.fine().contains("No active upgrade plan found"), "{told:?}");
}

#[test]
fn row_85_what_the_plan_names_is_fetched_verified_and_staged_even_with_downloads_off() {
    let world = World::scheduling("v2", |host| naming(host, &sum()));
    let told = world.prepare();
    assert!(told.fine().contains("downloading binary complete"), "{told:?}");
    let placed = world.home.at(&binary("v2"));
    assert_eq!(fs::read(&placed).expect("it is placed"), BINARY);
    assert_eq!(fs::metadata(&placed).expect("it is placed").permissions().mode() & 0o111, 0o111);
    let receipt = world.home.read("cosmovisor/upgrades/v2/watcher-receipt.json");
    let receipt: Value = serde_json::from_str(&receipt).expect("it is JSON");
    assert_eq!(receipt["plan"]["name"], "v2");
    assert!(fs::symlink_metadata(world.home.at("cosmovisor/current")).is_err(), "nothing is switched");
    // Once more: it is there, and is not fetched again.
    let told = world.prepare();
    assert!(told.fine().contains("staged already"), "{told:?}");
    assert_eq!(world.host.requests().len(), 1);
}

#[test]
fn row_85_a_wrong_checksum_is_refused_and_leaves_nothing() {
    let wrong = format!("sha256:{}", "ab".repeat(32));
    World::scheduling("v2", |host| naming(host, &wrong)).expect_refused("failed to download and verify binary: ");
}

#[test]
fn row_69_what_a_failed_prepare_upgrade_fetched_is_not_started_at_the_halt() {
    let wrong = format!("sha256:{}", "ab".repeat(32));
    let world = World::scheduling("v2", |host| naming(host, &wrong));
    world.expect_refused("failed to download and verify binary: ");
    world
        .home
        .write("plan.json", &json!({ "name": "v2", "height": 1_000, "info": naming(&world.host, &wrong) }).to_string());
    let halts =
        "[ $1 = start ] || exit 1\ncat \"$DAEMON_HOME/plan.json\" > \"$DAEMON_HOME/data/upgrade-info.json\"\nexit 2\n";
    world.home.script("cosmovisor/genesis/bin/noded", halts);
    let mut run = world.home.start(&[("DAEMON_ALLOW_DOWNLOAD_BINARIES", "false")]);
    world.home.wait_for_log("downloading disabled");
    assert_eq!((world.home.current().as_str(), world.home.nodes().len()), ("genesis", 0));
    assert!(run.stop().success(), "the node ended before the stop was asked for");
    assert!(!world.home.log().lines().any(|line| line == "v2"), "{}", world.home.log());
}

#[test]
fn row_85_a_plan_that_names_nothing_for_this_machine_is_refused() {
    World::scheduling("v2", |_| String::new()).expect_refused("failed to parse upgrade info: ");
    World::scheduling("v2", |_| "soon".to_owned()).expect_refused("failed to parse upgrade info: ");
    let other = |_: &Server| json!({ "binaries": { "plan9/mips": "https://example.org/x" } }).to_string();
    let refusal = "binary URL not found in upgrade plan. Cannot prepare for upgrade: ";
    World::scheduling("v2", other).expect_refused(refusal);
}

#[test]
fn row_85_where_nobody_answers_it_says_whom_it_asked() {
    let home = Home::with_node("exit 0");
    let told = Told::of(&mut cosmovisor(&home, &["prepare-upgrade"]));
    let words = "Error: failed to query upgrade info: failed to query current upgrade plan: the own node at http://127.0.0.1:1 ";
    assert!(told.code == Some(1) && told.stderr.starts_with(words), "{told:?}");
    for said in ["WATCHER_RPC", "DAEMON_GRPC_ADDRESS", "\nUsage: "] {
        assert!(told.stderr.contains(said), "{said}: {told:?}");
    }
}

#[test]
fn row_86_the_folder_is_the_one_that_run_looks_into() {
    let world = World::scheduling("V2", |host| naming(host, &sum()));
    world.prepare().fine();
    assert!(world.home.at(&binary("v2")).exists() && !world.home.at("cosmovisor/upgrades/V2").exists());
}

#[test]
fn row_87_a_binary_that_was_placed_by_hand_is_never_touched_but_looked_at() {
    let world = World::scheduling("v2", |host| naming(host, &sum()));
    let own = "#!/bin/sh\necho my own\n";
    world.home.write(&binary("v2"), own);
    let told = world.prepare();
    assert!(told.fine().contains("WRN your own binary is used as it is"), "{told:?}");
    assert!(told.stdout.contains(&hex::encode(Sha256::digest(own))) && told.stdout.contains(&sum()), "{told:?}");
    assert_eq!(world.home.read(&binary("v2")), own);
    assert!(!world.home.at("cosmovisor/upgrades/v2/watcher-receipt.json").exists());

    world.home.write(&binary("v2"), core::str::from_utf8(BINARY).expect("it is text"));
    let told = world.prepare();
    assert!(told.fine().contains("it has the checksum of the plan"), "{told:?}");

    world.home.write(&binary("v2"), "<html>");
    let told = world.prepare();
    assert!(told.code == Some(1) && told.stderr.contains("no executable for"), "{told:?}");
    assert_eq!(world.home.read(&binary("v2")), "<html>");
    let program = fs::read(env!("CARGO_BIN_EXE_watcher")).expect("it is there");
    fs::write(world.home.at(&binary("v2")), &program[..4096]).expect("the home can be written");
    let told = world.prepare();
    assert!(told.code == Some(1) && told.stderr.contains("an ELF that is cut off"), "{told:?}");
    assert!(world.host.requests().is_empty());
}
