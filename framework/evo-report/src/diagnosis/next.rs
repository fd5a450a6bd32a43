//! What to try next.

use evo_journal::{InsightLine, Snapshot};
use serde::Serialize;

use super::lever::{Lever, opposite};
use super::trials::{Trials, Word};
use super::{Subject, first, of_trial, rules_that_hold};
use crate::format::{count, ratio_with_interval};
use crate::model::RunModel;

/// The next levers that a report names.
const LEVERS: usize = 3;
/// The credit of an insight that was not tried yet.
const NEUTRAL: f64 = 0.5;

/// How what is said of an expected effect begins.
const EXPECTED: &str = "expected";

/// What to try next.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Next {
    /// The levers, the most promising first, each with its reason and what it is expected to do: how many times
    /// better the candidate would be, with a 95 % interval, by a model of the measured trials
    /// ([`evo_stats::Kriging`]).
    pub levers: Vec<String>,
    /// Levers of rules that are left out, since trials speak against them; and which.
    pub against: Vec<String>,
    /// Whether none of the levers is expected to pay by itself.
    pub none_pays: bool,
    /// Whether one of them tells an expected effect.
    #[serde(skip)]
    pub(crate) estimated: bool,
}

/// What to try next on the best trial of a tuned candidate, by the figures of the search. `None` as long as
/// nothing of it was measured.
pub fn next_steps(model: &RunModel, candidate: &str) -> Option<Next> {
    let mut ranked = model.ranked_trials().into_iter();
    let (best, _) = ranked.find(|(trial, _)| trial.proposed.candidate == candidate)?;
    Some(levers(model, &of_trial(model, best)))
}

/// A lever that the subject does not pull yet.
struct Idea {
    lever: String,
    /// How much it promises: the severity of what it is for, or the influence of an insight.
    score: f64,
    /// Whether a rule names it, or the history of trials alone.
    of_rule: bool,
    /// Who says so, in words.
    why: Vec<String>,
}

/// Levers of diagnoses and what the history of trials says pays, without what the subject already does and
/// what its own trials speak against.
pub(crate) fn levers(model: &RunModel, subject: &Subject<'_>) -> Next {
    let own = |snapshot: &&Snapshot| snapshot.candidate == subject.candidate;
    let insights: Vec<&InsightLine> = model
        .snapshots
        .iter()
        .filter(own)
        .flat_map(|snapshot| &snapshot.insights)
        .collect();
    let mut ideas: Vec<Idea> = Vec::new();
    let mut add = |lever: &str, score: f64, of_rule: bool, why: String| {
        let known = ideas.iter_mut().find(|idea| idea.lever == lever);
        match known {
            Some(idea) => {
                idea.score = idea.score.max(score);
                idea.of_rule |= of_rule;
                idea.why.push(why);
            }
            None => ideas.push(Idea {
                lever: lever.to_owned(),
                score,
                of_rule,
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
            add(lever, score, true, why);
        }
    }
    for insight in &insights {
        // Those of builds and profilers are the diagnoses above.
        let diagnosed = insight.source == "build" || insight.source.starts_with("profiler ");
        if !diagnosed && subject.may(&insight.lever) {
            let score = (insight.strength * insight.credit / NEUTRAL).min(1.0);
            let why = format!("{}; {}", insight.statement, insight.source);
            add(&insight.lever, score, false, why);
        }
    }
    let trials = Trials::of(model, subject);
    let contrary_to = |lever: &str| {
        let opposite = opposite(lever);
        insights.iter().find(move |it| it.lever == opposite)
    };
    let mut next = Vec::new();
    let mut against = Vec::new();
    for idea in ideas {
        let contrary = contrary_to(&idea.lever);
        let word = trials.word(&idea.lever);
        let objection = match (&word, contrary) {
            (Word::Against(came), _) => Some(came.clone()),
            (Word::Expected { high, .. }, _) if *high <= 1.0 => Some(expected(&idea.lever, &word)),
            (_, Some(insight)) => Some(insight.statement.clone()),
            _ => None,
        };
        match objection {
            None => next.push(Promise {
                line: line(&idea, &word),
                score: idea.score * chance(&word),
                pays: pays(&word),
                lever: idea.lever,
            }),
            // What the history of trials alone had suggested is no surprise.
            Some(objection) if idea.of_rule => {
                against.push((idea.score, format!("{} ({objection})", idea.lever)));
            }
            Some(_) => {}
        }
    }
    next.sort_by(|a, b| b.score.total_cmp(&a.score));
    // What only the trials name comes behind what there is a reason for.
    let by_trials = trials.untried().into_iter();
    let by_trials =
        by_trials.filter(|(lever, word)| chance(word) > 0.0 && contrary_to(lever).is_none());
    let by_trials = by_trials.map(|(lever, word)| Promise {
        line: format!("{lever} ({})", expected(&lever, &word)),
        pays: pays(&word),
        lever,
        score: 0.0,
    });
    let mut chosen: Vec<Promise> = Vec::new();
    for promise in next.into_iter().chain(by_trials) {
        let param = |it: &Promise| Lever::parse(&it.lever).map(|lever| lever.param().to_owned());
        // "raise A" and "set A=8" would be one experiment.
        if chosen.iter().all(|it| param(it) != param(&promise)) {
            chosen.push(promise);
        }
    }
    chosen.truncate(LEVERS);
    let none_pays = !chosen.is_empty() && chosen.iter().all(|it| it.pays == Some(false));
    let levers: Vec<String> = chosen.into_iter().map(|it| it.line).collect();
    let against = first(against, LEVERS);
    Next {
        none_pays,
        estimated: levers
            .iter()
            .chain(&against)
            .any(|it| it.contains(EXPECTED)),
        levers,
        against,
    }
}

/// A lever that nothing speaks against.
struct Promise {
    lever: String,
    score: f64,
    pays: Option<bool>,
    line: String,
}

/// Whether a lever is expected to make the candidate better; `None` where nothing tells.
fn pays(word: &Word) -> Option<bool> {
    match word {
        Word::Expected { ratio, .. } => Some(*ratio > 1.0),
        Word::Against(_) | Word::Unknown => None,
    }
}

/// How likely a lever pays, roughly: the part of its interval in which it does, an even chance where nothing
/// tells.
fn chance(word: &Word) -> f64 {
    match word {
        Word::Expected { low, high, .. } => {
            let part = (high - 1.0) / (high - low);
            if part.is_nan() {
                0.0
            } else {
                part.clamp(0.0, 1.0)
            }
        }
        Word::Against(_) | Word::Unknown => 0.5,
    }
}

/// A lever, why, and what it is expected to change.
fn line(idea: &Idea, word: &Word) -> String {
    let why = idea.why.join("; ");
    format!("{} ({why}; {})", idea.lever, expected(&idea.lever, word))
}

fn expected(lever: &str, word: &Word) -> String {
    match word {
        Word::Expected {
            value,
            ratio,
            low,
            high,
            trials,
        } => {
            let figures = ratio_with_interval(*ratio, Some((*low, *high)));
            let with = match lever.split_once(' ') {
                Some(("set", _)) => String::new(),
                _ => format!(" with {value}"),
            };
            let trials = count(*trials as u64, "trial");
            format!("{EXPECTED}{with}: {figures} by {trials} that had it")
        }
        Word::Against(_) | Word::Unknown => "no trials tell by how much".to_owned(),
    }
}
