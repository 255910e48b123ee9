//! `watcher fetch-history` on an embedded chain that has gone through upgrades, as the operator of a new home meets it.

#[path = "support/ports.rs"]
mod ports;
#[path = "support/release_host.rs"]
mod release_host;
#[path = "support/servers.rs"]
#[expect(dead_code, reason = "other tests have other servers")]
mod servers;
#[path = "support/sim_network.rs"]
#[expect(dead_code, reason = "who heard what matters in other tests")]
mod sim_network;
#[path = "upcoming/world.rs"]
#[expect(dead_code, reason = "another command has other worlds")]
mod world;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use Info::{Pinned, Prose, Unpinned};
use jiff::Timestamp;
use ports::Ports;
use release_host::ReleaseHost;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use watcher::{
    decide::plan::Plan,
    sim::chain::{Chain, Proposal},
};
use world::{NAME, Told, World, assert_told, watcher};

const BLOCK_TIME: u64 = 6_000;
const HEIGHT: u64 = 120;

/// A node on a chain with a history, and a host with its releases.
struct Past {
    world: World,
    releases: tempfile::TempDir,
    host: ReleaseHost,
    ports: Ports,
}

impl Past {
    /// The chain at [`HEIGHT`], after these plans: the height at which each is proposed, its name, its own height, its info.
    fn of(plans: &[(u64, &str, u64, Info)]) -> Self {
        let (ports, releases) = (Ports::reserve(), tempfile::tempdir().expect("a folder can be made"));
        let host = ReleaseHost::open(ports.first, releases.path(), None);
        let base = format!("http://127.0.0.1:{}", ports.first);
        let proposal = |(submit, name, height, info): &(u64, &str, u64, Info)| {
            let plan = Plan { name: (*name).into(), height: *height, info: info.text(&base) };
            Proposal::upgrade(plan, *submit, BLOCK_TIME)
        };
        let mut chain = Chain::new("demo-1", BLOCK_TIME, plans.iter().map(proposal).collect());
        let now = u64::try_from(Timestamp::now().as_millisecond()).expect("it is later than 1970");
        for height in 1..=HEIGHT {
            chain.save(now - (HEIGHT - height) * BLOCK_TIME);
            // Of two plans of a name the later is the one that comes.
            let comes = |name| plans.iter().filter(|plan| plan.1 == name).all(|plan| plan.2 <= height);
            let due = plans.iter().filter(|plan| comes(plan.1)).map(|plan| plan.1.to_owned());
            chain.apply(&due.collect::<Vec<_>>()).expect("its binary is there");
        }
        let world = World::of(chain);
        world.place_binary("genesis");
        Self { world, releases, host, ports }
    }

    fn release(&self, files: &[&str]) {
        for file in files {
            fs::write(self.releases.path().join(file), script(file)).expect("the folder can be written");
        }
    }

    fn fetch(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Told {
        let rest = self.world.network.rest.url();
        let home = self.world.home.to_str().expect("a plain path");
        let arguments = [&["fetch-history", "--rest", &rest], arguments].concat();
        watcher(&arguments, &[&[("DAEMON_HOME", home), ("DAEMON_NAME", NAME)], variables].concat())
    }

    fn staged(&self, folder: &str) -> Option<String> {
        fs::read_to_string(self.folder(folder).join("bin").join(NAME)).ok()
    }

    fn receipt(&self, folder: &str) -> Option<Value> {
        let bytes = fs::read(self.folder(folder).join("watcher-receipt.json")).ok()?;
        Some(serde_json::from_slice(&bytes).expect("a receipt is JSON"))
    }

    fn folder(&self, folder: &str) -> std::path::PathBuf {
        self.world.home.join("cosmovisor/upgrades").join(folder)
    }
}

fn script(file: &str) -> String {
    format!("#!/bin/sh\necho {file}\n")
}

/// What a plan's info names.
enum Info {
    /// A file of the host, with its checksum.
    Pinned(&'static str),
    /// A file of the host, without.
    Unpinned(&'static str),
    /// Nothing.
    Prose,
}

impl Info {
    fn text(&self, base: &str) -> String {
        let url = match self {
            Self::Pinned(file) => {
                format!("{base}/{file}?checksum=sha256:{}", hex::encode(Sha256::digest(script(file))))
            }
            Self::Unpinned(file) => format!("{base}/{file}"),
            Self::Prose => return "see the forum".into(),
        };
        json!({ "binaries": { "any": url } }).to_string()
    }
}

#[test]
fn what_was_applied_is_staged_and_what_cannot_be_is_told_with_its_place() {
    let past = Past::of(&[
        (2, "v2", 20, Pinned("two")),
        (21, "v3", 40, Pinned("three")),
        (41, "V4", 60, Pinned("four")),
        (61, "v5", 80, Prose),
        (81, "v6", 100, Pinned("six")),
        // It is still to come: not a matter of the past.
        (101, "v7", 1000, Pinned("seven")),
    ]);
    past.release(&["two", "three", "six"]);
    let own = past.world.place_binary("upgrades/v3");
    let told = past.fetch(&[], &[]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_told!(told.stdout);
    assert!(told.stderr.contains("the server answered 404"), "{}", told.stderr);
    assert_eq!([past.staged("v2"), past.staged("v6")], [Some(script("two")), Some(script("six"))]);
    assert_eq!(fs::read_to_string(own).expect("it is there"), "#!/bin/sh\n", "the operator's own is not touched");
    assert_eq!([past.receipt("v3"), past.receipt("v4"), past.receipt("v7")], [None, None, None]);
    let receipt = past.receipt("v2").expect("watcher placed it");
    assert_eq!((&receipt["plan"]["height"], &receipt["applied"]), (&20.into(), &true.into()));

    past.release(&["four"]);
    past.world.place_binary("upgrades/v5");
    let told = past.fetch(&[], &[]);
    assert_told!(told.list());
    assert_eq!(past.staged("v4"), Some(script("four")));
    let store = past.world.home.join("cosmovisor/watcher/artifacts").read_dir().expect("it is there");
    assert_eq!(store.count(), 0, "all is in its place");
    assert_eq!(past.host.downloads().len(), 3, "each once, and the first try for v4 found nothing to hand out");
}

#[test]
fn of_two_plans_of_one_name_the_one_that_was_applied_is_staged() {
    let past = Past::of(&[(2, "v2", 20, Pinned("early")), (10, "v2", 40, Pinned("late"))]);
    past.release(&["early", "late"]);
    // It was staged for the first plan, and is not what was applied.
    let plan = Plan { name: "v2".into(), height: 20, info: String::new() };
    past.world.place_with_receipt(&plan, world::artifact("early"));
    past.fetch(&[], &[]).list();
    assert_eq!(past.staged("v2"), Some(script("late")));
    assert_eq!(past.receipt("v2").expect("watcher placed it")["plan"]["height"], 40);
    assert!(past.world.home.join("cosmovisor/watcher/aside").read_dir().expect("it is there").next().is_some());
}

#[test]
fn a_dry_run_tells_what_would_be_fetched_and_touches_nothing() {
    let past = Past::of(&[(2, "v2", 20, Pinned("two")), (21, "v3", 40, Prose)]);
    past.release(&["two"]);
    let told = past.fetch(&["--dry-run"], &[]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_told!(told.stdout);
    assert!(past.host.downloads().is_empty() && !past.world.home.join("cosmovisor/watcher").exists());
    past.world.place_binary("upgrades/v3");
    past.fetch(&["--dry-run"], &[]).quietly();
}

/// It was left out without a word, and that everything is staged was said.
#[test]
fn a_proposal_that_cannot_be_read_is_asked_for_again_and_leaves_the_history_incomplete() {
    let past = Past::of(&[(2, "v2", 20, Pinned("two"))]);
    past.release(&["two"]);
    let home = past.world.home.to_str().expect("a plain path");
    let own = past.world.place_binary("upgrades/v9");
    for (refusals, code) in [(1, 0), (usize::MAX, 1)] {
        let rest = where_one_is_refused(refusals);
        let variables = [("DAEMON_HOME", home), ("DAEMON_NAME", NAME)];
        let told = watcher(&["fetch-history", "--rest", &rest.url()], &variables);
        assert_eq!(told.code, Some(code), "{told:?}");
        assert_eq!(told.stdout.contains("v9"), code == 0, "{told:?}");
        assert_eq!(told.stderr.contains("/proposals/2)"), code == 1, "{told:?}");
    }
    assert!(own.exists());
}

/// A gateway whose list is broken, with three proposals. The second one, v9, is refused so many times.
fn where_one_is_refused(refusals: usize) -> servers::Server {
    let asked = AtomicUsize::new(0);
    let proposal = |name: &str| {
        let plan = json!({ "name": name, "height": "50" });
        let message = json!({ "@type": "/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade", "plan": plan });
        (200, json!({ "proposal": { "id": "2", "status": 3, "messages": [message] } }))
    };
    let answer = move |path: &str| match path.rsplit('/').next().unwrap_or_default() {
        "latest" => {
            let header = json!({ "chain_id": "demo-1", "height": "120", "time": "2026-01-01T00:00:00Z" });
            (200, json!({ "block": { "header": header } }))
        }
        "v9" => (200, json!({ "height": "50" })),
        "1" | "3" => (200, json!({ "proposal": { "id": "3", "status": 5, "messages": [] } })),
        "2" if asked.fetch_add(1, Ordering::Relaxed) < refusals => {
            (500, json!({ "code": 13, "message": "upstream request timeout" }))
        }
        "2" => proposal("v9"),
        "proposals" => (500, json!({ "code": 2, "message": "no concrete type registered" })),
        _ => (404, json!({ "code": 5, "message": "it doesn't exist" })),
    };
    let answer = Arc::new(answer);
    servers::Server::open(axum::Router::new().fallback(move |uri: axum::http::Uri| {
        let (status, said) = answer(uri.path());
        async move { (axum::http::StatusCode::from_u16(status).expect("a status"), said.to_string()) }
    }))
}

#[test]
fn a_binary_without_a_checksum_is_refused_where_one_is_demanded() {
    let past = Past::of(&[(2, "v2", 20, Unpinned("two"))]);
    past.release(&["two"]);
    let told = past.fetch(&[], &[("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", "true")]);
    assert!(told.code == Some(1) && told.stdout.contains("NOT staged") && told.stdout.contains("checksum"), "{told:?}");
    assert!(past.host.downloads().is_empty());
    past.fetch(&[], &[]);
    assert_eq!(past.staged("v2"), None, "without a checksum nothing is fetched over plain http");
}

#[test]
fn a_home_on_which_another_watcher_works_is_left_to_it() {
    let past = Past::of(&[(2, "v2", 20, Pinned("two"))]);
    past.release(&["two"]);
    let lock = past.world.home.join("cosmovisor/watcher/watcher.lock");
    fs::create_dir_all(lock.parent().expect("it is in a folder")).expect("the home can be written");
    let held = fs::File::create(lock).expect("the home can be written");
    held.lock().expect("a file can be locked");
    let told = past.fetch(&[], &[]);
    assert!(told.code == Some(1) && told.stderr.contains("another watcher"), "{told:?}");
    assert_eq!(past.staged("v2"), None);
}

#[test]
fn a_wrong_configuration_and_silence_are_told_apart() {
    let past = Past::of(&[]);
    let told = watcher(&["fetch-history", "--rpc", "http://127.0.0.1:1"], &[]);
    assert!(told.code == Some(64) && told.stderr.contains("DAEMON_HOME is not set"), "{told:?}");
    let home = past.world.home.to_str().expect("a plain path");
    let variables = [("DAEMON_HOME", home), ("DAEMON_NAME", NAME)];
    let nobody = format!("http://127.0.0.1:{}", past.ports.first + 1);
    let told = watcher(&["fetch-history", "--rpc", &nobody], &variables);
    assert!(told.code == Some(1) && told.stderr.contains("no endpoint answered"), "{told:?}");
    // The home's own node is asked where nobody else is named.
    let told = watcher(&["fetch-history"], &variables);
    assert!(told.list().contains("demo-1 is at height 120, 0 upgrades were applied"), "{told:?}");
    assert!(Path::new(home).join("cosmovisor/watcher").is_dir());
}
