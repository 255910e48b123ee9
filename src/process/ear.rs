//! Listens to a node on its way out. What it prints goes through us for that one run, byte by byte as it comes, and the last
//! of it is searched for the words that tell which binary its data need.

use std::{
    io::{self, Read as _, Write},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use nix::{fcntl::OFlag, unistd::pipe2};
use tokio::{sync::oneshot, time::Instant};

use crate::decide::{event::Words, plan::Folder};

/// Of what a node prints, so much is searched: it says why it ends with its last words, and a stack may follow.
const KEPT: usize = 256 * 1024;
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
    /// An ear, and what the node's standard output and standard error are to be.
    ///
    /// # Errors
    /// Where the system has no pipes or threads left.
    pub(super) fn open(keep_case: bool) -> io::Result<(Self, [OwnedFd; 2])> {
        let (out, into_out) = pipe2(OFlag::O_CLOEXEC)?;
        let (err, into_err) = pipe2(OFlag::O_CLOEXEC)?;
        let streams = vec![relay(out, io::stdout)?, relay(err, io::stderr)?];
        Ok((Self { streams, found: None, since: None, keep_case }, [into_out, into_err]))
    }

    /// What the node said, once it has ended. May be dropped and called again.
    pub(super) async fn words(&mut self) -> Option<Words> {
        let until = *self.since.get_or_insert_with(Instant::now) + LAST_WORDS;
        while let Some(Stream { said, end }) = self.streams.last_mut() {
            // A child of the node may hold the pipe open for ever: then what was said by now counts.
            let _ = tokio::time::timeout_at(until, end).await;
            if self.found.is_none() {
                self.found = find(&String::from_utf8_lossy(&locked(said)), self.keep_case);
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
                said.drain(..surplus);
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

/// The words of x/upgrade's `PreBlocker` and of the SDK's base application, in the last place where they stand. Loggers put
/// quotes and backslashes around a name.
fn find(said: &str, keep_case: bool) -> Option<Words> {
    let between = |before: &str, after: &str| {
        let (_, rest) = said.rsplit_once(before)?;
        let (name, _) = rest.split_once(after)?;
        let name = name.trim_matches(|c| c == '"' || c == '\\');
        Folder::of(name, keep_case).ok()
    };
    let halted = || {
        let (_, rest) = said.rsplit_once("halt per configuration height ")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let needs = between("upgrade handler is missing for ", " upgrade plan").map(Words::Needs);
    let too_new = || between("BINARY UPDATED BEFORE TRIGGER! UPGRADE ", " - in binary").map(Words::TooNew);
    needs.or_else(too_new).or_else(|| halted().map(Words::Halted))
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
                "ERR x err=\"wrong app version 3, upgrade handler is missing for V2 upgrade plan\"",
                Some(Words::Needs(folder("v2"))),
            ),
            (
                r#"{"err":"BINARY UPDATED BEFORE TRIGGER! UPGRADE \"v3\" - in binary but not executed on chain. Downgrade"}"#,
                Some(Words::TooNew(folder("v3"))),
            ),
            (
                "error in proxyAppConn.FinalizeBlock err=\"halt per configuration height 120 time 0\"",
                Some(Words::Halted(120)),
            ),
            ("panic: upgrade handler is missing for ../x", None),
            ("all is well", None),
        ] {
            assert_eq!(find(said, false), words, "{said}");
        }
    }
}
