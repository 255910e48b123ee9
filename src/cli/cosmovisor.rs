//! The command line under the name `cosmovisor`: its commands alone, and its words for what is wrong with one.

use std::ffi::OsString;

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{CompletionArgs, Global, Shared, place_of_command};
use crate::config::value::not_a_number;

/// A process manager for Cosmos SDK nodes: runs the node and carries it through its software upgrades.
#[derive(Debug, Parser)]
#[command(name = "cosmovisor", bin_name = "cosmovisor", max_term_width = 100)]
pub struct Cli {
    /// What all commands take.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Those that do something.
    #[command(flatten)]
    Shared(Shared),
    /// Print a completion script for a shell.
    Completion(CompletionArgs),
}

impl Cli {
    /// Reads a command line.
    ///
    /// # Errors
    /// As clap says it: help that was asked for, and what [`refusal`] puts into other words.
    pub fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        Self::from_arg_matches(&command().try_get_matches_from(arguments)?)
    }
}

/// The command line as help and completions describe it.
#[must_use]
pub fn command() -> clap::Command {
    let renamed = |command: clap::Command| {
        let examples = |help: Option<&StyledStr>| {
            let help = help?.to_string();
            let (examples, rest) = help.split_at(help.find("Variables:").unwrap_or(help.len()));
            Some(examples.replace(" watcher ", " cosmovisor ") + rest)
        };
        let short = examples(command.get_after_help()).unwrap_or_default();
        let long = examples(command.get_after_long_help()).unwrap_or_else(|| short.clone());
        command.after_help(short).after_long_help(long)
    };
    let alone = |add: clap::Command| add.mut_arg("exact", |exact| exact.hide(true));
    let values = |config: clap::Command| config.about("Print the configuration");
    let cli = Cli::command().mut_subcommands(renamed).mut_subcommand("add-upgrade", alone);
    cli.mut_subcommand("config", values).mut_subcommand("run", |run| {
        run.long_about(
            "Run the node, and carry it through every upgrade\n\nEverything behind `run` goes to the node as it is, but for \
             `--cosmovisor-config FILE`, which may stand anywhere.",
        )
    })
}

/// What cosmovisor says of a command line that it refuses.
#[must_use]
pub fn refusal(told: &clap::Error, arguments: &[OsString]) -> String {
    let word = |kind| match told.get(kind) {
        Some(ContextValue::String(word)) => word.clone(),
        Some(ContextValue::Strings(words)) => words.join(" "),
        _ => String::new(),
    };
    let command = command_in(arguments);
    // clap writes a flag together with what it takes.
    let argument = word(ContextKind::InvalidArg);
    let flag = argument.split([' ', '=', '[']).next().unwrap_or_default();
    let unknown = |word: &str| format!("unknown command {word:?} for {:?}", format!("cosmovisor {command}").trim_end());
    match told.kind() {
        // It is none here, whatever else is wrong.
        _ if arguments.iter().any(|argument| argument == "--exact") => "unknown flag: --exact".to_owned(),
        ErrorKind::InvalidSubcommand => {
            let word = word(ContextKind::InvalidSubcommand);
            format!("unknown command {word:?} for \"cosmovisor\"\nRun 'cosmovisor --help' for usage.")
        }
        ErrorKind::UnknownArgument if flag.starts_with("--") => format!("unknown flag: {flag}"),
        ErrorKind::UnknownArgument if flag.starts_with('-') => {
            let letter: String = flag.chars().skip(1).take(1).collect();
            format!("unknown shorthand flag: '{letter}' in {flag}")
        }
        ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument => match expected(command) {
            Some(expected) => format!("accepts {expected} arg(s), received {}", positionals(arguments)),
            None => unknown(&argument),
        },
        ErrorKind::ArgumentConflict => {
            "if any flags in the group [upgrade-file upgrade-list] are set none of the others can \
                                        be; [upgrade-file upgrade-list] were all set"
                .to_owned()
        }
        ErrorKind::InvalidValue if word(ContextKind::InvalidValue).is_empty() => {
            format!("flag needs an argument: {flag}")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if flag.is_empty() => {
            unknown(&word(ContextKind::InvalidValue))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = word(ContextKind::InvalidValue);
            let (parser, why) = match (flag, value.parse::<i64>()) {
                ("--upgrade-height", Err(error)) => ("ParseInt", not_a_number(&error)),
                _ => ("ParseBool", "invalid syntax"),
            };
            format!("invalid argument {value:?} for {flag:?} flag: strconv.{parser}: parsing {value:?}: {why}")
        }
        _ => told.to_string().trim_start_matches("error: ").trim_end().to_owned(),
    }
}

/// An error as it is told: two commands say how they are used behind each of theirs.
#[must_use]
pub fn with_usage(error: anyhow::Error, arguments: &[OsString]) -> anyhow::Error {
    let name = command_in(arguments);
    if !["prepare-upgrade", "show-upgrade-info"].contains(&name) {
        return error;
    }
    let mut cli = command();
    cli.build();
    let usage = cli.find_subcommand_mut(name).map(|command| command.render_usage().to_string());
    anyhow::anyhow!("{error:#}\n{}\n", usage.unwrap_or_default())
}

fn command_in(arguments: &[OsString]) -> &str {
    place_of_command(arguments).and_then(|place| arguments[place].to_str()).unwrap_or_default()
}

/// How many words a command takes, where the number is fixed and not 0.
fn expected(command: &str) -> Option<usize> {
    match command {
        "init" => Some(1),
        "add-upgrade" => Some(2),
        _ => None,
    }
}

/// How many words there are behind the command that are neither flags nor their values.
fn positionals(arguments: &[OsString]) -> usize {
    let behind = place_of_command(arguments).map_or(arguments.len(), |place| place + 1);
    let mut words = arguments[behind..].iter().map(|word| word.to_string_lossy());
    let mut count = 0;
    while let Some(word) = words.next() {
        if ["--upgrade-height", "--cosmovisor-config", "-c"].contains(&word.as_ref()) {
            words.next();
        } else if !word.starts_with('-') {
            count += 1;
        }
    }
    count
}
