//! Finding valid configurations: the nearest to given choices, any at all, and all in turn.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher};

use super::expr::machine::Scratch;
use super::model::{Choices, Model};
use super::param::Config;
use super::plan::{Plan, Step};

/// Options tried in the search for the nearest valid configuration, before any will do.
const NEAREST_EFFORT: u64 = 200_000;

/// Options tried in the search for any valid configuration.
const ANY_EFFORT: u64 = 1_000_000;

/// How a bounded search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Found,
    /// There is nothing to find.
    Nothing,
    /// The effort was spent before the end.
    Unknown,
}

/// No valid configuration is known.
#[derive(Debug)]
pub(super) struct NotFound {
    /// Whether it is certain that there is none.
    pub(super) certain: bool,
    /// The constraints of the group of parameters that could not be assigned.
    pub(super) constraints: Vec<usize>,
    /// How often each constraint of the model refused an assignment.
    pub(super) refusals: Vec<u64>,
}

impl Model {
    /// The valid configuration that differs from the defaults in the fewest parameters, as far as
    /// a bounded search can tell.
    pub(super) fn nearest_to_defaults(&self) -> Result<Config, NotFound> {
        let all: Vec<usize> = (0..self.constraints.len()).collect();
        let constant: Vec<usize> = self.constant_failures(&all).collect();
        if !constant.is_empty() {
            let refusals = vec![0; self.constraints.len()];
            return Err(NotFound {
                certain: true,
                constraints: constant,
                refusals,
            });
        }
        let mut choices = self.canonical(&[]);
        let wishes: Choices = self.defaults.iter().map(|default| Some(*default)).collect();
        for plan in &self.plans {
            let mut finder = Finder::new(self, plan, &wishes);
            match finder.nearest(&mut choices, NEAREST_EFFORT, ANY_EFFORT) {
                Outcome::Found => {}
                outcome => {
                    return Err(NotFound {
                        certain: outcome == Outcome::Nothing,
                        constraints: plan.constraints().collect(),
                        refusals: finder.refusals,
                    });
                }
            }
        }
        Ok(Config::from_canonical(choices))
    }

    /// Whether the constraints certainly have no common solution; `false` where the effort was
    /// too small to tell.
    pub(super) fn certainly_empty(&self, constraints: &[usize], effort: u64) -> bool {
        if self.constant_failures(constraints).next().is_some() {
            return true;
        }
        let wishes = vec![None; self.domains.len()];
        let plans = super::plan::plans(self, constraints);
        let share = effort / plans.len().max(1) as u64;
        plans.iter().any(|plan| {
            let mut choices = wishes.clone();
            Finder::new(self, plan, &wishes).any(&mut choices, share) == Outcome::Nothing
        })
    }
}

/// A depth-first search over one group of parameters that prefers given choices.
pub(super) struct Finder<'a> {
    model: &'a Model,
    plan: &'a Plan,
    wishes: &'a [Option<u32>],
    /// For each step, the values in the order in which they are tried.
    orders: Vec<Vec<u32>>,
    /// Dead ends: step, key of the live choices, changes left.
    dead: HashSet<(usize, u128, usize), BuildHasherDefault<DefaultHasher>>,
    effort: u64,
    refusals: Vec<u64>,
}

impl<'a> Finder<'a> {
    /// Prefers a parameter's wish, then values near to it; without a wish, its default.
    pub(super) fn new(model: &'a Model, plan: &'a Plan, wishes: &'a [Option<u32>]) -> Self {
        let order = |step: &Step| {
            let wish = wishes[step.param].unwrap_or(model.defaults[step.param]);
            let mut order = model.domains[step.param].clone();
            order.sort_by_key(|value| value.abs_diff(wish));
            order
        };
        Self {
            model,
            plan,
            wishes,
            orders: plan.steps.iter().map(order).collect(),
            dead: HashSet::default(),
            effort: 0,
            refusals: vec![0; model.constraints.len()],
        }
    }

    /// Assigns the group with the fewest changes to the wishes, or with some number of changes if
    /// that takes more than `nearest` options to find out.
    pub(super) fn nearest(&mut self, choices: &mut Choices, nearest: u64, any: u64) -> Outcome {
        self.effort = nearest;
        for changes in 0..=self.plan.steps.len() {
            match self.descend(0, changes, choices) {
                Outcome::Nothing => {}
                Outcome::Found => return Outcome::Found,
                Outcome::Unknown => return self.any(choices, any),
            }
        }
        Outcome::Nothing
    }

    /// Assigns the group in any valid way.
    pub(super) fn any(&mut self, choices: &mut Choices, effort: u64) -> Outcome {
        self.effort = effort;
        self.dead.clear();
        self.descend(0, usize::MAX, choices)
    }

    fn descend(&mut self, depth: usize, changes: usize, choices: &mut Choices) -> Outcome {
        let plan = self.plan;
        let Some(step) = plan.steps.get(depth) else {
            return Outcome::Found;
        };
        let key = step.key(choices).map(|key| (depth, key, changes));
        if key.is_some_and(|key| self.dead.contains(&key)) {
            return Outcome::Nothing;
        }
        let options: Vec<Option<u32>> = if self.model.active(step.param, choices) {
            self.orders[depth].iter().copied().map(Some).collect()
        } else {
            vec![None]
        };
        for option in options {
            let changed = option.is_some()
                && self.wishes[step.param].is_some_and(|wish| option != Some(wish));
            let Some(left) = changes.checked_sub(usize::from(changed)) else {
                continue;
            };
            let Some(effort) = self.effort.checked_sub(1) else {
                return Outcome::Unknown;
            };
            self.effort = effort;
            choices[step.param] = option;
            if let Some(refusing) = self.refusing(step, choices) {
                self.refusals[refusing] += 1;
                continue;
            }
            match self.descend(depth + 1, left, choices) {
                Outcome::Nothing => {}
                outcome => return outcome,
            }
        }
        self.dead.extend(key);
        Outcome::Nothing
    }

    fn refusing(&self, step: &Step, choices: &[Option<u32>]) -> Option<usize> {
        step.checks
            .iter()
            .map(|check| check.constraint)
            .find(|constraint| !self.model.allows(*constraint, choices))
    }
}

/// All valid configurations, depth first.
pub(super) struct ValidConfigs<'a> {
    model: &'a Model,
    /// The steps of all plans, each with the index of its plan and its depth there.
    steps: Vec<(&'a Step, usize, usize)>,
    choices: Choices,
    /// The options that are left at each step that has been reached.
    pending: Vec<Vec<Option<u32>>>,
    scratch: Scratch,
}

impl<'a> ValidConfigs<'a> {
    pub(super) fn new(model: &'a Model) -> Self {
        let indexed = model.plans.iter().enumerate().flat_map(|(index, plan)| {
            plan.steps
                .iter()
                .enumerate()
                .map(move |(depth, step)| (step, index, depth))
        });
        let mut all = Self {
            model,
            steps: indexed.collect(),
            choices: vec![None; model.domains.len()],
            pending: Vec::new(),
            scratch: Scratch::default(),
        };
        all.open();
        all
    }

    /// Lists the options of the next step that no constraint refuses.
    fn open(&mut self) {
        if let Some((step, _, _)) = self.steps.get(self.pending.len()) {
            let mut options = Vec::new();
            self.model
                .open(step, &mut self.choices, &mut self.scratch, &mut options);
            self.choices[step.param] = None;
            options.reverse();
            self.pending.push(options);
        }
    }

    /// Whether the choices up to a step can be completed, as far as is known.
    fn viable(&self, at: usize) -> bool {
        let (_, plan, depth) = self.steps[at];
        let tables = self.model.exact().get(plan).and_then(Option::as_ref);
        tables.is_none_or(|tables| {
            tables.completions(&self.model.plans[plan], depth + 1, &self.choices) != Some(0)
        })
    }
}

impl Iterator for ValidConfigs<'_> {
    type Item = Config;

    fn next(&mut self) -> Option<Config> {
        loop {
            let at = self.pending.len().checked_sub(1)?;
            let param = self.steps[at].0.param;
            match self.pending[at].pop() {
                None => {
                    self.choices[param] = None;
                    self.pending.pop();
                }
                Some(option) => {
                    self.choices[param] = option;
                    if !self.viable(at) {
                        continue;
                    }
                    if at + 1 == self.steps.len() {
                        return Some(Config::from_canonical(self.choices.clone()));
                    }
                    self.open();
                }
            }
        }
    }
}
