//! A record as a field of a bucket has it.

use super::keys;
use super::refusal::Refusal;
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
/// [`Damaged`], whatever the bytes are.
pub(super) fn open(ring: &Ring, table: Table, name: Name, value: &[u8]) -> Result<Record, Damaged> {
    match opened(ring, table, &name, value) {
        Ok((revision, payload)) => Ok(Record { table, name, revision, payload }),
        Err(distrust) => Err(Damaged { table, name, distrust }),
    }
}

fn opened(ring: &Ring, table: Table, name: &Name, value: &[u8]) -> Result<(u64, Vec<u8>), Distrust> {
    let (before, sealed) = value.split_first_chunk().ok_or(Distrust::Malformed)?;
    let (revision, payload) = codec::open(ring, table, name, sealed)?;
    // The one that scripts go by is not under the MAC.
    match u64::from_be_bytes(*before) == revision {
        true => Ok((revision, payload)),
        false => Err(Distrust::BadMac),
    }
}

/// What stands there is no record that can be trusted.
#[derive(Debug)]
pub(super) struct Damaged {
    table: Table,
    name: Name,
    distrust: Distrust,
}

impl Damaged {
    /// Whether it says nothing of the records beside it.
    pub(super) fn is_alone(&self) -> bool {
        match self.distrust {
            Distrust::Malformed | Distrust::BadMac => true,
            // Of a line of the ring, or of a version, there are many.
            Distrust::UnknownRingKey { .. } | Distrust::Newer { .. } => false,
        }
    }
}

impl From<Damaged> for StoreError {
    /// With where it stands, as `redis-cli` takes it.
    fn from(Damaged { table, name, distrust }: Damaged) -> Self {
        let field: String = name.0.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let bucket = keys::bucket(table, keys::bucket_of(&name));
        let name = name.id().map_or_else(|| format!("{name:?}"), |id| id.to_string());
        Self::Damaged { table, why: format!("{name}, which is {bucket} \"{field}\": {distrust}") }
    }
}

impl From<Damaged> for Refusal {
    fn from(damaged: Damaged) -> Self {
        Self::Store(damaged.into())
    }
}
