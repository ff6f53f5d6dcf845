//! How often keys and sessions were used, and when last. By the latter it is decided whether a session lay idle,
//! so it is sealed: whoever writes to Redis keeps none from ending.

use std::sync::Arc;

use ::redis::Value;
use uuid::Uuid;

use super::link::Link;
use super::refusal::Refusal;
use super::scripts::{Call, Script};
use super::{keys, reply};
use crate::store::codec::{Place, Space};
use crate::store::ring::Ring;
use crate::store::{Name, StoreError, Table, Uses};

pub(super) async fn note(link: &Arc<Link>, ring: &Ring, uses: &[Uses]) -> Result<(), StoreError> {
    // A script holds everybody up while it runs.
    for some in uses.chunks(AT_ONCE) {
        let mut call = Call::new(Script::Uses, &[keys::USES, keys::LAST_USES]);
        for Uses { id: key, count, last } in some {
            let bucket = keys::bucket_of(&Name::of(key));
            call.keys.extend(Table::USED.map(|table| keys::bucket(table, bucket)));
            call = call.with(&key.as_bytes()[..]).with(count.to_string()).with(last.to_string());
        }
        let sessions = reply::list(link.call(&call).await?)?.into_iter();
        let sessions = sessions.map(|index| {
            let uses = usize::try_from(reply::number(index)?).ok().and_then(|index| some.get(index));
            uses.copied().ok_or_else(|| Refusal::garbled("which were sessions"))
        });
        note_sessions(link, ring, &sessions.collect::<Result<Vec<_>, _>>()?).await?;
    }
    Ok(())
}

async fn note_sessions(link: &Arc<Link>, ring: &Ring, told: &[Uses]) -> Result<(), StoreError> {
    if told.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = told.iter().map(|uses| uses.id).collect();
    let standing = fields(link, keys::LAST_USES, &ids).await?;
    let mut call = Call::new(Script::SessionUses, &[keys::LAST_USES]);
    for (Uses { id, last, .. }, stands) in told.iter().zip(standing) {
        call.keys.push(keys::bucket(Table::Session, keys::bucket_of(&Name::of(id))));
        let seal = place(id).seal(ring, last.unsigned_abs(), Vec::new());
        let unbelieved = if opened(ring, id, stands).is_none() { "1" } else { "" };
        call = call.with(&id.as_bytes()[..]).with(last.to_string()).with(seal).with(unbelieved);
    }
    link.call(&call).await?;
    Ok(())
}

pub(super) async fn read(
    link: &Arc<Link>,
    ring: &Ring,
    of: Table,
    asked: &[Uuid],
) -> Result<Vec<Uses>, StoreError> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let (counts, lasts) =
        tokio::try_join!(fields(link, keys::USES, asked), fields(link, keys::LAST_USES, asked))?;
    let known = asked.iter().zip(counts.into_iter().zip(lasts)).filter_map(|(id, (count, last))| {
        let last = if of == Table::Session { opened(ring, id, last)? } else { number(last)? };
        Some(Uses { id: *id, count: number(count)?.unsigned_abs(), last })
    });
    Ok(known.collect())
}

async fn fields(link: &Arc<Link>, hash: &str, asked: &[Uuid]) -> Result<Vec<Value>, StoreError> {
    let mut command = ::redis::cmd("HMGET");
    command.arg(hash);
    for key in asked {
        command.arg(&key.as_bytes()[..]);
    }
    Ok(reply::list(link.ask(&command).await?)?)
}

/// When a session was used last: seconds, a blank, and the envelope of them. `None` where it is not ours to
/// believe, as what an earlier Doorward wrote without a seal.
fn opened(ring: &Ring, id: &Uuid, value: Value) -> Option<i64> {
    let bytes = reply::bytes(value).ok()??;
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let (before, sealed) = (&bytes[..blank], &bytes[blank + 1..]);
    let (last, _) = place(id).open(ring, sealed).ok()?;
    // What scripts go by is not under the MAC.
    (before == last.to_string().as_bytes()).then_some(last)?.try_into().ok()
}

fn place(id: &Uuid) -> Place<'_> {
    Place { space: Space::LastUse, name: id.as_bytes() }
}

/// `None` where it is none, be it that somebody else wrote there.
fn number(value: Value) -> Option<i64> {
    let bytes = reply::bytes(value).ok()??;
    std::str::from_utf8(&bytes).ok()?.parse().ok()
}

/// Those that are told of in one script: some milliseconds.
const AT_ONCE: usize = 1_000;
