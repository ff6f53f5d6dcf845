#![allow(clippy::unwrap_used, reason = "tests")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::time::Timestamp;
use crate::issue::SigningKey;

const NOW: i64 = 1_800_000_000;

fn rules(algorithm: Algorithm) -> Rules {
    Rules {
        issuer: "https://accounts.example".into(),
        whose: Whose::Subject,
        audiences: Audiences::OneOf(vec!["orders".into(), "stock".into()]),
        algorithms: vec![algorithm],
        typ: None,
        leeway: 30,
        longest_life: 86_400,
        longest: 8192,
    }
}

fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate("k1".into(), algorithm).unwrap()
}

fn set(key: &SigningKey) -> KeySet {
    KeySet::of_ours([key.public()])
}

fn claims() -> Value {
    json!({
        "iss": "https://accounts.example", "sub": "alice", "aud": "orders",
        "iat": NOW, "exp": NOW + 3600,
    })
}

/// The claims with one of them as it is here; `null` takes it away.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    let members = claims.as_object_mut().unwrap();
    match value {
        Value::Null => members.remove(name),
        value => members.insert(name.into(), value),
    };
    claims
}

/// What comes of a token at [`NOW`].
fn outcome(token: &[u8], rules: &Rules, keys: &KeySet) -> Result<(), Refused> {
    // Whatever is refused without a signature is refused with it too, and by the same word.
    let screened = screen(token, rules, keys);
    let verified = verify(token, rules, keys);
    if let Err(refused) = screened {
        assert_eq!(verified.unwrap_err(), refused);
        return Err(refused);
    }
    verified.and_then(|claims| claims.judge(rules, Timestamp::from_unix(NOW)))
}

/// Everything that a test has to do with one key and one set of rules.
struct Bench {
    key: SigningKey,
    keys: KeySet,
    rules: Rules,
}

impl Bench {
    fn new(algorithm: Algorithm) -> Self {
        let key = key(algorithm);
        Self { keys: set(&key), key, rules: rules(algorithm) }
    }

    fn token(&self, claims: &Value) -> String {
        self.key.sign(claims).unwrap()
    }

    #[track_caller]
    fn check(&self, token: &str, expected: Result<(), Refused>) {
        assert_eq!(outcome(token.as_bytes(), &self.rules, &self.keys), expected, "{token}");
    }

    #[track_caller]
    fn claims(&self, claims: &Value, expected: Result<(), Refused>) {
        assert_eq!(outcome(self.token(claims).as_bytes(), &self.rules, &self.keys), expected, "{claims}");
    }

    /// A genuine token with this header.
    #[track_caller]
    fn header(&self, header: &Value, expected: Result<(), Refused>) {
        self.raw(&header.to_string(), &claims().to_string(), expected);
    }

    #[track_caller]
    fn raw(&self, header: &str, payload: &str, expected: Result<(), Refused>) {
        let token = self.key.sign_bytes(header.as_bytes(), payload.as_bytes()).unwrap();
        assert_eq!(outcome(token.as_bytes(), &self.rules, &self.keys), expected, "{header} {payload}");
    }
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

#[test]
fn a_good_token_of_every_algorithm_is_believed() {
    for algorithm in Algorithm::ALL {
        let bench = Bench::new(algorithm);
        bench.claims(&claims(), Ok(()));
        assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
    }
    assert_eq!(Algorithm::named("none"), None);
    assert_eq!(Algorithm::named("es256"), None);
}

#[test]
fn j1_r2_the_algorithm_is_the_issuers_and_a_token_only_agrees() {
    let bench = Bench::new(Algorithm::Rs256);
    for alg in ["none", "None", "nOnE", "", "HS256", "PS256", "RS512", "ES256", "rs256"] {
        bench.header(&json!({"alg": alg}), Err(Refused::Algorithm));
    }
    bench.header(&json!({}), Err(Refused::Algorithm));
    bench.header(&json!({"alg": ["RS256"]}), Err(Refused::Header));
    bench.header(&json!({"alg": null}), Err(Refused::Header));
    bench.header(&json!({"alg": "RS256"}), Ok(()));

    // The public key as the secret of an HMAC (CVE-2015-9235), where HS is not pinned, and where it is.
    let public = bench.key.public().bytes.to_vec();
    let signed = format!("{}.{}", encoded(r#"{"alg":"HS256"}"#), encoded(&claims().to_string()));
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
    let tag = aws_lc_rs::hmac::sign(&secret, signed.as_bytes());
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
    bench.check(&forged, Err(Refused::Algorithm));
    let hs = Rules { algorithms: vec![Algorithm::Hs256], ..bench.rules.clone() };
    assert_eq!(outcome(forged.as_bytes(), &hs, &bench.keys), Err(Refused::UnknownKey));

    // Nothing signed, under every name of nothing.
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"RS256"}"#] {
        let token = format!("{}.{}.", encoded(header), encoded(&claims().to_string()));
        assert!(outcome(token.as_bytes(), &bench.rules, &bench.keys).is_err());
    }
}

#[test]
fn j2_a_secret_shorter_than_its_hash_is_no_key() {
    let jwks = |bytes: usize, alg: &str| {
        let secret = URL_SAFE_NO_PAD.encode(vec![7; bytes]);
        json!({"keys": [{"kty": "oct", "k": secret, "alg": alg}]}).to_string()
    };
    #[track_caller]
    fn check(jwks: &str, algorithm: Algorithm, usable: bool) {
        assert_eq!(KeySet::parse(jwks.as_bytes(), &[algorithm], 10).is_ok(), usable, "{jwks}");
    }
    check(&jwks(32, "HS256"), Algorithm::Hs256, true);
    check(&jwks(31, "HS256"), Algorithm::Hs256, false);
    check(&jwks(48, "HS384"), Algorithm::Hs384, true);
    check(&jwks(47, "HS384"), Algorithm::Hs384, false);
    check(&jwks(64, "HS512"), Algorithm::Hs512, true);
    check(&jwks(63, "HS512"), Algorithm::Hs512, false);
    check(&jwks(0, "HS256"), Algorithm::Hs256, false);
    check(&jwks(64, "HS512"), Algorithm::Rs256, false);
}

#[test]
fn j3_the_key_is_one_of_the_issuers_own_and_named_by_its_id() {
    let bench = Bench::new(Algorithm::Es256);
    bench.header(&json!({"alg": "ES256", "kid": "k1"}), Ok(()));
    bench.header(&json!({"alg": "ES256"}), Ok(()));
    bench.header(&json!({"alg": "ES256", "kid": "K1"}), Err(Refused::UnknownKey));
    bench.header(&json!({"alg": "ES256", "kid": ""}), Err(Refused::UnknownKey));
    bench.header(&json!({"alg": "ES256", "kid": 1}), Err(Refused::Header));
    bench.header(&json!({"alg": "ES256", "kid": "k".repeat(257)}), Err(Refused::Header));
    // A path, a query: nothing is made of it but a comparison.
    bench.header(&json!({"alg": "ES256", "kid": "../../dev/null"}), Err(Refused::UnknownKey));
    bench.header(&json!({"alg": "ES256", "kid": "' OR 1=1 --"}), Err(Refused::UnknownKey));

    // Another issuer's key, of the same id.
    let other = Bench::new(Algorithm::Es256);
    bench.check(&other.token(&claims()), Err(Refused::Signature));
    // Without an id, a set of two leaves it open which is meant.
    let (one, two) = (key(Algorithm::Es256), SigningKey::generate("k2".into(), Algorithm::Es256).unwrap());
    let keys = KeySet::of_ours([one.public(), two.public()]);
    let header = br#"{"alg":"ES256"}"#;
    let token = one.sign_bytes(header, claims().to_string().as_bytes()).unwrap();
    assert_eq!(outcome(token.as_bytes(), &bench.rules, &keys), Err(Refused::UnknownKey));
}

/// A JWK of a new key, without the members that are optional.
fn jwk(algorithm: Algorithm) -> Value {
    let key = key(algorithm);
    let public = key.public();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match algorithm {
        Algorithm::EdDsa => json!({"kty": "OKP", "crv": "Ed25519", "x": part(public.bytes)}),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => {
            let curve = match algorithm {
                Algorithm::Es256 => "P-256",
                Algorithm::Es384 => "P-384",
                _ => "P-521",
            };
            let (x, y) = public.bytes[1..].split_at((public.bytes.len() - 1) / 2);
            json!({"kty": "EC", "crv": curve, "x": part(x), "y": part(y)})
        }
        _ => {
            // PKCS#1: a sequence of two integers. Of 2048 bits, the lengths stand where they stand.
            let modulus = &public.bytes[9..9 + 256];
            json!({"kty": "RSA", "n": part(modulus), "e": "AQAB"})
        }
    }
}

fn usable(jwk: Value, algorithm: Algorithm) -> bool {
    let jwks = json!({"keys": [jwk]}).to_string();
    KeySet::parse(jwks.as_bytes(), &[algorithm], 10).is_ok()
}

#[test]
fn j4_a_key_that_is_not_for_this_is_left_out() {
    for algorithm in
        [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::Es512, Algorithm::EdDsa]
    {
        let good = jwk(algorithm);
        let but = |name: &str, value: Value| {
            let mut jwk = good.clone();
            jwk[name] = value;
            usable(jwk, algorithm)
        };
        assert!(usable(good.clone(), algorithm), "{good}");
        assert!(but("use", "sig".into()) && !but("use", "enc".into()) && !but("use", "SIG".into()));
        assert!(but("key_ops", json!(["verify"])) && !but("key_ops", json!(["sign"])));
        assert!(!but("key_ops", json!([])) && !but("key_ops", json!("verify")));
        assert!(but("alg", algorithm.name().into()) && !but("alg", "RS384".into()));
        assert!(!but("kty", "oct".into()) && !but("kty", "XYZ".into()));
        // What is not known does not matter.
        assert!(but("x5c", json!(["AAAA"])) && but("anything", json!({"deep": [1]})));
        let others = Algorithm::ALL.into_iter().filter(|other| *other != algorithm);
        let rsa = |other: &Algorithm| {
            algorithm == Algorithm::Rs256
                && matches!(
                    other,
                    Algorithm::Rs384
                        | Algorithm::Rs512
                        | Algorithm::Ps256
                        | Algorithm::Ps384
                        | Algorithm::Ps512
                )
        };
        for other in others.filter(|other| !rsa(other)) {
            assert!(!usable(good.clone(), other), "{good} as {other}");
        }
    }
}

#[test]
fn j4_weak_and_impossible_keys_are_left_out() {
    let rsa = |bytes: usize, e: &[u8]| {
        let mut n = vec![0xff; bytes];
        n[0] = 0x80;
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        usable(json!({"kty": "RSA", "n": part(&n), "e": part(e)}), Algorithm::Rs256)
    };
    assert!(rsa(256, &[1, 0, 1]) && rsa(256, &[0, 1, 0, 1]) && rsa(256, &[3]) && rsa(1024, &[1, 0, 1]));
    assert!(!rsa(255, &[1, 0, 1]) && !rsa(128, &[1, 0, 1]) && !rsa(1025, &[1, 0, 1]));
    assert!(!rsa(256, &[1]) && !rsa(256, &[2]) && !rsa(256, &[0]) && !rsa(256, &[1, 0, 0]));

    // A point that is on no curve, one at infinity, coordinates of another length, and with padding.
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let ec =
        |x: String, y: String| usable(json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}), Algorithm::Es256);
    assert!(!ec(part(&[1; 32]), part(&[1; 32])));
    assert!(!ec(part(&[0; 32]), part(&[0; 32])));
    let good = jwk(Algorithm::Es256);
    let (x, y) = (good["x"].as_str().unwrap().to_owned(), good["y"].as_str().unwrap().to_owned());
    assert!(ec(x.clone(), y.clone()));
    assert!(!ec(format!("{x}="), y.clone()) && !ec(part(&[&[0], &[1; 32][..]].concat()), y));
    assert!(!usable(json!({"kty": "OKP", "crv": "Ed448", "x": part(&[1; 57])}), Algorithm::EdDsa));
    assert!(!usable(json!({"kty": "OKP", "crv": "X25519", "x": part(&[9; 32])}), Algorithm::EdDsa));
}

#[test]
fn j4_two_keys_that_one_token_could_mean_are_both_left_out() {
    let named = |mut jwk: Value, id: &str| {
        jwk["kid"] = id.into();
        jwk
    };
    let keys = |keys: Value, algorithms: &[Algorithm]| {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), algorithms, 10)
            .map(|set| (set.len(), set.left_out()))
    };
    let es = || jwk(Algorithm::Es256);
    let both = [Algorithm::Es256, Algorithm::EdDsa];
    assert_eq!(keys(json!([named(es(), "a"), named(es(), "b")]), &both), Ok((2, 0)));
    assert_eq!(keys(json!([named(es(), "a"), named(es(), "a"), named(es(), "b")]), &both), Ok((1, 2)));
    // RFC 7517 section 4.5 allows one id for keys of different types.
    assert_eq!(keys(json!([named(es(), "a"), named(jwk(Algorithm::EdDsa), "a")]), &both), Ok((2, 0)));
    let nothing = Err(NoKeySet::NothingUsable { found: 2 });
    assert_eq!(keys(json!([named(es(), "a"), named(es(), "a")]), &both), nothing);
}

#[test]
fn j5_keys_and_addresses_in_a_token_are_never_read() {
    let bench = Bench::new(Algorithm::EdDsa);
    let attacker = Bench::new(Algorithm::EdDsa);
    let x = URL_SAFE_NO_PAD.encode(attacker.key.public().bytes);
    for (name, value) in [
        ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": x})),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        let header = json!({"alg": "EdDSA", name: value}).to_string();
        let forged = attacker.key.sign_bytes(header.as_bytes(), claims().to_string().as_bytes()).unwrap();
        bench.check(&forged, Err(Refused::Signature));
        bench.raw(&header, &claims().to_string(), Ok(()));
    }
}

#[test]
fn j6_headers_that_change_what_a_payload_is_refuse() {
    let bench = Bench::new(Algorithm::EdDsa);
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!("b64")),
        ("b64", json!(true)),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
        ("cty", json!("jwt")),
    ] {
        bench.header(&json!({"alg": "EdDSA", name: value}), Err(Refused::Extension));
    }
}

#[test]
fn j7_a_member_twice_refuses() {
    let bench = Bench::new(Algorithm::EdDsa);
    let payload = claims().to_string();
    bench.raw(r#"{"alg":"EdDSA","alg":"EdDSA"}"#, &payload, Err(Refused::Header));
    bench.raw(r#"{"alg":"none","\u0061lg":"EdDSA"}"#, &payload, Err(Refused::Header));
    for more in [r#","sub":"bob"}"#, r#","s\u0075b":"alice"}"#, r#","x":1,"x":1}"#] {
        let twice = payload.strip_suffix('}').unwrap().to_owned() + more;
        bench.raw(r#"{"alg":"EdDSA"}"#, &twice, Err(Refused::Payload));
    }
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn j8_r1_times_are_numbers_and_hold_within_the_leeway() {
    let bench = Bench::new(Algorithm::EdDsa);
    let check = |name: &str, value: Value, expected| bench.claims(&with(name, value), expected);
    check("exp", json!(null),               Err(Refused::Times));
    check("exp", json!("1900000000"),       Err(Refused::Times));
    check("exp", json!([NOW + 60]),         Err(Refused::Times));
    check("exp", json!(true),               Err(Refused::Times));
    check("exp", json!(-1),                 Err(Refused::Times));
    check("exp", json!(-0.5),               Err(Refused::Times));
    check("exp", json!(0),                  Err(Refused::Expired));
    check("exp", json!(NOW - 30),           Err(Refused::Expired));
    check("exp", json!(NOW - 29),           Ok(()));
    check("exp", json!(NOW as f64 - 29.5),  Err(Refused::Expired));
    check("exp", json!(NOW as f64 + 0.5),   Ok(()));
    check("nbf", json!(NOW + 30),           Ok(()));
    check("nbf", json!(NOW + 31),           Err(Refused::NotYetValid));
    check("nbf", json!(NOW as f64 + 30.5),  Err(Refused::NotYetValid));
    check("nbf", json!("0"),                Err(Refused::Times));
    check("nbf", json!({}),                 Err(Refused::Times));
    check("iat", json!(null),               Ok(()));
    check("iat", json!("now"),              Err(Refused::Times));
    check("iat", json!(NOW + 100_000),      Ok(()));
    // A life of a day, with the leeway.
    check("exp", json!(NOW + 86_400 + 30),  Ok(()));
    check("exp", json!(NOW + 86_400 + 31),  Err(Refused::TooLongLived));
    check("exp", json!(1e300),              Err(Refused::TooLongLived));
    check("exp", json!(u64::MAX),           Err(Refused::TooLongLived));
    check("exp", json!(i64::MAX),           Err(Refused::TooLongLived));
    check("iat", json!(NOW - 90_000),       Err(Refused::TooLongLived));
    // Who says to have been issued in the future lives no longer for it.
    let late = json!({
        "iss": "https://accounts.example", "sub": "alice", "aud": "orders",
        "iat": NOW + 400_000, "exp": NOW + 400_060,
    });
    bench.claims(&late, Err(Refused::TooLongLived));
    // Numbers that are none.
    for exp in ["1e999", "NaN", "Infinity", "0x7fffffff", "01800003600"] {
        let payload = claims().to_string().replace(&(NOW + 3600).to_string(), exp);
        bench.raw(r#"{"alg":"EdDSA"}"#, &payload, Err(Refused::Payload));
    }
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn j9_issuer_and_audience_are_equal_by_bytes() {
    let bench = Bench::new(Algorithm::EdDsa);
    let check = |name: &str, value: Value, expected| bench.claims(&with(name, value), expected);
    check("iss", json!(null),                                     Err(Refused::Issuer));
    check("iss", json!("https://accounts.example/"),              Err(Refused::Issuer));
    check("iss", json!("https://ACCOUNTS.example"),               Err(Refused::Issuer));
    check("iss", json!(["https://accounts.example"]),             Err(Refused::Issuer));
    check("iss", json!(["https://evil", "https://accounts.example"]), Err(Refused::Issuer));
    check("iss", json!({"a": 1}),                                 Err(Refused::Issuer));
    check("aud", json!(null),                                     Err(Refused::Audience));
    check("aud", json!("order"),                                  Err(Refused::Audience));
    check("aud", json!("Orders"),                                 Err(Refused::Audience));
    check("aud", json!([]),                                       Err(Refused::Audience));
    check("aud", json!(["others", "stock"]),                      Ok(()));
    check("aud", json!(["others"]),                               Err(Refused::Audience));
    check("aud", json!(["orders", 1]),                            Err(Refused::Audience));
    check("aud", json!({"orders": true}),                         Err(Refused::Audience));
    check("aud", json!([["orders"]]),                             Err(Refused::Audience));
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn j10_a_subject_is_there_and_fits_into_a_header() {
    let bench = Bench::new(Algorithm::EdDsa);
    let check = |value: Value, expected| bench.claims(&with("sub", value), expected);
    check(json!(null),             Err(Refused::Subject));
    check(json!(""),               Err(Refused::Subject));
    check(json!(7),                Err(Refused::Subject));
    check(json!(["alice"]),        Err(Refused::Subject));
    check(json!("a\r\nX-Role: b"), Err(Refused::Subject));
    check(json!("a\u{0}"),         Err(Refused::Subject));
    check(json!("a\u{85}"),        Err(Refused::Subject));
    check(json!("a".repeat(256)),  Ok(()));
    check(json!("a".repeat(257)),  Err(Refused::Subject));
    check(json!("ålice"),          Ok(()));
}

#[test]
fn a_consumer_speaks_for_itself_and_of_nobody_else() {
    let mut bench = Bench::new(Algorithm::Es256);
    bench.rules.whose = Whose::Issuer;
    bench.rules.audiences = Audiences::AskedLater;
    for name in ["sub", "aud"] {
        bench.claims(&with(name, Value::Null), Ok(()));
    }
    bench.claims(&with("sub", json!(7)), Err(Refused::Subject));
    bench.claims(&with("aud", json!(7)), Err(Refused::Audience));
    bench.claims(&with("exp", Value::Null), Err(Refused::Times));
    bench.claims(&with("iss", json!("other")), Err(Refused::Issuer));
    // It has one key, whatever a token calls that.
    for kid in ["k1", "k2"] {
        bench.header(&json!({"alg": "ES256", "kid": kid}), Ok(()));
    }
    let token = bench.token(&with("iss", json!("a")));
    assert_eq!(signer(token.as_bytes(), 8192).unwrap(), "a");
    assert_eq!(signer(token.as_bytes(), 8), Err(Refused::TooLong));
    assert_eq!(signer(b"a.b", 8192), Err(Refused::Form));
    assert_eq!(signer(bench.token(&with("iss", json!(["a"]))).as_bytes(), 8192), Err(Refused::Issuer));
}

#[test]
fn j11_tokens_of_another_kind_refuse() {
    let mut bench = Bench::new(Algorithm::EdDsa);
    let typ = |typ: &str| json!({"alg": "EdDSA", "typ": typ});
    for known in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/JWT"] {
        bench.header(&typ(known), Ok(()));
    }
    for foreign in [
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "oauth-authz-req+jwt",
        "jwk-set+jwt",
        "entity-statement+jwt",
        "vc+sd-jwt",
        "kb+jwt",
        "passport",
        "JOSE",
        "JOSE+JSON",
        "",
        "application/application/jwt",
    ] {
        bench.header(&typ(foreign), Err(Refused::Type));
    }
    bench.header(&json!({"alg": "EdDSA", "typ": 1}), Err(Refused::Header));
    // An ID token that calls itself an access token.
    for mark in ["nonce", "at_hash"] {
        let payload = with(mark, json!("x")).to_string();
        bench.raw(&typ("at+jwt").to_string(), &payload, Err(Refused::Type));
        bench.raw(&typ("JWT").to_string(), &payload, Ok(()));
    }
    bench.rules.typ = Some("at+jwt".into());
    bench.header(&typ("at+jwt"), Ok(()));
    bench.header(&typ("JWT"), Err(Refused::Type));
    bench.header(&json!({"alg": "EdDSA"}), Err(Refused::Type));
}

#[test]
fn j12_a_token_that_is_bound_to_a_key_is_no_bearer_token() {
    let bench = Bench::new(Algorithm::EdDsa);
    for bound in [json!({"jkt": "x"}), json!({"x5t#S256": "x"}), json!(null), json!("")] {
        let mut payload = claims();
        payload["cnf"] = bound;
        bench.claims(&payload, Err(Refused::Bound));
    }
}

#[test]
fn j13_a_signature_has_one_spelling() {
    for algorithm in
        [Algorithm::Es256, Algorithm::Es512, Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Hs256]
    {
        let bench = Bench::new(algorithm);
        let token = bench.token(&claims());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let signed_by = |bytes: &[u8]| format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
        bench.check(&signed_by(&bytes), Ok(()));
        let zeros = vec![0; bytes.len()];
        let longer = [&bytes[..], &[0]].concat();
        let before = [&[0], &bytes[..]].concat();
        let mut flipped = bytes.clone();
        flipped[0] ^= 1;
        let ones = vec![0xff; bytes.len()];
        for forged in [&zeros, &ones, &longer, &before, &flipped, &bytes[..bytes.len() - 1].to_vec()] {
            bench.check(&signed_by(forged), Err(Refused::Signature));
        }
        bench.check(&format!("{signed}."), Err(Refused::Form));
        for tail in ["=", "==", " ", "\n", "\u{0}", "%3D"] {
            bench.check(&format!("{token}{tail}"), Err(Refused::Form));
            bench.check(&format!("{tail}{token}"), Err(Refused::Form));
        }
        bench.check(
            &token.replace(['-', '_'], "+"),
            if token.contains(['-', '_']) { Err(Refused::Form) } else { Ok(()) },
        );
    }
    // Bits to spare: the last character of 64 bytes carries two bits, and four zeros.
    let bench = Bench::new(Algorithm::EdDsa);
    let token = bench.token(&claims());
    let last = token.chars().last().unwrap();
    let next = char::from(last as u8 + 1);
    bench.check(&format!("{}{next}", &token[..token.len() - 1]), Err(Refused::Form));
    // DER, as X.509 has signatures.
    let bench = Bench::new(Algorithm::Es256);
    let token = bench.token(&claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let integer = |number: &[u8]| [&[2, 33, 0], number].concat();
    let sequence = [integer(&bytes[..32]), integer(&bytes[32..])].concat();
    let der = [&[0x30, sequence.len() as u8], &sequence[..]].concat();
    bench.check(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(der)), Err(Refused::Signature));
}

#[test]
fn j14_only_the_compact_form_is_read() {
    let bench = Bench::new(Algorithm::EdDsa);
    let token = bench.token(&claims());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        &format!("{token}."),
        &format!(".{token}"),
        &format!("{header}..{signature}"),
        &format!("{header}.{payload}"),
        &format!("{token}.x"),
        &format!("{token}.{token}"),
    ] {
        bench.check(text, Err(Refused::Form));
    }
    // The JSON forms, and a token that is both (CVE-2022-39227).
    let json = json!({"protected": header, "payload": payload, "signature": signature}).to_string();
    bench.check(&json, Err(Refused::Form));
    let both = format!("{{\"{header}.{payload}.{signature}\":1,\"payload\":\"{payload}\"}}");
    bench.check(&both, Err(Refused::Form));
}

#[test]
fn j15_an_encrypted_token_is_refused_unread() {
    let bench = Bench::new(Algorithm::EdDsa);
    let header = encoded(r#"{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"zip":"DEF"}"#);
    bench.check(&format!("{header}.AAAA.AAAA.AAAA.AAAA"), Err(Refused::Form));
    bench.check(&format!("{header}.AAAA.AAAA"), Err(Refused::Extension));
}

#[test]
fn j16_size_is_judged_before_anything_is_read() {
    let mut bench = Bench::new(Algorithm::EdDsa);
    let token = bench.token(&claims());
    bench.rules.longest = token.len();
    bench.check(&token, Ok(()));
    bench.rules.longest = token.len() - 1;
    bench.check(&token, Err(Refused::TooLong));
    bench.check(&".".repeat(1 << 20), Err(Refused::TooLong));

    bench.rules.longest = 8192;
    for payload in ["", "null", "[]", "\"x\"", "{}{}", "{} x", "\u{feff}{}"] {
        let token = bench.key.sign_bytes(br#"{"alg":"EdDSA"}"#, payload.as_bytes()).unwrap();
        let refused = outcome(token.as_bytes(), &bench.rules, &bench.keys).unwrap_err();
        assert!(matches!(refused, Refused::Payload | Refused::Form), "{payload}: {refused:?}");
    }
    let token = bench.key.sign_bytes(br#"{"alg":"EdDSA"}"#, b"{\"iss\":\"\xff\"}").unwrap();
    bench.check(&token, Err(Refused::Payload));
    let deep = with("x", serde_json::from_str(&format!("{}{}", "[".repeat(32), "]".repeat(32))).unwrap());
    bench.claims(&deep, Err(Refused::Payload));
    let mut wide = claims();
    (0..60).for_each(|number| wide[format!("c{number}")] = json!(number));
    bench.claims(&wide, Err(Refused::Payload));
}

#[test]
fn j17_a_claim_is_no_reason_before_the_signature_is_good() {
    let bench = Bench::new(Algorithm::EdDsa);
    let attacker = Bench::new(Algorithm::EdDsa);
    // Whatever else is wrong, a forged token is only known to be forged.
    for (name, value) in
        [("exp", json!(0)), ("sub", json!(7)), ("aud", json!("x")), ("cnf", json!({})), ("nbf", json!("x"))]
    {
        bench.check(&attacker.token(&with(name, value)), Err(Refused::Signature));
    }
    // And another's, or of a key that nobody has, without any arithmetic.
    let keys = &bench.keys;
    let other = attacker.token(&with("iss", json!("https://other.example")));
    assert_eq!(screen(other.as_bytes(), &bench.rules, keys).unwrap_err(), Refused::Issuer);
    let unknown = SigningKey::generate("k9".into(), Algorithm::EdDsa).unwrap().sign(&claims()).unwrap();
    assert!(!screen(unknown.as_bytes(), &bench.rules, keys).unwrap().key_is_known);
}

#[test]
fn j20_signing_and_verifying_are_tested_for_every_algorithm() {
    assert_eq!(crate::issue::self_test(Algorithm::ALL), Ok(()));
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn a_document_that_is_no_key_set_is_refused() {
    let check = |json: &str, expected| {
        let found = KeySet::parse(json.as_bytes(), &[Algorithm::Es256], 2).map(|set| set.len());
        assert_eq!(found, Err(expected), "{json}");
    };
    check("",                          NoKeySet::Malformed);
    check("<html>",                    NoKeySet::Malformed);
    check("[]",                        NoKeySet::Malformed);
    check("{}",                        NoKeySet::Malformed);
    check(r#"{"keys": {}}"#,           NoKeySet::Malformed);
    check(r#"{"keys": []}"#,           NoKeySet::NothingUsable { found: 0 });
    check(r#"{"keys": [1, "x"]}"#,     NoKeySet::NothingUsable { found: 0 });
    check(r#"{"keys": [1, 2, 3]}"#,    NoKeySet::TooMany { found: 3, most: 2 });
}

#[test]
fn sets_that_verify_the_same_are_the_same() {
    let parse = |keys: Value| {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), &[Algorithm::Es256], 10).unwrap()
    };
    let (one, two) = (jwk(Algorithm::Es256), jwk(Algorithm::Es256));
    let mut named = one.clone();
    named["kid"] = "a".into();
    assert!(parse(json!([one, two])).same_as(&parse(json!([two, one]))));
    assert!(!parse(json!([one])).same_as(&parse(json!([one, two]))));
    assert!(!parse(json!([one])).same_as(&parse(json!([named]))));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_none_are_believed(token in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bench = &*EDDSA;
        prop_assert!(outcome(&token, &bench.rules, &bench.keys).is_err());
    }

    #[test]
    fn parts_that_look_right_are_not_believed_unsigned(
        header in "\\{(\"alg\":\"EdDSA\")?(,\"[a-z]{1,4}\":(1|null|\"x\"|\\[\\]))?\\}",
        payload in "\\{.{0,80}\\}",
        signature in proptest::collection::vec(any::<u8>(), 64),
    ) {
        let bench = &*EDDSA;
        let signature = URL_SAFE_NO_PAD.encode(signature);
        let token = format!("{}.{}.{signature}", encoded(&header), encoded(&payload));
        prop_assert!(outcome(token.as_bytes(), &bench.rules, &bench.keys).is_err());
    }

    /// One changed byte anywhere ends a token.
    #[test]
    fn a_token_has_no_second_spelling(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let bench = &*EDDSA;
        let mut token = bench.token(&claims()).into_bytes();
        let at = at.index(token.len());
        prop_assume!(token[at] != byte);
        token[at] = byte;
        prop_assert!(outcome(&token, &bench.rules, &bench.keys).is_err());
    }
}

static EDDSA: std::sync::LazyLock<Bench> = std::sync::LazyLock::new(|| Bench::new(Algorithm::EdDsa));
