//! What the trials of a candidate say of a change of one parameter: whether it was made already, and what
//! it is expected to do.

use std::collections::{BTreeMap, BTreeSet};

use evo_stats::{AdditiveEffects, Change, quantile};
use evo_types::{Params, Value};

use super::lever::Lever;
use super::{RunModel, Subject};
use crate::format::ratio;
use crate::model::{RankedMetric, Trial};

/// What is known of a lever.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A trial is the subject with that one change; what came of it.
    Tried(String),
    /// By how much the subject would get better (above 1), with its 95 % interval.
    Expected {
        value: Value,
        ratio: f64,
        low: f64,
        high: f64,
        /// Trials that had the value.
        trials: usize,
    },
    /// No trials tell, or too few.
    Unknown,
}

/// The trials of the subject's candidate.
pub(super) struct Trials<'a> {
    subject: &'a Params,
    own: Option<&'a Trial>,
    others: Vec<&'a Trial>,
    metric: &'a RankedMetric,
    model: Option<Model<'a>>,
}

impl<'a> Trials<'a> {
    pub(super) fn of(model: &'a RunModel, subject: &Subject<'a>) -> Self {
        let of_candidate = |trial: &&Trial| {
            trial.proposed.candidate == subject.candidate && trial.evaluated.is_some()
        };
        let (own, others) = model
            .trials
            .iter()
            .filter(of_candidate)
            .partition::<Vec<&Trial>, _>(|trial| Some(trial.number()) == subject.trial);
        let own = own.first().copied();
        let all = others.iter().copied().chain(own);
        Self {
            subject: subject.params,
            own,
            metric: &model.metric,
            model: Model::of(all, &model.metric, None),
            others,
        }
    }

    pub(super) fn word(&self, lever: &str) -> Word {
        let Some(lever) = Lever::parse(lever) else {
            return Word::Unknown;
        };
        let name = lever.param();
        let targets = self.targets(&lever);
        let (tried, open): (Vec<&Value>, Vec<&Value>) = targets
            .into_iter()
            .partition(|value| self.same_but(name, value).is_some());
        if let (true, Some(value)) = (open.is_empty(), tried.first()) {
            return self
                .same_but(name, value)
                .map_or(Word::Unknown, |trial| Word::Tried(self.came_of(trial)));
        }
        let own_model;
        let model = if let Lever::Where(_, place, value) = &lever {
            let all = self.others.iter().copied().chain(self.own);
            own_model = Model::of(all, self.metric, Some((place, value)));
            &own_model
        } else {
            &self.model
        };
        let Some(model) = model else {
            return Word::Unknown;
        };
        let estimates = open
            .into_iter()
            .filter_map(|value| self.expected(name, value, model));
        let better = |word: &Word| match word {
            Word::Expected { ratio, .. } => *ratio,
            Word::Tried(_) | Word::Unknown => 0.0,
        };
        estimates
            .max_by(|a, b| better(a).total_cmp(&better(b)))
            .unwrap_or(Word::Unknown)
    }

    /// The values that a lever leads to, among those that were tried: the next one where it says a direction.
    fn targets(&self, lever: &Lever<'_>) -> Vec<&'a Value> {
        let name = lever.param();
        let Some(own) = self.subject.get(name) else {
            return Vec::new();
        };
        let values = || {
            let values = self.others.iter();
            values.filter_map(|trial| trial.proposed.params.get(name))
        };
        let next = |rises: bool| {
            let own = own.as_float()?;
            let beyond = |value: &&Value| {
                let number = value.as_float();
                number.is_some_and(|it| if rises { it > own } else { it < own })
            };
            let distance = |value: &Value| {
                value
                    .as_float()
                    .map_or(f64::INFINITY, |it| (it - own).abs())
            };
            values()
                .filter(beyond)
                .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        };
        match lever {
            Lever::Raise(_) => next(true).into_iter().collect(),
            Lever::Lower(_) => next(false).into_iter().collect(),
            Lever::Set(_, wanted) => values()
                .find(|value| value.to_string() == **wanted)
                .into_iter()
                .collect(),
            Lever::Avoid(..) => {
                let mut seen = BTreeSet::new();
                values()
                    .filter(|value| *value != own && seen.insert(value.to_string()))
                    .collect()
            }
            Lever::Where(lever, ..) => self.targets(lever),
        }
    }

    /// A trial that is the subject with one parameter changed, apart from those that it switches on or off.
    fn same_but(&self, name: &str, value: &Value) -> Option<&'a Trial> {
        let same = |trial: &&&Trial| {
            let params = &trial.proposed.params;
            params.get(name) == Some(value)
                && params.iter().all(|(other, value)| {
                    other == name || self.subject.get(other).is_none_or(|own| own == value)
                })
        };
        self.others.iter().find(same).copied()
    }

    /// What came of a trial, in words.
    fn came_of(&self, trial: &Trial) -> String {
        let number = trial.number();
        let value = |trial: &Trial| Some(self.metric.of(trial.measurement()?)?.value);
        let figures = self.own.and_then(value).zip(value(trial));
        match figures.and_then(|(own, other)| self.metric.times_better(other, own)) {
            Some(better) => format!("{} in trial {number}", ratio(better)),
            None => {
                let kind = trial.outcome().map_or("no outcome", |it| it.kind().words());
                format!("{kind} in trial {number}")
            }
        }
    }

    /// What a model of the trials says of a change of one parameter.
    fn expected(&self, name: &str, value: &Value, model: &Model<'_>) -> Option<Word> {
        let change = model.change(name, self.subject.get(name)?, value)?;
        Some(Word::Expected {
            value: value.clone(),
            ratio: (-change.estimate).exp(),
            low: (-change.high).exp(),
            high: (-change.low).exp(),
            trials: change.trials,
        })
    }

    /// Changes of one parameter that are expected to pay and that nothing tried yet, the best first.
    pub(super) fn promising(&self) -> Vec<(String, Word)> {
        let mut found: Vec<(f64, String, Word)> = Vec::new();
        let Some(model) = &self.model else {
            return Vec::new();
        };
        for name in self.subject.keys() {
            let mut seen = BTreeSet::new();
            let values = self.others.iter();
            let values = values.filter_map(|trial| trial.proposed.params.get(name));
            for value in values.filter(|value| seen.insert(value.to_string())) {
                if self.same_but(name, value).is_none()
                    && let Some(word @ Word::Expected { ratio, .. }) =
                        self.expected(name, value, model)
                    && ratio > 1.0
                {
                    found.push((ratio, format!("set {name}={value}"), word));
                }
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        let found = found.into_iter();
        found.map(|(_, lever, word)| (lever, word)).collect()
    }
}

/// An additive model of measured trials, by the logarithm of the ranked metric, less for better.
struct Model<'a> {
    /// The levels of each parameter that had several.
    levels: BTreeMap<&'a str, BTreeMap<String, usize>>,
    effects: AdditiveEffects,
}

impl<'a> Model<'a> {
    /// Of the trials alone in which `place`, a parameter, has a value. `None` where they are too few.
    fn of(
        trials: impl Iterator<Item = &'a Trial>,
        metric: &RankedMetric,
        place: Option<(&str, &str)>,
    ) -> Option<Self> {
        let mut rows: Vec<&Params> = Vec::new();
        let mut losses = Vec::new();
        for trial in trials {
            let params = &trial.proposed.params;
            let there = place.is_none_or(|(name, value)| {
                params.get(name).is_some_and(|own| own.to_string() == value)
            });
            if let Some(measured) = trial.measurement().and_then(|it| metric.of(it))
                && there
            {
                let log = measured.value.ln();
                rows.push(params);
                losses.push(if metric.higher { -log } else { log });
            }
        }
        let losses = clipped(losses)?;
        let mut levels: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
        for (name, value) in rows.iter().flat_map(|params| params.iter()) {
            let known = levels.entry(name).or_default();
            let next = known.len();
            known.entry(value.to_string()).or_insert(next);
        }
        // A parameter that never changed has no effect that could be told.
        levels.retain(|_, known| known.len() > 1);
        let level = |params: &Params, name: &str, known: &BTreeMap<String, usize>| {
            known.get(&params.get(name)?.to_string()).copied()
        };
        let table: Vec<Vec<Option<usize>>> = rows
            .iter()
            .map(|params| {
                let of =
                    |(name, known): (&&str, &BTreeMap<String, usize>)| level(params, name, known);
                levels.iter().map(of).collect()
            })
            .collect();
        let counts: Vec<usize> = levels.values().map(BTreeMap::len).collect();
        let effects = AdditiveEffects::fit(&counts, &table, &losses)?;
        Some(Self { levels, effects })
    }

    fn change(&self, name: &str, from: &Value, to: &Value) -> Option<Change> {
        let factor = self.levels.keys().position(|known| *known == name)?;
        let known = self.levels.get(name)?;
        let level = |value: &Value| known.get(&value.to_string()).copied();
        self.effects.change(factor, level(from)?, level(to)?)
    }
}

/// Losses that are clipped at their upper quartile fence, as the search does: one very slow configuration says
/// nothing about what makes the fast ones fast. `None` where one is not finite, or there is none.
fn clipped(mut losses: Vec<f64>) -> Option<Vec<f64>> {
    if losses.iter().any(|loss| !loss.is_finite()) {
        return None;
    }
    let (low, high) = (quantile(&losses, 0.25)?, quantile(&losses, 0.75)?);
    let fence = high + 1.5 * (high - low);
    for loss in &mut losses {
        *loss = loss.min(fence);
    }
    Some(losses)
}
