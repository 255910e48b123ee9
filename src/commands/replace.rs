//! `watcher replace`: a hotfix under the same plan name. The new file is checked and copied first; then a running `watcher`
//! restarts its node once, with a rename in between, and the old file is kept.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, thread, time::Duration};

use anyhow::{Context as _, bail};

use super::tell;
use crate::{
    artifact::inspect,
    cli::ReplaceArgs,
    config::Config,
    decide::{
        facts::{Current, NodeLock, Version},
        orders::Replacement,
        plan::Folder,
    },
    exit::Ending,
    home::{Home, current, lock, make_folders, orders},
    persona::Persona,
};

/// How long the node may take to stop, and a little more.
const PATIENCE: Duration = Duration::from_mins(5);
/// How often it is looked whether the change is made.
const LOOK: Duration = Duration::from_millis(100);

/// Replaces the binary of an upgrade, or orders that.
///
/// # Errors
/// Where the configuration is wrong, the file is nothing that this machine runs, nothing is staged under the name, or a
/// running `watcher` could not make the change.
pub fn replace(file: Option<&Path>, args: &ReplaceArgs) -> anyhow::Result<Ending> {
    let config = super::configured(Persona::Watcher, file)?;
    let home = &config.home;
    let version = version(&config, &args.name)?;
    let old = home.executable(&orders::version_folder(home, &version));
    if !old.is_file() {
        bail!("there is no binary at {} to replace: `watcher add-upgrade` places one", old.display());
    }
    inspect::inspect(&args.executable, &home.platform)
        .with_context(|| format!("{} cannot take its place", args.executable.display()))?;
    // Where no node runs, as after an upgrade that failed, nothing is restarted.
    let runs = current::read(home) == Current::Version(version.clone()) && lock::node(home)? == NodeLock::Held;
    if runs && !args.now && args.at.is_none() {
        bail!("{} runs now: say --now to restart the node at once, or --at HEIGHT", args.name);
    }
    make_folders(&home.own().join("aside"))?;
    if !orders::is_within_reach(home, &version)? {
        bail!(
            "{} and {} are on two file systems: no rename leads from one to the other",
            home.own().display(),
            old.display()
        );
    }
    let order = Replacement { version: version.clone(), at: args.at };
    if let Some(Replacement { version, at }) = orders::read(home).replacement.filter(|before| *before != order) {
        let at = at.map(|height| format!(" at height {height}")).unwrap_or_default();
        tracing::warn!("taken back: the order to replace the binary of {version}{at}; one stands at a time");
    }
    orders::order_replacement(home, &args.executable, &order).context("cannot copy the new binary")?;
    let watcher = lock::supervisor(home);
    if let Some(height) = args.at {
        let who = if watcher.is_some() { "the running watcher" } else { "the next `watcher run`" };
        return tell(&format!(
            "ordered: {who} restarts the node once at height {height}, with the new binary of {}",
            args.name
        ));
    }
    match watcher {
        Some(pid) => wait(&config, &args.name, &pid),
        None => at_once(&config, &version, &args.name),
    }
}

fn version(config: &Config, name: &str) -> anyhow::Result<Version> {
    if name == "genesis" {
        return Ok(Version::Genesis);
    }
    let folder = Folder::of(name, config.home.keep_case);
    folder.map(Version::Upgrade).map_err(|error| anyhow::anyhow!("{error}"))
}

/// Nobody supervises this home: it is done here, and nobody can begin meanwhile.
fn at_once(config: &Config, version: &Version, name: &str) -> anyhow::Result<Ending> {
    let home = &config.home;
    let _lock = lock::supervise(home)?;
    if lock::node(home)? == NodeLock::Held {
        bail!(
            "a node runs on {} without a watcher; the order stands, and the next `watcher run` makes the change",
            home.path.display()
        );
    }
    orders::replace(home, version).context("the old binary is still there")?;
    replaced(home, name)
}

fn wait(config: &Config, name: &str, pid: &str) -> anyhow::Result<Ending> {
    let home = &config.home;
    let Some(ordered) = orders::ordered(home) else { return Ok(Ending::Fine) };
    tell(&format!("waiting until watcher (pid {pid}) has made the change; Ctrl-C leaves the order standing"))?;
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        if orders::read(home).replacement.is_none() {
            let placed = home.executable(&orders::version_folder(home, &version(config, name)?));
            if fs::metadata(&placed)?.ino() == ordered {
                return replaced(home, name);
            }
            bail!("watcher could not make the change, its log says why; the old binary is still in its place");
        }
        thread::sleep(LOOK);
    }
    bail!("watcher (pid {pid}) has not made the change in {PATIENCE:?}; the order stands")
}

fn replaced(home: &Home, name: &str) -> anyhow::Result<Ending> {
    tell(&format!("replaced: the binary of {name}; the old one is in {}", home.own().join("aside").display()))
}
