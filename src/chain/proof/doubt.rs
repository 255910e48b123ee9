//! Why something is not proven.

use std::time::Duration;

/// Why something is not proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Doubt {
    /// The trusted header is older than validators can be held to.
    #[error(
        "the trusted header is of {time}, longer ago than WATCHER_TRUST_PERIOD ({} h); set WATCHER_TRUST_HEIGHT and \
         WATCHER_TRUST_HASH to a block of these days, from a source that you trust", .period.as_secs() / 3600
    )]
    Expired { time: String, period: Duration },
    /// Something that cannot be verified, though it may be in order.
    #[error("unsupported: {0} cannot be verified")]
    Unsupported(String),
    /// The header at the trusted height is another.
    #[error("its header there has the hash {0}, which is not WATCHER_TRUST_HASH")]
    OtherHash(String),
    /// Two headers at one height.
    #[error("another header is verified for that height: the chain has forked, or somebody lies")]
    Fork,
    /// Its validators are not those of the header.
    #[error("its validators are not those of its header")]
    OtherValidators,
    /// A header that does not follow from the trusted one.
    #[error("its header does not hold: {0}")]
    Header(String),
    /// Too many headers between.
    #[error("its header is too far from the trusted one: it could be verified up to height {0}")]
    TooFar(u64),
    /// The proof is not what it should be.
    #[error("its proof does not hold: {0}")]
    Proof(String),
    /// It took too long.
    #[error("it gave none within {} s", .0.as_secs())]
    Slow(Duration),
    /// A decoder's panic.
    #[error("checking its proof failed: {0}")]
    Panic(String),
}
