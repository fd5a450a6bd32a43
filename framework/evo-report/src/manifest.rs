//! `manifest.yaml`: the machine, the versions and the commands that repeat a run.

use std::collections::BTreeMap;

use evo_journal::{
    AbsentBaseline, BaselineRole, Limits, PlannedCandidate, PlannedPlugin, Target, Work,
};
use evo_types::{DeviceFacts, Params};
use serde::Serialize;
use serde_json::Value as Json;

use crate::ReportError;
use crate::format::time;
use crate::model::{RunModel, State};
use crate::text::{plain, shell_word};

const FILE: &str = "manifest.yaml";

/// The version of the manifest's keys.
const SCHEMA: &str = "evo.manifest.v1";

#[derive(Serialize)]
struct Manifest<'a> {
    schema: &'static str,
    run: &'a str,
    state: &'static str,
    reason: Option<&'a str>,
    started: String,
    elapsed_s: f64,
    seed: u64,
    confirmation_seed: Option<u64>,
    preset: &'a str,
    versions: Versions<'a>,
    host: Host<'a>,
    device: &'a DeviceFacts,
    work: &'a Work,
    metric: &'a str,
    target: Option<&'a Target>,
    candidates: Vec<Candidate<'a>>,
    baselines: Vec<Candidate<'a>>,
    #[serde(skip_serializing_if = "<[AbsentBaseline]>::is_empty")]
    absent_baselines: &'a [AbsentBaseline],
    plugins: &'a [PlannedPlugin],
    profilers: &'a [String],
    engine: &'a Json,
    measure: &'a Json,
    limits: &'a Limits,
    top_k: usize,
    ahead: usize,
    reproduce: Vec<String>,
    spec: &'a str,
}

#[derive(Serialize)]
struct Versions<'a> {
    evo: &'a str,
    engine: &'a str,
    commit: Option<&'a str>,
    journal_schema: u32,
}

#[derive(Serialize)]
struct Host<'a> {
    name: &'a str,
    os: &'a str,
    cpu: &'a str,
    memory_bytes: u64,
}

#[derive(Serialize)]
struct Candidate<'a> {
    label: &'a str,
    plugin: &'a str,
    kernel: &'a str,
    pinned: &'a Params,
    space_origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<&'a BaselineRole>,
}

/// The file's content.
pub(crate) fn manifest(model: &RunModel) -> Result<String, ReportError> {
    let (plan, environment) = (&model.plan, &model.environment);
    let manifest = Manifest {
        schema: SCHEMA,
        run: &model.header.run,
        state: model.state.word(),
        reason: match &model.state {
            State::Finished { reason } => Some(reason),
            State::Interrupted { by } => Some(by),
            State::Unfinished => None,
        },
        started: time(model.started_at),
        elapsed_s: model.elapsed_s,
        seed: plan.seed,
        confirmation_seed: model.confirmation.as_ref().map(|table| table.seed),
        preset: &plan.preset,
        versions: Versions {
            evo: &model.header.evo,
            engine: &model.header.engine,
            commit: environment.commit.as_deref(),
            journal_schema: model.header.schema,
        },
        host: Host {
            name: &environment.host,
            os: &environment.os,
            cpu: &environment.cpu,
            memory_bytes: environment.memory_bytes,
        },
        device: &plan.device,
        work: &plan.work,
        metric: &plan.metric,
        target: plan.target.as_ref(),
        candidates: plan.candidates.iter().map(candidate).collect(),
        baselines: plan.baselines.iter().map(candidate).collect(),
        absent_baselines: &plan.absent_baselines,
        plugins: &plan.plugins,
        profilers: &plan.profilers,
        engine: &plan.engine,
        measure: &plan.measure,
        limits: &plan.limits,
        top_k: plan.top_k,
        ahead: plan.ahead,
        reproduce: commands(model),
        spec: &model.spec,
    };
    serde_saphyr::to_string(&manifest).map_err(|error| ReportError::format(FILE, error))
}

fn candidate(planned: &PlannedCandidate) -> Candidate<'_> {
    Candidate {
        label: &planned.label,
        plugin: &planned.plugin,
        kernel: &planned.kernel,
        pinned: &planned.pinned,
        space_origin: planned
            .space
            .is_some()
            .then_some(planned.space_origin.as_str()),
        baseline: planned.baseline.as_ref(),
    }
}

/// The shell commands that repeat the run.
pub(crate) fn commands(model: &RunModel) -> Vec<String> {
    let environment = &model.environment;
    let mut commands = Vec::new();
    if let Some(commit) = &environment.commit {
        commands.push(format!(
            "# evo {}, built from commit {}",
            plain(&environment.evo),
            plain(commit)
        ));
    }
    commands.push(format!("cd {}", shell_word(&environment.folder)));
    let words: Vec<String> = environment
        .command
        .iter()
        .map(|word| shell_word(word))
        .collect();
    commands.push(words.join(" "));
    commands
}

/// The environment in rows for people.
pub(crate) fn environment(model: &RunModel) -> Vec<(&'static str, String)> {
    let (plan, environment) = (&model.plan, &model.environment);
    let facts: BTreeMap<_, _> = plan.device.facts.iter().collect();
    let facts: Vec<String> = facts
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let plugins: Vec<String> = plan
        .plugins
        .iter()
        .map(|plugin| {
            format!(
                "{} {} ({})",
                plugin.name,
                plugin.version,
                plugin.hash.short()
            )
        })
        .collect();
    vec![
        (
            "device",
            plain(&format!(
                "{} ({}, {})",
                plan.device.name, plan.device.kind, plan.device.uuid
            )),
        ),
        ("device facts", plain(&facts.join(" "))),
        ("host", plain(&environment.host)),
        ("CPU", plain(&environment.cpu)),
        ("memory", crate::format::bytes(environment.memory_bytes)),
        ("operating system", plain(&environment.os)),
        (
            "evo",
            plain(&format!(
                "{} (engine {})",
                model.header.evo, model.header.engine
            )),
        ),
        (
            "commit",
            environment
                .commit
                .as_deref()
                .map_or_else(|| "unknown".to_owned(), plain),
        ),
        ("plugins", plain(&plugins.join(", "))),
        ("seed", plan.seed.to_string()),
        ("started", time(model.started_at)),
    ]
}
