//! What headers are verified from: a block that the operator trusts, or the own node's, and what was verified from it.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tendermint::Hash;

use super::{
    light::{Trusted, now},
    newest,
};
use crate::chain::fault::Fault;

/// How much newer a header must be than the one in the home, so that not each block writes a file.
const WRITTEN_EVERY: Duration = Duration::from_mins(10);

/// A block that the operator trusts: `WATCHER_TRUST_HEIGHT` and `WATCHER_TRUST_HASH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: Hash,
}

/// What cannot be a trusted block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPoint {
    /// One of the two is missing.
    #[error("WATCHER_TRUST_HEIGHT and WATCHER_TRUST_HASH belong together: a block's height, and its hash")]
    Half,
    /// No height.
    #[error("WATCHER_TRUST_HEIGHT must be a height above 0, got {0:?}")]
    Height(String),
    /// No hash.
    #[error("WATCHER_TRUST_HASH must be a block's hash, 64 hexadecimal digits, got {0:?}")]
    Hash(String),
}

impl Point {
    /// Reads both, or none where neither is given.
    ///
    /// # Errors
    /// [`BadPoint`] names what is wrong.
    pub fn read(height: Option<&str>, hash: Option<&str>) -> Result<Option<Self>, BadPoint> {
        let height = height.map(|text| {
            let height = text.parse().ok().filter(|height: &i64| *height > 0).map(i64::unsigned_abs);
            height.ok_or_else(|| BadPoint::Height(text.to_owned()))
        });
        let hash = hash.map(|text| {
            let mut hash = [0; 32];
            hex::decode_to_slice(text, &mut hash).map_err(|_| BadPoint::Hash(text.to_owned()))?;
            Ok(Hash::Sha256(hash))
        });
        match (height.transpose()?, hash.transpose()?) {
            (None, None) => Ok(None),
            (Some(height), Some(hash)) => Ok(Some(Self { height, hash })),
            _ => Err(BadPoint::Half),
        }
    }
}

/// What the operator chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// A block that is trusted; none for the own node's.
    pub point: Option<Point>,
    /// `WATCHER_TRUST_PERIOD`: how long after a header's time others are verified from it.
    pub period: Duration,
    /// `WATCHER_PROOF_MAX_AGE`: how long after its header's time a proof says what is, and not what was.
    pub max_age: Duration,
}

impl Default for Choice {
    /// The period is shorter than what most chains take to let stake go.
    fn default() -> Self {
        Self { point: None, period: Duration::from_hours(7 * 24), max_age: Duration::from_mins(10) }
    }
}

/// What is trusted, shared by all endpoints.
#[derive(Debug)]
pub struct Trust {
    chosen: Choice,
    file: Option<PathBuf>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    newest: Option<Arc<Trusted>>,
    written: Option<Arc<Trusted>>,
    /// Why nothing of the own node's can be trusted.
    lack: Option<Fault>,
}

impl Trust {
    /// In `file` the newest verified header is kept; with `reads_only` only what somebody else keeps there is taken.
    #[must_use]
    pub fn new(chosen: Choice, file: Option<PathBuf>, reads_only: bool) -> Self {
        let kept = file.as_ref().and_then(|path| {
            newest::read(path, chosen.point.as_ref())
                .inspect_err(|error| {
                    tracing::warn!("{} cannot be read ({error}): what is trusted is looked for anew", path.display());
                })
                .ok()?
        });
        let newest = kept.map(Arc::new);
        let file = file.filter(|_| !reads_only);
        Self { chosen, file, held: Mutex::new(Held { written: newest.clone(), newest, lack: None }) }
    }

    pub(super) fn point(&self) -> Option<&Point> {
        self.chosen.point.as_ref()
    }

    /// Whether the operator named a block to trust.
    pub fn was_chosen(&self) -> bool {
        self.chosen.point.is_some()
    }

    /// Until when a proof of this time says what is; both in milliseconds since the Unix epoch.
    pub(super) fn until(&self, time: u64) -> u64 {
        time.saturating_add(u64::try_from(self.chosen.max_age.as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether that time has passed.
    pub(in crate::chain) fn grew_old(&self, time: u64) -> bool {
        crate::chain::now() > self.until(time)
    }

    /// Whether half of it has.
    pub(super) fn grows_old(&self, time: u64) -> bool {
        crate::chain::now() > time.midpoint(self.until(time))
    }

    pub(super) fn period(&self) -> Duration {
        self.chosen.period
    }

    pub(super) fn newest(&self) -> Option<Arc<Trusted>> {
        self.held().newest.clone()
    }

    pub(super) fn expired(&self, trusted: &Trusted) -> bool {
        (trusted.header.time + self.chosen.period).is_ok_and(|end| end <= now())
    }

    /// Tells others why they have nothing to be verified from.
    pub(super) fn lack(&self, fault: Fault) {
        self.held().lack = Some(fault);
    }

    /// Nothing to verify from: not yet, or for this reason.
    pub(super) fn lacking<T>(&self) -> Result<Option<T>, Fault> {
        self.held().lack.clone().map_or(Ok(None), Err)
    }

    /// Takes in the own node's header. What was held before may be of a chain that has begun anew since.
    pub(super) fn found(&self, root: Trusted) {
        if !self.expired(&root) {
            self.hold(&mut self.held(), &Arc::new(root));
        }
    }

    /// Takes in a header that was verified.
    pub(super) fn keep(&self, trusted: &Arc<Trusted>) {
        let mut held = self.held();
        if held.newest.as_ref().is_none_or(|newest| newest.header.height < trusted.header.height) {
            self.hold(&mut held, trusted);
        }
    }

    fn hold(&self, held: &mut Held, trusted: &Arc<Trusted>) {
        let time = trusted.header.time;
        held.newest = Some(Arc::clone(trusted));
        let due =
            |written: &Arc<Trusted>| time.duration_since(written.header.time).map_or(true, |age| age >= WRITTEN_EVERY);
        let Some(path) = self.file.as_ref().filter(|_| held.written.as_ref().is_none_or(due)) else { return };
        match newest::write(path, self.chosen.point.as_ref(), trusted) {
            Ok(()) => held.written = Some(Arc::clone(trusted)),
            Err(error) => tracing::warn!("{} cannot be written: {error}", path.display()),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_block_has_a_height_and_a_hash() {
        let hash = "0f".repeat(32);
        let point = Point::read(Some("7"), Some(&hash)).unwrap().unwrap();
        assert_eq!((point.height, point.hash.to_string()), (7, hash.to_uppercase()));
        assert_eq!(Point::read(None, None), Ok(None));
        for (height, hash) in [(Some("7"), None), (None, Some(hash.as_str()))] {
            assert_eq!(Point::read(height, hash), Err(BadPoint::Half));
        }
        for bad in ["", "0", "-1", "x", "9223372036854775808"] {
            assert_eq!(Point::read(Some(bad), Some(&hash)), Err(BadPoint::Height(bad.into())));
        }
        for bad in ["", "0f", &hash[1..], &format!("{hash}00"), &"xy".repeat(32)] {
            assert_eq!(Point::read(Some("7"), Some(bad)), Err(BadPoint::Hash(bad.into())));
        }
    }
}
