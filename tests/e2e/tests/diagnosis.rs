//! Profiles and builds become diagnoses, diagnoses become insights, and these guide what is proposed.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use evo_e2e::Bench;
use evo_journal::{Diagnosed, Record};

/// `knobs` with rules: one on what a profile shows, one on the build, one that asks for too much.
const SPACE: &str = r#"(
    name: "knobs",
    params: [
        (name: "UNROLL", values: [1, 2, 3, 4]),
        (name: "GRID", values: [1, 2, 4]),
        (name: "SPIN", values: [0, 2, 4], default: 4),
        (name: "PAD", values: [0, 8, 16]),
    ],
    rules: [
        (
            id: "passes",
            when: "cpu_time > 0.0 and SPIN > 0",
            says: "{SPIN} passes more than needed in {launches} launches",
            severity: "min(1.0, SPIN / 4.0)",
            levers: [(param: "SPIN", action: lower, strength: 0.5), (param: "SPIN", action: set(0))],
        ),
        (
            id: "one_block",
            when: "GRID == 1 and code_bytes > 0",
            says: "there is one block",
            severity: 0.2,
            levers: [(param: "GRID", action: raise)],
        ),
        (
            id: "idle_cores",
            levers: [(param: "GRID", action: raise, strength: 0.5)],
        ),
    ],
)"#;

fn spec(trials: u32, every: u32) -> String {
    format!(
        "(plugin: \"knobs\", tune: [(kernel: \"knobs\", space: \"space.ron\")], profilers: [\"usage\"],
            profile_every: {every}, budget: (trials: {trials}), top_k: 1,
            measure: (confirm_processes: 1, confirm_rounds: 8, confirm_seconds: 0.2, max_seconds: 0.05))"
    )
}

fn bench(trials: u32, every: u32) -> Bench {
    let bench = Bench::new();
    bench.file("space.ron", SPACE);
    bench.file("spec.ron", &spec(trials, every));
    bench
}

fn diagnosed(bench: &Bench, run: &str) -> Vec<Diagnosed> {
    let records = bench.records(run).into_iter();
    let found = records.filter_map(|record| match record {
        Record::Diagnosed(diagnosed) => Some(diagnosed),
        _ => None,
    });
    found.collect()
}

#[test]
fn a_profile_during_the_search_is_told_to_the_search() {
    let bench = bench(14, 3);
    let shown = bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let all = diagnosed(&bench, "r");
    let first = all
        .iter()
        .find(|it| it.source == "profiler-usage/usage")
        .expect("a profile was diagnosed");
    assert!(first.told.is_some(), "the search was told");
    let at = |wanted: &dyn Fn(&Record) -> bool| {
        let records = bench.records("r");
        records.iter().position(wanted).expect("it is there")
    };
    let profiled = at(&|record| matches!(record, Record::Profiled(_)));
    let last = bench.records("r").len();
    assert!(profiled + 5 < last);
    let proposed_after = bench.records("r")[profiled..]
        .iter()
        .any(|record| matches!(record, Record::Proposed(_)));
    assert!(proposed_after, "the profile came while the search went on");
    // The default has one block, so that its build is diagnosed before anything is profiled.
    let build = all.iter().find(|it| it.source == "build");
    let build = build.expect("a build was diagnosed");
    assert_eq!(build.diagnoses[0].statement, "there is one block");
    assert_eq!(build.diagnoses[0].levers, ["raise GRID"]);
    assert!(build.told.is_some(), "the search was told");
    assert!(
        shown.stderr.contains("profiled, 9 metrics"),
        "{}",
        shown.stderr
    );
    let summary = fs::read_to_string(bench.path().join("r/reports/summary.md")).unwrap();
    assert!(summary.contains("## Diagnosis of knobs #"), "{summary}");
    assert!(summary.contains("## What to try next"), "{summary}");
    // The default is profiled last; what is told is of the best, which is another one.
    let explained = bench.run(&["explain", "r"]).ok();
    let best = explained.stdout.lines().next().unwrap_or_default();
    assert!(!best.contains("in trial 0 "), "{best}");
    assert!(
        explained.stdout.contains("cores are busy") && !explained.stdout.contains(" of trial "),
        "{}",
        explained.stdout
    );
}

#[test]
fn rounds_of_profiles_look_at_the_best_few_and_at_each_once() {
    let bench = bench(14, 4);
    let text = spec(14, 4).replace("profile_every: 4", "profile_every: 4, profile_elites: 2");
    bench.file("spec.ron", &text);
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let mut rounds: Vec<Vec<u64>> = Vec::new();
    let mut values = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut within = false;
    for record in bench.records("r") {
        match record {
            Record::Profiled(profiled) if profiled.trial.is_some_and(|it| !seen.contains(&it)) => {
                let trial = profiled.trial.unwrap();
                if !within {
                    rounds.push(Vec::new());
                }
                within = true;
                seen.insert(trial);
                let mut order: Vec<(f64, u64)> = values.iter().map(|(t, v)| (*v, *t)).collect();
                order.sort_by(|a, b| a.partial_cmp(b).unwrap());
                let rank = order.iter().position(|(_, it)| *it == trial).unwrap();
                assert!(rank < 2, "trial {trial} is number {rank} of {order:?}");
                rounds.last_mut().unwrap().push(trial);
            }
            Record::Diagnosed(diagnosed) if diagnosed.source != "build" => {
                assert!(diagnosed.told.is_some(), "{diagnosed:?}");
            }
            Record::Evaluated(evaluated) => {
                within = false;
                if let Some(measured) = evaluated.outcome.measurement() {
                    values.insert(evaluated.trial, measured.metrics[0].value);
                }
            }
            Record::Snapshot(_) if values.len() == 14 => break,
            _ => {}
        }
    }
    assert_eq!(rounds[0].len(), 2, "{rounds:?}");
    assert!(rounds.iter().all(|round| round.len() <= 2), "{rounds:?}");
}

#[test]
fn a_rule_of_a_space_that_nobody_can_judge_is_told() {
    let bench = bench(4, 0);
    let rule = "(id: \"typo\", when: \"cod_bytes > 0 and GRID >= 1\", says: \"?\", severity: 0.1, levers: []),";
    bench.file(
        "space.ron",
        &SPACE.replacen("rules: [", &format!("rules: [{rule}"), 1),
    );
    let shown = bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let told = "the rule `typo` of the space of knobs was never judged: no build and no profiler of this run \
                tells cod_bytes";
    assert!(shown.stderr.contains(told), "{}", shown.stderr);
    assert!(
        !shown.stderr.contains("the rule `one_block`"),
        "{}",
        shown.stderr
    );
    let summary = fs::read_to_string(bench.path().join("r/reports/summary.md")).unwrap();
    assert!(
        summary.contains("of the space of knobs was never judged"),
        "{summary}"
    );
}

#[test]
fn explain_says_what_limits_a_run_and_what_its_search_believes() {
    let bench = bench(8, 0);
    // Every value but the worst one of the planted parameter is out of reach.
    bench.file(
        "spec.ron",
        &spec(8, 0).replace(
            "space: \"space.ron\"",
            "space: \"space.ron\", pinned: {\"SPIN\": 4}",
        ),
    );
    bench
        .run(&["run", "spec.ron", "--out", "r", "--quiet"])
        .ok();
    let shown = bench.run(&["explain", "r"]).ok();
    assert!(
        shown.stdout.starts_with("knobs: kernel_time "),
        "{}",
        shown.stdout
    );
    assert!(
        shown.stdout.contains("1.00  4 passes more than needed in "),
        "{}",
        shown.stdout
    );
    assert!(
        shown.stdout.contains("try: set SPIN=0, lower SPIN"),
        "{}",
        shown.stdout
    );
    // It is pinned, so that no trial had another value.
    let next = shown.stdout.split("\nwhat to try next ").nth(1);
    let next = next.expect("there is something to try");
    assert!(
        next.contains("\n  set SPIN=0 (4 passes more than needed in ")
            && next.contains("no trials tell by how much"),
        "{}",
        shown.stdout
    );
    assert!(
        shown.stdout.contains("what the search believes"),
        "{}",
        shown.stdout
    );
    let summary = fs::read_to_string(bench.path().join("r/reports/summary.md")).unwrap();
    assert!(
        summary.contains("| 4 passes more than needed in "),
        "{summary}"
    );

    let context = bench.run(&["explain", "r", "--proposal-context"]).ok();
    assert!(
        context
            .stdout
            .starts_with("Task: tune `knobs` for the lowest kernel_time.")
    );
    assert!(context.stdout.contains("Solutions so far, best first:"));
    let json = bench.run(&["explain", "r", "--json"]).ok();
    let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["candidates"][0]["candidate"], "knobs");
    let lever = document["candidates"][0]["next"]["levers"][0].as_str();
    assert!(
        lever.is_some_and(|it| it.starts_with("set SPIN=0 (")),
        "{document}"
    );
    let rule = &document["candidates"][0]["diagnoses"];
    assert!(rule.to_string().contains("\"passes\""), "{rule}");
    let json = bench
        .run(&["explain", "r", "--json", "--proposal-context"])
        .ok();
    let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(document["candidates"][0]["proposal_context"]["task"].is_object());

    bench
        .run(&["explain", "r", "--candidate", "knob"])
        .fails(2, &["no candidate is called `knob`", "they are knobs"]);
    bench
        .run(&["explain", "nowhere"])
        .fails(2, &["nowhere: there is no run in this folder"]);
}

#[test]
fn a_run_that_was_killed_knows_what_it_was_told_before() {
    let bench = bench(16, 2);
    let mut child = bench.start(&["run", "spec.ron", "--out", "r"]);
    let began = Instant::now();
    // Killed right after the search was told something.
    loop {
        let text = fs::read_to_string(bench.path().join("r/journal.jsonl")).unwrap_or_default();
        if text.matches("\"type\":\"diagnosed\"").count() >= 2 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{text}");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = bench.proposals("r");
    bench.run(&["resume", "r"]).ok();
    let after = bench.proposals("r");
    let mut records = bench.records("r").into_iter();
    assert!(records.any(|record| matches!(record, Record::Finished { .. })));
    assert_eq!(
        after[..before.len()],
        before[..],
        "what was proposed stays proposed"
    );
    // Nothing is profiled or diagnosed twice.
    let mut profiled: Vec<(String, String)> = Vec::new();
    for record in bench.records("r") {
        if let Record::Profiled(it) = record {
            let seen = (it.profiler, it.label);
            assert!(!profiled.contains(&seen), "{seen:?} again");
            profiled.push(seen);
        }
    }
    bench.run(&["explain", "r"]).ok();
}

#[test]
fn rules_that_make_no_sense_are_told_before_anything_runs() {
    let bench = bench(4, 0);
    let cases = [
        ("action: set(0)", "action: set(3)", "3 for `SPIN`"),
        (
            "param: \"SPIN\", action: lower",
            "param: \"SPIM\", action: lower",
            "did you mean `SPIN`",
        ),
        ("SPIN > 0\"", "SPIN >\"", "space.ron:12"),
    ];
    for (right, wrong, wanted) in cases {
        bench.file("space.ron", &SPACE.replacen(right, wrong, 1));
        bench
            .run(&["run", "spec.ron", "--out", "r"])
            .fails(2, &["space.ron", wanted]);
    }
}

#[test]
fn a_profiler_can_look_at_a_candidate_in_a_process_of_its_own_and_leave_files() {
    let bench = bench(3, 0);
    let spec = spec(3, 0).replace("\"usage\"", "\"outside\", \"usage\"");
    bench.file("spec.ron", &spec);
    bench
        .run(&["run", "spec.ron", "--out", "r", "--quiet"])
        .ok();
    let folder = bench.path().join("r/knobs-outside");
    let text = fs::read_to_string(folder.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(summary["profiler"], "knobs/outside");
    let candidates = summary["candidates"].as_array().unwrap();
    assert!(!candidates.is_empty());
    for candidate in candidates {
        assert_eq!(candidate["metrics"]["exit_code"]["value"], 0.0, "{text}");
        let label = candidate["candidate"].as_str().unwrap();
        let kept = folder
            .join(label.replace([' ', '#'], "-"))
            .join("outside.txt");
        let said = fs::read_to_string(&kept).unwrap();
        assert!(said.starts_with("exit status: 0"), "{said}");
    }
    let usage = fs::read_to_string(bench.path().join("r/usage/summary.json")).unwrap();
    let usage: serde_json::Value = serde_json::from_str(&usage).unwrap();
    assert!(usage["candidates"][0]["metrics"]["cpu_time"]["value"].is_number());
    assert_eq!(usage["candidates"][0]["metrics"]["cpu_time"]["unit"], "us");

    // What such a process cannot do it says, and ends with an error.
    let wrong = bench.file("job.json", "{}");
    let ended = bench.run(&["worker", "--job", wrong.to_str().unwrap()]);
    ended.fails(2, &["job.json", "missing field"]);
    bench
        .run(&["worker", "--job", "nowhere.json"])
        .fails(2, &["nowhere.json: No such file"]);
    bench
        .run(&["worker", "--job", "job.json", "--launches", "many"])
        .fails(2, &["`many` is no number of launches"]);
}
