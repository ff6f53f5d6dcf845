//! What our own JWTs are signed and verified with.

use std::sync::Arc;

use crate::domain::jwt::{Algorithm, KeySet, PublicKey};
use crate::store::record::{SigningKeyRecord, SigningKeysRecord};

/// The keys as they are stored, and ready to verify with.
pub struct SigningKeys {
    pub record: SigningKeysRecord,
    /// All of them, the staged one too: its first token may arrive before we hear that it signs.
    pub set: Arc<KeySet>,
}

impl From<SigningKeysRecord> for SigningKeys {
    fn from(record: SigningKeysRecord) -> Self {
        let public = |key: &'_ SigningKeyRecord| (key.id.clone(), key.public_key.clone());
        let keys: Vec<_> = record.all().map(public).collect();
        let set = KeySet::of_ours(keys.iter().map(|(id, bytes)| PublicKey {
            id,
            algorithm: Algorithm::Es256,
            bytes,
        }));
        Self { record, set: Arc::new(set) }
    }
}
