//! Threads that verify signatures, few enough to leave the checks their processors.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::{Done, Work};
use crate::telemetry::Telemetry;

/// One for the process. Its threads end when it is dropped.
pub struct Pool {
    shared: Arc<Shared>,
}

/// What has to be verified, and comes in its time; an error where that broke off.
pub type Waiting = oneshot::Receiver<Done>;

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    most: usize,
    telemetry: Arc<Telemetry>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Work, oneshot::Sender<Done>)>,
    closed: bool,
}

impl Pool {
    /// So many threads, and so many signatures at most that wait for one.
    ///
    /// # Errors
    ///
    /// Where a thread cannot be started.
    pub fn start(threads: usize, waiting: usize, telemetry: Arc<Telemetry>) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { queue: Mutex::default(), arrived: Condvar::new(), most: waiting, telemetry });
        let pool = Self { shared: Arc::clone(&shared) };
        for number in 0..threads.max(1) {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("signatures-{number}")).spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// `None` where too many wait already.
    pub fn submit(&self, work: Work) -> Option<Waiting> {
        let (answer, waiting) = oneshot::channel();
        let mut queue = self.shared.lock();
        if queue.jobs.len() >= self.shared.most {
            drop(queue);
            self.shared.telemetry.signature_shed();
            return None;
        }
        queue.jobs.push_back((work, answer));
        drop(queue);
        self.shared.arrived.notify_one();
        Some(waiting)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        while let Some((work, answer)) = self.next() {
            // Whoever asked may be gone: Envoy waits for 200 ms.
            if answer.is_closed() {
                continue;
            }
            // A panic is one denied check: its answer is dropped.
            if let Ok(done) = catch_unwind(AssertUnwindSafe(|| work.run())) {
                self.telemetry.signature_verified(done.found.is_ok());
                let _ = answer.send(done);
            }
        }
    }

    /// Waits for the next one; `None` where there will be no more.
    fn next(&self) -> Option<(Work, oneshot::Sender<Done>)> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
