//! Expressions in descriptions: those of the constraint language, with their places.

use std::collections::BTreeSet;

use evo_core::space::{Expression, ExpressionError};
use evo_types::{Params, Value};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::document::{Fault, Raw, Text};

/// An expression: in quotes, or a bare number or boolean.
#[derive(Debug, Clone)]
pub struct Expr {
    text: Text,
    parsed: Result<Expression, ExpressionError>,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Expr {
    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text.value
    }

    /// The names that it mentions.
    pub fn names(&self) -> BTreeSet<String> {
        self.parsed
            .as_ref()
            .map_or_else(|_| BTreeSet::new(), Expression::names)
    }

    /// Whether it mentions one of these names.
    pub fn mentions(&self, names: &BTreeSet<&str>) -> bool {
        self.names()
            .iter()
            .any(|name| names.contains(name.as_str()))
    }

    /// Why it is no expression.
    pub(crate) fn syntax_fault(&self) -> Option<Fault> {
        self.parsed.as_ref().err().map(|error| self.locate(error))
    }

    /// A fault at the place of a name.
    pub(crate) fn fault_at(&self, name: &str, message: String) -> Fault {
        let place = self
            .parsed
            .as_ref()
            .ok()
            .and_then(|parsed| parsed.place_of(name));
        let place = place.map_or_else(
            || self.text.place.clone(),
            |(start, end)| self.text.within(start, end),
        );
        Fault::new(place, message)
    }

    pub(crate) fn evaluate(&self, values: &Params) -> Result<Value, Fault> {
        let result = self.parsed.as_ref().map_err(Clone::clone);
        result
            .and_then(|parsed| parsed.evaluate(values))
            .map_err(|error| self.locate(&error))
    }

    fn locate(&self, error: &ExpressionError) -> Fault {
        Fault::new(self.text.within(error.start, error.end), &error.message).label(&error.label)
    }
}

impl<'de> Deserialize<'de> for Expr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        let text = Text::of(&raw).map_err(|_| {
            D::Error::custom("an expression in quotes, a number or a boolean is expected here")
        })?;
        let parsed = Expression::parse(&text.value);
        Ok(Self { text, parsed })
    }
}
