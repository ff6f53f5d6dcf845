//! All of policy at one moment: the file's words, the store's objects, and what came of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config::{Basis, Compiled, Kind, Object, Wrong};
use crate::domain::catalog::Catalog;
use crate::replica;
use crate::store::record::{GuardRecord, ObjectRecord};

/// All of policy at one moment.
pub struct Edition {
    basis: Arc<Basis>,
    guard: Option<GuardRecord>,
    stored: BTreeMap<Uuid, Stored>,
    catalog: Arc<Catalog>,
    compiled: Arc<Compiled>,
    digest: u64,
}

/// An object that the store holds.
#[derive(Clone)]
pub struct Stored {
    pub record: Arc<ObjectRecord>,
    /// Why it is none, where it could not be read.
    pub object: Result<Arc<Object>, Wrong>,
}

impl Edition {
    pub(super) fn of_file(basis: Arc<Basis>) -> Self {
        Self::make(basis, None, BTreeMap::new())
    }

    pub(super) fn with_file(&self, basis: Arc<Basis>) -> Self {
        Self::make(basis, self.guard, self.stored.clone())
    }

    pub(super) fn with_stored(&self, stored: replica::Stored) -> Self {
        let read = |(id, record): (Uuid, Arc<ObjectRecord>)| {
            let known = self.stored.get(&id).filter(|known| Arc::ptr_eq(&known.record, &record));
            (id, known.cloned().unwrap_or_else(|| Stored::read(record)))
        };
        let objects: BTreeMap<_, _> = stored.objects.into_iter().map(read).collect();
        let same = objects.len() == self.stored.len()
            && objects.iter().all(|(id, it)| {
                self.stored.get(id).is_some_and(|known| Arc::ptr_eq(&known.record, &it.record))
            });
        match same {
            // Only the guard has changed: somebody wrote what depends on the objects.
            true => self.guarded(stored.guard),
            false => Self::make(Arc::clone(&self.basis), stored.guard, objects),
        }
    }

    fn guarded(&self, guard: Option<GuardRecord>) -> Self {
        let (catalog, compiled) = (Arc::clone(&self.catalog), Arc::clone(&self.compiled));
        let digest = digest(&self.basis, guard, compiled.refused());
        Self { basis: Arc::clone(&self.basis), guard, stored: self.stored.clone(), catalog, compiled, digest }
    }

    /// What would be, were these objects written and those not there.
    pub fn with(&self, put: &[ObjectRecord], gone: &[Uuid]) -> Self {
        let mut stored = self.stored.clone();
        stored.retain(|id, _| !gone.contains(id));
        stored.extend(put.iter().map(|record| (record.id, Stored::read(Arc::new(record.clone())))));
        Self::make(Arc::clone(&self.basis), self.guard, stored)
    }

    fn make(basis: Arc<Basis>, guard: Option<GuardRecord>, stored: BTreeMap<Uuid, Stored>) -> Self {
        let mut objects: Vec<_> = stored.values().filter_map(|it| it.object.as_ref().ok().cloned()).collect();
        objects.sort_by_key(|object| (object.sequence, object.id));
        let (catalog, mut compiled) = basis.compile(&objects);
        for Stored { record, object } in stored.values() {
            if let Err(wrong) = object {
                compiled.refuse(record.id, wrong.clone());
            }
        }
        let digest = digest(&basis, guard, compiled.refused());
        Self { basis, guard, stored, catalog: Arc::new(catalog), compiled: Arc::new(compiled), digest }
    }

    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    pub fn guard(&self) -> Option<GuardRecord> {
        self.guard
    }

    /// What everything is called that can be used.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// The same number on every instance that decides alike.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The objects that are left out, and why.
    pub fn refused(&self) -> &HashMap<Uuid, Vec<Wrong>> {
        self.compiled.refused()
    }

    pub fn stored(&self, id: &Uuid) -> Option<&Stored> {
        self.stored.get(id)
    }

    /// Every object that the store holds, in order of ids.
    pub fn objects(&self) -> impl ExactSizeIterator<Item = &Stored> {
        self.stored.values()
    }

    /// The kind of a stored object and what it is called, for people.
    pub fn describe(&self, id: &Uuid) -> (&str, String) {
        let Some(Stored { record, object }) = self.stored.get(id) else { return ("object", id.to_string()) };
        let kind = Kind::of(&record.kind);
        let known = kind.and_then(|kind| self.compiled.name(kind, id)).map(str::to_owned);
        let own = || object.as_ref().ok().and_then(|object| object.name()).map(str::to_owned);
        (&record.kind, known.or_else(own).unwrap_or_else(|| id.to_string()))
    }
}

impl Stored {
    fn read(record: Arc<ObjectRecord>) -> Self {
        let object = read(&record).map(Arc::new);
        Self { record, object }
    }
}

fn read(record: &ObjectRecord) -> Result<Object, Wrong> {
    let kind = Kind::of(&record.kind)
        .ok_or_else(|| Wrong::of_whole("it is of a kind that this version of Doorward does not know"))?;
    let settings =
        serde_json::from_str(&record.settings).map_err(|error| Wrong::of_whole(error.to_string()))?;
    Ok(Object::read(kind, record.id, settings)?.placed(record.service, record.sequence))
}

/// The guard stands for the objects: it is another with each write of one.
fn digest(basis: &Basis, guard: Option<GuardRecord>, refused: &HashMap<Uuid, Vec<Wrong>>) -> u64 {
    let Some(guard) = guard else { return basis.digest() };
    let mut refused: Vec<&Uuid> = refused.keys().collect();
    refused.sort_unstable();
    let mut hash = Sha256::new();
    hash.update(basis.digest().to_be_bytes());
    hash.update(guard.token.as_bytes());
    refused.iter().for_each(|id| hash.update(id.as_bytes()));
    hash.finalize().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
