//! Counting valid configurations: exactly by dynamic programming where that is cheap enough,
//! else by an unbiased estimate.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::expr::machine::Scratch;
use super::model::{Choices, Model};
use super::param::Count;
use super::plan::{Plan, plans};
use super::sample;

/// Options tried to build the tables from which samples are drawn: a fraction of a second.
pub(super) const TABLE_EFFORT: u64 = 4_000_000;

/// The most entries of the tables of a plan: about 100 megabytes. Counting goes on without
/// storing more.
const MOST_ENTRIES: usize = 2_000_000;

/// The estimate of a count must not depend on anything but the space.
const ESTIMATE_SEED: u64 = 0x5eed_0c0f_fee5;

type Completions = HashMap<u128, u128, BuildHasherDefault<KeyHasher>>;

/// A hasher of keys, which are numbers that no stranger chooses: a multiplication for each half
/// (Fibonacci hashing, Knuth, The Art of Computer Programming 3, section 6.4), folded so that the
/// low bits depend on all others.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u128(u128::from(*byte));
        }
    }

    fn write_u128(&mut self, key: u128) {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let (low, high) = (key as u64, (key >> 64) as u64);
        let mixed = (self.0 ^ low).wrapping_mul(GOLDEN).rotate_left(32) ^ high;
        let mixed = mixed.wrapping_mul(GOLDEN);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// For every step of a plan, the number of completions by the key of the live choices.
#[derive(Debug)]
pub(super) struct Tables {
    by_depth: Vec<Completions>,
    total: u128,
    /// Whether every entry found room.
    complete: bool,
}

impl Tables {
    /// Whether samples can be drawn from them.
    pub(super) fn complete(&self) -> bool {
        self.complete
    }

    /// The number of ways to assign all parameters of the plan.
    pub(super) fn total(&self) -> u128 {
        self.total
    }

    /// The number of ways to assign the parameters from a step on; `None` for choices that break
    /// a constraint.
    pub(super) fn completions(
        &self,
        plan: &Plan,
        depth: usize,
        choices: &[Option<u32>],
    ) -> Option<u128> {
        match plan.steps.get(depth) {
            None => Some(1),
            Some(step) => self.by_depth.get(depth)?.get(&step.key(choices)?).copied(),
        }
    }
}

/// Counts every plan; `None` for one that the effort does not suffice for.
pub(super) fn tables(model: &Model, plans: &[Plan], effort: u64) -> Vec<Option<Tables>> {
    let mut effort = effort;
    plans
        .iter()
        .map(|plan| count_plan(model, plan, &mut effort))
        .collect()
}

fn count_plan(model: &Model, plan: &Plan, effort: &mut u64) -> Option<Tables> {
    let by_depth = plan.steps.iter().map(|_| Completions::default()).collect();
    let mut counter = Counter {
        model,
        plan,
        by_depth,
        effort,
        scratch: Scratch::default(),
        open: Vec::new(),
        room: MOST_ENTRIES,
        complete: true,
    };
    let mut choices = vec![None; model.domains.len()];
    let total = counter.count(0, &mut choices)?;
    Some(Tables {
        by_depth: counter.by_depth,
        total,
        complete: counter.complete,
    })
}

struct Counter<'a> {
    model: &'a Model,
    plan: &'a Plan,
    by_depth: Vec<Completions>,
    effort: &'a mut u64,
    scratch: Scratch,
    /// The open options of every step on the way down, one after another.
    open: Vec<Option<u32>>,
    /// How many entries may still be stored, and whether that was enough.
    room: usize,
    complete: bool,
}

impl Counter<'_> {
    fn count(&mut self, depth: usize, choices: &mut Choices) -> Option<u128> {
        let plan = self.plan;
        let Some(step) = plan.steps.get(depth) else {
            return Some(1);
        };
        let key = step.key(choices)?;
        if let Some(known) = self.by_depth[depth].get(&key) {
            return Some(*known);
        }
        let model = self.model;
        let tried = model.option_count(step.param, choices);
        *self.effort = self.effort.checked_sub(tried)?;
        let start = self.open.len();
        model.open(step, choices, &mut self.scratch, &mut self.open);
        let mut total: u128 = 0;
        if depth + 1 == plan.steps.len() {
            total = (self.open.len() - start) as u128;
        } else {
            for place in start..self.open.len() {
                choices[step.param] = self.open[place];
                // Bounded by the raw product, which fits.
                total = total.saturating_add(self.count(depth + 1, choices)?);
            }
        }
        self.open.truncate(start);
        choices[step.param] = None;
        match self.room.checked_sub(1) {
            Some(room) => {
                self.room = room;
                self.by_depth[depth].insert(key, total);
            }
            None => self.complete = false,
        }
        Some(total)
    }
}

/// Counts the configurations that satisfy the given constraints of the model.
pub(super) fn count(model: &Model, constraints: &[usize], effort: u64) -> Count {
    if model.constant_failures(constraints).next().is_some() {
        return Count::Exact(0);
    }
    let plans = plans(model, constraints);
    let tables = tables(model, &plans, effort);
    combine(model, &plans, &tables, effort)
}

/// Multiplies the counts of the plans, estimating those that have no exact one.
pub(super) fn combine(
    model: &Model,
    plans: &[Plan],
    tables: &[Option<Tables>],
    effort: u64,
) -> Count {
    let counts: Vec<Count> = plans
        .iter()
        .zip(tables)
        .map(|(plan, tables)| match tables {
            Some(tables) => Count::Exact(tables.total()),
            None => estimate(model, plan, effort),
        })
        .collect();
    counts.into_iter().fold(Count::Exact(1), product)
}

/// The product of two independent counts.
fn product(a: Count, b: Count) -> Count {
    if let (Count::Exact(a), Count::Exact(b)) = (a, b) {
        return Count::Exact(a.saturating_mul(b));
    }
    let (x, y) = (a.value(), b.value());
    let (dx, dy) = (a.std_error(), b.std_error());
    let variance = (x * dy).powi(2) + (y * dx).powi(2) + (dx * dy).powi(2);
    Count::Estimate {
        value: x * y,
        std_error: variance.sqrt(),
    }
}

/// The number of configurations in `all` that are not in the subset `kept`.
pub(super) fn removed(all: Count, kept: Count) -> Count {
    if let (Count::Exact(all), Count::Exact(kept)) = (all, kept) {
        return Count::Exact(all.saturating_sub(kept));
    }
    let std_error = all.std_error().hypot(kept.std_error());
    Count::Estimate {
        value: (all.value() - kept.value()).max(0.0),
        std_error,
    }
}

/// Knuth's estimate of the size of a search tree: the product of the numbers of open branches
/// along a random descent is an unbiased estimate of the number of leaves. ("Estimating the
/// efficiency of backtrack programs", Mathematics of Computation 29, 1975.)
fn estimate(model: &Model, plan: &Plan, effort: u64) -> Count {
    let per_descent: usize = plan.params().map(|param| model.domains[param].len()).sum();
    let descents = (effort / per_descent.max(1) as u64).max(100);
    let mut rng = ChaCha8Rng::seed_from_u64(ESTIMATE_SEED);
    let mut choices = vec![None; model.domains.len()];
    let (mut mean, mut squares) = (0.0, 0.0);
    for index in 0..descents {
        let weight = sample::descend(model, plan, &mut choices, &mut rng).unwrap_or(0.0);
        // Welford's update.
        let before = weight - mean;
        mean += before / (index + 1) as f64;
        squares += before * (weight - mean);
    }
    let variance = squares / (descents - 1) as f64;
    if mean > 0.0 {
        return Count::Estimate {
            value: mean,
            std_error: (variance / descents as f64).sqrt(),
        };
    }
    // The loader found one valid configuration; the estimate found none.
    let product: f64 = plan
        .params()
        .map(|param| model.domains[param].len() as f64)
        .product();
    Count::Estimate {
        value: 1.0,
        std_error: product / descents as f64,
    }
}
