//! The interval of a median from two order statistics.

use statrs::distribution::{Binomial, DiscreteCDF};

use crate::interval::{CONFIDENCE, Interval, IntervalMethod};
use crate::quantile::quantile_sorted;

/// The least number of samples that carries a 95 % interval of a median: with five, the whole
/// range covers it with probability 1 - 2 / 2^5 only.
pub const LEAST_SAMPLES: usize = 6;

/// The 0-based rank of the lower order statistic; the upper one is as far from the other end.
fn lower_rank(n: usize) -> Option<usize> {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let binomial = Binomial::new(0.5, n as u64).ok()?;
    // The largest k such that at most `tail` lies on k or fewer successes.
    let first_above = binomial.inverse_cdf(tail);
    let rank = if binomial.cdf(first_above) > tail {
        first_above.checked_sub(1)?
    } else {
        first_above
    };
    usize::try_from(rank).ok()
}

/// The median of sorted samples with its interval; absent below [`LEAST_SAMPLES`].
///
/// The ends are sample values, the coverage is at least 95 % for independent samples of any
/// distribution (H. A. David and H. N. Nagaraja, "Order Statistics", 3rd ed., section 7.1). It
/// costs no resampling, so it can be taken after every sample.
pub fn median_interval_sorted(sorted: &[f64]) -> Option<Interval> {
    if sorted.len() < LEAST_SAMPLES {
        return None;
    }
    let low = lower_rank(sorted.len())?;
    let high = sorted.len().checked_sub(1 + low)?;
    let estimate = quantile_sorted(sorted, 0.5)?;
    let (low, high) = (*sorted.get(low)?, *sorted.get(high)?);
    Some(Interval::around(
        estimate,
        low,
        high,
        IntervalMethod::OrderStatistic,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_match_the_published_table() {
        // 1-based ranks of the two-sided 95 % interval, as in tables of the sign test.
        for (n, expected) in [
            (6, 1),
            (8, 1),
            (9, 2),
            (10, 2),
            (12, 3),
            (20, 6),
            (50, 18),
            (100, 40),
        ] {
            assert_eq!(lower_rank(n), Some(expected - 1), "n = {n}");
        }
        assert_eq!(lower_rank(5), None);
    }

    #[test]
    fn five_samples_are_too_few() {
        assert!(median_interval_sorted(&[1.0, 2.0, 3.0, 4.0, 5.0]).is_none());
        let interval = median_interval_sorted(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!(
            (interval.low, interval.estimate, interval.high),
            (1.0, 3.5, 6.0)
        );
    }
}
