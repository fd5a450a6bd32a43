//! Restrictions in Python's syntax, as Kernel Tuner and its relatives write them, translated to
//! the language of constraints with Python's meaning.
//!
//! The two languages read alike, and that is the danger: in Python `/` of integers is a float,
//! `%` has the sign of its right side, `//` rounds down, a number is a condition, and `True` is
//! one. The translation knows the type and the sign of every part and writes what means the same.
//! What it cannot translate is an error with its place, never a guess.
//!
//! One thing is ours: arithmetic that fails makes a configuration invalid, where Python would stop.

mod parse;
mod token;
mod write;

use std::collections::BTreeMap;
use std::fmt;

use evo_types::Value;

use crate::error::Reason;
use crate::recording::Parameter;

/// The values of each parameter, by name.
pub type Kinds = BTreeMap<String, Vec<Value>>;

/// Why a restriction cannot be translated, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonError {
    /// What is wrong, in one sentence.
    pub message: String,
    /// The first byte of the place.
    pub start: usize,
}

impl fmt::Display for PythonError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "column {}: {}", self.start + 1, self.message)
    }
}

impl std::error::Error for PythonError {}

impl PythonError {
    fn new(start: usize, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            start,
        }
    }
}

/// A restriction in the language of constraints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restriction {
    pub(crate) translated: String,
    pub(crate) original: String,
}

/// Translates the restrictions of a space.
pub(crate) fn translate_all(
    restrictions: &[String],
    params: &[Parameter],
) -> Result<Vec<Restriction>, Reason> {
    let pair = |param: &Parameter| (param.name.clone(), param.values.clone());
    let kinds: Kinds = params.iter().map(pair).collect();
    let translate = |original: &String| {
        let translated = translate(original, &kinds)
            .map_err(|error| format!("the restriction `{original}`: {error}"))?;
        Ok(Restriction {
            translated,
            original: original.clone(),
        })
    };
    restrictions.iter().map(translate).collect()
}

/// Translates one restriction.
///
/// # Errors
/// Where the text is no Python expression, or has a part that the language of constraints has no
/// equal for.
pub fn translate(text: &str, kinds: &Kinds) -> Result<String, PythonError> {
    let expr = parse::parse(text)?;
    write::condition(&expr, kinds)
}

/// The values of a list of literals, such as `[16, 32]` or `["row", "col"]`.
///
/// # Errors
/// Where the text is no such list.
pub(crate) fn list(text: &str) -> Result<Vec<Value>, PythonError> {
    parse::list(text)
}

#[cfg(test)]
mod tests;
