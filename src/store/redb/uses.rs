//! How often keys and sessions were used, and when last.

use ::redb::{ReadTransaction, ReadableTable, TableError, WriteTransaction};
use uuid::Uuid;

use super::error::Fault;
use super::layout::{self, USES};
use crate::store::{Table, Uses};

/// Adds to what is known. What is gone is left out: nobody would take it away again.
pub(super) fn note(transaction: &WriteTransaction, uses: &[Uses]) -> Result<(), Fault> {
    let [keys, sessions] = Table::USED.map(|table| transaction.open_table(layout::records(table)));
    let (keys, sessions) = (keys?, sessions?);
    let mut table = transaction.open_table(USES)?;
    for Uses { id: key, count, last } in uses {
        let name = &key.as_bytes()[..];
        if keys.get(name)?.is_none() && sessions.get(name)?.is_none() {
            continue;
        }
        let (before, latest) = table.get(name)?.map_or((0, i64::MIN), |known| known.value());
        table.insert(name, (before.saturating_add(*count), latest.max(*last)))?;
    }
    Ok(())
}

pub(super) fn read(transaction: &ReadTransaction, keys: &[Uuid]) -> Result<Vec<Uses>, Fault> {
    let table = match transaction.open_table(USES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table?,
    };
    let mut found = Vec::new();
    for key in keys {
        if let Some(known) = table.get(&key.as_bytes()[..])? {
            let (count, last) = known.value();
            found.push(Uses { id: *key, count, last });
        }
    }
    Ok(found)
}
