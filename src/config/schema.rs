//! The JSON Schema of the configuration, for editors and for checks without Doorward.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use super::object::Kind;
use super::{Config, Deployment, Group, Infrastructure, Permission, Project, Role, Service, Version};

/// JSON Schema, draft 2020-12.
pub fn schema() -> Value {
    let root = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    let mut schema = root.to_value();
    forbid_null(&mut schema);
    schema
}

/// What may be written of objects of policy: the same words as in the file.
pub struct ObjectSchemas {
    pub kinds: BTreeMap<Kind, Value>,
    /// What those refer to.
    pub definitions: Map<String, Value>,
}

/// The schemas of objects, whose references lead to `place`: `/components/schemas`.
pub fn object_schemas(place: &'static str) -> ObjectSchemas {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = place.into())
        .into_generator();
    let mut kinds: BTreeMap<Kind, Value> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let of = match kind {
                Kind::Permission => object::<Permission>,
                Kind::Role => object::<Role>,
                Kind::Project => object::<Project>,
                Kind::Group => object::<Group>,
                Kind::Infrastructure => object::<Infrastructure>,
                Kind::Service => object::<Service>,
                Kind::Version => object::<Version>,
                Kind::Deployment => object::<Deployment>,
            };
            (kind, of(&mut generator))
        })
        .collect();
    kinds.values_mut().for_each(forbid_null);
    let mut definitions = generator.take_definitions(true);
    definitions.values_mut().for_each(forbid_null);
    ObjectSchemas { kinds, definitions }
}

fn object<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

/// `null` is never a value: what is optional is left out.
fn forbid_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
            }
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            map.values_mut().for_each(forbid_null);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_null),
        _ => {}
    }
}
