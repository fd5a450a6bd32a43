//! Restart: a fresh solution, each parameter drawn by the guidance alone. Without insights that
//! is a draw that gives every value of a parameter the same chance.

use rand_chacha::ChaCha8Rng;

use super::{Context, Draft, Operator};
use crate::engine::selection::weighted_index;

pub(crate) struct Restart;

impl Operator for Restart {
    fn name(&self) -> &'static str {
        "restart"
    }

    fn prior(&self) -> f64 {
        0.1
    }

    fn draft(&self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Draft> {
        let mut fresh = context.space.sample(rng);
        for &param in context.space.searched() {
            let weights = context.guidance.values(param);
            if let Some(value) = weighted_index(weights, rng).and_then(|v| u32::try_from(v).ok()) {
                fresh = context.space.with_value(&fresh, param, value);
            }
        }
        let config = context.space.repair(&fresh, rng)?;
        Some(Draft::fresh(config))
    }
}
