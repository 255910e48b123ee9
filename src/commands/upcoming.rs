//! `watcher upcoming`: which upgrades are coming, from a home's own node or from any endpoint.

mod list;
pub(super) mod moment;
pub(super) mod text;

use std::{ffi::OsString, fmt::Write as _, path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use jiff::Zoned;
use serde::Serialize;
use url::Url;

use super::say;
use crate::{
    artifact,
    chain::{
        endpoints::{self, BadAddress, Clients, Endpoint, Own},
        own_node,
        proof::{Choice, Trust},
        survey::{Scheduled, Survey, survey},
    },
    cli::{Format, UpcomingArgs},
    config,
    decide::{facts::Staged, plan::Upgrade},
    exit::{Ending, Failure},
    home::{Home, observe},
    log,
    persona::Persona,
    process::stray,
};
pub use list::{Entry, EtaTimes, State, Upcoming, list};
pub use moment::Moment;

/// Prints what is coming.
///
/// # Errors
/// Where no endpoint answers, or stdout cannot be written.
pub fn upcoming(args: UpcomingArgs) -> anyhow::Result<Ending> {
    log::start(Persona::Watcher, &log::Choices::from_environment());
    let daemon = std::env::var("DAEMON_NAME").unwrap_or_default();
    let endpoints = endpoints_of(&args, &daemon).map_err(Failure::usage)?;
    let chosen = config::trust_alone().map_err(Failure::usage)?;
    let home = Home {
        keep_case: std::env::var("COSMOVISOR_DISABLE_RECASE").is_ok_and(|value| value.eq_ignore_ascii_case("true")),
        ..Home::plain(args.home.unwrap_or_default(), daemon)
    };
    let known = Some(&home).filter(|home| home.path.is_absolute());
    let survey = super::wait_for(ask(&endpoints, args.quorum, &trust(chosen, known)))?;
    let list = of(&survey, &home);
    say(
        Persona::Watcher,
        match args.format {
            Format::Text => text::text(&list, &Zoned::now()),
            Format::Json => json(&list)?,
        },
    )?;
    Ok(if list.unanswered.is_empty() { Ending::Fine } else { Ending::Failed })
}

/// The endpoints that are named, else the node of the home.
fn endpoints_of(args: &UpcomingArgs, daemon: &str) -> anyhow::Result<Vec<Endpoint>> {
    if !args.rpc.is_empty() || !args.rest.is_empty() {
        return Ok(endpoints::list(None, &args.rpc, &args.rest)?);
    }
    let values = config::unchecked().0;
    let others = ["WATCHER_RPC", "WATCHER_REST"].map(|name| values.list(name));
    let Some(home) = &args.home else {
        if others.iter().any(|urls| !urls.is_empty()) {
            return Ok(endpoints::list(None, &others[0], &others[1])?);
        }
        bail!("no endpoint is known: give --rpc or --rest, or --home for the home of a node that runs here");
    };
    if !home.join("config").is_dir() {
        bail!(
            "{} is not the home of a node: it has no config folder; give --rpc, --rest or another --home",
            home.display()
        );
    }
    let endpoints = endpoints_around(home, daemon, &others[0], &others[1])?;
    if endpoints.is_empty() {
        bail!("the node's RPC listens at no address that can be asked; give --rpc or --rest");
    }
    Ok(endpoints)
}

/// What plans are proven from, for a command that only looks: what a running `watcher` keeps in the home is read.
#[must_use]
pub fn trust(chosen: Choice, home: Option<&Home>) -> Arc<Trust> {
    Arc::new(Trust::new(chosen, home.map(Home::trusted_header), true))
}

/// Asks the endpoints once; what some of them got wrong goes to stderr.
///
/// # Errors
/// Where none of them answers.
pub async fn ask(endpoints: &[Endpoint], quorum: usize, trust: &Arc<Trust>) -> anyhow::Result<Survey> {
    let clients = Clients::new().context("no HTTP client can be made")?;
    match survey(endpoints, &clients, quorum, trust).await {
        Ok(mut survey) => {
            survey.problems.iter().for_each(|problem| tracing::warn!("{problem}"));
            if let Some(done) = take_done(&mut survey, endpoints, &clients).await {
                tracing::info!("{done}");
            }
            Ok(survey)
        }
        Err(none) => {
            none.problems.iter().for_each(|problem| tracing::error!("{problem}"));
            Err(none.into())
        }
    }
}

/// Takes out the plan that is carried out already by the own node, or, where none is asked, by the first that answers: the
/// others and the proof are of the block before, until the chain goes on. Gives what is to be told of it.
pub async fn take_done(survey: &mut Survey, endpoints: &[Endpoint], clients: &Clients) -> Option<String> {
    let is_at_its_height = |it: &&Scheduled| it.plan.height == survey.height && it.own != Some(true);
    let plan = survey.scheduled.iter().find(is_at_its_height)?.plan.clone();
    let has_own = endpoints.iter().any(|endpoint| endpoint.own.is_some());
    let asked: Vec<_> = survey.heeded(endpoints).filter(|endpoint| endpoint.own.is_some() == has_own).collect();
    for endpoint in asked {
        let Ok(applied) = clients.open(endpoint).applied_plan(&plan.name).await else { continue };
        if applied != plan.height {
            break;
        }
        survey.scheduled.retain(|it| it.plan != plan);
        survey.proof.take_if(|proof| proof.plan.as_ref() == Some(&plan));
        let (name, by) = (text::name(&plan.name), &endpoint.label);
        return Some(format!(
            "{name} at height {applied} is carried out, as {by} says: the chain goes on once the others have done the same"
        ));
    }
    None
}

/// The list for a home: what this machine makes of each plan, and whether it is staged there.
#[must_use]
pub fn of(survey: &Survey, home: &Home) -> Upcoming {
    let in_place = |upgrade: &Upgrade| {
        let staged = artifact::read_staged(&home.upgrades(), &upgrade.folder, &home.daemon);
        let is_meant = match &staged {
            Staged::Operator | Staged::Arriving => true,
            Staged::Ours(receipt) | Staged::Suspect(receipt) => receipt.satisfies(upgrade),
            Staged::None => false,
        };
        observe::unusable(home, &upgrade.folder, &staged).map_or(Ok(is_meant), Err)
    };
    // Without a home the paths in it would be those of the working directory.
    let is_known = !home.daemon.is_empty() && !home.path.as_os_str().is_empty();
    list(survey, |plan| observe::upgrade_of(home, plan), |upgrade| if is_known { in_place(upgrade) } else { Ok(false) })
}

/// [`endpoints_at`], by the arguments of the node that runs there: what its unit file says stands nowhere else.
///
/// # Errors
/// As that.
pub fn endpoints_around(
    home: &Path,
    daemon: &str,
    rpc: &[String],
    rest: &[String],
) -> Result<Vec<Endpoint>, BadAddress> {
    let args = stray::arguments(&Home::plain(home.to_owned(), daemon.to_owned()));
    endpoints_at(home, &args, daemon, rpc, rest)
}

/// The endpoints of a home: its own node first, by the node's arguments, environment and configuration, then others. A node
/// whose RPC is off is asked over REST where that is on.
///
/// # Errors
/// [`BadAddress`] for the first that cannot be one.
pub fn endpoints_at(
    home: &Path,
    args: &[OsString],
    daemon: &str,
    rpc: &[String],
    rest: &[String],
) -> Result<Vec<Endpoint>, BadAddress> {
    let environment = |name: &str| std::env::var(name).ok();
    let own_rest = own_node::own_rest_address(args, &environment, home, daemon);
    let mut endpoints = if let Some(url) = own_node::own_rpc_address(args, &environment, home, daemon) {
        endpoints::list(Some((url, Own { home: home.to_owned(), rest: own_rest })), rpc, rest)?
    } else {
        let rest: Vec<_> = own_rest.iter().map(Url::to_string).chain(rest.iter().cloned()).collect();
        endpoints::list(None, rpc, &rest)?
    };
    let genesis = own_node::own_genesis(args, &environment, home, daemon);
    for endpoint in &mut endpoints {
        endpoint.genesis = Some(genesis.clone());
    }
    Ok(endpoints)
}

/// Something as JSON. What a terminal would act on is escaped beyond what JSON demands: C1 controls, marks of direction.
pub(super) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    let mut json = String::with_capacity(text.len());
    // Outside strings all is ASCII, so whatever is escaped here stands in a string.
    for c in text.chars() {
        if c == '\u{7f}' || !c.is_ascii() && c.escape_debug().len() > 1 {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(json, "\\u{unit:04x}");
            }
        } else {
            json.push(c);
        }
    }
    Ok(json)
}
