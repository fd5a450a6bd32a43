//! Search spaces: parameters, conditions and constraints, read from RON and checked at load.
//!
//! A [`Space`] is immutable. Its configurations ([`Config`]) are canonical: a parameter whose
//! condition does not hold has no value, so that two configurations are equal exactly where they
//! are the same program. Nothing here enumerates the product of the values: counting and uniform
//! sampling go along the constraint graph, and where that is too much work, by bounded random
//! search.
//!
//! The language itself is described in `search-spaces/README.md`.

mod config;
mod constraint;
mod count;
mod diagnostic;
mod document;
mod empty;
mod expr;
mod expression;
mod load;
mod model;
mod moves;
mod param;
mod plan;
mod rules;
mod sample;
mod scope;
mod search;
mod sizes;
mod values;

use rand::Rng;

pub use config::ConfigError;
pub use constraint::{Constraint, Violation};
pub use diagnostic::{SpaceError, SpaceErrors};
pub use expression::{Expression, ExpressionError};
pub use load::{Declared, UsedConstants, declared};
pub use param::{Config, Count, FixedBy, Param, Radius, Role};
pub(crate) use rules::{Pull, RuleLever, Severity};
pub use rules::{Rule, Rules};
pub use scope::Env;
pub use sizes::{Removal, Sizes};

use expr::names::Names;
use model::Model;
use search::ValidConfigs;

/// A search space: parameters and the constraints among them.
#[derive(Debug)]
pub struct Space {
    name: String,
    doc: String,
    params: Vec<Param>,
    searched: Vec<usize>,
    constants: UsedConstants,
    constraints: Vec<Constraint>,
    rules: Rules,
    raw_size: u128,
    model: Model,
    names: Names,
    default: Config,
}

impl Space {
    /// Reads and checks a space. `file` only names the text in error messages.
    ///
    /// # Errors
    /// Everything that is wrong with the text, as far as one mistake does not hide another: see
    /// [`SpaceErrors`]. A space that no configuration satisfies is an error too.
    pub fn parse(text: &str, file: &str, env: &Env) -> Result<Self, SpaceErrors> {
        load::load(text, file, env)
    }

    /// The space's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The space's own rules, and the levers that it adds to those of profilers.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What the space is for, in the words of its author; may be empty.
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

    /// The constants that conditions and constraints name.
    pub fn constants(&self) -> &UsedConstants {
        &self.constants
    }

    /// The product of the numbers of values of all parameters, before conditions and constraints.
    pub fn raw_size(&self) -> u128 {
        self.raw_size
    }

    /// The indices of the parameters that a search chooses: not held at one value by the problem
    /// or the run, and with at least two values.
    pub fn searched(&self) -> &[usize] {
        &self.searched
    }

    /// The declared defaults if they are valid, else the valid configuration that differs from
    /// them in the fewest parameters (some valid one near them where a bounded search could not
    /// tell).
    pub fn default_config(&self) -> Config {
        self.default.clone()
    }

    /// The configuration of a full assignment of value indices: inactive parameters are dropped.
    /// An index past the last value means the last, a missing one the default; held parameters
    /// keep their value.
    pub fn canonical(&self, choice: &[u32]) -> Config {
        let wishes: Vec<Option<u32>> = choice.iter().copied().map(Some).collect();
        self.complete(&wishes)
    }

    /// Completes a partial assignment: active parameters without a choice take their default,
    /// inactive ones lose theirs. Crossover and other operators that put choices together gene by
    /// gene build with this. The result may violate constraints.
    pub fn complete(&self, choices: &[Option<u32>]) -> Config {
        Config::from_canonical(self.model.canonical(choices))
    }

    /// Checks the constraints in their order.
    ///
    /// # Errors
    /// The first violated constraint, with its reason and what was found.
    pub fn check(&self, config: &Config) -> Result<(), Violation> {
        match self.model.first_violated(config.choices()) {
            None => Ok(()),
            Some(index) => {
                let constraint = &self.constraints[index];
                Err(Violation {
                    constraint: index,
                    text: constraint.text.clone(),
                    reason: constraint.reason.clone(),
                    detail: self.model.detail(
                        index,
                        config.choices(),
                        &constraint.text,
                        &self.names,
                    ),
                })
            }
        }
    }

    /// Whether a configuration satisfies every constraint.
    pub fn is_valid(&self, config: &Config) -> bool {
        self.model.first_violated(config.choices()).is_none()
    }

    /// A configuration drawn uniformly from the valid, distinct ones.
    ///
    /// The draw is exactly uniform where counting the space took a bounded effort, or where a
    /// point of the raw product is valid with a probability of at least about one in ten
    /// thousand. Beyond both it is approximately uniform.
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> Config {
        Config::from_canonical(sample::draw(&self.model, self.default.choices(), rng))
    }

    /// The valid configuration at a point of the unit cube, with one coordinate in 0 to 1 for each
    /// parameter: evenly spread points give evenly spread configurations, as quasi-random
    /// sequences want. `None` where a group of parameters was too much work to count and its part
    /// of the point leads nowhere.
    pub fn at(&self, point: &[f64]) -> Option<Config> {
        sample::at(&self.model, point).map(Config::from_canonical)
    }

    /// All valid, distinct configurations, lazily and in a fixed order.
    pub fn iter_valid(&self) -> impl Iterator<Item = Config> + '_ {
        ValidConfigs::new(&self.model)
    }
}
