//! The list of upgrades to come, as people read it. Names, URLs and infos are written by whoever pays a deposit: nothing of
//! theirs may begin a line, move the cursor, or pass for words of this program.

use std::fmt::Write as _;

use jiff::Zoned;

use super::{
    list::{Entry, State, Upcoming},
    moment::distance,
};
use crate::http::secrets;

/// The longest name that is shown whole, characters.
const LONGEST_NAME: usize = 100;
/// The longest of anything else that is shown whole, characters.
const LONGEST: usize = 500;

/// The list as text, at this moment and in its time zone.
pub(in crate::commands) fn text(list: &Upcoming, now: &Zoned) -> String {
    let (chain, time) = (name(&list.chain_id), list.time);
    let mut text = format!("{chain} is at height {} ({}, {})\n", list.height, time.on_the_wall(now), time.from(now));
    for problem in &list.unanswered {
        let _ = writeln!(text, "nobody answered what is {problem}: this list may lack something");
    }
    if let Some(height) = list.proven_height {
        let what =
            if list.upgrades.iter().any(|entry| entry.state >= State::Scheduled) { "what" } else { "that nothing" };
        let _ = writeln!(text, "{what} is scheduled is proven as of height {height}");
    }
    if list.upgrades.is_empty() && list.unanswered.is_empty() {
        text.push_str("no upgrade is coming\n");
    }
    for entry in &list.upgrades {
        let _ = writeln!(text, "\n{}", head(entry, list.height));
        for (label, words) in lines(entry, now) {
            let _ = writeln!(text, "  {label:<9} {words}");
        }
    }
    text
}

/// A name, bare where it cannot be mistaken for anything else, and quoted otherwise.
pub(in crate::commands) fn name(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+/".contains(c));
    let short = bounded(name, LONGEST_NAME);
    if plain { short } else { format!("\"{}\"", short.escape_debug()) }
}

/// Somebody else's words on one line: what cannot be seen is escaped, what is too long is cut.
pub(in crate::commands) fn line(words: &str) -> String {
    let visible = |c: char| if matches!(c, '\'' | '"' | '\\') { c.to_string() } else { c.escape_debug().to_string() };
    bounded(words, LONGEST).chars().map(visible).collect()
}

fn bounded(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn head(entry: &Entry, latest: u64) -> String {
    let blocks = match entry.blocks_left {
        // At its halt a chain has decided the block, and goes no further.
        0 if entry.height == latest && entry.state >= State::Scheduled => "where the chain halts now".to_owned(),
        0 => "which has passed".to_owned(),
        1 => "in 1 block".to_owned(),
        blocks => format!("in {blocks} blocks"),
    };
    format!("{} at height {}, {blocks}", name(&entry.name), entry.height)
}

fn lines(entry: &Entry, now: &Zoned) -> Vec<(&'static str, String)> {
    let mut lines = vec![("state", state(entry, now))];
    if entry.state >= State::Scheduled {
        lines.push(("belief", entry.belief.to_string()));
    }
    if let Some(eta) = &entry.eta {
        let wall = eta.at.on_the_wall(now);
        lines.push((
            "time",
            match eta.at.left(now) {
                left if left < 0 => {
                    format!("was expected {}, {wall}; does the chain still make blocks?", eta.at.from(now))
                }
                left => {
                    let [earliest, latest] =
                        [eta.earliest, eta.latest].map(|end| distance(end.left(now).max(0)).to_string());
                    let range = if earliest == latest { String::new() } else { format!(" ({earliest} to {latest})") };
                    format!("in about {}{range}, {wall}", distance(left))
                }
            },
        ));
    }
    if let Some(artifact) = &entry.artifact {
        lines.push(("binary", format!("{} ({})", line(&secrets::file(&artifact.url)), line(&artifact.os_arch))));
        lines.push((
            "checksum",
            artifact.checksum.as_deref().map_or_else(|| "none (unpinned)".into(), |it| line(&secrets::file(it))),
        ));
    } else if entry.problem.is_none() {
        lines.push(("binary", format!("whatever {} lists for this platform", line(&secrets::file(entry.info.trim())))));
    }
    lines.extend(entry.problem.as_deref().map(|problem| ("problem", line(problem))));
    lines
}

fn state(entry: &Entry, now: &Zoned) -> String {
    let proposal = entry.proposal_id.map_or_else(|| "a proposal".to_owned(), |id| format!("proposal {id}"));
    let by = entry.proposal_id.map(|id| format!(" by proposal {id}")).unwrap_or_default();
    match entry.state {
        State::Deposit => format!("{proposal} collects its deposit"),
        State::Voting => {
            let end = entry.voting_end_time.map(|end| {
                let verb = if end.left(now) < 0 { "ended" } else { "ends" };
                format!(", the vote {verb} {} ({})", end.from(now), end.on_the_wall(now))
            });
            format!("{proposal} is voted on{}", end.unwrap_or_default())
        }
        State::Passed => format!("{proposal} has passed"),
        State::Scheduled => format!("scheduled{by}"),
        State::Staged => format!("scheduled{by}, its binary is in place"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_attacker_reaches_the_terminal_as_it_is() {
        for (given, shown) in [
            ("v2", "v2"),
            ("v1.2.3-rc_1+x/y", "v1.2.3-rc_1+x/y"),
            ("", "\"\""),
            ("v9 at height 5", "\"v9 at height 5\""),
            ("a\nb\r\t\x1b[31m\"", r#""a\nb\r\t\u{1b}[31m\"""#),
            ("\u{9b}2J\u{202e}", r#""\u{9b}2J\u{202e}""#),
        ] {
            assert_eq!(name(given), shown);
        }
        assert_eq!(line("it's \"{}\" \\ \n\u{1b}[2J \u{2028}ü"), "it's \"{}\" \\ \\n\\u{1b}[2J \\u{2028}ü");
        assert_eq!((name(&"x".repeat(101)).chars().count(), line(&"ü".repeat(900)).chars().count()), (101, 501));
    }
}
