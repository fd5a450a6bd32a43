//! The audit as a document for scripts.

use evo_report::knobs::{Effect, Knob};
use evo_run::{Audit, FailedConfig};
use serde_json::{Value, json};

use super::Finding;

/// The version of the keys.
const SCHEMA: u32 = 1;

/// The whole result. Keys stay as they are under one `schema`; new ones may be added.
///
/// `candidates` has for each candidate `configurations` (built), `executions` and `codes` (distinct
/// among them), `bases`, `excluded` (changes that constraints forbid, by parameter), `params` (what
/// each does: `effect` is `dead`, `code`, `geometry`, `run_time` or `unknown`), `failed` and `timed`.
/// `dead` names what `--deny-dead` denies, as `candidate/parameter`.
pub(super) fn document(audit: &Audit, findings: &[Finding<'_>]) -> Value {
    let dead: Vec<String> = findings.iter().flat_map(Finding::dead).collect();
    json!({
        "schema": SCHEMA,
        "problem": audit.problem.problem,
        "fields": audit.problem.fields,
        "device": audit.device,
        "seed": audit.seed,
        "interrupted": audit.interrupted,
        "dead": dead,
        "candidates": findings.iter().map(candidate).collect::<Vec<Value>>(),
    })
}

fn candidate(finding: &Finding<'_>) -> Value {
    let Finding { audited, knobs } = finding;
    json!({
        "candidate": audited.label,
        "plugin": audited.plugin,
        "kernel": audited.kernel,
        "bases": audited.bases,
        "excluded": audited.excluded,
        "configurations": knobs.configurations,
        "executions": knobs.executions,
        "codes": knobs.codes,
        "params": knobs.params.iter().map(|knob| param(knob, finding.drawn())).collect::<Vec<Value>>(),
        "failed": audited.failed.iter().map(failed).collect::<Vec<Value>>(),
        "timed": audited.timed,
    })
}

fn param(knob: &Knob, drawn: usize) -> Value {
    let mut document = json!(knob);
    if let Value::Object(entries) = &mut document {
        let bound = knob.acts_at_most_in(drawn);
        entries.insert("acts_at_most_in".to_owned(), json!(bound));
        entries.insert("dead".to_owned(), json!(knob.effect == Effect::Dead));
    }
    document
}

fn failed(config: &FailedConfig) -> Value {
    json!({
        "params": config.params,
        "outcome": config.outcome.kind(),
        "reason": config.outcome.summary(),
    })
}
