//! The derived files as other programs read them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{Journal, crashed, finished, interrupted, params, plan, timed};
use evo_journal::{Plan, Record};
use evo_report::{ReportError, RunModel, summary_markdown, write_all};
use evo_types::{Outcome, RejectedBy, Value};
use serde_json::Value as Json;

fn model(journal: &Journal) -> RunModel {
    RunModel::from_records(&journal.records).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_manifest_loads_again_with_every_value() {
    let mut journal = finished(Some(15.0));
    let hostile = "yes: \"no\" # 1\n- \u{1b}[31m&anchor *x !tag".to_owned();
    if let Record::Started {
        spec,
        environment,
        plan,
        ..
    } = &mut journal.records[1]
    {
        *spec = format!("{spec}\n# {hostile}\n");
        environment.host = "0123".to_owned();
        environment.commit = Some("1e5".to_owned());
        environment.command.push(hostile.clone());
        plan.seed = u64::MAX;
        plan.device.facts = params(&[("X", Value::from(0.1)), ("on", Value::from("off"))]);
    }
    let folder = tempfile::tempdir().unwrap();
    write_all(&model(&journal), folder.path()).unwrap();
    let text = fs::read_to_string(folder.path().join("manifest.yaml")).unwrap();
    let loaded: Json = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(loaded["seed"], u64::MAX);
    assert_eq!(loaded["host"]["name"], "0123");
    assert_eq!(loaded["versions"]["commit"], "1e5");
    assert_eq!(
        loaded["device"]["facts"],
        serde_json::json!({ "X": 0.1, "on": "off" })
    );
    assert!(
        loaded["spec"].as_str().unwrap().contains(&hostile),
        "{loaded}"
    );
    let plan: Json = serde_json::to_value(&model(&journal).plan).unwrap();
    for key in [
        "plugins",
        "work",
        "engine",
        "measure",
        "limits",
        "profilers",
    ] {
        assert_eq!(loaded[key], plan[key], "{key}");
    }
    let command = loaded["reproduce"][2].as_str().unwrap();
    assert!(
        command.starts_with("evo run sdpa-cpu --set 'mask=\"none\"' '"),
        "{command}"
    );
}

#[test]
fn the_log_has_a_row_for_each_proposal_and_its_figures_are_exact() {
    let journal = interrupted();
    let model = model(&journal);
    let folder = tempfile::tempdir().unwrap();
    write_all(&model, folder.path()).unwrap();
    let mut reader = csv::Reader::from_path(folder.path().join("tune_log.csv")).unwrap();
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), model.trials.len());
    let kinds: Vec<&str> = rows.iter().map(|row| row["outcome"].as_str()).collect();
    assert_eq!(kinds[5], "duplicate");
    assert_eq!(kinds[9], "pending");
    let median = model.trials[0].measurement().unwrap().metrics[0].value;
    assert_eq!(
        rows[0]["kernel_time_us_p50"].parse::<f64>().unwrap(),
        median
    );
    assert_eq!(rows[3]["attempt"], "2");
    assert_eq!(rows[4]["reason"], "'=BLOCK_M exceeds `S`");
    assert_eq!(rows[5]["param.PREFETCH"], "-33");
    assert_eq!(rows[1]["param.PREFETCH"], "");
}

#[test]
fn each_compared_candidate_has_a_file_and_stale_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let bench = folder.path().join("bench");
    write_all(&model(&interrupted()), folder.path()).unwrap();
    assert_eq!(names(&bench), ["A.json", "B.json"]);
    fs::write(bench.join("notes.json"), "{}").unwrap();
    let old = fs::read(bench.join("A.json")).unwrap();
    fs::write(bench.join("old.json"), old).unwrap();
    write_all(&model(&finished(None)), folder.path()).unwrap();
    let expected = ["A.json", "B.json", "notes.json"].into_iter();
    let finalists = [
        "tiled--0.json",
        "tiled--1.json",
        "tiled--3.json",
        "tiled--6.json",
    ];
    assert_eq!(names(&bench), expected.chain(finalists).collect::<Vec<_>>());
    let text = fs::read_to_string(bench.join("A.json")).unwrap();
    let document: Json = serde_json::from_str(&text).unwrap();
    for stage in ["baselines", "confirmation"] {
        let samples = &document["stages"][stage]["metrics"][0]["samples"];
        assert_eq!(samples.as_array().unwrap().len(), 20, "{stage}");
    }
    let text = fs::read_to_string(bench.join("tiled--1.json")).unwrap();
    assert!(
        text.contains("wrong_result") && !text.contains("\\u001b"),
        "{text}"
    );
}

#[test]
fn labels_that_look_like_paths_stay_in_the_folder_and_apart() {
    let mut plan: Plan = plan();
    for (planned, label) in plan.baselines.iter_mut().zip(["../x", "../X"]) {
        planned.label = label.to_owned();
    }
    let mut journal = Journal::new(plan);
    journal.baselines();
    let folder = tempfile::tempdir().unwrap();
    write_all(&model(&journal), folder.path()).unwrap();
    assert_eq!(names(&folder.path().join("bench")), ["X-2.json", "x.json"]);
    assert_eq!(
        names(folder.path()),
        [
            "bench",
            "manifest.yaml",
            "reports",
            "topk.json",
            "tune_log.csv"
        ]
    );
}

#[test]
fn text_of_plugins_cannot_act_in_the_summary() {
    let mut journal = Journal::kernels(None);
    let reason = "<script>alert(1)</script> | [x](http://y) `a\n# heading\u{1b}[2J".to_owned();
    journal
        .baselines()
        .trial(64, timed(100.0))
        .trial(
            32,
            Outcome::Rejected {
                by: RejectedBy::Kernel,
                reason,
            },
        )
        .trial(33, crashed());
    let summary = summary_markdown(&model(&journal)).unwrap();
    assert!(!summary.replace(r"\<", "").contains("script>alert(1)<"));
    assert!(!summary.contains('\u{1b}'));
    assert!(!summary.contains("\n# heading"));
    let line = summary.lines().find(|line| line.contains("alert")).unwrap();
    assert!(
        line.contains(r"\<script>alert(1)\</script> \| [x\](http://y) \`a # heading"),
        "{line}"
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = write_all(&model(&interrupted()), &file).unwrap_err();
    assert!(matches!(error, ReportError::Write { .. }));
    assert!(error.to_string().contains("file/manifest.yaml"), "{error}");
}

#[test]
fn writing_again_changes_nothing_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let journal = finished(Some(5.0));
    let paths = write_all(&model(&journal), folder.path()).unwrap();
    let before: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(write_all(&model(&journal), folder.path()).unwrap(), paths);
    let after: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(before, after);
    assert_eq!(names(&folder.path().join("reports")), ["summary.md"]);
}

#[test]
fn the_error_of_a_quantisation_is_told_where_there_is_one() {
    let mut journal = finished(None);
    let folder = tempfile::tempdir().unwrap();
    let read = |journal: &Journal| {
        write_all(&model(journal), folder.path()).unwrap();
        let log = fs::read_to_string(folder.path().join("tune_log.csv")).unwrap();
        (log, summary_markdown(&model(journal)).unwrap())
    };
    let (log, summary) = read(&journal);
    assert!(!log.contains("quantisation") && !summary.contains("quantis"));
    for record in &mut journal.records {
        if let Record::Evaluated(evaluated) = record
            && let Outcome::Measured(found) = &mut evaluated.outcome
            && let Some(error) = &mut found.error
        {
            error.quantisation = Some(0.0271);
        }
    }
    let (log, summary) = read(&journal);
    let mut lines = log.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let place = head
        .iter()
        .position(|name| *name == "error_of_quantisation")
        .unwrap();
    assert_eq!(head[place - 1], "checks");
    assert!(lines.any(|row| row[place] == "0.0271"), "{log}");
    assert!(
        summary.contains("an error of 2.7e-2 against the inputs before it"),
        "{summary}"
    );
}
