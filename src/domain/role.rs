//! Roles by project, as KakaoCloud's document has them: a role implies lesser ones.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

pub type ProjectId = Uuid;

/// A project, with the fields that its document's list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    pub id: ProjectId,
    pub name: String,
    pub domain_id: Option<Uuid>,
    pub description: String,
}

/// A role that somebody has in a project.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleGrant {
    pub project: ProjectId,
    pub role: String,
}

/// A role that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleDemand {
    pub role: String,
    /// `None`: in any project.
    pub project: Option<ProjectId>,
}

/// Which roles a role implies, itself among them.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    implied: HashMap<String, BTreeSet<String>>,
}

impl Roles {
    /// Of each role the ones it implies directly. Circles are harmless: all in one are the same.
    pub fn new(direct: &HashMap<String, Vec<String>>) -> Self {
        let implied = direct.keys().map(|role| {
            let mut reached = BTreeSet::new();
            let mut open = vec![role.as_str()];
            while let Some(role) = open.pop() {
                if reached.insert(role.to_owned()) {
                    open.extend(direct.get(role).into_iter().flatten().map(String::as_str));
                }
            }
            (role.clone(), reached)
        });
        Self { implied: implied.collect() }
    }

    /// What a role implies, in order.
    pub fn implied(&self, by: &str) -> impl Iterator<Item = &str> {
        self.implied.get(by).into_iter().flatten().map(String::as_str)
    }

    /// Whether whoever has the one role has the other. A role that is not known implies nothing, not
    /// even itself: a reference that cannot be resolved denies.
    pub fn implies(&self, has: &str, wanted: &str) -> bool {
        self.implied.get(has).is_some_and(|implied| implied.contains(wanted))
    }

    /// The same for whoever has several.
    pub fn imply(&self, have: &[String], wanted: &str) -> bool {
        have.iter().any(|has| self.implies(has, wanted))
    }

    /// As few of these as imply all of them: of a circle the first one.
    pub fn least<'r>(&self, of: impl IntoIterator<Item = &'r str>) -> Vec<String> {
        let mut least: Vec<String> = Vec::new();
        for role in of {
            if !self.imply(&least, role) {
                least.retain(|lesser| !self.implies(role, lesser));
                least.push(role.to_owned());
            }
        }
        least
    }

    pub fn is_known(&self, role: &str) -> bool {
        self.implied.contains_key(role)
    }

    /// Whether whoever has `grants` has what is demanded.
    pub fn satisfy(&self, grants: &[RoleGrant], demand: &RoleDemand) -> bool {
        grants.iter().any(|grant| {
            demand.project.is_none_or(|project| project == grant.project)
                && self.implies(&grant.role, &demand.role)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Uuid = Uuid::from_u128(1);
    const THERE: Uuid = Uuid::from_u128(2);

    fn check(has: &str, wants: &str, project: Option<ProjectId>, expected: bool) {
        let direct = [("admin", vec!["member"]), ("member", vec!["reader"]), ("reader", vec!["reader"])];
        let direct = direct.map(|(role, implies)| {
            (role.to_owned(), implies.into_iter().map(str::to_owned).collect::<Vec<_>>())
        });
        let grants = [RoleGrant { project: HERE, role: has.to_owned() }];
        let demand = RoleDemand { role: wants.to_owned(), project };
        let roles = Roles::new(&HashMap::from(direct));
        assert_eq!(roles.satisfy(&grants, &demand), expected, "{has} → {wants} in {project:?}");
    }

    #[test]
    fn the_least_roles_imply_all_the_others() {
        let direct = [("a", vec!["b"]), ("b", vec!["c"]), ("c", vec![]), ("x", vec!["y"]), ("y", vec!["x"])];
        let direct =
            direct.map(|(role, implies)| (role.into(), implies.into_iter().map(Into::into).collect()));
        let roles = Roles::new(&HashMap::from(direct));
        let check = |of: &[&str], expected: &[&str]| {
            assert_eq!(roles.least(of.iter().copied()), expected, "{of:?}");
        };
        check(&[], &[]);
        check(&["a", "b", "c"], &["a"]);
        check(&["c", "b", "a"], &["a"]);
        check(&["c", "x", "b", "y", "b"], &["x", "b"]);
    }

    #[test]
    fn a_role_implies_the_lesser_ones_and_none_elsewhere() {
        check("admin", "admin", None, true);
        check("admin", "reader", None, true);
        check("admin", "reader", Some(HERE), true);
        check("admin", "reader", Some(THERE), false);
        check("member", "admin", None, false);
        check("unknown", "unknown", None, false);
    }
}
