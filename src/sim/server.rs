//! What the embedded node answers, over real HTTP and a real websocket. The answers have the shape of those that CometBFT
//! 0.40 and SDK 0.55 give: `tests/sim` holds them against recorded ones.

mod abci;
mod answers;
mod rest;
mod rpc;
mod websocket;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub use self::{rest::router as rest, rpc::router as rpc};
use super::{chain::Chain, home::Addresses};

/// A node as its servers see it.
#[derive(Debug)]
pub struct Site {
    /// What the node's binary calls its version.
    pub version: String,
    /// The public key of the node, and of the chain's only validator.
    pub public_key: [u8; 32],
    /// Where it listens.
    pub addresses: Addresses,
    chain: Mutex<Chain>,
    committed: watch::Sender<u64>,
}

impl Site {
    /// A node that serves this chain.
    #[must_use]
    pub fn new(chain: Chain, version: &str, public_key: [u8; 32], addresses: Addresses) -> Self {
        let committed = watch::Sender::new(chain.committed);
        Self { version: version.into(), public_key, addresses, chain: Mutex::new(chain), committed }
    }

    /// Changes the chain; subscribers hear of blocks that were committed.
    pub fn change<T>(&self, change: impl FnOnce(&mut Chain) -> T) -> T {
        let mut chain = self.chain();
        let outcome = change(&mut chain);
        let committed = chain.committed;
        drop(chain);
        self.committed.send_if_modified(|known| std::mem::replace(known, committed) != committed);
        outcome
    }

    /// The chain as it is now. Not to be held across an `await`.
    pub fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
