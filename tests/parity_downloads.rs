//! Rows 69, 70, 77 and 78 of the parity suite where `parity_run` leaves them: what a failed attempt leaves to later commands,
//! and what counts as there or as whole. The program is started under the name `cosmovisor`.

#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/say.rs"]
mod say;
#[path = "support/servers.rs"]
#[expect(dead_code, reason = "servers that say the same to everybody matter in other tests")]
mod servers;
#[path = "support/sim_network.rs"]
#[expect(dead_code, reason = "who heard what matters in other tests")]
mod sim_network;
#[path = "support/supervisor.rs"]
#[expect(dead_code, reason = "a home starts the program itself")]
mod supervisor;
#[path = "support/wait.rs"]
mod wait;

#[path = "run/home.rs"]
#[expect(dead_code, reason = "nodes that do other things matter in other tests")]
mod home;
#[path = "parity/link.rs"]
#[expect(dead_code, reason = "what is printed matters in other tests")]
mod link;
#[path = "support/file_host.rs"]
#[expect(dead_code, reason = "what is asked matters in other tests")]
mod server;

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use watcher::{
    decide::plan::Plan,
    sim::chain::{Chain, Proposal},
};

use home::{Home, each};
use link::{Told, cosmovisor};
use server::{Answer, CERTIFICATE, Server, found};
use sim_network::Network;

/// What a home starts: a link called `cosmovisor`, or what `WATCHER_UNDER_TEST` names instead.
fn program() -> PathBuf {
    static LINK: LazyLock<PathBuf> = LazyLock::new(|| {
        let link = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parity_downloads/cosmovisor");
        fs::create_dir_all(link.parent().expect("it lies in a folder")).expect("the target folder can be written");
        if link.symlink_metadata().is_err() {
            symlink(env!("CARGO_BIN_EXE_watcher"), &link).expect("the target folder can be written");
        }
        link
    });
    env::var_os("WATCHER_UNDER_TEST").map_or_else(|| LINK.clone(), PathBuf::from)
}

/// What it is told each time: lines without colours.
const SETTINGS: [(&str, &str); 1] = [("COSMOVISOR_COLOR_LOGS", "false")];
/// Hosts with TLS are believed.
const TRUST: (&str, &str) = ("SSL_CERT_FILE", CERTIFICATE);
/// Downloads are on.
const ON: [(&str, &str); 2] = [("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true"), TRUST];
/// Where the binary is placed.
const PLACE: &str = "cosmovisor/upgrades/v2/bin/noded";
/// What is served in the place of the right binary.
const WRONG: &str = "#!/bin/sh\necho wrong >> \"$DAEMON_HOME/calls\"\n";

/// A home whose node halts for a plan, and a host that answers otherwise than it should until it is mended.
struct World {
    home: Home,
    plan: Plan,
    binary: Vec<u8>,
    host: Server,
    mended: Arc<AtomicBool>,
}

impl World {
    /// The plan names the host's binary, with its checksum or without one.
    fn answering(wrong: Answer, with_checksum: bool) -> Self {
        let home = Home::halting();
        let binary = fs::read(home.at(PLACE)).expect("the fixture has a v2");
        home.remove("cosmovisor/upgrades");
        let (mended, body) = (Arc::<AtomicBool>::default(), binary.clone());
        let is_mended = Arc::clone(&mended);
        let host = Server::secure(move |_| if is_mended.load(Ordering::SeqCst) { found(&body) } else { wrong.clone() });
        let sum = format!("?checksum=sha256:{}", hex::encode(Sha256::digest(&binary)));
        let url = format!("{}/noded{}", host.base, if with_checksum { &sum } else { "" });
        let plan = Plan { name: "v2".into(), height: 10, info: json!({ "binaries": { "any": url } }).to_string() };
        home.write("plan.json", &serde_json::to_string(&plan).expect("it is JSON"));
        Self { home, plan, binary, host, mended }
    }

    /// One whose host does all that it should.
    fn in_order() -> Self {
        let world = Self::answering(found(b""), true);
        world.mend();
        world
    }

    fn mend(&self) {
        self.mended.store(true, Ordering::SeqCst);
    }

    /// Checks that the node stands at the halt as if nobody was there, and that nothing is left that could be started.
    fn expect_untouched(&self) {
        let home = &self.home;
        assert_eq!((home.calls(), home.nodes().len(), home.backups().len()), (vec!["start genesis".to_owned()], 1, 0));
        self.expect_nothing_left();
    }

    /// Checks that there is nothing that could be started but genesis.
    fn expect_nothing_left(&self) {
        let home = &self.home;
        assert!(home.at("cosmovisor/current").symlink_metadata().is_err() || home.current() == "genesis");
        assert!(!home.at("cosmovisor/upgrades/v2").exists(), "not even an empty folder is left");
        assert_eq!(executables(&home.at("cosmovisor/watcher")), Vec::<PathBuf>::new());
    }

    /// Checks that the upgrade is carried out with the right binary, and nothing else was ever started.
    fn expect_upgraded(&self) {
        self.home.expect_upgraded();
        assert_eq!(fs::read(self.home.at(PLACE)).expect("it is placed"), self.binary);
        assert_eq!(self.home.count("wrong"), 0);
    }
}

/// Everything below a folder that could be started.
fn executables(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = entries.flat_map(|path| {
        let meta = fs::symlink_metadata(&path).expect("it was just listed");
        match (meta.is_dir(), meta.permissions().mode() & 0o111 != 0) {
            (true, _) => executables(&path),
            (false, true) => vec![path],
            (false, false) => Vec::new(),
        }
    });
    found.collect()
}

/// A chain on which the plan is scheduled, and which is not at its height yet.
fn network(home: &Home, plan: &Plan) -> Network {
    const BLOCK_TIME: u64 = 6_000;
    let mut chain = Chain::new("demo-1", BLOCK_TIME, vec![Proposal::upgrade(plan.clone(), 2, BLOCK_TIME)]);
    let now = u64::try_from(Timestamp::now().as_millisecond()).expect("it is later than 1970");
    for height in 1..plan.height {
        chain.save(now - (plan.height - height) * BLOCK_TIME);
        chain.apply(&[]).expect("no plan is due");
    }
    Network::open(&home.path.with_file_name("chain"), chain)
}

#[test]
fn row_69_what_prepare_upgrade_refused_is_never_started_and_what_it_fetches_beside_run_is() {
    let short = (200, "Content-Length: 100000\r\n".to_owned(), WRONG.into());
    let cases = [
        ("missing", ((404, String::new(), WRONG.into()), true, "the server answered 404")),
        ("cut short", (short, false, "cannot fetch https://")),
        ("another thing", (found(b"<!DOCTYPE html>"), false, "it is HTML")),
    ];
    each(&cases, |(wrong, with_checksum, reason)| {
        let world = World::answering(wrong.clone(), *with_checksum);
        let network = network(&world.home, &world.plan);
        let prepare = || {
            let mut command = cosmovisor(&world.home, &["prepare-upgrade"]);
            Told::of(command.envs([TRUST]).env("WATCHER_RPC", network.rpc.url()))
        };
        let told = prepare();
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.stderr.starts_with("Error: failed to download and verify binary: "), "{told:?}");
        assert!(told.stderr.contains(reason) && told.stderr.contains(&world.host.base), "{told:?}");
        world.expect_nothing_left();

        let mut watcher = world.home.start(&[]);
        world.home.halt();
        world.home.wait_for_log("downloading disabled");
        world.expect_untouched();
        world.mend();
        prepare().fine();
        world.expect_upgraded();
        assert!(watcher.stop().success());
    });
}

#[test]
fn row_70_a_host_that_refuses_leaves_nothing_to_a_later_run() {
    let cases: Vec<_> = [("missing", 404), ("broken", 500)]
        .into_iter()
        .flat_map(|(name, status)| [true, false].map(|with_checksum| (name, (status, with_checksum))))
        .collect();
    each(&cases, |&(status, with_checksum)| {
        let world = World::answering((status, String::new(), WRONG.into()), with_checksum);
        let mut watcher = world.home.start(&ON);
        world.home.halt();
        let told = world.home.wait_for_log("tried again");
        assert!(told.contains(&format!("answered {status}")) && told.contains(&world.host.base), "{told}");
        assert!(!told.contains("checksum cannot be specified"), "the reason is the true one: {told}");
        world.expect_untouched();
        assert!(watcher.stop().success());

        // Now the node ends at once at each start, and downloads are off.
        let mut watcher = world.home.start(&[]);
        world.home.wait_for_log("downloading disabled");
        world.expect_nothing_left();
        assert!(watcher.stop().success());

        world.mend();
        let mut watcher = world.home.start(&ON);
        world.expect_upgraded();
        assert!(watcher.stop().success());
    });
}

#[test]
fn row_77_a_folder_counts_as_staged_only_with_a_binary_in_it() {
    let cases = [
        ("an empty folder", ("", None)),
        ("an empty bin", ("bin", None)),
        ("a tool beside it", ("bin", Some(("bin/other", "the operator's")))),
        ("a marker", ("", Some(("upgrade-info.json", r#"{"name":"v2","height":10}"#)))),
        ("a copy that was given up", ("bin", Some(("bin/.noded.part", "#!/bin/sh")))),
    ];
    each(&cases, |(folder, file)| {
        let world = World::in_order();
        let upgrade = world.home.at("cosmovisor/upgrades/v2");
        fs::create_dir_all(upgrade.join(folder)).expect("the home can be written");
        if let Some((name, content)) = file {
            fs::write(upgrade.join(name), content).expect("the home can be written");
        }
        let mut watcher = world.home.start(&ON);
        world.home.halt();
        world.expect_upgraded();
        if let Some((name, content)) = file.filter(|(name, _)| *name != "upgrade-info.json") {
            assert_eq!(fs::read_to_string(upgrade.join(name)).expect("it stays"), content);
        }
        assert!(watcher.stop().success());
    });
}

#[test]
fn row_77_a_link_that_leads_nowhere_is_left_and_told_and_used_once_it_leads_somewhere() {
    let world = World::in_order();
    let (link, target) = (world.home.at(PLACE), world.home.at("builds/noded"));
    fs::create_dir_all(link.parent().expect("it lies in a folder")).expect("the home can be written");
    symlink(&target, &link).expect("the home can be written");
    let mut watcher = world.home.start(&ON);
    world.home.halt();
    let told = world.home.wait_for_log("is already there and is not replaced");
    assert!(told.contains(PLACE), "{told}");
    assert_eq!((world.home.calls(), world.home.nodes().len()), (vec!["start genesis".to_owned()], 1));
    world.home.script("builds/noded", "version=v2\n. \"$DAEMON_HOME/node.sh\"\n");
    world.home.expect_upgraded();
    assert_eq!(fs::read_link(&link).expect("it is still a link"), target);
    assert!(watcher.stop().success());
}

#[test]
fn row_78_a_body_whose_end_nobody_announced_is_no_binary() {
    // Either of these names keeps the host from announcing a length itself.
    let (chunked, to_the_end) =
        ("Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n", "No-Content-Length: 1\r\n");
    let cases = [
        ("the last chunk is missing", (chunked, format!("{:x}\r\n{WRONG}\r\n", WRONG.len()), "body")),
        ("a chunk is cut", (chunked, format!("fff\r\n{WRONG}"), "body")),
        ("it ends with the connection", (to_the_end, WRONG.to_owned(), "neither a length nor a checksum")),
    ];
    each(&cases, |(headers, body, reason)| {
        let world = World::answering((200, String::from(*headers), body.clone().into_bytes()), false);
        let mut watcher = world.home.start(&ON);
        world.home.halt();
        let told = world.home.wait_for_log("tried again");
        assert!(told.contains(reason) && told.contains(&world.host.base), "{told}");
        world.expect_untouched();
        world.mend();
        world.expect_upgraded();
        assert!(watcher.stop().success());
    });
}
