//! TLS of the listeners: where certificates and keys are, and what the files hold.

mod expiry;
mod pem;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::fault::{Fault, Faults, Remark, quoted};
use super::listen::Endpoint;
use super::moment::Moment;
use super::place::At;
use crate::domain::time::Timestamp;

/// TLS by the name of the listener; one that is not named speaks plain text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenTls {
    /// Of `listen.grpc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<At<Tls>>,
    /// Of `listen.auth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<At<Tls>>,
    /// Of `listen.admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<At<Tls>>,
    /// Of `listen.status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<At<Tls>>,
}

/// The files of a listener's TLS, all of them PEM. They are read anew when they change, and on SIGHUP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The listener's certificate, and below it those that lead to its root.
    pub certificate: At<PathBuf>,
    /// Its private key. Nobody but the owner (Doorward's user or root) may read the file; where that
    /// is root, its group may.
    pub key: At<PathBuf>,
    /// The authorities of clients: a client must show a certificate that one of them has signed.
    /// Absent: clients need none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<At<PathBuf>>,
}

/// What the files of one listener held when they were read; fit for handshakes.
// Has no `Debug`: it holds a private key.
pub struct TlsFiles {
    /// `grpc`, `auth`, `admin` or `status`.
    pub listener: &'static str,
    pub certified: Arc<CertifiedKey>,
    /// `None`: clients need no certificate.
    pub clients: Option<Arc<dyn ClientCertVerifier>>,
    /// The end of the listener's own certificate.
    pub expires: Timestamp,
}

impl Config {
    /// Reads the files of every listener that has TLS.
    ///
    /// # Errors
    ///
    /// Every file that cannot be used.
    pub fn read_tls(&self) -> Result<Vec<TlsFiles>, Faults> {
        let folder = self.data_dir();
        let (mut read, mut faults) = (Vec::new(), Vec::new());
        for (listener, tls) in self.listen.tls.each() {
            match tls.read(listener, &folder) {
                Ok(files) => read.push(files),
                Err(more) => faults.extend(more),
            }
        }
        Faults::gather(&self.source, faults).map_or(Ok(read), Err)
    }

    /// Reads the files of each listener by itself: those of use, and what is wrong with the others.
    pub fn read_usable_tls(&self, now: Timestamp) -> (Vec<TlsFiles>, Vec<Remark>) {
        let folder = self.data_dir();
        let (mut usable, mut faults) = (Vec::new(), Vec::new());
        for (listener, tls) in self.listen.tls.each() {
            match tls.read(listener, &folder) {
                Ok(files) if files.expires <= now => faults.push(ended(tls, &files)),
                Ok(files) => usable.push(files),
                Err(more) => faults.extend(more),
            }
        }
        (usable, self.source.report_all(faults))
    }

    /// Certificates that nobody takes any more, though they are read.
    pub fn expired(&self, read: &[TlsFiles], now: Timestamp) -> Vec<Remark> {
        let expired = self.listen.tls.each().zip(read).filter(|(_, files)| files.expires <= now);
        self.source.report_all(expired.map(|((_, tls), files)| ended(tls, files)).collect())
    }

    /// Every file that [`Self::read_tls`] reads.
    pub fn tls_files(&self) -> Vec<PathBuf> {
        let folder = self.data_dir();
        self.listen.tls.each().flat_map(|(_, tls)| tls.paths()).map(|path| folder.join(&path.value)).collect()
    }
}

fn ended(tls: &Tls, files: &TlsFiles) -> Fault {
    let (path, end) = (tls.certificate.display().to_string(), Moment(files.expires));
    let message = format!("{} has ended at {end}; clients refuse it, have it issued anew", quoted(&path));
    Fault::new(tls.certificate.place, message)
}

impl ListenTls {
    /// Every listener that has TLS.
    fn each(&self) -> impl Iterator<Item = (&'static str, &At<Tls>)> {
        let listeners =
            [("grpc", &self.grpc), ("auth", &self.auth), ("admin", &self.admin), ("status", &self.status)];
        listeners.into_iter().filter_map(|(name, tls)| Some((name, tls.as_ref()?)))
    }

    pub(super) fn is_absent(&self) -> bool {
        self.each().next().is_none()
    }

    /// What can be said of it without a look at the files.
    pub(super) fn check(&self, grpc: &Endpoint, faults: &mut Vec<Fault>) {
        if let (Some(tls), Endpoint::Unix(_)) = (&self.grpc, grpc) {
            let message = "`listen.grpc` is a Unix socket, which has no TLS: nobody listens in on it, and what \
                           its folder admits may connect; leave `listen.tls.grpc` out";
            faults.push(Fault::new(tls.place, message));
        }
        for path in self.each().flat_map(|(_, tls)| tls.paths()).filter(|path| path.as_os_str().is_empty()) {
            faults.push(Fault::new(path.place, "expected a path, found ``"));
        }
    }
}

impl Tls {
    fn paths(&self) -> impl Iterator<Item = &At<PathBuf>> {
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten()
    }

    /// Reads the files; relative paths begin at `folder`.
    fn read(&self, listener: &'static str, folder: &Path) -> Result<TlsFiles, Vec<Fault>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pair = self.pair(folder, &provider);
        let clients = self.client_ca.as_ref().map(|path| clients(path, folder, &provider)).transpose();
        match (pair, clients) {
            (Ok((certified, expires)), Ok(clients)) => {
                Ok(TlsFiles { listener, certified: Arc::new(certified), clients, expires })
            }
            (pair, clients) => Err([pair.err(), clients.err()].into_iter().flatten().collect()),
        }
    }

    fn pair(&self, folder: &Path, provider: &CryptoProvider) -> Result<(CertifiedKey, Timestamp), Fault> {
        let about = |path: &At<PathBuf>, why: &str| {
            Fault::new(
                path.place,
                format!("{} {why}", quoted(&folder.join(&path.value).display().to_string())),
            )
        };
        let chain = pem::certificates(&self.certificate, folder)?;
        let expires = chain.first().and_then(|own| expiry::not_after(own)).ok_or_else(|| {
            about(&self.certificate, "begins with a certificate that cannot be read; have it issued anew")
        })?;
        let key = pem::private_key(&self.key, folder)?;
        match CertifiedKey::from_der(chain, key, provider) {
            Ok(certified) => Ok((certified, expires)),
            Err(rustls::Error::InconsistentKeys(_)) => Err(about(
                &self.key,
                "is not the key of the first certificate in `certificate`; name the pair that belongs together, \
                 the listener's own certificate first",
            )),
            Err(rustls::Error::InvalidCertificate(_)) => Err(about(
                &self.certificate,
                "begins with a certificate that cannot be read; have it issued anew",
            )),
            Err(_) => Err(about(
                &self.key,
                "holds a key of another kind than expected: RSA of 2048 to 8192 bits, ECDSA over P-256, P-384 or \
                 P-521, or Ed25519",
            )),
        }
    }
}

/// Who is let in by `client_ca`.
fn clients(
    path: &At<PathBuf>,
    folder: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Fault> {
    let mut roots = RootCertStore::empty();
    let broken = || {
        let shown = quoted(&folder.join(&path.value).display().to_string());
        Fault::new(
            path.place,
            format!("{shown} holds a certificate that is no authority's; expected those that sign"),
        )
    };
    for root in pem::certificates(path, folder)? {
        roots.add(root).map_err(|_| broken())?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|_| broken())
}
