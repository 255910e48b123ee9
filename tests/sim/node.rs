//! The embedded node as a process: a copy of this program with a trailer, through a whole upgrade.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use watcher::{
    decide::plan::Plan,
    sim::{
        chain::{Chain, Proposal},
        home::{Addresses, Home},
        trailer::Trailer,
    },
};

use crate::answers::{recorded, shape};

const DEADLINE: Duration = Duration::from_secs(20);

/// A home, and two binaries for it.
struct World {
    folder: tempfile::TempDir,
    home: Home,
}

impl World {
    /// Votes `v2` through at once, for this height; a block every 20 ms.
    fn new(height: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan { name: "v2".into(), height, info: "{}".into() };
        let chain = Chain::new("demo-1", 20, vec![Proposal::upgrade(plan, 2, 20)]);
        let home = Home::create(folder.path(), &chain, Addresses { rpc: free(), rest: free() }).unwrap();
        for (version, handlers) in [("v1", &[][..]), ("v2", &["v2"])] {
            let executable = Path::new(env!("CARGO_BIN_EXE_watcher"));
            Trailer::new(version, handlers).install(executable, &folder.path().join(version)).unwrap();
        }
        Self { folder, home }
    }

    fn command(&self, version: &str, command: &str) -> Command {
        let mut node = Command::new(self.folder.path().join(version));
        node.args([command, "--home"]).arg(self.folder.path());
        node
    }

    fn start(&self, version: &str) -> Node {
        let mut command = self.command(version, "start");
        Node(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn output(&self, version: &str, command: &str) -> Output {
        self.command(version, command).output().unwrap()
    }

    /// `latest_block_height` by the `status` command; none while the node does not answer.
    fn latest(&self) -> Option<u64> {
        let output = self.output("v1", "status");
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        status["sync_info"]["latest_block_height"].as_str()?.parse().ok()
    }

    fn info(&self) -> PathBuf {
        self.home.path("data/upgrade-info.json")
    }
}

/// A node process that does not outlive its test.
struct Node(Child);

impl Node {
    fn stop(&mut self) -> ExitStatus {
        signal(&self.0, Signal::SIGTERM);
        self.0.wait().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[track_caller]
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_node_halts_stays_up_and_the_next_binary_goes_on() {
    let world = World::new(12);
    let mut node = world.start("v1");
    wait_for("halt", || world.latest() == Some(12) && world.info().exists());
    let chain = world.home.chain().unwrap();
    assert_eq!((chain.saved, chain.committed), (12, 11));
    let halted = fs::read_to_string(world.info()).unwrap();
    assert_eq!(halted, r#"{"name":"v2","time":"0001-01-01T00:00:00Z","height":12,"info":"{}"}"#);
    let status: Value = serde_json::from_slice(&world.output("v2", "status").stdout).unwrap();
    let expected: Value = serde_json::from_str(&recorded("status-command.stdout")).unwrap();
    assert_eq!(shape(&status), shape(&expected));
    assert!(world.output("v1", "start").status.code() == Some(1), "a second node on the same home");
    assert!(node.stop().success());

    fs::remove_file(world.info()).unwrap();
    let again = world.output("v1", "start");
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("UPGRADE \"v2\" NEEDED at height: 12: {}"));
    assert_eq!(fs::read_to_string(world.info()).unwrap(), halted);

    let mut node = world.start("v2");
    wait_for("blocks after the upgrade", || world.latest() > Some(14));
    assert!(node.stop().success());
    let signed: Value =
        serde_json::from_slice(&fs::read(world.home.path("data/priv_validator_state.json")).unwrap()).unwrap();
    let chain = world.home.chain().unwrap();
    assert_eq!((chain.applied["v2"], signed["height"].as_str().unwrap()), (12, chain.saved.to_string().as_str()));
}

#[test]
fn a_binary_that_comes_early_exits_and_the_old_one_can_go_on() {
    let world = World::new(1000);
    let early = world.output("v2", "start");
    assert_eq!(early.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&early.stderr).contains("BINARY UPDATED BEFORE TRIGGER! UPGRADE \"v2\""));
    let height = world.home.chain().unwrap().saved;
    let _node = world.start("v1");
    wait_for("the old binary's blocks", || world.latest() > Some(height));
}

#[test]
fn the_other_commands_answer_without_a_chain() {
    let world = World::new(12);
    assert_eq!(world.output("v2", "version").stdout, b"v2\n");
    assert!(world.output("v2", "pre-upgrade").status.success());
    let status = world.output("v2", "status");
    assert_eq!(status.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&status.stderr).contains("the node does not answer on 127.0.0.1:"));
}
