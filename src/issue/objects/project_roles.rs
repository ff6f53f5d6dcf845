//! Who has which role in a project.

use uuid::Uuid;

use super::write::next_guard;
use super::{Named, find};
use crate::config::Kind;
use crate::domain::role::RoleGrant;
use crate::issue::{By, Done, Owner, Refusal, Registrar};
use crate::store::record::ConsumerRecord;
use crate::store::{Effect, Expect, Name, Step, StoreError, Table};

/// How often a write is tried while others write too.
const TRIES: usize = 8;

/// A role that a consumer has in a project, each by id or name.
#[derive(Clone, Copy, Debug)]
pub struct InProject<'a> {
    pub project: &'a str,
    pub consumer: &'a str,
    pub role: &'a str,
}

impl Registrar {
    /// Gives a consumer a role in a project, if it does not have it.
    ///
    /// # Errors
    ///
    /// [`Refusal::OwnedByFile`] where the file declares the consumer.
    pub async fn give_role(&self, by: &By, role: InProject<'_>) -> Result<Done<Uuid>, Refusal> {
        self.change_roles(by, "project.give_role", role, |roles, grant| {
            if !roles.contains(&grant) {
                roles.push(grant);
            }
            Ok(())
        })
        .await
    }

    /// Takes the role from the consumer.
    ///
    /// # Errors
    ///
    /// As [`give_role`](Self::give_role); [`Refusal::NotFound`] where the consumer does not have it.
    pub async fn take_role(&self, by: &By, role: InProject<'_>) -> Result<Done<Uuid>, Refusal> {
        self.change_roles(by, "project.take_role", role, |roles, grant| {
            let had = roles.len();
            roles.retain(|it| *it != grant);
            match roles.len() < had {
                true => Ok(()),
                false => Err(Refusal::NotFound {
                    what: "role of this consumer in this project called",
                    name: grant.role,
                }),
            }
        })
        .await
    }

    async fn change_roles(
        &self,
        by: &By,
        action: &'static str,
        InProject { project, consumer, role }: InProject<'_>,
        change: impl Fn(&mut Vec<RoleGrant>, RoleGrant) -> Result<(), Refusal>,
    ) -> Result<Done<Uuid>, Refusal> {
        for _ in 0..TRIES {
            let Some((edition, expect)) = self.edition_to_change().await? else { continue };
            let named = |kind: Kind, name: &str| Named { kind, service: None, name: name.to_owned() };
            let project = find(&edition, &named(Kind::Project, project))?;
            let role = find(&edition, &named(Kind::Role, role))?;
            let id = match self.owner(consumer).await? {
                Owner::Stored(id) => id,
                Owner::Declared(_) => {
                    return Err(Refusal::OwnedByFile { what: "consumer", name: consumer.to_owned() });
                }
            };
            let stored = self.store.read(Table::Consumer, &Name::of(&id)).await?;
            let stored =
                stored.ok_or_else(|| Refusal::NotFound { what: "consumer", name: consumer.to_owned() })?;
            let mut record = ConsumerRecord::decode(&stored.payload)?;
            change(&mut record.roles, RoleGrant { project: project.id, role: role.name })?;
            record.updated_at = self.clock.now();
            let consumer = Step {
                table: Table::Consumer,
                name: Name::of(&id),
                expect: Expect::Revision(stored.revision),
                effect: Effect::Put(record.encode()),
            };
            // The role and the project must still be there, and whoever ends them has to see this.
            let steps = vec![consumer, next_guard(&edition, expect)];
            match self.write(by.does(action, project.id), steps, id).await {
                Err(Refusal::Store(StoreError::Conflict {
                    table: Table::Object | Table::Consumer, ..
                })) => {}
                written => return written,
            }
        }
        Err(Refusal::Raced)
    }
}
