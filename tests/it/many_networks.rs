//! `security-rules.md` 3.3 I9: a long list of networks costs little to load and little to ask.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use doorward::domain::network::{Networks, address};

const NETWORKS: u32 = 100_000;

/// Of loading all, and of as many look-ups. An unoptimised build on a busy machine gets more; what it
/// needs there is 0.8 s and 0.1 s.
const BOUND: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });

#[test]
fn i9_a_hundred_thousand_networks_load_within_a_second() {
    let entries = entries();
    let began = Instant::now();
    let networks = Networks::parse(None, &entries).unwrap();
    let took = began.elapsed();
    assert!(took < BOUND, "{took:?}");
    assert_eq!(networks.deny.len(), NETWORKS as usize);
}

#[test]
fn i9_a_hundred_thousand_look_ups_in_them_take_ten_microseconds_each_at_most() {
    let networks = Networks::parse(None, &entries()).unwrap();
    let clients = (0..NETWORKS).map(|n| IpAddr::from(Ipv4Addr::from(n.wrapping_mul(2_654_435_761))));
    let began = Instant::now();
    let barred = clients.filter(|client| black_box(&networks).admits(Some(*client)).is_err()).count();
    let took = began.elapsed();
    assert!(took < BOUND, "{took:?}");
    assert!(barred > 0);
    assert!(networks.admits(address(b"10.0.8.1")).is_err() && networks.admits(address(b"9.9.9.9")).is_ok());
}

/// Apart from each other, so that none merge; of each form, and one in eight IPv6.
fn entries() -> Vec<String> {
    let entry = |n: u32| {
        let start = Ipv4Addr::from(0x0a00_0000 + n * 512);
        match n % 8 {
            0 => format!("2001:db8:{:x}:{:x}::/64", n >> 16, n & 0xffff),
            1 => start.to_string(),
            2 => format!("{start}-{}", Ipv4Addr::from(u32::from(start) + 300)),
            3 => format!("::ffff:{start}/120"),
            _ => format!("{start}/24"),
        }
    };
    (0..NETWORKS).map(entry).collect()
}
