//! Warm-up: when a series has settled.

use crate::error::{StatsError, check_finite, check_option, check_option_or_zero};
use crate::quantile::median;

/// When a warm-up ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmUpOptions {
    /// Samples in each of the two windows whose medians are compared.
    pub window: usize,
    /// The two medians agree when they differ by this fraction of the newer one or less.
    pub tolerance: f64,
    /// The warm-up lasts at least so many seconds: for devices that look settled before they are.
    pub least_seconds: f64,
    /// The warm-up ends after this many samples, settled or not, unless that is too early.
    pub max_samples: usize,
    /// The warm-up ends after this many seconds, settled or not, unless that is too early.
    pub max_seconds: f64,
}

impl Default for WarmUpOptions {
    fn default() -> Self {
        Self {
            window: 5,
            tolerance: 0.02,
            least_seconds: 0.0,
            max_samples: 50,
            max_seconds: 1.0,
        }
    }
}

/// How a warm-up stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarmUpState {
    /// Take another sample.
    Warming,
    /// The running median has settled.
    Settled,
    /// A bound was reached first: measure anyway, and say so.
    GaveUp,
}

/// Watches the samples of a warm-up, none of which enter the measurement.
#[derive(Debug, Clone)]
pub struct WarmUp {
    options: WarmUpOptions,
    samples: Vec<f64>,
}

impl WarmUp {
    /// Starts a warm-up.
    ///
    /// # Errors
    /// A window or a number of samples of zero, or a negative or non-finite option.
    pub fn new(options: WarmUpOptions) -> Result<Self, StatsError> {
        check_option("window", options.window as f64)?;
        check_option_or_zero("tolerance", options.tolerance)?;
        check_option_or_zero("least_seconds", options.least_seconds)?;
        check_option("max_samples", options.max_samples as f64)?;
        check_option_or_zero("max_seconds", options.max_seconds)?;
        Ok(Self {
            options,
            samples: Vec::new(),
        })
    }

    /// Takes a sample and the seconds since the warm-up began.
    ///
    /// # Errors
    /// A sample that is not finite; it is not kept.
    pub fn push(&mut self, sample: f64, elapsed_s: f64) -> Result<WarmUpState, StatsError> {
        check_finite(&[sample]).map_err(|_| StatsError::NotFinite {
            index: self.samples.len(),
            value: sample,
        })?;
        self.samples.push(sample);
        let full = self.samples.len() >= self.options.max_samples;
        Ok(if elapsed_s < self.options.least_seconds {
            WarmUpState::Warming
        } else if self.is_settled() {
            WarmUpState::Settled
        } else if full || elapsed_s >= self.options.max_seconds {
            WarmUpState::GaveUp
        } else {
            WarmUpState::Warming
        })
    }

    /// The samples so far.
    pub fn samples(&self) -> &[f64] {
        &self.samples
    }

    /// Whether the medians of the last two windows agree.
    fn is_settled(&self) -> bool {
        let mut windows = self.samples.rchunks_exact(self.options.window).map(median);
        match (windows.next().flatten(), windows.next().flatten()) {
            (Some(newer), Some(older)) => {
                (newer - older).abs() <= self.options.tolerance * newer.abs()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(times: impl IntoIterator<Item = f64>) -> (usize, WarmUpState) {
        run_with(WarmUpOptions::default(), times)
    }

    fn run_with(
        options: WarmUpOptions,
        times: impl IntoIterator<Item = f64>,
    ) -> (usize, WarmUpState) {
        let mut warm_up = WarmUp::new(options).unwrap();
        let mut state = WarmUpState::Warming;
        let mut elapsed = 0.0;
        for time in times {
            elapsed += time;
            state = warm_up.push(time, elapsed).unwrap();
            if state != WarmUpState::Warming {
                break;
            }
        }
        (warm_up.samples().len(), state)
    }

    #[test]
    fn a_steady_series_takes_two_windows() {
        assert_eq!(run([1e-3; 20]), (10, WarmUpState::Settled));
    }

    #[test]
    fn a_ramp_takes_until_it_ends() {
        let ramp = (0..50).map(|i| 1e-3 * (1.0 + (20.0 - f64::from(i)).max(0.0) / 10.0));
        let (taken, state) = run(ramp);
        assert_eq!(state, WarmUpState::Settled);
        assert!(
            (21..=30).contains(&taken),
            "settled after {taken} samples, the ramp ends at 20"
        );
    }

    #[test]
    fn a_single_spike_does_not_unsettle() {
        let spiked = (0..20).map(|i| if i == 7 { 1e-2 } else { 1e-3 });
        assert_eq!(run(spiked), (10, WarmUpState::Settled));
    }

    #[test]
    fn a_series_that_never_settles_is_bounded_in_samples_and_in_time() {
        assert_eq!(
            run((0..99).map(|i| 1e-6 * 1.1_f64.powi(i))),
            (50, WarmUpState::GaveUp)
        );
        assert_eq!(
            run((0..99).map(|i| 0.3 + f64::from(i))),
            (2, WarmUpState::GaveUp)
        );
    }

    #[test]
    fn a_least_time_is_waited_for_whatever_the_samples_say() {
        let options = WarmUpOptions {
            least_seconds: 0.0305,
            ..WarmUpOptions::default()
        };
        assert_eq!(
            run_with(options, [1e-3; 99]),
            (31, WarmUpState::Settled),
            "a steady series"
        );
        let options = WarmUpOptions {
            least_seconds: 0.0705,
            max_seconds: 0.01,
            ..options
        };
        let growing = (0..99).map(|i| 1e-3 * if i / 5 % 2 == 0 { 1.0 } else { 1.2 });
        let (taken, state) = run_with(options, growing);
        assert_eq!(state, WarmUpState::GaveUp);
        assert!(
            (60..=70).contains(&taken),
            "{taken}: beyond the most samples and seconds"
        );
    }

    #[test]
    fn refuses_nonsense() {
        let none = WarmUpOptions {
            window: 0,
            ..WarmUpOptions::default()
        };
        assert!(WarmUp::new(none).is_err());
        let mut warm_up = WarmUp::new(WarmUpOptions::default()).unwrap();
        assert!(warm_up.push(f64::NAN, 0.0).is_err());
        assert!(warm_up.samples().is_empty());
    }
}
