//! Until when an instance may believe its replica.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A time until which what is absent from the replica counts as absent.
///
/// Renewed by a heartbeat that the store answered, counted from when it was *sent*: the answer may
/// have been long on its way. All times are CLOCK_BOOTTIME, which goes on while a machine sleeps.
#[derive(Debug)]
pub struct Lease {
    bound: Duration,
    /// Nanoseconds of boot time at which the last heartbeat that was answered was sent; 0: none yet.
    renewed: AtomicU64,
    /// Until when a snapshot from disk may be believed, in the same way, as long as nothing was
    /// renewed; 0: there is none.
    snapshot: AtomicU64,
}

impl Lease {
    pub fn new(bound: Duration) -> Self {
        Self { bound, renewed: AtomicU64::new(0), snapshot: AtomicU64::new(0) }
    }

    /// Notes that the store knew nothing newer than we do, when asked at `sent`.
    pub fn renew(&self, sent: Duration) {
        self.renewed.fetch_max(nanoseconds(sent), Ordering::AcqRel);
    }

    /// Has a snapshot from disk believed until `end`, unless the store is heard of before.
    pub(super) fn begin_with_snapshot(&self, end: Duration) {
        self.snapshot.store(nanoseconds(end), Ordering::Release);
    }

    /// Notes that the store answered what was asked at `sent`: a snapshot has to be brought up to
    /// date within the bound from then on, as anything else has.
    pub(super) fn heard(&self, sent: Duration) {
        if self.snapshot.load(Ordering::Acquire) != 0 {
            self.snapshot.fetch_min(nanoseconds(sent.saturating_add(self.bound)), Ordering::AcqRel);
        }
    }

    pub fn holds(&self, now: Duration) -> bool {
        match self.age(now) {
            Some(age) => age <= self.bound,
            None => nanoseconds(now) < self.snapshot.load(Ordering::Acquire),
        }
    }

    /// Whether it is a snapshot from disk that is believed, if anything.
    pub fn is_of_snapshot(&self) -> bool {
        self.renewed().is_none() && self.snapshot.load(Ordering::Acquire) != 0
    }

    /// When it was renewed last; `None` where it never was.
    pub fn renewed(&self) -> Option<Duration> {
        let renewed = self.renewed.load(Ordering::Acquire);
        (renewed != 0).then(|| Duration::from_nanos(renewed))
    }

    /// How long ago it was renewed; `None` where it never was.
    pub fn age(&self, now: Duration) -> Option<Duration> {
        self.renewed().map(|renewed| now.saturating_sub(renewed))
    }
}

/// Boot time fits for 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_a_bound_after_its_heartbeat_was_sent() {
        let lease = Lease::new(Duration::from_secs(10));
        assert!(!lease.holds(Duration::from_secs(1)), "never renewed");
        lease.renew(Duration::from_secs(100));
        assert!(lease.holds(Duration::from_secs(110)));
        assert!(!lease.holds(Duration::from_millis(110_001)));
    }

    #[test]
    fn a_snapshot_is_believed_until_its_end_or_the_bound_after_the_store_was_heard_of() {
        let seconds = Duration::from_secs;
        let lease = Lease::new(seconds(10));
        lease.begin_with_snapshot(seconds(100));
        assert!(lease.is_of_snapshot());
        assert!(lease.holds(seconds(99)) && !lease.holds(seconds(100)));
        lease.heard(seconds(50));
        lease.heard(seconds(55));
        assert!(lease.holds(seconds(59)) && !lease.holds(seconds(60)));
        lease.renew(seconds(58));
        assert!(!lease.is_of_snapshot());
        assert!(lease.holds(seconds(68)) && !lease.holds(seconds(69)));
    }

    #[test]
    fn a_late_answer_to_an_old_heartbeat_does_not_shorten_a_lease() {
        let lease = Lease::new(Duration::from_secs(10));
        lease.renew(Duration::from_secs(100));
        lease.renew(Duration::from_secs(50));
        assert!(lease.holds(Duration::from_secs(110)));
    }
}
