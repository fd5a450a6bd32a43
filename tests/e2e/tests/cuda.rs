//! CUDA kernels through the program: a clear word where there is no GPU; where there is one, a
//! search, and faults that are caught and named.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use evo_e2e::{Bench, root};
use evo_types::Outcome;

/// A kernel that is right, writes to an illegal address, never ends, wants more memory than any GPU
/// has, or more shared memory, by its parameter; each of them twice.
const KERNEL: &str = r#"(
    doc: "Twice the input, or a fault",
    language: cuda,
    sources: ["twice.cu"],
    entry: "twice",
    arguments: [
        input(name: "x", dtype: f32, shape: ["N"]),
        output(name: "y", dtype: f32, shape: ["N"]),
        scalar(type: "int", value: "N"),
        workspace(bytes: "FAULT / 3 % 2 * 4000000000000"),
    ],
    space: (params: [
        (name: "FAULT", values: [0, 1, 2, 3, 9]),
        (name: "WARPS", values: [8, 16]),
    ]),
    launch: (grid: ["(N + 255) / 256"], block: ["32 * WARPS"], shared: "FAULT * 30000"),
    problem: (
        fields: [(name: "N", default: 1000000, max: 100000000, doc: "elements")],
        reference: function(source: "twice.c", symbol: "twice"),
        flops: "N",
    ),
)"#;

const SOURCE: &str = r#"
extern "C" __global__ void twice(const float* x, float* y, int n, void*) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
#if FAULT == 1
    if (i == 0) y[1ull << 40] = 1.0f;
#elif FAULT == 2
    // The compiler may not assume that this ends: what it waits for could change.
    while (((volatile const float*)x)[0] != 3.0e38f) {}
#endif
    if (i < n) y[i] = 2.0f * x[i];
}
"#;

const REFERENCE: &str = "void twice(const double *x, double *y, int n) {\n\
    for (int i = 0; i < n; i++) y[i] = 2.0 * x[i];\n}\n";

const SPEC: &str = r#"(
    plugin: "./twice.kernel.ron",
    problem: (name: "twice"),
    tune: [(kernel: "twice")],
    baselines: [(label: "right", kernel: "twice")],
    preset: random,
    budget: (trials: 10),
    limits: (verify_s: 6.0, measure_s: 6.0),
    measure: (max_seconds: 0.2, confirm_seconds: 0.5),
)"#;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.file("twice.kernel.ron", KERNEL);
    bench.file("twice.cu", SOURCE);
    bench.file("twice.c", REFERENCE);
    bench.file("spec.ron", SPEC);
    bench
}

fn has_gpu() -> bool {
    Path::new("/dev/nvidiactl").exists()
}

#[test]
fn without_a_driver_the_program_says_so_and_what_to_do() {
    if has_gpu() {
        println!("skipped: this machine has a GPU");
        return;
    }
    let bench = bench();
    bench
        .run(&["run", "spec.ron", "--out", "r"])
        .fails(2, &["no CUDA driver found", "with the device `cpu`"]);
    assert!(!bench.path().join("r").exists(), "nothing was begun");
}

#[test]
fn the_cuda_example_runs_where_there_is_a_gpu_and_says_why_not_elsewhere() {
    let spec = root().join("examples/07_cuda_source_only/run.ron");
    let spec = spec.to_str().unwrap();
    let bench = Bench::new();
    let ended = bench.run(&["run", spec, "--out", "r", "--budget", "3"]);
    if has_gpu() {
        ended.ok();
        let measured = bench
            .evaluated("r")
            .iter()
            .filter(|it| it.outcome.measurement().is_some())
            .count();
        assert!(measured > 0, "no trial was measured");
    } else {
        println!("not run: this machine has no GPU");
        ended.fails(2, &["no CUDA driver found"]);
    }
}

#[test]
fn a_device_that_no_machine_has_is_named_as_typed() {
    let bench = bench();
    bench
        .run(&["run", "spec.ron", "--device", "gpu"])
        .fails(2, &["there is no device `gpu`", "write `cpu`, `cuda`"]);
}

#[test]
fn on_a_gpu_every_fault_is_caught_and_named_and_the_search_goes_on() {
    if !has_gpu() {
        println!("skipped: this machine has no GPU");
        return;
    }
    let bench = bench();
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let outcome = |fault: &str| {
        bench
            .outcome_with("r", "FAULT", fault)
            .unwrap_or_else(|| panic!("FAULT={fault} was not evaluated"))
    };
    let right = outcome("0");
    assert!(right.measurement().is_some(), "{}", right.summary());
    let Outcome::Crashed { message, .. } = outcome("1") else {
        panic!("{}", outcome("1").summary());
    };
    assert!(message.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{message}");
    assert!(
        matches!(outcome("2"), Outcome::TimedOut { .. }),
        "{}",
        outcome("2").summary()
    );
    let refused = outcome("9");
    assert!(
        matches!(refused, Outcome::Rejected { .. }),
        "{}",
        refused.summary()
    );
    assert!(
        refused.summary().contains("shared memory"),
        "{}",
        refused.summary()
    );
    let too_large = outcome("3");
    assert!(
        matches!(too_large, Outcome::OutOfMemory { .. }),
        "{}",
        too_large.summary()
    );
    // What follows a fault is not touched by it: both right ones are measured, one of them at least
    // after a fault of each kind that brings a worker down.
    let evaluated = bench.evaluated("r");
    let measured = evaluated
        .iter()
        .filter(|it| it.outcome.measurement().is_some());
    let last = measured.clone().map(|it| it.trial).max().unwrap();
    assert_eq!(measured.count(), 2, "a right kernel was not measured");
    let before = evaluated.iter().filter(|it| it.trial < last);
    let faults = before.filter(|it| it.outcome.measurement().is_none());
    assert!(
        faults.count() > 0,
        "no fault came before the last right one"
    );
}

#[test]
fn a_tiny_kernel_is_timed_without_the_gaps_between_launches() {
    if !has_gpu() {
        println!("skipped: this machine has no GPU");
        return;
    }
    let bench = bench();
    let spec = SPEC.replace(
        "problem: (name: \"twice\")",
        "problem: (name: \"twice\", fields: {\"N\": 1000})",
    );
    bench.file("spec.ron", &spec);
    bench
        .run(&["run", "spec.ron", "--out", "r", "--budget", "10"])
        .ok();
    let right = bench.outcome_with("r", "FAULT", "0").unwrap();
    let measured = right.measurement().unwrap();
    let recorded = measured.metric("launches_per_graph");
    assert!(recorded.is_some(), "the launches were not recorded");
}

#[test]
fn what_one_run_has_compiled_the_next_one_reads() {
    if !has_gpu() {
        println!("skipped: this machine has no GPU");
        return;
    }
    let bench = bench();
    let run = |out: &str| {
        bench
            .run(&[
                "run", "spec.ron", "--out", out, "--budget", "2", "--seed", "3",
            ])
            .ok();
    };
    run("first");
    let kept = || {
        let folder = bench.path().join("cache/artifacts");
        let files = std::fs::read_dir(&folder).unwrap().flatten();
        files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|it| it == "cubin"))
            .collect::<Vec<_>>()
    };
    let first = kept();
    assert!(!first.is_empty());
    // A damaged entry is compiled again.
    std::fs::write(&first[0], b"evo-artifact 1\nnot this\n").unwrap();
    run("second");
    assert_eq!(kept().len(), first.len());
    assert!(std::fs::read(&first[0]).unwrap().len() > 100);
}
