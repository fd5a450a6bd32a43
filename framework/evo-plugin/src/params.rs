//! Reading parameters out of a configuration, with errors that name the parameter.

use evo_types::{Params, Value};

use crate::Error;

fn get<'a>(params: &'a Params, name: &str) -> Result<&'a Value, Error> {
    params.get(name).ok_or_else(|| {
        Error::Rejected(format!(
            "the parameter `{name}` is not set; add it to the search space"
        ))
    })
}

fn wrong(name: &str, value: &Value, expected: &str) -> Error {
    Error::Rejected(format!(
        "the parameter `{name}` is {value} ({}), but must be {expected}",
        value.type_name()
    ))
}

/// An integer parameter.
///
/// # Errors
/// `Rejected` where it is absent or of another type.
pub fn int(params: &Params, name: &str) -> Result<i64, Error> {
    let value = get(params, name)?;
    value
        .as_int()
        .ok_or_else(|| wrong(name, value, "an integer"))
}

/// An integer parameter that is a size: zero or more.
///
/// # Errors
/// `Rejected` where it is absent, negative or of another type.
pub fn size(params: &Params, name: &str) -> Result<usize, Error> {
    let value = get(params, name)?;
    value
        .as_int()
        .and_then(|int| usize::try_from(int).ok())
        .ok_or_else(|| wrong(name, value, "an integer of at least 0"))
}

/// A number, integer or float.
///
/// # Errors
/// `Rejected` where it is absent or of another type.
pub fn float(params: &Params, name: &str) -> Result<f64, Error> {
    let value = get(params, name)?;
    value
        .as_float()
        .ok_or_else(|| wrong(name, value, "a number"))
}

/// A boolean parameter.
///
/// # Errors
/// `Rejected` where it is absent or of another type.
pub fn flag(params: &Params, name: &str) -> Result<bool, Error> {
    let value = get(params, name)?;
    value
        .as_bool()
        .ok_or_else(|| wrong(name, value, "true or false"))
}

/// A parameter that is a name.
///
/// # Errors
/// `Rejected` where it is absent or of another type.
pub fn choice<'a>(params: &'a Params, name: &str) -> Result<&'a str, Error> {
    let value = get(params, name)?;
    value.as_name().ok_or_else(|| wrong(name, value, "a name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_parameter() {
        let params: Params = [
            ("A".to_owned(), Value::from(-1)),
            ("B".to_owned(), Value::from("x")),
        ]
        .into();
        assert_eq!(int(&params, "A"), Ok(-1));
        assert_eq!(choice(&params, "B"), Ok("x"));
        assert_eq!(
            size(&params, "A").unwrap_err().to_string(),
            "rejected: the parameter `A` is -1 (integer), but must be an integer of at least 0"
        );
        assert!(
            flag(&params, "C")
                .unwrap_err()
                .to_string()
                .contains("`C` is not set")
        );
    }
}
