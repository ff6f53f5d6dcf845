//! One span a check, where the operator asks for traces and the asker, or the sampler, wants this one.
//!
//! * [`settings`] — the variables `OTEL_…`; [`sampling`] — which checks are recorded.
//! * [`context`] — what an asker says about its trace; [`span`] — a decision as a span.
//! * [`mod@queue`] — where spans wait; [`export`] — how they leave.

mod context;
mod export;
mod queue;
mod sampling;
mod settings;
mod span;

use http::HeaderMap;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

pub use export::Exporter;
pub use settings::{Settings, Wrong};

use self::context::Parent;
use self::queue::{Queue, queue};
use self::sampling::Sampling;
use super::decision::DecisionLine;
use super::metrics::{counter, registered};
use crate::clock::Clock;
use crate::domain::traced::{Door, Traced};

/// Records spans. One for all doors; nobody who asks for none has one.
pub struct Traces {
    sampling: Sampling,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
    queue: Queue,
    clock: Clock,
    overflowed: IntCounter,
}

/// What became of spans.
pub(super) struct Spans {
    exported: IntCounter,
    overflowed: IntCounter,
    lost: IntCounter,
}

impl Spans {
    pub(super) fn new(add: &Registry) -> Self {
        let dropped = Opts::new(
            "doorward_spans_dropped_total",
            "Spans lost because the queue was full, or because the receiver did not take them",
        );
        let dropped = registered(add, IntCounterVec::new(dropped, &["reason"]));
        Self {
            exported: counter(add, "doorward_spans_exported_total", "Spans that the receiver of traces took"),
            overflowed: dropped.with_label_values(&["queue"]),
            lost: dropped.with_label_values(&["export"]),
        }
    }
}

impl Traces {
    /// Within a runtime: the exporter connects when it has something to send.
    ///
    /// # Errors
    ///
    /// What of the settings cannot be used after all, such as a file.
    pub(super) fn new(settings: &Settings, clock: Clock, spans: &Spans) -> Result<(Self, Exporter), String> {
        let (queue, outlet) = queue(settings.batching);
        let counters = [spans.exported.clone(), spans.lost.clone()];
        let exporter = Exporter::new(settings, outlet, clock.clone(), counters)?;
        let traces = Self {
            sampling: settings.sampling,
            ids: RandomIdGenerator::default(),
            scope: InstrumentationScope::builder("doorward").with_version(env!("CARGO_PKG_VERSION")).build(),
            queue,
            clock,
            overflowed: spans.overflowed.clone(),
        };
        Ok((traces, exporter))
    }

    /// The span of a check that arrives; `None` where it is not to be recorded.
    pub fn begin(&self, door: Door, headers: &HeaderMap) -> Option<Box<Traced>> {
        let parent = Parent::of(headers);
        let trace = parent.map_or_else(|| self.ids.new_trace_id().to_bytes(), |parent| parent.trace);
        if !self.sampling.wants(parent.map(|parent| parent.sampled), trace) {
            return None;
        }
        Some(Box::new(Traced {
            door,
            trace,
            span: self.ids.new_span_id().to_bytes(),
            parent: parent.map(|parent| parent.span),
            // Without a parent there is nothing that it could belong to.
            state: parent.map_or_else(String::new, |_| context::state(headers)),
            began: self.clock.wall(),
        }))
    }

    pub(super) fn record(&self, line: &DecisionLine<'_>, traced: &Traced) {
        if !self.queue.put(span::span(line, traced, self.clock.wall(), &self.scope)) {
            self.overflowed.inc();
        }
    }
}

#[cfg(test)]
mod tests;
