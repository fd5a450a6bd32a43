//! The fields of a problem: what a run may set.

use evo_types::{FieldInfo, FieldKind, Value};
use serde::Deserialize;

use crate::document::{Fault, Text};

/// The greatest value of an integer field without a `max`: what fits in an `int`.
const MAX: i64 = i32::MAX as i64;

/// A field. Its type is that of its default.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name.
    pub name: Text,
    /// The value where a run is silent.
    pub default: Value,
    /// The least value of a number; 1 for integers if left out.
    #[serde(default)]
    pub min: Option<Value>,
    /// The greatest value of a number.
    #[serde(default)]
    pub max: Option<Value>,
    /// Integers must be multiples of it.
    #[serde(default)]
    pub multiple_of: Option<i64>,
    /// The names that it can have.
    #[serde(default)]
    pub values: Vec<String>,
    /// One sentence for people.
    #[serde(default)]
    pub doc: String,
}

impl Field {
    /// The bounds of an integer field.
    pub fn bounds(&self) -> (i64, i64) {
        let bound =
            |value: &Option<Value>, other| value.as_ref().and_then(Value::as_int).unwrap_or(other);
        (bound(&self.min, 1), bound(&self.max, MAX))
    }

    /// The field as a problem describes it.
    pub fn info(&self) -> FieldInfo {
        let float = |value: &Option<Value>, other| {
            value.as_ref().and_then(Value::as_float).unwrap_or(other)
        };
        let kind = match &self.default {
            Value::Int(_) => {
                let (min, max) = self.bounds();
                FieldKind::Int { min, max }
            }
            Value::Float(_) => FieldKind::Float {
                min: float(&self.min, f64::MIN),
                max: float(&self.max, f64::MAX),
            },
            Value::Bool(_) => FieldKind::Bool,
            Value::Name(_) => FieldKind::Choice(self.values.clone()),
        };
        FieldInfo {
            name: self.name.value.clone(),
            doc: self.doc.clone(),
            kind,
            default: self.default.clone(),
        }
    }

    /// What is wrong with its declaration.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut wrong = |message: String| faults.push(Fault::new(self.name.place.clone(), message));
        let name = &self.name.value;
        match &self.default {
            Value::Int(default) => {
                let (min, max) = self.bounds();
                let bounds = [&self.min, &self.max];
                if bounds
                    .into_iter()
                    .flatten()
                    .any(|bound| bound.as_int().is_none())
                {
                    wrong(format!(
                        "`{name}` is an integer, and its bounds must be too"
                    ));
                } else if !(min..=max).contains(default) {
                    wrong(format!(
                        "the default of `{name}` is not between {min} and {max}"
                    ));
                }
                if self
                    .multiple_of
                    .is_some_and(|step| step < 1 || default % step != 0)
                {
                    wrong(format!(
                        "`multiple_of` of `{name}` must be positive and divide the default"
                    ));
                }
            }
            Value::Float(default) => {
                let bounds = [&self.min, &self.max];
                if bounds
                    .into_iter()
                    .flatten()
                    .any(|bound| bound.as_float().is_none())
                {
                    wrong(format!("the bounds of `{name}` must be numbers"));
                }
                if !default.is_finite() {
                    wrong(format!("the default of `{name}` is not finite"));
                }
            }
            Value::Bool(_) => {}
            Value::Name(default) if self.values.contains(default) => {}
            Value::Name(default) => wrong(format!(
                "the default of `{name}`, \"{default}\", is not among its `values`"
            )),
        }
        let integer = matches!(self.default, Value::Int(_));
        let number = integer || matches!(self.default, Value::Float(_));
        if !number && (self.min.is_some() || self.max.is_some()) {
            wrong(format!("`{name}` is no number: it has no `min` and `max`"));
        }
        if !integer && self.multiple_of.is_some() {
            wrong(format!("`{name}` is no integer: it has no `multiple_of`"));
        }
        if !matches!(self.default, Value::Name(_)) && !self.values.is_empty() {
            wrong(format!("`values` are names, and `{name}` is none"));
        }
        faults
    }
}
