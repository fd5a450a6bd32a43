//! Insights from statistics over the trial history: main effects of values, trends of ordered
//! parameters, interactions of two, values that fail and how, and parameters that do nothing.
//!
//! Effects are differences of mean loss, that is log ratios of the ranked metric. Losses are
//! clipped at their upper quartile fence, because one very slow configuration says nothing about
//! what makes the fast ones fast. The search does not sample evenly, so an effect is a hint with
//! a strength and never a rule; hints that do not pay lose their credit.

use std::collections::BTreeMap;

use super::guidance::ascending;
use super::interactions;
use super::{Action, Evidence, INITIAL_CREDIT, Insight, Lever, Scope, Source};
use crate::engine::history::History;
use crate::space::{Param, Space};

/// Most characters of a reason.
const MOST_WORDS: usize = 100;
/// Fewest trials on each side of a comparison.
pub(super) const FEWEST: usize = 3;
/// Pseudo-trials of no effect by which an effect is shrunk towards zero.
pub(super) const SHRINKAGE: f64 = 3.0;
/// The statistic below which nothing is said.
pub(super) const SIGNIFICANT: f64 = 2.0;
/// An effect below this log ratio is not worth a statement.
pub(super) const NEGLIGIBLE: f64 = 0.01;

/// Derives all statistical insights of a candidate's history.
pub(crate) fn derive(space: &Space, history: &History) -> Vec<Insight> {
    let sample = Sample::new(history);
    let mut insights = Vec::new();
    for &index in space.searched() {
        let Some(param) = space.params().get(index) else {
            continue;
        };
        for value in 0..param.values.len() as u32 {
            insights.extend(main_effect(param, index, value, &sample));
            insights.extend(failures(param, index, value, &sample));
        }
        insights.extend(trend(param, index, &sample));
        insights.extend(dead(param, index, history));
    }
    insights.extend(interactions::derive(space, &sample));
    insights
}

/// Per told trial its choices and its clipped loss, or `None` for a failure.
pub(super) struct Sample<'a> {
    rows: Vec<(&'a [Option<u32>], Option<f64>)>,
    /// What happened, in words, where a trial failed: as many as rows.
    why: Vec<Option<&'a str>>,
}

impl<'a> Sample<'a> {
    fn new(history: &'a History) -> Self {
        let mut losses: Vec<f64> = history.told().filter_map(|(_, v)| v.loss()).collect();
        losses.sort_by(f64::total_cmp);
        let quantile = |q: f64| losses.get((losses.len() as f64 * q) as usize).copied();
        let fence = match (quantile(0.25), quantile(0.75)) {
            (Some(low), Some(high)) => high + 1.5 * (high - low),
            _ => f64::INFINITY,
        };
        let rows = history
            .told()
            .map(|(entry, verdict)| {
                (
                    entry.config.choices(),
                    verdict.loss().map(|loss| loss.min(fence)),
                )
            })
            .collect();
        let why = history.told().map(|(entry, _)| entry.why.as_deref());
        Self {
            rows,
            why: why.collect(),
        }
    }

    /// How the trials with a value failed: the most frequent words, and how many trials ended so. Of two as
    /// frequent ones the first in the alphabet.
    fn usual_failure(&self, index: usize, value: u32) -> Option<(&str, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for ((choices, _), why) in self.rows.iter().zip(&self.why) {
            if choices.get(index).copied().flatten() == Some(value)
                && let Some(why) = why
            {
                *counts
                    .entry(why.lines().next().unwrap_or_default())
                    .or_default() += 1;
            }
        }
        let most = counts
            .iter()
            .max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)));
        most.map(|(why, count)| (*why, *count))
    }

    /// The measured trials in which two parameters are active, with their values.
    pub(super) fn both(
        &self,
        first: usize,
        second: usize,
    ) -> impl Iterator<Item = (u32, u32, f64)> {
        self.rows.iter().filter_map(move |(choices, loss)| {
            let value = |index: usize| choices.get(index).copied().flatten();
            Some((value(first)?, value(second)?, (*loss)?))
        })
    }

    /// The trials in which the parameter is active, with its value.
    fn active(&self, index: usize) -> impl Iterator<Item = (u32, Option<f64>)> {
        self.rows.iter().filter_map(move |(choices, loss)| {
            choices
                .get(index)
                .copied()
                .flatten()
                .map(|value| (value, *loss))
        })
    }
}

/// Count, mean and sum of squared deviations (Welford).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    pub(super) n: f64,
    pub(super) mean: f64,
    squares: f64,
}

impl Moments {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        values.fold(Self::default(), |mut moments, value| {
            moments.add(value);
            moments
        })
    }

    pub(super) fn add(&mut self, value: f64) {
        self.n += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.n;
        self.squares += delta * (value - self.mean);
    }

    /// Those of the values of both together (Chan, Golub and LeVeque, 1979).
    pub(super) fn with(&self, other: &Self) -> Self {
        let n = self.n + other.n;
        if n == 0.0 {
            return *self;
        }
        let delta = other.mean - self.mean;
        Self {
            n,
            mean: self.mean + delta * other.n / n,
            squares: self.squares + other.squares + delta * delta * self.n * other.n / n,
        }
    }

    /// The squared standard error of the mean.
    pub(super) fn error(&self) -> f64 {
        self.squares / ((self.n - 1.0).max(1.0) * self.n.max(1.0))
    }
}

/// Whether solutions with the value are better or worse than the others (Welch's t).
fn main_effect(param: &Param, index: usize, value: u32, sample: &Sample<'_>) -> Option<Insight> {
    let measured = |with: bool| {
        sample
            .active(index)
            .filter(move |(own, _)| (*own == value) == with)
            .filter_map(|(_, loss)| loss)
    };
    let (with, without) = (Moments::of(measured(true)), Moments::of(measured(false)));
    if with.n < FEWEST as f64 || without.n < FEWEST as f64 {
        return None;
    }
    let error = (with.error() + without.error()).sqrt();
    let difference = with.mean - without.mean;
    let shrinkage = with.n / (with.n + SHRINKAGE);
    let effect = difference * shrinkage;
    // A spread of zero on both sides would make any difference infinitely significant.
    let t = (difference / error.max(1e-9)).clamp(-99.0, 99.0);
    if (t * shrinkage).abs() < SIGNIFICANT || effect.abs() < NEGLIGIBLE {
        return None;
    }
    let words = if effect < 0.0 { "better" } else { "worse" };
    let chosen = param.value(value).clone();
    let statement = format!(
        "{}={chosen} is {} {words} than the other values (n={} against {}, t={t:.1})",
        param.name,
        percent(effect),
        with.n,
        without.n,
    );
    let (verb, action) = if effect < 0.0 {
        ("prefer", Action::Prefer(chosen.clone()))
    } else {
        ("avoid", Action::Avoid(chosen.clone()))
    };
    Some(insight(
        format!("history:{verb}:{}={chosen}", param.name),
        statement,
        Lever {
            param: param.name.clone(),
            action,
        },
        strength(t * shrinkage) * importance(effect),
        Evidence {
            n: with.n as u64,
            others: without.n as u64,
            effect,
            statistic: t,
        },
    ))
}

/// Whether an ordered parameter pulls one way over its whole range (slope of the least squares
/// line of loss over the index of the value).
fn trend(param: &Param, index: usize, sample: &Sample<'_>) -> Option<Insight> {
    if !param.ordered() || param.values.len() < 3 {
        return None;
    }
    let points: Vec<(f64, f64)> = sample
        .active(index)
        .filter_map(|(value, loss)| loss.map(|loss| (f64::from(value), loss)))
        .collect();
    let n = points.len() as f64;
    if points.len() < 2 * FEWEST {
        return None;
    }
    let x = Moments::of(points.iter().map(|point| point.0));
    let y = Moments::of(points.iter().map(|point| point.1));
    let cross: f64 = points
        .iter()
        .map(|point| (point.0 - x.mean) * (point.1 - y.mean))
        .sum();
    if x.squares <= 0.0 {
        return None;
    }
    let slope = cross / x.squares;
    let residual = (y.squares - slope * cross).max(0.0) / (n - 2.0);
    let t = (slope / (residual / x.squares).sqrt().max(1e-9)).clamp(-99.0, 99.0);
    let span = slope * (param.values.len() - 1) as f64 * n / (n + SHRINKAGE);
    if t.abs() < SIGNIFICANT + 1.0 || span.abs() < NEGLIGIBLE {
        return None;
    }
    // A falling loss over rising indices asks for the end of the list.
    let raise = (slope < 0.0) == ascending(param);
    let (verb, action) = if raise {
        ("raise", Action::Raise)
    } else {
        ("lower", Action::Lower)
    };
    let name = &param.name;
    let words = if raise { "larger" } else { "smaller" };
    Some(insight(
        format!("history:{verb}:{name}"),
        format!(
            "{words} {name} is better: {} from one end of its range to the other (n={n}, t={t:.1})",
            percent(-span.abs()),
        ),
        Lever {
            param: name.clone(),
            action,
        },
        0.5 * strength(t) * importance(span),
        Evidence {
            n: points.len() as u64,
            others: 0,
            effect: -span.abs(),
            statistic: t,
        },
    ))
}

/// Whether solutions with the value fail more often than the others (two-proportion z).
fn failures(param: &Param, index: usize, value: u32, sample: &Sample<'_>) -> Option<Insight> {
    let count = |with: bool| {
        sample
            .active(index)
            .filter(|(own, _)| (*own == value) == with)
            .fold((0u64, 0u64), |(n, failed), (_, loss)| {
                (n + 1, failed + u64::from(loss.is_none()))
            })
    };
    let ((n, failed), (others, others_failed)) = (count(true), count(false));
    if (n as usize) < FEWEST || failed == 0 {
        return None;
    }
    // One success and one failure more on each side keep small samples modest.
    let rate = |failed: u64, n: u64| (failed as f64 + 1.0) / (n as f64 + 2.0);
    let (own, rest) = (rate(failed, n), rate(others_failed, others));
    let error =
        (own * (1.0 - own) / (n as f64 + 2.0) + rest * (1.0 - rest) / (others as f64 + 2.0)).sqrt();
    let z = (own - rest) / error.max(1e-9);
    if z < 1.0 {
        return None;
    }
    let chosen = param.value(value).clone();
    let name = &param.name;
    let usual = match sample.usual_failure(index, value) {
        Some((why, count)) if count as u64 == failed => format!("; always: {}", shortened(why)),
        Some((why, count)) => format!("; {count} of them: {}", shortened(why)),
        None => String::new(),
    };
    Some(insight(
        format!("history:fails:{name}={chosen}"),
        format!(
            "{name}={chosen} fails in {failed} of {n} (others in {others_failed} of {others}){usual}"
        ),
        Lever {
            param: name.clone(),
            action: Action::Avoid(chosen),
        },
        own * strength(z + 1.0),
        Evidence {
            n,
            others,
            effect: own - rest,
            statistic: z,
        },
    ))
}

/// Whether changing the parameter alone has only ever repeated an earlier execution.
fn dead(param: &Param, index: usize, history: &History) -> Option<Insight> {
    let mut repeats = 0u64;
    for entry in history.entries() {
        let Some(earlier) = entry.duplicate_of.and_then(|trial| history.get(trial)) else {
            continue;
        };
        let only_here = entry.config.distance(&earlier.config) == 1
            && entry.config.get(index) != earlier.config.get(index);
        repeats += u64::from(only_here);
    }
    if (repeats as usize) < FEWEST {
        return None;
    }
    let name = &param.name;
    Some(insight(
        format!("history:dead:{name}"),
        format!("{name} alone changed nothing that is executed, {repeats} times"),
        Lever {
            param: name.clone(),
            action: Action::NoEffect,
        },
        1.0 - 1.0 / (1.0 + repeats as f64),
        Evidence {
            n: repeats,
            others: 0,
            effect: 0.0,
            statistic: 0.0,
        },
    ))
}

pub(super) fn insight(
    id: String,
    statement: String,
    lever: Lever,
    strength: f64,
    evidence: Evidence,
) -> Insight {
    Insight {
        id,
        statement,
        lever,
        scope: Scope::Space,
        strength,
        evidence,
        source: Source::History,
        age: 0,
        credit: INITIAL_CREDIT,
        followed: 0,
        better: 0,
    }
}

/// The beginning of a text that may be long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_WORDS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

/// How sure a statistic makes one: 0 at one standard error, towards 1 from five.
pub(super) fn strength(statistic: f64) -> f64 {
    1.0 - libm::exp(-(statistic.abs() - 1.0).max(0.0) / 2.0)
}

/// How much an effect matters: a 10 % difference counts almost fully.
pub(super) fn importance(effect: f64) -> f64 {
    1.0 - libm::exp(-effect.abs() / 0.05)
}

pub(super) fn percent(effect: f64) -> String {
    let ratio = 100.0 * (libm::exp(effect.abs()) - 1.0);
    if ratio < 10.0 {
        format!("{ratio:.1} %")
    } else {
        format!("{ratio:.0} %")
    }
}

#[cfg(test)]
mod tests;
