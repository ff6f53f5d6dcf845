//! Whom we believe where we are the ones who connect, and how we prove who we are: TLS by rustls with
//! aws-lc. There is no switch to believe everybody.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

/// What TLS needs for connections of ours. Reads files, and those of the system may be many: not for a
/// thread that others wait for.
///
/// `ca_file` holds the authorities to trust, PEM; `None`: those of the system. `own` is our certificate
/// (chain) and its key, PEM; `None`: we show none.
///
/// # Errors
///
/// What cannot be used, and what was expected.
pub fn client(ca_file: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<ClientConfig, String> {
    let builder = believing(roots(ca_file)?)?;
    let Some((certificate, key)) = own else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    let found = PrivateKeyDer::from_pem_file(key);
    let private = found.map_err(|error| unreadable(key, &error, "expected a private key in PEM"))?;
    builder.with_client_auth_cert(chain, private).map_err(|error| {
        format!("{} and {} do not go together: {error}", certificate.display(), key.display())
    })
}

/// For connections without TLS, where a library wants to be told about it all the same.
///
/// # Errors
///
/// As [`client`].
pub fn nobody() -> Result<ClientConfig, String> {
    Ok(believing(RootCertStore::empty())?.with_no_client_auth())
}

fn believing(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS could not be set up: {error}"))?;
    Ok(builder.with_root_certificates(roots))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        // One that cannot be read hinders nobody who does not need it.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return match roots.is_empty() {
            true => Err("this system has no certificate authorities; name a file of them".into()),
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
