//! Sending to a receiver, batch by batch, beside the checks.

use std::future::Future;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    Compression, ExporterBuildError, LogExporter, SpanExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogRecord};
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prometheus::IntCounter;
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::transport::Endpoint;
use uuid::Uuid;

use super::connection::{Client, Connector, Failures, connector};
use super::queue::Outlet;
use super::settings::{Batching, Protocol, Receiver, Settings};
use super::{Fate, scope};
use crate::clock::Clock;

/// What can be sent, each by an exporter of the library.
pub trait Item: Send + Sized + 'static {
    /// What the log calls them.
    const WHAT: &'static str;
    type Exporter: Send + Sync;

    /// # Errors
    ///
    /// The library's.
    fn exporter(way: Way<'_>, who: &Resource) -> Result<Self::Exporter, ExporterBuildError>;

    /// Sends a batch, and tries again for a while.
    fn send(exporter: &Self::Exporter, batch: Vec<Self>) -> impl Future<Output = OTelSdkResult> + Send;
}

impl Item for SpanData {
    const WHAT: &'static str = "spans";
    type Exporter = SpanExporter;

    fn exporter(way: Way<'_>, who: &Resource) -> Result<SpanExporter, ExporterBuildError> {
        let mut exporter = match way.receiver.protocol {
            Protocol::Grpc => way.by_grpc(SpanExporter::builder().with_tonic()).build(),
            Protocol::Http => way.by_http(SpanExporter::builder().with_http()).build(),
        }?;
        exporter.set_resource(who);
        Ok(exporter)
    }

    fn send(exporter: &SpanExporter, batch: Vec<Self>) -> impl Future<Output = OTelSdkResult> + Send {
        exporter.export(batch)
    }
}

impl Item for SdkLogRecord {
    const WHAT: &'static str = "log records";
    type Exporter = LogExporter;

    fn exporter(way: Way<'_>, who: &Resource) -> Result<LogExporter, ExporterBuildError> {
        let mut exporter = match way.receiver.protocol {
            Protocol::Grpc => way.by_grpc(LogExporter::builder().with_tonic()).build(),
            Protocol::Http => way.by_http(LogExporter::builder().with_http()).build(),
        }?;
        exporter.set_resource(who);
        Ok(exporter)
    }

    async fn send(exporter: &LogExporter, batch: Vec<Self>) -> OTelSdkResult {
        let scope = scope();
        let batch: Vec<_> = batch.iter().map(|record| (record, &scope)).collect();
        exporter.export(LogBatch::new(&batch)).await
    }
}

/// How the receiver is reached.
pub struct Way<'w> {
    receiver: &'w Receiver,
    connector: Connector,
    failures: &'w Failures,
}

impl Way<'_> {
    fn by_grpc<B: WithExportConfig + WithTonicConfig>(self, builder: B) -> B {
        let receiver = self.receiver;
        let channel = Endpoint::from(receiver.endpoint.clone())
            .timeout(receiver.timeout)
            .connect_timeout(receiver.timeout)
            // While an answer is awaited: one connection serves all exports, and one that died
            // without a word would fail them all for as long as TCP believes in it.
            .http2_keep_alive_interval(receiver.timeout / 2)
            .keep_alive_timeout(receiver.timeout / 4)
            .connect_with_connector_lazy(self.connector);
        let builder = builder
            .with_channel(channel)
            .with_timeout(receiver.timeout)
            .with_metadata(MetadataMap::from_headers(receiver.headers.clone()));
        if receiver.gzip { builder.with_compression(Compression::Gzip) } else { builder }
    }

    fn by_http<B: WithExportConfig + WithHttpConfig>(self, builder: B) -> B {
        let receiver = self.receiver;
        let builder = builder
            .with_http_client(Client::new(self.connector, receiver, self.failures.clone()))
            .with_endpoint(receiver.endpoint.to_string())
            .with_timeout(receiver.timeout);
        if receiver.gzip { builder.with_compression(Compression::Gzip) } else { builder }
    }
}

/// Sends what waits in the queue. The one task that does.
pub struct Exporter<T: Item> {
    items: Outlet<T>,
    sender: Sender<T>,
    batching: Batching,
    trouble: Trouble,
    exported: IntCounter,
    lost: IntCounter,
}

/// The exporter of the library, and why it failed where it does not say so itself.
struct Sender<T: Item> {
    exporter: T::Exporter,
    failures: Failures,
}

impl<T: Item> Exporter<T> {
    /// Within a runtime: it connects when it has something to send.
    ///
    /// # Errors
    ///
    /// What of the settings cannot be used after all, such as a file.
    pub(in crate::telemetry) fn new(
        settings: &Settings,
        items: Outlet<T>,
        clock: Clock,
        fate: &Fate,
    ) -> Result<Self, String> {
        let sender = Sender::new(settings)?;
        let receiver = settings.receiver();
        let trouble = Trouble { what: T::WHAT, receiver, clock, told: None, lost: 0 };
        let (exported, lost) = (fate.exported.clone(), fate.lost.clone());
        Ok(Self { items, sender, batching: settings.batching, trouble, exported, lost })
    }

    /// Sends until it is told to stop, and then what still waits.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let waiting = self.items.waiting();
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

    pub(in crate::telemetry) async fn send(&mut self) {
        loop {
            let batch = self.items.take();
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
                Err(_) => self.lose(count, "it took longer than one export may"),
            }
        }
    }

    fn lose(&mut self, count: u64, why: &str) {
        self.lost.inc_by(count);
        self.trouble.told(count, why);
    }
}

#[cfg(test)]
impl<T: Item> Exporter<T> {
    pub(in crate::telemetry) fn take(&mut self) -> Vec<T> {
        self.items.take()
    }

    /// As if the receiver had been mended.
    pub(in crate::telemetry) fn mend(&mut self, settings: &Settings) {
        self.sender = Sender::new(settings).expect("settings that can be used");
    }
}

impl<T: Item> Sender<T> {
    fn new(settings: &Settings) -> Result<Self, String> {
        let (receiver, failures) = (&settings.receiver, Failures::default());
        let way = Way { receiver, connector: connector(receiver)?, failures: &failures };
        let exporter = T::exporter(way, &resource(settings)).map_err(|error| error.to_string())?;
        Ok(Self { exporter, failures })
    }

    async fn send(&self, batch: Vec<T>) -> Result<(), String> {
        let sent = T::send(&self.exporter, batch).await;
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

/// Says that some are lost, and no oftener than anybody wants to read it.
struct Trouble {
    what: &'static str,
    receiver: String,
    clock: Clock,
    /// When it was last said, on [`Clock::boottime`].
    told: Option<Duration>,
    /// Those since the last that arrived.
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
                target: "doorward::telemetry",
                receiver = self.receiver,
                lost = self.lost,
                why,
                "{} cannot be exported; checks go on",
                self.what
            );
        }
    }

    fn over(&mut self) {
        if self.lost > 0 {
            tracing::info!(
                target: "doorward::telemetry",
                receiver = self.receiver,
                lost = self.lost,
                "{} are exported again",
                self.what
            );
        }
        self.lost = 0;
        self.told = None;
    }
}
