//! `watcher fetch-history`: stages the binary of every upgrade that the chain has gone through, so that a node which starts
//! from genesis passes all its halts unattended.

mod table;

use std::path::Path;

use anyhow::{Context as _, bail};

use super::{run::own_and_others, say};
use crate::{
    artifact,
    chain::{
        endpoints::{self, Clients, Endpoint},
        history::{History, history},
    },
    cli::FetchHistoryArgs,
    config::Config,
    decide::{
        facts::{Receipt, Staged},
        plan::{Asks, Plan, Upgrade},
    },
    exit::Ending,
    home::{Home, current, lock, observe},
    http,
    persona::Persona,
    supervisor::progress::of_fetching,
};
use table::{How, Row, table};

/// Stages what the chain has applied, and tells what is in place and what is not.
///
/// # Errors
/// Where no endpoint tells of the chain's history, the home cannot be worked on, or stdout cannot be written.
pub fn fetch_history(file: Option<&Path>, args: &FetchHistoryArgs) -> anyhow::Result<Ending> {
    let (config, endpoints) = configured(file, args)?;
    super::wait_for(staged(&config, &endpoints, args.dry_run))
}

async fn staged(config: &Config, endpoints: &[Endpoint], dry_run: bool) -> anyhow::Result<Ending> {
    let history = ask(endpoints).await?;
    let home = &config.home;
    // Two that place at once would be in each other's way.
    let lock = if dry_run { None } else { Some(begin(home)?) };
    let web = http::web_client().context("no HTTP client can be made")?;
    let stager = Stager { home, web, endpoint: &history.endpoint, dry_run };
    let mut rows: Vec<Row> = Vec::new();
    for plan in &history.plans {
        let row = stager.row(plan, &rows).await;
        if let How::Missing(reason) = &row.how {
            tracing::error!("upgrade {:?} at height {} is not staged: {reason}", plan.name, plan.height);
        }
        rows.push(row);
    }
    let complete = history.unread.is_empty() && !rows.iter().any(|row| matches!(row.how, How::Missing(_)));
    if complete && lock.is_some() {
        // What is placed is needed in the store no more.
        home.store().forget(history.height, &home.daemon).context("the store cannot be cleared")?;
    }
    drop(lock);
    say(Persona::Watcher, table(&history, &rows))?;
    Ok(if complete { Ending::Fine } else { Ending::Failed })
}

fn configured(file: Option<&Path>, args: &FetchHistoryArgs) -> anyhow::Result<(Config, Vec<Endpoint>)> {
    let config = super::configured(Persona::Watcher, file)?;
    let endpoints = if args.rpc.is_empty() && args.rest.is_empty() {
        own_and_others(&config, &[])?
    } else {
        endpoints::list(None, &args.rpc, &args.rest)?
    };
    if endpoints.is_empty() {
        bail!("no endpoint is known: give --rpc or --rest, of a node that has the whole chain behind it");
    }
    Ok((config, endpoints))
}

async fn ask(endpoints: &[Endpoint]) -> anyhow::Result<History> {
    let clients = Clients::new().context("no HTTP client can be made")?;
    let history = match history(endpoints, &clients).await {
        Ok(history) => history,
        Err(none) => {
            none.problems.iter().for_each(|problem| tracing::error!("{problem}"));
            return Err(none.into());
        }
    };
    history.problems.iter().for_each(|problem| tracing::warn!("{problem}"));
    history.unread.iter().for_each(|fault| tracing::error!("an upgrade may be missing here: {fault}"));
    if history.catching_up {
        tracing::warn!(
            "the endpoints are at height {} and still catching up: what the chain applied after that is missing here",
            history.height
        );
    }
    Ok(history)
}

/// Takes the home's lock and makes ready, as `run` does.
fn begin(home: &Home) -> anyhow::Result<lock::Supervisor> {
    home.prepare().with_context(|| format!("cannot work in {}", home.root().display()))?;
    let lock = lock::supervise(home)?;
    home.store().sweep().context("what an earlier run left in the store cannot be removed")?;
    Ok(lock)
}

/// Stages one upgrade after the other.
struct Stager<'a> {
    home: &'a Home,
    web: http::Web,
    /// Who told of the plans.
    endpoint: &'a str,
    dry_run: bool,
}

impl Stager<'_> {
    /// Stages an upgrade, where it is not; `before` are those that were looked at.
    async fn row(&self, plan: &Plan, before: &[Row]) -> Row {
        let upgrade = match observe::upgrade_of(self.home, plan.clone()) {
            Ok(upgrade) => upgrade,
            Err(bad) => return Row { plan: plan.clone(), place: None, how: How::Missing(bad.to_string()) },
        };
        let place = Some(self.home.executable(&self.home.upgrade(&upgrade.folder)));
        let how = if before.iter().any(|row| row.place == place) {
            How::Missing("it would lie where that of an earlier upgrade lies".to_owned())
        } else {
            self.stage(&upgrade).await.unwrap_or_else(|error| How::Missing(format!("{error:#}")))
        };
        Row { plan: plan.clone(), place, how }
    }

    async fn stage(&self, upgrade: &Upgrade) -> anyhow::Result<How> {
        let Home { daemon, .. } = self.home;
        let (upgrades, store) = (self.home.upgrades(), self.home.store());
        let aside = self.home.own().join("aside");
        let folder = &upgrade.folder;
        if let (Staged::Suspect(_), false) = (artifact::read_staged(&upgrades, folder, daemon), self.dry_run) {
            artifact::verify(&store, &upgrades, folder, daemon, &aside)?;
        }
        let runs = current::read(self.home).is(folder);
        let staged = artifact::read_staged(&upgrades, folder, daemon);
        match &staged {
            Staged::Operator | Staged::Arriving => return Ok(How::Own),
            Staged::Ours(receipt) | Staged::Suspect(receipt) if runs || receipt.satisfies(upgrade) => {
                if !receipt.applied && !self.dry_run {
                    let receipt = Receipt { plan: upgrade.plan.clone(), applied: true, ..receipt.clone() };
                    artifact::renew(&upgrades, folder, &receipt)?;
                }
                return Ok(How::Before);
            }
            Staged::Ours(_) | Staged::Suspect(_) | Staged::None => {}
        }
        if let Asks::Nothing { reason } | Asks::Unusable { reason } = &upgrade.asks {
            bail!("{reason}");
        }
        if self.dry_run {
            return Ok(How::Would(upgrade.asks.clone()));
        }
        let receipt = of_fetching(self.home, &self.web, upgrade, self.endpoint).await?;
        if staged != Staged::None {
            let to = artifact::set_aside(&upgrades, folder, &aside, daemon)?;
            tracing::warn!(to = %to.display(), "set a staged binary aside that is not the one that was applied");
        }
        artifact::place(&store, &Receipt { applied: true, ..receipt }, upgrade, &upgrades, daemon)?;
        Ok(How::Fetched)
    }
}
