//! How the receiver is reached: one way of connecting for both protocols.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{HttpClient, HttpError};
use rustls::ClientConfig;

use super::settings::{Protocol, Receiver};
use crate::telemetry::log::with_causes;
use crate::trust;

pub(super) type Connector = HttpsConnector<HttpConnector>;

pub(super) fn connector(receiver: &Receiver) -> Result<Connector, String> {
    let mut http = HttpConnector::new();
    // The scheme is for the TLS around it to judge.
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(receiver.timeout));
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls(receiver)?).https_or_http();
    Ok(match receiver.protocol {
        Protocol::Grpc => builder.enable_http2().wrap_connector(http),
        Protocol::Http => builder.enable_http1().wrap_connector(http),
    })
}

fn tls(receiver: &Receiver) -> Result<ClientConfig, String> {
    if receiver.endpoint.scheme_str() == Some("https") {
        let own = receiver.own.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        trust::client(receiver.ca_file.as_deref(), own)
    } else {
        trust::nobody()
    }
}

/// Asks by HTTP, and remembers why that failed: the exporter tells only that it did.
#[derive(Debug)]
pub(super) struct Client {
    client: HyperClient<Connector>,
    headers: HeaderMap,
    failures: Failures,
}

/// Why the last request failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(Arc<Mutex<Option<String>>>);

impl Client {
    pub(super) fn new(connector: Connector, receiver: &Receiver, failures: Failures) -> Self {
        let client = HyperClient::new(connector, receiver.timeout, None);
        Self { client, headers: receiver.headers.clone(), failures }
    }
}

impl HttpClient for Client {
    /// As the trait's macro writes it.
    fn send_bytes<'client, 'answer>(
        &'client self,
        mut request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'answer>>
    where
        'client: 'answer,
        Self: 'answer,
    {
        for (name, value) in &self.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        Box::pin(async move {
            let answer = self.client.send_bytes(request).await;
            self.failures.note(answer.as_ref().err().map(|error| with_causes(&**error)));
            answer
        })
    }
}

impl Failures {
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, failure: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}
