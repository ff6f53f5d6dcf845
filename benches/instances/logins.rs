//! A storm of logins: what it does to the checks of keys meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::ALLOW;
use super::shared::Shared;
use crate::call::Pick;
use crate::load::{Target, paced};
use crate::rig::Outcome;
use crate::rig::http1::{request, send};
use crate::rounds::{Aim, median, share, table};

/// Logins a second, each of another name from another address, or they would be turned away unhashed.
const LOGINS: u32 = 100;
/// Whoever makes them: a login waits for a second at most, and for its hash.
const VISITORS: u32 = 150;
/// Checks a second of good keys, in quiet and in the storm.
const RATE: u32 = 2_000;
const QUIET: Duration = Duration::from_secs(10);
const STORM: Duration = Duration::from_secs(30);

/// What logins came to.
#[derive(Default)]
struct Came {
    /// Hashed, and wrong.
    refused: u32,
    /// Too many were before them.
    busy: u32,
}

/// A storm takes longer than other rounds.
const STORMS: usize = 3;

/// What a storm did.
struct Round {
    /// Of how long checks took before it and in it, sorted.
    quiet: Vec<Duration>,
    stormed: Vec<Duration>,
    came: Came,
}

pub(super) fn run(shared: &Shared, rounds: usize) -> Outcome<(String, Vec<Aim>)> {
    let doorward = shared.instance_apart("stormed")?;
    let pick = Pick { keys: shared.size.keys, services: shared.size.services };
    let target = Target { address: doorward.grpc(), pick, expected: ALLOW };
    let address = doorward.auth_address();
    // Whatever is slow the first time.
    paced(target, (RATE, Duration::from_secs(1)))?;
    let round = |number| -> Outcome<Round> {
        let quiet = paced(target, (RATE, QUIET))?;
        let (stormed, came) = thread::scope(|scope| {
            let storm = scope.spawn(|| storm(address, number));
            let stormed = paced(target, (RATE, STORM))?;
            Ok::<_, String>((stormed, storm.join().map_err(|_| "a thread of the storm died")??))
        })?;
        Ok(Round { quiet, stormed, came })
    };
    let rounds = (0..rounds.min(STORMS) as u32).map(round).collect::<Outcome<Vec<_>>>()?;
    Ok(told(&rounds))
}

/// Of a round, those that were asked in quiet or in the storm.
type Times = fn(&Round) -> &[Duration];

fn told(rounds: &[Round]) -> (String, Vec<Aim>) {
    let us = |took: &[Duration], part| share(took, part).as_secs_f64() * 1e6;
    let times: [(&str, Times); 2] =
        [("in quiet", |round| &round.quiet), ("in the storm", |round| &round.stormed)];
    let rows = times.map(|(when, took)| {
        let waits = [0.5, 0.99, 0.999]
            .map(|part| format!("{:.0}", median(rounds.iter().map(|round| us(took(round), part)))));
        std::iter::once(when.to_owned()).chain(waits).collect()
    });
    let ratios: Vec<f64> =
        rounds.iter().map(|round| us(&round.stormed, 0.99) / us(&round.quiet, 0.99)).collect();
    let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    let text = format!(
        "{RATE} checks a second of good keys, {} s in quiet and {} s while {LOGINS} logins a second arrive, {} times; \
         of the logins {} were hashed and {} told to come back. p99 against quiet, each time: {}.\n\n{}",
        QUIET.as_secs(),
        STORM.as_secs(),
        rounds.len(),
        rounds.iter().map(|round| round.came.refused).sum::<u32>(),
        rounds.iter().map(|round| round.came.busy).sum::<u32>(),
        each.join(", "),
        table(&["checks", "p50 µs", "p99 µs", "p99.9 µs"], &rows)
    );
    let what = "p99 of key checks in a storm of logins against quiet".into();
    (text, vec![Aim { what, most: 3.0, found: median(ratios.into_iter()) }])
}

/// So many a second at even distances, for the whole time, of other names than in the storms before.
fn storm(address: SocketAddr, round: u32) -> Outcome<Came> {
    const ALL: u32 = LOGINS * STORM.as_secs() as u32;
    let start = Instant::now();
    let visit = |first: u32| {
        // They share a core with whoever asks, and would be measured there.
        let _ = rustix::process::setpriority_process(None, 19);
        let mut came = Came::default();
        for number in (first..ALL).step_by(VISITORS as usize) {
            let due = start + number * Duration::from_secs(1) / LOGINS;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            match log_in(address, round * ALL + number)? {
                401 => came.refused += 1,
                503 => came.busy += 1,
                status => return Err(format!("expected a login to be refused, found {status}")),
            }
        }
        Ok(came)
    };
    thread::scope(|scope| {
        let visitors: Vec<_> = (0..VISITORS).map(|first| scope.spawn(move || visit(first))).collect();
        let mut all = Came::default();
        for visitor in visitors {
            let came = visitor.join().map_err(|_| "a thread of the storm died")??;
            all.refused += came.refused;
            all.busy += came.busy;
        }
        Ok(all)
    })
}

/// Until it is over; how many there were.
pub(super) fn one_after_the_other(address: SocketAddr, over: &AtomicBool) -> Outcome<u32> {
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        log_in(address, number)?;
        number += 1;
    }
    Ok(number)
}

/// By the status of its answer.
fn log_in(address: SocketAddr, number: u32) -> Outcome<u16> {
    let [_, _, high, low] = number.to_be_bytes();
    let from = format!("203.0.{high}.{low}");
    let headers =
        [("Content-Type", "application/json"), ("Connection", "close"), ("X-Forwarded-For", from.as_str())];
    let body = json!({ "username": format!("nobody-{number}"), "password": "four words of nobody's" });
    let login = request("POST", "/api/auth/access-token", &headers, body.to_string().as_bytes());
    send(address, &login).map(|reply| reply.status)
}
