//! TLS: who the server is, and who we are.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::server::{as_user, free_port};
use super::*;
use crate::store::contract::{beat, put};
use crate::store::redis::{Address, Tls};
use crate::store::{Store, StoreError, Table};

/// An authority and what it signed, as files.
pub(super) struct Authority {
    folder: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = parameters.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        let issuer = Issuer::new(parameters, key);
        for name in ["127.0.0.1", "redis.example", "client.example"] {
            let key = KeyPair::generate().unwrap();
            let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
            // Of its own, or OpenSSL takes it for one that signed itself.
            parameters.distinguished_name.push(DnType::CommonName, name);
            let leaf = parameters.signed_by(&key, &issuer).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), leaf.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server whose certificate has this name; and its port for TLS.
    pub(super) fn server(&self, name: &str, clients: &str) -> (Server, u16) {
        let port = free_port().unwrap();
        let file = |name: &str| self.file(name).to_str().unwrap().to_owned();
        let server = Server::start(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &file(&format!("{name}.pem")),
            "--tls-key-file",
            &file(&format!("{name}.key")),
            "--tls-ca-cert-file",
            &file("ca.pem"),
            "--tls-auth-clients",
            clients,
        ]);
        (server, port)
    }

    pub(super) fn tls(&self) -> Tls {
        Tls { ca_file: Some(self.file("ca.pem")), ..Tls::default() }
    }
}

fn store(port: u16, tls: Tls) -> RedisStore {
    let settings = as_user(Target::Single(Address { host: "127.0.0.1".into(), port }));
    RedisStore::new(RedisSettings { tls: Some(tls), ..settings }, ring(1))
}

#[tokio::test]
async fn store_is_used_over_tls_where_the_name_is_right() {
    let authority = Authority::new();
    let (_server, port) = authority.server("127.0.0.1", "no");
    let store = store(port, authority.tls());
    assert_eq!(store.write(put(Table::Key, 1, b"a")).await.unwrap().number, 1);
    let (_server, port) = authority.server("redis.example", "no");
    let named = Tls { server_name: Some("redis.example".into()), ..authority.tls() };
    self::store(port, named).heartbeat(beat()).await.unwrap();
}

#[tokio::test]
async fn server_of_another_name_or_authority_is_refused() {
    let authority = Authority::new();
    let (_server, port) = authority.server("redis.example", "no");
    let refused = async |tls: Tls, expected: &str| {
        let error = store(port, tls).heartbeat(beat()).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains(expected)), "{error}");
    };
    refused(authority.tls(), "have the name `127.0.0.1`").await;
    let named = |tls: Tls| Tls { server_name: Some("redis.example".into()), ..tls };
    refused(named(Authority::new().tls()), "of an authority in the ca_file").await;
    refused(named(Tls::default()), "of an authority").await;
    refused(Tls { server_name: Some("not a name".into()), ..authority.tls() }, "neither a DNS name").await;
    let missing = Tls { ca_file: Some(authority.file("none.pem")), ..authority.tls() };
    refused(missing, "none.pem cannot be used").await;
    let no_certificates = Tls { ca_file: Some(authority.file("redis.example.key")), ..authority.tls() };
    refused(no_certificates, "expected certificates in PEM").await;
}

#[tokio::test]
async fn server_that_asks_who_we_are_is_told() {
    let authority = Authority::new();
    let (_server, port) = authority.server("127.0.0.1", "yes");
    let client =
        |name: &str| Some((authority.file(&format!("{name}.pem")), authority.file(&format!("{name}.key"))));
    let ours = Tls { client: client("client.example"), ..authority.tls() };
    store(port, ours).heartbeat(beat()).await.unwrap();
    assert!(store(port, authority.tls()).heartbeat(beat()).await.is_err(), "without a certificate");
    let mismatched = Some((authority.file("client.example.pem"), authority.file("redis.example.key")));
    let error =
        store(port, Tls { client: mismatched, ..authority.tls() }).heartbeat(beat()).await.unwrap_err();
    assert!(error.to_string().contains("do not go together"), "{error}");
}

#[tokio::test]
async fn plain_server_is_not_spoken_to_where_tls_is_asked_for() {
    let authority = Authority::new();
    let server = Server::start(&[]);
    let settings = RedisSettings { tls: Some(authority.tls()), ..impatient(server.settings()) };
    let error = RedisStore::new(settings, ring(1)).heartbeat(beat()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}
