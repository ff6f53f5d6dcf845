//! Admin keys: they open the admin API, all of it.

use std::net::IpAddr;

use uuid::Uuid;

use super::keys::generate;
use super::login::may_be;
use super::{By, Done, NotProven, Refusal, Registrar, Seen, check_label, claim, delete, unique};
use crate::domain::jwt::ADMIN_AUDIENCE;
use crate::domain::rights::Caller;
use crate::domain::secret::{self, Kind, Reading, Secret};
use crate::replica::Replica;
use crate::store::record::AdminKeyRecord;
use crate::store::{Effect, Expect, Name, Step, StoreError, Table};

/// An admin key to be made.
#[derive(Debug, Default)]
pub struct NewAdminKey {
    /// What it is for, for people.
    pub name: Option<String>,
}

/// An admin key that was just made. Its text is nowhere else.
pub struct MadeAdminKey {
    pub record: AdminKeyRecord,
    pub text: Secret,
}

const VERIFIER: &str = "admin_key.verifier";
const HANDLE: &str = "admin_key.handle";

/// Every instance holds all of them whole, and each has every right: a handful is plenty.
const MOST: usize = 1_000;

/// What is known is too old to be believed, or nothing is known.
#[derive(Debug)]
pub struct Unknowing;

impl Registrar {
    /// Of which admin key a text is, by what this instance knows. Whatever the text is, the work is the
    /// same.
    ///
    /// # Errors
    ///
    /// [`Unknowing`] past the lease, and where nothing follows the store.
    pub fn known_admin_key(&self, text: &[u8]) -> Result<Option<Uuid>, Unknowing> {
        let replica = self.trusted_replica()?;
        let is_ours = matches!(secret::read(text), Reading::Ours { kind: Kind::Admin, .. });
        let found: Vec<Option<Uuid>> =
            self.ring.peppers().verifiers(text).map(|verifier| replica.admin_key(&verifier)).collect();
        Ok(found.into_iter().flatten().next().filter(|_| is_ours))
    }

    /// Whether one who was let in would be let in again, for what goes on after its request: not past the
    /// lease either.
    pub fn still_opens(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Socket | Caller::Doorward => true,
            Caller::AdminKey(id) => self.trusted_replica().is_ok_and(|replica| replica.has_admin_key(id)),
            // A JWT has an end, and nothing that goes on is open to one.
            Caller::Consumer { .. } => false,
        }
    }

    /// What this instance knows, where that may be believed.
    pub(super) fn trusted_replica(&self) -> Result<&Replica, Unknowing> {
        let replica = self.replica.as_ref().ok_or(Unknowing)?;
        replica.trust(self.clock.boottime()).map_err(|_| Unknowing)?;
        Ok(replica)
    }

    /// Whose JWT a text is, meant for the admin API; `None` where it opens nothing.
    ///
    /// # Errors
    ///
    /// [`Unknowing`] past the lease, and where nothing follows the store.
    pub async fn known_consumer(&self, text: &[u8], from: IpAddr) -> Result<Option<Caller>, Unknowing> {
        let id = match self.whose(text, ADMIN_AUDIENCE).await {
            Ok(id) => id,
            Err(NotProven::Refused(_) | NotProven::Ended | NotProven::Unread(_)) => return Ok(None),
            Err(NotProven::Unknown(_)) => return Err(Unknowing),
        };
        let consumer = self.known(id).filter(|consumer| may_be(consumer, from));
        Ok(consumer.map(|consumer| Caller::Consumer { id, groups: consumer.given.groups.clone() }))
    }

    /// # Errors
    ///
    /// [`Refusal::Invalid`] where the name may not stand in a list, or there are too many.
    pub async fn create_admin_key(&self, by: &By, new: NewAdminKey) -> Result<Done<MadeAdminKey>, Refusal> {
        new.name.iter().try_for_each(|name| check_label("name", name))?;
        if self.admin_keys(None, MOST).await?.len() >= MOST {
            let why = format!("there are {MOST} admin keys already; delete one that is not in use");
            return Err(Refusal::Invalid { field: "name", why });
        }
        let (text, handle) = generate(Kind::Admin)?;
        let record = AdminKeyRecord {
            id: Uuid::new_v4(),
            verifier: self.ring.primary_pepper().verifier(text.expose().as_bytes()),
            ring_key: self.ring.primary_id(),
            handle,
            name: new.name,
            enabled: true,
            created_at: self.clock.now(),
        };
        let steps = vec![
            Step {
                table: Table::AdminKey,
                name: Name::of(&record.id),
                expect: Expect::Absent,
                effect: Effect::Put(record.encode()),
            },
            claim(VERIFIER, record.verifier.as_bytes(), &record.id),
            claim(HANDLE, record.handle.as_bytes(), &record.id),
        ];
        let id = record.id;
        self.write(by.makes("admin_key.create", id), steps, MadeAdminKey { record, text }).await
    }

    /// The admin key of this id, public name (`dw_admin_<12>` or the 12 alone) or full text.
    pub async fn admin_key(&self, named: &str) -> Result<Seen<AdminKeyRecord>, Refusal> {
        // What was given may be the secret itself, so it is never repeated.
        let absent = || Refusal::NoSuchKey { prefix: "dw_admin_" };
        let id = match Uuid::parse_str(named) {
            Ok(id) => id,
            Err(_) => self.id_of_admin_key(named).await?.ok_or_else(absent)?,
        };
        let record = self.store.read(Table::AdminKey, &Name::of(&id)).await?.ok_or_else(absent)?;
        Ok(Seen { value: AdminKeyRecord::decode(&record.payload)?, revision: record.revision })
    }

    async fn id_of_admin_key(&self, named: &str) -> Result<Option<Uuid>, Refusal> {
        if let Reading::Ours { kind: Kind::Admin, .. } = secret::read(named.as_bytes()) {
            return self.owner_of_secret(VERIFIER, named.as_bytes()).await;
        }
        let handle = named.strip_prefix("dw_admin_").unwrap_or(named);
        self.owner_of(HANDLE, handle.as_bytes()).await
    }

    /// Admin keys in order of their ids, after `after`.
    pub async fn admin_keys(&self, after: Option<Uuid>, size: usize) -> Result<Vec<AdminKeyRecord>, Refusal> {
        let after = after.as_ref().map(Name::of);
        let records = self.store.scan(Table::AdminKey, &[], after.as_ref(), size).await?;
        Ok(records.iter().map(|record| AdminKeyRecord::decode(&record.payload)).collect::<Result<_, _>>()?)
    }

    /// Ends an admin key, like any revocation.
    pub async fn delete_admin_key(&self, by: &By, named: &str) -> Result<Done<AdminKeyRecord>, Refusal> {
        let record = self.admin_key(named).await?.value;
        let steps = vec![
            Step {
                table: Table::AdminKey,
                name: Name::of(&record.id),
                expect: Expect::Present,
                effect: Effect::Delete,
            },
            delete(Table::Unique, unique(VERIFIER, record.verifier.as_bytes())),
            delete(Table::Unique, unique(HANDLE, record.handle.as_bytes())),
        ];
        let id = record.id;
        self.write(by.does("admin_key.delete", id), steps, record).await.map_err(|refusal| match refusal {
            Refusal::Store(StoreError::Conflict { .. }) => {
                Refusal::NotFound { what: "admin key", name: id.to_string() }
            }
            other => other,
        })
    }
}
