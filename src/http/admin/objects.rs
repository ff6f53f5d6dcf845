//! `/services`, `/deployments` and so on: objects of policy, all with the same verbs.

pub(super) mod describe;
mod grants;
mod keys;
pub(super) mod plugins;
mod project_roles;
mod rows;
mod versions;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde_json::{Map, Value};

use self::describe::{Collection, One, Route, described};
use self::rows::{Seen, row, written_by};
use super::answer::{tagged, written};
use super::page::{Page, Paging};
use super::{Admin, Desk, Right, Rights};
use crate::compile::{Edition, Shown};
use crate::config::Kind;
use crate::domain::rights::{Access, Asked};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{By, Named, Need, Refusal, access, access_to_make};

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
        let all = get(move |State(admin): State<Admin>, rights: Rights, asked: Paging| {
            list_all(admin, rights, kind, asked)
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
    let path = "/deployments/{deployment}/effective".to_owned();
    desk.route(Right::ByObject, described(&Route::Effective { path }, get(effective)))
        .merge(versions::desk())
        .merge(plugins::desk())
        .merge(grants::desk())
        .merge(keys::desk())
        .merge(project_roles::desk())
}

fn named(kind: Kind, name: String) -> Named {
    Named { kind, service: None, name }
}

async fn list_all(admin: Admin, rights: Rights, kind: Kind, asked: Paging) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let edition = admin.registrar.edition().await?;
    rights.nothing_to_ask();
    let list = LISTS.iter().find(|(it, _)| *it == kind).map_or("", |(_, list)| list);
    let mut all = edition.list(kind);
    all.retain(|shown| may_see(&rights, &edition, shown));
    let (some, last) = page.cut(&all);
    let rows = some.into_iter().map(|shown| row(&seen(&rights, &edition, shown))).collect();
    Ok(page.answer(&format!("/{list}"), rows, last))
}

async fn create(
    admin: Admin,
    rights: Rights,
    (kind, by): (Kind, By),
    body: Map<String, Value>,
) -> Result<Response, Problem> {
    let written_one = written_by(body)?;
    let edition = admin.registrar.edition().await?;
    granted(access_to_make(rights.asking(), &edition, (kind, None), &written_one.settings))?;
    let done = admin.registrar.create_object(&by, kind, None, written_one).await?;
    let edition = admin.registrar.edition().await?;
    let row = row(&seen(&rights, &edition, &done.value));
    Ok(written(StatusCode::CREATED, &done, Some(row)))
}

async fn show(admin: Admin, rights: Rights, named: Named) -> Result<Response, Problem> {
    let edition = admin.registrar.edition().await?;
    let shown = found(&rights, &edition, &named, Need::See)?;
    let revision = admin.registrar.revision_of(&shown).await;
    Ok(tagged(revision, row(&seen(&rights, &edition, &shown))))
}

/// What the deployment comes to, and who says so.
async fn effective(
    State(admin): State<Admin>,
    rights: Rights,
    Path(name): Path<String>,
) -> Result<axum::Json<Value>, Problem> {
    let edition = admin.registrar.edition().await?;
    let shown = found(&rights, &edition, &named(Kind::Deployment, name), Need::See)?;
    edition.effective(&shown).map(axum::Json).ok_or_else(|| not_in_force(&shown))
}

async fn replace(
    admin: Admin,
    rights: Rights,
    (named, by): (Named, By),
    mut body: Map<String, Value>,
) -> Result<Response, Problem> {
    rows::without_what_we_add(named.kind, &mut body);
    let written_one = written_by(body)?;
    let edition = admin.registrar.edition().await?;
    let caller = rights.asking();
    let access = match edition.find(named.kind, None, &named.name) {
        Some(shown) => access(caller, &edition, &shown, Need::Change),
        // Whoever may not make it is told what is told of one that is there and may not be seen.
        None => match access_to_make(caller, &edition, (named.kind, None), &written_one.settings) {
            Access::Allowed => Access::Allowed,
            Access::Hidden | Access::Forbidden => Access::Hidden,
        },
    };
    granted_of(&named, access)?;
    let done = admin.registrar.replace_object(&by, named, written_one).await?;
    let edition = admin.registrar.edition().await?;
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
    let edition = admin.registrar.edition().await?;
    found(&rights, &edition, &named, Need::Change)?;
    let done = admin.registrar.patch_object(&by, named, body, tags).await?;
    let edition = admin.registrar.edition().await?;
    let row = row(&seen(&rights, &edition, &done.value));
    Ok(written(StatusCode::OK, &done, Some(row)))
}

async fn delete(admin: Admin, rights: Rights, (named, by): (Named, By)) -> Result<Response, Problem> {
    let edition = admin.registrar.edition().await?;
    found(&rights, &edition, &named, Need::End)?;
    let done = admin.registrar.delete_object(&by, named).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// The object, where the caller may have that of it.
fn found(rights: &Rights, edition: &Edition, named: &Named, need: Need) -> Result<Shown, Problem> {
    let found = edition.find(named.kind, named.service.as_ref(), &named.name);
    let found = found.ok_or_else(|| unseen(named))?;
    granted_of(named, access(rights.asking(), edition, &found, need))?;
    Ok(found)
}

/// The very same of what is not there and of what may not be seen.
fn unseen(named: &Named) -> Problem {
    Problem::Unseen { kind: named.kind.name(), name: named.name.clone() }
}

/// It may be seen, and no request reaches it: it is left out, or was written a moment ago.
fn not_in_force(shown: &Shown) -> Problem {
    Refusal::NotFound { what: "deployment in force", name: shown.name.clone() }.into()
}

fn may_see(rights: &Rights, edition: &Edition, shown: &Shown) -> bool {
    access(rights.asking(), edition, shown, Need::See) == Access::Allowed
}

fn granted_of(named: &Named, access: Access) -> Result<(), Problem> {
    match access {
        Access::Hidden => Err(unseen(named)),
        other => granted(other),
    }
}

fn granted(access: Access) -> Result<(), Problem> {
    match access {
        Access::Allowed => Ok(()),
        Access::Hidden => Err(Problem::NotFound),
        Access::Forbidden => Err(Problem::Forbidden),
    }
}

/// What a caller sees of an object: to whom else it is open is for those who may grant.
fn seen<'s>(rights: &Rights, edition: &Edition, shown: &'s Shown) -> Seen<'s> {
    let grants = access(rights.asking(), edition, shown, Need::Change) == Access::Allowed;
    Seen { shown, grants, all: rights.access(Asked::Everything) == Access::Allowed }
}
