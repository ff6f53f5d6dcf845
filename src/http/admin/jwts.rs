//! What consumers' own JWTs are verified with: what bodies and rows of `/jwts` are.

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
use crate::issue::{Done, JwtChange, MadeJwt, NewJwt, Refusal, Set};
use crate::store::record::{JwtRecord, JwtSecret};

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JwtBody {
    id: Option<Uuid>,
    key: Option<String>,
    algorithm: Option<String>,
    secret: Option<String>,
    /// Of every algorithm but HS ones; the name is Kong's.
    rsa_public_key: Option<String>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    tags: Set<Vec<String>>,
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<ConsumerNamed>, inline)]
    pub(super) consumer: Set<ConsumerNamed>,
}

impl JwtBody {
    pub(super) fn into_new(self) -> Result<NewJwt, Problem> {
        if self.enabled == Some(false) {
            let why = "is for one that is there; make it, then disable it";
            return Err(Refusal::Invalid { field: "enabled", why: why.into() }.into());
        }
        Ok(NewJwt {
            id: self.id,
            key: self.key,
            algorithm: self.algorithm,
            secret: self.secret.map(Secret::from),
            public_key: self.rsa_public_key,
            tags: self.tags.flatten().unwrap_or_default(),
        })
    }

    fn into_change(self) -> Result<JwtChange, Problem> {
        Ok(JwtChange {
            key: self.key,
            algorithm: self.algorithm,
            secret: self.secret.map(Secret::from),
            public_key: self.rsa_public_key,
            tags: self.tags.map(Option::unwrap_or_default),
            enabled: self.enabled,
        })
    }
}

impl Row for JwtRecord {
    fn id(&self) -> Uuid {
        self.id
    }

    fn tags(&self) -> &[String] {
        &self.tags
    }
}

impl Kind for JwtBody {
    type Record = JwtRecord;
    const ALL: &'static str = "jwts";
    const OF_CONSUMER: &'static str = "jwt";
    const ONE: &'static str = "jwt";
    const TAG: &'static str = "jwts";

    fn common(&mut self) -> Common<'_> {
        Common { id: &mut self.id, name: &mut self.key, consumer: &mut self.consumer }
    }

    /// As it puts a whole credential in the place of another one. What verifies is kept where it is not
    /// sent, for it is not shown either: who reads, changes and puts back would otherwise lose it.
    fn whole(mut self, before: &JwtRecord) -> Result<Self, Problem> {
        self.key.get_or_insert_with(|| before.key.clone());
        self.algorithm.get_or_insert_with(|| before.algorithm.clone());
        self.tags.get_or_insert_default();
        Ok(self)
    }

    async fn create(self, call: &Call, owner: Uuid) -> Result<Done<Value>, Problem> {
        let done = call.registrar.create_jwt(&call.by, &owner.to_string(), self.into_new()?).await?;
        Ok(done.map(|made| made_row(&made)))
    }

    async fn change(self, call: &Call, before: &JwtRecord) -> Result<Done<Value>, Problem> {
        let done = call.registrar.change_jwt(&call.by, before, self.into_change()?).await?;
        Ok(done.map(|made| made_row(&made)))
    }

    fn row(record: &JwtRecord) -> Value {
        let public_key = match &record.secret {
            JwtSecret::Shared(_) => None,
            JwtSecret::Public(pem) => Some(pem),
        };
        json!({
            "id": record.id,
            "key": record.key,
            "secret": null,
            "algorithm": record.algorithm,
            "rsa_public_key": public_key,
            "tags": nothing_if_empty(&record.tags),
            "enabled": record.enabled,
            "consumer": { "id": record.consumer },
            "created_at": record.created_at.unix(),
        })
    }
}

/// With the secret, the one time that it is shown.
fn made_row(made: &MadeJwt) -> Value {
    let mut row = JwtBody::row(&made.record);
    row["secret"] = json!(made.secret.as_ref().map(Secret::expose));
    row
}
