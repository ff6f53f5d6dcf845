//! Who signs JWTs that are believed, and where the keys to verify them with come from.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::consumer::ConsumerId;
use super::jwt::{Algorithm, Audiences, KeySet, Rules, Whose};

/// An issuer as the operator described it.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// By which methods refer to it.
    pub name: String,
    pub rules: Rules,
    pub keys: Keys,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum Keys {
    /// It is Doorward itself.
    Ours,
    /// A file, which was read together with the configuration.
    Read(Arc<KeySet>),
    /// The issuer publishes them.
    Published(Published),
    /// Of one consumer, which signs its own tokens; nothing where it is not known yet which.
    OfConsumer(Arc<KeySet>),
}

/// A credential by which a consumer signs its own tokens.
#[derive(Debug)]
pub struct Signer {
    pub id: Uuid,
    pub consumer: ConsumerId,
    pub issuer: Arc<Issuer>,
}

/// Keys that are fetched, and kept while the issuer is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub at: Address,
    /// After so long they are fetched anew.
    pub refresh: Duration,
    /// For so long they are believed while they cannot be fetched.
    pub max_stale: Duration,
    /// The authorities that the server's certificate may be of; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    pub limits: FetchLimits,
}

/// An `https` address; `http` where the operator allows it, or to this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Of the key set itself.
    KeySet(String),
    /// Of the document that says where the key set is (OpenID Connect Discovery 1.0, RFC 8414).
    Discovery(String),
}

/// What an issuer's server may make of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Of one answer.
    pub bytes: usize,
    /// For one fetch, from the name's resolution to the last byte.
    pub time: Duration,
    /// In a set.
    pub keys: usize,
    /// Whether an address may be `http` although it is of another machine.
    pub plain_http: bool,
}

/// The name by which methods refer to Doorward's own tokens.
pub const OURS: &str = "doorward";
/// The same for those that consumers sign themselves.
pub const CONSUMERS: &str = "consumers";

/// How the tokens of these issuers may be signed.
pub fn algorithms(issuers: &[Arc<Issuer>]) -> BTreeSet<Algorithm> {
    issuers.iter().flat_map(|issuer| issuer.rules.algorithms.iter().copied()).collect()
}

impl Issuer {
    /// A consumer that signs its own tokens, which name it by `key`.
    pub fn of_consumer(key: &str, algorithms: Vec<Algorithm>, keys: KeySet) -> Self {
        let rules = Rules {
            issuer: key.to_owned(),
            whose: Whose::Issuer,
            audiences: Audiences::AskedLater,
            algorithms,
            typ: None,
            leeway: 30,
            longest_life: 86_400,
            // Judged before anything was looked up.
            longest: usize::MAX,
        };
        Self { name: CONSUMERS.to_owned(), rules, keys: Keys::OfConsumer(Arc::new(keys)) }
    }

    /// All of them, before a token of at most so many bytes has said whose it is.
    pub fn of_consumers(longest: usize) -> Self {
        let nobody = Self::of_consumer("", Vec::new(), KeySet::NONE);
        Self { rules: Rules { longest, ..nobody.rules }, ..nobody }
    }
}
