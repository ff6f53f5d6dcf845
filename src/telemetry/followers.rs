//! Whoever follows decisions while they are made (`doorward tail`).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::Level;

use super::Telemetry;
use super::decision::{DecisionLine, VerdictLabel};
use super::log::{Moment, Object};
use crate::clock::Clock;

/// What a follower is told. Nothing asked for: everything.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// No allows.
    pub refusals: bool,
    /// By name; and so the next one.
    pub service: Option<String>,
    pub infrastructure: Option<String>,
    /// By id or username.
    pub consumer: Option<String>,
    pub code: Option<String>,
}

impl Wanted {
    fn includes(&self, line: &DecisionLine<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let consumer = self.consumer.as_deref().is_none_or(|wanted| {
            line.username == Some(wanted) || line.consumer.is_some_and(|id| wanted.parse() == Ok(id))
        });
        (!self.refusals || line.verdict != VerdictLabel::Allow)
            && is(&self.code, line.code)
            && is(&self.service, line.service)
            && is(&self.infrastructure, line.infrastructure)
            && consumer
    }
}

/// As many follow as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded {
    pub most: usize,
}

pub(super) struct Followers {
    /// How many there are. All that a check looks at while there is none.
    count: AtomicUsize,
    places: ArcSwap<Vec<Place>>,
    admission: Mutex<Admission>,
    clock: Clock,
}

struct Admission {
    most: usize,
    /// Of the next one.
    number: u64,
    ended: bool,
}

/// Where one of them is told.
#[derive(Clone)]
struct Place {
    number: u64,
    wanted: Arc<Wanted>,
    lines: Sender<Arc<str>>,
    left_out: Arc<AtomicU64>,
}

/// Lines that wait until their follower looks, at most a megabyte; more are left out and counted. Looked after
/// every 50 ms, it is more than a terminal can show.
const QUEUED: usize = 1024;

impl Followers {
    pub(super) fn new(clock: Clock) -> Self {
        let admission = Admission { most: 0, number: 0, ended: false };
        Self {
            count: AtomicUsize::new(0),
            places: ArcSwap::default(),
            admission: Mutex::new(admission),
            clock,
        }
    }

    /// How many there may be; at first none.
    pub(super) fn set(&self, most: usize) {
        self.admission().most = most;
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Tells a decision to all who want it. Never waits, and takes no lock.
    pub(super) fn tell(&self, line: &DecisionLine<'_>) {
        if self.count() != 0 {
            self.tell_each(line);
        }
    }

    #[cold]
    fn tell_each(&self, line: &DecisionLine<'_>) {
        let mut written: Option<Arc<str>> = None;
        for place in self.places.load().iter().filter(|place| place.wanted.includes(line)) {
            // Room first: what cannot be told is not written either.
            match place.lines.try_reserve() {
                Ok(room) => {
                    let moment = || Moment(self.clock.unix_millis());
                    room.send(Arc::clone(written.get_or_insert_with(|| line.json(&moment()).into())));
                }
                Err(_) => {
                    place.left_out.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn admit(&self, wanted: Wanted) -> Result<(Place, Receiver<Arc<str>>), Crowded> {
        let mut admission = self.admission();
        let mut places = Vec::clone(&self.places.load());
        if admission.ended || places.len() >= admission.most {
            return Err(Crowded { most: admission.most });
        }
        let (lines, told) = channel(QUEUED);
        let place =
            Place { number: admission.number, wanted: Arc::new(wanted), lines, left_out: Arc::default() };
        admission.number += 1;
        places.push(place.clone());
        self.replace(places);
        Ok((place, told))
    }

    fn leave(&self, number: u64) {
        let _one_at_a_time = self.admission();
        let mut places = Vec::clone(&self.places.load());
        places.retain(|place| place.number != number);
        self.replace(places);
    }

    /// Nobody is told anything more; what waits is still theirs.
    pub(super) fn end(&self) {
        let mut admission = self.admission();
        admission.ended = true;
        self.replace(Vec::new());
    }

    /// Under the lock of admission.
    fn replace(&self, places: Vec<Place>) {
        let count = places.len();
        self.places.store(Arc::new(places));
        self.count.store(count, Ordering::Relaxed);
    }

    fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who follows, until dropped.
pub struct Follower {
    telemetry: Arc<Telemetry>,
    number: u64,
    lines: Receiver<Arc<str>>,
    left_out: Arc<AtomicU64>,
}

/// What a follower is told besides decisions.
const TARGET: &str = "doorward::tail";

impl Follower {
    pub(super) fn new(telemetry: Arc<Telemetry>, wanted: Wanted) -> Result<Self, Crowded> {
        let (Place { number, left_out, .. }, lines) = telemetry.followers().admit(wanted)?;
        Ok(Self { telemetry, number, lines, left_out })
    }

    /// The lines since the last look, and whether they were the last. Whoever follows looks now and then
    /// instead of being woken, which would be a check's work.
    pub fn look(&mut self) -> (String, bool) {
        let mut text = String::new();
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let message = "decisions were left out: there are more than the viewer takes";
            text += &self.remark(message).number("left_out", left_out).end();
        }
        // As many as there may be at this moment: those who decide might never let it end.
        for _ in 0..QUEUED {
            match self.lines.try_recv() {
                Ok(line) => text += &line,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    text += &self.told("the server ends");
                    return (text, true);
                }
            }
        }
        (text, false)
    }

    /// A line that is no decision.
    pub fn told(&self, message: &str) -> String {
        self.remark(message).end()
    }

    fn remark(&self, message: &str) -> Object {
        let moment = Moment(self.telemetry.followers().clock.unix_millis());
        Object::begin(&moment, &Level::WARN, TARGET, message)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.telemetry.followers().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::telemetry::Readiness;

    const ALICE: Uuid = Uuid::from_u128(7);

    fn telemetry(most: usize) -> Arc<Telemetry> {
        let (clock, _) = Clock::stopped(Timestamp::from_unix(1_767_323_045));
        let telemetry = Telemetry::new(clock, Arc::new(Readiness::new()));
        telemetry.set_followers(most);
        Arc::new(telemetry)
    }

    fn allow() -> DecisionLine<'static> {
        DecisionLine {
            request_id: "7d1c",
            verdict: VerdictLabel::Allow,
            mode: "enforce",
            traced: None,
            mistake: false,
            code: None,
            why: None,
            service: Some("orders"),
            infrastructure: None,
            method: b"GET",
            path: b"/orders",
            host: b"api.example",
            client: None,
            presented: None,
            credential: None,
            consumer: Some(ALICE),
            username: Some("alice"),
            duration: Duration::from_micros(7),
        }
    }

    fn deny() -> DecisionLine<'static> {
        let (verdict, code) = (VerdictLabel::Deny, Some("invalid_credential"));
        DecisionLine { verdict, code, consumer: None, username: None, ..allow() }
    }

    fn record(telemetry: &Telemetry, line: &DecisionLine<'_>) {
        telemetry.record(line, Timestamp::from_unix(1));
    }

    #[test]
    fn each_is_told_what_it_wants() {
        let id = ALICE.to_string();
        let check = |wanted: Wanted, expected: [bool; 2]| {
            assert_eq!([allow(), deny()].map(|line| wanted.includes(&line)), expected, "{wanted:?}");
        };
        let some = |text: &str| Some(text.to_owned());
        check(Wanted::default(), [true, true]);
        check(Wanted { refusals: true, ..Wanted::default() }, [false, true]);
        check(Wanted { service: some("orders"), ..Wanted::default() }, [true, true]);
        check(Wanted { infrastructure: some("staging"), ..Wanted::default() }, [false, false]);
        check(Wanted { service: some("order"), ..Wanted::default() }, [false, false]);
        check(Wanted { consumer: some("alice"), ..Wanted::default() }, [true, false]);
        check(Wanted { consumer: some(&id), ..Wanted::default() }, [true, false]);
        check(Wanted { consumer: some(""), ..Wanted::default() }, [false, false]);
        check(Wanted { code: some("invalid_credential"), ..Wanted::default() }, [false, true]);
        check(Wanted { code: some("deadline"), ..Wanted::default() }, [false, false]);
    }

    #[test]
    fn allows_are_told_however_few_are_logged_and_nobody_is_told_what_was_before() {
        let telemetry = telemetry(1);
        record(&telemetry, &allow());
        let mut follower = Arc::clone(&telemetry).follow(Wanted::default()).unwrap();
        assert_eq!(follower.look(), (String::new(), false));
        record(&telemetry, &allow());
        record(&telemetry, &deny());
        let (text, last) = follower.look();
        assert_eq!((text.lines().count(), last), (2, false), "{text}");
        assert!(text.starts_with(r#"{"timestamp":"2026-01-02T03:04:05.000Z","level":"info","#), "{text}");
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_the_number_is_told() {
        let telemetry = telemetry(2);
        let mut slow = Arc::clone(&telemetry).follow(Wanted::default()).unwrap();
        let mut choosy =
            Arc::clone(&telemetry).follow(Wanted { refusals: true, ..Wanted::default() }).unwrap();
        for _ in 0..QUEUED + 5 {
            record(&telemetry, &allow());
        }
        record(&telemetry, &deny());
        assert_eq!(choosy.look().0.lines().count(), 1);
        let (text, _) = slow.look();
        let (first, rest) = text.split_once('\n').unwrap();
        let told: serde_json::Value = serde_json::from_str(first).unwrap();
        assert_eq!((&told["target"], &told["left_out"]), (&TARGET.into(), &6.into()));
        assert_eq!(rest.lines().count(), QUEUED);
        record(&telemetry, &deny());
        assert_eq!(slow.look().0.lines().count(), 1, "and on it goes");
    }

    #[test]
    fn there_are_no_more_than_may_be_and_who_leaves_makes_room() {
        let telemetry = telemetry(2);
        let follow = || Arc::clone(&telemetry).follow(Wanted::default());
        let first = follow().ok().unwrap();
        let _second = follow().ok().unwrap();
        assert_eq!(follow().err(), Some(Crowded { most: 2 }));
        assert_eq!(telemetry.followers().count(), 2);
        drop(first);
        assert!(follow().is_ok());
        assert_eq!(telemetry.followers().count(), 1);
    }

    #[test]
    fn at_the_end_everybody_is_told_what_waits_and_then_no_more() {
        let telemetry = telemetry(1);
        let mut follower = Arc::clone(&telemetry).follow(Wanted::default()).unwrap();
        record(&telemetry, &deny());
        telemetry.end_followers();
        record(&telemetry, &deny());
        let (text, last) = follower.look();
        assert!(last && text.lines().count() == 2, "{text}");
        assert!(text.ends_with("\"message\":\"the server ends\"}\n"), "{text}");
        assert_eq!(telemetry.followers().count(), 0);
        drop(follower);
        assert_eq!(
            Arc::clone(&telemetry).follow(Wanted::default()).err(),
            Some(Crowded { most: 1 }),
            "it ends"
        );
    }
}
