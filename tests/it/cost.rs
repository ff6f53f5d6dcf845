//! What a check costs, in relation to others: on any machine, however busy, in any build.

use std::sync::Arc;
use std::time::Duration;

use doorward::check::Checker;
use doorward::clock::Clock;
use doorward::grpc::render::render;
use doorward::grpc::view;
use doorward::telemetry::{Readiness, Telemetry};
use rustix::time::{ClockId, clock_gettime};

use crate::call::{Calls, Pick};
use crate::deciding::checker;
use crate::house::{Services, Size};

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
            let mut scratch = Vec::new();
            self.checker.check(&view::read(message, &mut scratch).unwrap(), render);
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
