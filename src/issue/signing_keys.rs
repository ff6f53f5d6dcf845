//! What our own JWTs are signed with: made once, staged before they sign, retired when they have.
//!
//! A key is staged for a whole period before it signs, and verifies for as long as tokens of it live
//! after it signed. So whoever fetches our key set now and then never meets a token of a key that it
//! does not have.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::jws::SigningKey;
use super::{By, Done, Refusal, Registrar};
use crate::domain::time::Timestamp;
use crate::store::record::{SIGNING_KEYS, SigningKeyRecord, SigningKeysRecord};
use crate::store::ring::Ring;
use crate::store::seal::Sealed;
use crate::store::{Effect, Expect, Name, Record, Step, StoreError, Table};

/// How long keys are put to what.
#[derive(Clone, Copy, Debug)]
pub struct KeyLives {
    /// For so long a key signs, after it was staged for as long.
    pub signs: Duration,
    /// For so long tokens of it may live.
    pub tokens: Duration,
}

impl Default for KeyLives {
    /// As in the configuration.
    fn default() -> Self {
        Self { signs: Duration::from_secs(30 * 86_400), tokens: Duration::from_secs(3_600) }
    }
}

/// Clocks of instances and of those who verify may differ.
const MARGIN: i64 = 300;

/// Seconds in which whoever verifies our tokens has fetched the key set anew, as good as surely.
const PUBLISHED: i64 = 600;

impl Registrar {
    /// Brings the signing keys to where they should stand by now: makes the first ones, has the
    /// staged one sign when its time has come, drops those whose tokens are all over. Where several
    /// instances try at once, one does it.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn tend_signing_keys(&self) -> Result<(), Refusal> {
        let stored = self.stored_signing_keys().await?;
        // A clock that is ahead would take away keys whose tokens others still believe.
        if stored.is_some() && !self.clock_agrees() {
            return Ok(());
        }
        let (now, lives) = (self.clock.now(), self.key_lives);
        let tended = match &stored {
            None => Some(self.first_signing_keys(now)?),
            Some((_, keys)) if age(&keys.primary, now) >= seconds(lives.signs) => {
                Some(self.rotated(keys, now)?)
            }
            Some((_, keys)) => without_retired(keys, lives, now),
        };
        let Some(tended) = tended else { return Ok(()) };
        let (by, before) = (By::doorward(), stored.map(|(record, _)| record));
        match self.put_signing_keys(&by, ROTATE, before, tended).await {
            // Somebody else did it at the same moment.
            Ok(_) | Err(Refusal::Raced) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Has the staged key sign from now on, and stages a new one. Every token stays good. Not before
    /// others can know the staged key, unless `now`.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`] where there are none yet; [`Refusal::Invalid`] where it is too early;
    /// [`Refusal::Raced`]; the store's.
    pub async fn rotate_signing_keys(&self, by: &By, now: bool) -> Result<Done<SigningKeysRecord>, Refusal> {
        let (record, keys) = self.stored_signing_keys().await?.ok_or_else(absent)?;
        let published = age(&keys.staged, self.clock.now());
        if published < PUBLISHED && !now {
            let why = format!(
                "the staged key was published {published} s ago, so whoever fetched the key set before would refuse \
                 its tokens; wait until it is {PUBLISHED} s, or have it sign at once: `now: true`, or `--now` of the command"
            );
            return Err(Refusal::Invalid { field: "now", why });
        }
        let rotated = self.rotated(&keys, self.clock.now())?;
        self.put_signing_keys(by, ROTATE, Some(record), rotated).await
    }

    /// Takes a key away for good, because somebody else has it: every token of it ends.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`]; [`Refusal::Raced`]; the store's.
    pub async fn revoke_signing_key(&self, by: &By, id: &str) -> Result<Done<SigningKeysRecord>, Refusal> {
        let none = || Refusal::NotFound { what: WHAT, name: id.to_owned() };
        let (record, keys) = self.stored_signing_keys().await?.ok_or_else(none)?;
        let left = if keys.primary.id == id {
            let mut rotated = self.rotated(&keys, self.clock.now())?;
            rotated.secondary.retain(|key| key.id != id);
            rotated
        } else if keys.staged.id == id {
            SigningKeysRecord { staged: self.new_signing_key(self.clock.now())?, ..keys }
        } else if keys.secondary.iter().any(|key| key.id == id) {
            let secondary = keys.secondary.into_iter().filter(|key| key.id != id).collect();
            SigningKeysRecord { secondary, ..keys }
        } else {
            return Err(none());
        };
        self.put_signing_keys(by, "signing_keys.revoke", Some(record), left).await
    }

    /// All there are; `None` where none were made yet.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn signing_key_records(&self) -> Result<Option<SigningKeysRecord>, Refusal> {
        Ok(self.stored_signing_keys().await?.map(|(_, keys)| keys))
    }

    pub(super) async fn stored_signing_keys(&self) -> Result<Option<(Record, SigningKeysRecord)>, Refusal> {
        let Some(record) = self.store.read(Table::SigningKeys, &Name::of(&SIGNING_KEYS)).await? else {
            return Ok(None);
        };
        let keys = SigningKeysRecord::decode(&record.payload)?;
        Ok(Some((record, keys)))
    }

    async fn put_signing_keys(
        &self,
        by: &By,
        verb: &'static str,
        before: Option<Record>,
        keys: SigningKeysRecord,
    ) -> Result<Done<SigningKeysRecord>, Refusal> {
        let step = Step {
            table: Table::SigningKeys,
            name: Name::of(&SIGNING_KEYS),
            expect: before.map_or(Expect::Absent, |record| Expect::Revision(record.revision)),
            effect: Effect::Put(keys.encode()),
        };
        self.write(by.does(verb, SIGNING_KEYS), vec![step], keys).await.map_err(|refusal| match refusal {
            Refusal::Store(StoreError::Conflict { .. }) => Refusal::Raced,
            other => other,
        })
    }

    fn first_signing_keys(&self, now: Timestamp) -> Result<SigningKeysRecord, Refusal> {
        let (staged, primary) = (self.new_signing_key(now)?, self.new_signing_key(now)?);
        Ok(SigningKeysRecord { staged, primary, secondary: Vec::new() })
    }

    fn rotated(&self, keys: &SigningKeysRecord, now: Timestamp) -> Result<SigningKeysRecord, Refusal> {
        let lives = self.key_lives;
        let retired = SigningKeyRecord { private_key: None, since: now, ..keys.primary.clone() };
        let kept = keys.secondary.iter().filter(|key| !is_over(key, lives, now)).cloned();
        Ok(SigningKeysRecord {
            staged: self.new_signing_key(now)?,
            primary: SigningKeyRecord { since: now, ..keys.staged.clone() },
            secondary: std::iter::once(retired).chain(kept).collect(),
        })
    }

    fn new_signing_key(&self, now: Timestamp) -> Result<SigningKeyRecord, Refusal> {
        let unavailable = |why: &str| Refusal::Store(StoreError::Unavailable(why.to_owned()));
        let (key, pkcs8) = SigningKey::generate_es256(String::new()).map_err(|_| {
            unavailable("the system gives no random bytes; no signing key is made without them")
        })?;
        let public_key = key.public().bytes.to_vec();
        let id = thumbprint(&public_key);
        let private_key = Sealed::new(&self.ring, &SigningKeyRecord::about(&id), &pkcs8)
            .map_err(|error| Refusal::Store(StoreError::Unavailable(error.to_string())))?;
        Ok(SigningKeyRecord { id, public_key, private_key: Some(private_key), since: now })
    }
}

/// Opens a key that signs.
pub(super) fn open(ring: &Ring, key: &SigningKeyRecord) -> Result<SigningKey, StoreError> {
    let damaged = |why: String| StoreError::Damaged { table: Table::SigningKeys, why };
    let sealed = key.private_key.as_ref().ok_or_else(|| damaged("the key has no private half".into()))?;
    let about = SigningKeyRecord::about(&key.id);
    let pkcs8: Zeroizing<Vec<u8>> = sealed.open(ring, &about).map_err(|error| damaged(error.to_string()))?;
    SigningKey::read_es256(key.id.clone(), &pkcs8).map_err(|error| damaged(error.to_string()))
}

/// The JWK Set (RFC 7517) that others verify our tokens with.
pub(super) fn jwks(keys: &SigningKeysRecord) -> Value {
    let jwk = |key: &SigningKeyRecord| {
        let (x, y) = coordinates(&key.public_key);
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": key.id, "alg": "ES256", "use": "sig" })
    };
    json!({ "keys": keys.all().map(jwk).collect::<Vec<_>>() })
}

/// The thumbprint of RFC 7638, so that an id says which key it is of.
fn thumbprint(public_key: &[u8]) -> String {
    let (x, y) = coordinates(public_key);
    // The members that RFC 7638 section 3.2 asks for, in its order.
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
}

/// Of an uncompressed point: a 4 and two numbers of one length.
fn coordinates(public_key: &[u8]) -> (String, String) {
    let point = public_key.get(1..).unwrap_or_default();
    let (x, y) = point.split_at(point.len() / 2);
    (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
}

fn age(key: &SigningKeyRecord, now: Timestamp) -> i64 {
    now.unix().saturating_sub(key.since.unix())
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

/// Whether every token that this key signed has ended.
fn is_over(key: &SigningKeyRecord, lives: KeyLives, now: Timestamp) -> bool {
    age(key, now) > seconds(lives.tokens).saturating_add(MARGIN)
}

fn without_retired(keys: &SigningKeysRecord, lives: KeyLives, now: Timestamp) -> Option<SigningKeysRecord> {
    let mut kept = keys.clone();
    kept.secondary.retain(|key| !is_over(key, lives, now));
    (kept != *keys).then_some(kept)
}

const WHAT: &str = "signing key";
const ROTATE: &str = "signing_keys.rotate";

pub(super) fn absent() -> Refusal {
    Refusal::NotFound { what: WHAT, name: "primary".into() }
}

/// A token's id.
pub(super) fn token_id() -> String {
    Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;
    use std::sync::Arc;

    use arc_swap::ArcSwap;

    use super::*;
    use crate::clock::{Clock, Hand};
    use crate::domain::catalog::{Catalog, Parts};
    use crate::domain::jwt::{ADMIN_AUDIENCE, KeySet, Refused};
    use crate::issue::{Minted, NotProven};
    use crate::store::memory::Memory;

    const DAY: Duration = Duration::from_secs(86_400);
    const LIVES: KeyLives = KeyLives { signs: DAY, tokens: Duration::from_secs(3600) };

    fn ring() -> Arc<Ring> {
        Arc::new(Ring::parse(Path::new("ring"), format!("1 {}", "1f2e".repeat(16)).as_bytes()).unwrap())
    }

    fn registrar(store: Arc<Memory>) -> (Registrar, Hand) {
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_800_000_000));
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        let registrar = Registrar::new(store, ring(), clock, catalog);
        (registrar.with_public_url(Some("https://auth.example.com".into())).with_key_lives(LIVES), hand)
    }

    async fn keys(registrar: &Registrar) -> SigningKeysRecord {
        registrar.stored_signing_keys().await.unwrap().unwrap().1
    }

    async fn mint(registrar: &Registrar, audience: &str) -> Minted {
        registrar.mint(Uuid::from_u128(7), &[audience.to_owned()], Duration::from_secs(3600)).await.unwrap()
    }

    #[tokio::test]
    async fn two_instances_that_start_at_once_make_the_keys_once() {
        let store = Arc::new(Memory::new());
        let (one, two) = (registrar(Arc::clone(&store)).0, registrar(Arc::clone(&store)).0);
        // Both have seen that there are none.
        let (first, second) = tokio::join!(one.tend_signing_keys(), two.tend_signing_keys());
        first.unwrap();
        second.unwrap();
        let made = keys(&one).await;
        let absent = one
            .put_signing_keys(&By::doorward(), ROTATE, None, two.first_signing_keys(one.clock.now()).unwrap())
            .await;
        assert!(matches!(absent, Err(Refusal::Raced)));
        assert_eq!(keys(&two).await, made);
        assert!(made.staged.id != made.primary.id && made.secondary.is_empty());
        // A token of the one is taken by the other.
        let token = mint(&one, ADMIN_AUDIENCE).await.token;
        assert_eq!(two.whose(token.as_bytes(), ADMIN_AUDIENCE).await.unwrap(), Uuid::from_u128(7));
    }

    #[tokio::test]
    async fn a_rotation_breaks_no_token() {
        let (registrar, hand) = registrar(Arc::new(Memory::new()));
        registrar.tend_signing_keys().await.unwrap();
        let before = keys(&registrar).await;
        let old = mint(&registrar, "all").await.token;
        hand.advance(DAY - Duration::from_secs(1));
        registrar.tend_signing_keys().await.unwrap();
        assert_eq!(keys(&registrar).await, before, "not before its time");

        hand.advance(Duration::from_secs(1));
        let token = mint(&registrar, "all").await.token;
        registrar.tend_signing_keys().await.unwrap();
        let after = keys(&registrar).await;
        assert_eq!(after.primary.id, before.staged.id);
        assert_eq!(after.secondary.iter().map(|key| &*key.id).collect::<Vec<_>>(), [&*before.primary.id]);
        assert!(after.secondary[0].private_key.is_none(), "nobody can sign with it any more");
        // Signed by the key before, and by the one that is staged in the key set of somebody who
        // last looked before the rotation.
        registrar.whose(token.as_bytes(), "all").await.unwrap();
        let new = mint(&registrar, "all").await.token;
        let seen_before = crate::replica::SigningKeys::from(before);
        let rules = crate::domain::jwt::Rules::ours("https://auth.example.com");
        crate::domain::jwt::verify(new.as_bytes(), &rules, &seen_before.set).unwrap();
        let expired = registrar.whose(old.as_bytes(), "all").await.unwrap_err();
        assert!(matches!(expired, NotProven::Refused(Refused::Expired)));

        // Until its last token has ended, and then it is gone.
        hand.advance(Duration::from_secs(3600 + 300));
        registrar.tend_signing_keys().await.unwrap();
        assert_eq!(keys(&registrar).await.secondary.len(), 1);
        hand.advance(Duration::from_secs(1));
        registrar.tend_signing_keys().await.unwrap();
        assert!(keys(&registrar).await.secondary.is_empty());
    }

    #[tokio::test]
    async fn a_token_of_ours_opens_what_it_is_for_and_nothing_else() {
        let store = Arc::new(Memory::new());
        let (registrar, hand) = registrar(Arc::clone(&store));
        let without = registrar.mint(Uuid::from_u128(7), &["all".into()], Duration::from_secs(60)).await;
        assert!(matches!(without, Err(Refusal::NotFound { .. })), "there are no keys yet");
        registrar.tend_signing_keys().await.unwrap();
        let Minted { token, expires_at, .. } = mint(&registrar, "all").await;
        assert_eq!(expires_at, Timestamp::from_unix(1_800_003_600));
        let refused = |expected: Refused, outcome: Result<Uuid, NotProven>| {
            assert!(matches!(outcome, Err(NotProven::Refused(found)) if found == expected), "{outcome:?}");
        };
        refused(Refused::Audience, registrar.whose(token.as_bytes(), ADMIN_AUDIENCE).await);
        refused(Refused::Form, registrar.whose(b"dw_admin_x", ADMIN_AUDIENCE).await);
        let mut forged = token.clone().into_bytes();
        let last = forged.len() - 40;
        forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
        refused(Refused::Signature, registrar.whose(&forged, "all").await);
        // Of another Doorward, which calls itself the same.
        let (other, _) = super::tests::registrar(Arc::new(Memory::new()));
        other.tend_signing_keys().await.unwrap();
        let foreign = mint(&other, "all").await.token;
        refused(Refused::UnknownKey, registrar.whose(foreign.as_bytes(), "all").await);
        hand.advance(Duration::from_secs(3600 + 30));
        refused(Refused::Expired, registrar.whose(token.as_bytes(), "all").await);
        // With another ring nothing can be signed.
        let (clock, _) = Clock::stopped(Timestamp::from_unix(1_800_000_000));
        let ring = Ring::parse(Path::new("ring"), format!("2 {}", "3d4c".repeat(16)).as_bytes()).unwrap();
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        let stranger = Registrar::new(store, Arc::new(ring), clock, catalog)
            .with_public_url(Some("https://auth.example.com".into()));
        let minted = stranger.mint(Uuid::from_u128(7), &["all".into()], DAY).await;
        assert!(matches!(minted, Err(Refusal::Store(StoreError::Damaged { .. }))));
    }

    #[tokio::test]
    async fn anyone_can_verify_with_the_key_set_that_is_published() {
        let (registrar, _) = registrar(Arc::new(Memory::new()));
        registrar.tend_signing_keys().await.unwrap();
        registrar.rotate_signing_keys(&By::doorward(), true).await.unwrap();
        let published = jwks(&keys(&registrar).await);
        assert_eq!(published["keys"].as_array().unwrap().len(), 3);
        assert!(!published.to_string().contains("\"d\""), "{published}");
        let token = mint(&registrar, "all").await.token;
        let algorithms = [crate::domain::jwt::Algorithm::Es256];
        let set = KeySet::parse(published.to_string().as_bytes(), &algorithms, 10).unwrap();
        let rules = crate::domain::jwt::Rules::ours("https://auth.example.com");
        let claims = crate::domain::jwt::verify(token.as_bytes(), &rules, &set).unwrap();
        let names: Vec<_> = claims.members.keys().map(String::as_str).collect();
        assert_eq!(names, ["aud", "exp", "iat", "iss", "jti", "sub"]);
    }

    #[tokio::test]
    async fn a_rotation_by_hand_waits_until_others_know_the_key_and_a_revocation_does_not() {
        let by = By::doorward();
        let (registrar, hand) = registrar(Arc::new(Memory::new()));
        assert!(matches!(registrar.rotate_signing_keys(&by, true).await, Err(Refusal::NotFound { .. })));
        registrar.tend_signing_keys().await.unwrap();
        let first = keys(&registrar).await;
        let of_first = mint(&registrar, "all").await.token;
        hand.advance(Duration::from_secs(599));
        let early = registrar.rotate_signing_keys(&by, false).await;
        assert!(matches!(early, Err(Refusal::Invalid { field: "now", .. })));
        hand.advance(Duration::from_secs(1));
        let second = registrar.rotate_signing_keys(&by, false).await.unwrap().value;
        assert_eq!((&second.primary.id, &second.secondary[0].id), (&first.staged.id, &first.primary.id));
        registrar.whose(of_first.as_bytes(), "all").await.unwrap();

        // Each where it stands, and its tokens with it.
        let refused = |outcome: Result<Uuid, NotProven>| {
            assert!(matches!(outcome, Err(NotProven::Refused(Refused::UnknownKey))), "{outcome:?}");
        };
        let of_second = mint(&registrar, "all").await.token;
        registrar.revoke_signing_key(&by, &first.primary.id).await.unwrap();
        refused(registrar.whose(of_first.as_bytes(), "all").await);
        registrar.whose(of_second.as_bytes(), "all").await.unwrap();
        let third = registrar.revoke_signing_key(&by, &second.primary.id).await.unwrap().value;
        assert_eq!((&third.primary.id, third.secondary.len()), (&second.staged.id, 0));
        refused(registrar.whose(of_second.as_bytes(), "all").await);
        let of_third = mint(&registrar, "all").await.token;
        let fourth = registrar.revoke_signing_key(&by, &third.staged.id).await.unwrap().value;
        assert_eq!((fourth.primary == third.primary, fourth.staged == third.staged), (true, false));
        registrar.whose(of_third.as_bytes(), "all").await.unwrap();
        let gone = registrar.revoke_signing_key(&by, &third.staged.id).await;
        assert!(matches!(gone, Err(Refusal::NotFound { .. })));
    }

    #[test]
    fn an_id_is_the_thumbprint_of_its_key() {
        // Computed with another program from RFC 7515 A.3's key.
        let part = |text| URL_SAFE_NO_PAD.decode(text).unwrap();
        let (x, y) = (
            part("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
            part("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        );
        let point = [&[4], &x[..], &y[..]].concat();
        assert_eq!(thumbprint(&point), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    }
}
