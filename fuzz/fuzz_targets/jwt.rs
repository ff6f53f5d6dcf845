//! JWTs and key sets.

#![no_main]

use std::sync::OnceLock;

use doorward::domain::jwt::{Algorithm, Audiences, Claims, KeySet, Refused, Rules, Whose, screen, verify};
use doorward::domain::time::Timestamp;
use doorward::issue::SigningKey;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://accounts.example";

/// One issuer. Its key is another one in each process: what is found does not depend on it.
struct Bench {
    key: SigningKey,
    keys: KeySet,
    rules: Rules,
}

// The first byte says what the others are.
fuzz_target!(|input: &[u8]| {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    let bench = BENCH.get_or_init(Bench::new);
    let Some((choice, rest)) = input.split_first() else { return };
    match choice % 3 {
        0 => assert!(bench.outcome(rest).is_err(), "nobody signed it"),
        1 => signed_holds(bench, rest),
        _ => key_set_holds(bench, rest),
    }
});

impl Bench {
    fn new() -> Self {
        let key = SigningKey::generate("k1".to_owned(), Algorithm::Hs256).expect("random bytes");
        let rules = Rules {
            issuer: ISSUER.to_owned(),
            whose: Whose::Subject,
            audiences: Audiences::OneOf(vec!["orders".to_owned()]),
            algorithms: vec![Algorithm::Hs256],
            typ: None,
            leeway: 30,
            longest_life: 86_400,
            longest: 8192,
        };
        Self { keys: KeySet::of_ours([key.public()]), key, rules }
    }

    /// What is refused at a glance is refused after all the arithmetic too, and by the same word.
    fn outcome(&self, token: &[u8]) -> Result<Claims, Refused> {
        let verified = verify(token, &self.rules, &self.keys);
        match screen(token, &self.rules, &self.keys) {
            Err(refused) => assert_eq!(verified.as_ref().err(), Some(&refused)),
            Ok(screened) if !screened.key_is_known => {
                assert_eq!(verified.as_ref().err(), Some(&Refused::UnknownKey));
            }
            Ok(_) => {}
        }
        verified
    }
}

/// A header and a payload, parted by a line break, that were signed: what is believed of them is what
/// another reader finds in them.
fn signed_holds(bench: &Bench, text: &[u8]) {
    let at = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let (header, payload) = (&text[..at], text.get(at + 1..).unwrap_or_default());
    let token = bench.key.sign_bytes(header, payload).expect("a secret signs anything");
    let Ok(claims) = bench.outcome(token.as_bytes()) else { return };

    let read = |json| serde_json::from_slice::<Value>(json).expect("what is believed is JSON");
    let (header, payload) = (read(header), read(payload));
    assert_eq!(header["alg"], "HS256");
    for name in ["crit", "b64", "zip", "enc", "cty"] {
        assert!(header.get(name).is_none(), "{name} is understood by nobody here");
    }
    assert_eq!(payload["iss"], ISSUER);
    assert_eq!(payload["sub"], *claims.subject);
    assert!(!claims.subject.is_empty() && payload.get("cnf").is_none());
    assert_eq!(claims.members.len(), payload.as_object().map_or(0, serde_json::Map::len));
    let expires_at = payload["exp"].as_f64().expect("a token ends");
    if claims.judge(&bench.rules, Timestamp::from_unix(NOW)).is_ok() {
        assert!(claims.is_for_any(&["orders"]));
        #[allow(clippy::cast_precision_loss, reason = "small enough to be exact")]
        let bounds = (NOW - 30) as f64..(NOW + 86_400 + 31) as f64;
        assert!(bounds.contains(&expires_at), "{expires_at}");
    }
    // Nothing but these very bytes is believed.
    let mut other = token.into_bytes();
    let at = text.len().wrapping_mul(31) % other.len();
    other[at] = if other[at] == b'A' { b'B' } else { b'A' };
    assert!(bench.outcome(&other).is_err(), "changed at {at}");
}

fn key_set_holds(bench: &Bench, json: &[u8]) {
    const MOST: usize = 4;
    for algorithms in [&[Algorithm::Hs256][..], &Algorithm::ALL] {
        let Ok(keys) = KeySet::parse(json, algorithms, MOST) else { continue };
        assert!((1..=MOST).contains(&keys.len()) && keys.len() + keys.left_out() <= MOST);
        let payload = format!(r#"{{"iss":"{ISSUER}","sub":"a","aud":"orders","exp":{}}}"#, NOW + 60);
        let token = bench.key.sign_bytes(br#"{"alg":"HS256"}"#, payload.as_bytes());
        let token = token.expect("a secret signs anything");
        assert!(verify(token.as_bytes(), &bench.rules, &keys).is_err(), "none of them signed it");
    }
}
