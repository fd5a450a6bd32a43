//! The formats, on files as their tools write them.

#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evo_recorded::{Fate, Recording};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/data/recorded")
        .join(name)
}

fn read(name: &str) -> Recording {
    Recording::read(&path(name)).unwrap()
}

fn fates(recording: &Recording) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for row in recording.rows() {
        let name = match row.fate {
            Fate::Measured { .. } => "measured",
            Fate::Refused(_) => "refused",
            Fate::BuildFailed(_) => "build failed",
            Fate::RunFailed(_) => "run failed",
            Fate::WrongResult(_) => "wrong",
            Fate::TimedOut(_) => "timed out",
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Of each measured configuration, by its parameters: time, cost and the first counter.
fn figures(recording: &Recording) -> BTreeMap<String, (f64, f64)> {
    let rows = recording.rows().iter();
    rows.map(|row| {
        let mut words: Vec<String> = recording
            .params()
            .iter()
            .zip(&row.choices)
            .map(|(param, choice)| format!("{}={}", param.name, param.values[*choice as usize]))
            .collect();
        words.sort();
        (
            words.join(" "),
            (row.fate.time_ms().unwrap_or(0.0), row.cost_ms),
        )
    })
    .collect()
}

#[test]
fn a_recorded_space_has_its_own_figures() {
    let coulomb = read("coulomb-RTX_2080_Ti.json.xz");
    assert_eq!(coulomb.name(), "coulomb-RTX_2080_Ti");
    assert_eq!(coulomb.device(), "NVIDIA GeForce RTX 2080 Ti");
    assert_eq!((coulomb.params().len(), coulomb.rows().len()), (8, 210));
    assert_eq!(coulomb.counters().len(), 33);
    assert!(coulomb.rows().iter().all(|row| row.counters.len() == 33));
    assert!(coulomb.exact());
    assert_eq!(coulomb.optimum_ms(), 0.769696);
    let convolution = read("convolution_milo-A4000.json.xz");
    assert_eq!(
        fates(&convolution),
        [("build failed", 6), ("measured", 4201), ("run failed", 155)].into()
    );
    let first = &convolution.rows()[0];
    let cost = 892.9 + 190.5 + 81.55;
    assert!((first.cost_ms - cost).abs() < 1e-9, "{}", first.cost_ms);
    let Fate::Measured { deviation, .. } = first.fate else {
        unreachable!("the first one ran")
    };
    assert_eq!(deviation, Some(0.05671));
}

#[test]
fn ktt_and_its_t4_results_say_the_same_as_the_recorded_space() {
    let columns = read("coulomb-RTX_2080_Ti.json.xz");
    let native = read("ktt_native.coulomb-RTX_2080_Ti.json.xz");
    let t4 = read("ktt_t4like.coulomb-RTX_2080_Ti.excerpt.json");
    assert_eq!(native.counters(), columns.counters());
    let truth = figures(&columns);
    assert_eq!(figures(&native).len(), truth.len());
    assert_eq!(figures(&t4).len(), 21);
    for (config, (time, cost)) in figures(&native).iter().chain(&figures(&t4)) {
        let (known_time, known_cost) = truth[config];
        assert!((time / known_time - 1.0).abs() < 1e-6, "{config}");
        assert!(
            (cost / known_cost - 1.0).abs() < 2e-3,
            "{config}: {cost} {known_cost}"
        );
    }
}

#[test]
fn kernel_tuner_and_t4_agree() {
    let cache = read("kt_cachefile.convolution_milo-A100.excerpt.json");
    let t4 = read("t4.convolution_milo-A100.excerpt.json");
    assert_eq!(cache.name(), "convolution_kernel");
    assert_eq!(cache.device(), "NVIDIA A100-PCIE-40GB");
    assert_eq!(fates(&cache), fates(&t4));
    assert_eq!(fates(&cache)["build failed"], 6);
    assert_eq!(cache.counters(), ["GFLOP/s"]);
    let (a, b) = (figures(&cache), figures(&t4));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (config, (time, _)) in &a {
        assert_eq!(*time, b[config].0, "{config}");
    }
    let deviations = |recording: &Recording| -> f64 {
        let known = recording.rows().iter().filter_map(|row| match row.fate {
            Fate::Measured { deviation, .. } => deviation,
            _ => None,
        });
        known.sum()
    };
    assert!((deviations(&cache) - deviations(&t4)).abs() < 1e-9);
    assert!(!cache.exact());
}

#[test]
fn a_cache_file_that_was_never_closed_is_read() {
    let text = std::fs::read_to_string(path("kt_cachefile.convolution_milo-A100.excerpt.json"));
    let text = text.unwrap();
    let whole = Recording::parse(&text, "x").unwrap();
    let open = format!("{},\n", text.trim_end().strip_suffix("}}").unwrap());
    let read = Recording::parse(&open, "x").unwrap();
    assert_eq!(read.rows(), whole.rows());
}

#[test]
fn a_configuration_is_found_by_its_parameters() {
    let recording = read("coulomb-RTX_2080_Ti.json.xz");
    let row = &recording.rows()[17];
    let params = recording.params().iter().zip(&row.choices);
    let mut params: evo_types::Params = params
        .map(|(param, choice)| (param.name.clone(), param.values[*choice as usize].clone()))
        .collect();
    assert_eq!(recording.find_params(&params), Ok(Some(17)));
    params.insert("Z_ITERATIONS".to_owned(), 1.into());
    params.insert("INNER_UNROLL_FACTOR".to_owned(), 16.into());
    assert_eq!(recording.find_params(&params), Ok(None));
    params.insert("Z_ITERATIONS".to_owned(), 3.into());
    let error = recording.find_params(&params).unwrap_err();
    assert_eq!(error, "`Z_ITERATIONS` never has the value 3");
    params.remove("Z_ITERATIONS");
    assert!(recording.find_params(&params).is_err());
}

#[test]
fn spaces_are_written_as_a_person_would() {
    let coulomb = read("coulomb-RTX_2080_Ti.json.xz");
    insta::assert_snapshot!(coulomb.space(None));
    let ktt = read("ktt_native.coulomb-RTX_2080_Ti.json.xz");
    insta::assert_snapshot!(ktt.space(None));
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let space = |time: &str, restrictions: &str| {
        format!(
            r#"{{"format": "recorded-space/1", "params": [{{"name": "A", "values": [1, 2]}}],
            "restrictions": [{restrictions}], "config": [0, 1], "time": {time}, "status": [0, 0]}}"#
        )
    };
    for (text, expected) in [
        ("{".to_owned(), "a recording is one JSON object"),
        ("{}".to_owned(), "it is no recording that is known"),
        (
            r#"{"format": "recorded-space/9"}"#.to_owned(),
            "its format is `recorded-space/9`",
        ),
        (
            space("[1.0]", ""),
            "`time` has 1 entries, but `config` has 2",
        ),
        (space("[1.0, 0.0]", ""), "a recorded time is 0 ms"),
        (
            space("[null, null]", ""),
            "no configuration in it was measured",
        ),
        (
            space("[1.0, 2.0]", r#""A <""#),
            "the restriction `A <`: column 4: expected a value, found the end",
        ),
        (
            space("[1.0, 2.0]", "").replace("[0, 1]", "[0, 2]"),
            "entry 2 of `config` is too large",
        ),
        (
            space("[1.0, 2.0]", "").replace("[1, 2]", "[1, \"x\"]"),
            "the parameter `A` has values of two types: 1 and x",
        ),
        (
            r#"{"results": [{"configuration": {"A": 1}, "times": {"runtimes": [1.0]},
                "measurements": [{"name": "t", "value": 1.0}], "objectives": ["t"]}]}"#
                .to_owned(),
            "result 1: its unit of time is not known",
        ),
        (
            r#"{"Metadata": {"TimeUnit": "Fortnights"}, "Results": []}"#.to_owned(),
            "`fortnights` is no unit of time that is known",
        ),
    ] {
        let error = Recording::parse(&text, "x").unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let error = Recording::read(&path("none.json")).unwrap_err().to_string();
    assert!(error.contains("none.json: cannot be opened"), "{error}");
}
