//! Records as Rust has them, and their bytes.

mod admin_key;
mod audit;
mod object;
mod signing_keys;
mod token;

use std::fmt;
use std::sync::Arc;

use prost::Message;
use uuid::Uuid;

pub use self::admin_key::AdminKeyRecord;
pub use self::audit::{AuditEntry, AuditHead, Hash};
pub use self::object::{GuardRecord, ObjectRecord};
pub use self::signing_keys::{SIGNING_KEYS, SigningKeyRecord, SigningKeysRecord};
pub use self::token::GrantRecord;
use super::proto;
use super::seal::Sealed;
use super::{StoreError, Table};
use crate::domain::consumer::{Consumer, ConsumerId, Given};
use crate::domain::deployment::Opens;
use crate::domain::key::{KeyFacts, KeyId};
use crate::domain::network::{NetworkSet, Networks};
use crate::domain::password::{self, Account};
use crate::domain::permission::PermissionId;
use crate::domain::role::RoleGrant;
use crate::domain::time::Timestamp;
use crate::domain::verifier::Verifier;

/// A consumer as it is stored, in [`Table::Consumer`] under its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    pub id: ConsumerId,
    pub username: Option<String>,
    pub custom_id: Option<String>,
    /// A login may name it instead of the username.
    pub email: Option<String>,
    pub tags: Vec<String>,
    pub groups: Vec<Membership>,
    pub permissions: Vec<PermissionId>,
    pub enabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub roles: Vec<RoleGrant>,
    /// From where its credentials may be used.
    pub networks: Networks,
}

/// A consumer's being in a group. Kong knows it by an id of its own, as an ACL credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub id: Uuid,
    pub group: String,
    pub tags: Vec<String>,
    pub created_at: Timestamp,
}

/// A key as it is stored, in [`Table::Key`] under its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    pub id: KeyId,
    pub consumer: ConsumerId,
    pub verifier: Verifier,
    /// The id of the key of the ring that made the verifier.
    pub ring_key: u32,
    /// The public name of a key of ours; `None` for a foreign one.
    pub handle: Option<String>,
    pub tags: Vec<String>,
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub enabled: bool,
    /// What it opens; `None`: every service.
    pub opens: Option<Vec<Opens>>,
    /// What it may do at most; `None`: all that its consumer may.
    pub permissions: Option<Vec<PermissionId>>,
    pub created_at: Timestamp,
    /// Whether it was accepted although it has fewer than 16 bytes.
    pub weak: bool,
    /// From where it may be used.
    pub networks: Networks,
}

/// A name and a password as they are stored, in [`Table::Basic`] under their id.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicRecord {
    pub id: Uuid,
    pub consumer: ConsumerId,
    pub username: String,
    /// The hash of the password: argon2id, as a PHC string.
    pub password: String,
    pub tags: Vec<String>,
    pub enabled: bool,
    pub created_at: Timestamp,
}

/// Without the hash: passwords can be guessed by it.
impl fmt::Debug for BasicRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicRecord")
            .field("id", &self.id)
            .field("consumer", &self.consumer)
            .finish_non_exhaustive()
    }
}

/// What a consumer's own JWTs are verified with, in [`Table::Jwt`] under its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtRecord {
    pub id: Uuid,
    pub consumer: ConsumerId,
    /// What a token names it by (its `iss`).
    pub key: String,
    /// RFC 7518: `HS256`, `RS256` and so on.
    pub algorithm: String,
    pub secret: JwtSecret,
    pub tags: Vec<String>,
    pub enabled: bool,
    pub created_at: Timestamp,
}

/// What verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtSecret {
    /// Of HS algorithms; sealed about the record's id.
    Shared(Sealed),
    /// Of all others: SubjectPublicKeyInfo as PEM.
    Public(String),
}

/// Whose a name is: the value of a record in [`Table::Unique`] and [`Table::Owned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerRecord {
    pub id: Uuid,
}

impl ConsumerRecord {
    pub fn encode(&self) -> Vec<u8> {
        proto::Consumer {
            id: bytes_of(&self.id),
            username: self.username.clone(),
            custom_id: self.custom_id.clone(),
            tags: self.tags.clone(),
            groups: self.groups.iter().map(|membership| membership.group.clone()).collect(),
            permissions: self.permissions.iter().map(bytes_of).collect(),
            disabled: !self.enabled,
            created_at: self.created_at.unix(),
            updated_at: self.updated_at.unix(),
            roles: self
                .roles
                .iter()
                .map(|grant| proto::RoleGrant { project: bytes_of(&grant.project), role: grant.role.clone() })
                .collect(),
            networks: networks_of(&self.networks),
            email: self.email.clone(),
            memberships: self.memberships(),
        }
        .encode_to_vec()
    }

    /// None where there is nothing to be said of any.
    fn memberships(&self) -> Vec<proto::Membership> {
        let plain = |membership: &Membership| {
            *membership == Membership::plain(&self.id, membership.group.clone(), membership.created_at)
                && membership.created_at == self.created_at
        };
        if self.groups.iter().all(plain) {
            return Vec::new();
        }
        let membership = |membership: &Membership| proto::Membership {
            id: bytes_of(&membership.id),
            tags: membership.tags.clone(),
            created_at: membership.created_at.unix(),
        };
        self.groups.iter().map(membership).collect()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a whole consumer.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::Consumer };
        let message = proto::Consumer::decode(bytes).map_err(|error| field.damaged(error))?;
        let id = field.id("id", &message.id)?;
        let created_at = Timestamp::from_unix(message.created_at);
        let memberships = message.memberships.into_iter().map(Some).chain(std::iter::repeat(None));
        let groups = message.groups.into_iter().zip(memberships);
        Ok(Self {
            id,
            email: message.email,
            username: message.username,
            custom_id: message.custom_id,
            tags: message.tags,
            groups: groups
                .map(|(group, membership)| match membership {
                    None => Ok(Membership::plain(&id, group, created_at)),
                    Some(membership) => Ok(Membership {
                        id: field.id("memberships.id", &membership.id)?,
                        group,
                        tags: membership.tags,
                        created_at: Timestamp::from_unix(membership.created_at),
                    }),
                })
                .collect::<Result<_, StoreError>>()?,
            permissions: field.ids("permissions", &message.permissions)?,
            enabled: !message.disabled,
            created_at,
            updated_at: Timestamp::from_unix(message.updated_at),
            roles: message
                .roles
                .into_iter()
                .map(|grant| {
                    let project = field.id("roles.project", &grant.project)?;
                    Ok(RoleGrant { project, role: grant.role })
                })
                .collect::<Result<_, StoreError>>()?,
            networks: field.networks(message.networks)?,
        })
    }
}

impl From<ConsumerRecord> for Consumer {
    fn from(record: ConsumerRecord) -> Self {
        Self {
            id: record.id,
            username: record.username.map(String::into_boxed_str),
            custom_id: record.custom_id.map(String::into_boxed_str),
            given: Arc::new(Given {
                groups: record.groups.into_iter().map(|membership| membership.group).collect(),
                permissions: record.permissions,
                roles: record.roles,
                networks: record.networks,
            }),
            enabled: record.enabled,
        }
    }
}

impl Membership {
    /// One that nobody gave an id or tags: its id is that of the consumer and the group.
    pub fn plain(consumer: &ConsumerId, group: String, created_at: Timestamp) -> Self {
        Self { id: Uuid::new_v5(consumer, group.as_bytes()), group, tags: Vec::new(), created_at }
    }
}

impl KeyRecord {
    pub fn encode(&self) -> Vec<u8> {
        let opening = |opens: &Opens| proto::Opening {
            service: bytes_of(&opens.service),
            infrastructure: opens.infrastructure.as_ref().map(bytes_of),
        };
        proto::Key {
            id: bytes_of(&self.id),
            consumer: bytes_of(&self.consumer),
            verifier: self.verifier.as_bytes().to_vec(),
            ring_key: self.ring_key,
            handle: self.handle.clone().unwrap_or_default(),
            tags: self.tags.clone(),
            not_before: self.not_before.map(Timestamp::unix),
            expires_at: self.expires_at.map(Timestamp::unix),
            disabled: !self.enabled,
            opens: self
                .opens
                .as_ref()
                .map(|opens| proto::Opens { openings: opens.iter().map(opening).collect() }),
            permissions: self
                .permissions
                .as_ref()
                .map(|ids| proto::Permissions { ids: ids.iter().map(bytes_of).collect() }),
            created_at: self.created_at.unix(),
            weak: self.weak,
            networks: networks_of(&self.networks),
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a whole key.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::Key };
        let message = proto::Key::decode(bytes).map_err(|error| field.damaged(error))?;
        let opens = |opens: proto::Opens| opens.openings.iter().map(|one| field.opens(one)).collect();
        Ok(Self {
            id: field.id("id", &message.id)?,
            consumer: field.id("consumer", &message.consumer)?,
            verifier: Verifier::from_bytes(field.exactly("verifier", &message.verifier)?),
            ring_key: message.ring_key,
            handle: Some(message.handle).filter(|handle| !handle.is_empty()),
            tags: message.tags,
            not_before: message.not_before.map(Timestamp::from_unix),
            expires_at: message.expires_at.map(Timestamp::from_unix),
            enabled: !message.disabled,
            opens: message.opens.map(opens).transpose()?,
            permissions: message
                .permissions
                .map(|permissions| field.ids("permissions", &permissions.ids))
                .transpose()?,
            created_at: Timestamp::from_unix(message.created_at),
            weak: message.weak,
            networks: field.networks(message.networks)?,
        })
    }
}

impl From<KeyRecord> for KeyFacts {
    fn from(record: KeyRecord) -> Self {
        Self {
            id: record.id,
            consumer: record.consumer,
            not_before: record.not_before,
            expires_at: record.expires_at,
            enabled: record.enabled,
            opens: record.opens.map(Arc::from),
            permissions: record.permissions.map(Arc::from),
            networks: record.networks.in_force().then(|| Arc::new(record.networks)),
        }
    }
}

impl From<BasicRecord> for Account {
    fn from(record: BasicRecord) -> Self {
        let hash = password::Hash::new(&record.password);
        let BasicRecord { id, consumer, username, enabled, .. } = record;
        Self { id, consumer, username: username.into(), hash, enabled }
    }
}

/// Without what checks do not need.
impl From<&Account> for BasicRecord {
    fn from(account: &Account) -> Self {
        Self {
            id: account.id,
            consumer: account.consumer,
            username: account.username.to_string(),
            password: account.hash.phc().to_owned(),
            tags: Vec::new(),
            enabled: account.enabled,
            created_at: Timestamp::from_unix(0),
        }
    }
}

impl BasicRecord {
    /// A new one.
    pub fn new(consumer: ConsumerId, username: String, password: String, created_at: Timestamp) -> Self {
        let (id, tags) = (Uuid::new_v4(), Vec::new());
        Self { id, consumer, username, password, tags, enabled: true, created_at }
    }

    pub fn encode(&self) -> Vec<u8> {
        proto::Basic {
            id: bytes_of(&self.id),
            consumer: bytes_of(&self.consumer),
            username: self.username.clone(),
            password: self.password.clone(),
            tags: self.tags.clone(),
            disabled: !self.enabled,
            created_at: self.created_at.unix(),
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a name and a password.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::Basic };
        let message = proto::Basic::decode(bytes).map_err(|error| field.damaged(error))?;
        Ok(Self {
            id: field.id("id", &message.id)?,
            consumer: field.id("consumer", &message.consumer)?,
            username: message.username,
            password: message.password,
            tags: message.tags,
            enabled: !message.disabled,
            created_at: Timestamp::from_unix(message.created_at),
        })
    }
}

impl JwtRecord {
    pub fn encode(&self) -> Vec<u8> {
        let (secret, public_key) = match &self.secret {
            JwtSecret::Shared(Sealed { ring_key, nonce, bytes }) => {
                let secret =
                    proto::Secret { ring_key: *ring_key, nonce: nonce.to_vec(), sealed: bytes.clone() };
                (Some(secret), String::new())
            }
            JwtSecret::Public(pem) => (None, pem.clone()),
        };
        proto::JwtCredential {
            id: bytes_of(&self.id),
            consumer: bytes_of(&self.consumer),
            key: self.key.clone(),
            algorithm: self.algorithm.clone(),
            secret,
            public_key,
            tags: self.tags.clone(),
            disabled: !self.enabled,
            created_at: self.created_at.unix(),
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a whole credential.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::Jwt };
        let message = proto::JwtCredential::decode(bytes).map_err(|error| field.damaged(error))?;
        let secret = match message.secret {
            None => JwtSecret::Public(message.public_key),
            Some(secret) => JwtSecret::Shared(Sealed {
                ring_key: secret.ring_key,
                nonce: field.exactly("secret.nonce", &secret.nonce)?,
                bytes: secret.sealed,
            }),
        };
        Ok(Self {
            id: field.id("id", &message.id)?,
            consumer: field.id("consumer", &message.consumer)?,
            key: message.key,
            algorithm: message.algorithm,
            secret,
            tags: message.tags,
            enabled: !message.disabled,
            created_at: Timestamp::from_unix(message.created_at),
        })
    }
}

impl OwnerRecord {
    pub fn encode(&self) -> Vec<u8> {
        proto::Owner { id: bytes_of(&self.id) }.encode_to_vec()
    }

    /// `table` is the one that the bytes are from, for the error.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not an owner.
    pub fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table };
        let message = proto::Owner::decode(bytes).map_err(|error| field.damaged(error))?;
        Ok(Self { id: field.id("id", &message.id)? })
    }
}

/// `None` where no list is in force.
fn networks_of(networks: &Networks) -> Option<proto::Networks> {
    let entries = |set: &NetworkSet| set.iter().map(|network| network.to_string()).collect();
    networks.in_force().then(|| proto::Networks {
        allow: networks.allow.as_ref().map(|allow| proto::NetworkList { entries: entries(allow) }),
        deny: entries(&networks.deny),
    })
}

fn bytes_of(id: &Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// Reads fields and blames the table.
#[derive(Clone, Copy)]
struct Field {
    table: Table,
}

impl Field {
    fn damaged(self, error: prost::DecodeError) -> StoreError {
        StoreError::Damaged { table: self.table, why: error.to_string() }
    }

    fn missing(self, field: &str) -> StoreError {
        StoreError::Damaged { table: self.table, why: format!("`{field}` is missing") }
    }

    fn exactly<const N: usize>(self, field: &str, bytes: &[u8]) -> Result<[u8; N], StoreError> {
        bytes.try_into().map_err(|_| StoreError::Damaged {
            table: self.table,
            why: format!("`{field}` has {} bytes, expected {N}", bytes.len()),
        })
    }

    fn id(self, field: &str, bytes: &[u8]) -> Result<Uuid, StoreError> {
        self.exactly(field, bytes).map(Uuid::from_bytes)
    }

    fn ids(self, field: &str, all: &[Vec<u8>]) -> Result<Vec<Uuid>, StoreError> {
        all.iter().map(|bytes| self.id(field, bytes)).collect()
    }

    fn networks(self, networks: Option<proto::Networks>) -> Result<Networks, StoreError> {
        let Some(networks) = networks else { return Ok(Networks::default()) };
        let allow = networks.allow.map(|allow| allow.entries);
        Networks::parse(allow.as_deref(), &networks.deny)
            .map_err(|error| StoreError::Damaged { table: self.table, why: error.to_string() })
    }

    fn opens(self, opening: &proto::Opening) -> Result<Opens, StoreError> {
        Ok(Opens {
            service: self.id("opens.service", &opening.service)?,
            infrastructure: opening
                .infrastructure
                .as_deref()
                .map(|bytes| self.id("opens.infrastructure", bytes))
                .transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn networks() -> Networks {
        Networks::parse(Some(&["192.0.2.1-192.0.2.6".into()]), &["2001:db8::/32".into()]).unwrap()
    }

    fn consumer() -> ConsumerRecord {
        ConsumerRecord {
            id: id(1),
            username: Some("alice".into()),
            custom_id: Some(String::new()),
            tags: vec!["t".into()],
            email: Some("a@b.example".into()),
            groups: vec![
                Membership { id: id(9), tags: vec!["t".into()], ..member("g") },
                Membership { created_at: Timestamp::from_unix(4), ..member("h") },
            ],
            permissions: vec![id(2), id(3)],
            enabled: true,
            created_at: Timestamp::from_unix(-1),
            updated_at: Timestamp::from_unix(i64::MAX),
            roles: vec![RoleGrant { project: id(6), role: "admin".into() }],
            networks: networks(),
        }
    }

    fn member(group: &str) -> Membership {
        Membership::plain(&id(1), group.into(), Timestamp::from_unix(-1))
    }

    fn basic() -> BasicRecord {
        BasicRecord {
            id: id(1),
            consumer: id(2),
            username: "alice".into(),
            password: "$argon2id$".into(),
            tags: vec!["t".into()],
            enabled: true,
            created_at: Timestamp::from_unix(5),
        }
    }

    fn jwt() -> JwtRecord {
        JwtRecord {
            id: id(1),
            consumer: id(2),
            key: "iss".into(),
            algorithm: "HS256".into(),
            secret: JwtSecret::Shared(Sealed { ring_key: 3, nonce: [7; 12], bytes: vec![1, 2] }),
            tags: vec!["t".into()],
            enabled: false,
            created_at: Timestamp::from_unix(5),
        }
    }

    fn key() -> KeyRecord {
        KeyRecord {
            id: id(1),
            consumer: id(2),
            verifier: Verifier::from_bytes([7; 32]),
            ring_key: 9,
            handle: Some("abcdefghijkl".into()),
            tags: vec!["t".into()],
            not_before: Some(Timestamp::from_unix(0)),
            expires_at: Some(Timestamp::from_unix(10)),
            enabled: false,
            opens: Some(vec![
                Opens { service: id(3), infrastructure: None },
                Opens { service: id(3), infrastructure: Some(id(4)) },
            ]),
            permissions: Some(vec![id(5)]),
            created_at: Timestamp::from_unix(5),
            weak: true,
            networks: networks(),
        }
    }

    #[test]
    fn records_come_back_as_they_were() {
        let full = consumer();
        let bare = ConsumerRecord { username: None, custom_id: None, enabled: false, ..consumer() };
        let plain = ConsumerRecord { email: None, groups: vec![member("g"), member("h")], ..consumer() };
        for record in [full, bare, plain] {
            assert_eq!(ConsumerRecord::decode(&record.encode()).unwrap(), record);
        }
        // Nothing, and none of it, are different: the one opens every door, the other no door.
        let shut = KeyRecord { opens: Some(vec![]), permissions: Some(vec![]), ..key() };
        let wide = KeyRecord { opens: None, permissions: None, handle: None, not_before: None, ..key() };
        for record in [key(), shut, wide] {
            assert_eq!(KeyRecord::decode(&record.encode()).unwrap(), record);
        }
        for record in [basic(), BasicRecord { enabled: false, tags: vec![], ..basic() }] {
            assert_eq!(BasicRecord::decode(&record.encode()).unwrap(), record);
        }
        let public = JwtRecord { secret: JwtSecret::Public("PEM".into()), enabled: true, ..jwt() };
        for record in [jwt(), public] {
            assert_eq!(JwtRecord::decode(&record.encode()).unwrap(), record);
        }
        let owner = OwnerRecord { id: id(8) };
        assert_eq!(OwnerRecord::decode(Table::Owned, &owner.encode()).unwrap(), owner);
    }

    #[test]
    fn groups_of_a_consumer_are_read_with_or_without_what_else_there_is_to_them() {
        let message = proto::Consumer::decode(&consumer().encode()[..]).unwrap();
        assert_eq!(message.groups, ["g", "h"], "where they have always been");
        let old = proto::Consumer { memberships: Vec::new(), ..message.clone() };
        let read = ConsumerRecord::decode(&old.encode_to_vec()).unwrap();
        assert_eq!(read.groups, [member("g"), member("h")]);
        let short = proto::Consumer { memberships: message.memberships[..1].to_vec(), ..message };
        let read = ConsumerRecord::decode(&short.encode_to_vec()).unwrap();
        assert_eq!(read.groups, [consumer().groups[0].clone(), member("h")]);
    }

    #[test]
    fn facts_of_a_key_are_what_its_record_says() {
        let facts = KeyFacts::from(key());
        assert_eq!((facts.id, facts.consumer, facts.enabled), (id(1), id(2), false));
        assert_eq!(facts.opens.unwrap().len(), 2);
        assert_eq!(*facts.permissions.unwrap(), [id(5)]);
        let unbound = KeyFacts::from(KeyRecord { opens: None, permissions: None, ..key() });
        assert!(unbound.opens.is_none() && unbound.permissions.is_none());
        assert_eq!(Consumer::from(consumer()).given.groups, ["g", "h"]);
    }

    #[test]
    fn ids_of_another_length_are_damage() {
        #[track_caller]
        fn check<T: std::fmt::Debug>(result: Result<T, StoreError>, field: &str) {
            let error = result.unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains(field), "{error}");
        }
        let good = proto::Key::decode(&key().encode()[..]).unwrap();
        let decode = |message: proto::Key| KeyRecord::decode(&message.encode_to_vec());
        check(decode(proto::Key { id: vec![], ..good.clone() }), "`id` has 0 bytes");
        check(decode(proto::Key { consumer: vec![0; 17], ..good.clone() }), "`consumer`");
        check(decode(proto::Key { verifier: vec![0; 31], ..good.clone() }), "`verifier`");
        let opening = proto::Opening { service: vec![0; 16], infrastructure: Some(vec![]) };
        let opens = Some(proto::Opens { openings: vec![opening] });
        check(decode(proto::Key { opens, ..good.clone() }), "`opens.infrastructure`");
        let permissions = Some(proto::Permissions { ids: vec![vec![0; 15]] });
        check(decode(proto::Key { permissions, ..good }), "`permissions`");
        check(BasicRecord::decode(&[]), "Basic");
        let good = proto::JwtCredential::decode(&jwt().encode()[..]).unwrap();
        let secret = Some(proto::Secret { nonce: vec![0; 11], ..good.secret.clone().unwrap() });
        check(JwtRecord::decode(&proto::JwtCredential { secret, ..good }.encode_to_vec()), "`secret.nonce`");
        check(OwnerRecord::decode(Table::Unique, &[]), "Unique");
        check(ConsumerRecord::decode(b"\xff\xff"), "Consumer");
    }
}
