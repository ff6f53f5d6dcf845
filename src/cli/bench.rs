//! `doorward bench`: asks a running instance at a fixed rate, and says how long it takes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::described::Described;
use super::{Common, Failure, cell, table};
use crate::clock::Clock;
use crate::config::{Config, Endpoint, Span};
use crate::grpc::ask::{Answered, CHECK, answer, question};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    described: Described,
    /// Where it listens for checks, in plain HTTP/2 [default: the configuration's `listen.grpc`]
    #[arg(long, value_name = "HOST:PORT")]
    target: Option<String>,
    /// Checks a second, at even distances, whatever becomes of those before
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// For how long; at most 5 minutes
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// As many as Envoy has workers
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
}

/// Longer, and the figures of one minute hide among those of another.
const LONGEST: Duration = Duration::from_secs(300);
/// What is not answered by then counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

fn duration(text: &str) -> Result<Duration, String> {
    let Span(duration) = serde_json::from_value(json!(text)).map_err(|error| error.to_string())?;
    match duration {
        Duration::ZERO => Err("expected more than nothing".to_owned()),
        long if long > LONGEST => Err(format!("expected at most {} minutes", LONGEST.as_secs() / 60)),
        duration => Ok(duration),
    }
}

pub fn run(common: &Common, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { described, target, rate, duration, connections } = arguments;
    let described = described.description()?.understood();
    let described = described.map_err(|wrong| Failure::Usage(wrong.to_string()))?;
    let message = Bytes::from(question(&described.request()));
    let target = match target {
        Some(target) => target,
        None => configured(&common.load()?)?,
    };
    let asked = super::runtime()?.block_on(async {
        let address = tokio::net::lookup_host(&target).await.ok().and_then(|mut found| found.next());
        let address = address.ok_or_else(|| Failure::Unreachable(format!("`{target}` has no address")))?;
        let mut lines = Vec::new();
        for _ in 0..connections {
            lines.push(connect(address).await?);
        }
        Ok(ask(&lines, &message, Pace::new(rate, duration)).await)
    })?;
    common.print(&asked.account(&target, rate, duration), text)?;
    match asked.verdicts.is_empty() {
        true => Err(Failure::Unreachable(format!("{target} answered none of the checks"))),
        false => Ok(()),
    }
}

/// Where the configuration has its instance listen.
fn configured(config: &Config) -> Result<String, Failure> {
    if config.listen.tls.grpc.is_some() {
        let message =
            "listen.grpc asks for TLS, which bench does not speak; name a listener without by --target";
        return Err(Failure::Usage(message.to_owned()));
    }
    match &config.listen.grpc.value {
        Endpoint::Tcp(address) => Ok(super::address(config, "grpc", address)),
        Endpoint::Unix(_) => {
            let message = "listen.grpc is a Unix socket; name a listener of TCP by --target HOST:PORT";
            Err(Failure::Usage(message.to_owned()))
        }
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let unreachable = |error: &dyn std::fmt::Display| {
        Failure::Unreachable(format!("{address} cannot be asked for checks: {error}"))
    };
    let stream = TcpStream::connect(address).await.map_err(|error| unreachable(&error))?;
    stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
    let (line, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(&error))?;
    // What ends it, the calls on it tell.
    tokio::spawn(async move { drop(connection.await) });
    Ok(line)
}

/// When calls are due.
#[derive(Clone)]
struct Pace {
    clock: Clock,
    gap: Duration,
    calls: u32,
}

impl Pace {
    fn new(rate: u32, duration: Duration) -> Self {
        let calls = (f64::from(rate) * duration.as_secs_f64()).ceil() as u32;
        Self { clock: Clock::system(), gap: Duration::from_secs(1) / rate, calls }
    }

    /// Gives each call's number when it is due. A thread of its own, because a runtime's timer counts
    /// milliseconds.
    fn start(self) -> mpsc::UnboundedReceiver<std::time::Instant> {
        let (due, dues) = mpsc::unbounded_channel();
        thread::spawn(move || {
            let start = self.clock.monotonic() + self.gap;
            for call in 0..self.calls {
                let moment = start + self.gap * call;
                thread::sleep(moment.saturating_duration_since(self.clock.monotonic()));
                // Whoever waits for nothing any more has been interrupted.
                if due.send(moment).is_err() {
                    return;
                }
            }
        });
        dues
    }
}

/// What came of all calls.
#[derive(Default)]
struct Asked {
    /// µs from when a call was due to its answer.
    took: Vec<u32>,
    verdicts: BTreeMap<Answered, u32>,
    /// By what went wrong.
    errors: BTreeMap<String, u32>,
}

async fn ask(lines: &[SendRequest<Full<Bytes>>], message: &Bytes, pace: Pace) -> Asked {
    let clock = pace.clock.clone();
    let mut asked = Asked { took: Vec::with_capacity(pace.calls as usize), ..Asked::default() };
    let (mut dues, mut calls) = (pace.start(), JoinSet::new());
    let mut turns = lines.iter().cycle();
    loop {
        tokio::select! {
            biased;
            Some(due) = dues.recv() => {
                let line = turns.next().expect("at least one connection").clone();
                let (message, clock) = (message.clone(), clock.clone());
                calls.spawn(async move {
                    let answered = tokio::time::timeout(PATIENCE, call(line, message)).await;
                    (due, clock.monotonic(), answered.unwrap_or(Err("no answer in time")))
                });
            }
            Some(ended) = calls.join_next() => {
                let Ok((due, at, answered)) = ended else { continue };
                asked.note(at.saturating_duration_since(due), answered);
            }
            else => break,
        }
    }
    asked.took.sort_unstable();
    asked
}

async fn call(mut line: SendRequest<Full<Bytes>>, message: Bytes) -> Result<Answered, &'static str> {
    let call = Request::post(format!("http://doorward{CHECK}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::new(message))
        .expect("a request of constants");
    line.ready().await.map_err(|_| "the connection broke off")?;
    let response = line.send_request(call).await.map_err(|_| "the call broke off")?;
    let body = response.into_body().collect().await.map_err(|_| "the answer broke off")?.to_bytes();
    // An RPC error has no message; the prefix of one is five bytes.
    let message = body.get(5..).ok_or("an RPC error: no verdict")?;
    answer(message).map_err(|_| "an answer that cannot be read")
}

impl Asked {
    fn note(&mut self, took: Duration, answered: Result<Answered, &'static str>) {
        match answered {
            Ok(verdict) => {
                self.took.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                *self.verdicts.entry(verdict).or_default() += 1;
            }
            Err(why) => *self.errors.entry(why.to_owned()).or_default() += 1,
        }
    }

    /// The least time within which this share of the answers came.
    fn percentile(&self, share: f64) -> Option<u32> {
        let at = (self.took.len() as f64 * share).ceil() as usize;
        self.took.get(at.saturating_sub(1)).copied()
    }

    fn account(&self, target: &str, rate: u32, duration: Duration) -> Value {
        let verdicts: Vec<Value> = self
            .verdicts
            .iter()
            .map(|(verdict, count)| {
                let (verdict, status) = match verdict {
                    Answered::Allow => ("allow", None),
                    Answered::Deny(status) => ("deny", Some(status)),
                    Answered::Fault(status) => ("fault", Some(status)),
                };
                json!({ "verdict": verdict, "status": status, "count": count })
            })
            .collect();
        json!({
            "target": target,
            "rate": rate,
            "duration_s": duration.as_secs_f64(),
            "answered": self.took.len(),
            "p50_us": self.percentile(0.5),
            "p99_us": self.percentile(0.99),
            "p99_9_us": self.percentile(0.999),
            "max_us": self.took.last(),
            "verdicts": verdicts,
            "errors": self.errors,
        })
    }
}

fn text(account: &Value) -> String {
    let field = |name: &str| cell(&account[name]);
    let times = ["p50_us", "p99_us", "p99_9_us", "max_us"].map(|name| format!("{} µs", field(name)));
    let mut rows = Vec::new();
    for verdict in account["verdicts"].as_array().into_iter().flatten() {
        let status = verdict["status"].as_u64().map_or(String::new(), |status| format!(" {status}"));
        rows.push(vec![format!("{}{status}", cell(&verdict["verdict"])), cell(&verdict["count"])]);
    }
    for (why, count) in account["errors"].as_object().into_iter().flatten() {
        rows.push(vec![format!("error: {why}"), cell(count)]);
    }
    format!(
        "{} checks a second at {} for {} s\n\n{}\n{}",
        field("rate"),
        field("target"),
        field("duration_s"),
        table(&["p50", "p99", "p99.9", "longest"], &[times.to_vec()]),
        table(&["verdict", "count"], &rows)
    )
}
