//! `watcher add-batch-upgrade`: several executables, and the queue of the heights at which they take over.

mod csv;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};

use super::{add_upgrade::Addition, configured};
use crate::{
    cli::AddBatchUpgradeArgs,
    config::go_text,
    exit::Ending,
    home::{Home, orders, record},
    persona::Persona,
};

/// Places the executables and writes the queue anew.
///
/// # Errors
/// Where the configuration or an entry is wrong; then nothing is changed.
pub fn add_batch_upgrade(persona: Persona, file: Option<&Path>, args: &AddBatchUpgradeArgs) -> anyhow::Result<Ending> {
    let home = configured(persona, file)?.home;
    let entries = entries(args)?;
    let additions = entries.iter().enumerate().map(|(position, entry)| addition(&home, position, entry));
    let additions: Vec<Addition> = additions.collect::<anyhow::Result<_>>()?;
    for (second, addition) in additions.iter().enumerate() {
        for (first, other) in additions[..second].iter().enumerate() {
            if let Some(what) = addition.shares(other) {
                let [one, two] = [first, second].map(|position| entries[position].join(" "));
                bail!("upgrades at position {first} ([{one}]) and {second} ([{two}]) share {what}: give each its own");
            }
        }
    }
    let mut plans = Vec::new();
    for addition in additions {
        plans.extend(addition.carry_out()?);
    }
    let queue = home.data().join(orders::QUEUE);
    let record = record::read(&home);
    for dropped in orders::read(&home).queue.iter().filter(|plan| !plans.contains(plan) && !record.is_past(plan)) {
        tracing::warn!(
            "dropped from the queue: {:?} at height {}; a batch takes the place of the one before",
            dropped.name,
            dropped.height
        );
    }
    orders::write_queue(&home, &plans).with_context(|| format!("failed to write {}", queue.display()))?;
    tracing::info!("{} created, with {} upgrades", queue.display(), plans.len());
    Ok(Ending::Fine)
}

/// Name, path and height of each upgrade, as they were written.
fn entries(args: &AddBatchUpgradeArgs) -> anyhow::Result<Vec<Vec<String>>> {
    let list: Vec<&String> = args.upgrade_list.iter().filter(|entry| !entry.is_empty()).collect();
    let entries = match args.upgrade_file.as_ref().filter(|file| !file.is_empty()).map(Path::new) {
        Some(path) => {
            let (text, shown) = (fs::read_to_string(path), path.display());
            let text = text.map_err(|error| anyhow!("open {shown}: {}", go_text(&error)))?;
            csv::parse(&text).map_err(|error| anyhow!("{shown}: {error}"))?
        }
        None if list.is_empty() => bail!("either --upgrade-file or --upgrade-list must be provided"),
        None => list.iter().map(|entry| entry.split(':').map(str::to_owned).collect()).collect(),
    };
    if entries.is_empty() {
        bail!("there is no upgrade in the file: write one a line, as name,path,height");
    }
    Ok(entries)
}

fn addition(home: &Home, position: usize, entry: &[String]) -> anyhow::Result<Addition> {
    let [name, path, height] = entry else {
        bail!("argument at position {position} ([{}]) is invalid", entry.join(" "));
    };
    let invalid = || anyhow!("upgrade height at position {position} ({height}) is invalid");
    let number: i64 = height.parse().map_err(|_| invalid())?;
    let number = u64::try_from(number).ok().filter(|number| *number > 0);
    let number = number.ok_or_else(invalid).context("height must be greater than 0")?;
    let name = Path::new(name).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plan = PathBuf::from(format!("{}.{name}", home.upgrade_info().display()));
    Addition::check(home, &name, Path::new(path), Some((plan, number)), true)
}
