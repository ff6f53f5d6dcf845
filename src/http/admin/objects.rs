//! `/services`, `/deployments` and so on: objects of policy, all with the same verbs.

mod describe;
mod grants;
mod keys;
mod project_roles;
mod rows;
mod versions;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Map, Value};

use self::describe::{Collection, One, described};
use self::rows::{Listed, Listing, Seen, row, written_by};
use super::answer::written;
use super::{Admin, Desk, Right, Rights};
use crate::compile::{Edition, Shown};
use crate::config::Kind;
use crate::domain::rights::{Access, Asked, InfrastructurePrivilege, ServicePrivilege};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{By, Named, Sides, creators};

/// The kinds that have lists of their own, and where those are.
const LISTS: [(Kind, &str); 7] = [
    (Kind::Permission, "permissions"),
    (Kind::Role, "roles"),
    (Kind::Project, "projects"),
    (Kind::Group, "groups"),
    (Kind::Infrastructure, "infrastructures"),
    (Kind::Service, "services"),
    (Kind::Deployment, "deployments"),
];

pub(super) fn desk() -> Desk<Admin> {
    let mut desk = Desk::new();
    for (kind, list) in LISTS {
        let right = match kind {
            Kind::Permission | Kind::Role | Kind::Project | Kind::Group => Right::Everything,
            Kind::Infrastructure | Kind::Service | Kind::Version | Kind::Deployment => Right::ByObject,
        };
        let all = get(move |State(admin): State<Admin>, rights: Rights, listing: Listing| {
            list_all(admin, rights, kind, listing)
        })
        .post(
            move |State(admin): State<Admin>,
                  rights: Rights,
                  by: By,
                  Body(body): Body<Map<String, Value>>| {
                create(admin, rights, (kind, by), body)
            },
        );
        desk = desk.route(right, described(&Collection { kind, path: format!("/{list}") }, all));
        let one = get(move |State(admin): State<Admin>, rights: Rights, Path(name): Path<String>| {
            show(admin, rights, named(kind, name))
        })
        .put(
            move |State(admin): State<Admin>,
                  rights: Rights,
                  by: By,
                  Path(name): Path<String>,
                  Body(body): Body<Map<String, Value>>| {
                replace(admin, rights, (named(kind, name), by), body)
            },
        )
        .patch(
            move |State(admin): State<Admin>,
                  rights: Rights,
                  by: By,
                  Path(name): Path<String>,
                  Body(body): Body<Map<String, Value>>| {
                patch(admin, rights, (named(kind, name), by), body)
            },
        )
        .delete(
            move |State(admin): State<Admin>, rights: Rights, by: By, Path(name): Path<String>| {
                delete(admin, rights, (named(kind, name), by))
            },
        );
        let path = format!("/{list}/{{{}}}", kind.name());
        desk = desk.route(right, described(&One { kind, path, replaced: true }, one));
    }
    desk.merge(versions::desk()).merge(grants::desk()).merge(keys::desk()).merge(project_roles::desk())
}

fn named(kind: Kind, name: String) -> Named {
    Named { kind, service: None, name }
}

async fn list_all(admin: Admin, rights: Rights, kind: Kind, listing: Listing) -> Result<Response, Problem> {
    let listed = Listed::of(listing)?;
    let edition = admin.issuer.edition().await?;
    rights.nothing_to_ask();
    let list = LISTS.iter().find(|(it, _)| *it == kind).map_or("", |(_, list)| list);
    let mut all = edition.list(kind);
    all.retain(|shown| listed.takes(shown) && may_see(&rights, &edition, shown));
    Ok(listed.page(&format!("/{list}"), &all, |shown| row(&seen(&rights, &edition, shown))))
}

async fn create(
    admin: Admin,
    rights: Rights,
    (kind, by): (Kind, By),
    body: Map<String, Value>,
) -> Result<Response, Problem> {
    let written_one = written_by(body)?;
    let edition = admin.issuer.edition().await?;
    ask_to_make(&rights, &edition, kind, &written_one.settings)?;
    let done = admin.issuer.create_object(&by, kind, None, written_one).await?;
    let edition = admin.issuer.edition().await?;
    let row = row(&seen(&rights, &edition, &done.value));
    Ok(written(StatusCode::CREATED, &done, Some(row)))
}

async fn show(admin: Admin, rights: Rights, named: Named) -> Result<Response, Problem> {
    let edition = admin.issuer.edition().await?;
    let shown = found(&rights, &edition, &named, Need::See)?;
    Ok(axum::Json(row(&seen(&rights, &edition, &shown))).into_response())
}

async fn replace(
    admin: Admin,
    rights: Rights,
    (named, by): (Named, By),
    mut body: Map<String, Value>,
) -> Result<Response, Problem> {
    rows::without_what_we_add(named.kind, &mut body);
    let written_one = written_by(body)?;
    let edition = admin.issuer.edition().await?;
    match edition.find(named.kind, None, &named.name) {
        Some(shown) => ask(&rights, &edition, &shown, Need::Change)?,
        None => ask_to_make(&rights, &edition, named.kind, &written_one.settings)?,
    }
    let done = admin.issuer.replace_object(&by, named, written_one).await?;
    let edition = admin.issuer.edition().await?;
    let row = row(&seen(&rights, &edition, &done.value));
    Ok(written(StatusCode::OK, &done, Some(row)))
}

async fn patch(
    admin: Admin,
    rights: Rights,
    (named, by): (Named, By),
    mut body: Map<String, Value>,
) -> Result<Response, Problem> {
    let tags = body.contains_key("tags").then(|| rows::tags(&mut body)).transpose()?;
    let edition = admin.issuer.edition().await?;
    found(&rights, &edition, &named, Need::Change)?;
    let done = admin.issuer.patch_object(&by, named, body, tags).await?;
    let edition = admin.issuer.edition().await?;
    let row = row(&seen(&rights, &edition, &done.value));
    Ok(written(StatusCode::OK, &done, Some(row)))
}

async fn delete(admin: Admin, rights: Rights, (named, by): (Named, By)) -> Result<Response, Problem> {
    let edition = admin.issuer.edition().await?;
    found(&rights, &edition, &named, Need::End)?;
    let done = admin.issuer.delete_object(&by, named).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// What somebody wants with an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    See,
    Change,
    End,
}

/// The object, where the caller may have that of it.
fn found(rights: &Rights, edition: &Edition, named: &Named, need: Need) -> Result<Shown, Problem> {
    let found = edition.find(named.kind, named.service.as_ref(), &named.name).ok_or(Problem::NotFound)?;
    ask(rights, edition, &found, need)?;
    Ok(found)
}

fn ask(rights: &Rights, edition: &Edition, shown: &Shown, need: Need) -> Result<(), Problem> {
    match access(rights, edition, shown, need) {
        Access::Allowed => Ok(()),
        Access::Hidden => Err(Problem::NotFound),
        Access::Forbidden => Err(Problem::Forbidden),
    }
}

fn may_see(rights: &Rights, edition: &Edition, shown: &Shown) -> bool {
    access(rights, edition, shown, Need::See) == Access::Allowed
}

/// The one place that says which right is needed for what.
fn access(rights: &Rights, edition: &Edition, shown: &Shown, need: Need) -> Access {
    match shown.kind {
        Kind::Permission | Kind::Role | Kind::Project | Kind::Group => rights.access(Asked::Everything),
        Kind::Service | Kind::Version => {
            let service = shown.service.unwrap_or(shown.id);
            let sides = Sides::of(edition, Some(&service), None);
            let privilege = match (shown.kind, need) {
                (_, Need::See) => ServicePrivilege::Read,
                (Kind::Version, _) => ServicePrivilege::Write,
                (_, Need::Change | Need::End) => ServicePrivilege::Admin,
            };
            rights.access(Asked::Service(privilege, sides.on_service()))
        }
        Kind::Infrastructure => {
            let sides = Sides::of(edition, None, Some(&shown.id));
            let privilege = match need {
                Need::See => InfrastructurePrivilege::View,
                Need::Change | Need::End => InfrastructurePrivilege::Admin,
            };
            let asked = rights.access(Asked::Infrastructure(privilege, sides.on_infrastructure()));
            match (need, asked) {
                // They are made by admin keys alone, and so they are ended.
                (Need::End, Access::Allowed) => rights.access(Asked::Everything),
                (_, asked) => asked,
            }
        }
        Kind::Deployment => {
            let (service, infrastructure) = edition.sides(shown);
            let sides = Sides::of(edition, service.as_ref(), infrastructure.as_ref());
            let (service, infrastructure) = (sides.on_service(), sides.on_infrastructure());
            rights.access(match need {
                Need::See => Asked::ReadDeployment(service, infrastructure),
                Need::Change | Need::End => Asked::Deploy(service, infrastructure),
            })
        }
    }
}

fn ask_to_make(
    rights: &Rights,
    edition: &Edition,
    kind: Kind,
    settings: &Map<String, Value>,
) -> Result<(), Problem> {
    match kind {
        Kind::Permission
        | Kind::Role
        | Kind::Project
        | Kind::Group
        | Kind::Infrastructure
        | Kind::Version => rights.ask(Asked::Everything),
        Kind::Service => rights.ask(Asked::CreateService { groups: &creators(edition) }),
        Kind::Deployment => {
            let side = |key: &str, kind: Kind| {
                edition.compiled().find(kind, settings.get(key).and_then(Value::as_str)?)
            };
            let service = side("service", Kind::Service);
            let infrastructure = side("infrastructure", Kind::Infrastructure);
            let sides = Sides::of(edition, service.as_ref(), infrastructure.as_ref());
            rights.ask(Asked::Deploy(sides.on_service(), sides.on_infrastructure()))
        }
    }
}

/// What a caller sees of an object: to whom else it is open is for those who may grant.
fn seen<'s>(rights: &Rights, edition: &Edition, shown: &'s Shown) -> Seen<'s> {
    let grants = access(rights, edition, shown, Need::Change) == Access::Allowed;
    Seen { shown, grants }
}
