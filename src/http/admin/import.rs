//! `POST /import`: many objects at once, for `doorward import`.

use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::acls::AclBody;
use super::answer::placed;
use super::basics::BasicBody;
use super::call::Call;
use super::consumers::ConsumerBody;
use super::given::{ConsumerNamed, owner};
use super::jwts::JwtBody;
use super::keys::KeyBody;
use super::objects::plugins::{self, PluginBody};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{Outcome, Owner, Refusal, Run, Set};

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportBody {
    /// Nothing is written; what would be done is said.
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    consumers: Vec<ConsumerBody>,
    #[serde(default)]
    acls: Vec<AclBody>,
    #[serde(default)]
    keys: Vec<KeyBody>,
    #[serde(default)]
    basics: Vec<BasicBody>,
    #[serde(default)]
    jwts: Vec<JwtBody>,
    #[serde(default)]
    plugins: Vec<PluginBody>,
    /// Whose credentials are told although a dry run makes nobody.
    #[serde(default)]
    announced: Vec<String>,
}

/// Takes over many objects at once; says of each what came of it, in order.
#[utoipa::path(post, path = "/import", tag = "import", request_body = ImportBody, responses((status = 200, body = Value)))]
pub(super) async fn import(call: Call, Body(body): Body<ImportBody>) -> Result<Response, Problem> {
    let run = if body.dry_run { Run::Dry } else { Run::Earnest };
    let registrar = &call.registrar;
    let consumers = import_consumers(&call, body.consumers, run).await?;
    let mut acls = Vec::with_capacity(body.acls.len());
    for mut acl in body.acls {
        let named = acl.consumer.take();
        acls.push(match told(&call, named, &body.announced).await? {
            Told::Owner(owner) => match read(acl.into_new())? {
                Ok(new) => registrar.import_membership(&call.by, (owner, new), run).await?,
                Err(outcome) => outcome,
            },
            Told::Outcome(outcome) => outcome,
        });
    }
    let keys = import_keys(&call, body.keys, &body.announced, run).await?;
    let mut basics = Vec::with_capacity(body.basics.len());
    for mut basic in body.basics {
        let named = basic.consumer.take();
        basics.push(match told(&call, named, &body.announced).await? {
            Told::Owner(owner) => match read(basic.into_new())? {
                Ok(new) => registrar.import_basic(&call.by, (owner, new), run).await?,
                Err(outcome) => outcome,
            },
            Told::Outcome(outcome) => outcome,
        });
    }
    let mut jwts = Vec::with_capacity(body.jwts.len());
    for mut jwt in body.jwts {
        let named = jwt.consumer.take();
        jwts.push(match told(&call, named, &body.announced).await? {
            Told::Owner(owner) => match read(jwt.into_new())? {
                Ok(new) => registrar.import_jwt(&call.by, (owner, new), run).await?,
                Err(outcome) => outcome,
            },
            Told::Outcome(outcome) => outcome,
        });
    }
    let mut policies = Vec::with_capacity(body.plugins.len());
    for plugin in body.plugins {
        policies.push(plugins::import(registrar, &call.by, plugin, (run, &body.announced)).await?);
    }
    let told = axum::Json(json!({
        "consumers": rows(&consumers),
        "acls": rows(&acls),
        "keys": rows(&keys),
        "basics": rows(&basics),
        "jwts": rows(&jwts),
        "plugins": rows(&policies),
    }));
    let told = told.into_response();
    Ok(match call.by.written() {
        Some(done) => placed(told, &done),
        None => told,
    })
}

async fn import_consumers(call: &Call, bodies: Vec<ConsumerBody>, run: Run) -> Result<Vec<Outcome>, Problem> {
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(bodies.len());
    let mut new = Vec::new();
    for consumer in bodies {
        match read(consumer.into_new())? {
            Ok(consumer) => {
                outcomes.push(None);
                new.push(consumer);
            }
            Err(outcome) => outcomes.push(Some(outcome)),
        }
    }
    let mut found = call.registrar.import_consumers(&call.by, new, run).await?.into_iter();
    Ok(outcomes.into_iter().filter_map(|outcome| outcome.or_else(|| found.next())).collect())
}

/// What is wrong with one object is that one's outcome.
fn read<T>(new: Result<T, Problem>) -> Result<Result<T, Outcome>, Problem> {
    match new {
        Ok(new) => Ok(Ok(new)),
        Err(Problem::Refused(refusal)) => Ok(Err(Outcome::Refused(refusal))),
        Err(problem) => Err(problem),
    }
}

async fn import_keys(
    call: &Call,
    bodies: Vec<KeyBody>,
    announced: &[String],
    run: Run,
) -> Result<Vec<Outcome>, Problem> {
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(bodies.len());
    let mut new = Vec::new();
    let mut last: Option<(ConsumerNamed, Owner)> = None;
    for mut key in bodies {
        let named = key.consumer.take();
        // The keys of one consumer mostly stand together.
        let known =
            last.as_ref().filter(|(name, _)| named.as_ref().is_some_and(|it| it.as_ref() == Some(name)));
        let owner = match known {
            Some((_, owner)) => *owner,
            None => match told(call, named.clone(), announced).await? {
                Told::Owner(owner) => {
                    last = named.flatten().map(|named| (named, owner));
                    owner
                }
                Told::Outcome(outcome) => {
                    outcomes.push(Some(outcome));
                    continue;
                }
            },
        };
        match read(key.new_key())? {
            Ok(key) => {
                outcomes.push(None);
                new.push((owner, key));
            }
            Err(outcome) => outcomes.push(Some(outcome)),
        }
    }
    let mut found = call.registrar.import_keys(&call.by, new, run).await?.into_iter();
    Ok(outcomes.into_iter().filter_map(|outcome| outcome.or_else(|| found.next())).collect())
}

/// Whose a credential is, or what becomes of one that is nobody's.
enum Told {
    Owner(Owner),
    Outcome(Outcome),
}

async fn told(call: &Call, named: Set<ConsumerNamed>, announced: &[String]) -> Result<Told, Problem> {
    let is_announced =
        named.as_ref().and_then(Option::as_ref).is_some_and(|named| named.is_one_of(announced));
    match owner(&call.registrar, named).await {
        Ok(owner) => Ok(Told::Owner(owner)),
        // Would be made by the same import: what is told of it is judged as if it were there.
        Err(Problem::Refused(Refusal::NoConsumer { .. })) if is_announced => {
            Ok(Told::Owner(Owner::Stored(Uuid::new_v4())))
        }
        Err(Problem::Refused(refusal @ Refusal::NoConsumer { .. })) => {
            Ok(Told::Outcome(Outcome::Refused(refusal)))
        }
        Err(problem) => Err(problem),
    }
}

fn rows(outcomes: &[Outcome]) -> Vec<Value> {
    let row = |outcome: &Outcome| match outcome {
        Outcome::Made => json!("made"),
        Outcome::Added => json!("added"),
        Outcome::Unchanged => json!("unchanged"),
        Outcome::Refused(refusal) => json!({ "refused": refusal.to_string() }),
    };
    outcomes.iter().map(row).collect()
}
