use prost::Message;
use uuid::Uuid;

use super::{Field, bytes_of};
use crate::domain::time::Timestamp;
use crate::domain::verifier::Verifier;
use crate::store::{StoreError, Table, proto};

/// An admin key as it is stored, in [`Table::AdminKey`] under its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminKeyRecord {
    pub id: Uuid,
    pub verifier: Verifier,
    /// The id of the key of the ring that made the verifier.
    pub ring_key: u32,
    /// The public name.
    pub handle: String,
    /// What it is for, for people.
    pub name: Option<String>,
    pub enabled: bool,
    pub created_at: Timestamp,
}

impl AdminKeyRecord {
    pub fn encode(&self) -> Vec<u8> {
        proto::AdminKey {
            id: bytes_of(&self.id),
            verifier: self.verifier.as_bytes().to_vec(),
            ring_key: self.ring_key,
            handle: self.handle.clone(),
            name: self.name.clone(),
            disabled: !self.enabled,
            created_at: self.created_at.unix(),
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a whole admin key.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::AdminKey };
        let message = proto::AdminKey::decode(bytes).map_err(|error| field.damaged(error))?;
        Ok(Self {
            id: field.id("id", &message.id)?,
            verifier: Verifier::from_bytes(field.exactly("verifier", &message.verifier)?),
            ring_key: message.ring_key,
            handle: message.handle,
            name: message.name,
            enabled: !message.disabled,
            created_at: Timestamp::from_unix(message.created_at),
        })
    }
}
