//! The sentence that a report begins with.

use evo_types::OutcomeKind;

use crate::baselines::{full_name, without};
use crate::confirmed::{Row, Table};
use crate::failures::counts_in_words;
use crate::format::{Scale, count, ratio, ratio_with_interval, seconds_per};
use crate::grid::shown;
use crate::model::RunModel;
use crate::text::plain;

/// One sentence that says what came out, in plain text.
pub fn headline(model: &RunModel) -> String {
    let sentence = match (&model.confirmation, model.best_of_search()) {
        (Some(table), _) => match table.winner() {
            Some(winner) => confirmed(model, table, winner),
            None => format!(
                "No finalist passed the confirmation; {}.",
                evicted_in_words(model, table)
            ),
        },
        (None, Some(_)) => from_search(model),
        (None, None) if model.trials.is_empty() => "Nothing was evaluated yet.".to_owned(),
        (None, None) => {
            format!(
                "No trial gave a correct result: {}.",
                counts_in_words(model)
            )
        }
    };
    plain(&sentence)
}

fn confirmed(model: &RunModel, table: &Table, winner: &Row) -> String {
    let name = winner.name(&model.plan);
    let unit = &model.metric.unit;
    let time = winner
        .figures
        .as_ref()
        .map_or_else(String::new, |figures| shown(figures, unit));
    let over: Vec<String> = (0..model.references.len())
        .filter_map(|place| {
            let speedup = winner.over(place)?;
            let baseline = table.standing_for(place)?;
            let shown = ratio_with_interval(speedup.estimate, speedup.interval);
            Some(format!("{shown} over {}", full_name(model, baseline)))
        })
        .collect();
    let over = if over.is_empty() {
        String::new()
    } else {
        format!(", {}", over.join(" and "))
    };
    // With several candidates there are several defaults.
    let its = if model.has_several_candidates() {
        "its own"
    } else {
        "the"
    };
    let default = if winner.is_default {
        format!("; it is {its} default configuration: the search found nothing better")
    } else {
        match table.winner_against_default() {
            Some(rival) if rival.distinguishable == Some(false) => {
                format!("; it is not distinguishable from {its} default configuration")
            }
            Some(rival) => {
                let shown = ratio_with_interval(rival.estimate, rival.interval);
                format!("; {shown} over {its} default configuration")
            }
            None => String::new(),
        }
    };
    let verb = if seconds_per(unit).is_some() {
        "takes"
    } else {
        "reaches"
    };
    let without = without(model, table);
    format!("Confirmed: {name} {verb} {time}{over}{default}{without}.")
}

fn from_search(model: &RunModel) -> String {
    let Some((trial, figure)) = model.best_of_search() else {
        return String::new();
    };
    let scale = Scale::of(figure.value, &model.metric.unit);
    let over: Vec<String> = (0..model.references.len())
        .filter_map(|place| {
            let speedup = model.search_speedup(figure.value, place)?;
            let baseline = model.baselines.as_ref()?.standing_for(place)?;
            let name = full_name(model, baseline);
            Some(format!("about {} over {name}", ratio(speedup)))
        })
        .collect();
    let over = if over.is_empty() {
        String::new()
    } else {
        format!(" ({})", over.join(", "))
    };
    format!(
        "Not confirmed: the best of {} in the search is {} with {} {}{over}.",
        count(model.count(OutcomeKind::Measured), "measured trial"),
        trial.name(),
        model.metric.name,
        scale.with_interval(figure.value, figure.ci_low.zip(figure.ci_high)),
    )
}

fn evicted_in_words(model: &RunModel, table: &Table) -> String {
    let words: Vec<String> = table
        .evicted()
        .map(|row| format!("{}: {}", row.name(&model.plan), row.outcome.kind().words()))
        .collect();
    if words.is_empty() {
        "none was compared".to_owned()
    } else {
        words.join(", ")
    }
}
