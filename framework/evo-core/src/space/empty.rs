//! Explaining why a space has no valid configuration.

use super::constraint::Constraint;
use super::diagnostic::{Fault, Span};
use super::expr::names::Names;
use super::model::Model;
use super::search::NotFound;

/// Options tried to find the constraints that are impossible alone, and as many again to narrow
/// down a set that is impossible together.
const EFFORT: u64 = 5_000_000;

/// Subsets beyond this many constraints are named without being narrowed down.
const MOST_NARROWED: usize = 64;

/// One or more errors that name the constraints to blame.
pub(super) fn explain(
    model: &Model,
    found: NotFound,
    constraints: &[Constraint],
    spans: &[Span],
    names: &Names,
) -> Vec<Fault> {
    let share = EFFORT / constraints.len().max(1) as u64;
    let alone: Vec<usize> = (0..constraints.len())
        .filter(|index| model.certainly_empty(&[*index], share))
        .collect();
    if !alone.is_empty() {
        let fault = |index: &usize| {
            let fault = Fault::new(
                spans[*index],
                "this constraint excludes every configuration",
            )
            .label(label(model, *index, &constraints[*index].text, names));
            with_reason(fault, &constraints[*index])
        };
        return alone.iter().map(fault).collect();
    }
    if !found.certain {
        return vec![undecided(&found, constraints, spans)];
    }
    let blamed = narrow(model, found.constraints);
    let Some(last) = blamed.iter().copied().max() else {
        return Vec::new();
    };
    let message = format!(
        "these {} constraints together exclude every configuration",
        blamed.len()
    );
    let fault = Fault::new(spans[last], message).label("the last of them");
    vec![blamed.iter().fold(fault, |fault, index| {
        fault.note(place(&constraints[*index]))
    })]
}

/// What the constraint comes to with the default values.
fn label(model: &Model, index: usize, text: &str, names: &Names) -> String {
    let choices = model.canonical(&[]);
    let detail = model.detail(index, &choices, text, names);
    match (
        detail.is_empty(),
        model.constraints[index].mentions().is_empty(),
    ) {
        (true, _) => String::new(),
        (false, true) => detail,
        (false, false) => format!("with the defaults: {detail}"),
    }
}

fn with_reason(fault: Fault, constraint: &Constraint) -> Fault {
    if constraint.reason.is_empty() {
        return fault;
    }
    fault.note(format!("reason: {}", constraint.reason))
}

fn place(constraint: &Constraint) -> String {
    let Constraint {
        text,
        reason,
        line,
        column,
    } = constraint;
    let reason = if reason.is_empty() {
        String::new()
    } else {
        format!(" ({reason})")
    };
    format!("{line}:{column}: {text}{reason}")
}

/// Leaves out every constraint without which the rest is still empty.
fn narrow(model: &Model, constraints: Vec<usize>) -> Vec<usize> {
    let mut kept = constraints;
    kept.sort_unstable();
    kept.dedup();
    if kept.len() > MOST_NARROWED {
        return kept;
    }
    let share = EFFORT / kept.len().max(1) as u64;
    for candidate in kept.clone() {
        let rest: Vec<usize> = kept
            .iter()
            .copied()
            .filter(|index| *index != candidate)
            .collect();
        if model.certainly_empty(&rest, share) {
            kept = rest;
        }
    }
    kept
}

/// The bounded search found nothing, and does not know that there is nothing.
fn undecided(found: &NotFound, constraints: &[Constraint], spans: &[Span]) -> Fault {
    let mut refusing: Vec<usize> = found.constraints.clone();
    refusing.sort_by_key(|index| std::cmp::Reverse(found.refusals.get(*index).copied()));
    refusing.dedup();
    let span = refusing
        .first()
        .map_or(Span::new(0, 0), |index| spans[*index]);
    let tried: u64 = found.refusals.iter().sum();
    let fault = Fault::new(span, "no valid configuration was found")
        .label("this constraint refused the most")
        .note(format!(
            "{tried} partial configurations were refused before the search gave up"
        ));
    let worst = refusing.iter().take(3);
    worst.fold(fault, |fault, index| {
        let refusals = found.refusals.get(*index).copied().unwrap_or(0);
        fault.note(format!(
            "{refusals} refused by {}",
            place(&constraints[*index])
        ))
    })
}
