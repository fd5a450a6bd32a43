//! Spaces and objectives for the engine's tests.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at once")]

use std::sync::Arc;

use evo_core::engine::{Ask, Budget, Campaign, Cost, EngineSettings, Preset, Proposal, Ranking};
use evo_core::space::{Env, Space};
use evo_types::{Direction, Measurement, Metric, Outcome, Value};

pub(crate) fn parse(text: &str) -> Arc<Space> {
    match Space::parse(text, "test.ron", &Env::default()) {
        Ok(space) => Arc::new(space),
        Err(errors) => panic!("{errors}"),
    }
}

/// 24 configurations without constraints, unordered and ordered.
pub(crate) fn small() -> Arc<Space> {
    parse(
        r#"(name: "small", params: [
            (name: "A", values: [1, 2, 4, 8]),
            (name: "B", values: ["x", "y", "z"]),
            (name: "C", values: [false, true]),
        ])"#,
    )
}

/// About half of 5 * 5 * 4 * 2 configurations.
pub(crate) fn constrained() -> Arc<Space> {
    parse(
        r#"(name: "constrained", params: [
            (name: "A", values: [16, 32, 48, 64, 96], default: 32),
            (name: "B", values: [1, 2, 3, 4, 8]),
            (name: "C", values: ["p", "q", "r", "s"]),
            (name: "D", values: [false, true]),
        ], constraints: [
            (expr: "A * B <= 192", reason: "fits"),
            (expr: "not D or B != 3", reason: "odd"),
        ])"#,
    )
}

/// Parameters that exist only with others.
pub(crate) fn conditional() -> Arc<Space> {
    parse(
        r#"(name: "conditional", params: [
            (name: "WS", values: [false, true]),
            (name: "PROD", values: [1, 2, 3], when: "WS"),
            (name: "TILE", pow2: (from: 8, to: 128)),
            (name: "ORDER", values: ["row", "col"], when: "not WS"),
        ], constraints: [(expr: "TILE >= 16 or not WS", reason: "big enough")])"#,
    )
}

/// 14,400 configurations.
pub(crate) fn large() -> Arc<Space> {
    parse(
        r#"(name: "large", params: [
            (name: "A", pow2: (from: 1, to: 512)),
            (name: "B", values: ["x", "y", "z", "w"]),
            (name: "C", range: (from: 1, to: 12)),
            (name: "D", range: (from: 1, to: 6)),
            (name: "E", values: [1, 3, 5, 7, 9]),
        ])"#,
    )
}

/// A product of ordered parameters of the given sizes.
pub(crate) fn product(sizes: &[usize]) -> Arc<Space> {
    let params: Vec<String> = sizes
        .iter()
        .enumerate()
        .map(|(place, size)| format!("(name: \"P{place}\", range: (from: 1, to: {size}))"))
        .collect();
    parse(&format!(
        "(name: \"product\", params: [{}])",
        params.join(", ")
    ))
}

/// What trials come to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Objective {
    /// A smooth landscape with some interaction.
    Smooth,
    /// The smooth one, with failures here and there.
    Patchy,
    /// The smooth one, but three quarters fail: whatever has a `B` other than `y`.
    FailsForB,
    /// Everything is equally good.
    Flat,
    /// Everything fails.
    AllFail,
}

pub(crate) fn settings(preset: Preset, budget: Budget) -> EngineSettings {
    EngineSettings::new(preset, Ranking::lower("time"), budget)
}

pub(crate) fn measured(value: f64) -> Outcome {
    Outcome::Measured(Measurement {
        metrics: vec![Metric::new("time", "us", Direction::Lower, value)],
        error: None,
        execution: None,
        recheck_seed: None,
        raced_out: false,
        converged: true,
    })
}

pub(crate) fn failed() -> Outcome {
    Outcome::BuildFailed {
        message: "no".to_owned(),
        log: String::new(),
    }
}

pub(crate) fn evaluate(proposal: &Proposal, objective: Objective) -> Outcome {
    let mut value = 10.0;
    for (place, (name, parameter)) in proposal.params.iter().enumerate() {
        value += match parameter {
            Value::Int(number) => {
                let x = (*number as f64).log2();
                (x - 2.0 - place as f64 * 0.5).powi(2)
            }
            Value::Float(number) => *number,
            Value::Bool(on) => f64::from(u8::from(*on)),
            Value::Name(word) => (word.len() + usize::from(word.as_str() != "y")) as f64,
        } * if name == "A" { 2.0 } else { 1.0 };
    }
    let digest = proposal.id.as_str().as_bytes()[0];
    match objective {
        Objective::Smooth => measured(value),
        Objective::Patchy if digest.is_multiple_of(5) => failed(),
        Objective::Patchy => measured(value),
        Objective::FailsForB if proposal.params.get("B") == Some(&Value::from("y")) => {
            measured(value)
        }
        Objective::FailsForB => failed(),
        Objective::Flat => measured(1.0),
        Objective::AllFail => failed(),
    }
}

/// Asks and tells, one after the other, until the campaign has no further proposal.
pub(crate) fn tell_all(campaign: &mut Campaign, objective: Objective) -> Vec<Proposal> {
    let mut proposals = Vec::new();
    while let Ask::Propose(proposal) = campaign.ask() {
        let cost = Cost {
            wall_s: 1.0,
            device_s: 0.5,
        };
        campaign
            .tell(proposal.trial, &evaluate(&proposal, objective), cost)
            .unwrap();
        proposals.push(proposal);
    }
    proposals
}

/// The proposals of one search.
pub(crate) fn run(
    space: &Arc<Space>,
    preset: Preset,
    seed: u64,
    trials: u64,
    objective: Objective,
) -> Vec<Proposal> {
    let settings = settings(preset, Budget::trials(trials));
    tell_all(
        &mut Campaign::single("k", Arc::clone(space), settings, seed),
        objective,
    )
}
