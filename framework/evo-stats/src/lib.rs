//! The statistics of measurement: numbers in, numbers out.
//!
//! | question | answer |
//! |---|---|
//! | How many launches make a sample? | [`launches_per_sample`] |
//! | Is the machine warm? | [`WarmUp`] |
//! | Are these samples enough? | [`StoppingRule`] |
//! | What do the samples say? | [`Summary`] |
//! | Is A faster than B? | [`Comparison`] |
//! | By how much, for a report? | [`Comparison::speedup`], [`ratio_of_medians`] |
//! | What would a configuration give that was not tried? | [`Kriging`] |
//!
//! ```
//! use evo_stats::{Comparison, ComparisonOptions, Decision, Rounds, StoppingOptions, StoppingRule,
//!     Summary, Verdict};
//!
//! // Sample until the interval of the median is narrow. The caller holds the clock.
//! let mut rule = StoppingRule::new(StoppingOptions::default())?;
//! let mut elapsed_s = 0.0;
//! loop {
//!     let sample_s = 1.0e-3; // one timed batch
//!     elapsed_s += sample_s;
//!     if rule.push(sample_s, elapsed_s)? != Decision::Continue {
//!         break;
//!     }
//! }
//! assert_eq!(Summary::of(rule.samples())?.p50, 1.0e-3);
//!
//! // Compare over three process pairs with eight interleaved rounds each.
//! let (candidate, baseline) = ([1.1e-3; 8], [1.0e-3; 8]);
//! let groups = [Rounds { candidate: &candidate, baseline: &baseline }; 3];
//! let comparison = Comparison::of(&groups, &ComparisonOptions::default())?;
//! assert_eq!(comparison.verdict, Verdict::Slower);
//! # Ok::<(), evo_stats::StatsError>(())
//! ```
//!
//! Nothing here reads a clock, a file or the environment, and every random number comes from
//! one fixed seed, so a statistic is a function of its samples. Arguments that make no sense give
//! a [`StatsError`], never a panic.
#![forbid(unsafe_code)]

mod batch;
mod bootstrap;
mod comparison;
mod error;
mod front;
mod interval;
mod kriging;
mod order;
mod quantile;
mod stopping;
mod summary;
mod warmup;

pub use batch::{LEAST_CLOCK_TICKS, launches_per_sample};
pub use bootstrap::{BOOTSTRAP_SEED, RESAMPLES, block_length};
pub use comparison::{Comparison, ComparisonOptions, Rounds, Verdict, ratio_of_medians};
pub use error::StatsError;
pub use front::front;
pub use interval::{CONFIDENCE, Interval, IntervalMethod};
pub use kriging::{Kriging, Prediction};
pub use order::{LEAST_SAMPLES, median_interval_sorted};
pub use quantile::{QUANTILE_DEFINITION, median, quantile, quantile_sorted};
pub use stopping::{Decision, Race, StoppingOptions, StoppingRule};
pub use summary::Summary;
pub use warmup::{WarmUp, WarmUpOptions, WarmUpState};
