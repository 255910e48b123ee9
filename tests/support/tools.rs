//! Tools that not every machine has. A test that needs one says that it was skipped where the tool is missing, and fails
//! where `WATCHER_TESTS_REQUIRE` (comma separated: `go,strace`) says that this machine must have it.

use std::{
    env,
    process::{Command, Stdio},
};

use crate::say::say;

/// Whether `tool` answers to `argument` on this machine.
///
/// # Panics
/// Where it does not, and must.
pub(crate) fn found(tool: &str, argument: &str) -> bool {
    let answers = Command::new(tool).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    answers.is_ok_and(|status| status.success()) || missing(tool, "is missing")
}

/// Says that a test is skipped because of a tool. Always false.
///
/// # Panics
/// Where `WATCHER_TESTS_REQUIRE` lists the tool.
pub(crate) fn missing(tool: &str, why: &str) -> bool {
    let required = env::var("WATCHER_TESTS_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == tool), "{tool} {why}, and WATCHER_TESTS_REQUIRE lists it");
    say(&format!("skipped: {tool} {why}"));
    false
}
