//! `watcher init`: the folders of a home, its first executable, and a configuration file to start from.

mod template;

use std::{
    fs::{self, File},
    io::{self, BufRead as _},
    path::Path,
};

use anyhow::{Context as _, anyhow, bail};

use super::say;
use crate::{
    cli::InitArgs,
    config::{self, ConfigError, go_text, values::Values},
    decide::facts::Current,
    exit::{Ending, Failure},
    home::{Home, current, make_folders, make_folders_with, write_whole, write_with_mode},
    log,
    persona::Persona,
};

/// Makes a home ready. What is there already stays.
///
/// # Errors
/// Where an argument or the environment is wrong, before anything is made; where the disk says no.
pub fn init(persona: Persona, args: &InitArgs) -> anyhow::Result<Ending> {
    let executable = Path::new(&args.executable);
    if executable.as_os_str().is_empty() {
        bail!("no <path to executable> provided");
    }
    let found = fs::metadata(executable)
        .map_err(|error| anyhow!("executable file not found: stat {}: {}", executable.display(), go_text(&error)))?;
    if found.is_dir() {
        bail!("invalid path to executable: must not be a directory");
    }
    // Here, what cannot be read counts as nothing: the file that is written has it to be put right.
    let (values, problems) = config::unchecked();
    log::start(persona, &values.logs());
    for problem in problems {
        tracing::warn!("{problem}");
    }
    let home = home(&values).map_err(Failure::usage)?;
    place(&home, executable)?;
    link(&home)?;
    let file = home.root().join("config.toml");
    if fs::symlink_metadata(&file).is_ok() && !confirmed(&file)? {
        tracing::info!("file already exists, not overriding");
    } else {
        write_whole(&file, template::render(&values).as_bytes(), true)
            .with_context(|| format!("failed to create configuration file {}", file.display()))?;
        tracing::info!("config file is at {}", file.display());
    }
    if persona == Persona::Watcher {
        say(persona, format!("{} is ready; start the node with `watcher run start`\n", home.path.display()))?;
    }
    Ok(Ending::Fine)
}

fn home(values: &Values) -> Result<Home, ConfigError> {
    let mut problems = Vec::new();
    let path = config::check_identity(values, &mut problems).map(Path::to_owned).unwrap_or_default();
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    Ok(Home::plain(path, values.text("DAEMON_NAME").unwrap_or_default().to_owned()))
}

/// Copies the executable to where genesis is, unless there is one.
fn place(home: &Home, executable: &Path) -> anyhow::Result<()> {
    let target = home.executable(&home.root().join("genesis"));
    let bin = target.parent().unwrap_or(Path::new("/"));
    make_folders_with(bin, 0o750).with_context(|| format!("cannot make {}", bin.display()))?;
    match fs::metadata(&target) {
        Ok(found) if found.is_dir() => bail!("{} is a directory", target.display()),
        Ok(_) => tracing::info!("{} is already there and stays as it is", target.display()),
        Err(_) => {
            let copied = File::open(executable).and_then(|mut file| write_with_mode(&target, &mut file, 0o755, true));
            copied.with_context(|| format!("cannot copy {} to {}", executable.display(), target.display()))?;
            tracing::info!("copied {} to {}", executable.display(), target.display());
        }
    }
    Ok(current::make_executable(&target)?)
}

fn link(home: &Home) -> anyhow::Result<()> {
    match current::read(home) {
        Current::Version(version) => tracing::info!("the current symlink points to {version} and stays as it is"),
        Current::Broken { reason } => bail!(reason),
        Current::Absent => {
            let linked = make_folders(&home.own()).and_then(|()| current::point_at_genesis(home));
            linked.with_context(|| format!("cannot link {}", home.current().display()))?;
            tracing::info!("the current symlink points to genesis");
        }
    }
    Ok(())
}

/// Whether a file may be written anew. Where nobody answers, it may not.
fn confirmed(file: &Path) -> io::Result<bool> {
    let question = format!("file {} already exists, do you want to overwrite it? [y/n]: ", file.display());
    say(Persona::Watcher, question)?;
    let mut answer = Vec::new();
    io::stdin().lock().read_until(b'\n', &mut answer)?;
    Ok(answer.trim_ascii().eq_ignore_ascii_case(b"y"))
}
