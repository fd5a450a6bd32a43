//! Optional baselines, stand-ins and groups, and several kernels in one confirmation, through the
//! real program.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::time::{Duration, Instant};

use evo_e2e::{Bench, root};
use evo_journal::{Comparison, Plan, Record, Stage};

/// A plugin that ends at once, as one does whose module is not installed.
fn without_module(bench: &Bench, name: &str) {
    bench.file("x.py", "import surely_not_installed\n");
    let description = r#"(command: ["{python}", "x.py"], files: ["x.py"])"#;
    bench.file(&format!("{name}.process.ron"), description);
}

/// The plugin `raw` under another name; it brings the problem `doubling` and the kernel `double`.
fn raw(bench: &Bench, name: &str) {
    let source = root().join("tests/plugins/process/raw.py");
    fs::copy(source, bench.path().join("raw.py")).unwrap();
    let description = r#"(command: ["{python}", "raw.py"], files: ["raw.py"])"#;
    bench.file(&format!("{name}.process.ron"), description);
}

/// A spec on planted parameters with these baselines: three candidates of one kernel, which differ in
/// their geometry.
fn spec(baselines: &str, rest: &str) -> String {
    format!(
        r#"(
            plugin: "knobs",
            tune: [
                (kernel: "knobs", label: "one", pinned: {{"GRID": 1}}),
                (kernel: "knobs", label: "two", pinned: {{"GRID": 2}}),
                (kernel: "knobs", label: "four", pinned: {{"GRID": 4}}),
            ],
            baselines: [{baselines}],
            budget: (trials: 12),
            top_k: 1,
            measure: (
                confirm_processes: 1, confirm_rounds: 8, confirm_seconds: 0.5, max_seconds: 0.05,
            ),
            {rest}
        )"#
    )
}

fn plan(bench: &Bench, run: &str) -> Plan {
    let mut records = bench.records(run).into_iter();
    records
        .find_map(|record| match record {
            Record::Started { plan, .. } => Some(*plan),
            _ => None,
        })
        .expect("the run has a plan")
}

fn confirmation(bench: &Bench, run: &str) -> Comparison {
    let mut records = bench.records(run).into_iter();
    records
        .find_map(|record| match record {
            Record::Compared(it) if it.stage == Stage::Confirmation => Some(it),
            _ => None,
        })
        .expect("the run has a confirmation")
}

fn read(bench: &Bench, file: &str) -> String {
    fs::read_to_string(bench.path().join(file)).unwrap()
}

const STAND_IN: &str = r#"
    (label: "A", kernel: "math", plugin: "./torch.process.ron", optional: true),
    (label: "A", kernel: "knobs", params: {"SPIN": 4}),
    (label: "lazy", kernel: "knobs", params: {"SPIN": 2}, group: "B"),
    (label: "plain", kernel: "knobs", params: {"SPIN": 0}, group: "B"),
    (kernel: "cudnn", plugin: "./torch.process.ron", group: "B", optional: true),
"#;

#[test]
fn what_is_absent_is_told_and_its_stand_in_and_group_are_compared() {
    let bench = Bench::new();
    without_module(&bench, "torch");
    bench.file("spec.ron", &spec(STAND_IN, r#"target: "0.1x over B","#));
    let ended = bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let told = [
        "the baseline A is knobs of knobs, because math of torch is absent: ",
        "the baseline cudnn of torch in the group B is absent: ",
        "has no module `surely_not_installed`",
    ];
    let summary = read(&bench, "r/reports/summary.md").replace('\\', "");
    for text in told {
        assert!(ended.stderr.contains(text), "{text}:\n{}", ended.stderr);
        let text = text.replacen("the", "he", 1);
        assert!(ended.stdout.contains(&text), "{text}:\n{}", ended.stdout);
        assert!(summary.contains(&text), "{text}:\n{summary}");
    }
    for text in [
        "over A (knobs of knobs, in place of math of torch) and ",
        "| over A | over B |",
        "B (plain) stands for the group B",
        "## By kernel",
        "over B (plain): met",
    ] {
        assert!(summary.contains(text), "{text}:\n{summary}");
    }
    assert!(read(&bench, "r/manifest.yaml").contains("absent_baselines"));

    let plan = plan(&bench, "r");
    let labels: Vec<&str> = plan.baselines.iter().map(|it| it.label.as_str()).collect();
    assert_eq!(labels, ["A", "lazy", "plain"]);
    assert_eq!(plan.absent_baselines.len(), 2);
    assert!(plan.plugins.iter().all(|plugin| plugin.name != "torch"));

    // The best of each candidate and its default are in the one comparison.
    let proposals = bench.proposals("r");
    let confirmed = confirmation(&bench, "r");
    for candidate in ["one", "two", "four"] {
        let own = |trial: u64| proposals[trial as usize].candidate == candidate;
        let trials = bench.evaluated("r").into_iter().filter(|it| own(it.trial));
        let time = |trial: &evo_journal::Evaluated| {
            let found = trial.outcome.measurement()?;
            Some(found.metric("kernel_time")?.value)
        };
        let timed = trials.filter_map(|trial| Some((trial.trial, time(&trial)?)));
        let best = timed.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
        let default = proposals.iter().find(|it| it.candidate == candidate);
        for trial in [best, default.unwrap().trial] {
            let mut items = confirmed.items.iter();
            assert!(
                items.any(|item| item.trial == Some(trial)),
                "{candidate} #{trial}"
            );
        }
    }
}

#[test]
fn a_plugin_of_a_baseline_alone_is_loaded_for_it_and_decides_nothing_else() {
    let bench = Bench::new();
    raw(&bench, "raw");
    raw(&bench, "other");
    bench.file(
        "space.ron",
        r#"(name: "s", params: [(name: "FAULT", values: ["none"])])"#,
    );
    bench.file(
        "spec.ron",
        // Both plugins bring the problem and the kernel; neither name is ambiguous.
        r#"(
            plugin: "./raw.process.ron",
            problem: (name: "doubling", fields: {"N": 500}),
            tune: [(kernel: "double", space: "space.ron")],
            baselines: [
                (label: "A", kernel: "double", params: {"WAY": 9}, plugin: "raw", optional: true),
                (label: "A", kernel: "double", plugin: "./other.process.ron", optional: true),
                (label: "A", kernel: "double", plugin: "raw"),
                (label: "ninth", kernel: "double", plugin: "raw", params: {"WAY": 9}, group: "B",
                 optional: true),
                (kernel: "nothing", plugin: "./other.process.ron", group: "B", optional: true),
            ],
            budget: (trials: 1),
            target: "1x over B",
            measure: (
                confirm_processes: 1, confirm_rounds: 5, confirm_seconds: 0.2, max_seconds: 0.05,
            ),
        )"#,
    );
    // A baseline that refuses the problem, and a group of which nothing is left, are no failure of the run.
    let ended = bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let plan = plan(&bench, "r");
    assert_eq!(plan.baselines[0].plugin, "other");
    let absent = plan.absent_baselines.iter().map(|it| it.label.as_str());
    assert_eq!(absent.collect::<Vec<&str>>(), ["A", "nothing"]);
    assert!(plan.plugins.iter().any(|plugin| plugin.name == "other"));
    let summary = read(&bench, "r/reports/summary.md").replace('\\', "");
    for text in [
        "over A (double of other, in place of double of raw)",
        "because double of raw is absent: rejected: there is no way 9.",
        "The optional baseline B (ninth) has no figure: rejected, there is no way 9.",
        "there is no figure over B",
        "There is no column for the group B: none of its baselines has a figure.",
        "It cannot be judged, because B",
        "the plugin `other` has no kernel `nothing`",
    ] {
        assert!(summary.contains(text), "{text}:\n{summary}");
    }
    let warning = "no baseline of the group B gave a time";
    assert!(ended.stderr.contains(warning), "{}", ended.stderr);
}

#[test]
fn a_group_of_which_nothing_is_there_leaves_its_target_open() {
    let bench = Bench::new();
    without_module(&bench, "torch");
    let group = r#"
        (label: "slow", kernel: "knobs", params: {"SPIN": 4}),
        (kernel: "flash", plugin: "./torch.process.ron", group: "B", optional: true),
        (kernel: "cudnn", plugin: "no-such-plugin", group: "B", optional: true),
    "#;
    let rest = r#"target: "1x over B","#;
    bench.file(
        "spec.ron",
        &spec(group, rest).replace("trials: 12", "trials: 3, stop_at_target: true"),
    );
    let ended = bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    for text in [
        "There is no column for B: none of its baselines could be had.",
        "not met",
    ] {
        assert!(ended.stdout.contains(text), "{text}:\n{}", ended.stdout);
    }
    let summary = read(&bench, "r/reports/summary.md").replace('\\', "");
    let why = "It cannot be judged, because B has no figure in the confirmation: flash of torch is absent";
    assert!(summary.contains(why), "{summary}");
    assert!(
        summary.contains("there is no plugin `no-such-plugin`"),
        "{summary}"
    );
}

#[test]
fn what_is_not_optional_or_wrong_in_the_spec_stays_an_error() {
    let bench = Bench::new();
    without_module(&bench, "torch");
    for (baselines, expected) in [
        (
            r#"(kernel: "math", plugin: "./torch.process.ron")"#,
            "has no module `surely_not_installed`",
        ),
        (
            r#"(label: "A", kernel: "knobs"), (label: "A", kernel: "knobs", params: {"SPIN": 2})"#,
            "two baselines are called `A`, and the first is not optional",
        ),
        (
            r#"(label: "B", kernel: "knobs"), (label: "x", kernel: "knobs", group: "B")"#,
            "a baseline and a group of baselines are called `B`",
        ),
        (
            r#"(kernel: "knobs", params: {"SPINS": 2}, optional: true)"#,
            "has no parameter `SPINS`",
        ),
    ] {
        bench.file("spec.ron", &spec(baselines, ""));
        bench
            .run(&["run", "spec.ron", "--out", "r"])
            .fails(2, &[expected]);
    }
    bench.file("spec.ron", &spec(STAND_IN, r#"target: "2x over C","#));
    let expected = "names `C`, which is no baseline of this run (A, lazy, B, plain, cudnn)";
    bench
        .run(&["run", "spec.ron", "--out", "r"])
        .fails(2, &[expected]);
}

#[test]
fn a_resumed_run_stays_as_it_was_planned() {
    let bench = Bench::new();
    without_module(&bench, "torch");
    bench.file("spec.ron", &spec(STAND_IN, ""));
    let mut child = bench.start(&["run", "spec.ron", "--out", "r"]);
    let journal = bench.path().join("r/journal.jsonl");
    let began = Instant::now();
    while !fs::read_to_string(&journal)
        .unwrap_or_default()
        .contains("\"type\":\"evaluated\"")
    {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "the run does not get on"
        );
        assert_eq!(child.try_wait().unwrap(), None, "the run ended too early");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = plan(&bench, "r");

    // What was absent is there now, and the run does not look.
    raw(&bench, "torch");
    let ended = bench.run(&["resume", "r"]).ok();
    assert_eq!(plan(&bench, "r"), before);
    let told = "the baseline A is knobs of knobs, because math of torch is absent: ";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    let confirmed = confirmation(&bench, "r");
    let baselines = confirmed.items.iter().filter(|item| item.trial.is_none());
    let labels: Vec<&str> = baselines.map(|item| item.label.as_str()).collect();
    assert_eq!(labels, ["A", "lazy", "plain"]);
}
