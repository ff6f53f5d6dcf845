//! What the thread that writes shows to everybody else.

use std::sync::{Arc, PoisonError, RwLock};

use ::redb::Database;
use tokio::sync::watch;

use crate::store::Epoch;

pub(super) struct Shared {
    /// What is read from. Held for writing while the disk's refusal is dealt with, so that a
    /// reader waits for the next database instead of failing on the one before.
    database: RwLock<Arc<Database>>,
    /// Where the store stood when it was opened: nobody else can change its id and term.
    opened_at: Epoch,
    /// The newest change that is durable.
    pub(super) pushed: watch::Sender<u64>,
    /// Whether the disk took what it was last given.
    pub(super) writable: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn new(database: Database, epoch: Epoch) -> Self {
        Self {
            database: RwLock::new(Arc::new(database)),
            opened_at: epoch,
            pushed: watch::Sender::new(epoch.number),
            writable: watch::Sender::new(true),
        }
    }

    /// What to read from now. May wait: only for threads that may block.
    pub(super) fn database(&self) -> Arc<Database> {
        self.database.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has everybody read from what `next` gives, and from what was there before if that is nothing.
    pub(super) fn replace<E>(&self, next: impl FnOnce() -> Result<Database, E>) -> Result<(), E> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *database = Arc::new(next()?);
        Ok(())
    }

    /// The newest acknowledged change.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch { number: *self.pushed.borrow(), ..self.opened_at }
    }

    pub(super) fn push(&self, number: u64) {
        self.pushed.send_if_modified(|newest| std::mem::replace(newest, number) != number);
    }
}
