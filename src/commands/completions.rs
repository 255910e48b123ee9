//! `watcher completions`, `cosmovisor completion`: what a shell needs to complete command lines.

use clap_complete::generate;

use super::say;
use crate::{cli::CompletionArgs, exit::Ending, persona::Persona};

/// Prints a script; help where no shell is named.
///
/// # Errors
/// Where stdout cannot be written.
pub fn completions(mut command: clap::Command, this: &str, args: &CompletionArgs) -> anyhow::Result<Ending> {
    let Some(shell) = args.shell else {
        command.build();
        let help = command.find_subcommand_mut(this).map(|this| this.render_long_help().to_string());
        say(Persona::Watcher, help.unwrap_or_default())?;
        return Ok(Ending::Fine);
    };
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    generate(shell, &mut command, name, &mut script);
    say(Persona::Watcher, script)?;
    Ok(Ending::Fine)
}
