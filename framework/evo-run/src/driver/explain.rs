//! What a search knows at the end of its journal: its engine, brought to where the journal stands,
//! without a device, a plugin or a worker.

use std::collections::BTreeMap;
use std::path::Path;

use evo_core::engine::{CandidateState, ENGINE_VERSION, Information, Ranking};
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
    /// What rules said of the best solution, the last word of each source; of the next best that it has
    /// looked at where it has not seen the best. The severest first.
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
            diagnoses: of_best(&state, &campaign.settings().ranking, &journal.records),
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
fn of_best(state: &CandidateState, ranking: &Ranking, records: &[Record]) -> Vec<Diagnosed> {
    let places = places(ranking, records);
    // What was not measured comes last. The best by all metrics of a front is none of a single one.
    let place = |diagnosed: &Diagnosed| {
        let best = state.best.as_ref().map(|best| best.trial);
        let rank = diagnosed.trial.and_then(|trial| places.get(&trial));
        (diagnosed.trial != best, rank.copied().unwrap_or(usize::MAX))
    };
    let mut found: BTreeMap<&str, &Diagnosed> = BTreeMap::new();
    for record in records {
        let Record::Diagnosed(diagnosed) = record else {
            continue;
        };
        if diagnosed.trial.is_none() || candidate_of(&diagnosed.label) != state.candidate {
            continue;
        }
        let earlier = found.get(diagnosed.source.as_str());
        if earlier.is_none_or(|earlier| place(diagnosed) <= place(earlier)) {
            found.insert(&diagnosed.source, diagnosed);
        }
    }
    let mut found: Vec<Diagnosed> = found.into_values().cloned().collect();
    let worst = |it: &Diagnosed| it.diagnoses.first().map_or(0.0, |first| first.severity);
    found.sort_by(|a, b| worst(b).total_cmp(&worst(a)));
    found
}

/// The trials that were measured, numbered from the best.
fn places(ranking: &Ranking, records: &[Record]) -> BTreeMap<u64, usize> {
    let metric = ranking.metric();
    let higher = matches!(ranking, Ranking::Metric { higher: true, .. });
    let mut measured: Vec<(u64, f64)> = records
        .iter()
        .filter_map(|record| match record {
            Record::Evaluated(it) => {
                let value = it.outcome.measurement()?.metric(metric)?.value;
                Some((it.trial, if higher { -value } else { value }))
            }
            _ => None,
        })
        .collect();
    measured.sort_by(|a, b| a.1.total_cmp(&b.1));
    let numbered = measured.into_iter().enumerate();
    numbered.map(|(place, (trial, _))| (trial, place)).collect()
}
