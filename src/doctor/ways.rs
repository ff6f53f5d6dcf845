//! The ways that requests may take to an upstream, and whether anybody is asked on them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::asking::{ASKS, Asking, Manager};
use super::field::{at, is_a, is_true, list, shown, text, within};
use super::finding::Findings;
use super::ills;
use super::ours::Ours;
use super::reading::Envoy;

/// A share of a route, a route, a virtual host or a whole table: each may have settings of filters.
#[derive(Clone)]
pub(super) struct Part<'e> {
    pub(super) place: String,
    pub(super) value: &'e Value,
}

/// Where a route leads.
pub(super) struct Way<'e> {
    /// The parts that it is made of, the nearest first.
    parts: Vec<Part<'e>>,
    /// [`ANY`] where the request says which.
    cluster: &'e str,
}

/// In place of a cluster that a header or a plugin chooses.
const ANY: &str = "*";

/// What is known of all ways through an Envoy.
pub(super) struct Ways<'e> {
    envoy: &'e Envoy,
    /// The clusters that somebody is asked about.
    asked: BTreeSet<&'e str>,
}

impl<'e> Ways<'e> {
    pub(super) fn new(envoy: &'e Envoy, managers: &[Manager<'e>]) -> Self {
        let mut asked = BTreeSet::new();
        for manager in managers {
            let asking = manager.asking(envoy);
            let on = |way: &Way<'e>| asking.iter().any(|asking| off(way, asking).is_none());
            asked.extend(ways(manager, envoy).into_iter().filter(on).map(|way| way.cluster));
        }
        Self { envoy, asked }
    }

    /// Says where nobody is asked about what somebody is asked about elsewhere.
    pub(super) fn examine(&self, manager: &Manager<'e>, ours: &Ours, findings: &mut Findings) {
        let asking = manager.asking(self.envoy);
        let all = ways(manager, self.envoy);
        let open = self.open(manager, ours);
        if let Some(from) = self.envoy.hidden_routes(manager.settings) {
            findings.add(manager.place(), &ills::UNSEEN, from);
        }
        if asking.is_empty() {
            if let Some(cluster) = open.iter().map(|way| way.cluster).find(|cluster| self.guarded(cluster)) {
                let found = format!("no ext_authz filter, and a way to `{cluster}`");
                findings.add(manager.place(), &ills::NOT_ASKED, &found);
            }
            return;
        }
        let unasked = |way: &Way<'_>| asking.iter().all(|asking| off(way, asking).is_some());
        if !open.is_empty() && all.iter().all(unasked) {
            findings.add(manager.place(), &ills::NOT_ASKED, "it is switched off for every route");
            return;
        }
        upgrades(manager, findings);
        for way in &open {
            let place = asking.iter().find_map(|asking| off(way, asking));
            let cluster = way.cluster;
            if let (true, Some(place)) = (self.guarded(cluster), place) {
                let found = format!("switched off; `{cluster}` is asked about elsewhere");
                findings.add(place, &ills::NOT_EVERY_REQUEST, &found);
            }
        }
        if all.is_empty() {
            // The routes are not here: nobody can say which of them switch it on.
            for asking in asking.iter().filter(|asking| is_true(asking.filter(), "disabled")) {
                findings.add(asking.place(), &ills::NOT_EVERY_REQUEST, "disabled: true");
            }
        }
    }

    /// The ways to somebody else than Doorward on which nobody is asked.
    pub(super) fn open(&self, manager: &Manager<'e>, ours: &Ours) -> Vec<Way<'e>> {
        let asking = manager.asking(self.envoy);
        let mut open = ways(manager, self.envoy);
        open.retain(|way| {
            let unasked = asking.iter().all(|asking| off(way, asking).is_some());
            // Doorward's own logins and tokens believe no identity header.
            unasked && !self.envoy.leads_to_doorward(way.cluster, ours)
        });
        open
    }

    /// Says where connections are passed on, and no request of theirs is asked about.
    pub(super) fn connections(&self, findings: &mut Findings) {
        for (listener, cluster) in self.envoy.connections().filter(|(_, cluster)| self.guarded(cluster)) {
            let found = format!("tcp_proxy, and a way to `{cluster}`");
            findings.add(format!("listener `{listener}`"), &ills::NOT_ASKED, &found);
        }
    }

    /// Whether somebody is asked about a cluster on some way.
    fn guarded(&self, cluster: &str) -> bool {
        let own = self.envoy.endpoints(cluster);
        let same = |asked: &str| {
            asked == cluster
                || [asked, cluster].contains(&ANY)
                || !self.envoy.endpoints(asked).is_disjoint(&own)
        };
        self.asked.iter().any(|asked| same(asked))
    }
}

/// What is no request any more, a websocket, may be given a chain of filters of its own.
fn upgrades(manager: &Manager<'_>, findings: &mut Findings) {
    for upgrade in list(manager.settings, "upgrade_configs") {
        let own = list(upgrade, "filters");
        if !own.is_empty() && !own.iter().any(|filter| within(filter, ASKS).is_some()) {
            let found = format!("upgrade_configs: {}", shown(upgrade, "upgrade_type"));
            findings.add(manager.place(), &ills::NOT_EVERY_REQUEST, &found);
        }
    }
}

/// Where a filter is switched off for a way; none where it asks.
fn off(way: &Way<'_>, asking: &Asking<'_, '_>) -> Option<String> {
    let said = way.parts.iter().find_map(|part| {
        let mut settings = settings(part);
        settings.find(|(name, _)| *name == asking.name()).map(|(_, value)| (part, is_true(value, "disabled")))
    });
    match said {
        Some((part, off)) => off.then(|| part.place.clone()),
        // Where the filter is off by itself, a route can only switch it on.
        None => is_true(asking.filter(), "disabled").then(|| asking.place()),
    }
}

/// Every way through a manager, as far as its routes are here.
fn ways<'e>(manager: &Manager<'e>, envoy: &'e Envoy) -> Vec<Way<'e>> {
    let Some(table) = envoy.routes(manager.settings) else { return Vec::new() };
    let mut ways = Vec::new();
    let whole = Part { place: "the routes".into(), value: table };
    for host in hosts(table) {
        for route in routes(&host) {
            let (value, parts) = (route.value, vec![route.clone(), host.clone(), whole.clone()]);
            let shares = list(value, "route.weighted_clusters.clusters");
            for share in shares {
                let own = Part { place: route.place.clone(), value: share };
                let parts = [vec![own], parts.clone()].concat();
                ways.push(Way { parts, cluster: text(share, "name").unwrap_or(ANY) });
            }
            // What answers by itself leads nowhere.
            if shares.is_empty() && !at(value, "route").is_null() {
                ways.push(Way { parts, cluster: text(value, "route.cluster").unwrap_or(ANY) });
            }
        }
    }
    ways
}

/// Everything of a table that may have settings of filters.
pub(super) fn parts(table: &Value) -> Vec<Part<'_>> {
    let mut parts = vec![Part { place: "the routes".into(), value: table }];
    for host in hosts(table) {
        let routes: Vec<_> = routes(&host).collect();
        parts.push(host);
        for route in routes {
            let shares = list(route.value, "route.weighted_clusters.clusters").iter();
            let shares: Vec<_> = shares.map(|value| Part { place: route.place.clone(), value }).collect();
            parts.push(route);
            parts.extend(shares);
        }
    }
    parts
}

fn hosts(table: &Value) -> impl Iterator<Item = Part<'_>> {
    list(table, "virtual_hosts").iter().map(|value| {
        let name = text(value, "name").unwrap_or_default();
        Part { place: format!("virtual host `{name}`"), value }
    })
}

fn routes<'e>(host: &Part<'e>) -> impl Iterator<Item = Part<'e>> {
    let mut matched = Vec::new();
    within_matcher(at(host.value, "matcher"), &mut matched);
    let routes = list(host.value, "routes").iter().chain(matched).enumerate();
    routes.map(|(index, value)| Part { place: format!("route {} of {}", index + 1, host.place), value })
}

/// The routes that a matcher leads to, one by one or in lists.
fn within_matcher<'e>(value: &'e Value, found: &mut Vec<&'e Value>) {
    if is_a(value, "route.v3.Route") {
        return found.push(value);
    }
    if is_a(value, "route.v3.RouteList") {
        return found.extend(list(value, "routes"));
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|inner| within_matcher(inner, found)),
        Value::Array(items) => items.iter().for_each(|inner| within_matcher(inner, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Settings for filters, by the filter's name.
pub(super) fn settings<'e>(part: &Part<'e>) -> impl Iterator<Item = (&'e str, &'e Value)> + use<'e> {
    let settings = at(part.value, "typed_per_filter_config").as_object().into_iter().flatten();
    settings.map(|(name, value)| {
        // Perhaps wrapped, with `is_optional` or `disabled` around it.
        let wrapped = is_a(value, "route.v3.FilterConfig") && !is_true(value, "disabled");
        (name.as_str(), if wrapped { at(value, "config") } else { value })
    })
}
