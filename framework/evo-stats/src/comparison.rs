//! Is one candidate faster than another?

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::bootstrap::{BlockSampler, RESAMPLES, Ranked, percentile_interval, resampled_medians};
use crate::error::{StatsError, check_option, check_option_or_zero, check_positive};
use crate::interval::{CONFIDENCE, Interval, IntervalMethod};
use crate::order::LEAST_SAMPLES;
use crate::quantile::sorted;
use crate::summary::mean_and_std_dev;

/// Interleaved times of two candidates: round `i` measured `candidate[i]` and `baseline[i]` one
/// right after the other. All rounds of one value come from one process or pair of processes.
#[derive(Debug, Clone, Copy)]
pub struct Rounds<'a> {
    /// Times of the candidate, one a round.
    pub candidate: &'a [f64],
    /// Times of what it is compared with, one a round, in the same unit.
    pub baseline: &'a [f64],
}

/// What is assumed and what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ComparisonOptions {
    /// The smallest effect of interest, as a fraction of the time.
    pub margin: f64,
    /// The standard deviation of the ratio between two processes that run the same code, as a
    /// fraction: what is believed before a second process pair has been seen.
    pub process_sd: f64,
    /// How firmly that is believed, in degrees of freedom.
    pub process_df: f64,
}

impl Default for ComparisonOptions {
    fn default() -> Self {
        Self {
            margin: 0.01,
            process_sd: 0.005,
            process_df: 4.0,
        }
    }
}

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate takes less time.
    Faster,
    /// The candidate takes more time.
    Slower,
    /// The samples do not tell them apart.
    NotDistinguishable,
}

impl Verdict {
    /// The verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::NotDistinguishable => "not distinguishable",
        }
    }
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The verdict.
    pub verdict: Verdict,
    /// The candidate's time over the baseline's, with its 95 % interval. Below 1 is faster.
    pub ratio: Interval,
    /// The smallest effect of interest that was asked about.
    pub margin: f64,
    /// Number of groups of rounds: processes or pairs of processes.
    pub groups: usize,
    /// Number of rounds over all groups.
    pub rounds: usize,
}

impl Comparison {
    /// Compares two candidates over groups of interleaved rounds, one group for each process or
    /// process pair.
    ///
    /// # Errors
    /// Sides of unlike length, fewer than [`LEAST_SAMPLES`] rounds in a group, a time that is not
    /// finite and above zero, no groups, or an option out of range.
    pub fn of(groups: &[Rounds<'_>], options: &ComparisonOptions) -> Result<Self, StatsError> {
        check_option_or_zero("margin", options.margin)?;
        check_option_or_zero("process_sd", options.process_sd)?;
        check_option("process_df", options.process_df)?;
        let effects = groups
            .iter()
            .map(Effect::of)
            .collect::<Result<Vec<_>, _>>()?;
        let (estimate, half_width) = combine(&effects, options)?;
        let ratio = Interval::around(
            estimate.exp(),
            (estimate - half_width).exp(),
            (estimate + half_width).exp(),
            IntervalMethod::ModeratedT,
        );
        let matters = estimate.abs() > options.margin.ln_1p() && estimate.abs() > half_width;
        let verdict = match (matters, estimate < 0.0) {
            (false, _) => Verdict::NotDistinguishable,
            (true, true) => Verdict::Faster,
            (true, false) => Verdict::Slower,
        };
        let rounds = groups.iter().map(|group| group.candidate.len()).sum();
        Ok(Self {
            verdict,
            ratio,
            margin: options.margin,
            groups: groups.len(),
            rounds,
        })
    }

    /// The baseline's time over the candidate's, with its 95 % interval. Above 1 is faster.
    pub fn speedup(&self) -> Interval {
        self.ratio.reciprocal()
    }
}

/// What one group says: the median of the logarithm of the ratio of a round, and the variance of
/// that median.
struct Effect {
    log_ratio: f64,
    variance: f64,
}

impl Effect {
    fn of(rounds: &Rounds<'_>) -> Result<Self, StatsError> {
        check_rounds(rounds.candidate, rounds.baseline)?;
        let pairs = rounds.candidate.iter().zip(rounds.baseline);
        let logs: Vec<f64> = pairs.map(|(left, right)| left.ln() - right.ln()).collect();
        let log_ratio = Ranked::new(&logs).median();
        let (_, std_dev) = mean_and_std_dev(&sorted(&resampled_medians(&logs)));
        Ok(Self {
            log_ratio,
            variance: std_dev * std_dev,
        })
    }
}

fn check_rounds(left: &[f64], right: &[f64]) -> Result<(), StatsError> {
    if left.len() != right.len() {
        return Err(StatsError::Unpaired {
            left: left.len(),
            right: right.len(),
        });
    }
    if left.len() < LEAST_SAMPLES {
        return Err(StatsError::TooFew {
            needed: LEAST_SAMPLES,
            got: left.len(),
        });
    }
    check_positive(left)?;
    check_positive(right)
}

/// The mean effect of the groups and the half width of its interval.
fn combine(effects: &[Effect], options: &ComparisonOptions) -> Result<(f64, f64), StatsError> {
    if effects.is_empty() {
        return Err(StatsError::TooFew { needed: 1, got: 0 });
    }
    let n = effects.len() as f64;
    let logs: Vec<f64> = effects.iter().map(|effect| effect.log_ratio).collect();
    let (mean, std_dev) = mean_and_std_dev(&sorted(&logs));
    let within = effects.iter().map(|effect| effect.variance).sum::<f64>() / n;
    let prior = options.process_sd.powi(2) + within;
    let freedom = options.process_df + n - 1.0;
    let variance = (options.process_df * prior + (n - 1.0) * std_dev * std_dev) / freedom;
    let quantile = StudentsT::new(0.0, 1.0, freedom)
        .map(|t| t.inverse_cdf(0.5 + CONFIDENCE / 2.0))
        .unwrap_or(f64::INFINITY);
    Ok((mean, quantile * (variance / n).sqrt()))
}

/// The ratio of two medians over interleaved rounds, with the percentile block bootstrap over the
/// rounds of one process: a speedup when the slower one comes first. It knows nothing of the
/// differences between processes; [`Comparison`] does.
///
/// # Errors
/// Sides of unlike length, fewer than [`LEAST_SAMPLES`] rounds, or a sample that is not finite and
/// above zero.
pub fn ratio_of_medians(numerator: &[f64], denominator: &[f64]) -> Result<Interval, StatsError> {
    check_rounds(numerator, denominator)?;
    let (mut above, mut below) = (Ranked::new(numerator), Ranked::new(denominator));
    let estimate = above.median() / below.median();
    let mut sampler = BlockSampler::new(numerator.len());
    let resampled = (0..RESAMPLES)
        .map(|_| {
            let positions = sampler.draw();
            above.median_at(positions) / below.median_at(positions)
        })
        .collect();
    Ok(percentile_interval(estimate, resampled))
}
