//! A decision as a span: what the log line says of it, by the words of the dynamic metadata, and of the call
//! by those of OpenTelemetry's semantic conventions where they are stable.

use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::domain::traced::{Door, Traced};
use crate::telemetry::log::without_secrets;
use crate::telemetry::{DecisionLine, VerdictLabel};

/// No field of the request but what names it: a trace goes to other places than the log.
pub(super) fn span(
    line: &DecisionLine<'_>,
    traced: &Traced,
    ended: SystemTime,
    scope: &InstrumentationScope,
) -> SpanData {
    let context = SpanContext::new(
        TraceId::from_bytes(traced.trace),
        SpanId::from_bytes(traced.span),
        TraceFlags::SAMPLED,
        false,
        // What is malformed is dropped, as the W3C has it.
        traced.state.parse().unwrap_or_default(),
    );
    let (name, mut attributes) = called(traced.door);
    decided(line, |key, value| attributes.push(KeyValue::new(key, value)));
    SpanData {
        span_context: context,
        parent_span_id: traced.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: traced.parent.is_some(),
        span_kind: SpanKind::Server,
        name: name.into(),
        start_time: traced.began,
        // The clock may have been set back meanwhile.
        end_time: ended.max(traced.began),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match line.verdict {
            VerdictLabel::Allow | VerdictLabel::Deny => Status::Unset,
            VerdictLabel::Fault => Status::error(line.why.unwrap_or_default()),
        },
        instrumentation_scope: scope.clone(),
    }
}

/// As many as there may be.
const ATTRIBUTES: usize = 14;

fn called(door: Door) -> (&'static str, Vec<KeyValue>) {
    let mut attributes = Vec::with_capacity(ATTRIBUTES);
    let name = match door {
        Door::Grpc(method) => {
            attributes.push(KeyValue::new("rpc.system.name", "grpc"));
            attributes.push(KeyValue::new("rpc.method", method));
            // Whatever is decided, the call itself succeeds.
            attributes.push(KeyValue::new("rpc.response.status_code", "OK"));
            method
        }
        Door::Http(route) => {
            attributes.push(KeyValue::new("http.route", route));
            route
        }
    };
    (name, attributes)
}

/// What was decided, for a span or a log record.
pub(in crate::telemetry) fn decided(
    line: &DecisionLine<'_>,
    mut tell: impl FnMut(&'static str, StringValue),
) {
    tell("doorward.verdict", line.verdict.name().into());
    tell("doorward.mode", line.mode.into());
    for (key, word) in
        [("doorward.code", line.code), ("doorward.why", line.why), ("doorward.method", line.presented)]
    {
        if let Some(word) = word {
            tell(key, word.into());
        }
    }
    for (key, name) in [("doorward.service", line.service), ("doorward.infrastructure", line.infrastructure)]
    {
        if let Some(name) = name {
            tell(key, name.to_owned().into());
        }
    }
    if let Some(consumer) = line.consumer {
        tell("doorward.consumer", consumer.to_string().into());
    }
    if !line.request_id.is_empty() {
        tell("doorward.request_id", without_secrets(line.request_id).into_owned().into());
    }
    if let Some(address) = line.client.and_then(|client| client.address) {
        tell("client.address", address.to_string().into());
    }
    if let (VerdictLabel::Fault, Some(code)) = (line.verdict, line.code) {
        tell("error.type", code.into());
    }
}
