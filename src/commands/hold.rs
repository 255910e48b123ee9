//! `watcher hold` and `watcher release`: the operator's brake. It is a file in the home, so it outlives every restart.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};

use super::tell;
use crate::{
    cli::{HoldArgs, ReleaseArgs},
    config::Config,
    decide::{facts::Version, orders::Hold, plan::Folder},
    exit::Ending,
    home::{current, lock, orders},
    persona::Persona,
};

/// Puts the brake on, or tells for what it is on where no name is given.
///
/// # Errors
/// Where the configuration is wrong, the name cannot be a folder, or the home cannot be written.
pub fn hold(file: Option<&Path>, args: &HoldArgs) -> anyhow::Result<Ending> {
    let config = super::configured(Persona::Watcher, file)?;
    let Some(name) = &args.name else {
        return tell(&listed(&held(&config)?));
    };
    let folder = folder(&config, name)?;
    let _alone = alone(&config)?;
    let mut holds = held(&config)?;
    holds.retain(|hold| hold.folder != folder);
    let here =
        folder.clone().is_none_or(|folder| orders::version_folder(&config.home, &Version::Upgrade(folder)).is_dir());
    let runs = folder.as_ref().is_some_and(|folder| current::read(&config.home).is(folder));
    holds.push(Hold { folder, reason: args.reason.clone().unwrap_or_default() });
    write(&config, &holds)?;
    if runs {
        let once_more = "the brake is for what comes to its folder once more, as after a rollback";
        return tell(&format!("held: {name}. What was swapped in already runs on; {once_more}"));
    }
    let mind =
        if here { "" } else { "; nothing of that name is here yet: `watcher upcoming` tells how a plan is spelt" };
    tell(&format!("held: {name}. It is staged as usual, and not swapped in until `watcher release {name}`{mind}"))
}

/// Takes the brake off.
///
/// # Errors
/// As [`hold`], and where it is not on.
pub fn release(file: Option<&Path>, args: &ReleaseArgs) -> anyhow::Result<Ending> {
    let config = super::configured(Persona::Watcher, file)?;
    let _alone = alone(&config)?;
    let mut holds = held(&config)?;
    let folder = folder(&config, &args.name)?;
    let count = holds.len();
    // Who releases all means all.
    holds.retain(|hold| folder.is_some() && hold.folder != folder);
    if holds.len() == count {
        // As the list has it, which escapes what no folder is called.
        holds.retain(|hold| hold.name() != args.name);
    }
    if holds.len() == count {
        bail!("{} is not held by that name; {}", args.name, listed(&holds));
    }
    write(&config, &holds)?;
    tell(&format!("released: {}; {}", args.name, listed(&holds)))
}

fn held(config: &Config) -> anyhow::Result<Vec<Hold>> {
    // What cannot be read must not be overwritten: it may hold an upgrade.
    orders::holds(&config.home).map_err(anyhow::Error::msg)
}

fn folder(config: &Config, name: &str) -> anyhow::Result<Option<Folder>> {
    if name.eq_ignore_ascii_case(Hold::ALL) {
        return Ok(None);
    }
    Folder::of(name, config.home.keep_case).map(Some).map_err(|error| anyhow::anyhow!("{error}"))
}

/// Of two that change the holds at the same time one waits, so that neither loses what the other wrote.
fn alone(config: &Config) -> anyhow::Result<fs::File> {
    let folder = config.home.own();
    lock::alone(&folder).with_context(|| format!("cannot work in {}", folder.display()))
}

fn write(config: &Config, holds: &[Hold]) -> anyhow::Result<()> {
    let home = &config.home;
    orders::write_holds(home, holds).with_context(|| format!("cannot write in {}", home.own().display()))
}

fn listed(holds: &[Hold]) -> String {
    let one = |hold: &Hold| {
        let name = hold.name();
        if hold.reason.is_empty() { name.to_owned() } else { format!("{name} ({})", hold.reason) }
    };
    match holds {
        [] => "nothing is held".to_owned(),
        holds => format!("held: {}", holds.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}
