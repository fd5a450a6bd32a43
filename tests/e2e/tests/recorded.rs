//! Recorded spaces through the program: runs against the plugin `recorded`, and studies.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use evo_e2e::{Bench, Ended, root};
use evo_journal::Record;
use evo_types::{Outcome, OutcomeKind};
use rustix::process::{Pid, Signal, kill_process};

fn data(name: &str) -> String {
    let path = root().join("tests/data/recorded").join(name);
    path.to_str().unwrap().to_owned()
}

fn file(name: &str) -> String {
    format!("file={}", data(name))
}

#[test]
fn a_run_replays_a_recording_and_is_charged_what_it_cost() {
    let bench = Bench::new();
    let setting = file("convolution_milo-A4000.json.xz");
    let run = ["run", "--plugin", "recorded", "--set", &setting, "--out"];
    let ended = bench
        .run(&[&run[..], &["r", "--budget", "60", "--preset", "random"]].concat())
        .ok();
    assert!(ended.stdout.contains("winner"), "{}", ended.stdout);
    let evaluated = bench.evaluated("r");
    let kinds = |kind| {
        evaluated
            .iter()
            .filter(|e| e.outcome.kind() == kind)
            .count()
    };
    assert!(kinds(OutcomeKind::Measured) >= 40);
    for each in &evaluated {
        if let Outcome::Measured(measurement) = &each.outcome {
            assert!(measurement.metric("time").unwrap().value >= 1.021172);
        }
    }
    // A configuration costs a second or more there, and milliseconds here: a minute of recorded
    // time is over at once.
    bench.run(&[&run[..], &["t", "--wall", "60"]].concat()).ok();
    let evaluated = bench.evaluated("t");
    let charged: f64 = evaluated.iter().map(|each| each.wall_s).sum();
    let last = evaluated.last().map_or(0.0, |each| each.wall_s);
    assert!(charged >= 60.0 && charged - last < 60.0, "{charged} s");
    assert!((5..100).contains(&evaluated.len()), "{}", evaluated.len());
}

#[test]
fn a_relative_file_and_noise() {
    let bench = Bench::new();
    std::fs::copy(
        data("convolution_milo-A4000.json.xz"),
        bench.path().join("space.json.xz"),
    )
    .unwrap();
    let times = |name: &str, noise: &str| -> Vec<f64> {
        let noise = format!("noise={noise}");
        let set = ["--set", "file=space.json.xz", "--set", &noise];
        let run = ["run", "recorded", "--budget", "12", "--preset", "random"];
        bench.run(&[&run[..], &set, &["--out", name]].concat()).ok();
        let evaluated = bench.evaluated(name);
        let measured = evaluated.iter().filter_map(|e| e.outcome.measurement());
        measured.map(|m| m.metric("time").unwrap().value).collect()
    };
    let (exact, noisy) = (times("a", "false"), times("b", "true"));
    assert_eq!(exact.len(), noisy.len());
    for (exact, noisy) in exact.iter().zip(&noisy) {
        assert!(exact != noisy && (noisy / exact - 1.0).abs() < 0.5);
    }
}

#[test]
fn a_recording_that_is_missing_or_broken_is_said() {
    let bench = Bench::new();
    bench
        .run(&["run", "recorded", "--budget", "3"])
        .fails(2, &["no recording is named: add --set file=FILE"]);
    bench.file("x.json", r#"{"format": "recorded-space/7"}"#);
    bench
        .run(&["run", "recorded", "--set", "file=x.json"])
        .fails(2, &["x.json", "its format is `recorded-space/7`"]);
}

#[test]
fn configurations_that_were_never_recorded_cost_no_trial() {
    let bench = Bench::new();
    let setting = file("ktt_native.coulomb-RTX_2080_Ti.json.xz");
    bench
        .run(&[
            "run", "recorded", "--set", &setting, "--budget", "20", "--out", "r",
        ])
        .ok();
    let records = bench.records("r");
    let finished = records.iter().any(|r| matches!(r, Record::Finished { .. }));
    assert!(finished);
    let trials = bench
        .evaluated("r")
        .into_iter()
        .filter(|e| e.outcome.counts_as_trial());
    assert_eq!(trials.count(), 20);
}

#[test]
fn a_study_is_run_taken_up_and_reported() {
    let bench = Bench::new();
    let space = data("coulomb-RTX_2080_Ti.json.xz");
    let base = ["study", &space, "--budgets", "16,32", "--seeds"];
    let some = ["3", "--strategy", "random", "--strategy", "local_search"];
    let ended = bench.run(&[&base[..], &some].concat()).ok();
    for text in [
        "2 strategies over 1 space",
        "evo_local_search",
        "@16",
        "@32",
    ] {
        assert!(ended.stdout.contains(text), "{}", ended.stdout);
    }
    let size = || {
        std::fs::metadata(bench.path().join("study.jsonl.xz"))
            .unwrap()
            .len()
    };
    let before = size();
    let again = bench.run(&[&base[..], &some].concat()).ok();
    assert_eq!(
        (again.stdout, size()),
        (ended.stdout, before),
        "nothing was run again"
    );
    let more = ["4", "--strategy", "random", "--json"];
    let ended = bench.run(&[&base[..], &more].concat()).ok();
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let seeds: Vec<u64> = report["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| cell["seeds"].as_u64().unwrap())
        .collect();
    assert_eq!(seeds, [3, 4], "local_search, random");
    // Other tuners' logs have the same format.
    let other = data("runs.jsonl.xz");
    let with = [
        "study",
        &space,
        "--report-only",
        "--with",
        &other,
        "--by-space",
    ];
    let ended = bench.run(&with).ok();
    assert!(
        ended.stdout.contains("evo_differential_evolution"),
        "{}",
        ended.stdout
    );
    bench
        .run(&["study", "none.json"])
        .fails(2, &["none.json: cannot be opened"]);
    bench
        .run(&["study", &space, "--strategy", "best"])
        .fails(2, &["there is no preset `best`"]);
    bench
        .run(&["study", ".", "--report-only"])
        .fails(2, &["there is no recording in this folder"]);
}

#[test]
fn an_interrupted_study_goes_on() {
    let bench = Bench::new();
    let space = data("convolution_milo-A4000.json.xz");
    let log = bench.path().join("study.jsonl.xz");
    // Far more searches than there is patience for.
    let mut study = bench.start(&["study", &space, "--seeds", "5000", "--strategy", "full"]);
    while std::fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
        assert!(study.try_wait().unwrap().is_none(), "the study has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = Pid::from_raw(i32::try_from(study.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ended = Ended::from(study.wait_with_output().unwrap());
    let ended = ended.fails(130, &["stopped by SIGINT", "the same command goes on"]);
    assert_eq!(ended.stdout, "");
    let run = [
        "study",
        &space,
        "--strategy",
        "full",
        "--json",
        "--report-only",
    ];
    let ended = bench.run(&run).ok();
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(report["cells"][0]["seeds"].as_u64().unwrap() >= 1);
}
