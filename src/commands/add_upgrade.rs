//! `watcher add-upgrade`: an operator's own executable for an upgrade, and, with a height, the file that makes it due.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};

use super::configured;
use crate::{
    chain::own_node::{node_id, parse_status_command},
    cli::AddUpgradeArgs,
    config::go_text,
    decide::{
        facts::{FailureState, Record, RecordFact},
        orders::Exact,
        plan::{Folder, Plan},
        schedule::CLOSE_BLOCKS,
    },
    exit::{Ending, Failure},
    home::{Home, lock, make_folders_with, observe, orders, record, sync_folder, upgrade_info, write_with_mode},
    persona::Persona,
    process::{hook, program::Output},
};

/// The permissions of what is written. The execute bit on a plan says that an operator wrote it.
const MODE: u32 = 0o755;

/// Places an executable.
///
/// # Errors
/// Where the configuration or an argument is wrong, or something is there already; then nothing is changed.
pub fn add_upgrade(persona: Persona, file: Option<&Path>, args: &AddUpgradeArgs) -> anyhow::Result<Ending> {
    if args.exact && persona == Persona::Cosmovisor {
        return Err(Failure::usage("unknown flag: --exact"));
    }
    let home = configured(persona, file)?.home;
    let height = args.upgrade_height.and_then(|height| u64::try_from(height).ok()).filter(|height| *height > 0);
    if let Some(height) = height {
        disturbs_none(&home, &args.name, height)?;
    }
    let plan = height.map(|height| (home.upgrade_info(), height));
    let addition = Addition::check(&home, &args.name, Path::new(&args.executable), plan, args.force)?;
    let exact = if args.exact {
        let height = height.context("--exact needs a height above 0")?;
        super::wait_for(can_be_exact(&home, height))?;
        let (name, folder) = (addition.name.clone(), addition.folder.clone());
        Some(Exact { name, folder, height, missed: false })
    } else {
        None
    };
    if height.is_some() {
        home.prepare()?;
        // It comes first: what is exact must not be taken for what is not.
        orders::write_exact(&home, exact.as_ref())?;
    }
    addition.carry_out()?;
    if let Some(Exact { height, .. }) = exact {
        tracing::info!("the node will be restarted once, so that it stops before it executes height {height}");
    }
    Ok(Ending::Fine)
}

/// Refuses to take the file from an upgrade that is under way: its backup is known by it, its `pre-upgrade` waits for it, and
/// its binary reads its store upgrades there. Warns of a height that is known to be behind the node.
fn disturbs_none(home: &Home, name: &str, height: u64) -> anyhow::Result<()> {
    let record = match record::read(home) {
        RecordFact::Present(record) => Some(record),
        RecordFact::Unreadable | RecordFact::Absent => None,
    };
    let plan = Plan { name: recased(home, name), height, info: String::new() };
    // Who takes the file away first means it.
    let stands = |record: &Record| upgrade_info::read(home).is_some_and(|named| record.is_of(&named));
    if let Some(record) = record.as_ref().filter(|record| !record.is_of(&plan) && stands(record)) {
        let how = match &record.failure {
            Some(failure) if failure.state == FailureState::RolledBack => None,
            Some(failure) => Some(format!("has failed and is not over: {}", failure.reason)),
            None => (!record.verdict.has_passed()).then(|| "is under way".to_owned()),
        };
        if let Some(how) = how {
            bail!(
                "upgrade {:?} at height {} {how}. {} stays its own, also with --force: its backup, its rollback and its store \
                 upgrades rest on that file. Queue {name:?} behind it with `add-batch-upgrade`, or name it once that one has passed",
                record.plan.name,
                record.plan.height,
                home.upgrade_info().display()
            );
        }
    }
    let passed = record.filter(|record| record.verdict.has_passed()).map(|record| record.plan.height);
    let above = passed.map(|passed| passed + 1);
    let reached = observe::signed_height(home).ok().flatten().max(above).unwrap_or_default();
    if reached <= height {
        return Ok(());
    }
    let info = home.upgrade_info();
    let then = match lock::supervisor(home) {
        _ if passed.is_some_and(|passed| passed > height) => {
            "nothing is switched for it: name one above that".to_owned()
        }
        Some(_) => format!("the running watcher switches to {name:?} at once; `watcher rollback` takes that back"),
        None => {
            format!("the next `watcher run` switches to {name:?} at once, unless {} is removed before", info.display())
        }
    };
    tracing::warn!("height {height} is past: the node works on height {reached} or a later one, and {then}");
    Ok(())
}

/// Whether the node can still be made to stop before a height.
async fn can_be_exact(home: &Home, height: u64) -> anyhow::Result<()> {
    if hook::halts_before(home).await?.is_none() {
        bail!(
            "what `--halt-height` means to the current binary cannot be told: its `version --long` does not name \
             cosmos_sdk_version; leave out --exact, and stop the node at the height yourself"
        );
    }
    // A node that does not run is armed at its next start.
    let Ok(Output { stdout, stderr, .. }) = hook::status(home).await else { return Ok(()) };
    let latest = parse_status_command(&stdout, &stderr, node_id(&home.path).as_deref());
    match latest {
        Some(latest) if latest + CLOSE_BLOCKS >= height => bail!(
            "the node is at height {latest}, and is not restarted within {CLOSE_BLOCKS} blocks of {height}: name a height \
             above {}, or leave out --exact",
            latest + CLOSE_BLOCKS
        ),
        _ => Ok(()),
    }
}

/// An executable that is to be placed, and everything about it is in order.
#[derive(Debug)]
pub(super) struct Addition {
    executable: PathBuf,
    content: File,
    /// Where the executable goes.
    target: PathBuf,
    name: String,
    folder: Folder,
    /// The plan to write, and where.
    plan: Option<(PathBuf, Plan)>,
}

impl Addition {
    /// Checks everything before anything is changed. `plan`: where to write a plan for which height.
    pub(super) fn check(
        home: &Home,
        name: &str,
        executable: &Path,
        plan: Option<(PathBuf, u64)>,
        force: bool,
    ) -> anyhow::Result<Self> {
        let name = recased(home, name);
        let folder = Folder::of(&name, home.keep_case).map_err(|error| anyhow!("{error}"))?;
        let shown = executable.display();
        let found = fs::metadata(executable)
            .map_err(|error| anyhow!("invalid executable path: stat {shown}: {}", go_text(&error)))?;
        if found.is_dir() {
            bail!("failed to read binary: read {shown}: is a directory");
        }
        let content = File::open(executable)
            .map_err(|error| anyhow!("failed to read binary: open {shown}: {}", go_text(&error)))?;
        let target = home.executable(&home.upgrade(&folder));
        let places = [Some(&target), plan.as_ref().map(|(path, _)| path)];
        for place in places.into_iter().flatten() {
            match fs::symlink_metadata(place) {
                Ok(_) if !force => bail!("file already exists at {}", place.display()),
                Ok(found) if found.is_dir() => bail!("{} is a directory", place.display()),
                _ => {}
            }
        }
        if plan.is_some() && !home.data().is_dir() {
            bail!("{} must be an existing directory", home.data().display());
        }
        let plan = plan.map(|(path, height)| (path, Plan { name: name.clone(), height, info: String::new() }));
        Ok(Self { executable: executable.to_owned(), content, target, name, folder, plan })
    }

    /// What both want and only one can have.
    pub(super) fn shares(&self, other: &Self) -> Option<String> {
        let height = |addition: &Self| addition.plan.as_ref().map(|(_, plan)| plan.height);
        if self.target == other.target {
            return Some(format!("the folder {}", self.folder));
        }
        height(self).filter(|found| height(other) == Some(*found)).map(|height| format!("the height {height}"))
    }

    /// Places it by a rename, so that a binary that runs, or a plan that is read, is whole before and after.
    pub(super) fn carry_out(mut self) -> anyhow::Result<Option<Plan>> {
        let (name, target) = (&self.name, self.target.display());
        tracing::info!("Using {} for {name} upgrade", self.executable.display());
        let folder = self.target.parent().unwrap_or(Path::new("/"));
        make_folders(folder).with_context(|| format!("failed to create upgrade directory {}", folder.display()))?;
        write_with_mode(&self.target, &mut self.content, MODE, true)
            .with_context(|| format!("failed to write binary to location {target}"))?;
        tracing::info!("Upgrade binary located at {target}");
        let Some((path, plan)) = self.plan else { return Ok(None) };
        let shown = path.display();
        write_with_mode(&path, &mut upgrade_info::render(&plan).as_bytes(), MODE, true)
            .with_context(|| format!("failed to write upgrade info to {shown}"))?;
        tracing::info!("{shown} created, {name} upgrade binary will switch at height {}", plan.height);
        Ok(Some(plan))
    }
}

/// A name as plans of ours bear it.
fn recased(home: &Home, name: &str) -> String {
    if home.keep_case { name.to_owned() } else { name.to_lowercase() }
}

fn make_folders(bin: &Path) -> io::Result<()> {
    make_folders_with(bin, MODE)?;
    // `bin`, the upgrade's folder and `upgrades` may be new.
    bin.ancestors().skip(1).take(3).try_for_each(sync_folder)
}
