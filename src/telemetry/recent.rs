//! The last decisions that have a line in the log, each with its steps, in memory: for
//! `doorward explain --request-id`.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use prometheus::{IntCounter, Registry};

use super::decision::Rate;
use super::log::without_secrets;
use super::metrics::counter;
use crate::domain::time::Timestamp;

pub struct Recent {
    /// Bytes; 0 keeps none.
    most: AtomicUsize,
    of_somebody: Part,
    of_strangers: Part,
    /// Of the next one, in whichever part.
    number: AtomicU64,
    left_out: IntCounter,
}

/// Whether it is known who asked, by a consumer or a credential. Of both as much is kept, so that strangers
/// displace nobody's decisions, however many requests they make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Somebodys,
    Strangers,
}

struct Part {
    rate: Rate,
    kept: Mutex<Kept>,
}

/// The oldest first.
#[derive(Default)]
struct Kept {
    decisions: VecDeque<Arc<Decided>>,
    bytes: usize,
}

struct Decided {
    number: u64,
    request_id: Box<str>,
    /// JSON.
    account: Box<str>,
}

impl Decided {
    /// With what the heap and the queue add, so that the number of decisions is bounded with their bytes.
    fn bytes(&self) -> usize {
        const AROUND: usize = 160;
        AROUND + self.request_id.len() + self.account.len()
    }
}

/// Kept in a second: to decide once more and to write it down costs a check some ten microseconds, so this
/// takes no more than a hundredth of a processor, however many are refused and whatever `log` asks for. In
/// each part.
const A_SECOND: u32 = 500;

/// Bytes of one. Texts and lists in it are cut, so that none is near.
const LARGEST: usize = 64 << 10;

/// Decisions of one name that are told, of each part; a client may give all its requests the same.
const TOLD: usize = 10;

impl Recent {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            most: AtomicUsize::new(0),
            of_somebody: Part::new(),
            of_strangers: Part::new(),
            number: AtomicU64::new(0),
            left_out: counter(
                registry,
                "doorward_recent_decisions_left_out_total",
                "Decisions with a log line not kept for explain --request-id: too many in a second, too large, or at a moment of reading",
            ),
        }
    }

    /// How many bytes of them are kept; at first none.
    pub(super) fn set(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Whether a decision may be kept in the second `now`. One without a name cannot be asked for.
    pub fn wants(&self, whose: Whose, request_id: &str, now: Timestamp) -> bool {
        if request_id.is_empty() || self.most.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let room = self.part(whose).rate.has_room(now);
        if !room {
            self.left_out.inc();
        }
        room
    }

    /// Keeps one, and forgets the oldest where there is no room. Never waits: whoever reads holds the lock
    /// for as long as it takes to look through all of it, and its thread may have lost its processor. A check
    /// that finds it taken leaves its decision out.
    pub fn keep(&self, whose: Whose, request_id: &str, account: &str) {
        let decided = Decided {
            number: self.number.fetch_add(1, Ordering::Relaxed),
            request_id: without_secrets(request_id).into(),
            // As a whole: what a secret is made of is the same in JSON.
            account: without_secrets(account).into(),
        };
        let bytes = decided.bytes();
        let most = self.most.load(Ordering::Relaxed) / 2;
        let mut kept = match self.part(whose).kept.try_lock() {
            Ok(kept) if bytes <= LARGEST.min(most) => kept,
            // Nothing is left half done in there.
            Err(TryLockError::Poisoned(poisoned)) if bytes <= LARGEST.min(most) => poisoned.into_inner(),
            Ok(_) | Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => return self.left_out.inc(),
        };
        kept.bytes += bytes;
        kept.decisions.push_back(Arc::new(decided));
        while kept.bytes > most
            && let Some(oldest) = kept.decisions.pop_front()
        {
            kept.bytes -= oldest.bytes();
        }
    }

    /// The accounts, as JSON, of what was decided about requests of this name, the newest first.
    pub fn of(&self, request_id: &str) -> Vec<String> {
        let mut found = self.of_somebody.named(request_id);
        found.extend(self.of_strangers.named(request_id));
        found.sort_by_key(|decided| Reverse(decided.number));
        found.iter().map(|decided| decided.account.to_string()).collect()
    }

    /// How many are kept at this moment.
    pub fn count(&self) -> usize {
        [&self.of_somebody, &self.of_strangers].map(|part| part.lock().decisions.len()).iter().sum()
    }

    fn part(&self, whose: Whose) -> &Part {
        match whose {
            Whose::Somebodys => &self.of_somebody,
            Whose::Strangers => &self.of_strangers,
        }
    }
}

impl Part {
    fn new() -> Self {
        Self { rate: Rate::new(A_SECOND), kept: Mutex::default() }
    }

    fn named(&self, request_id: &str) -> Vec<Arc<Decided>> {
        let named = |decided: &&Arc<Decided>| *decided.request_id == *request_id;
        self.lock().decisions.iter().rev().filter(named).take(TOLD).map(Arc::clone).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_000);

    fn recent(most: usize) -> Recent {
        let recent = Recent::new(&Registry::new());
        recent.set(most);
        recent
    }

    #[test]
    fn the_oldest_go_first_and_the_bytes_are_never_more_than_asked_for() {
        let recent = recent(20_000);
        for number in 0..1_000 {
            recent.keep(Whose::Somebodys, &format!("id-{number}"), &"x".repeat(number));
            let kept = recent.of_somebody.lock();
            assert_eq!(kept.bytes, kept.decisions.iter().map(|it| it.bytes()).sum::<usize>());
            assert!(kept.bytes <= 10_000, "{}", kept.bytes);
        }
        assert_eq!(recent.of("id-999"), ["x".repeat(999)]);
        assert!(recent.of("id-0").is_empty(), "overwritten");
        assert_eq!(recent.count(), 8);
        recent.keep(Whose::Somebodys, "id-large", &"x".repeat(10_000));
        assert!(recent.of("id-large").is_empty());
        assert_eq!((recent.count(), recent.left_out.get()), (8, 1));
    }

    #[test]
    fn small_ones_are_bounded_in_number_too() {
        let recent = recent(32_000);
        (0..1_000).for_each(|_| recent.keep(Whose::Somebodys, "", ""));
        assert_eq!(recent.count(), 100);
    }

    #[test]
    fn who_keeps_never_waits_for_who_reads() {
        let recent = recent(10_000);
        let reads = recent.of_somebody.lock();
        recent.keep(Whose::Somebodys, "id", "{}");
        drop(reads);
        assert!(recent.of("id").is_empty());
        assert_eq!(recent.left_out.get(), 1);
        recent.keep(Whose::Somebodys, "id", "{}");
        assert_eq!(recent.of("id"), ["{}"]);
    }

    #[test]
    fn what_has_no_name_or_comes_too_often_is_not_wanted() {
        let some = recent(10_000);
        assert!(!some.wants(Whose::Somebodys, "", NOW));
        assert!(!recent(0).wants(Whose::Somebodys, "id", NOW));
        let wanted = (0..5_000).filter(|_| some.wants(Whose::Somebodys, "id", NOW)).count();
        assert_eq!((wanted, some.left_out.get()), (500, 4_500));
        assert!(some.wants(Whose::Somebodys, "id", Timestamp::from_unix(1_001)));
    }

    #[test]
    fn strangers_displace_nobodys_decisions_and_take_nobodys_room() {
        let recent = recent(100_000);
        recent.keep(Whose::Somebodys, "id", "alice");
        for second in 0..20 {
            let now = Timestamp::from_unix(1_000 + second);
            let wanted = (0..1_000).filter(|_| recent.wants(Whose::Strangers, "id", now)).count();
            (0..wanted).for_each(|_| recent.keep(Whose::Strangers, "id", "nobody"));
            assert!(recent.wants(Whose::Somebodys, "id", now), "{second}");
        }
        let told = recent.of("id");
        assert_eq!((told.len(), &told[10][..]), (11, "alice"), "{told:?}");
        recent.keep(Whose::Somebodys, "id", "bob");
        assert_eq!(recent.of("id")[0], "bob", "the newest first");
    }

    #[test]
    fn decisions_of_one_name_are_told_newest_first_and_not_all() {
        let recent = recent(100_000);
        (0..20).for_each(|number| recent.keep(Whose::Somebodys, "id", &number.to_string()));
        let told: Vec<String> = (10..20).rev().map(|number: u8| number.to_string()).collect();
        assert_eq!(recent.of("id"), told);
    }

    #[test]
    fn secrets_of_our_form_are_cut_out_of_names_and_accounts() {
        let recent = recent(10_000);
        recent.keep(
            Whose::Somebodys,
            "dw_key_0123456789aB_secret",
            r#"{"path":"/dw_key_0123456789aB_secret"}"#,
        );
        assert!(recent.of("dw_key_0123456789aB_secret").is_empty());
        assert_eq!(recent.of("dw_key_0123456789aB_***"), [r#"{"path":"/dw_key_0123456789aB_***"}"#]);
    }
}
