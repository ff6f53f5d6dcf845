//! How often keys and sessions were used, and when last. Not sealed: whoever writes to Redis can keep a
//! session from ending unused, and from nothing else.

use std::sync::Arc;

use ::redis::Value;
use uuid::Uuid;

use super::link::Link;
use super::scripts::{Call, Script};
use super::{keys, reply};
use crate::store::{Name, StoreError, Table, Uses};

pub(super) async fn note(link: &Arc<Link>, uses: &[Uses]) -> Result<(), StoreError> {
    // A script holds everybody up while it runs.
    for some in uses.chunks(AT_ONCE) {
        let mut call = Call::new(Script::Uses, &[keys::USES, keys::LAST_USES]);
        for Uses { id: key, count, last } in some {
            let bucket = keys::bucket_of(&Name::of(key));
            call.keys.extend(Table::USED.map(|table| keys::bucket(table, bucket)));
            call = call.with(&key.as_bytes()[..]).with(count.to_string()).with(last.to_string());
        }
        link.call(&call).await?;
    }
    Ok(())
}

pub(super) async fn read(link: &Arc<Link>, asked: &[Uuid]) -> Result<Vec<Uses>, StoreError> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let (counts, lasts) =
        tokio::try_join!(fields(link, keys::USES, asked), fields(link, keys::LAST_USES, asked))?;
    let known = asked.iter().zip(counts.into_iter().zip(lasts));
    let known = known.filter_map(|(key, (count, last))| Some((*key, number(count)?, number(last)?)));
    Ok(known.map(|(key, count, last)| Uses { id: key, count: count.unsigned_abs(), last }).collect())
}

async fn fields(link: &Arc<Link>, hash: &str, asked: &[Uuid]) -> Result<Vec<Value>, StoreError> {
    let mut command = ::redis::cmd("HMGET");
    command.arg(hash);
    for key in asked {
        command.arg(&key.as_bytes()[..]);
    }
    Ok(reply::list(link.ask(&command).await?)?)
}

/// `None` where it is none, be it that somebody else wrote there.
fn number(value: Value) -> Option<i64> {
    let bytes = reply::bytes(value).ok()??;
    std::str::from_utf8(&bytes).ok()?.parse().ok()
}

/// Those that are told of in one script: some milliseconds.
const AT_ONCE: usize = 1_000;
