//! Decision lines as log records of OpenTelemetry: what the log line says, by the words of spans.

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::{SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use prometheus::IntCounter;

use super::DecisionLine;
use super::log::without_secrets;
use super::otlp::export::Exporter;
use super::otlp::queue::{Queue, queue};
use super::otlp::{Fate, Settings, scope};
use super::traces::decided;
use crate::clock::Clock;

/// Puts those that the log has into a queue. Nobody who asks for none has one.
pub(super) struct Records {
    /// Makes empty ones, and is given none.
    maker: SdkLogger,
    queue: Queue<SdkLogRecord>,
    clock: Clock,
    overflowed: IntCounter,
}

impl Records {
    /// Within a runtime.
    ///
    /// # Errors
    ///
    /// What of the settings cannot be used after all, such as a file.
    pub(super) fn new(
        settings: &Settings,
        clock: Clock,
        fate: &Fate,
    ) -> Result<(Self, Exporter<SdkLogRecord>), String> {
        let (queue, outlet) = queue(settings.batching);
        let exporter = Exporter::new(settings, outlet, clock.clone(), fate)?;
        let maker = SdkLoggerProvider::builder().build().logger_with_scope(scope());
        Ok((Self { maker, queue, clock, overflowed: fate.overflowed.clone() }, exporter))
    }

    /// Never waits: what does not fit is counted.
    pub(super) fn put(&self, line: &DecisionLine<'_>) {
        if !self.queue.put(self.record(line)) {
            self.overflowed.inc();
        }
    }

    fn record(&self, line: &DecisionLine<'_>) -> SdkLogRecord {
        let mut record = self.maker.create_log_record();
        let (severity, word) =
            if line.mistake { (Severity::Error, "error") } else { (Severity::Info, "info") };
        let now = self.clock.wall();
        record.set_timestamp(now);
        record.set_observed_timestamp(now);
        record.set_severity_number(severity);
        record.set_severity_text(word);
        record.set_body("check".into());
        if let Some(traced) = line.traced {
            let (trace, span) = (TraceId::from_bytes(traced.trace), SpanId::from_bytes(traced.span));
            record.set_trace_context(trace, span, Some(TraceFlags::SAMPLED));
        }
        decided(line, |key, value| record.add_attribute(key, AnyValue::String(value)));
        let [method, host, path] = line.asked();
        let asked = [("http.request.method", method), ("server.address", host), ("url.path", path)];
        for (key, value) in asked {
            record.add_attribute(key, without_secrets(&value).into_owned());
        }
        let shown = [
            ("doorward.client_from", line.client.map(|client| client.hop.word().to_string())),
            ("doorward.credential", line.credential.map(ToString::to_string)),
            ("doorward.username", line.username.map(str::to_owned)),
        ];
        for (key, value) in shown {
            if let Some(value) = value {
                record.add_attribute(key, without_secrets(&value).into_owned());
            }
        }
        let duration = i64::try_from(line.microseconds()).unwrap_or(i64::MAX);
        record.add_attribute("doorward.duration_us", AnyValue::Int(duration));
        record
    }
}
