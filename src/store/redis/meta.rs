//! What the store keeps of itself in Redis: its id, its ring, and where its history stands.

use prost::Message;
use uuid::Uuid;

use crate::store::codec::{self, Distrust, Place, Space};
use crate::store::ring::Ring;
use crate::store::{Epoch, Head, Mark, StoreError, fingerprints, proto};

/// Seals where the history stands. What stands in Redis is compared as bytes, so that a write takes
/// place only after what its writer has read.
pub(super) fn seal(ring: &Ring, head: Head) -> Vec<u8> {
    let message = proto::Meta {
        schema: SCHEMA,
        store: head.epoch.store.as_bytes().to_vec(),
        term: head.epoch.term,
        number: head.epoch.number,
        log_after: 0,
        counts: Vec::new(),
        ring: fingerprints::of(ring),
        mark: if head.mark == Mark::NONE { Vec::new() } else { head.mark.0.to_vec() },
    };
    PLACE.seal(ring, head.epoch.number, message.encode_to_vec())
}

/// Where the history stands.
///
/// # Errors
///
/// [`StoreError::Foreign`] where it is of another ring or a newer Doorward, or was changed.
pub(super) fn open(ring: &Ring, bytes: &[u8]) -> Result<Head, StoreError> {
    // The MAC cannot be asked before we know that it was made with this ring; until then nothing of
    // this is believed but for the choice of the error.
    let claimed = message(&codec::unverified(bytes).map_err(foreign)?.payload)?;
    if claimed.schema > SCHEMA {
        let found = claimed.schema;
        return Err(StoreError::Foreign(format!(
            "the store in Redis was written by a newer doorward (layout {found}, this one knows up to {SCHEMA}); \
             start that version"
        )));
    }
    fingerprints::same_ring(&claimed.ring, ring).map_err(|why| {
        StoreError::Foreign(format!(
            "the store in Redis has another secret_file than this instance: {why}; give every instance the same \
             secret_file, or name another Redis, or another of its databases, in store.url"
        ))
    })?;
    let (_, payload) = PLACE.open(ring, bytes).map_err(foreign)?;
    let message = message(&payload)?;
    let store = Uuid::from_slice(&message.store).map_err(|_| foreign(Distrust::Malformed))?;
    let mark = mark(&message.mark).ok_or(foreign(Distrust::Malformed))?;
    Ok(Head { epoch: Epoch { store, term: message.term, number: message.number }, mark })
}

/// Whether it was sealed with the ring as it is now; if not, and if it opens, it should be anew.
pub(super) fn is_current(ring: &Ring, bytes: &[u8]) -> bool {
    let ours = fingerprints::of(ring);
    let Ok(sealed) = codec::unverified(bytes) else { return false };
    sealed.ring_key == ring.primary_id() && message(&sealed.payload).is_ok_and(|message| message.ring == ours)
}

/// A mark as messages have it.
pub(super) fn mark(bytes: &[u8]) -> Option<Mark> {
    match bytes {
        [] => Some(Mark::NONE),
        bytes => bytes.try_into().ok().map(Mark),
    }
}

fn message(payload: &[u8]) -> Result<proto::Meta, StoreError> {
    proto::Meta::decode(payload).map_err(|_| foreign(Distrust::Malformed))
}

fn foreign(distrust: Distrust) -> StoreError {
    StoreError::Foreign(format!("what the store in Redis keeps of itself cannot be trusted: {distrust}"))
}

const PLACE: Place<'static> = Place { space: Space::Meta, name: b"doorward redis" };

/// Of the keys and scripts. A store with a newer one is refused.
const SCHEMA: u32 = 1;
