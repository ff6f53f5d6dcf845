//! Whether this instance may be sent checks, and why not.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

/// The conditions of readiness; all of them must be good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The store has been read whole once.
    pub loaded: bool,
    /// The replica may be believed (`revocation.bound`).
    pub lease: bool,
    /// Whoever runs us asked us to stop.
    pub draining: bool,
}

impl Conditions {
    pub fn ready(self) -> bool {
        self.loaded && self.lease && !self.draining
    }

    /// Each condition with its name and what is wrong with it, if anything.
    /// `trouble` is why the store cannot be followed.
    pub fn report(self, trouble: Option<&str>) -> [(&'static str, Option<String>); 3] {
        let of_store = |good: bool, what: &str| match (good, trouble) {
            (true, _) => None,
            (false, None) => Some(what.to_owned()),
            (false, Some(why)) => Some(format!("{what}: {why}")),
        };
        [
            ("loaded", of_store(self.loaded, "the store has not been read yet")),
            (
                "lease",
                of_store(self.lease, "the store has been out of reach for longer than revocation.bound"),
            ),
            ("serving", self.draining.then(|| "draining, about to stop".to_owned())),
        ]
    }
}

/// The one place that knows the conditions. Whoever learns of a change sets it here; `/readyz`,
/// the metric and gRPC health follow.
#[derive(Debug, Default)]
pub struct Readiness {
    conditions: watch::Sender<Conditions>,
    /// Why the store cannot be followed.
    trouble: ArcSwapOption<String>,
}

impl Readiness {
    /// Not ready: nothing loaded, no lease.
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set_loaded(&self, loaded: bool) {
        self.change(|conditions| conditions.loaded = loaded);
    }

    pub fn set_lease(&self, within: bool) {
        self.change(|conditions| conditions.lease = within);
    }

    /// Why the store cannot be followed; `None` while it can.
    pub fn set_trouble(&self, trouble: Option<Arc<String>>) {
        self.trouble.store(trouble);
    }

    pub fn trouble(&self) -> Option<Arc<String>> {
        self.trouble.load_full()
    }

    /// There is no way back: what drains, stops.
    pub fn set_draining(&self) {
        self.change(|conditions| conditions.draining = true);
    }

    pub fn conditions(&self) -> Conditions {
        *self.conditions.borrow()
    }

    pub fn ready(&self) -> bool {
        self.conditions().ready()
    }

    /// Sees every later change; the present value counts as seen.
    pub fn subscribe(&self) -> watch::Receiver<Conditions> {
        self.conditions.subscribe()
    }

    /// Wakes the followers only where something changed: the lease is renewed four times a second.
    fn change(&self, set: impl FnOnce(&mut Conditions)) {
        self.conditions.send_if_modified(|conditions| {
            let before = *conditions;
            set(conditions);
            *conditions != before
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_alone_prevents_readiness() {
        let good = Conditions { loaded: true, lease: true, draining: false };
        assert!(good.ready());
        assert!(!Conditions { loaded: false, ..good }.ready());
        assert!(!Conditions { lease: false, ..good }.ready());
        assert!(!Conditions { draining: true, ..good }.ready());
        assert!(!Readiness::new().ready());
    }

    #[test]
    fn followers_hear_of_changes_and_of_nothing_else() {
        let readiness = Readiness::new();
        let follower = readiness.subscribe();
        readiness.set_lease(false);
        assert_eq!(follower.has_changed().ok(), Some(false));
        readiness.set_lease(true);
        assert_eq!(follower.has_changed().ok(), Some(true));
        assert!(follower.borrow().lease);
    }
}
