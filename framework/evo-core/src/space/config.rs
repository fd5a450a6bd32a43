//! Configurations as named values, and back.

use std::fmt;

use evo_types::{ContentHash, Params, Value};

use super::Space;
use super::diagnostic::suggestion;
use super::param::Config;

/// Why named values are no configuration of a space: one sentence per mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    mistakes: Vec<String>,
}

impl ConfigError {
    /// The mistakes, at least one.
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.mistakes.join("; "))
    }
}

impl std::error::Error for ConfigError {}

impl Space {
    /// The values of the active parameters by name, those fixed by the problem included.
    pub fn to_params(&self, config: &Config) -> Params {
        let chosen = self.params.iter().zip(config.choices());
        chosen
            .filter_map(|(param, choice)| {
                choice.map(|choice| (param.name.clone(), param.value(choice).clone()))
            })
            .collect()
    }

    /// The configuration of named values. Parameters that are not named take their default, so
    /// that a pinned start names only what matters to it; an inactive parameter must not be
    /// named. Constraints are not checked: see [`Space::check`].
    ///
    /// # Errors
    /// Every unknown name, value that a parameter does not have, named inactive parameter, and
    /// contradiction to a value that is held.
    pub fn from_params(&self, params: &Params) -> Result<Config, ConfigError> {
        let mut mistakes = Vec::new();
        let mut wishes = vec![None; self.params.len()];
        for (name, value) in params {
            match self.wish(name, value) {
                Ok((index, choice)) => wishes[index] = Some(choice),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        let config = self.complete(&wishes);
        for (index, param) in self.params.iter().enumerate() {
            if wishes[index].is_some() && config.get(index).is_none() {
                let when = param.when.as_deref().unwrap_or("its condition");
                mistakes.push(format!(
                    "`{}` is inactive: `{when}` does not hold",
                    param.name
                ));
            }
        }
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError { mistakes })
        }
    }

    /// The parameter and value index that a named value means.
    fn wish(&self, name: &str, value: &Value) -> Result<(usize, u32), String> {
        let Some(index) = self.params.iter().position(|param| param.name == name) else {
            let names = self.params.iter().map(|param| param.name.as_str());
            let near = suggestion(name, names);
            let near = if near.is_empty() {
                near
            } else {
                format!(": {near}")
            };
            return Err(format!("unknown parameter `{name}`{near}"));
        };
        let param = &self.params[index];
        let Some(choice) = param.index_of(value) else {
            let values: Vec<String> = param.values.iter().take(12).map(Value::to_string).collect();
            let dots = if param.values.len() > values.len() {
                ", ..."
            } else {
                ""
            };
            return Err(format!(
                "`{name}` cannot be {value}: its values are {}{dots}",
                values.join(", ")
            ));
        };
        if param.held() && choice != param.default {
            let held = param.value(param.default);
            let by = param
                .fixed
                .map_or_else(String::new, |by| format!(" by the {by}"));
            return Err(format!(
                "`{name}` is held at {held}{by}, so it cannot be {value}"
            ));
        }
        Ok((index, choice))
    }

    /// The content hash of the active values by name. It does not depend on the space: the same
    /// named values hash alike wherever they come from.
    pub fn hash(&self, config: &Config) -> ContentHash {
        let params = self.to_params(config);
        let texts: Vec<String> = params
            .iter()
            .flat_map(|(name, value)| {
                [
                    name.clone(),
                    value.type_name().to_owned(),
                    value.to_string(),
                ]
            })
            .collect();
        let parts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        ContentHash::of_parts(&parts)
    }
}
