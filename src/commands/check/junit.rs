//! The report as a suite of tests in `JUnit`'s XML: one test for each finding, and one for the verdict.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Report, Verdict, text};
use crate::commands::{findings::Severity, upcoming::text::line};

/// The suite.
pub(super) fn suite(report: &Report) -> String {
    let mut cases = String::new();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for finding in report.findings.sorted() {
        let count = seen.entry(finding.check).and_modify(|count| *count += 1).or_insert(1);
        let name = if *count > 1 { format!("{} {count}", finding.check) } else { finding.check.to_owned() };
        let (message, help) = (escaped(&finding.message), escaped(&finding.help));
        let outcome = match finding.severity {
            Severity::Error => format!("<failure type=\"{}\" message=\"{message}\">{help}</failure>", finding.check),
            Severity::Warning => format!("<system-out>warning: {message}\n{help}</system-out>"),
            Severity::Note => format!("<system-out>note: {message}\n{help}</system-out>"),
        };
        case(&mut cases, &name, &outcome);
    }
    let words = text::verdict(report);
    let outcome = match report.verdict {
        Verdict::Ready => String::new(),
        Verdict::NotReady => format!("<failure type=\"not_ready\" message=\"{words}\"/>"),
        Verdict::Unknown => format!("<error type=\"unknown\" message=\"{words}\"/>"),
    };
    case(&mut cases, "verdict", &outcome);
    let errors = u8::from(report.verdict == Verdict::Unknown);
    let failures = report.findings.count(Severity::Error) + usize::from(report.verdict == Verdict::NotReady);
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\"", report.findings.0.len() + 1);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"watcher check\" {counts} \
         skipped=\"0\">\n{cases}  </testsuite>\n</testsuites>\n"
    )
}

fn case(cases: &mut String, name: &str, outcome: &str) {
    let _ = writeln!(cases, "    <testcase classname=\"watcher.check\" name=\"{name}\">{outcome}</testcase>");
}

/// What is no character of XML is written as an escape by [`line`] already.
fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&apos;".to_owned(),
        other => other.to_string(),
    };
    line(text).chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::check::Findings;

    #[test]
    fn what_others_wrote_is_text_and_nothing_else() {
        let mut findings = Findings::default();
        findings.error("a", "<b>&\"'\u{0}\u{ffff}\u{1b}]]>", "1\n2");
        findings.warning("a", "x", "");
        let report = Report { verdict: Verdict::NotReady, artifacts: Vec::new(), findings, subjects: Vec::new() };
        let suite = suite(&report);
        let message = "message=\"&lt;b&gt;&amp;&quot;&apos;\\0\\u{ffff}\\u{1b}]]&gt;\">1\\n2</failure>";
        assert!(suite.contains(message), "{suite}");
        assert!(suite.contains("name=\"a 2\"") && suite.contains("tests=\"3\" failures=\"2\" errors=\"0\""), "{suite}");
    }
}
