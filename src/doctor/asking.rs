//! Connection managers, and the filters in them that ask.

use std::time::Duration;

use serde_json::Value;

use super::field::{at, duration, is_a, is_true, list, number, text, within};
use super::reading::Envoy;

/// What reads the requests of a listener, and has filters look at them.
pub(super) struct Manager<'e> {
    pub(super) listener: &'e str,
    /// What the listener keeps of a request.
    pub(super) buffer_bytes: u64,
    pub(super) settings: &'e Value,
    /// In order.
    pub(super) filters: &'e [Value],
}

/// A filter that asks, and the connection manager that it is in.
pub(super) struct Asking<'m, 'e> {
    pub(super) manager: &'m Manager<'e>,
    /// Which of its filters.
    pub(super) index: usize,
    /// Its settings; null where they are not here.
    pub(super) authz: &'e Value,
}

/// The type of such a filter's settings.
pub(super) const ASKS: &str = "ext_authz.v3.ExtAuthz";

/// Envoy's, where none is written.
const BUFFER_BYTES: u64 = 1 << 20;

impl<'e> Manager<'e> {
    pub(super) fn new(listener: &'e Value, settings: &'e Value) -> Self {
        Self {
            listener: text(listener, "name").unwrap_or("without a name"),
            buffer_bytes: number(listener, "per_connection_buffer_limit_bytes").unwrap_or(BUFFER_BYTES),
            settings,
            filters: list(settings, "http_filters"),
        }
    }

    pub(super) fn place(&self) -> String {
        format!("listener `{}`", self.listener)
    }

    /// Its filters that ask an ext_authz server.
    pub(super) fn asking<'m>(&'m self, envoy: &'e Envoy) -> Vec<Asking<'m, 'e>> {
        let filters = self.filters.iter().enumerate();
        let asking = |(index, filter)| {
            let authz = authz(filter, envoy)?;
            Some(Asking { manager: self, index, authz })
        };
        filters.filter_map(asking).collect()
    }
}

/// The settings of a filter that asks: its own, within what chooses when it acts, or from elsewhere.
fn authz<'e>(filter: &'e Value, envoy: &'e Envoy) -> Option<&'e Value> {
    let discovery = at(filter, "config_discovery");
    if discovery.is_null() {
        return within(at(filter, "typed_config"), ASKS);
    }
    let told = text(filter, "name").and_then(|name| envoy.filter(name)).unwrap_or(&Value::Null);
    let known = within(told, ASKS).or_else(|| within(at(discovery, "default_config"), ASKS));
    let kind = |url: &Value| url.as_str().is_some_and(|url| url.ends_with(ASKS));
    known.or_else(|| list(discovery, "type_urls").iter().any(kind).then_some(&Value::Null))
}

impl<'e> Asking<'_, 'e> {
    pub(super) fn name(&self) -> &'e str {
        text(self.filter(), "name").unwrap_or_default()
    }

    pub(super) fn place(&self) -> String {
        format!("filter `{}` of listener `{}`", self.name(), self.manager.listener)
    }

    pub(super) fn filter(&self) -> &'e Value {
        &self.manager.filters[self.index]
    }

    pub(super) fn over_http(&self) -> bool {
        !at(self.authz, "http_service").is_null()
    }

    /// The cluster that is asked.
    pub(super) fn cluster(&self) -> Option<&'e str> {
        asked_cluster(self.authz)
    }

    /// For all tries together; none: as long as it takes.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let name = if self.over_http() { "http_service.server_uri.timeout" } else { "grpc_service.timeout" };
        let set = duration(self.authz, name).unwrap_or(Duration::from_millis(200));
        (!set.is_zero()).then_some(set)
    }

    /// Whether a request may pass without Doorward's answer: in an outage, or because not all are asked about.
    pub(super) fn may_pass_unasked(&self) -> bool {
        let given = |name| !at(self.authz, name).is_null();
        let chosen = !is_a(at(self.filter(), "typed_config"), ASKS);
        is_true(self.authz, "failure_mode_allow")
            || given("filter_enabled")
            || given("filter_enabled_metadata")
            || chosen
    }
}

/// Of settings that name whom to ask, a filter's or a route's.
pub(super) fn asked_cluster(settings: &Value) -> Option<&str> {
    text(settings, "grpc_service.envoy_grpc.cluster_name")
        .or_else(|| text(settings, "http_service.server_uri.cluster"))
}
