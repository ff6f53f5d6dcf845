//! What receivers of OpenTelemetry get, spans and log records: gathered, and sent beside the checks.
//!
//! * [`settings`] — where to, by the `variables` `OTEL_…`; [`mod@queue`] — where what is sent waits.
//! * [`export`] — how it leaves; `connection` — how the receiver is reached.

mod connection;
pub(super) mod export;
pub(super) mod queue;
pub(super) mod settings;
mod variables;

use opentelemetry::InstrumentationScope;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

pub use self::settings::{Settings, Wrong};
use super::metrics::{counter, registered};

/// What became of what was to be sent.
pub(super) struct Fate {
    pub(super) exported: IntCounter,
    pub(super) overflowed: IntCounter,
    pub(super) lost: IntCounter,
}

impl Fate {
    /// Two metrics, each by its name and what it says.
    pub(super) fn new(add: &Registry, exported: [&str; 2], dropped: [&str; 2]) -> Self {
        let by_reason = IntCounterVec::new(Opts::new(dropped[0], dropped[1]), &["reason"]);
        let by_reason = registered(add, by_reason);
        Self {
            exported: counter(add, exported[0], exported[1]),
            overflowed: by_reason.with_label_values(&["queue"]),
            lost: by_reason.with_label_values(&["export"]),
        }
    }
}

/// Who says it.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("doorward").with_version(env!("CARGO_PKG_VERSION")).build()
}
