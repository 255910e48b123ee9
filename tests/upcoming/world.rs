//! A chain that stands at height 120 at this moment, its node's home, and `watcher` as a process.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use jiff::Timestamp;
use watcher::{
    artifact::fingerprint,
    decide::{
        facts::{Fingerprint, Receipt},
        plan::{Artifact, Plan},
    },
    sim::chain::{Chain, Proposal},
};

use crate::sim_network::Network;

pub(crate) const HEIGHT: u64 = 120;
pub(crate) const NAME: &str = "noded";
const BLOCK_TIME: u64 = 6_000;

/// A chain at [`HEIGHT`], a block every 6 s, the last of them now.
pub(crate) fn chain(id: &str, proposals: Vec<Proposal>) -> Chain {
    let mut chain = Chain::new(id, BLOCK_TIME, proposals);
    let now = u64::try_from(Timestamp::now().as_millisecond()).expect("it is later than 1970");
    for height in 1..=HEIGHT {
        chain.save(now - (HEIGHT - height) * BLOCK_TIME);
        chain.apply(&[]).expect("no plan is due");
    }
    chain
}

/// A plan with a binary for every platform.
pub(crate) fn plan(name: &str, height: u64) -> Plan {
    let url = format!("https://releases.example.org/{name}?checksum=sha256:{}", "ab".repeat(32));
    Plan { name: name.into(), height, info: serde_json::json!({ "binaries": { "any": url } }).to_string() }
}

/// A proposal that has passed long ago.
pub(crate) fn passed(plan: Plan) -> Proposal {
    Proposal::upgrade(plan, 2, BLOCK_TIME)
}

/// A proposal on which the vote runs for two days.
pub(crate) fn voted_on(plan: Plan) -> Proposal {
    Proposal::upgrade(plan, 100, 2 * 86_400_000)
}

/// A node with its home.
pub(crate) struct World {
    pub(crate) home: PathBuf,
    pub(crate) network: Network,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn of(chain: Chain) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let home = folder.path().canonicalize().expect("it was just made").join("home");
        let network = Network::open(&home, chain);
        Self { home, network, _folder: folder }
    }

    pub(crate) fn with(proposals: Vec<Proposal>) -> Self {
        Self::of(chain("demo-1", proposals))
    }

    /// What `watcher upcoming` with these arguments and this node's RPC says.
    pub(crate) fn upcoming(&self, arguments: &[&str]) -> Told {
        let rpc = self.network.rpc.url();
        watcher(&[&["upcoming", "--rpc", &rpc], arguments].concat(), &[])
    }

    /// Puts a binary where an operator or `watcher` itself would.
    pub(crate) fn place_binary(&self, folder: &str) -> PathBuf {
        let binary = self.home.join("cosmovisor").join(folder).join("bin").join(NAME);
        fs::create_dir_all(binary.parent().expect("it has a folder")).expect("the home can be written");
        fs::write(&binary, "#!/bin/sh\n").expect("the home can be written");
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("the home can be written");
        binary
    }

    /// And the receipt that says it was `watcher`.
    pub(crate) fn place_with_receipt(&self, plan: &Plan, artifact: Artifact) {
        let binary = self.place_binary(&format!("upgrades/{}", plan.name));
        let file: Fingerprint = fingerprint(&fs::metadata(&binary).expect("it was just written"));
        let receipt = Receipt {
            plan: plan.clone(),
            artifact,
            download_sha256: String::new(),
            sha256: String::new(),
            file,
            verified_at: String::new(),
            endpoint: String::new(),
            applied: false,
        };
        let path = binary.parent().and_then(Path::parent).expect("bin is in a folder").join("watcher-receipt.json");
        fs::write(path, serde_json::to_vec(&receipt).expect("it is plain data")).expect("the home can be written");
    }
}

/// The artifact of [`plan`].
pub(crate) fn artifact(name: &str) -> Artifact {
    let url = format!("https://releases.example.org/{name}");
    Artifact { os_arch: "any".into(), url, checksum: Some(format!("sha256:{}", "ab".repeat(32))) }
}

/// What a `watcher` that has ended left on the terminal.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Told {
    /// The list on stdout.
    ///
    /// # Panics
    /// Where it did not end well.
    pub(crate) fn list(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }

    /// The list, where there was nothing to warn of.
    pub(crate) fn quietly(&self) -> &str {
        assert_eq!(self.stderr, "");
        self.list()
    }
}

/// Runs `watcher` in an environment of nothing but `variables`.
pub(crate) fn watcher(arguments: &[&str], variables: &[(&str, &str)]) -> Told {
    let Output { status, stdout, stderr } = command(arguments, variables).output().expect("watcher can be started");
    let text = |bytes| String::from_utf8(bytes).expect("watcher writes UTF-8");
    Told { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

pub(crate) fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
    command.args(arguments).env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("TZ", "UTC").envs(variables.iter().copied());
    command
}

/// Holds what was told against its snapshot; ports, folders and moments are not the same twice.
macro_rules! assert_told {
    ($told:expr) => {
        insta::with_settings!({
            filters => vec![
                (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
                (r"/\S*/\.tmp\w+", "[folder]"),
                (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
                (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "[time]"),
                (r"\d+ s ago", "[seconds] ago"),
                (r"\(\d[\w ]+ to \d[\w ]+\)", "([earliest] to [latest])"),
            ],
            omit_expression => true,
        }, { insta::assert_snapshot!($told) })
    };
}
pub(crate) use assert_told;
