//! The functions of the expression language.

use super::ast::Expr;
use super::code::{BinaryFn, UnaryFn};
use super::lower::{Lowering, Typed};
use super::names::Type;
use crate::space::diagnostic::{Fault, Span, suggestion};

/// The functions with the number of their arguments in words.
const FUNCTIONS: [(&str, &str); 5] = [
    ("min", "two or more arguments"),
    ("max", "two or more arguments"),
    ("abs", "one argument"),
    ("ceil_div", "two arguments"),
    ("log2", "one argument"),
];

/// The names that a parameter or constant should not have, beside the keywords.
pub(in crate::space) fn function_names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

impl Lowering<'_> {
    pub(super) fn call(&mut self, name: &str, arguments: &[Expr], span: Span) -> Option<Typed> {
        let lowered: Vec<Option<Typed>> = arguments.iter().map(|a| self.lower(a)).collect();
        let Some((_, arity)) = FUNCTIONS.iter().find(|(function, _)| *function == name) else {
            let known: Vec<&str> = function_names().collect();
            let fault = Fault::new(span, format!("unknown function `{name}`"))
                .label(suggestion(name, known.iter().copied()))
                .note(format!("functions: {}", known.join(", ")));
            return self.fault(fault);
        };
        let fits = match name {
            "min" | "max" => arguments.len() >= 2,
            "ceil_div" => arguments.len() == 2,
            _ => arguments.len() == 1,
        };
        if !fits {
            let message = format!("`{name}` takes {arity}, found {}", arguments.len());
            return self.fault(Fault::new(span, message));
        }
        let mut values = Vec::new();
        for (value, argument) in lowered.into_iter().zip(arguments) {
            let number = value.filter(|(_, kind)| self.number(*kind, argument, name).is_some());
            values.push(number);
        }
        let values: Vec<Typed> = values.into_iter().collect::<Option<_>>()?;
        self.apply(name, arguments, &values, span)
    }

    /// Applies a known function to the right number of numbers.
    fn apply(
        &mut self,
        name: &str,
        arguments: &[Expr],
        values: &[Typed],
        span: Span,
    ) -> Option<Typed> {
        if matches!(name, "ceil_div" | "log2") {
            let float = values
                .iter()
                .zip(arguments)
                .find(|(value, _)| value.1 == Type::Float);
            if let Some((_, argument)) = float {
                let fault = Fault::new(argument.span, format!("`{name}` needs integers"));
                return self.fault(fault.label("this is a float"));
            }
        }
        let (first, rest) = values.split_first()?;
        let function = match name {
            "abs" => return Some((self.unary(UnaryFn::Abs, first.0, span), first.1)),
            "log2" => return Some((self.unary(UnaryFn::Log2, first.0, span), Type::Int)),
            "min" => BinaryFn::Min,
            "max" => BinaryFn::Max,
            _ => BinaryFn::CeilDiv,
        };
        let folded = rest.iter().fold(*first, |so_far, next| {
            self.arithmetic(function, so_far, *next, span)
        });
        Some(folded)
    }
}
