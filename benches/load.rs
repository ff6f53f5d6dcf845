//! Calls upon a server: as many as it takes, or so many a second.

pub(crate) mod connection;

use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::connection::{CODES, Receiver, Sender};
use crate::call::{Calls, Pick};
use crate::rig::Outcome;

/// Connections, as an Envoy of four workers has them. Each has threads of its own, on one core.
const CONNECTIONS: u32 = 4;
/// Calls under way on each, at saturation.
const STREAMS: usize = 32;

/// And at a fixed rate at most: below the server's `limits.streams`.
pub(crate) const UNDER_WAY: usize = 1000;
/// How many have ended, where no more will.
const BROKEN: usize = usize::MAX;

/// What every answer has to be: `status.code`.
pub(crate) type Expected = u8;

/// What is asked of a server.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) pick: Pick,
    pub(crate) expected: Expected,
}

/// A closed loop: whenever a call ends, the next begins. After `warm_up` it asks `meter`, and once more
/// after another `time`; the number of calls between the two, each answered as expected.
pub(crate) fn saturate<M>(
    target: Target,
    (warm_up, time): (Duration, Duration),
    meter: impl Fn() -> M,
) -> Outcome<(u64, M, M)> {
    // All are connected, have warmed up, have measured.
    let phases = Barrier::new(CONNECTIONS as usize + 1);
    thread::scope(|scope| {
        let lines: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let phases = &phases;
                scope.spawn(move || {
                    let mut line = Line::open(target, number);
                    phases.wait();
                    let warm = line.as_mut().map_or(Ok(0), |line| line.run(Instant::now() + warm_up));
                    phases.wait();
                    let ended = line.as_mut().map_or(Ok(0), |line| line.run(Instant::now() + time));
                    phases.wait();
                    line.map(drop).and(warm).and(ended)
                })
            })
            .collect();
        phases.wait();
        phases.wait();
        let before = meter();
        phases.wait();
        let after = meter();
        let mut all = 0;
        for line in lines {
            all += line.join().map_err(|_| "a thread of the load died")??;
        }
        Ok((all, before, after))
    })
}

/// One connection of a closed loop.
struct Line {
    sender: Sender,
    receiver: Receiver,
    calls: Calls,
    expected: Expected,
    idle: usize,
}

impl Line {
    fn open(target: Target, number: u32) -> Outcome<Self> {
        let (sender, receiver) = connection::open(target.address)?;
        Ok(Self {
            sender,
            receiver,
            calls: Calls::new(target.pick, number),
            expected: target.expected,
            idle: STREAMS,
        })
    }

    fn run(&mut self, end: Instant) -> Outcome<u64> {
        let mut ended = 0;
        while Instant::now() < end {
            while self.idle > 0 && self.sender.call(self.calls.next()) {
                self.idle -= 1;
            }
            self.sender.send()?;
            let mut wrong = None;
            self.receiver.receive(&mut |answer| {
                self.idle += 1;
                ended += 1;
                wrong = wrong.or((answer.code != Some(self.expected)).then_some(answer.code));
            })?;
            wrong.map_or(Ok(()), |found| Err(unlike(self.expected, found)))?;
        }
        Ok(ended)
    }
}

/// An open loop: `rate` calls a second at even distances, whatever becomes of those before. How long
/// each took from when it was due, sorted.
pub(crate) fn paced(target: Target, (rate, time): (u32, Duration)) -> Outcome<Vec<Duration>> {
    let start = Instant::now() + Duration::from_millis(50);
    thread::scope(|scope| {
        let gap = CONNECTIONS * Duration::from_secs(1) / rate;
        let count = (time.as_nanos() / gap.as_nanos()) as usize;
        let lines: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                // Evenly among the others' calls.
                let first = start + number * gap / CONNECTIONS;
                scope.spawn(move || paced_line(target, number, Pace { first, gap, count }))
            })
            .collect();
        let mut took = Vec::new();
        for line in lines {
            took.extend(line.join().map_err(|_| "a thread of the load died")??);
        }
        took.sort_unstable();
        Ok(took)
    })
}

/// When the calls of a connection are due.
#[derive(Clone, Copy)]
struct Pace {
    first: Instant,
    gap: Duration,
    count: usize,
}

fn paced_line(target: Target, number: u32, pace: Pace) -> Outcome<Vec<Duration>> {
    let (mut sender, mut receiver) = connection::open(target.address)?;
    let mut calls = Calls::new(target.pick, number);
    let ended = AtomicUsize::new(0);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for call in 0..pace.count {
                wait_until(pace.due(call));
                // Who is late is asked no more than it said it takes; the wait counts from when the call was due.
                while call >= ended.load(Ordering::Relaxed).saturating_add(UNDER_WAY) {
                    thread::sleep(Duration::from_micros(50));
                }
                if ended.load(Ordering::Relaxed) == BROKEN {
                    break;
                }
                let message = calls.next();
                // Before its greeting is here the server takes 64 KiB.
                while !sender.call(message) {
                    if ended.load(Ordering::Relaxed) == BROKEN {
                        return Ok(());
                    }
                    thread::sleep(Duration::from_micros(50));
                }
                sender.send()?;
            }
            Ok(())
        });
        let mut took = Vec::with_capacity(pace.count);
        let mut receive = || {
            let mut wrong = None;
            receiver.receive(&mut |answer| {
                // Streams are numbered 1, 3, 5 and so on in the order of the calls.
                took.push(pace.due(answer.stream as usize / 2).elapsed());
                wrong = wrong.or((answer.code != Some(target.expected)).then_some(answer.code));
            })?;
            ended.store(took.len(), Ordering::Relaxed);
            wrong.map_or(Ok(took.len()), |found| Err(unlike(target.expected, found)))
        };
        let received = loop {
            match receive() {
                Ok(all) if all == pace.count => break Ok(()),
                Ok(_) => {}
                Err(why) => break Err(why),
            }
        };
        if received.is_err() {
            ended.store(BROKEN, Ordering::Relaxed);
        }
        let sent = sending.join().map_err(|_| "a thread of the load died")?;
        received.and(sent).map(|()| took)
    })
}

impl Pace {
    fn due(self, call: usize) -> Instant {
        self.first + self.gap * u32::try_from(call).expect("a short run")
    }
}

/// What became of checks that were offered at a rate. Times are sorted, and count from when a check was
/// due.
#[derive(Default)]
pub(crate) struct Came {
    /// As expected.
    pub(crate) allowed: Vec<Duration>,
    pub(crate) refused: Vec<Duration>,
    /// Due while as many as may be were under way.
    pub(crate) unasked: usize,
}

/// Offers so many a second, however many are answered: those that are due leave together.
pub(crate) fn offered(target: Target, rate: f64, time: Duration) -> Outcome<Came> {
    thread::scope(|scope| {
        let lines: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                scope.spawn(move || offered_line(target, number, (rate / f64::from(CONNECTIONS), time)))
            })
            .collect();
        let mut all = Came::default();
        for line in lines {
            let came = line.join().map_err(|_| "a thread of the load died")??;
            all.allowed.extend(came.allowed);
            all.refused.extend(came.refused);
            all.unasked += came.unasked;
        }
        all.allowed.sort_unstable();
        all.refused.sort_unstable();
        Ok(all)
    })
}

fn offered_line(target: Target, number: u32, (rate, time): (f64, Duration)) -> Outcome<Came> {
    const PAUSE: Duration = Duration::from_micros(200);
    let (mut sender, mut receiver) = connection::open(target.address)?;
    let mut calls = Calls::new(target.pick, number);
    let begin = Instant::now();
    let elapsed = || u64::try_from(begin.elapsed().as_nanos()).expect("a short run");
    // When each call under way was due, by its number.
    let due_at: Vec<AtomicU64> = (0..CODES).map(|_| AtomicU64::new(0)).collect();
    let (ended, all) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    thread::scope(|scope| {
        let (due_at, ended, all) = (&due_at, &ended, &all);
        let sending = scope.spawn(move || {
            let (mut sent, mut unasked) = (0, 0);
            loop {
                let over = begin.elapsed() >= time;
                let due = (begin.elapsed().min(time).as_secs_f64() * rate) as usize;
                let room = UNDER_WAY.saturating_sub(sent - ended.load(Ordering::Relaxed));
                // The first find room, and what then finds none is never asked.
                let without = (due - sent - unasked).saturating_sub(room);
                while sent + unasked + without < due && sender.call(calls.next()) {
                    let when = (sent + unasked) as f64 / rate * 1e9;
                    due_at[sent % CODES].store(when as u64, Ordering::Relaxed);
                    sent += 1;
                }
                unasked += without;
                if over {
                    // One more, so that there is an answer after it is known how many there will be.
                    while sent - ended.load(Ordering::Relaxed) >= UNDER_WAY || !sender.call(calls.next()) {
                        thread::sleep(PAUSE);
                    }
                    due_at[sent % CODES].store(elapsed(), Ordering::Relaxed);
                    all.store(sent + 1, Ordering::Relaxed);
                    return sender.send().map(|()| unasked);
                }
                sender.send()?;
                thread::sleep(PAUSE);
            }
        });
        let mut came = Came::default();
        while came.allowed.len() + came.refused.len() < all.load(Ordering::Relaxed) {
            receiver.receive(&mut |answer| {
                let due = due_at[answer.stream as usize / 2 % CODES].load(Ordering::Relaxed);
                let took = Duration::from_nanos(elapsed().saturating_sub(due));
                let list =
                    if answer.code == Some(target.expected) { &mut came.allowed } else { &mut came.refused };
                list.push(took);
            })?;
            ended.store(came.allowed.len() + came.refused.len(), Ordering::Relaxed);
        }
        came.unasked = sending.join().map_err(|_| "a thread of the load died")??;
        Ok(came)
    })
}

/// The kernel wakes us up to 50 µs late, to wake others with us; so the last bit is waited for awake.
fn wait_until(due: Instant) {
    const SLACK: Duration = Duration::from_micros(60);
    if let Some(time) = due.checked_duration_since(Instant::now() + SLACK) {
        thread::sleep(time);
    }
    while Instant::now() < due {
        thread::yield_now();
    }
}

fn unlike(expected: Expected, found: Option<u8>) -> String {
    format!("expected `status.code` {expected}, found {found:?}")
}
