//! The envelope of every stored value: a version, a revision and a MAC around the payload.
//!
//! The MAC covers the table and the name as well, so that whoever can write to the store can
//! neither change a value nor put it under another name. It does not stop them from putting back
//! an older value of the same name: the store's own history must show that.

use hmac::{Hmac, Mac};
use prost::Message;
use sha2::Sha256;

use super::proto;
use super::ring::Ring;
use super::{Name, StoreError, Table};

/// Why bytes are not a value of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    #[error("its bytes are not an envelope")]
    Malformed,
    #[error(
        "it was written by a newer doorward (version {version}, this one knows up to {VERSION}); start that one"
    )]
    Newer { version: u32 },
    #[error(
        "its MAC was made with key {id}, which the key ring does not have; put that line back into secret_file"
    )]
    UnknownRingKey { id: u32 },
    #[error("its MAC does not fit: the bytes were changed or moved, or written with another key ring")]
    BadMac,
}

impl Distrust {
    pub fn of(self, table: Table, name: &Name) -> StoreError {
        let name = name.id().map_or_else(|| format!("{name:?}"), |id| id.to_string());
        StoreError::Damaged { table, why: format!("{name}: {self}") }
    }
}

/// Puts `payload` into an envelope, made with the ring's primary key.
pub fn seal(ring: &Ring, table: Table, name: &Name, revision: u64, payload: Vec<u8>) -> Vec<u8> {
    Place { space: table.into(), name: &name.0 }.seal(ring, revision, payload)
}

/// What is in the envelope at this place: the revision and the payload.
///
/// # Errors
///
/// [`Distrust`], whatever the bytes are.
pub fn open(ring: &Ring, table: Table, name: &Name, bytes: &[u8]) -> Result<(u64, Vec<u8>), Distrust> {
    Place { space: table.into(), name: &name.0 }.open(ring, bytes)
}

/// Where a value stands; part of what its MAC covers.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) space: Space,
    pub(super) name: &'a [u8],
}

/// The spaces of names, by number. Stored: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Consumer = 1,
    Key = 2,
    Unique = 3,
    Owned = 4,
    SigningKeys = 9,
    AdminKey = 5,
    Audit = 6,
    Basic = 7,
    Jwt = 8,
    Object = 10,
    AccessKey = 11,
    Token = 12,
    Session = 13,
    Grant = 14,
    /// What a store keeps of itself.
    Meta = 100,
    /// The changes, by number.
    Log = 101,
    /// What instances say of themselves, by id.
    Beat = 102,
    /// What a pack consists of.
    Manifest = 103,
    /// When sessions were used last, by id.
    LastUse = 104,
}

impl Place<'_> {
    pub(super) fn seal(self, ring: &Ring, revision: u64, payload: Vec<u8>) -> Vec<u8> {
        let mut sealed = proto::Sealed {
            version: VERSION,
            ring_key: ring.primary_id(),
            revision,
            payload,
            mac: Vec::new(),
        };
        let mac = ring.record_mac(sealed.ring_key).expect("a ring has its primary");
        sealed.mac = self.cover(mac, &sealed).finalize().into_bytes().to_vec();
        sealed.encode_to_vec()
    }

    pub(super) fn open(self, ring: &Ring, bytes: &[u8]) -> Result<(u64, Vec<u8>), Distrust> {
        let sealed = unverified(bytes)?;
        let mac = ring.record_mac(sealed.ring_key).ok_or(Distrust::UnknownRingKey { id: sealed.ring_key })?;
        // In constant time, and all 32 bytes of it.
        self.cover(mac, &sealed).verify_slice(&sealed.mac).map_err(|_| Distrust::BadMac)?;
        Ok((sealed.revision, sealed.payload))
    }

    /// Every part has a fixed length or its length before it, so that no two values are covered
    /// by the same bytes.
    fn cover(self, mut mac: Hmac<Sha256>, sealed: &proto::Sealed) -> Hmac<Sha256> {
        mac.update(&(self.space as u32).to_be_bytes());
        mac.update(&length(self.name));
        mac.update(self.name);
        mac.update(&sealed.version.to_be_bytes());
        mac.update(&sealed.revision.to_be_bytes());
        mac.update(&length(&sealed.payload));
        mac.update(&sealed.payload);
        mac
    }
}

impl From<Table> for Space {
    fn from(table: Table) -> Self {
        match table {
            Table::Consumer => Self::Consumer,
            Table::Key => Self::Key,
            Table::Unique => Self::Unique,
            Table::Owned => Self::Owned,
            Table::SigningKeys => Self::SigningKeys,
            Table::AdminKey => Self::AdminKey,
            Table::Audit => Self::Audit,
            Table::Basic => Self::Basic,
            Table::Jwt => Self::Jwt,
            Table::Object => Self::Object,
            Table::AccessKey => Self::AccessKey,
            Table::Token => Self::Token,
            Table::Session => Self::Session,
            Table::Grant => Self::Grant,
        }
    }
}

/// The envelope as it claims to be: for what must be read to know which ring to verify with.
pub(super) fn unverified(bytes: &[u8]) -> Result<proto::Sealed, Distrust> {
    let sealed = proto::Sealed::decode(bytes).map_err(|_| Distrust::Malformed)?;
    match sealed.version {
        VERSION => Ok(sealed),
        0 => Err(Distrust::Malformed),
        version => Err(Distrust::Newer { version }),
    }
}

fn length(bytes: &[u8]) -> [u8; 8] {
    (bytes.len() as u64).to_be_bytes()
}

/// Of the envelope and of what its MAC covers.
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;

    fn ring(text: &str) -> Ring {
        Ring::parse(Path::new("s"), text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn first() -> Ring {
        ring(&format!("1 {:064x}", 1))
    }

    fn name(byte: u8) -> Name {
        Name(vec![byte; 16])
    }

    #[test]
    fn sealed_value_opens_at_its_place_only() {
        let ring = first();
        let bytes = seal(&ring, Table::Key, &name(1), 7, b"payload".to_vec());
        assert_eq!(open(&ring, Table::Key, &name(1), &bytes), Ok((7, b"payload".to_vec())));
        assert_eq!(open(&ring, Table::Key, &name(2), &bytes), Err(Distrust::BadMac));
        assert_eq!(open(&ring, Table::Owned, &name(1), &bytes), Err(Distrust::BadMac));
    }

    #[test]
    fn every_changed_bit_is_refused_or_changes_nothing() {
        let ring = first();
        let bytes = seal(&ring, Table::Consumer, &name(1), 7, b"payload".to_vec());
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(opened) = open(&ring, Table::Consumer, &name(1), &changed) {
                assert_eq!(opened, (7, b"payload".to_vec()), "bit {bit}");
            }
        }
        for end in 0..bytes.len() {
            assert!(open(&ring, Table::Consumer, &name(1), &bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn parts_cannot_flow_into_each_other() {
        let ring = first();
        let place = Place { space: Space::Key, name: b"ab" };
        let moved = Place { space: Space::Key, name: b"abc" };
        let bytes = place.seal(&ring, 1, b"cd".to_vec());
        let mut sealed = unverified(&bytes).unwrap();
        sealed.payload = b"d".to_vec();
        assert_eq!(moved.open(&ring, &sealed.encode_to_vec()), Err(Distrust::BadMac));
    }

    #[test]
    fn newer_version_is_told_apart_from_damage() {
        let ring = first();
        let bytes = seal(&ring, Table::Key, &name(1), 7, Vec::new());
        let mut sealed = unverified(&bytes).unwrap();
        sealed.version = VERSION + 1;
        let refused = open(&ring, Table::Key, &name(1), &sealed.encode_to_vec()).unwrap_err();
        assert_eq!(refused, Distrust::Newer { version: 2 });
        assert!(refused.to_string().contains("newer doorward"), "{refused}");
    }

    #[test]
    fn rotated_ring_opens_what_the_old_primary_sealed() {
        let old = first();
        let bytes = seal(&old, Table::Key, &name(1), 7, b"p".to_vec());
        let rotated = ring(&format!("2 {:064x}\n1 {:064x}", 2, 1));
        assert!(open(&rotated, Table::Key, &name(1), &bytes).is_ok());
        let new = seal(&rotated, Table::Key, &name(1), 8, b"p".to_vec());
        assert_eq!(open(&old, Table::Key, &name(1), &new), Err(Distrust::UnknownRingKey { id: 2 }));
        let other = ring(&format!("1 {:064x}", 3));
        assert_eq!(open(&other, Table::Key, &name(1), &bytes), Err(Distrust::BadMac));
    }
}
