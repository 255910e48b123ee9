//! The `watcher` command.

use std::{ffi::OsString, io::Write as _, process};

use clap::Parser as _;
use watcher::{
    cli::{Cli, Command},
    commands,
    exit::Ending,
    sim::{self, trailer::Trailer},
};

fn main() {
    // A copy of this program with a trailer is the node of `watcher demo`, and nothing else.
    if let Some(trailer) = Trailer::own() {
        leave(sim::node::main(&trailer));
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    logging();
    // One thread: a child is told of our end by the end of the thread that started it, and that must be this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ending = match runtime {
        Ok(runtime) => runtime.block_on(answer(arguments)),
        Err(error) => Err(error.into()),
    };
    let ending = ending.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "Error: {error:#}");
        Ending::Failed
    });
    leave(ending);
}

async fn answer(arguments: Vec<OsString>) -> anyhow::Result<Ending> {
    // What stands behind `run` is the node's, to the letter: no parser may touch it.
    if arguments.get(1).is_some_and(|command| command == "run") {
        return commands::run::run(arguments[2..].to_vec()).await;
    }
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
    match cli.command {
        Command::Run(args) => commands::run::run(args.args).await,
        Command::Demo(args) => commands::demo::demo(args).await,
        Command::MigrateCheck(args) => commands::migrate_check::migrate_check(&args),
        Command::Upcoming(args) => commands::upcoming::upcoming(args).await,
        Command::Hold(args) => commands::hold::hold(&args),
        Command::Release(args) => commands::hold::release(&args),
        Command::Replace(args) => commands::replace::replace(&args),
        Command::FetchHistory(args) => commands::fetch_history::fetch_history(args).await,
    }
}

/// Log lines go to stderr: stdout belongs to the node.
fn logging() {
    let filter = std::env::var("WATCHER_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = filter.and_then(|filter| filter.parse::<tracing_subscriber::EnvFilter>().ok());
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|| tracing_subscriber::EnvFilter::new("watcher=info,warn")))
        .with_writer(|| watcher::supervisor::progress::Stderr)
        .with_target(false)
        // A log that cannot be written must not end the program: its node would go with it.
        .log_internal_errors(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none())
        .init();
}

/// Leaves at once: by now the node is reaped, and nothing else is worth waiting for.
#[expect(clippy::exit, reason = "threads that wait for a slow disk or network must not hold up the end")]
fn leave(ending: Ending) -> ! {
    process::exit(ending.code().into())
}
