//! What a check costs, in relation to others: on any machine, however busy, in any build.

use std::sync::Arc;
use std::time::Duration;

use doorward::check::Checker;
use doorward::clock::Clock;
use doorward::domain::request::Request;
use doorward::grpc::render::render;
use doorward::grpc::view;
use doorward::telemetry::{Readiness, Telemetry};
use rustix::time::{ClockId, clock_gettime};

use crate::call::{Calls, Pick};
use crate::deciding::checker;
use crate::house::{Services, Size};
use crate::world::{HOUSE, start_doorward};

/// A decider and what it is asked.
struct Asked {
    checker: Checker,
    calls: Calls,
}

impl Asked {
    fn new(keys: u64, services: Services, pick: u64) -> Self {
        let clock = Clock::system();
        let telemetry = Telemetry::new(clock.clone(), Arc::new(Readiness::new()));
        let checker = checker(Size { keys, services }, &clock, telemetry).unwrap();
        Self { checker, calls: Calls::new(Pick { keys: pick, services }, 1) }
    }

    /// What a few hundred checks take of this thread's own time, waits for a core left out.
    fn run(&mut self) -> Duration {
        let messages: Vec<Vec<u8>> = (0..300).map(|_| self.calls.next()[5..].to_vec()).collect();
        let began = spent();
        for message in &messages {
            let (mut scratch, mut request) = (Vec::new(), Request::default());
            view::read(message, &mut scratch, &mut request).unwrap();
            self.checker.check(&request, render);
        }
        spent() - began
    }
}

fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

/// The least of many turns each, taken in turns: what others do to the caches goes by.
#[track_caller]
fn costs_at_most(most: f64, mut one: Asked, mut other: Asked) {
    let (mut least, mut base) = (Duration::MAX, Duration::MAX);
    for _ in 0..12 {
        least = least.min(one.run());
        base = base.min(other.run());
    }
    let found = least.as_secs_f64() / base.as_secs_f64();
    assert!(found <= most, "{found:.2} times as much, expected at most {most}: {least:?} and {base:?}");
}

#[test]
fn a_wrong_key_costs_the_same_with_ten_keys_and_twenty_thousand() {
    let whole = Services::Whole;
    costs_at_most(1.5, Asked::new(20_000, whole, 0), Asked::new(10, whole, 0));
}

#[test]
fn a_right_key_costs_the_same_with_ten_keys_and_twenty_thousand() {
    let whole = Services::Whole;
    costs_at_most(2.0, Asked::new(20_000, whole, 20_000), Asked::new(10, whole, 10));
}

#[test]
fn where_all_want_the_processor_checks_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut doorward = start_doorward(folder.path(), HOUSE);
    let threads = format!("/proc/{}/task", doorward.process().id());
    let mut seen = [0, 0];
    for thread in std::fs::read_dir(threads).unwrap() {
        let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
        // `id (name) state …`, and what is called nice is the 19th (proc_pid_stat(5)).
        let (name, rest) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")).unwrap();
        let nice: i32 = rest.split(' ').nth(16).unwrap().parse().unwrap();
        if name.starts_with("check-") {
            assert_eq!(nice, 0, "{stat}");
            seen[0] += 1;
        } else if name == "other" {
            assert!(nice > 0, "{stat}");
            seen[1] += 1;
        }
    }
    assert!(seen.iter().all(|seen| *seen > 0), "{seen:?} threads");
}
