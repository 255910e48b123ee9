//! `watcher demo`: a whole upgrade on an embedded chain, carried by `watcher run` itself in a child process. Here is the
//! stage: a home, a release host, the child, and its end; the story is told in `demo/story.rs`.

mod eyes;
mod narrator;
mod story;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use self::{eyes::Eyes, narrator::Narrator};
use crate::{
    cli::DemoArgs,
    decide::{event::NodeExit, plan::Plan},
    exit::Ending,
    home::Home,
    log,
    persona::Persona,
    process::{
        program::{Child, Program},
        signals::Signals,
    },
    sim::{
        chain::{Chain, Proposal},
        home::{Addresses, Home as NodeHome},
        release::Release,
        trailer::Trailer,
    },
};

/// Milliseconds from one block to the next.
const BLOCK_TIME: u64 = 300;
/// The height at which the upgrade is proposed.
const PROPOSED_AT: u64 = 4;
/// Milliseconds that the vote takes.
const VOTING_PERIOD: u64 = 3000;
/// The height of the upgrade: the vote ends ten blocks after it began, and the download needs about fourteen.
const UPGRADE_AT: u64 = 40;
/// Seconds that the download takes.
const DOWNLOAD_TIME: u64 = 4;
/// How long the child may take to stop its node and itself.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How much of the node's log is shown where the story breaks off.
const LAST_LINES: usize = 8;
const DAEMON: &str = "demod";
const NODE_LOG: &str = "node.log";

/// Plays the demo.
///
/// # Errors
/// Where a chapter does not happen in time, or the stage cannot be set.
pub fn demo(args: DemoArgs) -> anyhow::Result<Ending> {
    log::start(Persona::Watcher, &log::Choices::from_environment());
    super::wait_for(play(args))
}

async fn play(args: DemoArgs) -> anyhow::Result<Ending> {
    let mut signals = Signals::listen()?;
    let is_ours = args.dir.is_none();
    let home = home(args.dir)?;
    let (eyes, host) = set_stage(&home).await?;
    let narrator = Narrator::new();
    let mut child = start(&home).context("`watcher run` cannot be started")?;
    let outcome = tokio::select! {
        told = story::tell(&eyes, &narrator, host) => told.map(|()| Ending::Fine),
        ended = child.wait() => Err(anyhow::anyhow!("`watcher run` ended before the story did: {}", ended?)),
        _ = signals.next() => Ok(Ending::Interrupted),
    };
    let stopped = stop(&mut child).await;
    match outcome {
        Ok(Ending::Fine) => {
            stopped?;
            story::epilogue(&home)?;
            Ok(Ending::Fine)
        }
        Ok(ending) => {
            if is_ours {
                fs::remove_dir_all(&home.path)?;
            }
            Ok(ending)
        }
        Err(problem) => {
            let (log, home) = (last_lines(&home.path.join(NODE_LOG)), home.path.display());
            Err(anyhow::anyhow!("{problem:#}. The home is left in {home}; the node's last lines:\n{log}"))
        }
    }
}

fn home(folder: Option<PathBuf>) -> anyhow::Result<Home> {
    let path = match folder {
        None => tempfile::Builder::new().prefix("watcher-demo-").tempdir()?.keep(),
        Some(folder) => {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            if fs::read_dir(&folder)?.next().is_some() {
                bail!("--dir {} is not empty: name a new folder, or none", folder.display());
            }
            folder
        }
    };
    let path = fs::canonicalize(path)?;
    let backups = Some(path.clone());
    Ok(Home { backups, ..Home::plain(path, DAEMON.into()) })
}

/// The host of the release: it is there from the start, and answers once it is opened.
struct Host {
    listener: tokio::net::TcpListener,
    release: Release,
}

impl Host {
    fn open(self) {
        tokio::spawn(axum::serve(self.listener, self.release.router()).into_future());
    }
}

/// Makes the home of a node whose chain will vote for an upgrade, and a host that has the release.
async fn set_stage(home: &Home) -> anyhow::Result<(Eyes, Host)> {
    let program = std::env::current_exe().context("the path of this program cannot be told")?;
    Trailer::new("v1", &[]).install(&program, &home.executable(&home.root().join("genesis")))?;
    let release = home.path.join("release").join(format!("{DAEMON}-v2"));
    Trailer::new("v2", &["v2"]).install(&program, &release)?;
    let mut sum = Sha256::new();
    let size = io::copy(&mut File::open(&release)?, &mut sum)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/{DAEMON}-v2?checksum=sha256:{}", listener.local_addr()?, hex::encode(sum.finalize()));
    let host = Host { listener, release: Release { file: release, rate: size / DOWNLOAD_TIME } };
    let info = json!({"binaries": {home.platform.os_arch.clone(): url}}).to_string();
    let plan = Plan { name: "v2".into(), height: UPGRADE_AT, info };
    let chain = Chain::new("demo-1", BLOCK_TIME, vec![Proposal::upgrade(plan.clone(), PROPOSED_AT, VOTING_PERIOD)]);
    // Both are held until both are known, so that they are two.
    let (rpc, rest) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let addresses = Addresses { rpc: rpc.local_addr()?, rest: rest.local_addr()? };
    NodeHome::create(&home.path, &chain, addresses)?;
    Ok((Eyes::new(home.clone(), addresses, plan)?, host))
}

/// Starts `watcher run` as an operator would; what it says is on this terminal, what its node says is in a file. It ends
/// when this process does, and only this process passes Ctrl-C on to it.
fn start(home: &Home) -> io::Result<Child> {
    // The shell that the demo runs in may belong to an operator; and nothing here goes through a proxy.
    let unwanted = |name: &OsStr| {
        let name = name.to_string_lossy().to_ascii_uppercase();
        name.starts_with("DAEMON_") || name.starts_with("COSMOVISOR_") || name.ends_with("_PROXY")
    };
    Program::new(home, &std::env::current_exe()?, Signal::SIGTERM)
        .arguments(["run", "start", "--home"])
        .arguments([&home.path])
        .without(unwanted)
        .variable("DAEMON_HOME", &home.path)
        .variable("DAEMON_NAME", DAEMON)
        .variable("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true")
        .variable("UNSAFE_SKIP_BACKUP", "false")
        .variable("WATCHER_DOWNLOAD_JITTER", "0s")
        .printing_to(File::create(home.path.join(NODE_LOG))?)
        .in_its_own_group()
        .without_input()?
        .start()
}

/// Ends the child, and with it the node, in order.
async fn stop(child: &mut Child) -> anyhow::Result<()> {
    child.signal(Signal::SIGTERM);
    let Ok(exit) = tokio::time::timeout(STOP_LIMIT, child.wait()).await else {
        child.signal(Signal::SIGKILL);
        child.wait().await?;
        bail!("`watcher run` did not stop within {} s and was killed", STOP_LIMIT.as_secs());
    };
    match exit? {
        NodeExit::Code(0) => Ok(()),
        exit => bail!("`watcher run` was asked to stop and ended with {exit}"),
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
