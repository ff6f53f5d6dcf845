//! JWTs of a real OpenID provider (oidc-provider), which rotates its keys while they are in use, and is away.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::rig::http1::{request, send};
use crate::rig::wait::until;
use crate::world::{ALICE, World};

/// `tests/issuer/issuer.mjs`. Ended with its value: it ends with its stdin.
struct Issuer {
    url: String,
    child: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Issuer {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools.sh");
        let found = Command::new(script).arg("issuer").stderr(Stdio::inherit()).output().unwrap();
        assert!(found.status.success(), "no OpenID provider");
        let program = String::from_utf8(found.stdout).unwrap();
        let mut child = Command::new(program.trim())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (words, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut issuer = Self { url: String::new(), child, words, answers: BufReader::new(answers) };
        issuer.url = issuer.line();
        issuer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the OpenID provider has ended");
        line.trim().to_owned()
    }

    /// One of the words that the script obeys.
    fn told(&mut self, word: &str) {
        writeln!(self.words, "{word}").unwrap();
        assert_eq!(self.line(), word);
    }

    /// An access token, bought with client credentials.
    fn token(&self) -> String {
        let address: SocketAddr = self.url.strip_prefix("http://").unwrap().parse().unwrap();
        let headers = [
            // `robot:of-the-robot`
            ("Authorization", "Basic cm9ib3Q6b2YtdGhlLXJvYm90"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Host", self.url.strip_prefix("http://").unwrap()),
            ("Connection", "close"),
        ];
        let body = b"grant_type=client_credentials&scope=read";
        let reply = send(address, &request("POST", "/token", &headers, body)).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Between two rounds of the load.
const PAUSE: Duration = Duration::from_millis(50);

fn behind(issuer: &Issuer) -> World {
    let config = format!(
        r#"
listen: {{grpc: "127.0.0.1:0", status: "127.0.0.1:0"}}
issuers:
  accounts: {{issuer: "{}", audiences: [orders], algorithms: [RS256], typ: at+jwt, discovery: true}}
services:
  - name: orders
    paths: [/orders]
    authentication: {{any: [api_key: {{}}, jwt: {{issuer: accounts, claims: {{groups: scope}}}}]}}
    groups: {{allow: [read, gold]}}
consumers:
  - {{username: alice, groups: [gold], keys: [{{from_env: ALICE_KEY}}]}}
"#,
        issuer.url
    );
    World::with(&config, |_| {})
}

fn status(world: &World, token: &str) -> u16 {
    world.get("/orders", &[("Authorization", &format!("Bearer {token}"))]).status
}

/// A key that a token names is fetched at once, but no sooner than ten seconds after the last fetch.
#[track_caller]
fn patiently(what: &str, mut look: impl FnMut() -> bool) {
    until(what, Duration::from_secs(60), || look().then_some(()))
        .unwrap_or_else(|message| panic!("{message}"));
}

#[test]
fn a_real_issuer_rotates_its_keys_under_load_and_goes_away() {
    let mut issuer = Issuer::start();
    let world = behind(&issuer);
    let first = issuer.token();
    patiently("the issuer was found", || status(&world, &first) == 200);
    let seen = world.get("/orders", &[("Authorization", &format!("Bearer {first}"))]).seen().unwrap();
    assert_eq!(seen.header("x-credential-identifier"), Some("robot"));
    assert_eq!(seen.header("x-consumer-groups"), Some("read"));

    let asked = AtomicUsize::new(0);
    thread::scope(|scope| {
        // Whatever happens to the issuer, who was let in stays in: with the token, with others of the
        // same key, and with an API key.
        let others: Vec<_> = (0..20).map(|_| issuer.token()).collect();
        let (world, first, asked) = (&world, &first, &asked);
        // Dropped, in a panic too, it ends the load.
        let (going, ended) = channel::<()>();
        let load = scope.spawn(move || {
            for other in others.iter().cycle() {
                assert_eq!(status(world, first), 200);
                assert_eq!(status(world, other), 200);
                assert_eq!(world.get("/orders", &[("apikey", ALICE)]).status, 200);
                asked.fetch_add(3, Ordering::Relaxed);
                // A steady trickle: other tests run beside this one.
                if ended.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });

        issuer.told("rotate");
        let second = issuer.token();
        patiently("the new key is known", || match status(world, &second) {
            200 => true,
            denied => {
                assert_eq!(denied, 401, "never an error while the key is not known");
                false
            }
        });

        let fresh = issuer.token();
        issuer.told("away");
        issuer.told("rotate");
        let third = issuer.token();
        // One more of a key that is known, never seen before; one of a key that cannot be known.
        assert_eq!(status(world, &fresh), 200);
        assert_eq!(status(world, &third), 401);
        patiently("it was asked in vain", || {
            let metrics = world.doorward.status("/metrics").unwrap().text();
            metrics.contains("doorward_issuer_fetches_total{issuer=\"accounts\",outcome=\"failed\"}")
        });
        assert_eq!(status(world, &third), 401, "a denial, and no error");
        issuer.told("back");
        patiently("it is known that it is back", || status(world, &third) == 200);
        drop(going);
        load.join().unwrap();
    });
    assert!(asked.into_inner() >= 30, "there was load");

    // What the issuer withdraws is believed no longer, once the set was fetched anew.
    issuer.told("rotate");
    issuer.told("retire");
    let last = issuer.token();
    patiently("the last key is known", || status(&world, &last) == 200);
    assert_eq!(status(&world, &first), 401);
}
