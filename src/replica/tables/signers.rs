//! What consumers' own tokens are verified with, by what these name it by.

use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use tracing::error;
use uuid::Uuid;

use crate::domain::issuer::{Issuer, Signer};
use crate::domain::jwt::{Algorithm, KeySet};
use crate::store::record::{JwtRecord, JwtSecret};
use crate::store::ring::Ring;

#[derive(Default)]
pub(in crate::replica) struct Signers {
    by_id: DashMap<Uuid, Arc<Known>>,
    by_key: DashMap<String, Arc<Known>>,
}

struct Known {
    record: JwtRecord,
    /// Made when the first token asks for it; `None`: it verifies nothing.
    signer: OnceLock<Option<Arc<Signer>>>,
}

impl Signers {
    pub(in crate::replica) fn put(&self, record: JwtRecord) {
        let (id, key, enabled) = (record.id, record.key.clone(), record.enabled);
        let known = Arc::new(Known { record, signer: OnceLock::new() });
        // The new before the old: at no moment is there neither.
        if enabled {
            self.by_key.insert(key.clone(), Arc::clone(&known));
        }
        let before = self.by_id.insert(id, known);
        if let Some(before) = before.filter(|before| !enabled || before.record.key != key) {
            self.let_go(&before.record);
        }
    }

    pub(in crate::replica) fn remove(&self, id: &Uuid) {
        if let Some((_, before)) = self.by_id.remove(id) {
            self.let_go(&before.record);
        }
    }

    /// Its key may be another one's by now.
    fn let_go(&self, before: &JwtRecord) {
        self.by_key.remove_if(&before.key, |_, known| known.record.id == before.id);
    }

    pub(in crate::replica) fn get(&self, key: &str, ring: &Ring) -> Option<Arc<Signer>> {
        let known = Arc::clone(&*self.by_key.get(key)?);
        known.signer.get_or_init(|| signer(&known.record, ring)).clone()
    }

    pub(in crate::replica) fn for_each(&self, mut each: impl FnMut(&JwtRecord)) {
        self.by_id.iter().for_each(|known| each(&known.record));
    }
}

fn signer(record: &JwtRecord, ring: &Ring) -> Option<Arc<Signer>> {
    let useless = |why: &str| {
        error!(credential = %record.id, why, "a jwt credential verifies nothing, so its tokens are denied");
    };
    let Some(algorithm) = Algorithm::named(&record.algorithm) else {
        useless("its algorithm is not known");
        return None;
    };
    let keys = match &record.secret {
        JwtSecret::Shared(sealed) if algorithm.is_symmetric() => {
            match sealed.open(ring, record.id.as_bytes()) {
                Ok(secret) => KeySet::of_one(algorithm, &secret),
                Err(error) => {
                    useless(&error.to_string());
                    return None;
                }
            }
        }
        JwtSecret::Public(pem) if !algorithm.is_symmetric() => {
            let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok();
            der.map_or(KeySet::NONE, |der| KeySet::of_one(algorithm, &der))
        }
        // A public key is no secret.
        JwtSecret::Shared(_) | JwtSecret::Public(_) => KeySet::NONE,
    };
    if keys.is_empty() {
        useless("what it has is no key of its algorithm");
        return None;
    }
    let issuer = Arc::new(Issuer::of_consumer(&record.key, vec![algorithm], keys));
    Some(Arc::new(Signer { id: record.id, consumer: record.consumer, issuer }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::store::seal::Sealed;

    fn ring(digits: &str) -> Ring {
        Ring::parse(Path::new("ring"), format!("1 {}", digits.repeat(16)).as_bytes()).unwrap()
    }

    fn record(id: u128, key: &str) -> JwtRecord {
        let id = Uuid::from_u128(id);
        JwtRecord {
            id,
            consumer: Uuid::from_u128(9),
            key: key.to_owned(),
            algorithm: "HS256".to_owned(),
            secret: JwtSecret::Shared(Sealed::new(&ring("1f2e"), id.as_bytes(), &[7; 32]).unwrap()),
            tags: Vec::new(),
            enabled: true,
            created_at: Timestamp::from_unix(0),
        }
    }

    #[track_caller]
    fn check(signers: &Signers, key: &str, expected: Option<u128>) {
        let found = signers.get(key, &ring("1f2e")).map(|signer| signer.id.as_u128());
        assert_eq!(found, expected, "{key}");
    }

    #[test]
    fn a_key_is_that_of_the_credential_that_has_it_now() {
        let signers = Signers::default();
        signers.put(record(1, "a"));
        check(&signers, "a", Some(1));
        signers.put(record(1, "b"));
        check(&signers, "a", None);
        check(&signers, "b", Some(1));
        // Taken over, before it is heard who has let go of it.
        signers.put(record(2, "b"));
        signers.put(record(1, "c"));
        check(&signers, "b", Some(2));
        signers.put(JwtRecord { enabled: false, ..record(2, "b") });
        check(&signers, "b", None);
        signers.remove(&Uuid::from_u128(1));
        check(&signers, "c", None);
        let mut left = 0;
        signers.for_each(|_| left += 1);
        assert_eq!(left, 1);
    }

    #[test]
    fn what_is_no_key_of_its_algorithm_verifies_nothing() {
        let signers = Signers::default();
        signers.put(record(1, "a"));
        assert!(signers.get("a", &ring("3d4c")).is_none(), "another ring opens no seal");
        let moved = JwtRecord { secret: record(2, "").secret, ..record(1, "b") };
        let short = Sealed::new(&ring("1f2e"), Uuid::from_u128(1).as_bytes(), &[7; 31]).unwrap();
        for (algorithm, secret) in [
            ("HS256", moved.secret),
            ("HS256", JwtSecret::Shared(short)),
            ("HS256", JwtSecret::Public("-----BEGIN PUBLIC KEY-----".to_owned())),
            ("ES256", JwtSecret::Public("none".to_owned())),
            ("ES256", record(1, "").secret),
            ("none", record(1, "").secret),
        ] {
            signers.put(JwtRecord { algorithm: algorithm.to_owned(), secret, ..record(1, "b") });
            check(&signers, "b", None);
        }
    }
}
