//! `evo explain`: what limits the best of a run, and what its search believes.

use std::fmt::Write;
use std::process::ExitCode;

use evo_core::engine::{Action, Insight};
use evo_report::{Next, RunModel, next_steps, plain};
use evo_run::{Explained, JOURNAL, RunError};
use evo_types::format_params;
use serde_json::{Value, json};

use super::print;
use crate::args::Explain;
use crate::failure::Failure;

/// The version of the keys of the document.
const SCHEMA: u32 = 1;

/// More insights than this are abbreviated.
const MOST: usize = 12;

/// `evo explain`.
pub(crate) fn explain(args: &Explain) -> Result<ExitCode, Failure> {
    let mut explained = evo_run::explain(&args.run)?;
    if let Some(wanted) = &args.candidate {
        let names: Vec<String> = explained
            .iter()
            .map(|candidate| candidate.state.candidate.clone())
            .collect();
        explained.retain(|candidate| candidate.state.candidate == *wanted);
        if explained.is_empty() {
            return Err(RunError::input(format!(
                "{}: no candidate is called `{wanted}`",
                args.run.display()
            ))
            .hint(format!("they are {}", names.join(", ")))
            .into());
        }
    }
    let journal = evo_journal::read(&args.run.join(JOURNAL)).map_err(RunError::from)?;
    let model = RunModel::from_records(&journal.records)?;
    let next = |it: &Explained| next_steps(&model, &it.state.candidate).unwrap_or_default();
    let text = match (args.json, args.proposal_context) {
        (true, context) => {
            let documents = explained.iter().map(|it| document(it, &next(it), context));
            let candidates: Vec<Value> = documents.collect();
            let document = json!({ "schema": SCHEMA, "candidates": candidates });
            serde_json::to_string_pretty(&document).map_err(std::io::Error::from)? + "\n"
        }
        (false, true) => {
            let words = explained.iter().map(|it| it.information.to_string());
            words.collect::<Vec<String>>().join("\n")
        }
        (false, false) => {
            let texts = explained.iter().map(|it| render(it, &next(it)));
            texts.collect::<Vec<String>>().join("\n")
        }
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Keys stay as they are under one `schema`; new ones may be added.
fn document(explained: &Explained, next: &Next, context: bool) -> Value {
    let Explained {
        state,
        information,
        unit,
        diagnoses,
    } = explained;
    let mut document = json!({
        "candidate": state.candidate,
        "best": state.best,
        "unit": unit,
        "proposed": state.proposed,
        "diagnoses": diagnoses,
        "next": next,
        "insights": state.insights,
        "withdrawn": state.withdrawn,
        "operators": state.operators,
    });
    if context && let Value::Object(entries) = &mut document {
        entries.insert("proposal_context".to_owned(), json!(information));
    }
    document
}

fn render(explained: &Explained, next: &Next) -> String {
    let state = &explained.state;
    let mut out = String::new();
    let name = plain(&state.candidate);
    match &state.best {
        Some(best) => {
            let metric = explained.information.task.ranking.metric();
            let _ = writeln!(
                out,
                "{name}: {metric} {:.4} {} in trial {} ({} proposals)\n  {}",
                best.value,
                plain(&explained.unit),
                best.trial,
                state.proposed,
                plain(&format_params(&best.params))
            );
        }
        None => {
            let _ = writeln!(
                out,
                "{name}: nothing was measured ({} proposals)",
                state.proposed
            );
        }
    }
    diagnoses(&mut out, explained);
    steps(&mut out, next);
    beliefs(&mut out, &state.insights);
    out
}

fn diagnoses(out: &mut String, explained: &Explained) {
    out.push_str("\nwhat limits it\n");
    let mut said = false;
    for diagnosed in &explained.diagnoses {
        let of = match (&explained.state.best, diagnosed.trial) {
            (Some(best), Some(trial)) if best.trial != trial => format!(" of trial {trial}"),
            _ => String::new(),
        };
        for diagnosis in &diagnosed.diagnoses {
            said = true;
            let _ = writeln!(
                out,
                "  {:.2}  {} ({}{of})",
                diagnosis.severity,
                plain(&diagnosis.statement),
                plain(&diagnosed.source)
            );
            if !diagnosis.levers.is_empty() {
                let _ = writeln!(out, "        try: {}", plain(&diagnosis.levers.join(", ")));
            }
        }
        for (rule, why) in &diagnosed.unjudged {
            let _ = writeln!(
                out,
                "        not judged: {} of {}, since {}",
                plain(rule),
                plain(&diagnosed.source),
                plain(why)
            );
        }
    }
    if !said {
        out.push_str("  no rule holds for what builds and profiles say\n");
    }
}

fn steps(out: &mut String, next: &Next) {
    if next.levers.is_empty() && next.against.is_empty() {
        return;
    }
    out.push_str(
        "\nwhat to try next (expected: how many times better, with a 95 % interval, by a model of the trials)\n",
    );
    for line in &next.levers {
        let _ = writeln!(out, "  {}", plain(line));
    }
    if next.none_pays {
        out.push_str("  by the trials none of them is expected to pay by itself\n");
    }
    for line in &next.against {
        let _ = writeln!(
            out,
            "  left out, since trials speak against it: {}",
            plain(line)
        );
    }
}

fn beliefs(out: &mut String, insights: &[Insight]) {
    let (idle, acting): (Vec<&Insight>, Vec<&Insight>) = insights
        .iter()
        .partition(|insight| insight.lever.action == Action::NoEffect);
    out.push_str(
        "\nwhat the search believes (strength, credit, age in trials, proposals that followed it and how many \
         of them were better than what they changed)\n",
    );
    if acting.is_empty() {
        out.push_str("  nothing yet\n");
    }
    for insight in acting.iter().take(MOST) {
        let _ = writeln!(
            out,
            "  {:.2} {:.2} {:>4} {:>3} {:>3}  {} ({}; {})",
            insight.strength,
            insight.credit,
            insight.age,
            insight.followed,
            insight.better,
            plain(&insight.advice()),
            plain(&insight.statement),
            plain(&insight.source.to_string())
        );
    }
    if acting.len() > MOST {
        let _ = writeln!(out, "  and {} more (--json has all)", acting.len() - MOST);
    }
    if !idle.is_empty() {
        let names: Vec<&str> = idle.iter().map(|it| it.lever.param.as_str()).collect();
        let _ = writeln!(
            out,
            "\nwhat makes no difference: {}",
            plain(&names.join(", "))
        );
    }
}
