//! What was found: each thing once, with what to do about it.

use serde::{Serialize, Serializer};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// It would break the move, or the upgrade.
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

    /// Takes over what was found out about one of several things.
    pub(super) fn about(&mut self, thing: &str, found: Self) {
        let named = |finding: Finding| Finding { message: format!("{thing}: {}", finding.message), ..finding };
        self.0.extend(found.0.into_iter().map(named));
    }

    /// With something else in place of what was looked at, nothing of it breaks anything.
    pub(super) fn soften(&mut self) {
        self.0.iter_mut().for_each(|finding| finding.severity = finding.severity.max(Severity::Warning));
    }

    /// The weightiest first.
    pub(super) fn sorted(&self) -> Vec<&Finding> {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by_key(|finding| finding.severity);
        sorted
    }

    /// How many weigh this much.
    pub(super) fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|finding| finding.severity == severity).count()
    }
}

impl Serialize for Findings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.sorted().serialize(serializer)
    }
}
