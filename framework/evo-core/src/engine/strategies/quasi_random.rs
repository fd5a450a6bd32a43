//! Quasi-random sampling: a low-discrepancy sequence, mapped onto the valid configurations.
//!
//! The sequence is the Kronecker sequence of the generalised golden ratio (Roberts, "The
//! unreasonable effectiveness of quasirandom sequences", 2018), shifted at random (Cranley and
//! Patterson, SIAM Journal on Numerical Analysis 13, 1976).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Context, Draft, Named, Strategy};
use crate::space::Space;

/// The name in origins.
const NAME: &str = "quasi-random";

/// Points that repeat, or lead nowhere, before uniform sampling takes over.
const ATTEMPTS: usize = 64;

#[derive(Debug)]
struct QuasiRandom {
    /// The step of the sequence in each parameter that is searched.
    steps: Vec<(usize, f64)>,
    /// Where the sequence stands, by parameter; empty before the first proposal.
    point: Vec<f64>,
}

pub(super) fn make(space: &Space) -> Box<dyn Strategy> {
    let searched = space.searched();
    let ratio = golden_ratio(searched.len());
    let mut step = 1.0;
    let steps = searched.iter().map(|param| {
        step /= ratio;
        (*param, step)
    });
    Box::new(QuasiRandom {
        steps: steps.collect(),
        point: Vec::new(),
    })
}

/// The positive root of `x^(d+1) = x + 1`.
fn golden_ratio(dimensions: usize) -> f64 {
    let power = 1.0 / (dimensions as f64 + 1.0);
    // The iteration contracts by at least a half.
    (0..64).fold(2.0, |x: f64, _| libm::pow(1.0 + x, power))
}

impl Strategy for QuasiRandom {
    fn propose(&mut self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Named> {
        if self.point.is_empty() {
            let shift = context.space.params().iter().map(|_| rng.random::<f64>());
            self.point = shift.collect();
        }
        for _ in 0..ATTEMPTS {
            for (param, step) in &self.steps {
                if let Some(coordinate) = self.point.get_mut(*param) {
                    *coordinate = (*coordinate + step) % 1.0;
                }
            }
            if let Some(config) = context.space.at(&self.point)
                && context.is_new(&config)
            {
                return Some((NAME, Draft::fresh(config)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_solves_its_equation() {
        for d in 1..20 {
            let x = golden_ratio(d);
            assert!((libm::pow(x, d as f64 + 1.0) - x - 1.0).abs() < 1e-9, "{d}");
        }
        assert!((golden_ratio(1) - 1.618_033_988_749_895).abs() < 1e-12);
    }
}
