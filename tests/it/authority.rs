//! Certificates for one test, made while it runs: none lies in the repository to expire.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// The name that every certificate of a Doorward has.
pub(crate) const NAME: &str = "doorward.test";

/// Signs certificates, and stands in the file `ca.crt` of its folder.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// So that no two certificates end in the same year.
    year: AtomicI32,
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        replace(&folder.join("ca.crt"), &params.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(params, key);
        Self { folder: folder.to_owned(), issuer, year: AtomicI32::new(2100) }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// A new pair for [`NAME`], each in one step into `STEM.crt` and `STEM.key`, the certificate first.
    pub(crate) fn issue(&self, stem: &str) -> Pair {
        let (certificate, key) = self.made(self.year.fetch_add(1, Ordering::SeqCst));
        let pair = self.pair(stem);
        replace(&pair.certificate, &certificate);
        replace(&pair.key, &key);
        pair
    }

    /// The files of a pair.
    pub(crate) fn pair(&self, stem: &str) -> Pair {
        Pair {
            certificate: self.folder.join(format!("{stem}.crt")),
            key: self.folder.join(format!("{stem}.key")),
        }
    }

    /// A certificate and its key as PEM; it ends with the year before `end`.
    pub(crate) fn made(&self, end: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([NAME.to_owned(), "localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(end, 1, 1);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A client that trusts this authority, shows `pair`, and offers `protocols`.
    pub(crate) fn client(&self, pair: Option<&Pair>, protocols: &[&str]) -> Arc<ClientConfig> {
        self.client_of(rustls::ALL_VERSIONS, pair, protocols)
    }

    /// The same with some versions of TLS alone.
    pub(crate) fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        pair: Option<&Pair>,
        protocols: &[&str],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut client = match pair {
            Some(pair) => {
                let chain = vec![CertificateDer::from_pem_file(&pair.certificate).unwrap()];
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&pair.key).unwrap())
                    .unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        client.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(client)
    }
}

/// The files of a certificate and its key.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pair {
    /// As a listener's TLS in the configuration, with whatever else is said of it.
    pub(crate) fn setting(&self, more: &str) -> String {
        format!("{{certificate: {}, key: {}{more}}}", self.certificate.display(), self.key.display())
    }
}

/// Writes a file that its owner alone may read, in one step.
pub(crate) fn replace(path: &Path, text: &str) {
    use std::io::Write as _;
    let next = path.with_extension("next");
    let _ = std::fs::remove_file(&next);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    std::fs::rename(&next, path).unwrap();
}
