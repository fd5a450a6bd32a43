//! Reading RON descriptions with errors that point at their place, also long after the reading:
//! every text of a description remembers where it was written.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use ron::error::SpannedError;
use ron::extensions::Extensions;
use ron::value::RawValue;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::GatherError as Error;

/// A description has at most so many bytes: far above any real one.
const LARGEST: usize = 1 << 20;
/// Of a long line so many characters are shown.
const WIDTH: usize = 100;

/// The text of a description and the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) file: String,
}

/// Something wrong at a place of a document.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// Bytes of the document.
    pub(crate) place: Range<usize>,
    pub(crate) message: String,
    /// The short remark at the place; may be empty.
    pub(crate) label: String,
    pub(crate) notes: Vec<String>,
}

impl Fault {
    pub(crate) fn new(place: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            label: String::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

thread_local! {
    /// The address at which the text begins that this thread is parsing: pieces of it that are
    /// read as raw values find their offset with it.
    static BASE: Cell<usize> = const { Cell::new(0) };
    /// What was wrong inside a piece that was read on its own, at its place in the document.
    static INSIDE: RefCell<Option<Fault>> = const { RefCell::new(None) };
}

fn options() -> ron::Options {
    // `Some(..)` may be left out, and nesting is limited.
    ron::Options::default()
        .with_default_extension(Extensions::IMPLICIT_SOME)
        .with_recursion_limit(64)
}

/// The byte of a text at a line and column, both from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let rest = text.get(start..).unwrap_or_default();
    let within = rest
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(rest.len(), |(offset, _)| offset);
    start + within
}

/// The fault that RON found in a text that begins at a byte of the document.
fn fault_of(text: &str, base: usize, error: &SpannedError) -> Fault {
    let start = base + offset(text, error.span.start.line, error.span.start.col);
    let end = base + offset(text, error.span.end.line, error.span.end.col);
    let (message, label) = describe(&error.code);
    Fault::new(start..end.max(start), message).label(label)
}

/// A piece of the document that is being parsed, not yet read as any type.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'de> {
    text: &'de str,
}

impl<'de> Piece<'de> {
    pub(crate) fn start(self) -> usize {
        (self.text.as_ptr() as usize).wrapping_sub(BASE.get())
    }

    /// Whether it is a string.
    pub(crate) fn is_text(self) -> bool {
        self.text.starts_with('"') || self.text.starts_with("r\"") || self.text.starts_with("r#")
    }

    /// Reads it as a type; an error is remembered with its place.
    pub(crate) fn read<T: Deserialize<'de>, E: serde::de::Error>(self) -> Result<T, E> {
        options().from_str(self.text).map_err(|error| {
            let fault = fault_of(self.text, self.start(), &error);
            let message = E::custom(&fault.message);
            INSIDE.with_borrow_mut(|inside| {
                // The innermost piece knows the place best.
                inside.get_or_insert(fault);
            });
            message
        })
    }
}

impl<'de> Deserialize<'de> for Piece<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        Ok(Self {
            text: raw.trim().get_ron(),
        })
    }
}

impl Document {
    pub(crate) fn new(text: &str, file: &str) -> Self {
        Self {
            text: text.to_owned(),
            file: file.to_owned(),
        }
    }

    /// Reads the whole document.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if self.text.len() > LARGEST {
            return Err(Error::new(format!(
                "{}: a description has at most {LARGEST} bytes, and this one has {}",
                self.file,
                self.text.len()
            )));
        }
        BASE.set(self.text.as_ptr() as usize);
        INSIDE.take();
        let parsed = options().from_str(&self.text);
        BASE.set(0);
        parsed.map_err(|error| {
            let fault = INSIDE.take();
            self.error(&[fault.unwrap_or_else(|| fault_of(&self.text, 0, &error))])
        })
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// One error out of all that was found, in the order of the text.
    pub(crate) fn error(&self, faults: &[Fault]) -> Error {
        let mut sorted: Vec<&Fault> = faults.iter().collect();
        sorted.sort_by_key(|fault| fault.place.start);
        let texts: Vec<String> = sorted.into_iter().map(|fault| self.render(fault)).collect();
        Error::new(texts.join("\n\n"))
    }

    fn render(&self, fault: &Fault) -> String {
        let start = floor(&self.text, fault.place.start);
        let end = floor(&self.text, fault.place.end).max(start);
        let line = self.line(start);
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let whole = self.text.get(line_start..).unwrap_or_default();
        let whole = whole.lines().next().unwrap_or_default();
        let at = before.get(line_start..).unwrap_or_default().chars().count();
        let line_end = (line_start + whole.len()).max(start);
        let marked = self.text.get(start..end.min(line_end)).unwrap_or_default();
        // Only a window of a very long line.
        let from = if whole.chars().count() > WIDTH {
            at.saturating_sub(WIDTH / 2)
        } else {
            0
        };
        let shown: String = whole
            .chars()
            .skip(from)
            .take(WIDTH)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(at - from);
        let marks = "^".repeat(marked.chars().count().clamp(1, WIDTH));
        let marks = format!("{margin} | {indent}{marks} {}", fault.label);
        let mut text = format!(
            "{}\n{margin} --> {}:{line}:{}\n{margin} |\n{number} | {shown}\n{}",
            fault.message,
            self.file,
            at + 1,
            marks.trim_end(),
        );
        for note in &fault.notes {
            text.push_str(&format!("\n{margin} = {note}"));
        }
        text
    }
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The message and the remark at the place.
fn describe(error: &ron::Error) -> (String, String) {
    match error {
        ron::Error::NoSuchStructField {
            expected, found, ..
        } => (
            format!("there is no field `{found}` here"),
            suggestion(found, expected.iter().copied()),
        ),
        ron::Error::NoSuchEnumVariant {
            expected, found, ..
        } => (
            format!("there is no `{found}` here"),
            suggestion(found, expected.iter().copied()),
        ),
        // Which type of this crate lacks it is no matter of the reader's.
        ron::Error::MissingStructField { field, .. } => (
            format!("the field `{field}` is missing"),
            "it belongs before this place".to_owned(),
        ),
        other => (other.to_string(), String::new()),
    }
}

/// "did you mean `x`?" where a known word is near, else the known ones.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 16;
    let known: Vec<&str> = known.into_iter().collect();
    let folded = word.to_lowercase();
    let nearest = known
        .iter()
        .map(|other| {
            let distance = strsim::damerau_levenshtein(&folded, &other.to_lowercase());
            (distance, *other)
        })
        .min();
    match nearest {
        Some((distance, other)) if distance <= word.chars().count().max(2) / 2 => {
            format!("did you mean `{other}`?")
        }
        Some(_) if known.len() <= MOST => format!("there is: {}", known.join(", ")),
        _ => String::new(),
    }
}

/// A piece of a document as it is written, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) text: String,
    pub(crate) place: Range<usize>,
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let piece = Piece::deserialize(deserializer)?;
        let start = piece.start();
        Ok(Self {
            text: piece.text.to_owned(),
            place: start..start.saturating_add(piece.text.len()),
        })
    }
}

/// A string with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The string itself.
    pub value: String,
    pub(crate) place: Range<usize>,
    /// Where the string's own text begins, if every byte of it is written as itself.
    inside: Option<usize>,
}

impl Text {
    /// The place of a range of bytes of the value.
    pub(crate) fn within(&self, start: usize, end: usize) -> Range<usize> {
        match self.inside {
            Some(inside) => inside + start..inside + end,
            None => self.place.clone(),
        }
    }

    /// A string out of its RON form, or a bare number or boolean as its own text.
    pub(crate) fn of(raw: &Raw) -> Result<Self, String> {
        let first = raw.text.chars().next().unwrap_or_default();
        let inside = |offset: usize| Some(raw.place.start + offset);
        if first.is_ascii_digit() || matches!(first, '-' | '+' | '.') || is_bool(&raw.text) {
            return Ok(Self {
                value: raw.text.clone(),
                place: raw.place.clone(),
                inside: inside(0),
            });
        }
        let value: String = ron::from_str(&raw.text).map_err(|error| error.code.to_string())?;
        let quote = raw.text.find('"').map_or(0, |at| at + 1);
        let plain = first == 'r' || !raw.text.contains('\\');
        Ok(Self {
            value,
            place: raw.place.clone(),
            inside: if plain { inside(quote) } else { None },
        })
    }
}

fn is_bool(text: &str) -> bool {
    matches!(text, "true" | "false")
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        if !raw.text.starts_with(['"', 'r']) {
            return Err(D::Error::custom("a text in quotes is expected here"));
        }
        Self::of(&raw).map_err(D::Error::custom)
    }
}

/// The entries of a map in the order in which they are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Entries<T>(pub Vec<(Text, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Entries<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("names with values, such as { \"TILE\": 16 }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: Text,
        #[serde(default)]
        sizes: Entries<Raw>,
    }

    #[test]
    fn texts_know_their_places() {
        let document = Document::new(
            "(\n  name: \"ab\",\n  sizes: {\"é\": 3, \"B\": \"x\"},\n)",
            "f",
        );
        let sample: Sample = document.parse().unwrap();
        assert_eq!(sample.name.value, "ab");
        assert_eq!(&document.text[sample.name.place.clone()], "\"ab\"");
        assert_eq!(&document.text[sample.name.within(1, 2)], "b");
        let places: Vec<&str> = sample
            .sizes
            .0
            .iter()
            .map(|(_, raw)| &document.text[raw.place.clone()])
            .collect();
        assert_eq!(places, ["3", "\"x\""]);
    }

    #[test]
    fn an_unknown_field_is_shown_with_the_nearest_one() {
        let document = Document::new("(\n  nmae: \"ab\",\n)", "x.kernel.ron");
        let error = document.parse::<Sample>().unwrap_err();
        insta::assert_snapshot!(error, @r#"
        there is no field `nmae` here
          --> x.kernel.ron:2:3
          |
        2 |   nmae: "ab",
          |   ^^^^ did you mean `name`?
        "#);
    }

    #[test]
    fn a_missing_field_is_named_without_the_programs_own_words() {
        let document = Document::new("(\n  sizes: {},\n)", "x.kernel.ron");
        let error = document.parse::<Sample>().unwrap_err().to_string();
        assert!(
            error.starts_with("the field `name` is missing\n"),
            "{error}"
        );
        assert!(!error.contains("Sample"), "{error}");
    }

    #[test]
    fn a_place_outside_the_text_is_no_panic() {
        let document = Document::new("é\n", "f");
        for place in [0..99, 1..1, 50..60, 9..9] {
            let error = document.error(&[Fault::new(place, "m").label("l")]);
            assert!(error.to_string().starts_with("m\n"));
        }
    }
}
