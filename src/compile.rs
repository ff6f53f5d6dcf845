//! From the file and the objects in the store to the one catalog that checks are decided with.
//!
//! An [`Edition`] is all of policy at one moment. The next one is made aside, on a thread that no check
//! needs, and swapped whole; an object that cannot be used is left out and reported.

mod edition;
mod effective;
mod shown;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tracing::{error, info, warn};

pub use self::edition::{Edition, Stored};
pub use self::shown::Shown;
use crate::config::{Basis, Config};
use crate::domain::catalog::{Catalog, OfStore};
use crate::domain::verifier::Peppers;
use crate::replica::Replica;

/// The edition in force, and the only one who makes the next.
pub struct Compiler {
    /// What checks look at.
    catalog: Arc<ArcSwap<Catalog>>,
    edition: watch::Sender<Arc<Edition>>,
    /// Held while an edition is made, so that each is made of the one before.
    making: Mutex<()>,
}

impl Compiler {
    /// Begins with the file alone, where the store never had deployments.
    pub fn new(basis: Basis) -> Self {
        Self::beside(OfStore::None, basis)
    }

    /// Begins with the file alone, beside a store of which no more is known yet.
    pub fn beside(of_store: OfStore, basis: Basis) -> Self {
        let edition = Edition::of_file(Arc::new(basis), of_store);
        let catalog = Arc::new(ArcSwap::from(edition.catalog()));
        Self { catalog, edition: watch::Sender::new(Arc::new(edition)), making: Mutex::new(()) }
    }

    /// Where there is no file.
    pub fn of_nothing(peppers: &Peppers) -> Self {
        Self::new(Basis::new(Config::default(), peppers).expect("the defaults are good"))
    }

    pub fn catalog(&self) -> Arc<ArcSwap<Catalog>> {
        Arc::clone(&self.catalog)
    }

    pub fn edition(&self) -> Arc<Edition> {
        Arc::clone(&self.edition.borrow())
    }

    pub fn editions(&self) -> watch::Receiver<Arc<Edition>> {
        self.edition.subscribe()
    }

    /// Takes what the store holds. Blocks for as long as that takes to be understood.
    pub fn take(&self, stored: crate::replica::Stored) {
        self.make(|before| before.with_stored(stored));
    }

    /// Takes another file.
    pub fn take_file(&self, basis: Basis) {
        self.make(|before| before.with_file(Arc::new(basis)));
    }

    fn make(&self, next: impl FnOnce(&Edition) -> Edition) {
        // Where one panicked, the edition before stands.
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.edition();
        let next = Arc::new(next(&before));
        report(&before, &next);
        self.catalog.store(next.catalog());
        self.edition.send_replace(next);
    }

    /// Makes an edition of every change of the objects that a replica hears of, for as long as the process
    /// lives. `wanted` is what the replica gave when the compiler was attached to it.
    pub async fn run(self: Arc<Self>, replica: Arc<Replica>, mut wanted: watch::Receiver<u64>) {
        while wanted.changed().await.is_ok() {
            let (compiler, replica) = (Arc::clone(&self), Arc::clone(&replica));
            let made = tokio::task::spawn_blocking(move || {
                let (stored, from) = replica.begin_compilation();
                compiler.take(stored);
                replica.finish_compilation(from);
            });
            if made.await.is_err() {
                // The panic is in the log; without this task the server ends, and is started anew.
                return;
            }
        }
    }
}

/// Says what is left out that was not before, and what is used again.
fn report(before: &Edition, after: &Edition) {
    for (id, wrong) in after.refused() {
        if before.refused().get(id) != Some(wrong) {
            let (kind, name) = after.describe(id);
            let why = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            error!(%id, kind, name, why, "a stored object is left out, so whatever it would allow is denied");
        }
    }
    for id in before.refused().keys() {
        if after.stored(id).is_some() && !after.refused().contains_key(id) {
            let (kind, name) = after.describe(id);
            info!(%id, kind, name, "a stored object that was left out is used");
        }
    }
    match (before.of_store(), after.of_store()) {
        (OfStore::None | OfStore::Some, OfStore::Lost) => error!(
            "the store had deployments, and they are gone without having been ended: whatever is found by host \
             and path is denied until there is one again; restore the store, or make one anew"
        ),
        (OfStore::Lost, OfStore::None | OfStore::Some) => info!("requests are found by host and path again"),
        (OfStore::None | OfStore::Some, OfStore::None | OfStore::Some) | (OfStore::Lost, OfStore::Lost) => {}
    }
    if before.refused().is_empty() && !after.refused().is_empty() {
        warn!(objects = after.refused().len(), "stored objects are left out");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;
    use std::sync::mpsc::channel;

    use uuid::Uuid;

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::domain::verifier::Pepper;
    use crate::store::record::ObjectRecord;

    fn infrastructure(number: u128) -> Arc<ObjectRecord> {
        Arc::new(ObjectRecord {
            id: Uuid::from_u128(number),
            kind: "infrastructure".into(),
            settings: format!(r#"{{"name":"i{number}"}}"#),
            service: None,
            owner: None,
            tags: Vec::new(),
            created_at: Timestamp::from_unix(0),
            updated_at: Timestamp::from_unix(0),
            sequence: 1,
        })
    }

    /// However long it takes: here it takes until whoever decides has looked at everything.
    #[test]
    fn a_catalog_that_is_being_made_holds_up_nobody_who_decides() {
        let compiler = Arc::new(Compiler::of_nothing(&Peppers::new(vec![Pepper::new(&[1; 32])])));
        let (begun, has_begun) = channel();
        let (looked, has_looked) = channel::<()>();
        let making = std::thread::spawn({
            let compiler = Arc::clone(&compiler);
            move || {
                compiler.make(|before| {
                    begun.send(()).unwrap();
                    has_looked.recv().unwrap();
                    let objects = BTreeMap::from([(Uuid::from_u128(1), infrastructure(1))]);
                    before.with_stored(crate::replica::Stored { objects, ..Default::default() })
                });
            }
        });
        has_begun.recv().unwrap();
        assert!(compiler.catalog().load().deployments().is_empty(), "checks have the one before");
        assert_eq!(compiler.edition().objects().len(), 0);
        looked.send(()).unwrap();
        making.join().unwrap();
        assert_eq!(compiler.edition().objects().len(), 1);
    }
}
