//! Mutation: a few parameters of a parent change, ordered ones mostly to near values.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Context, Draft, Operator, draw_parent};
use crate::engine::selection::weighted_index;
use crate::space::Config;

pub(crate) struct Mutation;

impl Operator for Mutation {
    fn name(&self) -> &'static str {
        "mutation"
    }

    fn prior(&self) -> f64 {
        0.5
    }

    fn draft(&self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Draft> {
        let parent = draw_parent(context, rng)?;
        let mut child = parent.config.clone();
        // One change and, the longer nothing improved, the more likely further ones.
        let further = 0.35 + 0.35 * context.unrest;
        let mut changes = 1;
        while changes < context.space.searched().len() && rng.random_bool(further) {
            changes += 1;
        }
        let mut left: Vec<usize> = context.space.searched().to_vec();
        for _ in 0..changes {
            let weights: Vec<f64> = left
                .iter()
                .map(|param| {
                    child
                        .get(*param)
                        .map_or(0.0, |_| context.guidance.param(*param))
                })
                .collect();
            let Some(place) = weighted_index(&weights, rng) else {
                break;
            };
            let param = left.swap_remove(place);
            if let Some(value) = other_value(context, &child, param, rng) {
                child = context.space.with_value(&child, param, value);
            }
        }
        let config = context.space.repair(&child, rng)?;
        Some(Draft::from_parents(config, &[parent]))
    }
}

/// Draws another value for a parameter: by its guidance and, where values are ordered, by
/// closeness (the weight halves with each step).
fn other_value(
    context: &Context<'_>,
    config: &Config,
    param: usize,
    rng: &mut ChaCha8Rng,
) -> Option<u32> {
    let current = config.get(param)?;
    let described = context.space.params().get(param)?;
    let near = described.ordered() && !rng.random_bool(0.25);
    let weights: Vec<f64> = (0..described.values.len() as u32)
        .map(|value| match value.abs_diff(current) {
            0 => 0.0,
            steps if near => {
                context.guidance.value(param, value) * 0.5f64.powi(steps.min(60) as i32)
            }
            _ => context.guidance.value(param, value),
        })
        .collect();
    weighted_index(&weights, rng).and_then(|value| u32::try_from(value).ok())
}
