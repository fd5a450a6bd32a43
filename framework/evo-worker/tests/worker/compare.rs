//! Several candidates, interleaved.

use evo_types::{CachePolicy, Outcome, Phase, WrongKind};
use evo_wire::{CompareItem, CompareJob, ComparedItem, Reply, Request};

use crate::support::{Host, component, quick};

fn compare(
    cache: CachePolicy,
    modes: &[(&str, i64)],
) -> (Vec<(Phase, Option<usize>)>, Vec<ComparedItem>) {
    let mut host = Host::new();
    let items = modes
        .iter()
        .enumerate()
        .map(|(index, (mode, speed))| CompareItem {
            label: format!("{index} {mode}"),
            kernel: component("misbehave", "misbehave"),
            request: {
                let mut request = host.request(mode, *speed);
                request.problem.cache = cache;
                request
            },
        })
        .collect();
    let job = CompareJob {
        problem: component("misbehave", "filter"),
        items,
        seed: 3,
        settings: quick(),
    };
    match host.ask(Request::Compare(Box::new(job))) {
        (phases, Reply::Compared { items }) => (phases, items),
        (_, other) => unreachable!("{other:?}"),
    }
}

#[test]
fn all_are_measured_in_the_same_rounds() {
    let (phases, items) = compare(
        CachePolicy::Rotate,
        &[("good", 8), ("good", 1), ("good", 8)],
    );
    let measurements: Vec<_> = items
        .iter()
        .map(|item| {
            item.outcome
                .measurement()
                .unwrap_or_else(|| unreachable!("{item:?}"))
        })
        .collect();
    let rounds = measurements[0].metrics[0].samples.len();
    assert!((6..=12).contains(&rounds));
    for measurement in &measurements {
        assert_eq!(measurement.metrics[0].samples.len(), rounds);
    }
    assert!(measurements[1].metrics[0].value > 2.0 * measurements[0].metrics[0].value);
    for item in 0..3 {
        for phase in [Phase::Verify, Phase::Recheck] {
            assert!(
                phases.contains(&(phase, Some(item))),
                "{phase:?} of {item}: {phases:?}"
            );
        }
    }
    assert!(phases.contains(&(Phase::Measure, None)));
}

#[test]
fn a_candidate_that_fails_drops_out_and_the_others_go_on() {
    let (_, items) = compare(
        CachePolicy::Hot,
        &[
            ("zeros", 8),
            ("good", 8),
            ("build_fails", 8),
            ("lazy_after_many", 8),
        ],
    );
    let labels: Vec<&str> = items.iter().map(|item| item.label.as_str()).collect();
    assert_eq!(
        labels,
        ["0 zeros", "1 good", "2 build_fails", "3 lazy_after_many"]
    );
    let wrong = |item: &ComparedItem| match &item.outcome {
        Outcome::WrongResult(wrong) => (wrong.wrong, wrong.after_timing),
        other => unreachable!("{}", other.summary()),
    };
    assert_eq!(wrong(&items[0]), (WrongKind::Zeros, false));
    assert!(items[1].outcome.measurement().is_some());
    assert!(matches!(items[2].outcome, Outcome::BuildFailed { .. }));
    assert_eq!(wrong(&items[3]), (WrongKind::Cached, true));
}

#[test]
fn nothing_to_compare_is_an_empty_answer() {
    assert_eq!(compare(CachePolicy::Hot, &[]).1, []);
}
