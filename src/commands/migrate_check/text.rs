//! The report for people: what is in force, what was found, and the way there and back.

use std::fmt::Write as _;

use super::{
    Report,
    findings::{Finding, Severity},
};
use crate::commands::upcoming::text::line;

/// Where the README installs it.
pub(super) const PROGRAM: &str = "/usr/local/bin/watcher";

/// The report as text.
pub(super) fn text(report: &Report) -> String {
    let count = |severity| report.findings.count(severity);
    let things = |number: usize| if number == 1 { "1 thing".to_owned() } else { format!("{number} things") };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let verdict = match errors {
        0 => "nothing is in the way of moving over".to_owned(),
        1 => "1 thing is in the way of moving over".to_owned(),
        errors => format!("{errors} things are in the way of moving over"),
    };
    let look = if warnings > 0 { format!(", {} to look at", things(warnings)) } else { String::new() };
    let mut text = format!("{}: {verdict}{look}\n\nIn force\n", line(&report.home));
    let set = report.variables.iter().filter(|variable| variable.origin != "default");
    let rows: Vec<_> = set.map(|variable| (variable.name, line(&variable.value), line(&variable.origin))).collect();
    let names = rows.iter().map(|row| row.0.len()).max().unwrap_or(0);
    let values = rows.iter().map(|row| row.1.chars().count()).max().unwrap_or(0);
    for (name, value, origin) in rows {
        let _ = writeln!(text, "  {name:<names$}  {value:<values$}  {origin}");
    }
    text.push_str("  everything else has its default (`watcher help run` lists them)\n");
    for (head, severity) in
        [("In the way", Severity::Error), ("To look at", Severity::Warning), ("Good to know", Severity::Note)]
    {
        let findings: Vec<&Finding> = report.findings.0.iter().filter(|it| it.severity == severity).collect();
        if !findings.is_empty() {
            let _ = writeln!(text, "\n{head}");
        }
        for finding in findings {
            let _ = writeln!(text, "  {}: {}", finding.check, line(&finding.message));
            if !finding.help.is_empty() {
                let _ = writeln!(text, "      {}", line(&finding.help));
            }
        }
    }
    text + &ways(report)
}

/// A word for a shell.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The commands to switch over, and the way back.
fn ways(report: &Report) -> String {
    let kept = "Nothing has to be undone in the home: folders, `current` and markers stay as cosmovisor knows them, and what\nwatcher \
                adds (cosmovisor/watcher/, watcher-receipt.json) is in nobody's way.\n";
    let once = if report.findings.count(Severity::Error) == 0 { "" } else { ", once nothing is in the way" };
    let Some((unit, start)) = &report.unit else {
        return format!(
            "\nTo switch over{once}\n  put `{PROGRAM} run` where `cosmovisor run` is started, and restart the node\n\nThe way back\n  \
             put `cosmovisor run` there again, and restart the node\n\n{kept}"
        );
    };
    let folder = format!("/etc/systemd/system/{unit}.d");
    let (file, folder) = (word(&format!("{folder}/watcher.conf")), word(&folder));
    let (lines, unit) = (word(&format!("ExecStart={start}")), word(unit));
    let restart = format!("  systemctl daemon-reload && systemctl restart {unit}\n");
    format!(
        "\nTo switch over{once}\n  install -m 755 watcher {PROGRAM}\n  mkdir -p {folder}\n  printf '%s\\n' '[Service]' 'ExecStart=' {lines} \
         > {file}\n{restart}\nThe way back\n  rm {file}\n{restart}\n{kept}"
    )
}
