//! Errors with a position, and their rendering for people.

use std::fmt;

/// A range of bytes in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// The smallest span that covers both.
    pub(super) fn to(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }

    /// The text that the span covers.
    pub(super) fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or("")
    }
}

/// An error before its place in the file is known in lines and columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) span: Span,
    pub(super) message: String,
    /// Written beside the markers under the source line.
    pub(super) label: String,
    /// Written below the source line, one line each.
    pub(super) notes: Vec<String>,
}

impl Fault {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            label: String::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// One error in a space file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceError {
    message: String,
    line: usize,
    column: usize,
    excerpt: String,
    label: String,
    notes: Vec<String>,
}

impl SpaceError {
    /// What is wrong, in one sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line in the file, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in the line, in characters from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The short remark at the place itself; may be empty.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Further remarks, such as what to do about it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Everything that was found wrong with a space file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceErrors {
    file: String,
    errors: Vec<SpaceError>,
}

impl SpaceErrors {
    /// The errors, at least one.
    pub fn errors(&self) -> &[SpaceError] {
        &self.errors
    }

    /// The file as it was named by the caller.
    pub fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn new(file: &str, text: &str, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| fault.span.start);
        faults.dedup();
        let errors = faults
            .into_iter()
            .map(|fault| locate(text, fault))
            .collect();
        Self {
            file: printable(file),
            errors,
        }
    }
}

/// More errors than this on one screen help nobody.
const MOST_SHOWN: usize = 20;

impl fmt::Display for SpaceErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().take(MOST_SHOWN).enumerate() {
            if index > 0 {
                out.write_str("\n\n")?;
            }
            render(out, &self.file, error)?;
        }
        match self.errors.len().checked_sub(MOST_SHOWN) {
            Some(more) if more > 0 => write!(out, "\n\nand {more} more errors"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for SpaceErrors {}

fn render(out: &mut fmt::Formatter<'_>, file: &str, error: &SpaceError) -> fmt::Result {
    let number = error.line.to_string();
    let gutter = " ".repeat(number.len());
    writeln!(out, "error: {}", error.message)?;
    writeln!(out, "{gutter}--> {file}:{}:{}", error.line, error.column)?;
    writeln!(out, "{gutter} |")?;
    let (source, markers) = error
        .excerpt
        .split_once('\n')
        .unwrap_or((&error.excerpt, ""));
    writeln!(out, "{}", format!("{number} | {source}").trim_end())?;
    write!(
        out,
        "{}",
        format!("{gutter} | {markers} {}", error.label).trim_end()
    )?;
    for note in &error.notes {
        write!(out, "\n{gutter} = {note}")?;
    }
    Ok(())
}

/// Finds line and column of a fault and cuts the source line out.
fn locate(text: &str, fault: Fault) -> SpaceError {
    let start = floor_boundary(text, fault.span.start);
    let end = floor_boundary(text, fault.span.end).max(start);
    let (before, after) = text.split_at(start);
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
    let line_end = after
        .find('\n')
        .map_or(text.len(), |newline| start + newline);
    let source = text
        .get(line_start..line_end)
        .unwrap_or("")
        .trim_end_matches('\r');
    let marked = text
        .get(start..end.min(line_end))
        .unwrap_or("")
        .chars()
        .count()
        .max(1);
    SpaceError {
        message: printable(&fault.message),
        line,
        column,
        excerpt: excerpt(source, column - 1, marked),
        label: printable(&fault.label),
        notes: fault.notes.iter().map(|note| printable(note)).collect(),
    }
}

/// The source line and, on a second line, markers under the given characters. Of a very long line
/// only a window around the marked place is shown.
fn excerpt(source: &str, start: usize, length: usize) -> String {
    const WIDTH: usize = 100;
    let characters: Vec<char> = source.chars().collect();
    let from = if characters.len() > WIDTH {
        start.saturating_sub(WIDTH / 2)
    } else {
        0
    };
    let shown: String = characters.iter().skip(from).take(WIDTH).collect();
    let lead = if from > 0 { "..." } else { "" };
    let tail = if characters.len() > from + WIDTH {
        "..."
    } else {
        ""
    };
    let indent = " ".repeat(lead.len() + start - from);
    let markers = "^".repeat(length.min(WIDTH.saturating_sub(start - from)).max(1));
    format!("{lead}{}{tail}\n{indent}{markers}", printable(&shown))
}

/// One character for one character, so that markers stay aligned and no text from a file can
/// steer the terminal.
fn printable(text: &str) -> String {
    let shown = |character: char| match character {
        '\t' => ' ',
        control if control.is_control() => char::REPLACEMENT_CHARACTER,
        other => other,
    };
    text.chars().map(shown).collect()
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The candidate that a misspelt word most likely means, if any is near enough.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded = word.to_lowercase();
    let scored = candidates.into_iter().map(|candidate| {
        (
            strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()),
            candidate,
        )
    });
    let (distance, candidate) = scored.min()?;
    // One mistake in three letters; of shorter words only the case may differ.
    let near = distance <= word.chars().count() / 3;
    near.then_some(candidate)
}

/// "did you mean `X`?", or nothing.
pub(super) fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(word, candidates)
        .map_or_else(String::new, |near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, fault: Fault) -> String {
        SpaceErrors::new("spaces/x.ron", text, vec![fault]).to_string()
    }

    #[test]
    fn an_error_points_at_its_place() {
        let text = "(\n    expr: \"BLOK_M <= S\",\n)";
        let fault = Fault::new(Span::new(13, 19), "unknown name `BLOK_M`")
            .label("did you mean `BLOCK_M`?")
            .note("known names: BLOCK_M");
        insta::assert_snapshot!(shown(text, fault), @r#"
        error: unknown name `BLOK_M`
         --> spaces/x.ron:2:12
          |
        2 |     expr: "BLOK_M <= S",
          |            ^^^^^^ did you mean `BLOCK_M`?
          = known names: BLOCK_M
        "#);
    }

    #[test]
    fn columns_count_characters_and_controls_are_not_printed() {
        let text = "é\u{1b}[31m\tx";
        let fault = Fault::new(Span::new(text.len() - 1, text.len()), "here");
        let errors = SpaceErrors::new("a\u{7}.ron", text, vec![fault]);
        assert_eq!(errors.errors()[0].column(), 8);
        assert!(
            !errors
                .to_string()
                .chars()
                .any(|c| c.is_control() && c != '\n')
        );
    }

    #[test]
    fn a_place_past_the_end_or_inside_a_character_is_no_panic() {
        for span in [Span::new(99, 200), Span::new(1, 1), Span::new(1, 2)] {
            assert!(shown("é", Fault::new(span, "m")).contains("1:"));
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}BAD{}", "a".repeat(500), "b".repeat(500));
        let out = shown(&text, Fault::new(Span::new(500, 503), "m"));
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[3].len() < 130, "{out}");
        let column = lines[4].find('^').unwrap();
        assert_eq!(&lines[3][column..column + 3], "BAD");
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        assert_eq!(
            did_you_mean("BLOK_M", ["BLOCK_N", "BLOCK_M"]),
            Some("BLOCK_M")
        );
        assert_eq!(did_you_mean("s", ["S", "D"]), Some("S"));
        assert_eq!(did_you_mean("Q", ["S", "D"]), None);
        assert_eq!(did_you_mean("WARPS", ["BLOCK_M", "S"]), None);
    }
}
