//! From a plan's info to a verified executable that is staged: what a plan asks for, how it is fetched, checked and
//! unpacked, and how it gets to the folder from which it will be started. Nothing unverified ever lies at such a path.

pub mod checksum;
mod disk;
mod download;
mod fetch;
pub mod info;
pub mod inspect;
mod libraries;
mod needs;
mod place;
pub mod source;
mod staged;
mod store;
pub mod unpack;

pub use disk::{fingerprint, sha256_of};
pub use download::{RESERVE, free_space};
pub use fetch::{FetchError, Part, Progress, Request, fetch};
pub use info::Platform;
pub use libraries::is_operators;
pub use needs::{Needs, needs};
pub use place::place;
pub use staged::{Verified, has_receipt, keep, read_staged, receipt_flaw, renew, set_aside, verify, weigh};
pub use store::{Store, stored};
