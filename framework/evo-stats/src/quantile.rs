//! Quantiles by one named definition.

/// The definition of every quantile in this crate: type 7 of R. J. Hyndman and Y. Fan, "Sample
/// quantiles in statistical packages", The American Statistician 50(4), 1996. With 0-based order
/// statistics `x`, the quantile `p` is the linear interpolation of `x` at `p * (n - 1)`.
pub const QUANTILE_DEFINITION: &str = "Hyndman-Fan type 7";

/// The quantile `p` of samples that are sorted in ascending order; absent for no samples. `p` is
/// clamped to 0..=1.
pub fn quantile_sorted(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = p.clamp(0.0, 1.0) * last as f64;
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    Some(blend(
        *sorted.get(below)?,
        *sorted.get(above)?,
        position - below as f64,
    ))
}

/// The quantile `p` of samples in any order; absent for no samples. Samples must be free of NaN
/// for the result to mean anything.
pub fn quantile(samples: &[f64], p: f64) -> Option<f64> {
    quantile_sorted(&sorted(samples), p)
}

/// The median of samples in any order; absent for no samples.
pub fn median(samples: &[f64]) -> Option<f64> {
    quantile(samples, 0.5)
}

/// A sorted copy.
pub(crate) fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut copy = samples.to_vec();
    copy.sort_unstable_by(f64::total_cmp);
    copy
}

/// Between two values. Written as a weighted sum, not as `low + weight * (high - low)`, so that
/// the difference of two large values of unlike sign cannot overflow, and so that the negated
/// values give the negated result bit by bit; the clamp takes back what rounding adds.
pub(crate) fn blend(low: f64, high: f64, weight: f64) -> f64 {
    if low == high {
        return low;
    }
    (low * (1.0 - weight) + high * weight).clamp(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_definition() {
        // numpy.quantile and R's default give these for 1, 2, 3, 4, 10.
        let samples = [10.0, 2.0, 4.0, 1.0, 3.0];
        for (p, expected) in [(0.0, 1.0), (0.1, 1.4), (0.5, 3.0), (0.9, 7.6), (1.0, 10.0)] {
            let got = quantile(&samples, p).unwrap();
            assert!(
                (got - expected).abs() < 1e-12,
                "p {p}: {got}, expected {expected}"
            );
        }
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn edges() {
        assert_eq!(median(&[]), None);
        assert_eq!(quantile(&[7.0], 0.9), Some(7.0));
        assert_eq!(quantile(&[1.0, 2.0], 9.0), Some(2.0));
        assert_eq!(median(&[-f64::MAX, f64::MAX]), Some(0.0));
        assert_eq!(median(&[f64::MAX, f64::MAX]), Some(f64::MAX));
    }
}
