//! Programs that run beside the node for a moment: `status`, `pre-upgrade`, the operator's script.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use nix::sys::signal::Signal;

use super::{
    program::{Output, Program},
    requests::Requests,
};
use crate::{
    config::go_text,
    decide::{event::NodeExit, facts::Current, plan::Plan},
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

/// Whether `--halt-height N` stops the current binary before it executes N, as since SDK 0.50 (`FinalizeBlock` refuses the
/// block), or after it has committed N. Told by `cosmos_sdk_version` in `<current binary> version --long`; none where that
/// does not say it.
///
/// # Errors
/// Where there is no current binary.
pub async fn halts_before(home: &Home) -> io::Result<Option<bool>> {
    let binary = match current::read(home) {
        Current::Absent => home.executable(&home.root().join("genesis")),
        _ => current::executable(home)?,
    };
    let ask = || async {
        let version = beside_the_node(home, &binary)?.arguments(["version", "--long"]);
        tokio::time::timeout(STATUS_LIMIT, version.output()).await.unwrap_or_else(|late| Err(late.into()))
    };
    let asked = match ask().await {
        // It is asked once for as long as we run.
        Err(error) if error.raw_os_error().is_some() => ask().await,
        asked => asked,
    };
    let Ok(Output { stdout, stderr, .. }) = asked else { return Ok(None) };
    Ok([stdout, stderr].iter().find_map(|said| is_of_sdk_50(&String::from_utf8_lossy(said))))
}

/// Reads `cosmos_sdk_version: v0.50.1` as YAML or JSON has it.
fn is_of_sdk_50(said: &str) -> Option<bool> {
    let (_, version) = said.split_once("cosmos_sdk_version")?;
    let version = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    Some((numbers.next()?, numbers.next()?) >= (0, 50))
}

/// Runs `<current binary> pre-upgrade`, which by now is the new one, and gives its exit code and what it printed; none
/// where it was asked to stop.
///
/// # Errors
/// Where it cannot be started.
pub async fn pre_upgrade(home: &Home, requests: Requests) -> io::Result<Option<Output>> {
    of_current(home)?.arguments(["pre-upgrade"]).output_unless(requests, is_answer).await
}

/// Done, or there is no such command: the exits that every upgrade meets, and that must not hold it up.
const fn is_answer(exit: NodeExit) -> bool {
    matches!(exit, NodeExit::Code(0 | 1))
}

/// The current binary, to be run beside the node for a moment, in the environment that is wanted for its version. A Go
/// program spends a quarter of its start on collecting garbage that is gone with its end; it does without up to a gibibyte,
/// unless the operator says otherwise.
///
/// # Errors
/// Where it is not there, or what is wanted for it cannot be understood.
fn of_current(home: &Home) -> io::Result<Program> {
    beside_the_node(home, &current::executable(home)?)
}

fn beside_the_node(home: &Home, binary: &Path) -> io::Result<Program> {
    let program = Program::new(home, binary, Signal::SIGKILL).or_variables([("GOGC", "off"), ("GOMEMLIMIT", "1GiB")]);
    Ok(program.wished(&version::of(binary)?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_of_a_binary_is_read_from_its_version() {
        assert_eq!(is_of_sdk_50("build_tags: \"\"\ncosmos_sdk_version: v0.50.1\ngo: go1.22"), Some(true));
        assert_eq!(is_of_sdk_50("{\"cosmos_sdk_version\":\"v0.47.17-ics\"}"), Some(false));
        assert_eq!(is_of_sdk_50("cosmos_sdk_version: v1.0.0"), Some(true));
        assert_eq!(is_of_sdk_50("cosmos_sdk_version: \"\"\n"), None);
        assert_eq!(is_of_sdk_50("v2"), None);
    }
}
