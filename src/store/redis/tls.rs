//! TLS to Redis: rustls with aws-lc. The server's certificate must be of an authority that we trust
//! and have the name that we connect to; there is no switch to turn that off.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::settings::{Address, Tls};

/// Shakes hands over a connection to `address`.
///
/// # Errors
///
/// What failed, and the way out.
pub(super) async fn shake(
    tls: &Tls,
    address: &Address,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let host = tls.server_name.as_ref().unwrap_or(&address.host);
    let name = ServerName::try_from(host.clone()).map_err(|_| {
        format!("`{host}` is neither a DNS name nor an address that a certificate could have")
    })?;
    let settings = tls.clone();
    // Files are read, and those of the system may be many.
    let config = tokio::task::spawn_blocking(move || config(&settings));
    let config = config.await.map_err(|error| format!("TLS could not be set up: {error}"))??;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| {
        format!(
            "TLS with Redis at {address} failed ({error}); its certificate must be valid, of an authority in the \
             ca_file, and have the name `{host}`"
        )
    })
}

fn config(tls: &Tls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS could not be set up: {error}"))?
        .with_root_certificates(roots(tls.ca_file.as_deref())?);
    let Some((certificate, key)) = &tls.client else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    let found = PrivateKeyDer::from_pem_file(key);
    let private = found.map_err(|error| unreadable(key, &error, "expected a private key in PEM"))?;
    builder.with_client_auth_cert(chain, private).map_err(|error| {
        format!("{} and {} do not go together: {error}", certificate.display(), key.display())
    })
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        // One that cannot be read hinders nobody who does not need it.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return match roots.is_empty() {
            true => Err("this system has no certificate authorities; name a ca_file".into()),
            false => Ok(roots),
        };
    };
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| unreadable(path, &error, "expected certificates of authorities"))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let expected = "expected certificates in PEM";
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, &error, expected))?;
    let found: Vec<_> =
        found.collect::<Result<_, _>>().map_err(|error| unreadable(path, &error, expected))?;
    match found.is_empty() {
        true => Err(unreadable(path, &"none in it", expected)),
        false => Ok(found),
    }
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display, expected: &str) -> String {
    format!("{} cannot be used ({error}); {expected}", path.display())
}
