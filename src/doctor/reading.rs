//! An Envoy's configuration, from the file it starts with or from what it says it has (`/config_dump`).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::field::{at, duration, is_a, is_true, list, number, text};

/// What of the configuration is examined.
pub struct Envoy {
    pub(super) admin: Value,
    listeners: Vec<Value>,
    clusters: Vec<Value>,
    /// Those that came by themselves, for managers that only name one.
    routes: Vec<Value>,
    /// Whether clusters may come from elsewhere, so that one that is not here may still be there.
    more_clusters: bool,
}

/// Why there is nothing to examine.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("is neither YAML nor JSON: {0}")]
    Text(String),
    #[error(
        "is no configuration of Envoy: expected `static_resources`, as in the file it starts with, or `configs`, as \
         `/config_dump` of its admin address answers"
    )]
    Other,
}

/// A filter that asks, and the connection manager that it is in.
pub(super) struct Asking<'e> {
    pub(super) listener: &'e str,
    /// What the listener keeps of a request.
    pub(super) buffer_bytes: u64,
    pub(super) manager: &'e Value,
    /// All filters of the chain, in order.
    pub(super) filters: &'e [Value],
    /// Which of them asks.
    pub(super) index: usize,
    /// Its settings.
    pub(super) authz: &'e Value,
}

impl Envoy {
    /// # Errors
    ///
    /// The text is something else.
    pub fn parse(contents: &str) -> Result<Self, Unreadable> {
        let whole: Value = match contents.trim_start().starts_with('{') {
            // JSON is YAML, but dumps are large.
            true => serde_json::from_str(contents).map_err(|error| Unreadable::Text(error.to_string()))?,
            false => serde_saphyr::from_str(contents).map_err(|error| Unreadable::Text(error.to_string()))?,
        };
        match (at(&whole, "configs"), at(&whole, "static_resources")) {
            (Value::Array(dumps), _) => Ok(Self::of_dump(dumps)),
            (_, Value::Object(_)) => Ok(Self::of_bootstrap(&whole)),
            _ => Err(Unreadable::Other),
        }
    }

    fn of_bootstrap(bootstrap: &Value) -> Self {
        Self {
            admin: at(bootstrap, "admin").clone(),
            listeners: list(bootstrap, "static_resources.listeners").to_vec(),
            clusters: list(bootstrap, "static_resources.clusters").to_vec(),
            routes: Vec::new(),
            more_clusters: !at(bootstrap, "dynamic_resources").is_null(),
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
            more_clusters: false,
        }
    }

    /// Every filter that asks an ext_authz server.
    pub(super) fn asking(&self) -> Vec<Asking<'_>> {
        let mut found = Vec::new();
        for listener in &self.listeners {
            let chains = list(listener, "filter_chains").iter().chain([at(listener, "default_filter_chain")]);
            for filter in chains.flat_map(|chain| list(chain, "filters")) {
                let manager = at(filter, "typed_config");
                if is_a(manager, "HttpConnectionManager") {
                    found.extend(asking_in(listener, manager));
                }
            }
        }
        found
    }

    /// The routes of a manager: its own, or those that it names.
    pub(super) fn routes<'e>(&'e self, manager: &'e Value) -> Option<&'e Value> {
        let inline = at(manager, "route_config");
        match text(manager, "rds.route_config_name") {
            Some(name) => self.routes.iter().find(|routes| text(routes, "name") == Some(name)),
            None => inline.is_object().then_some(inline),
        }
    }

    /// The hosts that a cluster is said to have.
    pub(super) fn hosts(&self, cluster: &str) -> BTreeSet<&str> {
        let Ok(cluster) = self.cluster(cluster) else { return BTreeSet::new() };
        let groups = list(cluster, "load_assignment.endpoints").iter();
        let endpoints = groups.flat_map(|group| list(group, "lb_endpoints"));
        endpoints.filter_map(|one| text(one, "endpoint.address.socket_address.address")).collect()
    }

    /// # Errors
    ///
    /// There is none of this name; whether that is a mistake.
    pub(super) fn cluster(&self, name: &str) -> Result<&Value, bool> {
        let found = self.clusters.iter().find(|cluster| text(cluster, "name") == Some(name));
        found.ok_or(!self.more_clusters)
    }
}

/// Envoy's, where none is written.
const BUFFER_BYTES: u64 = 1 << 20;

fn asking_in<'e>(listener: &'e Value, manager: &'e Value) -> impl Iterator<Item = Asking<'e>> {
    let filters = list(manager, "http_filters");
    let buffer_bytes = number(listener, "per_connection_buffer_limit_bytes").unwrap_or(BUFFER_BYTES);
    let listener = text(listener, "name").unwrap_or("without a name");
    filters.iter().enumerate().filter_map(move |(index, filter)| {
        let authz = at(filter, "typed_config");
        is_a(authz, "ext_authz.v3.ExtAuthz").then_some(Asking {
            listener,
            buffer_bytes,
            manager,
            filters,
            index,
            authz,
        })
    })
}

impl<'e> Asking<'e> {
    pub(super) fn name(&self) -> &'e str {
        text(&self.filters[self.index], "name").unwrap_or_default()
    }

    pub(super) fn place(&self) -> String {
        format!("filter `{}` of listener `{}`", self.name(), self.listener)
    }

    /// The cluster that is asked over Envoy's own gRPC client.
    pub(super) fn cluster(&self) -> Option<&'e str> {
        text(self.authz, "grpc_service.envoy_grpc.cluster_name")
    }

    /// For all tries together; none: as long as it takes.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let set = duration(self.authz, "grpc_service.timeout").unwrap_or(Duration::from_millis(200));
        (!set.is_zero()).then_some(set)
    }

    /// Whether a request may pass without Doorward's answer: in an outage, or because not all are asked about.
    pub(super) fn may_pass_unasked(&self) -> bool {
        is_true(self.authz, "failure_mode_allow")
            || !at(self.authz, "filter_enabled").is_null()
            || is_true(&self.filters[self.index], "disabled")
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
