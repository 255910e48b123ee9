//! `watcher config`: every value, and where it came from.

use std::{fmt::Write as _, path::Path};

use super::{configured, say};
use crate::{
    config::{
        Config, duration,
        value::Value,
        values::{Chosen, Origin},
        variables::Default,
    },
    exit::Ending,
    persona::Persona,
};

/// Prints the configuration.
///
/// # Errors
/// Where it is wrong.
pub fn config(persona: Persona, file: Option<&Path>) -> anyhow::Result<Ending> {
    let config = configured(persona, file)?;
    let text = match persona {
        Persona::Watcher => {
            super::warn_of_unknown(&config);
            with_origins(&config)
        }
        // Its log lines would mix with what is read by a script.
        Persona::Cosmovisor => as_cosmovisor(&config),
    };
    say(persona, text)?;
    Ok(Ending::Fine)
}

fn as_cosmovisor(config: &Config) -> String {
    let mut text = "Configurable Values:\n".to_owned();
    // It has one more, and does not show it.
    let shown = |chosen: &&Chosen| chosen.variable.is_cosmovisors() && chosen.variable.name != "DAEMON_GRPC_ADDRESS";
    for Chosen { variable, value, .. } in config.values.iter().filter(shown) {
        let _ = writeln!(text, "  {}: {value}", variable.name);
    }
    text + "Derived Values:\n" + &derived(config)
}

fn with_origins(config: &Config) -> String {
    let rows: Vec<_> = config.values.iter().map(|chosen| (chosen, effective(config, chosen))).collect();
    let widest = rows.iter().map(|(_, value)| value.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (Chosen { variable, origin, .. }, value) in &rows {
        let origin = match origin {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::Environment => "environment",
        };
        let _ = writeln!(text, "{:<34}  {value:<widest$}  {origin}", variable.name);
    }
    text + "\n" + &derived(config)
}

/// A value as it is in force, in words where nothing is set.
fn effective(config: &Config, chosen: &Chosen) -> String {
    match (&chosen.value, chosen.variable.name, chosen.variable.default) {
        (_, "DAEMON_SHUTDOWN_GRACE", _) => duration::shown(config.settings.shutdown_grace),
        (_, "DAEMON_POLL_INTERVAL", _) => duration::shown(config.settings.poll_interval),
        (Value::TimeFormat(format), ..) => format.map_or("no time", |format| format.name).to_owned(),
        (value, _, Default::InPlace(words)) if value.to_string().is_empty() => format!("({words})"),
        (value, ..) => chosen.variable.shown(&value.to_string()),
    }
}

fn derived(config: &Config) -> String {
    let home = &config.home;
    let lines = [
        ("Root Dir", home.root().display().to_string()),
        ("Upgrade Dir", home.upgrades().display().to_string()),
        ("Genesis Bin", home.executable(&home.root().join("genesis")).display().to_string()),
        ("Monitored File", home.upgrade_info().display().to_string()),
        ("Data Backup Dir", config.values.text("DAEMON_DATA_BACKUP_DIR").unwrap_or_default().to_owned()),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        let _ = writeln!(text, "  {name:>15}: {value}");
    }
    text
}
