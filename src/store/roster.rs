//! Who sends heartbeats to a store that lives in one process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::{Beat, Instance};

/// The last heartbeat of each. All of them live in this process, so none is ever silent.
#[derive(Default)]
pub(super) struct Roster(Mutex<HashMap<Uuid, Beat>>);

impl Roster {
    pub(super) fn note(&self, beat: Beat) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(beat.instance, beat);
    }

    pub(super) fn instances(&self) -> Vec<Instance> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beats.values().map(|beat| Instance { beat: *beat, silent: Duration::ZERO }).collect()
    }
}
