//! Batches that one script writes, sealed for the numbers that they will have.

use std::collections::HashMap;

use ::redis::Value;

use super::link::Standing;
use super::reads::{self, Entry};
use super::refusal::Refusal;
use super::scripts::{Call, Script};
use super::{keys, meta, reply, value};
use crate::store::ring::Ring;
use crate::store::{Batch, Effect, Epoch, Expect, Head, Mark, Step, Table, changes, log};

pub(super) struct Group {
    keys: Keys,
    batches: Vec<Sealed>,
    only_ends: bool,
}

struct Sealed {
    arguments: Vec<Vec<u8>>,
    /// Where the store stands once it is written.
    standing: Standing,
}

/// What the script did.
pub(super) enum Outcome {
    /// Nothing: the store stands elsewhere, or is nowhere.
    Moved(Option<Vec<u8>>),
    /// Nothing: what it goes by makes no sense.
    Broken,
    /// It wrote so many, and no more because of this.
    Done { done: usize, stop: Option<Stop> },
}

pub(super) enum Stop {
    /// The step of this index expects what is not so.
    Conflict(usize),
    /// It was written before, as this.
    Written(Entry),
}

impl Group {
    /// Seals batches for the numbers after `head`; one that begins a term is so marked.
    pub(super) fn seal(ring: &Ring, head: Head, batches: &[(&Batch, bool)]) -> Self {
        let only_ends = batches.iter().all(|(batch, _)| only_ends(batch));
        let mut group = Self { keys: Keys::new(), batches: Vec::with_capacity(batches.len()), only_ends };
        let mut head = head;
        for (batch, begins_term) in batches {
            let term = head.epoch.term + u32::from(*begins_term);
            let epoch = Epoch { term, number: head.epoch.number + 1, ..head.epoch };
            let entry = log::seal(ring, &changes::change(epoch.number, batch), head.mark);
            let mark = log::mark_of(&entry).unwrap_or(Mark::NONE);
            head = Head { epoch, mark };
            let standing = Standing { head, sealed: meta::seal(ring, head) };
            let mut arguments = vec![
                batch.operation.as_bytes().to_vec(),
                epoch.number.to_string().into_bytes(),
                entry,
                standing.sealed.clone(),
                batch.steps.len().to_string().into_bytes(),
            ];
            for step in &batch.steps {
                arguments.extend(group.keys.step(ring, epoch.number, step));
            }
            group.batches.push(Sealed { arguments, standing });
        }
        group
    }

    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    pub(super) fn standing_after(&self, index: usize) -> Option<Standing> {
        self.batches.get(index).map(|sealed| sealed.standing.clone())
    }

    /// To be run where the store stands as `sealed` says, and told of on the channel.
    pub(super) fn call(&self, sealed: &[u8], kept: u64, channel: String) -> Call {
        let mut call = Call {
            script: if self.only_ends { Script::WriteRegardless } else { Script::Write },
            keys: self.keys.names.clone(),
            arguments: vec![
                sealed.to_vec(),
                kept.to_string().into_bytes(),
                channel.into(),
                self.batches.len().to_string().into_bytes(),
            ],
        };
        for batch in &self.batches {
            call.arguments.extend_from_slice(&batch.arguments);
        }
        call
    }
}

/// Whether a batch takes records away and makes none but what the audit log says of it: a Redis without
/// memory takes it all the same, for to lock somebody out must be the last thing that fails.
pub(super) fn only_ends(batch: &Batch) -> bool {
    let ends = |step: &Step| match &step.effect {
        Effect::Delete | Effect::Keep => true,
        Effect::Put(_) => step.table == Table::Audit,
    };
    // A term that begins has no steps, and lets lost revocations be made again.
    let takes_away = batch.steps.is_empty() || batch.steps.iter().any(|step| step.effect == Effect::Delete);
    takes_away && batch.steps.iter().all(ends)
}

impl Outcome {
    pub(super) fn read(answer: Value) -> Result<Self, Refusal> {
        let mut answer = reply::list(answer)?.into_iter();
        let mut next = || answer.next().unwrap_or_default();
        match &reply::text(next())?[..] {
            "moved" => Ok(Self::Moved(reply::bytes(next())?)),
            "broken" => Ok(Self::Broken),
            "done" => {
                let done = index(next())?;
                Ok(Self::Done { done, stop: Stop::read(next())? })
            }
            _ => Err(Refusal::garbled("a write")),
        }
    }
}

impl Stop {
    fn read(stop: Value) -> Result<Option<Self>, Refusal> {
        let mut stop = reply::list(stop)?.into_iter();
        let Some(kind) = stop.next() else { return Ok(None) };
        let mut next = || stop.next().unwrap_or_default();
        match &reply::text(kind)?[..] {
            "conflict" => Ok(Some(Self::Conflict(index(next())?))),
            "written" => {
                let number = reply::number(next())?;
                let entry = reply::list(next())?.into_iter().next();
                // Without its entry nothing proves that it was.
                let entry = entry.map_or(Ok(Entry { number, sealed: Vec::new() }), reads::entry)?;
                Ok(Some(Self::Written(entry)))
            }
            _ => Err(Refusal::garbled("a write")),
        }
    }
}

/// The keys of a call; steps name theirs by index.
struct Keys {
    names: Vec<String>,
    indices: HashMap<String, usize>,
}

impl Keys {
    fn new() -> Self {
        let names = [keys::META, keys::LOG, keys::OPERATIONS, keys::PACK, keys::USES, keys::LAST_USES];
        let names = names.map(str::to_owned).to_vec();
        Self { names, indices: HashMap::new() }
    }

    /// As Lua counts: from 1.
    fn index(&mut self, key: String) -> usize {
        let names = &mut self.names;
        *self.indices.entry(key).or_insert_with_key(|key| {
            names.push(key.clone());
            names.len()
        })
    }

    fn step(&mut self, ring: &Ring, revision: u64, step: &Step) -> [Vec<u8>; 5] {
        let bucket = self.index(keys::bucket(step.table, keys::bucket_of(&step.name)));
        let names = self.index(keys::names(step.table));
        let expect = match step.expect {
            Expect::Anything => Vec::new(),
            Expect::Absent => b"a".to_vec(),
            Expect::Present => b"p".to_vec(),
            Expect::Revision(revision) => [&b"r"[..], &revision.to_be_bytes()].concat(),
        };
        let effect = match &step.effect {
            Effect::Keep => Vec::new(),
            Effect::Delete if step.table.is_used() => b"k".to_vec(),
            Effect::Delete => b"d".to_vec(),
            Effect::Put(payload) => {
                let value = value::seal(ring, step.table, &step.name, revision, payload.clone());
                [&b"p"[..], &value].concat()
            }
        };
        [bucket.to_string().into(), names.to_string().into(), step.name.0.clone(), expect, effect]
    }
}

fn index(value: Value) -> Result<usize, Refusal> {
    usize::try_from(reply::number(value)?).map_err(|_| Refusal::garbled("an index"))
}
