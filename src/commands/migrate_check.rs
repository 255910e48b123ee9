//! `watcher migrate-check`: looks at a home that cosmovisor worked on, and at what starts it, and says what will be used,
//! what means nothing any more, and what is in the way. It changes nothing and asks nobody.

mod access;
mod data;
mod layout;
mod service;
mod setting;
mod text;
mod unit;

use std::path::Path;

use serde::Serialize;

use super::{
    findings::{self, Findings, Severity},
    say,
};
use crate::{
    cli::{Format, MigrateCheckArgs},
    config::{self, Config, variables::VARIABLES},
    exit::{Ending, Failure},
    home::{Home, observe::Observer},
    persona::Persona,
};
use setting::Settings;
use unit::Unit;

/// Everything that is told.
#[derive(Debug, Serialize)]
struct Report {
    verdict: &'static str,
    home: String,
    variables: Vec<InForce>,
    findings: Findings,
    /// The unit's name, and its `ExecStart=` with `watcher` in it.
    #[serde(skip)]
    unit: Option<(String, String)>,
}

/// A variable's value as it is now.
#[derive(Debug, Serialize)]
struct InForce {
    name: &'static str,
    value: String,
    origin: String,
}

/// Looks, and tells.
///
/// # Errors
/// Where there is nothing to look at, or stdout cannot be written.
pub fn migrate_check(file: Option<&Path>, args: &MigrateCheckArgs) -> anyhow::Result<Ending> {
    let unit = (!args.unit.is_empty()).then(|| Unit::read(&args.unit)).transpose();
    let unit = unit.map_err(|error| Failure::usage(format!("--unit {error}")))?;
    let mut findings = Findings::default();
    let settings = match &unit {
        Some(unit) => Settings::of_unit(unit, &mut findings),
        None => Settings::of_process(file, &mut findings),
    };
    if unit.is_none() && settings.get("DAEMON_HOME").is_none() {
        return Err(Failure::usage("DAEMON_HOME is not set: set it and DAEMON_NAME, or give --unit FILE"));
    }
    look(&settings, unit.as_ref(), &mut findings);
    let report = report(&settings, unit.as_ref(), findings);
    say(
        Persona::Watcher,
        match args.format {
            Format::Text => text::text(&report),
            Format::Json => serde_json::to_string_pretty(&report)? + "\n",
        },
    )?;
    Ok(if report.findings.count(Severity::Error) == 0 { Ending::Fine } else { Ending::NotReady })
}

fn look(settings: &Settings, unit: Option<&Unit>, findings: &mut Findings) {
    let names: Vec<String> = settings.variables.keys().cloned().collect();
    let of_environment = |name: &str| settings.variables.get(name).map(|setting| setting.value.clone());
    let read = config::read(&of_environment, &names, settings.file.as_ref().map(|(_, file)| file));
    let config: Option<&Config> = match &read {
        Ok(config) => Some(config),
        Err(error) => {
            for line in &error.0 {
                findings.error("setting-invalid", line, "correct it: watcher does not start with it");
            }
            None
        }
    };
    settings.look(findings);
    if let Some(unit) = unit {
        service::look(unit, findings);
    }
    if let (Some(unit), Some(config)) = (unit, config) {
        service::settings(unit, config, findings);
        service::arguments(settings, config, findings);
    }
    if let Some(config) = config
        && let Some(script) = &config.custom_hook
    {
        layout::hook(&config.home, script, findings);
    }
    if let Some(home) = config.map(|config| config.home.clone()).or_else(|| home_alone(settings)) {
        let facts = Observer::default().observe(&home, &[], false);
        layout::look(&home, &facts, findings);
        data::look(&home, config, &facts, findings);
        // Where a unit names nobody, systemd starts it as root.
        access::look(&home, unit.map(|unit| unit.user.as_deref().unwrap_or("root")), findings);
        access::running(&home, findings);
    }
}

/// The home where some setting is wrong that has nothing to do with it.
fn home_alone(settings: &Settings) -> Option<Home> {
    let get = |name: &str| match name {
        "DAEMON_HOME" | "DAEMON_NAME" => settings.get(name).map(|setting| setting.value),
        // Where backups go may be what is wrong.
        "UNSAFE_SKIP_BACKUP" => Some("true".to_owned()),
        _ => None,
    };
    config::read(&get, &[], None).ok().map(|config| config.home)
}

fn report(settings: &Settings, unit: Option<&Unit>, findings: Findings) -> Report {
    let variables = VARIABLES.iter().map(|variable| {
        let set = settings.get(variable.name);
        let (value, origin) = set
            .as_ref()
            .map_or((variable.default.shown(), "default"), |setting| (setting.value.as_str(), setting.origin.as_str()));
        InForce { name: variable.name, value: variable.shown(value), origin: origin.to_owned() }
    });
    Report {
        verdict: if findings.count(Severity::Error) == 0 { "ready" } else { "not_ready" },
        home: settings
            .get("DAEMON_HOME")
            .map_or_else(|| "(DAEMON_HOME is not set)".to_owned(), |setting| setting.value),
        variables: variables.collect(),
        unit: unit.and_then(|unit| Some((unit.name.clone(), unit.start_with(text::PROGRAM)?))),
        findings,
    }
}
