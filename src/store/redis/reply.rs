//! Reading what Redis answers.

use ::redis::Value;

use super::refusal::Refusal;

/// The bytes of a string; `None` for nil.
pub(super) fn bytes(value: Value) -> Result<Option<Vec<u8>>, Refusal> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(Some(text.into_bytes())),
        Value::Nil | Value::Boolean(false) => Ok(None),
        _ => Err(Refusal::garbled("a string")),
    }
}

/// The text of a string that must be there.
pub(super) fn text(value: Value) -> Result<String, Refusal> {
    let bytes = bytes(value)?.ok_or_else(|| Refusal::garbled("a text"))?;
    String::from_utf8(bytes).map_err(|_| Refusal::garbled("a text"))
}

/// A number, as such or as decimal digits.
pub(super) fn number(value: Value) -> Result<u64, Refusal> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| Refusal::garbled("a number")),
        other => text(other)?.parse().map_err(|_| Refusal::garbled("a number")),
    }
}

/// A list; nil is an empty one.
pub(super) fn list(value: Value) -> Result<Vec<Value>, Refusal> {
    match value {
        Value::Array(values) | Value::Set(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        _ => Err(Refusal::garbled("a list")),
    }
}

/// A list of just so many.
pub(super) fn exactly<const N: usize>(value: Value) -> Result<[Value; N], Refusal> {
    list(value)?.try_into().map_err(|_| Refusal::garbled("a list"))
}

/// Fields and values.
pub(super) fn map(value: Value) -> Result<Vec<(Value, Value)>, Refusal> {
    match value {
        Value::Map(pairs) => Ok(pairs),
        other => {
            let mut values = list(other)?.into_iter();
            let mut pairs = Vec::with_capacity(values.len() / 2);
            while let (Some(field), Some(value)) = (values.next(), values.next()) {
                pairs.push((field, value));
            }
            Ok(pairs)
        }
    }
}
