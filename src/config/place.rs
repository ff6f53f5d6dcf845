//! Where a setting was written, so that a complaint about it can point there.

use std::cmp::Ordering;
use std::ops::Deref;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Where a value came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Place {
    /// Nobody wrote it.
    #[default]
    Default,
    /// Both count from 1; columns count characters.
    File { line: u32, column: u32 },
    /// The n-th overlay: a variable of the environment, or a flag.
    Overlay(u32),
    /// The n-th value of an object that the store holds, counted in the order in which it is written;
    /// `serial` is below 2^31, and no two objects of a process have the same.
    Object { serial: u32, value: u32 },
}

/// Marks the place of a value in the store, among packed ones.
const STORED: u64 = 1 << 63;

/// A value with its place.
#[derive(Clone, Debug, Default)]
pub struct At<T> {
    pub value: T,
    pub place: Place,
}

impl Place {
    pub(super) fn is_stored(self) -> bool {
        matches!(self, Self::Object { .. })
    }

    /// This place, or the other where nobody wrote this one.
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::Default { other } else { self }
    }

    /// For the middle of a sentence: `line 12`.
    pub(super) fn describe(self) -> String {
        match self {
            Self::File { line, .. } => format!("line {line}"),
            Self::Object { .. } => "the store".to_owned(),
            Self::Default | Self::Overlay(_) => "elsewhere".to_owned(),
        }
    }

    /// As one number, because serde's data model has no room for a place.
    pub(super) fn pack(self) -> u64 {
        match self {
            Self::Default => 0,
            Self::Overlay(index) => u64::from(index) + 1,
            // Lines count from 1, so the upper half is never zero.
            Self::File { line, column } => (u64::from(line) << 32) | u64::from(column),
            // A file has no two billion lines: those numbers are free.
            Self::Object { serial, value } => STORED | (u64::from(serial) << 32) | u64::from(value),
        }
    }

    fn unpack(packed: u64) -> Self {
        let (upper, lower) = ((packed >> 32) as u32, packed as u32);
        match (upper, lower) {
            _ if packed & STORED != 0 => Self::Object { serial: upper & !(1 << 31), value: lower },
            (0, 0) => Self::Default,
            (0, lower) => Self::Overlay(lower - 1),
            (line, column) => Self::File { line, column },
        }
    }
}

impl<T> At<T> {
    /// The name under which [`decode`](super::decode) recognises the wrapper.
    pub(super) const NAME: &'static str = "doorward::config::At";

    /// A value that nobody wrote.
    pub fn assumed(value: T) -> Self {
        Self { value, place: Place::Default }
    }
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The place does not count: the same words elsewhere mean the same.
impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T: PartialOrd> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<T: Ord> Ord for At<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(Self::NAME, PlacedVisitor(std::marker::PhantomData))
    }
}

struct PlacedVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PlacedVisitor<T> {
    type Value = At<T>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a value")
    }

    /// From a format without places.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<At<T>, D::Error> {
        T::deserialize(deserializer).map(At::assumed)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<At<T>, A::Error> {
        let missing = || serde::de::Error::custom("a placed value has two parts");
        let place = pair.next_element::<u64>()?.ok_or_else(missing)?;
        let value = pair.next_element::<T>()?.ok_or_else(missing)?;
        Ok(At { value, place: Place::unpack(place) })
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_packing() {
        for place in [
            Place::Default,
            Place::Overlay(0),
            Place::Overlay(41),
            Place::File { line: 1, column: 1 },
            Place::File { line: u32::MAX >> 1, column: u32::MAX },
            Place::Object { serial: 0, value: 0 },
            Place::Object { serial: u32::MAX >> 1, value: u32::MAX },
        ] {
            assert_eq!(Place::unpack(place.pack()), place);
        }
    }
}
