#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::clock::Hand;
use crate::domain::issuer::{Address, FetchLimits, Published};
use crate::domain::jwt::{Algorithm, Audiences, Rules, Whose};
use crate::domain::time::Timestamp;
use crate::issue::SigningKey;
use crate::telemetry::Readiness;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://accounts.example";

/// An issuer's server, which answers whatever a test has it answer.
pub(crate) struct Server {
    pub(crate) url: String,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    async fn start_with(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/jwks.json", listener.local_addr().unwrap());
        let server = Self { url, answer: Arc::default(), asked: Arc::default() };
        let (answer, asked) = (Arc::clone(&server.answer), Arc::clone(&server.asked));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, asked, tls) = (Arc::clone(&answer), Arc::clone(&asked), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &answer, &asked).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &answer, &asked).await,
                            Err(_) => drop(asked.fetch_add(1, Ordering::SeqCst)),
                        },
                    }
                });
            }
        });
        server
    }

    fn answers(&self, head: &str, body: &str) {
        let whole = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        *self.answer.lock().unwrap() = whole.into_bytes();
    }

    pub(crate) fn publishes(&self, keys: &[&SigningKey]) {
        self.answers("200 OK", &jwks(keys));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until it was asked once more, and its answer was looked at: the next question comes after.
    async fn asked_again(&self) {
        let before = self.asked();
        until(|| self.asked() >= before + 2).await;
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    answer: &Mutex<Vec<u8>>,
    asked: &AtomicUsize,
) {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => head.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let answer = answer.lock().unwrap().clone();
    asked.fetch_add(1, Ordering::SeqCst);
    if answer.is_empty() {
        // Says nothing, and stays.
        std::future::pending::<()>().await;
    }
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

pub(crate) async fn until(happened: impl Fn() -> bool) {
    let patience = Duration::from_secs(30);
    let seen = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(patience, seen).await.expect("it happens within half a minute");
}

fn jwks(keys: &[&SigningKey]) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let jwk = |key: &&SigningKey| {
        let x = URL_SAFE_NO_PAD.encode(key.public().bytes);
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": key.id(), "alg": "EdDSA", "use": "sig"})
    };
    json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() }).to_string()
}

pub(crate) fn key(id: &str) -> SigningKey {
    SigningKey::generate(id.to_owned(), Algorithm::EdDsa).unwrap()
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "alice", "aud": "orders", "iat": NOW, "exp": NOW + 60})
}

fn token(key: &SigningKey) -> Vec<u8> {
    key.sign(&claims()).unwrap().into_bytes()
}

fn issuer(keys: Keys) -> Arc<Issuer> {
    let rules = Rules {
        issuer: ISSUER.to_owned(),
        whose: Whose::Subject,
        audiences: Audiences::OneOf(vec!["orders".to_owned()]),
        algorithms: vec![Algorithm::EdDsa],
        typ: None,
        leeway: 30,
        longest_life: 3600,
        longest: 8192,
    };
    Arc::new(Issuer { name: "accounts".to_owned(), rules, keys })
}

fn published(at: Address) -> Published {
    Published {
        at,
        refresh: Duration::from_millis(20),
        max_stale: Duration::from_secs(3600),
        ca_file: None,
        limits: FetchLimits { bytes: 4096, time: Duration::from_millis(500), keys: 5, plain_http: false },
    }
}

struct Bench {
    issuers: Issuers,
    issuer: Arc<Issuer>,
    hand: Hand,
}

impl Bench {
    fn new(published: Published) -> Self {
        Self::with_gap(published, Duration::from_millis(20))
    }

    fn with_gap(published: Published, gap: Duration) -> Self {
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(NOW));
        let telemetry = telemetry(&clock);
        let mut issuers = Issuers::new(clock, telemetry, Some(Handle::current()), 1 << 20);
        issuers.with.gap = gap;
        let issuer = issuer(Keys::Published(published));
        issuers.follow([&issuer]);
        Self { issuers, issuer, hand }
    }

    /// Another configuration comes into force, as the reloader has it followed.
    fn reload(&mut self, next: Arc<Issuer>) {
        self.issuers.follow([&next, &self.issuer]);
        self.issuers.follow([&next]);
        self.issuer = next;
    }

    async fn loaded(&self) -> Arc<Loaded> {
        until(|| self.issuers.loaded(&self.issuer).is_ok()).await;
        self.issuers.loaded(&self.issuer).unwrap()
    }

    /// What becomes of a token by now.
    fn outcome(&self, token: &[u8]) -> Result<String, String> {
        let loaded = self.issuers.loaded(&self.issuer).map_err(|fault| fault.why().to_owned())?;
        let found = match loaded.ask(&self.issuer, token, &[]) {
            Answer::Genuine(claims) => Ok(claims),
            Answer::Refused(refused) => Err(refused),
            Answer::Unverified(work) => work.run().found,
        };
        found.map(|claims| claims.subject.to_string()).map_err(|refused| refused.name().to_owned())
    }
}

fn telemetry(clock: &Clock) -> Arc<Telemetry> {
    Arc::new(Telemetry::new(clock.clone(), Arc::new(Readiness::new())))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_never_came_are_a_fault_and_come_when_the_issuer_does() {
    let server = Server::start().await;
    server.answers("503 Service Unavailable", "");
    let bench = Bench::new(published(Address::KeySet(server.url.clone())));
    let key = key("a");
    server.asked_again().await;
    assert_eq!(bench.outcome(&token(&key)), Err("keys_not_loaded".into()));
    server.publishes(&[&key]);
    bench.loaded().await;
    assert_eq!(bench.outcome(&token(&key)), Ok("alice".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn r16_keys_are_kept_while_the_issuer_is_away_hostile_or_huge() {
    let server = Server::start().await;
    let (good, other) = (key("a"), key("b"));
    server.publishes(&[&good]);
    let bench = Bench::new(published(Address::KeySet(server.url.clone())));
    bench.loaded().await;
    let many: Vec<_> = (0..6).map(|number| key(&number.to_string())).collect();
    let huge = jwks(&[&other]).replace("keys", &format!("{}\": [], \"keys", "x".repeat(4096)));
    let elsewhere = format!("302 Found\r\nlocation: {}", server.url);
    for (head, body) in [
        ("500 Internal Server Error", jwks(&[&other])),
        (elsewhere.as_str(), jwks(&[&other])),
        ("204 No Content", String::new()),
        ("200 OK", String::new()),
        ("200 OK", "<html>".into()),
        ("200 OK", "{\"keys\": []}".into()),
        ("200 OK", "{\"keys\": [1, \"x\"]}".into()),
        ("200 OK", jwks(&many.iter().collect::<Vec<_>>())),
        ("200 OK", huge),
    ] {
        server.answers(head, &body);
        server.asked_again().await;
        assert_eq!(bench.outcome(&token(&good)), Ok("alice".into()), "{head} {body}");
        assert_eq!(bench.outcome(&token(&other)), Err("jwt_unknown_key".into()), "{head} {body}");
    }
    // No HTTP, half an answer, and nothing at all until the time is over.
    for raw in [&b"\xff\xff\xff\xff"[..], b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{", b""] {
        *server.answer.lock().unwrap() = raw.to_vec();
        server.asked_again().await;
        assert_eq!(bench.outcome(&token(&good)), Ok("alice".into()), "{raw:?}");
    }
    server.publishes(&[&other]);
    until(|| bench.outcome(&token(&other)).is_ok()).await;
    assert_eq!(bench.outcome(&token(&good)), Err("jwt_unknown_key".into()), "what left the set is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_left_a_set_open_nothing_though_none_of_it_can_be_used() {
    let server = Server::start().await;
    let good = key("a");
    server.publishes(&[&good]);
    let bench = Bench::new(published(Address::KeySet(server.url.clone())));
    bench.loaded().await;
    assert_eq!(bench.outcome(&token(&good)), Ok("alice".into()));
    server.answers("200 OK", &jwks(&[&good]).replace("\"sig\"", "\"enc\""));
    until(|| bench.outcome(&token(&good)) == Err("jwt_unknown_key".into())).await;
    server.publishes(&[&good]);
    until(|| bench.outcome(&token(&good)).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_too_old_are_not_believed() {
    let server = Server::start().await;
    let key = key("a");
    server.publishes(&[&key]);
    let bench = Bench::new(published(Address::KeySet(server.url.clone())));
    bench.loaded().await;
    server.answers("500 Internal Server Error", "");
    server.asked_again().await;
    bench.hand.advance(Duration::from_secs(3600));
    assert_eq!(bench.outcome(&token(&key)), Ok("alice".into()));
    bench.hand.advance(Duration::from_secs(1));
    assert_eq!(bench.outcome(&token(&key)), Err("keys_too_old".into()));
    server.publishes(&[&key]);
    until(|| bench.outcome(&token(&key)).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn good_keys_stay_when_a_reload_has_them_fetched_otherwise() {
    let server = Server::start().await;
    let (first, second) = (key("a"), key("b"));
    server.publishes(&[&first]);
    let at = || published(Address::KeySet(server.url.clone()));
    let mut bench = Bench::new(at());
    bench.loaded().await;
    server.answers("500 Internal Server Error", "");
    bench.hand.advance(Duration::from_secs(3601));
    assert_eq!(bench.outcome(&token(&first)), Err("keys_too_old".into()));

    // What an operator does while the issuer is away, one after the other.
    let patient = Published { max_stale: Duration::from_secs(7200), ..at() };
    let slow = Published { limits: FetchLimits { keys: 7, ..at().limits }, ..patient.clone() };
    for changed in [patient, slow.clone()] {
        bench.reload(issuer(Keys::Published(changed)));
        assert_eq!(bench.outcome(&token(&first)), Ok("alice".into()));
    }
    let more = issuer(Keys::Published(slow));
    let algorithms = vec![Algorithm::EdDsa, Algorithm::Es256];
    let rules = Rules { algorithms, ..more.rules.clone() };
    bench.reload(Arc::new(Issuer { rules, ..Issuer::clone(&more) }));
    assert_eq!(bench.outcome(&token(&first)), Ok("alice".into()));
    // They are as old as they were.
    bench.hand.advance(Duration::from_secs(3600));
    assert_eq!(bench.outcome(&token(&first)), Err("keys_too_old".into()));

    server.publishes(&[&second]);
    until(|| bench.outcome(&token(&second)).is_ok()).await;
    assert_eq!(bench.outcome(&token(&first)), Err("jwt_unknown_key".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_had_is_fetched_after_a_reload_too() {
    let server = Server::start().await;
    let (old, new) = (key("a"), key("b"));
    server.publishes(&[&old]);
    let at = |refresh| Published {
        refresh: Duration::from_secs(refresh),
        ..published(Address::KeySet(server.url.clone()))
    };
    let mut bench = Bench::new(at(3600));
    bench.loaded().await;
    bench.reload(issuer(Keys::Published(at(7200))));
    // A reload fetches, and nothing does after that but a token.
    until(|| server.asked() == 2).await;
    server.publishes(&[&old, &new]);
    until(|| bench.outcome(&token(&new)).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_is_not_verified_with_the_keys_of_another_that_takes_its_name() {
    let (server, elsewhere) = (Server::start().await, Server::start().await);
    let (good, foreign) = (key("a"), key("b"));
    server.publishes(&[&good]);
    elsewhere.publishes(&[&foreign]);
    let bench = Bench::new(published(Address::KeySet(server.url.clone())));
    bench.loaded().await;
    let moved = issuer(Keys::Published(published(Address::KeySet(elsewhere.url.clone()))));
    let renamed = Issuer {
        rules: Rules { issuer: "https://other.example".into(), ..moved.rules.clone() },
        keys: Keys::Published(published(Address::KeySet(server.url.clone()))),
        ..Issuer::clone(&moved)
    };
    for next in [moved, Arc::new(renamed)] {
        // As a reload does it: the catalog before is asked until the next one is made.
        bench.issuers.follow([&next, &bench.issuer]);
        until(|| bench.issuers.loaded(&next).is_ok()).await;
        assert_eq!(bench.outcome(&token(&good)), Ok("alice".into()));
        assert_eq!(bench.outcome(&token(&foreign)), Err("jwt_unknown_key".into()));
        bench.issuers.follow([&next]);
        assert_eq!(bench.outcome(&token(&good)), Err("keys_not_loaded".into()), "it is followed no longer");
        bench.issuers.follow([&bench.issuer]);
        bench.loaded().await;
    }
}

#[test]
fn r6_what_was_verified_with_one_key_set_says_nothing_about_another_of_the_same_name() {
    let of_consumer = |secret: &[u8]| {
        let keys = KeySet::of_one(Algorithm::Hs256, secret);
        Arc::new(Issuer::of_consumer("robot", vec![Algorithm::Hs256], keys))
    };
    let (before, after) = (of_consumer(&[1; 32]), of_consumer(&[2; 32]));
    let (clock, _) = Clock::stopped(Timestamp::from_unix(NOW));
    let issuers = Issuers::new(clock.clone(), telemetry(&clock), None, 1 << 20);
    let loaded = |issuer: &Issuer| {
        let Keys::OfConsumer(keys) = &issuer.keys else { panic!("a consumer's") };
        issuers.of_consumer(keys)
    };
    let text = hs256(&[1; 32], &json!({"iss": "robot", "iat": NOW, "exp": NOW + 60}));
    let Answer::Unverified(work) = loaded(&before).ask(&before, &text, &[]) else { panic!("it is new") };
    let done = work.run();
    assert!(done.found().is_ok());
    assert!(matches!(loaded(&before).ask(&before, &text, [&done]), Answer::Genuine(_)));
    // While it waited, the consumer's credential was made anew for somebody else.
    let answer = loaded(&after).ask(&after, &text, [&done]);
    assert!(matches!(answer, Answer::Unverified(_)));
}

fn hs256(secret: &[u8], claims: &Value) -> Vec<u8> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "HS256"})), part(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{tag}").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn j18_tokens_of_unknown_keys_cause_one_fetch_in_a_gap_and_none_of_them_waits() {
    let server = Server::start().await;
    let (old, new) = (key("a"), key("b"));
    server.publishes(&[&old]);
    let refresh = Duration::from_secs(3600);
    let gap = Duration::from_millis(300);
    let bench = Bench::with_gap(Published { refresh, ..published(Address::KeySet(server.url.clone())) }, gap);
    bench.loaded().await;
    server.publishes(&[&old, &new]);
    // Not asked again by itself.
    assert_eq!(server.asked(), 1);
    let began = tokio::time::Instant::now();
    for number in 0..5000 {
        let forged = key_named(&old, number);
        assert_eq!(bench.outcome(&forged), Err("jwt_unknown_key".into()));
    }
    until(|| bench.outcome(&token(&new)).is_ok()).await;
    let most = began.elapsed().as_millis() / gap.as_millis() + 2;
    assert!(server.asked() as u128 <= most, "{} fetches, at most {most}", server.asked());
}

/// A token that names a key which nobody has.
fn key_named(signer: &SigningKey, number: usize) -> Vec<u8> {
    let header = json!({"alg": "EdDSA", "kid": format!("nobody-{number}")}).to_string();
    signer.sign_bytes(header.as_bytes(), claims().to_string().as_bytes()).unwrap().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discovery_document_speaks_for_its_own_issuer_alone() {
    let (discovery, server) = (Server::start().await, Server::start().await);
    let key = key("a");
    server.publishes(&[&key]);
    let bench = Bench::new(published(Address::Discovery(discovery.url.clone())));
    for document in [
        json!({"issuer": "https://accounts.example/", "jwks_uri": server.url}),
        json!({"issuer": [ISSUER], "jwks_uri": server.url}),
        json!({"issuer": ISSUER}),
        json!({"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"}),
        json!({"issuer": ISSUER, "jwks_uri": "http://accounts.example/jwks"}),
        json!({"issuer": ISSUER, "jwks_uri": server.url.replace("://", "://user:password@")}),
    ] {
        discovery.answers("200 OK", &document.to_string());
        discovery.asked_again().await;
        assert_eq!(bench.outcome(&token(&key)), Err("keys_not_loaded".into()), "{document}");
    }
    assert_eq!(server.asked(), 0);
    discovery.answers("200 OK", &json!({"issuer": ISSUER, "jwks_uri": server.url}).to_string());
    bench.loaded().await;
    assert_eq!(bench.outcome(&token(&key)), Ok("alice".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_server_must_have_a_certificate_of_a_known_authority() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let ca_file = folder.path().join("ca.crt");
    std::fs::write(&ca_file, made.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let server = Server::start_with(Some(Arc::new(config).into())).await;
    let key = key("a");
    server.publishes(&[&key]);
    let at = || Address::KeySet(server.url.clone());
    let stranger = Bench::new(published(at()));
    server.asked_again().await;
    assert_eq!(stranger.outcome(&token(&key)), Err("keys_not_loaded".into()));
    let bench = Bench::new(Published { ca_file: Some(ca_file), ..published(at()) });
    bench.loaded().await;
    assert_eq!(bench.outcome(&token(&key)), Ok("alice".into()));
}

/// One issuer whose keys are read, and nothing that is fetched.
fn read(keys: &[&SigningKey]) -> (Issuers, Arc<Issuer>) {
    let (clock, _) = Clock::stopped(Timestamp::from_unix(NOW));
    let set = KeySet::of_ours(keys.iter().map(|key| key.public()));
    let issuer = issuer(Keys::Read(Arc::new(set)));
    let issuers = Issuers::new(clock.clone(), telemetry(&clock), None, 1 << 20);
    issuers.follow([&issuer]);
    (issuers, issuer)
}

#[test]
fn j19_a_verified_token_is_remembered_until_the_keys_change_and_answered_alike_after_its_end() {
    let key = key("a");
    let (issuers, issuer) = read(&[&key]);
    let now = Timestamp::from_unix(NOW);
    let token = token(&key);
    let ask = || issuers.loaded(&issuer).unwrap().ask(&issuer, &token, &[]);
    let Answer::Unverified(work) = ask() else { panic!("it was never seen") };
    assert_eq!(work.run().found.unwrap().subject.as_ref(), "alice");
    assert!(matches!(ask(), Answer::Genuine(_)));
    // Remembered is what it is: whether it is good is judged at every moment.
    let Answer::Genuine(claims) = ask() else { panic!("it is remembered") };
    assert_eq!(claims.judge(&issuer.rules, Timestamp::from_unix(NOW + 90)), Err(Refused::Expired));
    let other_rules = Rules { audiences: Audiences::OneOf(vec!["stock".into()]), ..issuer.rules.clone() };
    assert_eq!(claims.judge(&other_rules, now), Err(Refused::Audience));
    let other_rules = Rules { algorithms: vec![Algorithm::Es256], ..issuer.rules.clone() };
    assert_eq!(claims.judge(&other_rules, now), Err(Refused::Algorithm));
    // Long after its end too, however often: what is decided twice must not come out twice.
    assert_eq!(claims.judge(&issuer.rules, Timestamp::from_unix(NOW + 121)), Err(Refused::Expired));
    assert!(matches!(ask(), Answer::Genuine(_)));

    // The same keys again: nothing is forgotten. Others: everything.
    let same = super::tests::issuer(Keys::Read(Arc::new(KeySet::of_ours([key.public()]))));
    issuers.follow([&same]);
    assert!(matches!(ask(), Answer::Genuine(_)));
    let second = super::tests::key("b");
    let more = super::tests::issuer(Keys::Read(Arc::new(KeySet::of_ours([key.public(), second.public()]))));
    issuers.follow([&more]);
    assert!(matches!(ask(), Answer::Unverified(_)));
}

#[test]
fn a_forged_token_is_not_remembered_for_good_or_bad() {
    let (key, attacker) = (key("a"), key("a"));
    let (issuers, issuer) = read(&[&key]);
    let forged = token(&attacker);
    for _ in 0..2 {
        let loaded = issuers.loaded(&issuer).unwrap();
        let Answer::Unverified(work) = loaded.ask(&issuer, &forged, &[]) else { panic!("forged") };
        let done = work.run();
        assert_eq!(done.found().unwrap_err(), Refused::Signature);
        // For the check that had it verified that is known.
        let answer = loaded.ask(&issuer, &forged, &[done]);
        assert!(matches!(answer, Answer::Refused(Refused::Signature)));
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let key = key("a");
    let (issuers, issuer) = read(&[&key]);
    let loaded = issuers.loaded(&issuer).unwrap();
    for number in 0..2000 {
        let mut claims = claims();
        claims["pad"] = json!(format!("{number:0>2000}"));
        let token = key.sign(&claims).unwrap();
        if let Answer::Unverified(work) = loaded.ask(&issuer, token.as_bytes(), &[]) {
            drop(work.run());
        }
    }
    assert!(loaded.verified.weight() <= 1 << 20, "{}", loaded.verified.weight());
    assert!(loaded.verified.len() > 10);
}

#[tokio::test]
async fn the_pool_verifies_and_sheds_what_is_too_much() {
    let key = key("a");
    let (issuers, issuer) = read(&[&key]);
    let (clock, _) = Clock::stopped(Timestamp::from_unix(NOW));
    let work = || {
        let loaded = issuers.loaded(&issuer).unwrap();
        let Answer::Unverified(work) = loaded.ask(&issuer, &key_signed_anew(&key), &[]) else {
            panic!("each is another token")
        };
        work
    };
    let pool = Pool::start(1, 4, telemetry(&clock)).unwrap();
    let waiting = pool.submit(work()).unwrap();
    assert!(waiting.await.unwrap().found().is_ok());
    let idle = Pool::start(1, 0, telemetry(&clock)).unwrap();
    assert!(idle.submit(work()).is_none(), "nobody may wait");
}

fn key_signed_anew(key: &SigningKey) -> Vec<u8> {
    let mut claims = claims();
    claims["jti"] = json!(uuid::Uuid::new_v4().to_string());
    key.sign(&claims).unwrap().into_bytes()
}
