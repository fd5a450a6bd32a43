//! Definitions of search spaces without measurements: parameters, and restrictions in Python's
//! syntax.

use std::path::Path;

use evo_types::Value;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Reason, RecordingError};
use crate::recording::{Parameter, check_params};
use crate::{file, formats, python, space};

/// A search space as other tuners define it.
///
/// Two formats are read, plain or compressed with xz:
///
/// - T1, the input format of the auto-tuning community: one object with `ConfigurationSpace`;
/// - plain definitions: `{"name": ..., "params": [{"name": ..., "values": [...]}],
///   "restrictions": [...]}`, one object or a list of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// The parameters.
    pub params: Vec<Parameter>,
    /// The restrictions, in Python's syntax.
    pub restrictions: Vec<String>,
    /// The value of each parameter that a search starts from; `None` for the first.
    pub defaults: Vec<Option<Value>>,
}

/// The keys by which a format is known.
#[derive(Deserialize)]
struct Keys {
    #[serde(rename = "ConfigurationSpace")]
    t1: Option<IgnoredAny>,
    params: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Plain {
    #[serde(default)]
    name: String,
    params: Vec<PlainParam>,
    #[serde(default)]
    restrictions: Vec<String>,
}

#[derive(Deserialize)]
struct PlainParam {
    name: String,
    values: Vec<Value>,
}

impl Definition {
    /// Reads every definition of a file.
    ///
    /// # Errors
    /// A file that cannot be read, or that has no definition: what is wrong, and where.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, RecordingError> {
        let fail = |message| RecordingError {
            file: path.display().to_string(),
            message,
        };
        let text = file::text(path).map_err(fail)?;
        Self::parse_all(&text, &file::stem(path)).map_err(fail)
    }

    /// Reads the one definition of a file.
    ///
    /// # Errors
    /// As [`read_all`](Self::read_all), and a file that has several.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let mut all = Self::read_all(path)?;
        match (all.pop(), all.as_slice()) {
            (Some(one), []) => Ok(one),
            (last, first) => {
                let names = first.iter().chain(&last).map(|one| one.name.as_str());
                let names: Vec<&str> = names.collect();
                Err(RecordingError {
                    file: path.display().to_string(),
                    message: format!(
                        "it must define one space, but defines {}: {}",
                        names.len(),
                        names.join(", ")
                    ),
                })
            }
        }
    }

    /// Reads every definition of a text; `name` is used where the text has no name of its own.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse_all(text: &str, name: &str) -> Result<Vec<Self>, String> {
        let list = text.trim_start().starts_with('[');
        let plain = if list {
            formats::json::<Vec<Plain>>(text)?
        } else {
            let keys: Keys = formats::json(text)?;
            match keys {
                Keys { t1: Some(_), .. } => {
                    return Ok(vec![formats::t1::definition(text, name)?.checked()?]);
                }
                Keys {
                    params: Some(_), ..
                } => vec![formats::json::<Plain>(text)?],
                _ => {
                    return Err(
                        "it defines no space: neither T1 (`ConfigurationSpace`) nor an object, or \
                         a list of objects, with `name`, `params` and `restrictions`"
                            .to_owned(),
                    );
                }
            }
        };
        if plain.is_empty() {
            return Err("it is an empty list: no space is defined".to_owned());
        }
        plain
            .into_iter()
            .enumerate()
            .map(|(place, plain)| {
                let named = plain.named(name);
                let own = named.name.clone();
                let at = |why| match list {
                    true => format!("space {} (`{own}`): {why}", place + 1),
                    false => why,
                };
                named.checked().map_err(at)
            })
            .collect()
    }

    /// The search space as RON. Restrictions are translated with Python's meaning.
    ///
    /// # Errors
    /// A restriction that cannot be translated, and where.
    pub fn space(&self) -> Result<String, String> {
        let constraints = python::translate_all(&self.restrictions, &self.params)?;
        let start = |(param, default): (&Parameter, &Option<Value>)| {
            let place = default
                .as_ref()
                .and_then(|default| param.values.iter().position(|value| value == default));
            place.and_then(|place| u32::try_from(place).ok())
        };
        let starts: Vec<Option<u32>> = self.params.iter().zip(&self.defaults).map(start).collect();
        Ok(space::write(
            &self.name,
            "",
            &self.params,
            &starts,
            space::restrictions(&constraints),
        ))
    }

    fn checked(self) -> Result<Self, Reason> {
        check_params(&self.params)?;
        for (param, default) in self.params.iter().zip(&self.defaults) {
            if let Some(default) = default
                && !param.values.contains(default)
            {
                return Err(format!(
                    "the default of the parameter `{}` is {default}, which is none of its values",
                    param.name
                ));
            }
        }
        Ok(self)
    }
}

impl Plain {
    fn named(self, name: &str) -> Definition {
        let params = self.params.into_iter().map(|param| Parameter {
            name: param.name,
            values: formats::unified(param.values),
        });
        let params: Vec<Parameter> = params.collect();
        Definition {
            name: if self.name.is_empty() {
                name.to_owned()
            } else {
                self.name
            },
            defaults: vec![None; params.len()],
            params,
            restrictions: self.restrictions,
        }
    }
}
