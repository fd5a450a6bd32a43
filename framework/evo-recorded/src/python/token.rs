//! Words, numbers and symbols of a Python expression.

use super::PythonError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Int(i64),
    Float(f64),
    Text(String),
    Word(String),
    Symbol(&'static str),
    End,
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 20] = [
    "**", "//", "<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",",
    ".", "=",
];

/// Splits a text into tokens with their places, the last of which is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, PythonError> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or("");
        at += rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            found.push((Token::End, at));
            return Ok(found);
        };
        let (token, length) = match first {
            '0'..='9' => number(rest, at)?,
            '.' if rest
                .get(1..2)
                .is_some_and(|c| c.as_bytes()[0].is_ascii_digit()) =>
            {
                number(rest, at)?
            }
            '\'' | '"' => quoted(rest, at, first)?,
            '_' | 'a'..='z' | 'A'..='Z' => {
                let word = leading(rest, |c| c == '_' || c.is_ascii_alphanumeric());
                (Token::Word(word.to_owned()), word.len())
            }
            _ => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => (Token::Symbol(symbol), symbol.len()),
                None => {
                    let message = format!("`{first}` cannot be translated");
                    return Err(PythonError::new(at, message));
                }
            },
        };
        found.push((token, at));
        at += length;
    }
}

fn leading(text: &str, accept: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !accept(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or("")
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), PythonError> {
    let digits = |c: char| c.is_ascii_digit() || c == '_';
    let mut length = leading(rest, digits).len();
    let mut float = false;
    let tail = |length: usize| rest.get(length..).unwrap_or("");
    if tail(length).starts_with('.') {
        float = true;
        length += 1 + leading(tail(length + 1), digits).len();
    }
    if tail(length).starts_with(['e', 'E']) {
        float = true;
        let signed = usize::from(tail(length + 1).starts_with(['+', '-']));
        length += 1 + signed + leading(tail(length + 1 + signed), digits).len();
    }
    length += leading(tail(length), |c| c == '_' || c.is_ascii_alphanumeric()).len();
    let written = rest.get(..length).unwrap_or("");
    let plain = written.replace('_', "");
    let token = if float {
        let value = plain.parse::<f64>().ok().filter(|value| value.is_finite());
        value.map(Token::Float)
    } else {
        plain.parse::<i64>().ok().map(Token::Int)
    };
    let token = token.ok_or_else(|| {
        let message = format!("`{written}` is no number that fits 64 bits");
        PythonError::new(at, message)
    })?;
    Ok((token, length))
}

fn quoted(rest: &str, at: usize, quote: char) -> Result<(Token, usize), PythonError> {
    let inside = rest.get(1..).unwrap_or("");
    let length = inside
        .find(quote)
        .ok_or_else(|| PythonError::new(at, "the closing quote is missing"))?;
    let text = inside.get(..length).unwrap_or("");
    if text.contains('\\') {
        return Err(PythonError::new(at, "an escape cannot be translated"));
    }
    Ok((Token::Text(text.to_owned()), length + 2))
}
