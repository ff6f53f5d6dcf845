//! Whether Redis takes writes. It may well answer and refuse them: without memory, disk or enough replicas.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use super::deadline::Deadline;
use super::link::Link;
use super::refusal::Refusal;
use super::scripts::{Call, Script};

pub(super) struct Writable {
    takes: watch::Sender<bool>,
    /// When it is to be looked at again.
    due: Mutex<Deadline>,
}

impl Writable {
    /// Until it is known otherwise.
    pub(super) fn new() -> Self {
        Self { takes: watch::Sender::new(true), due: Mutex::new(Deadline::after(Duration::ZERO)) }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<bool> {
        self.takes.subscribe()
    }

    /// Whether it is time to look; true once each time.
    pub(super) fn is_due(&self) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = due.has_passed();
        if passed {
            *due = Deadline::after(PAUSE);
        }
        passed
    }

    /// Asks whether a write would be taken. Heartbeats are, though there be no memory.
    pub(super) async fn look(&self, link: &Arc<Link>) {
        match link.call(&Call::new(Script::Probe, &[])).await {
            Ok(_) if !self.takes.send_replace(true) => info!("the store takes writes again"),
            Ok(_) => {}
            Err(Refusal::Refused(why)) => self.refused(&why),
            // That it does not answer is told by whoever follows it.
            Err(_) => {}
        }
    }

    /// A write was refused.
    pub(super) fn refused(&self, why: &str) {
        if self.takes.send_replace(false) {
            warn!(why, "the store refuses writes; checks go on");
        }
    }
}

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(5);
