//! `reports/summary.md`: what a person reads.
//!
//! The template holds the words, this module the figures. The template's formatter escapes every
//! text, so that nothing from a plugin or a spec acts in a Markdown viewer.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::ReportError;
use crate::model::RunModel;
use crate::text;

mod diagnosis;
mod front;
mod knobs;
mod method;
mod search;
mod tables;

const FILE: &str = "reports/summary.md";

/// What the template sees.
#[derive(Serialize)]
struct View {
    title: String,
    headline: String,
    notes: Vec<String>,
    result: tables::Result,
    target: Option<Target>,
    next: Option<Next>,
    winning: Option<tables::Winning>,
    front: Option<front::Section>,
    search: search::Search,
    knobs: Option<knobs::Section>,
    correctness: Vec<tables::Correct>,
    quantisation: Option<String>,
    diagnosis: Option<diagnosis::Section>,
    profiles: Vec<search::Profile>,
    method: Vec<String>,
    environment: Vec<(&'static str, String)>,
    commands: String,
    warnings: Vec<String>,
    events: Vec<String>,
}

#[derive(Serialize)]
struct Target {
    line: String,
    explanation: String,
    definitions: &'static str,
    limits: Vec<String>,
}

/// What limits the winner, and what to try next.
#[derive(Serialize)]
struct Next {
    name: String,
    bottlenecks: Vec<String>,
    levers: Vec<String>,
    /// Levers that trials speak against.
    against: Vec<String>,
    none_pays: bool,
    /// Whether one of them tells an expected effect.
    estimated: bool,
}

/// The summary of a run in Markdown.
///
/// # Errors
/// [`ReportError::Format`] where the template fails, which is a defect of this crate.
pub fn summary_markdown(model: &RunModel) -> Result<String, ReportError> {
    let failed = |error: minijinja::Error| ReportError::format(FILE, error);
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .map_err(failed)?;
    environment.set_syntax(syntax);
    environment.set_formatter(|output, _, value| {
        let shown = match value.as_str() {
            Some(text) if !value.is_safe() => text::markdown(text),
            _ => value.to_string(),
        };
        output.write_str(&shown).map_err(minijinja::Error::from)
    });
    environment.add_filter("code", |text: String| {
        Value::from_safe_string(text::code(&text, false))
    });
    environment.add_filter("code_cell", |text: String| {
        Value::from_safe_string(text::code(&text, true))
    });
    environment.add_filter("block", |text: String, language: String| {
        Value::from_safe_string(text::fenced(&text, &language))
    });
    environment
        .add_template("summary.md", include_str!("summary.md.j2"))
        .map_err(failed)?;
    let template = environment.get_template("summary.md").map_err(failed)?;
    template.render(Serde(view(model))).map_err(failed)
}

fn view(model: &RunModel) -> View {
    View {
        title: title(model),
        headline: crate::headline::headline(model),
        notes: notes(model),
        result: tables::result(model),
        target: target(model),
        next: next(model),
        winning: tables::winning(model),
        front: front::section(model),
        search: search::search(model),
        knobs: knobs::section(model),
        correctness: tables::correctness(model),
        quantisation: tables::quantisation(model),
        diagnosis: diagnosis::section(model),
        profiles: search::profiles(model),
        method: method::method(model),
        environment: crate::manifest::environment(model),
        commands: crate::manifest::commands(model).join("\n"),
        warnings: model
            .warnings
            .iter()
            .map(|warning| text::plain(warning))
            .collect(),
        events: model
            .events
            .iter()
            .map(|event| format!("{}, {}", crate::format::time(event.at), event.what))
            .collect(),
    }
}

fn title(model: &RunModel) -> String {
    let (name, fields) = model.work();
    format!(
        "Run {}: {name} {}",
        model.header.run,
        evo_types::format_params(fields)
    )
}

/// What has to be known before the figures are read.
fn notes(model: &RunModel) -> Vec<String> {
    use crate::model::State;
    let mut notes = Vec::new();
    match &model.state {
        State::Finished { .. } => {}
        State::Interrupted { by } => notes.push(format!(
            "The run was interrupted by {by} and is not finished; evo resume goes on with it."
        )),
        State::Unfinished => notes.push(
            "The run is not finished: it goes on, or it was cut off; evo resume goes on with it."
                .to_owned(),
        ),
    }
    let finished = matches!(model.state, State::Finished { .. });
    if finished && model.confirmation.is_none() && model.best_of_search().is_some() {
        notes.push(model.why_not_confirmed());
    }
    if model.confirmation_is_stale {
        notes.push(
            "The search went on after the confirmation: later trials are not in it.".to_owned(),
        );
    }
    notes
}

fn target(model: &RunModel) -> Option<Target> {
    let target = model.target()?;
    let met = target.status == crate::TargetStatus::Met;
    Some(Target {
        line: crate::verdict::capitalised(&target.line()),
        explanation: target.explanation,
        definitions: crate::TARGET_DEFINITIONS,
        limits: if met {
            Vec::new()
        } else {
            crate::limits::limits(model)
        },
    })
}

fn next(model: &RunModel) -> Option<Next> {
    let subject = crate::diagnosis::subject(model)?;
    let bottlenecks = crate::diagnosis::bottlenecks(model, &subject);
    let next = crate::diagnosis::levers(model, &subject);
    let said = !bottlenecks.is_empty() || !next.levers.is_empty() || !next.against.is_empty();
    said.then_some(Next {
        name: subject.label,
        bottlenecks,
        levers: next.levers,
        against: next.against,
        none_pays: next.none_pays,
        estimated: next.estimated,
    })
}
