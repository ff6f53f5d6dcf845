//! A real collector of traces and logs, and behind it what it passes on, for tests to read.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::runtime::Runtime;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::rig::process::Process;
use crate::rig::wait::until;
use crate::rig::{Outcome, tools};

/// A span, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// `service.name`.
    pub(crate) by: String,
    /// All that the resource says.
    pub(crate) resource: Vec<KeyValue>,
    pub(crate) span: Span,
}

impl Told {
    /// An attribute of the span, as text.
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.span.attributes, key)
    }
}

/// What an attribute is, as text.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

/// An id, as the log writes it.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes spans and log records over gRPC, and keeps them.
pub(crate) struct Receiver {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    records: Arc<Mutex<Vec<LogRecord>>>,
    _runtime: Runtime,
}

struct Keeper(Arc<Mutex<Vec<Told>>>);

#[tonic::async_trait]
impl TraceService for Keeper {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_resource in request.into_inner().resource_spans {
            let resource = of_resource.resource.unwrap_or_default().attributes;
            let by = attribute(&resource, "service.name").unwrap_or_default();
            for span in of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
                let told = Told { by: by.clone(), resource: resource.clone(), span };
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

struct RecordKeeper(Arc<Mutex<Vec<LogRecord>>>);

#[tonic::async_trait]
impl LogsService for RecordKeeper {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_logs.into_iter().flat_map(|of| of.scope_logs);
        let records = scopes.flat_map(|of_scope| of_scope.log_records);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

impl Receiver {
    /// # Errors
    ///
    /// No runtime, or no port.
    pub(crate) fn start() -> Outcome<Self> {
        let problem = |e: std::io::Error| format!("the receiver of spans cannot be started: {e}");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(problem)?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).map_err(problem)?;
        let address = listener.local_addr().map_err(problem)?;
        let (told, records) = (Arc::default(), Arc::default());
        let keeper = TraceServiceServer::new(Keeper(Arc::clone(&told)));
        let keeper = keeper.accept_compressed(CompressionEncoding::Gzip);
        let record_keeper = LogsServiceServer::new(RecordKeeper(Arc::clone(&records)));
        let record_keeper = record_keeper.accept_compressed(CompressionEncoding::Gzip);
        let serving = Server::builder().add_service(keeper).add_service(record_keeper);
        runtime.spawn(serving.serve_with_incoming(TcpIncoming::from(listener)));
        Ok(Self { address, told, records, _runtime: runtime })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Receiver {
    /// All log records so far.
    pub(crate) fn records(&self) -> Vec<LogRecord> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Rotel, which takes OTLP by gRPC and by HTTP, and passes it on.
pub(crate) struct Collector {
    _process: Process,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Collector {
    /// # Errors
    ///
    /// Its last words.
    pub(crate) fn start(folder: &Path, receiver: SocketAddr) -> Outcome<Self> {
        // A port that was free may be another test's by the time it is bound.
        Self::once(folder, receiver)
            .or_else(|_| Self::once(folder, receiver))
            .or_else(|_| Self::once(folder, receiver))
    }

    fn once(folder: &Path, receiver: SocketAddr) -> Outcome<Self> {
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
            listener.local_addr().map_err(|e| e.to_string())
        };
        let (grpc, http) = (free()?, free()?);
        let mut command = Command::new(tools::program("rotel")?);
        command.arg("start");
        command.args(["--otlp-grpc-endpoint", &grpc.to_string(), "--otlp-http-endpoint", &http.to_string()]);
        command.args(["--exporter", "otlp", "--otlp-exporter-endpoint", &format!("http://{receiver}")]);
        command.args(["--batch-timeout", "20ms"]);
        let mut process = Process::start("rotel", command, &folder.join("rotel.log"))?;
        let listens = |address: SocketAddr| std::net::TcpStream::connect(address).is_ok();
        let up = until("rotel listens", Duration::from_secs(30), || match process.ended() {
            Some(status) => Some(Err(format!("rotel ended with {status}"))),
            None => (listens(grpc) && listens(http)).then_some(Ok(())),
        });
        match up.and_then(|up| up) {
            Ok(()) => Ok(Self { _process: process, grpc, http }),
            Err(message) => Err(format!("{message}\n{}", process.tail())),
        }
    }
}
