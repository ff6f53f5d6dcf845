//! What is inside of lists, maps and words, one by one.

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::Reader;
use crate::config::fault::Fault;
use crate::config::node::{Entry, Node};
use crate::config::place::{At, Place};

/// A list's items.
pub(super) struct Items<'de>(pub(super) std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        self.0.next().map(|item| seed.deserialize(Reader(item))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// A map's keys and values.
pub(super) struct Entries<'de> {
    rest: std::slice::Iter<'de, Entry>,
    value: Option<&'de Node>,
}

impl<'de> Entries<'de> {
    pub(super) fn of(entries: &'de [Entry]) -> Self {
        Self { rest: entries.iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.rest.next() else { return Ok(None) };
        self.value = Some(&entry.value);
        seed.deserialize(Key { key: &entry.key, place: entry.place })
            .map(Some)
            .map_err(|fault| fault.or_at(entry.place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let value = self.value.take().ok_or_else(|| Fault::custom("a value was asked for before its key"))?;
        seed.deserialize(Reader(value)).map_err(|fault| fault.or_at(value.place))
    }
}

/// A word of an enumeration, bare (`api_key`) or with content (`api_key: {…}`).
pub(super) struct Variant<'de> {
    pub word: &'de str,
    pub place: Place,
    pub content: Option<&'de Node>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let word: StrDeserializer<'de, Fault> = self.word.into_deserializer();
        let variant = seed.deserialize(word).map_err(|fault| fault.or_at(self.place))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            None => Ok(()),
            Some(content) => Err(Fault::new(content.place, format!("`{}` takes no options", self.word))),
        }
    }

    /// A bare word means all defaults.
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        match self.content {
            Some(content) => seed.deserialize(Reader(content)),
            None => seed.deserialize(MapAccessDeserializer::new(Entries::of(&[]))),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.newtype_variant_seed(Content(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.newtype_variant_seed(Content(visitor))
    }
}

/// Hands a variant's content to a visitor.
struct Content<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Content<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_any(self.0)
    }
}

/// Reads a key of a map.
struct Key<'de> {
    key: &'de str,
    place: Place,
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match name {
            At::<()>::NAME => visitor.visit_seq(PlaceAndValue::of(self.place, self)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What [`At`] is read from: the place, then the value.
pub(super) struct PlaceAndValue<D> {
    place: Option<Place>,
    value: Option<D>,
}

impl<D> PlaceAndValue<D> {
    pub(super) fn of(place: Place, value: D) -> Self {
        Self { place: Some(place), value: Some(value) }
    }
}

impl<'de, D: Deserializer<'de, Error = Fault>> SeqAccess<'de> for PlaceAndValue<D> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if let Some(place) = self.place.take() {
            return seed.deserialize(place.pack().into_deserializer()).map(Some);
        }
        self.value.take().map(|value| seed.deserialize(value)).transpose()
    }
}
