//! Is one candidate faster than another?
//!
//! Three kinds of noise make two measurements of the same code differ, and each is met by its own
//! part of the method:
//!
//! - *Drift and bursts* change both sides of a round alike. A round counts as one number, the
//!   logarithm of the ratio of its two times, so that they cancel. A group of rounds is
//!   summarised by the median of these numbers, which spikes do not move.
//! - *Autocorrelation*: neighbouring rounds are alike, so the variance of that median comes from a
//!   bootstrap over blocks of rounds. It tells noisy groups from quiet ones.
//! - *Processes differ* for as long as they live, by where their memory and code lie. No number of
//!   rounds in one process pair shows it. So rounds come in groups, one for each process pair,
//!   and the effect is the mean over groups, each weighted by the inverse of the variance that is
//!   expected of it: that of its median plus [`ComparisonOptions::process_sd`] squared.
//!
//! The interval is Student's t around that mean, scaled by how far the groups really scatter. With
//! a handful of groups the scatter itself is poorly known, so it is combined with the declared
//! one as if that had been seen with [`ComparisonOptions::process_df`] degrees of freedom (a
//! moderated variance, as in G. K. Smyth, "Linear models and empirical Bayes methods", 2004). That
//! also gives an honest interval for a single group. Where the groups scatter so much that the
//! declaration is refuted (beyond the 95 % point of the chi-squared distribution), it is dropped:
//! the variance between processes becomes the one under which the groups scatter as they should
//! (R. C. Paule and J. Mandel, "Consensus values and weighting factors", 1982), and the groups
//! speak alone.
//!
//! A verdict needs two things: the interval excludes 1, and the estimate is further from 1 than
//! the margin. `CALIBRATION.md` has the figures behind these choices.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

use crate::bootstrap::{BlockSampler, RESAMPLES, Ranked, percentile_interval, resampled_medians};
use crate::error::{StatsError, check_option_or_zero, check_positive};
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

/// What is asked and what is assumed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ComparisonOptions {
    /// The smallest effect of interest, as a fraction of the time.
    pub margin: f64,
    /// The standard deviation, as a fraction, of the ratio that two processes with the same code
    /// show for as long as they live: what is believed before more than one pair was seen.
    pub process_sd: f64,
    /// How firmly that is believed, in degrees of freedom, 1 to 1,000.
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
    /// The candidate's time over the baseline's, with its 95 % interval. Below 1 is faster. It is
    /// the mean over groups of the median over rounds of the ratio within a round: unlike the
    /// ratio of two medians ([`ratio_of_medians`]) it does not feel drift.
    pub ratio: Interval,
    /// The smallest effect of interest that was asked about.
    pub margin: f64,
    /// Number of groups of rounds: processes or pairs of processes.
    pub groups: usize,
    /// Number of rounds over all groups.
    pub rounds: usize,
    /// Whether the groups agree as well as was declared. When they do not, the interval has been
    /// widened for it, and more groups help more than more rounds.
    pub groups_agree: bool,
}

impl Comparison {
    /// Compares two candidates over groups of interleaved rounds, one group for each process or
    /// process pair. Five groups of twenty rounds are a good start; see `CALIBRATION.md`.
    ///
    /// # Errors
    /// Sides of unlike length, fewer than [`LEAST_SAMPLES`] rounds in a group, a time that is not
    /// finite and above zero, no groups, or an option out of range.
    pub fn of(groups: &[Rounds<'_>], options: &ComparisonOptions) -> Result<Self, StatsError> {
        options.check()?;
        if groups.is_empty() {
            return Err(StatsError::TooFew { needed: 1, got: 0 });
        }
        let effects = groups
            .iter()
            .map(Effect::of)
            .collect::<Result<Vec<_>, _>>()?;
        let Combined {
            log_ratio,
            half_width,
            groups_agree,
        } = combine(&effects, options);
        let ratio = Interval::around(
            exp(log_ratio),
            exp(log_ratio - half_width),
            exp(log_ratio + half_width),
            IntervalMethod::ModeratedT,
        );
        let told = log_ratio.abs() > half_width && log_ratio.abs() > options.margin.ln_1p();
        let verdict = match (told, log_ratio < 0.0) {
            (false, _) => Verdict::NotDistinguishable,
            (true, true) => Verdict::Faster,
            (true, false) => Verdict::Slower,
        };
        Ok(Self {
            verdict,
            ratio,
            margin: options.margin,
            groups: groups.len(),
            rounds: groups.iter().map(|group| group.candidate.len()).sum(),
            groups_agree,
        })
    }

    /// The baseline's time over the candidate's, with its 95 % interval. Above 1 is faster.
    pub fn speedup(&self) -> Interval {
        self.ratio.reciprocal()
    }
}

impl ComparisonOptions {
    fn check(&self) -> Result<(), StatsError> {
        check_option_or_zero("margin", self.margin)?;
        check_option_or_zero("process_sd", self.process_sd)?;
        if (1.0..=1000.0).contains(&self.process_df) {
            Ok(())
        } else {
            let (name, value) = ("process_df", self.process_df);
            Err(StatsError::BadOption {
                name,
                value,
                must: "1 to 1,000",
            })
        }
    }
}

/// The exponential, kept finite and above zero so that every ratio can be stored and inverted.
fn exp(log: f64) -> f64 {
    within_range(log.exp())
}

fn within_range(ratio: f64) -> f64 {
    ratio.clamp(f64::MIN_POSITIVE, 1.0 / f64::MIN_POSITIVE)
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

/// What all groups say together.
struct Combined {
    log_ratio: f64,
    half_width: f64,
    groups_agree: bool,
}

/// The interval over at least one group; the module's text explains the terms.
fn combine(effects: &[Effect], options: &ComparisonOptions) -> Combined {
    // No ratio of two floating-point numbers is known better than to their last bit.
    let declared = options.process_sd.max(f64::EPSILON).powi(2);
    let own_df = effects.len() as f64 - 1.0;
    let pooled = Pooled::of(effects, declared);
    // If what is declared is true, the scatter is chi-squared distributed.
    let refuted = ChiSquared::new(own_df)
        .is_ok_and(|expected| pooled.scatter > expected.inverse_cdf(CONFIDENCE));
    let (pooled, df, scale) = if refuted {
        (Pooled::with_scatter(effects, declared, own_df), own_df, 1.0)
    } else {
        let df = options.process_df + own_df;
        let scale = (options.process_df + pooled.scatter) / df;
        (pooled, df, scale)
    };
    let quantile = StudentsT::new(0.0, 1.0, df)
        .map_or(f64::INFINITY, |t| t.inverse_cdf(0.5 + CONFIDENCE / 2.0));
    Combined {
        log_ratio: pooled.log_ratio,
        half_width: quantile * (scale / pooled.weight).sqrt(),
        groups_agree: !refuted,
    }
}

/// The mean over groups under an assumed variance between processes.
struct Pooled {
    log_ratio: f64,
    /// The sum of the weights, which is the inverse of the mean's variance.
    weight: f64,
    /// The weighted sum of the squared distances of the groups from the mean.
    scatter: f64,
}

impl Pooled {
    fn of(effects: &[Effect], between: f64) -> Self {
        let weigh = |effect: &Effect| 1.0 / (between + effect.variance);
        let weight: f64 = effects.iter().map(weigh).sum();
        let sum: f64 = effects
            .iter()
            .map(|effect| weigh(effect) * effect.log_ratio)
            .sum();
        let log_ratio = sum / weight;
        let squared = |effect: &Effect| weigh(effect) * (effect.log_ratio - log_ratio).powi(2);
        Self {
            log_ratio,
            weight,
            scatter: effects.iter().map(squared).sum(),
        }
    }

    /// The mean under the variance, above `least`, that makes the scatter what it should be.
    fn with_scatter(effects: &[Effect], least: f64, wanted: f64) -> Self {
        // The scatter falls as the variance grows; the first doubling that brings it down far
        // enough bounds the bisection.
        let is_enough = |between: f64| Self::of(effects, between).scatter <= wanted;
        let mut high = 2.0 * least;
        while high.is_finite() && !is_enough(high) {
            high *= 2.0;
        }
        let mut low = high / 2.0;
        for _ in 0..20 {
            let middle = (low + high) / 2.0;
            if is_enough(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        Self::of(effects, high)
    }
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
    let estimate = within_range(above.median() / below.median());
    let mut sampler = BlockSampler::new(numerator.len());
    let resampled = (0..RESAMPLES)
        .map(|_| {
            let positions = sampler.draw();
            within_range(above.median_at(positions) / below.median_at(positions))
        })
        .collect();
    Ok(percentile_interval(estimate, resampled))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEADY: [f64; 8] = [1.0, 1.001, 0.999, 1.002, 1.0, 0.998, 1.001, 1.0];

    fn times(factor: f64) -> [f64; 8] {
        STEADY.map(|time| time * factor)
    }

    fn compare(groups: &[([f64; 8], [f64; 8])]) -> Comparison {
        let rounds: Vec<_> = groups
            .iter()
            .map(|(candidate, baseline)| Rounds {
                candidate,
                baseline,
            })
            .collect();
        Comparison::of(&rounds, &ComparisonOptions::default()).unwrap()
    }

    #[test]
    fn verdicts_point_the_right_way() {
        let twice = compare(&[(times(2.0), STEADY)]);
        assert_eq!(twice.verdict, Verdict::Slower);
        assert!(twice.ratio.contains(2.0) && twice.speedup().contains(0.5));
        assert_eq!(compare(&[(STEADY, times(2.0))]).verdict, Verdict::Faster);
        assert_eq!(
            compare(&[(STEADY, STEADY)]).verdict,
            Verdict::NotDistinguishable
        );
    }

    #[test]
    fn an_effect_within_the_margin_is_none() {
        let groups = [(times(1.008), STEADY); 9];
        let small = compare(&groups);
        assert!(
            small.ratio.low > 1.0,
            "the interval tells them apart: {:?}",
            small.ratio
        );
        assert_eq!(small.verdict, Verdict::NotDistinguishable);
    }

    #[test]
    fn one_process_pair_is_not_believed_to_a_percent() {
        // The rounds agree perfectly, but two other processes might differ by that much.
        let once = compare(&[(times(1.012), STEADY)]);
        assert_eq!(once.verdict, Verdict::NotDistinguishable);
        assert_eq!(
            compare(&[(times(1.012), STEADY); 5]).verdict,
            Verdict::Slower
        );
    }

    #[test]
    fn groups_that_contradict_each_other_give_no_verdict() {
        let groups = [
            (times(1.10), STEADY),
            (STEADY, times(1.02)),
            (times(1.04), STEADY),
        ];
        let torn = compare(&groups);
        assert!(!torn.groups_agree);
        assert_eq!(torn.verdict, Verdict::NotDistinguishable);
        assert!(compare(&[groups[0]; 3]).groups_agree);
    }

    #[test]
    fn a_noisy_group_weighs_less() {
        let noisy = [3.0, 0.4, 2.5, 0.5, 2.0, 3.0, 0.7, 2.6];
        let mixed = compare(&[
            (times(1.05), STEADY),
            (noisy, STEADY),
            (times(1.05), STEADY),
        ]);
        assert!(
            (mixed.ratio.estimate - 1.05).abs() < 0.001,
            "{:?}",
            mixed.ratio
        );
    }

    #[test]
    fn drift_cancels() {
        let drift: Vec<f64> = (0..40).map(|round| 1.0 + 0.05 * f64::from(round)).collect();
        let slower: Vec<f64> = drift.iter().map(|time| time * 1.03).collect();
        let rounds = Rounds {
            candidate: &slower,
            baseline: &drift,
        };
        let result = Comparison::of(&[rounds], &ComparisonOptions::default()).unwrap();
        assert!((result.ratio.estimate - 1.03).abs() < 1e-12);
        assert_eq!(result.verdict, Verdict::Slower);
    }

    #[test]
    fn nonsense_is_an_error() {
        let of = |candidate: &[f64], baseline: &[f64], options| {
            Comparison::of(
                &[Rounds {
                    candidate,
                    baseline,
                }],
                &options,
            )
            .unwrap_err()
        };
        let usual = ComparisonOptions::default();
        assert_eq!(
            of(&STEADY, &STEADY[..7], usual),
            StatsError::Unpaired { left: 8, right: 7 }
        );
        assert_eq!(
            of(&[1.0; 5], &[1.0; 5], usual),
            StatsError::TooFew { needed: 6, got: 5 }
        );
        let zero = of(&times(0.0), &STEADY, usual);
        assert_eq!(
            zero,
            StatsError::NotPositive {
                index: 0,
                value: 0.0
            }
        );
        let fixed = ComparisonOptions {
            process_df: 0.0,
            ..usual
        };
        let message = of(&STEADY, &STEADY, fixed).to_string();
        assert_eq!(message, "option process_df is 0, but must be 1 to 1,000");
        let none = Comparison::of(&[], &usual).unwrap_err();
        assert_eq!(none, StatsError::TooFew { needed: 1, got: 0 });
    }

    #[test]
    fn the_ratio_of_medians_is_what_it_says() {
        let ratio = ratio_of_medians(&times(3.0), &STEADY).unwrap();
        assert!((ratio.estimate - 3.0).abs() < 1e-12);
        assert!(ratio.low > 2.98 && ratio.high < 3.02 && ratio.low < ratio.high);
        assert!(ratio_of_medians(&STEADY, &STEADY[..7]).is_err());
    }
}
