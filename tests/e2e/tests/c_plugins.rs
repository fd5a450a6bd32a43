//! C plugins through the real program: compiled by the system's compiler, searched, verified,
//! measured, and refused where they are broken.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use evo_e2e::{Bench, root};
use evo_journal::Record;
use evo_types::{Outcome, OutcomeKind, WrongKind};

const CURRENT: &str = "framework/evo-plugin/include";
const OF_1_0: &str = "tests/plugins/c/include_1_0";

/// Compiles a test plugin as strictly as plugin authors may.
fn compile(bench: &Bench, source: &str, include: &str, defines: &[&str], name: &str) -> PathBuf {
    let library = bench.path().join(name);
    let (compiler, standard) = if source.ends_with(".cpp") {
        ("c++", "-std=c++17")
    } else {
        ("cc", "-std=c11")
    };
    let output = Command::new(compiler)
        .current_dir(root())
        .args([standard, "-Wall", "-Wextra", "-pedantic", "-Werror"])
        .args(["-O2", "-shared", "-fPIC", "-I", include])
        .args(defines)
        .arg(format!("tests/plugins/c/{source}"))
        .arg("-o")
        .arg(&library)
        .output()
        .expect("the tests need a C and a C++ compiler (cc, c++)");
    assert!(
        output.status.success(),
        "{source}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    library
}

fn outcome(bench: &Bench, param: &str, value: &str) -> Outcome {
    bench
        .outcome_with("r", param, value)
        .unwrap_or_else(|| panic!("{param}={value} was not evaluated"))
}

#[test]
fn the_example_is_compiled_as_its_readme_says_and_searched() {
    let bench = Bench::new();
    let example = root().join("examples/04_c_plugin");
    let readme = fs::read_to_string(example.join("README.md")).unwrap();
    let command = readme
        .lines()
        .find(|line| line.starts_with("cc "))
        .expect("the README has the compiler's command");
    let (command, output) = command.split_once(" -o ").unwrap();
    assert_eq!(output, "examples/04_c_plugin/row_sum.so");
    let status = Command::new("sh")
        .current_dir(root())
        .arg("-c")
        .arg(format!(
            "{command} -Wall -Wextra -pedantic -Werror -o \"$OUT\""
        ))
        .env("OUT", bench.path().join("row_sum.so"))
        .status();
    assert!(status.unwrap().success());
    fs::copy(example.join("run.ron"), bench.path().join("run.ron")).unwrap();
    bench
        .run(&[
            "run", "run.ron", "--budget", "4", "--set", "M=64", "--set", "N=512", "--out", "r",
        ])
        .ok();
    let evaluated = bench.evaluated("r");
    assert_eq!(evaluated.len(), 4);
    for evaluated in evaluated {
        let Outcome::Measured(measured) = evaluated.outcome else {
            panic!("{}", evaluated.outcome.summary());
        };
        assert!(
            measured.error.is_some(),
            "it was compared with the reference"
        );
        assert!(measured.metric("kernel_time").unwrap().value > 0.0);
    }
    let ended = bench.run(&["plugin", "check", "./row_sum.so"]).ok();
    assert!(
        ended.stdout.contains("no rule is broken"),
        "{}",
        ended.stdout
    );
    // What it cannot do it refuses in its own words.
    bench
        .run(&["run", "run.ron", "--set", "dtype=f64", "--out", "refused"])
        .fails(3, &["it sums rows of f32 only"]);
}

#[test]
fn a_plugin_of_version_1_0_is_searched() {
    let bench = Bench::new();
    compile(&bench, "old.c", OF_1_0, &[], "old.so");
    let ended = bench.run(&["plugin", "describe", "./old.so"]).ok();
    assert!(
        ended.stdout.contains("c-old 1.0.0 (C, interface 1.0)"),
        "{}",
        ended.stdout
    );
    bench.file(
        "spec.ron",
        r#"(plugin: "./old.so", tune: [(kernel: "copy")], baselines: [(kernel: "copy")],
            measure: (max_seconds: 0.05, confirm_seconds: 0.2))"#,
    );
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    for step in ["1", "4", "16"] {
        let outcome = outcome(&bench, "STEP", step);
        assert_eq!(
            outcome.kind(),
            OutcomeKind::Measured,
            "{}",
            outcome.summary()
        );
    }
}

#[test]
fn a_plugin_of_a_later_minor_version_can_be_loaded() {
    let bench = Bench::new();
    compile(&bench, "newer.c", CURRENT, &[], "newer.so");
    let ended = bench.run(&["plugin", "describe", "./newer.so"]).ok();
    assert!(
        ended.stdout.contains("(C, interface 1.9)"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_c_kernel_problem_and_profiler_are_like_any_other() {
    let bench = Bench::new();
    compile(&bench, "full.c", CURRENT, &[], "full.so");
    bench.file(
        "spec.ron",
        r#"(plugin: "./full.so", problem: (fields: {"N": 1000}), tune: [(kernel: "blocked"), (kernel: "plain")],
            baselines: [(kernel: "plain")], profilers: ["counter"], preset: random,
            measure: (max_seconds: 0.05, confirm_seconds: 0.2))"#,
    );
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();

    let kind = |param: &str, value: &str| outcome(&bench, param, value).kind();
    assert_eq!(kind("BLOCK", "13"), OutcomeKind::Rejected);
    assert!(
        outcome(&bench, "BLOCK", "13")
            .summary()
            .contains("an unlucky number")
    );
    let broken = bench.proposals("r").into_iter().find(|proposed| {
        proposed
            .params
            .get("MODE")
            .is_some_and(|mode| mode.to_string() == "broken")
            && proposed.params["BLOCK"].to_string() != "13"
    });
    let broken = broken.expect("MODE=broken was proposed").trial;
    let evaluated = bench.evaluated("r");
    let of = |trial| &evaluated.iter().find(|e| e.trial == trial).unwrap().outcome;
    assert!(
        matches!(of(broken), Outcome::BuildFailed { log, message }
            if log.contains("what is `broken`?") && message == "the compiler gave up"),
        "{:?}",
        of(broken)
    );
    // DEAD changes nothing that `build` writes: measured once.
    let kinds: Vec<OutcomeKind> = evaluated.iter().map(|e| e.outcome.kind()).collect();
    let count = |kind| kinds.iter().filter(|other| **other == kind).count();
    assert_eq!(count(OutcomeKind::DuplicateOf), 2, "{kinds:?}");
    // BLOCK=64 and 256, and the other kernel without WRONG.
    assert_eq!(count(OutcomeKind::Measured), 3, "{kinds:?}");
    assert!(matches!(
        outcome(&bench, "WRONG", "true"),
        Outcome::WrongResult(wrong) if wrong.wrong == WrongKind::Inaccurate
    ));
    let prepared = evaluated.iter().find_map(|e| match &e.outcome {
        Outcome::Measured(measured) => measured.metric("end_to_end_time"),
        _ => None,
    });
    assert!(
        prepared.is_some(),
        "`prepare` is timed together with the launch"
    );

    let profiled: Vec<_> = bench
        .records("r")
        .into_iter()
        .filter_map(|record| match record {
            Record::Profiled(profiled) => Some(profiled),
            _ => None,
        })
        .collect();
    assert!(!profiled.is_empty());
    for profile in profiled {
        assert_eq!(profile.failure, None);
        assert_eq!(profile.metrics[0].name, "launches_seen");
        assert_eq!(profile.metrics[0].value, 5.0);
        assert!(profile.metrics[1].value > 0.0);
    }
}

#[test]
fn a_default_spec_in_c_is_run_by_name() {
    let bench = Bench::new();
    compile(&bench, "full.c", CURRENT, &[], "full.so");
    bench
        .run(&[
            "run",
            "full",
            "--plugin-path",
            ".",
            "--budget",
            "6",
            "--out",
            "r",
        ])
        .ok();
    assert!(!bench.evaluated("r").is_empty());
}

#[test]
fn a_c_objective_is_searched_in_the_space_that_it_makes() {
    let bench = Bench::new();
    compile(&bench, "full.c", CURRENT, &[], "full.so");
    bench.file(
        "spec.ron",
        r#"(plugin: "./full.so", objective: (name: "parabola", settings: {"center": 4.0, "width": 9}))"#,
    );
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    assert_eq!(bench.proposals("r").len(), 10, "X from 0 to 9");
    assert!(
        matches!(outcome(&bench, "X", "0"), Outcome::TimedOut { limit_s, .. } if limit_s == 30.0)
    );
    assert_eq!(outcome(&bench, "X", "1").kind(), OutcomeKind::WrongResult);
    let Outcome::Measured(best) = outcome(&bench, "X", "4") else {
        panic!("X=4 has a value");
    };
    assert_eq!(best.metric("height").unwrap().value, 0.0);
    let summary = fs::read_to_string(bench.path().join("r/topk.json")).unwrap();
    assert!(summary.contains("\"X\": 4"), "{summary}");
}

#[test]
fn an_exception_that_escapes_is_a_crash_and_one_that_is_caught_is_not() {
    let bench = Bench::new();
    compile(&bench, "throws.cpp", CURRENT, &[], "throws.so");
    bench.file(
        "spec.ron",
        r#"(plugin: "./throws.so", tune: [(kernel: "double")], baselines: [(kernel: "double")],
            preset: random, measure: (max_seconds: 0.05, confirm_seconds: 0.2))"#,
    );
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    assert_eq!(
        outcome(&bench, "MODE", "fine").kind(),
        OutcomeKind::Measured
    );
    let caught = outcome(&bench, "MODE", "caught");
    assert!(
        matches!(&caught, Outcome::WrongResult(wrong) if wrong.wrong == WrongKind::Failed),
        "{}",
        caught.summary()
    );
    let escaped = outcome(&bench, "MODE", "escapes");
    assert_eq!(escaped.kind(), OutcomeKind::Crashed);
    assert!(
        escaped.summary().contains("SIGABRT"),
        "{}",
        escaped.summary()
    );
}

#[test]
fn broken_c_plugins_each_get_their_own_error() {
    let bench = Bench::new();
    let whole = fs::read(compile(&bench, "full.c", CURRENT, &[], "full.so")).unwrap();
    fs::write(bench.path().join("truncated.so"), &whole[..whole.len() / 2]).unwrap();
    fs::write(
        bench.path().join("text.so"),
        "const evo_plugin evo_plugin_entry;",
    )
    .unwrap();
    for (define, name) in [
        ("-DMAGIC=1", "magic.so"),
        ("-DMAJOR=2", "major.so"),
        ("-DSIZE=7", "size.so"),
        ("-DINFO=\"name: k\"", "json.so"),
        ("-DINFO=\"{}\"", "member.so"),
        ("-DLAUNCH=NULL", "launch.so"),
        ("-DNAME=\"a/b\"", "name.so"),
    ] {
        compile(&bench, "broken.c", CURRENT, &[define], name);
    }
    for (file, texts) in [
        (
            "truncated.so",
            vec!["it is cut off", "build or copy it again"],
        ),
        ("text.so", vec!["it is a text file"]),
        (
            "magic.so",
            vec!["it is no plugin table", "EVO_PLUGIN_HEADER"],
        ),
        (
            "major.so",
            vec![
                "version 2.1 of evo_plugin.h",
                "this evo speaks 1.1",
                "compile it again",
            ],
        ),
        ("size.so", vec!["struct_size is 7", "sizeof(evo_plugin)"]),
        (
            "json.so",
            vec![
                "kernels[0].info cannot be read",
                "at line 1 column 2",
                "near `name: k`",
            ],
        ),
        ("member.so", vec!["missing field `name` at line 1 column 2"]),
        ("launch.so", vec!["kernels[0].launch is NULL"]),
        ("name.so", vec!["the plugin name `a/b`", "A-Z a-z 0-9"]),
    ] {
        let path = format!("./{file}");
        let texts: Vec<&str> = texts.into_iter().chain([file]).collect();
        let ended = bench.run(&["run", &path, "--out", "r"]).fails(2, &texts);
        assert!(
            ended.stderr.lines().count() < 12,
            "the error is too long:\n{}",
            ended.stderr
        );
        assert!(!bench.path().join("r").exists());
    }
}
