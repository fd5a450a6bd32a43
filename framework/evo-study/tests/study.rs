//! Studies on recordings of real GPUs.

#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use evo_core::engine::Preset;
use evo_study::{
    BUDGETS, Contestant, Report, RunLog, RunRecord, Study, StudySpace, Variation, read_records,
};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/data/recorded")
        .join(name)
}

fn coulomb() -> Vec<StudySpace> {
    StudySpace::read_all(&[data("coulomb-RTX_2080_Ti.json.xz")]).unwrap()
}

fn study(strategies: &[Preset], seeds: std::ops::Range<u64>, budget: u64) -> Study {
    Study {
        contestants: strategies
            .iter()
            .map(|preset| Contestant::new(*preset))
            .collect(),
        seeds,
        budget,
        threads: 2,
    }
}

fn run(study: &Study, spaces: &[StudySpace], log: &mut RunLog) -> (usize, usize) {
    let mut last = (0, 0);
    study
        .run(spaces, log, &|| false, &mut |progress| {
            last = (progress.done, progress.all);
        })
        .unwrap();
    last
}

/// Everything but the CPU time, in a fixed order.
fn essence(records: &[RunRecord]) -> Vec<RunRecord> {
    let mut records = records.to_vec();
    for record in &mut records {
        record.cpu_s = 0.0;
    }
    records.sort_by(|a, b| (&a.strategy, a.seed).cmp(&(&b.strategy, b.seed)));
    records
}

/// The sweep of the Hopper kernel that is kept brings its space, whose parameters may be inactive, and
/// what rules say of builds.
#[test]
fn a_recording_of_evo_is_searched_in_the_space_that_it_came_from() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../kernels/sdpa/recorded/hopper_mission-H200.json.xz");
    let spaces = StudySpace::read_all(&[file]).unwrap();
    assert_eq!(spaces[0].recorded(), 2232);
    let space = spaces[0].space(1).unwrap();
    assert_eq!(space.iter_valid().count(), 2232);
    assert!(!space.rules().is_empty());
    let folder = tempfile::TempDir::new().unwrap();
    let mut log = RunLog::open(&folder.path().join("log.jsonl")).unwrap();
    let mut study = study(&[Preset::Random], 0..3, 48);
    study.contestants.extend(
        Contestant::variants(
            Preset::Full,
            &["diagnoses=false".parse::<Variation>().unwrap()],
        )
        .unwrap(),
    );
    run(&study, &spaces, &mut log);
    // How each search went, by its seed: the log has them in the order in which they ended.
    let courses = |strategy: &str| -> BTreeMap<u64, Vec<(u64, f64)>> {
        let own = log.records().iter().filter(|it| it.strategy == strategy);
        own.map(|it| {
            let steps = it.improve.iter();
            (
                it.seed,
                steps.map(|(evals, _, best)| (*evals, *best)).collect(),
            )
        })
        .collect()
    };
    let (told, untold) = (courses("evo_full"), courses("evo_full[diagnoses=false]"));
    assert_eq!((told.len(), untold.len()), (3, 3));
    assert_ne!(
        told, untold,
        "what rules say of builds changes what is proposed"
    );
    // Inactive parameters are found: nearly every proposal was recorded.
    for record in log.records() {
        assert!(record.evals == 48 && record.asks < 64, "{record:?}");
    }
}

#[test]
fn a_study_runs_what_its_log_does_not_have() {
    let (folder, spaces) = (tempfile::tempdir().unwrap(), coulomb());
    let path = folder.path().join("a.jsonl.xz");
    let mut log = RunLog::open(&path).unwrap();
    let two = [Preset::Random, Preset::LocalSearch];
    assert_eq!(run(&study(&two, 0..2, 40), &spaces, &mut log), (4, 4));
    // Taken up with more seeds and another strategy: only those are run.
    let three = [Preset::Random, Preset::LocalSearch, Preset::QuasiRandom];
    drop(log);
    let mut log = RunLog::open(&path).unwrap();
    assert_eq!(run(&study(&three, 0..3, 40), &spaces, &mut log), (9, 9));
    assert_eq!(log.records().len(), 9);
    // The same as in one go, whatever the order.
    let mut whole = RunLog::open(&folder.path().join("b.jsonl.xz")).unwrap();
    run(&study(&three, 0..3, 40), &spaces, &mut whole);
    assert_eq!(essence(log.records()), essence(whole.records()));
    let record = &log.records()[0];
    assert_eq!((record.evals, record.asks, record.budget), (40, 40, 40));
    assert!(record.improve.windows(2).all(|pair| pair[1].2 < pair[0].2));
    assert!(record.strategy.starts_with("evo_"), "{}", record.strategy);
}

#[test]
fn a_stopped_study_keeps_what_it_has() {
    let (folder, spaces) = (tempfile::tempdir().unwrap(), coulomb());
    let mut log = RunLog::open(&folder.path().join("a.jsonl.xz")).unwrap();
    let stop = AtomicBool::new(true);
    let study = study(&[Preset::Random], 0..50, 32);
    let stopped = || stop.load(Ordering::Relaxed);
    study.run(&spaces, &mut log, &stopped, &mut |_| {}).unwrap();
    assert_eq!(log.records().len(), 0);
    stop.store(false, Ordering::Relaxed);
    let stopped = || stop.load(Ordering::Relaxed);
    study.run(&spaces, &mut log, &stopped, &mut |_| {}).unwrap();
    assert_eq!(log.records().len(), 50);
}

#[test]
fn every_strategy_finds_the_optimum_of_a_space_that_it_may_exhaust() {
    let (folder, spaces) = (tempfile::tempdir().unwrap(), coulomb());
    let mut log = RunLog::open(&folder.path().join("a.jsonl.xz")).unwrap();
    run(&study(&Preset::ALL, 7..8, 500), &spaces, &mut log);
    for record in log.records() {
        assert_eq!(record.evals, 210, "{}", record.strategy);
        assert_eq!(record.best_at(210), Some(0.769696), "{}", record.strategy);
    }
}

/// The space of a recording without restrictions is wider than what was recorded: the rest costs
/// nothing and is no evaluation.
#[test]
fn what_was_never_recorded_is_no_evaluation() {
    let spaces =
        StudySpace::read_all(&[data("kt_cachefile.convolution_milo-A100.excerpt.json")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut log = RunLog::open(&folder.path().join("a.jsonl.xz")).unwrap();
    run(&study(&[Preset::Random], 0..2, 10), &spaces, &mut log);
    for record in log.records() {
        assert!(
            record.evals <= 10 && record.asks > record.evals,
            "{record:?}"
        );
    }
}

#[test]
fn the_restrictions_of_recordings_admit_exactly_what_was_recorded() {
    for file in [
        "coulomb-RTX_2080_Ti.json.xz",
        "convolution_milo-A4000.json.xz",
    ] {
        let recording = evo_recorded::Recording::read(&data(file)).unwrap();
        let text = recording.space(None);
        let space = evo_core::space::Space::parse(&text, file, &Default::default()).unwrap();
        let mut count = 0;
        for config in space.iter_valid() {
            let choices: Option<Vec<u32>> = config.choices().iter().copied().collect();
            assert!(recording.find(&choices.unwrap()).is_some());
            count += 1;
        }
        assert_eq!(count, recording.rows().len(), "{file}");
    }
}

/// Pairs of values that were never recorded together never exclude what was recorded.
#[test]
fn the_spaces_of_other_formats_admit_everything_that_was_recorded() {
    for (file, valid) in [
        ("ktt_native.coulomb-RTX_2080_Ti.json.xz", Some(210)),
        ("kt_cachefile.convolution_milo-A100.excerpt.json", None),
    ] {
        let recording = evo_recorded::Recording::read(&data(file)).unwrap();
        let text = recording.space(None);
        let space = evo_core::space::Space::parse(&text, file, &Default::default()).unwrap();
        for row in recording.rows() {
            assert!(space.is_valid(&space.canonical(&row.choices)), "{row:?}");
        }
        if let Some(valid) = valid {
            assert_eq!(space.iter_valid().count(), valid);
        }
    }
}

/// The report of the records that are kept for this test, against the figures that the harness of
/// the comparison with other tuners computed from the same file (`peer_search.py report`).
#[test]
fn the_figures_are_those_of_the_harness() {
    let records = read_records(&data("runs.jsonl.xz")).unwrap().records;
    let spaces = StudySpace::read_all(&[
        data("coulomb-RTX_2080_Ti.json.xz"),
        data("convolution_milo-A4000.json.xz"),
    ])
    .unwrap();
    let report = Report::new(&spaces, &records, &BUDGETS);
    let text = std::fs::read_to_string(data("runs.harness.json")).unwrap();
    let truth: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(report.cells.len(), truth.len());
    for (cell, truth) in report.cells.iter().zip(&truth) {
        let number = |key: &str| truth[key].as_f64().unwrap();
        assert_eq!(truth["space"], cell.space.as_str());
        assert_eq!(truth["strategy"], cell.strategy.as_str());
        assert_eq!(number("cutoff_fevals"), cell.cutoff as f64);
        let mut pairs = Vec::new();
        for figures in &cell.figures {
            let at = |key: &str| number(&format!("{key}@{}", figures.budget));
            pairs.push((at("mean"), figures.mean, 6e-5));
            pairs.push((at("se"), figures.standard_error.unwrap(), 6e-5));
            pairs.push((at("hit1%"), figures.near, 6e-4));
        }
        let (score, time) = (cell.score.unwrap(), cell.score_time.unwrap());
        pairs.push((number("score_fevals"), score.value, 6e-5));
        pairs.push((number("score_time"), time.value, 6e-5));
        // The harness resamples 30 times, and from another generator.
        let error = score.standard_error.unwrap();
        pairs.push((number("score_fevals_se"), error, 0.5 * error + 1e-4));
        pairs.push((number("cpu_ms_per_eval"), cell.cpu_ms, 6e-5));
        for (theirs, ours, tolerance) in pairs {
            assert!(
                (theirs - ours).abs() <= tolerance,
                "{theirs} {ours}: {truth}"
            );
        }
    }
    insta::assert_snapshot!(report.to_string());
    insta::assert_snapshot!(report.by_space());
}

fn milo() -> Vec<StudySpace> {
    StudySpace::read_all(&[data("convolution_milo-A4000.json.xz")]).unwrap()
}

#[test]
fn under_noise_a_search_has_two_answers_and_never_mixes_with_another_scale() {
    let (folder, spaces) = (tempfile::tempdir().unwrap(), milo());
    let path = folder.path().join("a.jsonl.xz");
    let at = |scales: &[f64]| Study {
        contestants: scales
            .iter()
            .map(|scale| Contestant::new(Preset::LocalSearch).with_noise(*scale))
            .collect(),
        ..study(&[], 0..3, 64)
    };
    let mut log = RunLog::open(&path).unwrap();
    assert_eq!(run(&at(&[0.0, 1.0]), &spaces, &mut log), (6, 6));
    let mut counted = BTreeMap::new();
    for record in log.records() {
        *counted.entry(record.strategy.clone()).or_insert(0) += 1;
        let recorded = spaces[0].optimum();
        assert!(record.improve.iter().all(|(_, _, time)| *time >= recorded));
    }
    let names: Vec<(&str, i32)> = counted.iter().map(|(n, c)| (n.as_str(), *c)).collect();
    assert_eq!(
        names,
        [
            ("evo_local_search", 3),
            ("evo_local_search@noise=1", 3),
            ("evo_local_search@noise=1+confirm", 3)
        ]
    );
    // Another scale is run anew, the same one is not.
    assert_eq!(run(&at(&[0.5, 1.0]), &spaces, &mut log), (6, 6));
    assert_eq!(log.records().len(), 9 + 6);
    // Half of a search's records, as a kill may leave them: the search is run again.
    let mut half = RunLog::open(&folder.path().join("b.jsonl.xz")).unwrap();
    let first = log.records().iter().find(|r| r.strategy.ends_with("=1"));
    half.append(vec![first.unwrap().clone()]).unwrap();
    run(&at(&[1.0]), &spaces, &mut half);
    let report = Report::new(&spaces, half.records(), &[64]);
    assert_eq!((report.cells[0].seeds, report.repeated), (3, 1));
    let report = Report::new(&spaces, log.records(), &[64]);
    let noisy: Vec<&str> = report.noise.iter().map(|n| n.strategy.as_str()).collect();
    assert_eq!(noisy.len(), 4, "{noisy:?}");
}

#[test]
fn noise_on_a_recording_without_a_spread_is_refused_before_anything_runs() {
    let (folder, spaces) = (tempfile::tempdir().unwrap(), coulomb());
    let mut log = RunLog::open(&folder.path().join("a.jsonl.xz")).unwrap();
    let noisy = Study {
        contestants: vec![Contestant::new(Preset::Random).with_noise(1.0)],
        ..study(&[], 0..1, 8)
    };
    let error = noisy.run(&spaces, &mut log, &|| false, &mut |_| {});
    let error = error.unwrap_err().to_string();
    assert!(error.contains("--leave-out coulomb-RTX_2080_Ti"), "{error}");
    assert!(log.records().is_empty());
}

#[test]
fn a_variant_searches_with_its_own_tuning() {
    let (folder, spaces) = (tempfile::tempdir().unwrap(), coulomb());
    let mut log = RunLog::open(&folder.path().join("a.jsonl.xz")).unwrap();
    let vary: Variation = "initial=1,20".parse().unwrap();
    let contestants = Contestant::variants(Preset::Full, &[vary]).unwrap();
    let names: Vec<String> = contestants.iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        ["evo_full", "evo_full[initial=1]", "evo_full[initial=20]"]
    );
    let study = Study {
        contestants,
        ..study(&[], 0..4, 32)
    };
    assert_eq!(run(&study, &spaces, &mut log), (12, 12));
    let curves = |name: &str| -> Vec<Vec<(u64, f64, f64)>> {
        let records = essence(log.records()).into_iter();
        let own = records.filter(|record| record.strategy == name);
        own.map(|record| record.improve).collect()
    };
    assert_ne!(curves(&names[1]), curves(&names[2]));
}

#[test]
fn a_log_of_another_engine_is_not_continued() {
    let (folder, spaces) = (tempfile::tempdir().unwrap(), coulomb());
    let mut log = RunLog::open(&folder.path().join("a.jsonl.xz")).unwrap();
    run(&study(&[Preset::Random], 0..1, 8), &spaces, &mut log);
    let mut other = log.records()[0].clone();
    other.engine = Some("0-00000000".to_owned());
    other.strategy = "evo_full".to_owned();
    log.append(vec![other]).unwrap();
    let more = study(&[Preset::Random], 0..2, 8);
    let error = more.run(&spaces, &mut log, &|| false, &mut |_| {});
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("1 of the searches in it were made by another engine"),
        "{error}"
    );
    assert_eq!(log.records().len(), 2);
}
