//! Dead parameters: found by an audit, by the report of a run, and never measured twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::{BTreeMap, BTreeSet};

use evo_e2e::{Bench, Ended};
use evo_types::{ContentHash, Outcome, OutcomeKind};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn effects(params: &Value) -> BTreeMap<&str, &str> {
    params
        .as_array()
        .unwrap()
        .iter()
        .map(|param| {
            (
                param["name"].as_str().unwrap(),
                param["effect"].as_str().unwrap(),
            )
        })
        .collect()
}

#[test]
fn an_audit_finds_what_each_planted_parameter_does() {
    let bench = Bench::new();
    let ended = bench
        .run(&["space", "audit", "knobs", "--samples", "6", "--json"])
        .ok();
    let audit = json(&ended.stdout);
    let candidate = &audit["candidates"][0];
    let expected = [
        ("UNROLL", "code"),
        ("GRID", "geometry"),
        ("SPIN", "run_time"),
        ("PAD", "dead"),
    ];
    assert_eq!(effects(&candidate["params"]), BTreeMap::from(expected));
    assert_eq!(audit["dead"], serde_json::json!(["knobs/PAD"]));
    // UNROLL has three codes, GRID and SPIN three values each; PAD adds nothing.
    assert_eq!(candidate["codes"], 3);
    let executions = candidate["executions"].as_u64().unwrap();
    let configurations = candidate["configurations"].as_u64().unwrap();
    assert!(
        executions <= 27 && executions < configurations,
        "{candidate}"
    );
    // 3 and 4 are the same in every pair, and no other two values of UNROLL are in any.
    let unroll = &candidate["params"][0];
    for change in unroll["changes"].as_array().unwrap() {
        let alike = change["from"] == 3 && change["to"] == 4;
        let expected = if alike {
            &change["pairs"]
        } else {
            &Value::from(0)
        };
        assert_eq!(&change["same"], expected, "{change}");
    }
    assert!(candidate["failed"].as_array().unwrap().is_empty());
}

#[test]
fn an_audit_is_a_table_for_people_and_can_fail_a_build() {
    let bench = Bench::new();
    let audit = ["space", "audit", "knobs", "--samples", "3"];
    let ended = bench.run(&audit).ok();
    for text in [
        "PAD        dead: never changed the execution",
        "SPIN       acts at run time only",
        "UNROLL, code_bytes: ",
        "UNROLL, 3 and 4 (",
        "95 % confidence, 3 drawn",
    ] {
        assert!(ended.stdout.contains(text), "{text}\n{}", ended.stdout);
    }
    bench
        .run(&[&audit[..], &["--deny-dead"]].concat())
        .fails(4, &["dead: knobs/PAD"]);
    // The same seed sees the same.
    assert_eq!(bench.run(&audit).ok().stdout, ended.stdout);
}

#[test]
fn a_run_time_parameter_is_audited_by_its_effect_on_time() {
    let bench = Bench::new();
    let spec = bench.file(
        "spin.ron",
        r#"(plugin: "knobs", tune: [(kernel: "knobs", pinned: {"GRID": 1, "PAD": 0, "UNROLL": 3})])"#,
    );
    let spec = spec.to_str().unwrap();
    let args = [
        "space",
        "audit",
        spec,
        "--samples",
        "2",
        "--measure",
        "1",
        "--json",
    ];
    let audit = json(&bench.run(&args).ok().stdout);
    let timed = &audit["candidates"][0]["timed"][0];
    assert_eq!(timed["param"], "SPIN");
    assert_eq!(timed["from"], 0, "the default comes first: {timed}");
    // Three or five passes in the place of one.
    assert_eq!(timed["comparison"]["verdict"], "slower", "{timed}");
    assert_eq!(audit["dead"], serde_json::json!([]));
}

#[test]
fn an_interrupted_audit_says_what_it_saw_until_then() {
    let bench = Bench::new();
    // The whole space: more than a hundred compilations.
    let child = bench.start(&["space", "audit", "knobs", "--samples", "200"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.stdout.contains(" built: "), "{ended:?}");
    assert!(ended.stderr.contains("interrupted"), "{ended:?}");
}

#[test]
fn what_is_asked_for_wrongly_is_told() {
    let bench = Bench::new();
    bench.run(&["space", "audit", "synthetic"]).fails(
        2,
        &[
            "an objective builds nothing",
            "`evo space audit` is for kernels",
        ],
    );
    bench
        .run(&["space", "audit", "knobs", "--device", "sm_90a"])
        .fails(2, &["runs on devices of kind cpu"]);
    bench
        .run(&[
            "space",
            "audit",
            "knobs",
            "--device",
            "sm_90a",
            "--measure",
            "2",
        ])
        .fails(2, &["cannot be used with"]);
    bench
        .run(&["space", "audit", "knobs", "--param", "UNROL"])
        .fails(2, &["no searched parameter is called `UNROL`", "UNROLL"]);
}

#[test]
fn an_audit_can_be_of_some_parameters() {
    let bench = Bench::new();
    let shown = bench
        .run(&[
            "space",
            "audit",
            "knobs",
            "--param",
            "UNROLL",
            "--samples",
            "2",
        ])
        .ok();
    assert!(shown.stdout.contains("\nUNROLL "), "{}", shown.stdout);
    assert!(!shown.stdout.contains("\nPAD "), "{}", shown.stdout);
}

#[test]
fn a_macro_that_a_source_does_not_use_is_dead() {
    let bench = Bench::new();
    bench.file(
        "scale.c",
        "void scale(float *y, const float *x, int n) {
             for (int i = 0; i < n; i += STEP)
                 for (int j = i; j < i + STEP && j < n; ++j) y[j] = 2.0f * x[j];
         }",
    );
    bench.file(
        "reference.c",
        "void scale(double *y, const double *x, int n) {
             for (int i = 0; i < n; ++i) y[i] = 2.0 * x[i];
         }",
    );
    let kernel = bench.file(
        "scale.kernel.ron",
        r#"(
            doc: "Twice the input",
            language: c,
            sources: ["scale.c"],
            entry: "scale",
            arguments: [
                output(name: "y", dtype: f32, shape: ["N"]),
                input(name: "x", dtype: f32, shape: ["N"]),
                scalar(type: "int", value: "N"),
            ],
            space: (params: [
                (name: "STEP", values: [1, 4, 16]),
                (name: "BLOCK_M", values: [64, 128]),
            ]),
            problem: (
                fields: [(name: "N", default: 4096, max: 65536, doc: "elements")],
                reference: function(source: "reference.c", symbol: "scale"),
                flops: "N",
            ),
        )"#,
    );
    let args = ["space", "audit", kernel.to_str().unwrap(), "--json"];
    let audit = json(&bench.run(&args).ok().stdout);
    let candidate = &audit["candidates"][0];
    let expected = [("STEP", "code"), ("BLOCK_M", "dead")];
    assert_eq!(effects(&candidate["params"]), BTreeMap::from(expected));
    assert_eq!(
        (&candidate["configurations"], &candidate["executions"]),
        (&6.into(), &3.into())
    );
}

/// Every parameter but one that is dead and one of which two values build alike is pinned, in two
/// candidates of one kernel.
const TWINS: &str = r#"(
    plugin: "knobs",
    tune: [
        (label: "one", kernel: "knobs", pinned: {"GRID": 1, "SPIN": 0}),
        (label: "two", kernel: "knobs", pinned: {"GRID": 1, "SPIN": 0}),
    ],
    budget: (trials: 100),
    top_k: 1,
    measure: (confirm_processes: 1, confirm_rounds: 6, confirm_seconds: 0.2, max_seconds: 0.03),
)"#;

#[test]
fn the_same_binary_is_measured_once_and_the_report_says_so() {
    let bench = Bench::new();
    let spec = bench.file("twins.ron", TWINS);
    bench
        .run(&["run", spec.to_str().unwrap(), "--out", "run"])
        .ok();
    let evaluated = bench.evaluated("run");
    // Two candidates with 4 x 3 configurations each, and three binaries among them all.
    assert_eq!(evaluated.len(), 24);
    let measured: Vec<&ContentHash> = evaluated
        .iter()
        .filter(|e| e.outcome.kind() == OutcomeKind::Measured)
        .map(|e| e.execution.as_ref().unwrap())
        .collect();
    let distinct: BTreeSet<&ContentHash> = measured.iter().copied().collect();
    assert_eq!((measured.len(), distinct.len()), (3, 3));
    let trial = |number| evaluated.iter().find(|e| e.trial == number).unwrap();
    for duplicate in &evaluated {
        if let Outcome::DuplicateOf { trial: first } = &duplicate.outcome {
            assert_eq!(duplicate.execution, trial(*first).execution);
            assert_eq!(duplicate.build, trial(*first).build);
        }
    }
    // Two values of UNROLL and every value of PAD: one measurement.
    let proposals = bench.proposals("run");
    let executions_of = |unroll: &str| -> BTreeSet<&ContentHash> {
        proposals
            .iter()
            .filter(|p| p.params["UNROLL"].to_string() == unroll)
            .map(|p| trial(p.trial).execution.as_ref().unwrap())
            .collect()
    };
    assert_eq!(executions_of("3"), executions_of("4"));
    assert_ne!(executions_of("2"), executions_of("3"));

    let summary = std::fs::read_to_string(bench.path().join("run/reports/summary.md")).unwrap();
    for text in [
        "12 configurations were built: 3 distinct executions, 3 distinct codes.",
        "| `PAD` | **dead: never changed the execution, 12 pairs** | 12 | the same execution |",
        "- UNROLL, 3 and 4 (3 pairs)",
    ] {
        assert!(summary.contains(text), "{text}\n{summary}");
    }
    let table = bench.run(&["report", "run"]).ok().stdout;
    assert!(
        table.contains("never changed the execution: PAD (12 pairs)"),
        "{table}"
    );
    let report = json(&bench.run(&["report", "run", "--json"]).ok().stdout);
    assert_eq!(effects(&report["knobs"][0]["params"])["PAD"], "dead");
}

#[test]
fn a_resumed_run_knows_the_executions_of_the_session_before() {
    let bench = Bench::new();
    let spec = bench.file("twins.ron", TWINS);
    let args = [
        "run",
        spec.to_str().unwrap(),
        "--out",
        "run",
        "--budget",
        "1",
    ];
    bench.run(&args).ok();
    bench.run(&["run", "--from", "run", "--budget", "100"]).ok();
    let evaluated = bench.evaluated("run");
    assert_eq!(evaluated.len(), 24);
    let measured = evaluated
        .iter()
        .filter(|e| e.outcome.kind() == OutcomeKind::Measured);
    assert_eq!(measured.count(), 3);
}
