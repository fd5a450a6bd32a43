//! T1: the input format of the auto-tuning community. Values are a list in a text, in Python's
//! syntax; conditions are Python expressions.

use evo_types::Value;
use serde::Deserialize;

use super::unified;
use crate::definition::Definition;
use crate::error::Reason;
use crate::python;
use crate::recording::Parameter;

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "General", default)]
    general: General,
    #[serde(rename = "ConfigurationSpace")]
    space: Space,
}

#[derive(Default, Deserialize)]
struct General {
    #[serde(rename = "BenchmarkName", default)]
    name: String,
}

#[derive(Deserialize)]
struct Space {
    #[serde(rename = "TuningParameters")]
    params: Vec<Param>,
    #[serde(rename = "Conditions", default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Param {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Type", default)]
    kind: Option<String>,
    #[serde(rename = "Values")]
    values: Values,
    #[serde(rename = "Default", default)]
    default: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<Value>),
    Text(String),
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "Expression")]
    expression: String,
}

pub(crate) fn definition(text: &str, name: &str) -> Result<Definition, Reason> {
    let document: Document = super::json(text)?;
    let mut params = Vec::new();
    let mut defaults = Vec::new();
    for param in document.space.params {
        let fail = |why: String| format!("the values of `{}`: {why}", param.name);
        let values = match param.values {
            Values::List(values) => values,
            Values::Text(text) => python::list(&text).map_err(|why| fail(why.to_string()))?,
        };
        let kind = param.kind.as_deref();
        let values = typed(values, kind).map_err(fail)?;
        let default = match param.default {
            None => None,
            Some(default) => typed(vec![default], kind)
                .map_err(|why| format!("the default of `{}`: {why}", param.name))?
                .pop(),
        };
        params.push(Parameter {
            name: param.name,
            values,
        });
        defaults.push(default);
    }
    let general = document.general.name;
    Ok(Definition {
        name: if general.is_empty() {
            name.to_owned()
        } else {
            general
        },
        params,
        restrictions: document
            .space
            .conditions
            .into_iter()
            .map(|condition| condition.expression)
            .collect(),
        defaults,
    })
}

/// Values of the declared type.
fn typed(values: Vec<Value>, kind: Option<&str>) -> Result<Vec<Value>, Reason> {
    let kind = match kind {
        None => return Ok(unified(values)),
        Some(kind) => kind.to_ascii_lowercase(),
    };
    let cast = |value: Value| match (kind.as_str(), value) {
        ("int" | "uint" | "integer", Value::Int(value)) => Ok(Value::Int(value)),
        ("float" | "double" | "real", Value::Int(value)) => Ok(Value::Float(value as f64)),
        ("float" | "double" | "real", Value::Float(value)) => Ok(Value::Float(value)),
        ("bool" | "boolean", Value::Bool(value)) => Ok(Value::Bool(value)),
        ("string" | "str", Value::Name(value)) => Ok(Value::Name(value)),
        (
            "int" | "uint" | "integer" | "float" | "double" | "real" | "bool" | "boolean"
            | "string" | "str",
            other,
        ) => Err(format!("{other} is no {kind}, which is the declared type")),
        _ => Err(format!(
            "`{kind}` is no type that is known: there are int, uint, float, bool and string"
        )),
    };
    values.into_iter().map(cast).collect()
}
