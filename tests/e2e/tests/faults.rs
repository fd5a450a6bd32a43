//! A plugin that misbehaves is caught, named as what it is, and the search goes on.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use evo_e2e::Bench;
use evo_types::{Outcome, OutcomeKind, WrongKind};

/// Every value of MODE in one run, in which each fault is met once.
const SPEC: &str = r#"(
    plugin: "misbehave",
    tune: [(kernel: "misbehave", pinned: {"SPEED": 1})],
    baselines: [(kernel: "misbehave")],
    preset: random,
    budget: (trials: 100),
    limits: (build_s: 10.0, verify_s: 3.0, measure_s: 3.0, crashes_in_a_row: 50,
             memory_bytes: 2000000000),
    measure: (max_seconds: 0.1, confirm_seconds: 0.5),
)"#;

fn wrong(outcome: &Outcome) -> Option<WrongKind> {
    match outcome {
        Outcome::WrongResult(wrong) => Some(wrong.wrong),
        _ => None,
    }
}

#[test]
fn every_fault_is_caught_and_named_and_the_search_goes_on() {
    let bench = Bench::new();
    bench.file("spec.ron", SPEC);
    let ended = bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    assert!(
        ended
            .stderr
            .contains("every valid configuration has been tried"),
        "{}",
        ended.stderr
    );
    let outcome = |mode: &str| {
        bench
            .outcome_with("r", "MODE", mode)
            .unwrap_or_else(|| panic!("MODE={mode} was not evaluated"))
    };

    for (mode, expected) in [
        ("zeros", WrongKind::Zeros),
        ("unwritten_tail", WrongKind::Unwritten),
        ("nan", WrongKind::Unwritten),
        ("out_of_bounds_after", WrongKind::OutOfBounds),
        ("out_of_bounds_before", WrongKind::OutOfBounds),
        ("mutates_input", WrongKind::InputMutated),
        ("cached_by_pointer", WrongKind::Cached),
        ("race", WrongKind::Race),
        ("late_write", WrongKind::LateWrite),
        ("wrong_on_ragged", WrongKind::Inaccurate),
        ("inaccurate", WrongKind::Inaccurate),
        ("launch_error", WrongKind::Failed),
    ] {
        let outcome = outcome(mode);
        assert_eq!(
            wrong(&outcome),
            Some(expected),
            "{mode}: {}",
            outcome.summary()
        );
    }

    for (mode, text) in [
        ("panic", "panicked"),
        ("segfault", "SIGSEGV"),
        ("abort", "SIGABRT"),
        ("exit0", "exit code 0"),
        ("stack_overflow", "signal"),
        ("build_panic", "panicked"),
    ] {
        let outcome = outcome(mode);
        assert_eq!(
            outcome.kind(),
            OutcomeKind::Crashed,
            "{mode}: {}",
            outcome.summary()
        );
        assert!(
            outcome.summary().contains(text),
            "{mode}: {}",
            outcome.summary()
        );
    }

    assert_eq!(outcome("hang").kind(), OutcomeKind::TimedOut);
    assert_eq!(outcome("oom").kind(), OutcomeKind::OutOfMemory);
    assert_eq!(outcome("rejects").kind(), OutcomeKind::Rejected);
    assert_eq!(outcome("build_fails").kind(), OutcomeKind::BuildFailed);
    assert_eq!(outcome("good").kind(), OutcomeKind::Measured);
    assert_eq!(outcome("prints").kind(), OutcomeKind::Measured);

    // Nothing wrong is ever best, and the summary names the faults.
    let summary = fs::read_to_string(bench.path().join("r/reports/summary.md")).unwrap();
    for text in [
        "crashed in verification",
        "wrong result: all zeros",
        "timed out",
        "MODE=zeros",
    ] {
        assert!(summary.contains(text), "`{text}` is missing in:\n{summary}");
    }
    let topk = fs::read_to_string(bench.path().join("r/topk.json")).unwrap();
    assert!(
        !topk.contains("zeros") && !topk.contains("cached_by_pointer"),
        "{topk}"
    );
}

#[test]
fn a_leaked_child_is_swept() {
    let bench = Bench::new();
    bench.file(
        "spec.ron",
        &SPEC.replace("\"SPEED\": 1", "\"SPEED\": 1, \"MODE\": \"leaks_child\""),
    );
    let ended = bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    assert!(
        ended.stderr.contains("processes running; they were killed"),
        "{}",
        ended.stderr
    );
    // The child sleeps for minutes and has this folder as its working folder.
    let folder = fs::canonicalize(bench.path()).unwrap();
    let left: Vec<String> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder))
        .map(|entry| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default())
        .collect();
    assert!(left.is_empty(), "processes are left: {left:?}");
}

#[test]
fn a_space_in_which_everything_fails_ends_with_its_own_exit_code() {
    let bench = Bench::new();
    bench.file(
        "spec.ron",
        &SPEC.replace("\"SPEED\": 1", "\"MODE\": \"zeros\""),
    );
    bench
        .run(&["run", "spec.ron", "--out", "r"])
        .fails(3, &["no candidate was correct and timed"]);
}

#[test]
fn many_dead_workers_in_a_row_stop_the_run() {
    let bench = Bench::new();
    let spec = SPEC
        .replace("\"SPEED\": 1", "\"MODE\": \"segfault\"")
        .replace("crashes_in_a_row: 50", "crashes_in_a_row: 3");
    bench.file("spec.ron", &spec);
    bench.run(&["run", "spec.ron", "--out", "r"]).fails(
        1,
        &[
            "the last 3 trials in a row killed their worker",
            "crashes_in_a_row",
        ],
    );
    assert_eq!(bench.evaluated("r").len(), 3);
}

#[test]
fn processes_that_are_not_ours_are_left_alone() {
    let bench = Bench::new();
    // The shell becomes evo, which inherits the shell's child.
    let evo = bench.evo(&[
        "run",
        "synthetic",
        "--set",
        "fail_every=2",
        "--budget",
        "12",
    ]);
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "sleep 60 & echo $!; exec \"$0\" \"$@\""])
        .arg(evo.get_program())
        .args(evo.get_args())
        .current_dir(bench.path());
    for (name, value) in evo.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let output = shell.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let sleeper: i32 = stdout.lines().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(sleeper).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)
        .expect("the sleeping child is still there");
}
