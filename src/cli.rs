//! The command line: types, and which words are the node's.
//!
//! A new command is a variant of [`Command`], its arguments, a file under `commands/` and a line in `commands.rs`.

pub mod cosmovisor;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::RangedU64ValueParser};
use clap_complete::Shell;

use crate::config::variables;

/// Carries a Cosmos SDK node through its software upgrades.
///
/// `watcher run` starts the node, listens to governance, stages the binary of a scheduled upgrade before the halt, and
/// swaps it in at the halt. It takes cosmovisor's commands, variables and folders as they are; started under the name
/// `cosmovisor` it is a drop-in for it.
#[derive(Debug, Parser)]
#[command(
    name = "watcher",
    version,
    about,
    max_term_width = 100,
    after_help = "Try it: `watcher demo` shows a whole upgrade on an embedded chain in half a minute."
)]
pub struct Cli {
    /// What all commands take.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Arguments before or behind the command.
#[derive(Debug, Args)]
pub struct Global {
    /// Path to a configuration file (TOML, JSON or YAML) with variables in lower case; the environment wins over it.
    ///
    /// For the commands that work on a home, but `init` and `version`; for `check` it says how `run` would work on that home,
    /// and not what is asked. `run` knows only the long form, as two words.
    #[arg(short = 'c', long, global = true, value_name = "FILE", allow_hyphen_values = true)]
    #[arg(overrides_with = "cosmovisor_config")]
    cosmovisor_config: Option<OsString>,
}

impl Global {
    /// The configuration file. An empty name is none, as in cosmovisor, and so it is wherever [`OsString`] stands for a path.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.cosmovisor_config.as_deref().filter(|file| !file.is_empty()).map(Path::new)
    }
}

/// The commands of `watcher`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Those that it shares with cosmovisor.
    #[command(flatten)]
    Shared(Shared),
    /// Show a whole upgrade on an embedded chain, in half a minute and without a network.
    #[command(after_help = "Example:\n  watcher demo --dir ./demo-home")]
    Demo(DemoArgs),
    /// Show which upgrades are coming.
    #[command(after_help = "Examples:\n  watcher upcoming --rpc https://rpc.example.org\n  \
                            watcher upcoming --home /var/lib/gaia --format json")]
    Upcoming(UpcomingArgs),
    /// Tell whether an upgrade is going to work: on a chain, or by a plan's info before it is proposed.
    ///
    /// Ends with 0 where nothing is in the way, with 2 where something would break the upgrade, with 3 where it cannot be told:
    /// no endpoint answered, or the host of a binary could not be asked now.
    ///
    /// A lone endpoint is taken at its word, also where it is not your own node: nobody else vouches for what it says (`claimed`),
    /// and what it calls scheduled is fetched wherever that leads, private networks and `http_proxy` included. Name a second one,
    /// or a block that is trusted (`WATCHER_TRUST_HEIGHT`, `WATCHER_TRUST_HASH`), and it is held against that.
    #[command(
        after_help = "Examples:\n  watcher check --rpc https://rpc.example.org --daemon-name gaiad --os-arch linux/amd64\n  \
                            watcher check --info-file proposal.json --daemon-name gaiad --format github\n  \
                            watcher check --home /var/lib/gaia --daemon-name gaiad --offline"
    )]
    Check(CheckArgs),
    /// Hold an upgrade, or all: it is staged and not swapped in. Without a name: show what is held.
    #[command(after_help = "Example:\n  watcher hold v2 --reason \"waiting for the fix of v2.0.1\"")]
    Hold(HoldArgs),
    /// Take a hold back.
    #[command(after_help = "Example:\n  watcher release v2")]
    Release(ReleaseArgs),
    /// Take the last upgrade back: data, configuration and `current` as they were before it. No node is started after that.
    ///
    /// What it will do is told first, and asked for where somebody sits at a terminal. A running `watcher` does it, stopping
    /// the node; without one, the next start. Nothing is deleted.
    #[command(after_help = "Example:\n  watcher rollback --yes")]
    Rollback(RollbackArgs),
    /// Go on with an upgrade that failed, as it is: held, or taken back.
    #[command(after_help = "Example:\n  watcher resume")]
    Resume,
    /// Look after the backups: list, verify, restore, prune.
    #[command(after_help = "Examples:\n  watcher backups list\n  watcher backups restore data-backup-2026-1-5")]
    Backups(BackupArgs),
    /// Replace the binary of an upgrade under the same name, as for a hotfix.
    ///
    /// The new file is checked and copied first. Where that version runs, the running `watcher` then restarts its node
    /// once, gracefully. The old file is kept in `cosmovisor/watcher/aside`.
    #[command(after_help = "Examples:\n  watcher replace v2 ./gaiad-v2.0.1 --now\n  \
                            watcher replace v2 ./gaiad-v2.0.1 --at 500000")]
    Replace(ReplaceArgs),
    /// Look at a home and the unit file of cosmovisor before moving over, and change nothing.
    ///
    /// Ends with 0 where nothing is in the way, and with 2 where something would break the move.
    #[command(after_help = "Example:\n  watcher migrate-check --unit /etc/systemd/system/gaiad.service")]
    MigrateCheck(MigrateCheckArgs),
    /// Stage the binary of every upgrade that the chain has gone through, for a node that starts from genesis.
    ///
    /// The home comes from `DAEMON_HOME` and `DAEMON_NAME`, as for `run`. Whatever is staged already stays as it is.
    #[command(after_help = "Example:\n  watcher fetch-history --rpc https://rpc.example.org --dry-run")]
    FetchHistory(FetchHistoryArgs),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  watcher completions bash > /etc/bash_completion.d/watcher")]
    Completions(CompletionArgs),
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

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `backups`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BackupCommand,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    pub format: Format,
}

/// What can be done with backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Show each backup: of which upgrade it is, what it holds, and what it alone holds.
    List {
        /// Rehearse the next one beside the running node, and show what it would cost.
        #[arg(long)]
        next: bool,
    },
    /// Look whether a backup is still what it was when it was made. Ends with 1 where one is not.
    Verify {
        /// Its name or path; every backup where none is given.
        name: Option<String>,
    },
    /// Bring a backup back, all of it or nothing; what was there is renamed, and the signing state never goes back.
    Restore {
        /// Its name or path; the newest where none is given.
        name: Option<String>,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Remove the checkpoints of upgrades that have passed, beyond `WATCHER_BACKUP_KEEP`, or the backups that are named.
    Prune {
        /// Names or paths of backups to remove, whatever they are.
        names: Vec<String>,
        /// Also the last one from before an upgrade that has not passed.
        #[arg(long, requires = "names")]
        force: bool,
    },
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

/// The commands that cosmovisor has.
#[derive(Debug, Subcommand)]
pub enum Shared {
    /// Run the node, and carry it through every upgrade.
    ///
    /// Everything behind `run` goes to the node as it is. Meant for `watcher` are `--cosmovisor-config FILE`, anywhere, and,
    /// as the first word, `--dry-run`: it tells what would be done with this home and environment, and touches nothing. It ends
    /// with 1 where `run` could not start the node, as where its binary is missing, and with 0 else, whether or not anybody
    /// answers what is coming; for that there are `upcoming` and `check`.
    ///
    /// The configuration comes from the environment, then from the file.
    #[command(disable_help_flag = true, after_help = "Example:\n  watcher run start --home /var/lib/gaia")]
    #[command(after_long_help = variables_help())]
    Run(RunArgs),
    /// Make the folders of a home: `genesis` with this executable, `current`, and a `config.toml`.
    #[command(after_help = "Example:\n  DAEMON_HOME=/var/lib/gaia DAEMON_NAME=gaiad watcher init ./gaiad")]
    Init(InitArgs),
    /// Place an executable for an upgrade; it is used as it is.
    #[command(after_help = "Examples:\n  watcher add-upgrade v2 ./gaiad-v2\n  \
                            watcher add-upgrade v2 ./gaiad-v2 --upgrade-height 500000")]
    AddUpgrade(AddUpgradeArgs),
    /// Place executables for several upgrades that happen at given heights, one after the other.
    #[command(
        after_help = "Example:\n  watcher add-batch-upgrade --upgrade-list v2:./gaiad-v2:500000,v3:./gaiad-v3:600000"
    )]
    AddBatchUpgrade(AddBatchUpgradeArgs),
    /// Fetch, verify and stage the binary of the scheduled upgrade now.
    ///
    /// The plan is asked for over RPC and REST: at the node's own addresses, or at those of `WATCHER_RPC` and `WATCHER_REST`.
    #[command(after_help = "Example:\n  WATCHER_RPC=https://rpc.example.org watcher prepare-upgrade")]
    PrepareUpgrade,
    /// Print the node's `upgrade-info.json`.
    #[command(after_help = "Example:\n  watcher show-upgrade-info")]
    ShowUpgradeInfo,
    /// Print the configuration, each value with where it came from.
    #[command(after_help = "Example:\n  watcher config --cosmovisor-config /var/lib/gaia/cosmovisor/config.toml")]
    Config(Ignored),
    /// Print the versions of `watcher` and of the current binary.
    #[command(after_help = "Example:\n  watcher version -o json")]
    Version(VersionArgs),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The node's arguments, verbatim.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub args: Vec<OsString>,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The node's executable.
    #[arg(value_name = "EXECUTABLE")]
    pub executable: OsString,
}

/// Arguments of `add-upgrade`.
#[derive(Debug, Args)]
pub struct AddUpgradeArgs {
    /// The upgrade's name, as in the plan.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Its executable.
    #[arg(value_name = "EXECUTABLE")]
    pub executable: OsString,
    /// Replace what is there.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = flag, value_name = "BOOL", overrides_with = "force", hide_default_value = true)]
    #[arg(action = clap::ArgAction::Set)]
    pub force: bool,
    /// Switch once the node has reached this height, without a vote.
    #[arg(long, value_name = "HEIGHT", allow_hyphen_values = true, overrides_with = "upgrade_height")]
    pub upgrade_height: Option<i64>,
    /// Switch before this height is executed: the node is restarted once, shortly before but not within a hundred blocks of
    /// it, so that the old binary stops there.
    #[arg(long, requires = "upgrade_height")]
    pub exact: bool,
}

/// Arguments of `add-batch-upgrade`.
#[derive(Debug, Args)]
pub struct AddBatchUpgradeArgs {
    /// A CSV file without a header: name, path of the executable, height.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true, conflicts_with = "upgrade_list")]
    #[arg(overrides_with = "upgrade_file")]
    pub upgrade_file: Option<OsString>,
    /// The upgrades: NAME:EXECUTABLE:HEIGHT, comma separated.
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_hyphen_values = true)]
    pub upgrade_list: Vec<String>,
}

/// Arguments of `version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// How to print it: text or json.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", allow_hyphen_values = true)]
    #[arg(overrides_with = "output")]
    pub output: String,
    /// Leave out the node's version.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = flag, value_name = "BOOL", overrides_with = "cosmovisor_only", hide_default_value = true)]
    #[arg(action = clap::ArgAction::Set)]
    pub cosmovisor_only: bool,
    /// More arguments for the node's `version`.
    #[arg(value_name = "ARGS")]
    pub args: Vec<OsString>,
}

/// Words that mean nothing.
#[derive(Debug, Args)]
pub struct Ignored {
    /// cosmovisor does not mind them, so scripts may have them.
    #[arg(hide = true)]
    pub words: Vec<OsString>,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// Which shell.
    pub shell: Option<Shell>,
    /// cosmovisor's; the scripts have no descriptions that could be left out.
    #[arg(long, hide = true)]
    pub no_descriptions: bool,
}

/// Arguments of `upcoming`.
#[derive(Debug, Args)]
pub struct UpcomingArgs {
    /// A CometBFT RPC endpoint, for example `https://rpc.example.org`. Repeatable; else those of `WATCHER_RPC`.
    #[arg(long, value_name = "URL")]
    pub rpc: Vec<String>,
    /// A REST (API) endpoint, for example `https://api.example.org`. Repeatable; else those of `WATCHER_REST`.
    #[arg(long, value_name = "URL")]
    pub rest: Vec<String>,
    /// The home whose node is asked, beside those of the environment, where no endpoint is given.
    #[arg(long, value_name = "DIR", env = "DAEMON_HOME")]
    pub home: Option<PathBuf>,
    /// How many endpoints must say the same for it to be shown as agreed; at least two are needed in any case.
    #[arg(long, value_name = "NUMBER", env = "WATCHER_QUORUM", default_value_t = 1, value_parser = at_least_one())]
    pub quorum: usize,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A CometBFT RPC endpoint, for example `https://rpc.example.org`. Repeatable; several are held against each other.
    #[arg(long, value_name = "URL", env = "WATCHER_RPC", hide_env_values = true, value_delimiter = ',')]
    pub rpc: Vec<String>,
    /// A REST (API) endpoint, for example `https://api.example.org`. Repeatable.
    #[arg(long, value_name = "URL", env = "WATCHER_REST", hide_env_values = true, value_delimiter = ',')]
    pub rest: Vec<String>,
    /// The home of a node: its node is asked as well, and what is staged there, its disk and its configuration are looked at.
    #[arg(long, value_name = "DIR", env = "DAEMON_HOME")]
    pub home: Option<PathBuf>,
    /// A plan's info, a plan, or a draft of a proposal with plans in it, in place of what the chain has; `-` is stdin.
    #[arg(long, value_name = "FILE|-")]
    pub info_file: Option<PathBuf>,
    /// The upgrade's name: of those on the chain only these are looked at; with an info, what it will be called.
    #[arg(long)]
    pub name: Option<String>,
    /// The upgrade's height, likewise.
    #[arg(long)]
    pub height: Option<u64>,
    /// A platform that must have a binary, in Go's words: `linux/amd64`. Repeatable; this machine's where none is given.
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    pub os_arch: Vec<String>,
    /// What the executable is called.
    #[arg(long, value_name = "NAME", env = "DAEMON_NAME")]
    pub daemon_name: Option<String>,
    /// Fetch no binaries: look at what can be told without.
    #[arg(long)]
    pub offline: bool,
    /// Fetch from private networks and this machine, and by way of `http_proxy`, also for a plan that is only proposed.
    #[arg(long)]
    pub allow_private: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    pub format: CheckFormat,
}

/// How `check` prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people.
    Text,
    /// For scripts.
    Json,
    /// Annotations of a GitHub workflow.
    Github,
    /// `JUnit`'s XML.
    Junit,
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

/// The words for the node, where the command is `run`: all behind it, and the flags before it, as cosmovisor passes them on.
/// No parser may touch them.
#[must_use]
pub fn run_arguments(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let place = place_of_command(arguments).filter(|place| arguments[*place] == "run")?;
    Some([&arguments[1..place], &arguments[place + 1..]].concat())
}

/// Where the command stands: the first word behind the program that is neither a flag nor a flag's value.
fn place_of_command(arguments: &[OsString]) -> Option<usize> {
    let mut place = 1;
    while let Some(argument) = arguments.get(place) {
        match argument.to_str().unwrap_or_default() {
            "--" => return None,
            "-h" | "--help" => place += 1,
            long if long.starts_with("--") && !long.contains('=') => place += 2,
            short if short.starts_with('-') && short.len() == 2 => place += 2,
            flag if flag.starts_with('-') => place += 1,
            _ => return Some(place),
        }
    }
    None
}

/// A platform in Go's words.
fn platform(text: &str) -> Result<String, String> {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match text.split_once('/') {
        Some((os, arch)) if is_word(os) && is_word(arch) => Ok(text.to_owned()),
        _ => Err("write it as os/arch, for example linux/amd64".to_owned()),
    }
}

/// A flag's value in Go's words.
fn flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing \"{text}\": invalid syntax")),
    }
}

fn variables_help() -> String {
    format!("Example:\n  watcher run start --home /var/lib/gaia\n\nVariables:\n{}", variables::table())
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_lines_are_well_formed() {
        Cli::command().debug_assert();
        cosmovisor::Cli::command().debug_assert();
    }

    #[test]
    fn what_stands_before_run_goes_to_the_node_too() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (line, expected) in [
            ("w run start --help", Some("start --help")),
            ("w --cosmovisor-config f run start", Some("--cosmovisor-config f start")),
            ("w -c f run start", Some("-c f start")),
            ("w --cosmovisor-config=f run start", Some("--cosmovisor-config=f start")),
            ("w config run", None),
            ("w --cosmovisor-config run", None),
            ("w help run", None),
        ] {
            assert_eq!(run_arguments(&words(line)), expected.map(words), "{line}");
        }
        assert_eq!(run_arguments(&words("w run")), Some(Vec::new()));
    }
}
