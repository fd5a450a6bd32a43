//! How many launches one sample takes.

use crate::error::{StatsError, check_option, check_option_or_zero};

/// A sample lasts at least this many times the clock's resolution, so that reading the clock
/// adds at most 5 % of a sample in the worst case and far less in the mean.
pub const LEAST_CLOCK_TICKS: f64 = 20.0;

/// The launches that one sample takes, so that it lasts at least [`LEAST_CLOCK_TICKS`] times the
/// clock's resolution and at least `floor_s`; 1 at least and `most` at most.
///
/// `launch_s` is the time of one launch as far as it is known, in seconds, and may be zero when
/// the clock cannot see it: then the answer is `most`, and the caller measures a launch again
/// with that many.
///
/// # Errors
/// A duration that is negative or not finite, a resolution that is not above zero, or `most` of 0.
pub fn launches_per_sample(
    launch_s: f64,
    resolution_s: f64,
    floor_s: f64,
    most: u32,
) -> Result<u32, StatsError> {
    check_option_or_zero("launch_s", launch_s)?;
    check_option("resolution_s", resolution_s)?;
    check_option_or_zero("floor_s", floor_s)?;
    check_option("most", f64::from(most))?;
    let goal = floor_s.max(LEAST_CLOCK_TICKS * resolution_s);
    // A launch of zero gives infinity here, which the conversion saturates.
    let launches = (goal / launch_s).ceil();
    Ok((launches as u32).clamp(1, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meets_both_goals() {
        // 20 x 25 ns = 500 ns rules over a floor of zero, and 1 ms rules over 500 ns.
        assert_eq!(launches_per_sample(100e-9, 25e-9, 0.0, 1_000_000), Ok(5));
        assert_eq!(launches_per_sample(3e-6, 25e-9, 1e-3, 1_000_000), Ok(334));
        assert_eq!(launches_per_sample(0.2, 25e-9, 1e-3, 1_000_000), Ok(1));
    }

    #[test]
    fn is_bounded() {
        assert_eq!(launches_per_sample(0.0, 25e-9, 1e-3, 64), Ok(64));
        assert_eq!(launches_per_sample(1e-12, 25e-9, 1e-3, 64), Ok(64));
    }

    #[test]
    fn refuses_nonsense() {
        for (launch, resolution, floor, most) in [
            (-1.0, 1e-9, 0.0, 1),
            (f64::NAN, 1e-9, 0.0, 1),
            (1.0, 0.0, 0.0, 1),
            (1.0, 1e-9, f64::INFINITY, 1),
            (1.0, 1e-9, 0.0, 0),
        ] {
            let answer = launches_per_sample(launch, resolution, floor, most);
            assert!(
                matches!(answer, Err(StatsError::BadOption { .. })),
                "{answer:?}"
            );
        }
    }
}
