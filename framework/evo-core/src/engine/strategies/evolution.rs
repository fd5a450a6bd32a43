//! Differential evolution (Storn and Price, Journal of Global Optimization 11, 1997), in the form
//! best/1/bin with a factor drawn anew each time, on the indices of the values.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Context, Draft, Named, Strategy, Told};
use crate::space::{Config, Space};

/// The name in origins.
pub(super) const NAME: &str = "differential evolution";

/// Members of the population.
const MEMBERS: usize = 12;

/// The chance of a parameter to come from the mutant.
const CROSSOVER: f64 = 0.7;

/// Mutants that repeat before uniform sampling takes over.
const ATTEMPTS: usize = 32;

#[derive(Debug, Clone)]
struct Member {
    trial: u64,
    config: Config,
    loss: f64,
}

#[derive(Debug, Default)]
struct Evolution {
    members: Vec<Member>,
    /// Whose turn it is to be replaced.
    turn: usize,
}

pub(super) fn make(_: &Space) -> Box<dyn Strategy> {
    Box::new(Evolution::default())
}

impl Strategy for Evolution {
    fn propose(&mut self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Named> {
        if self.members.len() < MEMBERS {
            return Some((NAME, Draft::fresh(context.space.sample(rng))));
        }
        let turn = self.turn % self.members.len();
        self.turn = turn + 1;
        let target = self.members.get(turn)?;
        for _ in 0..ATTEMPTS {
            let mutant = self.mutant(target, context.space, rng)?;
            if let Some(config) = context.space.repair(&mutant, rng)
                && context.is_new(&config)
            {
                return Some((NAME, Draft::stepped(config, target.trial)));
            }
        }
        None
    }

    fn learn(&mut self, told: &Told<'_>, _rng: &mut ChaCha8Rng) {
        let Some(entry) = told.entry() else { return };
        let Some(loss) = entry.loss() else { return };
        let member = Member {
            trial: told.trial,
            config: entry.config.clone(),
            loss,
        };
        let own = entry.origin.operator == NAME;
        let target = entry.origin.parents.first().filter(|_| own);
        let target = target.and_then(|trial| self.members.iter().position(|m| m.trial == *trial));
        let worst = || {
            let rated = self.members.iter().enumerate();
            let worst = rated.max_by(|(_, a), (_, b)| a.loss.total_cmp(&b.loss));
            worst.map(|(place, _)| place)
        };
        if self.members.len() < MEMBERS {
            self.members.push(member);
        } else if let Some(known) = target.or_else(worst).and_then(|p| self.members.get_mut(p))
            && member.loss <= known.loss
        {
            *known = member;
        }
    }
}

impl Evolution {
    /// The best member plus a scaled difference of two others, crossed with the target.
    fn mutant(&self, target: &Member, space: &Space, rng: &mut ChaCha8Rng) -> Option<Config> {
        let best = self
            .members
            .iter()
            .min_by(|a, b| a.loss.total_cmp(&b.loss))?;
        let first = rng.random_range(0..self.members.len());
        let second = (first + rng.random_range(1..self.members.len())) % self.members.len();
        let (first, second) = (self.members.get(first)?, self.members.get(second)?);
        let factor = 0.5 + 0.5 * rng.random::<f64>();
        let searched = space.searched();
        // One parameter comes from the mutant in any case.
        let sure = rng.random_range(0..searched.len().max(1));
        let mut child = target.config.clone();
        for (place, &param) in searched.iter().enumerate() {
            if place != sure && !rng.random_bool(CROSSOVER) {
                continue;
            }
            let of = |member: &Member| member.config.get(param).map(f64::from);
            let (Some(base), Some(a), Some(b)) = (of(best), of(first), of(second)) else {
                continue;
            };
            let last = space.params().get(param)?.values.len().saturating_sub(1);
            // Rounded at random, so that small differences move at times.
            let moved = (base + factor * (a - b) + rng.random::<f64>()).floor();
            let value = moved.clamp(0.0, last as f64) as u32;
            child = space.with_value(&child, param, value);
        }
        Some(child)
    }
}
