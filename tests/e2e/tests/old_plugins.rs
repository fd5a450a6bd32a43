//! Plugins that were built for an older minor version of the interface, kept as binaries.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use evo_e2e::{Bench, root};

#[test]
fn a_rust_plugin_built_for_interface_1_0_is_described_searched_and_profiled() {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        eprintln!("skipped: the kept plugin is for x86-64 Linux");
        return;
    }
    let bench = Bench::new();
    let kept = root().join("tests/data/interface-1.0/misbehave-x86_64.so");
    fs::copy(kept, bench.path().join("old.so")).unwrap();
    let described = bench.run(&["plugin", "describe", "./old.so"]).ok();
    assert!(
        described.stdout.contains("misbehave"),
        "{}",
        described.stdout
    );
    let spec = r#"(
        plugin: "./old.so",
        problem: (name: "filter"),
        tune: [(kernel: "misbehave", pinned: {"MODE": "good"})],
        baselines: [(kernel: "misbehave")],
        profilers: ["counter"],
        budget: (trials: 4),
        measure: (max_seconds: 0.1, confirm_seconds: 0.2, confirm_processes: 1),
    )"#;
    bench.file("spec.ron", spec);
    let ended = bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    assert!(ended.stdout.contains("winner"), "{}", ended.stdout);
    let journal = fs::read_to_string(bench.path().join("r/journal.jsonl")).unwrap();
    assert!(journal.contains(r#""type":"profiled""#), "{journal}");
}
