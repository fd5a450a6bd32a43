//! The expression language on its own: for descriptions whose sizes, geometry and arguments are
//! written in the language of constraints.

use std::collections::BTreeSet;

use evo_types::{Params, Value};

use super::diagnostic::{Fault, Span};
use super::expr::ast::Expr;
use super::expr::code::{Scalar, Stop};
use super::expr::lower::lower_value;
use super::expr::names::{Meaning, Scope, Symbol};
use super::expr::parse::{parse, references};
use super::scope::scalar;
use super::values::type_of;

/// A parsed expression, to be evaluated with values of any types.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    expr: Expr,
}

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    /// What is wrong, in one sentence.
    pub message: String,
    /// The short remark at the place itself, such as "did you mean `BLOCK_M`?"; may be empty.
    pub label: String,
    /// The first byte of the place in the expression's text.
    pub start: usize,
    /// The byte after the place.
    pub end: usize,
}

impl From<Fault> for ExpressionError {
    fn from(fault: Fault) -> Self {
        Self {
            message: fault.message,
            label: fault.label,
            start: fault.span.start,
            end: fault.span.end,
        }
    }
}

impl Expression {
    /// Parses a text, without asking what its names mean.
    ///
    /// # Errors
    /// Where the text is no expression.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let expr = parse(text)?;
        Ok(Self {
            text: text.to_owned(),
            expr,
        })
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names that it mentions.
    pub fn names(&self) -> BTreeSet<String> {
        references(&self.text)
            .into_iter()
            .filter(|name| !super::expr::functions::function_names().any(|own| own == name))
            .collect()
    }

    /// The first place of a name in the text, as bytes.
    pub fn place_of(&self, name: &str) -> Option<(usize, usize)> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.text.match_indices(name).find_map(|(start, _)| {
            let end = start + name.len();
            let before = self.text.get(..start)?.chars().next_back();
            let after = self.text.get(end..)?.chars().next();
            let whole = !before.is_some_and(word) && !after.is_some_and(word);
            whole.then_some((start, end))
        })
    }

    /// Evaluates it.
    ///
    /// # Errors
    /// Unknown names, types that do not fit, and arithmetic that fails.
    pub fn evaluate(&self, values: &Params) -> Result<Value, ExpressionError> {
        let mut scope = Scope::default();
        for (name, value) in values {
            let symbol = Symbol {
                param: false,
                meaning: Meaning::Constant(scalar(value, &mut scope.names)),
                kind: type_of(value),
                allowed: Vec::new(),
            };
            scope.symbols.insert(name.clone(), symbol);
        }
        let whole = Span::new(0, self.text.len());
        let code = lower_value(&self.expr, &mut scope, "expression").map_err(|faults| {
            let first = faults.into_iter().next();
            first.unwrap_or_else(|| Fault::new(whole, "the expression makes no sense"))
        })?;
        match code.evaluate(&[], &[]) {
            Ok(Scalar::Int(value)) => Ok(Value::Int(value)),
            Ok(Scalar::Float(value)) => Ok(Value::Float(value)),
            Ok(Scalar::Bool(value)) => Ok(Value::Bool(value)),
            Ok(Scalar::Name(name)) => Ok(Value::Name(scope.names.get(name).to_owned())),
            Err(Stop::Trouble(trouble, span)) => {
                let place = span.of(&self.text);
                Err(Fault::new(span, format!("{trouble} in `{place}`")).into())
            }
            // There are no parameters here.
            Err(Stop::Inactive) => Err(Fault::new(whole, "a value is missing").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Params {
        [
            ("N".to_owned(), Value::Int(100)),
            ("TILE".to_owned(), Value::Int(16)),
            ("ZERO".to_owned(), Value::Int(0)),
            ("LAYOUT".to_owned(), Value::from("row")),
        ]
        .into()
    }

    fn evaluate(text: &str) -> Result<Value, ExpressionError> {
        Expression::parse(text)?.evaluate(&values())
    }

    #[test]
    fn an_expression_has_a_value_of_its_own_type() {
        assert_eq!(evaluate("ceil_div(N, TILE) * 2"), Ok(Value::Int(14)));
        assert_eq!(evaluate("N * 0.5"), Ok(Value::Float(50.0)));
        assert_eq!(evaluate("LAYOUT == 'row'"), Ok(Value::Bool(true)));
        assert_eq!(evaluate("LAYOUT"), Ok(Value::from("row")));
        assert_eq!(
            evaluate("if ZERO != 0 then N / ZERO else 1"),
            Ok(Value::Int(1))
        );
    }

    #[test]
    fn an_error_has_its_place() {
        let error = evaluate("N * TLE").unwrap_err();
        assert_eq!(error.message, "unknown name `TLE` in the expression");
        assert_eq!(error.label, "did you mean `TILE`?");
        assert_eq!((error.start, error.end), (4, 7));
        let error = evaluate("1 + N / ZERO").unwrap_err();
        assert_eq!(error.message, "division by zero in `N / ZERO`");
        assert!(evaluate("N +").is_err());
        assert!(evaluate("9223372036854775807 + N").is_err());
    }

    #[test]
    fn names_are_those_of_values_only() {
        let expression = Expression::parse("max(N, ceil_div(SN, 2)) + N").unwrap();
        let names: Vec<String> = expression.names().into_iter().collect();
        assert_eq!(names, ["N", "SN"]);
        assert_eq!(expression.place_of("N"), Some((4, 5)));
        assert_eq!(expression.place_of("SN"), Some((16, 18)));
        assert_eq!(expression.place_of("X"), None);
    }
}
