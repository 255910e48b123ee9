//! `watcher version`: of this program, and of the node's current binary, which is asked directly.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};
use nix::sys::signal::Signal;
use serde::Serialize;
use serde_json::Value;

use super::{configured, say, wait_for};
use crate::{
    cli::VersionArgs,
    decide::{event::NodeExit, facts::Current},
    exit::{Ending, Failure},
    home::{Home, current},
    persona::Persona,
    process::program::{Output, Program},
};

/// This program's.
const OWN: &str = concat!("v", env!("CARGO_PKG_VERSION"));
/// The cosmovisor whose behaviour this is.
const COSMOVISORS: &str = "v1.7.1";

#[derive(Debug, Serialize)]
struct Versions {
    #[serde(rename = "cosmovisor_version")]
    cosmovisor: &'static str,
    #[serde(rename = "app_version", skip_serializing_if = "Option::is_none")]
    app: Option<Value>,
    #[serde(rename = "watcher_version")]
    watcher: &'static str,
}

/// Prints the versions.
///
/// # Errors
/// Where the configuration is wrong, or the node's binary does not tell its version.
pub fn version(persona: Persona, args: &VersionArgs) -> anyhow::Result<Ending> {
    let json = args.output == "json";
    if persona == Persona::Watcher && !json && args.output != "text" {
        return Err(Failure::usage(format_args!("--output is {:?}, and must be text or json", args.output)));
    }
    let own = || match persona {
        Persona::Watcher => format!("watcher version: {OWN} (as cosmovisor {COSMOVISORS})\n"),
        Persona::Cosmovisor => format!("cosmovisor version: {COSMOVISORS} (watcher {OWN})\n"),
    };
    let print = |app| {
        let versions = Versions { cosmovisor: COSMOVISORS, app, watcher: OWN };
        anyhow::Ok(say(persona, serde_json::to_string(&versions)? + "\n")?)
    };
    match (json, args.cosmovisor_only) {
        (false, true) => say(persona, own())?,
        (true, true) => print(None)?,
        (false, false) => {
            let home = configured(persona, None)?.home;
            say(persona, own())?;
            ask(&home, &args.args)?;
        }
        (true, false) => {
            let home = configured(persona, None)?.home;
            let app_version = wait_for(ask_for_json(&home, &args.args))?;
            print(Some(app_version))?;
        }
    }
    Ok(Ending::Fine)
}

/// Has the node's binary print its version where we print ours.
fn ask(home: &Home, args: &[OsString]) -> anyhow::Result<()> {
    let program = question(home, &[], args)?;
    match wait_for(async { Ok(program.start()?.wait().await?) })? {
        NodeExit::Code(0) => Ok(()),
        other => bail!("{other}"),
    }
}

async fn ask_for_json(home: &Home, args: &[OsString]) -> anyhow::Result<Value> {
    let program = question(home, &["--long", "--output", "json"], args)?;
    let Output { stdout, stderr, .. } = program.output().await?;
    // Some print it to stderr.
    let parsed = serde_json::from_slice(&stdout).or_else(|_| serde_json::from_slice(&stderr));
    parsed.map_err(|_| {
        let said = String::from_utf8_lossy(if stdout.is_empty() { &stderr } else { &stdout }).into_owned();
        anyhow!("can't print version output, expected valid json from APP, got: {}", said.trim_end())
    })
}

fn question(home: &Home, flags: &[&str], args: &[OsString]) -> anyhow::Result<Program> {
    let program = Program::new(home, &binary(home)?, Signal::SIGKILL);
    Ok(program.arguments(["version"]).arguments(flags.iter().copied()).arguments(args))
}

/// The current binary; genesis, where `run` would make a link to it.
fn binary(home: &Home) -> anyhow::Result<PathBuf> {
    match current::read(home) {
        Current::Version(_) => Ok(current::executable(home)?),
        Current::Broken { reason } => bail!(reason),
        Current::Absent => {
            let genesis = home.executable(&home.root().join(Path::new("genesis")));
            if !genesis.is_file() {
                bail!("there is no current version and no genesis binary at {}", genesis.display());
            }
            Ok(genesis)
        }
    }
}
