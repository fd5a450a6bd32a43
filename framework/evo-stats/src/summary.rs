//! The figures of one series of samples.

use serde::{Deserialize, Serialize};

use crate::bootstrap::{percentile_interval, resampled_medians};
use crate::error::{StatsError, check_finite};
use crate::interval::Interval;
use crate::order::LEAST_SAMPLES;
use crate::quantile::{blend, quantile_sorted, sorted};

/// The figures of one series of samples, in the unit of the samples. Quantiles are of type 7
/// ([`crate::QUANTILE_DEFINITION`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of samples.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divided by `n - 1`); zero for a single sample.
    pub std_dev: f64,
    /// Least sample.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// The 0.9 quantile.
    pub p90: f64,
    /// Greatest sample.
    pub max: f64,
    /// The median with its 95 % interval by percentile block bootstrap
    /// ([`crate::RESAMPLES`] resamples, fixed seed); absent below [`LEAST_SAMPLES`] samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_ci: Option<Interval>,
}

impl Summary {
    /// The figures of samples in the order in which they were taken: the block bootstrap uses
    /// that order.
    ///
    /// # Errors
    /// No samples, or one that is not finite.
    pub fn of(samples: &[f64]) -> Result<Self, StatsError> {
        check_finite(samples)?;
        let ordered = sorted(samples);
        let (Some(&min), Some(&max), Some(p50), Some(p90)) = (
            ordered.first(),
            ordered.last(),
            quantile_sorted(&ordered, 0.5),
            quantile_sorted(&ordered, 0.9),
        ) else {
            return Err(StatsError::TooFew { needed: 1, got: 0 });
        };
        let (mean, std_dev) = mean_and_std_dev(&ordered);
        let median_ci = (samples.len() >= LEAST_SAMPLES)
            .then(|| percentile_interval(p50, resampled_medians(samples)));
        Ok(Self {
            n: samples.len(),
            mean,
            std_dev,
            min,
            p50,
            p90,
            max,
            median_ci,
        })
    }
}

/// Mean and sample standard deviation of sorted samples, taken in units of the largest magnitude
/// so that no square overflows.
pub(crate) fn mean_and_std_dev(ordered: &[f64]) -> (f64, f64) {
    let (Some(&min), Some(&max)) = (ordered.first(), ordered.last()) else {
        return (f64::NAN, f64::NAN);
    };
    let n = ordered.len() as f64;
    let middle = blend(min, max, 0.5);
    let scale = max * 0.5 - min * 0.5;
    if scale == 0.0 || !(1.0 / scale).is_finite() {
        return (middle, 0.0);
    }
    let unit = |sample: &f64| sample / scale - middle / scale;
    let mean = ordered.iter().map(unit).sum::<f64>() / n;
    let squares: f64 = ordered
        .iter()
        .map(|sample| (unit(sample) - mean).powi(2))
        .sum();
    let std_dev = (squares / (n - 1.0).max(1.0)).sqrt() * scale;
    (
        (mean * scale + middle).clamp(min, max),
        std_dev.min(f64::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_known_series() {
        let summary = Summary::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!(
            (summary.n, summary.min, summary.p50, summary.max),
            (8, 2.0, 4.5, 9.0)
        );
        assert_eq!(summary.mean, 5.0);
        assert!((summary.std_dev - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert!((summary.p90 - 7.6).abs() < 1e-12);
        let interval = summary.median_ci.unwrap();
        assert_eq!(interval.estimate, 4.5);
        assert!(interval.low >= 2.0 && interval.high <= 9.0 && interval.low < interval.high);
    }

    #[test]
    fn the_interval_covers_the_truth_nineteen_times_in_twenty() {
        use rand::SeedableRng;
        use rand_distr::{Distribution, LogNormal};
        let (mut rng, noise) = (
            rand_chacha::ChaCha8Rng::seed_from_u64(5),
            LogNormal::new(0.0, 0.1).unwrap(),
        );
        let covered = (0..1_000)
            .filter(|_| {
                let samples: Vec<f64> = (0..60).map(|_| noise.sample(&mut rng)).collect();
                Summary::of(&samples)
                    .unwrap()
                    .median_ci
                    .unwrap()
                    .contains(1.0)
            })
            .count();
        // The percentile bootstrap is a little short at 60 samples.
        assert!(
            (920..=970).contains(&covered),
            "covered {covered} times of 1,000"
        );
    }

    #[test]
    fn few_samples_have_no_interval_and_none_have_no_summary() {
        let one = Summary::of(&[3.0]).unwrap();
        assert_eq!((one.p50, one.std_dev, one.median_ci), (3.0, 0.0, None));
        assert_eq!(
            Summary::of(&[]),
            Err(StatsError::TooFew { needed: 1, got: 0 })
        );
        let error = Summary::of(&[1.0, f64::NAN]).unwrap_err();
        assert_eq!(error.to_string(), "sample 1 is NaN, not a finite number");
    }

    #[test]
    fn survives_json() {
        for samples in [&[1.0, 2.0, 3.0][..], &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]] {
            let summary = Summary::of(samples).unwrap();
            let text = serde_json::to_string(&summary).unwrap();
            assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
        }
    }
}
