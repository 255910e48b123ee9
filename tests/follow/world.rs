//! A home with a script for a node, the chain that the test moves, and the release host that answers as the test wants.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use watcher::{
    decide::plan::Plan,
    sim::{chain::Chain, server::Site},
};

use crate::{
    host::Host,
    sim_network::Network,
    supervisor::{Supervisor, log_of},
    wait,
};

pub(crate) const NAME: &str = "noded";
/// Where the chain stands at the beginning.
pub(crate) const HEIGHT: u64 = 20;
/// So far away that nothing is looked at more often than always.
pub(crate) const FAR: u64 = 2_000;
/// Long enough for a loaded machine: what is waited for takes a second or a few.
const LIMIT: Duration = Duration::from_secs(40);
const NODE: &str = "#!/bin/sh\ntrap 'kill $!; exit 0' TERM\nwhile :; do sleep 60 & wait $!; done\n";

/// A home, its node's chain, and a release host.
pub(crate) struct World {
    pub(crate) home: PathBuf,
    pub(crate) network: Network,
    pub(crate) host: Host,
    pub(crate) watcher: Option<Supervisor>,
    _folder: tempfile::TempDir,
}

impl World {
    /// A chain with a block every 6 s.
    pub(crate) fn new() -> Self {
        Self::with_block_time(6_000)
    }

    pub(crate) fn with_block_time(milliseconds: u64) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let home = folder.path().canonicalize().expect("it was just made").join("home");
        let network = Network::open(&home, chain_at(HEIGHT, milliseconds));
        let world = Self { home, network, host: Host::open(), watcher: None, _folder: folder };
        world.put("cosmovisor/genesis/bin/noded", NODE.as_bytes());
        world
    }

    /// Starts `watcher run` with downloads and without jitter.
    pub(crate) fn start(&mut self, settings: &[(&str, &str)]) {
        let usual = [("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true"), ("WATCHER_DOWNLOAD_JITTER", "0s")];
        self.watcher = Some(Supervisor::start(&self.home, NAME, &[&usual, settings].concat()));
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut watcher = self.watcher.take().expect("it was started");
        kill(watcher.pid(), Signal::SIGKILL).expect("it is still there");
        wait::until("it is dead", LIMIT, || watcher.ended());
    }

    /// Schedules a plan, or none, and makes the block from which that can be seen.
    pub(crate) fn schedule(&self, plan: Option<Plan>) {
        self.network.site.change(|chain| chain.plan = plan);
        block(&self.network.site);
    }

    /// Makes blocks up to a height.
    pub(crate) fn advance_to(&self, height: u64) {
        while self.network.site.chain().committed < height {
            block(&self.network.site);
        }
    }

    /// Puts an executable into the home.
    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        let path = self.home.join(path);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("the home can be written");
        fs::write(&path, content).expect("the home can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the home can be written");
    }

    /// The binary under `upgrades/`, where there is one.
    pub(crate) fn binary(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.home.join("cosmovisor/upgrades").join(name).join("bin").join(NAME)).ok()
    }

    /// Waits until the binary for an upgrade at a height is in place, and gives its receipt.
    pub(crate) fn staged(&self, name: &str, height: u64) -> Value {
        let path = self.home.join("cosmovisor/upgrades").join(name).join("watcher-receipt.json");
        self.until(&format!("{name} is staged for {height}"), || {
            let receipt: Value = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            (self.binary(name).is_some() && receipt["plan"]["height"] == height).then_some(receipt)
        })
    }

    /// What was set aside: folders of `cosmovisor/watcher/aside` that hold a binary.
    pub(crate) fn aside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.join("cosmovisor/watcher/aside")).into_iter().flatten().flatten();
        let whole = entries.filter(|entry| entry.path().join("bin").join(NAME).exists());
        let mut names: Vec<_> = whole.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The sizes of the partial downloads.
    pub(crate) fn partial(&self) -> Vec<u64> {
        let entries = fs::read_dir(self.home.join("cosmovisor/watcher/downloads")).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).collect()
    }

    /// The lines of the log that hold all these words.
    pub(crate) fn told(&self, words: &[&str]) -> Vec<String> {
        let log = fs::read(log_of(&self.home)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
    }

    /// Waits until a line with all these words was logged so often.
    pub(crate) fn until_told(&self, times: usize, words: &[&str]) {
        self.until(&format!("{words:?} was told {times} times"), || (self.told(words).len() >= times).then_some(()));
    }

    /// Waits until there is something to return.
    pub(crate) fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        assert!(self.watcher.is_some(), "somebody must be at work");
        wait::until(what, LIMIT, look)
    }
}

/// A chain at a height, the last block now.
pub(crate) fn chain_at(height: u64, block_time: u64) -> Chain {
    let mut chain = Chain::new("demo-1", block_time, vec![]);
    let now = now();
    for left in (0..height).rev() {
        chain.save(now - left * block_time);
        chain.apply(&[]).expect("no plan is due");
    }
    chain
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).expect("it is later than 1970")
}

/// Makes one block.
pub(crate) fn block(site: &Site) {
    site.change(|chain| {
        let last = chain.time(chain.saved).expect("the last block is kept");
        chain.save(last + chain.block_time);
        chain.apply(&[]).expect("no plan is due");
    });
}

/// A plan, as the chain holds it: it may have none.
#[expect(clippy::unnecessary_wraps, reason = "what is scheduled is a plan or none")]
pub(crate) fn plan(name: &str, height: u64, info: String) -> Option<Plan> {
    Some(Plan { name: name.into(), height, info })
}

/// A program of some 300 kB that differs from others.
pub(crate) fn program(version: &str) -> Vec<u8> {
    let mut script = format!("#!/bin/sh\n# {version}\n").into_bytes();
    script.resize(300_000, b'#');
    script
}

/// The name under which a binary is set aside.
pub(crate) fn aside_name(folder: &str, sha256: &str) -> String {
    format!("{folder}-{}", &sha256[..8])
}

/// The inode of a file, which tells whether it was replaced.
pub(crate) fn inode(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).expect("it is there"))
}
