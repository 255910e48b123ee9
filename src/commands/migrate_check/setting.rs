//! The environment that the node's supervisor has or would have, and where each value comes from.

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path};

use super::{findings::Findings, unit::Unit};
use crate::config::variables::{VARIABLES, Variable};

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
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        let variables = std::env::vars_os().map(|(name, value)| {
            let value = value.to_string_lossy().into_owned();
            (name.to_string_lossy().into_owned(), Setting { value, origin: "environment".to_owned() })
        });
        Self { variables: variables.collect(), args: Vec::new() }
    }

    /// Those of a unit that starts `cosmovisor run ARGS…`, or `watcher run ARGS…` already. What the unit names as a config
    /// file comes in below its environment.
    pub(super) fn of_unit(unit: &Unit, findings: &mut Findings) -> Self {
        let mut words = unit.words().into_iter().skip(1).collect::<Vec<_>>();
        let named =
            words.iter().position(|word| word.trim_start_matches('-').eq_ignore_ascii_case("cosmovisor-config"));
        let config = named.map(|at| words.drain(at..words.len().min(at + 2)).nth(1).unwrap_or_default());
        if words.first().is_some_and(|word| word == "run") {
            words.remove(0);
        }
        let args = words.into_iter().map(OsString::from).collect();
        let mut settings = Self { variables: unit.variables.clone(), args };
        if let Some(config) = config {
            settings.below(Path::new(&config), findings);
        }
        settings
    }

    /// A variable's value; an empty one is none.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|setting| setting.value.clone()).filter(|value| !value.is_empty())
    }

    /// What is set and means nothing.
    pub(super) fn look(&self, findings: &mut Findings) {
        let known = |name: &str| VARIABLES.iter().any(|variable| variable.name == name);
        let meant = |name: &str| ["DAEMON_", "COSMOVISOR_", "WATCHER_"].iter().any(|prefix| name.starts_with(prefix));
        for (name, setting) in self.variables.iter().filter(|(name, _)| meant(name) && !known(name)) {
            let message = format!("{name} ({}) is not a variable of watcher and is ignored", setting.origin);
            if let Some((_, help)) = DEPRECATED.iter().find(|(deprecated, _)| deprecated == name) {
                findings.warning("variable-deprecated", message, *help);
                continue;
            }
            let help = match nearest(name) {
                Some(variable) => format!("{} may be meant; otherwise remove it", variable.name),
                None => "remove it".to_owned(),
            };
            findings.warning("variable-unknown", message, help);
        }
    }

    /// Takes the values of a config file for the variables that are not set.
    fn below(&mut self, path: &Path, findings: &mut Findings) {
        let shown = path.display();
        let table = fs::read_to_string(path).map_err(|error| error.to_string());
        let table =
            table.and_then(|text| text.parse::<toml::Table>().map_err(|error| error.message().replace('\n', ", ")));
        let table = match table {
            Ok(table) => table,
            Err(error) => {
                let help = "name a TOML file that can be read";
                return findings.error("config-unreadable", format!("--cosmovisor-config {shown}: {error}"), help);
            }
        };
        for variable in VARIABLES {
            let value = match table.get(&variable.name.to_lowercase()) {
                None => continue,
                Some(toml::Value::String(text)) => text.clone(),
                // `init` writes durations as nanoseconds, and 0 where there is none.
                Some(toml::Value::Integer(0)) if is_duration(variable) => continue,
                Some(toml::Value::Integer(number)) if is_duration(variable) => format!("{number}ns"),
                Some(other) => other.to_string(),
            };
            let setting = Setting { value, origin: shown.to_string() };
            self.variables.entry(variable.name.to_owned()).or_insert(setting);
        }
    }
}

fn is_duration(variable: &Variable) -> bool {
    variable.kind == crate::config::variables::Kind::Duration
}

/// The variable whose name is most like this one, where one is at all: a third of it may differ.
fn nearest(name: &str) -> Option<&'static Variable> {
    let (distance, variable) =
        VARIABLES.iter().map(|variable| (distance(name, variable.name), variable)).min_by_key(|it| it.0)?;
    (distance <= name.len() / 3).then_some(variable)
}

/// How many letters have to be put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (left, b) in other.bytes().enumerate() {
            let best = (diagonal + usize::from(a != b)).min(row[left] + 1).min(row[left + 1] + 1);
            diagonal = std::mem::replace(&mut row[left + 1], best);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_told_with_the_one_that_may_be_meant() {
        for (name, meant) in [
            ("DAEMON_ALLOW_DOWNLOAD_BINARY", Some("DAEMON_ALLOW_DOWNLOAD_BINARIES")),
            ("DAEMON_RESTART_AFTER_UPGRADES", Some("DAEMON_RESTART_AFTER_UPGRADE")),
            ("COSMOVISOR_DISABLE_RECASING", Some("COSMOVISOR_DISABLE_RECASE")),
            ("DAEMON_HOEM", Some("DAEMON_HOME")),
            ("COSMOVISOR_UNHEARD_OF", None),
        ] {
            assert_eq!(nearest(name).map(|variable| variable.name), meant, "{name}");
        }
        assert_eq!((distance("", "abc"), distance("kitten", "sitting"), distance("a", "a")), (3, 3, 0));
    }
}
