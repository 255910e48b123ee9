//! The report for people: the verdict first, then each finding with its remedy.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
};

use super::{Report, Verdict};
use crate::commands::{findings::Severity, upcoming::text::line};

/// The report as text, coloured where stdout is a terminal.
pub(super) fn text(report: &Report) -> String {
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let painted = |code: u8, words: &str| if colour { format!("\x1b[{code}m{words}\x1b[0m") } else { words.to_owned() };
    let head = match report.verdict {
        Verdict::Ready => 32,
        Verdict::NotReady => 31,
        Verdict::Unknown => 33,
    };
    let mut text = format!("{}\n", painted(head, &verdict(report)));
    for subject in &report.subjects {
        let _ = writeln!(text, "  {}", plain(subject));
    }
    for artifact in &report.artifacts {
        let checksum = artifact.checksum.as_deref().unwrap_or("no checksum");
        let _ = writeln!(text, "  {}: {} ({})", artifact.os_arch, plain(&artifact.url), plain(checksum));
    }
    for finding in report.findings.sorted() {
        let (word, code) = match finding.severity {
            Severity::Error => ("error", 31),
            Severity::Warning => ("warning", 33),
            Severity::Note => ("note", 36),
        };
        let _ =
            writeln!(text, "\n{}: {}", painted(code, &format!("{word}[{}]", finding.check)), plain(&finding.message));
        if !finding.help.is_empty() {
            let _ = writeln!(text, "  help: {}", plain(&finding.help));
        }
    }
    text
}

/// The verdict, in words that are ours alone.
pub(super) fn verdict(report: &Report) -> String {
    let count = |severity, one: &str| match report.findings.count(severity) {
        0 => None,
        1 => Some(format!("1 {one}")),
        number => Some(format!("{number} {one}s")),
    };
    let counts = [count(Severity::Error, "error"), count(Severity::Warning, "warning"), count(Severity::Note, "note")];
    let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let word = match report.verdict {
        Verdict::Ready => "ready",
        Verdict::NotReady => "not ready",
        Verdict::Unknown => "cannot tell",
    };
    if counts.is_empty() { word.to_owned() } else { format!("{word}: {counts}") }
}

/// Somebody else's words on one line, and no command to a GitHub runner that reads along.
fn plain(words: &str) -> String {
    line(words).replace("##[", "# #[")
}
