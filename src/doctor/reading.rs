//! An Envoy's configuration, from the file it starts with or from what it says it has (`/config_dump`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::asking::{ASKS, Manager};
use super::field::{at, is_a, list, number, text};
use super::ours::Ours;

/// What of the configuration is examined.
pub struct Envoy {
    pub(super) admin: Value,
    listeners: Vec<Value>,
    clusters: Vec<Value>,
    /// Those that came by themselves, for managers that only name one.
    routes: Vec<Value>,
    /// Settings of filters that only name them.
    told_filters: Vec<Value>,
    /// Whether clusters may come from elsewhere, so that one that is not here may still be there.
    more_clusters: bool,
    /// Whether listeners may, which are not seen.
    pub(super) more_listeners: bool,
}

/// Why there is nothing to examine.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("is neither YAML nor JSON: {0}")]
    Text(String),
    #[error(
        "is a manifest, or several documents, from which Envoy's configuration is made: give the doctor the answer \
         of `/config_dump` of Envoy's admin address"
    )]
    Manifest,
    #[error(
        "is no configuration of Envoy: expected `static_resources`, as in the file it starts with, or `configs`, as \
         `/config_dump` of its admin address answers"
    )]
    Other,
}

impl Envoy {
    /// # Errors
    ///
    /// The text is something else.
    pub fn parse(contents: &str) -> Result<Self, Unreadable> {
        let whole: Value = match contents.trim_start().starts_with('{') {
            // JSON is YAML, but dumps are large.
            true => serde_json::from_str(contents).map_err(|error| Unreadable::Text(error.to_string()))?,
            false if has_several_documents(contents) => return Err(Unreadable::Manifest),
            false => serde_saphyr::from_str(contents).map_err(|error| Unreadable::Text(error.to_string()))?,
        };
        let whole = opened(whole);
        match (at(&whole, "configs"), at(&whole, "static_resources")) {
            (Value::Array(dumps), _) => Ok(Self::of_dump(dumps)),
            (_, Value::Object(_)) => Ok(Self::of_bootstrap(&whole)),
            _ if !at(&whole, "apiVersion").is_null() => Err(Unreadable::Manifest),
            _ => Err(Unreadable::Other),
        }
    }

    fn of_bootstrap(bootstrap: &Value) -> Self {
        Self {
            admin: at(bootstrap, "admin").clone(),
            listeners: list(bootstrap, "static_resources.listeners").to_vec(),
            clusters: list(bootstrap, "static_resources.clusters").to_vec(),
            routes: Vec::new(),
            told_filters: Vec::new(),
            more_clusters: !at(bootstrap, "dynamic_resources").is_null(),
            more_listeners: !at(bootstrap, "dynamic_resources.lds_config").is_null(),
        }
    }

    fn of_dump(dumps: &[Value]) -> Self {
        let of = |kind: &str, lists: &[(&str, &str)]| -> Vec<Value> {
            let dumps = dumps.iter().filter(|dump| is_a(dump, kind));
            let entries = dumps.flat_map(|dump| {
                lists.iter().flat_map(|(name, inner)| list(dump, name).iter().map(|entry| at(entry, inner)))
            });
            entries.filter(|value| value.is_object()).cloned().collect()
        };
        let bootstrap = dumps.iter().find(|dump| is_a(dump, "BootstrapConfigDump"));
        Self {
            admin: bootstrap.map_or(Value::Null, |dump| at(dump, "bootstrap.admin").clone()),
            listeners: of(
                "ListenersConfigDump",
                &[("static_listeners", "listener"), ("dynamic_listeners", "active_state.listener")],
            ),
            clusters: of(
                "ClustersConfigDump",
                &[("static_clusters", "cluster"), ("dynamic_active_clusters", "cluster")],
            ),
            routes: of(
                "RoutesConfigDump",
                &[("static_route_configs", "route_config"), ("dynamic_route_configs", "route_config")],
            ),
            told_filters: of("EcdsConfigDump", &[("ecds_filters", "ecds_filter")]),
            more_clusters: false,
            more_listeners: false,
        }
    }

    /// Every connection manager.
    pub(super) fn managers(&self) -> Vec<Manager<'_>> {
        let of = |(listener, filter)| {
            let settings = at(filter, "typed_config");
            is_a(settings, "HttpConnectionManager").then(|| Manager::new(listener, settings))
        };
        self.filters().filter_map(of).collect()
    }

    /// Whether there is a filter that asks about connections, which are no requests.
    pub(super) fn asks_about_connections(&self) -> bool {
        self.filters().any(|(_, filter)| is_a(at(filter, "typed_config"), ASKS))
    }

    /// Whom connections are passed on to as they are, and by which listener.
    pub(super) fn connections(&self) -> impl Iterator<Item = (&str, &str)> {
        let proxies = self.filters().map(|(listener, filter)| (listener, at(filter, "typed_config")));
        proxies.filter(|(_, settings)| is_a(settings, "tcp_proxy.v3.TcpProxy")).flat_map(
            |(listener, settings)| {
                let shares = list(settings, "weighted_clusters.clusters").iter();
                let named = text(settings, "cluster")
                    .into_iter()
                    .chain(shares.filter_map(|share| text(share, "name")));
                named.map(move |cluster| (text(listener, "name").unwrap_or("without a name"), cluster))
            },
        )
    }

    /// Where the routes of a manager come from, if they are not here.
    pub(super) fn hidden_routes(&self, manager: &Value) -> Option<&'static str> {
        let named = |name| !at(manager, name).is_null();
        match named("scoped_routes") {
            true => Some("scoped_routes, which are not read"),
            false => (named("rds") && self.routes(manager).is_none()).then_some("rds"),
        }
    }

    /// The filters of all listeners' connections.
    fn filters(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.listeners.iter().flat_map(|listener| {
            let chains = list(listener, "filter_chains").iter().chain([at(listener, "default_filter_chain")]);
            chains.flat_map(move |chain| list(chain, "filters").iter().map(move |filter| (listener, filter)))
        })
    }

    /// A filter's settings that came by themselves.
    pub(super) fn filter(&self, name: &str) -> Option<&Value> {
        self.told_filters.iter().find(|filter| text(filter, "name") == Some(name))
    }

    /// The routes of a manager: its own, or those that it names.
    pub(super) fn routes<'e>(&'e self, manager: &'e Value) -> Option<&'e Value> {
        let inline = at(manager, "route_config");
        match text(manager, "rds.route_config_name") {
            Some(name) => self.routes.iter().find(|routes| text(routes, "name") == Some(name)),
            None => inline.is_object().then_some(inline),
        }
    }

    /// The hosts and ports that a cluster is said to have; of a Unix socket the path, and 0.
    pub(super) fn endpoints(&self, cluster: &str) -> BTreeSet<(&str, u64)> {
        let Ok(cluster) = self.cluster(cluster) else { return BTreeSet::new() };
        let groups = list(cluster, "load_assignment.endpoints").iter();
        let endpoints = groups.flat_map(|group| list(group, "lb_endpoints"));
        let address = |one| {
            let (pipe, socket) =
                (at(one, "endpoint.address.pipe"), at(one, "endpoint.address.socket_address"));
            let path = text(pipe, "path").map(|path| (path, 0));
            path.or_else(|| Some((text(socket, "address")?, number(socket, "port_value")?)))
        };
        endpoints.filter_map(address).collect()
    }

    /// Whether all of a cluster is Doorward: the one that is asked, or its logins and tokens beside it.
    pub(super) fn leads_to_doorward(&self, cluster: &str, ours: &Ours) -> bool {
        let managers = self.managers();
        let asking = managers.iter().flat_map(|manager| manager.asking(self));
        let asked: BTreeSet<_> =
            asking.filter_map(|asking| asking.cluster()).flat_map(|name| self.endpoints(name)).collect();
        let beside = |(host, port)| port == ours.auth_port && asked.iter().any(|(asked, _)| *asked == host);
        let own = self.endpoints(cluster);
        !own.is_empty() && own.iter().all(|one| asked.contains(one) || beside(*one))
    }

    /// # Errors
    ///
    /// There is none of this name; whether that is a mistake.
    pub(super) fn cluster(&self, name: &str) -> Result<&Value, bool> {
        let found = self.clusters.iter().find(|cluster| text(cluster, "name") == Some(name));
        found.ok_or(!self.more_clusters)
    }
}

/// Whether something stands on both sides of a line that ends a document.
fn has_several_documents(yaml: &str) -> bool {
    let says = |line: &&str| !(line.trim().is_empty() || line.starts_with(['#', '%']));
    let mut documents = yaml.split("\n---").filter(|it| {
        let own = it.strip_prefix("---").unwrap_or(it);
        own.lines().any(|line| says(&line))
    });
    documents.next().is_some() && documents.next().is_some()
}

/// Settings that are wrapped in a `TypedStruct`, which has their type beside them, as they are without.
fn opened(value: Value) -> Value {
    match value {
        Value::Object(mut fields) => {
            let kind = fields.get("@type").and_then(Value::as_str).unwrap_or_default();
            if kind.ends_with(".TypedStruct") {
                let url = fields.remove("type_url").or_else(|| fields.remove("typeUrl"));
                fields = match fields.remove("value") {
                    Some(Value::Object(inner)) => inner,
                    _ => serde_json::Map::new(),
                };
                fields.insert("@type".to_owned(), url.unwrap_or_default());
            }
            Value::Object(fields.into_iter().map(|(name, inner)| (name, opened(inner))).collect())
        }
        Value::Array(items) => items.into_iter().map(opened).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;
    use crate::config::Config;
    use crate::doctor::{Ours, examine};

    fn typed(kind: &str, mut value: Value) -> Value {
        value["@type"] = format!("type.googleapis.com/{kind}").into();
        value
    }

    /// As an Envoy that is told everything by a control plane says what it has.
    fn dump() -> Value {
        let authz =
            json!({"failure_mode_allow": true, "grpc_service": {"envoy_grpc": {"cluster_name": "asked"}}});
        let authz = typed("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", authz);
        let manager = json!({"rds": {"route_config_name": "told"}, "http_filters": [{"name": "ours", "typed_config": authz}]});
        let manager = typed(
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            manager,
        );
        let listener = json!({"name": "edge", "filter_chains": [{"filters": [{"typed_config": manager}]}]});
        let off =
            json!({"other": typed("envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", json!({}))});
        let routes = json!({"name": "told", "virtual_hosts": [{"name": "all", "routes": [{"typed_per_filter_config": off}]}]});
        json!({"configs": [
            typed("envoy.admin.v3.ListenersConfigDump", json!({"dynamic_listeners": [{"active_state": {"listener": listener}}]})),
            typed("envoy.admin.v3.ClustersConfigDump", json!({"dynamic_active_clusters": [{"cluster": {"name": "asked", "type": "EDS"}}]})),
            typed("envoy.admin.v3.RoutesConfigDump", json!({"dynamic_route_configs": [{"route_config": routes}]})),
        ]})
    }

    #[test]
    fn manifests_are_told_from_what_cannot_be_read() {
        let check = |text: &str, is_manifest: bool| {
            let error = Envoy::parse(text).err().unwrap();
            assert_eq!(matches!(error, Unreadable::Manifest), is_manifest, "{text}: {error}");
        };
        check("apiVersion: v1\nkind: EnvoyFilter\n", true);
        check(r#"{"apiVersion": "v1"}"#, true);
        check("# one\n---\na: 1\n---\nb: 2\n", true);
        check("---\na: 1\n", false);
        check("# one\n---\na: 1\n---\n# no more\n", false);
        check("a: [", false);
    }

    #[test]
    fn what_a_control_plane_has_told_is_examined_too() {
        let envoy = Envoy::parse(&dump().to_string()).unwrap();
        let findings = examine(&envoy, &Ours::from(&Config::default()));
        let found: Vec<(&str, &str)> =
            findings.iter().map(|finding| (finding.ill.code, finding.place.as_str())).collect();
        for expected in [
            ("fail_open", "filter `ours` of listener `edge`"),
            ("identity_headers", "listener `edge`"),
            ("route_filter_name", "route 1 of virtual host `all`"),
            ("http2", "cluster `asked`"),
        ] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
        // The control plane tells of health.
        assert!(
            !found.iter().any(|(code, _)| matches!(*code, "health_check" | "no_cluster" | "not_asked")),
            "{found:?}"
        );
    }
}
