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

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where to make the demo's home; a new folder is made where none is given. It is left there for a look.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
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
    format!("Variables:\n{}", config::variables::table())
}
