//! A limit on everything, each with a name.

use std::fmt::Display;
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Span;
use super::fault::Fault;
use super::place::At;
use super::size::Size;

/// A limit on everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The largest check, the request's body included; above it a plain denial, `check_too_large`.
    /// Must exceed Envoy's `max_request_bytes`. `1KiB` to `1GiB`. Default: `9MiB`.
    pub check_bytes: At<Size>,
    /// Checks under way at once on all connections; one more is denied, `overloaded`. Default: 10000.
    pub checks_in_flight: At<u32>,
    /// Bytes of checks that are being received or decided at once; more are denied, `overloaded`.
    /// At least `check_bytes`. Default: `256MiB`.
    pub bytes_in_flight: At<Size>,
    /// Connections open at once, on each listener. Default: 10000.
    pub connections: At<u32>,
    /// Connections to `listen.grpc` open at once from one address, or one IPv6 network of 64 bits. 1 to 1000000.
    /// Default: 1000.
    pub connections_of_peer: At<u32>,
    /// How long a connection to `listen.grpc` is used, give or take a tenth: then Envoy is told to open another,
    /// which is how a replica that is new gets its share. What is under way has 30 s more. `1s` to `24h`.
    /// Default: `30m`.
    pub connection_age: At<Span>,
    /// Checks under way at once on one connection (HTTP/2 streams). Default: 1024.
    pub streams: At<u32>,
    /// The headers of one call to `listen.grpc` together. More is an RPC error, which an Envoy that
    /// fails open lets pass, and Envoy can be told to copy 60 KiB of the client's headers into the
    /// call: so lower it only where Envoy copies none. `1KiB` to `1MiB`. Default: `96KiB`.
    pub header_bytes: At<Size>,
    /// A JWT; a longer one is refused unread. `256` to `64KiB`. Default: `8KiB`.
    pub jwt_bytes: At<Size>,
    /// Verified JWTs that are remembered, of each issuer, so that no signature is verified twice. Up to
    /// `1GiB`. Default: `16MiB`.
    pub jwt_memory: At<Size>,
    /// An issuer's answer when its keys are fetched. `1KiB` to `4MiB`. Default: `1MiB`.
    pub jwks_bytes: At<Size>,
    /// The keys in an issuer's set; of more none is taken. Default: 100.
    pub jwks_keys: At<u32>,
    /// For fetching an issuer's keys once. `100ms` to `30s`. Default: `3s`.
    pub jwks_time: At<Span>,
    /// Signatures that wait to be verified; a check with one more is denied, `overloaded`. Default: 256.
    pub signatures_waiting: At<u32>,
    /// The body of a request to the admin API. `1KiB` to `64MiB`. Default: `1MiB`.
    pub admin_body_bytes: At<Size>,
    /// The body of a request to `listen.auth`. `1KiB` to `1MiB`. Default: `16KiB`.
    pub auth_body_bytes: At<Size>,
    /// Connections to `listen.auth` at once; one more is closed at once. An address that is no trusted
    /// proxy (`client_address.trusted_proxies`), or an IPv6 network of 64 bits, has a quarter of them at most.
    /// The peers of `forward_auth` have as many of their own, which nobody else takes. Default: 1024.
    pub auth_connections: At<u32>,
    /// Passwords that wait to be hashed; one more is told to come back. 1 to 1000. Default: 32.
    pub passwords_waiting: At<u32>,
    /// Failed logins of an account within 15 minutes, after which no more are looked at. 1 to 1000. Default: 10.
    pub login_failures: At<u32>,
    /// The same within a day. 1 to 10000. Default: 100.
    pub login_failures_a_day: At<u32>,
    /// Failed logins from an address, or an IPv6 network of 64 bits, within 15 minutes. 1 to 1000000.
    /// Default: 100.
    pub login_failures_of_address: At<u32>,
    /// Keys that a consumer may have and still make more of itself, ended ones among them. 1 to 100000.
    /// Default: 1000.
    pub own_keys: At<u32>,
    /// Entries of the audit log that each instance keeps, of changes as of failed attempts; the oldest go
    /// first. 100 to 10 million. Default: 100000.
    pub audit_entries: At<u32>,
    /// How long the audit log of an instance that is gone stays after its newest entry. `1d` to `3650d`.
    /// Default: `90d`.
    pub audit_silence: At<Span>,
    /// Access keys of one consumer. 1 to 10000. Default: 100.
    pub access_keys: At<u32>,
    /// Tokens and sessions of one consumer at once; one more is refused until others end. 1 to 1000000.
    /// Default: 10000.
    pub tokens: At<u32>,
    /// Services, deployments, permissions and other objects of policy in the store, all together. 1 to
    /// 1000000. Default: 20000.
    pub objects: At<u32>,
    /// The settings of one of them, as JSON. `1KiB` to `1MiB`. Default: `64KiB`.
    pub object_bytes: At<Size>,
    /// Recent decisions that are kept with their steps for `doorward explain --request-id`: those that
    /// have a line in the log, up to 500 a second of known callers and of strangers each, which get a half
    /// each; the oldest go first. One takes about 2 KiB. `0` keeps none; up to `1GiB`. Default: `8MiB`.
    pub recent_decisions: At<Size>,
    /// Viewers that follow decisions at once (`doorward tail`). Up to 32. Default: 8.
    pub followers: At<u32>,
}

/// Seconds.
const DAY: u64 = 24 * 60 * 60;

impl Default for Limits {
    fn default() -> Self {
        Self {
            check_bytes: At::assumed(Size::mib(9)),
            checks_in_flight: At::assumed(10_000),
            bytes_in_flight: At::assumed(Size::mib(256)),
            connections: At::assumed(10_000),
            connections_of_peer: At::assumed(1_000),
            connection_age: At::assumed(Span::seconds(30 * 60)),
            streams: At::assumed(1_024),
            header_bytes: At::assumed(Size::kib(96)),
            jwt_bytes: At::assumed(Size::kib(8)),
            jwt_memory: At::assumed(Size::mib(16)),
            jwks_bytes: At::assumed(Size::mib(1)),
            jwks_keys: At::assumed(100),
            jwks_time: At::assumed(Span::seconds(3)),
            signatures_waiting: At::assumed(256),
            admin_body_bytes: At::assumed(Size::mib(1)),
            auth_body_bytes: At::assumed(Size::kib(16)),
            auth_connections: At::assumed(1_024),
            passwords_waiting: At::assumed(32),
            login_failures: At::assumed(10),
            login_failures_a_day: At::assumed(100),
            login_failures_of_address: At::assumed(100),
            own_keys: At::assumed(1_000),
            audit_entries: At::assumed(100_000),
            audit_silence: At::assumed(Span::seconds(90 * DAY)),
            access_keys: At::assumed(100),
            tokens: At::assumed(10_000),
            objects: At::assumed(20_000),
            object_bytes: At::assumed(Size::kib(64)),
            recent_decisions: At::assumed(Size::mib(8)),
            followers: At::assumed(8),
        }
    }
}

impl Limits {
    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        let from_kib = |most| Size::kib(1)..=most;
        within("limits.check_bytes", &self.check_bytes, from_kib(Size::mib(1024)), faults);
        within("limits.checks_in_flight", &self.checks_in_flight, 1..=1_000_000, faults);
        within("limits.bytes_in_flight", &self.bytes_in_flight, from_kib(Size::mib(64 * 1024)), faults);
        within("limits.connections", &self.connections, 1..=1_000_000, faults);
        within("limits.connections_of_peer", &self.connections_of_peer, 1..=1_000_000, faults);
        within("limits.connection_age", &self.connection_age, Span::seconds(1)..=Span::seconds(DAY), faults);
        within("limits.streams", &self.streams, 1..=100_000, faults);
        within("limits.header_bytes", &self.header_bytes, from_kib(Size::mib(1)), faults);
        within("limits.jwt_bytes", &self.jwt_bytes, Size(256)..=Size::kib(64), faults);
        within("limits.jwt_memory", &self.jwt_memory, Size(0)..=Size::mib(1024), faults);
        within("limits.jwks_bytes", &self.jwks_bytes, from_kib(Size::mib(4)), faults);
        within("limits.jwks_keys", &self.jwks_keys, 1..=10_000, faults);
        within("limits.jwks_time", &self.jwks_time, Span::millis(100)..=Span::seconds(30), faults);
        within("limits.signatures_waiting", &self.signatures_waiting, 1..=100_000, faults);
        within("limits.admin_body_bytes", &self.admin_body_bytes, from_kib(Size::mib(64)), faults);
        within("limits.auth_body_bytes", &self.auth_body_bytes, from_kib(Size::mib(1)), faults);
        within("limits.auth_connections", &self.auth_connections, 1..=100_000, faults);
        within("limits.passwords_waiting", &self.passwords_waiting, 1..=1_000, faults);
        within("limits.login_failures", &self.login_failures, 1..=1_000, faults);
        within("limits.login_failures_a_day", &self.login_failures_a_day, 1..=10_000, faults);
        let of_address = &self.login_failures_of_address;
        within("limits.login_failures_of_address", of_address, 1..=1_000_000, faults);
        within("limits.own_keys", &self.own_keys, 1..=100_000, faults);
        within("limits.audit_entries", &self.audit_entries, 100..=10_000_000, faults);
        let silence = Span::seconds(DAY)..=Span::seconds(3_650 * DAY);
        within("limits.audit_silence", &self.audit_silence, silence, faults);
        within("limits.access_keys", &self.access_keys, 1..=10_000, faults);
        within("limits.tokens", &self.tokens, 1..=1_000_000, faults);
        within("limits.objects", &self.objects, 1..=1_000_000, faults);
        within("limits.object_bytes", &self.object_bytes, from_kib(Size::mib(1)), faults);
        within("limits.recent_decisions", &self.recent_decisions, Size(0)..=Size::mib(1024), faults);
        within("limits.followers", &self.followers, 0..=32, faults);
        if self.bytes_in_flight.value < self.check_bytes.value {
            let message = format!(
                "`limits.bytes_in_flight` is {}, expected at least `limits.check_bytes`, which is {}",
                self.bytes_in_flight.value, self.check_bytes.value
            );
            faults.push(Fault::new(self.bytes_in_flight.place.or(self.check_bytes.place), message));
        }
    }
}

/// A fault where a setting is not in its range.
pub(super) fn within<T: PartialOrd + Display>(
    name: &str,
    setting: &At<T>,
    range: RangeInclusive<T>,
    faults: &mut Vec<Fault>,
) {
    if !range.contains(&setting.value) {
        let (least, most) = (range.start(), range.end());
        let message = format!("`{name}` is {}, expected {least} to {most}", setting.value);
        faults.push(Fault::new(setting.place, message));
    }
}
