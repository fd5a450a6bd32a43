//! Bad input gets a clear error, a non-zero exit code, and nothing recorded is lost.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use evo_e2e::Bench;

#[test]
fn broken_ron_shows_the_place() {
    let bench = Bench::new();
    bench.file(
        "spec.ron",
        "(\n    plugin: \"synthetic\",\n    sead: 17,\n)",
    );
    bench.run(&["run", "spec.ron", "--out", "r"]).fails(
        2,
        &[
            "there is no field `sead`; did you mean `seed`?",
            "spec.ron:3:",
            "sead: 17",
        ],
    );
    bench.file("spec.ron", "(plugin: \"synthetic\"");
    bench
        .run(&["run", "spec.ron", "--out", "r"])
        .fails(2, &["spec.ron:1:"]);
    assert!(
        !bench.path().join("r").exists(),
        "nothing was begun, so nothing is left"
    );
}

#[test]
fn unknown_names_are_answered_with_the_nearest_one() {
    let bench = Bench::new();
    for (args, texts) in [
        (
            vec!["run", "sintetic"],
            vec!["no plugin `sintetic`", "did you mean `synthetic`?"],
        ),
        (
            vec!["run", "./none.so"],
            vec!["./none.so: there is no such plugin file"],
        ),
        (
            vec!["run", "none.ron"],
            vec!["none.ron: cannot read the spec"],
        ),
        (
            vec!["run", "synthetic", "--set", "slep_ms=1"],
            vec!["no field `slep_ms`; did you mean `sleep_ms`?"],
        ),
        (
            vec!["run", "synthetic", "--set", "sleep_ms=x"],
            vec!["must be an integer from 0"],
        ),
        (
            vec!["run", "synthetic", "--set", "sleep_ms"],
            vec!["this is not NAME=VALUE"],
        ),
        (
            vec!["run", "synthetic", "--preset", "best"],
            vec!["random, free, insight, full"],
        ),
        (
            vec!["run", "synthetic", "--budget", "0"],
            vec!["budget.trials is 0, but must be at least 1"],
        ),
        (
            vec!["run", "synthetic", "--target", "2x over A"],
            vec!["no baseline of this run"],
        ),
        (
            vec!["run", "synthetic", "--profiler", "none"],
            vec!["there is no profiler `none`"],
        ),
        (
            vec!["run", "synthetic", "--profiler", "statc"],
            vec!["there is no profiler `statc`; did you mean `static`?"],
        ),
        (
            vec!["run", "synthetic", "--profiler", "static"],
            vec!["looks at kernels, and an objective has none"],
        ),
        (
            vec!["run", "synthetic", "--profiler", "static", "--no-profilers"],
            vec!["cannot be used with"],
        ),
    ] {
        bench.run(&args).fails(2, &texts);
    }
}

#[test]
fn a_spec_that_does_not_fit_its_plugin_is_refused() {
    let bench = Bench::new();
    for (spec, texts) in [
        ("(plugin: \"misbehave\")", vec!["names nothing to tune"]),
        (
            "(plugin: \"misbehave\", tune: [(kernel: \"misbehave\")], profile_every: 4)",
            vec!["profile_every", "no profilers are named"],
        ),
        (
            "(plugin: \"misbehave\", tune: [(kernel: \"misbehave\")], profile_elites: 2)",
            vec!["profile_elites", "no profilers are named"],
        ),
        (
            "(plugin: \"misbehave\", tune: [(kernel: \"misbehave\")], profilers: [\"usage\"],
                profile_elites: 0)",
            vec!["profile_elites must be at least 1", "profile_every: 0"],
        ),
        (
            "(plugin: \"misbehave\", tune: [(kernel: \"misbehav\")])",
            vec!["no kernel `misbehav`", "did you mean `misbehave`?"],
        ),
        (
            "(plugin: \"misbehave\", tune: [(kernel: \"misbehave\", pinned: {\"MOD\": 1})])",
            vec!["no parameter `MOD`", "did you mean `MODE`?"],
        ),
        (
            "(plugin: \"misbehave\", problem: (fields: {\"R\": 0}), tune: [(kernel: \"misbehave\")])",
            vec!["field `R` is 0 (integer), but must be an integer from 1"],
        ),
        ("()", vec!["the spec names no plugin", "evo plugin list"]),
    ] {
        bench.file("spec.ron", spec);
        bench
            .run(&["run", "spec.ron", "--out", "r"])
            .fails(2, &texts);
    }
}

#[test]
fn a_broken_space_shows_the_place() {
    let bench = Bench::new();
    bench.file(
        "spec.ron",
        "(plugin: \"synthetic\", objective: (space: \"space.ron\"))",
    );
    bench.file(
        "space.ron",
        "(\n    name: \"s\",\n    params: [(name: \"TILE\", values: [1, 2])],\n    constraints: [(expr: \"TILLE < 2\", reason: \"r\")],\n)",
    );
    bench
        .run(&["run", "spec.ron", "--out", "r"])
        .fails(2, &["TILLE", "did you mean `TILE`?", "space.ron:4:"]);
    bench.file(
        "space.ron",
        "(\n    name: \"s\",\n    params: [(name: \"TILE\", values: [1, 2])],\n    constraints: [(expr: \"TILE > 2\", reason: \"too small\")],\n)",
    );
    bench
        .run(&["run", "spec.ron", "--out", "r"])
        .fails(2, &["TILE > 2"]);
}

#[test]
fn files_that_are_no_plugins_each_get_their_own_error() {
    let bench = Bench::new();
    let text = bench.file("text.so", "hello");
    let whole = fs::read(bench.test_plugin("synthetic")).unwrap();
    let truncated = bench.path().join("truncated.so");
    fs::write(&truncated, &whole[..whole.len() / 2]).unwrap();
    let mut foreign_bytes = whole.clone();
    // The machine field of the ELF header: 0xf3 is RISC-V.
    foreign_bytes[18] = 0xf3;
    let foreign = bench.path().join("foreign.so");
    fs::write(&foreign, &foreign_bytes).unwrap();
    let shared = bench.path().join("shared.so");
    fs::write(&shared, &whole).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    for (path, texts) in [
        (text, vec!["text.so", "it is a text file"]),
        (truncated, vec!["truncated.so", "truncated"]),
        (
            foreign,
            vec!["foreign.so", "riscv64", "build it for this machine"],
        ),
        (
            bench.test_plugin("not-a-plugin"),
            vec!["not-a-plugin.so", "no evo plugin"],
        ),
        (
            bench.test_plugin("wrong-version"),
            vec!["wrong-version.so", "9.0", "1.1"],
        ),
        (
            bench.test_plugin("wrong-layout"),
            vec!["wrong-layout.so", "laid out differently"],
        ),
        (shared, vec!["every user may write to it", "chmod o-w"]),
    ] {
        let path = path.display().to_string();
        let ended = bench.run(&["run", &path, "--out", "r"]).fails(2, &texts);
        assert!(
            ended.stderr.lines().count() < 12,
            "the error is too long:\n{}",
            ended.stderr
        );
        assert!(!bench.path().join("r").exists());
    }
}

#[test]
fn run_folders_are_refused_before_any_work() {
    let bench = Bench::new();
    bench
        .run(&["run", "synthetic", "--budget", "3", "--out", "r"])
        .ok();
    let journal = fs::read(bench.path().join("r/journal.jsonl")).unwrap();
    bench
        .run(&["run", "synthetic", "--budget", "3", "--out", "r"])
        .fails(2, &["there is a run in this folder", "evo resume"]);
    assert_eq!(
        fs::read(bench.path().join("r/journal.jsonl")).unwrap(),
        journal
    );
    fs::create_dir(bench.path().join("mine")).unwrap();
    fs::write(bench.path().join("mine/lock"), "my own").unwrap();
    fs::write(bench.path().join("mine/thesis"), "years").unwrap();
    bench
        .run(&["run", "synthetic", "--out", "mine"])
        .fails(2, &["is not empty and holds no run"]);
    assert_eq!(
        fs::read_to_string(bench.path().join("mine/lock")).unwrap(),
        "my own"
    );
    bench.file("file", "");
    bench
        .run(&["run", "synthetic", "--out", "file/r"])
        .fails(1, &["cannot make the run folder", "--out"]);
    // The file system of processes takes no folders from anybody, root included.
    bench
        .run(&["run", "synthetic", "--out", "/proc/evo-run"])
        .fails(1, &["cannot make the run folder"]);
    bench
        .run(&["resume", "none"])
        .fails(2, &["there is no run in this folder"]);
    bench
        .run(&["report", "none"])
        .fails(2, &["there is no run in this folder"]);
}

#[test]
fn a_second_run_on_one_folder_is_refused_and_names_the_holder() {
    let bench = Bench::new();
    let mut child = bench.start(&["run", "synthetic", "--set", "sleep_ms=20000", "--out", "r"]);
    while !bench.path().join("r/journal.jsonl").exists() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let holder = format!("in use by process {}", child.id());
    bench.run(&["resume", "r"]).fails(1, &[&holder]);
    bench
        .run(&["run", "synthetic", "--out", "r"])
        .fails(1, &[&holder]);
    // A report only reads.
    bench.run(&["report", "r"]).ok();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_changed_plugin_cannot_go_on_with_an_old_run() {
    let bench = Bench::new();
    let plugin = bench.path().join("own.so");
    fs::copy(bench.test_plugin("synthetic"), &plugin).unwrap();
    bench
        .run(&["run", "./own.so", "--budget", "3", "--out", "r"])
        .ok();
    // Another library at the same path, and an empty store.
    fs::copy(bench.test_plugin("misbehave"), &plugin).unwrap();
    fs::remove_dir_all(bench.path().join("cache")).unwrap();
    bench
        .run(&["run", "--from", "r", "--budget", "5"])
        .fails(2, &["own.so", "has changed since the run was made"]);
}

#[test]
fn a_metric_that_nobody_has_is_told_before_the_search() {
    let bench = Bench::new();
    let spec = r#"(plugin: "misbehave", metric: "kernel_tim",
        tune: [(kernel: "misbehave", pinned: {"MODE": "good"})],
        baselines: [(kernel: "misbehave")])"#;
    bench.file("spec.ron", spec);
    bench.run(&["run", "spec.ron", "--out", "r"]).fails(
        2,
        &[
            "no baseline has the metric `kernel_tim`",
            "did you mean `kernel_time`?",
        ],
    );
    assert!(bench.proposals("r").is_empty());
    bench.file(
        "spec.ron",
        "(plugin: \"synthetic\", higher_is_better: true)",
    );
    bench.run(&["run", "spec.ron", "--out", "s"]).fails(
        2,
        &["is better when it is lower", "higher_is_better: false"],
    );
}
