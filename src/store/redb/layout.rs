//! What stands where in the file.

use ::redb::{ReadOnlyTable, ReadTransaction, TableDefinition, TableError};
use prost::Message;
use uuid::Uuid;

use super::error::Fault;
use crate::store::codec::{self, Distrust, Place, Space};
use crate::store::fingerprints;
use crate::store::proto;
use crate::store::ring::Ring;
use crate::store::{Epoch, Table};

/// Sealed values by name, a table for each kind of record.
pub(super) type Records = TableDefinition<'static, &'static [u8], &'static [u8]>;
/// The same, opened to be read.
pub(super) type ReadRecords = ReadOnlyTable<&'static [u8], &'static [u8]>;
/// One entry: what the store keeps of itself.
pub(super) const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");
pub(super) const META_NAME: &str = "doorward";
/// Sealed changes by number.
pub(super) const LOG: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("log");
/// How often keys and sessions were used and when last, by their ids. Not sealed: the file is ours alone, and
/// all that is decided by it is whether a session lay idle.
pub(super) const USES: TableDefinition<'static, &'static [u8], (u64, i64)> = TableDefinition::new("uses");
/// Counters that end by themselves: what they come to, and when they end.
pub(super) const COUNTERS: TableDefinition<'static, &'static [u8], (u64, i64)> =
    TableDefinition::new("counters");

pub(super) fn records(table: Table) -> Records {
    TableDefinition::new(table.word())
}

/// The records of a table; `None` where an older Doorward made the file, which had no such records.
pub(super) fn read_records(
    transaction: &ReadTransaction,
    table: Table,
) -> Result<Option<ReadRecords>, TableError> {
    match transaction.open_table(records(table)) {
        Ok(records) => Ok(Some(records)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the store keeps of itself. Written in the transaction of every change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) epoch: Epoch,
    /// The log has the changes after this one.
    pub(super) log_after: u64,
    /// Records by [`Table::index`].
    pub(super) counts: [u64; Table::COUNT],
}

impl Meta {
    pub(super) fn seal(&self, ring: &Ring) -> Vec<u8> {
        let message = proto::Meta {
            schema: SCHEMA,
            store: self.epoch.store.as_bytes().to_vec(),
            term: self.epoch.term,
            number: self.epoch.number,
            log_after: self.log_after,
            counts: Table::ALL
                .iter()
                .map(|table| proto::TableCount {
                    table: Space::from(*table) as u32,
                    records: self.counts[table.index()],
                })
                .collect(),
            ring: fingerprints::of(ring),
            // The file is ours alone, so its log is not chained.
            mark: Vec::new(),
        };
        meta_place().seal(ring, self.epoch.number, message.encode_to_vec())
    }

    pub(super) fn open(ring: &Ring, bytes: &[u8]) -> Result<Self, Fault> {
        // The MAC cannot be asked before we know that it was made with this ring; until then
        // nothing of this is believed but for the choice of the error.
        let distrust = |distrust| Fault::distrust("what it keeps of itself", distrust);
        let claimed = codec::unverified(bytes).map_err(distrust)?;
        let claimed = proto::Meta::decode(&claimed.payload[..]).map_err(|_| distrust(Distrust::Malformed))?;
        if claimed.schema > SCHEMA {
            let found = format!("its layout is {}, this one knows up to {SCHEMA}", claimed.schema);
            return Err(Fault::Newer(found));
        }
        fingerprints::same_ring(&claimed.ring, ring).map_err(Fault::WrongRing)?;
        let (_, payload) = meta_place().open(ring, bytes).map_err(distrust)?;
        let message = proto::Meta::decode(&payload[..]).map_err(|_| distrust(Distrust::Malformed))?;
        let mut counts = [0; Table::COUNT];
        for table in Table::ALL {
            let space = Space::from(table) as u32;
            let stored = message.counts.iter().find(|count| count.table == space);
            counts[table.index()] = stored.map_or(0, |count| count.records);
        }
        let store = Uuid::from_slice(&message.store).map_err(|_| distrust(Distrust::Malformed))?;
        let epoch = Epoch { store, term: message.term, number: message.number };
        Ok(Self { epoch, log_after: message.log_after, counts })
    }

    pub(super) fn read(transaction: &ReadTransaction, ring: &Ring) -> Result<Self, Fault> {
        let table = transaction.open_table(META)?;
        let value = table.get(META_NAME)?;
        let value =
            value.ok_or_else(|| Fault::NotAStore("a redb file that Doorward did not finish".into()))?;
        Self::open(ring, value.value())
    }
}

fn meta_place() -> Place<'static> {
    Place { space: Space::Meta, name: META_NAME.as_bytes() }
}

/// Of the tables above. A store with a newer one is refused; 1 had fewer tables.
const SCHEMA: u32 = 2;
