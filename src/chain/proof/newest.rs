//! The newest verified header, kept in the home: a trusted height that is written down once dies after the trusting period.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};
use tendermint::{
    block::Header,
    validator::{Info, Set},
};

use super::{light::Trusted, trust::Point};
use crate::home::{self, read_small, unless_missing};

/// More than this is not read, bytes: a header with ten thousand validators has two megabytes.
const LARGEST: u64 = 8 << 20;

#[derive(Serialize, Deserialize)]
struct Kept {
    /// What it was verified from; none for the own node.
    trusted: Option<Point>,
    header: Header,
    next_validators: Vec<Info>,
}

/// The header that was kept, if it was verified from the same as is trusted now.
pub(super) fn read(path: &Path, point: Option<&Point>) -> io::Result<Option<Trusted>> {
    let Some(kept) = unless_missing(read_small(path, LARGEST))? else { return Ok(None) };
    let kept: Kept = serde_json::from_slice(&kept)?;
    if kept.trusted.as_ref() != point {
        return Ok(None);
    }
    let next = super::answers::set(kept.next_validators).map_err(|doubt| io::Error::other(doubt.to_string()))?;
    if next.hash() != kept.header.next_validators_hash {
        return Err(io::Error::other("the validators are not those of the header"));
    }
    Ok(Some(Trusted { header: kept.header, next }))
}

/// Keeps a header. It is not made durable: an older one, or the trusted height, serves as well.
pub(super) fn write(path: &Path, point: Option<&Point>, trusted: &Trusted) -> io::Result<()> {
    let Set { validators, .. } = trusted.next.clone();
    let kept = Kept { trusted: point.cloned(), header: trusted.header.clone(), next_validators: validators };
    home::write_whole(path, &serde_json::to_vec(&kept)?, false)
}
