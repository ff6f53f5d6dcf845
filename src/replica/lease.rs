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
}

impl Lease {
    pub fn new(bound: Duration) -> Self {
        Self { bound, renewed: AtomicU64::new(0) }
    }

    /// Notes that the store knew nothing newer than we do, when asked at `sent`.
    pub fn renew(&self, sent: Duration) {
        self.renewed.fetch_max(nanoseconds(sent), Ordering::AcqRel);
    }

    pub fn holds(&self, now: Duration) -> bool {
        self.age(now).is_some_and(|age| age <= self.bound)
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
    fn a_late_answer_to_an_old_heartbeat_does_not_shorten_a_lease() {
        let lease = Lease::new(Duration::from_secs(10));
        lease.renew(Duration::from_secs(100));
        lease.renew(Duration::from_secs(50));
        assert!(lease.holds(Duration::from_secs(110)));
    }
}
