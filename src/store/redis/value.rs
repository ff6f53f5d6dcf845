//! A record as a field of a bucket has it.

use crate::store::codec::{self, Distrust};
use crate::store::ring::Ring;
use crate::store::{Name, Record, StoreError, Table};

/// The revision, so that a script can judge it, and the envelope.
pub(super) fn seal(ring: &Ring, table: Table, name: &Name, revision: u64, payload: Vec<u8>) -> Vec<u8> {
    let mut value = revision.to_be_bytes().to_vec();
    value.extend_from_slice(&codec::seal(ring, table, name, revision, payload));
    value
}

/// The record.
///
/// # Errors
///
/// [`StoreError::Damaged`], whatever the bytes are.
pub(super) fn open(ring: &Ring, table: Table, name: Name, value: &[u8]) -> Result<Record, StoreError> {
    let Some((before, sealed)) = value.split_first_chunk() else { return Err(Distrust::Malformed.of(table)) };
    let (revision, payload) =
        codec::open(ring, table, &name, sealed).map_err(|distrust| distrust.of(table))?;
    // The one that scripts go by is not under the MAC.
    if u64::from_be_bytes(*before) != revision {
        return Err(Distrust::BadMac.of(table));
    }
    Ok(Record { table, name, revision, payload })
}
