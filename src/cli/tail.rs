//! `doorward tail`: the decisions of the running server, as it makes them.

use std::future::pending;
use std::io::{ErrorKind, Write as _};
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;

use serde_json::Value;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;
use tokio::signal::unix::{SignalKind, signal};

use super::door::Door;
use super::{Common, Failure, Output, cell, remark};
use crate::http::admin::segment;
use crate::telemetry::log::{as_one_word, on_one_line};

#[derive(clap::Args)]
pub struct Arguments {
    /// Only what is refused, or would be where it is only watched
    #[arg(long)]
    refusals: bool,
    /// Only decisions about this service, or deployment SERVICE/INFRASTRUCTURE
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Only decisions about this consumer, by username or id
    #[arg(long, value_name = "CONSUMER")]
    consumer: Option<String>,
    /// Only decisions with this code
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// End after so many [default: go on until Ctrl-C, or the server's end]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl Arguments {
    fn path(&self) -> String {
        let refusals = self.refusals.then(|| "true".to_owned());
        let asked = [
            ("refusals", &refusals),
            ("service", &self.service),
            ("consumer", &self.consumer),
            ("code", &self.code),
        ];
        let asked: Vec<String> = asked
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", segment(value.as_deref()?))))
            .collect();
        format!("/decisions?{}", asked.join("&"))
    }
}

pub fn run(common: &Common, arguments: &Arguments) -> Result<(), Failure> {
    let mut left = arguments.count;
    Door::open_to_server(common)?.lines(&arguments.path(), enough(), |line| {
        // Sent now and then, so that the server learns who is gone.
        if line.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let told: Value = serde_json::from_str(line).unwrap_or(Value::Null);
        if told["target"] != DECISION {
            remark(&format!("doorward: {}", aside(&told)));
            return Ok(ControlFlow::Continue(()));
        }
        let shown = match common.output {
            Output::Json => show(line),
            Output::Text => show(&text(&told)),
        };
        left = left.map(|left| left - 1);
        match shown {
            Ok(()) if left == Some(0) => Ok(ControlFlow::Break(())),
            Ok(()) => Ok(ControlFlow::Continue(())),
            // Whoever reads has enough (`| head`).
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Err(error) => Err(Failure::Refused(format!("nothing can be written to stdout: {error}"))),
        }
    })
}

/// What the log calls a decision.
const DECISION: &str = "doorward::check";

fn show(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

/// What the server tells besides decisions.
fn aside(told: &Value) -> String {
    match told["left_out"].as_u64() {
        Some(count) => format!("{count} decisions are not shown here: there are more than are read"),
        None => cell(&told["message"]),
    }
}

/// A decision as a line for people.
fn text(told: &Value) -> String {
    let field = |name: &str| as_one_word(&cell(&told[name])).into_owned();
    let moment = field("timestamp");
    let time = moment.split_once('T').map_or(&moment[..], |(_, time)| time);
    let service = match told["infrastructure"].as_str() {
        Some(infrastructure) => format!("{}/{}", field("service"), as_one_word(infrastructure)),
        None => field("service"),
    };
    let consumer = if told["username"].is_null() { field("consumer") } else { field("username") };
    let mut line = format!(
        "{time}  {:<5}  {:<20}  {} {}  service={service} consumer={consumer} client={} {}µs id={}",
        field("verdict"),
        field("code"),
        field("method"),
        as_one_word(&format!("{}{}", cell(&told["host"]), cell(&told["path"]))),
        field("client"),
        field("duration_us"),
        field("request_id"),
    );
    if told["mode"] == "shadow" {
        line += " mode=shadow";
    }
    if !told["why"].is_null() {
        line += &format!(" why=\"{}\"", on_one_line(&cell(&told["why"])));
    }
    line
}

/// Ready when nobody wants more: Ctrl-C, a signal to end, or nobody who reads.
async fn enough() {
    let told = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => pending().await,
    };
    tokio::select! {
        () = told(SignalKind::interrupt()) => {}
        () = told(SignalKind::terminate()) => {}
        () = nobody_reads() => {}
    }
}

/// Ready when stdout is a pipe that nobody reads any more, of which one hears else with the next line only. A
/// file cannot be waited for, and is always read.
async fn nobody_reads() {
    let stdout = std::io::stdout().as_fd().try_clone_to_owned();
    // Unchecked, it is left as it is: a shared pipe that does not block would surprise others.
    match stdout.and_then(Sender::from_owned_fd_unchecked) {
        Ok(stdout) => drop(stdout.ready(Interest::ERROR).await),
        Err(_) => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_is_one_line_for_people_and_moves_no_cursor() {
        let mut told = json!({
            "timestamp": "2026-01-02T03:04:05.678Z", "target": DECISION, "request_id": "7d1c", "verdict": "deny",
            "mode": "enforce", "code": "invalid_credential", "why": "expired", "service": "orders",
            "infrastructure": "production", "method": "GET", "path": "/orders/\u{9b}2J\n", "host": "api.example",
            "client": "192.0.2.1", "username": "alice", "consumer": "0196", "duration_us": 7,
        });
        assert_eq!(
            text(&told),
            "03:04:05.678Z  deny   invalid_credential    GET \"api.example/orders/\\u009b2J\\n\"  \
             service=orders/production consumer=alice client=192.0.2.1 7µs id=7d1c why=\"expired\""
        );
        for name in ["code", "why", "username", "infrastructure"] {
            told[name] = Value::Null;
        }
        told["mode"] = json!("shadow");
        told["path"] = json!("/");
        assert_eq!(
            text(&told),
            "03:04:05.678Z  deny   -                     GET api.example/  service=orders consumer=0196 \
             client=192.0.2.1 7µs id=7d1c mode=shadow"
        );
    }

    #[test]
    fn a_client_writes_no_field_of_its_own_into_a_line() {
        for blank in [' ', '\u{2003}', '\u{a0}', '"', '\u{61c}'] {
            let forged = format!("/x{blank}consumer=root");
            let told = json!({ "path": forged, "request_id": forged, "method": forged, "username": forged });
            let line = text(&told);
            // Outside of quotes nothing of it stands.
            let bare: String = line.replace("\\\"", "").split('"').step_by(2).collect();
            assert!(!bare.contains("root"), "{line}");
        }
    }

    #[test]
    fn a_path_that_looks_like_another_is_told_from_it() {
        for unseen in ['\u{200b}', '\u{ad}', '\u{feff}', '\u{e0041}'] {
            let line = text(&json!({ "host": "api.example", "path": format!("/ord{unseen}ers") }));
            assert!(!line.contains(unseen) && line.contains("\"api.example/ord\\u"), "{line}");
        }
    }

    #[test]
    fn what_is_asked_for_stands_in_the_query() {
        let asked = Arguments {
            refusals: true,
            service: Some("orders/production".to_owned()),
            consumer: Some("al ice".to_owned()),
            code: None,
            count: None,
        };
        assert_eq!(asked.path(), "/decisions?refusals=true&service=orders%2Fproduction&consumer=al%20ice");
    }
}
