//! Objects of policy. They are few, and no check asks for them: a catalog is made of them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use uuid::Uuid;

use crate::domain::catalog::OfStore;
use crate::store::record::{GuardRecord, ObjectRecord};

/// All objects, and how often they were written.
#[derive(Default)]
pub(in crate::replica) struct Objects(RwLock<Stored>);

/// What a store holds of policy at one moment. The guard is never newer than the objects.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub guard: Option<GuardRecord>,
    pub objects: BTreeMap<Uuid, Arc<ObjectRecord>>,
    /// What is known of its deployments, those included that are gone.
    pub of_store: OfStore,
}

impl Objects {
    pub(super) fn put(&self, record: ObjectRecord) {
        self.write().objects.insert(record.id, Arc::new(record));
    }

    pub(super) fn remove(&self, id: &Uuid) {
        self.write().objects.remove(id);
    }

    pub(super) fn guard(&self, guard: Option<GuardRecord>) {
        self.write().guard = guard;
    }

    pub(super) fn all(&self) -> Stored {
        self.read().clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Stored> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Stored> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
