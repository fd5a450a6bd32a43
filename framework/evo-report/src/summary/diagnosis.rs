//! What rules say of the winner.

use serde::Serialize;

use crate::diagnosis::{of, rules_that_hold, subject};
use crate::model::RunModel;

/// The section on the diagnosis.
#[derive(Serialize)]
pub(super) struct Section {
    name: String,
    rows: Vec<Row>,
    /// Sources that found nothing.
    nothing: Vec<String>,
    /// Rules that could not be judged, and why.
    unjudged: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    statement: String,
    severity: String,
    source: String,
    levers: String,
}

/// `None` where no rules were applied to it.
pub(super) fn section(model: &RunModel) -> Option<Section> {
    let subject = subject(model)?;
    let found = of(model, &subject);
    if found.is_empty() {
        return None;
    }
    let rows = rules_that_hold(model, &subject).into_iter();
    let rows = rows.map(|(diagnosed, diagnosis)| {
        let open = diagnosis.levers.iter().filter(|lever| subject.may(lever));
        let open: Vec<&str> = open.map(String::as_str).collect();
        Row {
            statement: diagnosis.statement.clone(),
            severity: format!("{:.2}", diagnosis.severity),
            source: diagnosed.source.clone(),
            levers: open.join(", "),
        }
    });
    let quiet = found
        .iter()
        .filter(|diagnosed| diagnosed.diagnoses.is_empty());
    let unjudged = found.iter().flat_map(|diagnosed| {
        let rules = diagnosed.unjudged.iter();
        rules.map(|(rule, why)| format!("{rule} ({}): {why}", diagnosed.source))
    });
    Some(Section {
        rows: rows.collect(),
        nothing: quiet.map(|diagnosed| diagnosed.source.clone()).collect(),
        unjudged: unjudged.collect(),
        name: subject.label,
    })
}
