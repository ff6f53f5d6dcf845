//! What keys take in memory: so much that a million of them fit anywhere.

use doorward::clock::Clock;
use doorward::replica::Replica;
use tokio::runtime::Builder;

use crate::house::{Services, Size};
use crate::imagined::Imagined;

/// Of consumers with two groups and a permission, ten keys each.
const KEYS: u64 = 100_000;

/// As the allocator was asked. What it rounds up, and what it leaves between, comes on top: `make bench ARGS=memory`.
#[test]
fn a_key_takes_at_most_a_hundred_bytes() {
    let store = Imagined::new(Size { keys: KEYS, services: Services::Whole });
    let runtime = Builder::new_current_thread().build().unwrap();
    let mut replica = None;
    let taken = allocation_counter::measure(|| {
        replica = Some(runtime.block_on(Replica::load(&store, &Clock::system())).unwrap());
    });
    assert_eq!(replica.unwrap().holdings().keys as u64, KEYS);
    let each = taken.bytes_current as f64 / KEYS as f64;
    assert!((50.0..100.0).contains(&each), "{each:.1} bytes a key");
}
