//! Search spaces: parameters, conditions and constraints, read from RON and checked at load.
//! (Interim bodies; the signatures are final.)

mod param;

use std::fmt;

use evo_types::{ContentHash, Params, Value};
use rand::{Rng, RngExt};

pub use param::{Config, Count, Param, Radius, Role};

/// The constants that constraints may name beside those of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Env {
    /// The problem's constants and fields: `S`, `D`, `BYTES_PER_ELEMENT`, ...
    pub problem: Params,
    /// The device's facts: `SMEM_BYTES`, `CORES`, `SIMD_BITS`, ...
    pub device: Params,
}

/// Everything that is wrong with a space.
#[derive(Debug)]
pub struct SpaceErrors(String);

impl fmt::Display for SpaceErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SpaceErrors {}

/// A constraint.
#[derive(Debug)]
pub struct Constraint {
    /// The expression as written.
    pub text: String,
    /// Why it has to hold.
    pub reason: String,
}

/// Why a configuration is not valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// The index of the constraint.
    pub constraint: usize,
    /// The expression as written.
    pub text: String,
    /// Why it has to hold.
    pub reason: String,
    /// What was found, such as `262144 <= 232448` or `division by zero`.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.text, self.reason)
    }
}

impl std::error::Error for Violation {}

/// Why named values are no configuration of a space.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigError(pub Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for ConfigError {}

/// A search space.
#[derive(Debug)]
pub struct Space {
    name: String,
    doc: String,
    params: Vec<Param>,
    searched: Vec<usize>,
    constraints: Vec<Constraint>,
}

#[derive(serde::Deserialize)]
struct Doc {
    name: String,
    #[serde(default)]
    doc: String,
    params: Vec<ParamDoc>,
}

#[derive(serde::Deserialize)]
struct ParamDoc {
    name: String,
    values: Vec<Value>,
}

impl Space {
    /// Reads and checks a space. `file` is only for error messages.
    pub fn parse(text: &str, _file: &str, _env: &Env) -> Result<Self, SpaceErrors> {
        let doc: Doc = ron::from_str(text).map_err(|e| SpaceErrors(e.to_string()))?;
        let params: Vec<Param> = doc
            .params
            .into_iter()
            .map(|p| Param {
                name: p.name,
                doc: String::new(),
                values: p.values,
                default: 0,
                role: Role::Search,
                fixed_by_problem: false,
                when: None,
            })
            .collect();
        let searched = (0..params.len()).filter(|&p| params[p].searched()).collect();
        Ok(Self { name: doc.name, doc: doc.doc, params, searched, constraints: Vec::new() })
    }

    /// The space's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One or more sentences for people; may be empty.
    pub fn doc(&self) -> &str {
        &self.doc
    }

    /// All parameters in declared order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// All constraints in declared order.
    pub fn constraints(&self) -> &[Constraint] {
        &self.constraints
    }

    /// The product of the numbers of values of all parameters, before conditions and constraints.
    pub fn raw_size(&self) -> u128 {
        self.params.iter().map(|p| p.values.len() as u128).product()
    }

    /// The indices of the parameters that a search chooses.
    pub fn searched(&self) -> &[usize] {
        &self.searched
    }

    /// The declared defaults if they are valid, else the valid configuration nearest to them.
    pub fn default_config(&self) -> Config {
        self.canonical(&self.params.iter().map(|p| p.default).collect::<Vec<_>>())
    }

    /// Drops the inactive parameters of a full assignment of value indices.
    pub fn canonical(&self, choice: &[u32]) -> Config {
        Config::from_canonical(choice.iter().copied().map(Some).collect())
    }

    /// Completes a partial assignment: active parameters without a value take their default,
    /// inactive ones lose theirs. This is what crossover and other gene-wise operators build with.
    pub fn complete(&self, choices: &[Option<u32>]) -> Config {
        let full: Vec<u32> =
            choices.iter().zip(&self.params).map(|(c, p)| c.unwrap_or(p.default)).collect();
        self.canonical(&full)
    }

    /// The first violated constraint.
    pub fn check(&self, _config: &Config) -> Result<(), Violation> {
        Ok(())
    }

    /// Whether a configuration satisfies every constraint.
    pub fn is_valid(&self, config: &Config) -> bool {
        self.check(config).is_ok()
    }

    /// A configuration drawn uniformly from the valid, distinct ones.
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> Config {
        let full: Vec<u32> =
            self.params.iter().map(|p| rng.random_range(0..p.values.len() as u32)).collect();
        self.canonical(&full)
    }

    /// The number of valid, distinct configurations.
    pub fn count(&self, _effort: u64) -> Count {
        Count::Exact(self.raw_size())
    }

    /// The valid configurations that differ in one parameter.
    pub fn neighbours(&self, config: &Config, radius: Radius) -> Vec<Config> {
        let mut found = Vec::new();
        for &param in &self.searched {
            let own = config.get(param).unwrap_or(0);
            for value in 0..self.params[param].values.len() as u32 {
                let near = radius == Radius::Any
                    || !self.params[param].ordered()
                    || value.abs_diff(own) == 1;
                if value != own && near {
                    found.push(self.with_value(config, param, value));
                }
            }
        }
        found
    }

    /// Sets one parameter and makes the result canonical: newly active parameters take their
    /// default. The result may violate constraints. Setting an inactive parameter changes nothing.
    pub fn with_value(&self, config: &Config, param: usize, value: u32) -> Config {
        let mut choices = config.choices().to_vec();
        choices[param] = Some(value);
        self.complete(&choices)
    }

    /// A valid configuration near the given one; `None` where the bounded effort found none.
    pub fn repair<R: Rng + ?Sized>(&self, choice: &Config, _rng: &mut R) -> Option<Config> {
        Some(choice.clone())
    }

    /// The values of the active parameters by name.
    pub fn to_params(&self, config: &Config) -> Params {
        let chosen = self.params.iter().zip(config.choices());
        chosen.filter_map(|(p, c)| c.map(|c| (p.name.clone(), p.value(c).clone()))).collect()
    }

    /// The configuration of named values. Parameters that are not named take their default.
    pub fn from_params(&self, params: &Params) -> Result<Config, ConfigError> {
        let mut choices = vec![None; self.params.len()];
        for (name, value) in params {
            let found = self.params.iter().position(|p| p.name == *name);
            let Some(index) = found else {
                return Err(ConfigError(vec![format!("unknown parameter `{name}`")]));
            };
            choices[index] = self.params[index].index_of(value);
        }
        Ok(self.complete(&choices))
    }

    /// All valid, distinct configurations, lazily and in a fixed order.
    pub fn iter_valid(&self) -> impl Iterator<Item = Config> + '_ {
        let mut next: Option<Vec<u32>> = Some(vec![0; self.params.len()]);
        std::iter::from_fn(move || {
            let current = next.clone()?;
            let mut following = current.clone();
            let mut carry = true;
            for (digit, param) in following.iter_mut().zip(&self.params).rev() {
                *digit += 1;
                carry = *digit as usize == param.values.len();
                if !carry {
                    break;
                }
                *digit = 0;
            }
            next = if carry { None } else { Some(following) };
            Some(self.canonical(&current))
        })
    }

    /// The content hash of the active values by name, independent of the space.
    pub fn hash(&self, config: &Config) -> ContentHash {
        let params = self.to_params(config);
        let text = evo_types::format_params(&params);
        ContentHash::of_bytes(text.as_bytes())
    }
}
