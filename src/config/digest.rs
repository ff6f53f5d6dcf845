//! One number for a whole policy, so that instances can tell whether they decide alike.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::domain::password::Mark;
use crate::domain::verifier::Verifier;

/// The same number for the same settings, `all` but those of `but`, wherever they stand in the file.
/// So what a setting of tomorrow changes counts without anybody thinking of it here.
///
/// Keys count by their verifiers: two instances that were given different texts under one name
/// differ, and yet nothing can be guessed from the number without the pepper.
pub(super) fn digest(
    mut all: Map<String, Value>,
    but: &[&str],
    verifiers: &[Option<Verifier>],
    passwords: &[Option<Mark>],
) -> u64 {
    all.retain(|setting, _| !but.contains(&setting.as_str()));
    let mut all = Value::Object(all);
    // By name, whatever order serde_json is built to keep.
    all.sort_all_objects();
    let mut hash = Sha256::new();
    hash.update(all.to_string());
    for verifier in verifiers {
        // After a whole map, and each as long as the other: none runs into the next.
        match verifier {
            Some(verifier) => hash.update(verifier.as_bytes()),
            None => hash.update([0; 32]),
        }
    }
    for mark in passwords.iter().flatten() {
        hash.update(mark.to_string());
    }
    hash.finalize().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
