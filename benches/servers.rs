//! What is measured, each in a process of its own: it says where it listens, and serves until whoever
//! started it is gone.

use std::net::SocketAddr;
use std::sync::Arc;

use doorward::clock::Clock;
use doorward::grpc::{Decide, Health, Limits, Wire};
use doorward::server::{Listener, Settings, serve};
use doorward::telemetry::log::{self, Format, Levels};
use doorward::telemetry::{Readiness, Telemetry};

use crate::deciding::{Constant, checker};
use crate::house::Size;
use crate::peers::{noop, serving};
use crate::rig::Outcome;

/// The no-op, in this binary: with our allocator.
pub(crate) fn noop() -> Outcome<()> {
    runtime()?.block_on(serving::serve(noop::Noop)).map_err(|error| error.to_string())
}

/// Doorward's own way from socket to socket, and the same short answer to everybody.
pub(crate) fn constant() -> Outcome<()> {
    served(Constant)
}

/// Doorward, all of it but for a store that changes: policy, metrics, log.
pub(crate) fn doorward(size: Size) -> Outcome<()> {
    let clock = Clock::system();
    let nowhere = std::fs::File::options().write(true).open("/dev/null").map_err(|e| e.to_string())?;
    let log = log::init(Format::Json, &Levels::default(), clock.clone(), nowhere);
    let log = log.map_err(|error| error.to_string())?;
    let telemetry = Telemetry::new(clock.clone(), Arc::new(Readiness::new()));
    telemetry.watch_log(log.dropped_lines());
    served(checker(size, &clock, telemetry)?)
}

fn served(decide: impl Decide) -> Outcome<()> {
    serving::end_with_parent();
    runtime()?.block_on(async {
        let listener =
            Listener::tcp(SocketAddr::from(([127, 0, 0, 1], 0))).await.map_err(|e| e.to_string())?;
        println!("{}", listener.address().expect("a port of TCP"));
        let wire = Arc::new(Wire::new(decide, Limits::default(), Health::default()));
        // As the peers: one thread that checks.
        let settings = Settings { workers: 1, ..Settings::default() };
        serve(vec![listener], wire, settings, std::future::pending()).await.map_err(|e| e.to_string())
    })
}

fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}
