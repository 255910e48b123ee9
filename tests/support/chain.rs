//! The real chains of `fixtures/chain` and `fixtures/chain46`: built once for a state of their sources, and asked what they
//! do over their RPC.

use std::{
    env, fs,
    fs::File,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{ports::Ports, say::say, tools, wait};

/// A generation of the Cosmos SDK.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// v0.55 on CometBFT 0.40, with proposals of gov v1.
    Today,
    /// v0.46 on Tendermint 0.34, with legacy content of gov v1beta1; `status` answers on stderr.
    Before,
}

impl Kind {
    /// The name of the node's binary.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Today => "chaind",
            Self::Before => "legacyd",
        }
    }

    /// The folder in `fixtures`.
    const fn source(self) -> &'static str {
        match self {
            Self::Today => "chain",
            Self::Before => "chain46",
        }
    }
}

/// The folder with the chain's versions, `chaind-v1` and so on, or none where Go is missing.
///
/// # Panics
/// Where the chain cannot be built.
fn versions(kind: Kind) -> Option<&'static Path> {
    static BUILT: [OnceLock<Option<PathBuf>>; 2] = [const { OnceLock::new() }; 2];
    BUILT[kind as usize].get_or_init(|| tools::found("go", "version").then(|| build(kind))).as_deref()
}

fn build(kind: Kind) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind.source());
    let builds = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(kind.source());
    fs::create_dir_all(&builds).expect("the target folder can be written");
    // Another test binary may be building at this moment.
    let lock = File::create(builds.join("lock")).expect("the target folder can be written");
    lock.lock().expect("a file can be locked");
    let built = builds.join(digest(&source));
    if !built.exists() {
        say(&format!("building {}: seconds, or some 10 minutes where Go has never built it before", kind.name()));
        for entry in fs::read_dir(&builds).expect("the folder is there").flatten().filter(|entry| entry.path().is_dir())
        {
            fs::remove_dir_all(entry.path()).expect("an older build can be removed");
        }
        let unfinished = builds.join("unfinished");
        let status = Command::new(source.join("build.sh")).arg(&unfinished).status().expect("bash is there");
        assert!(status.success(), "fixtures/{}/build.sh failed: {status}", kind.source());
        fs::rename(unfinished, &built).expect("a folder can be renamed");
    }
    built
}

/// Names a state of the chain's sources.
fn digest(source: &Path) -> String {
    let mut files: Vec<PathBuf> =
        fs::read_dir(source).expect("it is there").flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.as_os_str().as_encoded_bytes());
        hash.update(fs::read(&file).expect("a source file can be read"));
    }
    hex::encode(&hash.finalize()[..8])
}

/// A validator's home, whose node somebody else starts.
pub(crate) struct Chain {
    /// What it is made of.
    pub(crate) kind: Kind,
    /// The node's home. Version `v1` is its genesis binary.
    pub(crate) home: PathBuf,
    /// RPC listens here; P2P, REST and gRPC on the next three. The last ports of the block are for the test.
    pub(crate) port: u16,
    /// The folder with the chain's versions.
    pub(crate) versions: &'static Path,
    kept: Arc<(tempfile::TempDir, Ports)>,
}

impl Chain {
    /// Makes the home of a network with half a second between its blocks and votes that last `vote`, or none where Go is
    /// missing.
    ///
    /// # Panics
    /// Where the chain cannot be built, or its own command fails.
    pub(crate) fn with(kind: Kind, vote: &str) -> Option<Self> {
        Self::paced(kind, vote, "500ms")
    }

    /// The same with other times between blocks.
    ///
    /// # Panics
    /// As [`Chain::with`].
    pub(crate) fn paced(kind: Kind, vote: &str, block_time: &str) -> Option<Self> {
        Self::written(kind, vote, block_time, &[])
    }

    fn written(kind: Kind, vote: &str, block_time: &str, more: &[&str]) -> Option<Self> {
        let versions = versions(kind)?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let home = folder.path().canonicalize().expect("it was just made").join("home");
        let ports = Ports::reserve();
        let chain = Self { kind, home, port: ports.first, versions, kept: Arc::new((folder, ports)) };
        let port = chain.port.to_string();
        let arguments = ["localnet", "--port", &port, "--block-time", block_time, "--voting-period", vote];
        chain.command(&[&arguments, more].concat());
        chain.place("v1", "genesis");
        Some(chain)
    }

    /// The homes of the validators of a network of four, with half a second between its blocks. The first one's vote decides.
    ///
    /// # Panics
    /// As [`Chain::with`].
    pub(crate) fn four(vote: &str) -> Option<[Self; 4]> {
        let first = Self::written(Kind::Today, vote, "500ms", &["--validators", "4"])?;
        let other = |number: u16| {
            let home = first.home.with_file_name(format!("home-{number}"));
            let (kept, port) = (Arc::clone(&first.kept), first.port + 2 + 2 * number);
            let other = Self { kind: first.kind, home, port, versions: first.versions, kept };
            other.place("v1", "genesis");
            other
        };
        let others = [1, 2, 3].map(other);
        let [second, third, fourth] = others;
        Some([first, second, third, fourth])
    }

    /// The home of a full node that follows the network from its genesis, on the next four ports: one runs at a time.
    ///
    /// # Panics
    /// Where the chain's own command fails.
    pub(crate) fn follower(&self, folder: &str) -> Self {
        let home = self.home.with_file_name(folder);
        let kept = Arc::clone(&self.kept);
        let follower = Self { kind: self.kind, home, port: self.port + 4, versions: self.versions, kept };
        let id = self.command(&["comet", "show-node-id"]);
        let peer = format!("{}@127.0.0.1:{}", id.trim(), self.port + 1);
        let genesis = self.home.join("config/genesis.json");
        let genesis = genesis.to_str().expect("a plain path");
        let port = follower.port.to_string();
        follower.command(&["localnet", "--port", &port, "--peer", &peer, "--genesis", genesis]);
        follower.place("v1", "genesis");
        follower
    }

    /// Lets this node begin with a snapshot of another's, which it trusts at a height.
    ///
    /// # Panics
    /// Where the other node does not answer.
    pub(crate) fn state_sync_from(&self, other: &Self, height: u64) {
        let hash = other.block_hash(height);
        let path = self.home.join("config/config.toml");
        let config = fs::read_to_string(&path).expect("localnet has written it");
        let (before, section) = config.split_once("[statesync]").expect("CometBFT has this section");
        let rpc = format!("rpc_servers = \"127.0.0.1:{port},127.0.0.1:{port}\"", port = other.port);
        let section = section
            .replacen("enable = false", "enable = true", 1)
            .replacen("rpc_servers = \"\"", &rpc, 1)
            .replacen("trust_height = 0", &format!("trust_height = {height}"), 1)
            .replacen("trust_hash = \"\"", &format!("trust_hash = \"{hash}\""), 1)
            .replacen("discovery_time = \"15s\"", "discovery_time = \"5s\"", 1);
        fs::write(&path, format!("{before}[statesync]{section}")).expect("the home can be written");
    }

    /// The hash of the block at a height.
    ///
    /// # Panics
    /// Where the node does not answer.
    pub(crate) fn block_hash(&self, height: u64) -> String {
        let commit = get(self.port, &format!("/commit?height={height}")).expect("the node answers");
        let hash = commit["result"]["signed_header"]["commit"]["block_id"]["hash"].as_str();
        hash.expect("the block is signed").to_owned()
    }

    /// One version of the chain's binary.
    pub(crate) fn version(&self, version: &str) -> PathBuf {
        self.versions.join(format!("{}-{version}", self.kind.name()))
    }

    /// Puts a version where an operator would: `cosmovisor/<folder>/bin/<name>`.
    ///
    /// # Panics
    /// Where the home cannot be written.
    pub(crate) fn place(&self, version: &str, folder: &str) {
        let binary = self.binary(folder);
        fs::create_dir_all(binary.parent().expect("it has a folder")).expect("the home can be written");
        fs::hard_link(self.version(version), binary).expect("home and build are on one filesystem");
    }

    /// Where a folder's binary is: `genesis`, `upgrades/v2`.
    pub(crate) fn binary(&self, folder: &str) -> PathBuf {
        self.home.join("cosmovisor").join(folder).join("bin").join(self.kind.name())
    }

    /// Where `current` points, as the link says it.
    pub(crate) fn current(&self) -> PathBuf {
        fs::read_link(self.home.join("cosmovisor/current")).unwrap_or_default()
    }

    /// What the node wrote at the halt, where it did.
    pub(crate) fn upgrade_info(&self) -> Option<String> {
        fs::read_to_string(self.home.join("data/upgrade-info.json")).ok().filter(|info| info.ends_with('}'))
    }

    /// The plan's `info` that offers one version for download from a host on a port.
    ///
    /// # Panics
    /// Where the binary cannot be read.
    pub(crate) fn offer(&self, version: &str, port: u16) -> String {
        let mut hash = Sha256::new();
        std::io::copy(&mut File::open(self.version(version)).expect("it was built"), &mut hash)
            .expect("it can be read");
        let sum = hex::encode(hash.finalize());
        let url = format!("http://127.0.0.1:{port}/{}-{version}?checksum=sha256:{sum}", self.kind.name());
        serde_json::json!({ "binaries": { "any": url } }).to_string()
    }

    /// Proposes an upgrade `blocks` from now, votes for it, and returns its height.
    ///
    /// # Panics
    /// Where the chain refuses.
    pub(crate) fn propose(&self, name: &str, blocks: u64, info: &str) -> u64 {
        self.wait_until_served();
        let height = self.height() + blocks;
        self.command(&["propose", "--name", name, "--height", &height.to_string(), "--info", info]);
        height
    }

    /// Waits until blocks are made, and returns the height of the last one.
    ///
    /// # Panics
    /// Where none is made.
    pub(crate) fn height(&self) -> u64 {
        wait::until("the chain makes blocks", Duration::from_mins(1), || {
            self.application().map(|application| application.height).filter(|height| *height >= 2)
        })
    }

    /// Waits until a version has committed a block above `height`.
    ///
    /// # Panics
    /// Where that takes more than `limit`.
    pub(crate) fn wait_for_blocks_by(&self, version: &str, height: u64, limit: Duration) {
        wait::until(&format!("{version} makes blocks above {height}"), limit, || {
            self.application().filter(|application| application.version == version && application.height > height)
        });
    }

    /// Waits until the node has all its servers up. Before that, the generation before answers nothing over REST, and has not
    /// asked to hear of SIGTERM, so that it dies of it.
    ///
    /// # Panics
    /// Where that takes more than a minute.
    pub(crate) fn wait_until_served(&self) {
        let question = "/cosmos/base/tendermint/v1beta1/blocks/latest";
        wait::until("the node serves REST", Duration::from_mins(1), || {
            get(self.port + 2, question).filter(|answer| answer["block"].is_object())
        });
    }

    /// The upgrade that is scheduled, as x/upgrade's query over REST says it.
    pub(crate) fn scheduled(&self) -> Option<Value> {
        let answer = get(self.port + 2, "/cosmos/upgrade/v1beta1/current_plan")?;
        Some(answer["plan"].clone()).filter(|plan| !plan.is_null())
    }

    /// What the application says of itself, where the node answers.
    pub(crate) fn application(&self) -> Option<Application> {
        let answer = get(self.port, "/abci_info")?;
        let response = &answer["result"]["response"];
        Some(Application {
            version: response["version"].as_str()?.to_owned(),
            height: response["last_block_height"].as_str()?.parse().ok()?,
        })
    }

    fn command(&self, arguments: &[&str]) -> String {
        let run =
            Command::new(self.version("v1")).args(arguments).arg("--home").arg(&self.home).output().expect("it runs");
        assert!(run.status.success(), "{} {arguments:?}: {}", self.kind.name(), String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).expect("it prints text")
    }
}

/// An answer of `/abci_info`.
pub(crate) struct Application {
    /// The binary's version, set by the linker.
    pub(crate) version: String,
    /// The last height that was committed.
    pub(crate) height: u64,
}

/// The JSON at a path of a server on this machine, or none where it does not answer. HTTP/1.0, so that the body is just the rest.
pub(crate) fn get(port: u16, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}
