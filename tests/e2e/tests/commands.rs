//! The commands beside `run`, and what `run` writes.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use evo_e2e::{Bench, root};
use evo_journal::Evaluated;
use evo_types::Outcome;

#[test]
fn a_run_writes_every_derived_file_and_they_can_be_made_again() {
    let bench = Bench::new();
    let ended = bench
        .run(&["run", "synthetic", "--budget", "12", "--out", "r"])
        .ok();
    assert!(ended.stdout.contains("winner"), "{}", ended.stdout);
    let files = [
        "manifest.yaml",
        "tune_log.csv",
        "topk.json",
        "reports/summary.md",
    ];
    let folder = bench.path().join("r");
    let before: Vec<String> = files
        .iter()
        .map(|file| fs::read_to_string(folder.join(file)).unwrap())
        .collect();
    for file in files {
        fs::remove_file(folder.join(file)).unwrap();
    }
    bench.run(&["report", "r"]).ok();
    for (file, before) in files.iter().zip(before) {
        assert_eq!(
            fs::read_to_string(folder.join(file)).unwrap(),
            before,
            "{file}"
        );
    }
    let log = fs::read_to_string(folder.join("tune_log.csv")).unwrap();
    assert_eq!(
        log.lines().count(),
        13,
        "a header and a line for each trial:\n{log}"
    );
    assert!(fs::read_dir(folder.join("bench")).unwrap().count() > 0);
}

#[test]
fn quiet_prints_nothing_and_json_prints_one_document() {
    let bench = Bench::new();
    let ended = bench
        .run(&["run", "synthetic", "--budget", "5", "--quiet"])
        .ok();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    assert!(
        bench
            .path()
            .join("runs/synthetic-001/journal.jsonl")
            .is_file()
    );
    let ended = bench
        .run(&["run", "synthetic", "--budget", "5", "--json"])
        .ok();
    assert_eq!(ended.stderr, "");
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(document.is_object());
    assert!(bench.path().join("runs/synthetic-002").is_dir());
}

#[test]
fn plugins_are_listed_with_what_is_in_them_and_where_they_came_from() {
    let bench = Bench::new();
    let ended = bench.run(&["plugin", "list"]).ok();
    for text in [
        "sdpa-cpu",
        "kernels",
        "$EVO_PLUGIN_PATH",
        "beside the program",
        "cannot be used",
    ] {
        assert!(
            ended.stdout.contains(text),
            "`{text}` is missing in:\n{}",
            ended.stdout
        );
    }
    let ended = bench.run(&["plugin", "list", "--json"]).ok();
    let list: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(list.as_array().is_some_and(|list| list.len() >= 4));
    let ended = bench.run(&["plugin", "describe", "sdpa-cpu"]).ok();
    for text in [
        "problem sdpa (built-in)",
        "kernel math",
        "kernel flash",
        "kernel tiled",
        "--set S=",
    ] {
        assert!(
            ended.stdout.contains(text),
            "`{text}` is missing in:\n{}",
            ended.stdout
        );
    }
}

#[test]
fn the_original_space_has_the_size_that_its_documents_got_wrong() {
    let bench = Bench::new();
    let space = root()
        .join("search-spaces/sdpa_ws_original.ron")
        .display()
        .to_string();
    let ended = bench
        .run(&["space", "show", &space, "--device", "sm_90a"])
        .ok();
    for text in ["82,944", "PROD_WARPS", "USE_WS"] {
        assert!(
            ended.stdout.contains(text),
            "`{text}` is missing in:\n{}",
            ended.stdout
        );
    }
    bench
        .run(&["space", "show", &space, "--device", "sm_10"])
        .fails(2, &["sm_80, sm_89, sm_90a"]);
    bench
        .run(&["space", "show", "none.ron"])
        .fails(2, &["none.ron: cannot read"]);
    let ended = bench
        .run(&["space", "show", "sdpa-cpu", "--set", "S=2048"])
        .ok();
    assert!(ended.stdout.contains("BLOCK"), "{}", ended.stdout);
}

#[test]
fn the_doctor_says_what_follows() {
    let bench = Bench::new();
    let ended = bench.run(&["doctor"]);
    for text in [
        "CPU",
        "SIMD",
        "CUDA driver",
        "CPU energy",
        "disassemblers",
        "plugin sdpa-cpu",
        "ok     profiler usage   works here",
        "profiler ncu",
    ] {
        assert!(
            ended.stdout.contains(text),
            "`{text}` is missing in:\n{}",
            ended.stdout
        );
    }
    // The broken plugins of the tests are on the path, and the doctor says so.
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stdout.contains("NO   plugin wrong-version"),
        "{}",
        ended.stdout
    );
}

#[test]
fn completions_and_man_pages_come_from_the_command_line_itself() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish"] {
        let ended = bench.run(&["completions", shell]).ok();
        assert!(ended.stdout.contains("preset"), "{shell}");
    }
    bench.run(&["man", "man"]).ok();
    let page = fs::read_to_string(bench.path().join("man/evo-run.1")).unwrap();
    assert!(page.contains("budget"));
}

#[test]
fn every_command_has_help() {
    let bench = Bench::new();
    for args in [
        vec!["--help"],
        vec!["run", "--help"],
        vec!["resume", "--help"],
        vec!["report", "--help"],
        vec!["space", "show", "--help"],
        vec!["plugin", "list", "--help"],
        vec!["plugin", "describe", "--help"],
        vec!["doctor", "--help"],
    ] {
        assert!(bench.run(&args).ok().stdout.contains("Usage: evo"));
    }
    bench.run(&["rum"]).fails(2, &["rum"]);
}

#[test]
fn the_space_of_a_description_is_shown_for_any_device() {
    let bench = Bench::new();
    let example = root().join("examples/07_cuda_source_only/convolution.kernel.ron");
    let example = example.to_str().unwrap();
    let shown = bench
        .run(&["space", "show", example, "--device", "sm_90a"])
        .ok();
    assert!(
        shown.stdout.contains("valid        5,448"),
        "{}",
        shown.stdout
    );
    assert!(
        shown.stdout.contains("MAX_THREADS_PER_BLOCK   1024"),
        "{}",
        shown.stdout
    );
}

#[test]
fn a_search_starts_with_what_is_named_and_with_the_best_of_other_runs() {
    let bench = Bench::new();
    bench
        .run(&["run", "synthetic", "--budget", "20", "--out", "r"])
        .ok();
    bench.file(
        "spec.ron",
        "(plugin: \"synthetic\", budget: (trials: 6),
            objective: (start: [
                {\"TILE_M\": 256, \"TILE_N\": 128},
                {\"UNROLL\": 4, \"FUSE\": true},
            ]))",
    );
    let ended = bench
        .run(&["run", "spec.ron", "--start-from", "r", "--out", "s"])
        .ok();
    assert!(
        ended.stderr.contains(
            "`start` of `synthetic`, configuration 1, cannot be tried here: `TILE_M * TILE_N <= 16384`"
        ),
        "{}",
        ended.stderr
    );
    let value = |evaluated: &Evaluated| {
        let Outcome::Measured(measurement) = &evaluated.outcome else {
            return f64::INFINITY;
        };
        measurement.metrics[0].value
    };
    let evaluated = bench.evaluated("r");
    let best = evaluated
        .iter()
        .min_by(|a, b| value(a).total_cmp(&value(b)));
    let best = best.unwrap().trial;
    let before = bench.proposals("r");
    let best = before.iter().find(|it| it.trial == best).unwrap();
    let now = bench.proposals("s");
    let operators: Vec<&str> = now.iter().map(|it| it.operator.as_str()).collect();
    assert_eq!(operators[..3], ["default", "start", "start"]);
    assert_eq!(now[1].params["UNROLL"].as_int(), Some(4));
    assert_eq!(now[2].params, best.params);

    // A run is resumed with what it started with, wherever the other run is by then.
    fs::remove_dir_all(bench.path().join("r")).unwrap();
    bench.run(&["run", "--from", "s", "--budget", "8"]).ok();
    assert_eq!(bench.proposals("s").len(), 8);

    bench
        .run(&["run", "spec.ron", "--start-from", "r"])
        .fails(2, &["r: there is no run in this folder", "runs/<name>"]);
    bench
        .run(&["run", "sdpa-cpu", "--start-from", "s"])
        .fails(2, &["measured none of the kernels that are tuned here"]);
    bench.file(
        "spec.ron",
        "(plugin: \"synthetic\", objective: (start: [{}, {\"UNROLL\": 3}]))",
    );
    bench.run(&["run", "spec.ron"]).fails(
        2,
        &[
            "`start` of `synthetic`, configuration 2",
            "UNROLL",
            "1, 2, 4, 8",
        ],
    );
}
