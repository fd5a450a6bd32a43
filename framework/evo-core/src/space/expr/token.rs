//! Words, numbers and symbols of an expression.

use crate::space::diagnostic::{Fault, Span};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Int(i64),
    Float(f64),
    /// A name in quotes.
    Quoted(String),
    /// A keyword, parameter, constant or function.
    Word(String),
    Symbol(&'static str),
    End,
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 21] = [
    "->", "<=", ">=", "==", "!=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[",
    "]", ",", "!", "=",
];

/// What people write from habit, and what this language has instead.
const FOREIGN: [(&str, &str); 7] = [
    ("//", "write `/`: a division of integers truncates"),
    ("**", "there is no power operator: write a product"),
    ("<<", "there are no shifts: multiply by a power of two"),
    (">>", "there are no shifts: divide by a power of two"),
    ("&", "write `and`"),
    ("|", "write `or`"),
    ("?", "write `if CONDITION then A else B`"),
];

/// Splits a text into tokens, the last of which is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Span)>, Fault> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or("");
        at += rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            break;
        };
        let (token, length) = match first {
            '0'..='9' | '.' => number(rest, at)?,
            '\'' | '"' => quoted(rest, at, first)?,
            letter if letter == '_' || letter.is_ascii_alphabetic() => {
                let length = length_while(rest, |c| c == '_' || c.is_ascii_alphanumeric());
                (
                    Token::Word(rest.get(..length).unwrap_or("").to_owned()),
                    length,
                )
            }
            _ => symbol(rest, at, first)?,
        };
        found.push((token, Span::new(at, at + length)));
        at += length;
    }
    found.push((Token::End, Span::new(at, at)));
    Ok(found)
}

fn length_while(text: &str, accept: impl Fn(char) -> bool) -> usize {
    text.find(|character| !accept(character))
        .unwrap_or(text.len())
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), Fault> {
    let digits = |c: char| c.is_ascii_digit() || c == '_';
    let mut length = length_while(rest, digits);
    let mut float = false;
    let tail = |length: usize| rest.get(length..).unwrap_or("");
    if tail(length).starts_with('.') {
        float = true;
        length += 1 + length_while(tail(length + 1), digits);
    }
    if tail(length).starts_with(['e', 'E']) {
        let signed = usize::from(tail(length + 1).starts_with(['+', '-']));
        let exponent = length_while(tail(length + 1 + signed), digits);
        float = true;
        length += 1 + signed + exponent;
    }
    length += length_while(tail(length), |c| c == '_' || c.is_ascii_alphanumeric());
    let written = rest.get(..length).unwrap_or("");
    let span = Span::new(at, at + length);
    let plain = written.replace('_', "");
    if float {
        return match plain.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok((Token::Float(value), length)),
            Ok(_) => Err(Fault::new(
                span,
                format!("the number {written} is too large"),
            )),
            Err(_) => Err(Fault::new(span, format!("`{written}` is not a number"))),
        };
    }
    match plain.parse::<i64>() {
        Ok(value) => Ok((Token::Int(value), length)),
        Err(_) if plain.bytes().all(|byte| byte.is_ascii_digit()) => Err(Fault::new(
            span,
            format!("the integer {written} does not fit 64 bits"),
        )
        .label(format!("the greatest is {}", i64::MAX))),
        Err(_) => Err(Fault::new(span, format!("`{written}` is not a number"))),
    }
}

fn quoted(rest: &str, at: usize, quote: char) -> Result<(Token, usize), Fault> {
    let inside = rest.get(1..).unwrap_or("");
    match inside.find(quote) {
        Some(length) => Ok((
            Token::Quoted(inside.get(..length).unwrap_or("").to_owned()),
            length + 2,
        )),
        None => Err(Fault::new(
            Span::new(at, at + rest.len()),
            "the closing quote is missing",
        )
        .label(format!("a name ends with {quote}"))),
    }
}

fn symbol(rest: &str, at: usize, first: char) -> Result<(Token, usize), Fault> {
    let known = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
    let foreign = FOREIGN.iter().find(|(symbol, _)| rest.starts_with(symbol));
    match (known, foreign) {
        // `&&` and `||` are known although `&` and `|` are foreign; `//` is the other way round.
        (Some(known), foreign) if foreign.is_none_or(|(other, _)| other.len() <= known.len()) => {
            Ok((Token::Symbol(known), known.len()))
        }
        (_, Some((foreign, advice))) => Err(Fault::new(
            Span::new(at, at + foreign.len()),
            format!("unknown symbol `{foreign}`"),
        )
        .label(*advice)),
        _ => {
            let span = Span::new(at, at + first.len_utf8());
            Err(Fault::new(span, format!("unexpected character `{first}`")))
        }
    }
}
