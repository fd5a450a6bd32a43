//! The words of expressions and their types.

use std::collections::BTreeMap;

use super::code::Scalar;

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::space) enum Type {
    Int,
    Float,
    Bool,
    Name,
}

impl Type {
    pub(in crate::space) fn words(self) -> &'static str {
        match self {
            Self::Int => "an integer",
            Self::Float => "a float",
            Self::Bool => "a boolean",
            Self::Name => "a name",
        }
    }

    /// The word without an article.
    pub(super) fn plain(self) -> &'static str {
        match self {
            Self::Int => "integer",
            Self::Float => "float",
            Self::Bool => "boolean",
            Self::Name => "name",
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float)
    }
}

/// Every name that occurs as a value, so that evaluation compares numbers.
#[derive(Debug, Default)]
pub(in crate::space) struct Names(Vec<String>);

impl Names {
    pub(in crate::space) fn intern(&mut self, name: &str) -> u32 {
        let known = self.0.iter().position(|own| own == name);
        let index = known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        // Spaces are bounded far below four thousand million names.
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    pub(in crate::space) fn get(&self, name: u32) -> &str {
        self.0.get(name as usize).map_or("", String::as_str)
    }
}

/// What a word in an expression stands for.
#[derive(Debug, Clone)]
pub(in crate::space) enum Meaning {
    /// A parameter, by its index.
    Param(usize),
    /// A constant, or a parameter that can have only one value.
    Constant(Scalar),
    /// A name that several sources give.
    Ambiguous(String),
    /// A parameter whose declaration has errors: using it is no further error.
    Broken,
}

#[derive(Debug, Clone)]
pub(in crate::space) struct Symbol {
    /// Whether it is a parameter; one with a single value has a constant meaning.
    pub(in crate::space) param: bool,
    pub(in crate::space) meaning: Meaning,
    pub(in crate::space) kind: Type,
    /// For a parameter of names: its values. Comparing it with anything else is a mistake.
    pub(in crate::space) allowed: Vec<String>,
}

/// The words that an expression may use.
#[derive(Debug, Default)]
pub(in crate::space) struct Scope {
    pub(in crate::space) symbols: BTreeMap<String, Symbol>,
    pub(in crate::space) names: Names,
}
