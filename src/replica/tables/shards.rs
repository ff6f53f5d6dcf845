//! How tables are divided, so that a writer holds up no reader for longer than one record.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use uuid::Uuid;

/// Of keys. A million keys are about a thousand in each: what a shard takes to grow, readers of
/// that shard wait, some tens of microseconds.
pub(super) const SHARDS: usize = 1 << SHARD_BITS;
pub(super) const SHARD_BITS: u32 = 10;

/// Which shard a hash belongs to, by 12 of its bits.
///
/// The largest shard gets twice as much as the smallest, and the others are between them: a table
/// doubles when it is full, and like this the shards do not all double at once. So memory grows
/// smoothly, at 1.6 slots a key at any size, where equal shards would swing between 1.1 and 2.3.
static SHARD_OF: LazyLock<Box<[u16]>> = LazyLock::new(|| {
    let share = |part: u16| ((1.0 + f64::from(part) / 4096.0).log2() * SHARDS as f64) as u16;
    (0..4096).map(share).collect()
});

/// The shard of what has this hash: by bits of which hashbrown uses none within it, whose tags are
/// the upper 7 and whose buckets the lower ones.
pub(super) fn shard_of(hash: u64) -> usize {
    usize::from(SHARD_OF[(hash >> 36) as usize & 0xfff])
}

/// How many of so many belong to each shard.
pub(super) fn shares(all: usize) -> Vec<usize> {
    let mut parts = vec![0; SHARDS];
    SHARD_OF.iter().for_each(|shard| parts[usize::from(*shard)] += 1);
    parts.into_iter().map(|parts: usize| (all * parts).div_ceil(SHARD_OF.len())).collect()
}

/// The hash of an id. Ids may be chosen by who makes a record, so it depends on what only this
/// process knows.
pub(in crate::replica) fn hash_of_id(id: &Uuid) -> u64 {
    static SEEDS: LazyLock<[u64; 2]> =
        LazyLock::new(|| [0, 1].map(|number| RandomState::new().hash_one(number)));
    let (high, low) = id.as_u64_pair();
    let [first, second] = *SEEDS;
    // Both halves of a product count, or those who know the form could still aim.
    let folded = |one: u64, other: u64| {
        let product = u128::from(one) * u128::from(other);
        (product as u64) ^ ((product >> 64) as u64)
    };
    // Once more by a number with many bits: of a seed with few, or an even one, ids in a row would share shards.
    folded(folded(high ^ first, low ^ second) ^ second, 0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_of_all_sizes_up_to_twice_the_smallest() {
        let mut parts = vec![0; SHARDS];
        for part in 0..4096_u64 {
            parts[shard_of(part << 36)] += 1;
        }
        assert!(parts.iter().all(|parts| (2..=6).contains(parts)), "{parts:?}");
        assert!(parts[..SHARDS / 2].iter().sum::<i32>() < 1_750, "the first ones are smaller");
    }

    #[test]
    fn ids_in_a_row_are_spread_over_the_shards() {
        let mut seen = vec![false; SHARDS];
        (0..20_000_u128).for_each(|number| seen[shard_of(hash_of_id(&Uuid::from_u128(number)))] = true);
        assert!(seen.iter().filter(|seen| **seen).count() > SHARDS * 9 / 10);
    }
}
