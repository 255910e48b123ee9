//! When what an endpoint says of plans is proven anew: it costs two questions, so only where it says something new, or where
//! the last proof grows old.

use std::{
    mem::{Discriminant, discriminant},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{Proof, Prover, Trust};
use crate::{
    chain::{
        endpoints::Source,
        fault::{Cause, Fault},
    },
    decide::plan::Plan,
};

/// The longest pause after failures is this, doubled so often.
const MOST_DOUBLED: u32 = 6;

/// Proves what one endpoint says of plans.
pub(in crate::chain) struct Proving {
    trust: Arc<Trust>,
    prover: Prover,
    proven: Option<Proof>,
    /// Failures in a row, what the last one that was told was about, and when it is tried again.
    failures: u32,
    told: Option<Discriminant<Cause>>,
    again: Option<Instant>,
}

impl Proving {
    pub(in crate::chain) fn new(trust: Arc<Trust>) -> Self {
        let prover = Prover::new(Arc::clone(&trust));
        Self { trust, prover, proven: None, failures: 0, told: None, again: None }
    }

    /// Until when a proof of this time says what is; both in milliseconds since the Unix epoch.
    pub(in crate::chain) fn until(&self, time: u64) -> u64 {
        self.trust.until(time)
    }

    /// A new proof of what is scheduled, where one is due and can be had; a fault where it is news.
    pub(in crate::chain) async fn look(
        &mut self,
        source: &Source,
        latest: u64,
        said: Option<&Plan>,
    ) -> Result<Option<Proof>, Fault> {
        let Some(rpc) = source.rpc() else { return Ok(None) };
        let due = self.proven.as_ref().is_none_or(|it| it.plan.as_ref() != said || self.trust.grows_old(it.time));
        if !due || self.again.is_some_and(|again| again > Instant::now()) {
            return Ok(None);
        }
        let own = matches!(source, Source::Own { .. });
        match self.prover.prove(rpc, own, latest).await {
            Ok(proof) => {
                (self.failures, self.told, self.again) = (0, None, None);
                if proof.is_some() {
                    self.proven.clone_from(&proof);
                }
                Ok(proof)
            }
            Err(fault) => {
                self.again = Some(Instant::now() + Duration::from_mins(1 << self.failures.min(MOST_DOUBLED)));
                self.failures = self.failures.saturating_add(1);
                let kind = Some(discriminant(&fault.cause));
                let known = self.told == kind;
                self.told = kind;
                // Nobody asked for proofs of what the own node says.
                if known || own && !self.trust.was_chosen() { Ok(None) } else { Err(fault) }
            }
        }
    }
}
