//! `watcher check`: is this upgrade going to work? It looks at every upgrade that is coming on a chain, or at a plan before
//! it is proposed, fetches what would be run into a folder that goes again, and tells each thing with its remedy. It is made
//! for the CI of a chain's team, and for the operator before the halt; it changes nothing.

mod artifacts;
mod chain;
mod github;
mod home;
mod junit;
mod plan;
mod subject;
mod text;

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use tempfile::TempDir;

use super::{
    findings::{Findings, Severity},
    say, upcoming,
};
use crate::{
    artifact::Platform,
    chain::{
        endpoints::{self, Clients, Endpoint},
        proof::Trust,
    },
    cli::{CheckArgs, CheckFormat},
    config::{self, Config, file::File},
    decide::plan::Artifact,
    exit::{Ending, Failure},
    home::{Home, observe},
    log,
    persona::Persona,
    process::signals::Signals,
};
use artifacts::Host;
use subject::Subject;

/// Everything that is told. The names of the fields are relied on by scripts.
#[derive(Debug, Serialize)]
struct Report {
    verdict: Verdict,
    artifacts: Vec<Artifact>,
    findings: Findings,
    /// What was looked at, for people.
    #[serde(skip)]
    subjects: Vec<String>,
}

/// Whether it is going to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ready,
    NotReady,
    Unknown,
}

impl Verdict {
    const fn ending(self) -> Ending {
        match self {
            Self::Ready => Ending::Fine,
            Self::NotReady => Ending::NotReady,
            Self::Unknown => Ending::Unknown,
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    findings: Findings,
    artifacts: Vec<Artifact>,
    /// Something that would have to be known could not be found out.
    untold: bool,
}

/// Looks, and tells.
///
/// # Errors
/// Where the command line is wrong, or stdout cannot be written.
pub fn check(file: Option<&Path>, args: &CheckArgs) -> anyhow::Result<Ending> {
    log::start(Persona::Watcher, &log::Choices::from_environment());
    let args = &Wanted::read(file, args)?;
    let Some(report) = look_or_leave(args)? else { return Ok(Ending::Interrupted) };
    say(
        Persona::Watcher,
        match args.args.format {
            CheckFormat::Text => text::text(&report),
            CheckFormat::Json => upcoming::json(&report)?,
            CheckFormat::Github => github::annotations(&report),
            CheckFormat::Junit => junit::suite(&report),
        },
    )?;
    Ok(report.verdict.ending())
}

/// What is to be looked at, by command line and environment.
struct Wanted<'a> {
    args: &'a CheckArgs,
    /// The text of `--info-file`.
    info: Option<String>,
    endpoints: Vec<Endpoint>,
    trust: Arc<Trust>,
    platforms: Vec<Platform>,
    /// The home, or what a plan is understood by where there is none.
    home: Home,
    /// How `run` would work on the home; or what is wrong with the variables.
    config: Option<Result<Config, config::ConfigError>>,
    /// Where to fetch to; it goes when it is dropped.
    folder: TempDir,
}

impl<'a> Wanted<'a> {
    fn read(file: Option<&Path>, args: &'a CheckArgs) -> anyhow::Result<Self> {
        // An empty variable counts as none.
        let set = |urls: &[String]| urls.iter().filter(|url| !url.is_empty()).cloned().collect::<Vec<_>>();
        let path = args.home.as_deref().filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = path.filter(|path| !path.join("config").is_dir()) {
            let text = format!("{} is not the home of a node: it has no config folder", path.display());
            return Err(Failure::usage(text));
        }
        let daemon = args.daemon_name.clone().unwrap_or_default();
        if path.is_some() && daemon.is_empty() {
            return Err(Failure::usage("a home is looked at by its executable's name: give it with --daemon-name"));
        }
        // It becomes a file's name in a folder of ours.
        if args.daemon_name.as_deref().is_some_and(|name| matches!(name, "" | "." | "..") || name.contains('/')) {
            return Err(Failure::usage(format!("--daemon-name is the file name of the executable, got {daemon:?}")));
        }
        let info = args.info_file.as_deref().map(subject::text_of).transpose().map_err(Failure::usage)?;
        let endpoints = if info.is_some() && set(&args.rpc).is_empty() && set(&args.rest).is_empty() {
            Vec::new()
        } else {
            let (rpc, rest) = (set(&args.rpc), set(&args.rest));
            let listed = match path {
                Some(path) => upcoming::endpoints_around(path, &daemon, &rpc, &rest),
                None => endpoints::list(None, &rpc, &rest),
            };
            listed.map_err(Failure::usage)?
        };
        if endpoints.is_empty() && info.is_none() {
            return Err(Failure::usage(
                "nothing is named that could be looked at: give --rpc or --rest, --home or --info-file",
            ));
        }
        let environment = |name: &str| match name {
            "DAEMON_HOME" => path.and_then(Path::to_str).map(str::to_owned),
            "DAEMON_NAME" => Some(daemon.clone()),
            other => std::env::var(other).ok(),
        };
        let file = file.map(File::read).transpose().map_err(Failure::usage)?;
        let config = path.map(|_| config::read(&environment, &[], file.as_ref()));
        let is_true = |name: &str| environment(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let home = match &config {
            Some(Ok(config)) => config.home.clone(),
            _ => Home {
                keep_case: is_true("COSMOVISOR_DISABLE_RECASE"),
                must_have_checksum: is_true("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM"),
                ..Home::plain(path.map(Path::to_path_buf).unwrap_or_default(), daemon.clone())
            },
        };
        let platforms = args.os_arch.iter().map(|os_arch| Platform { os_arch: os_arch.clone() });
        let mut platforms: Vec<_> = platforms.collect();
        if platforms.is_empty() {
            platforms.push(Platform::host());
        }
        let chosen = config::trust_alone().map_err(Failure::usage)?;
        let trust = upcoming::trust(chosen, Some(&home).filter(|home| home.path.is_absolute()));
        let folder = tempfile::Builder::new().prefix("watcher-check-").tempdir();
        let folder = folder.context("no folder can be made for what is fetched; set TMPDIR to a place with room")?;
        Ok(Self { args, info, endpoints, trust, platforms, home, config, folder })
    }

    /// Whether there is a home to look at.
    fn has_home(&self) -> bool {
        !self.home.path.as_os_str().is_empty()
    }
}

/// Looks, until a signal ends it: none then.
fn look_or_leave(wanted: &Wanted<'_>) -> anyhow::Result<Option<Report>> {
    const LAST_MOMENT: Duration = Duration::from_secs(1);
    let runtime = super::runtime()?;
    let looked = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            report = look(wanted) => report.map(Some),
            _ = signals.next() => Ok(None),
        }
    });
    let is_interrupted = matches!(looked, Ok(None));
    if is_interrupted {
        // A thread that writes goes on. It fails once the folder is gone, but for one that is about to make it anew; so it
        // goes twice, now and as it is dropped.
        let _ = fs::remove_dir_all(wanted.folder.path());
    }
    runtime.shutdown_timeout(if is_interrupted { LAST_MOMENT } else { Duration::ZERO });
    looked
}

async fn look(wanted: &Wanted<'_>) -> anyhow::Result<Report> {
    let mut found = Found::default();
    let clients = Clients::new().context("no HTTP client can be made")?;
    let chain = if wanted.endpoints.is_empty() { None } else { chain::ask(wanted, &clients, &mut found).await };
    let subjects = subject::subjects(wanted, chain.as_ref(), &mut found).map_err(Failure::usage)?;
    let host = Host::new(wanted)?;
    for subject in &subjects {
        let mut about = Findings::default();
        plan::look(wanted, subject, &subjects, chain.as_ref(), &mut about);
        if let Some(chain) = &chain {
            chain.applied(subject, &mut about).await;
        }
        let own = home::staged(wanted, subject);
        let refusal = observe::asks(&wanted.home, &subject.plan.info, &wanted.platforms[0]).err();
        let no_info = refusal.and_then(|refusal| Some((artifacts::of_the_info(refusal.flaw)?, refusal.reason)));
        let mut here = None;
        if let Some((id, reason)) = &no_info {
            let severity = if own.is_some() { Severity::Note } else { Severity::Error };
            let help = "write it as {\"binaries\":{\"linux/amd64\":\"https://…?checksum=sha256:…\"}}";
            about.add(severity, id, reason, help);
        } else {
            for platform in &wanted.platforms {
                let own = own.as_deref().filter(|_| *platform == wanted.home.platform);
                let fetched = host.look(subject, platform, own.is_some(), &mut about, &mut found).await;
                here = here.or(fetched.filter(|_| *platform == wanted.home.platform));
            }
        }
        if wanted.has_home() && (own.is_some() || no_info.is_none()) && wanted.platforms.contains(&wanted.home.platform)
        {
            home::look(wanted, subject, here.as_ref(), &mut about);
        }
        found.findings.about(&subject.name(), about);
    }
    if wanted.has_home() {
        home::settings(wanted, &mut found.findings);
    }
    let verdict = match (found.findings.count(Severity::Error), found.untold) {
        (0, false) => Verdict::Ready,
        (0, true) => Verdict::Unknown,
        _ => Verdict::NotReady,
    };
    let subjects = subjects.iter().map(|subject| subject.shown(chain.as_ref())).collect();
    Ok(Report { verdict, artifacts: found.artifacts, findings: found.findings, subjects })
}
