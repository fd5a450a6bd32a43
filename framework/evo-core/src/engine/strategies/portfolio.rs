//! A portfolio: several strategies share the trials, and what one earns decides how often it is
//! asked (see `selection`). Each learns from the outcomes of all.

use rand_chacha::ChaCha8Rng;

use super::{Context, Named, Strategy, Told, annealing, evolution, local_search, surrogate};
use crate::engine::selection::{OperatorCredit, Selection};
use crate::space::Space;

/// The quality that each strategy starts from.
const PRIOR: f64 = 0.5;

/// Strategies asked before uniform sampling takes over.
const ATTEMPTS: usize = 8;

#[derive(Debug)]
struct Portfolio {
    arms: Vec<Box<dyn Strategy>>,
    selection: Selection,
}

pub(super) fn make(space: &Space) -> Box<dyn Strategy> {
    let arms = [
        (local_search::NAME, local_search::make(space)),
        (evolution::NAME, evolution::make(space)),
        (annealing::NAME, annealing::make(space)),
        (surrogate::NAME, surrogate::make(space)),
    ];
    Box::new(Portfolio {
        selection: Selection::new(arms.iter().map(|(name, _)| (*name, PRIOR))),
        arms: arms.into_iter().map(|(_, arm)| arm).collect(),
    })
}

impl Strategy for Portfolio {
    fn propose(&mut self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Named> {
        for _ in 0..ATTEMPTS {
            let arm = self.arms.get_mut(self.selection.draw(rng))?;
            if let Some((name, draft)) = arm.propose(context, rng)
                && context.is_new(&draft.config)
            {
                return Some((name, draft));
            }
        }
        None
    }

    fn learn(&mut self, told: &Told<'_>, rng: &mut ChaCha8Rng) {
        if let Some((entry, (reward, improved))) = told.entry().zip(told.earned) {
            let operator = &entry.origin.operator;
            self.selection.reward(operator, reward, improved);
        }
        for arm in &mut self.arms {
            arm.learn(told, rng);
        }
    }

    fn credits(&self) -> &[OperatorCredit] {
        self.selection.credits()
    }
}
