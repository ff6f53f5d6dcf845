//! What an Envoy has to fit to: Doorward's own settings.

use serde_json::Value;

use crate::config::Config;

/// What of Doorward's settings an Envoy in front of it has to fit to.
pub struct Ours {
    /// `limits.check_bytes`.
    pub check_bytes: u64,
    /// Whether addresses are judged anywhere.
    pub networks: bool,
    /// Whether anybody's word about a client's address is believed.
    pub proxies: bool,
    /// Whether keys are read from bodies.
    pub bodies: bool,
    /// Names of the headers that Doorward stands for, in lower case.
    pub headers: Vec<String>,
}

impl From<&Config> for Ours {
    fn from(config: &Config) -> Self {
        let settings = serde_json::to_value(config).unwrap_or_default();
        Self {
            check_bytes: config.limits.check_bytes.value.0,
            networks: any(&settings, &|name, value| name == "networks" && !value.is_null()),
            proxies: !config.client_address.trusted_proxies.is_empty(),
            bodies: any(&settings, &|name, value| {
                name == "in" && value.as_array().is_some_and(|places| places.contains(&"body".into()))
            }),
            headers: config.headers.identity().names().map(str::to_owned).collect(),
        }
    }
}

/// Whether something under some name, however deep, is as asked.
fn any(value: &Value, asked: &dyn Fn(&str, &Value) -> bool) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| asked(name, value) || any(value, asked)),
        Value::Array(items) => items.iter().any(|item| any(item, asked)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
