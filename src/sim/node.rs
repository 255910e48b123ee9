//! The program that a copy of this executable with a trailer is: a node with the few commands that a supervisor needs.
//! What it logs is what people know from real nodes, on stdout as the SDK does.

use std::{future::Future, io::Write, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::{
    chain::Halt,
    home::Home,
    server::{self, Site},
    trailer::Trailer,
};
use crate::{exit::Ending, http::own_node_client};

/// How long `status` waits for the node.
const STATUS_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Parser)]
#[command(name = "demod", about = "The embedded node of `watcher demo`")]
struct Arguments {
    /// The node's folder; `DAEMON_HOME` where it is not given
    #[arg(long, global = true)]
    home: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node
    Start,
    /// Ask the running node for its status
    Status,
    /// Print the version
    Version,
    /// Prepare the home for this version
    PreUpgrade,
}

/// Runs the node's program with the arguments of this process.
#[must_use]
pub fn main(trailer: &Trailer) -> Ending {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Version => say(&trailer.version),
        Command::PreUpgrade => Ok(()),
        Command::Start => with_home(arguments.home, async |home| run(&home, trailer, stop_signal()?).await),
        Command::Status => with_home(arguments.home, async |home| say(&status(&home).await?)),
    };
    match outcome {
        Ok(()) => Ending::Fine,
        Err(problem) => {
            // Nothing is left to be done where even stderr is gone.
            let _ = writeln!(std::io::stderr(), "Error: {problem:#}");
            Ending::Failed
        }
    }
}

/// Runs a node until `stop`: applies the block that was saved and not yet applied, then listens, then makes blocks. Where
/// a plan is due that this node cannot apply, it stays up and makes no more blocks, as real nodes do.
///
/// # Errors
/// Where the home cannot be read or written, an address is taken, another node runs on this home, or the application
/// refuses a block for good: at the start, or because the binary came too early or too late ([`Halt`]).
pub async fn run(home: &Home, trailer: &Trailer, stop: impl Future<Output = ()>) -> Result<()> {
    let _lock = home.lock()?;
    let (chain, addresses) = (home.chain()?, home.addresses()?);
    log("INF", &format!("starting node version={} height={} module=server", trailer.version, chain.committed));
    let (block_time, interrupted) = (Duration::from_millis(chain.block_time.max(1)), chain.saved > chain.committed);
    let site = Arc::new(Site::new(chain, &trailer.version, home.public_key()?, addresses));
    if interrupted {
        apply(home, trailer, &site).context("error on replay")?;
    }
    let mut servers = JoinSet::new();
    for (address, router) in [(addresses.rpc, server::rpc(site.clone())), (addresses.rest, server::rest(site.clone()))]
    {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        servers.spawn(axum::serve(listener, router).into_future());
    }
    let mut beat = tokio::time::interval_at(Instant::now() + block_time, block_time);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = beat.tick() => {}
        }
        site.change(|chain| chain.save(now()));
        home.store(&site.chain())?;
        if let Err(problem) = apply(home, trailer, &site) {
            log("ERR", &format!("CONSENSUS FAILURE!!! err={:?} module=consensus", problem.to_string()));
            let Some(Halt::Needed(_)) = problem.downcast_ref() else { return Err(problem) };
            stop.as_mut().await;
            break;
        }
    }
    log("INF", "caught signal, exiting module=server");
    Ok(())
}

/// Applies the saved block, and leaves on disk what the outcome leaves there.
fn apply(home: &Home, trailer: &Trailer, site: &Site) -> Result<()> {
    let outcome = site.change(|chain| chain.apply(&trailer.handlers));
    match outcome {
        Ok(applied) => {
            let height = site.chain().committed;
            if let Some(plan) = applied {
                log("INF", &format!("applying upgrade {:?} at height: {height} module=x/upgrade", plan.name));
            }
            log("INF", &format!("committed state height={height} module=state"));
            home.store(&site.chain())
        }
        Err(halt) => {
            if let Halt::Needed(plan) = &halt {
                home.dump_upgrade_info(plan)?;
            }
            log("ERR", &format!("{halt} module=x/upgrade"));
            Err(halt.into())
        }
    }
}

/// What `status` prints: the node's own answer, as the SDK's command does.
async fn status(home: &Home) -> Result<String> {
    let rpc = home.addresses()?.rpc;
    let answer = own_node_client(STATUS_LIMIT)?.get(format!("http://{rpc}/status")).send().await;
    let body = answer.with_context(|| format!("the node does not answer on {rpc}"))?.bytes().await?;
    Ok(serde_json::from_slice::<Value>(&body)?["result"].to_string())
}

fn with_home(home: Option<PathBuf>, work: impl AsyncFnOnce(Home) -> Result<()>) -> Result<()> {
    let root = home.or_else(|| std::env::var_os("DAEMON_HOME").map(PathBuf::from));
    let root = root.context("no home is named: give --home, or set DAEMON_HOME")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work(Home::at(&root)))
}

fn stop_signal() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Milliseconds since the Unix epoch.
fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

fn log(level: &str, text: &str) {
    // A log that cannot be written does not stop a node.
    let _ = say(&format!("{:.3} {level} {text}", Timestamp::now()));
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
