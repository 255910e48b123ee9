//! `watcher add-upgrade`: an operator's own executable for an upgrade, and, with a height, the file that makes it due.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};

use super::configured;
use crate::{
    cli::AddUpgradeArgs,
    config::go_text,
    decide::plan::{Folder, Plan},
    exit::Ending,
    home::{Home, sync_folder, upgrade_info, write_with_mode},
    persona::Persona,
};

/// The permissions of what is written. The execute bit on a plan says that an operator wrote it.
const MODE: u32 = 0o755;

/// Places an executable.
///
/// # Errors
/// Where the configuration or an argument is wrong, or something is there already; then nothing is changed.
pub fn add_upgrade(persona: Persona, file: Option<&Path>, args: &AddUpgradeArgs) -> anyhow::Result<Ending> {
    let home = configured(persona, file)?.home;
    let height = args.upgrade_height.and_then(|height| u64::try_from(height).ok()).filter(|height| *height > 0);
    let plan = height.map(|height| (home.upgrade_info(), height));
    Addition::check(&home, &args.name, Path::new(&args.executable), plan, args.force)?.carry_out()?;
    Ok(Ending::Fine)
}

/// An executable that is to be placed, and everything about it is in order.
#[derive(Debug)]
pub(super) struct Addition {
    executable: PathBuf,
    content: File,
    /// Where the executable goes.
    target: PathBuf,
    name: String,
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
        let name = if home.keep_case { name.to_owned() } else { name.to_lowercase() };
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
        Ok(Self { executable: executable.to_owned(), content, target, name, plan })
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

fn make_folders(bin: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(MODE).create(bin)?;
    // `bin`, the upgrade's folder and `upgrades` may be new.
    bin.ancestors().skip(1).take(3).try_for_each(sync_folder)
}
