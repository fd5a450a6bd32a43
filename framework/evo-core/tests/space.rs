//! Spaces as the engine uses them: counting, sampling, moves.
#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "helpers of tests fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use evo_core::space::{Config, Count, Env, FixedBy, Radius, Role, Space};
use evo_types::{Params, Value};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ORIGINAL: &str = include_str!("../../../search-spaces/sdpa_ws_original.ron");

fn space_in(text: &str, env: &Env) -> Space {
    match Space::parse(text, "test.ron", env) {
        Ok(space) => space,
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

fn space(params: &[&str], constraints: &[&str]) -> Space {
    space_in(&file(params, constraints), &Env::default())
}

fn file(params: &[&str], constraints: &[&str]) -> String {
    let constraints: Vec<String> = constraints
        .iter()
        .map(|text| format!("(expr: \"{text}\", reason: \"because\")"))
        .collect();
    format!(
        "(name: \"t\", params: [{}], constraints: [{}])",
        params.join(", "),
        constraints.join(", ")
    )
}

fn params(values: &[(&str, Value)]) -> Params {
    values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

/// All valid, distinct configurations by enumerating the raw product.
fn brute_force(space: &Space) -> BTreeSet<Config> {
    let sizes: Vec<u32> = space
        .params()
        .iter()
        .map(|p| p.values.len() as u32)
        .collect();
    let mut choice = vec![0; sizes.len()];
    let mut found = BTreeSet::new();
    loop {
        let config = space.canonical(&choice);
        if space.is_valid(&config) {
            found.insert(config);
        }
        let Some(digit) = (0..sizes.len())
            .rev()
            .find(|digit| choice[*digit] + 1 < sizes[*digit])
        else {
            return found;
        };
        choice[digit] += 1;
        choice[digit + 1..].fill(0);
    }
}

#[test]
fn the_original_space_has_the_size_it_should() {
    let space = space_in(ORIGINAL, &Env::default());
    assert_eq!(space.params().len(), 14);
    assert_eq!(space.raw_size(), 82_944);
    let sizes = space.sizes(100_000);
    assert_eq!(sizes.searched, 6_912);
    assert_eq!(sizes.distinct, Count::Exact(5_184));
    assert_eq!(sizes.valid, Count::Exact(5_184));
    let problem: Vec<&str> = space
        .params()
        .iter()
        .filter(|param| param.role == Role::Problem)
        .map(|param| param.name.as_str())
        .collect();
    assert_eq!(problem, ["EPILOGUE", "MASK_PATH", "DTYPE"]);
    let producers = space
        .params()
        .iter()
        .find(|param| param.name == "PROD_WARPS")
        .unwrap();
    assert_eq!(producers.when.as_deref(), Some("USE_WS"));
    assert_eq!(space.iter_valid().count(), 5_184);
    assert_eq!(
        space.iter_valid().collect::<BTreeSet<_>>(),
        brute_force(&space)
    );
}

#[test]
fn the_problem_fixes_its_parameters() {
    let env = Env {
        problem: params(&[("DTYPE", "bf16".into())]),
        ..Env::default()
    };
    let space = space_in(ORIGINAL, &env);
    let dtype = space
        .params()
        .iter()
        .find(|param| param.name == "DTYPE")
        .unwrap();
    assert_eq!((dtype.fixed, dtype.default), (Some(FixedBy::Problem), 1));
    assert_eq!(space.raw_size(), 82_944);
    let values = space.to_params(&space.default_config());
    assert_eq!(values["DTYPE"], Value::from("bf16"));
    assert_eq!(values["MASK_PATH"], Value::from("causal"));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..50 {
        assert_eq!(
            space.to_params(&space.sample(&mut rng))["DTYPE"],
            Value::from("bf16")
        );
    }
}

#[test]
fn the_run_pins_parameters() {
    let pinned = params(&[("NUM_STAGES", 3.into()), ("ELSEWHERE", 1.into())]);
    let space = space_in(
        ORIGINAL,
        &Env {
            pinned,
            ..Env::default()
        },
    );
    let sizes = space.sizes(100_000);
    assert_eq!((sizes.raw, sizes.searched), (82_944, 2_304));
    assert_eq!(sizes.valid, Count::Exact(1_728));
    assert_eq!(
        space.to_params(&space.default_config())["NUM_STAGES"],
        Value::from(3)
    );
    let error = space
        .from_params(&params(&[("NUM_STAGES", 2.into())]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`NUM_STAGES` is held at 3 by the run, so it cannot be 2"
    );
}

#[test]
fn the_defaults_are_kept_or_moved_as_little_as_needed() {
    let ten =
        ["A", "B", "C"].map(|n| format!("(name: \"{n}\", range: (from: 1, to: 10), default: 5)"));
    let ten = ten.each_ref().map(String::as_str);
    let kept = space(&ten, &["A + B + C == 15"]);
    assert_eq!(
        kept.to_params(&kept.default_config()),
        params(&[("A", 5.into()), ("B", 5.into()), ("C", 5.into()),])
    );
    let moved = space(&ten, &["A + B + C >= 17"]);
    let start = moved.canonical(&[4, 4, 4]);
    assert!(moved.is_valid(&moved.default_config()));
    assert_eq!(moved.default_config().distance(&start), 1);
    let two = space(&ten, &["A + B + C >= 24"]);
    assert_eq!(two.default_config().distance(&start), 2);
}

#[test]
fn a_violation_says_what_was_found() {
    let params = [
        "(name: \"M\", values: [64, 128])",
        "(name: \"N\", values: [0, 2])",
        "(name: \"WS\", values: [false, true])",
    ];
    let space = space(
        &params,
        &["M * 1024 <= 100000", "M / N >= 1", "WS or N == 2"],
    );
    let said = |choice: &[u32]| {
        space
            .check(&space.canonical(choice))
            .map_err(|violation| violation.to_string())
    };
    assert_eq!(said(&[0, 1, 0]), Ok(()));
    assert_eq!(
        said(&[1, 1, 0]),
        Err("`M * 1024 <= 100000` does not hold (131072 <= 100000 is false): because".to_owned())
    );
    assert_eq!(
        said(&[0, 0, 0]),
        Err("`M / N >= 1` does not hold (division by zero in `M / N`): because".to_owned())
    );
}

fn conditional() -> Space {
    space(
        &[
            "(name: \"WS\", values: [false, true])",
            "(name: \"WARPS\", values: [1, 2, 4], default: 2, when: \"WS\")",
            "(name: \"DEEP\", values: [1, 2], when: \"WARPS == 4\")",
            "(name: \"LAYOUT\", values: [\"a\", \"b\", \"c\"])",
            "(name: \"STAGES\", range: (from: 1, to: 5), default: 3)",
        ],
        &["STAGES * WARPS <= 8"],
    )
}

fn described(space: &Space, configs: &[Config]) -> Vec<String> {
    configs
        .iter()
        .map(|config| evo_types::format_params(&space.to_params(config)))
        .collect()
}

#[test]
fn neighbours_reactivate_conditional_parameters() {
    let space = conditional();
    let start = space.default_config();
    insta::assert_snapshot!(described(&space, &space.neighbours(&start, Radius::Adjacent)).join("\n"), @r"
    LAYOUT=a STAGES=3 WARPS=2 WS=true
    LAYOUT=a STAGES=3 WARPS=1 WS=true
    LAYOUT=b STAGES=3 WS=false
    LAYOUT=c STAGES=3 WS=false
    LAYOUT=a STAGES=2 WS=false
    LAYOUT=a STAGES=4 WS=false
    ");
    let named = params(&[
        ("WS", true.into()),
        ("WARPS", 2.into()),
        ("STAGES", 2.into()),
    ]);
    let inner = space.from_params(&named).unwrap();
    insta::assert_snapshot!(described(&space, &space.neighbours(&inner, Radius::Any)).join("\n"), @r"
    LAYOUT=a STAGES=2 WS=false
    LAYOUT=a STAGES=2 WARPS=1 WS=true
    DEEP=1 LAYOUT=a STAGES=2 WARPS=4 WS=true
    DEEP=2 LAYOUT=a STAGES=2 WARPS=4 WS=true
    LAYOUT=b STAGES=2 WARPS=2 WS=true
    LAYOUT=c STAGES=2 WARPS=2 WS=true
    LAYOUT=a STAGES=1 WARPS=2 WS=true
    LAYOUT=a STAGES=3 WARPS=2 WS=true
    LAYOUT=a STAGES=4 WARPS=2 WS=true
    ");
}

#[test]
fn named_values_are_checked() {
    let space = conditional();
    let wrong = params(&[
        ("WSS", true.into()),
        ("WARPS", 2.into()),
        ("LAYOUT", "d".into()),
        ("STAGES", 2.5.into()),
    ]);
    insta::assert_snapshot!(space.from_params(&wrong).unwrap_err().mistakes().join("\n"), @r"
    `LAYOUT` cannot be d: its values are a, b, c
    `STAGES` cannot be 2.5: its values are 1, 2, 3, 4, 5
    unknown parameter `WSS`: did you mean `WS`?
    `WARPS` is inactive: `WS` does not hold
    ");
    let floats = self::space(&["(name: \"F\", values: [0.5, 1.0])"], &[]);
    let whole = floats.from_params(&params(&[("F", 1.into())])).unwrap();
    assert_eq!(whole.get(0), Some(1));
}

#[test]
fn the_hash_depends_on_active_values_only() {
    let space = conditional();
    let a = space.canonical(&[0, 0, 0, 0, 0]);
    let b = space.canonical(&[0, 1, 0, 0, 0]);
    assert_eq!(space.hash(&a), space.hash(&b));
    let c = space.canonical(&[1, 1, 0, 0, 0]);
    assert_ne!(space.hash(&a), space.hash(&c));
    // The order of declaration does not matter; the type does.
    let ab = self::space(
        &["(name: \"A\", values: [1])", "(name: \"B\", values: [2])"],
        &[],
    );
    let ba = self::space(
        &["(name: \"B\", values: [2])", "(name: \"A\", values: [1])"],
        &[],
    );
    assert_eq!(ab.hash(&ab.default_config()), ba.hash(&ba.default_config()));
    let float = self::space(
        &["(name: \"A\", values: [1.0])", "(name: \"B\", values: [2])"],
        &[],
    );
    assert_ne!(
        ab.hash(&ab.default_config()),
        float.hash(&float.default_config())
    );
}

#[test]
fn a_space_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&conditional());
}

#[test]
fn parameters_with_many_values_are_no_trouble() {
    let wide = space(
        &[
            "(name: \"A\", range: (from: 1, to: 4000))",
            "(name: \"B\", range: (from: 1, to: 4000))",
        ],
        &["A * B == 36000"],
    );
    // 36,000 = 2^5 * 3^2 * 5^3 has 72 divisors; 7 of them exceed 4,000, and their complements go too.
    assert_eq!(wide.count(20_000_000), Count::Exact(58));
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let somewhere = wide.canonical(&[2_000, 3_000]);
    let repaired = wide.repair(&somewhere, &mut rng).unwrap();
    assert!(wide.is_valid(&repaired));
    assert_eq!(wide.neighbours(&repaired, Radius::Any), []);
}

#[test]
fn indices_from_outside_never_panic() {
    let space = conditional();
    let config = space.canonical(&[7, u32::MAX, 9, 9, 9]);
    assert_eq!(config.get(3), Some(2));
    assert_eq!(config.get(99), None);
    let short = space.canonical(&[1]);
    assert_eq!(space.to_params(&short)["STAGES"], Value::from(3));
    assert_eq!(space.with_value(&config, 99, 0), config);
    assert_eq!(space.with_value(&config, 4, 77).get(4), Some(4));
}

#[test]
fn constraints_remove_what_they_should() {
    let space = space(
        &[
            "(name: \"A\", range: (from: 1, to: 10))",
            "(name: \"B\", range: (from: 1, to: 10))",
        ],
        &["A <= 5", "A + B <= 10", "B >= 1"],
    );
    let sizes = space.sizes(10_000);
    assert_eq!(sizes.distinct, Count::Exact(100));
    let removed: Vec<(Count, Count)> = sizes
        .removals
        .iter()
        .map(|removal| (removal.alone, removal.after_earlier))
        .collect();
    assert_eq!(
        removed,
        [
            (Count::Exact(50), Count::Exact(50)),
            (Count::Exact(55), Count::Exact(15)),
            (Count::Exact(0), Count::Exact(0)),
        ]
    );
    assert_eq!(sizes.valid, Count::Exact(35));
}

/// Twelve parameters of ten values each, tied together: 10^12 points.
fn million_million() -> Space {
    let names: Vec<String> = (0..12).map(|index| format!("P{index}")).collect();
    let params: Vec<String> = names
        .iter()
        .map(|n| format!("(name: \"{n}\", range: (from: 1, to: 10))"))
        .collect();
    let ties = names
        .windows(3)
        .map(|w| format!("{} * {} <= 40 + {}", w[0], w[1], w[2]));
    let constraints: Vec<String> = ties.collect();
    let params: Vec<&str> = params.iter().map(String::as_str).collect();
    let constraints: Vec<&str> = constraints.iter().map(String::as_str).collect();
    space(&params, &constraints)
}

#[test]
fn a_space_of_a_million_million_is_counted_exactly() {
    let space = million_million();
    assert_eq!(space.raw_size(), 1_000_000_000_000);
    let Count::Exact(exact) = space.count(1_000_000) else {
        panic!("no exact count")
    };
    // The same number from a chain of transfer matrices over pairs of neighbours.
    let mut ways = BTreeMap::new();
    for a in 1..=10u128 {
        for b in 1..=10u128 {
            ways.insert((a, b), 1u128);
        }
    }
    for _ in 0..10 {
        let mut next = BTreeMap::new();
        for (&(a, b), count) in &ways {
            for c in (1..=10).filter(|c| a * b <= 40 + c) {
                *next.entry((b, c)).or_insert(0) += count;
            }
        }
        ways = next;
    }
    assert_eq!(exact, ways.values().sum::<u128>());
    // With too little effort it is an estimate that agrees within its error.
    let Count::Estimate { value, std_error } = space.count(1_000) else {
        panic!("exact")
    };
    assert!(
        (value - exact as f64).abs() < 4.0 * std_error,
        "{value} {std_error} {exact}"
    );
}

/// Upper 0.1 % point of the chi-square distribution, by Wilson and Hilferty's approximation.
fn chi_square_limit(degrees: f64) -> f64 {
    let z = 3.09;
    degrees * (1.0 - 2.0 / (9.0 * degrees) + z * (2.0 / (9.0 * degrees)).sqrt()).powi(3)
}

fn assert_uniform(space: &Space, draws: usize) {
    assert_even(space, draws, |rng| space.sample(rng));
}

/// The draws hit every valid configuration about equally often.
fn assert_even(space: &Space, draws: usize, draw: impl Fn(&mut ChaCha8Rng) -> Config) {
    let valid = brute_force(space);
    let mut counts: BTreeMap<Config, usize> = valid.into_iter().map(|c| (c, 0)).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    for _ in 0..draws {
        *counts
            .get_mut(&draw(&mut rng))
            .expect("a valid, canonical configuration") += 1;
    }
    let expected = draws as f64 / counts.len() as f64;
    let statistic: f64 = counts
        .values()
        .map(|count| (*count as f64 - expected).powi(2) / expected)
        .sum();
    let limit = chi_square_limit(counts.len() as f64 - 1.0);
    assert!(
        statistic < limit,
        "{statistic} >= {limit} over {} configurations",
        counts.len()
    );
}

#[test]
fn samples_are_uniform_over_distinct_configurations() {
    assert_uniform(&conditional(), 20_000);
    let triangle = space(
        &[
            "(name: \"A\", range: (from: 1, to: 6))",
            "(name: \"B\", range: (from: 1, to: 6))",
            "(name: \"C\", values: [false, true])",
            "(name: \"D\", values: [1, 2, 3], when: \"C\")",
        ],
        &["A <= B", "C -> A > 2"],
    );
    assert_uniform(&triangle, 20_000);
}

#[test]
fn points_spread_over_the_cube_are_configurations_spread_over_the_valid_ones() {
    let triangle = space(
        &[
            "(name: \"A\", range: (from: 1, to: 6))",
            "(name: \"B\", range: (from: 1, to: 6))",
            "(name: \"C\", values: [false, true])",
            "(name: \"D\", values: [1, 2, 3], when: \"C\")",
        ],
        &["A <= B", "C -> A > 2"],
    );
    assert_even(&triangle, 20_000, |rng| {
        let point: Vec<f64> = (0..4).map(|_| rng.random::<f64>()).collect();
        triangle.at(&point).expect("everything is counted")
    });
    for corner in [[0.0; 4], [1.0; 4]] {
        let config = triangle.at(&corner).expect("everything is counted");
        assert!(triangle.is_valid(&config));
    }
    // Too wide to count: valid, or a dead end.
    let entangled = entangled(8);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let found = (0..50).filter(|_| {
        let point: Vec<f64> = (0..11).map(|_| rng.random::<f64>()).collect();
        let config = entangled.at(&point);
        assert!(config.iter().all(|config| entangled.is_valid(config)));
        config.is_some()
    });
    assert!(found.count() > 10);
}

/// A chain whose every parameter is tied to every other: too wide to count exactly.
fn entangled(values: usize) -> Space {
    let names: Vec<String> = (0..10).map(|index| format!("P{index}")).collect();
    let mut params: Vec<String> = names
        .iter()
        .map(|n| format!("(name: \"{n}\", range: (from: 1, to: {values}))"))
        .collect();
    params.push(format!(
        "(name: \"Q\", values: [1, 2, 3], when: \"{} > 1\")",
        names[0]
    ));
    let sum = format!("({}) % 3 == 0", names.join(" + "));
    let params: Vec<&str> = params.iter().map(String::as_str).collect();
    space(&params, &[&sum])
}

#[test]
fn samples_stay_uniform_where_counting_is_too_much() {
    let space = entangled(8);
    assert!(matches!(space.count(1_000_000), Count::Estimate { .. }));
    // Distinct: a first parameter of 1 has no Q, the others have three.
    let total = 8f64.powi(9) * (1.0 + 7.0 * 3.0) / 3.0;
    let Count::Estimate { value, std_error } = space.count(1_000_000) else {
        panic!("exact")
    };
    assert!(
        (value - total).abs() < 4.0 * std_error,
        "{value} +- {std_error}, not {total}"
    );
    let coarse = space.count(10_000);
    assert!(
        coarse.std_error() > 5.0 * std_error,
        "{coarse:?} {std_error}"
    );
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let draws = 4_000;
    let mut without_q = 0.0;
    for _ in 0..draws {
        let config = space.sample(&mut rng);
        assert!(space.is_valid(&config));
        without_q += f64::from(u8::from(config.get(10).is_none()));
    }
    let share = 1.0 / 22.0;
    let error = (share * (1.0 - share) / f64::from(draws)).sqrt();
    assert!(
        (without_q / f64::from(draws) - share).abs() < 4.0 * error,
        "{without_q}"
    );
}

#[test]
fn needles_are_found_by_repair_and_sampling() {
    // One point in 10^8 is valid, and every parameter is tied to it.
    let names: Vec<String> = (0..8).map(|index| format!("P{index}")).collect();
    let params: Vec<String> = names
        .iter()
        .map(|n| format!("(name: \"{n}\", range: (from: 1, to: 10))"))
        .collect();
    let same: Vec<String> = names
        .windows(2)
        .map(|w| format!("{} == {}", w[0], w[1]))
        .collect();
    let mut constraints: Vec<&str> = same.iter().map(String::as_str).collect();
    constraints.push("P7 == 9");
    let params: Vec<&str> = params.iter().map(String::as_str).collect();
    let space = space(&params, &constraints);
    let needle = space.canonical(&[8; 8]);
    assert_eq!(space.default_config(), needle);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    assert_eq!(space.sample(&mut rng), needle);
    assert_eq!(
        space.repair(&space.canonical(&[0; 8]), &mut rng),
        Some(needle)
    );
}

#[test]
fn the_same_seed_gives_the_same_draws() {
    for space in [conditional(), million_million(), entangled(8)] {
        let draw = || {
            let mut rng = ChaCha8Rng::seed_from_u64(11);
            let sampled: Vec<Config> = (0..20).map(|_| space.sample(&mut rng)).collect();
            let repaired = space.repair(&space.canonical(&[9; 12]), &mut rng);
            (sampled, repaired)
        };
        assert_eq!(draw(), draw());
    }
}

/// The text of a small random space: every type of parameter, conditions on earlier ones,
/// constraints over any.
fn small_spaces() -> impl Strategy<Value = String> {
    let kinds = prop::sample::select(vec![
        "values: [1, 2, 3]",
        "range: (from: 0, to: 3)",
        "pow2: (from: 1, to: 4)",
        "values: [2]",
    ]);
    let atom = |count: usize| {
        let param = (0..count).prop_map(|index| format!("P{index}"));
        (
            param.clone(),
            param,
            prop::sample::select(vec!["<", "<=", "==", "!=", ">"]),
            0..5i64,
        )
    };
    let expr = move |count: usize| {
        prop_oneof![
            atom(count).prop_map(|(a, b, op, k)| format!("{a} {op} {b} + {k} - 2")),
            atom(count).prop_map(|(a, b, op, k)| format!("{a} * {b} {op} {k}")),
            atom(count).prop_map(|(a, b, op, k)| format!("{a} / {b} {op} {k}")),
            atom(count).prop_map(|(a, b, op, k)| format!("{a} > 1 -> {b} {op} {k}")),
            atom(count).prop_map(|(a, _, op, k)| format!("{a} {op} {k}")),
        ]
    };
    (2usize..6).prop_flat_map(move |count| {
        let params: Vec<_> = (0..count)
            .map(|index| {
                let when = prop::option::weighted(0.4, expr(index.max(1)));
                (kinds.clone(), when, prop::bool::weighted(0.1)).prop_map(
                    move |(kind, when, problem)| {
                        let when = when.filter(|_| index > 0);
                        let when = when.map_or(String::new(), |w| format!(", when: \"{w}\""));
                        let role = if problem { ", role: problem" } else { "" };
                        format!("(name: \"P{index}\", {kind}{when}{role})")
                    },
                )
            })
            .collect();
        let constraints = prop::collection::vec(expr(count), 0..4);
        (params, constraints).prop_map(|(params, constraints)| {
            let params: Vec<&str> = params.iter().map(String::as_str).collect();
            let constraints: Vec<&str> = constraints.iter().map(String::as_str).collect();
            file(&params, &constraints)
        })
    })
}

proptest! {
    #[test]
    fn counting_agrees_with_enumeration(text in small_spaces()) {
        match Space::parse(&text, "x.ron", &Env::default()) {
            Ok(space) => {
                let all = brute_force(&space);
                prop_assert_eq!(space.count(1_000_000), Count::Exact(all.len() as u128));
                let listed: Vec<Config> = space.iter_valid().collect();
                prop_assert_eq!(listed.len(), all.len());
                prop_assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), all);
            }
            Err(errors) => {
                // The only mistake that such a text can have.
                prop_assert!(errors.to_string().contains("exclude"), "{}", errors);
            }
        }
    }

    #[test]
    fn everything_that_comes_out_is_valid_and_canonical(text in small_spaces(), seed: u64) {
        let Ok(space) = Space::parse(&text, "x.ron", &Env::default()) else { return Ok(()) };
        let all = brute_force(&space);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let start = space.default_config();
        prop_assert!(all.contains(&start));
        let nearest = all.iter().map(|config| changes(&space, config)).min().unwrap();
        prop_assert_eq!(changes(&space, &start), nearest);
        for _ in 0..5 {
            let config = space.sample(&mut rng);
            prop_assert!(all.contains(&config));
            prop_assert_eq!(&space.from_params(&space.to_params(&config)).unwrap(), &config);
            prop_assert_eq!(&space.complete(config.choices()), &config);
            for radius in [Radius::Adjacent, Radius::Any] {
                let near = space.neighbours(&config, radius);
                prop_assert!(near.iter().all(|n| all.contains(n) && *n != config));
                prop_assert_eq!(near.iter().collect::<BTreeSet<_>>().len(), near.len());
            }
        }
        let anything = space.canonical(&[seed as u32 % 5, 1, 3, 0, 2, 1]);
        let repaired = space.repair(&anything, &mut rng).unwrap();
        prop_assert!(all.contains(&repaired));
        if all.contains(&anything) {
            prop_assert_eq!(repaired, anything);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,80}") {
        let _ = Space::parse(&text, "x.ron", &Env::default()).map_err(|e| e.to_string());
    }

    #[test]
    fn a_mutated_file_never_panics(at in 0.0..1.0f64, cut in 0usize..6, junk in "[\\PC]{0,4}") {
        let text = format!("{ORIGINAL}{}", "");
        let mut start = (at * text.len() as f64) as usize;
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = (start + cut).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        let mutated = format!("{}{junk}{}", &text[..start], &text[end..]);
        if let Err(errors) = Space::parse(&mutated, "x.ron", &Env::default()) {
            prop_assert!(!errors.errors().is_empty());
            prop_assert!(errors.to_string().starts_with("error: "));
        }
    }
}

/// In how many active parameters a configuration departs from the declared defaults.
fn changes(space: &Space, config: &Config) -> usize {
    let both = config.choices().iter().zip(space.params());
    both.filter(|(own, param)| own.is_some_and(|own| own != param.default))
        .count()
}
