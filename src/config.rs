//! The operator's choices: one table of every variable, read from the environment as strictly as cosmovisor reads it.

pub mod duration;
pub mod variables;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    artifact::Platform,
    decide::settings::Settings,
    home::Home,
    log::{
        self,
        time_format::{self, TimeFormat},
    },
};
use variables::{Kind, VARIABLES, Variable};

/// Everything that was chosen.
#[derive(Debug, Clone)]
pub struct Config {
    /// The home and how to read it.
    pub home: Home,
    /// What decisions depend on, without the node's arguments.
    pub settings: Settings,
    /// `COSMOVISOR_CUSTOM_PREUPGRADE`, relative to `cosmovisor/`.
    pub custom_hook: Option<String>,
    /// `WATCHER_RPC`.
    pub rpc: Vec<String>,
    /// `WATCHER_REST`.
    pub rest: Vec<String>,
    /// `WATCHER_ALLOW_HOME_MISMATCH`.
    pub allow_home_mismatch: bool,
    /// How log lines are written.
    pub logs: log::Choices,
    /// Variables that look as if they were meant for this program and are not known to it, for a warning.
    pub unknown: Vec<String>,
}

/// Everything that is wrong with the configuration, a line each, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(
    /// The lines.
    pub Vec<String>,
);

/// Reads the environment. `get` gives a variable's value, `names` lists all that are set.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong at once.
pub fn read(get: &dyn Fn(&str) -> Option<String>, names: &[String]) -> Result<Config, ConfigError> {
    let mut reader = Reader { get, problems: Vec::new() };
    let downloads = reader.flag("DAEMON_ALLOW_DOWNLOAD_BINARIES", false);
    let must_have_checksum = reader.flag("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", false);
    let restart_after_upgrade = reader.flag("DAEMON_RESTART_AFTER_UPGRADE", true);
    let skip_backup = reader.flag("UNSAFE_SKIP_BACKUP", false);
    let logs = log::Choices {
        disabled: reader.flag("COSMOVISOR_DISABLE_LOGS", false),
        colour: reader.flag("COSMOVISOR_COLOR_LOGS", true),
        time: reader.time_format("COSMOVISOR_TIMEFORMAT_LOGS"),
        filter: reader.text("WATCHER_LOG"),
    };
    let keep_case = reader.flag("COSMOVISOR_DISABLE_RECASE", false);
    let defaults = Settings::default();
    let poll_interval = reader.duration("DAEMON_POLL_INTERVAL", defaults.poll_interval);
    let restart_delay = reader.duration("DAEMON_RESTART_DELAY", defaults.restart_delay);
    let shutdown_grace = reader.duration("DAEMON_SHUTDOWN_GRACE", defaults.shutdown_grace);
    let pre_upgrade_retries = reader.integer("DAEMON_PREUPGRADE_MAX_RETRIES", 0);
    let upgrade_restarts = reader.integer("WATCHER_UPGRADE_MAX_RESTARTS", i64::from(defaults.upgrade_restarts));
    let jitter = reader.duration_or_zero("WATCHER_DOWNLOAD_JITTER", defaults.jitter);
    let allow_home_mismatch = reader.flag("WATCHER_ALLOW_HOME_MISMATCH", false);
    let daemon = reader.daemon_name();
    let path = reader.home();
    let backups = if skip_backup { None } else { reader.backup_dir(path.as_deref()) };
    if !reader.problems.is_empty() {
        return Err(ConfigError(reader.problems));
    }
    let custom_hook = reader.text("COSMOVISOR_CUSTOM_PREUPGRADE");
    let settings = Settings {
        downloads,
        restart_after_upgrade,
        restart_delay,
        shutdown_grace,
        poll_interval,
        pre_upgrade_retries,
        custom_hook: custom_hook.is_some(),
        upgrade_restarts: u32::try_from(upgrade_restarts).unwrap_or_default(),
        jitter,
        ..defaults
    };
    let (rpc, rest) = (reader.list("WATCHER_RPC"), reader.list("WATCHER_REST"));
    let home = Home {
        path: path.unwrap_or_default(),
        daemon: daemon.unwrap_or_default(),
        keep_case,
        backups,
        platform: Platform::host(),
        must_have_checksum,
    };
    Ok(Config { home, settings, custom_hook, rpc, rest, allow_home_mismatch, logs, unknown: unknown(names) })
}

/// Reads the environment of this process.
///
/// # Errors
/// As [`read`].
pub fn from_environment() -> Result<Config, ConfigError> {
    let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    read(&|name| std::env::var(name).ok(), &names)
}

/// `--home` among the node's arguments, where it is another folder than `DAEMON_HOME`.
#[must_use]
pub fn other_home(home: &Home, args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter();
    let mut named = None;
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        if text == "--home" {
            named = args.next().map(PathBuf::from);
        } else if let Some(path) = text.strip_prefix("--home=") {
            named = Some(PathBuf::from(path));
        }
    }
    let resolve = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    named.filter(|named| resolve(named) != resolve(&home.path))
}

/// Heights after `--unsafe-skip-upgrades`, in both spellings: `5 6` up to the next flag, and `=5,6`.
#[must_use]
pub fn skip_heights(args: &[OsString]) -> Vec<u64> {
    const FLAG: &str = "--unsafe-skip-upgrades";
    let mut heights = Vec::new();
    let mut listing = false;
    for arg in args {
        let text = arg.to_string_lossy();
        if let Some(list) = text.strip_prefix(FLAG) {
            listing = list.is_empty();
            heights.extend(list.trim_start_matches('=').split(',').filter_map(|height| height.parse::<u64>().ok()));
        } else if text.starts_with('-') {
            listing = false;
        } else if listing {
            heights.extend(text.split(',').filter_map(|height| height.parse::<u64>().ok()));
        }
    }
    heights
}

struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_string).collect()
    }

    fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.text(name).map(|value| value.to_lowercase()).as_deref() {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                let text =
                    format!(r#"env variable "{name}" must have a boolean value ("true" or "false"), got "{other}""#);
                self.problems.push(text);
                default
            }
        }
    }

    fn duration(&mut self, name: &str, default: Duration) -> Duration {
        let value = self.duration_or_zero(name, default);
        if value.is_zero() && self.text(name).is_some() && !self.problems.iter().any(|line| line.contains(name)) {
            self.problems.push(format!("invalid: {name}: must be greater than 0"));
        }
        value
    }

    fn duration_or_zero(&mut self, name: &str, default: Duration) -> Duration {
        let Some(text) = self.text(name) else { return default };
        match duration::parse(&text) {
            Ok(Some(value)) => value,
            Ok(None) => {
                self.problems.push(format!("invalid: {name}: must be greater than 0"));
                default
            }
            Err(reason) => {
                self.problems.push(format!("invalid: {name}: could not parse '{text}' into a duration: {reason}"));
                default
            }
        }
    }

    /// Not set and set to nothing are two things here: nothing leaves the time out.
    fn time_format(&mut self, name: &str) -> Option<TimeFormat> {
        match (self.get)(name).as_deref() {
            None => Some(TimeFormat::KITCHEN),
            Some("") => None,
            Some(text) => {
                let format = TimeFormat::named(text);
                if format.is_none() {
                    let names: Vec<&str> = time_format::FORMATS.iter().map(|format| format.name).collect();
                    let names = names.join("|");
                    let text =
                        format!(r#"env variable "{name}" must have a timeformat value ("{names}"), got "{text}""#);
                    self.problems.push(text);
                }
                format
            }
        }
    }

    fn integer(&mut self, name: &str, default: i64) -> i64 {
        let Some(text) = self.text(name) else { return default };
        text.parse().unwrap_or_else(|_| {
            let text = format!("{name} could not be parsed to int: strconv.Atoi: parsing \"{text}\": invalid syntax");
            self.problems.push(text);
            default
        })
    }

    fn daemon_name(&mut self) -> Option<String> {
        let name = self.text("DAEMON_NAME");
        match &name {
            None => self.problems.push("DAEMON_NAME is not set".to_string()),
            Some(name) if name.contains('/') => {
                self.problems
                    .push(format!("DAEMON_NAME must be the file name of the node's executable, got \"{name}\""));
            }
            Some(_) => {}
        }
        name
    }

    fn home(&mut self) -> Option<PathBuf> {
        let Some(home) = self.text("DAEMON_HOME").map(PathBuf::from) else {
            self.problems.push("DAEMON_HOME is not set".to_string());
            return None;
        };
        if !home.is_absolute() {
            self.problems.push("DAEMON_HOME must be an absolute path".to_string());
            return None;
        }
        let root = home.join("cosmovisor");
        match fs::metadata(&root) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => self.problems.push(format!("{} is not a directory", root.display())),
            Err(error) => {
                self.problems.push(format!("cannot stat home dir: stat {}: {}", root.display(), go_text(&error)));
            }
        }
        Some(home)
    }

    fn backup_dir(&mut self, home: Option<&Path>) -> Option<PathBuf> {
        let named = self.text("DAEMON_DATA_BACKUP_DIR").map(PathBuf::from);
        let Some(path) = named.or_else(|| home.map(Path::to_owned)) else {
            self.problems.push("DAEMON_DATA_BACKUP_DIR must not be empty".to_string());
            return None;
        };
        let shown = path.display();
        if !path.is_absolute() {
            self.problems.push(format!("{shown} must be an absolute path"));
            return None;
        }
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => self.problems.push(format!("\"{shown}\" must be a valid directory")),
            Err(error) => {
                let text = format!("\"{shown}\" must be a valid directory: stat {shown}: {}", go_text(&error));
                self.problems.push(text);
            }
        }
        Some(path)
    }
}

/// The system's words as Go prints them, which people search for.
fn go_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn unknown(names: &[String]) -> Vec<String> {
    let ours = |name: &&String| ["DAEMON_", "COSMOVISOR_", "WATCHER_"].iter().any(|prefix| name.starts_with(prefix));
    let known = |name: &&String| VARIABLES.iter().any(|variable| variable.name == name.as_str());
    names.iter().filter(ours).filter(|name| !known(name)).map(|name| advice(name)).collect()
}

fn advice(name: &str) -> String {
    let shared = |other: &Variable| other.name.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
    let nearest = VARIABLES.iter().max_by_key(|variable| shared(variable));
    let prefix = name.find('_').map_or(0, |place| place + 1);
    match nearest.filter(|variable| shared(variable) > prefix + 2) {
        Some(variable) => {
            format!("{name} is not a variable of watcher and is ignored; did you mean {}?", variable.name)
        }
        None => format!("{name} is not a variable of watcher and is ignored"),
    }
}

/// The table as text, for `watcher help`.
#[must_use]
pub fn table() -> String {
    let row = |variable: &Variable| {
        let kind = match variable.kind {
            Kind::Flag => "true|false",
            Kind::Duration => "duration",
            Kind::Integer => "number",
            Kind::Path => "path",
            Kind::Text => "text",
            Kind::List => "list",
        };
        format!("  {} ({kind}, default {})\n      {}\n", variable.name, variable.default, variable.meaning)
    };
    VARIABLES.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn read_from(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let map: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        let names: Vec<String> = map.keys().cloned().collect();
        read(&|name| map.get(name).cloned(), &names)
    }

    #[test]
    fn with_nothing_set_every_missing_thing_is_named() {
        let ConfigError(lines) = read_from(&[]).unwrap_err();
        assert_eq!(
            lines,
            ["DAEMON_NAME is not set", "DAEMON_HOME is not set", "DAEMON_DATA_BACKUP_DIR must not be empty"]
        );
    }

    #[test]
    fn bad_values_are_all_told_at_once_with_the_value() {
        let ConfigError(lines) = read_from(&[
            ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "Yes"),
            ("DAEMON_POLL_INTERVAL", "300"),
            ("DAEMON_SHUTDOWN_GRACE", "0s"),
            ("DAEMON_RESTART_DELAY", "-1s"),
            ("DAEMON_PREUPGRADE_MAX_RETRIES", "x"),
            ("DAEMON_NAME", "noded"),
            ("DAEMON_HOME", "here"),
            ("UNSAFE_SKIP_BACKUP", "true"),
        ])
        .unwrap_err();
        assert_eq!(
            lines,
            [
                r#"env variable "DAEMON_ALLOW_DOWNLOAD_BINARIES" must have a boolean value ("true" or "false"), got "yes""#,
                r#"invalid: DAEMON_POLL_INTERVAL: could not parse '300' into a duration: time: missing unit in duration "300""#,
                "invalid: DAEMON_RESTART_DELAY: must be greater than 0",
                "invalid: DAEMON_SHUTDOWN_GRACE: must be greater than 0",
                r#"DAEMON_PREUPGRADE_MAX_RETRIES could not be parsed to int: strconv.Atoi: parsing "x": invalid syntax"#,
                "DAEMON_HOME must be an absolute path",
            ]
        );
    }

    #[test]
    fn a_complete_environment_is_read_and_strangers_are_named() {
        let keep = tempfile::tempdir().unwrap();
        fs::create_dir(keep.path().join("cosmovisor")).unwrap();
        let config = read_from(&[
            ("DAEMON_HOME", keep.path().to_str().unwrap()),
            ("DAEMON_NAME", "noded"),
            ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "TRUE"),
            ("DAEMON_ALLOW_DOWNLOAD_BINARY", "true"),
            ("WATCHER_RPC", "http://a:1, https://b"),
            ("WATCHER_DOWNLOAD_JITTER", "0s"),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert!(config.settings.downloads && config.settings.jitter.is_zero());
        assert_eq!(config.rpc, ["http://a:1", "https://b"]);
        assert_eq!(config.home.backups.as_deref(), Some(keep.path()));
        assert_eq!(config.unknown.len(), 1);
        assert!(config.unknown[0].contains("did you mean DAEMON_ALLOW_DOWNLOAD_BINARIES"), "{:?}", config.unknown);
    }

    #[test]
    fn heights_to_skip_are_read_in_both_spellings() {
        let args = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(skip_heights(&args("start --unsafe-skip-upgrades 5 6 --x 7")), [5, 6]);
        assert_eq!(skip_heights(&args("start --unsafe-skip-upgrades 10 as 20")), [10, 20]);
        assert_eq!(skip_heights(&args("start --unsafe-skip-upgrades=5,6 7")), [5, 6]);
        assert!(skip_heights(&args("start")).is_empty());
    }

    #[test]
    fn another_home_among_the_arguments_is_found() {
        let (keep, home) = crate::home::tests::home_with(&[]);
        let same = keep.path().join("data/..");
        let args = |path: &Path| [OsString::from("start"), OsString::from("--home"), path.as_os_str().to_owned()];
        assert_eq!(other_home(&home, &args(&same)), None);
        assert_eq!(other_home(&home, &args(Path::new("/elsewhere"))), Some(PathBuf::from("/elsewhere")));
        assert_eq!(other_home(&home, &[OsString::from("--home=/x")]), Some(PathBuf::from("/x")));
    }
}
