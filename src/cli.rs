//! The command line: types only.

use std::{ffi::OsString, path::PathBuf};

use crate::config;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Carries a Cosmos SDK node through its software upgrades.
///
/// `watcher run` starts the node, listens to governance, stages the binary of a scheduled upgrade before the halt, and
/// swaps it in at the halt. It takes cosmovisor's variables and folders as they are.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = "Try it: `watcher demo` shows a whole upgrade on an embedded chain in half a minute."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the node, and carry it through every upgrade.
    ///
    /// Everything behind `run` goes to the node as it is; only `--dry-run`, as the first word, is meant for `watcher`: it
    /// tells what would be done with this home and environment, and touches nothing.
    ///
    /// The configuration comes from the environment.
    #[command(disable_help_flag = true, after_long_help = variables())]
    Run(RunArgs),
    /// Show a whole upgrade on an embedded chain, in half a minute and without a network.
    Demo(DemoArgs),
    /// Show which upgrades are coming.
    Upcoming(UpcomingArgs),
    /// Hold an upgrade, or all: it is staged and not swapped in. Without a name: show what is held.
    Hold(HoldArgs),
    /// Take a hold back.
    Release(ReleaseArgs),
    /// Replace the binary of an upgrade under the same name, as for a hotfix.
    ///
    /// The new file is checked and copied first. Where that version runs, the running `watcher` then restarts its node
    /// once, gracefully. The old file is kept in `cosmovisor/watcher/aside`.
    Replace(ReplaceArgs),
    /// Look at a home and the unit file of cosmovisor before moving over, and change nothing.
    ///
    /// Ends with 0 where nothing is in the way, and with 2 where something would break the move.
    MigrateCheck(MigrateCheckArgs),
    /// Stage the binary of every upgrade that the chain has gone through, for a node that starts from genesis.
    ///
    /// The home comes from `DAEMON_HOME` and `DAEMON_NAME`, as for `run`. Whatever is staged already stays as it is.
    FetchHistory(FetchHistoryArgs),
}

/// Arguments of `hold`.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// The upgrade's name, or `all`.
    #[arg(value_name = "NAME|all")]
    pub name: Option<String>,
    /// Why, for whoever reads the alarm.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Arguments of `release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The upgrade's name, or `all`.
    #[arg(value_name = "NAME|all")]
    pub name: String,
}

/// Arguments of `replace`.
#[derive(Debug, Args)]
pub struct ReplaceArgs {
    /// The upgrade's name, or `genesis`.
    pub name: String,
    /// The new executable.
    #[arg(value_name = "EXE")]
    pub executable: PathBuf,
    /// Restart the node with it at this height.
    #[arg(long, value_name = "HEIGHT", conflicts_with = "now")]
    pub at: Option<u64>,
    /// Restart the node with it now.
    #[arg(long)]
    pub now: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The node's arguments, verbatim.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub args: Vec<OsString>,
}

/// Arguments of `upcoming`.
#[derive(Debug, Args)]
pub struct UpcomingArgs {
    /// A CometBFT RPC endpoint, for example `https://rpc.example.org`. Repeatable.
    #[arg(long, value_name = "URL")]
    pub rpc: Vec<String>,
    /// A REST (API) endpoint, for example `https://api.example.org`. Repeatable.
    #[arg(long, value_name = "URL")]
    pub rest: Vec<String>,
    /// The home whose node is asked where no endpoint is given.
    #[arg(long, value_name = "DIR", env = "DAEMON_HOME")]
    pub home: Option<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Arguments of `migrate-check`.
#[derive(Debug, Args)]
pub struct MigrateCheckArgs {
    /// The systemd unit file whose environment is looked at in the place of this one's, then its drop-ins. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub unit: Vec<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where to make the demo's home; a new folder is made where none is given. It is left there for a look.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Arguments of `fetch-history`.
#[derive(Debug, Args)]
pub struct FetchHistoryArgs {
    /// A CometBFT RPC endpoint of a node that has the whole chain behind it. Repeatable. Where no endpoint is given, the
    /// home's own node and those of `WATCHER_RPC` and `WATCHER_REST` are asked.
    #[arg(long, value_name = "URL")]
    pub rpc: Vec<String>,
    /// A REST (API) endpoint of such a node. Repeatable.
    #[arg(long, value_name = "URL")]
    pub rest: Vec<String>,
    /// Tell what would be fetched, and touch nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// How something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

fn variables() -> String {
    format!("Variables:\n{}", config::table())
}
