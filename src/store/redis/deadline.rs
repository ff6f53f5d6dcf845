//! Moments until which something is waited for. They belong to sockets, not to decisions: those get
//! their time from `clock`.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub(super) fn after(time: Duration) -> Self {
        Self(tokio::time::Instant::now() + time)
    }

    pub(super) fn has_passed(self) -> bool {
        self.0.elapsed() > Duration::ZERO
    }
}
