//! Programs that run beside the node for a moment: `status`, `pre-upgrade`, the operator's script.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use nix::sys::signal::Signal;

use super::program::{Output, Program};
use crate::{
    decide::{event::NodeExit, plan::Plan},
    home::{Home, current, version},
};

/// How long `<binary> status` may take.
const STATUS_LIMIT: Duration = Duration::from_secs(5);

/// What `<current binary> status --home <home>` prints.
///
/// # Errors
/// Where it cannot be started or does not end in five seconds; then it is killed.
pub async fn status(home: &Home) -> io::Result<Output> {
    let status = of_current(home)?.arguments(["status", "--home"]).arguments([&home.path]);
    tokio::time::timeout(STATUS_LIMIT, status.output())
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "`status` did not answer in five seconds"))?
}

/// Runs `<current binary> pre-upgrade`, which by now is the new one, and gives its exit code and what it printed.
///
/// # Errors
/// Where it cannot be started.
pub async fn pre_upgrade(home: &Home) -> io::Result<Output> {
    of_current(home)?.arguments(["pre-upgrade"]).output().await
}

/// The current binary, to be run beside the node, in the environment that is wanted for its version.
///
/// # Errors
/// Where it is not there, or what is wanted for it cannot be understood.
pub fn of_current(home: &Home) -> io::Result<Program> {
    let binary = current::executable(home)?;
    Ok(Program::new(home, &binary, Signal::SIGKILL).wished(&version::of(&binary)?))
}

/// Runs the operator's script with the plan's name and height, in the node's home.
///
/// # Errors
/// Where it is missing, is no file, cannot be started or ends with anything but 0.
pub async fn custom(home: &Home, script: &str, plan: &Plan) -> io::Result<Output> {
    const OWNER_EXECUTE: u32 = 0o100;
    let path = home.root().join(script);
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("COSMOVISOR_CUSTOM_PREUPGRADE: {error}: {}", path.display()))
    };
    let meta = fs::metadata(&path).map_err(named)?;
    if !meta.is_file() {
        return Err(io::Error::other(format!("COSMOVISOR_CUSTOM_PREUPGRADE: {script} is not a regular file")));
    }
    let mode = meta.permissions().mode();
    if mode & OWNER_EXECUTE == 0 {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode | OWNER_EXECUTE)).map_err(named)?;
    }
    let output = run_custom(home, &path, plan).await.map_err(named)?;
    if output.exit == NodeExit::Code(0) {
        return Ok(output);
    }
    let (exit, words) = (output.exit, output.last_words());
    let text = format!("COSMOVISOR_CUSTOM_PREUPGRADE: {script} ended with {exit}: {words}");
    Err(io::Error::other(text))
}

async fn run_custom(home: &Home, path: &Path, plan: &Plan) -> io::Result<Output> {
    let script = Program::new(home, path, Signal::SIGKILL).folder(&home.path);
    script.arguments([plan.name.clone(), plan.height.to_string()]).output().await
}
