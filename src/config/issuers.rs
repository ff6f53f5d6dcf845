//! Whose JWTs are believed.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::duration::Span;
use super::fault::{Fault, quoted};
use super::limits::within;
use super::place::At;
use super::scalar::{Scalar, scalar};
use crate::domain::issuer::{self, Address, CONSUMERS, FetchLimits, Keys, OURS, Published};
use crate::domain::jwt::{self, Audiences, KeySet, Rules, Whose};

/// Somebody who signs JWTs, and how its keys are found: exactly one of `jwks_url`, `jwks_file` and
/// `discovery`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The `iss` of its tokens, byte for byte.
    pub issuer: At<String>,
    /// Whom its tokens must be meant for (`aud`): one of these, byte for byte.
    pub audiences: At<Vec<At<String>>>,
    /// How it signs. Those with a secret (`HS…`) and those with a key pair do not go together.
    pub algorithms: At<Vec<At<Algorithm>>>,
    /// Where it publishes its keys (a JWK Set).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<At<String>>,
    /// A file with its keys (a JWK Set). The only way for secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<At<PathBuf>>,
    /// Whether `<issuer>/.well-known/openid-configuration` says where its keys are. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discovery: bool,
    /// The `typ` of its tokens, such as `at+jwt`. Default: none, `JWT` or `at+jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typ: Option<At<String>>,
    /// By how much its clock may differ from ours. Up to `60s`. Default: `30s`.
    #[serde(default = "leeway")]
    pub leeway: At<Span>,
    /// The longest life of its tokens; one that is good for longer is refused. Default: `24h`.
    #[serde(default = "longest_life")]
    pub longest_life: At<Span>,
    /// After so long its keys are fetched anew. `30s` to `24h`. Default: `10m`.
    #[serde(default = "refresh")]
    pub refresh: At<Span>,
    /// For so long its keys are believed while they cannot be fetched. At least `refresh`. Default: `24h`.
    #[serde(default = "max_stale")]
    pub max_stale: At<Span>,
    /// The authorities that its server's certificate may be of. Default: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<At<PathBuf>>,
    /// Whether its keys may come unencrypted from another machine: whoever is on the way can then make
    /// tokens. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure_plain_http: bool,
}

fn leeway() -> At<Span> {
    At::assumed(Span::seconds(30))
}

fn longest_life() -> At<Span> {
    At::assumed(Span::seconds(86_400))
}

fn refresh() -> At<Span> {
    At::assumed(Span::seconds(600))
}

fn max_stale() -> At<Span> {
    At::assumed(Span::seconds(86_400))
}

/// The name of a signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm(pub jwt::Algorithm);

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for Algorithm {
    const EXPECTED: &'static str = "a signature algorithm: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, \
         PS512, ES256, ES384, ES512 or EdDSA";

    fn parse(text: &str) -> Option<Self> {
        jwt::Algorithm::named(text).map(Self)
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({ "enum": jwt::Algorithm::ALL.map(jwt::Algorithm::name) })
    }
}

scalar!(Algorithm);

/// What a file of keys holds; its faults are told where the issuer is resolved.
pub(super) type KeyFile = Result<Arc<[u8]>, String>;

/// All issuers that methods may name: consumers always, Doorward itself where it makes tokens.
pub(super) fn resolve(
    config: &Config,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<Fault>,
) -> Vec<Arc<issuer::Issuer>> {
    let mut issuers = Vec::new();
    for (name, issuer) in &config.issuers {
        let taken = match name.as_str() {
            OURS => Some("Doorward's own tokens"),
            CONSUMERS => Some("the tokens that consumers sign themselves"),
            _ => None,
        };
        if let Some(taken) = taken {
            let message = format!("`{name}` stands for {taken}; give this issuer another name");
            faults.push(Fault::new(issuer.place, message));
        }
        let keys = issuer.keys(name, config, faults);
        let rules = issuer.rules(config, faults, warnings);
        if let Some(keys) = keys {
            issuers.push(Arc::new(issuer::Issuer { name: name.clone(), rules, keys }));
        }
    }
    issuers.push(Arc::new(issuer::Issuer::of_consumers(config.limits.jwt_bytes.value.bytes())));
    if let Some(url) = &config.public_url {
        issuers.push(Arc::new(issuer::Issuer {
            name: OURS.to_owned(),
            rules: Rules { longest: config.limits.jwt_bytes.value.bytes(), ..Rules::ours(url) },
            keys: Keys::Ours,
        }));
    }
    issuers
}

impl At<Issuer> {
    fn rules(&self, config: &Config, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) -> Rules {
        self.check(faults);
        let algorithms: Vec<_> = self.algorithms.iter().map(|algorithm| algorithm.0).collect();
        let symmetric = algorithms.iter().filter(|algorithm| algorithm.is_symmetric()).count();
        if symmetric != 0 && symmetric != algorithms.len() {
            let message = "`algorithms` has some with a secret (`HS…`) and some with a key pair; keep one kind, \
                           or make two issuers of it";
            faults.push(Fault::new(self.algorithms.place, message));
        }
        if symmetric != 0 && self.jwks_file.is_none() {
            let message = "`algorithms` has some with a secret (`HS…`), which is not for publishing; expected `jwks_file`";
            faults.push(Fault::new(self.algorithms.place, message));
        }
        if self.insecure_plain_http {
            let message = "`insecure_plain_http` lets whoever is on the way to the issuer make tokens";
            warnings.push(Fault::new(self.place, message));
        }
        Rules {
            issuer: self.issuer.value.clone(),
            whose: Whose::Subject,
            audiences: Audiences::OneOf(self.audiences.iter().map(|one| one.value.clone()).collect()),
            algorithms,
            typ: self.typ.as_ref().map(|typ| typ.to_ascii_lowercase()),
            leeway: seconds(self.leeway.value),
            longest_life: seconds(self.longest_life.value),
            longest: config.limits.jwt_bytes.value.bytes(),
        }
    }

    fn check(&self, faults: &mut Vec<Fault>) {
        let mut empty = |place, setting: &str, such: &str| {
            let message = format!("`{setting}` is empty, expected {such}");
            faults.push(Fault::new(place, message));
        };
        if self.issuer.is_empty() {
            empty(self.issuer.place, "issuer", "the `iss` of its tokens");
        }
        if self.audiences.is_empty() || self.audiences.iter().any(|audience| audience.is_empty()) {
            empty(self.audiences.place, "audiences", "whom its tokens are meant for (`aud`)");
        }
        if self.algorithms.is_empty() {
            empty(self.algorithms.place, "algorithms", "some such as `[RS256]`");
        }
        let day = Span::seconds(86_400);
        within("leeway", &self.leeway, Span::seconds(0)..=Span::seconds(60), faults);
        within("longest_life", &self.longest_life, Span::seconds(1)..=Span::seconds(3650 * 86_400), faults);
        within("refresh", &self.refresh, Span::seconds(30)..=day, faults);
        within("max_stale", &self.max_stale, self.refresh.value..=Span::seconds(30 * 86_400), faults);
    }

    fn keys(&self, name: &str, config: &Config, faults: &mut Vec<Fault>) -> Option<Keys> {
        let at = match (&self.jwks_url, &self.jwks_file, self.discovery) {
            (Some(url), None, false) => Address::KeySet(check_url(url, self, faults)?),
            (None, None, true) => Address::Discovery(check_url(&self.issuer, self, faults)?),
            (None, Some(file), false) => return self.read(name, file, config, faults),
            _ => {
                let message = format!(
                    "the issuer `{name}` needs exactly one of `jwks_url`, `jwks_file` and `discovery: true`"
                );
                faults.push(Fault::new(self.place, message));
                return None;
            }
        };
        let at = match at {
            Address::Discovery(issuer) => {
                let issuer = issuer.strip_suffix('/').unwrap_or(&issuer);
                Address::Discovery(format!("{issuer}/.well-known/openid-configuration"))
            }
            Address::KeySet(_) => at,
        };
        let limits = &config.limits;
        Some(Keys::Published(Published {
            at,
            refresh: self.refresh.0,
            max_stale: self.max_stale.0,
            ca_file: self.ca_file.as_ref().map(|file| config.resolved(file)),
            limits: FetchLimits {
                bytes: limits.jwks_bytes.value.bytes(),
                time: limits.jwks_time.value.0,
                keys: limits.jwks_keys.value as usize,
                plain_http: self.insecure_plain_http,
            },
        }))
    }

    fn read(&self, name: &str, file: &At<PathBuf>, config: &Config, faults: &mut Vec<Fault>) -> Option<Keys> {
        let algorithms: Vec<_> = self.algorithms.iter().map(|algorithm| algorithm.0).collect();
        // Nobody read it where only the places of the configuration matter: the issuer is there all the same.
        let Some(text) = config.key_files.get(name) else { return Some(Keys::Read(Arc::new(KeySet::NONE))) };
        let most = config.limits.jwks_keys.value as usize;
        let found = text.as_ref().map_err(Clone::clone).and_then(|json| {
            KeySet::parse(json, &algorithms, most).map_err(|error| format!("is no key set for this: {error}"))
        });
        match found {
            Ok(set) => Some(Keys::Read(Arc::new(set))),
            Err(why) => {
                let path = config.resolved(file);
                let message = format!("the `jwks_file` {} {why}", quoted(&path.display().to_string()));
                faults.push(Fault::new(file.place, message));
                None
            }
        }
    }
}

/// `https`, or `http` where that was asked for or stays on this machine.
fn check_url(url: &At<String>, issuer: &Issuer, faults: &mut Vec<Fault>) -> Option<String> {
    let read = url.parse::<http::Uri>().ok().filter(|_| !url.contains(['#', '@']));
    let host = read.as_ref().and_then(http::Uri::host).map(|host| host.trim_matches(['[', ']']));
    let here =
        host.is_some_and(|host| host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()));
    let good = host.is_some_and(|host| !host.is_empty())
        && match read.as_ref().and_then(http::Uri::scheme_str) {
            Some("https") => true,
            Some("http") => here || issuer.insecure_plain_http,
            _ => false,
        };
    if good {
        return Some(url.value.clone());
    }
    let message = format!("{} is no address to fetch keys from, expected `https://` and a host", quoted(url));
    faults.push(Fault::new(url.place, message));
    None
}

fn seconds(span: Span) -> i64 {
    i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX)
}

/// The longest file of keys.
pub(super) const LONGEST_KEY_FILE: u64 = 4 << 20;
