//! Counters that end by themselves.

use std::time::Duration;

use ::redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::error::Fault;
use super::layout::COUNTERS;
use crate::domain::time::Timestamp;
use crate::store::{Count, Counted, counted};

/// With more of them than that, those that have ended are thrown out.
const MANY: u64 = 20_000;

/// Adds to them. `sweep_above`: where there are more, those that have ended go first; it is set anew then.
pub(super) fn count(
    transaction: &WriteTransaction,
    counts: &[Count],
    now: Timestamp,
    sweep_above: &mut u64,
) -> Result<Vec<Counted>, Fault> {
    let mut table = transaction.open_table(COUNTERS)?;
    let now = now.unix();
    if table.len()? > (*sweep_above).max(MANY) {
        table.retain(|_, (_, ends)| ends > now)?;
        // Not with every write where all of them still count.
        *sweep_above = table.len()? * 2;
    }
    let mut found = Vec::with_capacity(counts.len());
    for Count { name, add, lives } in counts {
        let known = table.get(&name[..])?.map(|known| known.value());
        let (total, ends) = counted(known, *add, now, *lives);
        match total {
            0 => drop(table.remove(&name[..])?),
            total => drop(table.insert(&name[..], (total, ends))?),
        }
        found.push(Counted { total, left: Duration::from_secs(ends.abs_diff(now)) });
    }
    Ok(found)
}
