//! Ids of what the file declares: given, or derived from the name, so that every instance agrees.

use serde::de::{Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::place::At;

/// The namespace of all ids that Doorward derives (RFC 9562 section 5.5). It never changes: ids
/// that derive from it are in stores and logs.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x6a3c_4f1e_90d2_4b57_8e21_d00b_3a7d_0001);

/// A UUID, written with or without dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Id(pub Uuid);

/// The id of the thing of that kind with that name: UUIDv5 of `kind/name`.
pub fn derived(kind: &str, name: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{kind}/{name}").as_bytes())
}

/// The id that was given, or else the derived one.
pub(super) fn given_or_derived(given: Option<&At<Id>>, kind: &str, name: &str) -> Uuid {
    given.map_or_else(|| derived(kind, name), |id| id.value.0)
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl Visitor<'_> for IdVisitor {
            type Value = Id;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a UUID such as `01968c91-8789-7288-a337-f0e398711aac`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
                match Uuid::try_parse(text) {
                    // Nil names nothing; it is what a forgotten id looks like.
                    Ok(id) if !id.is_nil() => Ok(Id(id)),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_str(IdVisitor)
    }
}

impl schemars::JsonSchema for Id {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Uuid::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These ids are in stores: a change here loses what they name.
    #[test]
    fn derived_ids_never_change() {
        assert_eq!(derived("service", "orders").to_string(), "58e97452-d670-5d90-a9da-3d731490e12c");
        assert_eq!(derived("consumer", "alice").to_string(), "8d4554c3-3a35-5a2a-9a3c-363f76f947ef");
        assert_eq!(
            derived("deployment", "orders/production").to_string(),
            "fc14b71f-bdf3-5c23-b9c7-42c60924812c"
        );
        assert_eq!(derived("role", "admin").to_string(), "11c58fb3-85a9-5c6a-af65-cecd447044d0");
    }
}
