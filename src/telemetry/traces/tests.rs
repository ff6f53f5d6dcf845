#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::*;
use crate::clock::Hand;
use crate::domain::time::Timestamp;
use crate::telemetry::log::{Capture, Format, subscriber};
use crate::telemetry::otlp::Wrong;
use crate::telemetry::otlp::settings::{Batching, Protocol};
use crate::telemetry::{Readiness, Telemetry, VerdictLabel};

fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, Vec<Wrong>> {
    Settings::of_traces(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn settings(variables: &[(&str, &str)]) -> Settings {
    let all = [&[("OTEL_TRACES_EXPORTER", "otlp")], variables].concat();
    read(&all).unwrap_or_else(|wrong| panic!("{wrong:?}")).expect("traces are asked for")
}

#[test]
fn traces_are_off_unless_somebody_asks_for_them() {
    let on = |variables: &[(&str, &str)]| read(variables).unwrap().is_some();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    assert!(!on(&[]));
    assert!(!on(&[("OTEL_SERVICE_NAME", "edge"), ("OTEL_TRACES_SAMPLER", "nonsense")]));
    assert!(!on(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
    assert!(on(&[endpoint]));
    assert!(on(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")]));
    assert!(on(&[("OTEL_TRACES_EXPORTER", "otlp")]));
    assert!(!on(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
    assert!(!on(&[endpoint, ("OTEL_SDK_DISABLED", "true")]));
    assert!(!on(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]));
    assert!(on(&[endpoint, ("OTEL_SDK_DISABLED", "false")]));
}

#[test]
fn logs_are_off_unless_somebody_asks_for_them_and_have_variables_of_their_own() {
    let logs = |variables: &[(&str, &str)]| {
        let all = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::of_logs(all).unwrap()
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    assert!(logs(&[]).is_none());
    assert!(logs(&[endpoint]).is_none(), "that one may take traces alone");
    let (otlp, off) = (("OTEL_LOGS_EXPORTER", "otlp"), ("OTEL_SDK_DISABLED", "true"));
    assert!(logs(&[otlp, off]).is_none());
    let common = logs(&[endpoint, otlp, ("OTEL_TRACES_SAMPLER", "nonsense")]).unwrap();
    assert_eq!(common.receiver.endpoint, "http://collector:4318/v1/logs");
    let (delay, timeout) = (Duration::from_secs(1), Duration::from_secs(30));
    assert_eq!(common.batching, Batching { delay, timeout, queue: 2048, batch: 512 });
    let own = logs(&[
        endpoint,
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:1/in"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "7"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "9"),
    ])
    .unwrap();
    assert_eq!(own.receiver.endpoint, "http://logs:1/in");
    assert_eq!((own.receiver.timeout, own.batching.queue), (Duration::from_millis(7), 9));
}

#[test]
fn the_receiver_is_where_the_variables_say() {
    let check = |variables: &[(&str, &str)], protocol, endpoint: &str| {
        let found = settings(variables).receiver;
        assert_eq!(
            (found.protocol, found.endpoint.to_string().as_str()),
            (protocol, endpoint),
            "{variables:?}"
        );
    };
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    check(&[], Protocol::Http, "http://localhost:4318/v1/traces");
    check(&[grpc], Protocol::Grpc, "http://localhost:4317/");
    let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:9/base/");
    check(&[general], Protocol::Http, "https://collector:9/base/v1/traces");
    // The one of traces holds as it stands.
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/in");
    check(&[general, own], Protocol::Http, "http://traces:4318/in");
    check(&[own, ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")], Protocol::Grpc, "http://traces:4318/in");
    check(
        &[grpc, ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"), general],
        Protocol::Http,
        "https://collector:9/base/v1/traces",
    );
    // gRPC alone may leave the scheme out, and then it is TLS.
    check(
        &[grpc, ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")],
        Protocol::Grpc,
        "https://collector:4317/",
    );
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
    check(
        &[grpc, insecure, ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")],
        Protocol::Grpc,
        "http://collector:4317/",
    );
}

#[test]
fn a_key_in_the_query_of_an_endpoint_is_sent_and_not_told() {
    let given = settings(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://r:1/v1/traces?api-key=s3CreT")]);
    assert_eq!(given.receiver.endpoint, "https://r:1/v1/traces?api-key=s3CreT");
    assert_eq!(given.receiver(), "https://r:1/v1/traces");
}

#[test]
fn everything_else_has_its_standard_default_and_its_variable() {
    let usual = settings(&[]);
    assert_eq!(usual.receiver.timeout, Duration::from_secs(10));
    assert!(usual.receiver.headers.is_empty() && !usual.receiver.gzip);
    assert_eq!(usual.sampling, Sampling { as_the_asker: true, root: sampling::Root::All });
    let (delay, timeout) = (Duration::from_secs(5), Duration::from_secs(30));
    assert_eq!(usual.batching, Batching { delay, timeout, queue: 2048, batch: 512 });
    assert!(usual.resource.is_empty());

    let set = settings(&[
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=one,b=two"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20x, x-tenant = 7"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/own.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/own.key"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "200"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "300"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,team=a%2Cb"),
        ("OTEL_SERVICE_NAME", "edge"),
    ]);
    let headers: Vec<_> = set.receiver.headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let (bearer, tenant) = (HeaderValue::from_static("Bearer x"), HeaderValue::from_static("7"));
    assert_eq!(headers, [("authorization", &bearer), ("x-tenant", &tenant)]);
    assert_eq!(set.receiver.timeout, Duration::from_secs(2));
    assert!(set.receiver.gzip);
    assert_eq!(set.receiver.ca_file, Some("/ca.pem".into()));
    assert_eq!(set.receiver.own, Some(("/own.pem".into(), "/own.key".into())));
    assert_eq!(set.sampling, Sampling { as_the_asker: true, root: sampling::Root::Share(0.25) });
    let (delay, timeout) = (Duration::from_millis(100), Duration::from_millis(200));
    assert_eq!(set.batching, Batching { delay, timeout, queue: 300, batch: 300 });
    let told = |key: &str| set.resource.iter().rev().find(|(name, _)| name == key).map(|(_, value)| &**value);
    assert_eq!((told("service.name"), told("team")), (Some("edge"), Some("a,b")));
    for (sampler, as_the_asker, root) in [
        ("always_on", false, sampling::Root::All),
        ("always_off", false, sampling::Root::None),
        ("traceidratio", false, sampling::Root::Share(1.0)),
        ("parentbased_always_on", true, sampling::Root::All),
        ("parentbased_always_off", true, sampling::Root::None),
        ("parentbased_traceidratio", true, sampling::Root::Share(1.0)),
    ] {
        let found = settings(&[("OTEL_TRACES_SAMPLER", sampler)]).sampling;
        assert_eq!(found, Sampling { as_the_asker, root }, "{sampler}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_the_way_out() {
    #[track_caller]
    fn check(name: &str, value: &str, expected: &str) {
        let variables = [("OTEL_TRACES_EXPORTER", "otlp"), (name, value)];
        let given = if name == "OTEL_TRACES_EXPORTER" { &variables[1..] } else { &variables[..] };
        let wrong = match read(given) {
            Err(wrong) => wrong,
            Ok(_) => panic!("{name}={value} is taken"),
        };
        let [wrong] = &wrong[..] else { panic!("{wrong:?}") };
        assert_eq!(wrong.to_string(), format!("{name}: {expected}"));
    }
    check("OTEL_SDK_DISABLED", "yes", "found `yes`, expected one of `true`, `false`");
    check("OTEL_TRACES_EXPORTER", "zipkin", "found `zipkin`, expected one of `otlp`, `none`");
    check(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/json",
        "found `http/json`, expected one of `grpc`, `http/protobuf`",
    );
    check("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "found `zstd`, expected one of `gzip`, `none`");
    let address = "expected an address such as `http://collector:4318`";
    check("OTEL_EXPORTER_OTLP_ENDPOINT", "collector", &format!("found `collector`, {address}"));
    check("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://a", &format!("found `ftp://a`, {address}"));
    check("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:s3CreT@a", &format!("found a user in it, {address}"));
    let query = format!("found `http://a/` with a query, {address}");
    check("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a/?key=s3CreT", &query);
    check("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a/?key=s3CreT#b", &query);
    let fragment = format!("found `http://a/` with a fragment, {address}");
    check("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a/#s3CreT", &fragment);
    let number = "expected a whole number from 1 to 3600000";
    check("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", &format!("found `10s`, {number}"));
    check("OTEL_BSP_SCHEDULE_DELAY", "0", &format!("found `0`, {number}"));
    check("OTEL_BSP_EXPORT_TIMEOUT", "-1", &format!("found `-1`, {number}"));
    check("OTEL_BSP_MAX_QUEUE_SIZE", "1000001", "found `1000001`, expected a whole number from 1 to 1000000");
    check("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2049", "found `2049`, expected a whole number from 1 to 2048");
    let header = "cannot be read, expected `name=value`, percent-encoded";
    check("OTEL_EXPORTER_OTLP_HEADERS", "a=b,s3CreT", &format!("the header at place 2 {header}"));
    check("OTEL_EXPORTER_OTLP_HEADERS", "a b=s3CreT", &format!("the header at place 1 {header}"));
    check("OTEL_EXPORTER_OTLP_HEADERS", "a=%ff", &format!("the header at place 1 {header}"));
    check("OTEL_EXPORTER_OTLP_HEADERS", "a=%0a", &format!("the header at place 1 {header}"));
    let together = "a certificate and its key go together; set the other one too";
    check("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/own.key", together);
    check("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "/own.pem", together);
    check("OTEL_RESOURCE_ATTRIBUTES", "=x", "found `=x`, expected `name=value`, percent-encoded");
    check("OTEL_RESOURCE_ATTRIBUTES", "a\nb", "found `a\\nb`, expected `name=value`, percent-encoded");
    let share = [("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_TRACES_SAMPLER", "traceidratio")];
    for text in ["2", "-0.1", "NaN", "half"] {
        let wrong = read(&[&share[..], &[("OTEL_TRACES_SAMPLER_ARG", text)]].concat());
        let expected = format!("OTEL_TRACES_SAMPLER_ARG: found `{text}`, expected a share from 0 to 1");
        assert_eq!(wrong.err().unwrap()[0].to_string(), expected);
    }
}

/// Takes spans over gRPC, as the published protocol has it.
struct Receiving(mpsc::UnboundedSender<Span>);

#[tonic::async_trait]
impl TraceService for Receiving {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if request.metadata().get("x-tenant").is_none() {
            return Err(Status::unauthenticated("whose?"));
        }
        let of_scopes = request.into_inner().resource_spans.into_iter().flat_map(|one| one.scope_spans);
        for span in of_scopes.flat_map(|one| one.spans) {
            let _ = self.0.send(span);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn receiver() -> (String, mpsc::UnboundedReceiver<Span>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (told, spans) = mpsc::unbounded_channel();
    let service = TraceServiceServer::new(Receiving(told));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
    (address, spans)
}

/// Telemetry that records spans, with a clock that stands at 1,000 s.
fn tracing(variables: &[(&str, &str)]) -> (Telemetry, Arc<Traces>, Exporter<SpanData>, Hand) {
    let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_000));
    let telemetry = Telemetry::new(clock, Arc::new(Readiness::new()));
    let grpc = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let (traces, exporter) = telemetry.trace(&settings(&[&grpc, variables].concat())).unwrap();
    (telemetry, traces, exporter, hand)
}

fn line(traced: &Traced) -> DecisionLine<'_> {
    DecisionLine {
        request_id: "7d1c",
        verdict: VerdictLabel::Deny,
        mode: "enforce",
        traced: Some(traced),
        mistake: false,
        code: Some("invalid_credential"),
        why: Some("expired"),
        service: Some("orders"),
        infrastructure: None,
        method: b"GET",
        path: b"/orders?key=s3CreT",
        host: b"api.example.com",
        client: None,
        presented: Some("api_key"),
        credential: None,
        consumer: None,
        username: Some("alice"),
        duration: Duration::ZERO,
    }
}

fn headers(state: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    headers.insert("traceparent", parent.parse().unwrap());
    headers.insert("tracestate", state.parse().unwrap());
    headers
}

const DOOR: Door = Door::Grpc("a.Service/Check");

#[tokio::test]
async fn a_span_is_what_was_decided_below_the_askers_and_leaves_at_the_end() {
    let (address, mut spans) = receiver().await;
    let (telemetry, traces, exporter, hand) =
        tracing(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &address), ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=7")]);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(exporter.run(stopped));
    let traced = traces.begin(DOOR, &headers("vendor=1,other=2")).unwrap();
    hand.advance(Duration::from_millis(7));
    let hostile = format!("dw_key_0123456789aB_{}", "s3CreT".repeat(6));
    telemetry.record(&DecisionLine { request_id: &hostile, ..line(&traced) }, Timestamp::from_unix(1_007));
    stop.send_replace(true);
    running.await.unwrap();

    let span = spans.recv().await.unwrap();
    assert_eq!(span.trace_id, 0x0af7651916cd43dd8448eb211c80319c_u128.to_be_bytes());
    assert_eq!(span.parent_span_id, 0xb7ad6b7169203331_u64.to_be_bytes());
    assert_eq!(span.span_id, traced.span);
    assert_eq!(span.trace_state, "vendor=1,other=2");
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1_000_000_000_000, 1_000_007_000_000));
    let told = format!("{span:?}");
    assert!(told.contains("dw_key_0123456789aB_***"), "{told}");
    for absent in ["s3CreT", "/orders", "api.example.com", "alice"] {
        assert!(!told.contains(absent), "{absent}: {told}");
    }
    let rendered = telemetry.render();
    assert!(rendered.contains("\ndoorward_spans_exported_total 1\n"), "{rendered}");
}

#[tokio::test]
async fn a_tracestate_that_nobody_can_read_costs_nothing_but_itself() {
    let (_, traces, mut exporter, _) = tracing(&[]);
    for (state, expected) in [("no state", ""), ("a=1", "a=1")] {
        let traced = traces.begin(DOOR, &headers(state)).unwrap();
        traces.record(&line(&traced), &traced);
        let span = exporter.take().pop().unwrap();
        assert_eq!(span.span_context.trace_state().header(), expected, "{state}");
        assert_eq!(span.parent_span_id.to_bytes(), 0xb7ad6b7169203331_u64.to_be_bytes());
    }
    let mut broken = headers("a=1");
    broken.insert("traceparent", "00-broken".parse().unwrap());
    let traced = traces.begin(DOOR, &broken).unwrap();
    assert_eq!((traced.parent, traced.state.as_str()), (None, ""));
    assert_eq!(traced.began, UNIX_EPOCH + Duration::from_secs(1_000));
}

#[tokio::test]
async fn a_full_queue_costs_spans_which_are_counted() {
    let (telemetry, traces, mut exporter, _) = tracing(&[("OTEL_BSP_MAX_QUEUE_SIZE", "3")]);
    let traced = traces.begin(DOOR, &HeaderMap::new()).unwrap();
    let record = || {
        telemetry.record(&line(&traced), Timestamp::from_unix(1_000));
    };
    (0..5).for_each(|_| record());
    let dropped = |reason: &str, count: u64| {
        let line = format!("\ndoorward_spans_dropped_total{{reason=\"{reason}\"}} {count}\n");
        assert!(telemetry.render().contains(&line), "{line}{}", telemetry.render());
    };
    dropped("queue", 2);
    dropped("export", 0);
    assert_eq!(exporter.take().len(), 3);
    record();
    assert_eq!(exporter.take().len(), 1, "there is place again");
    // Nobody takes any out.
    drop(exporter);
    record();
    dropped("queue", 3);
}

#[tokio::test]
async fn a_whole_batch_leaves_before_its_time() {
    let (address, mut spans) = receiver().await;
    let (_, traces, exporter, _) = tracing(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &address),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=7"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2"),
    ]);
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(exporter.run(stopped));
    let traced = traces.begin(DOOR, &HeaderMap::new()).unwrap();
    (0..2).for_each(|_| traces.record(&line(&traced), &traced));
    let both = async { (spans.recv().await, spans.recv().await) };
    let (one, other) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
    assert!(one.is_some() && other.is_some());
}

/// Passes connections on to `behind`, until those that are there fall silent, as if a machine on the way had
/// forgotten them: they stay open, and nothing passes any more.
async fn forgetful(behind: SocketAddr) -> (String, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let forgetting = watch::Sender::new(false);
    let told = forgetting.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(behind).await.unwrap();
            let mut forgets = told.subscribe();
            // Of those that come later nothing is forgotten.
            let forgotten = async move { drop(forgets.changed().await) };
            held.push(tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    () = forgotten => std::future::pending().await,
                }
            }));
        }
    });
    (address, forgetting)
}

#[tokio::test]
async fn a_connection_that_died_without_a_word_is_given_up() {
    let (behind, mut spans) = receiver().await;
    let (address, forgetting) = forgetful(behind.strip_prefix("http://").unwrap().parse().unwrap()).await;
    let (_, traces, mut exporter, _) = tracing(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &address),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=7"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
    ]);
    let traced = traces.begin(DOOR, &HeaderMap::new()).unwrap();
    // One that is late on a busy machine is lost, and the next may be in time.
    let mut arrives = async || {
        let sends = async {
            loop {
                traces.record(&line(&traced), &traced);
                exporter.send().await;
                if spans.try_recv().is_ok() {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), sends).await
    };
    arrives().await.expect("by the first connection");
    forgetting.send_replace(true);
    arrives().await.expect("by another connection");
}

#[tokio::test]
async fn trouble_with_the_receiver_is_told_once_in_a_while_and_when_it_is_over() {
    let capture = Capture::default();
    let (subscriber, _) =
        subscriber(Format::Json, &"info".parse().unwrap(), Clock::system(), capture.clone());
    let _logging = ::tracing::subscriber::set_default(subscriber);
    let (address, mut spans) = receiver().await;
    // Without the header that the receiver asks for.
    let (telemetry, traces, mut exporter, hand) = tracing(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &address)]);
    let traced = traces.begin(DOOR, &HeaderMap::new()).unwrap();
    let send = async |exporter: &mut Exporter<SpanData>| {
        traces.record(&line(&traced), &traced);
        exporter.send().await;
        capture.text().lines().filter(|line| line.contains("doorward::telemetry")).count()
    };
    assert_eq!(send(&mut exporter).await, 1);
    assert_eq!(send(&mut exporter).await, 1, "once");
    hand.advance(Duration::from_secs(61));
    assert_eq!(send(&mut exporter).await, 2, "{}", capture.text());
    assert!(capture.text().contains(r#""lost":3,"why":"#), "{}", capture.text());
    assert!(capture.text().contains("Unauthenticated"), "{}", capture.text());
    assert!(telemetry.render().contains("doorward_spans_dropped_total{reason=\"export\"} 3\n"));

    let headed = settings(&[
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &address),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=7"),
    ]);
    exporter.mend(&headed);
    assert_eq!(send(&mut exporter).await, 3, "{}", capture.text());
    assert!(capture.text().contains("spans are exported again"), "{}", capture.text());
    assert!(spans.recv().await.is_some());
}
