//! `/services/{service}/keys`, `/deployments/{deployment}/keys` and `…/sample`: who can call what.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use uuid::Uuid;

use super::describe::{Route, described};
use super::{found, named, not_in_force};
use crate::compile::{Edition, Shown};
use crate::config::Kind;
use crate::domain::authentication::{Authentication, Method, Place, StaticToken};
use crate::domain::deployment::Deployment;
use crate::http::admin::page::{PAGE, Page, Paging, Row};
use crate::http::admin::{Admin, Desk, Right, Rights};
use crate::http::problem::Problem;
use crate::issue::{Naming, Need};

pub(super) fn desk() -> Desk<Admin> {
    let mut desk = Desk::new();
    for (kind, list) in [(Kind::Service, "services"), (Kind::Deployment, "deployments")] {
        let handlers = get(
            move |State(admin): State<Admin>, rights: Rights, Path(name): Path<String>, asked: Paging| {
                list_keys(admin, rights, (kind, name), asked)
            },
        );
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
            (None, _) => Err(not_in_force(shown)),
        },
        _ => Ok((shown.id, None)),
    }
}

async fn list_keys(
    admin: Admin,
    rights: Rights,
    (kind, name): (Kind, String),
    asked: Paging,
) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let edition = admin.registrar.edition().await?;
    let shown = found(&rights, &edition, &named(kind, name), Need::See)?;
    let (service, on) = opened(&edition, &shown)?;
    let read = |after, limit| admin.registrar.keys_naming(service, on, (after, limit));
    let (keys, last) = page.read(read).await?;
    let path = match kind {
        Kind::Deployment => format!("/deployments/{}/keys", shown.id),
        _ => format!("/services/{}/keys", shown.id),
    };
    Ok(page.answer(&path, keys.iter().map(row).collect(), last))
}

impl Row for Naming {
    fn id(&self) -> Uuid {
        self.id
    }
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
    let edition = admin.registrar.edition().await?;
    let shown = found(&rights, &edition, &named(Kind::Deployment, name), Need::See)?;
    let (service, on) = opened(&edition, &shown)?;
    let keys = admin.registrar.keys_naming(service, on, (None, PAGE)).await?;
    // The first that opens; where none does, the first.
    let key = keys.iter().find(|key| key.enabled).or(keys.first());
    let key = key.map(|key| key.public.clone().unwrap_or_else(|| key.id.to_string()));
    let catalog = edition.catalog();
    let deployment = catalog.deployments().iter().find(|it| it.id == shown.id);
    let deployment = deployment.ok_or_else(|| not_in_force(&shown))?;
    Ok(axum::Json(json!({ "curl": curl(deployment, key.as_deref()) })).into_response())
}

/// The line of the API node's document, for this deployment.
fn curl(deployment: &Deployment, key: Option<&str>) -> String {
    let key = key.unwrap_or("YOUR_KEY");
    let host = deployment.hosts.first().map_or("HOST", |host| host.strip_prefix("*.").unwrap_or(host));
    let path = deployment.paths.first().map_or("/", |path| path);
    let mut url = format!("https://{host}{path}");
    let (mut options, mut body) = (String::new(), r#"{"key": "value"}"#.to_owned());
    match how(deployment) {
        How::Open => {}
        How::Header(name) => options = format!(" --header {}", quoted(&format!("{name}: {key}"))),
        How::Bearer(text) => {
            let text = text.unwrap_or(key);
            options = format!(" --header {}", quoted(&format!("Authorization: Bearer {text}")));
        }
        How::Basic => options = " --user 'YOUR_NAME:YOUR_PASSWORD'".to_owned(),
        How::Cookie(name) => options = format!(" --cookie {}", quoted(&format!("{name}={key}"))),
        How::Query(name) => url = format!("{url}?{name}={key}"),
        How::Body(name) => body = format!(r#"{{{}: {}, "key": "value"}}"#, json!(name), json!(key)),
    }
    let (url, body) = (quoted(&url), quoted(&body));
    format!("curl -X POST{options} --header 'Content-Type: application/json' {url} --data {body}")
}

/// A word for a shell: names and paths are whoever's who configured them, the line is run by others.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

enum How<'d> {
    Open,
    /// What stands there where it is no key.
    Bearer(Option<&'static str>),
    /// A name and a password; no key opens by it.
    Basic,
    Header(&'d str),
    Query(&'d str),
    Cookie(&'d str),
    Body(&'d str),
}

fn how(deployment: &Deployment) -> How<'_> {
    let Authentication::Required { methods, .. } = &*deployment.policy.authentication else {
        return How::Open;
    };
    match methods.first() {
        Some(Method::ApiKey(method)) if method.bearer => How::Bearer(None),
        Some(Method::ApiKey(method)) => {
            let named = |place: Place| {
                let name = method.names.iter().find(|name| name.places.contains(&place));
                name.map(|name| &name.name[..])
            };
            let header = || named(Place::Header).map(How::Header);
            let query = || named(Place::Query).map(How::Query);
            let cookie = || named(Place::Cookie).map(How::Cookie);
            let body = || named(Place::Body).map(How::Body);
            header().or_else(query).or_else(cookie).or_else(body).unwrap_or(How::Bearer(None))
        }
        Some(Method::StaticToken(StaticToken { headers })) => match headers.first() {
            Some(header) if header != "authorization" => How::Header(header),
            _ => How::Bearer(None),
        },
        Some(Method::Token(_) | Method::Jwt(_)) => How::Bearer(Some("YOUR_TOKEN")),
        Some(Method::Basic(_)) => How::Basic,
        // A browser's, from a login: no line of a shell has it.
        Some(Method::Cookie(_)) => How::Open,
        None => How::Bearer(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::{Basis, load_text};
    use crate::domain::verifier::{Pepper, Peppers};

    #[track_caller]
    fn check(service: &str, expected: &str) {
        let text = format!("services: [{{name: shop, {service}}}]");
        let loaded = load_text(text).unwrap_or_else(|faults| panic!("{faults}"));
        let basis = Basis::new(loaded.config, &Peppers::new(vec![Pepper::new(&[1; 32])]));
        let (catalog, _) = basis.unwrap_or_else(|faults| panic!("{faults}")).compile(&[]);
        assert_eq!(curl(&catalog.deployments()[0], Some("dw_key_x")), expected);
    }

    #[test]
    fn the_sample_shows_the_key_where_it_is_looked_for() {
        let json = "--header 'Content-Type: application/json'";
        let data = r#"--data '{"key": "value"}'"#;
        for (authentication, key) in [
            ("{any: [{api_key: {bearer: true}}]}", "--header 'Authorization: Bearer dw_key_x' "),
            ("{any: [api_key]}", "--header 'apikey: dw_key_x' "),
            ("{any: [{api_key: {names: [k], in: [cookie]}}]}", "--cookie 'k=dw_key_x' "),
            ("{any: [{static_token: {headers: [X-Auth-Token]}}]}", "--header 'x-auth-token: dw_key_x' "),
            ("{any: [static_token]}", "--header 'Authorization: Bearer dw_key_x' "),
            ("{any: [basic]}", "--user 'YOUR_NAME:YOUR_PASSWORD' "),
            ("none", ""),
        ] {
            check(
                &format!("authentication: {authentication}"),
                &format!("curl -X POST {key}{json} 'https://HOST/' {data}"),
            );
        }
        check(
            "authentication: {any: [{api_key: {names: [{name: k, in: [query]}]}}]}",
            &format!("curl -X POST {json} 'https://HOST/?k=dw_key_x' {data}"),
        );
        check(
            "authentication: {any: [{api_key: {names: [k], in: [body]}}]}",
            &format!(r#"curl -X POST {json} 'https://HOST/' --data '{{"k": "dw_key_x", "key": "value"}}'"#),
        );
    }

    #[test]
    fn whoever_configures_a_path_runs_nothing_in_the_shell_of_who_copies_the_sample() {
        check(
            r#"hosts: ["*.a.example"], paths: ["/a'$(id)'"], authentication: none"#,
            r#"curl -X POST --header 'Content-Type: application/json' 'https://a.example/a'\''$(id)'\''' --data '{"key": "value"}'"#,
        );
    }
}
