//! The surrogate alone: Bayesian optimisation by the engine's Gaussian process, over uniform samples
//! and the neighbours of the best solutions. No operator, insight or population guides it.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;

use super::{Context, Draft, Named, Strategy, Told};
use crate::engine::model::Model;
use crate::engine::settings::Tuning;
use crate::space::{Config, Radius, Space};

/// The name in origins.
pub(super) const NAME: &str = "surrogate";

/// Uniform samples before the model is asked.
const INITIAL: usize = 8;

/// Uniform samples among which the model chooses.
const SAMPLES: usize = 64;

/// Solutions whose neighbours it chooses among too.
const NEIGHBOURHOODS: usize = 3;

#[derive(Debug)]
struct Surrogate {
    model: Model,
}

pub(super) fn make(space: &Space) -> Box<dyn Strategy> {
    Box::new(Surrogate {
        model: Model::new(space, &Tuning::default()),
    })
}

impl Strategy for Surrogate {
    fn propose(&mut self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Named> {
        let space = context.space;
        if context.history.len() < INITIAL {
            return Some((NAME, Draft::fresh(space.sample(rng))));
        }
        let mut known = BTreeSet::new();
        let mut pool: Vec<Draft> = Vec::new();
        let mut add = |draft: Draft| {
            if context.is_new(&draft.config) && known.insert(draft.config.clone()) {
                pool.push(draft);
            }
        };
        for parent in context.information.parents().iter().take(NEIGHBOURHOODS) {
            for near in space.neighbours(&parent.config, Radius::Any) {
                add(Draft::from_parents(near, &[parent]));
            }
        }
        for _ in 0..SAMPLES {
            add(Draft::fresh(space.sample(rng)));
        }
        let configs: Vec<&Config> = pool.iter().map(|draft| &draft.config).collect();
        // Before the model knows anything, the first sample is as good as any.
        let place = self.model.choose(context.history, &configs);
        let draft = pool.into_iter().nth(place.unwrap_or(0))?;
        Some((NAME, draft))
    }

    fn learn(&mut self, told: &Told<'_>, _rng: &mut ChaCha8Rng) {
        self.model.learn(told.history, told.place, told.count);
    }
}
