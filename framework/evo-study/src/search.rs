//! One search on a recorded space.

use std::sync::Arc;

use evo_core::engine::{Ask, Budget, Campaign, Cost, EngineSettings, Genotype, Proposal, Ranking};
use evo_core::space::Space;
use evo_recorded::{Fate, Row};
use evo_types::{
    Direction, Measurement, Metric, Outcome, Phase, RejectedBy, WrongKind, WrongResult,
};

use crate::diagnose::Diagnosis;
use crate::noise::{Observer, noise};
use crate::{Contestant, RunRecord, StudyError, StudySpace, engine_tag};

/// Proposals for each evaluation after which a search is given up: what it proposes was not
/// recorded.
const MOST_ASKS: u64 = 40;

/// Runs a search; its records are those that [`Contestant::records`] names.
pub(crate) fn search(
    space: &StudySpace,
    parsed: &Arc<Space>,
    contestant: &Contestant,
    seed: u64,
    budget: u64,
) -> Result<Vec<RunRecord>, StudyError> {
    let fail = |message: String| StudyError::Search {
        space: space.name().to_owned(),
        message,
    };
    let limits = Budget {
        // Counted here: what was never recorded is no evaluation.
        duplicates_in_a_row: u64::MAX,
        ..Budget::default()
    };
    let mut settings = EngineSettings::new(contestant.preset, Ranking::lower("time"), limits);
    settings.tuning = contestant.tuning.clone();
    let mut observer = Observer::new(space, noise(space, seed, contestant.noise)?);
    let mut diagnosis = Diagnosis::new(space.told.as_ref(), &space.recording);
    let (mut evals, mut asks, mut cost_ms) = (0, 0, 0.0);
    let begin = cpu_seconds();
    let mut campaign = Campaign::single(space.name(), parsed.clone(), settings, seed);
    while evals < budget && asks < budget.saturating_mul(MOST_ASKS) {
        let Ask::Propose(proposal) = campaign.ask() else {
            break;
        };
        asks += 1;
        let place = match &space.told {
            // Parameters may be inactive.
            Some(_) => space.recording.find_active(&proposal.params).ok().flatten(),
            None => choices(&proposal).and_then(|choices| space.recording.find(&choices)),
        };
        let row = place.and_then(|place| Some((place, space.recording.rows().get(place)?)));
        let mut cost = Cost::default();
        let outcome = match row {
            Some((place, row)) => {
                evals += 1;
                cost_ms += row.cost_ms;
                cost.wall_s = row.cost_ms / 1e3;
                cost.device_s = cost.wall_s;
                let tenths = (cost_ms * 10.0).round() / 10.0;
                outcome(row, observer.measure(place, (evals, tenths)))
            }
            None => rejected("it was never recorded"),
        };
        campaign
            .tell(proposal.trial, &outcome, cost)
            .map_err(|error| fail(error.to_string()))?;
        if let Some(diagnosis) = &mut diagnosis {
            diagnosis.after(&mut campaign, proposal.trial, evals);
        }
    }
    let cpu_s = ((cpu_seconds() - begin) * 1e5).round() / 1e5;
    let answers = [observer.observed, observer.confirmed];
    let names = contestant.records().into_iter();
    let records = names.zip(answers).map(|(strategy, improve)| RunRecord {
        space: space.name().to_owned(),
        strategy,
        seed,
        budget,
        evals,
        cpu_s,
        asks,
        improve,
        engine: Some(engine_tag()),
        recording: Some(space.content().to_owned()),
    });
    Ok(records.collect())
}

/// The indices of a proposal's values. Spaces that are made of recordings have no conditional parameters.
fn choices(proposal: &Proposal) -> Option<Vec<u32>> {
    match &proposal.genotype {
        Genotype::Config(choices) => choices.iter().copied().collect(),
        _ => None,
    }
}

fn rejected(reason: &str) -> Outcome {
    Outcome::Rejected {
        by: RejectedBy::Kernel,
        reason: reason.to_owned(),
    }
}

/// What a trial is told; `seen` is the measurement of a row that ran.
fn outcome(row: &Row, seen: Option<f64>) -> Outcome {
    match &row.fate {
        Fate::Measured { time_ms, .. } => Outcome::Measured(Measurement {
            metrics: vec![Metric::new(
                "time",
                "ms",
                Direction::Lower,
                seen.unwrap_or(*time_ms),
            )],
            error: None,
            execution: None,
            recheck_seed: None,
            raced_out: false,
            converged: true,
        }),
        Fate::Refused(reason) => rejected(reason),
        Fate::BuildFailed(message) => Outcome::BuildFailed {
            message: message.clone(),
            log: String::new(),
        },
        Fate::RunFailed(message) => Outcome::Crashed {
            phase: Phase::Evaluate,
            message: message.clone(),
            output: String::new(),
        },
        Fate::WrongResult(message) => Outcome::WrongResult(WrongResult {
            wrong: WrongKind::Inaccurate,
            message: message.clone(),
            error: None,
            seed: 0,
            after_timing: false,
        }),
        Fate::TimedOut(_) => Outcome::TimedOut {
            phase: Phase::Evaluate,
            limit_s: row.cost_ms / 1e3,
        },
    }
}

/// CPU time of this thread.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
