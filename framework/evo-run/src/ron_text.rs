//! Reading RON documents with errors that show the place.

use ron::extensions::Extensions;
use serde::de::DeserializeOwned;

use crate::RunError;
use crate::error::suggestion;

/// Deserialises RON text. `Some(..)` may be left out, and nesting is limited.
///
/// # Errors
/// An input error with file, line, column, the line itself and, for an unknown name, the nearest
/// known one.
pub fn parse<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, RunError> {
    let options = ron::Options::default()
        .with_default_extension(Extensions::IMPLICIT_SOME)
        .with_recursion_limit(64);
    options.from_str(text).map_err(|error| {
        let (line, column) = (error.span.start.line, error.span.start.col);
        let whole = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let (shown, before) = window(whole, column);
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let caret = " ".repeat(before);
        let message = format!(
            "{}\n{margin} --> {file}:{line}:{column}\n{margin} |\n{number} | {shown}\n{margin} | {caret}^",
            describe(&error.code),
        );
        RunError::input(message)
    })
}

/// The part of a line around a column that fits on a terminal, without control characters, and
/// how many characters of it come before the column.
fn window(line: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 100;
    let at = column.saturating_sub(1);
    let start = at.saturating_sub(WIDTH / 2);
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = line.chars().skip(start).take(WIDTH).map(clean).collect();
    (shown, at - start)
}

fn describe(error: &ron::Error) -> String {
    match error {
        ron::Error::NoSuchStructField {
            expected, found, ..
        } => {
            format!(
                "there is no field `{found}`; {}",
                suggestion(found, expected)
            )
        }
        ron::Error::NoSuchEnumVariant {
            expected, found, ..
        } => {
            format!(
                "there is no `{found}` here; {}",
                suggestion(found, expected)
            )
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is of interest")]
    struct Document {
        seed: u64,
        name: Option<String>,
    }

    #[test]
    fn errors_show_the_place_and_the_nearest_name() {
        let error = parse::<Document>("(\n    sead: 3,\n)", "x.ron").unwrap_err();
        assert_eq!(
            error.message,
            "there is no field `sead`; did you mean `seed`?\n  --> x.ron:2:5\n  |\n2 |     sead: 3,\n  |     ^"
        );
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("(name: \"{}\", sead: 3)", "x".repeat(100_000));
        let error = parse::<Document>(&text, "x.ron").unwrap_err().message;
        assert!(error.len() < 600, "{}", error.len());
        assert!(error.contains("sead: 3"), "{error}");
    }

    #[test]
    fn some_may_be_left_out() {
        let document: Document = parse("(seed: 3, name: \"a\")", "x.ron").unwrap();
        assert_eq!(document.name.as_deref(), Some("a"));
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let text = "(".repeat(100_000);
        assert!(parse::<Document>(&text, "x.ron").is_err());
    }
}
