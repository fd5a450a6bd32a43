//! Kernels that are source files: described, built, verified and searched by the real program.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use evo_e2e::{Bench, root};
use evo_journal::{Record, Stage};
use evo_types::{Outcome, OutcomeKind, WrongKind};

const REFERENCE: &str = "void triple(const double *x, double *y, int rows, int columns)
{
    for (int i = 0; i < rows * columns; i++)
        y[i] = 3.0 * x[i];
}
";

/// What HOW decides is right or wrong in one way each; DEAD is never looked at.
const TRIPLE: &str = r#"#include <string.h>
#if HOW == 1
#error "planned: this one does not build"
#endif
static float factor = 3.0f;

void triple(const float *x, float *y, int rows, int columns)
{
    int n = rows * columns;
#if HOW == 2
    factor = 3.01f;
#endif
#if HOW == 3
    n = n / 64 * 64;
#endif
#if HOW == 4
    y[n] = 1.0f;
#endif
#if HOW == 5
    ((float *)x)[0] = 0.0f;
#endif
#if HOW == 6
    *(volatile int *)0 = 1;
#endif
#if HOW == 7
    for (volatile int i = 0;; )
        i = 0;
#endif
    for (int i = 0; i < n; i++)
        y[i] = factor * x[i];
}
"#;

const DESCRIPTION: &str = r#"(
    language: c,
    sources: ["triple.c"],
    entry: "triple",
    arguments: [
        input(name: "x", dtype: f32, shape: ["ROWS", "COLUMNS"]),
        output(name: "y", dtype: f32, shape: ["ROWS", "COLUMNS"]),
        scalar(type: "int", value: "ROWS"),
        scalar(type: "int", value: "COLUMNS"),
    ],
    space: (
        params: [
            (name: "HOW", range: (from: 0, to: 7)),
            (name: "DEAD", values: [1, 2], when: "HOW == 0"),
        ],
    ),
    problem: (
        fields: [(name: "ROWS", default: 64), (name: "COLUMNS", default: 128)],
        reference: function(source: "reference.c", symbol: "triple"),
        flops: "ROWS * COLUMNS",
    ),
)"#;

const SPEC: &str = r#"(
    plugin: "./triple.kernel.ron",
    tune: [(kernel: "triple")],
    baselines: [(label: "defaults", kernel: "triple")],
    preset: random,
    budget: (trials: 100),
    limits: (build_s: 20.0, verify_s: 3.0, measure_s: 3.0, crashes_in_a_row: 50),
    measure: (max_seconds: 0.1, confirm_processes: 1, confirm_seconds: 0.5),
)"#;

fn bench(description: &str) -> Bench {
    let bench = Bench::new();
    bench.file("triple.kernel.ron", description);
    bench.file("triple.c", TRIPLE);
    bench.file("reference.c", REFERENCE);
    bench.file("spec.ron", SPEC);
    bench
}

#[test]
fn every_way_to_be_wrong_is_an_outcome_of_its_own() {
    let bench = bench(DESCRIPTION);
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let outcome = |how: &str| {
        bench
            .outcome_with("r", "HOW", how)
            .unwrap_or_else(|| panic!("HOW={how} was not evaluated"))
    };
    match outcome("1") {
        Outcome::BuildFailed { message, log } => {
            assert!(message.starts_with("triple.c:3:"), "{message}");
            assert!(
                message.contains("planned: this one does not build"),
                "{message}"
            );
            assert!(message.contains("(with HOW=1)"), "{message}");
            assert!(log.contains("-DHOW=1"), "{log}");
        }
        other => panic!("{}", other.summary()),
    }
    let wrong = |how: &str| match outcome(how) {
        Outcome::WrongResult(wrong) => wrong,
        other => panic!("HOW={how}: {}", other.summary()),
    };
    assert_eq!(wrong("2").wrong, WrongKind::Inaccurate);
    assert_eq!(wrong("4").wrong, WrongKind::OutOfBounds);
    assert_eq!(wrong("5").wrong, WrongKind::InputMutated);
    assert_eq!(outcome("6").kind(), OutcomeKind::Crashed);
    assert_eq!(outcome("7").kind(), OutcomeKind::TimedOut);
    // Right on the shape that is ranked, wrong on a ragged one.
    let ragged = wrong("3");
    assert_eq!(ragged.wrong, WrongKind::Unwritten);
    assert!(ragged.message.contains("COLUMNS=53 ROWS=37"), "{ragged:?}");
}

#[test]
fn a_dead_parameter_is_measured_once() {
    let bench = bench(&DESCRIPTION.replace("range: (from: 0, to: 7)", "values: [0]"));
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let kinds: Vec<OutcomeKind> = bench
        .evaluated("r")
        .iter()
        .map(|evaluated| evaluated.outcome.kind())
        .collect();
    assert_eq!(kinds, [OutcomeKind::Measured, OutcomeKind::DuplicateOf]);
}

#[test]
fn the_c_example_ends_with_a_verified_best() {
    let bench = Bench::new();
    let folder = root().join("examples/03_source_only_c");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        bench.file(name, &fs::read_to_string(&path).unwrap());
    }
    let args = [
        "run", "run.ron", "--set", "M=64", "--set", "N=64", "--set", "K=64", "--budget", "8",
        "--wall", "60", "--out", "r",
    ];
    bench.run(&args).ok();
    let records = bench.records("r");
    let confirmation = records
        .iter()
        .find_map(|record| match record {
            Record::Compared(comparison) if comparison.stage == Stage::Confirmation => {
                Some(comparison)
            }
            _ => None,
        })
        .expect("the run has a confirmation");
    assert!(confirmation.items.len() >= 2);
    for item in &confirmation.items {
        let measurement = item.outcome.measurement();
        let measurement =
            measurement.unwrap_or_else(|| panic!("{}: {}", item.label, item.outcome.summary()));
        let error = measurement.error.as_ref().unwrap();
        assert!(error.relative <= error.gate, "{error:?}");
        // Three seeds, outliers, and three ragged shapes.
        assert!(error.checks >= 7, "{error:?}");
    }
}

#[test]
fn a_cpp_template_and_a_flag_are_parameters() {
    let description = DESCRIPTION
        .replace("language: c,", "language: cpp,")
        .replace("triple.c", "triple.cpp")
        .replace(
            "    space: (",
            "    template: [\"WIDTH\"], flags: [\"-O{OPT}\"],\n    space: (",
        )
        .replace(
            "(name: \"HOW\", range: (from: 0, to: 7)),",
            "(name: \"WIDTH\", values: [1, 4]), (name: \"OPT\", values: [1, 3]),",
        )
        .replace(
            "            (name: \"DEAD\", values: [1, 2], when: \"HOW == 0\"),\n",
            "",
        );
    let bench = bench(&description);
    bench.file(
        "triple.cpp",
        "template <int WIDTH> void triple(const float *x, float *y, int rows, int columns)\n{\n    \
         int n = rows * columns, i = 0;\n    \
         for (; i + WIDTH <= n; i += WIDTH)\n        \
         for (int j = 0; j < WIDTH; j++) y[i + j] = 3.0f * x[i + j];\n    \
         for (; i < n; i++) y[i] = 3.0f * x[i];\n}\n",
    );
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let outcomes = bench.evaluated("r");
    assert_eq!(outcomes.len(), 4);
    let known = |kind| matches!(kind, OutcomeKind::Measured | OutcomeKind::DuplicateOf);
    assert!(outcomes.iter().all(|it| known(it.outcome.kind())));
    assert_eq!(outcomes[0].outcome.kind(), OutcomeKind::Measured);
}

#[test]
fn a_built_in_problem_needs_no_reference() {
    let bench = Bench::new();
    let kernel = r#"(
        language: c,
        sources: ["product.c"],
        entry: "product",
        arguments: [
            tensor("c"),
            tensor("a"),
            tensor("b"),
            scalar(type: "int", value: "M"),
            scalar(type: "int", value: "N"),
            scalar(type: "int", value: "K"),
        ],
        space: (
            params: [(name: "UNROLL", values: [1, 2])],
            constraints: [(expr: "dtype == 'f32' and not TRANS_A and not TRANS_B")],
        ),
        problem: "gemm",
    )"#;
    bench.file("product.kernel.ron", kernel);
    bench.file(
        "product.c",
        "void product(float *c, const float *a, const float *b, int m, int n, int k)\n{\n    \
         for (int i = 0; i < m; i++)\n        for (int j = 0; j < n; j++) {\n            \
         float sum = 0;\n            for (int p = 0; p < k; p++) sum += a[i * k + p] * b[p * n + j];\n            \
         c[i * n + j] = sum;\n        }\n}\n",
    );
    bench.file(
        "spec.ron",
        r#"(
            plugin: "./product.kernel.ron",
            problem: (name: "gemm", fields: {"M": 48, "N": 48, "K": 48}),
            tune: [(kernel: "product")],
            budget: (trials: 2),
            measure: (max_seconds: 0.1, confirm_processes: 1, confirm_seconds: 0.5),
        )"#,
    );
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let first = bench.evaluated("r").remove(0).outcome;
    assert_eq!(first.kind(), OutcomeKind::Measured, "{}", first.summary());
}

#[test]
fn expected_values_tell_right_from_wrong() {
    let cases = r#"reference: expected([
            (inputs: {"x": "x1.bin"}, outputs: {"y": "y1.bin"}),
            (inputs: {"x": "x2.bin"}, outputs: {"y": "y2.bin"}),
            (fields: {"ROWS": 5, "COLUMNS": 7}, inputs: {"x": "x3.bin"}, outputs: {"y": "y3.bin"}),
        ]),"#;
    let function = r#"reference: function(source: "reference.c", symbol: "triple"),"#;
    let description = DESCRIPTION
        .replace(function, cases)
        .replace("range: (from: 0, to: 7)", "values: [0, 2, 3]");
    let bench = bench(&description);
    for (name, count, start) in [
        ("1", 64 * 128, 1.0f32),
        ("2", 64 * 128, -3.0),
        ("3", 35, 0.5),
    ] {
        let x: Vec<f32> = (0..count)
            .map(|i| (i % 100) as f32 * 0.25 + start)
            .collect();
        let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
        fs::write(bench.path().join(format!("x{name}.bin")), bytes).unwrap();
        let right = x.iter().map(|x| f64::from(*x) * 3.0);
        let bytes: Vec<u8> = right.flat_map(|y| y.to_le_bytes()).collect();
        fs::write(bench.path().join(format!("y{name}.bin")), bytes).unwrap();
    }
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let kind = |how: &str| bench.outcome_with("r", "HOW", how).unwrap().kind();
    assert_eq!(kind("0"), OutcomeKind::Measured);
    assert_eq!(kind("2"), OutcomeKind::WrongResult);
    assert_eq!(kind("3"), OutcomeKind::WrongResult);
}

#[test]
fn a_description_runs_without_a_spec() {
    let bench = bench(&DESCRIPTION.replace("range: (from: 0, to: 7)", "values: [0]"));
    let args = ["run", "./triple.kernel.ron", "--wall", "30", "--out", "r"];
    bench.run(&args).ok();
    assert_eq!(
        bench.evaluated("r")[0].outcome.kind(),
        OutcomeKind::Measured
    );
}

#[test]
fn mistakes_in_a_description_are_shown_at_their_place() {
    for (from, to, texts) in [
        (
            "\"triple.c\"",
            "\"tripel.c\"",
            [
                "the file `tripel.c` cannot be read",
                "triple.kernel.ron:3:15",
            ],
        ),
        (
            "value: \"ROWS\"",
            "value: \"ROSW\"",
            ["did you mean `ROWS`?", "triple.kernel.ron:8:37"],
        ),
        (
            "value: \"ROWS\"",
            "value: \"ROWS *\"",
            ["found the end of the expression", "triple.kernel.ron:8:43"],
        ),
        (
            "entry:",
            "entri:",
            ["did you mean `entry`?", "triple.kernel.ron:4:5"],
        ),
    ] {
        let bench = bench(&DESCRIPTION.replace(from, to));
        bench
            .run(&["run", "spec.ron", "--out", "r"])
            .fails(2, &texts);
    }
}

#[test]
fn a_compiler_that_hangs_ends_with_its_worker() {
    use std::os::unix::fs::PermissionsExt;
    let bench = bench(DESCRIPTION);
    // A number that no other process sleeps for.
    let seconds = 100_000 + std::process::id();
    let compiler = bench.file(
        "slow-cc",
        // The reference is compiled without a macro, and as ever.
        &format!("#!/bin/sh\ncase \"$*\" in *-DHOW*) sleep {seconds}; esac\nexec cc \"$@\"\n"),
    );
    fs::set_permissions(&compiler, fs::Permissions::from_mode(0o755)).unwrap();
    bench.file("spec.ron", &SPEC.replace("build_s: 20.0", "build_s: 1.0"));
    bench
        .evo(&["run", "spec.ron", "--out", "r", "--budget", "1"])
        .env("EVO_CC", &compiler)
        .output()
        .unwrap();
    let outcome = bench.evaluated("r").remove(0).outcome;
    assert_eq!(
        outcome.kind(),
        OutcomeKind::TimedOut,
        "{}",
        outcome.summary()
    );
    let left = fs::read_dir("/proc").unwrap().flatten().find(|entry| {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        command.contains(&format!("sleep {seconds}"))
    });
    assert!(left.is_none(), "{left:?}");
}

#[test]
fn a_missing_compiler_is_said_with_the_cure() {
    let bench = bench(DESCRIPTION);
    let ended = bench
        .evo(&["run", "spec.ron", "--out", "r", "--budget", "1"])
        .env("EVO_CC", "no-such-compiler")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ended.stderr).into_owned()
        + &String::from_utf8_lossy(&ended.stdout);
    assert!(text.contains("there is no C compiler"), "{text}");
    assert!(text.contains("EVO_CC names `no-such-compiler`"), "{text}");
}
