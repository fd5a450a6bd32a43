//! When to stop sampling.

use serde::{Deserialize, Serialize};

use crate::bootstrap::{percentile_interval, resampled_medians};
use crate::error::{StatsError, check_option, check_option_or_zero};
use crate::interval::Interval;
use crate::order::{LEAST_SAMPLES, median_interval_sorted};

/// A race against the best known candidate: smaller samples win.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Race {
    /// The upper end of the incumbent's interval, in the unit of the samples.
    pub incumbent_high: f64,
    /// The candidate is raced out when its lower end is above this many times the incumbent's
    /// upper end. It must be well above 1: processes differ, and a candidate that is only a
    /// little slower deserves its full measurement.
    pub factor: f64,
}

impl Race {
    /// A race with the usual factor: a candidate is far behind when it is certainly a quarter
    /// slower.
    pub fn against(incumbent_high: f64) -> Self {
        Self {
            incumbent_high,
            factor: 1.25,
        }
    }
}

/// When a measurement ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StoppingOptions {
    /// The goal: the width of the 95 % interval of the median as a fraction of the median.
    pub width: f64,
    /// Samples taken at least, before convergence is asked about; never fewer than
    /// [`LEAST_SAMPLES`].
    pub min_samples: usize,
    /// Samples taken at most.
    pub max_samples: usize,
    /// Seconds taken at most.
    pub max_seconds: f64,
    /// The race, where there is an incumbent.
    pub race: Option<Race>,
}

impl Default for StoppingOptions {
    fn default() -> Self {
        Self {
            width: 0.01,
            min_samples: 20,
            max_samples: 400,
            max_seconds: 2.0,
            race: None,
        }
    }
}

/// What to do after a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Take another sample.
    Continue,
    /// The interval of the median is as narrow as asked.
    Converged,
    /// The samples or the seconds are spent.
    BudgetSpent,
    /// The candidate is far behind the incumbent.
    RacedOut,
}

/// Takes samples one by one and says when they are enough.
///
/// Two intervals are at work. After each sample, the order-statistic interval
/// ([`median_interval_sorted`]) is looked up: it costs next to nothing, but believes that samples
/// are independent. When it is narrow enough, the block bootstrap, which does not believe that, is
/// asked as well, and only its word ends the measurement. A failed question is not repeated until
/// a tenth more samples are in.
#[derive(Debug, Clone)]
pub struct StoppingRule {
    options: StoppingOptions,
    samples: Vec<f64>,
    sorted: Vec<f64>,
    ask_again_at: usize,
}

impl StoppingRule {
    /// Starts a measurement.
    ///
    /// # Errors
    /// An option that is negative, zero where it must not be, or not finite.
    pub fn new(options: StoppingOptions) -> Result<Self, StatsError> {
        check_option("width", options.width)?;
        check_option("max_samples", options.max_samples as f64)?;
        check_option_or_zero("max_seconds", options.max_seconds)?;
        if let Some(race) = options.race {
            check_option("incumbent_high", race.incumbent_high)?;
            check_option("factor", race.factor)?;
        }
        Ok(Self {
            options,
            samples: Vec::new(),
            sorted: Vec::new(),
            ask_again_at: 0,
        })
    }

    /// Takes a sample and the seconds since the measurement began.
    ///
    /// # Errors
    /// A sample that is not finite; it is not kept.
    pub fn push(&mut self, sample: f64, elapsed_s: f64) -> Result<Decision, StatsError> {
        if !sample.is_finite() {
            return Err(StatsError::NotFinite {
                index: self.samples.len(),
                value: sample,
            });
        }
        self.samples.push(sample);
        let place = self.sorted.partition_point(|other| *other <= sample);
        self.sorted.insert(place, sample);

        let quick = median_interval_sorted(&self.sorted);
        Ok(
            if quick.is_some_and(|interval| self.is_raced_out(&interval)) {
                Decision::RacedOut
            } else if quick.is_some_and(|interval| self.has_converged(&interval)) {
                Decision::Converged
            } else if self.samples.len() >= self.options.max_samples
                || elapsed_s >= self.options.max_seconds
            {
                Decision::BudgetSpent
            } else {
                Decision::Continue
            },
        )
    }

    /// The samples in the order in which they came.
    pub fn samples(&self) -> &[f64] {
        &self.samples
    }

    fn is_raced_out(&self, interval: &Interval) -> bool {
        self.options
            .race
            .is_some_and(|race| interval.low > race.factor * race.incumbent_high)
    }

    fn has_converged(&mut self, quick: &Interval) -> bool {
        let n = self.samples.len();
        if n < self.options.min_samples.max(LEAST_SAMPLES)
            || n < self.ask_again_at
            || quick.relative_width() > self.options.width
        {
            return false;
        }
        self.ask_again_at = n + n.div_ceil(10);
        let careful = percentile_interval(quick.estimate, resampled_medians(&self.samples));
        careful.relative_width() <= self.options.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(options: StoppingOptions, mut sample: impl FnMut(u32) -> f64) -> (usize, Decision) {
        let mut rule = StoppingRule::new(options).unwrap();
        let mut elapsed = 0.0;
        for index in 0.. {
            let sample = sample(index);
            elapsed += sample;
            let decision = rule.push(sample, elapsed).unwrap();
            if decision != Decision::Continue {
                return (rule.samples().len(), decision);
            }
        }
        unreachable!("a measurement ends when its budget does")
    }

    /// Noise of +-`size` that is neither random nor correlated.
    fn jitter(index: u32, size: f64) -> f64 {
        size * (f64::from(index.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 23) - 1.0)
    }

    #[test]
    fn a_steady_series_takes_the_least() {
        let taken = run(StoppingOptions::default(), |_| 1e-4);
        assert_eq!(taken, (20, Decision::Converged));
    }

    #[test]
    fn more_noise_takes_more_samples() {
        let quiet = run(StoppingOptions::default(), |i| {
            1e-4 * (1.0 + jitter(i, 0.02))
        });
        let noisy = run(StoppingOptions::default(), |i| {
            1e-4 * (1.0 + jitter(i, 0.05))
        });
        assert_eq!(
            (quiet.1, noisy.1),
            (Decision::Converged, Decision::Converged)
        );
        assert!(quiet.0 < noisy.0, "{} samples, then {}", quiet.0, noisy.0);
    }

    #[test]
    fn the_budget_bounds_samples_and_seconds() {
        let wild = |i| 1e-4 * (1.0 + jitter(i, 0.9));
        assert_eq!(
            run(StoppingOptions::default(), wild),
            (400, Decision::BudgetSpent)
        );
        let brief = StoppingOptions {
            max_seconds: 1e-3,
            ..StoppingOptions::default()
        };
        let (taken, decision) = run(brief, wild);
        assert_eq!(decision, Decision::BudgetSpent);
        assert!(
            (5..20).contains(&taken),
            "{taken} samples of about 0.1 ms in 1 ms"
        );
    }

    #[test]
    fn a_candidate_far_behind_stops_at_once_and_one_close_behind_does_not() {
        let race = Some(Race::against(1e-4));
        let options = StoppingOptions {
            race,
            ..StoppingOptions::default()
        };
        assert_eq!(
            run(options, |_| 1.3e-4),
            (LEAST_SAMPLES, Decision::RacedOut)
        );
        assert_eq!(run(options, |_| 1.2e-4), (20, Decision::Converged));
    }

    #[test]
    fn alike_neighbours_are_not_taken_for_independent_samples() {
        // Each value comes in a run of six: as many samples, a sixth of the information.
        let in_runs = |i: u32| 1e-4 * (1.0 + jitter(i / 6, 0.03));
        let (taken, decision) = run(StoppingOptions::default(), in_runs);
        assert_eq!(decision, Decision::Converged);
        let believer = (20..).find(|n| {
            let mut sorted: Vec<f64> = (0..*n).map(in_runs).collect();
            sorted.sort_by(f64::total_cmp);
            median_interval_sorted(&sorted).unwrap().relative_width() <= 0.01
        });
        let believer = believer.unwrap() as usize;
        assert!(
            taken > believer + 20,
            "{taken} samples, {believer} by order statistics alone"
        );
    }

    #[test]
    fn nonsense_is_an_error_and_changes_nothing() {
        let bad = StoppingOptions {
            width: 0.0,
            ..StoppingOptions::default()
        };
        assert!(matches!(
            StoppingRule::new(bad),
            Err(StatsError::BadOption { name: "width", .. })
        ));
        let mut rule = StoppingRule::new(StoppingOptions::default()).unwrap();
        assert!(rule.push(f64::INFINITY, 0.0).is_err());
        assert!(rule.samples().is_empty());
    }
}
