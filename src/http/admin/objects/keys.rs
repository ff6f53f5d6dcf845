//! `/services/{service}/keys`, `/deployments/{deployment}/keys` and `…/sample`: who can call what.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use uuid::Uuid;

use super::describe::{Route, described};
use super::{Need, found, named};
use crate::compile::{Edition, Shown};
use crate::config::Kind;
use crate::domain::authentication::{Authentication, Method, Place};
use crate::domain::deployment::Deployment;
use crate::http::admin::answer::{Paging, list, paging};
use crate::http::admin::{Admin, Desk, Right, Rights};
use crate::http::problem::Problem;
use crate::issue::Naming;

pub(super) fn desk() -> Desk<Admin> {
    let mut desk = Desk::new();
    for (kind, list) in [(Kind::Service, "services"), (Kind::Deployment, "deployments")] {
        let handlers =
            get(move |State(admin): State<Admin>, rights: Rights, Path(name): Path<String>, page: Paging| {
                list_keys(admin, rights, (kind, name), page)
            });
        let path = format!("/{list}/{{{}}}/keys", kind.name());
        desk = desk.route(Right::ByObject, described(&Route::Keys { path }, handlers));
    }
    let path = "/deployments/{deployment}/sample".to_owned();
    desk.route(Right::ByObject, described(&Route::Sample { path }, get(sample)))
}

/// Whose service on which infrastructure a key opens that is made for this.
fn opened(edition: &Edition, shown: &Shown) -> Result<(Uuid, Option<Uuid>), Problem> {
    match shown.kind {
        Kind::Deployment => match edition.sides(shown) {
            (Some(service), infrastructure) => Ok((service, infrastructure)),
            (None, _) => Err(Problem::NotFound),
        },
        _ => Ok((shown.id, None)),
    }
}

async fn list_keys(
    admin: Admin,
    rights: Rights,
    (kind, name): (Kind, String),
    page: Paging,
) -> Result<Response, Problem> {
    let (after, size) = paging(page)?;
    let edition = admin.issuer.edition().await?;
    let shown = found(&rights, &edition, &named(kind, name), Need::See)?;
    let (service, on) = opened(&edition, &shown)?;
    let keys = admin.issuer.keys_naming(service, on, (after, size + 1)).await?;
    let rows = keys.iter().take(size).map(row).collect();
    let last = keys.get(size - 1).filter(|_| keys.len() > size).map(|key| key.id);
    let path = match kind {
        Kind::Deployment => format!("/deployments/{}/keys", shown.id),
        _ => format!("/services/{}/keys", shown.id),
    };
    Ok(list(&path, rows, last, size))
}

fn row(key: &Naming) -> Value {
    json!({
        "id": key.id,
        "key": key.public,
        "consumer": { "id": key.consumer },
        "enabled": key.enabled,
    })
}

async fn sample(
    State(admin): State<Admin>,
    rights: Rights,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let edition = admin.issuer.edition().await?;
    let shown = found(&rights, &edition, &named(Kind::Deployment, name), Need::See)?;
    let (service, on) = opened(&edition, &shown)?;
    let keys = admin.issuer.keys_naming(service, on, (None, 1)).await?;
    let key = keys.first().map(|key| key.public.clone().unwrap_or_else(|| key.id.to_string()));
    let catalog = edition.catalog();
    let deployment = catalog.deployments().iter().find(|it| it.id == shown.id).ok_or(Problem::NotFound)?;
    Ok(axum::Json(json!({ "curl": curl(deployment, key.as_deref()) })).into_response())
}

/// The line of the API node's document, for this deployment.
fn curl(deployment: &Deployment, key: Option<&str>) -> String {
    let key = key.unwrap_or("YOUR_KEY");
    let host = deployment.hosts.first().map_or("HOST", |host| host.strip_prefix("*.").unwrap_or(host));
    let path = deployment.paths.first().map_or("/", |path| path);
    let url = format!("https://{host}{path}");
    let (header, url) = match how(deployment) {
        How::Open => (String::new(), url),
        How::Header(name) => (format!(" --header '{name}: {key}'"), url),
        How::Bearer => (format!(" --header 'Authorization: Bearer {key}'"), url),
        How::Query(name) => (String::new(), format!("{url}?{name}={key}")),
    };
    format!(
        "curl -X POST{header} --header 'Content-Type: application/json' '{url}' --data '{{\"key\": \"value\"}}'"
    )
}

enum How {
    Open,
    Bearer,
    Header(String),
    Query(String),
}

fn how(deployment: &Deployment) -> How {
    let Authentication::Required { methods, .. } = &deployment.policy.authentication else {
        return How::Open;
    };
    for method in methods {
        match method {
            Method::ApiKey(method) if method.bearer => return How::Bearer,
            Method::ApiKey(method) => {
                let named = |place: Place| method.names.iter().find(|name| name.places.contains(&place));
                if let Some(name) = named(Place::Header) {
                    return How::Header(name.name.clone());
                }
                if let Some(name) = named(Place::Query) {
                    return How::Query(name.name.clone());
                }
            }
            Method::Jwt(_) => return How::Bearer,
            Method::StaticToken(method) => match method.headers.first() {
                Some(header) if header != "authorization" => return How::Header(header.clone()),
                _ => return How::Bearer,
            },
        }
    }
    How::Bearer
}
