//! Traces: a real Envoy with its OpenTelemetry tracer, Doorward, and a real collector that gets the spans of both.

use std::time::Duration;

use doorward::domain::jwt::Algorithm;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::collector::{Collector, Receiver, Told, attribute, hex};
use crate::jwt::{bearer, claims, key};
use crate::monitoring::metrics;
use crate::rig::doorward::Doorward;
use crate::rig::echo::Echo;
use crate::rig::envoy::Envoy;
use crate::rig::http1::{Reply, request, send};
use crate::rig::process::Signal;
use crate::rig::sample::fill;
use crate::rig::wait::until;
use crate::samples::TRACED;
use crate::world::{ALICE, said, setup, started};

const POLICY: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
drain_delay: 0s
log: {allows: 1}
forward_auth: {nginx: {peers: [127.0.0.1]}}
issuers:
  away: {issuer: "https://away.example", audiences: [orders], algorithms: [EdDSA], jwks_url: "http://127.0.0.1:9/jwks"}
services:
  - {name: orders, paths: [/orders], authentication: {any: [{api_key: {}}]}}
  - {name: tokens, paths: [/tokens], authentication: {any: [{jwt: {issuer: away}}]}}
consumers:
  - {username: alice, keys: [{from_env: ALICE_KEY}]}
"#;

/// Everything, wired as docs/monitoring.md says.
struct Traced {
    envoy: Envoy,
    doorward: Doorward,
    receiver: Receiver,
    _collector: Collector,
    _echo: Echo,
    _folder: TempDir,
}

impl Traced {
    /// Envoy traces that share of a hundred requests; Doorward exports by that protocol.
    fn new(share: u32, protocol: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let echo = Echo::start(0).unwrap();
        let receiver = Receiver::start().unwrap();
        let collector = Collector::start(folder.path(), receiver.address()).unwrap();
        let endpoint = match protocol {
            "grpc" => collector.grpc,
            _ => collector.http,
        };
        let setup = setup(&folder.path().join("doorward"))
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{endpoint}"))
            .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .with("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test%20rig")
            .with("OTEL_BSP_SCHEDULE_DELAY", "50");
        setup.write(POLICY).unwrap();
        let doorward = started(&setup);
        let values = [
            ("admin", "0".to_owned()),
            ("listener", "0".to_owned()),
            ("share", share.to_string()),
            ("doorward", doorward.grpc().port().to_string()),
            ("auth", doorward.auth_address().port().to_string()),
            ("upstream", echo.address().port().to_string()),
            ("collector", collector.grpc.port().to_string()),
        ];
        let config = fill(TRACED, &values).unwrap();
        let envoy = Envoy::start(folder.path(), &config, 1).unwrap_or_else(|message| panic!("{message}"));
        Self { envoy, doorward, receiver, _collector: collector, _echo: echo, _folder: folder }
    }

    fn get(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        send(self.envoy.listener("main"), &request("GET", target, headers, b"")).unwrap()
    }

    /// The span of the check that has such an attribute.
    #[track_caller]
    fn ours(&self, attribute: &str, value: &str) -> Told {
        self.find(&format!("a span of ours has {attribute}={value}"), |told| {
            told.by == "doorward" && told.attribute(attribute).as_deref() == Some(value)
        })
    }

    #[track_caller]
    fn find(&self, what: &str, of: impl Fn(&Told) -> bool) -> Told {
        let found = until(what, Duration::from_secs(30), || self.receiver.told().into_iter().find(&of));
        found.unwrap_or_else(|message| panic!("{message}: {:#?}", self.receiver.told()))
    }

    #[track_caller]
    fn line(&self, told: &Told) -> Value {
        line(&self.doorward, &told.span.span_id)
    }
}

/// The line of the log that names a span.
#[track_caller]
fn line(doorward: &Doorward, span_id: &[u8]) -> Value {
    let id = hex(span_id);
    let line = until("the log has the span", Duration::from_secs(30), || {
        let output = doorward.output();
        let mut lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["span_id"] == id.as_str())
    });
    line.unwrap_or_else(|message| panic!("{message}\n{}", doorward.output()))
}

/// What the log line and the span both say.
#[track_caller]
fn agree(line: &Value, told: &Told) {
    assert_eq!(line["trace_id"], hex(&told.span.trace_id).as_str(), "{line}");
    for (field, key) in [
        ("verdict", "doorward.verdict"),
        ("mode", "doorward.mode"),
        ("code", "doorward.code"),
        ("why", "doorward.why"),
        ("service", "doorward.service"),
        ("infrastructure", "doorward.infrastructure"),
        ("consumer", "doorward.consumer"),
        ("request_id", "doorward.request_id"),
        ("client", "client.address"),
    ] {
        let logged = line[field].as_str().filter(|text| !text.is_empty());
        assert_eq!(logged, told.attribute(key).as_deref(), "{field}: {line} {told:#?}");
    }
    let took = told.span.end_time_unix_nano - told.span.start_time_unix_nano;
    assert!(took / 1000 >= line["duration_us"].as_u64().unwrap(), "{line} {told:#?}");
}

#[test]
fn envoys_span_and_ours_are_one_trace_and_say_what_log_and_answer_say() {
    let world = Traced::new(100, "http/protobuf");
    let forged = format!("00-{}-{}-01", "a".repeat(32), "b".repeat(16));
    let token = key("1", Algorithm::EdDsa).sign(&claims("https://away.example")).unwrap();
    let (wrong, bearer) = ("wrong-0123456789-abcdef", bearer(&token));
    for (target, header, status, verdict, code, method) in [
        ("/orders?page=2", ("apikey", ALICE), 200, "allow", None, Some("api_key")),
        ("/orders?page=2", ("apikey", wrong), 401, "deny", Some("invalid_credential"), Some("api_key")),
        ("/tokens?page=2", ("authorization", &*bearer), 503, "fault", Some("unavailable"), Some("jwt")),
        ("/nowhere?page=2", ("traceparent", &*forged), 404, "deny", Some("unknown_service"), None),
    ] {
        let reply = world.get(target, &[header]);
        assert_eq!(reply.status, status, "{target}");
        let ours = world.find(&format!("{verdict} {code:?} is a span"), |told| {
            told.by == "doorward"
                && told.attribute("doorward.verdict").as_deref() == Some(verdict)
                && told.attribute("doorward.code").as_deref() == code
        });
        agree(&world.line(&ours), &ours);
        assert_eq!(ours.attribute("doorward.method").as_deref(), method, "{ours:#?}");
        if status != 200 {
            let problem = reply.json();
            assert_eq!(problem["code"].as_str(), code);
            assert_eq!(problem["request_id"].as_str(), ours.attribute("doorward.request_id").as_deref());
        }

        let span = &ours.span;
        assert_eq!(span.name, "envoy.service.auth.v3.Authorization/Check");
        assert_eq!(span.kind(), SpanKind::Server);
        let failed = span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
        assert_eq!(failed, verdict == "fault", "{ours:#?}");
        assert_eq!(ours.attribute("error.type").as_deref(), code.filter(|_| failed));

        let asking = world.find("Envoy's span of the check is there", |told| {
            told.by == "envoy" && told.span.span_id == span.parent_span_id
        });
        assert_eq!(asking.span.trace_id, span.trace_id);
        assert_eq!(asking.span.kind(), SpanKind::Client, "{asking:#?}");
        let whole = world.find("Envoy's span of the request is there", |told| {
            told.by == "envoy" && told.span.span_id == asking.span.parent_span_id
        });
        assert!(whole.span.parent_span_id.is_empty(), "a client has no say: {whole:#?}");
        assert_ne!(hex(&whole.span.trace_id), "a".repeat(32));
    }
    let all = world.receiver.told().into_iter().filter(|told| told.by == "doorward");
    let all: Vec<Told> = all.collect();
    assert_eq!(all.len(), 4, "one a check: {all:#?}");
    let text = format!("{all:?}");
    for secret in [ALICE, wrong, &token, "page=2"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let environment = attribute(&all[0].resource, "deployment.environment.name");
    assert_eq!(environment.as_deref(), Some("test rig"));
    until("all are counted", Duration::from_secs(30), || {
        metrics(&world.doorward).contains("\ndoorward_spans_exported_total 4\n").then_some(())
    })
    .unwrap_or_else(|message| panic!("{message}"));
}

#[test]
fn what_envoy_does_not_record_we_do_not_either_and_at_the_end_nothing_is_left() {
    let mut world = Traced::new(0, "grpc");
    assert_eq!(world.get("/orders", &[("apikey", ALICE)]).status, 200);
    // An asker of another kind, which says nothing of a trace: one begins here.
    let headers =
        [("x-original-method", "GET"), ("x-original-uri", "/orders"), ("x-original-host", "x.example")];
    let question = request("GET", "/check/nginx/orders", &headers, b"");
    let answer = send(world.doorward.auth_address(), &question).unwrap();
    assert_eq!(answer.status, 401);
    world.doorward.signal(Signal::TERM).unwrap();
    let ended = world.doorward.process().wait(Duration::from_secs(30)).unwrap();
    assert!(ended.success(), "{ended}");

    let ours = world.ours("doorward.code", "missing_credential");
    assert_eq!(ours.span.name, "/check/nginx");
    assert_eq!(ours.attribute("http.route").as_deref(), Some("/check/nginx"));
    assert!(ours.span.parent_span_id.is_empty());
    agree(&world.line(&ours), &ours);
    assert_eq!(world.receiver.told().len(), 1, "{:#?}", world.receiver.told());
    let allowed = |line: &&str| line.contains(r#""verdict":"allow""#);
    let output = world.doorward.output();
    let line = output.lines().find(allowed).unwrap();
    assert!(!line.contains("trace_id"), "{line}");
}

#[test]
fn decision_lines_are_log_records_where_somebody_asks_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().unwrap();
    let collector = Collector::start(folder.path(), receiver.address()).unwrap();
    for (protocol, endpoint) in [("http/protobuf", collector.http), ("grpc", collector.grpc)] {
        let before = receiver.records().len();
        let setup = setup(&folder.path().join(protocol))
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{endpoint}"))
            .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .with("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .with("OTEL_LOGS_EXPORTER", "otlp")
            .with("OTEL_BLRP_SCHEDULE_DELAY", "50");
        setup.write(POLICY).unwrap();
        let doorward = started(&setup);
        let wrong = "wrong-0123456789-abcdef";
        for (key, status) in [(ALICE, 200), (wrong, 401)] {
            let headers = [
                ("x-original-method", "GET"),
                ("x-original-uri", "/orders?page=2"),
                ("x-original-host", "x.example"),
                ("x-real-ip", "203.0.113.9"),
                ("apikey", key),
            ];
            let question = request("GET", "/check/nginx/orders", &headers, b"");
            assert_eq!(send(doorward.auth_address(), &question).unwrap().status, status);
        }
        let records = until("both are there", Duration::from_secs(30), || {
            let records = receiver.records();
            (records.len() >= before + 2).then_some(records)
        });
        let records = records.unwrap_or_else(|message| panic!("{message}: {}", doorward.output()));
        assert_eq!(records.len(), before + 2, "{records:#?}");
        for record in &records[before..] {
            let told = |key: &str| attribute(&record.attributes, key);
            let line = line(&doorward, &record.span_id);
            for (field, key) in [
                ("verdict", "doorward.verdict"),
                ("mode", "doorward.mode"),
                ("code", "doorward.code"),
                ("why", "doorward.why"),
                ("service", "doorward.service"),
                ("method", "http.request.method"),
                ("path", "url.path"),
                ("host", "server.address"),
                ("client", "client.address"),
                ("client_from", "doorward.client_from"),
                ("credential", "doorward.credential"),
                ("consumer", "doorward.consumer"),
                ("username", "doorward.username"),
            ] {
                assert_eq!(line[field].as_str(), told(key).as_deref(), "{field}: {line} {record:#?}");
            }
            assert_eq!(line["trace_id"], hex(&record.trace_id).as_str(), "{line} {record:#?}");
            assert_eq!(record.severity_text, line["level"].as_str().unwrap());
            assert!(record.time_unix_nano > 0 && told("doorward.duration_us").is_some(), "{record:#?}");
        }
        let text = format!("{records:?}");
        for secret in [ALICE, wrong, "page=2"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        until("both are counted", Duration::from_secs(30), || {
            metrics(&doorward).contains("\ndoorward_log_records_exported_total 2\n").then_some(())
        })
        .unwrap_or_else(|message| panic!("{message}"));
    }
}

#[test]
fn a_receiver_that_is_away_costs_spans_and_no_check() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path())
        .with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces?api-key=s3CreT")
        .with("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
        .with("OTEL_BSP_SCHEDULE_DELAY", "10");
    setup.write(POLICY).unwrap();
    let doorward = started(&setup);
    let headers =
        [("x-original-method", "GET"), ("x-original-uri", "/orders"), ("x-original-host", "x.example")];
    let question = request("GET", "/check/nginx/orders", &headers, b"");
    let lost = |least: u64| {
        until("spans were lost", Duration::from_secs(30), || {
            assert_eq!(send(doorward.auth_address(), &question).unwrap().status, 401);
            let text = metrics(&doorward);
            let count = text
                .lines()
                .find_map(|line| line.strip_prefix(r#"doorward_spans_dropped_total{reason="export"} "#))
                .and_then(|count| count.parse::<u64>().ok());
            count.filter(|count| *count >= least)
        })
        .unwrap()
    };
    let once = lost(1);
    lost(once + 1);
    let lines = until("the log says so", Duration::from_secs(30), || {
        let output = doorward.output();
        let lines = output.lines().filter(|line| line.contains("spans cannot be exported"));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        (!lines.is_empty()).then_some(lines)
    });
    let lines = lines.unwrap_or_else(|message| panic!("{message}"));
    assert_eq!(lines.len(), 1, "said once in a while: {lines:?}");
    assert!(
        lines[0].contains("Connection refused") && lines[0].contains("127.0.0.1:9/v1/traces"),
        "{}",
        lines[0]
    );
    let output = doorward.output();
    assert!(output.contains("checks are traced") && !output.contains("s3CreT"), "{output}");
}

#[test]
fn what_the_environment_says_wrongly_keeps_it_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path())
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
        .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3CreT,x")
        .with("OTEL_TRACES_SAMPLER", "sometimes");
    setup.write(POLICY).unwrap();
    for command in ["validate", "serve"] {
        let output = setup.run(&[command]).unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        for message in [
            "OTEL_EXPORTER_OTLP_ENDPOINT: found `collector:4318`, expected an address such as `http://collector:4318`",
            "OTEL_EXPORTER_OTLP_HEADERS: the header at place 2 cannot be read, expected `name=value`, percent-encoded",
            "OTEL_TRACES_SAMPLER: found `sometimes`, expected one of `always_on`, `always_off`, `traceidratio`, ",
        ] {
            assert!(said(&output).contains(message), "{message}: {}", said(&output));
        }
        assert!(!said(&output).contains("s3CreT"), "{}", said(&output));
    }
    // The usual port of the other protocol is a warning, and a file that is missing a fault.
    let with = |name: &str, value: &str| {
        let setup =
            crate::world::setup(folder.path()).with("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:4317");
        setup.with(name, value).run(&["validate"]).unwrap()
    };
    let warned = with("OTEL_SERVICE_NAME", "edge");
    assert!(warned.status.success(), "{}", said(&warned));
    assert!(said(&warned).contains("warning: OTEL_EXPORTER_OTLP_PROTOCOL: the port"), "{}", said(&warned));
    let missing = with("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem");
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("/nowhere/ca.pem cannot be used"), "{}", said(&missing));
}

#[test]
fn what_is_not_recorded_takes_nothing_from_the_heap() {
    use doorward::clock::Clock;
    use doorward::domain::traced::Door;
    use doorward::telemetry::otlp::Settings;
    use doorward::telemetry::{Readiness, Telemetry};

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _within = runtime.enter();
    let begun = |sampler: &str, parent: Option<&str>| {
        let variables = [("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_TRACES_SAMPLER", sampler)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::of_traces(variables).unwrap().unwrap();
        let telemetry = Telemetry::new(Clock::system(), Readiness::new().into());
        let (traces, _exporter) = telemetry.trace(&settings).unwrap();
        let mut headers = http::HeaderMap::new();
        if let Some(parent) = parent {
            headers.insert("traceparent", parent.parse().unwrap());
        }
        let mut last = None;
        let begin = |last: &mut Option<_>| *last = traces.begin(Door::Http("/"), &headers);
        begin(&mut last);
        let taken = allocation_counter::measure(|| begin(&mut last)).count_total;
        (last.is_some(), taken)
    };
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    assert_eq!(begun("parentbased_always_on", Some(unsampled)), (false, 0));
    assert_eq!(begun("parentbased_always_off", Some("no traceparent")), (false, 0));
    assert_eq!(begun("always_off", None), (false, 0));
    assert!(begun("traceidratio", Some(unsampled)).0);
}
