//! What a unit file says, where `watcher` would stand in it.

use std::time::Duration;

use super::{
    findings::Findings,
    setting::Settings,
    text::PROGRAM,
    unit::{DEFAULT_STOP, Unit, is_runner},
};
use crate::config::{Config, arguments};

/// Looks at how the service is started and stopped.
pub(super) fn look(unit: &Unit, findings: &mut Findings) {
    for problem in &unit.problems {
        findings.warning("unit-not-followed", problem, "what depends on it is not known here; look at it yourself");
    }
    start(unit, findings);
    match unit.kill_mode.as_deref() {
        Some("none") => {
            let message = "KillMode=none: what outlives a stop runs on beside the next start";
            findings.warning("kill-mode", message, "write KillMode=mixed: watcher ends the node in order");
        }
        Some("process") => {
            let message = "KillMode=process: a node that outlives the time limit is left running";
            findings.warning("kill-mode", message, "write KillMode=mixed: watcher ends the node in order");
        }
        _ => {}
    }
    if matches!(unit.restart.as_deref(), None | Some("no")) {
        let message = "Restart= is no: once the node or watcher has ended, nothing starts them again";
        findings.warning("restart-missing", message, "write Restart=always and RestartSec=3");
    }
}

/// Looks at what the unit says against the variables.
pub(super) fn settings(unit: &Unit, config: &Config, findings: &mut Findings) {
    let restart = unit.restart.as_deref().unwrap_or("no");
    if !config.settings.restart_after_upgrade && restart != "always" && restart != "on-success" {
        let message = format!(
            "DAEMON_RESTART_AFTER_UPGRADE=false ends with 0 after a switch, and Restart={restart} leaves it there"
        );
        findings.note(
            "restart-after-upgrade",
            message,
            "write Restart=always, unless you start the new binary by hand",
        );
    }
    let grace = config.settings.shutdown_grace;
    let limit = unit.stop_limit.unwrap_or(DEFAULT_STOP);
    if limit.is_zero() || limit >= grace {
        return;
    }
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    let said = if unit.stop_limit.is_some() { "TimeoutStopSec" } else { "TimeoutStopSec is not set and" };
    let message = format!(
        "{said} is {}: systemd kills a node that needs longer to close its databases, and DAEMON_SHUTDOWN_GRACE is {}",
        seconds(limit),
        seconds(grace)
    );
    let help = format!("write TimeoutStopSec={} or more", grace.as_secs() + 30);
    if unit.stop_limit.is_some() {
        findings.warning("stop-limit", message, help);
    } else {
        findings.note("stop-limit", message, help);
    }
}

/// Looks at the node's home among its arguments.
pub(super) fn arguments(settings: &Settings, config: &Config, findings: &mut Findings) {
    if let Some(other) = arguments::other_home(&config.home, &settings.args) {
        let (message, help) = (
            format!("--home is {} and DAEMON_HOME is {}", other.display(), config.home.path.display()),
            "make them the same: the node writes upgrade-info.json to its own home, and nobody would look there",
        );
        if config.allow_home_mismatch {
            findings.note("home-differs", message + " (WATCHER_ALLOW_HOME_MISMATCH)", "");
        } else {
            findings.error("home-differs", message, help);
        }
    }
    let heights = arguments::skip_heights(&settings.args);
    if !heights.is_empty() {
        let message = format!("--unsafe-skip-upgrades: plans at {heights:?} are not carried out");
        findings.note("skip-heights", message, "");
    }
}

fn start(unit: &Unit, findings: &mut Findings) {
    let words = unit.words();
    let Some(program) = words.first() else {
        let message = "no ExecStart= was found in what was given";
        return findings.error(
            "exec-start",
            message,
            "give the unit file first, then its drop-ins (`systemctl cat` lists them)",
        );
    };
    if !is_runner(program) && unit.start_with(PROGRAM).is_none() {
        let message =
            format!("ExecStart= starts {program}, and which of its words is to become watcher cannot be told");
        let help = format!(
            "write `ExecStart={PROGRAM} run` and the node's arguments; or have what it starts `exec {PROGRAM} run` in the place \
             of cosmovisor, so that signals reach it"
        );
        findings.error("exec-start", message, help);
    } else if !words.iter().any(|word| word == "run") {
        let message = format!("ExecStart= has no `run` behind {program}, as cosmovisor before 1.0 was started");
        findings.error("exec-start", message, "write `run` before the node's arguments");
    }
}
