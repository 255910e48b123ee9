//! What the chain says: over CometBFT's RPC, its websocket, and the SDK's REST gateway. Whatever is heard here may be
//! wrong, late, hostile or nothing at all; this module makes plain values or named faults of it, with bounds on time and
//! memory, and decides nothing.

pub mod comparison;
mod door;
pub mod endpoints;
pub mod fault;
mod few;
pub mod history;
mod number;
pub mod own_node;
pub mod poller;
pub mod proof;
pub mod proposals;
pub mod rest;
pub mod rpc;
mod schedule;
pub mod survey;
pub mod websocket;

#[cfg(test)]
mod liar;
#[cfg(test)]
mod published;

/// Where an endpoint is, and on which chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// The chain's id; `network` of `/status`, `chain_id` of a block's header.
    pub chain_id: String,
    /// The latest height it knows. At an upgrade halt this is the upgrade's height, although no application has
    /// committed it.
    pub height: u64,
    /// That block's time, milliseconds since the Unix epoch.
    pub time: u64,
    /// Whether it is still catching up with the chain.
    pub catching_up: bool,
    /// The lowest height whose block it keeps; 0 where it does not tell.
    pub earliest: u64,
    /// The node's id (lower-case hex), where it says so.
    pub node_id: Option<String>,
}

/// An answer together with the height at which the store was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated<T> {
    /// The height; none where the endpoint does not tell.
    pub height: Option<u64>,
    /// The answer.
    pub value: T,
}

/// This machine's clock, milliseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
