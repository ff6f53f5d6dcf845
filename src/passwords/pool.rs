//! Threads that hash: few, since a hash takes 19 MiB and some 30 ms of a core, and last in line for the
//! processors, so that a storm of logins takes no time from checks.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::Busy;
use super::memory::Memory;
use crate::clock::Clock;
use crate::priority::Behind;

/// One for the process. Its threads start with the first job, and end when it is dropped.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: usize,
}

/// What is to be done; it says itself to whoever waits what came of it.
type Job = Box<dyn FnOnce(&mut Memory) + Send>;

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    most: usize,
    clock: Clock,
}

#[derive(Default)]
struct Queue {
    /// Each with the moment at which nobody waits for it any more.
    jobs: VecDeque<(Duration, Job)>,
    /// Places of jobs that will come.
    taken: usize,
    started: usize,
    closed: bool,
}

/// A job's place among those that wait. Free again when it is dropped.
pub struct Place {
    shared: Arc<Shared>,
    /// Whether no job has it yet.
    is_taken: bool,
}

/// Whoever waited for so long is told to come back: others came later, and are told nothing at all meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// A thread keeps as many bytes as our own hashes take, and only while there are any to be made.
const KEPT: usize = super::COST.0 as usize * 1024;
const IDLE: Duration = Duration::from_secs(10);

/// A thread behind whose job so many wait is in a storm. It steps back, which Linux lets it do but not undo, and
/// ends once nobody waits; whoever comes then starts another.
const STORM: usize = 8;

impl Pool {
    pub(super) fn new(threads: usize, waiting: usize, clock: Clock) -> Self {
        let shared = Shared { queue: Mutex::default(), arrived: Condvar::new(), most: waiting, clock };
        Self { shared: Arc::new(shared), threads: threads.max(1) }
    }

    /// # Errors
    ///
    /// As for a [`place`](Self::place). A job that waited for too long is dropped.
    pub(super) fn submit(&self, job: Job) -> Result<(), Busy> {
        self.place()?.submit(job);
        Ok(())
    }

    /// # Errors
    ///
    /// Too many wait already, or there is no thread to be had.
    pub(super) fn place(&self) -> Result<Place, Busy> {
        let mut queue = self.shared.lock();
        if queue.started < self.threads {
            let shared = Arc::clone(&self.shared);
            let name = format!("passwords-{}", queue.started);
            match thread::Builder::new().name(name).spawn(move || shared.work()) {
                Ok(_) => queue.started += 1,
                Err(error) if queue.started == 0 => {
                    tracing::error!(%error, "no thread for passwords can be started");
                    return Err(Busy);
                }
                Err(_) => {}
            }
        }
        // Who is not waited for any more keeps nobody out. Dropped when the queue is free again, for that takes
        // locks of its own.
        let forsaken = queue.forsaken(self.shared.clock.boottime());
        let is_full = queue.jobs.len() + queue.taken >= self.shared.most;
        queue.taken += usize::from(!is_full);
        drop(queue);
        drop(forsaken);
        if is_full { Err(Busy) } else { Ok(Place { shared: Arc::clone(&self.shared), is_taken: true }) }
    }
}

impl Queue {
    /// Takes out those whose time is over: the first, for it is the same for all.
    fn forsaken(&mut self, now: Duration) -> Vec<(Duration, Job)> {
        let over = self.jobs.iter().take_while(|(until, _)| *until < now).count();
        self.jobs.drain(..over).collect()
    }
}

impl Place {
    pub(super) fn submit(mut self, job: Job) {
        let mut queue = self.shared.lock();
        queue.taken -= 1;
        queue.jobs.push_back((self.shared.clock.boottime() + PATIENCE, job));
        drop(queue);
        self.is_taken = false;
        self.shared.arrived.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_taken {
            self.shared.lock().taken -= 1;
        }
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
        Behind::Passwords.checks();
        let (mut memory, mut in_storm) = (Memory::default(), false);
        while let Some((job, waiting)) = self.next(&mut memory, in_storm) {
            if waiting >= STORM && !in_storm {
                Behind::Storm.checks();
                in_storm = true;
            }
            // A panic is one password that was not hashed: whoever waits for it is told by the end of its
            // channel.
            let _ = catch_unwind(AssertUnwindSafe(|| job(&mut memory)));
            if memory.bytes() > KEPT {
                memory.release();
            }
        }
    }

    /// Waits for the next one that somebody waits for, and says how many wait behind it; `None` where there
    /// will be no more, or none for this thread. Whoever waits for long needs no memory.
    fn next(&self, memory: &mut Memory, in_storm: bool) -> Option<(Job, usize)> {
        let mut queue = self.lock();
        loop {
            let forsaken = queue.forsaken(self.clock.boottime());
            if !forsaken.is_empty() {
                drop(queue);
                drop(forsaken);
                queue = self.lock();
            }
            match queue.jobs.pop_front() {
                Some((_, job)) => return Some((job, queue.jobs.len())),
                None if queue.closed => return None,
                // Nobody has a place who counts on this one.
                None if in_storm && queue.taken == 0 => {
                    queue.started -= 1;
                    return None;
                }
                None if memory.bytes() == 0 => {
                    queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                None => {
                    let waited = self.arrived.wait_timeout(queue, IDLE);
                    let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    queue = again;
                    if timeout.timed_out() {
                        // Takes a while, and checks wait for the queue too.
                        drop(queue);
                        memory.release();
                        queue = self.lock();
                    }
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::mpsc;

    use super::*;

    /// Its only thread, until the sender is used or gone.
    fn occupied(pool: &Pool) -> mpsc::Sender<()> {
        let (begun, has_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        pool.submit(Box::new(move |_| {
            begun.send(()).unwrap();
            let _ = released.recv();
        }))
        .unwrap();
        has_begun.recv().unwrap();
        release
    }

    #[test]
    fn more_than_may_wait_are_turned_away_and_a_panic_ends_nothing() {
        // The clock stands still: a backtrace takes a busy machine longer than anybody waits.
        let (clock, _hand) = Clock::stopped(crate::domain::time::Timestamp::from_unix(0));
        let pool = Pool::new(1, 2, clock);
        let release = occupied(&pool);
        let (done, is_done) = mpsc::channel();
        pool.submit(Box::new(|_| panic!("as it is told to"))).unwrap();
        pool.submit(Box::new(move |_| done.send(7).unwrap())).unwrap();
        assert!(pool.submit(Box::new(|_| ())).is_err(), "two wait already");
        release.send(()).unwrap();
        assert_eq!(is_done.recv().unwrap(), 7);
    }

    #[test]
    fn in_a_storm_hashing_steps_back_and_after_it_is_where_it_was() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let (clock, _hand) = Clock::stopped(crate::domain::time::Timestamp::from_unix(0));
        let pool = Pool::new(1, 2 * STORM, clock);
        let (tell, told) = mpsc::channel();
        let ask = || {
            let tell = tell.clone();
            pool.submit(Box::new(move |_| tell.send(nice()).unwrap())).unwrap();
        };
        ask();
        let calm = told.recv().unwrap();
        let release = occupied(&pool);
        (0..=STORM).for_each(|_| ask());
        release.send(()).unwrap();
        let stormed: Vec<i32> = (0..=STORM).map(|_| told.recv().unwrap()).collect();
        // Whoever runs all of this as the last of the machine has nowhere to step back to.
        assert!(stormed.iter().all(|it| *it > calm || nice() >= 19), "{calm}, {stormed:?}");
        let mut left = 1_000_000;
        while {
            ask();
            told.recv().unwrap()
        } != calm
        {
            left -= 1;
            assert!(left > 0, "it has stepped back for good");
        }
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_done() {
        let (clock, hand) = Clock::stopped(crate::domain::time::Timestamp::from_unix(0));
        let pool = Pool::new(1, 10, clock);
        let release = occupied(&pool);
        let (late, is_late) = mpsc::channel::<()>();
        pool.submit(Box::new(move |_| late.send(()).unwrap())).unwrap();
        hand.advance(PATIENCE + Duration::from_millis(1));
        release.send(()).unwrap();
        assert!(is_late.recv().is_err(), "its end is told, and it was not done");
    }
}
