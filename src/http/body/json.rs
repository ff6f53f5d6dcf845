//! JSON into a value: what serde_json lets pass in silence is refused.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{DEEPEST, Wrong, refused_text};

pub(super) fn parse(text: &str) -> Result<Value, Wrong> {
    let mut json = serde_json::Deserializer::from_str(text);
    // Ours is the stricter limit, and ours says so.
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let parsed = Strict { depth: 0 }.deserialize(tracked);
    let path = Some(track.path().to_string()).filter(|path| path != ".").unwrap_or_default();
    let value = parsed.map_err(|error| wrong(path, &error))?;
    json.end().map_err(|error| Wrong { field: String::new(), why: no_json(&error) })?;
    Ok(value)
}

/// Ours name a field; serde_json's are of the text.
fn wrong(path: String, error: &serde_json::Error) -> Wrong {
    let said = error.to_string();
    // Ours begin with a mark of their own, which no text of serde_json has.
    let ours = said.strip_prefix(MARK).map(|rest| rest.split(" at line ").next().unwrap_or(rest).to_owned());
    match ours {
        Some(why) if why.contains("levels deep") || why.starts_with("a member's name") => {
            Wrong { field: String::new(), why }
        }
        Some(why) => Wrong { field: path, why },
        None if said.starts_with("number out of range") => {
            Wrong { field: path, why: "a number out of range".into() }
        }
        None => Wrong { field: String::new(), why: no_json(error) },
    }
}

fn no_json(error: &serde_json::Error) -> String {
    format!("the body is not JSON (line {}, column {})", error.line(), error.column())
}

const MARK: &str = "refused: ";

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEEPEST {
            return Err(E::custom(format_args!("{MARK}it is nested more than {DEEPEST} levels deep")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom(format_args!("{MARK}a number out of range")))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        match refused_text(value) {
            Some(why) => Err(E::custom(format_args!("{MARK}{why}"))),
            None => Ok(Value::String(value.to_owned())),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name.chars().any(char::is_control) {
                let why = format_args!("{MARK}a member's name must not hold control characters");
                return Err(A::Error::custom(why));
            }
            let twice = object.contains_key(&name);
            let value = members.next_value_seed(Once { inner, twice })?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// A member's value, where its name was not there before: refused here the path ends with it.
struct Once {
    inner: Strict,
    twice: bool,
}

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.twice {
            return Err(D::Error::custom(format_args!("{MARK}it is there twice")));
        }
        self.inner.deserialize(deserializer)
    }
}
