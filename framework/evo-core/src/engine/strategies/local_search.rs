//! Iterated local search (Lourenco, Martin, Stützle, "Iterated local search", 2003): the first
//! better neighbour is taken, nearest values first; where none is left, a few random changes of the
//! best solution start another descent.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::{Context, Draft, Named, Strategy, Told};
use crate::engine::population::Solution;
use crate::space::{Config, Radius, Space};

/// The name in origins.
pub(super) const NAME: &str = "local search";

/// Parameters that a kick changes.
const KICK: usize = 3;

/// Kicks that lead to known configurations before uniform sampling takes over.
const ATTEMPTS: usize = 32;

#[derive(Debug, Default)]
struct LocalSearch {
    /// Where the descent stands: trial, configuration and loss.
    current: Option<(u64, Config, f64)>,
}

pub(super) fn make(_: &Space) -> Box<dyn Strategy> {
    Box::new(LocalSearch::default())
}

impl Strategy for LocalSearch {
    fn propose(&mut self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Named> {
        if let Some((trial, config, _)) = &self.current
            && let Some(step) = new_neighbour(context, config, rng)
        {
            return Some((NAME, Draft::stepped(step, *trial)));
        }
        self.current = None;
        match &context.information.current {
            None => Some((NAME, Draft::fresh(context.space.sample(rng)))),
            Some(best) => kick(context, best, rng).map(|draft| (NAME, draft)),
        }
    }

    fn learn(&mut self, told: &Told<'_>, _rng: &mut ChaCha8Rng) {
        let Some(entry) = told.entry().filter(|entry| entry.origin.operator == NAME) else {
            return;
        };
        let Some(loss) = entry.loss() else {
            return;
        };
        let better = self.current.as_ref().is_none_or(|(_, _, own)| loss < *own);
        if better {
            self.current = Some((told.trial, entry.config.clone(), loss));
        }
    }
}

/// A neighbour that was not proposed: an adjacent one if there is one.
pub(super) fn new_neighbour(
    context: &Context<'_>,
    config: &Config,
    rng: &mut ChaCha8Rng,
) -> Option<Config> {
    [Radius::Adjacent, Radius::Any]
        .into_iter()
        .find_map(|radius| {
            let mut near = context.space.neighbours(config, radius);
            near.retain(|config| context.is_new(config));
            near.choose(rng).cloned()
        })
}

/// The best solution with a few parameters at random values.
fn kick(context: &Context<'_>, best: &Solution, rng: &mut ChaCha8Rng) -> Option<Draft> {
    for _ in 0..ATTEMPTS {
        let mut kicked = best.config.clone();
        for _ in 0..KICK {
            let param = *context.space.searched().choose(rng)?;
            let values = context.space.params().get(param)?.values.len();
            let value = u32::try_from(rng.random_range(0..values)).ok()?;
            kicked = context.space.with_value(&kicked, param, value);
        }
        if let Some(config) = context.space.repair(&kicked, rng)
            && context.is_new(&config)
        {
            return Some(Draft::from_parents(config, &[best]));
        }
    }
    None
}
