//! Parameter values and named sets of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One value of a parameter, a problem field or a device fact.
///
/// In JSON and RON a value is written as itself: `64`, `0.5`, `true`, `"causal"`. Floats are
/// finite; loaders reject anything else.
#[derive(Debug, Clone, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A finite double.
    Float(f64),
    /// A name out of a fixed set, such as `"fp16"`.
    Name(String),
}

impl Value {
    /// The type of the value in the words of an error message.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Float(_) => "float",
            Self::Name(_) => "name",
        }
    }

    /// The integer, if this is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number as a double, if this is an integer or a float.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The name, if this is one.
    pub fn as_name(&self) -> Option<&str> {
        match self {
            Self::Name(value) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(formatter),
            Self::Int(value) => value.fmt(formatter),
            Self::Float(value) => write!(formatter, "{value:?}"),
            Self::Name(value) => value.fmt(formatter),
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Name(value.to_owned())
    }
}

/// Named values in the order of their names: a configuration, the fields of a problem, constants.
pub type Params = BTreeMap<String, Value>;

/// Writes named values on one line: `BLOCK_M=64 EXP=poly`.
pub fn format_params(params: &Params) -> String {
    let words: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_as_itself_in_json() {
        let params: Params = [
            ("A".to_owned(), Value::from(64)),
            ("B".to_owned(), Value::from(0.5)),
            ("C".to_owned(), Value::from(true)),
            ("D".to_owned(), Value::from("causal")),
        ]
        .into();
        let text = serde_json::to_string(&params).unwrap();
        assert_eq!(text, r#"{"A":64,"B":0.5,"C":true,"D":"causal"}"#);
        assert_eq!(serde_json::from_str::<Params>(&text).unwrap(), params);
    }

    #[test]
    fn a_whole_float_stays_a_float() {
        let text = serde_json::to_string(&Value::from(2.0)).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            Value::from(2.0)
        );
        assert_eq!(Value::from(2.0).to_string(), "2.0");
    }
}
