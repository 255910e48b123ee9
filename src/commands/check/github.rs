//! The report as annotations of a GitHub workflow. The runner takes a line that begins with `::` as a command, so nothing
//! that others wrote may begin one, or leave the place that it is given.

use std::fmt::Write as _;

use super::{Report, text};
use crate::commands::{findings::Severity, upcoming::text::line};

/// One workflow command for each finding, then the verdict.
pub(super) fn annotations(report: &Report) -> String {
    let mut lines = String::new();
    for finding in report.findings.sorted() {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let help = if finding.help.is_empty() { String::new() } else { format!("\nhelp: {}", line(&finding.help)) };
        let message = data(&format!("{}{help}", line(&finding.message)));
        let _ = writeln!(lines, "::{command} title={}::{message}", property(finding.check));
    }
    lines + &text::verdict(report) + "\n"
}

/// The message of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::check::{Findings, Verdict};

    #[test]
    fn nothing_gets_out_of_the_annotation_that_it_is_put_in() {
        let mut findings = Findings::default();
        findings.error("a:b,c", "100%\r\n::stop-commands::x", "%0A");
        let report =
            Report { verdict: Verdict::NotReady, artifacts: Vec::new(), findings, subjects: vec!["::x".into()] };
        assert_eq!(
            annotations(&report),
            "::error title=a%3Ab%2Cc::100%25\\r\\n::stop-commands::x%0Ahelp: %250A\nnot ready: 1 error\n"
        );
    }
}
