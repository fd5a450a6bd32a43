//! Drawing valid configurations uniformly.

use rand::{Rng, RngExt};

use super::count::Tables;
use super::expr::machine::Scratch;
use super::model::{Choices, Model};
use super::plan::Plan;

/// Attempts at an unbiased draw before a nearly unbiased one has to do.
const REJECTIONS: usize = 20_000;

/// Descents from which a nearly unbiased draw is chosen.
const DESCENTS: usize = 256;

/// Draws a valid assignment of all parameters. `fallback` is one, for the case that the bounded
/// effort finds none.
pub(super) fn draw<R: Rng + ?Sized>(
    model: &Model,
    fallback: &[Option<u32>],
    rng: &mut R,
) -> Choices {
    let mut choices = vec![None; model.domains.len()];
    for (plan, tables) in model.plans.iter().zip(model.exact()) {
        let drawn = match tables {
            Some(tables) => from_tables(model, plan, tables, &mut choices, rng),
            None => {
                rejection(model, plan, &mut choices, rng)
                    || resampling(model, plan, &mut choices, rng)
            }
        };
        if !drawn {
            for param in plan.params() {
                choices[param] = fallback.get(param).copied().flatten();
            }
        }
    }
    choices
}

/// An exactly uniform draw: each option has the probability of its share of the completions.
fn from_tables<R: Rng + ?Sized>(
    model: &Model,
    plan: &Plan,
    tables: &Tables,
    choices: &mut Choices,
    rng: &mut R,
) -> bool {
    if tables.total() == 0 {
        return false;
    }
    let mut rank = rng.random_range(0..tables.total());
    let (mut scratch, mut open) = (Scratch::default(), Vec::new());
    for (depth, step) in plan.steps.iter().enumerate() {
        let mut chosen = false;
        open.clear();
        model.open(step, choices, &mut scratch, &mut open);
        for option in open.iter().copied() {
            choices[step.param] = option;
            let completions = tables.completions(plan, depth + 1, choices).unwrap_or(0);
            match rank.checked_sub(completions) {
                Some(rest) => rank = rest,
                None => {
                    chosen = true;
                    break;
                }
            }
        }
        if !chosen {
            return false;
        }
    }
    true
}

/// The valid assignment at a point of the unit cube, one coordinate per parameter: each parameter
/// takes the option at its coordinate's quantile of what can still be completed (the inverse of
/// Rosenblatt's transformation, Annals of Mathematical Statistics 23, 1952), so that points spread
/// evenly over the cube become configurations spread evenly over the valid ones. Where the
/// completions are not counted, options that break a constraint at once are left out and the others
/// weigh alike. `None` at a dead end of such a group.
pub(super) fn at(model: &Model, point: &[f64]) -> Option<Choices> {
    let mut choices = vec![None; model.domains.len()];
    let (mut scratch, mut options) = (Scratch::default(), Vec::new());
    for (plan, tables) in model.plans.iter().zip(model.exact()) {
        for (depth, step) in plan.steps.iter().enumerate() {
            options.clear();
            model.open(step, &mut choices, &mut scratch, &mut options);
            let mut open: Vec<(Option<u32>, f64)> = Vec::with_capacity(options.len());
            for option in options.iter().copied() {
                choices[step.param] = option;
                let weight = match tables {
                    Some(tables) => tables.completions(plan, depth + 1, &choices).unwrap_or(0),
                    None => 1,
                };
                open.push((option, weight as f64));
            }
            let total: f64 = open.iter().map(|(_, weight)| weight).sum();
            let mut left = point.get(step.param).copied().unwrap_or(0.5) * total;
            let possible = open.iter().filter(|(_, weight)| *weight > 0.0);
            let mut chosen = None;
            for (option, weight) in possible {
                chosen = Some(*option);
                left -= weight;
                if left < 0.0 {
                    break;
                }
            }
            choices[step.param] = chosen?;
        }
    }
    Some(choices)
}

/// A uniform draw from the raw product until one is valid. An inactive parameter must draw its
/// first value, so that each distinct configuration stands for exactly one point of the product.
fn rejection<R: Rng + ?Sized>(
    model: &Model,
    plan: &Plan,
    choices: &mut Choices,
    rng: &mut R,
) -> bool {
    (0..REJECTIONS).any(|_| {
        plan.steps.iter().all(|step| {
            let domain = &model.domains[step.param];
            let drawn = rng.random_range(0..domain.len());
            let active = model.active(step.param, choices);
            choices[step.param] = if active {
                domain.get(drawn).copied()
            } else {
                None
            };
            (active || drawn == 0) && model.step_allows(step, choices)
        })
    })
}

/// Several weighted descents, of which one is chosen with probability proportional to its weight
/// (sampling and importance resampling, Rubin 1987): uniform in the limit of many descents.
fn resampling<R: Rng + ?Sized>(
    model: &Model,
    plan: &Plan,
    choices: &mut Choices,
    rng: &mut R,
) -> bool {
    let mut total = 0.0;
    let mut chosen: Option<Choices> = None;
    for _ in 0..DESCENTS {
        let Some(weight) = descend(model, plan, choices, rng) else {
            continue;
        };
        total += weight;
        if rng.random::<f64>() * total <= weight {
            chosen = Some(choices.clone());
        }
    }
    let found = chosen.is_some();
    if let Some(chosen) = chosen {
        *choices = chosen;
    }
    found
}

/// One random descent along the plan that avoids options that break a constraint at once. Returns
/// the inverse of its probability, or `None` at a dead end.
pub(super) fn descend<R: Rng + ?Sized>(
    model: &Model,
    plan: &Plan,
    choices: &mut Choices,
    rng: &mut R,
) -> Option<f64> {
    let mut weight = 1.0;
    let (mut scratch, mut open) = (Scratch::default(), Vec::new());
    for step in &plan.steps {
        open.clear();
        model.open(step, choices, &mut scratch, &mut open);
        if open.is_empty() {
            return None;
        }
        choices[step.param] = open[rng.random_range(0..open.len())];
        weight *= open.len() as f64;
    }
    Some(weight)
}
