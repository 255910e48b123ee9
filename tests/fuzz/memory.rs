//! Answers that are made to grow in memory.

use std::{fs, sync::PoisonError};

use watcher::artifact::{Platform, info};

use crate::{
    ALONE,
    answers::{Endpoint, Question},
};

/// As large as an answer is tried; the largest that is read is four times that.
const LARGE: usize = 2 << 20;
/// Twelve times that: text, what is made of it, and what a growing list holds twice.
const MOST: usize = 24 << 20;

/// `begin`, then `piece` as often as it fits, then `end`.
fn filled(begin: &str, piece: &str, end: &str) -> String {
    let mut text = String::with_capacity(LARGE);
    text.push_str(begin);
    while text.len() + piece.len() + end.len() < LARGE {
        text.push_str(piece);
    }
    let last = text.trim_end_matches(',').len();
    text.truncate(last);
    text + end
}

/// Bytes that this process had in memory at most while it ran, beyond what it had before.
fn growth(run: impl FnOnce()) -> usize {
    let value = |name: &str| -> usize {
        let status = fs::read_to_string("/proc/self/status").expect("the system tells of its processes");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it tells of memory");
        line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<usize>().expect("it is a number") << 10
    };
    fs::write("/proc/self/clear_refs", "5").expect("the peak can be forgotten");
    let before = value("VmRSS");
    run();
    value("VmHWM").saturating_sub(before)
}

#[test]
fn no_answer_grows_much_in_memory() {
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    let (endpoint, platform) = (Endpoint::open(), Platform { os_arch: "linux/amd64".into() });
    for (question, begin, end) in [
        (Question::Status, r#"{"error":{"code":1,"message":"m","data":["#, "]}}"),
        (Question::Status, r#"{"result":{"node_info":{"network":"c"},"sync_info":{"earliest_block_height":["#, "]}}}"),
        (Question::RestProposals, r#"{"proposals":["#, "]}"),
        (Question::RestProposals, r#"{"proposals":[{"id":"1","messages":["#, "]}]}"),
        (Question::RestPlan, r#"{"code":1,"message":"m","details":["#, "]}"),
    ] {
        for piece in ["0,", "[],", r#"{"":0},"#] {
            let text = filled(begin, piece, end);
            let grown = growth(|| endpoint.hear(question, text.clone().into_bytes()));
            assert!(grown < MOST, "{grown} bytes for {begin}{piece}… from an endpoint");
        }
    }
    for piece in ["0,", "[],", r#"{"":0},"#] {
        let text = filled(r#"{"binaries":{"any":["#, piece, "]}}");
        let grown = growth(|| drop(info::asks(&text, &platform, false)));
        assert!(grown < MOST, "{grown} bytes for {piece}… in a plan's info");
    }
}
