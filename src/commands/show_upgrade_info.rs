//! `watcher show-upgrade-info`: the node's `upgrade-info.json` as it is.

use std::{fs, io, path::Path};

use anyhow::bail;

use super::{configured, say};
use crate::{config::go_text, exit::Ending, persona::Persona};

/// Prints the file.
///
/// # Errors
/// Where the configuration is wrong, or the file is there and cannot be read.
pub fn show_upgrade_info(persona: Persona, file: Option<&Path>) -> anyhow::Result<Ending> {
    let path = configured(persona, file)?.home.upgrade_info();
    let shown = path.display();
    let mut content = match fs::read(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("No upgrade info found at {shown}").into_bytes()
        }
        Err(error) => bail!("failed to read upgrade-info.json: open {shown}: {}", go_text(&error)),
    };
    content.push(b'\n');
    say(persona, content)?;
    Ok(Ending::Fine)
}
