//! What each command does.

pub mod add_batch_upgrade;
pub mod add_upgrade;
pub mod backups;
pub mod check;
pub mod completions;
pub mod config;
pub mod demo;
pub mod fetch_history;
mod findings;
pub mod hold;
pub mod init;
pub mod migrate_check;
pub mod prepare_upgrade;
pub mod replace;
pub mod rollback;
pub mod run;
pub mod show_upgrade_info;
pub mod upcoming;
pub mod version;

use std::{
    ffi::OsString,
    future::Future,
    io::{self, IsTerminal as _},
    path::Path,
};

use clap::{CommandFactory as _, Parser as _};
use nix::sys::stat::{Mode, umask};
use tokio::runtime::Runtime;

use crate::{
    cli::{self, Cli, Command, Shared, cosmovisor},
    config::Config,
    exit::{Ending, Failure},
    home::backup::Means,
    log,
    persona::Persona,
};

/// Does what a command line says.
///
/// # Errors
/// Where it fails; a [`Failure`] says with which exit code.
pub fn answer(persona: Persona, arguments: &[OsString]) -> anyhow::Result<Ending> {
    if let Some(args) = cli::run_arguments(arguments) {
        return run::run(persona, args);
    }
    // Whoever calls may be root and careful: the service must be able to read what is made for it.
    let careful = umask(Mode::all());
    umask(careful & (Mode::S_IWGRP | Mode::S_IWOTH));
    match persona {
        Persona::Watcher => as_watcher(arguments),
        Persona::Cosmovisor => as_cosmovisor(arguments).map_err(|error| cosmovisor::with_usage(error, arguments)),
    }
}

fn as_watcher(arguments: &[OsString]) -> anyhow::Result<Ending> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // Help and version are asked for, and go to stdout. What clap would exit with means something else here.
        Err(told) => {
            let ending = if told.use_stderr() { Ending::Usage } else { Ending::Fine };
            // Nobody is left to be told where this cannot be written.
            let _ = told.print();
            return Ok(ending);
        }
    };
    let file = cli.global.file();
    match cli.command {
        Command::Shared(command) => shared(Persona::Watcher, file, command),
        Command::Demo(args) => demo::demo(args),
        Command::Upcoming(args) => upcoming::upcoming(args),
        Command::Check(args) => check::check(file, &args),
        Command::Hold(args) => hold::hold(file, &args),
        Command::Backups(args) => backups::backups(file, args),
        Command::Release(args) => hold::release(file, &args),
        Command::Rollback(args) => rollback::rollback(file, &args),
        Command::Resume => rollback::resume(file),
        Command::Replace(args) => replace::replace(file, &args),
        Command::MigrateCheck(args) => migrate_check::migrate_check(file, &args),
        Command::FetchHistory(args) => fetch_history::fetch_history(file, &args),
        Command::Completions(args) => completions::completions(Cli::command(), "completions", &args),
    }
}

fn as_cosmovisor(arguments: &[OsString]) -> anyhow::Result<Ending> {
    let cli = match cosmovisor::Cli::read(arguments) {
        Ok(cli) => cli,
        Err(told) if !told.use_stderr() => {
            let _ = told.print();
            return Ok(Ending::Fine);
        }
        Err(told) => return Err(Failure::usage(cosmovisor::refusal(&told, arguments))),
    };
    let file = cli.global.file();
    match cli.command {
        None => {
            let help = cosmovisor::command().render_long_help();
            say(Persona::Watcher, help.to_string())?;
            Ok(Ending::Fine)
        }
        Some(cosmovisor::Command::Completion(args)) => {
            completions::completions(cosmovisor::command(), "completion", &args)
        }
        Some(cosmovisor::Command::Shared(command)) => shared(Persona::Cosmovisor, file, command),
    }
}

fn shared(persona: Persona, file: Option<&Path>, command: Shared) -> anyhow::Result<Ending> {
    match command {
        Shared::Run(args) => run::run(persona, args.args),
        Shared::Init(args) => init::init(persona, &args),
        Shared::AddUpgrade(args) => add_upgrade::add_upgrade(persona, file, &args),
        Shared::AddBatchUpgrade(args) => add_batch_upgrade::add_batch_upgrade(persona, file, &args),
        Shared::PrepareUpgrade => prepare_upgrade::prepare_upgrade(persona, file),
        Shared::ShowUpgradeInfo => show_upgrade_info::show_upgrade_info(persona, file),
        Shared::Config(_) => config::config(persona, file),
        Shared::Version(args) => version::version(persona, &args),
    }
}

/// The configuration, and log lines as it wants them.
fn configured(persona: Persona, file: Option<&Path>) -> anyhow::Result<Config> {
    let mut config = crate::config::load(file).map_err(|mut error| {
        // The words are cosmovisor's, and name neither the variable nor what is to be done.
        for line in error.0.iter_mut().filter(|line| persona == Persona::Watcher && line.contains("valid directory")) {
            line.push_str(" (DAEMON_DATA_BACKUP_DIR: mount its disk, make the folder or name another)");
        }
        Failure::usage(error)
    })?;
    (config.persona, config.program) = (persona, persona.program());
    if persona == Persona::Cosmovisor && config.values.text("WATCHER_BACKUP").is_none() {
        config.home.manner.means = Means::Copy;
    }
    log::start(persona, &config.logs);
    Ok(config)
}

/// Warns of names that were meant for this program and that it does not know.
fn warn_of_unknown(config: &Config) {
    for advice in &config.unknown {
        tracing::warn!("{advice}");
    }
}

/// Writes to stdout, or to stderr as cosmovisor does. A reader that has gone has read enough.
fn say(persona: Persona, text: impl AsRef<[u8]>) -> io::Result<()> {
    let write = |out: &mut dyn io::Write| out.write_all(text.as_ref()).and_then(|()| out.flush());
    let written = match persona {
        Persona::Watcher => write(&mut io::stdout()),
        Persona::Cosmovisor => write(&mut io::stderr()),
    };
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Says a line, as the last thing or before more is done.
fn tell(text: &str) -> anyhow::Result<Ending> {
    say(Persona::Watcher, format!("{text}\n"))?;
    Ok(Ending::Fine)
}

/// Asks whoever sits at the terminal.
fn is_wanted() -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("nobody can be asked: say --yes where that is what you want"));
    }
    say(Persona::Watcher, "Do it? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What work runs on that waits for others. Commands that answer at once do without.
///
/// There is one thread: a child is told of our end by the end of the thread that started it, and that must be this one.
fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Waits for such work.
fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = runtime()?;
    let result = runtime.block_on(work);
    // Threads that wait for a slow disk or network must not hold up the end.
    runtime.shutdown_background();
    result
}
