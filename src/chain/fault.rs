//! Why an endpoint gave no usable answer. Every fault names the endpoint, the question and what came back, because an
//! operator has to find out which of several addresses is wrong, and why.

use std::{any::Any, time::Duration};

/// How long an endpoint is left alone that asks for fewer questions and does not say for how long.
const UNSAID: Duration = Duration::from_secs(10);

/// An endpoint gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint} {cause} (asked for {})", beginning(question.as_bytes(), 200))]
pub struct Fault {
    /// The endpoint, without user name and password.
    pub endpoint: String,
    /// What it was asked.
    pub question: String,
    /// What it did instead of answering.
    pub cause: Cause,
}

/// What an endpoint did instead of answering.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// No connection, or one that broke.
    #[error("cannot be reached: {0}; is the address right, and is it up?")]
    Unreachable(String),
    /// Nothing within the time given.
    #[error("gave no answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// More than this program reads.
    #[error("answers with more than {0} bytes, which are not read")]
    TooLarge(usize),
    /// HTTP 429, 503 with a `Retry-After` (RFC 9110), or an error in such words; the time where it was given.
    #[error("asks for fewer questions; another endpoint in WATCHER_RPC or WATCHER_REST would help")]
    Throttled(Option<Duration>),
    /// An HTTP status that is no answer, with the beginning of what came with it.
    #[error("answers HTTP {0}, saying {1:?}")]
    Status(u16, String),
    /// An empty body.
    #[error("answers nothing; is it a CometBFT RPC or a Cosmos REST address?")]
    Empty,
    /// Something else than the JSON or protobuf that was asked for.
    #[error(
        "does not answer in the form of a Cosmos chain ({}), it says {said:?}; is the address right?",
        beginning(reason.as_bytes(), 200)
    )]
    Unreadable {
        /// What was wrong with it.
        reason: String,
        /// How it begins.
        said: String,
    },
    /// An error in the protocol's own form: JSON-RPC, ABCI or gRPC gateway.
    #[error("refuses with code {code}: {message}")]
    Refused {
        /// The code of that protocol.
        code: i64,
        /// Its words.
        message: String,
    },
    /// The application itself says that it has no such question: an older or newer SDK, or a chain without that module.
    #[error("does not know the question: {0}")]
    Unknown(String),
    /// The question did not get so far: what stands before the application, or the node's own RPC, does not pass it on.
    #[error("does not serve the question: {0}")]
    Unserved(String),
    /// The store at that height is not there: pruned, or not yet committed.
    #[error("has no state at that height, it says {0:?}; it may be pruned or restarting")]
    NoState(String),
    /// It belongs to another chain.
    #[error(
        "is on chain {:?}, not {expected:?}; it is ignored, remove it from WATCHER_RPC or WATCHER_REST",
        excerpt(found.as_bytes())
    )]
    OtherChain {
        /// The chain that is followed.
        expected: String,
        /// The chain it is on.
        found: String,
    },
    /// Its height went back.
    #[error("went back behind height {was}, where it had been; it is ignored until it is there again")]
    WentBack {
        /// The greatest height it told.
        was: u64,
    },
    /// It names a height that the chain cannot have reached.
    #[error("says that the chain is at height {said}, where {} says {height}; it is ignored", excerpt(against.as_bytes()))]
    Beyond {
        /// What it says.
        said: u64,
        /// The height that is believed.
        height: u64,
        /// Who says that.
        against: String,
    },
    /// What it says of a plan could not be proven.
    #[error("proves nothing: {0}; what it says of a plan counts as claimed")]
    Unproven(String),
    /// At the own node's address another node answers.
    #[error(
        "is not the node of this home (its id is {}, config/node_key.json says {expected}); it is not believed",
        excerpt(found.as_bytes())
    )]
    OtherNode {
        /// The id that the home's key gives.
        expected: String,
        /// The id that was told.
        found: String,
    },
}

impl Fault {
    /// How long the endpoint asked to be left alone; a while where it did not say for how long.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.cause {
            Cause::Throttled(time) => Some(time.unwrap_or(UNSAID)),
            _ => None,
        }
    }

    /// Whether the application does not know the question, so that an older or newer form of it may be known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.cause, Cause::Unknown(_))
    }

    /// Whether there is no way to ask this there, whatever the application knows.
    #[must_use]
    pub fn is_unserved(&self) -> bool {
        matches!(self.cause, Cause::Unknown(_) | Cause::Unserved(_))
    }

    /// Whether the server itself failed at this very question, so that another may be answered.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.cause, Cause::Refused { .. } | Cause::Status(500, _))
    }

    /// Whether what was asked for does not exist: `NotFound` of gRPC, in its own number and in that of baseapp.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        let Cause::Refused { code, message } = &self.cause else { return false };
        matches!(code, 5 | 22) || message.contains("doesn't exist") || message.contains("not found")
    }
}

/// What a task said as it panicked.
pub(super) fn panic_words(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| String::from("a panic without words"))
}

/// The beginning of what was said, fit for one line.
pub(super) fn excerpt(said: &[u8]) -> String {
    beginning(said, 80)
}

fn beginning(said: &[u8], length: usize) -> String {
    let text = String::from_utf8_lossy(&said[..said.len().min(4 * length)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(length).collect()
}

/// Sorts a refusal in the words of the SDK. Code 12 is `Unimplemented` of gRPC; code 6 with `unknown query path` is what
/// baseapp says of a path without a server (SDK 0.40 to 0.55). Any other code in such words is somebody's on the way.
pub(super) fn refusal(code: i64, message: &str) -> Cause {
    const UNKNOWN_REQUEST: i64 = 6;
    const UNIMPLEMENTED: i64 = 12;
    const METHOD_NOT_FOUND: i64 = -32601;
    let message = beginning(message.as_bytes(), 200);
    let has = |words: &str| message.to_ascii_lowercase().contains(words);
    if has("failed to load state") {
        Cause::NoState(message)
    } else if has("rate limit") || has("too many requests") {
        Cause::Throttled(None)
    } else if code == UNIMPLEMENTED || code == UNKNOWN_REQUEST && has("unknown query path") {
        Cause::Unknown(message)
    } else if code == METHOD_NOT_FOUND
        || ["unknown query path", "unknown service", "unknown method", "not implemented", "unimplemented"]
            .iter()
            .any(|words| has(words))
    {
        Cause::Unserved(message)
    } else {
        Cause::Refused { code, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_sorted_by_their_words() {
        let unknown = |cause| matches!(cause, Cause::Unknown(_));
        assert!(unknown(refusal(6, "unknown query path: unknown request")));
        assert!(unknown(refusal(12, "Not Implemented")));
        for (code, message) in [(-32601, "Method not found"), (2, "unknown service"), (5, "unknown query path")] {
            assert!(matches!(refusal(code, message), Cause::Unserved(_)), "{code}");
        }
        let fault = |code, message| {
            let cause = refusal(code, message);
            let fault = Fault { endpoint: String::new(), question: String::new(), cause };
            (fault.is_missing(), fault.is_refusal())
        };
        assert_eq!(fault(5, "proposal 7 doesn't exist"), (true, true));
        assert_eq!(
            fault(22, "rpc error: code = NotFound desc = proposal 7 doesn't exist: key not found"),
            (true, true)
        );
        assert_eq!(fault(2, "no concrete type registered for type URL /x.Msg"), (false, true));
        assert!(matches!(refusal(-32005, "Rate limit exceeded"), Cause::Throttled(None)));
        let refused = refusal(3, "requested block height is bigger than the chain length");
        assert!(matches!(refused, Cause::Refused { code: 3, .. }));
        let pruned = refusal(2, "failed to load state at height 5; no commit info found (latest height: 9)");
        assert!(matches!(&pruned, Cause::NoState(said) if said.contains("height 5")));
    }

    #[test]
    fn what_was_said_fits_on_one_line() {
        assert_eq!(excerpt(b"<html>\r\n\t<b>\x1b[31mno</b>"), "<html> <b>[31mno</b>");
        assert_eq!(excerpt(&[b'x'; 1000]).len(), 80);
        assert_eq!(excerpt(b"\xff").chars().count(), 1);
    }
}
