//! Passwords that are being hashed at this moment: each once, however many show it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Done;
use super::remembered::Fingerprint;
use crate::domain::password::Mark;

/// What was presented, and which hash it is held against (`None`: nobody's).
pub(super) type Flight = (Fingerprint, Option<Mark>);

/// As many as the pool takes.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Flight, Vec<oneshot::Sender<Done>>>>);

impl Flights {
    pub(super) fn is_up(&self, flight: &Flight) -> bool {
        self.lock().contains_key(flight)
    }

    /// Has somebody told when it lands. Whether it was up already: else it has to be started, and landed.
    pub(super) fn join(&self, flight: Flight, waiting: oneshot::Sender<Done>) -> bool {
        match self.lock().entry(flight) {
            Entry::Occupied(mut waiters) => {
                let waiters = waiters.get_mut();
                // Who is gone leaves nothing behind.
                waiters.retain(|waiter| !waiter.is_closed());
                waiters.push(waiting);
                true
            }
            Entry::Vacant(none) => {
                none.insert(vec![waiting]);
                false
            }
        }
    }

    /// Whether nobody waits for it any more: it is down then.
    pub(super) fn is_forsaken(&self, flight: &Flight) -> bool {
        let mut flights = self.lock();
        let awaited =
            flights.get(flight).is_some_and(|waiters| waiters.iter().any(|waiter| !waiter.is_closed()));
        if !awaited {
            flights.remove(flight);
        }
        !awaited
    }

    /// Tells everybody who waits what came of it, or that nothing did.
    pub(super) fn land(&self, flight: &Flight, done: Option<Done>) {
        let waiters = self.lock().remove(flight).unwrap_or_default();
        if let Some(done) = done {
            for waiter in waiters {
                // Whoever asked may be gone.
                let _ = waiter.send(done);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Flight, Vec<oneshot::Sender<Done>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
