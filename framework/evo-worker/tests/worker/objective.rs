//! Objectives.

use evo_types::{Outcome, OutcomeKind, Params, Value};
use evo_wire::{FailureKind, Reply, Request};

use crate::support::{Host, component};

fn settings(fail_every: i64) -> Params {
    [
        ("fail_every".to_owned(), Value::Int(fail_every)),
        ("sleep_ms".to_owned(), Value::Int(0)),
    ]
    .into()
}

fn best() -> Params {
    [
        ("TILE_M", Value::Int(64)),
        ("TILE_N", Value::Int(32)),
        ("UNROLL", Value::Int(4)),
        ("THREADS", Value::Int(8)),
        ("LAYOUT", Value::from("blocked")),
        ("FUSE", Value::Bool(true)),
        ("STAGES", Value::Int(3)),
        ("CHUNK", Value::Int(16)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn evaluate(host: &mut Host, settings: Params, config: Params) -> (Outcome, f64) {
    let request = Request::Evaluate {
        objective: component("synthetic", "synthetic"),
        settings,
        config,
    };
    match host.ask(request).1 {
        Reply::Outcome {
            outcome,
            device_seconds,
            charged,
            spent: false,
        } => {
            assert_eq!(charged, outcome.measurement().is_some());
            (*outcome, device_seconds)
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_configuration_is_evaluated_and_its_recorded_cost_charged() {
    let mut host = Host::new();
    let (outcome, seconds) = evaluate(&mut host, settings(0), best());
    let measurement = outcome.measurement().unwrap().clone();
    assert_eq!(measurement.metrics[0].name, "time");
    assert_eq!(measurement.metrics[0].value, 100.0);
    assert_eq!(seconds, 0.05 + 0.1);
    assert!(measurement.error.is_none() && measurement.execution.is_none());
    let again = evaluate(&mut host, settings(0), best()).0;
    assert_eq!(again.measurement(), Some(&measurement));
}

#[test]
fn every_kind_of_failure_arrives_as_what_it_is() {
    let mut host = Host::new();
    let mut seen = std::collections::BTreeSet::new();
    for threads in 1..=16 {
        for tile in [8, 16, 32, 64] {
            let mut config = best();
            config.insert("THREADS".into(), Value::Int(threads));
            config.insert("TILE_M".into(), Value::Int(tile));
            seen.insert(evaluate(&mut host, settings(2), config).0.kind());
        }
    }
    let expected = [
        OutcomeKind::Measured,
        OutcomeKind::Rejected,
        OutcomeKind::BuildFailed,
        OutcomeKind::WrongResult,
        OutcomeKind::TimedOut,
        OutcomeKind::OutOfMemory,
    ];
    assert_eq!(seen, expected.into());
}

#[test]
fn a_configuration_that_makes_no_sense_is_rejected() {
    let mut config = best();
    config.remove("CHUNK");
    let (outcome, _) = evaluate(&mut Host::new(), settings(0), config);
    insta::assert_snapshot!(outcome.summary(), @"rejected: the parameter `CHUNK` is not set; add it to the search space");
}

#[test]
fn settings_are_refused_where_they_are_wrong_and_the_space_is_that_of_the_description() {
    let mut host = Host::new();
    let mut open = |settings: Params| {
        host.ask(Request::OpenObjective {
            objective: component("synthetic", "synthetic"),
            settings,
        })
        .1
    };
    assert_eq!(open(settings(0)), Reply::Objective { space: None });
    let Reply::Failed { kind, message } = open(Params::new()) else {
        unreachable!("the settings are missing");
    };
    assert_eq!(kind, FailureKind::Refused);
    assert!(
        message.contains("the objective `synthetic`") && message.contains("sleep_ms"),
        "{message}"
    );
}
