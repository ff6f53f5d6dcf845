//! The one task of an instance that writes.
//!
//! It takes what has come in while Redis was busy and writes it as one script. Other instances
//! write too: the script does so only if the history still stands where this one's begins, and
//! otherwise says where it does. Where an answer is lost, what was asked is asked again, and found
//! by its operation if it was written.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::deadline::Deadline;
use super::group::{Group, Outcome, Stop, only_ends};
use super::link::{Link, Live, Standing};
use super::push::Heard;
use super::refusal::Refusal;
use super::settings::RedisSettings;
use super::writable::Writable;
use super::{keys, meta, reads, reply};
use crate::store::ring::Ring;
use crate::store::{Batch, Changes, Epoch, Head, StoreError, log};

/// A batch that somebody waits for.
pub(super) struct Ask {
    pub(super) batch: Batch,
    /// Begins a new term, if the store stands there.
    pub(super) begins_after: Option<Head>,
    pub(super) deadline: Deadline,
    /// Whether it was sent and the answer lost.
    pub(super) open: bool,
    pub(super) answer: oneshot::Sender<Result<Epoch, StoreError>>,
}

/// How many may wait for the writer.
pub(super) const QUEUE: usize = 1_024;

pub(super) struct Writer {
    link: Arc<Link>,
    ring: Arc<Ring>,
    settings: Arc<RedisSettings>,
    heard: Arc<Heard>,
    writable: Arc<Writable>,
    /// How many changes the log keeps.
    kept: u64,
    /// Where the store stood when we last heard of it; `None` where that must be asked.
    standing: Option<Standing>,
}

impl Writer {
    pub(super) fn new(
        link: Arc<Link>,
        ring: Arc<Ring>,
        settings: Arc<RedisSettings>,
        (heard, writable): (Arc<Heard>, Arc<Writable>),
        kept: u64,
    ) -> Self {
        Self { link, ring, settings, heard, writable, kept, standing: None }
    }

    /// Runs until every sender is gone.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        while let Some(first) = asks.recv().await {
            let mut waiting = VecDeque::from([first]);
            while waiting.len() < GROUP
                && let Ok(ask) = asks.try_recv()
            {
                waiting.push_back(ask);
            }
            while !waiting.is_empty() {
                if let Err(refusal) = self.round(&mut waiting).await {
                    self.standing = None;
                    refuse(&mut waiting, refusal);
                    if !waiting.is_empty() {
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        }
    }

    /// Writes and answers some of those that wait. An error is of all that still do.
    async fn round(&mut self, waiting: &mut VecDeque<Ask>) -> Result<(), Refusal> {
        let live = self.link.live().await?;
        let standing = match self.standing.clone() {
            Some(standing) => standing,
            None => self.link.look(&live).await?,
        };
        self.standing = Some(standing.clone());
        if let Some(from) = waiting.front().and_then(|ask| ask.begins_after)
            && standing.head != from
        {
            return self.came_late(waiting, from).await;
        }
        let group = Group::seal(&self.ring, standing.head, &batches(waiting));
        let mut open = Vec::with_capacity(group.len());
        for ask in waiting.iter_mut().take(group.len()) {
            open.push(std::mem::replace(&mut ask.open, true));
        }
        let written = match self.send(&live, &standing, &group).await {
            Ok(written) => written,
            Err(refusal) => {
                if refusal.ends_connection() {
                    self.link.drop_live(&live).await;
                }
                // Only a lost answer leaves anything open that was not before.
                if !matches!(refusal, Refusal::Lost { .. }) {
                    waiting.iter_mut().zip(open).for_each(|(ask, open)| ask.open = open);
                }
                let Refusal::Refused(why) = refusal else { return Err(refusal) };
                // Only these: what ends something may be taken where what makes something is not.
                self.writable.refused(&why);
                self.standing = None;
                waiting.drain(..group.len()).for_each(|ask| give_up(ask, &why));
                return Ok(());
            }
        };
        waiting.iter_mut().take(group.len()).for_each(|ask| ask.open = false);
        self.settle(waiting, &group, written)
    }

    /// Has the script write a group, and Redis's replicas confirm it.
    async fn send(&self, live: &Live, standing: &Standing, group: &Group) -> Result<Written, Refusal> {
        let mut commands = ::redis::Pipeline::new();
        let call = group.call(&standing.sealed, self.kept, keys::channel(self.settings.database));
        commands.add_command(call.command(&live.digests));
        let replicas = self.settings.replicas;
        if replicas > 0 {
            // Of this connection's writes, so on the same one.
            let patience = self.settings.timeouts.confirm.as_millis().max(1) as u64;
            commands.cmd("WAIT").arg(replicas).arg(patience);
        }
        let mut answers = live.connection.ask_all(&commands).await?.into_iter();
        let outcome = Outcome::read(answers.next().unwrap_or_else(|| Err(Refusal::garbled("a write")))?)?;
        let confirmed = match answers.next() {
            None => true,
            // Written as it is, a refusal here is no different from silence.
            Some(have) => have.and_then(reply::number).is_ok_and(|have| have >= replicas.into()),
        };
        Ok(Written { outcome, confirmed })
    }

    /// Answers those who are served.
    fn settle(
        &mut self,
        waiting: &mut VecDeque<Ask>,
        group: &Group,
        written: Written,
    ) -> Result<(), Refusal> {
        let confirmed =
            |epoch| if written.confirmed { Ok(epoch) } else { Err(StoreError::Unconfirmed(epoch)) };
        let (done, stop) = match written.outcome {
            Outcome::Moved(Some(sealed)) => {
                let head = meta::open(&self.ring, &sealed)?;
                self.standing = Some(Standing { head, sealed });
                waiting.retain_mut(|ask| in_time(ask, "other instances wrote all the time"));
                return Ok(());
            }
            Outcome::Moved(None) => {
                // Looked at again, a store is made or the reason found why not.
                self.standing = None;
                waiting.retain_mut(|ask| in_time(ask, "the store in Redis was emptied meanwhile"));
                return Ok(());
            }
            Outcome::Broken => {
                return Err(StoreError::Foreign(
                    "what the store in Redis keeps of itself was changed by somebody else; put a backup in its place"
                        .into(),
                )
                .into());
            }
            Outcome::Done { done, stop } => (done, stop),
        };
        if let Some(standing) = done.checked_sub(1).and_then(|last| group.standing_after(last)) {
            self.heard.stands(standing.head.epoch);
            self.standing = Some(standing);
        }
        for index in 0..done {
            if let (Some(ask), Some(standing)) = (waiting.pop_front(), group.standing_after(index)) {
                let _ = ask.answer.send(confirmed(standing.head.epoch));
            }
        }
        let Some(ask) = stop.as_ref().and_then(|_| waiting.pop_front()) else { return Ok(()) };
        let answer = match stop {
            Some(Stop::Conflict(step)) => match ask.batch.steps.get(step) {
                Some(step) => Err(StoreError::Conflict { table: step.table, name: step.name.clone() }),
                None => Err(Refusal::garbled("a conflict").into()),
            },
            Some(Stop::Written(entry)) => self.recognised(&ask.batch, &entry).and_then(confirmed),
            None => return Ok(()),
        };
        let _ = ask.answer.send(answer);
        Ok(())
    }

    /// The epoch of a batch that was written before, if the log's entry proves it.
    fn recognised(&self, batch: &Batch, entry: &reads::Entry) -> Result<Epoch, StoreError> {
        let (change, _) = log::open(&self.ring, entry.number, &entry.sealed).map_err(reads::damaged)?;
        match &self.standing {
            Some(standing) if change.operation == batch.operation => {
                Ok(Epoch { number: change.number, ..standing.head.epoch })
            }
            _ => Err(StoreError::DamagedLog(format!(
                "change {} is not the one that it is said to be",
                entry.number
            ))),
        }
    }

    /// Answers a new term that cannot begin, unless it is this that moved the store.
    async fn came_late(&mut self, waiting: &mut VecDeque<Ask>, from: Head) -> Result<(), Refusal> {
        let next = reads::changes(&self.link, &self.ring, from, 1).await?;
        let Some(ask) = waiting.pop_front() else { return Ok(()) };
        let begun = matches!(&next, Changes::Next(next) if next.first().is_some_and(|change| {
            change.operation == ask.batch.operation
        }));
        let epoch = Epoch { term: from.epoch.term + 1, number: from.epoch.number + 1, ..from.epoch };
        let _ = ask.answer.send(if begun { Ok(epoch) } else { Err(StoreError::Moved) });
        Ok(())
    }
}

/// What a script did, and whether enough of Redis's replicas have it.
struct Written {
    outcome: Outcome,
    confirmed: bool,
}

/// Those at the front that can be written together: a new term alone, what only ends something with its
/// like, and no operation twice, since the second must be answered as the first is.
fn batches(waiting: &VecDeque<Ask>) -> Vec<(&Batch, bool)> {
    let mut operations = HashSet::new();
    let mut steps = 0;
    let mut together = Vec::new();
    let ends = waiting.front().is_some_and(|ask| only_ends(&ask.batch));
    for ask in waiting {
        steps += ask.batch.steps.len();
        let alone = ask.begins_after.is_some() && !together.is_empty();
        let too_many = steps > STEPS && !together.is_empty();
        let unlike = only_ends(&ask.batch) != ends;
        if alone || too_many || unlike || !operations.insert(ask.batch.operation) {
            break;
        }
        together.push((&ask.batch, ask.begins_after.is_some()));
        if ask.begins_after.is_some() {
            break;
        }
    }
    together
}

/// Answers those who need not wait any longer.
fn refuse(waiting: &mut VecDeque<Ask>, refusal: Refusal) {
    let passes = matches!(refusal, Refusal::Lost { .. } | Refusal::Unreachable(_) | Refusal::Elsewhere(_));
    match refusal {
        refusal if passes => {
            let why = refusal.why();
            waiting.retain_mut(|ask| in_time(ask, &why));
        }
        Refusal::Store(StoreError::Foreign(why)) => {
            for ask in waiting.drain(..) {
                let _ = ask.answer.send(Err(StoreError::Foreign(why.clone())));
            }
        }
        refusal => {
            let why = refusal.why();
            for ask in waiting.drain(..) {
                give_up(ask, &why);
            }
        }
    }
}

/// Whether it may be tried again; it is answered if not.
fn in_time(ask: &mut Ask, why: &str) -> bool {
    if !ask.deadline.has_passed() {
        return true;
    }
    // Left behind in the queue, and taken out by this.
    let (answer, _) = oneshot::channel();
    let answer = std::mem::replace(&mut ask.answer, answer);
    let _ = answer.send(Err(StoreError::Unavailable(told(ask.open, why))));
    false
}

fn give_up(ask: Ask, why: &str) {
    let _ = ask.answer.send(Err(StoreError::Unavailable(told(ask.open, why))));
}

fn told(open: bool, why: &str) -> String {
    match open {
        true => format!("{why}; whether this was written is open: ask again with the same operation"),
        false => format!("{why}; nothing was written"),
    }
}

/// How many batches are written by one script at most, and how many steps, since a script holds
/// everybody up: some 10 ms.
const GROUP: usize = 256;
const STEPS: usize = 4_096;
/// Between two tries. The link pauses longer by itself, and answers at once meanwhile.
const RETRY: Duration = Duration::from_millis(10);
