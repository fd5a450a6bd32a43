//! Whatever a journal holds, a report is made or refused; nothing panics.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::{Journal, all_failed, finished, interrupted, objective};
use evo_journal::Record;
use evo_report::{ReportError, RunModel, final_table, summary_json, summary_markdown, write_all};
use proptest::prelude::*;

fn journals() -> [Journal; 4] {
    [
        finished(Some(15.0)),
        interrupted(),
        all_failed(),
        objective(),
    ]
}

/// Makes every document that can be made.
fn report(records: &[Record]) -> Result<RunModel, ReportError> {
    let model = RunModel::from_records(records)?;
    let summary = summary_markdown(&model)?;
    assert!(summary.starts_with("# Run mission"));
    assert!(!final_table(&model).is_empty());
    assert_eq!(summary_json(&model)["schema"], 1);
    Ok(model)
}

#[test]
fn every_prefix_with_a_plan_gives_a_report() {
    for journal in journals() {
        for length in 0..=journal.records.len() {
            let model = report(&journal.records[..length]);
            if length < 2 {
                assert!(matches!(model, Err(ReportError::NotStarted)), "{length}");
                continue;
            }
            let model = model.unwrap();
            let folder = tempfile::tempdir().unwrap();
            write_all(&model, folder.path()).unwrap();
        }
    }
}

#[test]
fn contradictions_are_named_by_their_record() {
    let mut journal = finished(None);
    let evaluated = journal.records[4].clone();
    assert!(matches!(evaluated, Record::Evaluated(_)));
    journal.records.push(evaluated);
    let error = RunModel::from_records(&journal.records)
        .unwrap_err()
        .to_string();
    let number = journal.records.len();
    assert_eq!(
        error,
        format!(
            "record {number} of the journal does not fit the ones before it: trial 0 has an \
             outcome already"
        )
    );
    journal.records.remove(3);
    let error = RunModel::from_records(&journal.records)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "record 4 of the journal does not fit the ones before it: trial 0 was never proposed"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn shuffled_records_never_panic(
        which in 0usize..4,
        keys in prop::collection::vec(any::<u32>(), 40),
        keep in 0usize..3,
    ) {
        let journal = &journals()[which];
        // With the beginning kept, the fold gets further.
        let (head, tail) = journal.records.split_at(keep);
        let mut tail: Vec<(u32, Record)> = keys.into_iter().cycle().zip(tail.to_vec()).collect();
        tail.sort_by_key(|(key, _)| *key);
        let mut records = head.to_vec();
        records.extend(tail.into_iter().map(|(_, record)| record));
        let _ = report(&records);
    }

    #[test]
    fn dropped_and_repeated_records_never_panic(
        which in 0usize..4,
        places in prop::collection::vec(2usize..30, 0..40),
    ) {
        let journal = &journals()[which];
        let mut records = journal.records[..2].to_vec();
        records.extend(places.iter().filter_map(|place| journal.records.get(*place).cloned()));
        let _ = report(&records);
    }
}
