//! Local move: one step from the best solution, through its neighbourhood without repeats; once
//! that is used up, through that of the next best.

use rand_chacha::ChaCha8Rng;

use super::{Context, Draft, Operator};
use crate::engine::population::Solution;
use crate::engine::selection::weighted_index;
use crate::space::{Config, Radius};

pub(crate) struct Local;

impl Operator for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn prior(&self) -> f64 {
        0.5
    }

    fn draft(&self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Draft> {
        for parent in context.information.parents() {
            for radius in [Radius::Adjacent, Radius::Any] {
                let mut steps = fresh_steps(context, parent, radius);
                let weights: Vec<f64> = steps
                    .iter()
                    .map(|step| weight(context, &parent.config, &step.config))
                    .collect();
                if let Some(place) = weighted_index(&weights, rng) {
                    return Some(steps.swap_remove(place));
                }
            }
        }
        None
    }

    fn all(&self, context: &Context<'_>) -> Option<Vec<Draft>> {
        let mut steps = Vec::new();
        for parent in context.information.parents() {
            let near = context.near.get(&parent.trial).into_iter().flatten();
            let new = near.filter(|config| context.is_new(config));
            steps.extend(new.map(|config| Draft::from_parents(config.clone(), &[parent])));
        }
        Some(steps)
    }

    fn has_all(&self) -> bool {
        true
    }
}

/// The steps from a solution that were not proposed before.
fn fresh_steps(context: &Context<'_>, parent: &Solution, radius: Radius) -> Vec<Draft> {
    context
        .space
        .neighbours(&parent.config, radius)
        .into_iter()
        .filter(|neighbour| context.is_new(neighbour))
        .map(|config| Draft::from_parents(config, &[parent]))
        .collect()
}

/// How promising the guidance finds a step.
fn weight(context: &Context<'_>, from: &Config, to: &Config) -> f64 {
    (0..context.space.params().len())
        .filter_map(|param| {
            let value = to
                .get(param)
                .filter(|value| from.get(param) != Some(*value))?;
            Some(context.guidance.param(param) * context.guidance.value(param, value))
        })
        .product()
}
