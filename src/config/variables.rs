//! The table of every variable: name, type, default, meaning. Help, the README and the warning about unknown names rest
//! on it.

/// What a variable's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Flag,
    /// A duration in Go's syntax.
    Duration,
    /// A whole number.
    Integer,
    /// An absolute path.
    Path,
    /// Text.
    Text,
    /// Texts, comma separated.
    List,
}

/// One variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// The value where it is not set.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn variable(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, kind, default, meaning }
}

/// Every variable.
pub const VARIABLES: &[Variable] = &[
    variable(
        "DAEMON_HOME",
        Kind::Path,
        "none, required",
        "The node's home, which holds `data`, `config` and `cosmovisor`.",
    ),
    variable("DAEMON_NAME", Kind::Text, "none, required", "File name of the node's executable."),
    variable("DAEMON_ALLOW_DOWNLOAD_BINARIES", Kind::Flag, "false", "Fetch the binary that a scheduled plan names."),
    variable(
        "DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM",
        Kind::Flag,
        "false",
        "Refuse a download for which the plan gives no checksum.",
    ),
    variable(
        "DAEMON_RESTART_AFTER_UPGRADE",
        Kind::Flag,
        "true",
        "Start the new binary; false switches and then exits 0.",
    ),
    variable("DAEMON_RESTART_DELAY", Kind::Duration, "0", "Wait between the node's end and the backup."),
    variable("DAEMON_SHUTDOWN_GRACE", Kind::Duration, "2m", "Between SIGTERM and SIGKILL when watcher stops the node."),
    variable("DAEMON_POLL_INTERVAL", Kind::Duration, "300ms", "How often the home is looked at where no event tells."),
    variable("DAEMON_DATA_BACKUP_DIR", Kind::Path, "DAEMON_HOME", "Where the backup of `data` goes."),
    variable("UNSAFE_SKIP_BACKUP", Kind::Flag, "false", "Upgrade without a backup."),
    variable("DAEMON_PREUPGRADE_MAX_RETRIES", Kind::Integer, "0", "Runs of `pre-upgrade` after its exit code 31."),
    variable("COSMOVISOR_DISABLE_LOGS", Kind::Flag, "false", "Write no log lines."),
    variable("COSMOVISOR_COLOR_LOGS", Kind::Flag, "true", "Colours in log lines, under the name cosmovisor."),
    variable(
        "COSMOVISOR_TIMEFORMAT_LOGS",
        Kind::Text,
        "kitchen",
        "How log lines write the time, under the name cosmovisor; set to nothing: no time.",
    ),
    variable("COSMOVISOR_CUSTOM_PREUPGRADE", Kind::Text, "none", "A script in `cosmovisor/` to run before the switch."),
    variable("COSMOVISOR_DISABLE_RECASE", Kind::Flag, "false", "Keep the case of upgrade names in folder names."),
    variable("WATCHER_RPC", Kind::List, "the node's own", "CometBFT RPC endpoints to hear about the chain from."),
    variable("WATCHER_REST", Kind::List, "the node's own", "REST (API) endpoints to hear about the chain from."),
    variable("WATCHER_DOWNLOAD_JITTER", Kind::Duration, "10m", "Longest random delay before a download; 0s: none."),
    variable(
        "WATCHER_UPGRADE_MAX_RESTARTS",
        Kind::Integer,
        "3",
        "Starts again of a new binary that ends before it committed the plan's height.",
    ),
    variable("WATCHER_ALLOW_HOME_MISMATCH", Kind::Flag, "false", "Allow `--home` to differ from DAEMON_HOME."),
    variable("WATCHER_LOG", Kind::Text, "info", "Which log lines are shown, as `tracing` filters are written."),
];
