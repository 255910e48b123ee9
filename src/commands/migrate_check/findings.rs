//! What was found: each thing once, with what to do about it.

use serde::Serialize;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// It would break the move, or the next upgrade.
    Error,
    /// Somebody should look.
    Warning,
    /// Good to know.
    Note,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// How much it weighs.
    pub(super) severity: Severity,
    /// What was looked for; these names stay as they are, for scripts.
    pub(super) check: &'static str,
    /// What it is, in one sentence.
    pub(super) message: String,
    /// What to do, in one sentence; empty where nothing is to be done.
    pub(super) help: String,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn error(&mut self, check: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, check, message, help);
    }

    pub(super) fn warning(&mut self, check: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Warning, check, message, help);
    }

    pub(super) fn note(&mut self, check: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Note, check, message, help);
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        check: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.0.push(Finding { severity, check, message: message.into(), help: help.into() });
    }

    /// How many weigh this much.
    pub(super) fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|finding| finding.severity == severity).count()
    }
}
