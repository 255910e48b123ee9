//! The environment that the node's supervisor has or would have, and where each value comes from.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use serde_json::Value;

use super::{findings::Findings, unit::Unit};
use crate::config::{
    arguments,
    file::File,
    unknown,
    variables::{Kind, VARIABLES, Variable},
};

/// What a variable is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The value.
    pub(super) value: String,
    /// Where it stands: `environment`, `gaiad.service:7`.
    pub(super) origin: String,
}

/// Variables and arguments.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// What is set, by name.
    pub(super) variables: BTreeMap<String, Setting>,
    /// The node's arguments, where a unit says them.
    pub(super) args: Vec<OsString>,
    /// The config file, with its name.
    pub(super) file: Option<(String, File)>,
}

/// Variables that people still set, and what became of them.
const DEPRECATED: [(&str, &str); 3] = [
    ("DAEMON_LOG_BUFFER_SIZE", "remove it: the node's output has passed through untouched since cosmovisor 1.0"),
    ("DAEMON_BACKUP_DIR", "set DAEMON_DATA_BACKUP_DIR instead: backups go where that says, else to DAEMON_HOME"),
    (
        "DAEMON_RPC_ADDRESS",
        "remove it: the node's own address is read from its arguments and config.toml; WATCHER_RPC adds others",
    ),
];

impl Settings {
    /// Those of this process, and of a config file.
    pub(super) fn of_process(file: Option<&Path>, findings: &mut Findings) -> Self {
        let variables = std::env::vars_os().map(|(name, value)| {
            let value = value.to_string_lossy().into_owned();
            (name.to_string_lossy().into_owned(), Setting { value, origin: "environment".to_owned() })
        });
        Self { variables: variables.collect(), args: Vec::new(), file: None }.with(file, findings)
    }

    /// Those of a unit that starts `cosmovisor run ARGS…`, or `watcher run ARGS…` already, and of the config file that it
    /// names.
    pub(super) fn of_unit(unit: &Unit, findings: &mut Findings) -> Self {
        let mut args: Vec<_> = unit.words().into_iter().skip(1).map(OsString::from).collect();
        let named = arguments::take_config(&mut args).unwrap_or_else(|error| {
            findings.error("config-unreadable", error.to_string(), "name a file behind it, or remove it");
            None
        });
        if args.first().is_some_and(|word| word == "run") {
            args.remove(0);
        }
        Self { variables: unit.variables.clone(), args, file: None }.with(named.as_deref(), findings)
    }

    fn with(mut self, file: Option<&Path>, findings: &mut Findings) -> Self {
        self.file = file.and_then(|path| match File::read(path) {
            Ok(file) => Some((path.display().to_string(), file)),
            Err(error) => {
                let message = format!("--cosmovisor-config {}: {error}", path.display());
                findings.error("config-unreadable", message, "name a TOML, JSON or YAML file that can be read");
                None
            }
        });
        self
    }

    /// What a variable is set to, in the environment or else in the file; an empty value is none.
    pub(super) fn get(&self, name: &str) -> Option<Setting> {
        let set = self.variables.get(name).filter(|setting| !setting.value.is_empty());
        set.cloned().or_else(|| self.in_file(VARIABLES.iter().find(|variable| variable.name == name)?))
    }

    fn in_file(&self, variable: &Variable) -> Option<Setting> {
        let is_duration = matches!(variable.kind, Kind::Duration | Kind::DurationOrZero);
        let (origin, file) = self.file.as_ref()?;
        let value = match file.get(&variable.name.to_lowercase())? {
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) => text.clone(),
            // `init` writes durations as nanoseconds, and 0 where there is none.
            Value::Number(number) if number.as_u64() == Some(0) && variable.kind == Kind::Duration => return None,
            Value::Number(number) if is_duration => format!("{number}ns"),
            other => other.to_string(),
        };
        Some(Setting { value, origin: origin.clone() })
    }

    /// What is set and means nothing.
    pub(super) fn look(&self, findings: &mut Findings) {
        for (name, setting) in self.variables.iter().filter(|(name, _)| unknown::is_unknown(name)) {
            let message = format!("{name} ({}) is not a variable of watcher and is ignored", setting.origin);
            if let Some((_, help)) = DEPRECATED.iter().find(|(deprecated, _)| deprecated == name) {
                findings.warning("variable-deprecated", message, *help);
                continue;
            }
            let help = match unknown::nearest(name) {
                Some(variable) => format!("{} may be meant; otherwise remove it", variable.name),
                None => "remove it".to_owned(),
            };
            findings.warning("variable-unknown", message, help);
        }
    }
}
