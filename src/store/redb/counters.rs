//! Counters that end by themselves.

use std::time::Duration;

use ::redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::error::Fault;
use super::layout::COUNTERS;
use crate::domain::time::Timestamp;
use crate::store::{Count, Counted, counted};

/// With more of them than that, those that have ended are thrown out.
const MANY: u64 = 20_000;

/// Adds to them, and says whether anything was added. `sweep_above`: where there are more, those that have
/// ended go first; it is set anew then.
pub(super) fn count(
    transaction: &WriteTransaction,
    counts: &[Count],
    now: Timestamp,
    sweep_above: &mut u64,
) -> Result<(Vec<Counted>, bool), Fault> {
    let mut table = transaction.open_table(COUNTERS)?;
    let now = now.unix();
    let mut found = Vec::with_capacity(counts.len());
    for count in counts {
        let known = table.get(&count.name[..])?.map(|known| known.value());
        found.push(counted(known, count, now));
    }
    let told =
        |(total, ends): &(u64, i64)| Counted { total: *total, left: Duration::from_secs(ends.abs_diff(now)) };
    let told = found.iter().map(told).collect();
    if found.iter().zip(counts).any(|((total, _), count)| *total > count.most) {
        return Ok((told, false));
    }
    if table.len()? > (*sweep_above).max(MANY) {
        table.retain(|_, (_, ends)| ends > now)?;
        // Not with every write where all of them still count.
        *sweep_above = table.len()? * 2;
    }
    for ((total, ends), Count { name, .. }) in found.into_iter().zip(counts) {
        match total {
            0 => drop(table.remove(&name[..])?),
            total => drop(table.insert(&name[..], (total, ends))?),
        }
    }
    Ok((told, true))
}
