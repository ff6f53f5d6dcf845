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
pub(super) struct Flights(Mutex<HashMap<Flight, Waiters>>);

/// Who is told when one lands.
struct Waiters {
    all: Vec<oneshot::Sender<Done>>,
    /// At so many those who are gone are looked for: each of many that join is looked at a few times, and
    /// not once for each that comes after it, while the lock is held.
    swept_at: usize,
}

impl Waiters {
    fn new(first: oneshot::Sender<Done>) -> Self {
        Self { all: vec![first], swept_at: FEW }
    }

    fn add(&mut self, waiting: oneshot::Sender<Done>) {
        if self.all.len() >= self.swept_at {
            // Who is gone leaves nothing behind.
            self.all.retain(|waiter| !waiter.is_closed());
            self.swept_at = FEW.max(2 * self.all.len());
        }
        self.all.push(waiting);
    }
}

/// So many are not looked through.
const FEW: usize = 16;

impl Flights {
    pub(super) fn is_up(&self, flight: &Flight) -> bool {
        self.lock().contains_key(flight)
    }

    /// Has somebody told when it lands. Whether it was up already: else it has to be started, and landed.
    pub(super) fn join(&self, flight: Flight, waiting: oneshot::Sender<Done>) -> bool {
        match self.lock().entry(flight) {
            Entry::Occupied(mut waiters) => {
                waiters.get_mut().add(waiting);
                true
            }
            Entry::Vacant(none) => {
                none.insert(Waiters::new(waiting));
                false
            }
        }
    }

    /// Whether nobody waits for it any more: it is down then.
    pub(super) fn is_forsaken(&self, flight: &Flight) -> bool {
        let mut flights = self.lock();
        let awaited =
            flights.get(flight).is_some_and(|waiters| waiters.all.iter().any(|waiter| !waiter.is_closed()));
        if !awaited {
            flights.remove(flight);
        }
        !awaited
    }

    /// Tells everybody who waits what came of it, or that nothing did.
    pub(super) fn land(&self, flight: &Flight, done: Option<Done>) {
        let waiters = self.lock().remove(flight);
        if let Some(done) = done {
            for waiter in waiters.into_iter().flat_map(|waiters| waiters.all) {
                // Whoever asked may be gone.
                let _ = waiter.send(done);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Flight, Waiters>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One guess on many requests at once must not take the time of everybody's checks.
    #[test]
    fn many_who_wait_for_one_password_are_looked_through_a_few_times_and_no_more() {
        let mut waiters = Waiters::new(oneshot::channel().0);
        let (mut open, mut looked_at) = (Vec::new(), 0);
        for _ in 0..10_000 {
            let (waiting, told) = oneshot::channel();
            open.push(told);
            looked_at += if waiters.all.len() >= waiters.swept_at { waiters.all.len() } else { 0 };
            waiters.add(waiting);
        }
        assert!(waiters.all.len() >= 10_000 && looked_at <= 20_000, "{looked_at}");

        // Those who are gone leave as much room as is left to those who are not.
        drop(open);
        for _ in 0..100_000 {
            waiters.add(oneshot::channel().0);
            assert!(waiters.all.len() <= 20_002);
        }
        assert!(waiters.all.len() <= FEW, "{}", waiters.all.len());
    }
}
