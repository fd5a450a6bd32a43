//! Plugins that are processes of their own, through the real program.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use evo_e2e::{Bench, root};
use evo_types::{Outcome, OutcomeKind, WrongKind};

/// The interpreter that plugins run on.
fn python() -> String {
    let asked = std::env::var("EVO_PYTHON").ok();
    asked
        .filter(|python| !python.is_empty())
        .unwrap_or_else(|| "python3".to_owned())
}

/// Whether the interpreter has a module; says so where it has not.
fn has(module: &str) -> bool {
    let found = Command::new(python())
        .args(["-c", &format!("import {module}")])
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: `{}` has no module {module}", python());
    }
    found
}

fn path(relative: &str) -> String {
    root().join(relative).display().to_string()
}

/// The faults of `tests/plugins/process/raw.py` that concern a launch, each met once.
const FAULTS: [&str; 18] = [
    "none",
    "segfault",
    "garbage",
    "array",
    "oversized",
    "cut",
    "id",
    "other",
    "nan",
    "negative",
    "longer",
    "shorter",
    "hang",
    "error",
    "mutate",
    "stray",
    "wrong",
    "slow",
];

fn spec(plugin: &str) -> String {
    format!(
        r#"(
            plugin: "{plugin}",
            problem: (name: "doubling", fields: {{"N": 500}}),
            tune: [(kernel: "double", space: "space.ron")],
            preset: random,
            budget: (trials: 100),
            limits: (build_s: 10.0, verify_s: 3.0, measure_s: 5.0, crashes_in_a_row: 50),
            measure: (max_seconds: 0.3, confirm_seconds: 0.5),
        )"#
    )
}

#[test]
fn every_fault_of_a_process_is_caught_and_named_and_the_search_goes_on() {
    let bench = Bench::new();
    let values = FAULTS.map(|fault| format!("{fault:?}")).join(", ");
    bench.file(
        "space.ron",
        &format!(r#"(name: "faults", params: [(name: "FAULT", values: [{values}])])"#),
    );
    bench.file(
        "spec.ron",
        &spec(&path("tests/plugins/process/raw.process.ron")),
    );
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let outcome = |fault: &str| {
        bench
            .outcome_with("r", "FAULT", fault)
            .unwrap_or_else(|| panic!("FAULT={fault} was not evaluated"))
    };

    for (fault, text) in [
        ("segfault", "killed by signal 11 (SIGSEGV"),
        ("garbage", "no JSON object"),
        ("array", "no JSON object"),
        ("oversized", "the most is 67108864"),
        ("cut", "exit code 3"),
        ("id", "the id 99999"),
        ("other", "bind"),
        ("nan", "no JSON object"),
    ] {
        let outcome = outcome(fault);
        let summary = outcome.summary();
        assert_eq!(outcome.kind(), OutcomeKind::Crashed, "{fault}: {summary}");
        assert!(summary.contains(text), "{fault}: {summary}");
    }
    for (fault, expected) in [
        ("mutate", WrongKind::InputMutated),
        ("stray", WrongKind::OutOfBounds),
        ("wrong", WrongKind::Inaccurate),
        ("error", WrongKind::Failed),
    ] {
        let outcome = outcome(fault);
        let Outcome::WrongResult(wrong) = &outcome else {
            panic!("{fault}: {}", outcome.summary());
        };
        assert_eq!(wrong.wrong, expected, "{fault}: {}", outcome.summary());
    }
    for (fault, text) in [
        ("negative", "-1 s"),
        ("longer", "longer than can be"),
        ("shorter", "as seen from outside"),
    ] {
        let outcome = outcome(fault);
        let summary = outcome.summary();
        assert_eq!(
            outcome.kind(),
            OutcomeKind::Implausible,
            "{fault}: {summary}"
        );
        assert!(summary.contains(text), "{fault}: {summary}");
    }
    assert_eq!(outcome("hang").kind(), OutcomeKind::TimedOut);

    // The framework's own clock sees how long a launch takes.
    let time = |fault: &str| {
        let outcome = outcome(fault);
        let measured = outcome.measurement().map(|it| it.metrics[0].value);
        measured.unwrap_or_else(|| panic!("{fault}: {}", outcome.summary()))
    };
    assert!(time("slow") > 20_000.0 && time("none") < time("slow"));
}

#[test]
fn a_child_that_a_process_leaves_running_is_no_part_of_the_plugin() {
    let bench = Bench::new();
    bench.file(
        "leak.process.ron",
        r#"(command: ["{python}", "raw.py"], files: ["raw.py"], env: {"FAULT": "leak"})"#,
    );
    fs::copy(
        root().join("tests/plugins/process/raw.py"),
        bench.path().join("raw.py"),
    )
    .unwrap();
    bench.file(
        "space.ron",
        r#"(name: "ways", params: [(name: "WAY", values: [0, 1])])"#,
    );
    bench.file("spec.ron", &spec("./leak.process.ron"));
    let mut running = bench.start(&["run", "spec.ron", "--out", "r"]);
    // While it runs, the test sees its processes; afterwards there are none.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !of_bench(&bench)
        .iter()
        .any(|command| command.contains("raw.py"))
    {
        assert!(Instant::now() < deadline, "the process never started");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(running.wait().unwrap().success());
    assert_eq!(of_bench(&bench), Vec::<String>::new());
}

/// The processes that were started, directly or not, by programs of a bench: their environment
/// has its folder.
fn of_bench(bench: &Bench) -> Vec<String> {
    let folder = bench.path().join("cache").display().to_string();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|process| {
            fs::read(process.join("environ"))
                .is_ok_and(|environ| String::from_utf8_lossy(&environ).contains(&folder))
        })
        // A process that has ended and waits to be reaped has no command line.
        .filter_map(|process| fs::read_to_string(process.join("cmdline")).ok())
        .filter(|command| !command.is_empty())
        .collect()
}

#[test]
fn an_objective_in_a_process_is_searched() {
    let bench = Bench::new();
    let plugin = path("tests/plugins/process/raw.process.ron");
    bench.file(
        "spec.ron",
        &format!(r#"(plugin: "{plugin}", objective: (name: "parabola"), budget: (trials: 30))"#),
    );
    let ended = bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let best = bench.outcome_with("r", "X", "3").unwrap();
    assert_eq!(
        best.measurement().unwrap().metrics[0].value,
        0.0,
        "{}",
        ended.stdout
    );
}

#[test]
fn a_missing_module_is_told_with_its_cure() {
    let bench = Bench::new();
    bench.file("x.py", "import surely_not_installed\n");
    bench.file(
        "x.process.ron",
        r#"(command: ["{python}", "x.py"], files: ["x.py"])"#,
    );
    bench.run(&["plugin", "describe", "./x.process.ron"]).fails(
        2,
        &[
            &format!(
                "the interpreter `{}` has no module `surely_not_installed`",
                python()
            ),
            "-m pip install surely_not_installed",
            "or set EVO_PYTHON to an interpreter that has it",
            // The traceback, with the file as the user knows it.
            "ModuleNotFoundError",
            &format!("{}/x.py", bench.path().canonicalize().unwrap().display()),
        ],
    );
    if !has("torch") {
        let plugin = path("plugins/torch-sdpa-cpu/torch-sdpa-cpu.process.ron");
        bench
            .run(&["plugin", "describe", &plugin])
            .fails(2, &["has no module `", "pip install"]);
    }
}

#[test]
fn a_description_that_is_wrong_shows_the_place() {
    let bench = Bench::new();
    bench.file(
        "x.process.ron",
        "(\n    command: [\"{python}\", \"x.py\"],\n    file: [],\n)",
    );
    bench.run(&["plugin", "describe", "./x.process.ron"]).fails(
        2,
        &[
            "there is no field `file` here",
            "x.process.ron:3:5",
            "did you mean `files`?",
        ],
    );
    bench.file("x.py", "");
    bench.file("x.process.ron", "(command: [\"{python}\", \"x.py\"])");
    bench
        .run(&["plugin", "describe", "./x.process.ron"])
        .fails(2, &["`x.py` is not among the files", "x.process.ron:1:24"]);
}

#[test]
fn a_python_exception_is_told_with_its_place() {
    if !has("numpy") {
        return;
    }
    let bench = Bench::new();
    bench.file(
        "bad.py",
        "from evo_candidate import Kernel, run\n\
         class Bad(Kernel):\n\
         \x20   problems = [\"sdpa\"]\n\
         \x20   params = {\"AT\": [\"build\", \"launch\"]}\n\
         \x20   def build(self, problem, config):\n\
         \x20       self.at = config[\"AT\"]\n\
         \x20       assert self.at != \"build\", \"planted\"\n\
         \x20   def launch(self, q, k, v, o):\n\
         \x20       raise ValueError(f\"in {self.at}\")\n\
         run(Bad)\n",
    );
    bench.file(
        "bad.process.ron",
        r#"(command: ["{python}", "bad.py"], files: ["bad.py"])"#,
    );
    bench.file(
        "spec.ron",
        r#"(plugin: "./bad.process.ron", problem: (name: "sdpa", fields: {"B": 1, "H": 1, "S": 8, "D": 4}),
            tune: [(kernel: "bad")], budget: (trials: 2))"#,
    );
    let _ = bench.run(&["run", "spec.ron", "--out", "r"]);
    let file = bench.path().canonicalize().unwrap().join("bad.py");
    let Some(Outcome::BuildFailed { message, log }) = bench.outcome_with("r", "AT", "build") else {
        panic!("the build did not fail");
    };
    assert_eq!(
        message,
        format!("AssertionError: planted ({}:7, in build)", file.display())
    );
    assert!(
        log.contains("Traceback") && log.contains("assert self.at"),
        "{log}"
    );
    let launch = bench.outcome_with("r", "AT", "launch").unwrap().summary();
    let place = format!("ValueError: in launch ({}:9, in launch)", file.display());
    assert!(launch.contains(&place), "{launch}");
}

#[test]
fn the_python_example_is_searched_and_verified() {
    if !has("numpy") {
        return;
    }
    let bench = Bench::new();
    let spec = path("examples/09_python_kernel/run.ron");
    let args = [
        "run", &spec, "--set", "S=64", "--set", "H=2", "--budget", "3", "--out", "r",
    ];
    bench.run(&args).ok();
    let measured: Vec<_> = bench
        .evaluated("r")
        .into_iter()
        .filter_map(|evaluated| evaluated.outcome.measurement().cloned())
        .collect();
    assert!(!measured.is_empty());
    for measurement in measured {
        let error = measurement.error.unwrap();
        assert!(
            error.relative <= error.gate && error.checks >= 6,
            "{error:?}"
        );
    }
}

/// The first block of code of a language in a Markdown text.
fn code<'a>(text: &'a str, language: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_plugin_of_the_packages_readme_works_as_it_stands_there() {
    if !has("numpy") {
        return;
    }
    let bench = Bench::new();
    let readme = fs::read_to_string(root().join("plugins/python/README.md")).unwrap();
    bench.file("double.py", code(&readme, "python"));
    bench.file("double.process.ron", code(&readme, "ron"));
    let args = [
        "run",
        "./double.process.ron",
        "--budget",
        "2",
        "--set",
        "N=5000",
        "--out",
        "r",
    ];
    bench.run(&args).ok();
    let outcomes = bench.evaluated("r");
    assert_eq!(outcomes.len(), 2);
    for evaluated in outcomes {
        assert_eq!(evaluated.outcome.kind(), OutcomeKind::Measured);
    }
}

#[test]
fn the_python_package_passes_its_own_tests() {
    if !has("numpy") {
        return;
    }
    let output = Command::new(python())
        .args(["-m", "unittest", "discover", "plugins/python/tests"])
        .current_dir(root())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("OK") && !text.contains("Ran 0 tests"),
        "{text}"
    );
}

#[test]
fn the_checker_passes_a_process_that_keeps_the_rules_and_names_the_one_that_is_broken() {
    let bench = Bench::new();
    let plugin = path("tests/plugins/process/raw.process.ron");
    let kept = bench
        .run(&["plugin", "check", &plugin, "--configs", "2"])
        .ok();
    assert!(kept.stdout.contains("no rule is broken"), "{}", kept.stdout);

    fs::copy(
        root().join("tests/plugins/process/raw.py"),
        bench.path().join("raw.py"),
    )
    .unwrap();
    for (fault, rule) in [("mutate", "inputs-unchanged"), ("stray", "in-bounds")] {
        bench.file(
            "bad.process.ron",
            &format!(
                r#"(command: ["{{python}}", "raw.py"], files: ["raw.py"], env: {{"FAULT": "{fault}"}})"#
            ),
        );
        let args = [
            "plugin",
            "check",
            "./bad.process.ron",
            "--only",
            "double",
            "--configs",
            "1",
        ];
        let broken = bench.run(&args).fails(4, &[]);
        let named = broken
            .stdout
            .lines()
            .any(|line| line.contains("FAIL") && line.contains(rule));
        assert!(named, "{fault}: {}", broken.stdout);
    }
}
