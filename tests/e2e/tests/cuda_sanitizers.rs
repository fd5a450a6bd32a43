//! Faults that were planted into a CUDA kernel, as `compute-sanitizer` over `evo replay` reports them, and
//! none where none was planted. Without this a report without errors could mean that the tool saw nothing.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use evo_e2e::Bench;

/// Reverses every 256 elements by way of shared memory, with a fault by its parameter.
const SOURCE: &str = r#"
extern "C" __global__ void reverse(const float* x, float* y, int n) {
    __shared__ float tile[256];
    const int first = blockIdx.x * 256;
    tile[threadIdx.x] = x[first + threadIdx.x];
#if FAULT != 2
    __syncthreads();
#endif
    float value = tile[255 - threadIdx.x];
#if FAULT == 1
    // Behind the end of the input: the result does not change.
    if (first + threadIdx.x == 0) value += 0.0f * *(const volatile float*)(x + n);
#elif FAULT == 3
    if (threadIdx.x % 2 == 0) __syncthreads();
#endif
    y[first + threadIdx.x] = value;
}
"#;

const KERNEL: &str = r#"(
    language: cuda,
    sources: ["reverse.cu"],
    entry: "reverse",
    arguments: [
        input(name: "x", dtype: f32, shape: ["N"]),
        output(name: "y", dtype: f32, shape: ["N"]),
        scalar(type: "int", value: "N"),
    ],
    space: (params: [(name: "FAULT", values: [0, 1, 2, 3])]),
    launch: (grid: ["N / 256"], block: ["256"]),
    problem: (
        fields: [(name: "N", default: 1024, multiple_of: 256)],
        reference: function(source: "reverse.c", symbol: "reverse"),
        flops: "N",
    ),
)"#;

const REFERENCE: &str = "void reverse(const double *x, double *y, int n) {\n\
    for (int i = 0; i < n; i++) y[i] = x[i / 256 * 256 + 255 - i % 256];\n}\n";

/// One trial: that of the default, which is the kernel without a fault.
const SPEC: &str = r#"(
    plugin: "./reverse.kernel.ron",
    tune: [(kernel: "reverse")],
    baselines: [],
    preset: full,
    budget: (trials: 1),
    measure: (max_seconds: 0.1, confirm_processes: 1, confirm_seconds: 0.2),
)"#;

/// A tool, what it and the replay have to be told, the fault that it is for, and its last line where there is
/// none.
struct Tool {
    name: &'static str,
    options: &'static [&'static str],
    replay: &'static [&'static str],
    fault: u32,
    nothing: &'static str,
}

const TOOLS: [Tool; 3] = [
    Tool {
        name: "memcheck",
        // Buffers lie next to each other: without this, what is behind one is another one.
        options: &["--padding", "512"],
        replay: &["--no-guards"],
        fault: 1,
        nothing: "ERROR SUMMARY: 0 errors",
    },
    Tool {
        name: "racecheck",
        options: &[],
        replay: &[],
        fault: 2,
        nothing: "RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)",
    },
    Tool {
        name: "synccheck",
        options: &[],
        replay: &[],
        fault: 3,
        nothing: "ERROR SUMMARY: 0 errors",
    },
];

fn sanitizer() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = PathBuf::from("/usr/local/cuda/bin");
    let mut folders = std::env::split_paths(&path).chain([usual]);
    let found = folders.find(|folder| folder.join("compute-sanitizer").is_file());
    found.map(|folder| folder.join("compute-sanitizer"))
}

#[test]
fn a_planted_fault_is_reported_by_its_tool_and_nothing_without_one() {
    let bench = Bench::new();
    bench.file("reverse.kernel.ron", KERNEL);
    bench.file("reverse.cu", SOURCE);
    bench.file("reverse.c", REFERENCE);
    bench.file("spec.ron", SPEC);
    let ended = bench.run(&["run", "spec.ron", "--out", "r"]);
    if !Path::new("/dev/nvidiactl").exists() {
        println!("not run: this machine has no GPU");
        ended.fails(2, &["no CUDA driver found"]);
        return;
    }
    ended.ok();
    let Some(sanitizer) = sanitizer() else {
        println!("skipped: there is no compute-sanitizer");
        return;
    };
    bench.file(
        "faults.json",
        r#"[{"FAULT": 0}, {"FAULT": 1}, {"FAULT": 2}, {"FAULT": 3}]"#,
    );
    for tool in TOOLS {
        for (number, planted) in [(0, false), (tool.fault, true)] {
            let rows = format!("{number}..{}", number + 1);
            let replay = "replay r --configurations faults.json --launches 1 --deadline 60 --rows";
            let words: Vec<&str> = replay.split(' ').chain([rows.as_str()]).collect();
            let evo = bench.evo(&[&words[..], tool.replay].concat());
            let output = Command::new(&sanitizer)
                .args(["--tool", tool.name, "--target-processes", "all"])
                .args(tool.options)
                .arg(evo.get_program())
                .args(evo.get_args())
                .envs(
                    evo.get_envs()
                        .filter_map(|(name, value)| Some((name, value?))),
                )
                .current_dir(bench.path())
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            let name = tool.name;
            assert!(text.contains("SUMMARY: "), "{name}: {text}");
            assert_eq!(
                !text.contains(tool.nothing),
                planted,
                "{name} over FAULT={number}: {text}"
            );
        }
    }
}
