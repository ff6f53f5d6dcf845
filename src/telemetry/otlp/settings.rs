//! Where spans and log records go, as the environment says it.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, Uri};

use super::variables::{Given, Sent, otlp};
use crate::telemetry::traces::sampling::Sampling;

/// Where spans or log records go, and which spans.
pub struct Settings {
    pub(in crate::telemetry) receiver: Receiver,
    /// Of traces; which decisions are logged is the log's to say.
    pub(in crate::telemetry) sampling: Sampling,
    pub(in crate::telemetry) batching: Batching,
    /// `OTEL_RESOURCE_ATTRIBUTES`, and the name of the service.
    pub(in crate::telemetry) resource: Vec<(String, String)>,
}

/// The other end. Has no `Debug`: headers prove who we are.
pub(in crate::telemetry) struct Receiver {
    pub(in crate::telemetry) protocol: Protocol,
    /// With its path, where there is one.
    pub(in crate::telemetry) endpoint: Uri,
    pub(in crate::telemetry) headers: HeaderMap,
    pub(in crate::telemetry) timeout: Duration,
    pub(in crate::telemetry) gzip: bool,
    pub(in crate::telemetry) ca_file: Option<PathBuf>,
    /// Our certificate and its key.
    pub(in crate::telemetry) own: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telemetry) enum Protocol {
    Grpc,
    Http,
}

/// How spans or log records are gathered before they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telemetry) struct Batching {
    pub(in crate::telemetry) delay: Duration,
    pub(in crate::telemetry) timeout: Duration,
    /// Those that wait; more are dropped and counted.
    pub(in crate::telemetry) queue: usize,
    pub(in crate::telemetry) batch: usize,
}

/// Of an endpoint, what may be told: keys of receivers stand in queries too.
pub(super) fn before_query(endpoint: &str) -> &str {
    endpoint.split(['?', '#']).next().unwrap_or_default()
}

/// A variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {message}")]
pub struct Wrong {
    pub variable: String,
    pub message: String,
}

impl Settings {
    /// What the environment says of traces; `None` where it asks for none. A variable that is empty is not set.
    ///
    /// # Errors
    ///
    /// Every variable that cannot be used.
    pub fn of_traces(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Option<Self>, Vec<Wrong>> {
        Given::read(Sent::Traces, variables)
    }

    /// The same of decision lines as log records.
    ///
    /// # Errors
    ///
    /// As [`Self::of_traces`].
    pub fn of_logs(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Option<Self>, Vec<Wrong>> {
        Given::read(Sent::Logs, variables)
    }

    /// Whether the files that are named can be used too.
    ///
    /// # Errors
    ///
    /// One that cannot.
    pub fn usable(&self) -> Result<(), Wrong> {
        let unusable = |message| Wrong { variable: otlp("*"), message };
        super::connection::connector(&self.receiver).map(drop).map_err(unusable)
    }

    /// Where they go, for the log.
    pub fn receiver(&self) -> String {
        before_query(&self.receiver.endpoint.to_string()).to_owned()
    }

    /// What looks like a mistake and may be none.
    pub fn doubt(&self) -> Option<Wrong> {
        let (other, word) = match (self.receiver.protocol, self.receiver.endpoint.port_u16()) {
            (Protocol::Http, Some(4317)) => ("gRPC", "grpc"),
            (Protocol::Grpc, Some(4318)) => ("HTTP", "http/protobuf"),
            (Protocol::Http | Protocol::Grpc, _) => return None,
        };
        let message =
            format!("the port of the receiver is the usual one for {other}; for that, set `{word}`");
        Some(Wrong { variable: otlp("PROTOCOL"), message })
    }
}
