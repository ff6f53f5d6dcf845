//! What is wrong with a configuration, and how it is shown.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::overlay::Overlay;
use super::place::Place;
use super::suggest::closest;

/// The longest part of a line that is shown, in characters.
const LONGEST_EXCERPT: usize = 160;

/// How many are told at once: nobody reads more, and each is looked up in the file.
const MOST_TOLD: usize = 100;

/// One thing wrong, while the configuration is being read. Becomes a [`Remark`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// `None`: not known yet; whoever knows fills it in.
    pub place: Option<Place>,
    pub message: String,
    /// The same for whoever may not know what else there is; `None`: the message names nothing else.
    brief: Option<String>,
    /// What was found, and what may have been meant by it.
    hint: Option<Box<(String, String)>>,
    excerpt: Excerpt,
}

/// How much of its line a fault may show: a line may hold a secret that was put in a wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excerpt {
    Line,
    /// So many characters from the fault's column on.
    Until(usize),
}

/// What a configuration was read from.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The file as the operator named it; `None`: there was none.
    pub file: Option<String>,
    pub text: String,
    pub overlays: Vec<Overlay>,
}

/// An error or a warning about the configuration, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The file, or the variable or flag that is to blame.
    pub file: Option<String>,
    /// Counts from 1.
    pub line: Option<u32>,
    /// Counts characters from 1.
    pub column: Option<u32>,
    pub message: String,
    #[serde(skip)]
    excerpt: Option<String>,
}

/// Everything that keeps a configuration from being used; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Remark>);

impl Fault {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), ..Self::somewhere(message.into()) }
    }

    fn somewhere(message: String) -> Self {
        Self { place: None, message, brief: None, hint: None, excerpt: Excerpt::Line }
    }

    /// A fault of which the value must not be shown, for it may be a secret.
    pub(super) fn discreet(place: Place, message: impl Into<String>) -> Self {
        Self { excerpt: Excerpt::Until(0), ..Self::new(place, message) }
    }

    /// Adds `did you mean …` where one of `known` is close to `found`.
    pub(super) fn hint<'a>(mut self, found: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.hint = closest(found, known).map(|meant| Box::new((found.to_owned(), meant.to_owned())));
        self
    }

    /// Adds what is said where the message, or its hint, would tell of other objects.
    pub(super) fn briefly(mut self, brief: impl Into<String>) -> Self {
        self.brief = Some(brief.into());
        self
    }

    pub(super) fn brief(&self) -> Option<&str> {
        self.brief.as_deref()
    }

    /// What is wrong, and what may have been meant, where there is no line to show.
    pub(super) fn said(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; did you mean `{}`?", self.message, hint.1),
            None => self.message.clone(),
        }
    }

    /// Says where, unless that is known already.
    pub(super) fn or_at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }
}

/// `a`, `b`, `c`.
pub(super) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Text of the operator's for the middle of a message: on one line, and not too long.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    // `escape_debug` is made for literals; between backticks quotes are plain.
    format!("`{}`", shown.replace("\\'", "'").replace("\\\"", "\""))
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::somewhere(message.to_string())
    }

    fn invalid_type(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        use serde::de::Unexpected;
        let found = match found {
            Unexpected::Str(text) => quoted(text),
            Unexpected::Bool(value) => format!("`{value}`"),
            Unexpected::Unsigned(number) => format!("the number `{number}`"),
            Unexpected::Signed(number) => format!("the number `{number}`"),
            Unexpected::Float(number) => format!("the number `{number}`"),
            Unexpected::Unit => "nothing".to_owned(),
            Unexpected::Map => "a map".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            other => other.to_string(),
        };
        let expected = match expected.to_string().as_str() {
            "u16" => "a whole number from 0 to 65535".to_owned(),
            "u32" => "a whole number from 0 to 4294967295".to_owned(),
            other => other.to_owned(),
        };
        Self::somewhere(format!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("unknown key {}, expected {}", quoted(found), choice(expected));
        let excerpt = Excerpt::Until(found.chars().count());
        Self { excerpt, ..Self::somewhere(message).hint(found, expected.iter().copied()) }
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("unknown word {}, expected {}", quoted(found), choice(expected));
        Self::somewhere(message).hint(found, expected.iter().copied())
    }

    fn missing_field(field: &'static str) -> Self {
        let way_out = match field {
            "authentication" => ": say what proves a caller, or `none` to make the service public",
            "in" => ", expected places such as `[query]`; without it, write the bare name",
            "infrastructure" => ": say on which of `infrastructures` the service is deployed",
            _ => "",
        };
        Self::somewhere(format!("`{field}` is missing{way_out}"))
    }
}

/// `a`, or one of `a`, `b`, `c`.
pub(super) fn choice(words: &[&str]) -> String {
    match words {
        [only] => format!("`{only}`"),
        words => format!("one of {}", listed(words)),
    }
}

impl Source {
    pub(super) fn report(&self, fault: Fault) -> Remark {
        let Fault { place, mut message, hint, excerpt, .. } = fault;
        let remark = match place.unwrap_or_default() {
            Place::Default => Remark { file: self.file.clone(), ..Remark::bare() },
            Place::Object { .. } => Remark::bare(),
            Place::Overlay(index) => {
                let overlay = self.overlays.get(index as usize);
                if let Some((found, meant)) = hint.as_deref() {
                    let meant = overlay.map_or_else(|| meant.clone(), |it| it.corrected(found, meant));
                    message += &format!("; did you mean `{meant}`?");
                }
                let file = overlay.map(|overlay| overlay.origin.clone());
                return Remark { file, message, ..Remark::bare() };
            }
            Place::File { line, column } => Remark {
                file: self.file.clone(),
                line: Some(line),
                column: Some(column),
                excerpt: self.excerpt(line, column, excerpt),
                ..Remark::bare()
            },
        };
        if let Some((_, meant)) = hint.as_deref() {
            message += &format!("; did you mean `{meant}`?");
        }
        Remark { message, ..remark }
    }

    pub(super) fn report_all(&self, mut faults: Vec<Fault>) -> Vec<Remark> {
        faults.sort_by_key(|fault| fault.place.unwrap_or_default().pack());
        let untold = faults.len().saturating_sub(MOST_TOLD);
        let mut told: Vec<Remark> =
            faults.into_iter().take(MOST_TOLD).map(|fault| self.report(fault)).collect();
        if untold > 0 {
            let message = format!("and {untold} more, which are told once these are mended");
            told.push(Remark { file: self.file.clone(), message, ..Remark::bare() });
        }
        told
    }

    /// The line with a caret under the column.
    fn excerpt(&self, line: u32, column: u32, excerpt: Excerpt) -> Option<String> {
        let text = self.text.lines().nth((line as usize).checked_sub(1)?)?;
        let before = (column as usize).saturating_sub(1);
        let shown = match excerpt {
            Excerpt::Line => LONGEST_EXCERPT,
            Excerpt::Until(length) => (before + length).min(LONGEST_EXCERPT),
        };
        if before >= LONGEST_EXCERPT {
            return None;
        }
        let visible =
            |character: char| if character.is_control() && character != '\t' { ' ' } else { character };
        let mut part: String = text.chars().take(shown).map(visible).collect();
        if text.chars().nth(shown).is_some() {
            part.push('…');
        }
        // A tab in the line is a tab before the caret, or the caret would stand elsewhere.
        let indent: String =
            text.chars().take(before).map(|character| if character == '\t' { '\t' } else { ' ' }).collect();
        let margin = " ".repeat(line.to_string().len());
        Some(format!("{line} | {part}\n{margin} | {indent}^"))
    }
}

impl Remark {
    fn bare() -> Self {
        Self { file: None, line: None, column: None, message: String::new(), excerpt: None }
    }
}

impl Remark {
    /// About a variable of the environment.
    pub fn of_variable(name: String, message: String) -> Self {
        Self { file: Some(name), message, ..Self::bare() }
    }

    /// One line, for a log: where, and what.
    pub fn line(&self) -> String {
        match (&self.file, self.line, self.column) {
            (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}: {}", self.message),
            (Some(file), ..) => format!("{file}: {}", self.message),
            (None, ..) => self.message.clone(),
        }
    }
}

/// For a terminal: the line, and below it what stands there.
impl fmt::Display for Remark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.line())?;
        match &self.excerpt {
            Some(excerpt) => write!(formatter, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}

impl Faults {
    /// `None` where nothing is wrong.
    pub(super) fn gather(source: &Arc<Source>, faults: Vec<Fault>) -> Option<Self> {
        (!faults.is_empty()).then(|| Self(source.report_all(faults)))
    }

    pub(super) fn one(source: &Source, fault: Fault) -> Self {
        Self(vec![source.report(fault)])
    }

    /// Of variables that are not ours, such as those that are standard; at least one.
    pub fn of_variables(remarks: Vec<Remark>) -> Self {
        Self(remarks)
    }

    pub fn remarks(&self) -> &[Remark] {
        &self.0
    }
}

impl std::error::Error for Faults {}

/// One remark after the other, a line feed between them.
impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, remark) in self.0.iter().enumerate() {
            let feed = if index == 0 { "" } else { "\n" };
            write!(formatter, "{feed}{remark}")?;
        }
        Ok(())
    }
}
