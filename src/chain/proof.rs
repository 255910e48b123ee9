//! Whether a plan is really in the chain's store. It is read with an ICS-23 proof against the application's hash in the
//! next block's header, and that header is verified from one that is trusted. So one endpoint that nobody knows cannot
//! invent, alter or hide a plan; all it can do is show how things were some time ago.

mod answers;
mod doubt;
mod hashes;
mod light;
mod merkle;
mod newest;
mod proving;
mod trust;

#[cfg(test)]
mod forge;
#[cfg(test)]
mod tests;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tendermint::{
    block::{Header, signed_header::SignedHeader},
    validator::Set,
};

pub(super) use self::proving::Proving;
pub use self::trust::{BadPoint, Choice, Point, Trust};
use self::{
    doubt::Doubt,
    light::{Block, Trusted, off_thread},
};
use super::{
    fault::{Fault, panic_words},
    rpc::Rpc,
};
use crate::decide::plan::Plan;

/// What the store held at a height, proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The height.
    pub height: u64,
    /// The time of the header that proves it, milliseconds since the Unix epoch.
    pub time: u64,
    /// The plan that was scheduled; none is proven as well.
    pub plan: Option<Plan>,
}

/// So many headers are looked at for one proof: the way to it is halved as often as validators have changed.
const MOST_HEADERS: usize = 100;
/// How long one proof may take. What was verified by then stays verified.
const LIMIT: Duration = Duration::from_secs(30);

/// Proves what one endpoint says.
#[derive(Debug)]
pub struct Prover {
    trust: Arc<Trust>,
    /// The newest header that was verified here.
    newest: Option<Arc<Trusted>>,
}

impl Prover {
    /// A prover for one endpoint.
    #[must_use]
    pub fn new(trust: Arc<Trust>) -> Self {
        Self { trust, newest: None }
    }

    /// What is scheduled in the store below the block at `latest`, the endpoint's newest; none where there is nothing yet to
    /// prove it from. `own`: it is the own node, which is believed where the operator trusts no other header.
    ///
    /// # Errors
    /// [`Fault`] where the endpoint does not answer, or proves nothing, or where what is trusted has expired.
    pub async fn prove(&mut self, rpc: &Rpc, own: bool, latest: u64) -> Result<Option<Proof>, Fault> {
        let proving = AssertUnwindSafe(self.proven(rpc, own, latest)).catch_unwind();
        match tokio::time::timeout(LIMIT, proving).await {
            Ok(Ok(proven)) => proven,
            Ok(Err(panic)) => Err(rpc.doubted(&Doubt::Panic(panic_words(&*panic)))),
            Err(_) => Err(rpc.doubted(&Doubt::Slow(LIMIT))),
        }
    }

    async fn proven(&mut self, rpc: &Rpc, own: bool, latest: u64) -> Result<Option<Proof>, Fault> {
        // The application proves nothing of its first height.
        let Some(height) = latest.checked_sub(1).filter(|height| *height > 1) else { return Ok(None) };
        let header = if own && !self.trust.was_chosen() {
            let header = rpc.commit(latest).await?.header;
            self.believe(rpc, &header).await;
            header
        } else {
            match self.begin(rpc).await? {
                Some(trusted) if trusted.header.height.value() <= latest => self.verified(rpc, trusted, latest).await?,
                _ => return Ok(None),
            }
        };
        let stored = rpc.stored_plan(height).await?;
        let plan = merkle::plan(&stored, header.app_hash.as_bytes()).map_err(|doubt| rpc.doubted(&doubt))?;
        let time = u64::try_from(header.time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        Ok(Some(Proof { height, time, plan }))
    }

    /// Takes the own node's header for true, so that others are verified from it. Where that cannot be, they are told why.
    async fn believe(&mut self, rpc: &Rpc, header: &Header) {
        match self.next_validators(rpc, header, None).await {
            Ok(next) => self.trust.found(Trusted { header: header.clone(), next }),
            Err(fault) => self.trust.lack(fault),
        }
    }

    /// The newest header that is trusted and has not expired; none where nothing is trusted yet.
    async fn begin(&mut self, rpc: &Rpc) -> Result<Option<Arc<Trusted>>, Fault> {
        let held = self.newest.take().into_iter().chain(self.trust.newest()).find(|it| !self.trust.expired(it));
        if held.is_some() {
            self.newest.clone_from(&held);
            return Ok(held);
        }
        let Some(point) = self.trust.point() else { return self.trust.lacking() };
        let header = rpc.commit(point.height).await?.header;
        if header.hash() != point.hash {
            return Err(rpc.doubted(&Doubt::OtherHash(header.hash().to_string())));
        }
        let next = self.next_validators(rpc, &header, None).await?;
        let trusted = Trusted { header, next };
        if self.trust.expired(&trusted) {
            return Err(
                rpc.doubted(&Doubt::Expired { time: trusted.header.time.to_rfc3339(), period: self.trust.period() })
            );
        }
        Ok(Some(self.keep(trusted)))
    }

    /// The latest header, once it is verified from the trusted one: at once, or by headers between them.
    async fn verified(&mut self, rpc: &Rpc, mut trusted: Arc<Trusted>, latest: u64) -> Result<Header, Fault> {
        if trusted.header.height.value() == latest {
            let header = rpc.commit(latest).await?.header;
            let same = header.hash() == trusted.header.hash();
            return if same { Ok(header) } else { Err(rpc.doubted(&Doubt::Fork)) };
        }
        let mut ahead = vec![latest];
        for _ in 0..MOST_HEADERS {
            let Some(height) = ahead.last().copied() else { return Ok(trusted.header.clone()) };
            let signed = rpc.commit(height).await?;
            let validators = if trusted.next.hash() == signed.header.validators_hash {
                trusted.next.clone()
            } else {
                rpc.validators(height).await?
            };
            let (from, period) = (Arc::clone(&trusted), self.trust.period());
            let block = Block { signed, validators };
            match off_thread(move || light::follows(&from, &block, period).map(|it| it.then_some(block))).await {
                Ok(Some(Block { signed: SignedHeader { header, .. }, validators })) => {
                    let next = self.next_validators(rpc, &header, Some(validators)).await?;
                    trusted = self.keep(Trusted { header, next });
                    ahead.pop();
                }
                Ok(None) => match trusted.header.height.value().midpoint(height) {
                    middle if middle > trusted.header.height.value() => ahead.push(middle),
                    _ => break,
                },
                Err(doubt) => return Err(rpc.doubted(&doubt)),
            }
        }
        Err(rpc.doubted(&Doubt::TooFar(trusted.header.height.value())))
    }

    /// The validators that sign the block after `header`: mostly those that are known already.
    async fn next_validators(&self, rpc: &Rpc, header: &Header, known: Option<Set>) -> Result<Set, Fault> {
        let known = known.into_iter().chain(self.trust.newest().map(|newest| newest.next.clone()));
        if let Some(same) = known.into_iter().find(|set| set.hash() == header.next_validators_hash) {
            return Ok(same);
        }
        let height = header.height.value() + 1;
        let set = rpc.validators(height).await?;
        let same = set.hash() == header.next_validators_hash;
        if same { Ok(set) } else { Err(rpc.doubted(&Doubt::OtherValidators)) }
    }

    fn keep(&mut self, trusted: Trusted) -> Arc<Trusted> {
        let trusted = Arc::new(trusted);
        self.newest = Some(Arc::clone(&trusted));
        self.trust.keep(&trusted);
        trusted
    }
}
