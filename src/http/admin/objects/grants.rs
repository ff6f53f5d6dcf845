//! `/services/{service}/grants/{group}` and the same of infrastructures: what groups may do with them.

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::describe::{Route, described};
use super::{found, named};
use crate::config::Kind;
use crate::http::admin::answer::{tagged, written};
use crate::http::admin::{Admin, Desk, Right, Rights};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{By, Need};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Privileges {
    privileges: Vec<String>,
}

pub(super) fn desk() -> Desk<Admin> {
    let mut desk = Desk::new();
    for (kind, list) in [(Kind::Service, "services"), (Kind::Infrastructure, "infrastructures")] {
        type Names = Path<(String, String)>;
        let handlers = get(move |State(admin): State<Admin>, rights: Rights, Path(names): Names| {
            show(admin, rights, kind, names)
        })
        .put(
            move |State(admin): State<Admin>,
                  rights: Rights,
                  by: By,
                  Path(names): Names,
                  Body(body): Body<Privileges>| grant(admin, rights, (kind, by), (names, body)),
        )
        .delete(move |State(admin): State<Admin>, rights: Rights, by: By, Path(names): Names| {
            revoke(admin, rights, (kind, by), names)
        });
        let path = format!("/{list}/{{{}}}/grants/{{group}}", kind.name());
        desk = desk.route(Right::ByObject, described(&Route::Grant { path }, handlers));
    }
    desk
}

async fn show(
    admin: Admin,
    rights: Rights,
    kind: Kind,
    (name, group): (String, String),
) -> Result<Response, Problem> {
    let edition = admin.registrar.edition().await?;
    let on = found(&rights, &edition, &named(kind, name), Need::Change)?;
    let privileges = admin.registrar.granted(&edition, &on, &group)?;
    // A grant is a setting of what it is on, and changes with it.
    let revision = admin.registrar.revision_of(&on).await;
    Ok(tagged(revision, json!({ "privileges": privileges })))
}

async fn grant(
    admin: Admin,
    rights: Rights,
    (kind, by): (Kind, By),
    ((name, group), body): ((String, String), Privileges),
) -> Result<Response, Problem> {
    let edition = admin.registrar.edition().await?;
    let on = named(kind, name);
    found(&rights, &edition, &on, Need::Change)?;
    let mut privileges = body.privileges;
    privileges.sort();
    privileges.dedup();
    let row = json!({ "privileges": privileges });
    let done = admin.registrar.grant(&by, on, &group, privileges).await?;
    Ok(written(StatusCode::OK, &done, Some(row)))
}

async fn revoke(
    admin: Admin,
    rights: Rights,
    (kind, by): (Kind, By),
    (name, group): (String, String),
) -> Result<Response, Problem> {
    let edition = admin.registrar.edition().await?;
    let on = named(kind, name);
    found(&rights, &edition, &on, Need::Change)?;
    let done = admin.registrar.revoke_grant(&by, on, &group).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}
