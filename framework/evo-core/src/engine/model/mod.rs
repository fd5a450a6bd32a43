//! The surrogate model: what the whole trial history says about configurations not yet tried.
//!
//! Where insights say one thing about one parameter, the model says how good a whole
//! configuration should be, and how sure that is. The engine lets operators draft a pool of
//! proposals and takes the draft with the greatest expected improvement (Jones, Schonlau, Welch,
//! "Efficient global optimization of expensive black-box functions", 1998). The model is a
//! Gaussian process over features of the parameters; see [`process`] and [`features`].
//!
//! Failed trials enter with a poor loss, and the expected improvement is multiplied by the share of
//! successes among the trials nearby, so that the engine keeps away from where builds fail. Work
//! per proposal is bounded: beyond [`MOST`] trials the best and an even selection of
//! the others stand for the whole history.

mod features;
mod process;

use std::borrow::Cow;

use super::history::{Entry, History};
use crate::space::{Config, Space};
use features::Features;
use process::{Hyper, Process, Prospect};

/// The greatest number of trials that the model is conditioned on.
const MOST: usize = 144;
/// The greatest number of trials that its length scales are fitted to.
const MOST_FITTED: usize = 96;
/// The length scales are fitted again after an eighth more outcomes, and at least two.
const REFIT_SHARE: u64 = 8;
/// Trials that the process may take in between two fits, however long the history is.
const MOST_APPENDED: usize = 32;
/// Drafts whose uncertainty is computed exactly; the others are ruled out by a bound.
const FINALISTS: usize = 32;
/// Losses above this quantile of the measured ones are all alike: very bad.
const CLIP: f64 = 0.9;

/// The model of one candidate's space.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    features: Features,
    hyper: Hyper,
    /// Outcomes told when the length scales were fitted.
    fitted_at: Option<u64>,
    process: Process,
    /// The trials that the process knows, by their place in the history.
    known: Vec<usize>,
    /// 1 for each known trial that was measured, 0 for one that failed.
    successes: Vec<f64>,
    /// The share of the known trials that were measured.
    success_rate: f64,
    /// The best loss, scaled as the targets are.
    best: f64,
}

impl Model {
    pub(crate) fn new(space: &Space) -> Self {
        let features = Features::new(space);
        let hyper = Hyper::new(features.groups());
        Self {
            process: Process::new(&features, &hyper),
            features,
            hyper,
            fitted_at: None,
            known: Vec::new(),
            successes: Vec::new(),
            success_rate: 1.0,
            best: 0.0,
        }
    }

    /// Takes the outcome of a trial in, given by its place in the history. The length scales are
    /// fitted again when enough outcomes were told since the last time; in between, a new trial
    /// costs the square of the number of trials.
    pub(crate) fn learn(&mut self, history: &History, place: usize, told: u64) {
        let Some(scale) = Scale::new(history) else {
            return;
        };
        let grown = |at: u64| told >= at + (at / REFIT_SHARE).max(2);
        let due = self.fitted_at.is_none_or(grown) || self.known.len() >= MOST + MOST_APPENDED;
        if due {
            self.refit(history, &scale, told);
        } else if self
            .process
            .append(self.features.of(&history.entries()[place].config))
        {
            self.known.push(place);
        }
        let entries: Vec<&Entry> = self
            .known
            .iter()
            .map(|known| &history.entries()[*known])
            .collect();
        self.process
            .condition(entries.iter().map(|entry| scale.target(entry)).collect());
        let success = |entry: &&Entry| f64::from(u8::from(entry.loss().is_some()));
        self.successes = entries.iter().map(success).collect();
        self.success_rate = self.successes.iter().sum::<f64>() / self.successes.len().max(1) as f64;
        self.best = scale.best;
    }

    fn refit(&mut self, history: &History, scale: &Scale, told: u64) {
        let entries = history.entries();
        let mut rated: Vec<(f64, usize)> = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.verdict.is_some())
            .map(|(place, entry)| (scale.target(entry), place))
            .collect();
        rated.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let few = thin_out(&rated, MOST_FITTED);
        let point = |place: usize| self.features.of(&entries[place].config);
        let points: Vec<Vec<f64>> = few.iter().map(|(_, place)| point(*place)).collect();
        let targets: Vec<f64> = few.iter().map(|(target, _)| *target).collect();
        let sweeps = if self.fitted_at.is_none() { 3 } else { 1 };
        self.hyper.fit(&self.features, &points, &targets, sweeps);
        self.fitted_at = Some(told);
        self.process = Process::new(&self.features, &self.hyper);
        self.known.clear();
        for (_, place) in thin_out(&rated, MOST) {
            if self
                .process
                .append(self.features.of(&entries[place].config))
            {
                self.known.push(place);
            }
        }
    }

    /// Chooses a place in a pool; `None` while nothing was learnt.
    pub(crate) fn choose(&self, history: &History, pool: &[&Config]) -> Option<usize> {
        self.fitted_at?;
        let mut process = Cow::Borrowed(&self.process);
        // An outstanding proposal counts as if it had turned out as expected: that takes away
        // the uncertainty about it, and with it the wish to try its neighbours at once.
        for pending in history.pending() {
            process.to_mut().believe(self.features.of(&pending.config));
        }
        let mut rated: Vec<(f64, usize, Prospect)> = pool
            .iter()
            .enumerate()
            .map(|(place, config)| {
                let prospect = process.prospect(self.features.of(config));
                (self.value(&prospect, prospect.most_sd), place, prospect)
            })
            .collect();
        rated.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        rated.truncate(FINALISTS);
        let mut chosen: Option<(f64, usize)> = None;
        for (bound, place, prospect) in &rated {
            if chosen.is_some_and(|(most, _)| *bound <= most) {
                break;
            }
            let value = self.value(prospect, process.exact_sd(prospect));
            if chosen.is_none_or(|(most, _)| value > most) {
                chosen = Some((value, *place));
            }
        }
        chosen.map(|(_, place)| place)
    }

    /// The expected improvement times the chance that there is anything to measure: successes
    /// nearby count by their correlation, and the overall rate counts as one trial.
    fn value(&self, prospect: &Prospect, sd: f64) -> f64 {
        let (mut near, mut all) = (self.success_rate, 1.0);
        for (correlation, success) in prospect.correlations.iter().zip(&self.successes) {
            near += correlation * success;
            all += correlation;
        }
        near / all * expected_improvement(self.best, prospect.mean, sd)
    }
}

/// How losses become targets: mean 0, deviation 1, the worst ones and failures alike.
struct Scale {
    mean: f64,
    deviation: f64,
    clip: f64,
    /// The best loss, scaled.
    best: f64,
}

impl Scale {
    /// `None` while fewer than two trials were measured.
    fn new(history: &History) -> Option<Self> {
        let mut measured: Vec<f64> = history.told().filter_map(|(_, v)| v.loss()).collect();
        if measured.len() < 2 {
            return None;
        }
        measured.sort_by(f64::total_cmp);
        let best = *measured.first()?;
        let clip = *measured.get(((measured.len() - 1) as f64 * CLIP).round() as usize)?;
        let n = measured.len() as f64;
        let mean = measured.iter().map(|loss| loss.min(clip)).sum::<f64>() / n;
        let square = |loss: &f64| (loss.min(clip) - mean) * (loss.min(clip) - mean);
        let deviation = (measured.iter().map(square).sum::<f64>() / n)
            .sqrt()
            .max(1e-6);
        Some(Self {
            mean,
            deviation,
            clip,
            best: (best - mean) / deviation,
        })
    }

    fn target(&self, entry: &Entry) -> f64 {
        (entry.loss().map_or(self.clip, |loss| loss.min(self.clip)) - self.mean) / self.deviation
    }
}

/// The best two thirds of what fits, and evenly spaced ones of the rest. `rows` are sorted.
fn thin_out<T: Clone>(rows: &[T], most: usize) -> Vec<T> {
    let (head, tail) = rows.split_at(rows.len().min(most * 2 / 3));
    let wanted = most - head.len();
    let spread = (0..wanted).filter_map(|i| tail.get(i * tail.len() / wanted.max(1)));
    head.iter().chain(spread).cloned().collect()
}

/// The expected improvement over `best` of a normal prediction.
fn expected_improvement(best: f64, mean: f64, sd: f64) -> f64 {
    let sd = sd.max(1e-9);
    let z = (best - mean) / sd;
    let density = libm::exp(-0.5 * z * z) * 0.398_942_280_401_432_7;
    let below = 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2);
    sd * (z * below + density)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_improvement_is_that_of_a_normal_distribution() {
        assert!((expected_improvement(0.0, 0.0, 1.0) - 0.398_942).abs() < 1e-6);
        assert!((expected_improvement(5.0, 0.0, 1e-3) - 5.0).abs() < 1e-6);
        assert!(expected_improvement(0.0, 9.0, 1.0) < 1e-9);
    }

    #[test]
    fn thinning_keeps_the_best_and_spreads_over_the_rest() {
        let rows: Vec<usize> = (0..100).collect();
        let kept = thin_out(&rows, 30);
        assert_eq!(kept.len(), 30);
        assert_eq!(kept[..20], rows[..20]);
        assert!(kept[20..].windows(2).all(|pair| pair[0] < pair[1]) && kept[29] > 90);
    }
}
