//! A process that speaks the protocol, and processes that break it.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;

use evo_plugin::Error;
use evo_types::{Params, Value};

use support::{Bench, Candidate, bundle, opened};

#[test]
fn a_process_is_described_and_its_kernel_computes_in_shared_memory() {
    let bench = Bench::new("");
    let info = bench.info();
    assert_eq!(info.name, "raw");
    assert_eq!(info.kernels[0].params[0].name, "WAY");
    let mut candidate = bench.candidate(1000);
    assert_eq!(candidate.workspace_bytes, 100);
    assert_eq!(candidate.artifact.bytes, b"way 0 none");
    assert_eq!(candidate.artifact.launch.get("GRID"), Some(&Value::from(3)));
    candidate.fill(|index| index as f32);
    for _ in 0..5 {
        candidate.launch(1).unwrap();
    }
    assert_eq!(
        candidate.output()[..3],
        [0.0, 0.0, 0.0],
        "a launch is only queued"
    );
    evo_process::finish(1).unwrap();
    assert_eq!(candidate.output()[..3], [0.0, 2.0, 4.0]);
    assert!(evo_process::round_trip(1).unwrap() > 0.0);
    // Recording is for GPUs, and this process has not even heard of it.
    candidate.launch(1).unwrap();
    assert_eq!(evo_process::record(1, 10), Ok(None));
    assert_eq!(evo_process::processes_on_gpu(), 0);
    // The stream 0 is finished by nobody: a launch there is done when it returns.
    candidate.fill(|_| 4.0);
    candidate.launch(0).unwrap();
    assert_eq!(candidate.output()[..3], [8.0, 8.0, 8.0]);
}

#[test]
fn a_second_set_of_buffers_and_a_dropped_one_are_kept_apart() {
    let bench = Bench::new("");
    let mut first = bench.candidate(10);
    first.fill(|_| 1.0);
    first.launch(0).unwrap();
    drop(first);
    // Perhaps at the address of the one before: the other side must not use the old mapping.
    for round in 0..20u8 {
        let mut next = bench.candidate(10);
        next.fill(|_| f32::from(round));
        next.launch(0).unwrap();
        assert_eq!(next.output()[9], 2.0 * f32::from(round));
    }
}

#[test]
fn a_problem_fills_and_refers_in_ordinary_memory_too() {
    let bench = Bench::new("");
    let spec = bench.resolve(64);
    assert_eq!(spec.tensors[1].name, "y");
    let (x, again) = (bench.inputs(&spec, u64::MAX), bench.inputs(&spec, u64::MAX));
    assert_eq!(x, again, "the seed decides, with all of its bits");
    assert_ne!(x, bench.inputs(&spec, u64::MAX - 1));
    let y = bench.reference(&spec, &x);
    let doubled: Vec<f64> = x.iter().map(|value| 2.0 * f64::from(*value)).collect();
    assert_eq!(y, doubled);
}

#[test]
fn an_objective_is_evaluated() {
    let bench = Bench::new("");
    let mut objective = bench.objective();
    let config: Params = [("X".to_owned(), Value::from(5))].into();
    let evaluation = objective.evaluate(&config).unwrap();
    assert_eq!(evaluation.metrics[0].value, 4.0);
    assert_eq!(evaluation.cost_s, Some(0.5));
}

#[test]
fn refusals_and_failed_builds_are_what_they_say() {
    let bench = Bench::new("");
    let built = |way: i64| bench.build(8, way).map(|_| ());
    assert_eq!(built(9), Err(Error::Rejected("there is no way 9".into())));
    let failed = Error::BuildFailed {
        message: "no way".into(),
        log: "line 1\n".into(),
    };
    assert_eq!(built(8), Err(failed));
}

#[test]
fn a_newer_minor_version_is_spoken_with() {
    let bench = Bench::new("newer");
    let error = bench.accept(8, 0).unwrap_err();
    assert_eq!(error, Error::Failed("something new".into()));
}

#[test]
fn a_process_that_cannot_be_opened_says_why() {
    let cases = [
        (
            "version",
            "(raw.py) speaks protocol 7.3, and this `evo` 1.1",
        ),
        ("import", "RuntimeError: planted at import"),
        ("import", "it ended with exit code 1"),
        (
            "exit",
            "it ended with exit code 0; the last that it printed:\nleaving now",
        ),
        // A child keeps the socket open, and nothing would ever come through it.
        ("orphan", "it ended with exit code 3"),
        (
            "profiler",
            "the profiler `p`, but a process cannot bring profilers",
        ),
        (
            "nameless",
            "`describe` cannot be used: missing field `name`",
        ),
    ];
    for (fault, text) in cases {
        let error = opened(fault).err().unwrap();
        assert!(
            error.contains(text),
            "{fault}: `{text}` is missing in:\n{error}"
        );
        assert!(error.starts_with("tests/raw.process.ron: "), "{error}");
    }
}

#[test]
fn a_launch_that_breaks_the_protocol_ends_the_process_with_a_reason() {
    let cases = [
        ("segfault", "killed by signal 11 (SIGSEGV"),
        ("segfault", "about to fall"),
        ("garbage", "no JSON object"),
        ("array", "no JSON object"),
        (
            "oversized",
            "announced a message of 4294967295 bytes; the most is 67108864",
        ),
        ("cut", "it ended with exit code 3"),
        ("id", "answered with the id 99999"),
        ("other", "answered with Some(\"bind\")"),
        ("nan", "no JSON object"),
    ];
    for (fault, text) in cases {
        let bench = Bench::new(fault);
        let mut candidate = bench.candidate(8);
        let Err(Error::Crashed(message)) = candidate.launch(0) else {
            panic!("{fault}: the launch did not crash");
        };
        assert!(
            message.contains(text),
            "{fault}: `{text}` is missing in:\n{message}"
        );
        assert!(message.contains("was asked to `launch`"), "{message}");
        // There is no second conversation with it.
        assert_eq!(candidate.launch(0), Err(Error::Crashed(message)));
    }
}

#[test]
fn what_a_launch_reports_is_looked_at() {
    let launch = |fault: &str| Bench::new(fault).candidate(8).launch(0);
    assert!(matches!(launch("negative"), Err(Error::Implausible(text)) if text.contains("-1 s")));
    // Folders are named as the user knows them, not where the files were unpacked.
    assert_eq!(
        launch("error"),
        Err(Error::Failed("/home/someone/raw/raw.py:1 broke".into()))
    );
    assert_eq!(launch("print"), Ok(()));
}

#[test]
fn buffers_that_cannot_be_shared_are_refused() {
    let bench = Bench::new("");
    let mut candidate = Candidate::on_the_heap(&bench, 8);
    let error = candidate.bind().unwrap_err().to_string();
    assert!(
        error.contains("not in memory that can be shared"),
        "{error}"
    );
}

#[test]
fn an_artifact_that_cannot_be_read_is_named() {
    let error = Bench::new("base64").build(8, 0).unwrap_err().to_string();
    assert!(error.contains("no base64"), "{error}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    support::cache();
    let mut bundle = bundle("");
    bundle.description = r#"(command: ["no-such-program"])"#.to_owned();
    let error = evo_process::open(&bundle).err().unwrap();
    assert!(
        error.contains("`no-such-program` cannot be started"),
        "{error}"
    );
}

#[test]
fn the_process_ends_with_its_plugin() {
    let bench = Bench::new("");
    let pids = support::processes_of(&bench);
    assert_eq!(pids.len(), 1);
    drop(bench);
    assert!(!fs::exists(format!("/proc/{}", pids[0])).unwrap());
}
