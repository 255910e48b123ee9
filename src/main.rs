//! The `watcher` command.

use std::{ffi::OsString, io::Write as _, process};

use watcher::{
    commands,
    exit::{Ending, Failure, told},
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
    let ending = commands::answer(persona, &arguments).unwrap_or_else(|error| {
        // Nobody is left to be told where this cannot be written.
        let _ = writeln!(std::io::stderr(), "Error: {}", told(&error));
        error.downcast_ref::<Failure>().map_or(Ending::Failed, |failure| failure.ending)
    });
    leave(persona.code(ending));
}

/// Leaves at once: by now the node is reaped, and nothing else is worth waiting for.
#[expect(clippy::exit, reason = "threads that wait for a slow disk or network must not hold up the end")]
fn leave(code: u8) -> ! {
    process::exit(code.into())
}
