//! What a synthetic run does, and where.

use std::collections::BTreeMap;

use evo_journal::{Environment, Limits, Plan, PlannedCandidate, PlannedPlugin, Work};
use evo_types::{CachePolicy, ContentHash, DeviceFacts, Gate, Params, ProblemSpec, Value};
use serde_json::json;

pub(crate) fn configuration(block: i64) -> Params {
    let mut configuration = params(&[
        ("BLOCK_M", Value::from(block)),
        (
            "EXP",
            Value::from(if block % 2 == 0 { "poly" } else { "libm" }),
        ),
        ("PACK", Value::from(true)),
    ]);
    if block > 64 {
        configuration.insert("PREFETCH".to_owned(), Value::from(block - 98));
    }
    configuration
}

pub(crate) fn params(pairs: &[(&str, Value)]) -> Params {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

pub(crate) fn candidate(label: &str, kernel: &str, space: Option<&str>) -> PlannedCandidate {
    PlannedCandidate {
        start: Vec::new(),
        label: label.to_owned(),
        plugin: "sdpa-cpu".to_owned(),
        kernel: kernel.to_owned(),
        pinned: params(&[("THREADS", Value::from(2))]),
        space: space.map(str::to_owned),
        space_origin: "the plugin".to_owned(),
        baseline: None,
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        plugins: vec![PlannedPlugin {
            name: "sdpa-cpu".to_owned(),
            version: "0.1.0".to_owned(),
            path: "target/release/libsdpa_cpu.so".to_owned(),
            hash: ContentHash::of_bytes(b"plugin"),
        }],
        files: BTreeMap::new(),
        work: Work::Problem {
            plugin: "sdpa-cpu".to_owned(),
            spec: problem(),
        },
        candidates: vec![candidate("tiled", "tiled", Some("Space(params: [])"))],
        baselines: vec![candidate("A", "math", None), candidate("B", "flash", None)],
        absent_baselines: Vec::new(),
        device: DeviceFacts {
            kind: "cpu".to_owned(),
            name: "Example CPU 9000".to_owned(),
            uuid: "cpu-1".to_owned(),
            facts: params(&[("CORES", Value::from(2)), ("SIMD_BITS", Value::from(512))]),
        },
        device_name: "cpu".to_owned(),
        metric: "kernel_time".to_owned(),
        target: None,
        preset: "full".to_owned(),
        seed: 17,
        engine: json!({
            "preset": "full",
            "ranking": { "metric": { "name": "kernel_time", "higher": false } },
            "budget": { "trials": 8, "wall_s": 180.0, "device_s": null },
        }),
        ahead: 2,
        siblings: Vec::new(),
        measure: json!({
            "search": {
                "verify_seeds": 3,
                "min_samples": 10,
                "max_samples": 40,
                "max_seconds": 2.0,
                "min_sample_seconds": 0.001,
                "warmup_seconds": 0.3,
                "precision": 0.01,
                "race_factor": 1.5,
                "check_all_rows": false,
            },
            "confirmation_processes": 2,
        }),
        limits: Limits {
            build_s: 60.0,
            verify_s: 60.0,
            measure_s: 60.0,
            memory_bytes: 4 << 30,
            attempts: 2,
            crashes_in_a_row: 10,
            spill_bytes: 1020,
        },
        top_k: 3,
        profilers: vec!["cpu/counters".to_owned()],
        profile_every: 32,
        profile_elites: 3,
        rules: BTreeMap::new(),
    }
}

fn problem() -> ProblemSpec {
    ProblemSpec {
        problem: "sdpa".to_owned(),
        fields: params(&[
            ("B", Value::from(2)),
            ("D", Value::from(64)),
            ("H", Value::from(8)),
            ("S", Value::from(512)),
            ("mask", Value::from("none")),
        ]),
        tensors: Vec::new(),
        constants: Params::new(),
        gates: vec![Gate {
            tensor: "o".to_owned(),
            relative_error: 1e-5,
        }],
        flops: 2_147_483_648.0,
        bytes: 8_388_608.0,
        cache: CachePolicy::Rotate,
        extra_shapes: vec![params(&[("S", Value::from(197))])],
        unquantised: Params::new(),
        distributions: vec!["normal".to_owned(), "outliers".to_owned()],
    }
}

pub(crate) fn environment() -> Environment {
    Environment {
        evo: "0.1.0".to_owned(),
        commit: Some("0123abcd".to_owned()),
        command: ["evo", "run", "sdpa-cpu", "--set", "mask=\"none\""]
            .map(str::to_owned)
            .to_vec(),
        folder: "/home/someone/evo checkout".to_owned(),
        host: "bench-1".to_owned(),
        os: "Linux 6.1.0".to_owned(),
        cpu: "Example CPU 9000".to_owned(),
        memory_bytes: 8 << 30,
        boot: String::new(),
    }
}
