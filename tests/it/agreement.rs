//! Of one decision, everything that is told of it agrees: the answer with its metadata, the counter, the log
//! line, the span, what followers read, and what is kept for `explain --request-id`. For every code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward::telemetry::CODES;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::asked::{Answer, Call, Line};
use crate::collector::{Receiver, Told, hex};
use crate::monitoring::metrics;
use crate::rig::doorward::Doorward;
use crate::rig::http1::{request, send};
use crate::rig::process::Process;
use crate::rig::wait::until;
use crate::world::{ALICE, BOB, command, setup, started};

/// Every service twice: enforced for `production.example`, watched for `staging.example`.
const POLICY: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
log: {allows: 1, refusals_per_second: 1000000}
permissions: [{id: 01968c91-8789-7288-a337-f0e398711aac, name: manage, description: d}]
issuers:
  away: {issuer: "https://away.example", audiences: [a], algorithms: [EdDSA], jwks_url: "http://127.0.0.1:9/jwks"}
infrastructures: [{name: production}, {name: staging}]
services:
  - name: keys
    paths: [/keys]
    authentication: {any: [api_key]}
    rules: [{paths: [/keys/managed], permissions: [manage]}]
  - {name: gold, paths: [/gold], authentication: {any: [api_key]}, groups: {allow: [gold]}}
  - {name: near, paths: [/near], authentication: none, networks: {allow: [192.0.2.0/24]}}
  - {name: others, paths: [/others], authentication: {any: [api_key]}}
  - {name: off, paths: [/off], authentication: none}
  - {name: pages, paths: [/pages], authentication: {any: [cookie]}}
  - {name: names, paths: [/names], authentication: {any: [basic]}}
  - {name: away, paths: [/away], authentication: {any: [{jwt: {issuer: away}}]}}
  - {name: lost, paths: [/lost], authentication: {any: [api_key], anonymous: 0196a1f0-0000-7000-8000-000000000099}}
"#;

const SERVICES: [&str; 9] = ["keys", "gold", "near", "others", "off", "pages", "names", "away", "lost"];

/// Whose passwords take about a second to hash, so that whoever waits for one waits long.
const SLOW: usize = 200;
const SLOW_HASH: &str =
    "$argon2id$v=19$m=65536,t=16,p=1$bm9ib2R5IGhhcyBpdA$uV0ZBkfXGQd2ZwEjmaJ3bcnMdcTMCM9nE4u3Q0xqJzw";

fn policy(more: &str) -> String {
    let mut policy = format!("{POLICY}\n{more}\ndeployments:\n");
    for name in SERVICES {
        let off = if name == "off" { ", enabled: false" } else { "" };
        for (infrastructure, mode) in [("production", "enforce"), ("staging", "shadow")] {
            let _ = writeln!(
                policy,
                "- {{service: {name}, infrastructure: {infrastructure}, hosts: [{infrastructure}.example], \
                 override: {{mode: {mode}}}{off}}}"
            );
        }
    }
    policy += "consumers:\n- {username: alice, keys: [{from_env: ALICE_KEY}]}\n\
               - {username: bob, keys: [{from_env: BOB_KEY, services: [others]}]}\n";
    for number in 0..SLOW {
        let _ = writeln!(policy, "- {{username: slow-{number}, password_from_env: SLOW_HASH}}");
    }
    policy
}

const PATIENCE: Duration = Duration::from_secs(30);

/// What is told of a decision under one name wherever it is told.
const FACTS: [&str; 10] = [
    "verdict",
    "code",
    "mode",
    "service",
    "infrastructure",
    "consumer",
    "username",
    "credential",
    "client",
    "client_from",
];

type Facts = BTreeMap<&'static str, Option<String>>;

fn facts(of: impl Fn(&str) -> Option<String>) -> Facts {
    FACTS.map(|name| (name, of(name))).into()
}

fn facts_in(object: &Value) -> Facts {
    facts(|name| object[name].as_str().map(str::to_owned))
}

/// Those that a span has too, and how it calls them.
const OF_SPANS: [(&str, &str); 7] = [
    ("verdict", "doorward.verdict"),
    ("code", "doorward.code"),
    ("mode", "doorward.mode"),
    ("service", "doorward.service"),
    ("infrastructure", "doorward.infrastructure"),
    ("consumer", "doorward.consumer"),
    ("client", "client.address"),
];

/// A running server with somebody who follows it, and who gets its spans.
struct Scene {
    doorward: Doorward,
    receiver: Receiver,
    runtime: Runtime,
    line: Line,
    tail: Process,
    /// Decisions so far, as the log and the follower have them.
    told: usize,
    calls: usize,
    slow: usize,
    session: Option<String>,
    _folder: TempDir,
}

impl Scene {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let receiver = Receiver::start().unwrap();
        let setup = setup(&folder.path().join("doorward"))
            .with("SLOW_HASH", SLOW_HASH)
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", receiver.address()))
            .with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
            .with("OTEL_BSP_SCHEDULE_DELAY", "10");
        setup.write(&policy(more)).unwrap();
        let doorward = started(&setup);
        let tail = follow(&doorward, folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let line = runtime.block_on(Line::to(doorward.grpc()));
        Self {
            doorward,
            receiver,
            runtime,
            line,
            tail,
            told: 0,
            calls: 0,
            slow: 0,
            session: None,
            _folder: folder,
        }
    }

    /// Makes the calls at once, and holds against each other what is told of each.
    #[track_caller]
    fn ask(&mut self, mut calls: Vec<Call>) -> Vec<Answer> {
        let ids: Vec<String> = calls
            .iter_mut()
            .map(|call| {
                self.calls += 1;
                let id = format!("call-{}", self.calls);
                *call = std::mem::take(call).with("x-request-id", &id);
                id
            })
            .collect();
        let counted = counted(&self.doorward);
        let answers = self.runtime.block_on(self.line.ask_all(&calls));
        let logged = self.more(|scene| decisions(&scene.doorward.output()), calls.len());
        let followed = self.more(|scene| decisions(&scene.tail.output()), calls.len());
        self.told += calls.len();

        let mut counts = counted;
        for (id, answer) in ids.iter().zip(&answers) {
            let counter = ["verdict", "code", "mode"].map(|name| answer.metadata.get(name).cloned());
            *counts.entry(counter.map(Option::unwrap_or_default)).or_default() += 1;
            self.agree(id, answer, &logged, &followed);
        }
        assert_eq!(counts, self::counted(&self.doorward), "what is counted is what was answered");
        answers
    }

    /// The decisions since the last calls, so many.
    #[track_caller]
    fn more(&self, told: impl Fn(&Self) -> Vec<Value>, count: usize) -> Vec<Value> {
        let found = until("each decision is told", PATIENCE, || {
            let told = told(self);
            (told.len() >= self.told + count).then_some(told)
        });
        let mut found = found.unwrap_or_else(|message| panic!("{message}"));
        assert_eq!(found.len(), self.told + count, "each decision is told once");
        found.split_off(self.told)
    }

    #[track_caller]
    fn agree(&self, id: &str, answer: &Answer, logged: &[Value], followed: &[Value]) {
        let of_answer = facts(|name| answer.metadata.get(name).cloned());
        // A request that was not read has no name, and there is one of a kind at a time.
        let of_call = |told: &&Value| {
            told["request_id"] == id || told["request_id"] == "" && facts_in(told) == of_answer
        };
        let one = |told: &[Value]| {
            told.iter().find(of_call).unwrap_or_else(|| panic!("{id}, {answer:?}: {told:?}")).clone()
        };
        let (logged, followed) = (one(logged), one(followed));
        let is_named = logged["request_id"] == id;
        let mut told = vec![("log", logged.clone()), ("tail", followed.clone())];
        if is_named {
            let kept = command(&self.doorward, &["explain", "--request-id", id]);
            assert_eq!(kept.as_array().map(Vec::len), Some(1), "{kept}");
            let kept = kept[0].clone();
            assert_eq!(kept["status"], answer.status, "{kept}");
            assert_eq!(kept["answer"]["code"].as_str(), answer.code.as_deref(), "{kept}");
            assert_eq!(kept["answer"]["error_response"] == true, answer.is_error, "{kept}");
            assert_eq!(kept["method"].as_str(), answer.metadata.get("method").map(String::as_str), "{kept}");
            assert_eq!(kept["upstream"].is_null(), answer.status != 200, "{kept}");
            let steps = kept["steps"].as_array().unwrap();
            assert!(steps.iter().all(Value::is_object), "the steps fit to the answer: {kept}");
            for name in ["method", "host", "path"] {
                assert_eq!(kept["request"][name], logged[name], "{name}: {kept}, {logged}");
            }
            told.push(("explain --request-id", kept));
        }
        // One more to tell of decisions is one more line here.
        for (place, told) in &told {
            assert_eq!(facts_in(told), of_answer, "{place} of {id}: {told}");
            for name in ["request_id", "why", "duration_us"] {
                assert_eq!(told[name], logged[name], "{name} of {id} in {place}");
            }
        }
        let span = self.span(&logged);
        for (name, key) in OF_SPANS {
            assert_eq!(span.attribute(key), of_answer[name], "{name} of {id}: {span:?}");
        }
        for (name, key) in [("request_id", "doorward.request_id"), ("why", "doorward.why")] {
            let logged = logged[name].as_str().filter(|text| !text.is_empty());
            assert_eq!(span.attribute(key).as_deref(), logged, "{name} of {id}: {span:?}");
        }
        let method = answer.metadata.get("method");
        assert_eq!(span.attribute("doorward.method").as_ref(), method, "{id}: {span:?}");
        for name in ["level", "target", "message", "method", "path", "host", "trace_id", "span_id"] {
            assert_eq!(followed[name], logged[name], "{name} of {id}");
        }
        assert_eq!(answer.code.is_some(), answer.status != 200, "{answer:?}");
        if let Some(code) = &answer.code {
            assert_eq!(Some(code), answer.metadata.get("code"), "{answer:?}");
        }
    }

    /// The one span of a logged decision.
    #[track_caller]
    fn span(&self, logged: &Value) -> Told {
        let ids = |told: &Told| [hex(&told.span.trace_id), hex(&told.span.span_id)];
        let of_line = |told: &Told| {
            ids(told).iter().zip(["trace_id", "span_id"]).all(|(id, name)| logged[name] == id.as_str())
        };
        let found = until("there is a span", PATIENCE, || {
            let found: Vec<Told> = self.receiver.told().into_iter().filter(of_line).collect();
            (!found.is_empty()).then_some(found)
        });
        let mut found = found.unwrap_or_else(|message| panic!("{message}: {logged}"));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    /// Somebody's password that nobody has tried yet.
    fn slow(&mut self) -> String {
        let name = format!("slow-{}", self.slow);
        self.slow += 1;
        assert!(self.slow <= SLOW, "none are left");
        basic(&name)
    }

    /// The cookie of somebody who is logged in.
    fn session(&mut self) -> String {
        if let Some(session) = &self.session {
            return session.clone();
        }
        command(&self.doorward, &["consumer", "create", "carol"]);
        self.doorward.set_password("carol", PASSWORD).unwrap();
        let body = json!({ "username": "carol", "password": PASSWORD }).to_string();
        let headers = [("Connection", "close"), ("Content-Type", "application/json")];
        let login = request("POST", "/auth/pages/login", &headers, body.as_bytes());
        let reply = send(self.doorward.auth_address(), &login).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let set = reply.header("set-cookie").unwrap();
        self.session.insert(set.split_once(';').unwrap().0.to_owned()).clone()
    }
}

const PASSWORD: &str = "four words of her own";

fn basic(name: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:four words of nobody")))
}

/// Follows all decisions, from now on.
fn follow(doorward: &Doorward, folder: &Path) -> Process {
    let command = doorward.setup().command(&["tail", "--output", "json"]);
    let tail = Process::start("tail", command, &folder.join("tail.log")).unwrap();
    until("somebody follows", PATIENCE, || {
        metrics(doorward).contains("\ndoorward_followers 1\n").then_some(())
    })
    .unwrap_or_else(|message| panic!("{message}"));
    tail
}

/// The decisions among lines; the last one may not be whole yet.
fn decisions(output: &str) -> Vec<Value> {
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == "doorward::check").collect()
}

/// `doorward_checks_total` by verdict, code and mode, without zeros.
fn counted(doorward: &Doorward) -> BTreeMap<[String; 3], u64> {
    let metrics = metrics(doorward);
    let samples =
        metrics.lines().filter_map(|line| line.strip_prefix("doorward_checks_total{")?.split_once("} "));
    let label = |labels: &str, name: &str| {
        let value = labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""));
        value.unwrap().trim_end_matches('"').to_owned()
    };
    let samples = samples.map(|(labels, count)| {
        (["verdict", "code", "mode"].map(|name| label(labels, name)), count.parse().unwrap())
    });
    samples.filter(|(_, count)| *count > 0).collect()
}

/// How a request is brought to a code, at a deployment; `None`: no deployment is ever named then.
#[rustfmt::skip] // A table is read by its columns.
fn call(scene: &mut Scene, code: &str, on: &'static str) -> Option<Call> {
    let get = |path: &str| Call::get(&format!("{on}.example"), path);
    Some(match code {
        ""                     => get("/keys").with("apikey", ALICE),
        "malformed_request"    => Call { route: Some(("keys", on)), ..get("keys") },
        "ambiguous_path"       => get("/keys//x").with("apikey", ALICE),
        "missing_credential"   => get("/keys"),
        "duplicate_credential" => get("/keys").with("apikey", &format!("{ALICE},{BOB}")),
        "invalid_credential"   => get("/keys").with("apikey", "wrong-0123456789-abcdef"),
        "network_denied"       => get("/near"),
        "service_denied"       => get("/keys").with("apikey", BOB),
        "group_denied"         => get("/gold").with("apikey", ALICE),
        "permission_denied"    => get("/keys/managed").with("apikey", ALICE),
        "origin_denied"        => get("/pages").with("cookie", &scene.session()).with("origin", "https://evil.example"),
        "deployment_disabled"  => get("/off"),
        "internal"             => get("/lost"),
        "throttled"            => get("/names").with("authorization", &basic("carol")),
        "unavailable"          => get("/away").with("authorization", &format!("Bearer {TOKEN}")),
        "deadline"             => Call { timeout: Some("300m"), ..get("/names").with("authorization", &scene.slow()) },
        "overloaded"           => Call { timeout: Some("2S"), ..get("/names").with("authorization", &scene.slow()) },
        "unknown_service" | "check_too_large" => return None,
        new => panic!("`{new}` is a code that no case leads to: add one"),
    })
}

/// Of a form that is looked at, and signed by nobody: `{"alg":"EdDSA","kid":"1"}`, `{"iss":"https://away.example"}`.
const TOKEN: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2F3YXkuZXhhbXBsZSJ9.AAAA";

/// Whether a refusal with this code is carried out where the deployment is only watched.
fn is_always_enforced(code: &str) -> bool {
    code == "malformed_request"
}

/// Codes that come of passwords which wait to be hashed: after the others, which must not wait for them.
const LAST: [&str; 2] = ["overloaded", "deadline"];

#[test]
fn r32_whatever_is_told_of_a_decision_agrees_for_every_code_enforced_and_watched() {
    let mut scene = Scene::start("limits: {login_failures: 2, passwords_waiting: 1, check_bytes: 64KiB}");
    let codes = CODES.iter().filter(|code| !LAST.contains(code)).chain(&LAST);
    for code in [""].iter().chain(codes) {
        for (on, mode) in [("production", "enforce"), ("staging", "shadow")] {
            let found = match call(&mut scene, code, on) {
                Some(call) => bring_about(&mut scene, code, mode, call, on),
                None => unnamed(&mut scene, code),
            };
            let passes = code.is_empty() || found.metadata["mode"] == "shadow" && !is_always_enforced(code);
            assert_eq!(found.status == 200, passes, "{code} {mode}: {found:?}");
            assert_eq!(found.is_error, *code == "unavailable" && mode == "enforce", "{code} {mode}");
        }
    }
    // What is refused before it is read.
    let late = Call { timeout: Some("50m"), breaks_off: true, ..Call::get("production.example", "/keys") };
    assert_eq!(scene.ask(vec![late])[0].code.as_deref(), Some("deadline"));
}

/// Asks until the code comes, which with passwords may take more than one try.
#[track_caller]
fn bring_about(scene: &mut Scene, code: &str, mode: &str, first: Call, on: &'static str) -> Answer {
    let expected = |answer: &Answer| {
        let found = ["code", "mode"].map(|name| answer.metadata.get(name).map_or("", String::as_str));
        found == [code, mode] && answer.metadata.contains_key("service")
    };
    let mut next = vec![first];
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if code == "overloaded" {
            // As many as are hashed at once, one that waits, and more.
            let threads = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
            (0..threads + 2).for_each(|_| next.extend(call(scene, code, on)));
        }
        let answers = scene.ask(std::mem::take(&mut next));
        if let Some(found) = answers.into_iter().find(expected) {
            return found;
        }
        assert!(LAST.contains(&code) || code == "throttled", "{code} {mode}");
        // What was hashed for others takes its time, longer on a busy machine; nobody is told when it is over.
        std::thread::sleep(Duration::from_millis(250));
        next.extend(call(scene, code, on));
    }
    panic!("{code} {mode} does not come about");
}

#[track_caller]
fn unnamed(scene: &mut Scene, code: &str) -> Answer {
    let elsewhere = Call::get("production.example", "/elsewhere");
    let call = match code {
        "check_too_large" => elsewhere.with("x", &"y".repeat(70_000)),
        _ => elsewhere,
    };
    let answer = scene.ask(vec![call]).remove(0);
    assert_eq!(answer.code.as_deref(), Some(code));
    answer
}

#[test]
fn it_agrees_too_where_a_fault_is_a_denial_and_where_no_more_checks_are_taken() {
    let mut scene = Scene::start("on_fault: deny\nlimits: {checks_in_flight: 1}");
    for (on, status) in [("production", 503), ("staging", 200)] {
        let call = call(&mut scene, "unavailable", on).unwrap();
        let answer = scene.ask(vec![call]).remove(0);
        assert_eq!((answer.status, answer.is_error), (status, false), "{answer:?}");
        assert_eq!((&*answer.metadata["verdict"], &*answer.metadata["code"]), ("fault", "unavailable"));
    }
    for _ in 0..20 {
        let two = (0..2).filter_map(|_| call(&mut scene, "overloaded", "production")).collect();
        if scene.ask(two).iter().any(|answer| answer.code.as_deref() == Some("overloaded")) {
            return;
        }
    }
    panic!("one was always done before the other came");
}
