//! `watcher prepare-upgrade`: stages the binary of the scheduled plan now, as `run` would.

use std::{fs::File, path::Path};

use anyhow::{Context as _, anyhow, bail};

use super::{configured, run::own_and_others, upcoming, wait_for};
use crate::{
    artifact::{self, Verified, inspect::inspect},
    chain::{
        endpoints::Clients,
        survey::{SCHEDULED, Scheduled, Survey, survey},
    },
    config::Config,
    decide::{
        facts::{Receipt, Staged},
        plan::{Artifact, Asks, Plan, Upgrade},
    },
    exit::{Ending, Failure},
    home::{Home, lock, observe},
    http,
    persona::Persona,
    supervisor::progress::of_fetching,
};

/// Asks for the plan, fetches what it names, verifies and places it.
///
/// # Errors
/// Where nobody tells the plan, it names nothing for this machine, or what it names cannot be had.
pub fn prepare_upgrade(persona: Persona, file: Option<&Path>) -> anyhow::Result<Ending> {
    let config = configured(persona, file)?;
    wait_for(async {
        let Some(plan) = scheduled(&config).await? else {
            tracing::info!("No active upgrade plan found");
            return Ok(Ending::Fine);
        };
        tracing::info!(name = plan.name, height = plan.height, "upgrade plan found");
        let upgrade =
            observe::upgrade_of(&config.home, plan).map_err(|e| anyhow!("failed to parse upgrade info: {e}"))?;
        stage(&config, &upgrade).await?;
        Ok(Ending::Fine)
    })
}

async fn scheduled(config: &Config) -> anyhow::Result<Option<Plan>> {
    const NOT_ASKED: &str = "watcher asks over RPC and REST, at the node's own addresses or at those of WATCHER_RPC and \
                             WATCHER_REST, and not at DAEMON_GRPC_ADDRESS";
    let endpoints = own_and_others(config, &[]).map_err(Failure::usage)?;
    let clients = Clients::new().context("no HTTP client can be made")?;
    let quorum = config.settings.quorum;
    let trust = upcoming::trust(config.trust.clone(), Some(&config.home));
    let problems = match survey(&endpoints, &clients, quorum, &trust).await {
        Ok(Survey { scheduled, unanswered, .. }) if !unanswered.contains(&SCHEDULED) => {
            let believed = scheduled.iter().find(|scheduled| scheduled.may_be_staged(quorum));
            if let (None, Some(Scheduled { plan, belief, refuted, against, .. })) = (believed, scheduled.first()) {
                if *refuted {
                    let against = against.join(", ");
                    bail!("upgrade {:?} at height {} is not scheduled, as {against} says", plan.name, plan.height);
                }
                bail!(
                    "upgrade {:?} at height {} is {belief}: WATCHER_QUORUM asks for {quorum} endpoints that say so, or for \
                     the own node's word",
                    plan.name,
                    plan.height
                );
            }
            return Ok(believed.map(|scheduled| scheduled.plan.clone()));
        }
        Ok(survey) => survey.problems,
        Err(none) => none.problems,
    };
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let problems = if problems.is_empty() { "no endpoint is known".to_owned() } else { problems.join("; ") };
    bail!("failed to query upgrade info: failed to query current upgrade plan: {problems} ({NOT_ASKED})")
}

async fn stage(config: &Config, upgrade: &Upgrade) -> anyhow::Result<()> {
    let (home, folder) = (&config.home, &upgrade.folder);
    let (upgrades, aside) = (home.upgrades(), home.own().join("aside"));
    home.prepare().with_context(|| format!("cannot work in {}", home.root().display()))?;
    let staged = match artifact::read_staged(&upgrades, folder, &home.daemon) {
        Staged::Ours(_) | Staged::Suspect(_) => {
            match artifact::verify(&home.store(), &upgrades, folder, &home.daemon, &aside)? {
                Verified::Same(receipt) => Staged::Ours(*receipt),
                Verified::Operator => Staged::Operator,
                Verified::Rotten { kept } => {
                    tracing::warn!(kept = %kept.display(), "what was staged had changed on the disk and is set aside");
                    Staged::None
                }
            }
        }
        other => other,
    };
    let place = home.executable(&home.upgrade(folder));
    match staged {
        Staged::Operator | Staged::Arriving => return report(home, upgrade, &place),
        Staged::Ours(receipt) if receipt.satisfies(upgrade) => {
            tracing::info!(path = %place.display(), sha256 = receipt.sha256, "the binary is staged already, and verified");
            return Ok(());
        }
        Staged::Ours(_) => {
            let to = artifact::set_aside(&upgrades, folder, &aside, &home.daemon)?;
            tracing::warn!(to = %to.display(), "what was staged is not what the plan asks for, and is set aside");
        }
        Staged::None | Staged::Suspect(_) => {}
    }
    match &upgrade.asks {
        Asks::Nothing { reason } => bail!("failed to parse upgrade info: {reason}"),
        Asks::Unusable { reason } => {
            bail!("binary URL not found in upgrade plan. Cannot prepare for upgrade: {reason}");
        }
        Asks::Artifact(_) | Asks::Document { .. } => {}
    }
    if let (true, Some(pid)) = (config.settings.downloads, lock::supervisor(home)) {
        tracing::info!(pid, "`run` works on this home and stages the binary itself; its log tells how far it is");
        return Ok(());
    }
    let receipt = fetch(home, upgrade).await?;
    let store = home.store();
    artifact::place(&store, &receipt, upgrade, &upgrades, &home.daemon)?;
    tracing::info!(path = %place.display(), sha256 = receipt.sha256, "downloading binary complete");
    Ok(())
}

async fn fetch(home: &Home, upgrade: &Upgrade) -> anyhow::Result<Receipt> {
    let web = http::web_client().context("no HTTP client can be made")?;
    let fetched = of_fetching(home, &web, upgrade, "prepare-upgrade").await;
    fetched.map_err(|error| anyhow!("failed to download and verify binary: {error}"))
}

/// Says what an operator's own binary is, and leaves it as it is: it is used whatever the plan says.
fn report(home: &Home, upgrade: &Upgrade, place: &Path) -> anyhow::Result<()> {
    let shown = place.display();
    inspect(place, &home.platform).with_context(|| format!("your own binary {shown} is left as it is"))?;
    let sha256 = artifact::sha256_of(&mut File::open(place)?)?;
    let demanded = match &upgrade.asks {
        Asks::Artifact(Artifact { checksum: Some(checksum), .. }) => Some(checksum.as_str()),
        _ => None,
    };
    match demanded {
        Some(demanded) if demanded == format!("sha256:{sha256}") => {
            tracing::info!(path = %shown, sha256, "your own binary is used as it is; it has the checksum of the plan");
        }
        Some(demanded) => tracing::warn!(
            path = %shown,
            sha256,
            demanded,
            "your own binary is used as it is; the plan's checksum is another, which is fine if it is that of an archive"
        ),
        None => {
            tracing::info!(path = %shown, sha256, "your own binary is used as it is; the plan gives no checksum for it");
        }
    }
    Ok(())
}
