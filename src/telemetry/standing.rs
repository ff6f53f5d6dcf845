//! What an instance knows of the store, and how well, as gauges.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{Gauge, IntCounter, IntGauge, Registry};

use super::metrics::{counter, gauge, millis, registered, whole};
use crate::clock::Clock;

/// Where an instance stands at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// The number of the last change that was applied; `None` before the first snapshot.
    pub epoch: Option<u64>,
    /// Changes that the store had and this instance had not, at the last heartbeat.
    pub lag: u64,
    /// When the heartbeat that renewed the lease was sent, on [`Clock::boottime`].
    pub lease_renewed: Option<Duration>,
    pub keys: usize,
    pub consumers: usize,
    /// What checks can be about, of the file and the store.
    pub deployments: usize,
    /// Keys that are shorter than is safe.
    pub weak_keys: usize,
    /// Whether the store takes writes, as far as is known.
    pub writable: bool,
    /// How often the store was found to have lost changes, or to be another one.
    pub went_back: u64,
    /// By how many milliseconds our clock is ahead of the store's.
    pub clock_ahead: i64,
    /// Whether what is known is from the copy on disk, the store not having been seen yet.
    pub from_snapshot: bool,
    /// Objects of policy that the store holds.
    pub objects: usize,
    /// Those of them that cannot be used here, and deny.
    pub objects_refused: usize,
}

pub(super) struct Gauges {
    epoch: IntGauge,
    lag: IntGauge,
    lease_age: Gauge,
    /// Milliseconds on [`Clock::boottime`].
    lease_renewed: AtomicU64,
    bound: Gauge,
    keys: IntGauge,
    consumers: IntGauge,
    deployments: IntGauge,
    weak_keys: IntGauge,
    writable: IntGauge,
    went_back: IntCounter,
    clock_ahead: Gauge,
    from_snapshot: IntGauge,
    objects: IntGauge,
    objects_refused: IntGauge,
    instances: IntGauge,
    catalogs: IntGauge,
}

impl Gauges {
    pub(super) fn new(add: &Registry, clock: &Clock) -> Self {
        Self {
            epoch: gauge(add, "doorward_epoch", "Number of the last change this instance has applied"),
            lag: gauge(
                add,
                "doorward_replica_lag_changes",
                "Changes that the store had and this instance had not applied, at the last heartbeat",
            ),
            lease_age: registered(
                add,
                Gauge::new(
                    "doorward_lease_age_seconds",
                    "Seconds since the lease was renewed, or since the start",
                ),
            ),
            lease_renewed: AtomicU64::new(millis(clock.boottime())),
            bound: registered(
                add,
                Gauge::new(
                    "doorward_revocation_bound_seconds",
                    "Age of the lease at which this instance stops allowing (revocation.bound)",
                ),
            ),
            keys: gauge(add, "doorward_keys", "API keys this instance knows"),
            consumers: gauge(add, "doorward_consumers", "Consumers this instance knows"),
            deployments: gauge(
                add,
                "doorward_deployments",
                "Deployments that checks are decided by, of the file and the store",
            ),
            weak_keys: gauge(
                add,
                "doorward_weak_keys",
                "Keys of fewer than 16 bytes, taken because that was allowed",
            ),
            writable: gauge(
                add,
                "doorward_store_writable",
                "1 where the store took what it was last given, 0 while it refuses; checks go on",
            ),
            went_back: counter(
                add,
                "doorward_store_went_back_total",
                "Times the store was found to have lost changes, to be another one, or to be damaged",
            ),
            clock_ahead: registered(
                add,
                Gauge::new(
                    "doorward_store_clock_skew_seconds",
                    "Seconds by which this machine's clock is ahead of Redis' own, below 0 where it is behind",
                ),
            ),
            from_snapshot: gauge(
                add,
                "doorward_from_snapshot",
                "1 while checks are answered from the copy on disk, the store not having been seen yet",
            ),
            objects: gauge(
                add,
                "doorward_objects",
                "Services, deployments and other objects of policy in the store",
            ),
            objects_refused: gauge(
                add,
                "doorward_objects_refused",
                "Those of them that this instance cannot use, so that they deny; the log says why",
            ),
            instances: gauge(
                add,
                "doorward_instances",
                "Instances that the store has heard of within the bound",
            ),
            catalogs: gauge(
                add,
                "doorward_catalogs",
                "Different configurations among them; more than 1 for long is a rollout that got stuck",
            ),
        }
    }

    pub(super) fn show(&self, standing: &Standing) {
        let Standing { epoch, lag, lease_renewed, keys, consumers, weak_keys, writable, .. } = *standing;
        if let Some(epoch) = epoch {
            self.epoch.set(whole(epoch));
        }
        if let Some(renewed) = lease_renewed {
            self.lease_renewed.store(millis(renewed), Ordering::Relaxed);
        }
        self.lag.set(whole(lag));
        self.keys.set(whole(keys));
        self.consumers.set(whole(consumers));
        self.deployments.set(whole(standing.deployments));
        self.weak_keys.set(whole(weak_keys));
        self.writable.set(i64::from(writable));
        self.went_back.inc_by(standing.went_back.saturating_sub(self.went_back.get()));
        self.clock_ahead.set(standing.clock_ahead as f64 / 1_000.0);
        self.from_snapshot.set(i64::from(standing.from_snapshot));
        self.objects.set(whole(standing.objects));
        self.objects_refused.set(whole(standing.objects_refused));
    }

    pub(super) fn show_instances(&self, instances: usize, catalogs: usize) {
        self.instances.set(whole(instances));
        self.catalogs.set(whole(catalogs));
    }

    pub(super) fn show_bound(&self, bound: Duration) {
        self.bound.set(bound.as_secs_f64());
    }

    /// Brings up to date what changes by itself.
    pub(super) fn refresh(&self, clock: &Clock) {
        let renewed = Duration::from_millis(self.lease_renewed.load(Ordering::Relaxed));
        self.lease_age.set(clock.boottime().saturating_sub(renewed).as_secs_f64());
    }
}
