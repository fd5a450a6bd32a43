//! What a search knows at the end of its journal: its engine, brought to where the journal stands,
//! without a device, a plugin or a worker.

use std::path::Path;

use evo_core::engine::{CandidateState, ENGINE_VERSION, Information};
use evo_journal::{Diagnosed, Record, read};
use serde::Serialize;

use super::diagnose::candidate_of;
use super::history::{journal_of, plan_of, replay_steps};
use super::opening::campaign;
use crate::{RunError, plan};

/// What is known of one tuned candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// Best solutions, insights with their age and credit, operators.
    pub state: CandidateState,
    /// What the next proposal is told.
    pub information: Information,
    /// The unit of the ranked metric; empty as long as nothing was measured.
    pub unit: String,
    /// What rules said of the best solution, the last word of each source.
    pub diagnoses: Vec<Diagnosed>,
}

/// Explains a run that may be under way: its journal is only read.
///
/// # Errors
/// Where there is no run in the folder, or its journal cannot be read, has no plan or is of another
/// version of the engine.
pub fn explain(run: &Path) -> Result<Vec<Explained>, RunError> {
    let journal = read(&journal_of(run)?)?;
    let engine = journal.header().map(|header| header.engine.as_str());
    if engine.is_some_and(|engine| engine != ENGINE_VERSION.to_string()) {
        return Err(RunError::input(format!(
            "{}: the run was made by engine version {}; this program has version {ENGINE_VERSION}, \
             which would make something else of it",
            run.display(),
            engine.unwrap_or_default()
        ))
        .hint("use the evo that made it"));
    }
    let (plan, _) = plan_of(&journal.records).ok_or_else(|| {
        RunError::input(format!(
            "{}: the run ended before it had a plan, so there is nothing to explain",
            run.display()
        ))
    })?;
    let mut campaign = campaign(&plan, plan::spaces(&plan)?)?;
    campaign
        .replay(replay_steps(&plan, &journal.records)?)
        .map_err(|error| RunError::environment(format!("{}: {error}", run.display())))?;
    let unit = unit(&plan.metric, &journal.records);
    let states = campaign.state().candidates.into_iter().enumerate();
    let explained = states.filter_map(|(place, state)| {
        Some(Explained {
            information: campaign.information(place)?.clone(),
            unit: unit.clone(),
            diagnoses: of_best(&state, &journal.records),
            state,
        })
    });
    Ok(explained.collect())
}

fn unit(metric: &str, records: &[Record]) -> String {
    let mut found = records.iter().filter_map(|record| match record {
        Record::Evaluated(evaluated) => evaluated.outcome.measurement()?.metric(metric),
        _ => None,
    });
    found
        .next()
        .map(|metric| metric.unit.clone())
        .unwrap_or_default()
}

/// The last word of each source on the best solution that it has looked at.
fn of_best(state: &CandidateState, records: &[Record]) -> Vec<Diagnosed> {
    let mut found: Vec<Diagnosed> = Vec::new();
    for record in records {
        let Record::Diagnosed(diagnosed) = record else {
            continue;
        };
        if diagnosed.trial.is_some() && candidate_of(&diagnosed.label) == state.candidate {
            found.retain(|earlier| earlier.source != diagnosed.source);
            found.push(diagnosed.clone());
        }
    }
    found
}
