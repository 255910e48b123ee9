//! The `watcher` command.

use std::{ffi::OsString, io::Write as _, process};

use clap::Parser as _;
use watcher::{
    cli::{Cli, Command},
    commands,
    exit::{Ending, Failure},
    persona::Persona,
    sim::{self, trailer::Trailer},
};

fn main() {
    // A copy of this program with a trailer is the node of `watcher demo`, and nothing else.
    if let Some(trailer) = Trailer::own() {
        leave(sim::node::main(&trailer).code());
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let persona = Persona::of(&arguments);
    let ending = answer(persona, arguments).unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "Error: {error:#}");
        error.downcast_ref::<Failure>().map_or(Ending::Failed, |failure| failure.ending)
    });
    leave(persona.code(ending));
}

fn answer(persona: Persona, arguments: Vec<OsString>) -> anyhow::Result<Ending> {
    // What stands behind `run` is the node's, to the letter: no parser may touch it.
    if arguments.get(1).is_some_and(|command| command == "run") {
        return commands::run::run(persona, arguments[2..].to_vec());
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
        Command::Run(args) => commands::run::run(persona, args.args),
        Command::Demo(args) => commands::demo::demo(args),
        Command::MigrateCheck(args) => commands::migrate_check::migrate_check(&args),
        Command::Upcoming(args) => commands::upcoming::upcoming(args),
        Command::Hold(args) => commands::hold::hold(&args),
        Command::Release(args) => commands::hold::release(&args),
        Command::Replace(args) => commands::replace::replace(&args),
        Command::FetchHistory(args) => commands::fetch_history::fetch_history(&args),
    }
}

/// Leaves at once: by now the node is reaped, and nothing else is worth waiting for.
#[expect(clippy::exit, reason = "threads that wait for a slow disk or network must not hold up the end")]
fn leave(code: u8) -> ! {
    process::exit(code.into())
}
