//! A space as its algorithms see it: domains of value indices, conditions and constraints.

use std::sync::OnceLock;

use super::count::{self, Tables};
use super::expr::code::{Code, Scalar, Verdict};
use super::expr::machine::Scratch;
use super::expr::names::Names;
use super::param::Param;
use super::plan::{Plan, Step, plans};
use super::scope::scalar;

/// One choice per parameter; `None` for a parameter that is inactive or not chosen yet.
pub(super) type Choices = Vec<Option<u32>>;

#[derive(Debug)]
pub(super) struct Model {
    /// The values of each parameter.
    pub(super) values: Vec<Vec<Scalar>>,
    /// The value indices that each parameter may take: all of them, or the one that is fixed.
    pub(super) domains: Vec<Vec<u32>>,
    pub(super) defaults: Vec<u32>,
    pub(super) whens: Vec<Option<Code>>,
    pub(super) constraints: Vec<Code>,
    /// The parameters in an order in which every condition comes after what it mentions.
    order: Vec<usize>,
    /// For each parameter, the constraints that mention it.
    pub(super) touching: Vec<Vec<usize>>,
    /// One plan per group of parameters that conditions and constraints tie together.
    pub(super) plans: Vec<Plan>,
    exact: OnceLock<Vec<Option<Tables>>>,
}

impl Model {
    pub(super) fn new(
        params: &[Param],
        whens: Vec<Option<Code>>,
        constraints: Vec<Code>,
        order: Vec<usize>,
        names: &mut Names,
    ) -> Self {
        let table = |param: &Param| param.values.iter().map(|v| scalar(v, names)).collect();
        let values: Vec<Vec<Scalar>> = params.iter().map(table).collect();
        let domain = |param: &Param| match param.held() {
            true => vec![param.default],
            false => (0..).zip(&param.values).map(|(index, _)| index).collect(),
        };
        let domains: Vec<Vec<u32>> = params.iter().map(domain).collect();
        let mut model = Self {
            values,
            domains,
            defaults: params.iter().map(|param| param.default).collect(),
            whens,
            constraints,
            order,
            touching: Vec::new(),
            plans: Vec::new(),
            exact: OnceLock::new(),
        };
        let all: Vec<usize> = (0..model.constraints.len()).collect();
        let touching = |param: usize| {
            let mentions = |index: &usize| model.constraints[*index].mentions().contains(&param);
            all.iter().copied().filter(mentions).collect()
        };
        model.touching = (0..params.len()).map(touching).collect();
        model.plans = plans(&model, &all);
        model
    }

    /// Whether a parameter exists under the choices made for the parameters that its condition
    /// mentions. A condition that asks for an inactive parameter, or whose arithmetic fails, does
    /// not hold.
    pub(super) fn active(&self, param: usize, choices: &[Option<u32>]) -> bool {
        match &self.whens[param] {
            None => true,
            Some(when) => when.verdict(choices, &self.values) == Verdict::Holds,
        }
    }

    pub(super) fn verdict(&self, constraint: usize, choices: &[Option<u32>]) -> Verdict {
        self.constraints[constraint].verdict(choices, &self.values)
    }

    pub(super) fn allows(&self, constraint: usize, choices: &[Option<u32>]) -> bool {
        self.verdict(constraint, choices).allows()
    }

    /// Whether every constraint that a step completes is satisfied.
    pub(super) fn step_allows(&self, step: &Step, choices: &[Option<u32>]) -> bool {
        step.checks
            .iter()
            .all(|check| self.allows(check.constraint, choices))
    }

    /// Appends the options of a step that no constraint refuses under the choices so far. The
    /// choice of the step's own parameter is overwritten.
    pub(super) fn open(
        &self,
        step: &Step,
        choices: &mut [Option<u32>],
        scratch: &mut Scratch,
        found: &mut Vec<Option<u32>>,
    ) {
        let start = found.len();
        found.extend(self.options(step.param, choices));
        for check in &step.checks {
            let code = &self.constraints[check.constraint];
            scratch.clear(code);
            let mut kept = start;
            for place in start..found.len() {
                choices[step.param] = found[place];
                if code.allows_keeping(choices, &self.values, &check.kept, scratch) {
                    found[kept] = found[place];
                    kept += 1;
                }
            }
            found.truncate(kept);
        }
    }

    /// What a parameter can be set to once its condition can be evaluated.
    pub(super) fn options(
        &self,
        param: usize,
        choices: &[Option<u32>],
    ) -> impl Iterator<Item = Option<u32>> + '_ {
        let active = self.active(param, choices);
        let domain = if active {
            self.domains[param].as_slice()
        } else {
            &[]
        };
        domain
            .iter()
            .copied()
            .map(Some)
            .chain((!active).then_some(None))
    }

    /// How many [`options`](Self::options) a parameter has.
    pub(super) fn option_count(&self, param: usize, choices: &[Option<u32>]) -> u64 {
        match self.active(param, choices) {
            true => self.domains[param].len() as u64,
            false => 1,
        }
    }

    /// The index nearest to a wish in a parameter's domain.
    fn admit(&self, param: usize, wish: u32) -> u32 {
        let domain = &self.domains[param];
        let last = domain.len().saturating_sub(1);
        // A domain is 0, 1, 2, ... or one fixed index.
        domain[(wish as usize).min(last)]
    }

    /// Activates and deactivates parameters as their conditions say: an active parameter without
    /// a choice takes its default, and an index outside the domain its nearest.
    pub(super) fn canonical(&self, wishes: &[Option<u32>]) -> Choices {
        let mut choices = vec![None; self.domains.len()];
        for &param in &self.order {
            if self.active(param, &choices) {
                let wish = wishes.get(param).copied().flatten();
                choices[param] = Some(self.admit(param, wish.unwrap_or(self.defaults[param])));
            }
        }
        choices
    }

    /// The choices with one value set, made canonical.
    pub(super) fn with_value(&self, from: &[Option<u32>], param: usize, value: u32) -> Choices {
        let mut choices = from.to_vec();
        if let Some(choice) = choices.get_mut(param) {
            *choice = Some(value);
        }
        let complete = choices.len() == self.domains.len() && choices.iter().all(Option::is_some);
        if complete && self.whens.iter().all(Option::is_none) {
            for (param, choice) in choices.iter_mut().enumerate() {
                *choice = choice.map(|wish| self.admit(param, wish));
            }
            return choices;
        }
        self.canonical(&choices)
    }

    /// Whether choices that differ from valid ones are valid: only constraints that mention what
    /// differs can tell.
    pub(super) fn remains_valid(&self, valid: &[Option<u32>], choices: &[Option<u32>]) -> bool {
        let places = valid.iter().zip(choices).zip(&self.touching);
        let changed = places.filter(|((old, new), _)| old != new);
        changed
            .flat_map(|(_, touching)| touching)
            .all(|constraint| self.allows(*constraint, choices))
    }

    /// How many constraints `choices` violate, given those that `from` does: only constraints that
    /// mention what differs are looked at.
    pub(super) fn violations_after(
        &self,
        from: &[Option<u32>],
        violated: &[usize],
        choices: &[Option<u32>],
    ) -> usize {
        let places = from.iter().zip(choices).zip(&self.touching);
        let changed = places.filter(|((old, new), _)| old != new);
        let mut touched: Vec<usize> = changed.flat_map(|(_, of)| of).copied().collect();
        touched.sort_unstable();
        touched.dedup();
        let kept = violated
            .iter()
            .filter(|v| touched.binary_search(v).is_err());
        let broken = touched.iter().filter(|one| !self.allows(**one, choices));
        kept.count() + broken.count()
    }

    pub(super) fn first_violated(&self, choices: &[Option<u32>]) -> Option<usize> {
        (0..self.constraints.len()).find(|constraint| !self.allows(*constraint, choices))
    }

    /// Constraints among the given ones that mention no parameter and fail.
    pub(super) fn constant_failures<'a>(
        &'a self,
        constraints: &'a [usize],
    ) -> impl Iterator<Item = usize> + 'a {
        let constant = |index: &&usize| self.constraints[**index].mentions().is_empty();
        constraints
            .iter()
            .filter(constant)
            .copied()
            .filter(|index| !self.allows(*index, &[]))
    }

    /// For each plan, the number of completions of every partial assignment that can occur, where
    /// counting them stayed within the effort.
    pub(super) fn exact(&self) -> &[Option<Tables>] {
        self.exact.get_or_init(|| {
            let tables = count::tables(self, &self.plans, count::TABLE_EFFORT);
            let complete = |tables: Option<Tables>| tables.filter(Tables::complete);
            tables.into_iter().map(complete).collect()
        })
    }

    /// Why a constraint fails: the two sides of its comparison, or the arithmetic that has no
    /// result. Empty where there is nothing short to say.
    pub(super) fn detail(
        &self,
        constraint: usize,
        choices: &[Option<u32>],
        text: &str,
        names: &Names,
    ) -> String {
        let code = &self.constraints[constraint];
        if let Verdict::Trouble(trouble, span) = code.verdict(choices, &self.values) {
            return format!("{trouble} in `{}`", span.of(text));
        }
        let shown = |scalar: Scalar| match scalar {
            Scalar::Int(value) => value.to_string(),
            Scalar::Float(value) => format!("{value:?}"),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Name(name) => format!("'{}'", names.get(name)),
        };
        match code.failing_comparison(choices, &self.values) {
            Some((a, op, b)) => format!("{} {} {} is false", shown(a), op.symbol(), shown(b)),
            None => String::new(),
        }
    }
}
