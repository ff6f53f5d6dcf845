//! What the file has of policies: plugins, on services and routes, or beside them with a reference.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LeftOut, Named};
use crate::cli::import::twins::Twins;
use crate::http::admin::plugin_names;
use crate::issue::Refusal;

/// Of a service or a route we take what it is called and what it asks for; the rest is Envoy's.
#[derive(Default, Deserialize)]
pub(super) struct Service {
    id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    plugins: Vec<Plugin>,
    #[serde(default)]
    routes: Vec<Service>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Plugin {
    name: String,
    config: Option<Value>,
    enabled: Option<bool>,
    protocols: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    service: Option<Reference>,
    route: Option<Reference>,
    consumer: Option<Value>,
    consumer_group: Option<Value>,
}

/// A service or route by name, id, or a map with one of them.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Reference {
    Text(String),
    Map { id: Option<String>, name: Option<String> },
}

/// A plugin as `POST /import` takes it.
#[derive(Debug, PartialEq, Serialize)]
pub(in crate::cli::import) struct NewPlugin {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocols: Option<Vec<String>>,
    service: Target,
}

/// The service that has the name of Kong's service or route.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Target {
    name: String,
}

/// The plugins that are carried over, and what is not.
pub(super) fn collect(
    services: Vec<Service>,
    routes: Vec<Service>,
    plugins: Vec<Plugin>,
    left_out: &mut Vec<LeftOut>,
) -> Vec<NewPlugin> {
    let names = names(&services, &routes);
    let mut found: Vec<NewPlugin> = Vec::new();
    let mut take = |plugin: Plugin, target: Result<Target, String>| match taken(plugin, target, left_out) {
        Ok(plugin) => found.push(plugin),
        Err(why) => left_out.push(why),
    };
    let named = |it: &Service| {
        it.name.clone().map(|name| Target { name }).ok_or_else(|| "what it is on has no name".to_owned())
    };
    for mut service in services {
        let target = named(&service);
        let routes = std::mem::take(&mut service.routes);
        service.plugins.into_iter().for_each(|plugin| take(plugin, target.clone()));
        for route in routes {
            let target = named(&route);
            route.plugins.into_iter().for_each(|plugin| take(plugin, target.clone()));
        }
    }
    for route in routes {
        let target = named(&route);
        route.plugins.into_iter().for_each(|plugin| take(plugin, target.clone()));
    }
    for plugin in plugins {
        let target = match plugin.route.as_ref().or(plugin.service.as_ref()) {
            Some(reference) => reference.resolve(&names),
            None => Err("it is for all services; give each its own".to_owned()),
        };
        take(plugin, target);
    }
    found
}

/// How many routes there are, in services and beside them.
/// Plugins on these and their routes.
pub(super) fn count(services: &[Service]) -> usize {
    services.iter().map(|it| it.plugins.len() + count(&it.routes)).sum()
}

pub(super) fn routes(services: &[Service], routes: &[Service]) -> usize {
    services.iter().map(|service| service.routes.len()).sum::<usize>() + routes.len()
}

/// Of everything in the file that has an id and a name.
fn names(services: &[Service], routes: &[Service]) -> HashMap<String, String> {
    let nested = services.iter().flat_map(|service| &service.routes);
    let all = services.iter().chain(nested).chain(routes);
    all.filter_map(|it| Some((it.id.clone()?, it.name.clone()?))).collect()
}

impl Reference {
    fn resolve(&self, names: &HashMap<String, String>) -> Result<Target, String> {
        let text = match self {
            Self::Text(text) => Some(text),
            Self::Map { id, name } => name.as_ref().or(id.as_ref()),
        };
        let text = text.ok_or_else(|| "what it is on is not said".to_owned())?;
        Ok(Target { name: names.get(text).unwrap_or(text).clone() })
    }
}

fn taken(
    plugin: Plugin,
    target: Result<Target, String>,
    left_out: &mut Vec<LeftOut>,
) -> Result<NewPlugin, LeftOut> {
    let Plugin { name, config, enabled, protocols, tags, consumer, consumer_group, .. } = plugin;
    let on = target.as_ref().map_or_else(|_| String::new(), |on| format!(" of service `{}`", on.name));
    let out = |why: &str| LeftOut { what: format!("plugin `{name}`{on}"), why: why.to_owned() };
    if !plugin_names().contains(&&name[..]) {
        return Err(out("has no counterpart here"));
    }
    if enabled == Some(false) {
        return Err(out("it is switched off"));
    }
    if consumer.is_some_and(|it| !it.is_null()) || consumer_group.is_some_and(|it| !it.is_null()) {
        return Err(out("it is for some consumers alone; a policy is for whoever calls the service"));
    }
    if tags.is_some_and(|tags| !tags.is_empty()) {
        left_out
            .push(LeftOut { what: format!("tags of plugin `{name}`{on}"), why: "services have tags".into() });
    }
    match target {
        Err(why) => Err(out(&why)),
        Ok(service) => Ok(NewPlugin { name, config, protocols, service }),
    }
}

impl Named for NewPlugin {
    fn called(&self) -> String {
        format!("plugin `{}` of service `{}`", self.name, self.service.name)
    }

    /// Who stands for those that prove nothing.
    fn owner(&self) -> Option<String> {
        Some(self.config.as_ref()?.get("anonymous")?.as_str()?.to_owned())
    }

    fn beside(&self, twins: &mut Twins) -> Value {
        let taken = Refusal::Taken { what: "plugin", name: self.name.clone() };
        twins.policy((&self.service.name, &self.name), json!(self).to_string(), taken)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use crate::cli::import::kong::Document;

    #[test]
    fn plugins_go_to_the_service_of_the_name_and_the_rest_is_told() {
        let text = "\
services:
- name: orders
  id: 6c5a1c0e-0000-4000-8000-000000000001
  url: http://orders.example
  plugins:
  - {name: key-auth, config: {key_names: [apikey]}, tags: [t]}
  - {name: rate-limiting, config: {minute: 5}}
  routes:
  - {name: reports, paths: [/r], plugins: [{name: acl, config: {allow: [gold]}}]}
  - {paths: [/x], plugins: [{name: acl, config: {allow: [gold]}}]}
routes:
- {name: users, plugins: [{name: ip-restriction, enabled: false, config: {deny: [192.0.2.1]}}]}
plugins:
- {name: acl, service: 6c5a1c0e-0000-4000-8000-000000000001, config: {deny: [bad]}}
- {name: jwt, route: {name: users}}
- {name: key-auth}
- {name: acl, service: orders, consumer: alice, config: {allow: [gold]}}
";
        let parts = Document::parse(text).unwrap().into_parts(false);
        assert_eq!(
            serde_json::to_value(&parts.plugins).unwrap(),
            json!([
                {"name": "key-auth", "config": {"key_names": ["apikey"]}, "service": {"name": "orders"}},
                {"name": "acl", "config": {"allow": ["gold"]}, "service": {"name": "reports"}},
                {"name": "acl", "config": {"deny": ["bad"]}, "service": {"name": "orders"}},
                {"name": "jwt", "service": {"name": "users"}},
            ])
        );
        let left_out: Vec<String> =
            parts.left_out.iter().map(|it| format!("{}: {}", it.what, it.why)).collect();
        assert_eq!(
            left_out[..6],
            [
                "tags of plugin `key-auth` of service `orders`: services have tags",
                "plugin `rate-limiting` of service `orders`: has no counterpart here",
                "plugin `acl`: what it is on has no name",
                "plugin `ip-restriction` of service `users`: it is switched off",
                "plugin `key-auth`: it is for all services; give each its own",
                "plugin `acl` of service `orders`: it is for some consumers alone; a policy is for whoever calls the service",
            ]
        );
        assert_eq!(parts.left_out[6].what, "services (1)");
        assert_eq!(parts.left_out[7].what, "routes (3)");
    }
}
