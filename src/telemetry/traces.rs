//! One span a check, where the operator asks for traces and the asker, or the sampler, wants this one.
//!
//! * [`sampling`] — which checks are recorded; [`context`] — what an asker says about its trace.
//! * [`span`] — a decision as a span. How spans leave: `otlp`.

mod context;
pub(super) mod sampling;
mod span;

use http::HeaderMap;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData};
use prometheus::IntCounter;

pub(super) use span::decided;

use self::context::Parent;
use self::sampling::Sampling;
use super::decision::DecisionLine;
use super::otlp::export::Exporter;
use super::otlp::queue::{Queue, queue};
use super::otlp::{Fate, Settings, scope};
use crate::clock::Clock;
use crate::domain::traced::{Door, Traced};

/// Records spans. One for all doors; nobody who asks for none has one.
pub struct Traces {
    sampling: Sampling,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
    queue: Queue<SpanData>,
    clock: Clock,
    overflowed: IntCounter,
}

impl Traces {
    /// Within a runtime: the exporter connects when it has something to send.
    ///
    /// # Errors
    ///
    /// What of the settings cannot be used after all, such as a file.
    pub(super) fn new(
        settings: &Settings,
        clock: Clock,
        fate: &Fate,
    ) -> Result<(Self, Exporter<SpanData>), String> {
        let (queue, outlet) = queue(settings.batching);
        let exporter = Exporter::new(settings, outlet, clock.clone(), fate)?;
        let traces = Self {
            sampling: settings.sampling,
            ids: RandomIdGenerator::default(),
            scope: scope(),
            queue,
            clock,
            overflowed: fate.overflowed.clone(),
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
