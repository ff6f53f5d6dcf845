//! From the tree to types: serde's derives on this side, every fault with its place on the other.
//!
//! `null` is no value: a setting is written or left out. So nothing that narrows (`hosts`,
//! `services`) can be lifted by a line that lost its end. In an `override` alone the word removes.

mod access;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

use super::deployments::Part;
use super::fault::{Fault, listed};
use super::node::{Node, Value};
use super::place::At;
use access::{Entries, Items, PlaceAndValue, Variant};

/// # Errors
///
/// The first fault, with its place.
pub(super) fn decode<'de, T: serde::Deserialize<'de>>(node: &'de Node) -> Result<T, Fault> {
    T::deserialize(Reader(node))
}

/// Reads one value of the tree.
#[derive(Clone, Copy)]
struct Reader<'de>(&'de Node);

const A_LIST: &str = "a list";

impl<'de> Reader<'de> {
    fn unexpected(self) -> Unexpected<'de> {
        match &self.0.value {
            Value::Nothing | Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Unsigned(number) => Unexpected::Unsigned(*number),
            Value::Signed(number) => Unexpected::Signed(*number),
            Value::Float(number) => Unexpected::Float(*number),
            Value::Text(text) | Value::Given(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }

    fn expected(self, what: &str) -> Fault {
        Fault::invalid_type(self.unexpected(), &what).or_at(self.0.place)
    }

    /// Where a map or a list belongs, there may be a secret that was put in a wrong place
    /// (`keys: [abc…]`): the value is not shown.
    fn expected_structure(self, what: &str) -> Fault {
        let place = self.0.place;
        let (found, way_out) = match &self.0.value {
            // A variable that names a part makes a map.
            Value::Given(_) if what == A_LIST => ("text", "; lists are set in the file"),
            Value::Given(_) => ("text", "; it is set in the file, or part by part"),
            Value::Text(_) => ("text", ""),
            Value::Nothing | Value::Null => ("nothing", "; write it, or leave the line out"),
            Value::List(_) => ("a list", ""),
            Value::Map(_) => ("a map", ""),
            _ => ("a number or a truth value", ""),
        };
        Fault::discreet(place, format!("expected {what}, found {found}{way_out}"))
    }

    /// A number, by what its type says of the ones it cannot hold.
    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let read = match &self.0.value {
            Value::Unsigned(number) => visitor.visit_u64(*number),
            Value::Signed(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Given(text) => match (text.parse::<u64>(), text.parse::<f64>()) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_f64(number),
                _ => Err(Fault::invalid_type(self.unexpected(), &visitor)),
            },
            _ => Err(Fault::invalid_type(self.unexpected(), &visitor)),
        };
        read.map_err(|fault| fault.or_at(self.0.place))
    }
}

/// Methods for types that all are read alike.
macro_rules! read_as {
    ($read:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.$read(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    read_as! { number:
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64
    }

    read_as! { deserialize_any:
        deserialize_bytes deserialize_byte_buf deserialize_char deserialize_unit deserialize_ignored_any
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let read = match &self.0.value {
            Value::Nothing | Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(number) => visitor.visit_u64(*number),
            Value::Signed(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) | Value::Given(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries::of(entries)),
        };
        read.map_err(|fault| fault.or_at(self.0.place))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Given(text) if text == "true" => visitor.visit_bool(true),
            Value::Given(text) if text == "false" => visitor.visit_bool(false),
            _ => Err(self.expected("`true` or `false`")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Text(text) | Value::Given(text) => {
                visitor.visit_borrowed_str(text).map_err(|fault: Fault| fault.or_at(self.0.place))
            }
            Value::Bool(_) | Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => {
                let mut fault = self.expected("text");
                fault.message += "; put it in quotes";
                Err(fault)
            }
            _ => Err(self.expected("text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match (name, &self.0.value) {
            (At::<()>::NAME, _) => visitor.visit_seq(PlaceAndValue::of(self.0.place, self)),
            (Part::<()>::NAME, Value::Null) => visitor.visit_unit(),
            (Part::<()>::NAME, Value::Nothing) => {
                Err(Fault::invalid_type(self.unexpected(), &visitor).or_at(self.0.place))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::List(_) => self.deserialize_any(visitor),
            _ => Err(self.expected_structure(A_LIST)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Map(_) => self.deserialize_any(visitor),
            _ => Err(self.expected_structure("a map")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Map(_) => self.deserialize_any(visitor),
            // A heading of which all lines are commented out; what is required is missed by name.
            Value::Nothing | Value::Null => {
                visitor.visit_map(Entries::of(&[])).map_err(|fault| fault.or_at(self.0.place))
            }
            _ => Err(self.expected_structure(&format!("a map of {}", listed(fields)))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let read = match &self.0.value {
            Value::Text(word) | Value::Given(word) => {
                visitor.visit_enum(Variant { word, place: self.0.place, content: None })
            }
            Value::Map(entries) => match entries.as_slice() {
                [only] => visitor.visit_enum(Variant {
                    word: &only.key,
                    place: only.place,
                    content: Some(&only.value),
                }),
                _ => Err(self.expected(&format!("exactly one of {}", listed(variants)))),
            },
            _ => Err(self.expected(&format!("one of {}", listed(variants)))),
        };
        read.map_err(|fault| fault.or_at(self.0.place))
    }
}
