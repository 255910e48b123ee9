//! Programs that run beside the node for a moment: `status`, `pre-upgrade`, the operator's script.

use std::{fs, io, os::unix::fs::PermissionsExt as _, time::Duration};

use nix::sys::signal::Signal;

use super::{
    program::{Output, Program},
    requests::Requests,
};
use crate::{
    config::go_text,
    decide::{event::NodeExit, plan::Plan},
    home::{Home, current},
};

/// How long `<binary> status` may take.
const STATUS_LIMIT: Duration = Duration::from_secs(5);

/// What `<current binary> status --home <home>` prints.
///
/// # Errors
/// Where it cannot be started or does not end in five seconds; then it is killed.
pub async fn status(home: &Home) -> io::Result<Output> {
    let binary = current::executable(home)?;
    let status = Program::new(home, &binary, Signal::SIGKILL).arguments(["status", "--home"]).arguments([&home.path]);
    tokio::time::timeout(STATUS_LIMIT, status.output())
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "`status` did not answer in five seconds"))?
}

/// Runs `<current binary> pre-upgrade`, which by now is the new one, and gives its exit code and what it printed; none
/// where it was asked to stop.
///
/// # Errors
/// Where it cannot be started.
pub async fn pre_upgrade(home: &Home, requests: Requests) -> io::Result<Option<Output>> {
    let binary = current::executable(home)?;
    Program::new(home, &binary, Signal::SIGKILL).arguments(["pre-upgrade"]).output_unless(requests, is_answer).await
}

/// Done, or there is no such command: the exits that every upgrade meets, and that must not hold it up.
const fn is_answer(exit: NodeExit) -> bool {
    matches!(exit, NodeExit::Code(0 | 1))
}

/// Runs the operator's script with the plan's name and height, in the node's home, and gives how it ended and what it
/// printed; none where it was asked to stop.
///
/// # Errors
/// Where it is missing, is no file or cannot be started, in the words that people know from cosmovisor.
pub async fn custom(home: &Home, script: &str, plan: &Plan, requests: Requests) -> io::Result<Option<Output>> {
    const OWNER_EXECUTE: u32 = 0o100;
    let path = home.root().join(script);
    let named = |what: &str, error: io::Error| {
        io::Error::new(error.kind(), format!("{what} {}: {}", path.display(), go_text(&error)))
    };
    let meta = fs::metadata(&path).map_err(|error| named("stat", error))?;
    if !meta.is_file() {
        return Err(io::Error::other(format!("COSMOVISOR_CUSTOM_PREUPGRADE: {script} is not a regular file")));
    }
    let mode = meta.permissions().mode();
    if mode & OWNER_EXECUTE == 0 {
        let executable = fs::Permissions::from_mode(mode | OWNER_EXECUTE);
        fs::set_permissions(&path, executable).map_err(|error| named("chmod", error))?;
    }
    let program = Program::new(home, &path, Signal::SIGKILL).folder(&home.path);
    let program = program.arguments([plan.name.clone(), plan.height.to_string()]);
    program.output_unless(requests, |exit| exit == NodeExit::Code(0)).await.map_err(|error| named("fork/exec", error))
}
