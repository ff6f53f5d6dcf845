//! TLS of the listeners: who gets in, who does not, whom it holds up, and certificates that change.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::authority::{Authority, NAME, Pair, replace};
use crate::drain::Load;
use crate::rig::doorward::Doorward;
use crate::rig::echo::Echo;
use crate::rig::envoy::Envoy;
use crate::rig::http1::{request, send};
use crate::rig::process::Signal;
use crate::rig::wait::eventually;
use crate::rig::wiring::{UpstreamTls, Wiring};
use crate::world::{ALICE, HOUSE, setup, start_doorward, start_envoy, started};

/// The house with TLS on the listeners that `tls` names.
fn house(tls: &str) -> String {
    HOUSE.replacen("listen: {", &format!("listen: {{tls: {{{tls}}}, "), 1)
}

/// A Doorward that lets in who shows a certificate of its authority.
struct Guarded {
    doorward: Doorward,
    authority: Authority,
    /// Of Doorward, and of an Envoy.
    own: Pair,
    envoys: Pair,
    folder: tempfile::TempDir,
}

impl Guarded {
    #[track_caller]
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(&folder.path().join("tls"));
        let (own, envoys) = (authority.issue("own"), authority.issue("envoy"));
        let client_ca = format!(", client_ca: {}", authority.ca().display());
        let config = house(&format!("grpc: {}", own.setting(&client_ca)));
        let doorward = start_doorward(&folder.path().join("doorward"), &config);
        Self { doorward, authority, own, envoys, folder }
    }

    fn tls(&self) -> UpstreamTls {
        let pair = (self.envoys.certificate.clone(), self.envoys.key.clone());
        UpstreamTls { ca: self.authority.ca(), name: NAME, pair: Some(pair) }
    }

    /// A client as Envoy is one.
    fn client(&self) -> Arc<ClientConfig> {
        self.authority.client(Some(&self.envoys), &["h2"])
    }

    #[track_caller]
    fn envoy(&self, name: &str, echo: &Echo, tls: UpstreamTls) -> Envoy {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let wiring = Wiring { tls: Some(tls), ..Wiring::new(echo.address(), &[self.doorward.grpc()]) };
        start_envoy(&folder, &wiring)
    }

    fn metric(&self, name: &str) -> Option<f64> {
        metric(&self.doorward, name)
    }
}

fn metric(doorward: &Doorward, name: &str) -> Option<f64> {
    let page = doorward.status("/metrics").ok()?.text();
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?.parse().ok()
}

/// A connection with the handshake behind it, as far as the client can tell.
async fn connect(
    doorward: &Doorward,
    client: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let stream = tokio::net::TcpStream::connect(doorward.grpc()).await?;
    TlsConnector::from(client).connect(ServerName::try_from(NAME).unwrap(), stream).await
}

/// Asks the health service on a new connection: whether it serves.
async fn asked(doorward: &Doorward, client: Arc<ClientConfig>) -> Result<bool, String> {
    let stream = connect(doorward, client).await.map_err(|error| error.to_string())?;
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| std::io::Error::other("one connection is all there is"));
        async { stream }
    });
    let endpoint = Endpoint::from_static("http://doorward.test");
    let channel = endpoint.connect_with_connector(connector).await.map_err(|error| format!("{error:?}"))?;
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    answer.map(|answer| answer.into_inner().status == 1).map_err(|status| format!("{status:?}"))
}

/// Why a client is not let in, as far as it learns; `None` where it is. With TLS 1.3 it hears of that
/// only after its own handshake is done, in place of an answer.
async fn refusal(doorward: &Doorward, client: Arc<ClientConfig>) -> Option<String> {
    let greet = async {
        let mut stream = connect(doorward, client).await?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
        stream.read_exact(&mut [0; 9]).await
    };
    greet.await.err().map(|error| error.to_string())
}

#[test]
fn an_envoy_with_its_certificate_asks_over_tls() {
    let guarded = Guarded::new();
    let echo = Echo::start(0).unwrap();
    let wiring = Wiring {
        tls: Some(guarded.tls()),
        health_checks: true,
        ..Wiring::new(echo.address(), &[guarded.doorward.grpc()])
    };
    let envoy = start_envoy(guarded.folder.path(), &wiring);
    eventually("Doorward is healthy", || (envoy.healthy("doorward") == 1).then_some(()));
    let get = |headers: &[(&str, &str)]| {
        send(envoy.listener("main"), &request("GET", "/orders", headers, b"")).unwrap()
    };
    let seen = get(&[("apikey", ALICE)]).seen().expect("allowed");
    assert_eq!(seen.all("x-consumer-username"), ["alice"]);
    assert_eq!(get(&[]).code(), "missing_credential");
    assert_eq!(get(&[("apikey", "wrong-0123456789")]).code(), "invalid_credential");
    assert!(envoy.stat("cluster.doorward.ssl.handshake") > 0, "over TLS");
}

#[test]
fn an_envoy_with_no_or_a_foreign_certificate_or_another_trust_gets_no_verdict() {
    let guarded = Guarded::new();
    let foreign = Authority::new(&guarded.folder.path().join("foreign"));
    let strange = foreign.issue("envoy");
    let echo = Echo::start(0).unwrap();
    for (case, tls) in [
        ("no certificate", UpstreamTls { pair: None, ..guarded.tls() }),
        ("a foreign one", UpstreamTls { pair: Some((strange.certificate, strange.key)), ..guarded.tls() }),
        ("another trust", UpstreamTls { ca: foreign.ca(), ..guarded.tls() }),
        ("another name", UpstreamTls { name: "elsewhere.test", ..guarded.tls() }),
    ] {
        let envoy = guarded.envoy(case, &echo, tls);
        let reply = send(envoy.listener("main"), &request("GET", "/orders", &[("apikey", ALICE)], b""));
        assert_eq!(reply.unwrap().status, 503, "{case}");
        let reply = send(envoy.listener("main"), &request("GET", "/public", &[], b""));
        assert_eq!(reply.unwrap().status, 503, "{case}");
    }
    assert_eq!(echo.requests(), 0);
    assert_eq!(guarded.metric("doorward_check_duration_seconds_count"), Some(0.0));
}

#[tokio::test]
async fn who_is_let_in_is_decided_by_certificate_and_protocol() {
    let guarded = Guarded::new();
    let foreign = Authority::new(&guarded.folder.path().join("foreign"));
    let strange = foreign.issue("client");
    let (authority, envoys) = (&guarded.authority, Some(&guarded.envoys));
    for (case, client, expected) in [
        ("a certificate, and h2", authority.client(envoys, &["h2"]), ""),
        ("h2 among others", authority.client(envoys, &["http/1.1", "h2"]), ""),
        ("no word about protocols", authority.client(envoys, &[]), ""),
        ("another protocol", authority.client(envoys, &["http/1.1"]), "NoApplicationProtocol"),
        ("no certificate", authority.client(None, &["h2"]), "CertificateRequired"),
        ("TLS 1.2", authority.client_of(&[&TLS12], envoys, &["h2"]), ""),
        (
            "TLS 1.2 without a certificate",
            authority.client_of(&[&TLS12], None, &["h2"]),
            "CertificateRequired",
        ),
        // Both authorities have one name, so the signature tells them apart.
        ("a foreign certificate", authority.client(Some(&strange), &["h2"]), "DecryptError"),
        ("another trust", foreign.client(envoys, &["h2"]), "BadSignature"),
    ] {
        let found = refusal(&guarded.doorward, client).await.unwrap_or_default();
        assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{case}: {found:?}");
    }
    assert_eq!(asked(&guarded.doorward, guarded.client()).await, Ok(true));
}

#[tokio::test]
async fn no_session_is_resumed_so_each_connection_shows_a_certificate() {
    let guarded = Guarded::new();
    for version in [&TLS12, &TLS13] {
        let client = guarded.authority.client_of(&[version], Some(&guarded.envoys), &["h2"]);
        for _ in 0..3 {
            // Reads what comes after the handshake: tickets would.
            assert_eq!(refusal(&guarded.doorward, Arc::clone(&client)).await, None);
            let stream = connect(&guarded.doorward, Arc::clone(&client)).await.unwrap();
            let kind = stream.get_ref().1.handshake_kind();
            assert!(!matches!(kind, None | Some(HandshakeKind::Resumed)), "{kind:?}");
        }
    }
}

#[test]
fn plain_text_to_a_tls_port_ends_at_once() {
    let guarded = Guarded::new();
    for text in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(guarded.doorward.grpc()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // What it sent is unread when the connection ends, so the end may be a reset.
        let _ = stream.read_to_end(&mut answer);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert!(answer.is_empty() || answer[0] == 21, "nothing but an alert: {answer:?}");
    }
}

#[tokio::test]
async fn handshakes_that_never_end_hold_up_nobody_and_are_cut_off() {
    let guarded = Guarded::new();
    // The head of a TLS record that promises a ClientHello of 512 bytes.
    let promise = [22, 3, 1, 2, 0, 1];
    let mut silent = Vec::new();
    for count in 0..200 {
        let mut stream = TcpStream::connect(guarded.doorward.grpc()).unwrap();
        if count % 2 == 0 {
            stream.write_all(&promise).unwrap();
        }
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        silent.push(stream);
    }
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(asked(&guarded.doorward, guarded.client()).await, Ok(true));
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    for mut stream in silent {
        let ended = stream.read(&mut [0; 64]);
        assert!(
            matches!(ended, Ok(0))
                || ended.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
        );
    }
    assert_eq!(asked(&guarded.doorward, guarded.client()).await, Ok(true));
}

/// The end of the certificate in force, in seconds since 1970.
const EXPIRES: &str = "doorward_certificate_expires_timestamp_seconds{listener=\"grpc\"}";

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_replaced_under_load_fails_no_check() {
    let guarded = Arc::new(Guarded::new());
    let echo = Echo::start(0).unwrap();
    let envoy = guarded.envoy("envoy", &echo, guarded.tls());
    let load = Load::start(envoy.listener("main"));
    let over = Arc::new(AtomicBool::new(false));
    let newcomers = tokio::spawn({
        let (guarded, over) = (Arc::clone(&guarded), Arc::clone(&over));
        async move {
            let mut count = 0;
            while !over.load(Ordering::SeqCst) {
                assert_eq!(asked(&guarded.doorward, guarded.client()).await, Ok(true), "after {count}");
                count += 1;
            }
            count
        }
    });
    let shown = async || {
        let stream = connect(&guarded.doorward, guarded.client()).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    for way in ["by itself", "when asked"] {
        let (before, old) = (guarded.metric(EXPIRES).unwrap(), shown().await);
        guarded.authority.issue("own");
        if way == "when asked" {
            guarded.doorward.signal(Signal::HUP).unwrap();
        }
        eventually(&format!("the new one is in force {way}"), || {
            guarded.metric(EXPIRES).filter(|expires| *expires > before)
        });
        assert_ne!(shown().await, old, "{way}");
        load.reaches(load.done() + 100);
    }
    over.store(true, Ordering::SeqCst);
    assert!(newcomers.await.unwrap() > 0);
    let (done, failed) = load.end();
    assert!(failed.is_empty(), "{} of {done} failed, the first: {}", failed.len(), failed[0]);
}

#[tokio::test]
async fn a_bad_certificate_keeps_the_one_before_and_says_why() {
    let guarded = Guarded::new();
    let other = guarded.authority.issue("other");
    let read =
        |pair: &Pair| [&pair.certificate, &pair.key].map(|path| std::fs::read_to_string(path).unwrap());
    let put = |[certificate, key]: &[String; 2]| {
        replace(&guarded.own.certificate, certificate);
        replace(&guarded.own.key, key);
    };
    let (good, [_, others]) = (read(&guarded.own), read(&other));
    let (ended, its_key) = guarded.authority.made(2020);
    let before = guarded.metric(EXPIRES);
    for (case, bad, why) in [
        ("another's key", [good[0].clone(), others], "is not the key of the first certificate"),
        ("no key", [good[0].clone(), "nothing\n".to_owned()], "holds no private key in PEM"),
        ("a certificate that has ended", [ended, its_key], "has ended at 2020-01-01T00:00:00Z"),
    ] {
        put(&bad);
        eventually(&format!("{case}: the gauge falls"), || {
            guarded.metric("doorward_config_last_reload_successful").filter(|value| *value == 0.0)
        });
        guarded.doorward.logged(why);
        guarded.doorward.logged("the certificates before stay in force");
        assert_eq!(asked(&guarded.doorward, guarded.client()).await, Ok(true), "{case}");
        assert_eq!(guarded.metric(EXPIRES), before, "{case}");
        // A configuration that is good does not hide it.
        guarded.doorward.signal(Signal::HUP).unwrap();
        put(&good);
        eventually(&format!("{case}: mended"), || {
            guarded.metric("doorward_config_last_reload_successful").filter(|value| *value == 1.0)
        });
    }
    assert!(!guarded.doorward.output().contains(good[1].lines().nth(1).unwrap()), "the key is in the log");
}

#[test]
fn what_is_wrong_with_one_listeners_certificate_keeps_no_other_from_being_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("tls"));
    let (grpc, auth) = (authority.issue("grpc"), authority.issue("auth"));
    let config = house(&format!("grpc: {}, auth: {}", grpc.setting(""), auth.setting("")));
    let doorward = start_doorward(&folder.path().join("doorward"), &config);
    let expires = || metric(&doorward, r#"doorward_certificate_expires_timestamp_seconds{listener="auth"}"#);
    let before = expires().unwrap();
    let (certificate, key) = authority.made(2090);
    replace(&grpc.key, "nothing\n");
    replace(&auth.certificate, &certificate);
    replace(&auth.key, &key);
    eventually("the other one's is taken", || expires().filter(|now| *now != before));
    doorward.logged("holds no private key in PEM");
    eventually("the gauge falls", || {
        metric(&doorward, "doorward_config_last_reload_successful").filter(|value| *value == 0.0)
    });
}

#[test]
fn the_status_listener_speaks_tls_and_the_health_command_asks_it() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("tls"));
    let foreign = Authority::new(&folder.path().join("foreign"));
    let own = authority.issue("own");
    let config = house(&format!("status: {}", own.setting("")));
    let doorward = start_doorward(&folder.path().join("doorward"), &config);
    let mut silent = TcpStream::connect(doorward.status_address()).unwrap();
    assert!(doorward.status("/livez").is_err(), "plain text");
    let local = format!("https://localhost:{}", doorward.status_address().port());
    let by_number = format!("https://{}", doorward.status_address());
    let (ca, other) = (authority.ca(), foreign.ca());
    let (ca, other) = (ca.to_str().unwrap(), other.to_str().unwrap());
    for (case, arguments, expected) in [
        ("as it is configured", &[][..], 0),
        ("alive", &["--live"], 0),
        ("proven", &["--url", &local, "--ca", ca], 0),
        ("another name", &["--url", &by_number, "--ca", ca], 3),
        ("another authority", &["--url", &local, "--ca", other], 3),
        ("nobody to believe", &["--url", &local], 2),
        ("no file", &["--ca", "/nonexistent"], 2),
        ("half a pair", &["--key", own.key.to_str().unwrap()], 2),
        ("plain text", &["--url", &local.replace("https", "http")], 3),
    ] {
        let output = doorward.setup().run(&[&["health"], arguments].concat()).unwrap();
        assert_eq!(output.status.code(), Some(expected), "{case}: {output:?}");
    }
    // Sooner than a plain connection that says nothing.
    silent.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(silent.read(&mut [0; 64]).unwrap(), 0, "cut off");
}

#[tokio::test]
async fn the_auth_listener_speaks_http1_over_tls_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("tls"));
    let config = house(&format!("auth: {}", authority.issue("own").setting("")));
    let doorward = start_doorward(&folder.path().join("doorward"), &config);
    let auth = doorward.auth_address();
    let get = async |protocol: &str| -> std::io::Result<String> {
        let stream = tokio::net::TcpStream::connect(auth).await?;
        let connector = TlsConnector::from(authority.client(None, &[protocol]));
        let mut stream = connector.connect(ServerName::try_from(NAME).unwrap(), stream).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer = get("http/1.1").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let error = get("h2").await.unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    assert!(send(auth, &request("GET", "/", &[("Connection", "close")], b"")).is_err(), "plain text");
}

#[test]
fn a_status_listener_that_asks_for_certificates_is_asked_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("tls"));
    let (own, probe) = (authority.issue("own"), authority.issue("probe"));
    let client_ca = format!(", client_ca: {}", authority.ca().display());
    let mut setup = setup(&folder.path().join("doorward"));
    setup.write(&house(&format!("status: {}", own.setting(&client_ca)))).unwrap();
    let pair = ["--certificate", probe.certificate.to_str().unwrap(), "--key", probe.key.to_str().unwrap()];
    setup.probe = pair.map(str::to_owned).to_vec();
    let doorward = started(&setup);
    let asked = |arguments: &[&str]| {
        let output = doorward.setup().run(&[&["health"], arguments].concat()).unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(asked(&pair), (Some(0), "ok\n".to_owned()));
    let (code, said) = asked(&[]);
    assert!(code == Some(3) && said.contains("CertificateRequired"), "{code:?}: {said}");
}

#[test]
fn files_that_cannot_be_used_keep_the_server_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("tls"));
    let (own, other) = (authority.issue("own"), authority.issue("other"));
    let setup = setup(&folder.path().join("doorward"));
    let mixed = Pair { key: other.key, ..own };
    setup.write(&house(&format!("grpc: {}", mixed.setting("")))).unwrap();
    for command in ["validate", "serve"] {
        let output = setup.run(&[command]).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("doorward.yaml:") && said.contains("is not the key of the first certificate"),
            "{said}"
        );
    }
    assert!(setup.run(&["config", "show"]).unwrap().status.success(), "which reads no key");
}

/// The admin API asks for a certificate, and then for a key: the one stands for the machine, the other for
/// the right.
#[tokio::test]
async fn the_admin_api_asks_for_a_certificate_and_then_for_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("tls"));
    let foreign = Authority::new(&folder.path().join("foreign"));
    let (own, operators, strange) =
        (authority.issue("own"), authority.issue("operator"), foreign.issue("operator"));
    let client_ca = format!(", client_ca: {}", authority.ca().display());
    let config = house(&format!("admin: {}", own.setting(&client_ca)));
    let doorward = start_doorward(&folder.path().join("doorward"), &config);
    let (key, _) = crate::admin::admin_key(&doorward);
    let to = doorward.admin_address();

    let asked = async |client: Arc<ClientConfig>, bearer: &str| -> Result<u16, String> {
        let talk = async {
            let stream = tokio::net::TcpStream::connect(to).await?;
            let name = ServerName::try_from(NAME).unwrap();
            let mut stream = TlsConnector::from(client).connect(name, stream).await?;
            let bearer = format!("Bearer {bearer}");
            let headers = [("Authorization", bearer.as_str()), ("Connection", "close")];
            stream.write_all(&request("GET", "/consumers", &headers, b"")).await?;
            let mut answer = Vec::new();
            // The end may come without a farewell; what was answered is there.
            match stream.read_to_end(&mut answer).await {
                Err(error) if answer.is_empty() => Err(error),
                _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
            }
        };
        let answer: String = talk.await.map_err(|error: std::io::Error| error.to_string())?;
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(answer)
    };
    let with = |pair: Option<&Pair>| authority.client(pair, &["http/1.1"]);
    assert_eq!(asked(with(Some(&operators)), &key).await, Ok(200));
    assert_eq!(asked(with(Some(&operators)), "dw_admin_nobodys").await, Ok(401), "a certificate is no key");
    assert_eq!(
        asked(authority.client(Some(&operators), &[]), &key).await,
        Ok(200),
        "no word about protocols"
    );
    for (case, client) in [
        ("no certificate", with(None)),
        ("a foreign one", with(Some(&strange))),
        ("another trust", foreign.client(Some(&operators), &["http/1.1"])),
        ("another protocol", authority.client(Some(&operators), &["h2"])),
    ] {
        let found = asked(client, &key).await;
        assert!(found.is_err(), "{case}: {found:?}");
    }
    let plain = send(to, &request("GET", "/consumers", &[("Connection", "close")], b""));
    assert!(plain.is_err(), "plain text");

    // Commands from elsewhere, with the pair in one file.
    let identity = folder.path().join("identity.pem");
    let pair = [&operators.certificate, &operators.key].map(|path| std::fs::read_to_string(path).unwrap());
    std::fs::write(&identity, pair.concat()).unwrap();
    let elsewhere = setup(&folder.path().join("elsewhere")).with("DOORWARD_ADMIN_KEY", &key);
    elsewhere.write("{}").unwrap();
    let url = format!("https://localhost:{}", to.port());
    let (ca, identity) = (authority.ca().display().to_string(), identity.display().to_string());
    let run = |more: &[&str]| {
        elsewhere.run(&[&["consumer", "list", "--url", &url], more].concat()).unwrap().status.code()
    };
    assert_eq!(run(&["--ca", &ca, "--identity", &identity]), Some(0));
    assert_eq!(run(&["--ca", &ca]), Some(3), "the server asks for a certificate");
    assert_eq!(run(&["--identity", &identity]), Some(2), "whom to believe is not said");
}
