//! Counters that end by themselves. Not sealed: whoever may write to Redis may count as well.

use std::sync::Arc;
use std::time::Duration;

use super::link::Link;
use super::scripts::{Call, Script};
use super::{keys, reply};
use crate::domain::time::Timestamp;
use crate::store::{Count, Counted, StoreError};

pub(super) async fn count(
    link: &Arc<Link>,
    counts: &[Count],
    now: Timestamp,
) -> Result<Vec<Counted>, StoreError> {
    if counts.is_empty() {
        return Ok(Vec::new());
    }
    let mut call = Call::new(Script::Counters, &[]).with(now.unix().to_string());
    for Count { name, add, lives, most } in counts {
        call.keys.push(keys::counter(name));
        call = call.with(add.to_string()).with(lives.as_secs().max(1).to_string()).with(most.to_string());
    }
    let mut numbers = reply::list(link.call(&call).await?)?.into_iter();
    let mut found = Vec::with_capacity(counts.len());
    while let (Some(total), Some(left)) = (numbers.next(), numbers.next()) {
        let left = Duration::from_secs(reply::number(left)?);
        found.push(Counted { total: reply::number(total)?, left });
    }
    Ok(found)
}
