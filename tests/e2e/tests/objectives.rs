//! The command objective, and the examples that are Rust plugins or programs.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use evo_e2e::{Bench, Ended, root};
use evo_journal::Record;
use evo_types::{Direction, Outcome, OutcomeKind};

/// A spec whose objective runs `command` for X from 1 to 8.
fn run(bench: &Bench, command: &str, settings: &str, rest: &str) -> Ended {
    bench.file(
        "space.ron",
        r#"(name: "s", params: [(name: "X", range: (from: 1, to: 8))])"#,
    );
    bench.file(
        "spec.ron",
        &format!(
            r#"(plugin: "command", preset: random, {rest}
                objective: (
                    settings: {{"command": {command:?}, {settings}}},
                    space: "space.ron",
                ))"#
        ),
    );
    bench.run(&["run", "spec.ron", "--out", "r"])
}

fn kinds(bench: &Bench) -> Vec<OutcomeKind> {
    let evaluated = bench.evaluated("r");
    evaluated.iter().map(|e| e.outcome.kind()).collect()
}

/// Whether a process has ended; a while is waited for it.
fn is_gone(pid: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = Path::new("/proc").join(pid).join("status");
    while Instant::now() < deadline {
        match fs::read_to_string(&status) {
            Ok(text) if !text.contains("State:\tZ") => {}
            _ => return true,
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// The process numbers that the commands of a run have written, one a line.
fn noted(bench: &Bench) -> Vec<String> {
    let text = fs::read_to_string(bench.path().join("pids")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_program_is_tuned_by_its_flags_and_its_figure_may_be_better_upwards() {
    let bench = Bench::new();
    let settings = r#""shell": true, "repeat": 3, "direction": "higher", "after": "gain""#;
    run(
        &bench,
        "echo gain $(({X} * (10 - {X}))) at {X}",
        settings,
        "",
    )
    .ok();
    assert_eq!(kinds(&bench), [OutcomeKind::Measured; 8]);
    let best = bench.outcome_with("r", "X", "5").unwrap();
    let metric = best.measurement().unwrap().metric("value").unwrap().clone();
    assert_eq!((metric.value, metric.direction), (25.0, Direction::Higher));
    assert_eq!(metric.samples, [25.0; 3]);
    let best = fs::read_to_string(bench.path().join("r/topk.json")).unwrap();
    let best: serde_json::Value = serde_json::from_str(&best).unwrap();
    assert_eq!(best.pointer("/top/0/params/X"), Some(&5.into()), "{best}");
}

#[test]
fn each_way_of_failing_is_its_own_outcome_and_the_run_goes_on() {
    let bench = Bench::new();
    let script = "case {X} in 1) echo 'bad tile' >&2; exit 4;; 2) kill -SEGV $$;; 3) echo none;; \
                  4) echo nan;; *) echo {X};; esac";
    run(&bench, script, r#""shell": true"#, "").ok();
    for (x, kind, text) in [
        ("1", OutcomeKind::Crashed, "ended with exit code 4: sh -c"),
        ("1", OutcomeKind::Crashed, "its last words: bad tile"),
        ("2", OutcomeKind::Crashed, "was killed by signal 11"),
        (
            "3",
            OutcomeKind::Implausible,
            "printed no number to standard output",
        ),
        ("3", OutcomeKind::Implausible, "its last output: none"),
        (
            "4",
            OutcomeKind::Implausible,
            "printed NaN where its figure should be",
        ),
        ("6", OutcomeKind::Measured, "value 6"),
    ] {
        let outcome = bench.outcome_with("r", "X", x).unwrap();
        assert_eq!(outcome.kind(), kind, "X={x}: {}", outcome.summary());
        assert!(
            outcome.summary().contains(text),
            "X={x}: {}",
            outcome.summary()
        );
    }
}

#[test]
fn a_command_that_hangs_is_timed_out_and_nothing_of_it_is_left() {
    let bench = Bench::new();
    let script = "if [ {X} -gt 2 ]; then echo {X}; exit; fi; \
                  (sleep 600 & echo $! >> pids; wait) & echo $! >> pids; wait";
    run(&bench, script, r#""shell": true, "timeout_s": 0.5"#, "").ok();
    for x in ["1", "2"] {
        let outcome = bench.outcome_with("r", "X", x).unwrap();
        assert!(
            matches!(outcome, Outcome::TimedOut { limit_s, .. } if limit_s == 1.0),
            "{}",
            outcome.summary()
        );
    }
    let pids = noted(&bench);
    assert_eq!(pids.len(), 4);
    assert!(pids.iter().all(|pid| is_gone(pid)), "{pids:?}");
}

#[test]
fn the_deadline_of_the_run_goes_before_that_of_the_command() {
    let bench = Bench::new();
    let script = "if [ {X} -gt 1 ]; then echo {X}; exit; fi; \
                  echo $$ >> pids; (sleep 600 & echo $! >> pids; wait) & echo $! >> pids; wait";
    let limits = "limits: (measure_s: 1.0),";
    run(&bench, script, r#""shell": true, "timeout_s": 600"#, limits).ok();
    let outcome = bench.outcome_with("r", "X", "1").unwrap();
    assert_eq!(
        outcome.kind(),
        OutcomeKind::TimedOut,
        "{}",
        outcome.summary()
    );
    let pids = noted(&bench);
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| is_gone(pid)), "{pids:?}");
}

#[test]
fn what_cannot_be_run_is_refused_before_the_search() {
    let bench = Bench::new();
    for (command, settings, text) in [
        ("./none {X}", "", "there is no program"),
        ("", "", "the setting `command` is empty"),
        ("echo {X", "", "a brace without its partner"),
        (
            "true {X}",
            r#""folder": "nowhere""#,
            "there is no such folder",
        ),
        (
            "true {X}",
            r#""measure": "time""#,
            "must be one of printed, wall",
        ),
    ] {
        run(&bench, command, settings, "").fails(2, &[text]);
    }
    assert!(!bench.path().join("r").exists());
}

/// Copies an example's files into the test's folder, with the path of a library in its spec
/// replaced.
fn copy(bench: &Bench, example: &str, files: &[&str], library: Option<&str>) {
    let folder = root().join("examples").join(example);
    for file in files {
        let mut text = fs::read_to_string(folder.join(file)).unwrap();
        if let (Some(library), "run.ron") = (library, *file) {
            let start = text.find("../../target/release/").unwrap();
            let end = start + text[start..].find('"').unwrap();
            text.replace_range(start..end, library);
        }
        bench.file(file, &text);
    }
}

#[test]
fn example_5_the_smallest_rust_kernel() {
    let bench = Bench::new();
    let library = bench.example_plugin("05_rust_plugin").display().to_string();
    copy(&bench, "05_rust_plugin", &["run.ron"], Some(&library));
    let ended = bench.run(&["plugin", "describe", &library]).ok();
    for text in [
        "kernel column_sums",
        "problem reduction (built-in)",
        "BLOCK",
    ] {
        assert!(ended.stdout.contains(text), "{}", ended.stdout);
    }
    bench
        .run(&[
            "run", "run.ron", "--out", "r", "--set", "M=64", "--set", "N=300",
        ])
        .ok();
    let kinds = kinds(&bench);
    assert_eq!(kinds.len(), 11);
    assert!(
        kinds.iter().all(|kind| *kind == OutcomeKind::Measured),
        "{kinds:?}"
    );
    // What the function does not compute is refused with the reason.
    let ended = bench.run(&["run", "run.ron", "--out", "s", "--set", "op=max"]);
    assert_ne!(ended.code, Some(0));
    assert!(
        ended
            .stderr
            .contains("`column_sums` works where the field `op` of the problem is sum"),
        "{}",
        ended.stderr
    );
}

#[test]
fn example_6_a_program_tuned_by_its_flags() {
    let bench = Bench::new();
    copy(
        &bench,
        "06_command_objective",
        &["run.ron", "space.ron", "transpose.c"],
        None,
    );
    let compiled = Command::new("cc")
        .args([
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
            "transpose",
            "transpose.c",
        ])
        .current_dir(bench.path())
        .status()
        .expect("there is a C compiler");
    assert!(compiled.success());
    bench
        .run(&["run", "run.ron", "--out", "r", "--budget", "6"])
        .ok();
    assert_eq!(kinds(&bench), [OutcomeKind::Measured; 6]);
}

#[test]
fn example_8_a_profiler_of_ones_own() {
    let bench = Bench::new();
    let library = bench
        .example_plugin("08_custom_profiler")
        .display()
        .to_string();
    copy(&bench, "08_custom_profiler", &["run.ron"], Some(&library));
    let shape = ["--set", "B=1", "--set", "H=1", "--set", "S=64"];
    bench
        .run(
            &[
                &["run", "run.ron", "--out", "r", "--budget", "3"],
                &shape[..],
            ]
            .concat(),
        )
        .ok();
    let profiles: Vec<_> = bench
        .records("r")
        .into_iter()
        .filter_map(|record| match record {
            Record::Profiled(profiled) => Some(profiled),
            _ => None,
        })
        .collect();
    assert!(!profiles.is_empty());
    let summary = fs::read_to_string(bench.path().join("r/reports/summary.md")).unwrap();
    assert!(summary.contains("launch_p99"), "{summary}");
}
