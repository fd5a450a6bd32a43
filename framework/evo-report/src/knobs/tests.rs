//! Planted parameters are found for what they are.

use evo_journal::BuildFacts;
use evo_types::{ContentHash, Direction, Metric, Params, Value};
use proptest::prelude::*;

use super::{Effect, Knobs, Observation, varied};

fn params(words: &str) -> Params {
    words
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| {
            let value = match value.parse() {
                Ok(number) => Value::Int(number),
                Err(_) => Value::Name(value.to_owned()),
            };
            (name.to_owned(), value)
        })
        .collect()
}

fn build(code: &str, launch: &str, runtime: &str, registers: f64) -> BuildFacts {
    BuildFacts {
        code: ContentHash::of_bytes(code.as_bytes()),
        launch: params(launch),
        runtime: params(runtime),
        figures: vec![Metric::new(
            "registers",
            "count",
            Direction::Lower,
            registers,
        )],
    }
}

/// Configurations with what they build.
struct Seen(Vec<(Params, BuildFacts, Option<f64>)>);

impl Seen {
    /// UNROLL changes the code, but not from 3 to 4; GRID the geometry, SPIN the run time, PAD
    /// nothing.
    fn planted() -> Self {
        let mut seen = Vec::new();
        for (unroll, grid, spin, pad) in [
            (1, 8, 0, 0),
            (2, 8, 0, 0),
            (3, 8, 0, 0),
            (4, 8, 0, 0),
            (1, 16, 0, 0),
            (1, 8, 5, 0),
            (1, 8, 0, 7),
            (4, 8, 0, 7),
        ] {
            let code = unroll.min(3).to_string();
            let facts = build(
                &code,
                &format!("GRID={grid}"),
                &format!("SPIN={spin}"),
                16.0 + 8.0 * f64::from(unroll.min(3)),
            );
            let words = format!("UNROLL={unroll} GRID={grid} SPIN={spin} PAD={pad}");
            let time = 100.0 / f64::from(unroll.min(3)) + f64::from(spin);
            seen.push((params(&words), facts, (unroll != 4).then_some(time)));
        }
        Self(seen)
    }

    fn knobs(&self) -> Knobs {
        let observations: Vec<Observation<'_>> = self
            .0
            .iter()
            .map(|(params, build, measured)| Observation {
                params,
                build,
                measured: *measured,
            })
            .collect();
        Knobs::of(&observations, &varied(&observations))
    }
}

#[test]
fn each_parameter_is_found_for_what_it_is() {
    let knobs = Seen::planted().knobs();
    assert_eq!(
        (knobs.configurations, knobs.executions, knobs.codes),
        (8, 5, 3)
    );
    let found: Vec<(&str, Effect, usize, usize)> = knobs
        .params
        .iter()
        .map(|knob| (knob.name.as_str(), knob.effect, knob.contexts, knob.pairs))
        .collect();
    assert_eq!(
        found,
        [
            ("GRID", Effect::Geometry, 1, 1),
            ("PAD", Effect::Dead, 2, 2),
            ("SPIN", Effect::RunTime, 1, 1),
            ("UNROLL", Effect::Code, 2, 7),
        ]
    );
    let dead: Vec<&str> = knobs.dead().map(|knob| knob.name.as_str()).collect();
    assert_eq!(dead, ["PAD"]);
    assert!(knobs.params[2].declared_run_time);
}

#[test]
fn the_words_name_values_and_figures() {
    let knobs = Seen::planted().knobs();
    let text: Vec<String> = knobs
        .params
        .iter()
        .flat_map(|knob| {
            let name = &knob.name;
            let mut lines = vec![format!("{name}: {}", knob.finding())];
            lines.extend(
                knob.same_values()
                    .into_iter()
                    .map(|said| format!("{name} same: {said}")),
            );
            lines.extend(
                knob.predicted()
                    .into_iter()
                    .map(|said| format!("{name} figures: {said}")),
            );
            lines.extend(
                knob.measured()
                    .map(|said| format!("{name} measured: {said}")),
            );
            lines
        })
        .collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    GRID: changes only the geometry, in 1 of 1 pair
    GRID measured: 8 to 16: 1.00x (1 pair)
    PAD: dead: never changed the execution, 2 pairs
    PAD measured: 0 to 7: 1.00x (1 pair)
    SPIN: acts at run time only
    SPIN measured: 0 to 5: 1.05x (1 pair)
    UNROLL: changes the code in 6 of 7 pairs
    UNROLL same: 3 and 4 (1 pair)
    UNROLL figures: registers: 1 to 2: 24 to 32 (up in 1 of 1); 2 to 3: 32 to 40 (up in 1 of 1)
    UNROLL measured: 1 to 2: 0.50x (1 pair); 2 to 3: 0.67x (1 pair)
    ");
}

#[test]
fn nothing_is_said_without_a_pair() {
    let mut seen = Seen::planted();
    // Two configurations that differ in two parameters.
    seen.0 = vec![
        (params("A=1 B=1"), build("x", "", "", 1.0), None),
        (params("A=2 B=2"), build("x", "", "", 1.0), None),
    ];
    let knobs = seen.knobs();
    assert!(
        knobs
            .params
            .iter()
            .all(|knob| knob.effect == Effect::Unknown)
    );
    assert_eq!(knobs.params[0].finding(), "no pair: nothing can be said");
    assert_eq!(knobs.params[0].acts_at_most_in(9), None);
}

#[test]
fn a_switch_is_compared_although_it_switches_others_on() {
    let seen = Seen(vec![
        (params("WS=0 T=1"), build("plain", "", "", 1.0), None),
        (params("WS=1 T=1 WARPS=1"), build("ws", "", "", 1.0), None),
        (params("WS=1 T=1 WARPS=2"), build("ws", "", "", 1.0), None),
        (params("WS=1 T=2 WARPS=2"), build("ws", "", "", 1.0), None),
    ]);
    let knobs = seen.knobs();
    let of = |name: &str| knobs.params.iter().find(|knob| knob.name == name).unwrap();
    assert_eq!((of("WS").pairs, of("WS").effect), (2, Effect::Code));
    assert_eq!((of("WARPS").pairs, of("WARPS").effect), (1, Effect::Dead));
    assert_eq!((of("T").pairs, of("T").effect), (1, Effect::Dead));
}

#[test]
fn the_bound_is_that_of_a_share_of_which_nothing_was_seen() {
    let mut knob = Seen::planted().knobs().params.remove(1);
    knob.contexts = 59;
    // 0.95^59 is just under 5 %.
    assert!((knob.acts_at_most_in(99).unwrap() - 0.0495).abs() < 0.0005);
    assert_eq!(knob.acts_at_most_in(59), knob.acts_at_most_in(99));
    assert_eq!(knob.acts_at_most_in(0), None);
}

proptest! {
    /// A parameter that the build does not depend on is dead wherever it has a pair, and one that
    /// it depends on alone is not.
    #[test]
    fn dead_and_alive_are_told_apart(values in prop::collection::vec((0i64..4, 0i64..4, 0i64..3), 1..40)) {
        let mut seen = Vec::new();
        for (dead, alive, other) in values {
            let words = format!("DEAD={dead} ALIVE={alive} OTHER={other}");
            let code = format!("{alive} {other}");
            let entry = (params(&words), build(&code, "", "", 1.0), None);
            if !seen.contains(&entry) {
                seen.push(entry);
            }
        }
        for knob in Seen(seen).knobs().params {
            let expected = match (knob.pairs, knob.name.as_str()) {
                (0, _) => Effect::Unknown,
                (_, "DEAD") => Effect::Dead,
                _ => Effect::Code,
            };
            prop_assert_eq!(knob.effect, expected, "{}", knob.name);
            let by_values: usize = knob.changes.iter().map(|change| change.pairs).sum();
            prop_assert_eq!(by_values, knob.pairs);
        }
    }
}
