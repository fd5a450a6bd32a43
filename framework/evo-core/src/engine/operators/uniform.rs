//! Uniform sampling over the valid configurations.

use rand_chacha::ChaCha8Rng;

use super::{Context, Draft, Operator};

pub(crate) struct Uniform;

impl Operator for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn prior(&self) -> f64 {
        0.1
    }

    fn draft(&self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Draft> {
        Some(Draft::fresh(context.space.sample(rng)))
    }
}
