//! Constraints and their violations.

use std::fmt;

/// A constraint of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// The expression as written.
    pub text: String,
    /// Why it has to hold; may be empty.
    pub reason: String,
    /// The line of the expression in the file, from 1.
    pub line: usize,
    /// The column of the expression in the line, in characters from 1.
    pub column: usize,
}

/// Why a configuration is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The index of the constraint in its space.
    pub constraint: usize,
    /// The expression as written.
    pub text: String,
    /// Why it has to hold; may be empty.
    pub reason: String,
    /// What was found: the two sides of a comparison, such as `262144 <= 232448`, or the
    /// arithmetic that failed, such as "division by zero in `S / X`"; may be empty.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` does not hold", self.text)?;
        if !self.detail.is_empty() {
            write!(out, " ({})", self.detail)?;
        }
        if !self.reason.is_empty() {
            write!(out, ": {}", self.reason)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violation {}
