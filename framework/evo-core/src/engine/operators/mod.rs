//! Operators: how information becomes a proposal.
//!
//! An operator is one file, one row in [`REGISTRY`], and the contract test that every row inherits
//! (`contract`). It reads the context and returns a draft
//! or nothing; it never keeps state, so a proposal depends on the history and the random stream
//! of its trial alone.

mod crossover;
mod guided;
mod local;
mod mutation;
mod restart;
mod uniform;

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;

use super::history::History;
use super::information::Information;
use super::insights::Guidance;
use super::population::Solution;
use super::proposal::InsightRef;
use crate::space::{Config, Space};

/// A proposal in the making.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) config: Config,
    pub(crate) parents: Vec<u64>,
    pub(crate) insights: Vec<InsightRef>,
}

impl Draft {
    /// A draft out of nothing.
    pub(crate) fn fresh(config: Config) -> Self {
        Self::from_parents(config, &[])
    }

    /// A draft made from the solution of one trial.
    pub(crate) fn stepped(config: Config, parent: u64) -> Self {
        Self {
            config,
            parents: vec![parent],
            insights: Vec::new(),
        }
    }

    /// A draft made from solutions, the one that it is nearest to first.
    pub(crate) fn from_parents(config: Config, parents: &[&Solution]) -> Self {
        let parents = parents.iter().map(|parent| parent.trial).collect();
        Self {
            config,
            parents,
            insights: Vec::new(),
        }
    }
}

/// What an operator may look at.
pub(crate) struct Context<'a> {
    pub(crate) space: &'a Space,
    pub(crate) information: &'a Information,
    pub(crate) guidance: &'a Guidance,
    /// Which configurations have been proposed.
    pub(crate) history: &'a History,
    /// The neighbourhoods of the best parents, by their trials; empty where no model looks at them.
    pub(crate) near: &'a BTreeMap<u64, Vec<Config>>,
    /// How long nothing better was found, in 0 (just now) to 1 (very long): steps widen with it.
    pub(crate) unrest: f64,
}

impl Context<'_> {
    /// Whether the configuration may be proposed.
    pub(crate) fn is_new(&self, config: &Config) -> bool {
        !self.history.proposed(config)
    }
}

/// An operator.
pub(crate) trait Operator: Sync {
    /// The name in origins, reports and credits.
    fn name(&self) -> &'static str;

    /// The quality that credit assignment starts from, in 0 to 1.
    fn prior(&self) -> f64;

    /// Makes a draft of a valid configuration, perhaps one that was proposed before; `None`
    /// where the information does not suffice.
    fn draft(&self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Draft>;

    /// The drafts that the operator can make from the best parents, where they are few enough to
    /// look at each; `None` where they have to be drawn.
    fn all(&self, _context: &Context<'_>) -> Option<Vec<Draft>> {
        None
    }

    /// Whether [`Operator::all`] stands for [`Operator::draft`] where a pool is collected.
    fn has_all(&self) -> bool {
        false
    }
}

/// Uniform sampling: the control, the initial design, and the way out when all else repeats.
pub(crate) const UNIFORM: &dyn Operator = &uniform::Uniform;

/// The pool of operators that all guided presets share.
pub(crate) const REGISTRY: &[&dyn Operator] = &[
    &mutation::Mutation,
    &crossover::Crossover,
    &local::Local,
    &guided::Guided,
    &restart::Restart,
    UNIFORM,
];

/// Draws a parent: the best solutions more often than the others (a tournament of two).
fn draw_parent<'a>(context: &Context<'a>, rng: &mut ChaCha8Rng) -> Option<&'a Solution> {
    use rand::RngExt;
    let parents = context.information.parents();
    if parents.is_empty() {
        return None;
    }
    let place = rng
        .random_range(0..parents.len())
        .min(rng.random_range(0..parents.len()));
    parents.get(place)
}

#[cfg(test)]
mod contract;
