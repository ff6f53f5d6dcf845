//! What a check costs, in relation to others: on any machine, however busy, in any build.

use std::sync::Arc;
use std::time::Duration;

use doorward::check::Checker;
use doorward::clock::Clock;
use doorward::domain::request::Request;
use doorward::grpc::render::render;
use doorward::grpc::{Decide, view};
use doorward::telemetry::{Readiness, Telemetry};
use rustix::time::{ClockId, clock_gettime};

use crate::call::{Calls, Pick};
use crate::deciding::{Constant, checker};
use crate::house::{Services, Size};
use crate::rig::wait::eventually;
use crate::world::{HOUSE, start_doorward};

/// A decider and what it is asked.
struct Asked<D> {
    decide: D,
    calls: Calls,
}

impl Asked<Checker> {
    fn new(keys: u64, services: Services, pick: u64) -> Self {
        let clock = Clock::system();
        let telemetry = Telemetry::new(clock.clone(), Arc::new(Readiness::new()));
        let checker = checker(Size { keys, services }, &clock, telemetry).unwrap();
        Self { decide: checker, calls: Calls::new(Pick { keys: pick, services }, 1) }
    }
}

impl<D: Decide> Asked<D> {
    /// What a few hundred checks take of this thread's own time, waits for a core left out.
    fn run(&mut self) -> Duration {
        let messages: Vec<Vec<u8>> = (0..300).map(|_| self.calls.next()[5..].to_vec()).collect();
        let began = spent();
        for message in &messages {
            let (mut scratch, mut request) = (Vec::new(), Request::default());
            view::read(message, &mut scratch, &mut request).unwrap();
            self.decide.check(&request, render);
        }
        spent() - began
    }
}

fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

/// The least of many turns each, taken in turns: what others do to the caches goes by, and the more turns are taken the
/// longer they have to do it.
#[track_caller]
fn costs_at_most(most: f64, mut one: Asked<impl Decide>, mut other: Asked<impl Decide>) {
    let (mut least, mut base) = (Duration::MAX, Duration::MAX);
    let mut found = f64::INFINITY;
    for turn in 0..400 {
        least = least.min(one.run());
        base = base.min(other.run());
        found = least.as_secs_f64() / base.as_secs_f64();
        // Not sooner: of few turns the dearer one may have had the better luck.
        if turn >= 12 && found <= most {
            return;
        }
    }
    panic!("{found:.2} times as much, expected at most {most}: {least:?} and {base:?}");
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
fn a_path_among_two_thousand_services_costs_what_one_alone_does() {
    let (many, alone) = (Services::Spread(2000), Services::Spread(1));
    costs_at_most(2.0, Asked::new(1000, many, 1000), Asked::new(1000, alone, 1000));
}

/// So that no change makes it many times dearer unseen; `make bench` has the instructions. In this build, which is not
/// optimized, it is five to nine times from one process to the next on one machine whose processor has SHA-256 of its
/// own, and the rest is for those that have not.
#[test]
fn a_decision_costs_a_few_times_what_a_constant_answer_does() {
    let services = Services::Whole;
    let constant = Asked { decide: Constant, calls: Calls::new(Pick { keys: 1000, services }, 1) };
    costs_at_most(12.0, Asked::new(1000, services, 1000), constant);
}

#[test]
fn where_all_want_the_processor_checks_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut doorward = start_doorward(folder.path(), HOUSE);
    let threads = format!("/proc/{}/task", doorward.process().id());
    let own = nice(&std::fs::read_to_string("/proc/self/stat").unwrap()).1;
    // Those that check come last, once the store was read.
    let (check, other) = eventually("threads of both kinds", || {
        let (mut check, mut other) = (Vec::new(), Vec::new());
        for thread in std::fs::read_dir(&threads).unwrap() {
            // One that has ended meanwhile is none.
            let Ok(stat) = std::fs::read_to_string(thread.unwrap().path().join("stat")) else { continue };
            match nice(&stat) {
                (name, nice) if name.starts_with("check-") => check.push(nice),
                ("other", nice) => other.push(nice),
                _ => {}
            }
        }
        (!check.is_empty() && !other.is_empty()).then_some((check, other))
    });
    assert!(check.iter().all(|nice| *nice == own), "{check:?}, expected {own}");
    assert!(other.iter().all(|nice| *nice > own), "{other:?}, expected more than {own}");
}

/// A thread's name, and how nice it is: `id (name) state …`, the 19th of them (proc_pid_stat(5)).
fn nice(stat: &str) -> (&str, i32) {
    let (name, rest) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")).unwrap();
    (name, rest.split(' ').nth(16).unwrap().parse().unwrap())
}
