//! What holds for all samples.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may its helpers"
)]

use evo_stats::{
    Comparison, ComparisonOptions, Decision, Rounds, StoppingOptions, StoppingRule, Summary,
    Verdict, WarmUp, WarmUpOptions, WarmUpState, median_interval_sorted, quantile,
    ratio_of_medians,
};
use proptest::prelude::*;

/// Times that a clock could give.
fn times(count: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(1e-7..10.0_f64, count)
}

/// Rounds that differ by little, as of two similar candidates.
fn rounds() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    (6..40_usize).prop_flat_map(|count| {
        let side = prop::collection::vec(0.98..1.05_f64, count);
        (side.clone(), side)
    })
}

fn groups() -> impl Strategy<Value = Vec<(Vec<f64>, Vec<f64>)>> {
    prop::collection::vec(rounds(), 1..5)
}

fn compare(groups: &[(Vec<f64>, Vec<f64>)]) -> Comparison {
    let rounds: Vec<_> = groups
        .iter()
        .map(|(candidate, baseline)| Rounds {
            candidate,
            baseline,
        })
        .collect();
    Comparison::of(&rounds, &ComparisonOptions::default()).unwrap()
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
}

fn opposite(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Faster => Verdict::Slower,
        Verdict::Slower => Verdict::Faster,
        Verdict::NotDistinguishable => Verdict::NotDistinguishable,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_quantile_interpolates_between_its_neighbours(
        samples in (1..50_usize).prop_flat_map(times),
        p in 0.0..=1.0_f64,
    ) {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let position = p * (sorted.len() - 1) as f64;
        let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
        let expected = below + (above - below) * position.fract();
        prop_assert!(close(quantile(&samples, p).unwrap(), expected));
    }

    #[test]
    fn a_summary_is_ordered(samples in (1..60_usize).prop_flat_map(times)) {
        let summary = Summary::of(&samples).unwrap();
        prop_assert!(summary.min <= summary.p50 && summary.p50 <= summary.p90);
        prop_assert!(summary.p90 <= summary.max && summary.std_dev >= 0.0);
        prop_assert!(summary.min <= summary.mean && summary.mean <= summary.max);
        prop_assert_eq!(summary.median_ci.is_some(), samples.len() >= 6);
        if let Some(interval) = summary.median_ci {
            prop_assert!(interval.contains(summary.p50));
            prop_assert!(summary.min <= interval.low && interval.high <= summary.max);
        }
    }

    #[test]
    fn order_statistics_bracket_the_median(samples in (6..80_usize).prop_flat_map(times)) {
        let mut sorted = samples;
        sorted.sort_by(f64::total_cmp);
        let interval = median_interval_sorted(&sorted).unwrap();
        prop_assert!(interval.contains(interval.estimate));
        prop_assert!(sorted.contains(&interval.low) && sorted.contains(&interval.high));
    }

    #[test]
    fn any_finite_samples_have_a_finite_summary(
        samples in prop::collection::vec(
            prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL,
            1..30,
        ),
    ) {
        let summary = Summary::of(&samples).unwrap();
        for figure in [summary.mean, summary.std_dev, summary.p50, summary.p90] {
            prop_assert!(figure.is_finite(), "{summary:?}");
        }
    }

    #[test]
    fn any_positive_times_compare_without_panic(
        groups in prop::collection::vec(
            prop::collection::vec(
                (prop::num::f64::POSITIVE | prop::num::f64::NORMAL).prop_map(f64::abs),
                12,
            ),
            1..4,
        ),
        process_sd in 0.0..0.1_f64,
        process_df in 1.0..1000.0_f64,
    ) {
        let rounds: Vec<_> = groups
            .iter()
            .map(|group| Rounds { candidate: &group[..6], baseline: &group[6..] })
            .collect();
        let options = ComparisonOptions { process_sd, process_df, ..Default::default() };
        if let Ok(result) = Comparison::of(&rounds, &options) {
            let ratio = result.ratio;
            prop_assert!(ratio.low > 0.0 && ratio.high.is_finite(), "{ratio:?}");
            prop_assert!(ratio.contains(ratio.estimate));
            prop_assert!(result.speedup().high.is_finite());
        }
        if let Ok(ratio) = ratio_of_medians(&groups[0][..6], &groups[0][6..]) {
            prop_assert!(ratio.low > 0.0 && ratio.high.is_finite(), "{ratio:?}");
        }
    }

    #[test]
    fn swapping_the_sides_turns_the_verdict(groups in groups()) {
        let forth = compare(&groups);
        let swapped: Vec<_> =
            groups.iter().map(|(left, right)| (right.clone(), left.clone())).collect();
        let back = compare(&swapped);
        prop_assert_eq!(back.verdict, opposite(forth.verdict));
        prop_assert!(close(back.ratio.estimate, forth.speedup().estimate));
        prop_assert!(close(back.ratio.low, forth.speedup().low));
        prop_assert!(close(back.ratio.high, forth.speedup().high));
    }

    #[test]
    fn the_unit_does_not_matter(groups in groups(), power in -20..20_i32) {
        // A power of two scales without rounding.
        let unit = 2.0_f64.powi(power);
        let scale = |times: &Vec<f64>| times.iter().map(|time| time * unit).collect::<Vec<_>>();
        let scaled: Vec<_> =
            groups.iter().map(|(left, right)| (scale(left), scale(right))).collect();
        let (one, other) = (compare(&groups), compare(&scaled));
        prop_assert!(close(one.ratio.estimate, other.ratio.estimate));
        prop_assert!(close(one.ratio.high, other.ratio.high));
        let (left, right) = &groups[0];
        let ratio = ratio_of_medians(left, right).unwrap();
        prop_assert_eq!(ratio, ratio_of_medians(&scale(left), &scale(right)).unwrap());
    }

    #[test]
    fn a_measurement_ends_within_its_budget(
        samples in times(60),
        max_samples in 1..50_usize,
        max_seconds in 0.0..100.0_f64,
    ) {
        let options = StoppingOptions { max_samples, max_seconds, ..Default::default() };
        let mut rule = StoppingRule::new(options).unwrap();
        let mut elapsed = 0.0;
        let mut ended = false;
        for sample in samples {
            elapsed += sample;
            ended = rule.push(sample, elapsed).unwrap() != Decision::Continue;
            if ended {
                break;
            }
            prop_assert!(elapsed < max_seconds);
        }
        prop_assert!(ended && rule.samples().len() <= max_samples);
    }

    #[test]
    fn a_warm_up_ends_within_its_bound(samples in times(60), max_samples in 1..50_usize) {
        let options = WarmUpOptions { max_samples, max_seconds: 1e9, ..Default::default() };
        let mut warm_up = WarmUp::new(options).unwrap();
        let ended = samples
            .into_iter()
            .position(|sample| warm_up.push(sample, 0.0).unwrap() != WarmUpState::Warming);
        prop_assert!(ended.is_some_and(|index| index < max_samples));
    }
}
