//! The log of a study through the program: who may write to it, and what is said of what is in it.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use evo_e2e::{Bench, Ended, root};
use rustix::process::{Pid, Signal, kill_process};

fn data(name: &str) -> String {
    let path = root().join("tests/data/recorded").join(name);
    path.to_str().unwrap().to_owned()
}

/// A second study would run the same searches, and take what the first one is writing for a tail
/// that was cut off.
#[test]
fn a_second_study_with_the_same_log_is_refused() {
    let bench = Bench::new();
    let space = data("convolution_milo-A4000.json.xz");
    let log = bench.path().join("study.jsonl.xz");
    let args = ["study", &space, "--seeds", "5000", "--strategy", "full"];
    let mut study = bench.start(&args);
    while std::fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
        assert!(study.try_wait().unwrap().is_none(), "the study has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let texts = [
        "study.jsonl.xz: another study",
        "is writing to it: wait until that has ended, or name another log with --log",
    ];
    bench.run(&args).fails(2, &texts);
    // To look at it takes no lock.
    let report = ["--strategy", "full", "--json", "--report-only"];
    let ended = bench.run(&[&["study", &space], &report[..]].concat()).ok();
    assert!(ended.stdout.contains("evo_full"), "{}", ended.stdout);
    let pid = Pid::from_raw(i32::try_from(study.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    Ended::from(study.wait_with_output().unwrap()).fails(130, &["stopped by SIGINT"]);
}

#[test]
fn a_report_says_what_is_missing_and_repairs_nothing() {
    let bench = Bench::new();
    let space = data("coulomb-RTX_2080_Ti.json.xz");
    let report = ["study", &space, "--budgets", "8", "--report-only"];
    bench.file("study.jsonl.xz", "");
    let nothing = "study.jsonl.xz: there are no searches of these recordings in it";
    bench.run(&report).fails(2, &[nothing]);
    let other = "{\"space\":\"x\",\"strategy\":\"y\",\"seed\":0,\"budget\":8,\"evals\":8,\
                 \"cpu_s\":0.1,\"asks\":8,\"improve\":[[1,5.0,40.0]]}\n";
    bench.file("others.jsonl", other);
    let with = [&report[..], &["--with", "others.jsonl"]].concat();
    let both = "in it, and none in the logs of --with (1 of other recordings)";
    bench.run(&with).fails(2, &[both]);
    // A log that ends in the midst of a stream: it is read, and only a study drops its end.
    let run = |seeds: &str| {
        let args = ["--budgets", "8", "--strategy", "random", "--seeds", seeds];
        bench.run(&[&["study", &space], &args[..]].concat()).ok()
    };
    run("2");
    let log = bench.path().join("study.jsonl.xz");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes.extend_from_slice(&bytes.clone()[..bytes.len() / 2]);
    std::fs::write(&log, &bytes).unwrap();
    let ended = bench.run(&report).ok();
    let cut = "the end of study.jsonl.xz is cut off";
    assert!(ended.stderr.contains(cut), "{}", ended.stderr);
    assert_eq!(std::fs::read(&log).unwrap(), bytes);
    let ended = run("3");
    let dropped = "the end of study.jsonl.xz was cut off and is dropped";
    assert!(ended.stderr.contains(dropped), "{}", ended.stderr);
    let ended = bench.run(&[&report[..], &["--json"]].concat()).ok();
    assert_eq!(ended.stderr, "");
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["cells"][0]["seeds"], 3);
}

#[test]
fn figures_that_make_no_sense_are_refused_with_their_range() {
    let bench = Bench::new();
    let space = data("coulomb-RTX_2080_Ti.json.xz");
    for (vary, text) in [
        (
            "length_scale=-1",
            "`length_scale` is -1, but must be between 0.01 and 100",
        ),
        (
            "pool=48,1000000000000",
            "`pool` is 1000000000000, but must be between 1 and 4096",
        ),
    ] {
        bench
            .run(&["study", &space, "--vary", vary])
            .fails(2, &[text]);
    }
    let noise = ["study", &space, "--noise", "-1"];
    bench
        .run(&noise)
        .fails(2, &["a scale is between 0 and 100"]);
    assert!(!bench.path().join("study.jsonl.xz").exists());
}
