//! `/services/{service}/plugins`, and `/routes/…` as another word for the same: Kong's plugins as parts
//! of a service's policy. They are made of its settings whenever they are asked for.

mod body;
mod policy;
mod words;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

pub(in crate::http::admin) use self::body::PluginBody;
use self::body::{Given, ServiceNamed};
use self::policy::There;
use self::words::Config;
use super::describe::{Route, described};
use super::{found, named};
use crate::compile::Shown;
use crate::config::{Kind, Wrong};
use crate::http::admin::answer::{segment, written};
use crate::http::admin::page::{Page, Paging, Row};
use crate::http::admin::{Admin, Desk, Right, Rights};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{By, Need, Outcome, Refusal, Registrar, Run};

/// The plugins that a policy can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plugin {
    KeyAuth,
    Acl,
    Jwt,
    BasicAuth,
    IpRestriction,
}

/// As Kong calls them.
pub fn plugin_names() -> [&'static str; 5] {
    Plugin::ALL.map(Plugin::name)
}

/// A policy knows no others.
const PROTOCOLS: [&str; 4] = ["grpc", "grpcs", "http", "https"];

impl Plugin {
    const ALL: [Self; 5] = [Self::KeyAuth, Self::Acl, Self::Jwt, Self::BasicAuth, Self::IpRestriction];

    const fn name(self) -> &'static str {
        match self {
            Self::KeyAuth => "key-auth",
            Self::Acl => "acl",
            Self::Jwt => "jwt",
            Self::BasicAuth => "basic-auth",
            Self::IpRestriction => "ip-restriction",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plugin| plugin.name() == name)
    }

    /// By id, or by name: there is one of a name.
    fn of_path(service: &Uuid, named: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == named || it.id(service).to_string() == named)
    }

    /// A service has one of each, which goes by the same id as long as the service lives.
    fn id(self, service: &Uuid) -> Uuid {
        Uuid::new_v5(service, format!("plugin {}", self.name()).as_bytes())
    }

    /// Which setting of a service it is of.
    fn key(self) -> &'static str {
        match self {
            Self::KeyAuth | Self::Jwt | Self::BasicAuth => policy::AUTHENTICATION,
            Self::Acl => "groups",
            Self::IpRestriction => "networks",
        }
    }

    /// Which method of authentication it is.
    fn method(self) -> Option<&'static str> {
        match self {
            Self::KeyAuth => Some("api_key"),
            Self::Jwt => Some("jwt"),
            Self::BasicAuth => Some("basic"),
            Self::Acl | Self::IpRestriction => None,
        }
    }
}

/// Under which word the service was asked for: its answers say the same.
#[derive(Clone, Copy)]
enum Root {
    Service,
    Route,
}

impl Root {
    fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Route => "route",
        }
    }
}

pub(super) fn desk() -> Desk<Admin> {
    let mut desk = Desk::new();
    for root in [Root::Service, Root::Route] {
        type Names = Path<(String, String)>;
        let all = get(
            move |State(admin): State<Admin>, rights: Rights, Path(service): Path<String>, asked: Paging| {
                list(admin, rights, (root, service), asked)
            },
        )
        .post(
            move |State(admin): State<Admin>,
                  rights: Rights,
                  by: By,
                  Path(service): Path<String>,
                  Body(body): Body<PluginBody>| {
                let at = At { root, service, plugin: None };
                write(admin, rights, by, (at, How::Make, body))
            },
        );
        let one = get(move |State(admin): State<Admin>, rights: Rights, Path(names): Names| {
            show(admin, rights, At::of(root, names))
        })
        .put(
            move |State(admin): State<Admin>,
                  rights: Rights,
                  by: By,
                  Path(names): Names,
                  Body(body): Body<PluginBody>| {
                write(admin, rights, by, (At::of(root, names), How::Replace, body))
            },
        )
        .patch(
            move |State(admin): State<Admin>,
                  rights: Rights,
                  by: By,
                  Path(names): Names,
                  Body(body): Body<PluginBody>| {
                write(admin, rights, by, (At::of(root, names), How::Change, body))
            },
        )
        .delete(move |State(admin): State<Admin>, rights: Rights, by: By, Path(names): Names| {
            delete(admin, rights, by, At::of(root, names))
        });
        let path = format!("/{}s/{{{}}}/plugins", root.word(), root.word());
        let each = format!("{path}/{{plugin}}");
        // Kong's paths, and what they name of consumers, are for admin keys.
        desk = desk.route(Right::Everything, described(&Route::Plugins { path }, all));
        desk = desk.route(Right::Everything, described(&Route::Plugin { path: each }, one));
    }
    desk
}

/// What a path names.
struct At {
    root: Root,
    service: String,
    plugin: Option<String>,
}

impl At {
    fn of(root: Root, (service, plugin): (String, String)) -> Self {
        Self { root, service, plugin: Some(plugin) }
    }

    fn plugin(&self, service: &Uuid) -> Option<Plugin> {
        Plugin::of_path(service, self.plugin.as_deref()?)
    }
}

/// What is to become of the one that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// There must be none.
    Make,
    Replace,
    /// There must be one; what is not sent stays.
    Change,
}

async fn list(
    admin: Admin,
    rights: Rights,
    (root, name): (Root, String),
    asked: Paging,
) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let edition = admin.registrar.edition().await?;
    let service = found(&rights, &edition, &named(Kind::Service, name.clone()), Need::See)?;
    let mut all: Vec<Listed> =
        Plugin::ALL.into_iter().filter_map(|plugin| Listed::of(&service, plugin)).collect();
    all.sort_by_key(|listed| listed.id);
    let (rows, last) = page.cut(&all);
    let path = format!("/{}s/{}/plugins", root.word(), segment(&name));
    let rows = rows.iter().map(|it| row(root, &service, it.plugin, &it.config)).collect();
    Ok(page.answer(&path, rows, last))
}

async fn show(admin: Admin, rights: Rights, at: At) -> Result<Response, Problem> {
    let edition = admin.registrar.edition().await?;
    let service = found(&rights, &edition, &named(Kind::Service, at.service.clone()), Need::See)?;
    let plugin = at.plugin(&service.id).ok_or(Problem::NotFound)?;
    let listed = Listed::of(&service, plugin).ok_or(Problem::NotFound)?;
    Ok(axum::Json(row(at.root, &service, plugin, &listed.config)).into_response())
}

async fn write(
    admin: Admin,
    rights: Rights,
    by: By,
    (at, how, body): (At, How, PluginBody),
) -> Result<Response, Problem> {
    let edition = admin.registrar.edition().await?;
    let service = found(&rights, &edition, &named(Kind::Service, at.service.clone()), Need::Change)?;
    let of = at.plugin(&service.id);
    if at.plugin.is_some() && of.is_none() {
        return Err(match how {
            How::Replace => {
                let why = "cannot be chosen: it is derived from the service and the plugin's name, and \
                           either is accepted in the path";
                Refusal::Invalid { field: "id", why: why.to_owned() }.into()
            }
            How::Make | How::Change => Problem::NotFound,
        });
    }
    for (field, named) in [("service", &body.service), ("route", &body.route)] {
        is_the_one(field, named.as_ref().and_then(Option::as_ref), &service)?;
    }
    let mut given = body.given(service.id, of)?;
    settle_anonymous(&admin.registrar, &mut given).await?;
    if how == How::Change && Listed::of(&service, given.plugin).is_none() {
        return Err(Problem::NotFound);
    }
    let plugin = given.plugin;
    let on = named(Kind::Service, service.id.to_string());
    let change = move |settings: &mut _, _: &mut _| {
        let there = policy::find(settings, given.plugin);
        let before = match (how, there.config()) {
            (How::Make, Some(_)) => {
                return Err(Refusal::Taken { what: "name", name: given.plugin.name().to_owned() });
            }
            (How::Change, before) => before,
            (How::Make | How::Replace, _) => None,
        };
        policy::put(settings, given.plugin, given.over(before))
    };
    let done =
        admin.registrar.change_object(&by, on, change).await.map_err(|it| in_kongs_words(it, plugin))?;
    let listed = Listed::of(&done.value, plugin).ok_or(Problem::Internal)?;
    let status = if how == How::Make { StatusCode::CREATED } else { StatusCode::OK };
    Ok(written(status, &done, Some(row(at.root, &done.value, plugin, &listed.config))))
}

async fn delete(admin: Admin, rights: Rights, by: By, at: At) -> Result<Response, Problem> {
    let edition = admin.registrar.edition().await?;
    let service = found(&rights, &edition, &named(Kind::Service, at.service.clone()), Need::Change)?;
    let plugin = at.plugin(&service.id).ok_or(Problem::NotFound)?;
    Listed::of(&service, plugin).ok_or(Problem::NotFound)?;
    let on = named(Kind::Service, service.id.to_string());
    let done =
        admin.registrar.change_object(&by, on, move |settings, _| policy::take(settings, plugin)).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// Takes over one plugin of another gateway's. One that is there as it is stays; one that is not so is
/// nobody's to overwrite. `announced`: consumers that the same import would make.
///
/// # Errors
///
/// The store's; what is wrong with the plugin is its outcome.
pub(in crate::http::admin) async fn import(
    registrar: &Registrar,
    by: &By,
    body: PluginBody,
    (run, announced): (Run, &[String]),
) -> Result<Outcome, Problem> {
    match imported(registrar, by, body, (run, announced)).await {
        Err(Refusal::Store(error)) => Err(Refusal::Store(error).into()),
        Err(refusal) => Ok(Outcome::Refused(refusal)),
        Ok(outcome) => Ok(outcome),
    }
}

async fn imported(
    registrar: &Registrar,
    by: &By,
    body: PluginBody,
    (run, announced): (Run, &[String]),
) -> Result<Outcome, Refusal> {
    let of = [&body.service, &body.route].into_iter().find_map(|it| it.as_ref()?.as_ref());
    let Some(name) = of.and_then(ServiceNamed::named).map(str::to_owned) else {
        return Err(Refusal::Invalid { field: "service", why: "required field missing".to_owned() });
    };
    let edition = registrar.edition().await?;
    let service = edition.find(Kind::Service, None, &name);
    let service = service.ok_or(Refusal::NotFound { what: "service", name })?;
    let mut given = body.given(service.id, None)?;
    if given
        .sent
        .get("anonymous")
        .and_then(Value::as_str)
        .is_some_and(|it| announced.iter().any(|one| one == it))
    {
        return Ok(Outcome::Made);
    }
    settle_anonymous(registrar, &mut given).await?;
    let plugin = given.plugin;
    let whole = given.over(None);
    match Listed::of(&service, plugin) {
        Some(there) if there.config == whole => return Ok(Outcome::Unchanged),
        Some(_) => return Err(Refusal::Taken { what: "plugin", name: plugin.name().to_owned() }),
        None => {}
    }
    let on = named(Kind::Service, service.id.to_string());
    let change = move |settings: &mut _, _: &mut _| policy::put(settings, plugin, whole.clone());
    let done = match run {
        Run::Earnest => registrar.change_object(by, on, change).await.map(drop),
        Run::Dry => registrar.try_object(by, on, change).await,
    };
    done.map(|()| Outcome::Made).map_err(|it| in_kongs_words(it, plugin))
}

/// A plugin of a service, as lists have it.
struct Listed {
    id: Uuid,
    plugin: Plugin,
    config: Config,
}

impl Listed {
    fn of(service: &Shown, plugin: Plugin) -> Option<Self> {
        let config = match policy::find(&service.settings, plugin) {
            There::Nothing => return None,
            There::Said(config) | There::Hinted(config) => config,
        };
        Some(Self { id: plugin.id(&service.id), plugin, config })
    }
}

impl Row for Listed {
    fn id(&self) -> Uuid {
        self.id
    }
}

fn row(root: Root, service: &Shown, plugin: Plugin, config: &Config) -> Value {
    let record = service.record.as_ref();
    let mut row = json!({
        "id": plugin.id(&service.id),
        "name": plugin.name(),
        "config": config,
        "enabled": true,
        "protocols": PROTOCOLS,
        "tags": null,
        "service": null,
        "route": null,
        "consumer": null,
        "instance_name": null,
        "created_at": record.map(|record| record.created_at.unix()),
        "updated_at": record.map(|record| record.updated_at.unix()),
    });
    row[root.word()] = json!({ "id": service.id });
    row
}

/// That a body, where it names a service, means the one of the path.
fn is_the_one(field: &'static str, named: Option<&ServiceNamed>, service: &Shown) -> Result<(), Refusal> {
    let is = |name: &str| name == service.name || name == service.id.to_string();
    match named {
        Some(named) if !named.named().is_some_and(is) => {
            Err(Refusal::Invalid { field, why: "is not the one of the path".to_owned() })
        }
        _ => Ok(()),
    }
}

/// Kong takes a name or an id; a policy goes by the id.
async fn settle_anonymous(registrar: &Registrar, given: &mut Given) -> Result<(), Refusal> {
    let Some(Value::String(anonymous)) = given.sent.get_mut("anonymous") else { return Ok(()) };
    match registrar.owner(anonymous).await {
        Ok(owner) => {
            *anonymous = owner.id().to_string();
            Ok(())
        }
        Err(Refusal::NotFound { .. }) => {
            let why = "there is no consumer of this name or id".to_owned();
            Err(Refusal::Invalid { field: "config.anonymous", why })
        }
        Err(refusal) => Err(refusal),
    }
}

/// What is wrong with the settings that came of a plugin, told by the plugin's own field.
fn in_kongs_words(refusal: Refusal, plugin: Plugin) -> Refusal {
    let Refusal::Faulty(wrong) = refusal else { return refusal };
    let told = |wrong: Wrong| Wrong { path: kongs_path(&wrong.path, plugin).unwrap_or(wrong.path), ..wrong };
    Refusal::Faulty(wrong.into_iter().map(told).collect())
}

/// `authentication.all[0].api_key.names[1]` is `config.key_names[1]`.
fn kongs_path(path: &str, plugin: Plugin) -> Option<String> {
    let within = path.strip_prefix(plugin.key())?;
    let Some(method) = plugin.method() else { return Some(format!("config{within}")) };
    if within == ".anonymous" {
        return Some("config.anonymous".to_owned());
    }
    let (_, own) = within.split_once(method)?;
    let (field, rest) = own.strip_prefix('.').map_or((own, ""), |own| match own.find(['[', '.']) {
        Some(end) => own.split_at(end),
        None => (own, ""),
    });
    let field = match (plugin, field) {
        (_, "") => return Some("config".to_owned()),
        (Plugin::KeyAuth, "names") => "key_names",
        (Plugin::KeyAuth, "in") => "key_in_header",
        (_, "hide") => "hide_credentials",
        (Plugin::Jwt, "query") => "uri_param_names",
        (Plugin::Jwt, "cookies") => "cookie_names",
        (_, field) => field,
    };
    Some(format!("config.{field}{rest}"))
}
