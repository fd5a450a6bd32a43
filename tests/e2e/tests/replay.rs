//! Candidates of a run executed again, bit by bit and for tools.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use evo_e2e::{Bench, Ended, root};
use evo_journal::{Record, Writer};
use serde_json::Value;

const REFERENCE: &str = "void triple(const double *x, double *y, int rows, int columns)
{
    for (int i = 0; i < rows * columns; i++)
        y[i] = 3.0 * x[i];
}
";

/// HOW decides what is wrong; what TOOL says is printed into a buffer that is written at the end of
/// the process, and a line for each launch.
const TRIPLE: &str = r#"#include <stdio.h>
#include <stdlib.h>

static float last;

void triple(const float *x, float *y, int rows, int columns)
{
    static int launches;
    if (getenv("TOOL")) {
        printf("launch %d under %s\n", ++launches, getenv("TOOL"));
    }
#if HOW == 2
    *(volatile int *)0 = 1;
#endif
#if HOW == 3
    for (volatile int i = 0;; )
        i = 0;
#endif
    for (int i = 0; i < rows * columns; i++)
        y[i] = 3.0f * x[i];
#if HOW == 4
    last = 1e-4f - last;
    y[5] += last;
#endif
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
    space: (params: [(name: "HOW", range: (from: 0, to: 4)), (name: "OPT", values: [1, 2])]),
    flags: ["-O{OPT}"],
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
    limits: (build_s: 20.0, verify_s: 1.0, measure_s: 3.0, crashes_in_a_row: 50),
    measure: (max_seconds: 0.05, confirm_processes: 1, confirm_seconds: 0.2),
)"#;

/// A finished run of every configuration, in the folder `r`.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.file("triple.kernel.ron", DESCRIPTION);
    bench.file("triple.c", TRIPLE);
    bench.file("reference.c", REFERENCE);
    bench.file("spec.ron", SPEC);
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    bench
}

/// The number of a trial with HOW at a value.
fn trial(bench: &Bench, how: &str) -> String {
    let proposals = bench.proposals("r").into_iter();
    let mut found = proposals.filter(|proposed| proposed.params["HOW"].to_string() == how);
    found.next().unwrap().trial.to_string()
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

#[test]
fn finalists_and_baselines_give_the_same_bits_and_the_run_stays_as_it_is() {
    let bench = bench();
    let journal = bench.path().join("r/journal.jsonl");
    let before = fs::read(&journal).unwrap();
    let ended = bench.run(&["replay", "r", "--baselines"]).ok();
    let table = &ended.stdout;
    assert_has(
        table,
        &[
            "triple COLUMNS=128 ROWS=64 on ",
            "defaults (triple)",
            "100 repeats, normal, seed 17",
            "equal over 100 repeats; relative error",
            "passed",
        ],
    );
    let finalists = bench
        .records("r")
        .into_iter()
        .rev()
        .find_map(|record| match record {
            Record::Compared(comparison) => Some(comparison.items),
            _ => None,
        });
    for item in finalists.unwrap() {
        assert_has(table, &[&item.label]);
    }
    assert_eq!(fs::read(&journal).unwrap(), before);
}

#[test]
fn what_went_wrong_in_the_run_goes_wrong_again_and_the_others_are_replayed() {
    let bench = bench();
    let [good, crashes, varies] = ["0", "2", "4"].map(|how| trial(&bench, how));
    let trials = ["--trial", &crashes, "--trial", &varies, "--trial", &good];
    let args = [&["replay", "r", "--repeats", "9", "--json"][..], &trials].concat();
    let ended = bench.run(&args).fails(4, &[]);
    let document = json(&ended);
    assert_eq!(document["passed"], false);
    assert_eq!(
        (&document["repeats"], &document["seeds"][0]),
        (&9.into(), &17.into())
    );
    let candidates = document["candidates"].as_array().unwrap();
    let verdicts = [
        "crashed in verification: killed by signal 11 (SIGSEGV",
        "differs in repeat 2 (seed 17): 1 of the 8192 elements of `y`, first at [0, 5] with ",
        "equal over 9 repeats; relative error",
    ];
    for (candidate, verdict) in candidates.iter().zip(verdicts) {
        assert_has(candidate["verdict"].as_str().unwrap(), &[verdict]);
    }
    assert_eq!(candidates[0]["outcome"]["kind"], "crashed");
    assert_eq!(candidates[1]["report"]["differing"]["launches"], 4);
    assert_eq!(candidates[2]["passed"], true);
    assert_eq!(candidates[2]["trial"].to_string(), good);
}

#[test]
fn a_kernel_that_lets_chance_in_is_told_apart_from_one_that_is_equal() {
    let bench = Bench::new();
    let plugin = root().join("tests/plugins/nonconforming/races.kernel.ron");
    let spec = format!(
        r#"(plugin: "{}", tune: [(kernel: "races")], preset: random, budget: (trials: 2),
            problem: (fields: {{"M": 64, "N": 256}}))"#,
        plugin.display()
    );
    bench.file("spec.ron", &spec);
    let ended = bench.run(&["run", "spec.ron", "--out", "r"]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let refused = bench.run(&["replay", "r"]);
    refused.fails(2, &["no trial of this run was correct", "--trial N"]);
    let ended = bench.run(&["replay", "r", "--trial", "0"]).fails(4, &[]);
    assert_has(
        &ended.stdout,
        &["differs in repeat ", "elements of `y`", "0 of 1 passed"],
    );
}

#[test]
fn what_there_is_not_is_named() {
    let bench = bench();
    let cases: [(&[&str], &[&str]); 9] = [
        (
            &["r", "--trial", "99"],
            &["there is no trial 99", "from 0 to 9"],
        ),
        (
            &["r", "--candidate", "tripel"],
            &["no candidate `tripel`; did you mean `triple`?"],
        ),
        (
            &["r", "--set", "ROW=3"],
            &["has no field `ROW`; did you mean `ROWS`?"],
        ),
        (&["r", "--set", "ROWS"], &["this is not NAME=VALUE"]),
        (
            &["r", "--inputs", "odd"],
            &["has no inputs `odd`; it has: normal"],
        ),
        (&["r", "--device", "cpu:0"], &["there is no device `cpu:0`"]),
        (&["r", "--deadline", "0"], &["--deadline is 0"]),
        (&["cache"], &["there is no run in this folder"]),
        (
            &["r", "--trial", "1", "--top", "2"],
            &["cannot be used with"],
        ),
    ];
    for (args, texts) in cases {
        bench.run(&[&["replay"], args].concat()).fails(2, texts);
    }
}

#[test]
fn configurations_of_a_file_are_replayed_whether_the_run_tried_them_or_not() {
    let bench = bench();
    let replay = |args: &str| {
        let args: Vec<&str> = args.split(' ').collect();
        bench.run(&[&["replay", "r", "--configurations"], &args[..]].concat())
    };
    let shown = |ended: &Ended| -> Vec<(String, String, Value)> {
        let document = json(ended);
        let candidates = document["candidates"].as_array().unwrap().iter();
        candidates
            .map(|it| {
                assert_eq!((&it["trial"], &it["passed"]), (&Value::Null, &true.into()));
                let label = it["candidate"].as_str().unwrap().to_owned();
                (
                    label,
                    it["params"]["HOW"].to_string(),
                    it["params"]["OPT"].clone(),
                )
            })
            .collect()
    };
    let row = |number: u32, how: &str, opt: u32| {
        let label = format!("triple, configuration {number}");
        (label, how.to_owned(), Value::from(opt))
    };
    bench.file(
        "list.json",
        r#" [{"HOW": 1, "OPT": 2}, {"HOW": 0}, {"HOW": 2}]"#,
    );
    let ended = replay("list.json --rows 0..2 --repeats 2 --json").ok();
    assert_eq!(shown(&ended), [row(0, "1", 2), row(1, "0", 1)]);
    // What ran once: two of the five ways, each with both options.
    bench.run(&["export", "r", "--out", "kept.json.xz"]).ok();
    let ended = replay("kept.json.xz --repeats 2 --json").ok();
    let rows = shown(&ended);
    let ran: Vec<(&str, i64)> = rows
        .iter()
        .map(|(_, how, opt)| (how.as_str(), opt.as_i64().unwrap()))
        .collect();
    assert_eq!(ran, [("0", 1), ("0", 2), ("1", 1), ("1", 2)]);
    let ended = replay("kept.json.xz --rows 1..2 --launches 1 --json").ok();
    assert_eq!(shown(&ended), rows[1..2]);

    bench.file("name.json", r#"[{"HOW": 1}, {"HAW": 1}]"#);
    bench.file("value.json", r#"[{"HOW": 9}]"#);
    bench.file("word.json", r#"[1]"#);
    bench.file("none.json", "[]");
    bench.file("other.json", "{}");
    for (args, words) in [
        (
            "name.json",
            "configuration 1 of `triple` cannot be executed: there is no parameter `HAW`; did you mean `HOW`?",
        ),
        (
            "value.json",
            "`HOW` cannot be 9: its values are 0, 1, 2, 3, 4",
        ),
        ("word.json", "word.json: no list of objects of parameters"),
        ("none.json", "none.json: there is no configuration in it"),
        ("other.json", "other.json"),
        ("absent.json", "absent.json: cannot be read"),
        (
            "list.json --rows 3..9",
            "none of its 3 configurations is among the rows",
        ),
        ("list.json --rows 5..2", "give two numbers such as 0..500"),
        ("list.json --trial 1", "cannot be used with"),
    ] {
        replay(args).fails(2, &[words]);
    }
    bench
        .run(&["replay", "r", "--rows", "0..2"])
        .fails(2, &["--configurations <FILE>"]);
}

#[test]
fn a_configuration_is_held_against_the_space_of_the_shape_that_it_is_executed_for() {
    let bench = Bench::new();
    let description = DESCRIPTION
        .replace("values: [1, 2])", "values: [1, 2], when: \"ROWS > 100\")")
        .replace("-O{OPT}", "-O1");
    assert!(description.contains("when:") && description.contains("-O1"));
    bench.file("triple.kernel.ron", &description);
    bench.file("triple.c", TRIPLE);
    bench.file("reference.c", REFERENCE);
    let spec = SPEC.replace("trials: 100", "trials: 1");
    bench.file("spec.ron", &spec.replace("preset: random", "preset: full"));
    bench.file("list.json", r#"[{"HOW": 0, "OPT": 2}]"#);
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let replay = "replay r --configurations list.json --repeats 1 --json";
    for (set, opt) in [("ROWS=64", Value::Null), ("ROWS=128", 2.into())] {
        let args: Vec<&str> = replay.split(' ').chain(["--set", set]).collect();
        let document = json(&bench.run(&args).ok());
        assert_eq!(document["candidates"][0]["params"]["OPT"], opt, "{set}");
    }
}

#[test]
fn shape_inputs_and_seeds_can_be_changed() {
    let bench = bench();
    let args = "replay r --candidate A --set ROWS=7 --set COLUMNS=3 --seed 1 --seed 2 --repeats 3";
    let args: Vec<&str> = args.split(' ').collect();
    let ended = bench.run(&args).ok();
    assert_has(
        &ended.stdout,
        &[
            "COLUMNS=3 ROWS=7",
            "defaults (triple)",
            "3 repeats, normal, each of the seeds 1, 2",
            "1 of 1 passed",
        ],
    );
    let ended = bench
        .run(&["replay", "r", "--top", "2", "--repeats", "1", "--json"])
        .ok();
    let document = json(&ended);
    assert_eq!(document["candidates"].as_array().unwrap().len(), 2);
    assert_eq!(document["candidates"][0]["report"]["launches"], 1);
}

#[test]
fn plain_launches_are_no_more_than_asked_for_and_workers_end_in_order() {
    let bench = bench();
    let good = trial(&bench, "0");
    let args = ["replay", "r", "--trial", &good, "--launches", "3", "--json"];
    let output = bench.evo(&args).env("TOOL", "a tool").output().unwrap();
    let ended = Ended::from(output).ok();
    // What the worker prints is on standard error, and all of it: its buffers were written.
    assert_has(
        &ended.stderr,
        &["launch 1 under a tool", "launch 4 under a tool"],
    );
    assert!(!ended.stderr.contains("launch 5"), "{}", ended.stderr);
    let document = json(&ended);
    assert_eq!(document["launches"], 3);
    assert_eq!(document["candidates"][0]["verdict"], "ran to its end");
}

/// A tool as sanitizers are: a library that is loaded into every process, looks at workers, and has
/// its say when these end.
const TOOL: &str = r#"#include <stdio.h>
#include <string.h>
#include <unistd.h>

__attribute__((destructor)) static void end(void)
{
    char line[4096] = {0};
    FILE *file = fopen("/proc/self/cmdline", "r");
    if (!file)
        return;
    size_t count = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    size_t first = strlen(line) + 1;
    if (first >= count || strcmp(line + first, "worker") != 0)
        return;
    usleep(700000);
    dprintf(1, "TOOL SUMMARY: 2 hazards\n");
    _exit(9);
}
"#;

#[test]
fn a_tool_over_the_worker_has_its_say_and_its_error_is_seen() {
    let bench = bench();
    let source = bench.file("tool.c", TOOL);
    let tool: PathBuf = bench.path().join("tool.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&tool, &source])
        .status()
        .unwrap();
    assert!(compiled.success());
    let args = ["replay", "r", "--candidate", "defaults", "--repeats", "2"];
    let output = bench.evo(&args).env("LD_PRELOAD", &tool).output().unwrap();
    let ended = Ended::from(output).fails(
        4,
        &[
            "TOOL SUMMARY: 2 hazards",
            "error: the worker ended with exit code 9 after its work",
        ],
    );
    assert_has(&ended.stdout, &["equal over 2 repeats", "1 of 1 passed"]);
    assert!(!ended.stdout.contains("TOOL"), "{}", ended.stdout);
}

#[test]
fn the_deadline_is_that_of_the_replay() {
    let bench = bench();
    let hangs = trial(&bench, "3");
    let args = ["replay", "r", "--trial", &hangs, "--deadline", "2.5"];
    let ended = bench.run(&args).fails(4, &[]);
    assert_has(&ended.stdout, &["timed out in verification after 2.5 s"]);
}

/// Writes the records of the run `r`, changed, as the run `name`.
fn rewrite(bench: &Bench, name: &str, change: impl Fn(Record) -> Option<Record>) {
    fs::create_dir(bench.path().join(name)).unwrap();
    let journal = bench.path().join(name).join("journal.jsonl");
    let mut writer = Writer::create(&journal).unwrap();
    for record in bench.records("r").into_iter().filter_map(change) {
        writer.append(&record).unwrap();
    }
}

#[test]
fn a_run_that_did_not_finish_has_its_best_replayed() {
    let bench = bench();
    let confirmed = |record: &Record| matches!(record, Record::Compared(it) if it.items.iter().any(|it| it.trial.is_some()));
    rewrite(&bench, "cut", |record| {
        let last = confirmed(&record) || matches!(record, Record::Finished { .. });
        (!last).then_some(record)
    });
    let ended = bench
        .run(&["replay", "cut", "--repeats", "2", "--quiet"])
        .ok();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    let ended = bench
        .run(&["replay", "cut", "--repeats", "2", "--json"])
        .ok();
    let candidates = json(&ended)["candidates"].as_array().unwrap().len();
    assert!((1..=3).contains(&candidates), "{candidates}");
}

#[test]
fn another_machine_is_told_and_no_obstacle_but_another_plugin_is() {
    let bench = bench();
    rewrite(&bench, "elsewhere", |record| match record {
        Record::Started {
            at,
            spec,
            mut plan,
            environment,
        } => {
            plan.device.uuid = "another".to_owned();
            plan.device.name = "Another CPU".to_owned();
            Some(Record::Started {
                at,
                spec,
                plan,
                environment,
            })
        }
        record => Some(record),
    });
    let ended = bench
        .run(&["replay", "elsewhere", "--top", "1", "--repeats", "2"])
        .ok();
    assert_has(
        &ended.stderr,
        &["warning: the run was made on Another CPU (another), and this is "],
    );
    fs::remove_dir_all(bench.path().join("cache")).unwrap();
    bench.file("triple.c", &TRIPLE.replace("3.0f", "2.0f"));
    let texts = [
        "the plugin has changed since the run was made",
        "build it from the same source",
    ];
    bench.run(&["replay", "r"]).fails(2, &texts);
}

#[test]
fn an_objective_has_nothing_to_execute() {
    let bench = Bench::new();
    bench
        .run(&["run", "synthetic", "--budget", "3", "--out", "r"])
        .ok();
    bench
        .run(&["replay", "r"])
        .fails(2, &["the run searched an objective"]);
}
