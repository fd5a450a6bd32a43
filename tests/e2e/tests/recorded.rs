//! Recorded spaces through the program: runs against the plugin `recorded`, and studies.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use evo_e2e::{Bench, Ended, root};
use evo_journal::{Evaluated, Record};
use evo_types::{Outcome, OutcomeKind};
use rustix::process::{Pid, Signal, kill_process};

fn data(name: &str) -> String {
    let path = root().join("tests/data/recorded").join(name);
    path.to_str().unwrap().to_owned()
}

fn file(name: &str) -> String {
    format!("file={}", data(name))
}

#[test]
fn a_run_replays_a_recording_and_is_charged_what_it_cost() {
    let bench = Bench::new();
    let setting = file("convolution_milo-A4000.json.xz");
    let run = ["run", "--plugin", "recorded", "--set", &setting, "--out"];
    let ended = bench
        .run(&[&run[..], &["r", "--budget", "60", "--preset", "random"]].concat())
        .ok();
    assert!(ended.stdout.contains("winner"), "{}", ended.stdout);
    let evaluated = bench.evaluated("r");
    let kinds = |kind| {
        evaluated
            .iter()
            .filter(|e| e.outcome.kind() == kind)
            .count()
    };
    assert!(kinds(OutcomeKind::Measured) >= 40);
    for each in &evaluated {
        if let Outcome::Measured(measurement) = &each.outcome {
            assert!(measurement.metric("time").unwrap().value >= 1.021172);
        }
    }
    // A configuration costs a second or more there, and milliseconds here: a minute of recorded
    // time is over at once.
    bench.run(&[&run[..], &["t", "--wall", "60"]].concat()).ok();
    let evaluated = bench.evaluated("t");
    let charged: f64 = evaluated.iter().map(|each| each.wall_s).sum();
    let last = evaluated.last().map_or(0.0, |each| each.wall_s);
    assert!(charged >= 60.0 && charged - last < 60.0, "{charged} s");
    assert!((5..100).contains(&evaluated.len()), "{}", evaluated.len());
}

/// A recording of 60 configurations, of which one in six ran: what each cost, in seconds, by the
/// value of its first parameter.
fn mostly_failed(bench: &Bench) -> impl Fn(i64, i64) -> f64 {
    let cost_ms = |a: i64, b: i64| (a * 6 + b) as f64 * 37.5 + 250.0;
    let all: Vec<(i64, i64)> = (0..10).flat_map(|a| (0..6).map(move |b| (a, b))).collect();
    let column = |of: &dyn Fn(i64, i64) -> String| {
        let entries: Vec<String> = all.iter().map(|(a, b)| of(*a, *b)).collect();
        entries.join(",")
    };
    let time = column(&|a, b| match b {
        0 => (a + 1).to_string(),
        _ => "null".to_owned(),
    });
    // Compilation, run, refusal, and others.
    let status = column(&|_, b| [0, 1, 2, 3, 9, 2][b as usize].to_string());
    let compile = column(&|a, b| cost_ms(a, b).to_string());
    let config = column(&|a, b| (a * 6 + b).to_string());
    bench.file(
        "failures.json",
        &format!(
            r#"{{"format": "recorded-space/1", "restrictions": [], "restrictions_exact": true,
            "params": [{{"name": "A", "values": [0,1,2,3,4,5,6,7,8,9]}},
                       {{"name": "B", "values": [0,1,2,3,4,5]}}],
            "config": [{config}], "time": [{time}], "status": [{status}],
            "compile": [{compile}]}}"#
        ),
    );
    move |a, b| cost_ms(a, b) / 1e3
}

#[test]
fn failures_are_charged_what_they_cost_when_they_were_recorded() {
    let bench = Bench::new();
    let cost_s = mostly_failed(&bench);
    let run = ["run", "recorded", "--set", "file=failures.json"];
    let ended = bench
        .run(&[&run[..], &["--wall", "30", "--out", "r"]].concat())
        .ok();
    let proposals = bench.proposals("r");
    let evaluated = bench.evaluated("r");
    let mut charged = 0.0;
    for each in &evaluated {
        assert!(charged < 30.0, "the budget had ended before: {charged} s");
        let proposed = proposals.iter().find(|p| p.trial == each.trial).unwrap();
        let value = |name: &str| proposed.params[name].as_int().unwrap();
        let recorded = cost_s(value("A"), value("B"));
        assert_eq!(
            (each.wall_s, each.device_s),
            (recorded, recorded),
            "{}",
            each.outcome.summary()
        );
        charged += recorded;
    }
    assert!(charged >= 30.0, "{charged} s in {} trials", evaluated.len());
    // More failures in a row than a broken machine would be allowed, and all of their kinds.
    let kinds: std::collections::BTreeSet<OutcomeKind> =
        evaluated.iter().map(|each| each.outcome.kind()).collect();
    for kind in [
        OutcomeKind::Measured,
        OutcomeKind::Rejected,
        OutcomeKind::BuildFailed,
        OutcomeKind::Crashed,
    ] {
        assert!(kinds.contains(&kind), "{kinds:?}: {}", ended.stdout);
    }
}

#[test]
fn results_are_searched_in_the_space_of_their_definition() {
    let bench = Bench::new();
    let file = file("t4.convolution_milo-A100.excerpt.json");
    let space = format!("space={}", data("t1.convolution_milo.json"));
    let run = ["run", "recorded", "--set", &file, "--set", &space];
    bench
        .run(&[&run[..], &["--budget", "10", "--out", "r"]].concat())
        .ok();
    for each in bench.evaluated("r") {
        if let Outcome::Rejected { reason, .. } = &each.outcome {
            assert_eq!(
                (reason.as_str(), each.wall_s),
                ("it was never recorded", 0.0)
            );
        }
    }
    bench
        .run(&[
            "run",
            "recorded",
            "--set",
            &file,
            "--set",
            &file.replace("file=", "space="),
        ])
        .fails(
            2,
            &[
                "t4.convolution_milo-A100.excerpt.json",
                "it defines no space",
            ],
        );
    let definition = format!("file={}", data("t1.convolution_milo.json"));
    bench
        .run(&["run", "recorded", "--set", &definition])
        .fails(2, &["name the results as `file`, and this one as `space`"]);
}

#[test]
fn a_relative_file_and_noise() {
    let bench = Bench::new();
    std::fs::copy(
        data("convolution_milo-A4000.json.xz"),
        bench.path().join("space.json.xz"),
    )
    .unwrap();
    let times = |name: &str, noise: &str| -> Vec<f64> {
        let noise = format!("noise={noise}");
        let set = ["--set", "file=space.json.xz", "--set", &noise];
        let run = ["run", "recorded", "--budget", "12", "--preset", "random"];
        bench.run(&[&run[..], &set, &["--out", name]].concat()).ok();
        let evaluated = bench.evaluated(name);
        let measured = evaluated.iter().filter_map(|e| e.outcome.measurement());
        measured.map(|m| m.metric("time").unwrap().value).collect()
    };
    let (exact, noisy) = (times("a", "false"), times("b", "true"));
    assert_eq!(exact.len(), noisy.len());
    for (exact, noisy) in exact.iter().zip(&noisy) {
        assert!(exact != noisy && (noisy / exact - 1.0).abs() < 0.5);
    }
}

/// With the seed of the search a confirmation would only repeat what the search saw.
#[test]
fn a_noisy_finalist_is_confirmed_with_fresh_noise() {
    let bench = Bench::new();
    let recording = file("convolution_milo-A4000.json.xz");
    let args = [
        "run", "recorded", "--set", &recording, "--budget", "12", "--out", "a",
    ];
    bench
        .run(&[&args[..], &["--set", "noise=true"]].concat())
        .ok();
    let time = |outcome: &Outcome| {
        outcome
            .measurement()
            .map(|m| m.metric("time").unwrap().value)
    };
    let searched: Vec<f64> = bench
        .evaluated("a")
        .iter()
        .filter_map(|e| time(&e.outcome))
        .collect();
    let confirmed: Vec<f64> = bench
        .records("a")
        .iter()
        .filter_map(|record| match record {
            Record::Compared(comparison) => Some(&comparison.items),
            _ => None,
        })
        .flatten()
        .filter_map(|item| time(&item.outcome))
        .collect();
    assert!(confirmed.len() >= 3, "{confirmed:?}");
    for value in &confirmed {
        let nearest = searched
            .iter()
            .map(|s| (s / value - 1.0).abs())
            .fold(1.0, f64::min);
        assert!(
            !searched.contains(value) && nearest < 0.2,
            "{value} {searched:?}"
        );
    }
}

/// Another recording under the same name would be mixed with the first.
#[test]
fn a_run_is_not_resumed_over_another_recording() {
    let bench = Bench::new();
    let here = bench.path().join("space.json.xz");
    std::fs::copy(data("convolution_milo-A4000.json.xz"), &here).unwrap();
    let args = [
        "run",
        "recorded",
        "--set",
        "file=space.json.xz",
        "--budget",
        "6",
        "--out",
        "a",
    ];
    bench.run(&args).ok();
    std::fs::copy(data("coulomb-RTX_2080_Ti.json.xz"), &here).unwrap();
    let resume = ["run", "--from", "a", "--budget", "12"];
    bench.run(&resume).fails(
        2,
        &["the file of the setting `file` has changed since the run was made"],
    );
    std::fs::copy(data("convolution_milo-A4000.json.xz"), &here).unwrap();
    bench.run(&resume).ok();
}

#[test]
fn a_recording_that_is_missing_or_broken_is_said() {
    let bench = Bench::new();
    bench
        .run(&["run", "recorded", "--budget", "3"])
        .fails(2, &["no recording is named: add --set file=FILE"]);
    bench.file("x.json", r#"{"format": "recorded-space/7"}"#);
    bench
        .run(&["run", "recorded", "--set", "file=x.json"])
        .fails(2, &["x.json", "its format is `recorded-space/7`"]);
}

#[test]
fn configurations_that_were_never_recorded_cost_no_trial() {
    let bench = Bench::new();
    let setting = file("ktt_native.coulomb-RTX_2080_Ti.json.xz");
    bench
        .run(&[
            "run", "recorded", "--set", &setting, "--budget", "20", "--out", "r",
        ])
        .ok();
    let records = bench.records("r");
    let finished = records.iter().any(|r| matches!(r, Record::Finished { .. }));
    assert!(finished);
    let trials = bench
        .evaluated("r")
        .into_iter()
        .filter(|e| e.outcome.counts_as_trial());
    assert_eq!(trials.count(), 20);
}

#[test]
fn a_study_is_run_taken_up_and_reported() {
    let bench = Bench::new();
    let space = data("coulomb-RTX_2080_Ti.json.xz");
    let base = ["study", &space, "--budgets", "16,32", "--seeds"];
    let some = ["3", "--strategy", "random", "--strategy", "local_search"];
    let ended = bench.run(&[&base[..], &some].concat()).ok();
    for text in [
        "2 strategies over 1 space",
        "evo_local_search",
        "@16",
        "@32",
    ] {
        assert!(ended.stdout.contains(text), "{}", ended.stdout);
    }
    let size = || {
        std::fs::metadata(bench.path().join("study.jsonl.xz"))
            .unwrap()
            .len()
    };
    let before = size();
    let again = bench.run(&[&base[..], &some].concat()).ok();
    assert_eq!(
        (again.stdout, size()),
        (ended.stdout, before),
        "nothing was run again"
    );
    let more = ["4", "--strategy", "random", "--json"];
    let ended = bench.run(&[&base[..], &more].concat()).ok();
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let seeds: Vec<u64> = report["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| cell["seeds"].as_u64().unwrap())
        .collect();
    assert_eq!(seeds, [3, 4], "local_search, random");
    // Other tuners' logs have the same format.
    let other = data("runs.jsonl.xz");
    let with = [
        "study",
        &space,
        "--report-only",
        "--with",
        &other,
        "--by-space",
    ];
    let ended = bench.run(&with).ok();
    assert!(
        ended.stdout.contains("evo_differential_evolution"),
        "{}",
        ended.stdout
    );
    bench
        .run(&["study", "none.json"])
        .fails(2, &["none.json: cannot be opened"]);
    bench
        .run(&["study", &space, "--strategy", "best"])
        .fails(2, &["there is no preset `best`"]);
    bench
        .run(&["study", ".", "--report-only"])
        .fails(2, &["there is no recording in this folder"]);
}

#[test]
fn a_study_compares_with_peers_varies_and_adds_noise() {
    let bench = Bench::new();
    let space = data("convolution_milo-A4000.json.xz");
    let peers: String = (0..2)
        .map(|seed| {
            format!(
                "{{\"space\":\"convolution_milo-A4000\",\"strategy\":\"other_tuner\",\"seed\":{seed},\
                 \"budget\":32,\"evals\":32,\"cpu_s\":0.1,\"asks\":32,\"improve\":[[1,5.0,40.0]]}}\n"
            )
        })
        .collect();
    std::fs::write(bench.path().join("peers.jsonl"), peers).unwrap();
    let base = ["study", &space, "--budgets", "16,32", "--seeds", "2"];
    let full = [
        "--strategy",
        "full",
        "--noise",
        "0,1",
        "--with",
        "peers.jsonl",
    ];
    let ended = bench.run(&[&base[..], &full].concat()).ok();
    for text in [
        "evo_full (2 seeds) against the best peer",
        "other_tuner, 2 seeds",
        "What noise costs over 1 space",
        "evo_full@noise=1+confirm",
    ] {
        assert!(ended.stdout.contains(text), "{}", ended.stdout);
    }
    let wide = ended.stdout.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None);
    let vary = ["--vary", "initial=1", "--json"];
    let ended = bench.run(&[&base[..], &vary].concat()).ok();
    assert!(
        ended.stdout.contains("evo_full[initial=1]"),
        "{}",
        ended.stdout
    );
    let fails = |more: &[&str], text: &str| {
        bench.run(&[&base[..], more].concat()).fails(2, &[text]);
    };
    fails(
        &["--vary", "best=1"],
        "the tuning has no field `best`; its fields are",
    );
    fails(&["--noise=-1"], "a scale is between 0 and 100");
    fails(
        &["--leave-out", "x"],
        "there is no recording `x` to leave out; there are convo",
    );
    fails(
        &["--regret-of", "best", "--report-only"],
        "there are no runs of `best`",
    );
    fails(
        &["--leave-one-kernel-out", "--report-only"],
        "takes recordings of at least two",
    );
    let coulomb = data("coulomb-RTX_2080_Ti.json.xz");
    bench.run(&["study", &coulomb, "--noise", "1"]).fails(
        2,
        &["no recorded spread", "--leave-out coulomb-RTX_2080_Ti"],
    );
}

#[test]
fn an_interrupted_study_goes_on() {
    let bench = Bench::new();
    let space = data("convolution_milo-A4000.json.xz");
    let log = bench.path().join("study.jsonl.xz");
    // Far more searches than there is patience for.
    let mut study = bench.start(&["study", &space, "--seeds", "5000", "--strategy", "full"]);
    while std::fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
        assert!(study.try_wait().unwrap().is_none(), "the study has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = Pid::from_raw(i32::try_from(study.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ended = Ended::from(study.wait_with_output().unwrap());
    let ended = ended.fails(130, &["stopped by SIGINT", "the same command goes on"]);
    assert_eq!(ended.stdout, "");
    let run = [
        "study",
        &space,
        "--strategy",
        "full",
        "--json",
        "--report-only",
    ];
    let ended = bench.run(&run).ok();
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(report["cells"][0]["seeds"].as_u64().unwrap() >= 1);
}

/// The smallest of what is ranked.
fn best(evaluated: &[Evaluated]) -> f64 {
    let values = evaluated.iter().filter_map(|each| match &each.outcome {
        Outcome::Measured(measurement) => measurement.metric("time"),
        _ => None,
    });
    values
        .map(|metric| match metric.unit.as_str() {
            "ms" => metric.value * 1e3,
            _ => metric.value,
        })
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn runs_become_a_recording_that_is_searched_and_studied_like_any_other() {
    let bench = Bench::new();
    // 80 configurations: the search comes to their end.
    bench.file(
        "space.ron",
        r#"(name: "part", params: [
            (name: "TILE_M", values: [64]), (name: "TILE_N", values: [32]),
            (name: "UNROLL", values: [1, 2, 4, 8]), (name: "THREADS", range: (from: 1, to: 4)),
            (name: "LAYOUT", values: ["row"]), (name: "FUSE", values: [false, true]),
            (name: "STAGES", range: (from: 1, to: 4), when: "FUSE"),
        ])"#,
    );
    bench.file(
        "spec.ron",
        "(plugin: \"synthetic\", preset: random, objective: (space: \"space.ron\",
            settings: {\"fail_every\": 7}))",
    );
    for (budget, out) in [("30", "a"), ("100", "b")] {
        let run = ["run", "spec.ron", "--budget", budget, "--seed", budget];
        bench
            .run(&[&run[..], &["--out", out, "--quiet"]].concat())
            .ok();
    }
    let ended = bench
        .run(&["export", "a", "b", "--out", "both.json.xz"])
        .ok();
    assert!(
        ended.stdout.starts_with("80 configurations, "),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("repeated"), "{}", ended.stdout);

    // All of it, and nothing but it.
    let search = [
        "run",
        "--plugin",
        "recorded",
        "--set",
        "file=both.json.xz",
        "--preset",
    ];
    let more = ["random", "--budget", "1000", "--out", "r", "--quiet"];
    bench.run(&[&search[..], &more].concat()).ok();
    let of = |run, kind| {
        let evaluated = bench.evaluated(run);
        evaluated
            .iter()
            .filter(|it| it.outcome.kind() == kind)
            .count()
    };
    let measured = of("b", OutcomeKind::Measured);
    assert!((50..80).contains(&measured), "{measured}");
    assert_eq!(of("r", OutcomeKind::Measured), measured);
    let evaluated = bench.evaluated("r");
    let recorded = best(&bench.evaluated("a")).min(best(&bench.evaluated("b")));
    assert!((best(&evaluated) / recorded - 1.0).abs() < 1e-9);

    let study = ["study", "both.json.xz", "--seeds", "2", "--budgets", "20"];
    bench.run(&study).ok();

    // What a profiler saw of some trials outside of the run.
    let figures = |run: &str, trial: u64| {
        format!(
            "{{\"source\": \"p/q\", \"run\": \"{run}\", \"rules\": \"(rules: [])\",
                \"trials\": {{\"{trial}\": {{\"heat\": 1.5}}}}}}"
        )
    };
    bench.file("figures.json", &figures("a", 0));
    let export = ["export", "a", "b", "--figures", "figures.json", "--out"];
    bench
        .run(&[&export[..], &["f.json", "--quiet"]].concat())
        .ok();
    let text = std::fs::read_to_string(bench.path().join("f.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let heat = document["origin"]["figures"]["p/q"]["heat"]
        .as_array()
        .unwrap();
    assert_eq!(heat.len(), 80);
    assert_eq!(heat.iter().filter(|it| **it == 1.5).count(), 1);
    assert_eq!(document["origin"]["rules"]["p/q"], "(rules: [])");
    bench
        .run(&[
            "study",
            "f.json",
            "--seeds",
            "1",
            "--budgets",
            "20",
            "--log",
            "f.xz",
        ])
        .ok();
    bench.file("figures.json", &figures("a", 999));
    bench
        .run(&[&export[..], &["x.json"]].concat())
        .fails(2, &["figures.json: there is no trial 999 in the run"]);
    bench.file("figures.json", &figures("z", 0));
    bench
        .run(&[&export[..], &["x.json"]].concat())
        .fails(2, &["they are of the run `z`, which is not exported"]);

    earlier_exports_take_more_trials(&bench);

    bench
        .run(&["export", "a", "--out", "both.json.xz"])
        .fails(2, &["there is a file of this name already"]);
    bench
        .run(&["export", "a", "c", "--out", "x.json"])
        .fails(2, &["c: there is no run in this folder"]);
    bench
        .run(&["export", "a", "--candidate", "other", "--out", "x.json"])
        .fails(2, &["there is no candidate `other`; there is synthetic"]);
    let other = ["run", "synthetic", "--budget", "3", "--out", "o", "--quiet"];
    bench.run(&other).ok();
    bench
        .run(&["export", "a", "o", "--out", "x.json"])
        .fails(2, &["what is solved differs", "have to be comparable"]);
}

/// The trials of `a` in a file, and those of `b` put to them, are those of both.
fn earlier_exports_take_more_trials(bench: &Bench) {
    let export = |what: &[&str]| bench.run(&[&["export"], what].concat());
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(bench.path().join(name)).unwrap()).unwrap()
    };
    export(&["a", "b", "--out", "both.json"]).ok();
    export(&["a", "--figures", "figures.json", "--out", "early.json"])
        .fails(2, &["figures.json: they are of the run `z`"]);
    bench.file(
        "figures.json",
        r#"{"source": "p/q", "rules": "(rules: [])", "trials": {"0": {"heat": 1.5}}}"#,
    );
    export(&["a", "--figures", "figures.json", "--out", "early.json.xz"]).ok();
    export(&["b", "early.json.xz", "--out", "more.json"]).ok();
    let (both, more) = (read("both.json"), read("more.json"));
    for same in ["config", "status", "params", "problem", "extra_columns"] {
        assert_eq!(more[same], both[same], "{same}");
    }
    assert_eq!(more["runs"], serde_json::json!(["a", "b"]));
    let times = |document: &serde_json::Value| -> Vec<Option<f64>> {
        let times = document["time"].as_array().unwrap().iter();
        times.map(serde_json::Value::as_f64).collect()
    };
    for (one, other) in times(&more).into_iter().zip(times(&both)) {
        let close = match (one, other) {
            (Some(one), Some(other)) => (one / other - 1.0).abs() < 1e-9,
            (one, other) => one == other,
        };
        assert!(close, "{one:?} {other:?}");
    }
    let origin = &more["origin"];
    let heat = origin["figures"]["p/q"]["heat"].as_array().unwrap();
    assert_eq!(heat.iter().filter(|it| **it == 1.5).count(), 1);
    assert_eq!(origin["rules"]["p/q"], "(rules: [])");

    // Figures of a configuration, whichever run measured it.
    let params = |value: serde_json::Value| {
        let figures = serde_json::json!({"source": "p/r", "rules": "(rules: [])",
            "configurations": [{"params": value, "figures": {"cold": 2.5}}]});
        bench.file("figures.json", &figures.to_string());
    };
    let measured = |run: &str| {
        let evaluated = bench.evaluated(run);
        let first = evaluated
            .iter()
            .find(|it| it.outcome.kind() == OutcomeKind::Measured);
        let trial = first.unwrap().trial;
        let proposals = bench.proposals(run);
        let proposed = proposals.iter().find(|it| it.trial == trial).unwrap();
        serde_json::to_value(&proposed.params).unwrap()
    };
    let with_figures = ["b", "early.json.xz", "--figures", "figures.json", "--out"];
    for (run, out) in [("a", "of-a.json"), ("b", "of-b.json")] {
        params(measured(run));
        export(&[&with_figures[..], &[out]].concat()).ok();
        let origin = read(out)["origin"].clone();
        let cold = origin["figures"]["p/r"]["cold"].as_array().unwrap();
        assert_eq!(cold.iter().filter(|it| **it == 2.5).count(), 1);
        let heat = origin["figures"]["p/q"]["heat"].as_array().unwrap();
        assert_eq!(heat.iter().filter(|it| **it == 1.5).count(), 1);
        assert_eq!(origin["rules"]["p/r"], "(rules: [])");
    }
    params(serde_json::json!({}));
    export(&[&with_figures[..], &["x.json"]].concat()).fails(
        2,
        &["figures of p/r are of no configuration: `", "` is missing"],
    );
    bench.file("figures.json", r#"{"source": "p/r"}"#);
    export(&[&with_figures[..], &["x.json"]].concat())
        .fails(2, &["figures.json: there are no figures in it"]);
    params(serde_json::json!({"LAYOUT": "column"}));
    export(&[&with_figures[..], &["x.json"]].concat()).fails(
        2,
        &["figures of p/r are of no configuration: `LAYOUT` cannot be column: its values are row"],
    );
    let tried = bench.proposals("a");
    let proposals = bench.proposals("b");
    let mut others = proposals.iter().map(|it| &it.params);
    let other = others.find(|params| tried.iter().all(|it| it.params != **params));
    params(serde_json::to_value(other.unwrap()).unwrap());
    export(&["a", "--figures", "figures.json", "--out", "x.json"]).fails(
        2,
        &["figures of p/r are of a configuration that nothing exported has"],
    );
    export(&["early.json.xz", "--out", "x.json"])
        .fails(2, &["no run is named", "beside at least one run"]);

    let mut other = read("both.json");
    other["device"] = "another".into();
    bench.file("other.json", &other.to_string());
    let space = both["origin"]["space"].as_str().unwrap();
    let mut commented = both.clone();
    commented["origin"]["space"] = format!("// As it was.\n{space}").into();
    bench.file("commented.json", &commented.to_string());
    export(&["b", "commented.json", "--out", "same.json"]).ok();
    let mut wider = both.clone();
    wider["origin"]["space"] = space.replacen("values: [", "values: [7, ", 1).into();
    assert_ne!(wider, both);
    bench.file("wider.json", &wider.to_string());
    bench.file("none.json", "{\"format\": \"recorded-space/1\"}");
    bench.file("torn.json", "{\"format\": ");
    for (file, words) in [
        (
            "other.json",
            "other.json: the device differs: another in it",
        ),
        (
            "wider.json",
            "wider.json: its space is not the run's: the first difference is `7 ,",
        ),
        (
            "none.json",
            "none.json: no recording that `evo export` wrote: missing field",
        ),
        (
            "torn.json",
            "torn.json: no recording that `evo export` wrote: EOF",
        ),
    ] {
        export(&["b", file, "--out", "x.json"]).fails(2, &[words]);
    }
    export(&["both.json", "--out", "x.json"])
        .fails(2, &["no run is named", "beside at least one run"]);
}
