//! The table of every variable: name, type, default, meaning. Reading, `config`, `init`, help, the README and the warning
//! about unknown names rest on it. In a configuration file each has the same name in lower case.

use std::fmt::Write as _;

/// What a variable's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Flag,
    /// A duration above 0 in Go's syntax.
    Duration,
    /// A duration in Go's syntax.
    DurationOrZero,
    /// A whole number.
    Integer,
    /// An absolute path.
    Path,
    /// Text.
    Text,
    /// The name of a way to write the time.
    TimeFormat,
    /// Texts, comma separated.
    List,
}

/// What holds where a variable is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// It must be set.
    Required,
    /// This value.
    Is(&'static str),
    /// Nothing, in the place of which stands something else.
    InPlace(&'static str),
}

/// One variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// The value where it is not set.
    pub default: Default,
    /// What it means.
    pub meaning: &'static str,
}

const fn variable(name: &'static str, kind: Kind, default: Default, meaning: &'static str) -> Variable {
    Variable { name, kind, default, meaning }
}

/// Every variable. Those of cosmovisor come first, in the order in which it shows them.
pub const VARIABLES: &[Variable] = &[
    variable(
        "DAEMON_HOME",
        Kind::Path,
        Default::Required,
        "The node's home, which holds `data`, `config` and `cosmovisor`.",
    ),
    variable("DAEMON_NAME", Kind::Text, Default::Required, "File name of the node's executable."),
    variable(
        "DAEMON_ALLOW_DOWNLOAD_BINARIES",
        Kind::Flag,
        Default::Is("false"),
        "Fetch the binary that a scheduled plan names.",
    ),
    variable(
        "DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM",
        Kind::Flag,
        Default::Is("false"),
        "Refuse a download for which the plan gives no checksum.",
    ),
    variable(
        "DAEMON_RESTART_AFTER_UPGRADE",
        Kind::Flag,
        Default::Is("true"),
        "Start the new binary; false switches and then exits 0.",
    ),
    variable("DAEMON_RESTART_DELAY", Kind::Duration, Default::Is("0s"), "Wait between the node's end and the backup."),
    variable(
        "DAEMON_SHUTDOWN_GRACE",
        Kind::Duration,
        Default::Is("0s"),
        "Between SIGTERM and SIGKILL when watcher stops the node; not set: two minutes.",
    ),
    variable(
        "DAEMON_POLL_INTERVAL",
        Kind::Duration,
        Default::Is("300ms"),
        "How often the home is looked at where no event tells.",
    ),
    variable("UNSAFE_SKIP_BACKUP", Kind::Flag, Default::Is("false"), "Upgrade without a backup."),
    variable("DAEMON_DATA_BACKUP_DIR", Kind::Path, Default::InPlace("DAEMON_HOME"), "Where the backup of `data` goes."),
    variable(
        "DAEMON_PREUPGRADE_MAX_RETRIES",
        Kind::Integer,
        Default::Is("0"),
        "Runs of `pre-upgrade` after its exit code 31.",
    ),
    variable(
        "DAEMON_GRPC_ADDRESS",
        Kind::Text,
        Default::Is("localhost:9090"),
        "Read and not used: the node is asked over RPC and REST.",
    ),
    variable("COSMOVISOR_DISABLE_LOGS", Kind::Flag, Default::Is("false"), "Write no log lines."),
    variable(
        "COSMOVISOR_COLOR_LOGS",
        Kind::Flag,
        Default::Is("true"),
        "Colours in log lines, under the name cosmovisor.",
    ),
    variable(
        "COSMOVISOR_TIMEFORMAT_LOGS",
        Kind::TimeFormat,
        Default::Is("kitchen"),
        "How log lines write the time, under the name cosmovisor; set to nothing: no time.",
    ),
    variable(
        "COSMOVISOR_CUSTOM_PREUPGRADE",
        Kind::Text,
        Default::InPlace("none"),
        "A script in `cosmovisor/` to run before the switch.",
    ),
    variable(
        "COSMOVISOR_DISABLE_RECASE",
        Kind::Flag,
        Default::Is("false"),
        "Keep the case of upgrade names in folder names.",
    ),
    variable(
        "WATCHER_RPC",
        Kind::List,
        Default::InPlace("the node's own"),
        "CometBFT RPC endpoints to hear about the chain from.",
    ),
    variable(
        "WATCHER_REST",
        Kind::List,
        Default::InPlace("the node's own"),
        "REST (API) endpoints to hear about the chain from.",
    ),
    variable(
        "WATCHER_DOWNLOAD_JITTER",
        Kind::DurationOrZero,
        Default::Is("10m"),
        "Longest random delay before a download; 0s: none.",
    ),
    variable(
        "WATCHER_UPGRADE_MAX_RESTARTS",
        Kind::Integer,
        Default::Is("3"),
        "Starts again of a new binary that ends before it committed the plan's height.",
    ),
    variable(
        "WATCHER_STOP_SIGNAL",
        Kind::Text,
        Default::Is("SIGTERM"),
        "What the node gets where watcher itself stops it: SIGTERM, or SIGINT as cosmovisor 1.7 sends it.",
    ),
    variable(
        "WATCHER_ALLOW_HOME_MISMATCH",
        Kind::Flag,
        Default::Is("false"),
        "Allow `--home` to differ from DAEMON_HOME.",
    ),
    variable(
        "WATCHER_LOG",
        Kind::Text,
        Default::InPlace("info"),
        "Which log lines are shown, as `tracing` filters are written.",
    ),
];

impl Variable {
    /// Its name in a configuration file.
    #[must_use]
    pub fn key(&self) -> String {
        self.name.to_lowercase()
    }

    /// Whether cosmovisor knows it.
    #[must_use]
    pub fn is_cosmovisors(&self) -> bool {
        !self.name.starts_with("WATCHER_")
    }
}

/// The table as text, for help.
#[must_use]
pub fn table() -> String {
    let mut text = String::new();
    for Variable { name, kind, default, meaning } in VARIABLES {
        let kind = match kind {
            Kind::Flag => "true|false",
            Kind::Duration | Kind::DurationOrZero => "duration",
            Kind::Integer => "number",
            Kind::Path => "path",
            Kind::Text => "text",
            Kind::TimeFormat => "name",
            Kind::List => "list",
        };
        let default = match default {
            Default::Required => "required".to_owned(),
            Default::Is(value) | Default::InPlace(value) => format!("default {value}"),
        };
        let _ = writeln!(text, "  {name} ({kind}, {default})\n      {meaning}");
    }
    text
}
