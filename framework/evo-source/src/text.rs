//! Macros, template arguments, placeholders and flags: how parameters reach the build.

use std::collections::BTreeMap;

use evo_bundle::source::{Description, Language};
use evo_plugin::{Error, Params, Value};

use crate::{Source, values};

/// A build with every parameter in its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rendered {
    /// The files by their path from the description.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// `-DNAME=VALUE` of the macros.
    pub(crate) macros: Vec<String>,
    /// The other flags.
    pub(crate) flags: Vec<String>,
    /// The entry with its template arguments.
    pub(crate) entry: String,
}

impl Rendered {
    /// Puts the values in their places.
    ///
    /// # Errors
    /// `Rejected`, with the place in the description.
    pub(crate) fn new(source: &Source, values: &Params, config: &Params) -> Result<Self, Error> {
        let description = &source.description;
        Ok(Self {
            files: files(source, values)?,
            macros: macros(description, values, config)?,
            flags: flags(description, values)?,
            entry: entry(description, values)?,
        })
    }
}

fn macros(
    description: &Description,
    values: &Params,
    config: &Params,
) -> Result<Vec<String>, Error> {
    let mut macros = Vec::new();
    // Inactive parameters are not defined.
    for param in description.params.iter().filter(|param| param.defined) {
        if let Some(value) = config.get(&param.name) {
            macros.push(format!("-D{}={}", param.name, values::as_macro(value)));
        }
    }
    for (name, expr) in &description.defines.0 {
        let value = values::evaluate(description, expr, values)?;
        macros.push(format!("-D{}={}", name.value, values::as_macro(&value)));
    }
    Ok(macros)
}

fn flags(description: &Description, values: &Params) -> Result<Vec<String>, Error> {
    let mut flags = Vec::new();
    for flag in &description.flags {
        let flag = description
            .flag(flag, values)
            .map_err(|error| Error::Rejected(error.to_string()))?;
        flags.extend(flag);
    }
    if description.flags.is_empty() && description.language != Language::Cuda {
        flags.push("-O2".to_owned());
    }
    Ok(flags)
}

fn entry(description: &Description, values: &Params) -> Result<String, Error> {
    let entry = &description.entry.value;
    if description.template.is_empty() {
        return Ok(entry.clone());
    }
    let arguments = description
        .template
        .iter()
        .map(|expr| Ok(values::evaluate(description, expr, values)?.to_string()))
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(format!("{entry}<{}>", arguments.join(", ")))
}

/// The files, with `{{NAME}}` replaced in those that are text.
fn files(source: &Source, values: &Params) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let description = &source.description;
    let mut replaced: Vec<(String, String)> = Vec::new();
    for (name, expr) in &description.placeholders.0 {
        let value = values::evaluate(description, expr, values)?;
        let text = match &value {
            Value::Bool(value) => value.to_string(),
            other => values::as_macro(other),
        };
        replaced.push((format!("{{{{{}}}}}", name.value), text));
    }
    let code = code_files(source);
    let files = source.bundle.files.iter().filter(|(path, _)| code(path));
    Ok(files
        .map(|(path, content)| {
            let content = match std::str::from_utf8(content) {
                Ok(text) if !replaced.is_empty() => {
                    let text = replaced
                        .iter()
                        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
                    text.into_bytes()
                }
                _ => content.clone(),
            };
            (path.clone(), content)
        })
        .collect())
}

/// Whether a file of the bundle is code; expected values are no concern of a compiler.
fn code_files(source: &Source) -> impl Fn(&str) -> bool {
    use evo_bundle::source::Reference;
    let mut data: Vec<String> = source.description.space_file.clone().into_iter().collect();
    if let Some(own) = source.description.own_problem()
        && let Reference::Expected(cases) = &own.reference
    {
        for case in cases {
            let files = case.inputs.0.iter().chain(&case.outputs.0);
            data.extend(files.map(|(_, file)| file.value.clone()));
        }
    }
    move |path| !data.iter().any(|own| own == path)
}
