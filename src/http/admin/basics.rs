//! Names with passwords: what bodies and rows of `/basic-auths` are.

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::nothing_if_empty;
use super::call::Call;
use super::credentials::{Common, Kind};
use super::given::{ConsumerNamed, set};
use super::page::Row;
use crate::domain::secret::Secret;
use crate::http::problem::Problem;
use crate::issue::{BasicChange, Done, NewBasic, Password, Refusal, Set};
use crate::store::record::BasicRecord;

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BasicBody {
    id: Option<Uuid>,
    username: Option<String>,
    password: Option<String>,
    /// In the place of `password`: its hash, argon2id as a PHC string.
    password_hash: Option<String>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    tags: Set<Vec<String>>,
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<ConsumerNamed>, inline)]
    pub(super) consumer: Set<ConsumerNamed>,
}

impl BasicBody {
    pub(super) fn into_new(mut self) -> Result<NewBasic, Problem> {
        let missing = |field| Refusal::Invalid { field, why: "required field missing".into() };
        if self.enabled == Some(false) {
            let why = "is for one that is there; make it, then disable it";
            return Err(Refusal::Invalid { field: "enabled", why: why.into() }.into());
        }
        Ok(NewBasic {
            id: self.id,
            password: self.password()?.ok_or_else(|| missing("password"))?,
            username: self.username.ok_or_else(|| missing("username"))?,
            tags: self.tags.flatten().unwrap_or_default(),
        })
    }

    fn into_change(mut self) -> Result<BasicChange, Problem> {
        Ok(BasicChange {
            password: self.password()?,
            username: self.username,
            tags: self.tags.map(Option::unwrap_or_default),
            enabled: self.enabled,
        })
    }

    fn password(&mut self) -> Result<Option<Password>, Problem> {
        match (self.password.take(), self.password_hash.take()) {
            (Some(_), Some(_)) => {
                let why = "cannot be given together with `password`";
                Err(Refusal::Invalid { field: "password_hash", why: why.into() }.into())
            }
            (Some(text), None) => Ok(Some(Password::Text(Secret::from(text)))),
            (None, hash) => Ok(hash.map(Password::Hashed)),
        }
    }
}

impl Row for BasicRecord {
    fn id(&self) -> Uuid {
        self.id
    }

    fn tags(&self) -> &[String] {
        &self.tags
    }
}

impl Kind for BasicBody {
    type Record = BasicRecord;
    const ALL: &'static str = "basic-auths";
    const OF_CONSUMER: &'static str = "basic-auth";
    const ONE: &'static str = "basic";
    const TAG: &'static str = "passwords";

    fn common(&mut self) -> Common<'_> {
        Common { id: &mut self.id, name: &mut self.username, consumer: &mut self.consumer }
    }

    fn whole(mut self, _: &BasicRecord) -> Result<Self, Problem> {
        let missing = |field| Refusal::Invalid { field, why: "required field missing".into() };
        if self.username.is_none() {
            return Err(missing("username").into());
        }
        if self.password.is_none() && self.password_hash.is_none() {
            return Err(missing("password").into());
        }
        self.tags.get_or_insert_default();
        Ok(self)
    }

    async fn create(self, call: &Call, owner: Uuid) -> Result<Done<Value>, Problem> {
        let done = call.registrar.create_basic(&call.by, &owner.to_string(), self.into_new()?).await?;
        Ok(done.map(|record| Self::row(&record)))
    }

    async fn change(self, call: &Call, before: &BasicRecord) -> Result<Done<Value>, Problem> {
        let done = call.registrar.change_basic(&call.by, &before.id, self.into_change()?).await?;
        Ok(done.map(|record| Self::row(&record)))
    }

    /// Neither the password nor its hash is ever shown.
    fn row(record: &BasicRecord) -> Value {
        json!({
            "id": record.id,
            "username": record.username,
            "password": null,
            "tags": nothing_if_empty(&record.tags),
            "enabled": record.enabled,
            "consumer": { "id": record.consumer },
            "created_at": record.created_at.unix(),
        })
    }
}
