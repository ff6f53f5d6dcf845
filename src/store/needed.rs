//! What a store needs each key of its ring for, and how it comes to need an old one for less.
//!
//! Who has the ring can make envelopes and seals anew. A verifier nobody can: its secret is with whoever shows it.
//! Such a credential ends, or is made anew.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::record::{AdminKeyRecord, JwtRecord, JwtSecret, KeyRecord, SigningKeyRecord, SigningKeysRecord};
use super::ring::Ring;
use super::seal::{SealError, Sealed};
use super::{StoreError, Table};

/// What one key of the ring is needed for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// Records under its MAC, and secrets under its seal.
    pub sealed: u64,
    /// Changes in the log.
    pub changes: u64,
    /// Credentials that are verified with it.
    pub verified: BTreeMap<Table, u64>,
}

/// By the ids of the ring's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeededKeys(pub BTreeMap<u32, Needed>);

impl NeededKeys {
    /// Of a ring of which nothing is known to be needed.
    pub(super) fn of(ring: &Ring) -> Self {
        Self(ring.ids().map(|id| (id, Needed::default())).collect())
    }

    pub(super) fn note_change(&mut self, ring_key: u32) {
        self.key(ring_key).changes += 1;
    }

    /// Notes a record under the MAC of this key.
    pub(super) fn note(&mut self, table: Table, ring_key: u32, payload: &[u8]) -> Result<(), StoreError> {
        if is_named_by_verifier(table) {
            self.verifies(table, ring_key);
            return Ok(());
        }
        self.key(ring_key).sealed += 1;
        match table {
            Table::Key => self.verifies(table, KeyRecord::decode(payload)?.ring_key),
            Table::AdminKey => self.verifies(table, AdminKeyRecord::decode(payload)?.ring_key),
            Table::Jwt => {
                if let JwtSecret::Shared(sealed) = JwtRecord::decode(payload)?.secret {
                    self.key(sealed.ring_key).sealed += 1;
                }
            }
            Table::SigningKeys => {
                let keys = SigningKeysRecord::decode(payload)?;
                for sealed in keys.all().filter_map(|key| key.private_key.as_ref()) {
                    self.key(sealed.ring_key).sealed += 1;
                }
            }
            Table::Consumer | Table::Unique | Table::Owned | Table::Audit | Table::Basic => {}
            Table::Object | Table::AccessKey | Table::Token | Table::Session | Table::Grant => {}
        }
        Ok(())
    }

    fn verifies(&mut self, table: Table, ring_key: u32) {
        *self.key(ring_key).verified.entry(table).or_default() += 1;
    }

    fn key(&mut self, ring_key: u32) -> &mut Needed {
        self.0.entry(ring_key).or_default()
    }
}

impl Needed {
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a record's own name is made of a verifier. It is written once, and so under the key that the verifier
/// was made with: its envelope is all that tells which that is, and stays.
pub(super) fn is_named_by_verifier(table: Table) -> bool {
    match table {
        Table::AccessKey | Table::Token | Table::Session | Table::Grant => true,
        Table::Consumer | Table::Key | Table::Unique | Table::Owned | Table::SigningKeys => false,
        Table::AdminKey | Table::Audit | Table::Basic | Table::Jwt | Table::Object => false,
    }
}

/// The payload with its secrets under the seal of the primary.
pub(super) fn renewed(ring: &Ring, table: Table, payload: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    match table {
        Table::Jwt => {
            let record = JwtRecord::decode(&payload)?;
            let JwtSecret::Shared(sealed) = &record.secret else { return Ok(payload) };
            let secret = resealed(ring, table, sealed, record.id.as_bytes())?;
            Ok(JwtRecord { secret: JwtSecret::Shared(secret), ..record }.encode())
        }
        Table::SigningKeys => {
            let SigningKeysRecord { staged, primary, secondary } = SigningKeysRecord::decode(&payload)?;
            let renew = |key: SigningKeyRecord| {
                let about = SigningKeyRecord::about(&key.id);
                let private_key = key
                    .private_key
                    .as_ref()
                    .map(|sealed| resealed(ring, table, sealed, &about))
                    .transpose()?;
                Ok::<_, StoreError>(SigningKeyRecord { private_key, ..key })
            };
            let secondary = secondary.into_iter().map(renew).collect::<Result<_, _>>()?;
            Ok(SigningKeysRecord { staged: renew(staged)?, primary: renew(primary)?, secondary }.encode())
        }
        Table::Consumer | Table::Key | Table::Unique | Table::Owned | Table::AdminKey => Ok(payload),
        Table::Audit | Table::Basic | Table::Object => Ok(payload),
        Table::AccessKey | Table::Token | Table::Session | Table::Grant => Ok(payload),
    }
}

fn resealed(ring: &Ring, table: Table, sealed: &Sealed, about: &[u8]) -> Result<Sealed, StoreError> {
    if sealed.ring_key == ring.primary_id() {
        return Ok(sealed.clone());
    }
    let damaged = |error: SealError| StoreError::Damaged { table, why: error.to_string() };
    let text: Zeroizing<Vec<u8>> = sealed.open(ring, about).map_err(damaged)?;
    Sealed::new(ring, about, &text).map_err(damaged)
}
