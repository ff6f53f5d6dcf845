//! Failed authentications in the audit log: put together, so that a flood of them fills nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use uuid::Uuid;

use super::Registrar;
use super::audit::Event;
use crate::store::{Batch, StoreError};
use crate::telemetry::{LoginBy, LoginOutcome, Logins};

/// What failed since the last entry about it, and all of them as numbers.
#[derive(Default)]
pub struct Attempts {
    logins: Logins,
    seen: Mutex<BTreeMap<&'static str, Seen>>,
    noted: Notify,
}

#[derive(Clone, Default)]
struct Seen {
    count: u64,
    addresses: Vec<IpAddr>,
}

/// Addresses that an entry names; the count tells whether there were more attempts.
const ADDRESSES: usize = 8;

/// Between two rounds of entries: 1,440 a day and kind, whatever happens.
const PAUSE: Duration = Duration::from_secs(60);

impl Attempts {
    pub fn new(logins: Logins) -> Self {
        Self { logins, ..Self::default() }
    }

    /// For whoever watches this instance.
    pub fn count(&self, by: LoginBy, outcome: LoginOutcome) {
        self.logins.count(by, outcome);
    }

    /// Counts somebody who was turned away, and notes it as [`Self::note`] does.
    pub fn refused(&self, by: LoginBy, action: &'static str, from: IpAddr) {
        self.note(action, from);
        self.count(by, LoginOutcome::Refused);
    }

    /// `action` is one of ours, never a caller's text.
    pub fn note(&self, action: &'static str, from: IpAddr) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.entry(action).or_default();
        seen.count += 1;
        if seen.addresses.len() < ADDRESSES && !seen.addresses.contains(&from) {
            seen.addresses.push(from);
        }
        self.noted.notify_one();
    }

    fn take(&self) -> BTreeMap<&'static str, Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, action: &'static str, unwritten: &Seen) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.entry(action).or_default();
        seen.count += unwritten.count;
        let known = std::mem::take(&mut seen.addresses);
        let more = known.into_iter().filter(|address| !unwritten.addresses.contains(address));
        seen.addresses = unwritten.addresses.iter().copied().chain(more).take(ADDRESSES).collect();
        self.noted.notify_one();
    }
}

impl Registrar {
    /// Writes what was noted, the first of it at once; never ends. What the store does not take now is
    /// written later.
    pub async fn keep_attempts(&self, attempts: &Attempts) {
        loop {
            attempts.noted.notified().await;
            for (action, seen) in attempts.take() {
                if let Err(error) = self.write_attempts(action, &seen).await {
                    tracing::warn!(%error, action, count = seen.count, "failed attempts are not in the audit log yet");
                    attempts.put_back(action, &seen);
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn write_attempts(&self, action: &str, seen: &Seen) -> Result<(), StoreError> {
        let event = Event {
            caller: "unknown".into(),
            action: action.to_owned(),
            count: seen.count,
            addresses: seen.addresses.iter().map(IpAddr::to_string).collect(),
            ..Event::default()
        };
        let batch = Batch { operation: Uuid::new_v4(), steps: Vec::new() };
        self.attempts.write(&*self.store, batch, &event, self.clock.now()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_attempts_is_one_entry_of_bounded_size() {
        let attempts = Attempts::default();
        for number in 0..100_000_u32 {
            attempts.note("admin.refused", IpAddr::from(number.to_be_bytes()));
        }
        let seen = attempts.take();
        assert_eq!((seen.len(), seen["admin.refused"].count), (1, 100_000));
        assert_eq!(seen["admin.refused"].addresses.len(), ADDRESSES);
        attempts.note("admin.refused", IpAddr::from([9; 4]));
        attempts.put_back("admin.refused", &seen["admin.refused"]);
        let seen = attempts.take();
        assert_eq!(seen["admin.refused"].count, 100_001, "what was not written is not forgotten");
        assert_eq!(seen["admin.refused"].addresses.len(), ADDRESSES);
    }
}
