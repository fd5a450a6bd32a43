//! Records of older programs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use evo_journal::{AbsentBaseline, BuildFacts, PlannedCandidate, Record};
use evo_types::{ContentHash, Direction, Metric, Value};

/// As it was written before builds were described.
const EVALUATED: &str = r#"{
    "type": "evaluated", "trial": 3, "attempt": 1,
    "outcome": {"kind": "duplicate_of", "trial": 1},
    "execution": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "wall_s": 0.5, "device_s": 0.0, "device": "cpu-1", "elapsed_s": 4.0, "at": 1795383600.0
}"#;

#[test]
fn an_outcome_without_a_build_is_read() {
    let record: Record = serde_json::from_str(EVALUATED).unwrap();
    let Record::Evaluated(evaluated) = &record else {
        unreachable!("the text is an outcome")
    };
    assert_eq!((evaluated.trial, &evaluated.build), (3, &None));
    // Nothing is made up when it is written again.
    let text = serde_json::to_string(&record).unwrap();
    assert!(!text.contains("build"), "{text}");
}

/// As it was written before baselines could be optional or in groups.
const BASELINE: &str = r#"{
    "label": "slow", "plugin": "sdpa-cpu", "kernel": "math", "pinned": {}, "space": null,
    "space_origin": ""
}"#;

#[test]
fn a_baseline_without_a_role_is_read() {
    let planned: PlannedCandidate = serde_json::from_str(BASELINE).unwrap();
    assert_eq!(planned.baseline, None);
    assert!(planned.group().is_none() && !planned.is_optional());
    let text = serde_json::to_string(&planned).unwrap();
    assert!(!text.contains("baseline"), "{text}");
}

#[test]
fn a_reason_is_short_where_it_is_shown() {
    let absent = |reason: &str| AbsentBaseline {
        label: "A".to_owned(),
        letter: "A".to_owned(),
        group: None,
        kernel: "math".to_owned(),
        plugin: None,
        reason: reason.to_owned(),
    };
    let short = |reason: &str| absent(reason).short_reason();
    assert_eq!(short("there is no GPU.\n  at line 3"), "there is no GPU");
    assert_eq!(
        short("it printed:\nTraceback\nError: x\n"),
        "it printed: Error: x"
    );
    assert_eq!(short(""), "");
}

#[test]
fn a_build_survives() {
    let mut record: Record = serde_json::from_str(EVALUATED).unwrap();
    if let Record::Evaluated(evaluated) = &mut record {
        evaluated.build = Some(BuildFacts {
            code: ContentHash::of_bytes(b"code"),
            launch: [("GRID".to_owned(), Value::Int(4))].into(),
            runtime: [("SPIN".to_owned(), Value::Int(0))].into(),
            figures: vec![Metric::new("registers", "count", Direction::Lower, 32.0)],
        });
    }
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}
