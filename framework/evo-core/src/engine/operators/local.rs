//! Local move: one step from the best solution, through its neighbourhood without repeats; once
//! that is used up, through that of the next best.

use rand_chacha::ChaCha8Rng;

use super::{Context, Draft, Operator, describe_change};
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
                let fresh: Vec<Config> = context
                    .space
                    .neighbours(&parent.config, radius)
                    .into_iter()
                    .filter(|neighbour| context.is_new(neighbour))
                    .collect();
                let weights: Vec<f64> = fresh
                    .iter()
                    .map(|near| weight(context, &parent.config, near))
                    .collect();
                if let Some(config) =
                    weighted_index(&weights, rng).and_then(|place| fresh.into_iter().nth(place))
                {
                    let note = describe_change(context.space, &parent.config, &config);
                    let parents = vec![parent.trial];
                    return Some(Draft {
                        config,
                        parents,
                        insights: Vec::new(),
                        note,
                    });
                }
            }
        }
        None
    }
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
