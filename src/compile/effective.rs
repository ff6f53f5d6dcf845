//! The policy that results for one deployment, wherever its parts are: what every key comes to, and who
//! says so.

use serde_json::{Map, Value, json};

use super::{Edition, Shown};
use crate::config::{Kind, unsaid};

/// What one object says, and what it is called for people.
struct Speaker<'s> {
    settings: &'s Map<String, Value>,
    name: String,
}

impl Edition {
    /// `{"deployment", "policy", "origins"}`, as `doorward config show --effective` has it; `None` where its
    /// service is unknown.
    pub fn effective(&self, deployment: &Shown) -> Option<Value> {
        let (service, infrastructure) = self.sides(deployment);
        let service = self.show(Kind::Service, &service?)?;
        let version = self.active_version(&service, deployment);
        let none = Map::new();
        let part =
            |of: Option<&Value>| of.and_then(Value::as_object).cloned().unwrap_or_else(|| none.clone());
        let of_version = part(version.as_ref().and_then(|version| version.settings.get("policy")));
        let of_override = part(deployment.settings.get("override"));
        let on_service = Speaker { settings: &service.settings, name: called("service", &service) };
        let on_version = Speaker {
            settings: &of_version,
            name: version.as_ref().map_or_else(String::new, |version| called("version", version)),
        };
        let on_deployment =
            Speaker { settings: &deployment.settings, name: called("deployment", deployment) };
        let on_override = Speaker { settings: &of_override, name: called("override of", deployment) };

        let mut said = Said::default();
        said.put("service", json!(service.name), &on_service.name);
        if let Some(name) = infrastructure.and_then(|id| self.compiled().name(Kind::Infrastructure, &id)) {
            said.put("infrastructure", json!(name), &on_deployment.name);
        }
        match service.settings.get("enabled") {
            // A service that is switched off is off everywhere.
            Some(Value::Bool(false)) => said.first("enabled", &[&on_service]),
            _ => said.first("enabled", &[&on_deployment, &on_service]),
        }
        ["hosts", "paths"].iter().for_each(|key| said.first(key, &[&on_deployment, &on_service]));
        said.first("path", &[&on_service]);
        for key in ["authentication", "networks", "groups", "rules", "mode"] {
            said.first(key, &[&on_override, &on_version, &on_service]);
        }
        Some(json!({ "deployment": deployment.name, "policy": said.policy, "origins": said.origins }))
    }

    /// The version that the deployment names, else the latest that the service has.
    fn active_version(&self, service: &Shown, deployment: &Shown) -> Option<Shown> {
        if let Some(named) = deployment.settings.get("version").and_then(Value::as_str) {
            return self.find(Kind::Version, Some(&service.id), named);
        }
        match &service.record {
            Some(_) => {
                let mut all = self.list(Kind::Version);
                all.retain(|version| version.service == Some(service.id));
                let made = |version: &Shown| version.record.as_ref().map(|record| record.sequence);
                all.into_iter().max_by_key(made)
            }
            // The file's are in its order, the latest last.
            None => {
                let versions = self.basis().config().services.iter().find(|it| it.id() == service.id)?;
                let last = versions.versions.last()?;
                self.find(Kind::Version, Some(&service.id), &last.name)
            }
        }
    }
}

fn called(what: &str, shown: &Shown) -> String {
    let place = if shown.record.is_some() { "in the store" } else { "in the file" };
    format!("{what} {}, {place}", shown.name)
}

/// What the keys come to, in the order in which they are asked about.
#[derive(Default)]
struct Said {
    policy: Map<String, Value>,
    origins: Map<String, Value>,
}

impl Said {
    fn put(&mut self, key: &str, value: Value, who: &str) {
        self.policy.insert(key.to_owned(), value);
        self.origins.insert(key.to_owned(), json!(who));
    }

    /// The first who says anything; where nobody does, the default holds. What an override removes is as
    /// where nobody says anything.
    fn first(&mut self, key: &str, speakers: &[&Speaker<'_>]) {
        let said = speakers.iter().find_map(|it| Some((it.settings.get(key)?, &it.name)));
        match said {
            Some((Value::Null, who)) => self.put(key, unsaid(key), who),
            Some((value, who)) => self.put(key, value.clone(), who),
            None => _ = self.policy.insert(key.to_owned(), unsaid(key)),
        }
    }
}
