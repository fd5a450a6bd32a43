//! What the names in a description's expressions stand for.

use evo_bundle::source::{Description, Expr, OwnProblem};
use evo_plugin::{BuildRequest, Error, Params, Value};

/// The names that a candidate's expressions may use: fields and constants of the problem, facts
/// about the device, and the parameters; those that are inactive have their defaults.
pub(crate) fn of_candidate(description: &Description, request: &BuildRequest) -> Params {
    let mut values = request.device.facts.clone();
    values.extend(request.problem.constants.clone());
    values.extend(request.problem.fields.clone());
    for param in &description.params {
        values.insert(param.name.clone(), param.default.clone());
    }
    values.extend(request.config.clone());
    values
}

/// The names that a problem's expressions may use: its fields and constants.
///
/// # Errors
/// `Rejected` where a constant has no value.
pub(crate) fn of_problem(
    description: &Description,
    own: &OwnProblem,
    fields: &Params,
) -> Result<Params, Error> {
    let mut values = fields.clone();
    for (name, expr) in &own.constants.0 {
        let value = evaluate(description, expr, &values)?;
        values.insert(name.value.clone(), value);
    }
    Ok(values)
}

/// The value of an expression.
///
/// # Errors
/// `Rejected`, with the place in the description.
pub(crate) fn evaluate(
    description: &Description,
    expr: &Expr,
    values: &Params,
) -> Result<Value, Error> {
    description
        .evaluate(expr, values)
        .map_err(|error| Error::Rejected(error.to_string()))
}

/// The value of an expression that is a size: an integer of at least `least`.
///
/// # Errors
/// `Rejected`, naming the expression and what it gave.
pub(crate) fn size(
    description: &Description,
    expr: &Expr,
    values: &Params,
    least: usize,
) -> Result<usize, Error> {
    let value = evaluate(description, expr, values)?;
    value
        .as_int()
        .and_then(|int| usize::try_from(int).ok())
        .filter(|size| *size >= least)
        .ok_or_else(|| {
            Error::Rejected(format!(
                "{}: `{}` is {value}, but must be an integer of at least {least}",
                description.file(),
                expr.text()
            ))
        })
}

/// The value of an expression that is a finite number of at least 0.
///
/// # Errors
/// `Rejected`, naming the expression and what it gave.
pub(crate) fn count(description: &Description, expr: &Expr, values: &Params) -> Result<f64, Error> {
    let value = evaluate(description, expr, values)?;
    value
        .as_float()
        .filter(|number| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| {
            Error::Rejected(format!(
                "{}: `{}` is {value}, but must be a number of at least 0",
                description.file(),
                expr.text()
            ))
        })
}

/// A value as the compiler sees it in a macro: truth values are 1 and 0, and negative numbers are
/// in parentheses, so that they can stand anywhere in an expression.
pub(crate) fn as_macro(value: &Value) -> String {
    match value {
        Value::Bool(value) => u8::from(*value).to_string(),
        Value::Int(..0) => format!("({value})"),
        Value::Float(number) if *number < 0.0 => format!("({value})"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_can_stand_in_any_expression() {
        assert_eq!(as_macro(&Value::Int(-3)), "(-3)");
        assert_eq!(as_macro(&Value::Float(-0.5)), "(-0.5)");
        assert_eq!(as_macro(&Value::Int(3)), "3");
        assert_eq!(as_macro(&Value::Bool(true)), "1");
        assert_eq!(as_macro(&Value::from("row")), "row");
    }
}
