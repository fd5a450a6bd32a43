//! The texts that people read, for the ways in which a run can end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::fs;

use common::{Journal, all_failed, built, finished, interrupted, objective};
use evo_report::{RunModel, final_table, summary_json, summary_markdown, write_all};

fn model(journal: &Journal) -> RunModel {
    RunModel::from_records(&journal.records).unwrap()
}

fn file(journal: &Journal, name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let paths = write_all(&model(journal), folder.path()).unwrap();
    let path = folder.path().join(name);
    assert!(paths.contains(&path), "{paths:?}");
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_finished_run_that_meets_its_target() {
    let journal = finished(Some(5.0));
    let model = model(&journal);
    insta::assert_snapshot!("met_summary", summary_markdown(&model).unwrap());
    insta::assert_snapshot!("met_table", final_table(&model));
    insta::assert_snapshot!("met_log", file(&journal, "tune_log.csv"));
    insta::assert_snapshot!("met_manifest", file(&journal, "manifest.yaml"));
    let text = serde_json::to_string_pretty(&summary_json(&model)).unwrap();
    insta::assert_snapshot!("met_json", text);
    insta::assert_snapshot!("met_topk", file(&journal, "topk.json"));
}

#[test]
fn a_valid_negative() {
    let journal = finished(Some(15.0));
    let model = model(&journal);
    insta::assert_snapshot!("negative_summary", summary_markdown(&model).unwrap());
    insta::assert_snapshot!("negative_table", final_table(&model));
}

#[test]
fn an_interrupted_run() {
    let journal = interrupted();
    let model = model(&journal);
    insta::assert_snapshot!("interrupted_summary", summary_markdown(&model).unwrap());
    insta::assert_snapshot!("interrupted_table", final_table(&model));
    insta::assert_snapshot!("interrupted_topk", file(&journal, "topk.json"));
    insta::assert_snapshot!("interrupted_manifest", file(&journal, "manifest.yaml"));
}

#[test]
fn a_run_in_which_nothing_worked() {
    let journal = all_failed();
    let model = model(&journal);
    insta::assert_snapshot!("failed_summary", summary_markdown(&model).unwrap());
    insta::assert_snapshot!("failed_table", final_table(&model));
    insta::assert_snapshot!("failed_log", file(&journal, "tune_log.csv"));
}

#[test]
fn a_run_on_an_objective() {
    let journal = objective();
    let model = model(&journal);
    insta::assert_snapshot!("objective_summary", summary_markdown(&model).unwrap());
    insta::assert_snapshot!("objective_table", final_table(&model));
    insta::assert_snapshot!("objective_log", file(&journal, "tune_log.csv"));
    insta::assert_snapshot!("objective_manifest", file(&journal, "manifest.yaml"));
}

#[test]
fn what_the_parameters_do() {
    let model = model(&built());
    let summary = summary_markdown(&model).unwrap();
    let section = summary
        .split("\n## ")
        .find(|part| part.starts_with("What the parameters"));
    insta::assert_snapshot!("built_section", section.unwrap());
    insta::assert_snapshot!("built_table", final_table(&model));
    let json = summary_json(&model);
    let knobs = serde_json::to_string_pretty(&json["knobs"][0]["params"][1]).unwrap();
    insta::assert_snapshot!("built_json", knobs);
}

#[test]
fn a_journal_that_does_not_say_what_was_built_is_told_so() {
    let model = model(&finished(None));
    let summary = summary_markdown(&model).unwrap();
    assert!(summary.contains("The journal does not say what its builds were"));
    assert_eq!(summary_json(&model)["knobs"], serde_json::json!([]));
    assert!(!final_table(&model).contains("never changed"));
}
