//! A plugin as it comes in a body: JSON, or a form such as `config.key_in_query=false`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::words::Config;
use super::{PROTOCOLS, Plugin, plugin_names};
use crate::http::admin::given::set;
use crate::issue::{Refusal, Set};

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::admin) struct PluginBody {
    /// `key-auth`, `acl`, `jwt`, `basic-auth` or `ip-restriction`.
    name: Option<String>,
    /// Derived from the service and the name: it cannot be chosen.
    id: Option<Uuid>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<ConfigBody>, inline)]
    config: Set<ConfigBody>,
    /// A plugin that is there is switched on.
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    protocols: Set<Vec<String>>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    tags: Set<Vec<String>>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<ServiceNamed>, inline)]
    pub(in crate::http::admin) service: Set<ServiceNamed>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<ServiceNamed>, inline)]
    pub(in crate::http::admin) route: Set<ServiceNamed>,
    /// Null: a plugin is of a service, whoever calls it.
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<ServiceNamed>, inline)]
    consumer: Set<ServiceNamed>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<String>)]
    instance_name: Set<String>,
    /// As it was read; it changes nothing.
    #[serde(rename = "created_at")]
    _created_at: Option<i64>,
    /// As it was read; it changes nothing.
    #[serde(rename = "updated_at")]
    _updated_at: Option<i64>,
}

/// A service as bodies name it: by one of these.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::admin) struct ServiceNamed {
    id: Option<String>,
    name: Option<String>,
}

impl ServiceNamed {
    pub(in crate::http::admin) fn named(&self) -> Option<&str> {
        self.id.as_deref().or(self.name.as_deref())
    }
}

/// The fields of every plugin; each takes its own.
#[derive(Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct ConfigBody {
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    key_names: Set<Vec<String>>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    key_in_header: Set<bool>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    key_in_query: Set<bool>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    key_in_body: Set<bool>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    hide_credentials: Set<bool>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    run_on_preflight: Set<bool>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    realm: Set<String>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    anonymous: Set<String>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    allow: Set<Vec<String>>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    deny: Set<Vec<String>>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    hide_groups_header: Set<bool>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    always_use_authenticated_groups: Set<bool>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u16>)]
    status: Set<u16>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    message: Set<String>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    issuer: Set<String>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    uri_param_names: Set<Vec<String>>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    cookie_names: Set<Vec<String>>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    header_names: Set<Vec<String>>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    key_claim_name: Set<String>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    secret_is_base64: Set<bool>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    claims_to_verify: Set<Vec<String>>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    maximum_expiration: Set<u64>,
}

/// A body that was found good: which plugin it is about, and what it says of its `config`.
pub(in crate::http::admin) struct Given {
    pub(super) plugin: Plugin,
    /// What was sent; null is a default.
    pub(super) sent: Config,
}

impl PluginBody {
    /// `of`: the plugin that the path names, and its service.
    ///
    /// # Errors
    ///
    /// It says something that a policy cannot say, or contradicts the path.
    pub(super) fn given(self, service: Uuid, of: Option<Plugin>) -> Result<Given, Refusal> {
        let invalid = |field, why: &str| Err(Refusal::Invalid { field, why: why.to_owned() });
        let plugin = match (self.name.as_deref(), of) {
            (None, None) => return invalid("name", "required field missing"),
            (None, Some(plugin)) => plugin,
            (Some(name), of) => match Plugin::of_name(name) {
                None => return invalid("name", &format!("expected one of: {}", plugin_names().join(", "))),
                Some(plugin) if of.is_some_and(|of| of != plugin) => {
                    return invalid("name", "cannot be changed");
                }
                Some(plugin) => plugin,
            },
        };
        if self.id.is_some_and(|id| id != plugin.id(&service)) {
            return invalid("id", "cannot be chosen: it is derived from the service and the plugin's name");
        }
        if self.enabled == Some(false) {
            return invalid("enabled", "cannot be false: delete the plugin, or set the service's `mode`");
        }
        if self
            .protocols
            .flatten()
            .is_some_and(|given| PROTOCOLS.iter().any(|it| !given.iter().any(|one| one == it)))
        {
            return invalid("protocols", &format!("a policy is for all of them: {}", PROTOCOLS.join(", ")));
        }
        if self.tags.flatten().is_some_and(|tags| !tags.is_empty()) {
            return invalid("tags", "cannot be set: a plugin is part of its service, which has tags");
        }
        if self.consumer.flatten().is_some() {
            return invalid("consumer", "cannot be set: a plugin is for whoever calls the service");
        }
        if self.instance_name.flatten().is_some() {
            return invalid("instance_name", "cannot be set: there is one of a name");
        }
        let sent = match serde_json::to_value(self.config.flatten().unwrap_or_default()) {
            Ok(Value::Object(sent)) => sent,
            _ => Map::new(),
        };
        let known = plugin.defaults();
        match sent.keys().find(|field| !known.contains_key(*field)) {
            Some(field) => Err(Refusal::Faulty(vec![crate::config::Wrong {
                path: format!("config.{field}"),
                why: format!("unknown field of `{}`", plugin.name()),
                brief: None,
            }])),
            None => Ok(Given { plugin, sent }),
        }
    }
}

impl Given {
    /// The whole `config`: what was sent, over what there is, or over the defaults.
    pub(super) fn over(&self, before: Option<&Config>) -> Config {
        let mut config = self.plugin.defaults();
        if let Some(before) = before {
            config.extend(before.clone());
        }
        for (field, value) in &self.sent {
            let value = match value {
                Value::Null => self.plugin.defaults().remove(field).unwrap_or_default(),
                value => value.clone(),
            };
            config.insert(field.clone(), value);
        }
        config
    }
}
