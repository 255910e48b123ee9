//! The table of every variable: name, type, default, meaning. Reading, `config`, `init`, help, the README and the warning
//! about unknown names rest on it. In a configuration file each has the same name in lower case.

use std::fmt::Write as _;

use crate::http::secrets;

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

impl Default {
    /// As text, for people.
    #[must_use]
    pub const fn shown(self) -> &'static str {
        match self {
            Self::Required => "none, required",
            Self::Is(text) | Self::InPlace(text) => text,
        }
    }
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

const fn required(name: &'static str, kind: Kind, meaning: &'static str) -> Variable {
    Variable { name, kind, default: Default::Required, meaning }
}

const fn flag(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    variable(name, Kind::Flag, default, meaning)
}

const fn variable(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, kind, default: Default::Is(default), meaning }
}

const fn open(name: &'static str, kind: Kind, in_place: &'static str, meaning: &'static str) -> Variable {
    Variable { name, kind, default: Default::InPlace(in_place), meaning }
}

/// Every variable. Those of cosmovisor come first, in the order in which it shows them.
pub const VARIABLES: &[Variable] = &[
    required("DAEMON_HOME", Kind::Path, "The node's home, which holds `data`, `config` and `cosmovisor`."),
    required("DAEMON_NAME", Kind::Text, "File name of the node's executable."),
    flag("DAEMON_ALLOW_DOWNLOAD_BINARIES", "false", "Fetch the binary that a scheduled plan names."),
    flag("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", "false", "Refuse a download for which the plan gives no checksum."),
    flag("DAEMON_RESTART_AFTER_UPGRADE", "true", "Start the new binary; false switches and then exits 0."),
    variable("DAEMON_RESTART_DELAY", Kind::Duration, "0s", "Wait between the node's end and the backup."),
    variable("DAEMON_SHUTDOWN_GRACE", Kind::Duration, "0s", "From SIGTERM to SIGKILL in a stop of ours; not set: 2m."),
    variable("DAEMON_POLL_INTERVAL", Kind::Duration, "300ms", "How often the home is looked at where no event tells."),
    flag("UNSAFE_SKIP_BACKUP", "false", "Upgrade without a backup."),
    open("DAEMON_DATA_BACKUP_DIR", Kind::Path, "DAEMON_HOME", "Where the backup of `data` goes."),
    variable("DAEMON_PREUPGRADE_MAX_RETRIES", Kind::Integer, "0", "Runs of `pre-upgrade` after its exit code 31."),
    variable("DAEMON_GRPC_ADDRESS", Kind::Text, "localhost:9090", "Read and not used: RPC and REST are asked."),
    flag("COSMOVISOR_DISABLE_LOGS", "false", "Write no log lines."),
    flag("COSMOVISOR_COLOR_LOGS", "true", "Colours in log lines, under the name cosmovisor."),
    variable(
        "COSMOVISOR_TIMEFORMAT_LOGS",
        Kind::TimeFormat,
        "kitchen",
        "How log lines write the time, under the name cosmovisor; set to nothing: no time.",
    ),
    open("COSMOVISOR_CUSTOM_PREUPGRADE", Kind::Text, "none", "A script in `cosmovisor/` to run before the switch."),
    flag("COSMOVISOR_DISABLE_RECASE", "false", "Keep the case of upgrade names in folder names."),
    open("WATCHER_RPC", Kind::List, "the node's own", "CometBFT RPC endpoints to hear about the chain from."),
    open("WATCHER_REST", Kind::List, "the node's own", "REST (API) endpoints to hear about the chain from."),
    open(
        "WATCHER_TRUST_HEIGHT",
        Kind::Text,
        "the node's own",
        "Height of a block that is trusted: plans are proven from it.",
    ),
    open("WATCHER_TRUST_HASH", Kind::Text, "the node's own", "That block's hash, 64 hexadecimal digits."),
    variable(
        "WATCHER_TRUST_PERIOD",
        Kind::Duration,
        "168h",
        "How long after its time a header is trusted; shorter than the chain's unbonding period.",
    ),
    variable(
        "WATCHER_PROOF_MAX_AGE",
        Kind::Duration,
        "10m",
        "How old a header may be that proves what is scheduled, or that nothing is.",
    ),
    variable(
        "WATCHER_QUORUM",
        Kind::Integer,
        "1",
        "Endpoints that must say the same before what the own node does not say is fetched.",
    ),
    variable("WATCHER_DOWNLOAD_JITTER", Kind::DurationOrZero, "10m", "Longest random delay before a download."),
    open(
        "WATCHER_BACKUP",
        Kind::Text,
        "checkpoint; copy under the name cosmovisor",
        "How a backup is made: checkpoint, or copy as cosmovisor does it.",
    ),
    variable("WATCHER_BACKUP_KEEP", Kind::Integer, "1", "How many checkpoints stay once their upgrade has passed."),
    open("WATCHER_BACKUP_PATHS", Kind::List, "none", "What else belongs to the node, absolute or within the home."),
    variable(
        "WATCHER_UPGRADE_MAX_RESTARTS",
        Kind::Integer,
        "3",
        "Starts again of a new binary that ends before its height.",
    ),
    open(
        "WATCHER_ON_UPGRADE_FAILURE",
        Kind::Text,
        "hold",
        "What follows then: hold, retry (once more, from the backup) or rollback; these two need the node's log_level to be info.",
    ),
    variable(
        "WATCHER_RESTART_ON_CRASH",
        Kind::Integer,
        "0",
        "Starts again, in a row, of a node that crashes outside an upgrade; 0: none.",
    ),
    variable(
        "WATCHER_STOP_SIGNAL",
        Kind::Text,
        "SIGTERM",
        "What watcher stops the node with: SIGTERM, or SIGINT as cosmovisor 1.7.",
    ),
    flag("WATCHER_LOCAL_INFO", "false", "Read a plan's info that is the path of a file on this machine."),
    flag("WATCHER_PASS_EXIT_CODE", "false", "End as the node ended: with its exit code, or 128 and its signal."),
    flag("WATCHER_ALLOW_HOME_MISMATCH", "false", "Allow `--home` to differ from DAEMON_HOME."),
    open("WATCHER_LOG", Kind::Text, "info", "Which log lines are shown, as `tracing` filters are written."),
];

impl Variable {
    /// Its name in a configuration file.
    #[must_use]
    pub fn key(&self) -> String {
        self.name.to_lowercase()
    }

    /// A value of it as people may see it: endpoints may hold passwords.
    #[must_use]
    pub fn shown(&self, value: &str) -> String {
        if ["WATCHER_RPC", "WATCHER_REST", "DAEMON_GRPC_ADDRESS"].contains(&self.name) {
            value.split(',').map(|address| secrets::written_endpoint(address.trim())).collect::<Vec<_>>().join(",")
        } else {
            value.to_owned()
        }
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
