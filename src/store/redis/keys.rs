//! What stands where in Redis.
//!
//! All keys carry one hash tag, so that a cluster keeps them on one node and a script may touch
//! them together. Their names hold no user's text.

use crate::store::{Name, Table};

/// A hash: `sealed`, what the store keeps of itself; `after`, the number that the log begins after;
/// `packed`, the number of the newest pack, past which the log is not trimmed.
pub(super) const META: &str = "doorward:{doorward}:meta";
/// A stream: an entry `<number>-0` for each change, with its operation `o` and its envelope `e`.
/// The entry of the number that the log begins after is kept too, for its mark.
pub(super) const LOG: &str = "doorward:{doorward}:log";
/// A hash: the number of each operation that the log has.
pub(super) const OPERATIONS: &str = "doorward:{doorward}:ops";
/// A hash: what each instance said last, after the time of it.
pub(super) const INSTANCES: &str = "doorward:{doorward}:instances";
/// A hash: the newest pack's `id`, count of `pieces` and `sealed` manifest.
pub(super) const PACK: &str = "doorward:{doorward}:pack";
/// Hashes: how often each key and session was used, and when last; the latter of a session with its seal.
pub(super) const USES: &str = "doorward:{doorward}:uses";
pub(super) const LAST_USES: &str = "doorward:{doorward}:uses:last";
/// A string: what a counter comes to, and when it ends.
pub(super) fn counter(name: &[u8; 16]) -> String {
    format!("doorward:{{doorward}}:c:{:032x}", u128::from_be_bytes(*name))
}
/// A channel: the number of each newest change. Channels are of all databases at once, so it names its own.
pub(super) fn channel(database: u32) -> String {
    format!("doorward:{{doorward}}:epoch:{database}")
}

/// How many hashes hold the records of one table. With a million records each is some 250 long.
pub(super) const BUCKETS: u16 = 1 << 12;

/// A hash of records by name: the revision, 8 bytes, then the envelope. The revision stands before
/// it so that a script can judge an expectation.
pub(super) fn bucket(table: Table, bucket: u16) -> String {
    format!("doorward:{{doorward}}:r:{}:{bucket:03x}", table.word())
}

/// Which of them a record is in. By the end of its name: what belongs to one owner begins alike.
pub(super) fn bucket_of(name: &Name) -> u16 {
    let last = |back: usize| name.0.len().checked_sub(back).map_or(0, |at| u16::from(name.0[at]));
    (last(2) << 8 | last(1)) % BUCKETS
}

/// A sorted set of the names of a table's records, for reading them in order.
pub(super) fn names(table: Table) -> String {
    format!("doorward:{{doorward}}:n:{}", table.word())
}

/// A string: one piece of a pack.
pub(super) fn piece(pack: &str, index: usize) -> String {
    format!("{PACK}:{pack}:{index}")
}

/// The cluster's slot of a key with our hash tag: CRC-16 (XMODEM) of the tag, as the cluster
/// specification has it.
pub(super) const SLOT: u16 = crc16(b"doorward") % 16_384;

const fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let mut at = 0;
    while at < bytes.len() {
        crc ^= (bytes[at] as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        at += 1;
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_is_computed_as_the_cluster_specification_says() {
        assert_eq!(crc16(b"123456789"), 0x31c3, "the specification's example");
    }

    #[test]
    fn records_of_one_owner_are_in_different_buckets() {
        let name = |last: u8| Name(vec![7, 7, 7, 7, 0xab, last]);
        assert_eq!(bucket_of(&name(1)), 0xb01);
        assert_eq!(bucket_of(&name(2)), 0xb02);
        assert_eq!(bucket(Table::Key, bucket_of(&name(2))), "doorward:{doorward}:r:key:b02");
    }
}
