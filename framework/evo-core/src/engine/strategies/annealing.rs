//! Simulated annealing (Kirkpatrick, Gelatt, Vecchi, Science 220, 1983): a step to a random
//! neighbour is taken if it is better, and otherwise with a probability that falls with the
//! temperature. Losses are logarithms, so a temperature is a ratio of times whatever the unit. A cold
//! search is reheated from the best solution: the engine does not know the budget.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::local_search::new_neighbour;
use super::{Context, Draft, Named, Strategy, Told};
use crate::space::{Config, Space};

/// The name in origins.
pub(super) const NAME: &str = "annealing";

/// The temperature at the start: steps to a third longer times are mostly taken.
const HOT: f64 = 0.3;
/// The temperature after reheating.
const WARM: f64 = 0.1;
/// The temperature at which it is reheated.
const COLD: f64 = 0.01;
/// What is left of the temperature after each step.
const COOLING: f64 = 0.97;

#[derive(Debug)]
struct Annealing {
    temperature: f64,
    /// Where it stands: trial, configuration and loss.
    current: Option<(u64, Config, f64)>,
    best: Option<(u64, Config, f64)>,
}

pub(super) fn make(_: &Space) -> Box<dyn Strategy> {
    Box::new(Annealing {
        temperature: HOT,
        current: None,
        best: None,
    })
}

impl Strategy for Annealing {
    fn propose(&mut self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Named> {
        let step = self.current.as_ref().and_then(|(trial, config, _)| {
            let step = new_neighbour(context, config, rng)?;
            Some(Draft::stepped(step, *trial))
        });
        // Where every neighbour is known, the walk begins elsewhere.
        let draft = step.unwrap_or_else(|| {
            self.current = None;
            Draft::fresh(context.space.sample(rng))
        });
        Some((NAME, draft))
    }

    fn learn(&mut self, told: &Told<'_>, rng: &mut ChaCha8Rng) {
        let Some(entry) = told.entry() else { return };
        let Some(loss) = entry.loss() else { return };
        let here = (told.trial, entry.config.clone(), loss);
        if self.best.as_ref().is_none_or(|(_, _, best)| loss < *best) {
            self.best = Some(here.clone());
        }
        if entry.origin.operator != NAME {
            return;
        }
        let worse = self.current.as_ref().map_or(0.0, |(_, _, own)| loss - own);
        if worse <= 0.0 || rng.random::<f64>() < libm::exp(-worse / self.temperature) {
            self.current = Some(here);
        }
        self.temperature *= COOLING;
        if self.temperature < COLD {
            self.temperature = WARM;
            self.current.clone_from(&self.best);
        }
    }
}
