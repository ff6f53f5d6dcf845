//! Objects of policy as they are stored, and what has their writes come one after the other.

use prost::Message;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Field, bytes_of};
use crate::domain::time::Timestamp;
use crate::store::{Name, StoreError, Table, proto};

/// A service, deployment, permission and so on, in [`Table::Object`] under its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRecord {
    pub id: Uuid,
    /// `service` and so on, as the configuration names its kinds.
    pub kind: String,
    /// As one would write it in the configuration, without the id, as JSON; what it names it names by id.
    pub settings: String,
    /// Whose version it is.
    pub service: Option<Uuid>,
    /// The consumer who made it, where one did.
    pub owner: Option<Uuid>,
    pub tags: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The how manieth write of an object made it.
    pub sequence: u64,
}

/// Changes with every write of an object, so that of two that know nothing of each other one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardRecord {
    /// Another with each write.
    pub token: Uuid,
    /// How many there were.
    pub writes: u64,
}

impl GuardRecord {
    /// Where it stands in [`Table::Object`]: no object has this id.
    pub fn name() -> Name {
        Name::of(&Uuid::nil())
    }

    pub fn encode(&self) -> Vec<u8> {
        proto::Guard { token: bytes_of(&self.token), writes: self.writes }.encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a guard.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::Object };
        let message = proto::Guard::decode(bytes).map_err(|error| field.damaged(error))?;
        Ok(Self { token: field.id("token", &message.token)?, writes: message.writes })
    }
}

impl ObjectRecord {
    /// Whether it has a host and path.
    pub fn is_deployment(&self) -> bool {
        self.kind == "deployment"
    }

    pub fn encode(&self) -> Vec<u8> {
        proto::Object {
            id: bytes_of(&self.id),
            kind: self.kind.clone(),
            settings: self.settings.clone(),
            service: self.service.as_ref().map(bytes_of),
            owner: self.owner.as_ref().map(bytes_of),
            tags: self.tags.clone(),
            created_at: self.created_at.unix(),
            updated_at: self.updated_at.unix(),
            sequence: self.sequence,
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a whole object.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::Object };
        let message = proto::Object::decode(bytes).map_err(|error| field.damaged(error))?;
        Ok(Self {
            id: field.id("id", &message.id)?,
            kind: message.kind,
            settings: message.settings,
            service: message.service.as_deref().map(|id| field.id("service", id)).transpose()?,
            owner: message.owner.as_deref().map(|id| field.id("owner", id)).transpose()?,
            tags: message.tags,
            created_at: Timestamp::from_unix(message.created_at),
            updated_at: Timestamp::from_unix(message.updated_at),
            sequence: message.sequence,
        })
    }

    pub fn can_be_off(&self) -> bool {
        matches!(&self.kind[..], "service" | "deployment")
    }

    /// Whether it is in force: what cannot be switched off opens nothing by itself.
    pub fn is_on(&self) -> bool {
        let settings: Value = serde_json::from_str(&self.settings).unwrap_or_default();
        self.can_be_off() && settings.get("enabled") != Some(&Value::Bool(false))
    }

    /// The same so that it lets nobody pass, where that is a thing to do with it: switched off, and enforced,
    /// for in shadow mode even that would be told and not done.
    pub fn disabled(self) -> Self {
        let Ok(Value::Object(mut map)) = serde_json::from_str(&self.settings) else { return self };
        if !self.can_be_off() {
            return self;
        }
        map.insert("enabled".to_owned(), Value::Bool(false));
        if self.is_deployment() {
            let parts = map.entry("override").or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(parts) = parts {
                parts.insert("mode".to_owned(), "enforce".into());
            }
        } else {
            map.remove("mode");
        }
        Self { settings: Value::Object(map).to_string(), ..self }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn objects_come_back_as_they_were_and_can_be_switched_off() {
        let record = ObjectRecord {
            id: Uuid::from_u128(1),
            kind: "deployment".into(),
            settings: r#"{"service":"a"}"#.into(),
            service: Some(Uuid::from_u128(2)),
            owner: Some(Uuid::from_u128(3)),
            tags: vec!["t".into()],
            created_at: Timestamp::from_unix(1),
            updated_at: Timestamp::from_unix(2),
            sequence: 7,
        };
        assert_eq!(ObjectRecord::decode(&record.encode()).unwrap(), record);
        assert!(record.is_on());
        let off = record.clone().disabled();
        assert_eq!(off.settings, r#"{"enabled":false,"override":{"mode":"enforce"},"service":"a"}"#);
        assert!(!off.is_on());
        let settings = r#"{"mode":"shadow","name":"a"}"#.into();
        let service = ObjectRecord { kind: "service".into(), settings, ..record.clone() };
        assert_eq!(service.disabled().settings, r#"{"enabled":false,"name":"a"}"#);
        let role = ObjectRecord { kind: "role".into(), service: None, owner: None, ..record };
        assert_eq!(ObjectRecord::decode(&role.encode()).unwrap(), role);
        assert_eq!(role.clone().disabled(), role);
        let guard = GuardRecord { token: Uuid::from_u128(9), writes: 3 };
        assert_eq!(GuardRecord::decode(&guard.encode()).unwrap(), guard);
        assert!(ObjectRecord::decode(b"\xff").is_err() && GuardRecord::decode(&[]).is_err());
    }
}
