//! Access keys, opaque tokens, sessions and grants as they are stored: all but grants are the nouns
//! that checks know.

use std::time::Duration;

use prost::Message;

use super::{Field, bytes_of};
use crate::domain::consumer::ConsumerId;
use crate::domain::deployment::ServiceId;
use crate::domain::password::Mark;
use crate::domain::session::Session;
use crate::domain::time::Timestamp;
use crate::domain::token::{AccessKey, Scope, Token};
use crate::store::{StoreError, Table, proto};

/// What a login gives, in [`Table::Grant`] under half of its verifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRecord {
    pub consumer: ConsumerId,
    pub service: ServiceId,
    pub expires_at: Timestamp,
    pub password: Mark,
}

impl AccessKey {
    pub fn encode(&self) -> Vec<u8> {
        proto::AccessKey {
            id: bytes_of(&self.id),
            consumer: bytes_of(&self.consumer),
            name: self.name.clone(),
            project: bytes_of(&self.project),
            roles: self.roles.clone(),
            expires_at: self.expires_at.map(Timestamp::unix),
            disabled: !self.enabled,
            created_at: self.created_at.unix(),
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a whole access key.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::AccessKey };
        let message = proto::AccessKey::decode(bytes).map_err(|error| field.damaged(error))?;
        Ok(Self {
            id: field.id("id", &message.id)?,
            consumer: field.id("consumer", &message.consumer)?,
            name: message.name,
            project: field.id("project", &message.project)?,
            roles: message.roles,
            expires_at: message.expires_at.map(Timestamp::from_unix),
            enabled: !message.disabled,
            created_at: Timestamp::from_unix(message.created_at),
        })
    }
}

impl Token {
    pub fn encode(&self) -> Vec<u8> {
        let (dynamic, subject) = match &self.scope {
            Scope::Dynamic { service, password } => {
                (Some(proto::Dynamic { service: bytes_of(service), password: bytes_of_mark(password) }), None)
            }
            Scope::Subject { access_key, project, roles, passwords } => {
                let (access_key, project) = (bytes_of(access_key), bytes_of(project));
                let passwords = passwords.iter().map(bytes_of_mark).collect();
                (None, Some(proto::Subject { access_key, project, roles: roles.clone(), passwords }))
            }
        };
        proto::Token {
            id: bytes_of(&self.id),
            consumer: bytes_of(&self.consumer),
            expires_at: self.expires_at.unix(),
            created_at: self.created_at.unix(),
            dynamic,
            subject,
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a whole token.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::Token };
        let message = proto::Token::decode(bytes).map_err(|error| field.damaged(error))?;
        let scope = match (message.dynamic, message.subject) {
            (Some(dynamic), None) => Scope::Dynamic {
                service: field.id("dynamic.service", &dynamic.service)?,
                password: field.mark("dynamic.password", &dynamic.password)?,
            },
            (None, Some(subject)) => Scope::Subject {
                access_key: field.id("subject.access_key", &subject.access_key)?,
                project: field.id("subject.project", &subject.project)?,
                roles: subject.roles,
                passwords: subject
                    .passwords
                    .iter()
                    .map(|mark| field.mark("subject.passwords", mark))
                    .collect::<Result<_, _>>()?,
            },
            (None, None) | (Some(_), Some(_)) => return Err(field.missing("scope")),
        };
        Ok(Self {
            id: field.id("id", &message.id)?,
            consumer: field.id("consumer", &message.consumer)?,
            scope,
            expires_at: Timestamp::from_unix(message.expires_at),
            created_at: Timestamp::from_unix(message.created_at),
        })
    }
}

impl Session {
    pub fn encode(&self) -> Vec<u8> {
        proto::Session {
            id: bytes_of(&self.id),
            consumer: bytes_of(&self.consumer),
            created_at: self.created_at.unix(),
            expires_at: self.expires_at.unix(),
            idle: u32::try_from(self.idle.as_secs()).unwrap_or(u32::MAX),
            password: bytes_of_mark(&self.password),
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a whole session.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::Session };
        let message = proto::Session::decode(bytes).map_err(|error| field.damaged(error))?;
        Ok(Self {
            id: field.id("id", &message.id)?,
            consumer: field.id("consumer", &message.consumer)?,
            created_at: Timestamp::from_unix(message.created_at),
            expires_at: Timestamp::from_unix(message.expires_at),
            idle: Duration::from_secs(message.idle.into()),
            password: field.mark("password", &message.password)?,
        })
    }
}

impl GrantRecord {
    pub fn encode(&self) -> Vec<u8> {
        proto::Grant {
            consumer: bytes_of(&self.consumer),
            service: bytes_of(&self.service),
            expires_at: self.expires_at.unix(),
            password: bytes_of_mark(&self.password),
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a whole grant.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::Grant };
        let message = proto::Grant::decode(bytes).map_err(|error| field.damaged(error))?;
        Ok(Self {
            consumer: field.id("consumer", &message.consumer)?,
            service: field.id("service", &message.service)?,
            expires_at: Timestamp::from_unix(message.expires_at),
            password: field.mark("password", &message.password)?,
        })
    }
}

fn bytes_of_mark(mark: &Mark) -> Vec<u8> {
    mark.as_bytes().to_vec()
}

impl Field {
    fn mark(self, name: &str, bytes: &[u8]) -> Result<Mark, StoreError> {
        self.exactly(name, bytes).map(Mark::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use uuid::Uuid;

    use super::*;

    const fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    const AT: Timestamp = Timestamp::from_unix(7);
    const PASSWORD: Mark = Mark::from_bytes([8; 12]);

    #[test]
    fn records_come_back_as_they_were() {
        let key = AccessKey {
            id: id(1),
            consumer: id(2),
            name: "ci".into(),
            project: id(3),
            roles: vec!["member".into()],
            expires_at: Some(AT),
            enabled: false,
            created_at: AT,
        };
        for key in [key.clone(), AccessKey { expires_at: None, enabled: true, roles: vec![], ..key }] {
            assert_eq!(AccessKey::decode(&key.encode()).unwrap(), key);
        }
        let subject = |passwords| Scope::Subject {
            access_key: id(4),
            project: id(3),
            roles: vec!["member".into()],
            passwords,
        };
        let dynamic = Scope::Dynamic { service: id(5), password: PASSWORD };
        for scope in [
            subject(vec![]),
            subject(vec![PASSWORD]),
            subject(vec![PASSWORD, Mark::from_bytes([9; 12])]),
            dynamic,
        ] {
            let token = Token { id: id(1), consumer: id(2), scope, expires_at: AT, created_at: AT };
            assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        }
        let idle = Duration::from_secs(1_800);
        let session =
            Session { id: id(1), consumer: id(2), created_at: AT, expires_at: AT, idle, password: PASSWORD };
        assert_eq!(Session::decode(&session.encode()).unwrap(), session);
        let grant = GrantRecord { consumer: id(2), service: id(5), expires_at: AT, password: PASSWORD };
        assert_eq!(GrantRecord::decode(&grant.encode()).unwrap(), grant);
    }

    #[test]
    fn a_token_without_a_scope_or_with_two_is_damage() {
        let scope = Scope::Dynamic { service: id(5), password: PASSWORD };
        let token = Token { id: id(1), consumer: id(2), scope, expires_at: AT, created_at: AT };
        let message = proto::Token::decode(&token.encode()[..]).unwrap();
        let subject = proto::Subject { access_key: vec![0; 16], project: vec![0; 16], ..Default::default() };
        let none = proto::Token { dynamic: None, ..message.clone() };
        let both = proto::Token { subject: Some(subject), ..message };
        for message in [none, both] {
            let error = Token::decode(&message.encode_to_vec()).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }
}
