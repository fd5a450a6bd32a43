//! Resampling of rounds in blocks.
//!
//! Noise on a computer comes in bursts, so consecutive samples are alike and resampling them one
//! by one gives intervals that are too narrow. Blocks of consecutive samples keep the likeness:
//! the circular block bootstrap of D. N. Politis and J. P. Romano, "A circular block-resampling
//! procedure for stationary data", 1992.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::interval::{CONFIDENCE, Interval, IntervalMethod};
use crate::quantile::{blend, quantile_sorted};

/// Number of resamples of every bootstrap.
pub const RESAMPLES: usize = 1_000;

/// Seed of every bootstrap: a statistic is a function of its samples alone.
pub const BOOTSTRAP_SEED: u64 = 17;

/// The block length for `n` samples in time order: the cube root of `n`, rounded up, which is the
/// optimal order for the variance of a smooth statistic (P. Hall, J. L. Horowitz and B.-Y. Jing,
/// "On blocking rules for the bootstrap with dependent data", Biometrika 82, 1995).
pub fn block_length(n: usize) -> usize {
    ((n as f64).cbrt().ceil() as usize).max(1)
}

/// Draws positions of `0..n` in circular blocks.
pub(crate) struct BlockSampler {
    rng: ChaCha8Rng,
    positions: Vec<usize>,
    block: usize,
}

impl BlockSampler {
    /// A sampler for `n` rounds, at the start of its fixed stream.
    pub(crate) fn new(n: usize) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(BOOTSTRAP_SEED),
            positions: vec![0; n],
            block: block_length(n),
        }
    }

    /// The positions of the next resample, as many as there are rounds.
    pub(crate) fn draw(&mut self) -> &[usize] {
        let n = self.positions.len();
        for chunk in self.positions.chunks_mut(self.block) {
            let mut position = self.rng.random_range(0..n);
            for slot in chunk {
                *slot = position;
                position += 1;
                if position == n {
                    position = 0;
                }
            }
        }
        &self.positions
    }
}

/// Samples sorted once, so that the median of a resample takes a count and a walk, not a sort.
pub(crate) struct Ranked {
    sorted: Vec<f64>,
    rank_of: Vec<usize>,
    counts: Vec<u32>,
}

impl Ranked {
    pub(crate) fn new(samples: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by(|left, right| samples[*left].total_cmp(&samples[*right]));
        let mut rank_of = vec![0; samples.len()];
        for (rank, position) in order.iter().enumerate() {
            rank_of[*position] = rank;
        }
        let sorted = order.iter().map(|position| samples[*position]).collect();
        Self {
            sorted,
            rank_of,
            counts: vec![0; samples.len()],
        }
    }

    /// The median of all samples.
    pub(crate) fn median(&self) -> f64 {
        quantile_sorted(&self.sorted, 0.5).unwrap_or(f64::NAN)
    }

    /// The median of the samples at the given positions, of which there is at least one.
    pub(crate) fn median_at(&mut self, positions: &[usize]) -> f64 {
        self.counts.fill(0);
        for position in positions {
            self.counts[self.rank_of[*position]] += 1;
        }
        let (first, second) = ((positions.len() - 1) / 2, positions.len() / 2);
        let mut seen = 0;
        let mut low = f64::NAN;
        for (value, count) in self.sorted.iter().zip(&self.counts) {
            let before = seen;
            seen += *count as usize;
            if before <= first && first < seen {
                low = *value;
            }
            if second < seen {
                return if first == second {
                    low
                } else {
                    blend(low, *value, 0.5)
                };
            }
        }
        low
    }
}

/// Medians of all resamples of samples in time order, unsorted. There must be at least one sample.
pub(crate) fn resampled_medians(samples: &[f64]) -> Vec<f64> {
    let mut ranked = Ranked::new(samples);
    let mut sampler = BlockSampler::new(samples.len());
    (0..RESAMPLES)
        .map(|_| ranked.median_at(sampler.draw()))
        .collect()
}

/// The percentile interval of resampled estimates.
pub(crate) fn percentile_interval(estimate: f64, mut resampled: Vec<f64>) -> Interval {
    resampled.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let at = |p| quantile_sorted(&resampled, p).unwrap_or(estimate);
    Interval::around(
        estimate,
        at(tail),
        at(1.0 - tail),
        IntervalMethod::BlockBootstrapPercentile,
    )
}
