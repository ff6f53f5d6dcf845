//! Replicas come and go under load: gotcha 23.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::rig::echo::Echo;
use crate::rig::http1::{Connection, request};
use crate::rig::process::{Process, Signal};
use crate::rig::wait::{eventually, until};
use crate::rig::wiring::Wiring;
use crate::world::{ALICE, HOUSE, start_doorward, start_envoy};

/// Requests over kept connections until it is dropped.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
    workers: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(to: SocketAddr) -> Self {
        let load =
            Self { over: Arc::default(), done: Arc::default(), failed: Arc::default(), workers: Vec::new() };
        let workers = (0..4).map(|_| {
            let (over, done, failed) =
                (Arc::clone(&load.over), Arc::clone(&load.done), Arc::clone(&load.failed));
            std::thread::spawn(move || {
                let bytes = request("GET", "/orders", &[("apikey", ALICE)], b"");
                let mut connection = Connection::open(to).unwrap();
                while !over.load(Ordering::Relaxed) {
                    match connection.exchange(&bytes) {
                        Ok(reply) if reply.status == 200 => {}
                        Ok(reply) => failed.lock().unwrap().push(reply.head),
                        Err(message) => {
                            failed.lock().unwrap().push(message);
                            return;
                        }
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        });
        let workers = workers.collect();
        Self { workers, ..load }
    }

    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    pub(crate) fn reaches(&self, count: usize) {
        let what = format!("{count} requests were answered");
        until(&what, Duration::from_secs(120), || (self.done() >= count).then_some(())).unwrap();
    }

    /// How many were answered, and what went wrong.
    pub(crate) fn end(self) -> (usize, Vec<String>) {
        self.over.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.join().unwrap();
        }
        let failed = std::mem::take(&mut *self.failed.lock().unwrap());
        (self.done.load(Ordering::SeqCst), failed)
    }
}

#[test]
fn a_replica_that_leaves_under_load_fails_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    // Five health checks long.
    let config = format!("drain_delay: 500ms\n{HOUSE}");
    let mut first = start_doorward(&folder.path().join("first"), &config);
    let mut second = start_doorward(&folder.path().join("second"), &config);
    let wiring =
        Wiring { health_checks: true, ..Wiring::new(echo.address(), &[first.grpc(), second.grpc()]) };
    let envoy = start_envoy(folder.path(), &wiring);
    eventually("both replicas are in use", || (envoy.healthy("doorward") == 2).then_some(()));

    let load = Load::start(envoy.listener("main"));
    load.reaches(500);
    first.signal(Signal::TERM).unwrap();
    let ended = first.process().wait(Duration::from_secs(20)).unwrap();
    let left = load.done();
    // The other one carries on alone, and is joined by the first one again.
    load.reaches(left + 500);
    let setup = first.setup().clone();
    setup.write(&config.replacen("127.0.0.1:0", &first.grpc().to_string(), 1)).unwrap();
    let _first = setup.start().unwrap();
    eventually("the first one is back", || (envoy.healthy("doorward") == 2).then_some(()));
    second.signal(Signal::TERM).unwrap();
    second.process().wait(Duration::from_secs(20)).unwrap();
    let left = load.done();
    load.reaches((left + 200).max(2000));

    let (done, failed) = load.end();
    assert!(failed.is_empty(), "{} of {done} failed, the first: {}", failed.len(), failed[0]);
    assert_eq!(ended.code(), Some(0), "{ended}");
}

#[test]
fn a10_a_connection_that_is_old_is_replaced_under_load_and_fails_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let doorward =
        start_doorward(&folder.path().join("doorward"), &format!("limits: {{connection_age: 1s}}\n{HOUSE}"));
    let envoy = start_envoy(folder.path(), &Wiring::new(echo.address(), &[doorward.grpc()]));
    let load = Load::start(envoy.listener("main"));
    eventually("connections have come and gone", || {
        (envoy.stat("cluster.doorward.upstream_cx_total") >= 4).then_some(())
    });
    let (done, failed) = load.end();
    assert!(failed.is_empty(), "{} of {done} failed, the first: {}", failed.len(), failed[0]);
    assert!(done > 100, "{done}");
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut doorward = start_doorward(folder.path(), &format!("drain_delay: 60s\n{HOUSE}"));
    doorward.signal(Signal::TERM).unwrap();
    eventually("it says that it is not ready", || {
        (doorward.status("/readyz").is_ok_and(|page| page.status == 503)).then_some(())
    });
    doorward.signal(Signal::TERM).unwrap();
    doorward.process().wait(Duration::from_secs(5)).unwrap();
}

#[test]
fn a_signal_in_the_midst_of_a_start_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    // Whoever finds the store in use waits for it for 3 seconds.
    let first = start_doorward(folder.path(), HOUSE);
    let setup = first.setup();
    let log = folder.path().join("second.log");
    let mut second = Process::start("the second one", setup.command(&["serve"]), &log).unwrap();
    let status = format!("/proc/{}/status", second.id());
    eventually("the second one hears signals", || {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        (caught >> (Signal::TERM.as_raw() - 1) & 1 == 1).then_some(())
    });
    // Not reread yet, and nothing ended by it.
    second.signal(Signal::HUP).unwrap();
    second.signal(Signal::TERM).unwrap();
    let ended = second.wait(Duration::from_secs(20)).unwrap();
    assert_eq!(ended.code(), Some(0), "{ended}");
}
