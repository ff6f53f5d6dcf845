//! Admin keys: few, so that one lock and whole records do.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use uuid::Uuid;

use crate::domain::verifier::Verifier;
use crate::store::record::AdminKeyRecord;

#[derive(Default)]
pub(super) struct AdminKeys(RwLock<Known>);

#[derive(Default)]
struct Known {
    by_id: HashMap<Uuid, AdminKeyRecord>,
    by_verifier: HashMap<Verifier, Uuid>,
}

impl AdminKeys {
    pub(super) fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_verifier.is_empty()
    }

    pub(super) fn get(&self, verifier: &Verifier) -> Option<Uuid> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_verifier.get(verifier).copied()
    }

    pub(super) fn has(&self, id: &Uuid) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.by_id.get(id).is_some_and(|record| record.enabled)
    }

    pub(super) fn put(&self, record: AdminKeyRecord) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.forget(&record.id);
        if record.enabled {
            known.by_verifier.insert(record.verifier, record.id);
        }
        known.by_id.insert(record.id, record);
    }

    pub(super) fn remove(&self, id: &Uuid) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).forget(id);
    }

    pub(super) fn for_each(&self, mut each: impl FnMut(&AdminKeyRecord)) {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_id.values().for_each(&mut each);
    }
}

impl Known {
    fn forget(&mut self, id: &Uuid) {
        if let Some(record) = self.by_id.remove(id)
            && self.by_verifier.get(&record.verifier) == Some(id)
        {
            self.by_verifier.remove(&record.verifier);
        }
    }
}
