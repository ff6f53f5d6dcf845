//! Protocol buffers as far as one message in and one message out need them: a walk that borrows,
//! and a writer that measures nothing beforehand.

use std::fmt::Display;
use std::io::Write as _;

/// Bytes that are not the message they claim to be. What is inside says which rule they break; it
/// goes to the log and never to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a check that can be read: {0}")]
pub struct Malformed(pub &'static str);

/// What stands in a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    /// Four or eight bytes; no field that we read has this form.
    Fixed,
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed => Err(Malformed("a text or message field of another wire type")),
        }
    }

    pub(super) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Bytes(_) | Self::Fixed => Err(Malformed("a number field of another wire type")),
        }
    }
}

/// The fields of a message in the order in which they were written.
///
/// Groups are refused, because no message of Envoy's has any and skipping one needs recursion.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value; `None` at the end.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if let Some(((number, text), rest)) = text(self.rest) {
            self.rest = rest;
            return Ok(Some((number.into(), Value::Bytes(text))));
        }
        self.next_of_any_kind()
    }

    #[inline(never)]
    fn next_of_any_kind(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed("a field number out of range"))?;
        let number = key >> 3;
        if number == 0 {
            return Err(Malformed("field number 0"));
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                // Longer than the address space is longer than what is left.
                Value::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            3 | 4 => return Err(Malformed("a group")),
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed("an unknown wire type")),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed("a truncated field"))?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        // Nearly every key and length of a check is one byte.
        if let [byte @ 0..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                // The tenth byte holds the topmost of 64 bits and nothing else.
                if index == 9 && *byte > 1 {
                    return Err(Malformed("a number of more than 64 bits"));
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Malformed(if self.rest.len() < 10 { "a truncated number" } else { "an overlong number" }))
    }
}

/// The two text fields, with their numbers, of a message that has these and nothing else, the way in
/// which writers put down the entries of maps: what most of a check consists of. `None` for all else,
/// be it well formed or not.
#[inline]
pub(super) fn two_texts(message: &[u8]) -> Option<(Text<'_>, Text<'_>)> {
    let (first, rest) = text(message)?;
    let (second, rest) = text(rest)?;
    rest.is_empty().then_some((first, second))
}

/// A field's number, and the text in it.
pub(super) type Text<'a> = (u8, &'a [u8]);

/// The text field of a low number that `message` begins with, and what follows it.
#[inline]
fn text(message: &[u8]) -> Option<(Text<'_>, &[u8])> {
    let (key, length, rest) = match *message {
        [key, length @ 0..=0x7f, ref rest @ ..] => (key, usize::from(length), rest),
        [key, low, high @ 1..=0x7f, ref rest @ ..] => {
            (key, usize::from(low & 0x7f) | usize::from(high) << 7, rest)
        }
        _ => return None,
    };
    let (text, rest) = rest.split_at_checked(length)?;
    // A length-delimited field, whose number is not 0.
    (key & 0x87 == 2 && key > 7).then_some(((key >> 3, text), rest))
}

/// Writes a message front to back. A submessage's length is put in front of it afterwards, which
/// moves at most some hundred bytes by one or two, and saves a second walk that would have to agree
/// with the first.
pub(super) struct Writer<'b> {
    buffer: &'b mut Vec<u8>,
}

impl<'b> Writer<'b> {
    pub(super) fn on(buffer: &'b mut Vec<u8>) -> Self {
        Self { buffer }
    }

    /// A number, left out where it is 0, as proto3 has it.
    pub(super) fn number(&mut self, field: u8, value: u64) {
        if value != 0 {
            self.buffer.push(field << 3);
            self.varint(value);
        }
    }

    /// A text or bytes field, written even where it is empty.
    pub(super) fn text(&mut self, field: u8, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        match u8::try_from(text.len()) {
            Ok(length @ 0..=0x7f) => self.buffer.extend_from_slice(&[field << 3 | 2, length]),
            _ => {
                self.buffer.push(field << 3 | 2);
                self.varint(text.len() as u64);
            }
        }
        self.buffer.extend_from_slice(text);
    }

    /// Fields that are written out already.
    pub(super) fn raw(&mut self, fields: &[u8]) {
        self.buffer.extend_from_slice(fields);
    }

    /// A submessage, present even where `fill` writes nothing.
    pub(super) fn message(&mut self, field: u8, fill: impl FnOnce(&mut Writer<'_>)) {
        self.nested(field, |buffer| fill(&mut Writer::on(buffer)));
    }

    /// A text that is put together in the message itself.
    pub(super) fn shown(&mut self, field: u8, text: impl Display) {
        self.nested(field, |bytes| write!(bytes, "{text}").expect("a Vec takes whatever is written"));
    }

    /// Any field with a length, whose bytes `fill` appends.
    pub(super) fn nested(&mut self, field: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        debug_assert!(field < 16, "a key of one byte");
        // Most lengths are of one byte.
        self.buffer.extend_from_slice(&[field << 3 | 2, 0]);
        let start = self.buffer.len();
        fill(self.buffer);
        match self.buffer.len() - start {
            length @ 0..=0x7f => self.buffer[start - 1] = length as u8,
            length => self.long_length(start, length),
        }
    }

    /// A submessage that begins with a text, and holds one more field with a length, nested so deep as
    /// there are `keys`: what answers consist of. Written in one go where all lengths are of one byte.
    pub(super) fn pair(&mut self, field: u8, name: &str, keys: &[u8], fill: &dyn Fn(&mut Vec<u8>)) {
        let start = self.buffer.len();
        if name.len() < 64 {
            self.buffer.extend_from_slice(&[field << 3 | 2, 0, 1 << 3 | 2, name.len() as u8]);
            self.buffer.extend_from_slice(name.as_bytes());
            for key in keys {
                self.buffer.extend_from_slice(&[key << 3 | 2, 0]);
            }
            let text = self.buffer.len();
            fill(self.buffer);
            if self.buffer.len() - start <= 0x7f {
                let length = |from: usize| (self.buffer.len() - from) as u8;
                let lengths = (length(start + 2), length(text));
                self.buffer[start + 1] = lengths.0;
                for depth in 0..keys.len() {
                    let at = text - 1 - 2 * depth;
                    self.buffer[at] = lengths.1 + 2 * depth as u8;
                }
                return;
            }
            self.buffer.truncate(start);
        }
        self.message(field, |pair| {
            pair.text(1, name);
            pair.deep(keys, fill);
        });
    }

    fn deep(&mut self, keys: &[u8], fill: &dyn Fn(&mut Vec<u8>)) {
        match keys {
            [] => fill(self.buffer),
            [key, keys @ ..] => self.nested(*key, |buffer| Writer::on(buffer).deep(keys, fill)),
        }
    }

    /// Puts a length of several bytes in front of what stands from `start` on, where there is one.
    fn long_length(&mut self, start: usize, length: usize) {
        let end = start + length;
        self.varint(length as u64);
        let (prefix, more) = (self.buffer.len() - end, self.buffer.len() - end - 1);
        let mut bytes = [0; 10];
        bytes[..prefix].copy_from_slice(&self.buffer[end..]);
        self.buffer.truncate(end + more);
        self.buffer.copy_within(start..end, start + more);
        self.buffer[start - 1..start + more].copy_from_slice(&bytes[..prefix]);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(case: &str, bytes: &[u8], expected: &str) {
        let mut fields = Fields::of(bytes);
        let found = loop {
            match fields.next() {
                Ok(Some(_)) => {}
                Ok(None) => break "read",
                Err(Malformed(why)) => break why,
            }
        };
        assert_eq!(found, expected, "{case}");
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn what_is_not_a_message_is_refused_by_its_reason() {
        check("nothing at all",           b"",                                                 "read");
        check("a number",                 b"\x08\x01",                                         "read");
        check("text",                     b"\x0a\x02ab",                                       "read");
        check("fixed widths",             b"\x09\0\0\0\0\0\0\0\0\x0d\0\0\0\0",                 "read");
        check("largest number",           b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",     "read");
        check("a padded number",          b"\x08\x81\x80\x00",                                 "read");
        check("65 bits",                  b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",     "a number of more than 64 bits");
        check("eleven bytes",             b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "an overlong number");
        check("a number cut off",         b"\x08\x80",                                         "a truncated number");
        check("a key cut off",            b"\x80",                                             "a truncated number");
        check("text cut off",             b"\x0a\x03ab",                                       "a truncated field");
        check("length beyond all memory", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",     "a truncated field");
        check("fixed width cut off",      b"\x0d\0\0\0",                                       "a truncated field");
        check("field number 0",           b"\x00\x01",                                         "field number 0");
        check("field number of 33 bits",  b"\x80\x80\x80\x80\x10\x01",                         "a field number out of range");
        check("a group",                  b"\x0b\x0c",                                         "a group");
        check("end of no group",          b"\x0c",                                             "a group");
        check("wire type 6",              b"\x0e",                                             "an unknown wire type");
    }

    #[test]
    fn a_pair_is_written_in_one_go_as_it_is_piece_by_piece() {
        for (name, text) in
            [(0, 0), (5, 9), (63, 1), (64, 1), (5, 112), (5, 113), (5, 127), (5, 128), (5, 300)]
        {
            let (name, text) = ("n".repeat(name), vec![b't'; text]);
            for keys in [&[2][..], &[2, 3], &[2, 6, 1]] {
                let (mut at_once, mut by_pieces) = (vec![7], vec![7]);
                Writer::on(&mut at_once).pair(1, &name, keys, &|bytes| bytes.extend_from_slice(&text));
                Writer::on(&mut by_pieces).message(1, |pair| {
                    pair.text(1, &name);
                    pair.deep(keys, &|bytes| bytes.extend_from_slice(&text));
                });
                assert_eq!(at_once, by_pieces, "{} {}", name.len(), text.len());
            }
        }
    }

    #[test]
    fn a_length_of_two_bytes_stands_before_its_submessage() {
        let mut buffer = Vec::new();
        Writer::on(&mut buffer).message(1, |inner| inner.text(2, [b'x'; 200]));
        assert_eq!(buffer[..6], [0x0a, 0xcb, 0x01, 0x12, 0xc8, 0x01]);
        assert!(buffer[6..].iter().all(|byte| *byte == b'x'));
    }
}
