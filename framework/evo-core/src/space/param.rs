//! Parameters and configurations: the plain data of a space.

use std::fmt;

use evo_types::Value;
use serde::Serialize;

/// Who decides a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The search does.
    Search,
    /// The problem does: it changes *what* is computed. It counts in the raw product and is never
    /// searched.
    Problem,
}

/// Who gave a parameter its one value, where it has been given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FixedBy {
    /// The problem names it.
    Problem,
    /// The run pins it.
    Run,
}

impl fmt::Display for FixedBy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Problem => "problem",
            Self::Run => "run",
        })
    }
}

/// One parameter of a space.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// The name that constraints, plugins and reports use.
    pub name: String,
    /// One sentence for people; may be empty.
    pub doc: String,
    /// The values in declared order: at least one, all of one type, no two equal.
    pub values: Vec<Value>,
    /// The index of the value that a search starts from. For a parameter that is not searched,
    /// the index of its one value.
    pub default: u32,
    /// Who decides the value.
    pub role: Role,
    /// Who fixed the value. A [`Role::Problem`] parameter that nobody fixed is held at its default.
    pub fixed: Option<FixedBy>,
    /// The text of the condition under which the parameter exists, if it has one.
    pub when: Option<String>,
}

impl Param {
    /// Whether neighbouring indices are neighbouring values: true of numbers in ascending or
    /// descending order.
    pub fn ordered(&self) -> bool {
        let numbers: Option<Vec<f64>> = self.values.iter().map(Value::as_float).collect();
        numbers.is_some_and(|numbers| {
            numbers.is_sorted_by(|a, b| a < b) || numbers.is_sorted_by(|a, b| a > b)
        })
    }

    /// The value at an index; an index past the end means the last value.
    pub fn value(&self, index: u32) -> &Value {
        let last = self.values.len().saturating_sub(1);
        &self.values[(index as usize).min(last)]
    }

    /// The index of a value. An integer also finds an equal float.
    pub fn index_of(&self, value: &Value) -> Option<u32> {
        let found = self
            .values
            .iter()
            .position(|own| super::values::same(own, value));
        found.and_then(|index| u32::try_from(index).ok())
    }

    /// Whether the parameter keeps one value throughout a search.
    pub fn held(&self) -> bool {
        self.role == Role::Problem || self.fixed.is_some()
    }

    /// Whether a search chooses this parameter: it is not held, and has at least two values.
    pub fn searched(&self) -> bool {
        !self.held() && self.values.len() >= 2
    }
}

/// A configuration in canonical form: one choice per parameter of its space, in the order of the
/// parameters. `None` means that the parameter is inactive, so that two configurations are equal
/// exactly where they are the same program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Config(Box<[Option<u32>]>);

impl Config {
    /// Wraps choices that are canonical already.
    pub(super) fn from_canonical(choices: Vec<Option<u32>>) -> Self {
        Self(choices.into_boxed_slice())
    }

    /// The value index of a parameter; `None` where it is inactive or there is no such parameter.
    pub fn get(&self, param: usize) -> Option<u32> {
        self.0.get(param).copied().flatten()
    }

    /// All choices in the order of the parameters.
    pub fn choices(&self) -> &[Option<u32>] {
        &self.0
    }

    /// In how many parameters two configurations of one space differ.
    pub fn distance(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).filter(|(a, b)| a != b).count()
    }
}

/// How far a step in one parameter may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Radius {
    /// To the next smaller or larger value of an ordered parameter; to any value of another one.
    Adjacent,
    /// To any value.
    Any,
}

/// The number of configurations that satisfy the constraints.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Count {
    /// The exact number.
    Exact(u128),
    /// A statistical estimate.
    Estimate {
        /// The estimated number.
        value: f64,
        /// One standard error of the estimate.
        std_error: f64,
    },
}

impl Count {
    /// The number as a double, whichever way it was found.
    pub fn value(&self) -> f64 {
        match self {
            Self::Exact(count) => *count as f64,
            Self::Estimate { value, .. } => *value,
        }
    }

    /// One standard error of the number: zero where it is exact.
    pub fn std_error(&self) -> f64 {
        match self {
            Self::Exact(_) => 0.0,
            Self::Estimate { std_error, .. } => *std_error,
        }
    }
}
