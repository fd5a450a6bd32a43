//! What is said of a target and of the winner.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::{Journal, all_failed, finished, interrupted, samples, timed, wrong};
use evo_journal::Record;
use evo_report::{RunModel, State, TargetStatus, headline, summary_json};
use evo_types::{Direction, Measurement, Metric, Outcome};

fn model(journal: &Journal) -> RunModel {
    RunModel::from_records(&journal.records).unwrap()
}

fn status(journal: &Journal) -> TargetStatus {
    model(journal).target().unwrap().status
}

#[test]
fn the_confirmation_alone_decides() {
    assert_eq!(status(&finished(Some(5.0))), TargetStatus::Met);
    assert_eq!(status(&finished(Some(15.0))), TargetStatus::ValidNegative);
    assert_eq!(status(&interrupted()), TargetStatus::NotConfirmed);
    assert_eq!(status(&all_failed()), TargetStatus::NotConfirmed);
    // The search says 5.884, the confirmation 5.867: the search has no say.
    assert_eq!(status(&finished(Some(5.88))), TargetStatus::ValidNegative);
    assert_eq!(model(&finished(None)).target(), None);
}

#[test]
fn an_estimate_at_the_target_is_met_and_a_low_interval_is_said() {
    let reached = model(&finished(Some(1.0)))
        .target()
        .unwrap()
        .reached
        .unwrap();
    let (low, _) = reached.interval.unwrap();
    assert!(low < reached.estimate);
    let verdict = model(&finished(Some(reached.estimate))).target().unwrap();
    assert_eq!(verdict.status, TargetStatus::Met);
    assert!(
        verdict
            .explanation
            .ends_with("so a repetition may miss it."),
        "{verdict:?}"
    );
    let verdict = model(&finished(Some(low))).target().unwrap();
    assert!(!verdict.explanation.contains("repetition"), "{verdict:?}");
}

#[test]
fn an_unfinished_run_is_no_valid_negative() {
    let mut journal = finished(Some(15.0));
    journal.records.pop();
    assert_eq!(status(&journal), TargetStatus::NotMet);
    let mut journal = finished(Some(15.0));
    journal.push(Record::Extended {
        at: 0.0,
        budget: serde_json::json!({ "trials": 99 }),
    });
    assert_eq!(status(&journal), TargetStatus::NotMet);
    journal.trial(40, timed(1400.0));
    let model = model(&journal);
    assert!(model.confirmation_is_stale);
    assert_eq!(model.state, State::Unfinished);
    assert_eq!(model.budget.limits.trials, Some(99));
    assert_eq!(model.target().unwrap().status, TargetStatus::NotMet);
}

#[test]
fn finalists_that_all_fail_are_evicted_and_the_target_is_not_met() {
    let mut journal = Journal::kernels(Some(2.0));
    journal
        .baselines()
        .trial(64, timed(1900.0))
        .confirmation(vec![(0, 64, wrong())])
        .finished("done");
    let model = model(&journal);
    assert_eq!(model.target().unwrap().status, TargetStatus::NotMet);
    assert_eq!(
        headline(&model),
        "No finalist passed the confirmation; tiled #0: wrong result."
    );
    assert_eq!(summary_json(&model)["winner"], serde_json::Value::Null);
    assert_eq!(summary_json(&model)["confirmed"], false);
}

#[test]
fn a_failed_baseline_leaves_the_target_open_and_the_rest_stands() {
    let mut journal = finished(Some(2.0));
    for record in &mut journal.records {
        if let Record::Compared(comparison) = record {
            comparison.items[0].outcome = wrong();
        }
    }
    let model = model(&journal);
    let verdict = model.target().unwrap();
    assert_eq!(verdict.status, TargetStatus::NotMet);
    assert_eq!(
        verdict.explanation,
        "It cannot be judged, because A (math) has no figure in the confirmation: wrong result, \
         relative error 3.4e-2 | gate 1e-5, shape S=197 seed 7."
    );
    let winner = model.confirmation.as_ref().unwrap().winner().unwrap();
    assert!(winner.over(0).is_none() && winner.over(1).is_some());
}

#[test]
fn near_finalists_are_not_told_apart_and_far_ones_are() {
    let model = model(&finished(None));
    let table = model.confirmation.as_ref().unwrap();
    assert_eq!(table.winner().unwrap().trial, Some(6));
    let told: Vec<(Option<u64>, Option<bool>)> = table
        .rivals
        .iter()
        .map(|rival| (table.rows[rival.row].trial, rival.distinguishable))
        .collect();
    assert_eq!(told, [(Some(3), Some(false)), (Some(0), Some(true))]);
    assert_eq!(table.winner_against_default().unwrap().row, 5);
}

#[test]
fn a_winning_default_is_named_as_such() {
    let mut journal = Journal::kernels(None);
    journal
        .baselines()
        .trial(64, timed(1500.0))
        .trial(32, timed(1600.0))
        .confirmation(vec![(0, 64, timed(1500.0)), (1, 32, timed(1600.0))])
        .finished("done");
    let text = headline(&model(&journal));
    assert!(
        text.ends_with("it is the default configuration: the search found nothing better."),
        "{text}"
    );
}

#[test]
fn a_metric_that_rises_is_ranked_the_other_way() {
    let rate = |value: f64| {
        let metric = Metric {
            samples: samples(value),
            ..Metric::new("rate", "GB/s", Direction::Higher, value)
        };
        Outcome::Measured(Measurement {
            metrics: vec![metric],
            error: None,
            execution: None,
            recheck_seed: None,
            raced_out: false,
            converged: true,
        })
    };
    let mut plan = common::plan();
    plan.metric = "rate".to_owned();
    plan.engine = serde_json::json!({});
    plan.baselines.truncate(1);
    let mut journal = Journal::new(plan);
    journal
        .trial(64, rate(100.0))
        .trial(32, rate(300.0))
        .trial(33, rate(200.0));
    assert_eq!(model(&journal).best_of_search().unwrap().0.number(), 1);
    let mut items = vec![
        ("A", None, 100.0),
        ("tiled #1", Some(1), 300.0),
        ("tiled #2", Some(2), 200.0),
    ];
    let items = items
        .drain(..)
        .map(|(label, trial, value)| evo_journal::ComparedItem {
            label: label.to_owned(),
            trial,
            kernel: "tiled".to_owned(),
            params: evo_types::Params::new(),
            outcome: rate(value),
        })
        .collect();
    journal.compare(evo_journal::Stage::Confirmation, items);
    let model = model(&journal);
    let table = model.confirmation.as_ref().unwrap();
    let winner = table.winner().unwrap();
    assert_eq!(winner.trial, Some(1));
    assert!((winner.over(0).unwrap().estimate - 3.0).abs() < 0.05);
    assert!(table.rivals[0].estimate > 1.4 && table.rivals[0].distinguishable == Some(true));
}

#[test]
fn counts_keep_what_was_not_evaluated_apart() {
    let model = model(&finished(None));
    assert_eq!(model.trials.len(), 9);
    assert_eq!(model.count(evo_types::OutcomeKind::DuplicateOf), 1);
    assert_eq!(model.count(evo_types::OutcomeKind::Rejected), 1);
    assert_eq!(model.budget.trials, 7);
    assert_eq!(model.failures(), 3);
    assert_eq!(summary_json(&model)["trials"]["duplicate_of"], 1);
}
