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
//! per proposal is bounded: beyond `Tuning::model_trials` trials the best and an even selection of the
//! others stand for the whole history. The whole history is looked through only where the length
//! scales are fitted, which happens ever more rarely: the cost of all of that grows as n log n.

mod features;
mod process;

use std::borrow::Cow;

use super::history::{Entry, History};
use super::settings::Tuning;
use crate::space::{Config, Space};
use features::Features;
use process::{Hyper, Process, Prospect};

/// The length scales are fitted again after an eighth more outcomes, and at least two.
const REFIT_SHARE: u64 = 8;
/// Trials that the process may take in beyond those that it starts with.
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
    tuning: Tuning,
    /// Outcomes told when the length scales were fitted.
    fitted_at: Option<u64>,
    /// Trials that were measured.
    measured: u64,
    process: Process,
    /// The trials that the process knows, by their place in the history.
    known: Vec<usize>,
    /// The losses of the known trials; `None` for one that failed.
    losses: Vec<Option<f64>>,
    /// 1 for each known trial that was measured, 0 for one that failed.
    successes: Vec<f64>,
    /// The share of the known trials that were measured.
    success_rate: f64,
    /// The best loss, scaled as the targets are.
    best: f64,
}

impl Model {
    pub(crate) fn new(space: &Space, tuning: &Tuning) -> Self {
        let features = Features::new(space);
        let hyper = Hyper::new(features.groups(), tuning.length_scale);
        Self {
            process: Process::new(&features, &hyper),
            features,
            hyper,
            tuning: tuning.clone(),
            fitted_at: None,
            measured: 0,
            known: Vec::new(),
            losses: Vec::new(),
            successes: Vec::new(),
            success_rate: 1.0,
            best: 0.0,
        }
    }

    /// Takes the outcome of a trial in, given by its place in the history. The length scales are
    /// fitted again when enough outcomes were told since the last time; in between, a new trial
    /// costs the square of the number of trials.
    pub(crate) fn learn(&mut self, history: &History, place: usize, told: u64) {
        let entries = history.entries();
        let Some(entry) = entries.get(place) else {
            return;
        };
        self.measured += u64::from(entry.loss().is_some());
        if self.measured < 2 {
            return;
        }
        let grown = |at: u64| told >= at + (at / REFIT_SHARE).max(2);
        if self.fitted_at.is_none_or(grown) {
            let all = entries.iter().enumerate();
            let told_places = all.filter(|(_, entry)| entry.verdict.is_some());
            let places = rated(told_places.map(|(place, entry)| (place, entry.loss())));
            self.fit(history, &places);
            self.fitted_at = Some(told);
            self.know(history, thin_out(&places, self.tuning.model_trials));
        } else {
            if self.known.len() >= self.tuning.model_trials + MOST_APPENDED {
                // Those that it knows, thinned out: the next fit looks at all trials again.
                let known = self.known.iter().copied().zip(self.losses.iter().copied());
                let kept = thin_out(&rated(known), self.tuning.model_trials);
                self.know(history, kept);
            }
            self.take(place, entry);
        }
        self.condition();
    }

    /// Fits the length scales to the best of the trials and some of the others.
    fn fit(&mut self, history: &History, places: &[(usize, Option<f64>)]) {
        let few = thin_out(places, self.tuning.fit_trials);
        let entries = few
            .iter()
            .filter_map(|(place, _)| history.entries().get(*place));
        let points: Vec<Vec<f64>> = entries
            .map(|entry| self.features.of(&entry.config))
            .collect();
        let losses: Vec<Option<f64>> = few.iter().map(|(_, loss)| *loss).collect();
        let Some(scale) = Scale::new(&losses) else {
            return;
        };
        let targets: Vec<f64> = losses.iter().map(|loss| scale.target(*loss)).collect();
        let steps = if self.fitted_at.is_none() { 2 } else { 1 } * self.tuning.fit_steps;
        self.hyper.fit(&self.features, &points, &targets, steps);
    }

    /// Starts the process again with these trials.
    fn know(&mut self, history: &History, places: Vec<(usize, Option<f64>)>) {
        self.process = Process::new(&self.features, &self.hyper);
        self.known.clear();
        self.losses.clear();
        for (place, _) in places {
            if let Some(entry) = history.entries().get(place) {
                self.take(place, entry);
            }
        }
    }

    fn take(&mut self, place: usize, entry: &Entry) {
        if self.process.append(self.features.of(&entry.config)) {
            self.known.push(place);
            self.losses.push(entry.loss());
        }
    }

    fn condition(&mut self) {
        let Some(scale) = Scale::new(&self.losses) else {
            return;
        };
        let targets = self.losses.iter().map(|loss| scale.target(*loss));
        self.process.condition(targets.collect());
        let success = |loss: &Option<f64>| f64::from(u8::from(loss.is_some()));
        self.successes = self.losses.iter().map(success).collect();
        self.success_rate = self.successes.iter().sum::<f64>() / self.successes.len().max(1) as f64;
        self.best = scale.best;
    }

    /// Chooses a place in a pool; `None` while nothing was learnt.
    pub(crate) fn choose(&self, history: &History, pool: &[&Config]) -> Option<usize> {
        self.fitted_at?;
        let mut process = Cow::Borrowed(&self.process);
        // An outstanding proposal counts as if it had turned out as expected: that takes away
        // the uncertainty about it, and with it the wish to try its neighbours at once. What is
        // expected to be better than the best is what the next one has to improve on (the Kriging
        // believer of Ginsbourger, Le Riche, Carraro, 2010).
        let mut best = self.best;
        for pending in history.pending() {
            let believed = process.to_mut().believe(self.features.of(&pending.config));
            best = best.min(believed);
        }
        let mut rated: Vec<(f64, usize, Prospect)> = pool
            .iter()
            .enumerate()
            .map(|(place, config)| {
                let prospect = process.prospect(self.features.of(config));
                (
                    self.value(best, &prospect, prospect.most_sd),
                    place,
                    prospect,
                )
            })
            .collect();
        rated.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        rated.truncate(FINALISTS);
        let mut chosen: Option<(f64, usize)> = None;
        for (bound, place, prospect) in &rated {
            if chosen.is_some_and(|(most, _)| *bound <= most) {
                break;
            }
            let value = self.value(best, prospect, process.exact_sd(prospect));
            if chosen.is_none_or(|(most, _)| value > most) {
                chosen = Some((value, *place));
            }
        }
        chosen.map(|(_, place)| place)
    }

    /// The expected improvement times the chance that there is anything to measure: successes
    /// nearby count by their correlation, and the overall rate counts as one trial.
    fn value(&self, best: f64, prospect: &Prospect, sd: f64) -> f64 {
        let (mut near, mut all) = (self.success_rate, 1.0);
        for (correlation, success) in prospect.correlations.iter().zip(&self.successes) {
            near += correlation * success;
            all += correlation;
        }
        near / all * expected_improvement(best, prospect.mean, sd)
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
    fn new(losses: &[Option<f64>]) -> Option<Self> {
        let mut measured: Vec<f64> = losses.iter().copied().flatten().collect();
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

    fn target(&self, loss: Option<f64>) -> f64 {
        (loss.map_or(self.clip, |loss| loss.min(self.clip)) - self.mean) / self.deviation
    }
}

/// Trials from the best loss to the worst, failures last.
fn rated(trials: impl Iterator<Item = (usize, Option<f64>)>) -> Vec<(usize, Option<f64>)> {
    let mut rated: Vec<(usize, Option<f64>)> = trials.collect();
    let key = |loss: &Option<f64>| loss.unwrap_or(f64::INFINITY);
    rated.sort_by(|a, b| key(&a.1).total_cmp(&key(&b.1)).then(a.0.cmp(&b.0)));
    rated
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
