//! Bottlenecks that were planted into a CUDA kernel, as Nsight Compute and the rules name them.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use evo_e2e::{Bench, root};
use serde_json::Value;

/// What has to stand first among the diagnoses with something to do, and the first thing to do.
const PLANTED: [(&str, &str, &str, &str); 4] = [
    ("PAD", "0", "bank_conflicts", "set PAD=1"),
    ("MIN_BLOCKS", "16", "register_spills", "lower MIN_BLOCKS"),
    ("TILES", "64", "too_few_blocks", "lower TILES"),
    ("STAGED", "0", "uncoalesced_loads", "set STAGED=1"),
];

/// Rules and first levers of a candidate, the severest first, of those with something to do.
fn told(candidate: &Value) -> Vec<(String, String)> {
    let diagnoses = candidate["diagnoses"].as_array().cloned();
    let pairs = diagnoses.unwrap_or_default().into_iter().filter_map(|it| {
        let lever = it["levers"].get(0)?.as_str()?.to_owned();
        Some((it["rule"].as_str()?.to_owned(), lever))
    });
    pairs.collect()
}

#[test]
fn a_planted_bottleneck_is_named_with_its_cure_and_nothing_is_named_without_one() {
    let spec = root().join("examples/11_bottlenecks/run.ron");
    let spec = spec.to_str().unwrap();
    let bench = Bench::new();
    let ended = bench.run(&["run", spec, "--out", "r"]);
    if !Path::new("/dev/nvidiactl").exists() {
        println!("not run: this machine has no GPU");
        ended.fails(2, &["no CUDA driver found"]);
        return;
    }
    let shown = ended.ok();
    let summary = bench.path().join("r/ncu/summary.json");
    let Ok(text) = fs::read_to_string(&summary) else {
        assert!(
            shown.stderr.contains("is left out"),
            "no profile, and nobody said why: {}",
            shown.stderr
        );
        println!(
            "skipped: Nsight Compute cannot be used here: {}",
            shown.stderr
        );
        return;
    };
    let summary: Value = serde_json::from_str(&text).unwrap();
    let proposals = bench.proposals("r");
    let candidates = summary["candidates"].as_array().unwrap();
    let of_trial = |trial: u64| {
        let mut found = candidates.iter().filter(|it| it["trial"] == trial);
        found
            .next()
            .unwrap_or_else(|| panic!("trial {trial} was not profiled"))
    };
    assert_eq!(
        told(of_trial(0)),
        [],
        "nothing was planted into the default"
    );
    for (trial, (param, value, rule, lever)) in (1..).zip(PLANTED) {
        let mut proposals = proposals.iter();
        let proposed = proposals.find(|it| it.trial == trial).unwrap();
        assert_eq!(proposed.params[param].to_string(), value, "trial {trial}");
        let told = told(of_trial(trial));
        let first = told
            .first()
            .unwrap_or_else(|| panic!("{param}={value}: nothing was said"));
        assert_eq!(
            (first.0.as_str(), first.1.as_str()),
            (rule, lever),
            "{param}={value}: {told:?}"
        );
        // What was planted elsewhere is not named here.
        for (other, _, rule, _) in PLANTED {
            if other != param {
                assert!(
                    told.iter().all(|it| it.0 != rule),
                    "{param}={value}: {told:?}"
                );
            }
        }
        let folder = bench.path().join(format!("r/ncu/softmax--{trial}"));
        assert!(
            folder.join("report.ncu-rep").is_file(),
            "{}",
            folder.display()
        );
    }
    let summary = fs::read_to_string(bench.path().join("r/reports/summary.md")).unwrap();
    assert!(summary.contains("Diagnosis"), "{summary}");
}
