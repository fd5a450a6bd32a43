//! What the trials of a candidate say of a change of one parameter: whether it was made already, and what
//! it is expected to do.

use std::collections::{BTreeMap, BTreeSet};

use evo_stats::{Kriging, Prediction};
use evo_types::{Params, Value};

use super::lever::Lever;
use super::{RunModel, Subject};
use crate::format::{count, ratio};
use crate::model::{RankedMetric, Trial};

/// Most trials of a model, those nearest to the subject: the time of a fit grows with their cube.
const MOST_TRIALS: usize = 300;

/// What is known of a lever.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// It was tried: with nothing else changed, or never with success. What came of it.
    Against(String),
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
            model: Model::of(all, &model.metric, subject.params),
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
                .map_or(Word::Unknown, |trial| Word::Against(self.came_of(trial)));
        }
        let (measured, failed): (Vec<&Value>, Vec<&Value>) = open
            .into_iter()
            .partition(|value| self.with(name, value).any(|it| it.measurement().is_some()));
        // One alone may have failed for what else it changed.
        let fails = |value: &&Value| self.with(name, value).count() > 1;
        if let (true, Some(value)) = (measured.is_empty(), failed.into_iter().find(fails)) {
            let trials = count(self.with(name, value).count() as u64, "trial");
            return Word::Against(format!(
                "with {value}: {trials}, none of which was measured"
            ));
        }
        let estimates = measured
            .into_iter()
            .filter_map(|value| self.expected(name, value));
        let better = |word: &Word| match word {
            Word::Expected { ratio, .. } => *ratio,
            Word::Against(_) | Word::Unknown => 0.0,
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
        let values = |measured: bool| {
            let trials = self.others.iter();
            let trials = trials.filter(move |it| !measured || it.measurement().is_some());
            trials.filter_map(|trial| trial.proposed.params.get(name))
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
            let nearest = |measured: bool| {
                values(measured)
                    .filter(beyond)
                    .min_by(|a, b| distance(a).total_cmp(&distance(b)))
            };
            // Where all that lies there failed, that is what there is to say.
            nearest(true).or_else(|| nearest(false))
        };
        match lever {
            Lever::Raise(_) => next(true).into_iter().collect(),
            Lever::Lower(_) => next(false).into_iter().collect(),
            Lever::Set(_, wanted) => values(false)
                .find(|value| value.to_string() == **wanted)
                .into_iter()
                .collect(),
            Lever::Avoid(..) => {
                let mut seen = BTreeSet::new();
                values(false)
                    .filter(|value| *value != own && seen.insert(value.to_string()))
                    .collect()
            }
            Lever::Where(lever, ..) => self.targets(lever),
        }
    }

    /// The other trials with a value.
    fn with<'b>(&'b self, name: &'b str, value: &'b Value) -> impl Iterator<Item = &'a Trial> + 'b {
        let others = self.others.iter().copied();
        others.filter(move |trial| trial.proposed.params.get(name) == Some(value))
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
            Some(better) => format!("nothing else changed: {} in trial {number}", ratio(better)),
            None => {
                let kind = trial.outcome().map_or("no outcome", |it| it.kind().words());
                format!("nothing else changed: {kind} in trial {number}")
            }
        }
    }

    /// What a model of the trials says of a change of one parameter.
    fn expected(&self, name: &str, value: &Value) -> Option<Word> {
        let own = self.metric.of(self.own?.measurement()?)?.value;
        let own = loss(self.metric, own);
        let mut changed = self.subject.clone();
        changed.insert(name.to_owned(), value.clone());
        let told = self.model.as_ref()?.predict(&changed)?;
        let with = self
            .with(name, value)
            .filter(|trial| trial.measurement().is_some());
        Some(Word::Expected {
            value: value.clone(),
            ratio: (own - told.mean).exp(),
            low: (own - told.high).exp(),
            high: (own - told.low).exp(),
            trials: with.count(),
        })
    }

    /// Changes of one parameter to a value that was measured elsewhere, which nothing tried yet; what is expected
    /// to be the best first.
    pub(super) fn untried(&self) -> Vec<(String, Word)> {
        let mut found: Vec<(f64, String, Word)> = Vec::new();
        for (name, own) in self.subject {
            let mut seen = BTreeSet::from([own.to_string()]);
            let measured = self.others.iter().filter(|it| it.measurement().is_some());
            let values = measured.filter_map(|trial| trial.proposed.params.get(name));
            for value in values.filter(|value| seen.insert(value.to_string())) {
                if self.same_but(name, value).is_none()
                    && let Some(word @ Word::Expected { ratio, .. }) = self.expected(name, value)
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

/// The logarithm of the ranked metric, less for better.
fn loss(metric: &RankedMetric, value: f64) -> f64 {
    if metric.higher {
        -value.ln()
    } else {
        value.ln()
    }
}

/// A model of measured trials.
struct Model<'a> {
    /// The values that each parameter had, numbered.
    levels: BTreeMap<&'a str, BTreeMap<String, usize>>,
    kriging: Kriging,
}

impl<'a> Model<'a> {
    /// Of the trials that are nearest to the subject. `None` where they are too few, or the metric is not above zero.
    fn of(
        trials: impl Iterator<Item = &'a Trial>,
        metric: &RankedMetric,
        subject: &Params,
    ) -> Option<Self> {
        let mut rows: Vec<(&Params, f64)> = trials
            .filter_map(|trial| {
                let measured = metric.of(trial.measurement()?)?;
                Some((&trial.proposed.params, loss(metric, measured.value)))
            })
            .collect();
        rows.sort_by_key(|(params, _)| {
            let same = |(name, value): &(&String, &Value)| params.get(*name) == Some(*value);
            std::cmp::Reverse(subject.iter().filter(same).count())
        });
        rows.truncate(MOST_TRIALS);
        let mut levels: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
        for (name, value) in rows.iter().flat_map(|(params, _)| params.iter()) {
            let known = levels.entry(name).or_default();
            let next = known.len();
            known.entry(value.to_string()).or_insert(next);
        }
        let table = rows.iter().map(|(params, _)| coded(&levels, params));
        let losses: Vec<f64> = rows.iter().map(|(_, loss)| *loss).collect();
        let kriging = Kriging::fit(table.collect(), &losses)?;
        Some(Self { levels, kriging })
    }

    fn predict(&self, params: &Params) -> Option<Prediction> {
        self.kriging.predict(&coded(&self.levels, params))
    }
}

/// The level of each parameter, `None` where it is not active.
fn coded(levels: &BTreeMap<&str, BTreeMap<String, usize>>, params: &Params) -> Vec<Option<usize>> {
    let level = |(name, known): (&&str, &BTreeMap<String, usize>)| {
        known.get(&params.get(*name)?.to_string()).copied()
    };
    levels.iter().map(level).collect()
}
