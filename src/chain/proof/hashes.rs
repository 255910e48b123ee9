//! The one hash function that proofs of a Cosmos chain are made with.

use ics23::HostFunctionsProvider;
use sha2::{Digest as _, Sha256};

/// SHA-256 for the proofs of ICS-23.
pub(super) struct Hashes;

/// The stores of the SDK use no other than SHA-256, and a proof that asks for another is refused for that before its hash
/// matters. So there is nothing to compute, and no implementation to carry along.
const NEVER_USED: u8 = 0;

impl HostFunctionsProvider for Hashes {
    fn sha2_256(message: &[u8]) -> [u8; 32] {
        Sha256::digest(message).into()
    }

    fn sha2_512(_: &[u8]) -> [u8; 64] {
        [NEVER_USED; 64]
    }

    fn sha2_512_truncated(_: &[u8]) -> [u8; 32] {
        [NEVER_USED; 32]
    }

    fn keccak_256(_: &[u8]) -> [u8; 32] {
        [NEVER_USED; 32]
    }

    fn ripemd160(_: &[u8]) -> [u8; 20] {
        [NEVER_USED; 20]
    }

    fn blake2b_512(_: &[u8]) -> [u8; 64] {
        [NEVER_USED; 64]
    }

    fn blake2s_256(_: &[u8]) -> [u8; 32] {
        [NEVER_USED; 32]
    }

    fn blake3(_: &[u8]) -> [u8; 32] {
        [NEVER_USED; 32]
    }
}
