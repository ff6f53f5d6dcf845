//! Reading records and the log.

use std::sync::Arc;

use ::redis::{Pipeline, Value};

use super::link::Link;
use super::refusal::Refusal;
use super::scripts::{Call, Script};
use super::{keys, meta, reply, value};
use crate::store::ring::Ring;
use crate::store::{Change, Changes, Head, Mark, Name, Record, StoreError, Table, codec, log};

pub(super) async fn read(
    link: &Arc<Link>,
    ring: &Ring,
    table: Table,
    name: &Name,
) -> Result<Option<Record>, StoreError> {
    let mut command = ::redis::cmd("HGET");
    command.arg(keys::bucket(table, keys::bucket_of(name))).arg(&name.0);
    let found = reply::bytes(link.ask(&command).await?)?;
    Ok(found.map(|found| value::open(ring, table, name.clone(), &found)).transpose()?)
}

pub(super) async fn read_many(
    link: &Arc<Link>,
    ring: &Ring,
    table: Table,
    mut names: Vec<Name>,
) -> Result<Vec<Record>, StoreError> {
    let mut found = Vec::with_capacity(names.len());
    while !names.is_empty() {
        let rest = names.split_off(PAGE.min(names.len()));
        found.extend(named(link, ring, table, std::mem::replace(&mut names, rest)).await?);
    }
    Ok(found)
}

pub(super) async fn scan(
    link: &Arc<Link>,
    ring: &Ring,
    range: Range<'_>,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let mut found = Vec::new();
    let mut from = range.from();
    let until = range.until();
    while found.len() < limit {
        let page = PAGE.min(limit - found.len());
        let mut command = ::redis::cmd("ZRANGEBYLEX");
        command.arg(keys::names(range.table)).arg(&from).arg(&until).arg("LIMIT").arg(0).arg(page);
        let names = reply::list(link.ask(&command).await?)?;
        let last = names.len() < page;
        let names: Vec<Name> = names.into_iter().map(name).collect::<Result<_, _>>()?;
        let Some(end) = names.last() else { break };
        from = bound(b'(', &end.0);
        found.extend(named(link, ring, range.table, names).await?);
        if last {
            break;
        }
    }
    Ok(found)
}

/// The records of these names. One that is deleted meanwhile is left out.
async fn named(
    link: &Arc<Link>,
    ring: &Ring,
    table: Table,
    names: Vec<Name>,
) -> Result<Vec<Record>, StoreError> {
    let mut commands = Pipeline::with_capacity(names.len());
    for name in &names {
        commands.cmd("HGET").arg(keys::bucket(table, keys::bucket_of(name))).arg(&name.0);
    }
    let mut records = Vec::with_capacity(names.len());
    for (name, found) in names.into_iter().zip(link.ask_all(&commands).await?) {
        if let Some(found) = reply::bytes(found)? {
            records.push(value::open(ring, table, name, &found)?);
        }
    }
    Ok(records)
}

/// Names of one table that begin alike, after one of them.
pub(super) struct Range<'a> {
    pub(super) table: Table,
    pub(super) prefix: &'a [u8],
    pub(super) after: Option<&'a Name>,
}

impl Range<'_> {
    fn from(&self) -> Vec<u8> {
        match self.after {
            Some(after) if &after.0[..] >= self.prefix => bound(b'(', &after.0),
            _ => bound(b'[', self.prefix),
        }
    }

    /// The first name that does not begin so any more.
    fn until(&self) -> Vec<u8> {
        let kept = self.prefix.iter().rposition(|byte| *byte != u8::MAX);
        match kept {
            None => b"+".to_vec(),
            Some(at) => {
                let mut next = bound(b'(', &self.prefix[..=at]);
                next[at + 1] += 1;
                next
            }
        }
    }
}

/// A bound of `ZRANGEBYLEX`: `[` with it, `(` without it.
fn bound(kind: u8, name: &[u8]) -> Vec<u8> {
    let mut bound = vec![kind];
    bound.extend_from_slice(name);
    bound
}

fn name(value: Value) -> Result<Name, Refusal> {
    reply::bytes(value)?.map(Name).ok_or_else(|| Refusal::garbled("a name"))
}

pub(super) async fn changes(
    link: &Arc<Link>,
    ring: &Ring,
    from: Head,
    limit: usize,
) -> Result<Changes, StoreError> {
    let (number, limit) = (from.epoch.number, limit.min(MOST_CHANGES));
    let call = Call::new(Script::Changes, &[keys::META, keys::LOG])
        .with(number.to_string())
        // The entry of `from` is read too.
        .with((limit + 1).to_string());
    let mut asked = link.call(&call).await?;
    if is_headless(&asked) {
        // Made anew by this, or refused.
        link.standing().await?;
        asked = link.call(&call).await?;
    }
    let [sealed, after, entries] = reply::exactly(asked)?;
    let sealed =
        reply::bytes(sealed)?.ok_or_else(|| Refusal::Elsewhere("the store was emptied just now".into()))?;
    let now = meta::open(ring, &sealed)?;
    if now.epoch.store != from.epoch.store || number > now.epoch.number {
        return Ok(Changes::Parted);
    }
    if number < reply::number(after)? {
        return Ok(Changes::Gone);
    }
    // Where the store itself stands there, its word counts, and no entry says more.
    if number == now.epoch.number {
        let same = from.mark == now.mark;
        return Ok(if same { Changes::Next(Vec::new()) } else { Changes::Parted });
    }
    let mut entries = reply::list(entries)?.into_iter().map(entry).peekable();
    let own = entries.next_if(|entry| entry.as_ref().is_ok_and(|entry| entry.number == number));
    let mark = match (own, entries.peek()) {
        (Some(entry), _) => log::mark_of(&entry?.sealed).map_err(damaged)?,
        (None, _) if number == 0 => Mark::NONE,
        // Somebody cut the log: the entry that comes next names the mark of the one that is gone.
        (None, Some(Ok(next))) if next.number == number + 1 => {
            log::open(ring, next.number, &next.sealed).map_err(damaged)?.1
        }
        (None, _) => return Err(gap(number, None)),
    };
    if mark != from.mark {
        return Ok(Changes::Parted);
    }
    let next = chained(ring, from, entries, limit)?;
    // A log that ends before its head lacks what was acknowledged.
    match next.len() < limit && next.last().map_or(from.mark, |change| change.mark) != now.mark {
        true => Err(gap(number + next.len() as u64 + 1, None)),
        false => Ok(Changes::Next(next)),
    }
}

/// Opens the entries, each of which must name the mark of the one before.
fn chained(
    ring: &Ring,
    from: Head,
    entries: impl Iterator<Item = Result<Entry, Refusal>>,
    limit: usize,
) -> Result<Vec<Change>, StoreError> {
    let (mut number, mut mark) = (from.epoch.number, from.mark);
    let mut next = Vec::new();
    for entry in entries.take(limit) {
        let entry = entry?;
        number += 1;
        if entry.number != number {
            return Err(gap(number, Some(entry.number)));
        }
        let (change, previous) = log::open(ring, number, &entry.sealed).map_err(damaged)?;
        if previous != mark {
            let why = format!("change {number} does not follow on the one before");
            return Err(StoreError::DamagedLog(why));
        }
        mark = change.mark;
        next.push(change);
    }
    Ok(next)
}

/// An entry of the log as the stream has it.
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) sealed: Vec<u8>,
}

pub(super) fn entry(value: Value) -> Result<Entry, Refusal> {
    let [id, fields] = reply::exactly(value)?;
    let number = reply::text(id)?.strip_suffix("-0").and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| Refusal::garbled("a change's number"))?;
    for (field, value) in reply::map(fields)? {
        if reply::bytes(field)?.as_deref() == Some(b"e")
            && let Some(sealed) = reply::bytes(value)?
        {
            return Ok(Entry { number, sealed });
        }
    }
    Err(Refusal::garbled("a change"))
}

fn is_headless(answer: &Value) -> bool {
    matches!(answer, Value::Array(values) if matches!(values.first(), Some(Value::Nil)))
}

fn gap(expected: u64, found: Option<u64>) -> StoreError {
    let found = found.map_or("nothing".into(), |found| format!("change {found}"));
    StoreError::DamagedLog(format!("it has {found} where change {expected} should be"))
}

pub(super) fn damaged(distrust: codec::Distrust) -> StoreError {
    StoreError::DamagedLog(distrust.to_string())
}

/// Names that are asked for at once.
const PAGE: usize = 1_000;
/// Entries that are asked for at once: a caller who wants more asks again.
const MOST_CHANGES: usize = 10_000;
