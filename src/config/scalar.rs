//! What settings have in common that are written in one word: `250ms`, `9MiB`, `0.0.0.0:8100`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// A setting that is written in one word, and shown as it is read. [`scalar!`] makes serde and the
/// JSON Schema know it.
pub(super) trait Scalar: fmt::Display + Sized {
    /// What stands after `expected` in an error: the form, and an example.
    const EXPECTED: &'static str;

    fn parse(text: &str) -> Option<Self>;

    /// The same form for other programs.
    fn schema() -> schemars::Schema;

    /// Of a plain number, where one has a meaning.
    fn of_number(_: u64) -> Option<Self> {
        None
    }

    /// What an error may show of a text that could not be read.
    fn shown(text: &str) -> Cow<'_, str> {
        text.into()
    }
}

/// The one way to read all of them.
pub(super) fn read<'de, T: Scalar, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(ScalarVisitor(PhantomData))
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<T: Scalar> Visitor<'_> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::of_number(number).ok_or_else(|| E::invalid_type(Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(&T::shown(text)), &self))
    }
}

/// Serde and JSON Schema for a [`Scalar`]: they are not ours, so no blanket `impl` can be.
macro_rules! scalar {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::scalar::read(deserializer)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <Self as $crate::config::scalar::Scalar>::schema()
            }
        }
    };
}
pub(super) use scalar;
