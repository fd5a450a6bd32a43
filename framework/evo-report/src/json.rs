//! The summary for scripts.

use evo_types::OutcomeKind;
use serde_json::{Map, Value, json};

use crate::by_kernel;
use crate::confirmed::{Row, Table};
use crate::failures::reason;
use crate::headline::headline;
use crate::model::{RunModel, State};
use crate::ratio::{Ratio, Rival};
use crate::text::plain;

/// The version of the keys of [`summary_json`].
const SCHEMA: u32 = 1;

/// The summary of a run for scripts. Keys stay as they are under one `schema`; new ones may be
/// added. A key whose value is unknown is there with `null`.
///
/// | key | value |
/// |---|---|
/// | `schema` | 1 |
/// | `run`, `evo`, `seed`, `preset` | name of the run, version of the program, seed, preset |
/// | `state` | `finished`, `interrupted` or `unfinished`; `reason` says why |
/// | `headline` | one sentence |
/// | `metric` | `name`, `unit`, `direction` (`lower` or `higher`) of the ranked metric |
/// | `confirmed` | whether the figures of `winner` come from a confirmation |
/// | `winner` | a candidate (below), or null without a confirmation |
/// | `winner_over_default` | `estimate`, `ci_low`, `ci_high`, `distinguishable`; or null |
/// | `default`, `baselines`, `finalists` | candidates of the confirmation; baselines of the start where there is none. `default` is that of the winner's candidate |
/// | `references` | what candidates are compared with: `name`, `members` (labels of baselines), `standing` (the label of the one that stands for them in the comparison, or null) |
/// | `absent_baselines` | optional baselines that could not be had: `label`, `column`, `group`, `kernel`, `plugin`, `reason`, `stand_in` (`kernel` and `plugin`, or null) |
/// | `by_kernel` | the best of each tuned candidate in the confirmation (below) |
/// | `best_of_search` | `trial`, `candidate`, `params`, `value`, `ci_low`, `ci_high`, `speedup` by the figures of the search |
/// | `target` | `speedup`, `over`, `verdict` (`met`, `not met`, `valid negative`, `not confirmed`), `reached`, `explanation`; or null |
/// | `trials` | `proposed`, `counted`, `pending`, and one count for each kind of outcome |
/// | `budget` | `trials`, `wall_s`, `device_s`, each with `used` and `limit` |
/// | `knobs` | what the builds say of the parameters of each candidate; empty where the journal does not say what was built |
/// | `elapsed_s` | seconds of run time over all resumptions |
/// | `warnings` | texts |
///
/// A candidate has `label`, `baseline` (letter, or the name of its group, or null), `trial`,
/// `candidate` (the label of what is tuned, or null), `kernel`, `params`, `default`,
/// `outcome` (kind), `reason` (of a failure), `value`, `ci_low`, `ci_high`, `p90`, `mean`,
/// `samples` (number), `speedup` (by the name of a reference: `estimate`, `ci_low`, `ci_high`,
/// `rounds`) and `error` (the error figures of its checks).
///
/// An entry of `by_kernel` has `candidate`, `label`, `trial`, `value`, `ci_low`, `ci_high`,
/// `speedup`, `over_winner` and `over_default` (`estimate`, `ci_low`, `ci_high`, `distinguishable`;
/// or null) and `verdict` (`winner`, `faster`, `slower`, `not distinguishable`, `too few rounds to
/// tell`).
///
/// An entry of `knobs` has `candidate`, `configurations` (built), `executions` and `codes` (distinct
/// among them) and `params`: the fields of [`Knob`](crate::knobs::Knob).
pub fn summary_json(model: &RunModel) -> Value {
    let table = model.confirmation.as_ref();
    let candidate = |row: &Row| candidate(model, row);
    let rows = |rows: Vec<&Row>| -> Vec<Value> { rows.into_iter().map(candidate).collect() };
    let compared = model.last_comparison();
    let finalists = table.map(|table| rows(table.finalists(&model.metric)));
    let default = table.and_then(|table| table.default(&model.metric));
    let reason = match &model.state {
        State::Finished { reason } => Some(reason),
        State::Interrupted { by } => Some(by),
        State::Unfinished => None,
    };
    json!({
        "schema": SCHEMA,
        "run": model.header.run,
        "evo": model.header.evo,
        "seed": model.plan.seed,
        "preset": model.plan.preset,
        "state": model.state.word(),
        "reason": reason,
        "headline": headline(model),
        "metric": {
            "name": model.metric.name,
            "unit": model.metric.unit,
            "direction": if model.metric.higher { "higher" } else { "lower" },
        },
        "confirmed": table.is_some_and(|table| table.winner.is_some()),
        "winner": table.and_then(Table::winner).map(candidate),
        "winner_over_default": table.and_then(Table::winner_against_default).map(rival),
        "default": default.map(candidate),
        "baselines": compared.map(|table| {
            rows(table.rows.iter().filter(|row| row.baseline.is_some()).collect())
        }).unwrap_or_default(),
        "references": references(model),
        "absent_baselines": absent(model),
        "finalists": finalists.unwrap_or_default(),
        "by_kernel": by_kernel::json(model),
        "best_of_search": best_of_search(model),
        "target": target(model),
        "trials": trials(model),
        "budget": budget(model),
        "knobs": model.knobs(),
        "elapsed_s": model.elapsed_s,
        "warnings": model.warnings.iter().map(|warning| plain(warning)).collect::<Vec<_>>(),
    })
}

/// A candidate of a comparison.
fn candidate(model: &RunModel, row: &Row) -> Value {
    let mut document = json!({
        "label": row.label,
        "baseline": row.baseline.map(|position| model.plan.baseline_letter(position)),
        "trial": row.trial,
        "candidate": row.candidate,
        "kernel": row.kernel,
        "params": row.params,
        "default": row.is_default,
    });
    if let (Value::Object(all), Value::Object(figures)) = (&mut document, figures(model, row)) {
        all.extend(figures);
    }
    document
}

/// One candidate against another.
pub(crate) fn rival(rival: &Rival) -> Value {
    json!({
        "estimate": rival.estimate,
        "ci_low": rival.interval.map(|interval| interval.0),
        "ci_high": rival.interval.map(|interval| interval.1),
        "distinguishable": rival.distinguishable,
    })
}

fn references(model: &RunModel) -> Vec<Value> {
    let label = |position: usize| model.plan.baselines.get(position).map(|it| &it.label);
    let references = model.references.iter().enumerate();
    references
        .map(|(place, reference)| {
            let table = model.last_comparison();
            let standing = table.and_then(|table| table.standing_for(place));
            let members: Vec<_> = reference.members.iter().map(|it| label(*it)).collect();
            json!({
                "name": reference.name,
                "members": members,
                "standing": standing.and_then(label),
            })
        })
        .collect()
}

fn absent(model: &RunModel) -> Vec<Value> {
    let absent = model.plan.absent_baselines.iter();
    absent
        .map(|absent| {
            let stand_in = model.plan.stand_in(absent);
            json!({
                "label": absent.label,
                "column": absent.letter,
                "group": absent.group,
                "kernel": absent.kernel,
                "plugin": absent.plugin,
                "reason": plain(&absent.reason),
                "stand_in": stand_in.map(|it| json!({ "kernel": it.kernel, "plugin": it.plugin })),
            })
        })
        .collect()
}

/// What a comparison says of a candidate.
pub(crate) fn figures(model: &RunModel, row: &Row) -> Value {
    let figures = row.figures.as_ref();
    let summary = figures.and_then(|figures| figures.summary.as_ref());
    let interval = figures.and_then(|figures| figures.interval);
    let failure = plain(&reason(&row.outcome));
    json!({
        "outcome": row.outcome.kind(),
        "reason": (!failure.is_empty()).then_some(failure),
        "value": figures.map(|figures| figures.p50),
        "ci_low": interval.map(|interval| interval.0),
        "ci_high": interval.map(|interval| interval.1),
        "p90": summary.map(|summary| summary.p90),
        "mean": summary.map(|summary| summary.mean),
        "samples": figures.map(|figures| figures.samples.len()),
        "speedup": speedups(model, row),
        "error": row.outcome.measurement().and_then(|found| found.error.as_ref()),
    })
}

/// Ratios by the reference's name.
pub(crate) fn speedups(model: &RunModel, row: &Row) -> Value {
    let entry = |ratio: &Ratio| {
        json!({
            "estimate": ratio.estimate,
            "ci_low": ratio.interval.map(|interval| interval.0),
            "ci_high": ratio.interval.map(|interval| interval.1),
            "rounds": ratio.rounds,
        })
    };
    let references = model.references.iter().enumerate();
    let entries: Map<String, Value> = references
        .map(|(place, reference)| (reference.name.clone(), row.over(place).map(entry).into()))
        .collect();
    Value::Object(entries)
}

fn best_of_search(model: &RunModel) -> Option<Value> {
    let (trial, figure) = model.best_of_search()?;
    let references = model.references.iter().enumerate();
    let speedup: Map<String, Value> = references
        .map(|(place, reference)| {
            let speedup = model.search_speedup(figure.value, place);
            (reference.name.clone(), speedup.into())
        })
        .collect();
    Some(json!({
        "trial": trial.number(),
        "candidate": trial.proposed.candidate,
        "params": trial.proposed.params,
        "value": figure.value,
        "ci_low": figure.ci_low,
        "ci_high": figure.ci_high,
        "speedup": speedup,
    }))
}

fn target(model: &RunModel) -> Option<Value> {
    let target = model.target()?;
    Some(json!({
        "speedup": target.wanted,
        "over": target.over,
        "verdict": target.status.words(),
        "reached": target.reached.as_ref().map(|reached| json!({
            "estimate": reached.estimate,
            "ci_low": reached.interval.map(|interval| interval.0),
            "ci_high": reached.interval.map(|interval| interval.1),
        })),
        "explanation": target.explanation,
    }))
}

fn trials(model: &RunModel) -> Value {
    let mut counts = Map::new();
    counts.insert("proposed".to_owned(), model.trials.len().into());
    counts.insert("counted".to_owned(), model.budget.trials.into());
    counts.insert("pending".to_owned(), model.pending().into());
    for kind in OutcomeKind::ALL {
        if let Ok(Value::String(name)) = serde_json::to_value(kind) {
            counts.insert(name, model.count(kind).into());
        }
    }
    Value::Object(counts)
}

fn budget(model: &RunModel) -> Value {
    let used = &model.budget;
    json!({
        "trials": { "used": used.trials, "limit": used.limits.trials },
        "wall_s": { "used": used.wall_s, "limit": used.limits.wall_s },
        "device_s": { "used": used.device_s, "limit": used.limits.device_s },
    })
}
