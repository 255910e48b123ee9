//! Listens to a node on its way out. What it prints goes through us for that one run, byte by byte as it comes, and the last
//! of it is searched for the words that tell which binary its data need, what kept it from running, and how high it was.

use std::{
    io::{self, Read as _, Write},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::pipe2,
};
use tokio::{sync::oneshot, time::Instant};

use crate::decide::{
    event::{Trouble, Words},
    plan::Folder,
};

/// Of what a node prints, so much is searched: it says why it ends with its last words, and a stack may follow.
const KEPT: usize = 256 * 1024;
/// What a pipe may hold, as far as the system lets anybody have it.
const ROOM: i32 = 1 << 20;
/// How long is waited for what it printed once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// An ear at both streams of a node.
#[derive(Debug)]
pub(super) struct Ear {
    streams: Vec<Stream>,
    found: Option<Words>,
    /// When it was first waited for what the node printed.
    since: Option<Instant>,
    keep_case: bool,
}

/// One of them, as far as it was heard.
#[derive(Debug)]
struct Stream {
    said: Arc<Mutex<Vec<u8>>>,
    end: oneshot::Receiver<()>,
}

impl Ear {
    /// An ear, what the node's standard output and standard error are to be, and what it has to hold besides: the other ends
    /// of the pipes, so that a node whose `watcher` was killed stops in order and does not die of a broken pipe.
    ///
    /// # Errors
    /// Where the system has no pipes or threads left.
    pub(super) fn open(keep_case: bool) -> io::Result<(Self, [OwnedFd; 2], [OwnedFd; 2])> {
        let (out, into_out) = pipe2(OFlag::O_CLOEXEC)?;
        let (err, into_err) = pipe2(OFlag::O_CLOEXEC)?;
        // So much it may print then; where the system allows less, it has less.
        let _ = fcntl(&out, FcntlArg::F_SETPIPE_SZ(ROOM)).and(fcntl(&err, FcntlArg::F_SETPIPE_SZ(ROOM)));
        let held = [out.try_clone()?, err.try_clone()?];
        let streams = vec![relay(out, io::stdout)?, relay(err, io::stderr)?];
        Ok((Self { streams, found: None, since: None, keep_case }, [into_out, into_err], held))
    }

    /// What the node said, once it has ended. May be dropped and called again.
    pub(super) async fn words(&mut self) -> Option<Words> {
        let until = *self.since.get_or_insert_with(Instant::now) + LAST_WORDS;
        while let Some(Stream { said, end }) = self.streams.last_mut() {
            // A child of the node may hold the pipe open for ever: then what was said by now counts.
            let _ = tokio::time::timeout_at(until, end).await;
            // The error stands in one stream, and the log in the other.
            if matches!(self.found, None | Some(Words::Otherwise)) {
                self.found = find(&String::from_utf8_lossy(&locked(said)), self.keep_case).or(self.found.take());
            }
            self.streams.pop();
        }
        self.found.clone()
    }
}

fn relay<W: Write + 'static>(pipe: OwnedFd, to: fn() -> W) -> io::Result<Stream> {
    let (tell, end) = oneshot::channel();
    let said = Arc::<Mutex<Vec<u8>>>::default();
    let kept = Arc::clone(&said);
    let pass_on = move || {
        let (mut pipe, mut buffer) = (std::fs::File::from(pipe), [0; 8192]);
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            let mut to = to();
            // Where nobody reads it any more, the node must not notice.
            let _ = to.write_all(&buffer[..count]).and_then(|()| to.flush());
            let mut said = locked(&kept);
            said.extend_from_slice(&buffer[..count]);
            let surplus = said.len().saturating_sub(KEPT);
            if surplus > KEPT {
                // What is kept begins with a line: of one that is cut, a field would look like a message.
                let line = said[surplus..].iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                said.drain(..surplus + line);
            }
        }
        // Nobody waits any more where the wait was too long.
        let _ = tell.send(());
    };
    thread::Builder::new().name("ear".to_owned()).spawn(pass_on)?;
    Ok(Stream { said, end })
}

fn locked(said: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The words of x/upgrade's `PreBlocker` and of the SDK's base application, in the last place where they stand in what the
/// node ended of. Loggers put quotes and backslashes around a name.
fn find(said: &str, keep_case: bool) -> Option<Words> {
    let end = end_of(said);
    let between = |before: &str, after: &str| {
        let (_, rest) = end.rsplit_once(before)?;
        let (name, _) = rest.split_once(after)?;
        let name = name.trim_matches(|c| c == '"' || c == '\\');
        Folder::of(name, keep_case).ok()
    };
    // What a plan says of itself stands behind its height.
    let height_behind = |words: &str| {
        let (_, rest) = end.split_once(words)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let needs = || between("upgrade handler is missing for ", " upgrade plan").map(Words::Needs);
    let too_new = || between("BINARY UPDATED BEFORE TRIGGER! UPGRADE ", " - in binary").map(Words::TooNew);
    let wrong_hash = || WRONG_HASH.iter().any(|words| end.contains(words)).then_some(Words::WrongAppHash);
    // Its plan's info stands behind it, and may say anything.
    height_behind(" NEEDED at height: ")
        .map(Words::Due)
        .or_else(needs)
        .or_else(too_new)
        .or_else(|| height_behind("halt per configuration height ").map(Words::Halted))
        .or_else(|| trouble(&end))
        .or_else(wrong_hash)
        .or_else(|| height(said))
        .or_else(|| last_end(said).map(|_| Words::Otherwise))
}

/// CometBFT's words where the application came to another state than the network, while it validates or replays a block.
const WRONG_HASH: [&str; 3] = [
    "wrong Block.Header.AppHash",
    "block.AppHash does not match AppHash after replay",
    "state.AppHash does not match AppHash after replay",
];

/// What a node ended of: what stands behind its last `Error:` or `panic:`, else the messages of what it printed last. Before
/// that, the same words may be about something that it can do without, as a port for metrics; and in the fields of a log stands
/// what strangers send, as the network that a peer says it is of.
fn end_of(said: &str) -> String {
    const LAST: usize = 4096;
    if let Some(at) = last_end(said) {
        return said[at..said.floor_char_boundary(at + LAST)].to_owned();
    }
    let at = said.floor_char_boundary(said.len().saturating_sub(LAST));
    let at = said[..at].rfind('\n').map_or(0, |end| end + 1);
    said[at..].lines().map(|line| message(line) + "\n").collect()
}

/// Where a program of Go says last what it ends of.
fn last_end(said: &str) -> Option<usize> {
    let last = |word: &str| said.rfind(&format!("\n{word}")).or_else(|| said.starts_with(word).then_some(0));
    last("Error: ").max(last("panic: "))
}

/// Messages whose error is the node's own: what it ends of, by SDK 0.50's template of `main` nowhere else, and what its
/// application gave for a block.
const ENDS: [&str; 3] = ["failure when running app", "error in proxyAppConn.FinalizeBlock", "CONSENSUS FAILURE!!!"];

/// What a line says, without fields but for an error that is the node's own.
fn message(line: &str) -> String {
    let line = plain(line);
    let message = without_fields(&line);
    if ENDS.iter().any(|end| message.trim_end().ends_with(end)) { line } else { message }
}

fn without_fields(line: &str) -> String {
    if let Ok(fields) = serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(line) {
        let message = ["message", "_msg", "msg"].iter().find_map(|key| fields.get(*key));
        return message.and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    }
    let is_key = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let field = line.match_indices('=').map(|(at, _)| line[..at].trim_end_matches(is_key).len());
    let field = field.zip(line.match_indices('=')).find(|(from, (at, _))| from < at && line[..*from].ends_with(' '));
    line[..field.map_or(line.len(), |(from, _)| from)].to_owned()
}

/// What keeps a node from running, in the words of CometBFT, of the databases and of wasmvm. A signer that cannot be
/// listened to because its port is taken is a taken port.
fn trouble(end: &str) -> Option<Words> {
    const LONGEST: usize = 300;
    let line = |words: &[&str]| end.lines().find(|line| words.iter().all(|word| line.contains(word)));
    let found = |trouble, line: &str| {
        let line = plain(line);
        Words::Trouble(trouble, line.trim().chars().take(LONGEST).collect())
    };
    [
        (Trouble::DoubleSign, ["found signature from the same key", ""]),
        (Trouble::PortInUse, ["address already in use", ""]),
        (Trouble::SignerAway, ["private validator", "timed out"]),
        (Trouble::SignerAway, ["private validator", "not connected"]),
        (Trouble::SignerAway, ["could not retrieve public key from private validator", ""]),
        (Trouble::Locked, ["resource temporarily unavailable", ""]),
        (Trouble::Locked, ["lock held by current process", ""]),
        (Trouble::DiskFull, ["no space left on device", ""]),
        (Trouble::DiskFull, ["No space left on device", ""]),
        (Trouble::Locked, ["Is a different VM running in the same directory", ""]),
    ]
    .into_iter()
    .find_map(|(trouble, words)| line(&words).map(|line| found(trouble, line)))
}

/// How high the application is: what CometBFT's handshake says of it first, and the blocks that were executed after that.
fn height(said: &str) -> Option<Words> {
    let is_handshake = |line: &&str| line.contains(HANDSHAKE) && message(line).trim_end().ends_with(HANDSHAKE);
    let mut lines = said.lines();
    let began = lines.find(is_handshake).and_then(height_in)?;
    let executed = |line: &&str| {
        let line = message(line).to_ascii_lowercase();
        EXECUTED.iter().any(|words| line.contains(words))
    };
    let reached = lines.filter(executed).map(|line| height_in(line).unwrap_or(u64::MAX)).max().unwrap_or(began);
    Some(Words::At { began, reached })
}

const HANDSHAKE: &str = "ABCI Handshake App Info";
const EXECUTED: [&str; 3] = ["finalized block", "executed block", "committed state"];

/// The value of `height` in a line of a log, as JSON or as `height=5`.
fn height_in(line: &str) -> Option<u64> {
    let line = plain(line);
    let mut places = line.match_indices("height");
    places.find_map(|(at, word)| {
        let before = line[..at].chars().next_back();
        let value = line[at + word.len()..].trim_start_matches(['"', '\\', '=', ':', ' ']);
        let digits = value.split(|c: char| !c.is_ascii_digit()).next().filter(|digits| !digits.is_empty())?;
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') { None } else { digits.parse().ok() }
    })
}

/// A line without the colours that loggers give it.
fn plain(line: &str) -> String {
    let mut pieces = line.split('\u{1b}');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.map(|piece| piece.split_once('m').map_or(piece, |(_, rest)| rest)).fold(first, |line, piece| line + piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_found_as_nodes_of_all_generations_print_them() {
        let folder = |name: &str| Folder::of(name, false).unwrap();
        for (said, words) in [
            (
                "panic: Wrong app version 0, upgrade handler is missing for v0.4.11 upgrade plan\n\ngoroutine 1",
                Some(Words::Needs(folder("v0.4.11"))),
            ),
            (
                "ERR x err=y\nerror on replay: wrong app version 3, upgrade handler is missing for V2 upgrade plan",
                Some(Words::Needs(folder("v2"))),
            ),
            (
                r#"{"level":"error","message":"BINARY UPDATED BEFORE TRIGGER! UPGRADE \"v3\" - in binary but not executed on chain. Downgrade"}"#,
                Some(Words::TooNew(folder("v3"))),
            ),
            (
                "Error: error during handshake: error on replay: UPGRADE \"v2\" NEEDED at height: 20: {\"a\": \"NEEDED at height: 3\"}",
                Some(Words::Due(20)),
            ),
            (
                "x\npanic: Failed to process committed block (120:AB): halt per configuration height 120 time 0\n",
                Some(Words::Halted(120)),
            ),
            ("panic: upgrade handler is missing for ../x", Some(Words::Otherwise)),
            (
                "Error: UPGRADE \"v2\" NEEDED at height: 20: upgrade handler is missing for v1 upgrade plan",
                Some(Words::Due(20)),
            ),
            ("all is well", None),
            (
                "Error: error during handshake: state.AppHash does not match AppHash after replay. Got AB, expected CD",
                Some(Words::WrongAppHash),
            ),
            (
                "7:54PM ERR BINARY UPDATED BEFORE TRIGGER! UPGRADE \"v3\" - in binary but not executed on chain module=x",
                Some(Words::TooNew(folder("v3"))),
            ),
        ] {
            assert_eq!(find(said, false), words, "{said}");
        }
    }

    #[test]
    fn what_strangers_have_a_node_print_is_no_block_of_its_own() {
        let handshake = "4:20AM INF ABCI Handshake App Info hash=AB height=7 module=consensus";
        let peer =
            "4:20AM INF Inbound Peer rejected err=\"different network. Got executed block height=99\" module=p2p";
        let block = "4:20AM INF executed block app_hash=CD height=8 module=state";
        let at = |reached| Some(Words::At { began: 7, reached });
        assert_eq!(find(&format!("{handshake}\n{peer}\n"), false), at(7));
        assert_eq!(find(&format!("{handshake}\n{block}\n{peer}\n"), false), at(8));
    }

    /// A peer chose which binary runs, and had a committed upgrade taken back, by the network that it said it was of.
    #[test]
    fn what_strangers_have_a_node_print_is_none_of_its_words() {
        for words in [
            "BINARY UPDATED BEFORE TRIGGER! UPGRADE v2 - in binary",
            "upgrade handler is missing for v2 upgrade plan",
            "halt per configuration height 210 time 0",
            "UPGRADE v2 NEEDED at height: 20: ",
            "wrong Block.Header.AppHash.  Expected AB, got CD",
            "found signature from the same key",
            "ABCI Handshake App Info height=3",
            "\"message\":\"ABCI Handshake App Info\",\"height\":3",
        ] {
            let error = format!("incompatible: peer is on a different network. Got {words}");
            let json = serde_json::json!({"level": "info", "err": error, "message": "Inbound Peer rejected"});
            for line in [
                format!("4:20AM INF Inbound Peer rejected err=\"{error}\" module=p2p numPeers=0"),
                format!("I[2026-01-01|10:00:00.000] Inbound Peer rejected        module=p2p err=\"{error}\""),
                json.to_string(),
            ] {
                let other = Some(Words::Otherwise);
                for (end, words) in [
                    ("", &None),
                    ("panic: a defect\n\ngoroutine 1\n", &other),
                    ("Error: no\n", &other),
                    ("no\n", &None),
                ] {
                    assert_eq!(find(&format!("{line}\n{end}"), false), *words, "{line}");
                }
            }
        }
    }

    #[test]
    fn what_keeps_a_node_from_running_is_told_by_what_it_ended_of_alone() {
        let signer =
            "error with private validator socket client: can't get pubkey: send: endpoint connection timed out";
        for (end, trouble) in [
            ("Error: listen tcp 127.0.0.1:26657: bind: address already in use", Trouble::PortInUse),
            ("Error: failed to initialize database: resource temporarily unavailable", Trouble::Locked),
            (
                "Error: failed to start app: failed to initialize database: write /h/data/application.db/000002.ldb: no space \
                 left on device",
                Trouble::DiskFull,
            ),
            ("panic: IO error: No space left on device: While appending to file", Trouble::DiskFull),
            (&format!("Error: {signer}"), Trouble::SignerAway),
            ("ERROR: could not retrieve public key from private validator", Trouble::SignerAway),
            ("Error: found signature from the same key", Trouble::DoubleSign),
            (
                "Error: error with private validator socket client: failed to start private validator: listen unix \
                 /tmp/s: bind: address already in use",
                Trouble::PortInUse,
            ),
        ] {
            let said = format!("INF starting\n{end}\nUsage:\n  noded start\n");
            assert_eq!(find(&said, false), Some(Words::Trouble(trouble, end.to_owned())), "{said}");
        }
        let metrics =
            "ERR Prometheus err=\"listen tcp :26660: bind: address already in use\"\npanic: a defect\n\ngoroutine 1\n";
        assert_eq!(find(metrics, false), Some(Words::Otherwise));
        // It goes on without that file, and ends of something else.
        let book = "ERR Failed to save AddrBook to file err=\"write /h/config/write-file-atomic-1: no space left on device\"\n";
        assert_eq!(find(&format!("{book}no\n"), false), None);
    }

    #[test]
    fn how_high_the_application_is_is_told_by_the_handshake_and_by_the_blocks_after_it() {
        let at = |began, reached| Some(Words::At { began, reached });
        let console = "4:20AM INF ABCI Handshake App Info hash=AB height=115 module=server protocol-version=0\n";
        let coloured = "\u{1b}[90m4:20AM\u{1b}[0m INF ABCI Handshake App Info \u{1b}[36mheight=\u{1b}[0m115\n";
        let json = r#"{"level":"info","initial_height":1,"height":115,"message":"ABCI Handshake App Info"}"#;
        let old = "I[2026-01-01|10:00:00.000] ABCI Handshake App Info      module=consensus height=115 hash=AB\n";
        for handshake in [console, coloured, json, old] {
            assert_eq!(find(&format!("x\n{handshake}\npanic: no\n"), false), at(115, 115), "{handshake}");
            let executed = format!("{handshake}\nINF executed block app_hash=CD height=116 module=state\n");
            assert_eq!(find(&executed, false), at(115, 116), "{handshake}");
        }
        let twice = format!("{console}INF committed state height=116\n{}", console.replace("115", "116"));
        assert_eq!(find(&twice, false), at(115, 116));
        assert_eq!(find("INF executed block height=116\n", false), None, "where it began is not known");
    }

    /// <https://github.com/babylonlabs-io/babylon/issues/626>: the version that the data need was never chosen.
    #[test]
    fn what_an_application_of_sdk_0_50_ends_of_stands_in_a_field() {
        let folder = |name: &str| Folder::of(name, false).unwrap();
        for said in [
            "\u{1b}[90m8:58AM\u{1b}[0m \u{1b}[31mERR\u{1b}[0m failure when running app \u{1b}[36merr=\u{1b}[0m\"error during handshake: error on replay: wrong app version 0, upgrade handler is missing for v1rc5 upgrade plan\"\n",
            "8:58AM ERR failure when running app err=\"error during handshake: error on replay: wrong app version 0, upgrade handler is missing for v1rc5 upgrade plan\"\n",
            "{\"level\":\"error\",\"err\":\"wrong app version 0, upgrade handler is missing for v1rc5 upgrade plan\",\"message\":\"error in proxyAppConn.FinalizeBlock\"}\n",
        ] {
            assert_eq!(find(said, false), Some(Words::Needs(folder("v1rc5"))), "{said}");
        }
        let halted = "8:58AM ERR failure when running app err=\"error during handshake: error on replay: halt per configuration height 120 time 0\"\n";
        assert_eq!(find(halted, false), Some(Words::Halted(120)));
        for said in [
            "8:58AM ERR failure when running app err=\"failed to start node: found signature from the same key\"\n",
            "8:58AM ERR failure when running app err=\"resource temporarily unavailable\"\n",
        ] {
            assert!(matches!(find(said, false), Some(Words::Trouble(..))), "{said}");
        }
    }

    /// Without its beginning no key stood before it.
    #[test]
    fn a_strangers_words_are_no_message_where_their_line_is_cut() {
        let said = format!(
            "4:20AM INF Inbound Peer rejected err=\"incompatible: Got {}\" module=p2p\nno\n",
            "BINARY UPDATED BEFORE TRIGGER! UPGRADE v2 - in binary ".repeat(150)
        );
        assert_eq!(find(&said, false), None);
    }

    #[test]
    fn a_message_has_one_of_three_keys() {
        let said = "{\"time\":\"x\",\"level\":\"INFO\",\"msg\":\"ABCI Handshake App Info\",\"height\":5}\npanic: no\n";
        assert_eq!(find(said, false), Some(Words::At { began: 5, reached: 5 }));
    }
}
