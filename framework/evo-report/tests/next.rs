//! What a summary says to try next, from journals whose parameters have planted effects.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Journal, crashed, timed};
use evo_journal::{Diagnosed, DiagnosisLine, Record};
use evo_report::{RunModel, summary_markdown};
use evo_types::Value;

const WARPS: [i64; 3] = [2, 4, 8];
const LAYOUTS: [&str; 3] = ["row", "column", "padded"];

/// Every combination of three blocks, warps and layouts once, but for those of `left_out`. Warps make 4 the
/// best by 10 and 20 %, layouts rows by 5 and 30 %, blocks 32 by 10 and 40 %.
fn run(left_out: &[(i64, i64, &str)]) -> Journal {
    let mut journal = Journal::kernels(None);
    journal.baselines();
    let mut number = 0;
    for (block, by_block) in [(32, 1.0), (64, 1.1), (96, 1.4)] {
        for (warps, by_warps) in WARPS.into_iter().zip([1.1, 1.0, 1.2]) {
            for (layout, by_layout) in LAYOUTS.into_iter().zip([1.0, 1.05, 1.3]) {
                if left_out.contains(&(block, warps, layout)) {
                    continue;
                }
                // Noise of up to 1 %.
                number += 1;
                let noise = 1.0 + f64::from(number * 7 % 11) / 1000.0;
                let time = 1000.0 * by_block * by_warps * by_layout * noise;
                journal.trial(block, timed(time));
                journal.with("WARPS", Value::from(warps));
                journal.with("LAYOUT", Value::from(layout));
            }
        }
    }
    journal
}

fn diagnose(journal: &mut Journal, trial: u64, levers: &[&str]) {
    journal.push(Record::Diagnosed(Diagnosed {
        at: 1.0,
        source: "cpu/counters".to_owned(),
        label: format!("tiled #{trial}"),
        trial: Some(trial),
        diagnoses: vec![DiagnosisLine {
            rule: "few_warps".to_owned(),
            statement: "few warps".to_owned(),
            severity: 0.5,
            levers: levers.iter().map(|&it| it.to_owned()).collect(),
        }],
        unjudged: [].into(),
        told: None,
    }));
}

/// The section on what to try next.
fn next(journal: &Journal) -> String {
    let model = RunModel::from_records(&journal.records).expect("a model");
    let summary = summary_markdown(&model).expect("a summary");
    let section = summary.split("## What to try next").nth(1);
    let section = section.expect("there is such a section");
    section.split("\n## ").next().expect("its text").to_owned()
}

/// The number behind some words, such as of `expected with 8: 0.83x [0.82, 0.84]`.
fn figure(text: &str, words: &str) -> f64 {
    let rest = text.split(words).nth(1);
    let rest = rest.unwrap_or_else(|| panic!("no `{words}` in {text}"));
    let number = rest.split('x').next().expect("a ratio");
    number.trim().parse().expect("a number")
}

fn best(journal: &Journal) -> u64 {
    let model = RunModel::from_records(&journal.records).expect("a model");
    model.best_of_search().expect("a best trial").0.number()
}

#[test]
fn a_lever_that_was_pulled_already_is_left_out_with_what_came_of_it() {
    let mut journal = run(&[]);
    let subject = best(&journal);
    diagnose(&mut journal, subject, &["raise WARPS", "lower WARPS"]);
    let text = next(&journal);
    assert!(!text.contains("The next levers"), "{text}");
    let raised = figure(&text, "raise WARPS (nothing else changed:");
    assert!((0.81..=0.85).contains(&raised), "{text}");
    let lowered = figure(&text, "lower WARPS (nothing else changed:");
    assert!((0.89..=0.93).contains(&lowered), "{text}");
    assert!(text.contains("in trial "), "{text}");
}

#[test]
fn a_lever_that_other_trials_speak_against_is_left_out_with_the_estimate() {
    // The best one has not been tried with 8 warps.
    let mut journal = run(&[(32, 8, "row")]);
    let subject = best(&journal);
    diagnose(&mut journal, subject, &["raise WARPS"]);
    let text = next(&journal);
    assert!(!text.contains("The next levers"), "{text}");
    let expected = figure(&text, "raise WARPS (expected with 8:");
    assert!((0.81..=0.85).contains(&expected), "{text}");
    assert!(text.contains("by 8 trials that had it"), "{text}");
    assert!(text.contains("model of the measured trials"), "{text}");
}

#[test]
fn the_best_combination_that_was_not_tried_is_proposed_with_its_effect() {
    // What would be the best is missing, so that the best has 2 warps or other columns.
    let mut journal = run(&[(32, 4, "row")]);
    let subject = best(&journal);
    let text = {
        diagnose(&mut journal, subject, &["set LAYOUT=padded"]);
        next(&journal)
    };
    let first = text
        .lines()
        .find(|line| line.starts_with("1. "))
        .expect("a lever");
    // The best has columns and 4 warps.
    assert!(first.starts_with("1. set LAYOUT=row (expected: "), "{text}");
    let expected = figure(first, "expected:");
    assert!((1.03..=1.07).contains(&expected), "{text}");
    assert!(text.contains("- set LAYOUT=padded ("), "{text}");
}

#[test]
fn a_lever_to_what_always_failed_is_left_out() {
    // Of 8 warps nothing is measured.
    let of_8 = [32, 64, 96].map(|block| LAYOUTS.map(|layout| (block, 8, layout)));
    let mut journal = run(of_8.as_flattened());
    for layout in ["row", "column"] {
        journal.trial(64, crashed());
        journal.with("WARPS", Value::from(8));
        journal.with("LAYOUT", Value::from(layout));
    }
    let subject = best(&journal);
    diagnose(&mut journal, subject, &["raise WARPS"]);
    let text = next(&journal);
    let left_out = "- raise WARPS (with 8: 2 trials, none of which was measured)";
    assert!(text.contains(left_out), "{text}");
}

#[test]
fn a_lever_without_trials_says_so() {
    let mut journal = Journal::kernels(None);
    journal.baselines();
    journal.trial(64, timed(1000.0));
    diagnose(&mut journal, 0, &["set EXP=never"]);
    let text = next(&journal);
    assert!(text.contains("1. set EXP=never (few warps; severity 0.50, by cpu/counters; no trials tell by how much)"), "{text}");
    assert!(!text.contains("model of the measured trials"), "{text}");
}
