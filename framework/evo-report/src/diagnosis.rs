//! What rules say of the candidate that the report is about, and what to try next.

use evo_journal::{Diagnosed, InsightLine};
use evo_types::Params;

use crate::format::ratio;
use crate::model::RunModel;

/// The next levers that a report names.
const LEVERS: usize = 3;

/// What the report is about: the winner of the confirmation, else the best of the search.
pub(crate) struct Subject<'a> {
    pub(crate) label: String,
    trial: Option<u64>,
    params: &'a Params,
}

pub(crate) fn subject(model: &RunModel) -> Option<Subject<'_>> {
    if let Some(winner) = model.confirmation.as_ref().and_then(|table| table.winner()) {
        return Some(Subject {
            label: winner.label.clone(),
            trial: winner.trial,
            params: &winner.params,
        });
    }
    let (trial, _) = model.best_of_search()?;
    Some(Subject {
        label: trial.name(),
        trial: Some(trial.number()),
        params: &trial.proposed.params,
    })
}

/// The last word of each source on a candidate, the severest diagnosis first.
pub(crate) fn of<'a>(model: &'a RunModel, subject: &Subject<'_>) -> Vec<&'a Diagnosed> {
    let own = |diagnosed: &&Diagnosed| match diagnosed.trial {
        Some(trial) => subject.trial == Some(trial),
        None => subject.trial.is_none() && diagnosed.label == subject.label,
    };
    let mut found: Vec<&Diagnosed> = Vec::new();
    for diagnosed in model.diagnoses.iter().filter(own) {
        found.retain(|earlier| earlier.source != diagnosed.source);
        found.push(diagnosed);
    }
    let worst = |it: &&Diagnosed| it.diagnoses.first().map_or(0.0, |first| first.severity);
    found.sort_by(|a, b| worst(b).total_cmp(&worst(a)));
    found
}

/// What to try next: levers of diagnoses, then what the history of trials says pays, without what the
/// subject already does.
pub(crate) fn levers(model: &RunModel) -> Vec<String> {
    let Some(subject) = subject(model) else {
        return Vec::new();
    };
    let mut lines: Vec<(f64, String)> = Vec::new();
    for diagnosed in of(model, &subject) {
        for diagnosis in &diagnosed.diagnoses {
            let open = diagnosis
                .levers
                .iter()
                .filter(|lever| is_open(lever, subject.params));
            let words: Vec<&str> = open.map(String::as_str).collect();
            if !words.is_empty() {
                let line = format!(
                    "{} ({}; severity {:.2}, by {})",
                    words.join(", or "),
                    diagnosis.statement,
                    diagnosis.severity,
                    diagnosed.source
                );
                lines.push((1.0 + diagnosis.severity, line));
            }
        }
    }
    let insights = model
        .snapshots
        .iter()
        .flat_map(|snapshot| &snapshot.insights);
    // Those of builds and profilers are the diagnoses above.
    let of_history = insights.filter(|it| {
        let diagnosed = it.source == "build" || it.source.starts_with("profiler ");
        !diagnosed && (it.lever.is_empty() || is_open(&it.lever, subject.params))
    });
    lines.extend(of_history.map(|insight| (insight.strength, line(insight))));
    lines.sort_by(|a, b| b.0.total_cmp(&a.0));
    lines
        .into_iter()
        .take(LEVERS)
        .map(|(_, line)| line)
        .collect()
}

/// An insight with what it is expected to change.
fn line(insight: &InsightLine) -> String {
    let expected =
        (insight.effect < 0.0).then(|| format!("; {} on average", ratio((-insight.effect).exp())));
    let expected = expected.unwrap_or_default();
    if insight.lever.is_empty() {
        return format!("{} ({})", insight.statement, insight.source);
    }
    format!(
        "{} ({}; {}{expected})",
        insight.lever, insight.statement, insight.source
    )
}

/// Whether a candidate with these parameters does not do it yet.
fn is_open(lever: &str, params: &Params) -> bool {
    if let Some((name, value)) = lever.strip_prefix("set ").and_then(|it| it.split_once('=')) {
        return params.get(name).is_some_and(|own| own.to_string() != value);
    }
    if let Some((name, value)) = lever
        .strip_prefix("avoid ")
        .and_then(|it| it.split_once('='))
    {
        return params.get(name).is_some_and(|own| own.to_string() == value);
    }
    let named = lever
        .strip_prefix("raise ")
        .or(lever.strip_prefix("lower "));
    named.is_some_and(|name| params.contains_key(name))
}

#[cfg(test)]
mod tests {
    use evo_types::Value;

    use super::*;

    #[test]
    fn what_a_candidate_already_does_is_no_lever() {
        let params: Params = [
            ("A".to_owned(), Value::Int(2)),
            ("L".to_owned(), Value::from("row")),
        ]
        .into();
        let open = |lever: &str| is_open(lever, &params);
        assert!(!open("set A=2") && open("set A=4") && open("set L=col"));
        assert!(open("avoid A=2") && !open("avoid A=4"));
        assert!(open("raise A") && open("lower A"));
        // It is not active, or not there at all.
        assert!(!open("raise B") && !open("set B=1") && !open("leave A"));
    }
}
