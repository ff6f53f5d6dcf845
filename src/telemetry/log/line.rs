//! How one event becomes one line, whatever bytes a client had put into it.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Debug, Display, Write};

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::Format;
use crate::clock::Clock;

/// Bytes of a client, for a field (`%Bytes(path)`): what is not UTF-8 is shown as `�`.
pub struct Bytes<'a>(pub &'a [u8]);

impl Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

/// Bytes in lower-case hexadecimal, as the W3C writes the ids of traces.
pub struct Hex<'a>(pub &'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An error and all that is behind it: the last of its causes is most often the one that can be mended.
pub fn with_causes(error: &dyn Error) -> String {
    let errors = std::iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Formats events. Spans are not shown: a line says all it has to say itself.
pub(super) struct Lines {
    pub(super) format: Format,
    pub(super) clock: Clock,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let moment = Moment(self.clock.unix_millis());
        match self.format {
            Format::Json => head(&mut out, &moment, level, target)?,
            Format::Text { colours: false } => write!(out, "{moment} {level:>5} {target}:")?,
            Format::Text { colours: true } => {
                let colour = colour(level);
                write!(
                    out,
                    "\x1b[2m{moment}\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m \x1b[2m{target}:\x1b[0m"
                )?;
            }
        }
        let mut fields = Fields { format: self.format, out: &mut out, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        out.write_str(if self.format == Format::Json { "}\n" } else { "\n" })
    }
}

/// The beginning of a line of JSON.
fn head(out: &mut impl Write, moment: &Moment, level: &Level, target: &str) -> fmt::Result {
    write!(out, r#"{{"timestamp":"{moment}","level":"{}","target":"#, lower_case(level))?;
    quoted(out, target)
}

/// A line as the log has it in JSON, for whoever is told outside of the log. What is none is left out.
pub(in crate::telemetry) struct Object(String);

impl Object {
    pub(in crate::telemetry) fn begin(moment: &Moment, level: &Level, target: &str, message: &str) -> Self {
        let mut text = String::with_capacity(512);
        // Writing to a `String` does not fail, here and below.
        let _ = head(&mut text, moment, level, target);
        Self(text).text("message", message)
    }

    pub(in crate::telemetry) fn text<'t>(mut self, name: &str, value: impl Into<Option<&'t str>>) -> Self {
        if let Some(value) = value.into() {
            let _ = write!(self.0, r#","{name}":"#);
            let _ = quoted(&mut self.0, &without_secrets(value));
        }
        self
    }

    pub(in crate::telemetry) fn shown(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.text(name, value.to_string().as_str()),
            None => self,
        }
    }

    pub(in crate::telemetry) fn number(mut self, name: &str, value: u64) -> Self {
        let _ = write!(self.0, r#","{name}":{value}"#);
        self
    }

    /// With the end of the line.
    pub(in crate::telemetry) fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

fn lower_case(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// ECMA-48 "select graphic rendition".
fn colour(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG | Level::TRACE => 34,
    }
}

/// Writes the fields of one event. What cannot be written is kept until the end, because a
/// visitor cannot fail.
struct Fields<'a, W> {
    format: Format,
    out: &'a mut W,
    result: fmt::Result,
}

impl<W: Write> Fields<'_, W> {
    /// A field whose value needs no quotes in either format.
    fn plain(&mut self, field: &Field, value: impl Display) {
        self.write(field, |fields| write!(fields.out, "{value}"));
    }

    fn text(&mut self, field: &Field, value: &str) {
        let value = without_secrets(value);
        let message = field.name() == "message";
        self.write(field, |fields| match fields.format {
            Format::Text { .. } if message || is_word(&value) => escaped(fields.out, &value),
            Format::Json | Format::Text { .. } => quoted(fields.out, &value),
        });
    }

    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Self) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.name(field).and_then(|()| value(self));
        }
    }

    fn name(&mut self, field: &Field) -> fmt::Result {
        match (self.format, field.name()) {
            (Format::Json, name) => {
                self.out.write_char(',')?;
                quoted(self.out, name)?;
                self.out.write_char(':')
            }
            (Format::Text { .. }, "message") => self.out.write_char(' '),
            (Format::Text { .. }, name) => write!(self.out, " {name}="),
        }
    }
}

impl<W: Write> Visit for Fields<'_, W> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, &with_causes(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.plain(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for the others (RFC 8259 section 6).
        if value.is_finite() { self.plain(field, value) } else { self.text(field, &value.to_string()) }
    }
}

/// Whether people read it as one value without quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=')
}

/// A JSON string (RFC 8259 section 7), in which every character is seen for what it is.
fn quoted(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    escaped(out, text)?;
    out.write_char('"')
}

fn escaped(out: &mut impl Write, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(|c| c == '"' || c == '\\' || deceives(c)) {
        out.write_str(&rest[..at])?;
        let mut characters = rest[at..].chars();
        match characters.next() {
            Some('\n') => out.write_str("\\n")?,
            Some('\r') => out.write_str("\\r")?,
            Some('\t') => out.write_str("\\t")?,
            Some(c) if deceives(c) => by_number(out, c)?,
            Some(c) => write!(out, "\\{c}")?,
            None => {}
        }
        rest = characters.as_str();
    }
    out.write_str(rest)
}

/// As JSON escapes it: two halves where it has more than four digits.
fn by_number(out: &mut impl Write, c: char) -> fmt::Result {
    c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
}

/// A text in which every character is seen for what it is, for whoever shows it at a terminal.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(deceives) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(2 * text.len());
    for c in text.chars() {
        if deceives(c) {
            // Writing to a `String` does not fail.
            let _ = by_number(&mut plain, c);
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

/// A text that people read as one value, in quotes where it is more than a word: nobody's text looks like
/// fields of ours.
pub fn as_one_word(text: &str) -> Cow<'_, str> {
    if text.is_empty() || is_word(text) && !text.contains(deceives) {
        return Cow::Borrowed(text);
    }
    let mut whole = String::with_capacity(2 * text.len());
    // Writing to a `String` does not fail.
    let _ = quoted(&mut whole, text);
    Cow::Owned(whole)
}

/// What would have a reader see something else than what is there: controls of both sets (ESC, and the one-byte
/// CSI of C1), the separators that some take for the end of a line, and what takes no room: marks that turn the
/// direction of writing, joiners, selectors, tags (Unicode's Default_Ignorable_Code_Point).
#[rustfmt::skip] // Read by its ranges.
fn deceives(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control() || matches!(c,
        '\u{2028}' | '\u{2029}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Takes the secret out of whatever looks like a credential of ours, and leaves its public part:
/// a client may put one where no credential belongs, and nothing of ours must keep it.
pub(in crate::telemetry) fn without_secrets(text: &str) -> Cow<'_, str> {
    let Some(first) = secret(text, 0) else { return Cow::Borrowed(text) };
    let mut kept = String::with_capacity(text.len());
    let (mut from, mut next) = (0, Some(first));
    while let Some((begin, end)) = next {
        kept.push_str(&text[from..begin]);
        kept.push_str("***");
        from = end;
        next = secret(text, end);
    }
    kept.push_str(&text[from..]);
    Cow::Owned(kept)
}

/// Where the next secret of the form `dw_<kind>_<handle 12>_<secret…>` begins and ends, cut ones
/// included.
fn secret(text: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let run = |at: usize, of: fn(&u8) -> bool| at + bytes[at..].iter().take_while(|byte| of(byte)).count();
    memchr::memmem::find_iter(&bytes[from..], b"dw_").find_map(|at| {
        let kind = from + at + 3;
        let handle = run(kind, u8::is_ascii_lowercase);
        let mark = handle + 1 + 12;
        let named = bytes.get(handle) == Some(&b'_') && bytes.get(mark) == Some(&b'_');
        let begin = mark + 1;
        let end = if named { run(begin, u8::is_ascii_alphanumeric) } else { begin };
        (named && end > begin && run(handle + 1, u8::is_ascii_alphanumeric) == mark).then_some((begin, end))
    })
}

/// RFC 3339 in UTC with milliseconds; the argument is milliseconds since 1970.
pub struct Moment(pub i64);

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(moment) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000) else {
            // Beyond the years that the form has room for: no clock shows that, but a line is a line.
            return write!(f, "{}", self.0);
        };
        let (year, month, day) = moment.to_calendar_date();
        let (hour, minute, second, millis) = moment.to_hms_milli();
        let month = u8::from(month);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_in_rfc_3339() {
        let check = |millis: i64, expected: &str| assert_eq!(Moment(millis).to_string(), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(951_868_800_000, "2000-03-01T00:00:00.000Z");
        check(1_767_225_599_999, "2025-12-31T23:59:59.999Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn what_is_not_seen_is_written_by_its_number_and_read_back_as_it_was() {
        for hidden in [
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200f}',
            '\u{2028}',
            '\u{202e}',
            '\u{2060}',
            '\u{2069}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{e0000}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e01ef}',
        ] {
            let text = format!("al{hidden}ice");
            let word = as_one_word(&text);
            for shown in [&word, &on_one_line(&text)] {
                assert!(shown.is_ascii() && shown.contains("\\u"), "{shown}");
            }
            assert_eq!(serde_json::from_str::<String>(&word).ok().as_ref(), Some(&text), "{word}");
        }
        for seen in ["caf\u{e9}", "\u{65e5}\u{672c}", "\u{1f600}", "e\u{301}", "\u{a0}"] {
            assert_eq!(on_one_line(seen), seen);
        }
    }

    #[test]
    fn secrets_end_where_their_alphabet_ends() {
        let check = |text: &str, expected: &str| assert_eq!(without_secrets(text), expected);
        check("plain", "plain");
        check("dw_key_0123456789aB_secret/x", "dw_key_0123456789aB_***/x");
        check("é dw_admin_0123456789aB_s é", "é dw_admin_0123456789aB_*** é");
        check(
            "dw_key_0123456789aB_a dw_key_0123456789aB_b",
            "dw_key_0123456789aB_*** dw_key_0123456789aB_***",
        );
        // The public part alone may be told.
        check("dw_key_0123456789aB", "dw_key_0123456789aB");
        check("dw_key_0123456789aB_", "dw_key_0123456789aB_");
        check("dw_key_short_secret", "dw_key_short_secret");
        check("dw_dw_key_0123456789aB_s", "dw_dw_key_0123456789aB_***");
    }
}
