//! An entry of the change log: a change in its envelope, chained to the one before.
//!
//! Each entry names the mark of its predecessor, and its own mark is taken from its MAC, which
//! covers that name. So a mark vouches for the whole history up to its change, and a log of which
//! somebody changed, dropped or replaced an entry does not fit together any more.

use std::sync::Once;

use prost::Message;
use tracing::warn;
use uuid::Uuid;

use super::codec::{self, Distrust, Place, Space};
use super::proto;
use super::ring::Ring;
use super::{Change, Changed, Mark, Name, Table};

/// The change's envelope. `change.mark` is not looked at; it is in what [`open`] gives.
pub(super) fn seal(ring: &Ring, change: &Change, previous: Mark) -> Vec<u8> {
    let record = |changed: &Changed| proto::LogRecord {
        table: Space::from(changed.table) as u32,
        name: changed.name.0.clone(),
        payload: changed.payload.clone(),
    };
    let entry = proto::LogEntry {
        number: change.number,
        operation: change.operation.as_bytes().to_vec(),
        records: change.records.iter().map(record).collect(),
        previous: if previous == Mark::NONE { Vec::new() } else { previous.0.to_vec() },
    };
    let number = change.number.to_be_bytes();
    Place { space: Space::Log, name: &number }.seal(ring, change.number, entry.encode_to_vec())
}

/// The change of this number, and the mark of the one before.
///
/// # Errors
///
/// [`Distrust`], whatever the bytes are.
pub(super) fn open(ring: &Ring, number: u64, bytes: &[u8]) -> Result<(Change, Mark), Distrust> {
    let name = number.to_be_bytes();
    let (_, payload) = Place { space: Space::Log, name: &name }.open(ring, bytes)?;
    let entry = proto::LogEntry::decode(&payload[..]).map_err(|_| Distrust::Malformed)?;
    let operation = Uuid::from_slice(&entry.operation).map_err(|_| Distrust::Malformed)?;
    let record = |record: proto::LogRecord| {
        let table = Table::ALL.into_iter().find(|table| Space::from(*table) as u32 == record.table);
        let Some(table) = table else {
            pass_over(number, record.table);
            return None;
        };
        Some(Changed { table, name: Name(record.name), payload: record.payload })
    };
    let records = entry.records.into_iter().filter_map(record).collect();
    let previous = match &entry.previous[..] {
        [] => Mark::NONE,
        previous => Mark(previous.try_into().map_err(|_| Distrust::Malformed)?),
    };
    if entry.number != number {
        return Err(Distrust::Malformed);
    }
    Ok((Change { number, mark: mark_of(bytes)?, operation, records }, previous))
}

/// The MAC has vouched for the change: a newer doorward wrote what this one has no table for, and what it
/// does not know it does not need. Told once, for such changes come again and again.
fn pass_over(change: u64, table: u32) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        warn!(
            change,
            table, "a newer doorward writes records that this one does not know; they are passed over"
        );
    });
}

/// The mark of an entry by its bytes, which are taken at their word.
pub(super) fn mark_of(bytes: &[u8]) -> Result<Mark, Distrust> {
    let mac = codec::unverified(bytes)?.mac;
    mac.get(..16).and_then(|half| half.try_into().ok()).map(Mark).ok_or(Distrust::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;

    #[test]
    fn a_mark_depends_on_every_change_before_it() {
        let ring =
            Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        let change = |number, operation| Change {
            number,
            mark: Mark::NONE,
            operation: Uuid::from_u128(operation),
            records: vec![Changed { table: Table::Key, name: Name(vec![1; 16]), payload: Some(vec![7]) }],
        };
        let second_after = |first| {
            let first = mark_of(&seal(&ring, &change(1, first), Mark::NONE)).unwrap();
            let bytes = seal(&ring, &change(2, 9), first);
            let (second, previous) = open(&ring, 2, &bytes).unwrap();
            assert_eq!(previous, first);
            assert_eq!(second, Change { mark: mark_of(&bytes).unwrap(), ..change(2, 9) });
            assert_eq!(open(&ring, 3, &bytes), Err(Distrust::BadMac), "moved");
            second.mark
        };
        assert_eq!(second_after(1), second_after(1));
        assert_ne!(second_after(1), second_after(2), "the first changes differ");
    }

    #[test]
    fn a_record_of_a_table_that_nobody_knows_yet_is_passed_over_and_its_change_is_not() {
        let ring =
            Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        let record = |table, name| proto::LogRecord { table, name: vec![name; 16], payload: Some(vec![7]) };
        let entry = proto::LogEntry {
            number: 2,
            operation: Uuid::from_u128(9).as_bytes().to_vec(),
            records: vec![record(Space::Key as u32, 1), record(99, 2), record(Space::Consumer as u32, 3)],
            previous: vec![5; 16],
        };
        let place = Place { space: Space::Log, name: &2_u64.to_be_bytes() };
        let bytes = place.seal(&ring, 2, entry.encode_to_vec());
        let (change, previous) = open(&ring, 2, &bytes).unwrap();
        assert_eq!((previous, change.mark), (Mark([5; 16]), mark_of(&bytes).unwrap()));
        let known: Vec<_> = change.records.iter().map(|changed| (changed.table, changed.name.0[0])).collect();
        assert_eq!(known, [(Table::Key, 1), (Table::Consumer, 3)]);
    }
}
