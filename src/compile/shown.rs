//! Objects as they are found and shown, whether the file declares them or the store holds them.

use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::edition::{Edition, Stored};
use crate::config::{Declared, Kind, Wrong};
use crate::store::record::ObjectRecord;

/// An object, wherever it is.
#[derive(Clone, Debug)]
pub struct Shown {
    pub id: Uuid,
    pub kind: Kind,
    /// A deployment's is `orders/production`, a version's `v1`.
    pub name: String,
    /// As one would write it in the file, without its id.
    pub settings: Map<String, Value>,
    /// Whose version it is.
    pub service: Option<Uuid>,
    /// `None`: the file declares it.
    pub record: Option<Arc<ObjectRecord>>,
    /// Why it is left out; empty where it is not.
    pub refused: Vec<Wrong>,
}

impl Edition {
    /// The object of this kind with this id or name, usable or not; `service` is whose version it is. What
    /// looks like an id is one.
    pub fn find(&self, kind: Kind, service: Option<&Uuid>, named: &str) -> Option<Shown> {
        let of_service = |shown: &Shown| shown.service.as_ref() == service;
        if let Ok(id) = Uuid::try_parse(named) {
            return self.show(kind, &id).filter(of_service);
        }
        let path = match service {
            Some(service) => format!("{}/{named}", self.compiled().name(Kind::Service, service)?),
            None => named.to_owned(),
        };
        if let Some(id) = self.compiled().find(kind, &path) {
            return self.show(kind, &id).filter(of_service);
        }
        // A service as it is, where the file lists no deployments, goes by its own name.
        let mut declared = self.basis().declared(kind);
        if let Some(found) = declared.find(|it| it.name == named && it.service.as_ref() == service) {
            return Some(declared_one(kind, found));
        }
        // What is left out has no name, and yet has to be found to be mended.
        let refused = self.refused().keys().filter_map(|id| self.show(kind, id));
        refused.into_iter().find(|shown| shown.name == named && of_service(shown))
    }

    pub fn show(&self, kind: Kind, id: &Uuid) -> Option<Shown> {
        match self.basis().declares(kind, id) {
            Some(declared) => Some(declared_one(kind, declared)),
            None => {
                self.stored(id).filter(|it| it.record.kind == kind.name()).map(|it| self.stored_one(kind, it))
            }
        }
    }

    /// All of a kind, in order of ids. Where the file and the store have one of the same id, the file's.
    pub fn list(&self, kind: Kind) -> Vec<Shown> {
        let stored = self.objects().filter(|it| it.record.kind == kind.name());
        let mut all: Vec<Shown> = stored.map(|it| self.stored_one(kind, it)).collect();
        all.retain(|it| self.basis().declares(kind, &it.id).is_none());
        all.extend(self.basis().declared(kind).map(|declared| declared_one(kind, declared)));
        all.sort_by_key(|shown| shown.id);
        all
    }

    fn stored_one(&self, kind: Kind, Stored { record, object }: &Stored) -> Shown {
        let settings = match object {
            Ok(object) => object.settings(),
            Err(_) => serde_json::from_str(&record.settings).unwrap_or_default(),
        };
        let Value::Object(settings) = settings else {
            return self.shown(kind, record, Map::new());
        };
        self.shown(kind, record, settings)
    }

    fn shown(&self, kind: Kind, record: &Arc<ObjectRecord>, settings: Map<String, Value>) -> Shown {
        let name = self.name_by(&settings);
        let refused = self.refused().get(&record.id).cloned().unwrap_or_default();
        let (service, record) = (record.service, Some(Arc::clone(record)));
        let id = record.as_ref().map_or(Uuid::nil(), |record| record.id);
        Shown { id, kind, name, settings, service, record, refused }
    }

    /// What a record calls its object, written or not.
    pub fn name_of(&self, record: &ObjectRecord) -> String {
        let settings: Value = serde_json::from_str(&record.settings).unwrap_or_default();
        let settings = settings.as_object().cloned().unwrap_or_default();
        self.name_by(&settings)
    }

    fn name_by(&self, settings: &Map<String, Value>) -> String {
        let own = settings.get("name").and_then(Value::as_str);
        own.map_or_else(|| self.deployment_name(settings), str::to_owned)
    }

    /// `orders/production`; where one of both is not known, its id stands for its name.
    fn deployment_name(&self, settings: &Map<String, Value>) -> String {
        let part = |key: &str, kind: Kind| {
            let reference = settings.get(key).and_then(Value::as_str).unwrap_or_default();
            let name = self.compiled().find(kind, reference).and_then(|id| self.compiled().name(kind, &id));
            name.unwrap_or(reference).to_owned()
        };
        format!("{}/{}", part("service", Kind::Service), part("infrastructure", Kind::Infrastructure))
    }

    /// The service and the infrastructure of a deployment; none where it is a service as it is.
    pub fn sides(&self, deployment: &Shown) -> (Option<Uuid>, Option<Uuid>) {
        let side = |key: &str, kind: Kind| {
            let reference = deployment.settings.get(key)?.as_str()?;
            self.compiled().find(kind, reference).or_else(|| Uuid::try_parse(reference).ok())
        };
        (side("service", Kind::Service), side("infrastructure", Kind::Infrastructure))
    }
}

fn declared_one(kind: Kind, declared: &Declared) -> Shown {
    let Declared { id, name, service, settings } = declared.clone();
    let settings = match settings {
        Value::Object(settings) => settings,
        _ => Map::new(),
    };
    Shown { id, kind, name, settings, service, record: None, refused: Vec::new() }
}
