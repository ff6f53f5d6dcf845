//! Names with passwords, for `Authorization: Basic`. A password exists here on its way to its hash.

use uuid::Uuid;

use super::owned::{Claim, Credential, NamedCredential, Owned};
use super::password::check_password;
use super::{By, Done, Refusal, Registrar, check_tags};
use crate::domain::consumer::ConsumerId;
use crate::domain::password::LONGEST_USERNAME;
use crate::passwords::Password;
use crate::store::StoreError;
use crate::store::record::BasicRecord;

/// A name with a password to be made.
pub struct NewBasic {
    /// `None`: a random one.
    pub id: Option<Uuid>,
    pub username: String,
    pub password: Password,
    pub tags: Vec<String>,
}

/// What becomes different about one; `None` stays as it is.
#[derive(Default)]
pub struct BasicChange {
    pub username: Option<String>,
    pub password: Option<Password>,
    pub tags: Option<Vec<String>>,
    pub enabled: Option<bool>,
}

pub(super) const USERNAME: &str = "basic.username";

impl Credential for BasicRecord {
    const KIND: Owned = Owned::Basic;
    const WHAT: &'static str = "basic-auth credential";
    const CREATE: &'static str = "basic.create";
    const CHANGE: &'static str = "basic.change";
    const END: &'static str = "basic.delete";

    fn id(&self) -> Uuid {
        self.id
    }

    fn consumer(&self) -> ConsumerId {
        self.consumer
    }

    fn claims(&self) -> Vec<Claim> {
        vec![(USERNAME, self.username.as_bytes().to_vec())]
    }

    fn taken(&self) -> Refusal {
        Refusal::Taken { what: "username", name: self.username.clone() }
    }

    fn encode(&self) -> Vec<u8> {
        self.encode()
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::decode(bytes)
    }
}

impl NamedCredential for BasicRecord {
    const NAME: &'static str = USERNAME;
}

impl Registrar {
    /// # Errors
    ///
    /// [`Refusal::NotFound`] without its consumer, [`Refusal::Taken`] where somebody has that name,
    /// [`Refusal::OwnedByFile`] where the file gives it a password: that one goes first.
    pub async fn create_basic(
        &self,
        by: &By,
        consumer: &str,
        new: NewBasic,
    ) -> Result<Done<BasicRecord>, Refusal> {
        let owner = self.owner(consumer).await?;
        let tags = self.check_basic(&new)?;
        let hash = self.hashed(new.password).await?;
        let blank = BasicRecord::new(owner.id(), new.username, hash, self.clock.now());
        let record = BasicRecord { id: new.id.unwrap_or(blank.id), tags, ..blank };
        self.make_credential(by, owner, record).await
    }

    /// # Errors
    ///
    /// [`Refusal::NotFound`]; [`Refusal::Taken`] and [`Refusal::OwnedByFile`] where somebody has the new
    /// name.
    pub async fn change_basic(
        &self,
        by: &By,
        id: &Uuid,
        change: BasicChange,
    ) -> Result<Done<BasicRecord>, Refusal> {
        change.username.iter().try_for_each(|name| self.may_be_a_username(name))?;
        let tags = change.tags.as_deref().map(check_tags).transpose()?;
        let password = match change.password {
            None => None,
            Some(password) => Some(self.hashed(password).await?),
        };
        self.alter_credential(by, id, |it: BasicRecord| {
            Ok(BasicRecord {
                username: change.username.clone().unwrap_or(it.username),
                password: password.clone().unwrap_or(it.password),
                tags: tags.clone().unwrap_or(it.tags),
                enabled: change.enabled.unwrap_or(it.enabled),
                ..it
            })
        })
        .await
    }

    /// What one must be, whoever's it is; its tags, each once.
    pub(super) fn check_basic(&self, new: &NewBasic) -> Result<Vec<String>, Refusal> {
        self.may_be_a_username(&new.username)?;
        check_password(&new.password)?;
        check_tags(&new.tags)
    }

    /// # Errors
    ///
    /// [`Refusal::Invalid`]; [`Refusal::OwnedByFile`] where the file gives that name a password.
    pub(super) fn may_be_a_username(&self, name: &str) -> Result<(), Refusal> {
        check_username(name)?;
        match self.catalog.load().account(name) {
            Some(_) => Err(Refusal::OwnedByFile { what: "the password of", name: name.to_owned() }),
            None => Ok(()),
        }
    }
}

/// RFC 7617: no colon, which ends it, and no control characters.
fn check_username(name: &str) -> Result<(), Refusal> {
    let why = if name.is_empty() {
        "must not be empty".into()
    } else if name.len() > LONGEST_USERNAME {
        format!("has {} bytes, expected at most {LONGEST_USERNAME}", name.len())
    } else if name.contains(':') || name.chars().any(char::is_control) {
        "must not hold colons or control characters".into()
    } else {
        return Ok(());
    };
    Err(Refusal::Invalid { field: "username", why })
}
