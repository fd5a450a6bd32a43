//! What a search is for: one metric, several with weights, energy.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use evo_e2e::Bench;

fn spec(ranking: &str) -> String {
    format!(
        "(plugin: \"knobs\", tune: [(kernel: \"knobs\")], {ranking}, budget: (trials: 6), top_k: 1, baselines: [(kernel: \"knobs\")],
            measure: (confirm_processes: 2, confirm_rounds: 8, confirm_seconds: 0.2, max_seconds: 0.05))"
    )
}

#[test]
fn several_metrics_rank_together_by_their_weights() {
    let bench = Bench::new();
    let weights = "weights: {\"kernel_time\": 3, \"end_to_end_time\": 1}";
    bench.file("spec.ron", &spec(weights));
    bench
        .run(&["run", "spec.ron", "--out", "r", "--quiet"])
        .ok();
    let mut seen = 0;
    for evaluated in bench.evaluated("r") {
        let Some(measured) = evaluated.outcome.measurement() else {
            continue;
        };
        let value = |name: &str| measured.metric(name).unwrap().value;
        let expected = (value("kernel_time").powi(3) * value("end_to_end_time")).powf(0.25);
        assert!((value("score") / expected - 1.0).abs() < 1e-9);
        seen += 1;
    }
    assert!(seen > 2, "{seen} trials were measured");
    let summary = fs::read_to_string(bench.path().join("r/reports/summary.md")).unwrap();
    assert!(summary.contains("score"), "{summary}");
    let shown = bench.run(&["explain", "r"]).ok();
    assert!(shown.stdout.contains("score"), "{}", shown.stdout);
    // A resumed run ranks by the same.
    bench
        .run(&["run", "--from", "r", "--budget", "8", "--quiet"])
        .ok();
}

#[test]
fn what_cannot_rank_is_refused_with_what_to_do() {
    let bench = Bench::new();
    let fails = |ranking: &str, texts: &[&str]| {
        bench.file("spec.ron", &spec(ranking));
        bench.run(&["run", "spec.ron"]).fails(2, texts);
    };
    fails(
        "metric: \"kernel_time\", weights: {\"kernel_time\": 1}",
        &["only one of them can rank", "leave one of them out"],
    );
    fails(
        "weights: {\"kernel_time\": -1}",
        &["must be a positive number"],
    );
    fails("weights: {\"score\": 1}", &["cannot be one of the metrics"]);
    fails(
        "weights: {\"kernel_tim\": 1}",
        &["no metric `kernel_tim` was measured", "kernel_time"],
    );
    fails(
        "tuning: (initial: 0)",
        &["tuning: `initial` is 0", "between 1 and 4096"],
    );
    // An objective that its plugin brings, without the spec naming it.
    bench.file(
        "objective.ron",
        "(plugin: \"synthetic\", weights: {\"cost\": 1})",
    );
    bench.run(&["run", "objective.ron"]).fails(
        2,
        &["ranks by one figure of its own", "name it by `metric`"],
    );
    fails("pareto: [\"kernel_time\"]", &["two metrics at least"]);
    fails(
        "pareto: [\"kernel_time\", \"energy\"], metric: \"energy\"",
        &["only one of them can rank"],
    );
    fails(
        "pareto: [\"kernel_time\", \"end_to_end_time\"], preset: local_search",
        &["cannot look for a Pareto front", "full"],
    );
    fails(
        "pareto: [\"kernel_time\", \"end_to_end_tim\"]",
        &["no baseline has the metric `end_to_end_tim`"],
    );
    fails(
        "weights: {\"kernel_time\": 1}, higher_is_better: true",
        &["each metric counts in its own direction"],
    );
}

#[test]
fn a_pareto_search_keeps_what_nothing_beats_and_reports_it() {
    let bench = Bench::new();
    let front = "pareto: [\"kernel_time\", \"end_to_end_time\"]";
    bench.file("spec.ron", &spec(front).replace("trials: 6", "trials: 14"));
    bench
        .run(&["run", "spec.ron", "--out", "r", "--quiet"])
        .ok();
    let points: Vec<(u64, f64, f64)> = bench
        .evaluated("r")
        .iter()
        .filter_map(|it| {
            let measured = it.outcome.measurement()?;
            let value = |name: &str| measured.metric(name).unwrap().value;
            Some((it.trial, value("kernel_time"), value("end_to_end_time")))
        })
        .collect();
    let beaten = |(_, a, b): &(u64, f64, f64)| {
        points
            .iter()
            .any(|(_, x, y)| x <= a && y <= b && (x < a || y < b))
    };
    let summary = fs::read_to_string(bench.path().join("r/reports/summary.md")).unwrap();
    let section = summary
        .split("## Front of ")
        .nth(1)
        .expect("there is a front");
    let section = section.split("\n## ").next().unwrap();
    for point in &points {
        let row = format!("#{} |", point.0);
        assert_eq!(
            section.contains(&row),
            !beaten(point),
            "{point:?}\n{section}"
        );
    }
    // Nothing races: both figures are wanted of all.
    assert!(bench.evaluated("r").iter().all(|it| {
        it.outcome
            .measurement()
            .is_none_or(|measured| !measured.raced_out)
    }));
    bench
        .run(&["run", "--from", "r", "--budget", "18", "--quiet"])
        .ok();
    let context = bench.run(&["explain", "r", "--proposal-context"]).ok();
    assert!(
        context
            .stdout
            .contains("every trade-off that nothing beats"),
        "{}",
        context.stdout
    );
}

#[test]
fn energy_is_measured_where_the_machine_tells_it_and_missed_elsewhere() {
    let bench = Bench::new();
    bench.file(
        "spec.ron",
        &spec("weights: {\"kernel_time\": 1, \"energy\": 1}"),
    );
    let ended = bench.run(&["run", "spec.ron", "--out", "r", "--quiet"]);
    let package = Path::new("/sys/class/powercap/intel-rapl:0/energy_uj");
    if fs::read_to_string(package).is_ok() {
        ended.ok();
        let evaluated = bench.evaluated("r");
        let mut measured = evaluated.iter().filter_map(|it| it.outcome.measurement());
        assert!(measured.any(|it| it.metric("energy").unwrap().value > 0.0));
    } else {
        println!("this CPU tells no energy");
        ended.fails(2, &["energy", "rank by another metric"]);
    }
}
