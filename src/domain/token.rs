//! Opaque tokens of ours, and what they are bought with. What is in them is in the store: their texts
//! say nothing.

use uuid::Uuid;

use super::catalog::Catalog;
use super::consumer::{Consumer, ConsumerId};
use super::denial::Unproven;
use super::deployment::ServiceId;
use super::password::Mark;
use super::role::{ProjectId, Roles};
use super::time::Timestamp;

/// An opaque token. Never changes, and ends at the latest with what it was bought with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: Uuid,
    pub consumer: ConsumerId,
    pub scope: Scope,
    pub expires_at: Timestamp,
    pub created_at: Timestamp,
}

/// What a token is good for, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// From a login, by this password: one service.
    Dynamic { service: ServiceId, password: Mark },
    /// From an access key: one project, with the roles that the key had there.
    Subject {
        access_key: Uuid,
        project: ProjectId,
        roles: Vec<String>,
        /// All that its consumer had at that time, under whatever name.
        passwords: Vec<Mark>,
    },
}

/// The kinds of opaque token, as a method names those that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Dynamic,
    Subject,
}

/// An id and a secret that buy subject tokens. The secret itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    pub id: Uuid,
    pub consumer: ConsumerId,
    /// What its owner calls it; another one of theirs has another name.
    pub name: String,
    pub project: ProjectId,
    pub roles: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub enabled: bool,
    pub created_at: Timestamp,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Dynamic, Self::Subject];

    /// As it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Subject => "subject",
        }
    }
}

impl Scope {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Dynamic { .. } => Kind::Dynamic,
            Self::Subject { .. } => Kind::Subject,
        }
    }
}

impl AccessKey {
    pub fn holds(&self, now: Timestamp) -> bool {
        self.enabled && !self.is_over(now)
    }

    /// Whether it will never hold again.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|until| until <= now)
    }
}

impl Token {
    /// The passwords that must still stand, each of them.
    pub fn passwords(&self) -> &[Mark] {
        match &self.scope {
            Scope::Dynamic { password, .. } => std::slice::from_ref(password),
            Scope::Subject { passwords, .. } => passwords,
        }
    }

    /// Whether a subject token holds at this moment, by its access key, where that is there, and by what
    /// its consumer is now.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn still_bought(
        &self,
        access_key: Option<&AccessKey>,
        consumer: &Consumer,
        catalog: &Catalog,
        now: Timestamp,
    ) -> Result<(), Unproven> {
        let Scope::Subject { project, .. } = &self.scope else { return Err(Unproven::OtherService) };
        if !access_key.is_some_and(|key| key.holds(now)) {
            return Err(Unproven::AccessKeyEnded);
        }
        // A project that nobody declares any more is a reference that cannot be resolved.
        let left = catalog.project(*project).and_then(|_| self.roles(consumer, catalog.roles()).next());
        left.map(|_| ()).ok_or(Unproven::NoRoleLeft)
    }

    /// The roles that its bearer acts with: what was issued and is still had, a role with all that it
    /// implies. None for one that is not of a project.
    pub fn roles<'a>(&'a self, consumer: &'a Consumer, roles: &'a Roles) -> impl Iterator<Item = &'a str> {
        let issued = self.issued();
        let each = issued.iter().enumerate().flat_map(move |(at, role)| {
            let told = move |wanted: &&str| roles.imply(&issued[..at], wanted);
            roles.implied(role).filter(move |wanted| !told(wanted))
        });
        each.filter(move |wanted| self.is_still_had(wanted, consumer, roles))
    }

    /// Whether its bearer acts with this role.
    pub fn acts_as(&self, wanted: &str, consumer: &Consumer, roles: &Roles) -> bool {
        roles.imply(self.issued(), wanted) && self.is_still_had(wanted, consumer, roles)
    }

    fn is_still_had(&self, wanted: &str, consumer: &Consumer, roles: &Roles) -> bool {
        let Scope::Subject { project, .. } = &self.scope else { return false };
        let now = consumer.given.roles.iter().filter(|grant| grant.project == *project);
        now.into_iter().any(|grant| roles.implies(&grant.role, wanted))
    }

    fn issued(&self) -> &[String] {
        match &self.scope {
            Scope::Dynamic { .. } => &[],
            Scope::Subject { roles, .. } => roles,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::domain::consumer::Given;
    use crate::domain::role::RoleGrant;

    const HERE: Uuid = Uuid::from_u128(1);
    const THERE: Uuid = Uuid::from_u128(2);

    #[track_caller]
    fn check(issued: &[&str], now: &[(Uuid, &str)], expected: &[&str]) {
        let direct = [("admin", "member"), ("member", "reader"), ("reader", "reader"), ("audit", "reader")];
        let direct = direct.map(|(role, implies)| (role.to_owned(), vec![implies.to_owned()]));
        let roles = Roles::new(&HashMap::from(direct));
        let own = |all: &[&str]| all.iter().map(|role| (*role).to_owned()).collect();
        let scope = Scope::Subject {
            access_key: Uuid::nil(),
            project: HERE,
            roles: own(issued),
            passwords: Vec::new(),
        };
        let at = Timestamp::from_unix(0);
        let token = Token { id: HERE, consumer: HERE, scope, expires_at: at, created_at: at };
        let grant = |(project, role): &(Uuid, &str)| RoleGrant { project: *project, role: (*role).into() };
        let given = Given { roles: now.iter().map(grant).collect(), ..Given::default() };
        let consumer = Consumer { given: given.into(), ..Consumer::default() };
        assert_eq!(token.roles(&consumer, &roles).collect::<Vec<_>>(), expected, "{issued:?} now {now:?}");
        for role in ["admin", "member", "reader", "audit", "gone"] {
            assert_eq!(
                token.acts_as(role, &consumer, &roles),
                expected.contains(&role),
                "{role} of {issued:?}"
            );
        }
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_token_keeps_the_roles_that_its_owner_still_has() {
        //    issued              now                                    acts as
        check(&["admin"],         &[(HERE, "admin")],                    &["admin", "member", "reader"]);
        check(&["admin"],         &[(HERE, "member")],                   &["member", "reader"]);
        check(&["member"],        &[(HERE, "admin")],                    &["member", "reader"]);
        check(&["member"],        &[(HERE, "audit")],                    &["reader"]);
        check(&["admin"],         &[(THERE, "admin")],                   &[]);
        check(&["admin"],         &[],                                   &[]);
        check(&[],                &[(HERE, "admin")],                    &[]);
        check(&["gone"],          &[(HERE, "gone")],                     &[]);
        check(&["audit"],         &[(HERE, "audit"), (THERE, "admin")],  &["audit", "reader"]);
        check(&["audit", "member"], &[(HERE, "audit"), (HERE, "admin")], &["audit", "reader", "member"]);
    }
}
