//! The main job in small: the real attention plugin, searched, verified and confirmed.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use evo_e2e::Bench;
use evo_journal::{Record, Stage};

#[test]
fn a_short_search_of_attention_is_verified_and_confirmed_against_both_baselines() {
    let bench = Bench::new();
    for mask in ["full", "causal"] {
        let set = format!("mask={mask}");
        let args = [
            "run",
            "sdpa-cpu",
            "--set",
            "B=1",
            "--set",
            "H=2",
            "--set",
            "S=128",
            "--set",
            &set,
            "--budget",
            "6",
            "--wall",
            "60",
            "--target",
            "1.01x over A",
            "--profiler",
            "usage",
            "--out",
            mask,
        ];
        bench.run(&args).ok();
        let records = bench.records(mask);
        let confirmation = records
            .iter()
            .find_map(|record| match record {
                Record::Compared(comparison) if comparison.stage == Stage::Confirmation => {
                    Some(comparison)
                }
                _ => None,
            })
            .expect("the run has a confirmation");
        for label in ["A", "B"] {
            let item = confirmation
                .items
                .iter()
                .find(|item| item.label == label)
                .unwrap();
            assert!(
                item.outcome.measurement().is_some(),
                "{label}: {}",
                item.outcome.summary()
            );
        }
        for evaluated in bench.evaluated(mask) {
            let Some(measurement) = evaluated.outcome.measurement() else {
                continue;
            };
            let error = measurement
                .error
                .as_ref()
                .expect("a kernel's result is compared");
            assert!(error.relative <= error.gate, "{error:?}");
            assert!(
                error.checks >= 6,
                "seeds, distributions and ragged shapes: {error:?}"
            );
            assert!(
                measurement.recheck_seed.is_some(),
                "a seed was drawn after the timing"
            );
        }
        assert!(
            records
                .iter()
                .any(|record| matches!(record, Record::Profiled(p) if p.failure.is_none()))
        );
        let summary =
            fs::read_to_string(bench.path().join(mask).join("reports/summary.md")).unwrap();
        assert!(summary.contains("1.01x over A"), "{summary}");
    }
}
