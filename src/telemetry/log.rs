//! Log lines: one event a line, through a bounded queue, so that a slow disk or a closed pipe
//! never makes a check wait.

mod levels;
mod line;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, filter, fmt, reload};

pub use levels::{Levels, LevelsError};
pub use line::{Bytes, Hex, Moment, as_one_word, on_one_line, with_causes};
pub(super) use line::{Object, without_secrets};

use crate::clock::Clock;
use crate::priority::Behind;
use line::Lines;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// For people; `colours` only where the writer is a terminal.
    Text { colours: bool },
}

/// Lines that wait for the writer; more are dropped and counted. A line has about 400 bytes.
const QUEUED_LINES: usize = 8192;

/// The running log. Dropping it writes what is queued, for at most a second.
#[must_use = "the log ends when this is dropped"]
pub struct Log {
    levels: LevelHandle,
    dropped: DroppedLines,
    _writer: WorkerGuard,
}

/// Changes the levels of a log while it runs.
#[derive(Clone)]
pub struct LevelHandle(reload::Handle<filter::Targets, Registry>);

/// How many lines were lost because the queue was full.
#[derive(Clone, Debug)]
pub struct DroppedLines(ErrorCounter);

/// The process has a log already.
#[derive(Debug, thiserror::Error)]
#[error("the log was started twice; a process has one")]
pub struct AlreadyStarted;

/// Starts the log of this process, on `writer`. Keep what is returned until the end of `main`.
pub fn init<W: Write + Send + 'static>(
    format: Format,
    levels: &Levels,
    clock: Clock,
    writer: W,
) -> Result<Log, AlreadyStarted> {
    let (queue, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUED_LINES)
        .thread_name("log")
        .finish(Patient { writer, has_begun: false });
    let dropped = DroppedLines(queue.error_counter());
    let (subscriber, levels) = subscriber(format, levels, clock, queue);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| AlreadyStarted)?;
    Ok(Log { levels, dropped, _writer: guard })
}

/// What [`init`] installs, without the queue: for a scope of its own
/// (`tracing::subscriber::with_default`), as tests want it.
pub fn subscriber<W>(
    format: Format,
    levels: &Levels,
    clock: Clock,
    writer: W,
) -> (impl Subscriber + Send + Sync, LevelHandle)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(levels.targets());
    let lines = fmt::layer().event_format(Lines { format, clock }).with_writer(writer);
    (tracing_subscriber::registry().with(filter).with(lines), LevelHandle(handle))
}

impl Log {
    pub fn levels(&self) -> &LevelHandle {
        &self.levels
    }

    pub fn dropped_lines(&self) -> DroppedLines {
        self.dropped.clone()
    }
}

impl LevelHandle {
    /// Takes effect at once, everywhere. Without effect where the log is already gone.
    pub fn set(&self, levels: &Levels) {
        let _ = self.0.reload(levels.targets());
    }
}

impl DroppedLines {
    pub fn count(&self) -> u64 {
        u64::try_from(self.0.dropped_lines()).unwrap_or(u64::MAX)
    }
}

/// Writes behind checks. The thread is another's, so it is told so when it first writes.
struct Patient<W> {
    writer: W,
    has_begun: bool,
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.has_begun {
            self.has_begun = true;
            Behind::Log.checks();
        }
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Keeps what is logged in memory, for tests to read.
#[derive(Clone, Debug, Default)]
pub struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Capture {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::IpAddr;
    use std::time::Duration;

    use tracing::subscriber::with_default;
    use uuid::Uuid;

    use super::*;
    use crate::domain::client::{Client, Hop};
    use crate::domain::principal::CredentialName;
    use crate::domain::time::Timestamp;
    use crate::domain::traced::{Door, Traced};
    use crate::telemetry::{DecisionLine, Readiness, Telemetry, VerdictLabel};

    /// What `act` logs with a clock that stands at 2026-01-02 03:04:05 UTC.
    fn logged(format: Format, levels: &str, act: impl FnOnce(&LevelHandle)) -> String {
        let capture = Capture::default();
        let (clock, _) = Clock::stopped(Timestamp::from_unix(1_767_323_045));
        let (subscriber, handle) = subscriber(format, &levels.parse().unwrap(), clock, capture.clone());
        with_default(subscriber, || act(&handle));
        capture.text()
    }

    fn json(line: &str) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    #[test]
    fn a_line_of_json_is_one_flat_object() {
        let text = logged(Format::Json, "info", |_| {
            tracing::info!(target: "doorward::server", listener = "grpc", port = 50051_u16, tls = false, absent = None::<u8>, share = 0.5, "listening on {}", 1);
        });
        assert_eq!(
            text,
            concat!(
                r#"{"timestamp":"2026-01-02T03:04:05.000Z","level":"info","target":"doorward::server","#,
                r#""message":"listening on 1","listener":"grpc","port":50051,"tls":false,"share":0.5}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_line_of_text_reads_as_a_sentence_with_its_facts() {
        let act = |_: &LevelHandle| {
            tracing::warn!(target: "doorward", path = "/a b", code = "deadline", empty = "", "kept the old");
        };
        assert_eq!(
            logged(Format::Text { colours: false }, "info", act),
            "2026-01-02T03:04:05.000Z  WARN doorward: kept the old path=\"/a b\" code=deadline empty=\"\"\n"
        );
        let colours = logged(Format::Text { colours: true }, "info", act);
        assert!(colours.contains("\u{1b}[33m WARN\u{1b}[0m"), "{colours:?}");
    }

    #[test]
    fn whatever_a_value_holds_it_stays_on_its_line() {
        let hostile = "a\r\nb\u{1b}[31m\u{7f}\u{9b}2J\u{2028}\u{202e}\u{200b}\u{e0041}\"\\\0é";
        for format in [Format::Json, Format::Text { colours: false }] {
            let text = logged(format, "info", |_| {
                tracing::info!(field = hostile, debug = ?hostile, bytes = %Bytes(b"\x1b\xff\n"), "{hostile}");
            });
            let line = text.strip_suffix('\n').unwrap();
            let unseen = ['\u{2028}', '\u{202e}', '\u{200b}', '\u{e0041}'];
            assert!(!line.chars().any(|c| c.is_control() || unseen.contains(&c)), "{line:?}");
            assert!(line.contains('é'));
            if format == Format::Json {
                let object = json(line);
                assert_eq!(object["field"], hostile);
                assert_eq!(object["message"], hostile);
                assert_eq!(object["bytes"], "\u{1b}\u{fffd}\n");
            }
        }
    }

    #[test]
    fn our_secrets_are_cut_out_of_every_value() {
        let key = format!("dw_key_{}_{}", "0123456789aB", "s3CreT".repeat(6) + "zz");
        for format in [Format::Json, Format::Text { colours: false }] {
            let text = logged(format, "info", |_| {
                tracing::info!(path = %format!("/orders/{key}/x"), debug = ?Some(&key), "{key} {key}");
            });
            assert!(!text.contains("s3CreT"), "{text}");
            assert_eq!(text.matches("dw_key_0123456789aB_***").count(), 4, "{text}");
        }
    }

    #[test]
    fn levels_change_while_the_log_runs() {
        let text = logged(Format::Json, "info", |handle| {
            tracing::debug!(target: "doorward::store", "before");
            handle.set(&"warn,doorward::store=debug".parse().unwrap());
            tracing::debug!(target: "doorward::store", "after");
            tracing::info!(target: "doorward::grpc", "not any more");
        });
        assert_eq!(text.lines().map(|line| json(line)["message"].clone()).collect::<Vec<_>>(), ["after"]);
    }

    #[test]
    fn libraries_that_see_secrets_are_not_heard_below_info() {
        let text = logged(Format::Json, "trace,h2=trace,hyper::proto=trace", |_| {
            tracing::trace!(target: "h2::codec", "frame");
            tracing::debug!(target: "hyper::proto::h1", "headers");
            tracing::debug!(target: "tonic::transport", "call");
            tracing::info!(target: "hyper::proto::h1", "told");
            tracing::trace!(target: "doorward::store", "ours");
        });
        let messages: Vec<_> = text.lines().map(|line| json(line)["message"].clone()).collect();
        assert_eq!(messages, ["told", "ours"]);
    }

    fn refusal() -> DecisionLine<'static> {
        static KEY: CredentialName = CredentialName::Id(Uuid::from_u128(7));
        DecisionLine {
            request_id: "7d1c",
            verdict: VerdictLabel::Deny,
            mode: "enforce",
            traced: None,
            mistake: false,
            code: Some("invalid_credential"),
            why: Some("expired"),
            service: Some("orders"),
            infrastructure: None,
            method: b"GET",
            path: b"/orders/1?key=s3CreT",
            host: b"api.example.com",
            client: Some(Client {
                address: Some(IpAddr::from([192, 0, 2, 1])),
                hop: Hop::Forwarded { from_right: 0 },
            }),
            presented: Some("api_key"),
            credential: Some(&KEY),
            consumer: None,
            username: None,
            duration: Duration::from_micros(7),
        }
    }

    fn telemetry() -> Telemetry {
        Telemetry::new(Clock::system(), Arc::new(Readiness::new()))
    }

    #[test]
    fn a_refusal_is_told_with_its_reason_and_without_the_query() {
        let text = logged(Format::Json, "info", |_| {
            telemetry().log_decision(&refusal(), Timestamp::from_unix(1));
        });
        let told = serde_json::json!({
            "timestamp": "2026-01-02T03:04:05.000Z", "level": "info", "target": "doorward::check",
            "message": "check", "request_id": "7d1c", "verdict": "deny", "mode": "enforce", "code": "invalid_credential",
            "why": "expired", "service": "orders", "method": "GET", "path": "/orders/1",
            "host": "api.example.com", "client": "192.0.2.1", "client_from": "x-forwarded-for[-1]", "credential": "00000000-0000-0000-0000-000000000007",
            "duration_us": 7,
        });
        assert_eq!(serde_json::Value::from(json(&text)), told);
    }

    #[test]
    fn who_follows_reads_what_the_log_has() {
        static NAME: CredentialName = CredentialName::Session(Uuid::from_u128(8));
        let hostile = "a\r\nb\u{1b}[31m\u{9b}2J\u{202e}\"\\ dw_key_0123456789aB_s3CreT é";
        let traced = Traced {
            door: Door::Http("/"),
            trace: [0x0a; 16],
            span: [0xb0; 8],
            parent: None,
            state: String::new(),
            began: std::time::UNIX_EPOCH,
        };
        let full = DecisionLine {
            request_id: hostile,
            traced: Some(&traced),
            mistake: true,
            infrastructure: Some("production"),
            method: b"GET\n\xff",
            path: hostile.as_bytes(),
            host: hostile.as_bytes(),
            consumer: Some(Uuid::from_u128(9)),
            username: Some(hostile),
            credential: Some(&NAME),
            ..refusal()
        };
        let bare = DecisionLine {
            code: None,
            why: None,
            service: None,
            client: None,
            credential: None,
            verdict: VerdictLabel::Allow,
            ..refusal()
        };
        for line in [refusal(), full, bare] {
            let logged = logged(Format::Json, "info", |_| line.write());
            assert_eq!(line.json(&Moment(1_767_323_045_000)), logged);
            assert!(!logged.contains("s3CreT"), "{logged}");
            let ids = r#""trace_id":"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a","span_id":"b0b0b0b0b0b0b0b0""#;
            assert_eq!(logged.contains(ids), line.traced.is_some(), "{logged}");
        }
    }

    #[test]
    fn long_paths_are_cut() {
        let path = [b"/".as_slice(), &[b'x'; 5000]].concat();
        let text = logged(Format::Json, "info", |_| {
            telemetry().log_decision(&DecisionLine { path: &path, ..refusal() }, Timestamp::from_unix(1));
        });
        assert_eq!(json(&text)["path"].as_str().unwrap().len(), 256);
    }

    #[test]
    fn refusals_above_the_rate_are_counted_instead_of_written() {
        let telemetry = telemetry();
        telemetry.set_sampling(0.0, 2);
        let allow = DecisionLine { verdict: VerdictLabel::Allow, code: None, why: None, ..refusal() };
        let text = logged(Format::Json, "info", |_| {
            for _ in 0..5 {
                telemetry.log_decision(&refusal(), Timestamp::from_unix(1));
                telemetry.log_decision(&allow, Timestamp::from_unix(1));
            }
        });
        assert_eq!(text.lines().count(), 2);
        assert!(telemetry.render().contains("\ndoorward_log_lines_suppressed_total 3\n"));
    }

    #[test]
    fn what_is_ours_to_mend_is_an_error() {
        let level = |verdict, code, mistake| {
            let line = DecisionLine { verdict, code: Some(code), mistake, ..refusal() };
            let text = logged(Format::Json, "info", |_| {
                telemetry().log_decision(&line, Timestamp::from_unix(1));
            });
            json(&text)["level"].clone()
        };
        assert_eq!(level(VerdictLabel::Fault, "unavailable", true), "error");
        assert_eq!(level(VerdictLabel::Deny, "internal", true), "error");
        assert_eq!(level(VerdictLabel::Deny, "service_denied", false), "info");
    }

    #[test]
    fn the_end_of_the_log_writes_what_is_queued() {
        let capture = Capture::default();
        let log = init(Format::Json, &Levels::default(), Clock::system(), capture.clone()).unwrap();
        assert!(init(Format::Json, &Levels::default(), Clock::system(), io::sink()).is_err());
        tracing::info!("stopping");
        assert_eq!(log.dropped_lines().count(), 0);
        drop(log);
        assert!(capture.text().contains(r#""message":"stopping""#), "{}", capture.text());
    }

    /// A writer that stands still until it is let go.
    struct Stuck(Arc<Mutex<()>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.0.lock());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_writer_costs_lines_and_never_waits() {
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().unwrap();
        let (queue, _guard) =
            NonBlockingBuilder::default().buffered_lines_limit(4).finish(Stuck(Arc::clone(&gate)));
        let telemetry = telemetry();
        telemetry.watch_log(DroppedLines(queue.error_counter()));
        let (subscriber, _) = subscriber(Format::Json, &Levels::default(), Clock::system(), queue);
        with_default(subscriber, || {
            for _ in 0..20 {
                tracing::info!("line");
            }
        });
        // Four wait in the queue, and the writer may hold one more.
        let rendered = telemetry.render();
        let dropped =
            rendered.lines().find_map(|line| line.strip_prefix("doorward_log_lines_dropped_total "));
        assert!(["15", "16"].contains(&dropped.unwrap()), "{dropped:?}");
        drop(held);
    }
}
