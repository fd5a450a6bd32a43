//! What rules say of the candidate that the report is about, and what to try next.

use std::collections::BTreeMap;

use evo_journal::{Diagnosed, DiagnosisLine, InsightLine, Snapshot};
use evo_types::Params;

use crate::format::ratio;
use crate::model::RunModel;

/// The next levers that a report names.
const LEVERS: usize = 3;
/// The bottlenecks that it names.
const BOTTLENECKS: usize = 3;
/// The credit of an insight that was not tried yet.
const NEUTRAL: f64 = 0.5;

/// What the report is about: the winner of the confirmation, else the best of the search.
pub(crate) struct Subject<'a> {
    pub(crate) label: String,
    /// The tuned candidate; empty for a baseline.
    candidate: String,
    trial: Option<u64>,
    params: &'a Params,
    /// The least and the greatest number that each parameter had in a trial of this candidate.
    range: BTreeMap<&'a str, (f64, f64)>,
}

impl Subject<'_> {
    /// Whether it does not pull this lever yet.
    pub(crate) fn may(&self, lever: &str) -> bool {
        is_open(lever, self.params) && self.leads_on(lever)
    }

    /// Whether a parameter can be raised or lowered further, as far as trials show.
    fn leads_on(&self, lever: &str) -> bool {
        let of = |name: &str| Some((self.params.get(name)?.as_float()?, *self.range.get(name)?));
        if let Some(name) = lever.strip_prefix("raise ") {
            return of(name).is_some_and(|(own, (_, most))| own < most);
        }
        let name = lever.strip_prefix("lower ");
        name.is_none_or(|name| of(name).is_some_and(|(own, (least, _))| own > least))
    }
}

pub(crate) fn subject(model: &RunModel) -> Option<Subject<'_>> {
    if let Some(winner) = model.confirmation.as_ref().and_then(|table| table.winner()) {
        return Some(Subject {
            label: winner.label.clone(),
            candidate: winner.candidate.clone().unwrap_or_default(),
            trial: winner.trial,
            params: &winner.params,
            range: range(model, winner.candidate.as_deref().unwrap_or_default()),
        });
    }
    let (trial, _) = model.best_of_search()?;
    Some(Subject {
        label: trial.name(),
        candidate: trial.proposed.candidate.clone(),
        trial: Some(trial.number()),
        params: &trial.proposed.params,
        range: range(model, &trial.proposed.candidate),
    })
}

fn range<'a>(model: &'a RunModel, candidate: &str) -> BTreeMap<&'a str, (f64, f64)> {
    let mut range: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let own = model
        .trials
        .iter()
        .filter(|it| it.proposed.candidate == candidate);
    for (name, value) in own.flat_map(|trial| &trial.proposed.params) {
        if let Some(number) = value.as_float() {
            let (least, most) = range.entry(name).or_insert((number, number));
            *least = least.min(number);
            *most = most.max(number);
        }
    }
    range
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

/// The statements of the severest rules that hold for the subject, each once.
pub(crate) fn bottlenecks(model: &RunModel, subject: &Subject<'_>) -> Vec<String> {
    let mut said: Vec<(f64, String)> = Vec::new();
    for (diagnosed, diagnosis) in rules_that_hold(model, subject) {
        let statement = crate::verdict::capitalised(&diagnosis.statement);
        let line = format!(
            "{statement} (severity {:.2}, by {}).",
            diagnosis.severity, diagnosed.source
        );
        said.push((diagnosis.severity, line));
    }
    first(said, BOTTLENECKS)
}

/// The rules that hold, the severest first. What two sources say in the same words is said once.
pub(crate) fn rules_that_hold<'a>(
    model: &'a RunModel,
    subject: &Subject<'_>,
) -> Vec<(&'a Diagnosed, &'a DiagnosisLine)> {
    let mut found: Vec<(&Diagnosed, &DiagnosisLine)> = Vec::new();
    for diagnosed in of(model, subject) {
        for diagnosis in &diagnosed.diagnoses {
            if found
                .iter()
                .all(|(_, other)| other.statement != diagnosis.statement)
            {
                found.push((diagnosed, diagnosis));
            }
        }
    }
    found.sort_by(|a, b| b.1.severity.total_cmp(&a.1.severity));
    found
}

/// A lever that the subject does not pull yet.
struct Idea {
    lever: String,
    /// How much it promises: the severity of what it is for, or the influence of an insight.
    score: f64,
    /// The logarithm of the ratio of the ranked metric that trials with it had, negative for better.
    effect: Option<f64>,
    /// Who says so, in words.
    why: Vec<String>,
}

/// What to try next: levers of diagnoses and what the history of trials says pays, without what the subject
/// already does and what its own trials speak against.
pub(crate) fn levers(model: &RunModel, subject: &Subject<'_>) -> Vec<String> {
    let own = |snapshot: &&Snapshot| snapshot.candidate == subject.candidate;
    let insights: Vec<&InsightLine> = model
        .snapshots
        .iter()
        .filter(own)
        .flat_map(|snapshot| &snapshot.insights)
        .collect();
    let mut ideas: Vec<Idea> = Vec::new();
    let mut add = |lever: &str, score: f64, effect: Option<f64>, why: String| {
        let known = ideas.iter_mut().find(|idea| idea.lever == lever);
        match known {
            Some(idea) => {
                idea.score = idea.score.max(score);
                idea.effect = idea.effect.or(effect);
                idea.why.push(why);
            }
            None => ideas.push(Idea {
                lever: lever.to_owned(),
                score,
                effect,
                why: vec![why],
            }),
        }
    };
    for (diagnosed, diagnosis) in rules_that_hold(model, subject) {
        let open = diagnosis.levers.iter().enumerate();
        for (place, lever) in open.filter(|(_, lever)| subject.may(lever)) {
            let said = insights.iter().filter(|it| it.lever == **lever);
            let credit = said.map(|it| it.credit / NEUTRAL).fold(1.0, f64::min);
            let score = diagnosis.severity * credit / (place + 1) as f64;
            let why = format!(
                "{}; severity {:.2}, by {}",
                diagnosis.statement, diagnosis.severity, diagnosed.source
            );
            add(lever, score, None, why);
        }
    }
    for insight in &insights {
        // Those of builds and profilers are the diagnoses above.
        let diagnosed = insight.source == "build" || insight.source.starts_with("profiler ");
        if !diagnosed && subject.may(&insight.lever) {
            let score = (insight.strength * insight.credit / NEUTRAL).min(1.0);
            let effect = (insight.effect < 0.0 && !insight.lever.starts_with("avoid "))
                .then_some(insight.effect);
            let why = format!("{}; {}", insight.statement, insight.source);
            add(&insight.lever, score, effect, why);
        }
    }
    let contradicted = |idea: &Idea| {
        let opposite = opposite(&idea.lever);
        insights.iter().any(|it| it.lever == opposite)
    };
    ideas.retain(|idea| !contradicted(idea));
    first(
        ideas.iter().map(|idea| (idea.score, line(idea))).collect(),
        LEVERS,
    )
}

/// So many lines with the greatest scores; of equal ones those that came first.
fn first(mut scored: Vec<(f64, String)>, count: usize) -> Vec<String> {
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored
        .into_iter()
        .take(count)
        .map(|(_, line)| line)
        .collect()
}

/// A lever, why, and what it is expected to change.
fn line(idea: &Idea) -> String {
    let expected = match idea.effect {
        Some(effect) => format!("expected: {} by the trials", ratio((-effect).exp())),
        None => "no trials tell by how much".to_owned(),
    };
    format!("{} ({}; {expected})", idea.lever, idea.why.join("; "))
}

/// The lever that asks for the contrary.
fn opposite(lever: &str) -> String {
    let pairs = [("set ", "avoid "), ("raise ", "lower ")];
    for (one, other) in pairs {
        for (from, to) in [(one, other), (other, one)] {
            if let Some(rest) = lever.strip_prefix(from) {
                return format!("{to}{rest}");
            }
        }
    }
    String::new()
}

/// Whether a candidate with these parameters does not do it yet: one that holds only `where` another
/// parameter has a value, where that is so.
fn is_open(lever: &str, params: &Params) -> bool {
    if let Some((lever, place)) = lever.split_once(" where ") {
        let here = place.split_once('=').is_some_and(|(name, value)| {
            params.get(name).is_some_and(|it| it.to_string() == value)
        });
        return here && is_open(lever, params);
    }
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
        assert!(open("set A=4 where L=row") && !open("set A=4 where L=col"));
        assert!(!open("set A=2 where L=row") && !open("set A=4 where B=1"));
        // It is not active, or not there at all.
        assert!(!open("raise B") && !open("set B=1") && !open("leave A"));
    }

    #[test]
    fn every_lever_has_its_contrary() {
        let pairs = [("set A=2", "avoid A=2"), ("raise A", "lower A")];
        for (one, other) in pairs {
            assert_eq!(
                (opposite(one), opposite(other)),
                (other.to_owned(), one.to_owned())
            );
        }
        assert_eq!(opposite("leave A"), "");
    }
}
