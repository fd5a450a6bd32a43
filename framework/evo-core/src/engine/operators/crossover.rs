//! Crossover: each parameter comes from one of two historical solutions.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Context, Draft, Operator, draw_parent};

pub(crate) struct Crossover;

impl Operator for Crossover {
    fn name(&self) -> &'static str {
        "crossover"
    }

    fn prior(&self) -> f64 {
        0.4
    }

    fn draft(&self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Draft> {
        let history = context.information.history.as_deref()?;
        let first = draw_parent(context, rng)?;
        let mates: Vec<_> = history
            .iter()
            .filter(|mate| mate.trial != first.trial)
            .collect();
        if mates.is_empty() {
            return None;
        }
        let second = mates[rng.random_range(0..mates.len())];
        let mut child = first.config.clone();
        for &param in context.space.searched() {
            if let Some(value) = second.config.get(param)
                && rng.random_bool(0.5)
            {
                child = context.space.with_value(&child, param, value);
            }
        }
        let config = context.space.repair(&child, rng)?;
        Some(Draft::from_parents(config, &[first, second]))
    }
}
