//! What a store keeps to notice that it was opened with another key ring.

use super::proto::RingFingerprint;
use super::ring::Ring;

/// Of each key of the ring.
pub(super) fn of(ring: &Ring) -> Vec<RingFingerprint> {
    let print = |(ring_key, print): (u32, [u8; 8])| RingFingerprint { ring_key, fingerprint: print.to_vec() };
    ring.fingerprint().into_iter().map(print).collect()
}

/// Refuses a ring that has another key under an id of the store's, or none of the store's keys.
/// A key that the store no longer needs may be gone; one that it needs is missed at its MAC.
///
/// # Errors
///
/// What is wrong with the ring.
pub(super) fn same_ring(stored: &[RingFingerprint], ring: &Ring) -> Result<(), String> {
    let ours = ring.fingerprint();
    let mut shared = 0;
    for theirs in stored {
        match ours.iter().find(|(id, _)| *id == theirs.ring_key) {
            Some((_, print)) if print[..] == theirs.fingerprint[..] => shared += 1,
            Some((id, _)) => return Err(format!("its key {id} is another one")),
            None => {}
        }
    }
    if shared == 0 {
        let ids: Vec<_> = stored.iter().map(|print| print.ring_key.to_string()).collect();
        return Err(format!("it has no key of the store's ({})", ids.join(", ")));
    }
    Ok(())
}
