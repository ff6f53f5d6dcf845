//! All of policy at one moment: the file's words, the store's objects, and what came of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config::{self, Basis, Compiled, Kind, Object, Wrong};
use crate::domain::catalog::{Catalog, OfStore, Shut};
use crate::replica;
use crate::store::record::{GuardRecord, ObjectRecord};

/// All of policy at one moment.
pub struct Edition {
    basis: Arc<Basis>,
    guard: Option<GuardRecord>,
    stored: BTreeMap<Uuid, Stored>,
    of_store: OfStore,
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
    /// Of the file alone, while it is not known what the store holds.
    pub(super) fn of_file(basis: Arc<Basis>, of_store: OfStore) -> Self {
        Self::make(basis, None, BTreeMap::new(), of_store)
    }

    pub(super) fn with_file(&self, basis: Arc<Basis>) -> Self {
        Self::make(basis, self.guard, self.stored.clone(), self.of_store)
    }

    pub(super) fn with_stored(&self, stored: replica::Stored) -> Self {
        let read = |(id, record): (Uuid, Arc<ObjectRecord>)| {
            let known = self.stored.get(&id).filter(|known| Arc::ptr_eq(&known.record, &record));
            (id, known.cloned().unwrap_or_else(|| Stored::read(record)))
        };
        let objects: BTreeMap<_, _> = stored.objects.into_iter().map(read).collect();
        let same = stored.of_store == self.of_store
            && objects.len() == self.stored.len()
            && objects.iter().all(|(id, it)| {
                self.stored.get(id).is_some_and(|known| Arc::ptr_eq(&known.record, &it.record))
            });
        match same {
            // Only the guard has changed: somebody wrote what depends on the objects.
            true => self.guarded(stored.guard),
            false => Self::make(Arc::clone(&self.basis), stored.guard, objects, stored.of_store),
        }
    }

    fn guarded(&self, guard: Option<GuardRecord>) -> Self {
        let (catalog, compiled) = (Arc::clone(&self.catalog), Arc::clone(&self.compiled));
        let digest = digest(&self.basis, guard, compiled.refused());
        let (basis, stored, of_store) = (Arc::clone(&self.basis), self.stored.clone(), self.of_store);
        Self { basis, guard, stored, of_store, catalog, compiled, digest }
    }

    /// What would be, were these objects written and those not there.
    pub fn with(&self, put: &[ObjectRecord], gone: &[Uuid]) -> Self {
        let mut stored = self.stored.clone();
        stored.retain(|id, _| !gone.contains(id));
        stored.extend(put.iter().map(|record| (record.id, Stored::read(Arc::new(record.clone())))));
        Self::make(Arc::clone(&self.basis), self.guard, stored, self.of_store)
    }

    fn make(
        basis: Arc<Basis>,
        guard: Option<GuardRecord>,
        stored: BTreeMap<Uuid, Stored>,
        of_store: OfStore,
    ) -> Self {
        let unread: HashMap<Uuid, &Wrong> =
            stored.values().filter_map(|it| Some((it.record.id, it.object.as_ref().err()?))).collect();
        // A service goes with a version that cannot be read: the one before might ask for less.
        let without: HashSet<Uuid> = unread.keys().filter_map(|id| stored.get(id)?.record.service).collect();
        let mut objects: Vec<_> = stored.values().filter_map(|it| it.object.as_ref().ok().cloned()).collect();
        objects.retain(|object| !without.contains(&object.id));
        objects.sort_by_key(|object| (object.sequence, object.id));
        let (catalog, mut compiled) = basis.compile(&objects);
        let why = "one of its versions cannot be read";
        without.into_iter().for_each(|service| compiled.refuse(service, Wrong::of_whole(why)));
        unread.into_iter().for_each(|(id, wrong)| compiled.refuse(id, wrong.clone()));
        let shut = shut(&basis, &stored, &catalog);
        let catalog = catalog.beside(of_store, shut);
        let digest = digest(&basis, guard, compiled.refused());
        let (catalog, compiled) = (Arc::new(catalog), Arc::new(compiled));
        Self { basis, guard, stored, of_store, catalog, compiled, digest }
    }

    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// What is known of the store's deployments, those included that are gone.
    pub(super) fn of_store(&self) -> OfStore {
        self.of_store
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

/// The places of deployments that the store holds and the catalog lacks, for whatever reason: they are left
/// to nobody else.
fn shut(basis: &Basis, stored: &BTreeMap<Uuid, Stored>, catalog: &Catalog) -> Vec<Shut> {
    let used: HashSet<Uuid> = catalog.deployments().iter().map(|deployment| deployment.id).collect();
    let settings =
        |record: &ObjectRecord| serde_json::from_str::<Value>(&record.settings).unwrap_or_default();
    let lacking = stored.values().filter(|it| it.record.is_deployment() && !used.contains(&it.record.id));
    let shut = lacking.map(|it| {
        let deployment = settings(&it.record);
        let service = deployment.get("service").and_then(Value::as_str).and_then(|named| {
            let kept = Uuid::try_parse(named).ok().and_then(|id| stored.get(&id));
            kept.map(|service| settings(&service.record)).or_else(|| basis.service(named))
        });
        config::places(&deployment, &service.unwrap_or_default())
    });
    shut.collect()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;
    use crate::config::load_text;
    use crate::domain::denial::{Denial, Unnamed};
    use crate::domain::time::Timestamp;
    use crate::domain::verifier::{Pepper, Peppers};

    /// Public, wherever nothing else is.
    const SITE: &str = "permissions: [{name: p}]\nservices:\n  - {name: site, authentication: none}\n";

    fn record(number: u128, kind: &str, service: Option<u128>, settings: &Value) -> Arc<ObjectRecord> {
        Arc::new(ObjectRecord {
            id: Uuid::from_u128(number),
            kind: kind.into(),
            settings: settings.to_string(),
            service: service.map(Uuid::from_u128),
            owner: None,
            tags: Vec::new(),
            created_at: Timestamp::from_unix(0),
            updated_at: Timestamp::from_unix(0),
            sequence: u64::try_from(number).unwrap(),
        })
    }

    fn edition(file: &str, objects: &[Arc<ObjectRecord>]) -> Edition {
        let basis =
            Basis::new(load_text(file.into()).unwrap().config, &Peppers::new(vec![Pepper::new(&[1; 32])]));
        let objects = objects.iter().map(|it| (it.id, Arc::clone(it))).collect();
        let stored = replica::Stored { objects, of_store: OfStore::Some, guard: None };
        Edition::of_file(Arc::new(basis.ok().unwrap()), OfStore::None).with_stored(stored)
    }

    /// Whose a host and path is.
    fn whose(edition: &Edition, host: &str, path: &str) -> Result<String, Denial> {
        let catalog = edition.catalog();
        catalog.placed(host.as_bytes(), path.as_bytes(), None).map(|(deployment, _)| deployment.name())
    }

    /// An infrastructure, a service there with these settings, and its deployment.
    fn admin(settings: Value) -> Vec<Arc<ObjectRecord>> {
        let mut service =
            json!({ "name": "admin", "paths": ["/admin"], "authentication": {"any": ["api_key"]} });
        service.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let sides = json!({ "service": Uuid::from_u128(2), "infrastructure": Uuid::from_u128(1) });
        vec![
            record(1, "infrastructure", None, &json!({ "name": "production" })),
            record(2, "service", None, &service),
            record(3, "deployment", None, &sides),
        ]
    }

    #[test]
    fn the_place_of_a_stored_deployment_that_is_left_out_is_nobody_elses() {
        let taken = SITE.to_owned() + "  - {name: admin, paths: [/elsewhere], authentication: none}\n";
        let plain = || admin(json!({}));
        let with = |objects: Vec<_>, more| [objects, vec![more]].concat();
        let unread = json!({ "name": "v", "policy": {}, "new": 1 });
        let deployment =
            json!({ "service": Uuid::from_u128(2), "infrastructure": Uuid::from_u128(1), "new": 1 });
        let nowhere = json!({ "service": Uuid::from_u128(9), "infrastructure": Uuid::from_u128(1), "paths": ["/admin"] });
        let of_file = json!({ "service": crate::config::derived("service", "site"), "paths": ["/admin/"], "new": 1,
            "infrastructure": Uuid::from_u128(1) });
        for (case, file, objects) in [
            ("the file takes its name", &*taken, plain()),
            ("it refers to what is gone", SITE, admin(json!({ "rules": [{ "permissions": ["gone"] }] }))),
            ("a newer version made the service", SITE, admin(json!({ "new": 1 }))),
            ("its infrastructure is gone", SITE, plain()[1..].to_vec()),
            ("a version cannot be read", SITE, with(plain(), record(4, "version", Some(2), &unread))),
            (
                "a newer version made the deployment",
                SITE,
                with(plain(), record(3, "deployment", None, &deployment)),
            ),
            ("its service is gone", SITE, vec![record(3, "deployment", None, &nowhere)]),
            ("the service is the file's", SITE, vec![record(3, "deployment", None, &of_file)]),
            ("of its paths some are none", SITE, admin(json!({ "paths": ["what", "/admin"], "new": 1 }))),
        ] {
            let edition = edition(file, &objects);
            assert!(
                edition.refused().contains_key(&Uuid::from_u128(3)) || !edition.refused().is_empty(),
                "{case}"
            );
            let left_out = Err(Denial::UnknownService { of: Unnamed::LeftOut });
            assert_eq!(whose(&edition, "a.example", "/admin"), left_out, "{case}");
            assert_eq!(whose(&edition, "a.example", "/admin/x"), left_out, "{case}");
            assert_eq!(whose(&edition, "a.example", "/administer"), Ok("site".to_owned()), "{case}");
        }
        assert_eq!(whose(&edition(SITE, &plain()), "a.example", "/admin"), Ok("admin/production".to_owned()));
    }

    #[test]
    fn the_host_of_a_deployment_that_is_left_out_falls_to_no_wider_one() {
        let objects = admin(json!({ "hosts": ["Admin.example", "*.admin.example"], "new": 1 }));
        let edition = edition(SITE, &objects);
        for host in ["admin.example", "a.admin.example"] {
            assert_eq!(whose(&edition, host, "/admin"), Err(Denial::UnknownService { of: Unnamed::LeftOut }));
            assert_eq!(whose(&edition, host, "/"), Err(Denial::UnknownService { of: Unnamed::HostAndPath }));
        }
        assert_eq!(whose(&edition, "example", "/admin"), Ok("site".to_owned()));
    }

    #[test]
    fn whoever_has_the_very_place_of_one_that_is_left_out_keeps_it() {
        let file = SITE.to_owned() + "  - {name: other, paths: [/admin], authentication: none}\n";
        let edition = edition(&file, &admin(json!({})));
        assert_eq!(whose(&edition, "a.example", "/admin/x"), Ok("other".to_owned()));
    }

    #[test]
    fn where_deployments_were_lost_a_host_and_path_is_nobodys() {
        let lost =
            edition(SITE, &[]).with_stored(replica::Stored { of_store: OfStore::Lost, ..Default::default() });
        assert_eq!(whose(&lost, "a.example", "/"), Err(Denial::UnknownService { of: Unnamed::Lost }));
        assert!(lost.catalog().named(b"site", None).is_ok(), "the route's words need no store");
        let again = lost.with_stored(replica::Stored::default());
        assert_eq!(whose(&again, "a.example", "/"), Ok("site".to_owned()));
    }
}
