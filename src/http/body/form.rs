//! Forms into values, as Kong reads them: `tags[]=a`, `tags[1]=a`, a name that is repeated, and
//! `config.key_names=a` one level down. What a form cannot say, numbers and truth, is read where a
//! field asks for it.

use percent_encoding::percent_decode_str;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use super::{DEEPEST, Wrong, refused_text};

pub(super) fn parse(text: &str) -> Result<Value, Wrong> {
    let mut root = Map::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let no_text = |field: &str| Wrong { field: field.to_owned(), why: "it is not UTF-8".into() };
        let name = decode(name).ok_or_else(|| no_text(""))?;
        if name.chars().any(char::is_control) {
            let why = "a field's name must not hold control characters".into();
            return Err(Wrong { field: String::new(), why });
        }
        let value = decode(value).ok_or_else(|| no_text(&name))?;
        if let Some(why) = refused_text(&value) {
            return Err(Wrong { field: name, why: why.into() });
        }
        let path = segments(&name)?;
        put(&mut root, &path, value).map_err(|()| Wrong { field: name, why: "it is there twice".into() })?;
    }
    Ok(Value::Object(root))
}

fn decode(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    Some(percent_decode_str(&text).decode_utf8().ok()?.into_owned())
}

enum Segment {
    Member(String),
    /// `[]` or `[3]`: one more.
    Item,
}

fn segments(name: &str) -> Result<Vec<Segment>, Wrong> {
    let no_name = || Wrong { field: String::new(), why: "a field has no name".into() };
    let mut path = Vec::new();
    for part in name.split('.') {
        let (head, brackets) = part.split_once('[').map_or((part, None), |(head, rest)| (head, Some(rest)));
        if head.is_empty() {
            return Err(no_name());
        }
        path.push(Segment::Member(head.to_owned()));
        let Some(brackets) = brackets else { continue };
        let inner = brackets.strip_suffix(']').ok_or_else(no_name)?;
        for inner in inner.split("][") {
            path.push(match inner.bytes().all(|byte| byte.is_ascii_digit()) {
                true => Segment::Item,
                false => Segment::Member(inner.to_owned()),
            });
        }
        if path.len() > DEEPEST {
            break;
        }
    }
    if path.len() > DEEPEST {
        let why = format!("a field's name is nested more than {DEEPEST} levels deep");
        return Err(Wrong { field: String::new(), why });
    }
    Ok(path)
}

fn put(object: &mut Map<String, Value>, path: &[Segment], value: String) -> Result<(), ()> {
    let Some((Segment::Member(name), rest)) = path.split_first() else { return Err(()) };
    match rest.first() {
        None => match object.get_mut(name) {
            None => drop(object.insert(name.clone(), Value::String(value))),
            Some(Value::Array(items)) => items.push(Value::String(value)),
            Some(Value::Object(_)) => return Err(()),
            Some(single) => *single = Value::Array(vec![single.take(), Value::String(value)]),
        },
        Some(Segment::Item) => {
            let items = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            match (items, rest.len()) {
                (Value::Array(items), 1) => items.push(Value::String(value)),
                _ => return Err(()),
            }
        }
        Some(Segment::Member(_)) => match object.entry(name).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(inner) => put(inner, rest, value)?,
            _ => return Err(()),
        },
    }
    Ok(())
}

/// A value of a form, read as what a field asks for.
pub(super) struct Loose(pub(super) Value);

type Error = serde_json::Error;

impl Loose {
    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::String(text) = &self.0 else { return self.deserialize_any(visitor) };
        if let Ok(number) = text.parse::<i64>() {
            return match u64::try_from(number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(number),
            };
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => visitor.visit_f64(number),
            _ => self.deserialize_any(visitor),
        }
    }
}

impl<'de> IntoDeserializer<'de, Error> for Loose {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.number(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Loose {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(object) => {
                let members = object.into_iter().map(|(name, value)| (name, Self(value)));
                visitor.visit_map(MapDeserializer::new(members))
            }
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Self))),
            Value::String(text) => visitor.visit_string(text),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.as_str() {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            _ => self.deserialize_any(visitor),
        }
    }

    /// One value is a list of one.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            text @ Value::String(_) => visitor.visit_seq(SeqDeserializer::new(std::iter::once(Self(text)))),
            other => Self(other).deserialize_any(visitor),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("a form has no null"))
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit_struct tuple tuple_struct map struct identifier
        ignored_any
    }
}
