//! What is measured: a policy, keys and consumers that always are the same, and the requests of callers.

use crate::rig::Outcome;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use doorward::config;
use doorward::domain::catalog::Catalog;
use doorward::domain::network::Networks;
use doorward::domain::secret::{ENTROPY_BYTES, Kind, Secret};
use doorward::domain::time::Timestamp;
use doorward::domain::verifier::{Pepper, Peppers, Verifier};
use doorward::store::record::{ConsumerRecord, KeyRecord, Membership};
use serde_json::json;
use uuid::Uuid;

/// What the service asks for. The peer's are the same.
pub(crate) const GROUP: &str = "gold";
pub(crate) const PERMISSION: &str = "01968c91-8789-7288-a337-f0e398711aac";

pub(crate) const HOST: &str = "api.example.com";
const NETWORKS: usize = 1000;
const KEYS_EACH: u64 = 10;

/// What a server is given to decide with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) keys: u64,
    pub(crate) services: Services,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Services {
    /// One that asks for everything: a thousand networks, groups, a permission.
    Whole,
    /// The same, for callers who show a JWT of the first [`TOKENS`] consumers instead of a key.
    Tokens,
    /// So many below one host, each with two networks and the rest.
    Spread(u32),
}

/// Different JWTs. All are remembered: what is measured is a check, not a signature.
pub(crate) const TOKENS: u64 = 1000;

impl Services {
    /// As a server's process is told it, and understood there by [`named`](Self::named).
    pub(crate) fn name(self) -> String {
        match self {
            Self::Whole => "whole".to_owned(),
            Self::Tokens => "tokens".to_owned(),
            Self::Spread(services) => services.to_string(),
        }
    }

    pub(crate) fn named(name: &str) -> Outcome<Self> {
        match name {
            "whole" => Ok(Self::Whole),
            "tokens" => Ok(Self::Tokens),
            services => services.parse().map(Self::Spread).map_err(|error| format!("{services}: {error}")),
        }
    }
}

impl Size {
    /// Each of them has so many keys.
    pub(crate) fn consumers(self) -> u64 {
        self.keys.div_ceil(KEYS_EACH)
    }
}

fn pepper() -> Pepper {
    Pepper::new(&[7; 32])
}

pub(crate) fn peppers() -> Peppers {
    Peppers::new(vec![pepper()])
}

pub(crate) fn verifier(text: &str) -> Verifier {
    pepper().verifier(text.as_bytes())
}

/// The text of a key: random looks, and always the same.
pub(crate) fn text(number: u64) -> Secret {
    secret(KEY, number)
}

/// A key of ours that was never made.
pub(crate) fn unknown(number: u64) -> Secret {
    secret(UNKNOWN, number)
}

fn secret(kind: u64, number: u64) -> Secret {
    // One that has too few digits for a key, which chance hardly ever gives, leaves its turn to the next.
    let tries = (0..).map(|more| kind << 56 | more << 48 | number);
    let made = tries.map(mixed).find_map(|seed| Secret::generate(Kind::Key, &entropy(seed)));
    made.map(|(secret, _)| secret).expect("an endless search")
}

const KEY: u64 = 1;
const CONSUMER: u64 = 2;
const UNKNOWN: u64 = 3;

fn entropy(seed: u64) -> [u8; ENTROPY_BYTES] {
    let mut state = seed;
    let mut bytes = [0; ENTROPY_BYTES];
    for piece in bytes.chunks_exact_mut(8) {
        state = mixed(state);
        piece.copy_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// The next number of a random sequence (SplitMix64).
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn id(kind: u64, number: u64) -> Uuid {
    uuid::Builder::from_random_bytes(entropy(mixed(kind << 56 | number))[..16].try_into().expect("16 bytes"))
        .into_uuid()
}

pub(crate) fn key(number: u64, size: Size) -> KeyRecord {
    KeyRecord {
        id: id(KEY, number),
        consumer: id(CONSUMER, number % size.consumers()),
        verifier: verifier(text(number).expose()),
        ring_key: 1,
        handle: Some(text(number).expose()[7..19].to_owned()),
        tags: vec!["a tag".into()],
        not_before: None,
        expires_at: number.is_multiple_of(2).then(|| Timestamp::from_unix(4_000_000_000)),
        enabled: true,
        opens: None,
        permissions: None,
        created_at: Timestamp::from_unix(1_700_000_000),
        weak: false,
        networks: Networks::default(),
    }
}

pub(crate) fn consumer(number: u64) -> ConsumerRecord {
    ConsumerRecord {
        id: id(CONSUMER, number),
        username: Some(format!("consumer-{number:07}")),
        custom_id: None,
        tags: vec!["a tag".into()],
        groups: [GROUP.to_owned(), format!("team-{}", number % 50)]
            .map(|group| Membership::plain(&id(CONSUMER, number), group, Timestamp::from_unix(1_700_000_000)))
            .into(),
        email: None,
        permissions: PERMISSION.parse().into_iter().collect(),
        enabled: true,
        created_at: Timestamp::from_unix(1_700_000_000),
        updated_at: Timestamp::from_unix(1_700_000_000),
        roles: Vec::new(),
        networks: Networks::default(),
    }
}

/// A thousand of different sizes; the client of `call` is in one in the midst of them.
pub(crate) fn networks() -> Vec<String> {
    let network = |number: usize| format!("{}.{}.0.0/{}", 1 + number % 200, number / 4, 17 + number % 8);
    let mut networks: Vec<String> = (0..NETWORKS - 1).map(network).collect();
    networks.insert(NETWORKS / 2, format!("{CLIENT}/24"));
    networks
}

/// The network of whoever calls.
const CLIENT: &str = "203.0.113.0";

/// As it stands in a file.
pub(crate) fn policy(services: Services) -> String {
    let method = match services {
        Services::Whole | Services::Spread(_) => "api_key",
        Services::Tokens => "jwt: {issuer: accounts, claims: {consumer: {claim: sub, by: username}}}",
    };
    let one = |name: &str, path: &str, networks: &[String]| {
        format!(
            "- {{name: {name}, hosts: [{HOST}], paths: [{path}], authentication: {{any: [{method}]}}, \
             networks: {{allow: [{}], deny: [192.0.2.0/24]}}, groups: {{allow: [{GROUP}]}}, \
             rules: [{{methods: [GET], paths: [{path}], permissions: [{PERMISSION}]}}]}}\n",
            networks.join(", ")
        )
    };
    let few = [format!("{CLIENT}/24")];
    let services: String = match services {
        Services::Whole | Services::Tokens => one("orders", WHOLE, &networks()),
        Services::Spread(services) => {
            (0..services).map(|number| one(&format!("s{number:05}"), &place(number), &few)).collect()
        }
    };
    format!(
        "client_address: {{trusted_proxies: [10.0.0.0/8, 127.0.0.0/8]}}\n\
         permissions: [{{id: {PERMISSION}, name: order-management}}]\n\
         services:\n{services}"
    )
}

pub(crate) fn catalog(services: Services) -> Outcome<Catalog> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut text = policy(services);
    if services == Services::Tokens {
        let keys =
            json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": BASE64_URL_SAFE_NO_PAD.encode(SIGNER) }] });
        std::fs::write(folder.path().join("keys.json"), keys.to_string())
            .map_err(|error| error.to_string())?;
        text += &format!(
            "issuers: {{accounts: {{issuer: \"{ISSUER}\", audiences: [orders], algorithms: [HS256], \
             jwks_file: keys.json}}}}\n"
        );
    }
    let file = folder.path().join("doorward.yaml");
    let loaded = config::load_beside(&file, text, std::iter::empty()).map_err(|faults| faults.to_string())?;
    loaded.config.catalog(&peppers()).map_err(|faults| faults.to_string())
}

const ISSUER: &str = "https://accounts.example.com";
const SIGNER: [u8; 32] = [9; 32];

/// The JWT of a consumer; all are of one length.
pub(crate) fn token(number: u64) -> Outcome<String> {
    let now = jsonwebtoken::get_current_timestamp();
    let claims = json!({
        "iss": ISSUER,
        "aud": "orders",
        "sub": consumer(number).username,
        "iat": now,
        "exp": now + 3600,
    });
    let key = jsonwebtoken::EncodingKey::from_secret(&SIGNER);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).map_err(|error| error.to_string())
}

/// The path of the service that asks for everything.
pub(crate) const WHOLE: &str = "/orders";

/// The path of one of many; all are of one length.
pub(crate) fn place(number: u32) -> String {
    format!("/s{number:05}")
}
