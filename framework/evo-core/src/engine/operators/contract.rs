//! The contract of every operator: a valid configuration or nothing, whatever the information.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::engine::information::TaskContext;
use crate::engine::insights::{Action, Evidence, INITIAL_CREDIT, Insight, Lever, Scope, Source};
use crate::engine::ranking::Ranking;
use crate::engine::settings::Preset;
use crate::space::{Env, Radius};

fn space() -> Space {
    let text = r#"(name: "t", params: [
        (name: "WS", values: [false, true]),
        (name: "PROD", values: [1, 2, 3], when: "WS"),
        (name: "A", values: [128, 64, 32, 16]),
        (name: "B", values: ["x", "y", "z"]),
        (name: "C", range: (from: 1, to: 9)),
        (name: "FIXED", values: [7]),
    ], constraints: [(expr: "A * C <= 300 and (C != 5 or B == 'x')", reason: "fits")])"#;
    Space::parse(text, "t.ron", &Env::default()).unwrap()
}

fn insight(param: &str, action: Action) -> Insight {
    Insight {
        id: format!("{param} {action:?}"),
        statement: String::new(),
        lever: Lever {
            param: param.to_owned(),
            action,
        },
        scope: Scope::Space,
        strength: 0.8,
        evidence: Evidence {
            n: 9,
            others: 9,
            effect: -0.1,
            statistic: -4.0,
        },
        source: Source::History,
        age: 0,
        credit: INITIAL_CREDIT,
        followed: 0,
        better: 0,
    }
}

/// All kinds of insights, senseless ones among them.
fn insights() -> Vec<Insight> {
    vec![
        insight("A", Action::Raise),
        insight("C", Action::Lower),
        insight("B", Action::Prefer("y".into())),
        insight("B", Action::Avoid("x".into())),
        insight("WS", Action::Prefer(true.into())),
        insight("PROD", Action::NoEffect),
        insight("NONE", Action::Raise),
        insight("A", Action::Prefer("no such value".into())),
        insight("FIXED", Action::Lower),
    ]
}

fn solutions(space: &Space, count: usize) -> Vec<Solution> {
    let configs = space.iter_valid().step_by(17).take(count).enumerate();
    configs
        .map(|(trial, config)| Solution {
            trial: trial as u64,
            params: space.to_params(&config),
            config,
            value: 1.0,
            loss: 0.0,
        })
        .collect()
}

/// Every amount of information that an operator may meet.
fn informations(space: &Space) -> Vec<Information> {
    let mut all = Vec::new();
    for preset in Preset::ALL {
        for kept in [0, 1, 6] {
            for advised in [false, true] {
                let used = preset.information();
                let solutions = solutions(space, kept);
                all.push(Information {
                    used,
                    task: TaskContext::new("k", space, &Ranking::lower("t")),
                    current: solutions.first().cloned(),
                    history: used.history.then_some(solutions),
                    insights: if advised { insights() } else { Vec::new() },
                });
            }
        }
    }
    all
}

#[test]
fn every_operator_drafts_valid_configurations_or_nothing() {
    let space = space();
    let mut drafted = vec![0; REGISTRY.len()];
    for information in informations(&space) {
        let guidance = Guidance::new(&space, &information.insights);
        let history = History::default();
        let near = information
            .parents()
            .iter()
            .map(|parent| (parent.trial, space.neighbours(&parent.config, Radius::Any)))
            .collect();
        for unrest in [0.0, 1.0] {
            let context = Context {
                space: &space,
                information: &information,
                guidance: &guidance,
                history: &history,
                near: &near,
                unrest,
            };
            for (place, operator) in REGISTRY.iter().enumerate() {
                let draw = |seed| operator.draft(&context, &mut ChaCha8Rng::seed_from_u64(seed));
                for seed in 0..40 {
                    let Some(draft) = draw(seed) else { continue };
                    drafted[place] += 1;
                    let name = operator.name();
                    assert!(space.is_valid(&draft.config), "{name}: {:?}", draft.config);
                    let known = information.parents();
                    let knows = |trial: &u64| known.iter().any(|parent| parent.trial == *trial);
                    assert!(
                        draft.parents.iter().all(knows),
                        "{name} has unknown parents"
                    );
                    let again = draw(seed).map(|again| again.config);
                    assert_eq!(again, Some(draft.config), "{name} is not deterministic");
                }
                for draft in operator.all(&context).unwrap_or_default() {
                    assert!(space.is_valid(&draft.config), "{}", operator.name());
                }
            }
        }
    }
    assert!(drafted.iter().all(|count| *count > 0), "{drafted:?}");
}

#[test]
fn names_are_unique_and_priors_are_qualities() {
    let mut names: Vec<&str> = REGISTRY.iter().map(|operator| operator.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), REGISTRY.len());
    assert!(
        REGISTRY
            .iter()
            .all(|operator| (0.0..=1.0).contains(&operator.prior()))
    );
}
