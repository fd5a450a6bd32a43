//! Problem fields and objective settings: checked against what the plugin says it takes.

use std::path::Path;

use evo_types::{FieldInfo, FieldKind, Params, Value};

use crate::RunError;
use crate::error::suggestion;

/// Every field with its value: the given ones checked, the others at their defaults.
pub(crate) fn complete(
    what: &str,
    known: &[FieldInfo],
    given: &Params,
    folder: &Path,
) -> Result<Params, RunError> {
    let names: Vec<&str> = known.iter().map(|field| field.name.as_str()).collect();
    for name in given.keys() {
        if !names.contains(&name.as_str()) {
            return Err(RunError::input(format!(
                "{what} has no field `{name}`; {}",
                suggestion(name, &names)
            )));
        }
    }
    known
        .iter()
        .map(|field| {
            let value = given.get(&field.name).unwrap_or(&field.default);
            let value = check(field, value, folder).map_err(|problem| {
                RunError::input(format!("{what}: the field `{}` {problem}", field.name))
                    .hint(format!("{}: {}", field.name, field.doc))
            })?;
            Ok((field.name.clone(), value))
        })
        .collect()
}

fn check(field: &FieldInfo, value: &Value, folder: &Path) -> Result<Value, String> {
    let wrong = |expected: String| {
        Err(format!(
            "is {value} ({}), but must be {expected}",
            value.type_name()
        ))
    };
    match (&field.kind, value) {
        (FieldKind::Int { min, max }, Value::Int(int)) if (min..=max).contains(&int) => {
            Ok(value.clone())
        }
        (FieldKind::Int { min, max }, _) => wrong(format!("an integer from {min} to {max}")),
        (FieldKind::Float { min, max }, _) => match value.as_float() {
            Some(float) if float >= *min && float <= *max => Ok(Value::Float(float)),
            _ => wrong(format!("a number from {min} to {max}")),
        },
        (FieldKind::Bool, Value::Bool(_)) => Ok(value.clone()),
        (FieldKind::Bool, _) => wrong("true or false".to_owned()),
        (FieldKind::Choice(names), Value::Name(name)) if names.contains(name) => Ok(value.clone()),
        (FieldKind::Choice(names), _) => wrong(format!("one of {}", names.join(", "))),
        // On the command line a text such as `17` looks like a number.
        (FieldKind::Text, Value::Name(_)) => Ok(value.clone()),
        (FieldKind::Text, _) => Ok(Value::Name(value.to_string())),
        // Nothing is not the folder itself.
        (FieldKind::Path, Value::Name(name)) if name.is_empty() => Ok(value.clone()),
        (FieldKind::Path, _) => {
            let path = folder.join(value.to_string());
            let path = std::path::absolute(&path).unwrap_or(path);
            path.to_str()
                .map(|path| Value::Name(path.to_owned()))
                .ok_or_else(|| format!("is {value}, which is no path in UTF-8"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<FieldInfo> {
        let field = |name: &str, kind, default| FieldInfo {
            name: name.into(),
            doc: "what it is".into(),
            kind,
            default,
        };
        vec![
            field("S", FieldKind::Int { min: 1, max: 4096 }, Value::Int(512)),
            field(
                "mask",
                FieldKind::Choice(vec!["full".into(), "causal".into()]),
                "full".into(),
            ),
            field("file", FieldKind::Text, "".into()),
            field("folder", FieldKind::Path, ".".into()),
        ]
    }

    #[test]
    fn defaults_fill_in_and_given_values_are_checked() {
        let given = Params::from([("S".to_owned(), Value::Int(64))]);
        let all = complete("the problem `p`", &fields(), &given, Path::new("/spec")).unwrap();
        assert_eq!(all["S"], Value::Int(64));
        assert_eq!(all["mask"], Value::from("full"));
        for (name, value, expected) in [
            ("s", Value::Int(1), "has no field `s`; did you mean `S`?"),
            (
                "S",
                Value::Int(0),
                "is 0 (integer), but must be an integer from 1 to 4096",
            ),
            (
                "S",
                Value::from("x"),
                "is x (name), but must be an integer from 1 to 4096",
            ),
            ("mask", Value::from("ful"), "must be one of full, causal"),
        ] {
            let given = Params::from([(name.to_owned(), value)]);
            let error =
                complete("the problem `p`", &fields(), &given, Path::new("/spec")).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_text_field_takes_what_looks_like_a_number() {
        let given = Params::from([("file".to_owned(), Value::Int(17))]);
        let all = complete("o", &fields(), &given, Path::new("/spec")).unwrap();
        assert_eq!(all["file"], Value::from("17"));
    }

    #[test]
    fn a_relative_path_starts_from_the_folder_of_the_spec() {
        for (given, expected) in [("a/b", "/spec/a/b"), ("/c", "/c"), (".", "/spec"), ("", "")] {
            let given = Params::from([("folder".to_owned(), given.into())]);
            let all = complete("o", &fields(), &given, Path::new("/spec")).unwrap();
            assert_eq!(all["folder"], Value::from(expected));
        }
    }
}
