//! Reading RON with positions: the `ron` crate parses, and raw slices tell where each piece is.

use ron::error::{Error as RonError, SpannedError};
use ron::extensions::Extensions;
use ron::value::RawValue;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::diagnostic::{Fault, Span, suggestion};

/// A slice of the file that holds one RON value, without white space and comments around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    start: usize,
}

impl<'a> Piece<'a> {
    pub(super) fn span(self) -> Span {
        Span::new(self.start, self.start + self.text.len())
    }

    /// The first character: enough to point at a value of many lines.
    pub(super) fn head(self) -> Span {
        Span::new(
            self.start,
            self.start + self.text.chars().next().map_or(0, char::len_utf8),
        )
    }

    /// The whole file.
    pub(super) fn file(text: &'a str) -> Self {
        Self { text, start: 0 }
    }

    /// The place of a raw value that was read from within this piece.
    pub(super) fn of(self, raw: &'a RawValue) -> Self {
        let text = raw.trim().get_ron();
        // `text` borrows from `self.text`, so the distance of the addresses is its offset.
        let offset = (text.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        Self {
            text,
            start: self.start + offset,
        }
    }
}

/// A text with the place of each of its bytes in the file, so that an error inside a string
/// points at the right column whatever escapes the string has.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) value: String,
    pub(super) span: Span,
    places: Vec<usize>,
}

impl Text {
    /// The place in the file of a range of bytes of the value.
    pub(super) fn place(&self, inside: Span) -> Span {
        let at = |index: usize| self.places.get(index).copied();
        match (at(inside.start), at(inside.end)) {
            (Some(start), Some(end)) => Span::new(start, end),
            _ => self.span,
        }
    }

    pub(super) fn locate(&self, fault: Fault) -> Fault {
        Fault {
            span: self.place(fault.span),
            ..fault
        }
    }
}

/// The place in the file of every byte of a decoded string, and of its end. `None` where the
/// literal does not decode to the value, which `ron` rules out.
fn places(literal: &str, value: &str, start: usize) -> Option<Vec<usize>> {
    if literal.starts_with('r') {
        let quote = literal.find('"')?;
        return Some(
            (0..=value.len())
                .map(|index| start + quote + 1 + index)
                .collect(),
        );
    }
    let mut found = Vec::with_capacity(value.len() + 1);
    let mut at = 1;
    for character in value.chars() {
        found.extend(std::iter::repeat_n(start + at, character.len_utf8()));
        at += source_length(literal.get(at..)?, character)?;
    }
    found.push(start + at);
    Some(found)
}

/// How many bytes of the source make up one character of a string.
fn source_length(source: &str, character: char) -> Option<usize> {
    let mut characters = source.chars();
    if characters.next()? != '\\' {
        return Some(character.len_utf8());
    }
    match characters.next()? {
        // Each `\xNN` is one byte of the character.
        'x' => Some(4 * character.len_utf8()),
        'u' => Some(source.find('}')? + 1),
        _ => Some(2),
    }
}

/// A value as written, before it is known what it should be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Bool(bool),
    Int(i64),
    /// An integer outside 64 bits.
    HugeInt,
    Float(f64),
    Name(String),
    Other,
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyLiteral;
        impl Visitor<'_> for AnyLiteral {
            type Value = Literal;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an integer, a float, a boolean or a name in quotes")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Literal, E> {
                Ok(Literal::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Literal, E> {
                Ok(Literal::Int(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Literal, E> {
                Ok(i64::try_from(value).map_or(Literal::HugeInt, Literal::Int))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Literal, E> {
                Ok(Literal::Float(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Literal, E> {
                Ok(Literal::Name(value.to_owned()))
            }
            fn visit_char<E>(self, _: char) -> Result<Literal, E> {
                Ok(Literal::Other)
            }
            fn visit_unit<E>(self) -> Result<Literal, E> {
                Ok(Literal::Other)
            }
        }
        deserializer.deserialize_any(AnyLiteral)
    }
}

/// The entries of a map in their order, repeated keys included.
pub(super) struct Entries<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllEntries;
        impl<'de> Visitor<'de> for AllEntries {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a map of names to values, such as { \"LIMIT\": 4 }")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(AllEntries).map(Entries)
    }
}

/// The fields of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Space")]
pub(super) struct SpaceFields<'a> {
    #[serde(borrow)]
    pub(super) name: &'a RawValue,
    #[serde(borrow, default)]
    pub(super) doc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) constants: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) params: &'a RawValue,
    #[serde(borrow, default)]
    pub(super) constraints: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) rules: Option<&'a RawValue>,
}

/// The fields of a parameter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Param")]
pub(super) struct ParamFields<'a> {
    #[serde(borrow)]
    pub(super) name: &'a RawValue,
    #[serde(borrow, default)]
    pub(super) doc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) values: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) range: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) pow2: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) default: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) when: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) role: Option<&'a RawValue>,
}

/// Just the name, of a parameter whose other fields cannot be read.
#[derive(Deserialize)]
#[serde(rename = "Param")]
pub(super) struct NameField<'a> {
    #[serde(borrow)]
    pub(super) name: &'a RawValue,
}

/// The fields of a range.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Range")]
pub(super) struct RangeFields<'a> {
    #[serde(borrow)]
    pub(super) from: &'a RawValue,
    #[serde(borrow)]
    pub(super) to: &'a RawValue,
    #[serde(borrow, default)]
    pub(super) step: Option<&'a RawValue>,
}

/// The fields of a constraint.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Constraint")]
pub(super) struct ConstraintFields<'a> {
    #[serde(borrow)]
    pub(super) expr: &'a RawValue,
    #[serde(borrow, default)]
    pub(super) reason: Option<&'a RawValue>,
}

/// `search` or `problem`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", rename = "Role")]
pub(super) enum RoleField {
    Search,
    Problem,
}

fn parse<'a, T: Deserialize<'a>>(piece: Piece<'a>) -> Result<T, SpannedError> {
    // `when: "X"` instead of `when: Some("X")`.
    let options = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
    options.from_str(piece.text)
}

/// Reads pieces and collects what is wrong with them.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) faults: Vec<Fault>,
}

impl Reader {
    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Reads a piece as a type; `None` after reporting why not.
    pub(super) fn read<'a, T: Deserialize<'a>>(&mut self, piece: Piece<'a>) -> Option<T> {
        match parse(piece) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(translate(piece, error));
                None
            }
        }
    }

    /// Reads a piece as a type; `None` where it is not, which is no error.
    pub(super) fn try_read<'a, T: Deserialize<'a>>(&self, piece: Piece<'a>) -> Option<T> {
        parse(piece).ok()
    }

    pub(super) fn list<'a>(&mut self, piece: Piece<'a>) -> Option<Vec<Piece<'a>>> {
        let items: Vec<&RawValue> = self.read(piece)?;
        Some(items.into_iter().map(|raw| piece.of(raw)).collect())
    }

    pub(super) fn entries<'a>(&mut self, piece: Piece<'a>) -> Vec<(Piece<'a>, Piece<'a>)> {
        let entries = self
            .read::<Entries<'a>>(piece)
            .map_or_else(Vec::new, |entries| entries.0);
        entries
            .into_iter()
            .map(|(key, value)| (piece.of(key), piece.of(value)))
            .collect()
    }

    /// A string with the places of its bytes.
    pub(super) fn text(&mut self, piece: Piece<'_>) -> Option<Text> {
        let value: String = self.read(piece)?;
        let places = places(piece.text, &value, piece.start).unwrap_or_default();
        Some(Text {
            value,
            span: piece.span(),
            places,
        })
    }

    /// A number, boolean or name, with its range checked.
    pub(super) fn literal(&mut self, piece: Piece<'_>) -> Option<Literal> {
        let written = piece.text;
        let literal = match self.read::<Literal>(piece)? {
            // `ron` turns an integer beyond 64 bits into a float.
            Literal::Float(value) if !written.contains(['.', 'e', 'E', 'n', 'N']) => {
                if value.is_finite() {
                    Literal::HugeInt
                } else {
                    Literal::Float(value)
                }
            }
            other => other,
        };
        let fault = match &literal {
            Literal::HugeInt => Fault::new(
                piece.span(),
                format!("the integer {written} does not fit 64 bits"),
            )
            .label(format!("integers go from {} to {}", i64::MIN, i64::MAX)),
            Literal::Float(value) if !value.is_finite() => {
                Fault::new(piece.span(), format!("the float {written} is not finite"))
                    .label("write a finite number")
            }
            Literal::Other => {
                let fault = Fault::new(piece.span(), format!("`{written}` is no value"));
                let word = written.trim_matches('\'');
                match word.chars().all(|c| c == '_' || c.is_alphanumeric()) {
                    true => fault.label(format!("a name is written in quotes: \"{word}\"")),
                    false => fault.label("values are integers, floats, booleans and names"),
                }
            }
            _ => return Some(literal),
        };
        self.fault(fault);
        None
    }
}

/// Says what `ron` found, in our words where they help more, at its place in the file.
fn translate(piece: Piece<'_>, error: SpannedError) -> Fault {
    let start = piece.start + offset(piece.text, &error.span.start);
    let end = piece.start + offset(piece.text, &error.span.end);
    let here = Span::new(start, end);
    match error.code {
        RonError::NoSuchStructField {
            expected,
            found,
            outer,
        } => {
            let inside = outer.map_or_else(String::new, |outer| format!(" in `{outer}`"));
            Fault::new(
                word_before(piece, end, &found),
                format!("unknown field `{found}`{inside}"),
            )
            .label(suggestion(&found, expected.iter().copied()))
            .note(format!("fields: {}", expected.join(", ")))
        }
        RonError::MissingStructField { field, outer } => {
            let inside = outer.map_or_else(String::new, |outer| format!(" of `{outer}`"));
            Fault::new(
                piece.head(),
                format!("the field `{field}`{inside} is missing"),
            )
        }
        RonError::DuplicateStructField { field, .. } => Fault::new(
            word_before(piece, end, field),
            format!("the field `{field}` occurs twice"),
        ),
        RonError::NoSuchEnumVariant {
            expected, found, ..
        } => Fault::new(
            word_before(piece, end, &found),
            format!("unknown word `{found}`"),
        )
        .label(suggestion(&found, expected.iter().copied()))
        .note(format!("one of: {}", expected.join(", "))),
        RonError::ExceededRecursionLimit => Fault::new(here, "nested too deeply"),
        RonError::Eof if piece.text.trim().is_empty() => Fault::new(here, "the file is empty"),
        RonError::Eof => Fault::new(
            Span::new(end, end),
            "the file ends in the middle of a value",
        )
        .label("a bracket or a quote is not closed"),
        RonError::ExpectedStructLike | RonError::ExpectedNamedStructLike(_) => {
            Fault::new(piece.head(), "expected `(` and named fields")
        }
        RonError::TrailingCharacters => {
            Fault::new(here, "there is more text after the end of the space")
        }
        RonError::ExpectedString => Fault::new(piece.span(), "expected a text in quotes"),
        RonError::ExpectedArray => Fault::new(piece.head(), "expected a list in `[` and `]`"),
        RonError::ExpectedMap => Fault::new(piece.head(), "expected a map in `{` and `}`"),
        other => Fault::new(here, decapitalise(&other.to_string())),
    }
}

/// The place of a word that ends at or before an offset of the file.
fn word_before(piece: Piece<'_>, end: usize, word: &str) -> Span {
    let inside = end.saturating_sub(piece.start).min(piece.text.len());
    let before = piece.text.get(..inside).unwrap_or("");
    match before.rfind(word) {
        Some(at) => Span::new(piece.start + at, piece.start + at + word.len()),
        None => Span::new(end, end),
    }
}

fn decapitalise(message: &str) -> String {
    let mut characters = message.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

/// The byte offset of a line and column as `ron` counts them: from 1, columns in characters.
fn offset(text: &str, position: &ron::error::Position) -> usize {
    let mut line_start = 0;
    for _ in 1..position.line {
        let rest = text.get(line_start..).unwrap_or("");
        match rest.find('\n') {
            Some(newline) => line_start += newline + 1,
            None => return text.len(),
        }
    }
    let line = text.get(line_start..).unwrap_or("");
    let mut characters = line.char_indices();
    characters
        .nth(position.col.saturating_sub(1))
        .map_or(text.len(), |(at, _)| line_start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(literal: &str) -> Text {
        let mut reader = Reader::default();
        reader
            .text(Piece {
                text: literal,
                start: 100,
            })
            .unwrap()
    }

    #[test]
    fn escapes_do_not_shift_places() {
        for (literal, word) in [
            (r#""a <= BAD""#, "BAD"),
            (r#""\"q\" != BAD""#, "BAD"),
            (r#""\u{e9} \x41 \xe2\x82\xac é BAD""#, "BAD"),
            (r##"r#"a "b" BAD"#"##, "BAD"),
            (r#"r"a BAD""#, "BAD"),
        ] {
            let text = read_text(literal);
            let at = text.value.find(word).unwrap();
            let place = text.place(Span::new(at, at + word.len()));
            let inside = Span::new(place.start - 100, place.end - 100);
            assert_eq!(inside.of(literal), word, "{literal}");
        }
    }

    #[test]
    fn a_raw_value_knows_its_place_among_comments() {
        let file = "( /* c */ name: // x\n  \"n\" , params: [ 1 , /* two */ 2 ])";
        let mut reader = Reader::default();
        let piece = Piece::file(file);
        let fields: SpaceFields<'_> = reader.read(piece).unwrap();
        assert_eq!(piece.of(fields.name).span().of(file), "\"n\"");
        let items = reader.list(piece.of(fields.params)).unwrap();
        let texts: Vec<&str> = items.iter().map(|item| item.span().of(file)).collect();
        assert_eq!(texts, ["1", "2"]);
    }
}
