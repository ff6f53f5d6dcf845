//! Up to where an instance decides. A key counts as soon as it is in the tables; an object of policy only
//! once a catalog was made of it, which takes a moment, and checks and keys do not wait for that.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::store::Epoch;

/// How far the tables are, and how far the catalog.
pub(super) struct Compiling {
    state: Mutex<State>,
    decided: watch::Sender<Option<Epoch>>,
    /// Counts what a compiler has to be woken for.
    wanted: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Whether anybody compiles; where nobody does, tables are all that there is.
    compiled: bool,
    applied: Option<Epoch>,
    /// Objects have changed that the catalog does not have yet.
    behind: bool,
    /// They have changed since the last compilation began.
    changed: bool,
}

impl Default for Compiling {
    fn default() -> Self {
        let (decided, wanted) = (watch::Sender::new(None), watch::Sender::new(0));
        Self { state: Mutex::default(), decided, wanted }
    }
}

impl Compiling {
    /// From now on objects only count once they are compiled.
    pub(super) fn attach(&self) -> watch::Receiver<u64> {
        self.state().compiled = true;
        self.wanted.subscribe()
    }

    /// The tables have come to `at`.
    pub(super) fn arrive(&self, at: Epoch, objects_changed: bool) {
        let mut state = self.state();
        state.applied = Some(at);
        if state.compiled && objects_changed {
            (state.behind, state.changed) = (true, true);
            self.wanted.send_modify(|wanted| *wanted += 1);
        }
        if !state.behind {
            self.decided.send_replace(Some(at));
        }
    }

    /// A compilation begins; whatever it takes is at least as new as this.
    pub(super) fn begin(&self) -> Option<Epoch> {
        let mut state = self.state();
        state.changed = false;
        state.applied
    }

    /// What began at `from` is in force.
    pub(super) fn finish(&self, from: Option<Epoch>) {
        let mut state = self.state();
        let decided = if state.changed { from } else { state.applied };
        state.behind = state.changed;
        if decided.is_some() {
            self.decided.send_replace(decided);
        }
    }

    pub(super) fn decided(&self) -> watch::Receiver<Option<Epoch>> {
        self.decided.subscribe()
    }

    pub(super) fn now(&self) -> Option<Epoch> {
        *self.decided.borrow()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn epoch(number: u64) -> Epoch {
        Epoch { store: Uuid::nil(), term: 1, number }
    }

    #[track_caller]
    fn check(compiling: &Compiling, expected: Option<u64>) {
        assert_eq!(compiling.now().map(|epoch| epoch.number), expected);
    }

    #[test]
    fn objects_count_once_they_are_compiled_and_all_else_at_once() {
        let compiling = Compiling::default();
        let wanted = compiling.attach();
        check(&compiling, None);
        compiling.arrive(epoch(1), true);
        check(&compiling, None);
        let from = compiling.begin();
        // A key is revoked meanwhile: the catalog has nothing to do with it.
        compiling.arrive(epoch(2), false);
        check(&compiling, None);
        compiling.finish(from);
        check(&compiling, Some(2));
        compiling.arrive(epoch(3), false);
        check(&compiling, Some(3));
        compiling.arrive(epoch(4), true);
        let from = compiling.begin();
        compiling.arrive(epoch(5), true);
        compiling.finish(from);
        check(&compiling, Some(4));
        let from = compiling.begin();
        compiling.finish(from);
        check(&compiling, Some(5));
        assert_eq!(*wanted.borrow(), 3);
    }

    #[test]
    fn where_nobody_compiles_tables_are_all_there_is() {
        let compiling = Compiling::default();
        compiling.arrive(epoch(1), true);
        check(&compiling, Some(1));
    }
}
