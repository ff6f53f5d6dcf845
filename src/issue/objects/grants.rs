//! What groups may do with services and infrastructures.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Named, find, stored};
use crate::compile::{Edition, Shown};
use crate::config::{Kind, Wrong};
use crate::domain::rights::{Grant, InfrastructurePrivilege, OnInfrastructure, OnService, ServicePrivilege};
use crate::issue::{By, Done, Refusal, Registrar};

/// Who may do what with a service and an infrastructure.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    owner: Option<Uuid>,
    service: Vec<Grant<ServicePrivilege>>,
    infrastructure: Vec<Grant<InfrastructurePrivilege>>,
}

impl Sides {
    /// Of these two, where they are known; of what is not, nobody may do anything.
    pub fn of(edition: &Edition, service: Option<&Uuid>, infrastructure: Option<&Uuid>) -> Self {
        let service = service.and_then(|id| edition.show(Kind::Service, id));
        let infrastructure = infrastructure.and_then(|id| edition.show(Kind::Infrastructure, id));
        Self {
            owner: service.as_ref().and_then(|it| it.record.as_ref()?.owner),
            service: granted(edition, service.as_ref(), &ServicePrivilege::ALL, ServicePrivilege::name),
            infrastructure: granted(
                edition,
                infrastructure.as_ref(),
                &InfrastructurePrivilege::ALL,
                InfrastructurePrivilege::name,
            ),
        }
    }

    pub fn on_service(&self) -> OnService<'_> {
        OnService { owner: self.owner, grants: &self.service }
    }

    pub fn on_infrastructure(&self) -> OnInfrastructure<'_> {
        OnInfrastructure { grants: &self.infrastructure }
    }
}

/// The names of the groups whose members may make services.
pub(super) fn creators(edition: &Edition) -> Vec<String> {
    let may = |group: &Shown| {
        let privileges = group.settings.get("privileges").and_then(Value::as_array);
        privileges.is_some_and(|all| all.contains(&json!("create_service")))
    };
    edition
        .list(Kind::Group)
        .into_iter()
        .filter(|it| it.refused.is_empty() && may(it))
        .map(|it| it.name)
        .collect()
}

fn granted<P: Copy>(
    edition: &Edition,
    on: Option<&Shown>,
    all: &[P],
    name: impl Fn(P) -> &'static str,
) -> Vec<Grant<P>> {
    let grants = on.and_then(|on| on.settings.get("grants")).and_then(Value::as_object);
    let grant = |(group, privileges): (&String, &Value)| {
        let id = edition.compiled().find(Kind::Group, group)?;
        let group = edition.compiled().name(Kind::Group, &id)?.to_owned();
        let has =
            |privilege: &P| privileges.as_array().is_some_and(|it| it.contains(&json!(name(*privilege))));
        Some(Grant { group, privileges: all.iter().copied().filter(has).collect() })
    };
    grants.into_iter().flatten().filter_map(grant).collect()
}

impl Registrar {
    /// What a group was granted on a service or an infrastructure.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`] where it was granted nothing.
    pub fn granted(&self, edition: &Edition, on: &Shown, group: &str) -> Result<Value, Refusal> {
        let id = group_of(edition, group)?;
        let nothing = || Refusal::NotFound { what: "grant", name: group.to_owned() };
        let grants = on.settings.get("grants").and_then(Value::as_object).ok_or_else(nothing)?;
        let of_group = |key: &String| edition.compiled().find(Kind::Group, key) == Some(id);
        let found = grants.iter().find(|(key, _)| of_group(key)).ok_or_else(nothing)?;
        Ok(found.1.clone())
    }

    /// Grants these privileges to a group, instead of those that it had.
    ///
    /// # Errors
    ///
    /// The group is unknown, or a word is no privilege.
    pub async fn grant(
        &self,
        by: &By,
        on: Named,
        group: &str,
        privileges: Vec<String>,
    ) -> Result<Done<Shown>, Refusal> {
        let known: &[&str] = match on.kind {
            Kind::Service => &ServicePrivilege::ALL.map(ServicePrivilege::name),
            _ => &InfrastructurePrivilege::ALL.map(InfrastructurePrivilege::name),
        };
        let invalid = |why: String| Err(Refusal::Invalid { field: "privileges", why });
        if privileges.is_empty() {
            return invalid("is empty; to take back all, delete the grant".to_owned());
        }
        if !privileges.iter().all(|it| known.contains(&&it[..])) {
            return invalid(format!("expected some of {}", known.join(", ")));
        }
        let edition = self.edition().await?;
        let id = group_of(&edition, group).map_err(|refusal| refusal.told_to(&by.caller))?.to_string();
        self.change_object(by, on, move |settings, _| {
            let grants = settings.entry("grants").or_insert_with(|| json!({}));
            if let Some(grants) = grants.as_object_mut() {
                grants.insert(id.clone(), json!(privileges));
            }
            Ok(())
        })
        .await
    }

    /// Takes back all that a group was granted.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`] where it was granted nothing.
    pub async fn revoke_grant(&self, by: &By, on: Named, group: &str) -> Result<Done<Shown>, Refusal> {
        let edition = self.edition().await?;
        let found = find(&edition, &on)?;
        stored(&found)?;
        self.granted(&edition, &found, group).map_err(|refusal| refusal.told_to(&by.caller))?;
        let id = group_of(&edition, group)?.to_string();
        self.change_object(by, on, move |settings, _| {
            let grants = settings.get_mut("grants").and_then(Value::as_object_mut);
            if let Some(grants) = grants {
                grants.remove(&id);
            }
            Ok(())
        })
        .await
    }
}

fn group_of(edition: &Edition, group: &str) -> Result<Uuid, Refusal> {
    let unknown = || {
        let unknown = edition.compiled().unknown(Kind::Group, group);
        Refusal::Faulty(vec![Wrong { path: "group".to_owned(), ..unknown }])
    };
    edition.compiled().find(Kind::Group, group).ok_or_else(unknown)
}

/// Refuses grants to groups that are unknown.
pub(super) fn check_known(edition: &Edition, settings: &Value) -> Result<(), Refusal> {
    let none = Map::new();
    let grants = settings.get("grants").and_then(Value::as_object).unwrap_or(&none);
    for (group, privileges) in grants {
        let wrong = if edition.compiled().find(Kind::Group, group).is_none() {
            edition.compiled().unknown(Kind::Group, group)
        } else if privileges.as_array().is_some_and(Vec::is_empty) {
            Wrong::of_whole("is granted nothing; leave it out")
        } else {
            continue;
        };
        return Err(Refusal::Faulty(vec![Wrong { path: format!("grants.{group}"), ..wrong }]));
    }
    Ok(())
}

/// A group that something was granted to stays.
pub(super) fn check_ungranted(edition: &Edition, group: &Shown) -> Result<(), Refusal> {
    if group.kind != Kind::Group {
        return Ok(());
    }
    for kind in [Kind::Service, Kind::Infrastructure] {
        for on in edition.list(kind) {
            let grants = on.settings.get("grants").and_then(Value::as_object);
            let to = |key: &String| edition.compiled().find(Kind::Group, key) == Some(group.id);
            if grants.is_some_and(|grants| grants.keys().any(to)) {
                let by = format!("{} `{}`", kind.name(), on.name);
                return Err(Refusal::InUse { by, why: "grants it something".to_owned() });
            }
        }
    }
    Ok(())
}

/// A group that a policy names by its id stays, and keeps its name: whom the policy means is known by that.
pub(super) fn check_unnamed(edition: &Edition, group: &Shown) -> Result<(), Refusal> {
    if group.kind != Kind::Group {
        return Ok(());
    }
    for kind in [Kind::Service, Kind::Version, Kind::Deployment] {
        for by in edition.list(kind) {
            if by.settings.iter().any(|(key, value)| names_group(key, value, &group.id)) {
                let by = format!("{} `{}`", kind.name(), by.name);
                return Err(Refusal::InUse { by, why: "names it by its id".to_owned() });
            }
        }
    }
    Ok(())
}

/// Whether `groups` in this setting has the id, however it is spelled.
fn names_group(key: &str, value: &Value, id: &Uuid) -> bool {
    match value {
        Value::Object(settings) if key == "groups" => settings.values().any(|list| has(list, id)),
        Value::Object(settings) => settings.iter().any(|(key, value)| names_group(key, value, id)),
        Value::Array(_) if key == "groups" => has(value, id),
        Value::Array(items) => items.iter().any(|item| names_group(key, item, id)),
        _ => false,
    }
}

fn has(list: &Value, id: &Uuid) -> bool {
    let is = |text: &Value| text.as_str().and_then(|text| Uuid::try_parse(text).ok()).as_ref() == Some(id);
    list.as_array().is_some_and(|list| list.iter().any(is))
}
