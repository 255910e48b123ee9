//! `watcher run`: supervises the node.

mod dry;

use std::{
    ffi::OsString,
    fs,
    hash::{BuildHasher as _, RandomState},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{mpsc, watch};

use super::upcoming::endpoints_at;
use crate::{
    chain::{
        endpoints::{Clients, Endpoint},
        own_node::OwnNode,
        poller,
        proof::Trust,
    },
    config::{self, Config, arguments},
    decide::{
        decision::{Attention, Exit},
        plan::Plan,
        settings::OnFailure,
    },
    exit::{Ending, Failure, told},
    home::{
        Home,
        backup::{self, BackupError},
        observe, version,
    },
    http,
    persona::{Persona, spoken},
    supervisor::{Ears, Supervisor},
};

/// No plan's info is read beyond this: the longest of real chains has 4 KiB.
pub(super) const LONGEST_INFO: usize = 64 * 1024;
/// How many things heard may wait to be decided on; endpoints wait when there are more.
const HEARD: usize = 64;
/// How long the own node may take to answer: it is on this machine.
const OWN_ANSWER: Duration = Duration::from_secs(2);

/// Runs the node with these arguments until it ends or is asked to.
///
/// # Errors
/// Where the configuration is wrong, or the home cannot be worked on.
pub fn run(persona: Persona, mut args: Vec<OsString>) -> anyhow::Result<Ending> {
    let file = arguments::take_config(&mut args).map_err(Failure::usage)?;
    // Whatever else stands behind cosmovisor's `run` is the node's.
    let dry = persona == Persona::Watcher && args.first().is_some_and(|first| first == "--dry-run");
    if dry {
        args.remove(0);
    }
    let configured =
        configured(persona, file.as_deref(), &args).and_then(|config| Ok((own_and_others(&config, &args)?, config)));
    let (endpoints, config) = configured.map_err(|error| Failure::usage(told(&error)))?;
    super::wait_for(async {
        if dry {
            return dry::run(&config, &endpoints).await;
        }
        raise_the_limit_of_open_files();
        let ears = listen(&config, endpoints)?;
        let (pass_exit_code, program) = (config.pass_exit_code, config.program.clone());
        let logged = persona == Persona::Watcher && !config.logs.disabled;
        let (ending, reason) = match Supervisor::new(config, args, ears)?.run().await? {
            Exit::Fine => return Ok(Ending::Fine),
            Exit::NodeEnded(exit) if pass_exit_code => (Ending::AsTheNode(exit.as_shell()), exit.to_string()),
            Exit::NodeEnded(exit) => (Ending::Failed, exit.to_string()),
            Exit::NodeFailed(reason) => (Ending::Failed, spoken(&reason, &program)),
            Exit::UpgradeFailed(reason) => (Ending::UpgradeFailed, spoken(&reason, &program)),
        };
        if logged {
            tracing::error!("{reason}");
            return Ok(ending);
        }
        Err(Failure { ending, reason }.into())
    })
}

/// As every Go program does at its start (golang/go#46279), so that a supervisor and its backups have as many as the node takes.
fn raise_the_limit_of_open_files() {
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    // With fewer it works as well, as long as they suffice.
    let _ = limit.and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
}

fn configured(persona: Persona, file: Option<&Path>, args: &[OsString]) -> anyhow::Result<Config> {
    let mut config = super::configured(persona, file)?;
    super::warn_of_unknown(&config);
    config.settings.skip_heights = arguments::skip_heights(args);
    config.settings.seed = RandomState::new().hash_one(std::process::id());
    if persona == Persona::Cosmovisor && config.values.text(config::ON_UPGRADE_FAILURE).is_none() {
        config.settings.on_upgrade_failure = OnFailure::Leave;
    }
    let home = &config.home;
    if let Some(other) = arguments::other_home(home, args)
        && !config.allow_home_mismatch
    {
        let text = format!(
            "--home is {} and DAEMON_HOME is {}: the node would write upgrade-info.json where nobody looks; make them \
             the same, or set WATCHER_ALLOW_HOME_MISMATCH=true",
            other.display(),
            home.path.display()
        );
        match persona {
            Persona::Watcher => bail!(text),
            // cosmovisor never looks at it, and a unit file that works has to go on working.
            Persona::Cosmovisor => tracing::error!("{text}"),
        }
    }
    let data = home.data();
    let found = fs::metadata(&data).with_context(|| format!("{} must be an existing directory", data.display()))?;
    if !found.is_dir() {
        bail!("{} must be an existing directory", data.display());
    }
    // A node that needs no backup now is not kept down for it: an upgrade looks again before it stops the node.
    match backup::place::check(home) {
        Err(error @ (BackupError::NotMounted { .. } | BackupError::Refused { .. } | BackupError::Ours { .. })) => {
            tracing::error!("{error}; the next upgrade will wait for that");
        }
        checked => checked?,
    }
    if let Some(script) = config.custom_hook.as_ref().map(|script| home.root().join(script))
        && !script.is_file()
    {
        let script = script.display();
        tracing::warn!(
            "COSMOVISOR_CUSTOM_PREUPGRADE is {script}, and is no file: an upgrade would stop the node and go no further"
        );
    }
    if let Some(flaw) = backup::flaw(home) {
        tracing::warn!("{flaw}");
    }
    config.home.manner.node_arguments = version::current(home)?.arguments(args);
    for error in version::not_understood(&config.home) {
        tracing::error!("{error}");
    }
    Ok(config)
}

pub(super) fn own_and_others(config: &Config, args: &[OsString]) -> anyhow::Result<Vec<Endpoint>> {
    let args = version::current(&config.home)?.arguments(args);
    let Home { path, daemon, .. } = &config.home;
    let endpoints =
        endpoints_at(path, &args, daemon, &config.rpc, &config.rest).context("WATCHER_RPC or WATCHER_REST")?;
    let (quorum, known) = (config.settings.quorum, endpoints.len());
    if quorum > known.max(1) {
        tracing::warn!(
            "WATCHER_QUORUM is {quorum}, and the number of endpoints is {known}: what the own node does not say will never be \
             fetched; name more in WATCHER_RPC or WATCHER_REST"
        );
    }
    Ok(endpoints)
}

fn listen(config: &Config, endpoints: Vec<Endpoint>) -> anyhow::Result<Ears> {
    if endpoints.is_empty() {
        tracing::warn!(
            "nobody can be asked what is scheduled: the node's RPC listens at no address (laddr in config.toml), and WATCHER_RPC \
             and WATCHER_REST name none; upgrades are seen once the node halts for them, and nothing is fetched before"
        );
    }
    let own = endpoints.iter().find(|endpoint| endpoint.own.is_some());
    let own_node = own
        .map(|own| OwnNode::new(own.url.clone(), config.home.path.clone(), OWN_ANSWER))
        .transpose()
        .context("no HTTP client can be made")?;
    let (tell, heard) = mpsc::channel(HEARD);
    let (attention, attended) = watch::channel(Attention::Relaxed);
    let home = config.home.clone();
    let told = Mutex::new(String::new());
    let upgrade_of = move |plan: Plan| {
        let upgrade = if plan.info.len() > LONGEST_INFO {
            Err(format!(
                "the info of plan {:?} has {} bytes, and {LONGEST_INFO} are read",
                plan.name.chars().take(80).collect::<String>(),
                plan.info.len()
            ))
        } else {
            observe::upgrade_of(&home, plan).map_err(|error| format!("{:.400}", error.to_string()))
        };
        // Each endpoint says it again at each block.
        upgrade
            .inspect_err(|error| {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                if *told != *error {
                    tracing::warn!("a plan cannot be carried out: {error}");
                    told.clone_from(error);
                }
            })
            .ok()
    };
    let clients = Clients::new().context("no HTTP client can be made")?;
    let trust = Arc::new(Trust::new(config.trust.clone(), Some(config.home.trusted_header()), false));
    tokio::spawn(poller::follow(endpoints.clone(), clients.clone(), trust, upgrade_of, attended, tell));
    let web = http::web_client().context("no HTTP client can be made")?;
    Ok(Ears { heard, attention, own_node, endpoints, clients, web })
}
