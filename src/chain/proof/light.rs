//! The light client: whether a header was signed by those who may sign it.

use std::time::Duration;

use tendermint::{
    Time,
    block::{Header, signed_header::SignedHeader},
    trust_threshold::TrustThresholdFraction,
    validator::Set,
};
use tendermint_light_client_verifier::{
    ProdVerifier, Verdict, Verifier as _,
    options::Options,
    types::{TrustedBlockState, UntrustedBlockState},
};

use super::doubt::Doubt;
use crate::chain::fault::panic_words;

/// How far a header's time may be ahead of this machine's clock.
const CLOCK_DRIFT: Duration = Duration::from_secs(30);

/// A header that is trusted, with the validators that sign the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trusted {
    pub(super) header: Header,
    /// Their hash is the header's `next_validators_hash`.
    pub(super) next: Set,
}

/// A header with its signatures and its validators, as an endpoint tells them.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) signed: SignedHeader,
    pub(super) validators: Set,
}

/// Whether the block follows from the trusted header; false where too few of the trusted validators have signed it, so that
/// one between them is needed.
pub(super) fn follows(trusted: &Trusted, block: &Block, period: Duration) -> Result<bool, Doubt> {
    let untrusted =
        UntrustedBlockState { signed_header: &block.signed, validators: &block.validators, next_validators: None };
    let trusted = TrustedBlockState {
        chain_id: &trusted.header.chain_id,
        header_time: trusted.header.time,
        height: trusted.header.height,
        next_validators: &trusted.next,
        next_validators_hash: trusted.header.next_validators_hash,
    };
    // A third of the trusted power: at least one honest validator among those who signed both.
    let options = Options {
        trust_threshold: TrustThresholdFraction::ONE_THIRD,
        trusting_period: period,
        clock_drift: CLOCK_DRIFT,
    };
    match ProdVerifier::default().verify_update_header(untrusted, trusted, &options, now()) {
        Verdict::Success => Ok(true),
        Verdict::NotEnoughTrust(_) => Ok(false),
        Verdict::Invalid(why) => Err(Doubt::Header(format!("{why:.300}"))),
    }
}

/// This machine's clock.
pub(super) fn now() -> Time {
    let now = jiff::Timestamp::now();
    let nanoseconds = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
    Time::from_unix_timestamp(now.as_second(), nanoseconds).unwrap_or_else(|_| Time::unix_epoch())
}

/// Checks something off the one thread that matters: hundreds of signatures take their time.
pub(super) async fn off_thread<T: Send + 'static>(
    check: impl FnOnce() -> Result<T, Doubt> + Send + 'static,
) -> Result<T, Doubt> {
    let lost = || Doubt::Panic(String::from("the task was lost"));
    match tokio::task::spawn_blocking(check).await {
        Ok(checked) => checked,
        Err(error) => Err(error.try_into_panic().map_or_else(|_| lost(), |panic| Doubt::Panic(panic_words(&*panic)))),
    }
}
