//! What has to be said of baselines: which are absent, which failed, and what stands for a group.

use evo_types::Outcome;

use crate::confirmed::Table;
use crate::failures::reason;
use crate::model::{RunModel, baseline_name};
use crate::text::clip;
use crate::verdict::capitalised;

/// The longest reason in a sentence; the journal has all of it.
const REASON_LIMIT: usize = 300;

/// A baseline's name in the headline, which says so where it stands in for absent ones:
/// `A (math of sdpa-ws, in place of math of torch-sdpa)`.
pub(crate) fn full_name(model: &RunModel, baseline: usize) -> String {
    let name = baseline_name(&model.plan, baseline);
    let planned = model.plan.baselines.get(baseline);
    let absent = model.plan.absent_baselines.iter();
    let first: Vec<String> = absent
        .filter(|absent| planned.is_some_and(|planned| planned.label == absent.label))
        .map(|absent| absent.words())
        .collect();
    match name.strip_suffix(')') {
        Some(open) if !first.is_empty() => {
            format!("{open}, in place of {})", first.join(" and "))
        }
        _ => name,
    }
}

/// `; there is no figure over B`, for the columns of a spec that a comparison lacks.
pub(crate) fn without(model: &RunModel, table: &Table) -> String {
    let mut missing: Vec<String> = Vec::new();
    for (place, reference) in model.references.iter().enumerate() {
        if table.standing_for(place).is_none() {
            missing.push(reference.name.clone());
        }
    }
    missing.extend(absent_columns(model));
    if missing.is_empty() {
        String::new()
    } else {
        format!("; there is no figure over {}", missing.join(" and "))
    }
}

/// The columns of the spec of which no baseline could be had.
pub(crate) fn absent_columns(model: &RunModel) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for absent in &model.plan.absent_baselines {
        let mut had = model.references.iter().map(|reference| &reference.name);
        if !had.any(|name| *name == absent.letter) && !columns.contains(&absent.letter) {
            columns.push(absent.letter.clone());
        }
    }
    columns
}

/// Sentences on baselines that are absent, that failed in the last comparison, and on groups of
/// which nothing is left.
pub(crate) fn remarks(model: &RunModel) -> Vec<String> {
    let mut remarks: Vec<String> = model
        .plan
        .absent_baselines
        .iter()
        .map(|absent| {
            let sentence = clip(&model.plan.absence(absent), REASON_LIMIT);
            capitalised(&format!("{sentence}."))
        })
        .collect();
    let ranked_shape_only = model.plan.baselines.iter().enumerate();
    let ranked_shape_only: Vec<String> = ranked_shape_only
        .filter(|(_, baseline)| baseline.is_for_ranked_shape_only())
        .map(|(place, _)| baseline_name(&model.plan, place))
        .collect();
    if !ranked_shape_only.is_empty() {
        remarks.push(format!(
            "Checked on the ranked shape alone, as the spec says: {}.",
            ranked_shape_only.join(", ")
        ));
    }
    if let Some(table) = model.last_comparison() {
        remarks.extend(failed(model, table));
        remarks.extend(groups(model, table));
    }
    remarks.extend(absent_columns(model).into_iter().map(|column| {
        format!("There is no column for {column}: none of its baselines could be had.")
    }));
    remarks
}

/// The baselines that a comparison has no figure of.
fn failed(model: &RunModel, table: &Table) -> Vec<String> {
    let rows = table.rows.iter().filter(|row| row.figures.is_none());
    rows.filter_map(|row| {
        let planned = model.plan.baselines.get(row.baseline?)?;
        let optional = if planned.is_optional() {
            "the optional baseline"
        } else {
            "the baseline"
        };
        let name = row.name(&model.plan);
        let said = why(&row.outcome);
        Some(capitalised(&format!(
            "{optional} {name} has no figure: {said}."
        )))
    })
    .collect()
}

/// What stands for each group, or that nothing does.
fn groups(model: &RunModel, table: &Table) -> Vec<String> {
    let is_group = |members: &[usize]| {
        let mut members = members
            .iter()
            .filter_map(|it| model.plan.baselines.get(*it));
        members.any(|member| member.group().is_some())
    };
    let references = model.references.iter().enumerate();
    references
        .filter(|(_, reference)| is_group(&reference.members))
        .map(|(place, reference)| match table.standing_for(place) {
            Some(best) => {
                let name = baseline_name(&model.plan, best);
                let of = reference.members.len();
                format!(
                    "{name} stands for the group {}: the best of {of}.",
                    reference.name
                )
            }
            None => format!(
                "There is no column for the group {}: none of its baselines has a figure.",
                reference.name
            ),
        })
        .collect()
}

/// Why the baselines that a target means have no figure in a comparison.
pub(crate) fn why_none(model: &RunModel, over: &str, table: &Table) -> String {
    let members = model.plan.baselines_of(over);
    let mut reasons: Vec<String> = Vec::new();
    for member in &members {
        let name = baseline_name(&model.plan, *member);
        let said = table
            .baseline(*member)
            .map_or_else(|| "was not compared".to_owned(), |row| why(&row.outcome));
        reasons.push(if members.len() > 1 {
            format!("{name}: {said}")
        } else {
            said
        });
    }
    let absent = model.plan.absent_baselines.iter();
    let absent = absent.filter(|it| it.label == over || it.group.as_deref() == Some(over));
    reasons.extend(absent.map(|absent| {
        let reason = absent.short_reason();
        clip(
            &format!("{} is absent: {reason}", absent.words()),
            REASON_LIMIT,
        )
    }));
    reasons.join("; ")
}

/// `wrong result, relative error 3.4e-2`.
fn why(outcome: &Outcome) -> String {
    let kind = outcome.kind().words();
    let reason = clip(&reason(outcome), REASON_LIMIT);
    let reason = reason.trim_end_matches('.');
    if reason.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}, {reason}")
    }
}
