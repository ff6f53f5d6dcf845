//! What our own JWTs are signed with, as it is stored.

use prost::Message;
use uuid::Uuid;

use super::Field;
use crate::domain::time::Timestamp;
use crate::store::seal::Sealed;
use crate::store::{StoreError, Table, proto};

/// The name of the one record there is.
pub const SIGNING_KEYS: Uuid = Uuid::from_u128(0x7369_676e_696e_672d_6b65_7973_0000_0001);

/// All signing keys. One record, so that they change as one, and are made once whoever makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeysRecord {
    /// Published, so that others know it by the time it signs.
    pub staged: SigningKeyRecord,
    pub primary: SigningKeyRecord,
    /// The newest first.
    pub secondary: Vec<SigningKeyRecord>,
}

/// One ES256 key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeyRecord {
    /// The `kid` of its tokens.
    pub id: String,
    /// A point of P-256 in SEC1's uncompressed form.
    pub public_key: Vec<u8>,
    /// PKCS#8. `None` where it signs nothing any more.
    pub private_key: Option<Sealed>,
    /// When it came to where it stands.
    pub since: Timestamp,
}

impl SigningKeysRecord {
    /// Every key, in the order of their lives.
    pub fn all(&self) -> impl Iterator<Item = &SigningKeyRecord> {
        [&self.staged, &self.primary].into_iter().chain(&self.secondary)
    }

    /// What `self` is to be where it is what a store made of its keys after it had lost changes, the last of which left
    /// `last`: no key that was ended by one of them is in it. One that came to where it stands after `last` may be
    /// new, but for a secondary one: that has signed before, and verifies what somebody may have signed with it.
    pub fn without_what_ended_before(&self, last: &Self) -> Self {
        let known = |key: &SigningKeyRecord| last.all().any(|it| it.id == key.id);
        let newest = last.all().map(|key| key.since).max();
        let stays = |key: &SigningKeyRecord| known(key) || newest.is_none_or(|newest| key.since > newest);
        let primary = if stays(&self.primary) { &self.primary } else { &last.primary };
        let staged = stays(&self.staged).then_some(&self.staged);
        let others = staged.into_iter().chain([&last.staged, &last.primary]);
        let staged = others.into_iter().find(|key| key.id != primary.id).unwrap_or(&last.staged);
        let is_secondary =
            |key: &&SigningKeyRecord| known(key) && key.id != primary.id && key.id != staged.id;
        Self {
            secondary: self.secondary.iter().filter(is_secondary).cloned().collect(),
            staged: staged.clone(),
            primary: primary.clone(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        proto::SigningKeys {
            staged: Some(self.staged.message()),
            primary: Some(self.primary.message()),
            secondary: self.secondary.iter().map(SigningKeyRecord::message).collect(),
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not whole.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::SigningKeys };
        let message = proto::SigningKeys::decode(bytes).map_err(|error| field.damaged(error))?;
        let there = |name: &str, key: Option<proto::SigningKey>| {
            let key = key.ok_or_else(|| field.missing(name))?;
            SigningKeyRecord::read(field, key)
        };
        Ok(Self {
            staged: there("staged", message.staged)?,
            primary: there("primary", message.primary)?,
            secondary: message
                .secondary
                .into_iter()
                .map(|key| SigningKeyRecord::read(field, key))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl SigningKeyRecord {
    /// What the seal of its private half is about.
    pub fn about(id: &str) -> Vec<u8> {
        format!("signing key {id}").into_bytes()
    }

    fn message(&self) -> proto::SigningKey {
        proto::SigningKey {
            id: self.id.clone(),
            public_key: self.public_key.clone(),
            private_key: self.private_key.as_ref().map(|sealed| proto::Secret {
                ring_key: sealed.ring_key,
                nonce: sealed.nonce.to_vec(),
                sealed: sealed.bytes.clone(),
            }),
            since: self.since.unix(),
        }
    }

    fn read(field: Field, key: proto::SigningKey) -> Result<Self, StoreError> {
        let sealed = |secret: proto::Secret| {
            let nonce = field.exactly("private_key.nonce", &secret.nonce)?;
            Ok::<_, StoreError>(Sealed { ring_key: secret.ring_key, nonce, bytes: secret.sealed })
        };
        Ok(Self {
            id: key.id,
            public_key: field.exactly::<65>("public_key", &key.public_key)?.to_vec(),
            private_key: key.private_key.map(sealed).transpose()?,
            since: Timestamp::from_unix(key.since),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn key(id: &str, signs: bool) -> SigningKeyRecord {
        let sealed = Sealed { ring_key: 3, nonce: [1; 12], bytes: vec![2; 20] };
        SigningKeyRecord {
            id: id.into(),
            public_key: vec![4; 65],
            private_key: signs.then_some(sealed),
            since: Timestamp::from_unix(7),
        }
    }

    #[test]
    fn signing_keys_come_back_as_they_were() {
        let (staged, primary) = (key("c", true), key("b", true));
        let record = SigningKeysRecord { staged, primary, secondary: vec![key("a", false)] };
        assert_eq!(SigningKeysRecord::decode(&record.encode()).unwrap(), record);
        assert_eq!(record.all().map(|key| &*key.id).collect::<Vec<_>>(), ["c", "b", "a"]);
    }

    #[test]
    fn what_is_not_whole_is_damage() {
        #[track_caller]
        fn check(message: proto::SigningKeys, field: &str) {
            let error = SigningKeysRecord::decode(&message.encode_to_vec()).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
        let good = || Some(key("a", true).message());
        let but = |change: fn(&mut proto::SigningKey)| {
            let mut key = key("a", true).message();
            change(&mut key);
            Some(key)
        };
        check(proto::SigningKeys { staged: None, primary: good(), secondary: vec![] }, "`staged`");
        check(proto::SigningKeys { staged: good(), primary: None, secondary: vec![] }, "`primary`");
        let short = but(|key| key.public_key.truncate(64));
        check(proto::SigningKeys { staged: short, primary: good(), secondary: vec![] }, "`public_key`");
        let nonce = but(|key| key.private_key.as_mut().unwrap().nonce.clear());
        check(proto::SigningKeys { staged: good(), primary: nonce, secondary: vec![] }, "nonce");
    }
}
