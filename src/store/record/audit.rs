use prost::Message;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Field, bytes_of};
use crate::domain::time::Timestamp;
use crate::store::{Name, StoreError, Table, proto};

/// What an entry is known by to the one after it.
pub type Hash = [u8; 32];

/// Who changed what: in [`Table::Audit`] under its chain and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Of the instance that wrote it.
    pub chain: Uuid,
    /// From 1, without gaps.
    pub number: u64,
    /// Of the entry before; zeros before the first.
    pub previous: Hash,
    pub at: Timestamp,
    /// `socket`, `admin_key`, `consumer`, `doorward`, or nobody yet: `unknown`.
    pub caller: String,
    pub caller_id: Option<Uuid>,
    /// `<kind of object>.<verb>`.
    pub action: String,
    pub object: Option<Uuid>,
    pub request_id: String,
    /// How often, where several were put together.
    pub count: u64,
    /// Some of the addresses that they came from.
    pub addresses: Vec<String>,
    /// Of the write, where its caller has named it.
    pub operation: Option<Uuid>,
}

/// Where a chain stands: in [`Table::Audit`] under the chain's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// Of the newest entry; 0 where there is none.
    pub number: u64,
    /// Of the newest entry.
    pub hash: Hash,
    /// The oldest entry that is kept.
    pub first: u64,
    /// When the newest entry was written.
    pub at: Timestamp,
}

impl AuditEntry {
    pub fn name(chain: &Uuid, number: u64) -> Name {
        let mut name = chain.as_bytes().to_vec();
        name.extend_from_slice(&number.to_be_bytes());
        Name(name)
    }

    /// Of an entry as it is stored.
    pub fn hash(payload: &[u8]) -> Hash {
        let mut digest = Sha256::new();
        digest.update(b"doorward audit entry\0");
        digest.update(payload);
        digest.finalize().into()
    }

    pub fn encode(&self) -> Vec<u8> {
        proto::AuditEntry {
            chain: bytes_of(&self.chain),
            number: self.number,
            previous: self.previous.to_vec(),
            at: self.at.unix(),
            caller: self.caller.clone(),
            caller_id: self.caller_id.as_ref().map(bytes_of),
            action: self.action.clone(),
            object: self.object.as_ref().map(bytes_of),
            request_id: self.request_id.clone(),
            count: self.count,
            addresses: self.addresses.clone(),
            operation: self.operation.as_ref().map(bytes_of),
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a whole entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::Audit };
        let message = proto::AuditEntry::decode(bytes).map_err(|error| field.damaged(error))?;
        let id = |name, bytes: Option<Vec<u8>>| bytes.map(|bytes| field.id(name, &bytes)).transpose();
        Ok(Self {
            chain: field.id("chain", &message.chain)?,
            number: message.number,
            previous: field.exactly("previous", &message.previous)?,
            at: Timestamp::from_unix(message.at),
            caller: message.caller,
            caller_id: id("caller_id", message.caller_id)?,
            action: message.action,
            object: id("object", message.object)?,
            request_id: message.request_id,
            count: message.count,
            addresses: message.addresses,
            operation: id("operation", message.operation)?,
        })
    }
}

impl AuditHead {
    pub fn encode(&self) -> Vec<u8> {
        proto::AuditHead {
            number: self.number,
            hash: self.hash.to_vec(),
            first: self.first,
            at: self.at.unix(),
        }
        .encode_to_vec()
    }

    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the bytes are not a head.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let field = Field { table: Table::Audit };
        let message = proto::AuditHead::decode(bytes).map_err(|error| field.damaged(error))?;
        Ok(Self {
            number: message.number,
            hash: field.exactly("hash", &message.hash)?,
            first: message.first,
            at: Timestamp::from_unix(message.at),
        })
    }
}
