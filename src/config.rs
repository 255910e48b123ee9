//! The operator's choices: one table of every variable, read from the environment and a configuration file as strictly as
//! cosmovisor reads them.

pub mod arguments;
pub mod duration;
pub mod file;
pub(crate) mod unknown;
pub mod value;
pub mod values;
pub mod variables;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;

use crate::{
    artifact::Platform,
    chain::proof::{BadPoint, Choice, Point},
    decide::settings::{OnFailure, Settings},
    home::{
        Home,
        backup::{Manner, Means},
    },
    log,
    persona::Persona,
};
use file::File;
use values::Values;
use variables::VARIABLES;

/// What says what follows where an upgrade failed.
pub const ON_UPGRADE_FAILURE: &str = "WATCHER_ON_UPGRADE_FAILURE";

/// Everything that was chosen.
#[derive(Debug, Clone)]
pub struct Config {
    /// The home and how to read it.
    pub home: Home,
    /// What decisions depend on, without the node's arguments.
    pub settings: Settings,
    /// `WATCHER_STOP_SIGNAL`: what the node gets where `watcher` itself wants it to stop.
    pub stop_signal: Signal,
    /// `COSMOVISOR_CUSTOM_PREUPGRADE`, relative to `cosmovisor/`.
    pub custom_hook: Option<String>,
    /// `WATCHER_RPC`.
    pub rpc: Vec<String>,
    /// `WATCHER_REST`.
    pub rest: Vec<String>,
    /// `WATCHER_TRUST_HEIGHT` and the like: what plans are proven from.
    pub trust: Choice,
    /// `WATCHER_PASS_EXIT_CODE`.
    pub pass_exit_code: bool,
    /// `WATCHER_ALLOW_HOME_MISMATCH`.
    pub allow_home_mismatch: bool,
    /// How log lines are written.
    pub logs: log::Choices,
    /// What to say of variables that look as if they were meant for this program and are not known to it.
    pub unknown: Vec<String>,
    /// Every value and where it came from.
    pub values: Values,
    /// The name under which the program was started.
    pub persona: Persona,
    /// How the program is called where its own commands are meant.
    pub program: String,
}

/// Everything that is wrong with the configuration, a line each, in the order in which cosmovisor tells it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(
    /// The lines.
    pub Vec<String>,
);

/// Reads the environment and, where one is named, a configuration file.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong at once.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let odd = not_text();
    if !odd.is_empty() {
        return Err(ConfigError(odd));
    }
    let file = file.map(File::read).transpose()?;
    let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    read(&environment, &names, file.as_ref())
}

/// Reads the environment alone and takes everything as it is, right or wrong; what cannot be read is told and is zero.
#[must_use]
pub fn unchecked() -> (Values, Vec<String>) {
    let (mut values, mut problems) = values::read(&environment, None);
    backup_dir(&mut values);
    problems.extend(not_text());
    (values, problems)
}

/// What is set to something that is no text: it must not count as not set.
fn not_text() -> Vec<String> {
    let odd = VARIABLES.iter().filter_map(|variable| {
        let value = std::env::var_os(variable.name).filter(|value| value.to_str().is_none())?;
        Some(format!("{} must be UTF-8, got \"{}\"", variable.name, value.as_encoded_bytes().escape_ascii()))
    });
    odd.collect()
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads an environment: `get` gives a variable's value, `names` lists all that are set.
///
/// # Errors
/// As [`load`].
pub fn read(
    get: &dyn Fn(&str) -> Option<String>,
    names: &[String],
    file: Option<&File>,
) -> Result<Config, ConfigError> {
    let (mut values, mut problems) = values::read(get, file);
    backup_dir(&mut values);
    if file.is_some() {
        // The time's format is looked at after everything was decoded.
        let (later, undecoded): (Vec<_>, Vec<_>) =
            problems.into_iter().partition(|problem| problem.contains("must have a timeformat value"));
        if !undecoded.is_empty() {
            return Err(ConfigError(vec![not_decoded(undecoded)]));
        }
        problems = later;
    }
    let stop_signal = stop_signal(&values, &mut problems);
    let on_upgrade_failure = on_upgrade_failure(&values, &mut problems);
    let manner = manner(&values, &mut problems);
    let mut count = |name, least| count(&values, name, least, &mut problems);
    let (upgrade_restarts, crash_restarts) =
        (count("WATCHER_UPGRADE_MAX_RESTARTS", 0), count("WATCHER_RESTART_ON_CRASH", 0));
    let quorum = count("WATCHER_QUORUM", 1) as usize;
    let trust = trust(&values).unwrap_or_else(|error| {
        problems.push(error.to_string());
        Choice::default()
    });
    problems.extend(values.text("WATCHER_LOG").and_then(|filter| log::check(filter).err()));
    if let Some(home) = check_identity(&values, &mut problems) {
        check_home(home, &mut problems);
    }
    let backups = values.text("DAEMON_DATA_BACKUP_DIR").map(PathBuf::from);
    let backups = if values.flag("UNSAFE_SKIP_BACKUP") {
        None
    } else {
        check_backups(backups.as_deref(), &mut problems);
        backups
    };
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let custom_hook = values.text("COSMOVISOR_CUSTOM_PREUPGRADE").map(str::to_owned);
    let defaults = Settings::default();
    let settings = Settings {
        downloads: values.flag("DAEMON_ALLOW_DOWNLOAD_BINARIES"),
        restart_after_upgrade: values.flag("DAEMON_RESTART_AFTER_UPGRADE"),
        restart_delay: values.duration("DAEMON_RESTART_DELAY"),
        shutdown_grace: values.duration_or("DAEMON_SHUTDOWN_GRACE", defaults.shutdown_grace),
        poll_interval: values.duration_or("DAEMON_POLL_INTERVAL", defaults.poll_interval),
        pre_upgrade_retries: values.integer("DAEMON_PREUPGRADE_MAX_RETRIES"),
        custom_hook: custom_hook.is_some(),
        upgrade_restarts,
        crash_restarts,
        on_upgrade_failure,
        quorum,
        jitter: values.duration("WATCHER_DOWNLOAD_JITTER"),
        ..defaults
    };
    let home = Home {
        path: values.text("DAEMON_HOME").unwrap_or_default().into(),
        daemon: values.text("DAEMON_NAME").unwrap_or_default().to_owned(),
        keep_case: values.flag("COSMOVISOR_DISABLE_RECASE"),
        backups,
        manner,
        platform: Platform::host(),
        must_have_checksum: values.flag("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM"),
        local_info: values.flag("WATCHER_LOCAL_INFO"),
    };
    Ok(Config {
        home,
        settings,
        stop_signal,
        custom_hook,
        rpc: values.list("WATCHER_RPC"),
        rest: values.list("WATCHER_REST"),
        trust,
        pass_exit_code: values.flag("WATCHER_PASS_EXIT_CODE"),
        allow_home_mismatch: values.flag("WATCHER_ALLOW_HOME_MISMATCH"),
        logs: values.logs(),
        unknown: unknown::advice(names, file),
        values,
        persona: Persona::Watcher,
        program: Persona::Watcher.program(),
    })
}

/// Backups go to the home where nothing else is said.
fn backup_dir(values: &mut Values) {
    const NAME: &str = "DAEMON_DATA_BACKUP_DIR";
    if let (None, Some(home)) = (values.text(NAME), values.text("DAEMON_HOME").map(str::to_owned)) {
        values.put(NAME, &home);
    }
}

/// What a file, or the environment over it, says and cannot be read, as cosmovisor tells it.
fn not_decoded(mut problems: Vec<String>) -> String {
    problems.sort();
    let lines: Vec<String> = problems.iter().map(|problem| format!("* {problem}")).collect();
    format!("failed to unmarshal configuration: {} error(s) decoding:\n\n{}", lines.len(), lines.join("\n"))
}

fn stop_signal(values: &Values, problems: &mut Vec<String>) -> Signal {
    match values.text("WATCHER_STOP_SIGNAL") {
        None | Some("SIGTERM") => {}
        Some("SIGINT") => return Signal::SIGINT,
        Some(other) => problems.push(format!("WATCHER_STOP_SIGNAL must be SIGTERM or SIGINT, got \"{other}\"")),
    }
    Signal::SIGTERM
}

fn on_upgrade_failure(values: &Values, problems: &mut Vec<String>) -> OnFailure {
    match values.text(ON_UPGRADE_FAILURE) {
        None | Some("hold") => {}
        Some("retry") => return OnFailure::Retry,
        Some("rollback") => return OnFailure::Rollback,
        Some(other) => problems.push(format!("{ON_UPGRADE_FAILURE} must be hold, retry or rollback, got \"{other}\"")),
    }
    OnFailure::Hold
}

/// A number of things.
fn count(values: &Values, name: &str, least: u32, problems: &mut Vec<String>) -> u32 {
    let number = values.integer(name);
    if number < least.into() {
        problems.push(format!("{name} must be {least} or more, got \"{number}\""));
    }
    u32::try_from(number.max(least.into())).unwrap_or(u32::MAX)
}

/// How backups are made and kept. What `init` writes down, the home, is no choice of a place.
fn manner(values: &Values, problems: &mut Vec<String>) -> Manner {
    let means = match values.text("WATCHER_BACKUP") {
        None | Some("checkpoint") => Means::Checkpoint,
        Some("copy") => Means::Copy,
        Some(other) => {
            problems.push(format!("WATCHER_BACKUP must be checkpoint or copy, got \"{other}\""));
            Means::Checkpoint
        }
    };
    Manner {
        means,
        place_chosen: values.text("DAEMON_DATA_BACKUP_DIR") != values.text("DAEMON_HOME"),
        keep: count(values, "WATCHER_BACKUP_KEEP", 0, problems) as usize,
        more: values.list("WATCHER_BACKUP_PATHS").iter().map(PathBuf::from).collect(),
        node_arguments: Vec::new(),
    }
}

/// What plans are proven from, for a command that uses no other variable.
///
/// # Errors
/// Where one of these variables cannot be understood: a slip there would pass for a proof.
pub fn trust_alone() -> Result<Choice, ConfigError> {
    let (values, mut problems) = unchecked();
    let is_of_trust = |problem: &str| ["watcher_trust_", "watcher_proof_"].iter().any(|name| problem.contains(name));
    problems.retain(|problem| is_of_trust(&problem.to_lowercase()));
    match trust(&values) {
        Ok(choice) if problems.is_empty() => return Ok(choice),
        Ok(_) => {}
        Err(error) => problems.push(error.to_string()),
    }
    Err(ConfigError(problems))
}

/// What plans are proven from.
///
/// # Errors
/// [`BadPoint`] where what is named cannot be a block.
pub fn trust(values: &Values) -> Result<Choice, BadPoint> {
    let point = Point::read(values.text("WATCHER_TRUST_HEIGHT"), values.text("WATCHER_TRUST_HASH"))?;
    let defaults = Choice::default();
    Ok(Choice {
        point,
        period: values.duration_or("WATCHER_TRUST_PERIOD", defaults.period),
        max_age: values.duration_or("WATCHER_PROOF_MAX_AGE", defaults.max_age),
    })
}

/// The home, where it is named as it must be. Whether the node's name is too is looked at first.
pub(crate) fn check_identity<'a>(values: &'a Values, problems: &mut Vec<String>) -> Option<&'a Path> {
    match values.text("DAEMON_NAME") {
        None => problems.push("DAEMON_NAME is not set".to_owned()),
        Some(name) if name.contains('/') => {
            problems.push(format!("DAEMON_NAME must be the file name of the node's executable, got \"{name}\""));
        }
        Some(_) => {}
    }
    let home = values.text("DAEMON_HOME").map(Path::new);
    match home {
        None => problems.push("DAEMON_HOME is not set".to_owned()),
        Some(home) if !home.is_absolute() => problems.push("DAEMON_HOME must be an absolute path".to_owned()),
        Some(_) => {}
    }
    home.filter(|home| home.is_absolute())
}

fn check_home(home: &Path, problems: &mut Vec<String>) {
    let root = home.join("cosmovisor");
    match fs::metadata(&root) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => problems.push(format!("{} is not a directory", root.display())),
        Err(error) => {
            problems.push(format!("cannot stat home dir: stat {}: {}", root.display(), go_text(&error)));
        }
    }
}

fn check_backups(folder: Option<&Path>, problems: &mut Vec<String>) {
    let Some(path) = folder else {
        problems.push("DAEMON_DATA_BACKUP_DIR must not be empty".to_owned());
        return;
    };
    let shown = path.display();
    if !path.is_absolute() {
        problems.push(format!("{shown} must be an absolute path"));
        return;
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => problems.push(format!("\"{shown}\" must be a valid directory")),
        Err(error) => {
            problems.push(format!("\"{shown}\" must be a valid directory: stat {shown}: {}", go_text(&error)));
        }
    }
}

/// The system's words as Go prints them, which people search for.
pub(crate) fn go_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, time::Duration};

    fn read_from(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let map: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        let names: Vec<String> = map.keys().cloned().collect();
        read(&|name| map.get(name).cloned(), &names, None)
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
            ("WATCHER_TRUST_HEIGHT", "-7"),
            ("WATCHER_RESTART_ON_CRASH", "-1"),
            ("WATCHER_UPGRADE_MAX_RESTARTS", "-3"),
            ("WATCHER_QUORUM", "0"),
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
                "WATCHER_UPGRADE_MAX_RESTARTS must be 0 or more, got \"-3\"",
                "WATCHER_RESTART_ON_CRASH must be 0 or more, got \"-1\"",
                "WATCHER_QUORUM must be 1 or more, got \"0\"",
                "WATCHER_TRUST_HEIGHT must be a height above 0, got \"-7\"",
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
            ("WATCHER_UPGRADE_MAX_RESTARTS", "4294967296"),
            ("WATCHER_TRUST_HEIGHT", "7"),
            ("WATCHER_TRUST_HASH", &"aB".repeat(32)),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert_eq!(config.trust.point.map(|point| (point.height, point.hash.to_string())), Some((7, "AB".repeat(32))));
        assert_eq!(config.trust.period, Duration::from_hours(7 * 24));
        assert!(config.settings.downloads && config.settings.jitter.is_zero());
        assert_eq!(config.settings.upgrade_restarts, u32::MAX, "very many are not none");
        assert_eq!(config.rpc, ["http://a:1", "https://b"]);
        assert_eq!(config.home.backups.as_deref(), Some(keep.path()));
        assert_eq!(config.unknown.len(), 1);
        assert!(config.unknown[0].contains("did you mean DAEMON_ALLOW_DOWNLOAD_BINARIES"), "{:?}", config.unknown);
    }
}
