//! Whether this instance may be sent checks, and why not.

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
    pub fn report(self) -> [(&'static str, Option<&'static str>); 3] {
        [
            ("loaded", (!self.loaded).then_some("the store has not been read yet")),
            (
                "lease",
                (!self.lease).then_some("the store has been out of reach for longer than revocation.bound"),
            ),
            ("serving", self.draining.then_some("draining, about to stop")),
        ]
    }
}

/// The one place that knows the conditions. Whoever learns of a change sets it here; `/readyz`,
/// the metric and gRPC health follow.
#[derive(Debug, Default)]
pub struct Readiness(watch::Sender<Conditions>);

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

    /// There is no way back: what drains, stops.
    pub fn set_draining(&self) {
        self.change(|conditions| conditions.draining = true);
    }

    pub fn conditions(&self) -> Conditions {
        *self.0.borrow()
    }

    pub fn ready(&self) -> bool {
        self.conditions().ready()
    }

    /// Sees every later change; the present value counts as seen.
    pub fn subscribe(&self) -> watch::Receiver<Conditions> {
        self.0.subscribe()
    }

    /// Wakes the followers only where something changed: the lease is renewed four times a second.
    fn change(&self, set: impl FnOnce(&mut Conditions)) {
        self.0.send_if_modified(|conditions| {
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
