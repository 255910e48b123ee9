//! Ports for the nodes of tests that run at the same time, in this process or in another one.

use std::{env, fs::File, net::TcpStream};

const FIRST: u16 = 32000;
const BLOCKS: u16 = 10;
/// How many ports one test may use.
pub(crate) const BLOCK: u16 = 10;

/// A block of ports that is this test's own until the value is dropped.
pub(crate) struct Ports {
    /// The first of [`BLOCK`] ports.
    pub(crate) first: u16,
    _lock: File,
}

impl Ports {
    /// The first block that no other test holds and nothing listens on.
    ///
    /// # Panics
    /// Where all are taken.
    pub(crate) fn reserve() -> Self {
        (0..BLOCKS).find_map(Self::take).expect("one of the blocks of ports between 32000 and 32100 is free")
    }

    fn take(block: u16) -> Option<Self> {
        let lock = File::create(env::temp_dir().join(format!("watcher-test-ports-{block}.lock"))).ok()?;
        lock.try_lock().ok()?;
        let first = FIRST + block * BLOCK;
        // Asked by a connection: a socket bound to find out would live on for a moment in every process that is forked meanwhile.
        let taken = (first..first + BLOCK).any(|port| TcpStream::connect(("127.0.0.1", port)).is_ok());
        (!taken).then_some(Self { first, _lock: lock })
    }
}
