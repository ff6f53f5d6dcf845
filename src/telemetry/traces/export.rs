//! Sending spans to a receiver, batch by batch, beside the checks.

mod connection;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Compression, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prometheus::IntCounter;
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::transport::Endpoint;
use uuid::Uuid;

pub(super) use self::connection::connector;
use self::connection::{Client, Failures};
use super::queue::Outlet;
use super::settings::{Batching, Protocol, Receiver, Settings};
use crate::clock::Clock;

/// Sends what waits in the queue. The one task that does.
pub struct Exporter {
    spans: Outlet,
    sender: Sender,
    batching: Batching,
    trouble: Trouble,
    exported: IntCounter,
    lost: IntCounter,
}

/// The exporter of the library, and why it failed where it does not say so itself.
struct Sender {
    exporter: opentelemetry_otlp::SpanExporter,
    failures: Failures,
}

impl Exporter {
    pub(super) fn new(
        settings: &Settings,
        spans: Outlet,
        clock: Clock,
        [exported, lost]: [IntCounter; 2],
    ) -> Result<Self, String> {
        let mut sender = Sender::new(&settings.receiver)?;
        sender.exporter.set_resource(&resource(settings));
        let trouble =
            Trouble { receiver: settings.receiver.endpoint.to_string(), clock, told: None, lost: 0 };
        Ok(Self { spans, sender, batching: settings.batching, trouble, exported, lost })
    }

    /// Sends until it is told to stop, and then what still waits.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let waiting = self.spans.waiting();
        loop {
            let stopping = tokio::select! {
                () = tokio::time::sleep(self.batching.delay) => false,
                () = waiting.enough() => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            self.send().await;
            if stopping {
                return;
            }
        }
    }

    pub(super) async fn send(&mut self) {
        loop {
            let batch = self.spans.take();
            let count = batch.len() as u64;
            if count == 0 {
                return;
            }
            match tokio::time::timeout(self.batching.timeout, self.sender.send(batch)).await {
                Ok(Ok(())) => {
                    self.exported.inc_by(count);
                    self.trouble.over();
                }
                Ok(Err(why)) => self.lose(count, &why),
                Err(_) => self.lose(count, "it took longer than OTEL_BSP_EXPORT_TIMEOUT"),
            }
        }
    }

    fn lose(&mut self, count: u64, why: &str) {
        self.lost.inc_by(count);
        self.trouble.told(count, why);
    }
}

#[cfg(test)]
impl Exporter {
    pub(super) fn take(&mut self) -> Vec<SpanData> {
        self.spans.take()
    }

    /// As if the receiver had been mended.
    pub(super) fn mend(&mut self, settings: &Settings) {
        self.sender = Sender::new(&settings.receiver).expect("settings that can be used");
    }
}

impl Sender {
    fn new(receiver: &Receiver) -> Result<Self, String> {
        let connector = connector(receiver)?;
        let failures = Failures::default();
        let compression = receiver.gzip.then_some(Compression::Gzip);
        let endpoint = receiver.endpoint.to_string();
        let built = match receiver.protocol {
            Protocol::Grpc => {
                let channel = Endpoint::from(receiver.endpoint.clone())
                    .timeout(receiver.timeout)
                    .connect_timeout(receiver.timeout)
                    // While an answer is awaited: one connection serves all exports, and one that died
                    // without a word would fail them all for as long as TCP believes in it.
                    .http2_keep_alive_interval(receiver.timeout / 2)
                    .keep_alive_timeout(receiver.timeout / 4)
                    .connect_with_connector_lazy(connector);
                let builder = opentelemetry_otlp::SpanExporter::builder()
                    .with_tonic()
                    .with_channel(channel)
                    .with_timeout(receiver.timeout)
                    .with_metadata(MetadataMap::from_headers(receiver.headers.clone()));
                match compression {
                    Some(compression) => builder.with_compression(compression).build(),
                    None => builder.build(),
                }
            }
            Protocol::Http => {
                let client = Client::new(connector, receiver, failures.clone());
                let builder = opentelemetry_otlp::SpanExporter::builder()
                    .with_http()
                    .with_http_client(client)
                    .with_endpoint(endpoint)
                    .with_timeout(receiver.timeout);
                match compression {
                    Some(compression) => builder.with_compression(compression).build(),
                    None => builder.build(),
                }
            }
        };
        let exporter = built.map_err(|error| error.to_string())?;
        Ok(Self { exporter, failures })
    }

    async fn send(&self, batch: Vec<SpanData>) -> Result<(), String> {
        let sent = self.exporter.export(batch).await;
        let told = self.failures.take();
        sent.map_err(|error| told.unwrap_or_else(|| error.to_string()))
    }
}

/// Who we are. What the operator says comes last, and so holds.
fn resource(settings: &Settings) -> Resource {
    let ours = [
        KeyValue::new("service.name", "doorward"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
    ];
    let given = settings.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(ours)
        .with_attributes(given)
        .build()
}

/// Says that spans are lost, and no oftener than anybody wants to read it.
struct Trouble {
    receiver: String,
    clock: Clock,
    /// When it was last said, on [`Clock::boottime`].
    told: Option<Duration>,
    /// Spans since the last that arrived.
    lost: u64,
}

/// Between two lines about the same trouble.
const QUIET: Duration = Duration::from_secs(60);

impl Trouble {
    fn told(&mut self, count: u64, why: &str) {
        self.lost += count;
        let now = self.clock.boottime();
        if self.told.is_none_or(|told| now.saturating_sub(told) >= QUIET) {
            self.told = Some(now);
            tracing::warn!(
                receiver = self.receiver,
                lost = self.lost,
                why,
                "spans cannot be exported; checks go on"
            );
        }
    }

    fn over(&mut self) {
        if self.lost > 0 {
            tracing::info!(receiver = self.receiver, lost = self.lost, "spans are exported again");
        }
        self.lost = 0;
        self.told = None;
    }
}
