use std::collections::BTreeMap;

use evo_types::OutcomeKind;

use super::*;
use crate::engine::proposal::Origin;
use crate::engine::ranking::Verdict;
use crate::space::Env;

fn space() -> Space {
    let text = r#"(name: "t", params: [
        (name: "A", values: [16, 32, 64, 128]),
        (name: "B", values: ["x", "y", "z"]),
        (name: "C", values: [false, true]),
    ])"#;
    Space::parse(text, "t.ron", &Env::default()).unwrap()
}

/// A history of every configuration, with the loss that a function of the value indices gives.
fn history(space: &Space, loss: impl Fn(&[u32]) -> Option<f64>) -> History {
    let mut history = History::default();
    for (trial, config) in space.iter_valid().enumerate() {
        let trial = trial as u64;
        let choices: Vec<u32> = config.choices().iter().copied().flatten().collect();
        let origin = Origin {
            operator: "test".to_owned(),
            parents: Vec::new(),
            insights: Vec::new(),
            note: String::new(),
        };
        history.push(trial, config, origin);
        let verdict = match loss(&choices) {
            Some(loss) => Verdict::Measured { value: loss, loss },
            None => Verdict::Failed(OutcomeKind::BuildFailed),
        };
        let why = verdict
            .loss()
            .is_none()
            .then_some("build failed: too large\nmore");
        history.tell(trial, verdict, None, why).unwrap();
    }
    history
}

fn by_id(insights: Vec<Insight>) -> BTreeMap<String, Insight> {
    insights
        .into_iter()
        .map(|insight| (insight.id.clone(), insight))
        .collect()
}

/// A little spread that depends on nothing of interest.
fn ripple(choices: &[u32]) -> f64 {
    f64::from((choices[0] * 7 + choices[1] * 5 + choices[2] * 3) % 4) * 0.01
}

#[test]
fn a_planted_main_effect_is_found_with_its_size_and_nothing_else_is() {
    let space = space();
    let planted = |c: &[u32]| Some(ripple(c) - if c[1] == 1 { 0.2 } else { 0.0 });
    let found = by_id(derive(&space, &history(&space, planted)));
    let prefer = &found["history:prefer:B=y"];
    assert_eq!(prefer.lever.action, Action::Prefer("y".into()));
    assert!((-0.2..-0.12).contains(&prefer.evidence.effect), "{prefer}");
    assert_eq!((prefer.evidence.n, prefer.evidence.others), (8, 16));
    assert!(prefer.strength > 0.8 && prefer.evidence.statistic < -5.0);
    assert!(prefer.statement.starts_with("B=y is 1"), "{prefer}");
    assert!(
        found.keys().all(|id| id.contains(":B=")),
        "{:?}",
        found.keys()
    );
}

#[test]
fn a_trend_says_which_way_to_go() {
    let space = space();
    let falling = |c: &[u32]| Some(ripple(c) - 0.1 * f64::from(c[0]));
    let found = by_id(derive(&space, &history(&space, falling)));
    assert_eq!(found["history:raise:A"].lever.action, Action::Raise);
    let rising = |c: &[u32]| Some(ripple(c) + 0.1 * f64::from(c[0]));
    let found = by_id(derive(&space, &history(&space, rising)));
    assert_eq!(found["history:lower:A"].lever.action, Action::Lower);
    assert!(!found.contains_key("history:raise:A"));
}

#[test]
fn values_that_fail_are_named_with_the_counts() {
    let space = space();
    let fails = |c: &[u32]| (c[1] != 2 || c[0] == 0).then(|| ripple(c));
    let found = by_id(derive(&space, &history(&space, fails)));
    let avoid = &found["history:fails:B=z"];
    assert_eq!(
        avoid.statement,
        "B=z fails in 6 of 8 (others in 0 of 16); always: build failed: too large"
    );
    assert_eq!(avoid.lever.action, Action::Avoid("z".into()));
    assert!(avoid.strength > 0.5);
    assert!(!found.contains_key("history:fails:B=x"));
}

#[test]
fn a_parameter_that_only_repeats_executions_is_said_to_be_dead() {
    let space = space();
    let mut history = history(&space, |c| Some(ripple(&[c[0], c[1], 0])));
    // Trials come in pairs that differ in C alone.
    for trial in (1..24).step_by(2) {
        let verdict = history.get(trial).and_then(|entry| entry.verdict).unwrap();
        history.tell(trial, verdict, Some(trial - 1), None).unwrap();
    }
    let found = by_id(derive(&space, &history));
    let dead = &found["history:dead:C"];
    assert_eq!(dead.lever.action, Action::NoEffect);
    assert_eq!(dead.evidence.n, 12);
}

#[test]
fn little_or_flat_evidence_says_nothing() {
    let space = space();
    assert!(derive(&space, &History::default()).is_empty());
    assert!(derive(&space, &history(&space, |_| Some(1.0))).is_empty());
    assert!(derive(&space, &history(&space, |_| None)).is_empty());
}

#[test]
fn a_planted_interaction_is_found_where_it_holds_and_sums_of_effects_are_none() {
    let space = space();
    // B=y pays where C is set, and costs as much where it is not.
    let planted = |c: &[u32]| {
        let sign = if c[2] == 1 { -1.0 } else { 1.0 };
        Some(ripple(c) + if c[1] == 1 { 0.2 * sign } else { 0.0 })
    };
    let found = by_id(derive(&space, &history(&space, planted)));
    // The surer way to say it: C makes all the difference where B=y, and none elsewhere.
    let prefer = &found["history:prefer:C=true@B=y"];
    let place = Scope::Where {
        param: "B".to_owned(),
        value: "y".into(),
    };
    assert_eq!(prefer.scope, place);
    assert_eq!(prefer.advice(), "set C=true where B=y");
    // Clipped and shrunk: 0.4 was planted.
    assert!((-0.3..-0.1).contains(&prefer.evidence.effect), "{prefer}");
    assert_eq!((prefer.evidence.n, prefer.evidence.others), (4, 4));
    let words =
        "where B=y, C=true is 16 % better than the other values (n=4 against 4), elsewhere ";
    assert!(prefer.statement.starts_with(words), "{prefer}");
    assert!(!found.contains_key("history:prefer:B=y"));

    let sums = |c: &[u32]| Some(ripple(c) - 0.2 * f64::from(c[1]) - 0.3 * f64::from(c[2]));
    let found = by_id(derive(&space, &history(&space, sums)));
    assert!(
        found.keys().all(|id| !id.contains('@')),
        "{:?}",
        found.keys()
    );
}

#[test]
fn an_insight_about_failures_says_how_they_failed() {
    let space = space();
    let found = by_id(derive(
        &space,
        &history(&space, |c| (c[1] != 2).then(|| ripple(c))),
    ));
    let fails = &found["history:fails:B=z"];
    let words = "B=z fails in 8 of 8 (others in 0 of 16); always: build failed: too large";
    assert_eq!(fails.statement, words);
}
